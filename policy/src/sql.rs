//! The SQL that a policy may hold: predicates of filters and expressions of masks.
//!
//! This package knows no SQL. Whoever compiles policies hands in a reader, and the gateway hands in its own, so that a
//! predicate is held to the same grammar as a person's statement, and a fault is found when the policy is loaded.

use std::collections::BTreeSet;

/// Reads SQL expressions.
pub trait Sql {
    /// Reads one expression over the columns of a table and the attributes of a person.
    fn read(&self, text: &str) -> Result<SqlUse, SqlFault>;

    /// Whether hashes can be shown: they are made with a secret, which somebody has to have set.
    fn hashes(&self) -> bool {
        true
    }
}

/// What an expression uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlUse {
    /// Columns, by exact name.
    pub columns: BTreeSet<String>,
    /// Attributes of the person, by path: `user.tenant`, `user.claims.region`.
    pub attributes: BTreeSet<String>,
}

/// Why a text is no expression that a policy may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// Reads nothing: for policies that hold no SQL.
#[derive(Clone, Copy, Debug)]
pub struct NoSql;

impl Sql for NoSql {
    fn read(&self, _: &str) -> Result<SqlUse, SqlFault> {
        Err(SqlFault { message: "SQL cannot be read here".to_owned(), suggestion: None })
    }
}
