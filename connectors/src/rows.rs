//! What comes back: frames to be relayed, or why there are none.

use bytes::Bytes;

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum Batch {
    /// The whole RowDescription message; comes first, and not at all for a statement without rows.
    Fields(Bytes),
    /// Whole DataRow messages, one after the other, undecoded.
    Rows {
        /// The bytes.
        frames: Bytes,
        /// How many rows they are.
        rows: u64,
    },
    /// Whole messages of a copy to the client, one after the other, undecoded: CopyOutResponse, CopyData, CopyDone.
    Copied(Bytes),
    /// A notice.
    Notice(ServerMessage),
    /// The end: the command tag, such as `SELECT 3`.
    Done {
        /// The tag.
        tag: String,
    },
}

/// An error or notice as a PostgreSQL server words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// `ERROR`, `FATAL`, `WARNING`, ...
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// Which character of the text that the server was sent it is about, from 1: not the text that a client wrote.
    pub position: Option<u32>,
}

/// Why a connector could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused or failed the statement; the connection is still good.
    #[error("{}", .0.message)]
    Server(ServerMessage),
    /// The server cannot be reached, or the connection was lost (08006 / 08001).
    #[error("connection to source \"{source_name}\" failed: {cause}")]
    Connection {
        /// The source.
        source_name: String,
        /// What happened, without any secret.
        cause: String,
    },
    /// The server did not take the person's credential (28000).
    #[error("source \"{source_name}\" refused the sign-in of \"{role}\": {cause}")]
    SignIn {
        /// The source.
        source_name: String,
        /// As whom.
        role: String,
        /// The server's words.
        cause: String,
    },
    /// The server serves somebody else than we asked for (28000).
    #[error("source \"{source_name}\" serves \"{found}\", not \"{expected}\"")]
    Witness {
        /// The source.
        source_name: String,
        /// Whom we wanted.
        expected: String,
        /// Whom the server named.
        found: String,
    },
    /// No role of the source belongs to this person (28000).
    #[error("no role of source \"{source_name}\" belongs to this person: {cause}")]
    NoRole {
        /// The source.
        source_name: String,
        /// What is missing.
        cause: String,
    },
    /// No connection became free in time (53300).
    #[error("no connection to source \"{source_name}\" became free within {waited_ms} ms")]
    Busy {
        /// The source.
        source_name: String,
        /// How long we waited.
        waited_ms: u64,
    },
    /// The source has no service login and nobody is signed in, so its tables cannot be read yet.
    #[error("source \"{source_name}\" has no login of its own to read its catalog with")]
    NoCrawlLogin {
        /// The source.
        source_name: String,
    },
    /// The source holds more than the settings let us read (54000).
    #[error("source \"{source_name}\" has more than {relations_max} {what}")]
    CatalogTooLarge {
        /// The source.
        source_name: String,
        /// Of what there are too many.
        what: &'static str,
        /// The setting `relations_max`.
        relations_max: usize,
    },
    /// The server said something the protocol does not allow (08P01).
    #[error("source \"{source_name}\" broke the protocol: {cause}")]
    Protocol {
        /// The source.
        source_name: String,
        /// What it did.
        cause: String,
    },
}
