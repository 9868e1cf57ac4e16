//! What a source says it holds: the raw material of the gateway's catalog.
//!
//! Rules need to know what is read; clients that look at a catalog want to see all of it. What only they want is marked
//! as such, and may be missing where a source does not tell it. Definitions are the server's own words for them, with
//! every name that is not built in qualified.

mod types;

pub use types::{Check, CompositeColumn, Schema, Sequence, Type, TypeForm};

/// Everything read in one crawl.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The server's version, as it names itself.
    pub server_version: String,
    /// Tables, views and the like.
    pub relations: Vec<Relation>,
    /// Functions that are not built in.
    pub functions: Vec<Function>,
    /// Schemas, those without a table too. For clients.
    pub schemas: Vec<Schema>,
    /// Types that are not built in, without those that a table's rows or an array have. For clients.
    pub types: Vec<Type>,
    /// Sequences. For clients.
    pub sequences: Vec<Sequence>,
}

/// How far a crawl is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What has been read.
    pub what: &'static str,
    /// How many of them.
    pub rows: usize,
    /// Which part of the crawl that was, from 1 on.
    pub part: usize,
    /// How many parts there are.
    pub parts: usize,
}

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelationKind {
    /// A table, a partitioned table or a foreign table.
    #[default]
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
}

/// A table or view.
#[derive(Clone, Debug, Default)]
pub struct Relation {
    /// Schema, exactly as the source has it.
    pub schema: String,
    /// Name, exactly as the source has it.
    pub name: String,
    /// Table or view.
    pub kind: RelationKind,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// The comment on it.
    pub comment: Option<String>,
    /// Relations it directly reads or inherits from, as (schema, name).
    pub built_on: Vec<(String, String)>,
    /// Keys under which at most one row is found: primary keys and unique indexes without expressions, by column name.
    pub unique_keys: Vec<Vec<String>>,
    /// What a view or materialised view is defined as: one SELECT with every name that is not built in qualified. None
    /// where the source does not tell, or where it is longer than anybody writes.
    pub definition: Option<String>,
    /// Functions that a view calls and that are not built in, as (schema, name): directly, or through operators, casts
    /// and the checks of domains. Servers do not tell which built-in functions a view calls.
    pub calls: Vec<(String, String)>,
    /// How many rows it holds, as the server last estimated.
    pub rows: Option<f64>,
    /// How many bytes its rows take, as the server last counted.
    pub bytes: Option<f64>,
    /// What clients want to know beside that.
    pub details: Details,
}

/// What only clients that look at a catalog want to know of a relation.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Its oid, that of its rows' type, and that of arrays of its rows.
    pub oids: Oids,
    /// Whether it is a table whose content a crash loses.
    pub unlogged: bool,
    /// How a partitioned table is divided, such as `RANGE (day)`.
    pub partition_key: Option<String>,
    /// Which part of its parent a partition holds, such as `FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`.
    pub partition_bound: Option<String>,
    /// The parents of a table in the order in which it names them, as (schema, name).
    pub parents: Vec<(String, String)>,
    /// Its options, such as `fillfactor=70`.
    pub options: Vec<String>,
    /// Keys, references and checks.
    pub constraints: Vec<Constraint>,
    /// Indexes that are not a constraint's.
    pub indexes: Vec<Index>,
}

/// Numbers by which a source's answers call a relation or type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oids {
    /// Of the relation itself; 0 for what is a type only.
    pub relation: u32,
    /// Of its type.
    pub row: u32,
    /// Of arrays of that type; 0 where there is none.
    pub array: u32,
}

/// A column.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Name, exactly as the source has it.
    pub name: String,
    /// Type, as PostgreSQL's `format_type` writes it.
    pub type_name: String,
    /// The type's oid.
    pub type_oid: u32,
    /// The comment on it.
    pub comment: Option<String>,
    /// Its number, as the source counts; columns that were dropped are counted. 0 where it is not known.
    pub number: i16,
    /// Whether it is never NULL.
    pub not_null: bool,
    /// Its default, or what it is generated from.
    pub default: Option<String>,
    /// How it is filled.
    pub filled: Filled,
    /// Its collation, as SQL names it, where that is not its type's own.
    pub collation: Option<String>,
    /// Whether the table has it only from its parents.
    pub inherited: bool,
}

/// How a column is filled where nobody gives a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filled {
    /// With its default.
    #[default]
    ByDefault,
    /// With the next of a sequence, which a given value replaces.
    IdentityByDefault,
    /// With the next of a sequence, always.
    IdentityAlways,
    /// With what its expression gives.
    Generated,
}

/// A constraint of a table.
#[derive(Clone, Debug, Default)]
pub struct Constraint {
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: ConstraintKind,
    /// Its definition, such as `PRIMARY KEY (id)`.
    pub definition: String,
    /// The columns of its own table that it names; none where one of them cannot be told by its name.
    pub columns: Option<Vec<String>>,
    /// What a foreign key refers to.
    pub refers_to: Option<Reference>,
    /// The key of the parent table that the key of a partition is a part of, as (schema, name of its index).
    pub part_of: Option<(String, String)>,
    /// The comment on it.
    pub comment: Option<String>,
}

/// What kind of constraint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConstraintKind {
    /// A primary key.
    #[default]
    PrimaryKey,
    /// A key.
    Unique,
    /// A reference to another table.
    ForeignKey,
    /// A condition on each row.
    Check,
    /// A condition on every two rows.
    Exclusion,
}

/// What a foreign key refers to.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// An index that no constraint made.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Name.
    pub name: String,
    /// The statement that makes it.
    pub definition: String,
    /// The columns that it is on, or that its expressions and predicate name.
    pub columns: Vec<String>,
    /// Whether it is on columns only, and on every row.
    pub is_plain: bool,
    /// The index of the parent table that this one is a part of, as (schema, name).
    pub part_of: Option<(String, String)>,
    /// The comment on it.
    pub comment: Option<String>,
}

/// A function that is not built in.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Argument types, as `format_type` writes them.
    pub arguments: Vec<String>,
    /// How many of the last arguments may be left out.
    pub defaults: usize,
    /// Whether the last argument takes any number of values.
    pub variadic: bool,
    /// What clients want to know beside that.
    pub details: FunctionDetails,
}

/// What only clients that look at a catalog want to know of a function.
#[derive(Clone, Debug, Default)]
pub struct FunctionDetails {
    /// Its arguments as a declaration has them, with names and defaults.
    pub signature: String,
    /// What it returns, as a declaration has it; none for a procedure.
    pub result: Option<String>,
    /// The oids of its argument and result types.
    pub types: Vec<u32>,
    /// Whether it is a function or a procedure, as SQL calls the two; none for aggregates and window functions.
    pub word: Option<&'static str>,
    /// Its language.
    pub language: String,
    /// `IMMUTABLE`, `STABLE` or `VOLATILE`.
    pub volatility: &'static str,
    /// Whether it is NULL where an argument is.
    pub strict: bool,
    /// Whether it came with an extension.
    pub of_extension: bool,
    /// The comment on it.
    pub comment: Option<String>,
}

impl Function {
    /// Whether a call with so many arguments can mean this function.
    pub fn takes(&self, arguments: usize) -> bool {
        let all = self.arguments.len();
        let least = all.saturating_sub(self.defaults);
        // A call may also leave the last argument of VARIADIC out, or name it.
        arguments >= least.saturating_sub(usize::from(self.variadic)) && (arguments <= all || self.variadic)
    }
}
