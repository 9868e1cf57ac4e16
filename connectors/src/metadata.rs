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
    /// How many of the last arguments may be left out.
    pub defaults: usize,
    /// Whether the last argument takes any number of values.
    pub variadic: bool,
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
