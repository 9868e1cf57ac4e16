//! What the generator may name, read from both databases: so a change of the schema needs no change here.
//!
//! A value that the truth holds and the safe twin does not is what the policy keeps from the person. Such values become
//! the constants of the queries, because an answer that depends on them is a leak, and traps: expressions that raise an
//! error for that value only, such as a division by zero.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::Client;

/// What can be compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Integer,
    Text,
    Number,
    Date,
    Moment,
    Truth,
    Class,
    Texts,
    Document,
    /// A whole row.
    Record,
    /// Something that has no order and no equality, such as `json`.
    Opaque,
}

impl Kind {
    /// What a query can be asked to give.
    pub(crate) const PLAIN: [Self; 9] = [
        Self::Integer,
        Self::Text,
        Self::Number,
        Self::Date,
        Self::Moment,
        Self::Truth,
        Self::Class,
        Self::Texts,
        Self::Document,
    ];

    fn of_type(name: &str) -> Self {
        match name {
            "int4" | "int8" => Self::Integer,
            "text" => Self::Text,
            "numeric" => Self::Number,
            "date" => Self::Date,
            "timestamp" | "timestamptz" => Self::Moment,
            "bool" => Self::Truth,
            "class" => Self::Class,
            "_text" => Self::Texts,
            "jsonb" => Self::Document,
            other => panic!("a type the generator does not know: {other}"),
        }
    }

    /// The type a literal of it is cast to; none where the gateway takes no such cast.
    pub(crate) fn type_name(self) -> Option<&'static str> {
        match self {
            Self::Integer => Some("int"),
            Self::Text => Some("text"),
            Self::Number => Some("numeric"),
            Self::Date => Some("date"),
            Self::Moment => Some("timestamptz"),
            Self::Truth => Some("boolean"),
            Self::Texts => Some("text[]"),
            Self::Document => Some("jsonb"),
            Self::Class | Self::Record | Self::Opaque => None,
        }
    }
}

/// What raises an error for a value that the person must not learn of, and for no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// Divide by the difference to this number.
    Number(String),
    /// Cast to a number.
    Cast,
}

/// A column of something.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Values it has in the truth, as text.
    pub(crate) values: Arc<[String]>,
    pub(crate) trap: Option<Trap>,
}

impl Column {
    /// A column of which only the kind is known.
    pub(crate) fn computed(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, values: Arc::from([]), trap: None }
    }
}

/// A table or view.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Whether it is no view, so that samples can be taken.
    pub(crate) stored: bool,
    pub(crate) columns: Vec<Column>,
    /// The column that is its primary key, where one is.
    pub(crate) key: Option<String>,
    /// Names of columns that the safe twin does not have.
    pub(crate) hidden: Vec<String>,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    /// What both databases hold.
    pub(crate) tables: Vec<Table>,
    /// What the safe twin does not hold.
    pub(crate) forbidden: Vec<Table>,
}

impl Catalog {
    /// The same without traps, for a database that keeps nothing from anybody.
    pub(crate) fn without_traps(&self) -> Self {
        let mut catalog = self.clone();
        catalog.tables.iter_mut().flat_map(|table| &mut table.columns).for_each(|column| column.trap = None);
        catalog
    }

    /// Compares the databases.
    pub(crate) async fn read(truth: &Client, safe: &Client) -> Self {
        let (mut tables, mut forbidden) = (Vec::new(), Vec::new());
        let safe_tables = relations(safe).await;
        let seen = all_values(safe, &safe_tables).await;
        for ((schema, name), (stored, columns)) in relations(truth).await {
            let Some((_, safe_columns)) = safe_tables.get(&(schema.clone(), name.clone())) else {
                let columns = columns.into_iter().map(|(name, kind)| Column::computed(name, kind)).collect();
                forbidden.push(Table { schema, name, stored, columns, key: None, hidden: Vec::new() });
                continue;
            };
            let key = primary_key(safe, &schema, &name).await;
            let mut table = Table { schema, name, stored, columns: Vec::new(), key, hidden: Vec::new() };
            for (column, kind) in columns {
                if !safe_columns.iter().any(|(known, _)| *known == column) {
                    table.hidden.push(column);
                    continue;
                }
                let values = values(truth, &table, &column).await;
                let trap = trap(kind, &values, &self::values(safe, &table, &column).await, &seen);
                table.columns.push(Column { name: column, kind, values: values.into(), trap });
            }
            tables.push(table);
        }
        assert!(tables.len() > 10, "the catalog is read");
        Self { tables, forbidden }
    }
}

type Relations = BTreeMap<(String, String), (bool, Vec<(String, Kind)>)>;

async fn relations(client: &Client) -> Relations {
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text, c.relkind IN ('r', 'p'), a.attname::text, t.typname::text \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             JOIN pg_type t ON t.oid = a.atttypid \
             WHERE n.nspname IN ('fleet', 'vault') AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1, 2, a.attnum",
            &[],
        )
        .await
        .expect("the catalog");
    let mut all = Relations::new();
    for row in rows {
        let (_, columns) = all.entry((row.get(0), row.get(1))).or_insert_with(|| (row.get(2), Vec::new()));
        columns.push((row.get(3), Kind::of_type(row.get(4))));
    }
    all
}

async fn primary_key(client: &Client, schema: &str, name: &str) -> Option<String> {
    let text = "SELECT a.attname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace \
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
                WHERE i.indisprimary AND i.indnatts = 1 AND n.nspname::text = $1 AND c.relname::text = $2";
    client.query_opt(text, &[&schema, &name]).await.expect("the key").map(|row| row.get(0))
}

/// Every value there is: a view may compute with rows that it does not show in the end.
async fn all_values(client: &Client, relations: &Relations) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for ((schema, name), (stored, columns)) in relations {
        let (schema, name) = (schema.clone(), name.clone());
        let table = Table { schema, name, stored: *stored, columns: Vec::new(), key: None, hidden: Vec::new() };
        for (column, _) in columns {
            all.extend(values(client, &table, column).await);
        }
    }
    all
}

async fn values(client: &Client, table: &Table, column: &str) -> Vec<String> {
    let quoted = |name: &str| format!("\"{name}\"");
    let (column, schema, name) = (quoted(column), quoted(&table.schema), quoted(&table.name));
    let text = format!("SELECT DISTINCT {column}::text FROM {schema}.{name} WHERE {column} IS NOT NULL ORDER BY 1");
    client.query(&text, &[]).await.expect("values").iter().map(|row| row.get(0)).collect()
}

fn trap(kind: Kind, truth: &[String], safe: &[String], seen: &BTreeSet<String>) -> Option<Trap> {
    let digits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        Kind::Integer | Kind::Number => truth.iter().find(|value| !seen.contains(*value)).cloned().map(Trap::Number),
        Kind::Text => (safe.iter().all(digits) && !truth.iter().all(digits)).then_some(Trap::Cast),
        _ => None,
    }
}
