//! What a connector is handed: text that was printed from a checked tree, values, and how the session is set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

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
}

impl Query {
    /// The text to write down and to show.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, shown: _, parameter_types, gives, discreet } = self;
        let mut shown = formatter.debug_struct("Query");
        shown.field("text", &self.shown()).field("parameter_types", parameter_types).field("gives", gives);
        shown.field("discreet", discreet).finish()
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
