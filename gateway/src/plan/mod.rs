//! Resolve names, ask the policy, rewrite under its permit.

use std::sync::Arc;

use passgate_connectors::Query;
use passgate_policy::{Facts, Governed, Identity, Permit, Permitted, Request, StatementDigest, TableUse};

use crate::catalog::Snapshot;
use crate::error::ClientError;
use crate::statement::Statement;

/// A statement whose every name is resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    digest: StatementDigest,
    tables: Vec<TableUse>,
}

impl Governed for Plan {
    fn digest(&self) -> StatementDigest {
        self.digest
    }
}

impl Plan {
    /// The tables referenced.
    pub fn tables(&self) -> &[TableUse] {
        &self.tables
    }
}

/// A name that does not resolve (42P01, 42883, 3F000) or a form that cannot be planned (0A000).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// What.
    pub message: String,
    /// Where.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        self.sqlstate
    }

    fn message(&self) -> String {
        self.message.clone()
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Resolves every name of a query, an EXPLAIN or a write against the snapshot. Pure.
pub fn resolve(_statement: &Statement, _snapshot: &Snapshot) -> Result<Plan, Error> {
    Err(Error { sqlstate: "0A000", message: "not yet".to_owned(), detail: None, hint: None })
}

/// What the policy is asked.
pub fn request(_plan: &Plan, _identity: &Arc<Identity>, _facts: Facts) -> Result<Request, Error> {
    Err(Error { sqlstate: "0A000", message: "not yet".to_owned(), detail: None, hint: None })
}

/// Meets every obligation and prints the text for the source.
pub fn rewrite(_plan: Plan, _permit: Permit, _parameter_types: Vec<u32>) -> Result<Permitted<Query>, Error> {
    Err(Error { sqlstate: "0A000", message: "not yet".to_owned(), detail: None, hint: None })
}
