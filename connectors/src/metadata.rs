//! What a source says it holds: the raw material of the gateway's catalog.

/// Everything read in one crawl.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The server's version, as it names itself.
    pub server_version: String,
    /// Tables, views and the like.
    pub relations: Vec<Relation>,
    /// Functions that are not built in.
    pub functions: Vec<Function>,
}

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A table, a partitioned table or a foreign table.
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
}

/// A table or view.
#[derive(Clone, Debug)]
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
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, exactly as the source has it.
    pub name: String,
    /// Type, as PostgreSQL's `format_type` writes it.
    pub type_name: String,
    /// The type's oid.
    pub type_oid: u32,
    /// The comment on it.
    pub comment: Option<String>,
}

/// A function that is not built in.
#[derive(Clone, Debug)]
pub struct Function {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Argument types, as `format_type` writes them.
    pub arguments: Vec<String>,
}
