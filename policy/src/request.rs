//! What is asked: everything a rule may look at, and nothing it would have to fetch.
//!
//! The gateway fills a [`Request`] from the resolved statement and the session before it asks for a decision, so
//! deciding is a pure function of its arguments.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Lists every setting of the session (`SHOW ALL`). It reads nothing, so it can only be blocked.
    ShowAll,
    /// Asks the catalog and names a column of access privileges, `relacl` and its like. It can only be blocked, too.
    ShowPrivileges,
}

impl StatementKind {
    /// The word for it, as policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Explain => "explain",
            Self::Write => "write",
            Self::ShowAll => "show_all",
            Self::ShowPrivileges => "show_privileges",
        }
    }
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

name_type!(
    /// A word of classification, such as `pii.ssn`: words joined by dots, the widest first.
    Tag
);

impl Tag {
    /// Whether a rule that names this tag means the other: it is the same, or a part of it (`pii` covers `pii.ssn`).
    pub fn covers(&self, other: &Self) -> bool {
        let rest = other.as_str().strip_prefix(self.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// What kind of relation a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// A table, a partitioned table or a foreign table.
    Table,
    /// A view: it holds nothing of its own, and is governed by governing what it reads.
    View,
    /// A materialised view: a copy of rows, which nothing below it governs any more.
    MaterializedView,
}

/// A table, and everything a rule may know of it.
#[derive(Clone, Debug)]
pub struct TableFacts {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: TableKind,
    /// Its columns, in order.
    pub columns: Vec<ColumnFacts>,
    /// Its tags: its own, and those of every table that it reads or whose rows its own belong to.
    pub tags: BTreeSet<Tag>,
    /// Those of `tags` that it has from what it reads only.
    pub inherited_tags: BTreeSet<Tag>,
    /// Tables whose rows its own rows belong to (by partitioning or inheritance), through every layer.
    pub parents: Vec<TableName>,
    /// Tables whose rows are answered with its own (by partitioning or inheritance), through every layer.
    pub children: Vec<TableName>,
    /// Tables that a view or a materialised view reads, through every layer, with their parents and children.
    pub reads: Vec<TableName>,
}

impl TableFacts {
    /// A table of which nothing but the name is known.
    pub fn named(name: TableName) -> Self {
        Self {
            name,
            kind: TableKind::Table,
            columns: Vec::new(),
            tags: BTreeSet::new(),
            inherited_tags: BTreeSet::new(),
            parents: Vec::new(),
            children: Vec::new(),
            reads: Vec::new(),
        }
    }

    /// A column by its exact name.
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A column, and everything a rule may know of it.
#[derive(Clone, Debug)]
pub struct ColumnFacts {
    /// Its name, exactly as the catalog has it.
    pub name: String,
    /// Its type, as PostgreSQL's `format_type` writes it.
    pub type_name: String,
    /// Its tags: its own, and, for a view, those of the columns it is made of.
    pub tags: BTreeSet<Tag>,
    /// Those of `tags` that it has from the columns it is made of only. A view is expanded and what it reads is masked,
    /// so nothing masks it once more for these; left empty, it is masked twice.
    pub inherited_tags: BTreeSet<Tag>,
}

/// One reference to a table.
#[derive(Clone, Debug)]
pub struct TableUse {
    /// The table.
    pub table: Arc<TableFacts>,
    /// Where the statement names it.
    pub at: Place,
    /// Tables it is built on (a view's own tables, a child's parents, a parent's children), through every layer.
    pub built_on: Arc<[Arc<TableFacts>]>,
}

impl TableUse {
    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.table.name
    }

    /// The table, then everything it is built on.
    pub fn closure(&self) -> impl Iterator<Item = &Arc<TableFacts>> {
        std::iter::once(&self.table).chain(self.built_on.iter())
    }
}

/// A column that can reach the answer, or a predicate that shapes it. Never left out; where the statement hides which
/// column is meant, every one that may be meant is here.
#[derive(Clone, Debug)]
pub struct ColumnUse {
    /// The table, as named in the statement or in a view that it reads.
    pub table: Arc<TableFacts>,
    /// The column.
    pub column: String,
    /// Whether it can reach the answer.
    pub in_answer: bool,
    /// Whether it is used to choose, join, group or order rows.
    pub in_predicate: bool,
    /// Where the statement uses it first.
    pub at: Place,
}

impl ColumnUse {
    /// The tables of which this is a column: the one that is named, and those that its rows also belong to or come from.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &TableName> {
        let TableFacts { name, parents, children, .. } = &*self.table;
        std::iter::once(name).chain(parents).chain(children)
    }
}

/// One call of a function.
#[derive(Clone, Debug)]
pub struct FunctionUse {
    /// The schema it resolves in; built-in functions are in `pg_catalog`.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The functions that the call can mean, each by its argument types, `date, integer`. Functions of one name differ
    /// in them. Empty for built-in functions, and where the catalog has none.
    pub forms: Vec<String>,
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

/// Relations of a FROM clause of which at least two are joined on none of their keys: each row of one may meet many of
/// the other. How many, only an estimate tells.
#[derive(Clone, Debug)]
pub struct Multiplied {
    /// The relations' names or aliases, as a reader of the statement knows them.
    pub relations: Vec<String>,
    /// Where the last of them stands.
    pub at: Place,
}

/// Work that a statement makes out of nothing: it would run long whatever the tables hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Of which kind.
    pub kind: WorkKind,
    /// How much, at most: rows, bytes, or an argument. Infinite where nothing ends it.
    pub amount: f64,
    /// Where it stands.
    pub at: Place,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkKind {
    /// Rows made by functions such as `generate_series`, multiplied where they are joined.
    GeneratedRows,
    /// Bytes of text made by functions such as `repeat`, for all rows.
    GeneratedBytes,
    /// A recursive query whose recursive part nothing ends.
    EndlessRecursion,
    /// A regular expression whose back-references make matching exponential.
    Backtracking,
    /// The argument of a factorial.
    Factorial,
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
    /// What the statement would cost.
    pub estimate: Estimate,
    /// How sure the translation of a question is, from 0 to 1; `None` for a statement that a person wrote.
    pub confidence: Option<f64>,
    /// Whether the person never ran a statement on the source before; `None` where that is not known.
    pub first_access_to_source: Option<bool>,
    /// What has been approved for this very statement.
    pub grants: Vec<Grant>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            now: 0,
            application_name: String::new(),
            client_address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            declared: BTreeMap::new(),
            estimate: Estimate::NotMade,
            confidence: None,
            first_access_to_source: None,
            grants: Vec::new(),
        }
    }
}

