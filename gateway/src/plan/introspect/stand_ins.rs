//! What a statement of the catalog reads in place of relations that would show more than a person's own: `stand_ins.txt`,
//! and every view of `information_schema` that names the database, which is called otherwise in the shadow.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::functions::STANDARD;
use crate::plan::{Error, statement};
use crate::statement::tree::Query;
use crate::statement::{Kind, Limits};

static STAND_INS: LazyLock<HashMap<String, Vec<StandIn>>> = LazyLock::new(|| {
    let mut known: HashMap<String, Vec<StandIn>> = HashMap::new();
    let blocks = include_str!("stand_ins.txt").split("\n\n").filter(|block| !block.starts_with('#'));
    for written in blocks.filter_map(Written::read).chain(Written::of_standard_views()) {
        let stand_in = StandIn { versions: written.versions.clone(), query: query(&written.sql()) };
        known.entry(written.relation).or_default().push(stand_in);
    }
    known
});

struct StandIn {
    versions: RangeInclusive<u32>,
    /// None if it cannot be read, which a test keeps from happening.
    query: Option<Query>,
}

/// What stands in for a relation in a version of PostgreSQL; nothing where it may be read as it is.
pub(super) fn stand_in(schema: &str, name: &str, version: u32) -> Result<Option<Query>, Error> {
    let Some(all) = STAND_INS.get(&format!("{schema}.{name}")) else { return Ok(None) };
    let of_version = all.iter().find(|stand_in| stand_in.versions.contains(&version));
    let query = of_version.and_then(|stand_in| stand_in.query.clone());
    query.map(Some).ok_or_else(|| Error::new("42501", format!("permission denied for table {name}")))
}

/// A query of our own, read like any other.
pub(super) fn query(text: &str) -> Option<Query> {
    let mut statements = statement::parse(text, &Limits::for_printed_text()).ok()?;
    match (statements.pop()?.kind, statements.is_empty()) {
        (Kind::Query(query), true) => Some(std::sync::Arc::unwrap_or_clone(query)),
        _ => None,
    }
}

/// A stand-in as it is written.
#[derive(Debug)]
struct Written {
    relation: String,
    versions: RangeInclusive<u32>,
    columns: Vec<String>,
    others: HashMap<String, String>,
    rows: Option<String>,
}

impl Written {
    fn read(block: &str) -> Option<Self> {
        let mut lines = block.lines();
        let (relation, versions) = lines.next()?.split_once(' ')?;
        let (from, to) = versions.split_once('-')?;
        let versions = from.parse().ok()?..=to.parse().ok()?;
        let (relation, others) = (relation.to_owned(), HashMap::new());
        let mut written = Self { relation, versions, columns: Vec::new(), others, rows: None };
        for line in lines.map(str::trim) {
            match line.split_once(' ')? {
                ("columns", columns) => {
                    for column in columns.split(' ') {
                        let (name, untold) = column.split_once(':').map_or((column, None), |(n, of)| (n, Some(of)));
                        written.columns.push(name.to_owned());
                        written.others.extend(untold.map(|of| (name.to_owned(), format!("NULL::{of}"))));
                    }
                }
                ("rows", rows) => written.rows = Some(rows.to_owned()),
                (column, expression) => {
                    written.others.insert(column.to_owned(), expression.strip_prefix("= ")?.to_owned());
                }
            }
        }
        Some(written)
    }

    /// The views of `information_schema`: their columns with the name of the database, where they are not NULL, hold the
    /// name by which clients know it.
    fn of_standard_views() -> impl Iterator<Item = Self> {
        let lines = include_str!("information_schema.txt").lines().filter_map(|line| line.split_once(' '));
        lines.map(|(view, columns)| {
            let named = |column: &str| format!("CASE WHEN own.{column} IS NOT NULL THEN passgate.source() END");
            let of_database =
                columns.split(' ').filter(|column| column.ends_with("catalog") || *column == "catalog_name");
            let owned = |column: &str| {
                let own = format!("CASE WHEN own.{column} = passgate.shadow_role()");
                format!("{own} THEN passgate.person() ELSE own.{column} END")
            };
            // A person's rights are the gateway's to give.
            let granted = |column: &str| {
                let own = "CASE WHEN own.grantee = passgate.shadow_role() THEN 'NO'";
                format!("{own} ELSE own.{column} END")
            };
            let of_grants = columns.split(' ').filter(|column| *column == "is_grantable");
            let of_owner = columns.split(' ').filter(|column| ["grantor", "grantee", "schema_owner"].contains(column));
            Self {
                relation: format!("{STANDARD}.{view}"),
                versions: 13..=99,
                columns: columns.split(' ').map(str::to_owned).collect(),
                others: of_database
                    .map(|column| (column.to_owned(), named(column)))
                    .chain(of_owner.map(|column| (column.to_owned(), owned(column))))
                    .chain(of_grants.map(|column| (column.to_owned(), granted(column))))
                    .collect(),
                rows: None,
            }
        })
    }

    fn sql(&self) -> String {
        let item = |column: &String| match self.others.get(column) {
            Some(expression) => format!("{expression} AS {column}"),
            None => format!("own.{column}"),
        };
        let items: Vec<String> = self.columns.iter().map(item).collect();
        let items = if items.is_empty() { "*".to_owned() } else { items.join(", ") };
        let rows = self.rows.as_ref().map(|rows| format!(" WHERE {rows}")).unwrap_or_default();
        format!("SELECT {items} FROM {} AS own{rows}", self.relation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stand_in_can_be_read() {
        assert!(STAND_INS.len() > 70, "{}", STAND_INS.len());
        for (relation, all) in STAND_INS.iter() {
            assert!(all.iter().all(|stand_in| stand_in.query.is_some()), "{relation}");
        }
        let blocks = include_str!("stand_ins.txt").split("\n\n").filter(|block| !block.starts_with('#'));
        assert!(blocks.into_iter().all(|block| Written::read(block).is_some()));
    }

    #[test]
    fn a_version_that_a_relation_is_not_known_in_shows_nothing() {
        assert!(stand_in("pg_catalog", "pg_database", 15).unwrap().is_some());
        assert!(stand_in("pg_catalog", "pg_database", 9).is_err());
        assert!(stand_in("pg_catalog", "pg_class", 9).unwrap().is_none());
    }
}
