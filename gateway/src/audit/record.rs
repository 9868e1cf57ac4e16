//! One line of the log.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody signed in, or tried to.
    SignIn,
    /// A statement.
    Statement,
    /// A statement was typed for a client, and not run.
    Describe,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded before it ran; a line with the outcome follows.
    Started,
    /// It ran to its end.
    Ok,
    /// The policy, or the sign-in, refused it.
    Denied,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// The client went away.
    Abandoned,
}

/// The part known before a statement runs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Record {
    /// What happened.
    pub event: Event,
    /// The statement's id: unique, sortable by time. For sign-ins the session's.
    pub statement_id: String,
    /// The person: as proven, or, for a refused sign-in, as claimed.
    pub user: String,
    /// Their tenant.
    pub tenant: String,
    /// The session.
    pub session_id: String,
    /// How they signed in.
    pub authentication_method: String,
    /// The client's address.
    pub client_address: String,
    /// `application_name`.
    pub application_name: String,
    /// The question in plain language, where the statement came from one.
    pub question: Option<String>,
    /// What the statement is for: `query`, `explain`, `set`, `transaction`, ...
    pub intent: String,
    /// The source it was meant for.
    pub source: Option<String>,
    /// The statement as the client wrote it.
    pub query: Option<String>,
    /// Its parameters, as the settings allow.
    pub parameters: Option<Vec<serde_json::Value>>,
    /// What the policy said: `allowed`, `denied`, `not_checked` with why.
    pub validation: String,
    /// The text sent to the source.
    pub rewritten: Option<String>,
    /// Tables referenced.
    pub tables: Vec<String>,
    /// The policies in force.
    pub policy_revision: Option<String>,
    /// Rules that fired, with file and line.
    pub rules: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rows answered.
    pub rows: u64,
    /// Bytes answered.
    pub bytes: u64,
    /// How it ended; `None` is [`Status::Abandoned`].
    pub status: Option<Status>,
    /// The SQLSTATE where it failed.
    pub sqlstate: Option<String>,
    /// The error's message where it failed.
    pub error: Option<String>,
}
