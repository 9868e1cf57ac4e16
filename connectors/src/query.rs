//! What a connector is handed: text that was printed from a checked tree, values, and how the session is set.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use passgate_policy::Template;

/// A statement in the source's own dialect. Only ever seen inside a `Permitted`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The text to send: exactly one statement.
    pub text: String,
    /// The text to write down and to show, where the other has something secret in it.
    pub shown: Option<String>,
    /// Types the client declared for parameters, by oid; 0 leaves the choice to the server.
    pub parameter_types: Vec<u32>,
    /// What comes of it.
    pub gives: Gives,
    /// Whether what the server says of it, in errors and notices, may hold values that the person must not learn.
    pub discreet: bool,
    /// Where parameters stand in the text of a template, in order; of any other query none.
    pub gaps: Vec<Gap>,
}

/// A parameter in the text of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The bytes of the text that it takes up.
    pub bytes: Range<usize>,
    /// Which one it is, from 0.
    pub parameter: usize,
}

/// A constant as it stands in SQL: a number of digits and at most one point, or a string between quotes. What would be
/// read differently under any setting of a server, or in any place, is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant(Box<str>);

/// The longest constant, in bytes.
const CONSTANT_BYTES_MAX: usize = 256;
/// The longest number among them.
const NUMBER_BYTES_MAX: usize = 18;

impl Constant {
    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        let is_constant = match text.strip_prefix('\'') {
            Some(rest) => rest.strip_suffix('\'').is_some_and(is_plain),
            None => is_number(text),
        };
        is_constant.then(|| Self(text.into()))
    }

    /// As it stands in SQL.
    pub fn as_sql(&self) -> &str {
        &self.0
    }
}

/// Whether a string is its own text, whatever may escape in strings.
fn is_plain(text: &str) -> bool {
    text.len() <= CONSTANT_BYTES_MAX
        && !text.contains(|character: char| matches!(character, '\'' | '\\') || character.is_control())
}

fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= NUMBER_BYTES_MAX && digits(whole) && digits(fraction)
}

impl Template for Query {
    type Values = [Constant];

    /// The query with constants in the place of its parameters: as many as there are, each of them at least once.
    fn filled(&self, constants: &[Constant]) -> Option<Self> {
        let parameters = self.gaps.iter().map(|gap| gap.parameter + 1).max().unwrap_or(0);
        if self.shown.is_some() || parameters != constants.len() {
            return None;
        }
        let more: usize = constants.iter().map(|constant| constant.as_sql().len()).sum();
        let mut text = String::with_capacity(self.text.len() + more);
        let mut end = 0;
        for gap in &self.gaps {
            text.push_str(self.text.get(end..gap.bytes.start)?);
            text.push_str(constants.get(gap.parameter)?.as_sql());
            end = gap.bytes.end;
        }
        text.push_str(self.text.get(end..)?);
        Some(Self { text, shown: None, parameter_types: Vec::new(), gaps: Vec::new(), ..*self })
    }
}

impl Query {
    /// The text to write down and to show.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, shown: _, parameter_types, gives, discreet, gaps } = self;
        let mut shown = formatter.debug_struct("Query");
        shown.field("text", &self.shown()).field("parameter_types", parameter_types).field("gives", gives);
        shown.field("discreet", discreet).field("gaps", gaps).finish()
    }
}

/// What comes of a query that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gives {
    /// Rows.
    #[default]
    Rows,
    /// A copy: [`Batch::Copied`](crate::Batch::Copied).
    Copy,
    /// Nothing but its end; it opens a cursor that lives as long as the transaction.
    Cursor,
    /// The same, with a cursor that lives as long as the connection. The connection serves nobody else until
    /// [`Control::CloseCursors`].
    HeldCursor,
}

/// How a value is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// As text.
    #[default]
    Text,
    /// In the type's binary form.
    Binary,
}

/// Values for one run of a query.
#[derive(Clone, Debug, Default)]
pub struct Bind {
    /// How each parameter is written: none for all text, one for all, or one each.
    pub parameter_formats: Vec<Format>,
    /// Parameter values; `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// How each result column is wanted: none for all text, one for all, or one each.
    pub result_formats: Vec<Format>,
    /// Whether the client keeps the statement, to run it again.
    pub kept: bool,
}

/// Types of a query, as PostgreSQL frames to be relayed.
#[derive(Clone, Debug)]
pub struct Description {
    /// Parameter type oids.
    pub parameters: Vec<u32>,
    /// The whole RowDescription message (type byte, length, body); `None` when the query returns no rows.
    pub fields: Option<Bytes>,
}

/// Settings a client may change, as they should be on the connection: name in lower case, value as text.
/// Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionSettings(pub Arc<BTreeMap<String, String>>);

impl FromIterator<(String, String)> for SessionSettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(settings: I) -> Self {
        Self(Arc::new(settings.into_iter().collect()))
    }
}

/// Transaction control: names are quoted by the connector, so nothing here is SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Begins a read-only transaction.
    Begin {
        /// The isolation level asked for.
        isolation: Option<Isolation>,
        /// Whether it may wait for a moment in which it cannot fail (DEFERRABLE).
        deferrable: bool,
    },
    /// Commits.
    Commit,
    /// Rolls back.
    Rollback,
    /// Sets a savepoint.
    Savepoint(String),
    /// Releases a savepoint.
    Release(String),
    /// Rolls back to a savepoint.
    RollbackTo(String),
    /// Closes a cursor.
    CloseCursor(String),
    /// Closes every cursor, held ones too.
    CloseCursors,
}

/// A transaction's isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED, which PostgreSQL treats as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

/// Where a connection stands, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction (`I`).
    Idle,
    /// In a transaction (`T`).
    Open,
    /// In a failed transaction (`E`).
    Failed,
}

/// What the server answered when asked who it is serving.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Witness {
    /// `session_user`.
    pub session_user: String,
    /// `current_user`.
    pub current_user: String,
}
