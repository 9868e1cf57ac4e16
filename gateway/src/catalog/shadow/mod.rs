//! The shadow: a database that holds what one person may see of a source, without a row in it, so that a real PostgreSQL
//! answers what clients ask of its catalogs.
//!
//! ```text
//! Snapshot × Visibility ── scope: what is shown ──► schemas, types, functions, sequences, tables, keys, views ──► Script
//! ```
//!
//! Emulated catalogs fail clients, because answers depend on types, functions and joins that nobody can imitate piece by
//! piece. What is not made does not exist there, so nothing can tell of it: no function, no oid, no error's words.
//!
//! Everything here is pure. The texts are those of the source's own server wherever it gives one (a constraint, an
//! index, a view), so that they come back out of the shadow as they are. Each statement stands alone: what cannot be made
//! is missing, and nothing else.

mod scope;
mod tables;
#[cfg(test)]
mod tests;
mod types;
mod views;
mod visibility;
mod words;

use passgate_connectors::{Script, Statement};

pub use visibility::{Visibility, VisibleColumns, VisibleRelation};

use super::Snapshot;
use scope::Scope;
use words::{literal, quoted};

/// The statements that make a database of what is seen of a source.
pub fn script(snapshot: &Snapshot, visibility: &Visibility) -> Script {
    let scope = Scope::new(snapshot, visibility);
    // Bodies of functions are not shown, and what stands in their place need not make sense.
    let mut statements = vec![Statement::from("SET check_function_bodies = off".to_owned())];
    types::schemas(&scope, &mut statements);
    types::types(&scope, &mut statements);
    types::functions(&scope, false, &mut statements);
    tables::sequences(&scope, &mut statements);
    tables::tables(&scope, &mut statements);
    tables::owners_of_sequences(&scope, &mut statements);
    types::functions(&scope, true, &mut statements);
    tables::constraints(&scope, &mut statements);
    views::views(&scope, &mut statements);
    statements.extend(scope.schemas.iter().flat_map(|schema| read_only(schema)).map(Statement::from));
    // What somebody wrote about what is seen may name what is not.
    statements
        .retain(|statement| !statement.texts().any(|text| text.starts_with("COMMENT ") && scope.is_told_by(text)));
    let (estimated, estimates) = estimates(&scope);
    Script::new(statements, estimates.into_iter().collect(), &estimated)
}

/// Has privileges say what is so: everything can be read and nothing written. Owning it, the reader still sees the keys
/// and references of the information schema, which PostgreSQL hides from those who may only read.
fn read_only(schema: &str) -> [String; 3] {
    let schema_quoted = quoted(schema);
    let owner = if schema == "public" { "CURRENT_USER, pg_database_owner" } else { "CURRENT_USER" };
    [
        format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema_quoted} FROM CURRENT_USER"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema_quoted} TO CURRENT_USER"),
        format!("REVOKE CREATE ON SCHEMA {schema_quoted} FROM {owner}"),
    ]
}

/// Puts the source's estimates where a server keeps its own, for tables where they may be shown, and says of
/// materialised views that they have been filled. Their names come first.
fn estimates(scope: &Scope<'_>) -> (Vec<String>, Option<Statement>) {
    const PAGE_BYTES: f64 = 8192.0;
    let of_relation = |shown: &scope::Shown<'_>| {
        let relation = shown.relation;
        let rows = relation.rows.filter(|_| shown.seen.statistics)?;
        let pages = (relation.bytes.unwrap_or(0.0) / PAGE_BYTES).clamp(0.0, f64::from(i32::MAX)).floor();
        let name = format!("{}, {}", literal(&relation.schema), literal(&relation.name));
        let value = format!("({name}, {rows}::pg_catalog.float4, {pages}::pg_catalog.int4)");
        Some((name, value))
    };
    let (names, values): (Vec<String>, Vec<String>) = scope.relations.iter().filter_map(of_relation).unzip();
    let statement = (!values.is_empty()).then(|| {
        let values = values.join(", ");
        let text = format!(
            "UPDATE pg_catalog.pg_class c SET reltuples = v.tuples, relpages = v.pages, relispopulated = true \
             FROM (VALUES {values}) AS v (nspname, relname, tuples, pages), pg_catalog.pg_namespace n \
             WHERE n.nspname = v.nspname::pg_catalog.name AND c.relnamespace = n.oid AND c.relname = v.relname::pg_catalog.name"
        );
        text.into()
    });
    (names, statement)
}
