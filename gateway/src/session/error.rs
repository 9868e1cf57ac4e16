//! What a session itself refuses, and how a session ends.

use passgate_policy::{Reason, Reasons};
use passgate_wire as wire;

use crate::error::ClientError;

/// What the session refuses, in the words and codes of PostgreSQL where it knows the case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream is not the protocol any more.
    #[error("{0}")]
    Violation(wire::Violation),
    /// A message whose inside is wrong.
    #[error("{0}")]
    Malformed(wire::Malformed),
    /// A message that has no place here.
    #[error("unexpected message from the client")]
    OutOfPlace,
    /// Another major version of the protocol.
    #[error("{0}")]
    Version(wire::UnsupportedVersion),
    /// A start-up packet without a user.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A connection without TLS where TLS is offered.
    #[error("connection requires TLS")]
    PlaintextRefused,
    /// A replication connection.
    #[error("replication is not supported")]
    Replication,
    /// A database that is not in the settings.
    #[error("database \"{0}\" does not exist")]
    NoDatabase(String),
    /// The gateway is ending.
    #[error("terminating connection due to administrator command")]
    ShuttingDown,
    /// Silent for too long outside a transaction.
    #[error("terminating connection due to idle-session timeout")]
    Idle,
    /// Silent for too long inside a transaction.
    #[error("terminating connection due to idle-in-transaction timeout")]
    IdleInTransaction,
    /// The client asked for it.
    #[error("canceling statement due to user request")]
    Cancelled,
    /// A statement inside a failed transaction.
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    TransactionFailed,
    /// The transaction's connection is gone, and what it had seen with it.
    #[error("the transaction's connection to the source was lost")]
    TransactionLost,
    /// Something that only a transaction has.
    #[error("{0} can only be used in transaction blocks")]
    NoTransaction(&'static str),
    /// Something that a transaction cannot hold.
    #[error("{0} cannot run inside a transaction block")]
    InTransaction(&'static str),
    /// A transaction's mode after the first query.
    #[error("{0} must be called before any query")]
    LateMode(&'static str),
    /// A transaction's mode after a savepoint.
    #[error("{0} must not be called in a subtransaction")]
    NestedMode(&'static str),
    /// READ WRITE after the first query.
    #[error("transaction read-write mode must be set before any query")]
    LateReadWrite,
    /// READ WRITE after a savepoint.
    #[error("cannot set transaction read-write mode inside a read-only transaction")]
    NestedReadWrite,
    /// A savepoint that does not exist.
    #[error("savepoint \"{0}\" does not exist")]
    NoSavepoint(String),
    /// Too many savepoints.
    #[error("too many savepoints in one transaction")]
    TooManySavepoints,
    /// A prepared statement that does not exist.
    #[error("{}", no_statement(.0))]
    NoStatement(String),
    /// A portal that does not exist.
    #[error("portal \"{0}\" does not exist")]
    NoPortal(String),
    /// A cursor that does not exist.
    #[error("cursor \"{0}\" does not exist")]
    NoCursor(String),
    /// FETCH from a portal that the protocol made, where its rows are in another format or are the gateway's own.
    #[error("FETCH from portal \"{0}\" is not supported by the gateway")]
    FetchFromPortal(String),
    /// A way back through a portal.
    #[error("cursor can only scan forward")]
    ForwardOnly,
    /// EXECUTE of something other than a query.
    #[error("EXECUTE of prepared statement \"{0}\", which is not a query, is not supported by the gateway")]
    NotExecutable(String),
    /// Arguments are not as many as parameters.
    #[error("wrong number of parameters for prepared statement \"{statement}\"")]
    ArgumentCount {
        /// The prepared statement's name.
        statement: String,
        /// How many are wanted.
        required: usize,
        /// How many came.
        supplied: usize,
    },
    /// An argument that only a conversion would make fit.
    #[error("EXECUTE with a value of another type than parameter ${0} is not supported by the gateway")]
    ArgumentType(usize),
    /// A prepared statement's name that is taken.
    #[error("prepared statement \"{0}\" already exists")]
    StatementExists(String),
    /// A portal's name that is taken.
    #[error("cursor \"{0}\" already exists")]
    PortalExists(String),
    /// More prepared statements, or more text in them, than a session may keep.
    #[error("too many prepared statements")]
    TooManyStatements,
    /// More portals than a session may keep.
    #[error("too many portals")]
    TooManyPortals,
    /// Values and rows of waiting portals over the limit.
    #[error("portals that wait hold more values and rows than a session may keep")]
    PortalTooLarge,
    /// An answer is larger than one may be (54000).
    #[error("the answer is larger than {0} bytes")]
    AnswerTooLarge(u64),
    /// The statements of one message answer more rows together than one may (54000).
    #[error("the statements of one message may answer {0} rows together")]
    MessageTooLarge(u64),
    /// A portal that closes itself.
    #[error("cannot drop active portal \"{0}\"")]
    PortalActive(String),
    /// A portal that cannot run again.
    #[error("portal \"{0}\" cannot be run")]
    PortalSpent(String),
    /// Several statements where one is wanted.
    #[error("cannot insert multiple commands into a prepared statement")]
    SeveralStatements,
    /// Values are not as many as parameters.
    #[error("bind message supplies {supplied} parameters, but prepared statement \"{statement}\" requires {required}")]
    ParameterCount {
        /// How many came.
        supplied: usize,
        /// How many are wanted.
        required: usize,
        /// The statement's name.
        statement: String,
    },
    /// Formats are not as many as parameters.
    #[error("bind message has {formats} parameter formats but {parameters} parameters")]
    FormatCount {
        /// Formats.
        formats: usize,
        /// Parameters.
        parameters: usize,
    },
    /// A format that is neither text nor binary.
    #[error("unsupported format code: {0}")]
    Format(i16),
    /// FunctionCall.
    #[error("function calls by message are not supported")]
    FunctionCall,
    /// LISTEN. To take it and never to notify would keep an application waiting for ever.
    #[error("LISTEN is not supported by the gateway")]
    Listen,
    /// The policy refuses.
    #[error("{}", .0.first().message)]
    Denied(Box<Reasons>),
    /// The policy lets it run once somebody has approved it.
    #[error("{}", .0.message)]
    Held(Box<Telling>),
    /// The policy changed while the statement ran.
    #[error("the policies that allowed this statement no longer hold")]
    Revoked,
    /// Something a source sent cannot be relayed.
    #[error("the answer of the source cannot be read")]
    BrokenAnswer,
}

/// What a person is told of a held statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The policy's message.
    pub message: String,
    /// Rules, tickets and until when they are open.
    pub detail: String,
    /// How to go on.
    pub hint: String,
}

fn no_statement(name: &str) -> String {
    match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    }
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        match self {
            Self::Violation(wire::Violation::TooLarge { .. }) => "54000",
            Self::Malformed(wire::Malformed::NotUtf8) => "22021",
            Self::Violation(_) | Self::Malformed(_) | Self::OutOfPlace | Self::BrokenAnswer => "08P01",
            Self::ParameterCount { .. } | Self::FormatCount { .. } => "08P01",
            Self::Version(_) | Self::Replication | Self::FunctionCall | Self::Listen => "0A000",
            Self::NoUser | Self::PlaintextRefused => "28000",
            Self::NoDatabase(_) => "3D000",
            Self::ShuttingDown => "57P01",
            Self::Idle => "57P05",
            Self::IdleInTransaction => "25P03",
            Self::Cancelled => "57014",
            Self::TransactionFailed => "25P02",
            Self::TransactionLost => "08006",
            Self::NoTransaction(_) => "25P01",
            Self::InTransaction(_)
            | Self::LateMode(_)
            | Self::NestedMode(_)
            | Self::LateReadWrite
            | Self::NestedReadWrite => "25001",
            Self::NoSavepoint(_) => "3B001",
            Self::NoStatement(_) => "26000",
            Self::NoPortal(_) | Self::NoCursor(_) => "34000",
            Self::PortalActive(_) => "24000",
            Self::FetchFromPortal(_) | Self::NotExecutable(_) | Self::ArgumentType(_) => "0A000",
            Self::ArgumentCount { .. } => "42601",
            Self::StatementExists(_) => "42P05",
            Self::PortalExists(_) => "42P03",
            Self::TooManyStatements
            | Self::TooManyPortals
            | Self::TooManySavepoints
            | Self::PortalTooLarge
            | Self::AnswerTooLarge(_)
            | Self::MessageTooLarge(_) => "54000",
            Self::PortalSpent(_) | Self::ForwardOnly => "55000",
            Self::SeveralStatements => "42601",
            Self::Format(_) => "22023",
            Self::Denied(_) | Self::Held(_) | Self::Revoked => "42501",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Denied(reasons) => Some(why(reasons.first())),
            Self::Held(telling) => Some(telling.detail.clone()),
            Self::ArgumentCount { required, supplied, .. } => {
                Some(format!("Expected {required} parameters but got {supplied}."))
            }
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Denied(reasons) => return Some(reasons.first().hint.clone()).filter(|hint| !hint.is_empty()),
            Self::Held(telling) => return Some(telling.hint.clone()),
            Self::PlaintextRefused => "Connect with sslmode=verify-full.",
            Self::TransactionLost => "Roll back, then try again.",
            Self::Revoked => "Run it again to learn what the current policies say.",
            Self::AnswerTooLarge(_) => "Ask for fewer rows or columns, or raise limits.session.answer_bytes_max.",
            Self::MessageTooLarge(_) => "Send the statements one by one; a COPY beside others comes first.",
            Self::PortalTooLarge => {
                "Read waiting portals to their end first, or raise limits.session.portal_bytes_max."
            }
            Self::TooManyStatements => "Close prepared statements that are no longer used.",
            Self::TooManyPortals => "Close portals that are no longer used.",
            Self::ArgumentType(_) => "Write the value in the parameter's own type, as a string without a cast.",
            Self::FetchFromPortal(_) => "Fetch from it with the protocol's Execute message.",
            Self::NoDatabase(_) => {
                "The name of a database is the name of an entry of \"databases\" in the gateway's settings."
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Violation(_)
                | Self::OutOfPlace
                | Self::Version(_)
                | Self::NoUser
                | Self::PlaintextRefused
                | Self::Replication
                | Self::NoDatabase(_)
                | Self::ShuttingDown
                | Self::Idle
                | Self::IdleInTransaction
        )
    }
}

/// The rule, where it is written, and what in the statement offends it.
fn why(reason: &Reason) -> String {
    let place = reason.at.map_or_else(String::new, |at| format!(" ({at})"));
    let rule = &reason.rule;
    match reason.detail.trim_end_matches('.') {
        "" => format!("Refused by {rule}{place}."),
        detail => format!("Refused by {rule}: {detail}{place}."),
    }
}

/// An error that may be shown to the client, of whatever room.
pub(super) type Shown = Box<dyn ClientError + Send>;

/// Why something did not come to its end.
pub(super) enum Failure {
    /// To be answered; the session goes on.
    Statement(Shown),
    /// The session ends.
    Session(End),
}

/// How a session ends.
pub(super) enum End {
    /// The client said good-bye.
    Terminated,
    /// The client went away without a word.
    Gone,
    /// With a last word to the client.
    Fatal(Shown),
}

impl Failure {
    pub(super) fn statement(error: impl ClientError + Send + 'static) -> Self {
        Self::Statement(Box::new(error))
    }
}

impl End {
    pub(super) fn fatal(error: impl ClientError + Send + 'static) -> Self {
        Self::Fatal(Box::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_fatal() { Self::Session(error.into()) } else { Self::statement(error) }
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::fatal(error)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::Session(end)
    }
}

impl From<wire::BrokenFrame> for Failure {
    fn from(_: wire::BrokenFrame) -> Self {
        Error::BrokenAnswer.into()
    }
}