/// What is known of a statement's cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Estimate {
    /// Nobody asked yet. A rule that asks gets [`crate::Decision::Estimate`].
    #[default]
    NotMade,
    /// The source could not tell. It passes no threshold.
    Unknown,
    /// The source's estimate, each with the upper end of its range.
    Known(Costs),
}

/// An estimate: the upper ends of its ranges, which is what thresholds are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// United States dollars, where the source has a price.
    pub cost_usd: Option<f64>,
    /// Bytes read.
    pub bytes: Option<f64>,
    /// Rows answered.
    pub rows: Option<f64>,
    /// Rows of the step that handles the most; the source's own number.
    pub rows_of_largest_step: Option<f64>,
    /// Rows that all scans of tables give together; the source's own number.
    pub rows_read: Option<f64>,
}

impl Costs {
    /// What costs nothing.
    pub const NOTHING: Self = Self {
        cost_usd: Some(0.0),
        bytes: Some(0.0),
        rows: Some(0.0),
        rows_of_largest_step: Some(0.0),
        rows_read: Some(0.0),
    };
}

name_type!(
    /// The name of a held statement's ticket.
    TicketId
);

/// An approval that somebody gave for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The ticket.
    pub ticket: TicketId,
    /// The name of the policy that asked for it.
    pub policy: Arc<str>,
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
    /// Every column that can reach the answer or shape it, once per column.
    pub columns: Vec<ColumnUse>,
    /// Every function called.
    pub functions: Vec<FunctionUse>,
    /// Relations that nothing links.
    pub unlinked: Vec<Unlinked>,
    /// Everything that is not a read.
    pub writes: Vec<Write>,
    /// The relations of a FROM clause that are joined, but on no key of all but one: rows may be multiplied.
    pub multiplied: Vec<Multiplied>,
    /// Work that it makes out of nothing, where it is worth speaking of.
    pub work: Vec<Work>,
    /// Whether it takes a whole table away: no limit, no aggregate, no predicate.
    pub full_export: bool,
    /// Whether it asks the catalog, and so reads no rows of the source. What it may learn is what [`crate::visible`]
    /// says: nothing limits, holds or comments on it, but it can be blocked.
    pub of_catalog: bool,
    /// Tables that a redirect has put others in place of. A statement is redirected once.
    pub redirected: Vec<TableName>,
    /// The moment and the session.
    pub facts: Facts,
}

impl Request {
    /// A question about a statement that reads nothing.
    pub fn new(statement: StatementDigest, kind: StatementKind, source: SourceName, identity: Arc<Identity>) -> Self {
        Self {
            statement,
            kind,
            source,
            identity,
            tables: Vec::new(),
            columns: Vec::new(),
            functions: Vec::new(),
            unlinked: Vec::new(),
            writes: Vec::new(),
            multiplied: Vec::new(),
            work: Vec::new(),
            full_export: false,
            of_catalog: false,
            redirected: Vec::new(),
            facts: Facts::default(),
        }
    }
}
