//! What is asked: everything a rule may look at, and nothing it would have to fetch.
//!
//! The gateway fills a [`Request`] from the resolved statement and the session before it asks for a decision, so
//! deciding is a pure function of its arguments.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::Identity;
use crate::identity::name_type;

name_type!(
    /// The name of a source, as the settings file gives it.
    SourceName
);

/// The fingerprint of a resolved statement. A [`crate::Permit`] is good for the statement it was made for only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatementDigest(pub [u8; 32]);

impl fmt::Debug for StatementDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A place in the statement as the client wrote it; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// What a statement does, as far as rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementKind {
    /// Reads rows.
    Query,
    /// Shows how a query would run.
    Explain,
    /// Writes, locks, defines or calls: anything that is not a read.
    Write,
}

/// A table as the gateway's catalog names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The source it lives in.
    pub source: SourceName,
    /// Its schema, exactly as the catalog has it (case matters).
    pub schema: String,
    /// Its name, exactly as the catalog has it (case matters).
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.table)
    }
}

/// One reference to a table.
#[derive(Clone, Debug)]
pub struct TableUse {
    /// The table.
    pub table: TableName,
    /// Where the statement names it.
    pub at: Place,
    /// Tables it is built on (a view's own tables, a child's parents), through every layer.
    pub built_on: Arc<[TableName]>,
}

/// One call of a function.
#[derive(Clone, Debug)]
pub struct FunctionUse {
    /// The schema it resolves in; built-in functions are in `pg_catalog`.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether it is built in and known to only compute: no side effect, file, network, lock, sleep, or SQL in text.
    /// Always false outside `pg_catalog`.
    pub pure: bool,
    /// Where it is called.
    pub at: Place,
}

/// A relation of a FROM clause that no predicate links to the others.
#[derive(Clone, Debug)]
pub struct Unlinked {
    /// The relation's name or alias, as a reader of the statement knows it.
    pub relation: String,
    /// The relations it should be linked to.
    pub others: Vec<String>,
    /// Where it stands.
    pub at: Place,
}

/// Something in a statement that is not a read.
#[derive(Clone, Debug)]
pub struct Write {
    /// The command or clause, as PostgreSQL names it: `INSERT`, `SELECT INTO`, `FOR UPDATE`.
    pub command: &'static str,
    /// Where it stands.
    pub at: Place,
}

/// What is known about the moment and the session.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The moment of the decision, in seconds since 1970-01-01 UTC.
    pub now: i64,
    /// `application_name` of the session.
    pub application_name: String,
    /// The client's address.
    pub client_address: IpAddr,
    /// Session settings people declare, such as `passgate.purpose`.
    pub declared: BTreeMap<String, String>,
}

/// One question to the policy: may this person run this statement now?
#[derive(Clone, Debug)]
pub struct Request {
    /// The statement's fingerprint.
    pub statement: StatementDigest,
    /// What kind it is.
    pub kind: StatementKind,
    /// The source it would run on.
    pub source: SourceName,
    /// Who asks.
    pub identity: Arc<Identity>,
    /// Every table referenced, in the order of the statement, once per reference.
    pub tables: Vec<TableUse>,
    /// Every function called.
    pub functions: Vec<FunctionUse>,
    /// Relations that nothing links.
    pub unlinked: Vec<Unlinked>,
    /// Everything that is not a read.
    pub writes: Vec<Write>,
    /// The moment and the session.
    pub facts: Facts,
}
