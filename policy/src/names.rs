//! Names of tables, schemas and functions in policy files, and what the sources really have.
//!
//! A name is compared exactly with the catalog's: case matters and nothing is a pattern. `dim_patient` means that table
//! in any schema, `analytics.dim_patient` that one table. A part that holds a dot or a star is written in double
//! quotes, as in SQL: `analytics."odd.name"`.

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::did_you_mean;
use crate::{SourceName, TableName};

/// A table or function as a policy file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName {
    /// The schema; any, where there is none.
    pub(crate) schema: Option<Box<str>>,
    /// The name inside the schema.
    pub(crate) name: Box<str>,
}

/// Why a text is no name, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAName {
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl NotAName {
    fn new(message: impl Into<String>, suggestion: &str) -> Self {
        Self { message: message.into(), suggestion: Some(suggestion.to_owned()) }
    }
}

impl ObjectName {
    /// Reads `name` or `schema.name`.
    pub(crate) fn read(written: &str) -> Result<Self, NotAName> {
        let mut parts = read_parts(written)?.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Ok(Self { schema: None, name }),
            (Some(schema), Some(name), None) => Ok(Self { schema: Some(schema), name }),
            _ => Err(NotAName::new(
                format!("\"{written}\" has more parts than schema and name"),
                "name the source under \"applies_to\", and quote a part that holds a dot",
            )),
        }
    }

    /// Reads `schema.name`; the schema must be there.
    pub(crate) fn read_qualified(written: &str) -> Result<(Box<str>, Box<str>), NotAName> {
        match Self::read(written)? {
            Self { schema: Some(schema), name } => Ok((schema, name)),
            Self { schema: None, .. } => {
                Err(NotAName::new(format!("\"{written}\" does not say in which schema"), "write \"schema.name\""))
            }
        }
    }

    /// Whether an object of the catalog is meant.
    pub(crate) fn matches(&self, schema: &str, name: &str) -> bool {
        *self.name == *name && self.schema.as_deref().is_none_or(|own| own == schema)
    }
}

/// Reads a name of one part, such as a schema.
pub(crate) fn read_simple(written: &str) -> Result<Box<str>, NotAName> {
    match ObjectName::read(written)? {
        ObjectName { schema: None, name } => Ok(name),
        ObjectName { .. } => {
            Err(NotAName::new(format!("\"{written}\" is not a schema"), "list single tables under \"tables\""))
        }
    }
}

fn read_parts(written: &str) -> Result<Vec<Box<str>>, NotAName> {
    let mut parts = Vec::new();
    let mut rest = written;
    loop {
        let (part, after) = read_part(written, rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err(malformed(written)),
        }
    }
}

/// One part and what follows it.
fn read_part<'w>(written: &str, rest: &'w str) -> Result<(Box<str>, &'w str), NotAName> {
    if let Some(quoted) = rest.strip_prefix('"') {
        return read_quoted(quoted).ok_or_else(|| malformed(written));
    }
    let end = rest.find('.').unwrap_or(rest.len());
    let (part, after) = rest.split_at(end);
    if part.contains(['*', '%']) {
        return Err(NotAName::new(
            format!("\"{written}\" is a pattern, and names are compared exactly"),
            "list the names, or quote the part if the star is part of the name",
        ));
    }
    if part.is_empty() || part.contains('"') || part.trim() != part || part.contains(char::is_control) {
        return Err(malformed(written));
    }
    Ok((part.into(), after))
}

/// The part before the closing quote, `""` standing for a quote, and what follows it.
fn read_quoted(quoted: &str) -> Option<(Box<str>, &str)> {
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return (!part.is_empty()).then(|| (part.into(), after)),
        }
    }
}

fn malformed(written: &str) -> NotAName {
    NotAName::new(format!("\"{written}\" is not a name"), "write \"name\" or \"schema.name\", without spaces around")
}

/// Whether a schema belongs to the database system itself. PostgreSQL reserves the prefix `pg_`:
/// <https://www.postgresql.org/docs/current/ddl-schemas.html>.
pub(crate) fn is_system_schema(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}

/// What the sources hold, so that a policy that names nothing real is found when it is loaded.
#[derive(Clone, Debug, Default)]
pub struct Known {
    sources: BTreeSet<SourceName>,
    crawled: BTreeSet<SourceName>,
    schemas: BTreeMap<String, BTreeSet<SourceName>>,
    tables: BTreeMap<String, Vec<TableName>>,
    functions: BTreeMap<(String, String), BTreeSet<SourceName>>,
}

impl Known {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source of which only the name is known: what it holds may be anything.
    pub fn add_source(&mut self, source: SourceName) {
        self.sources.insert(source);
    }

    /// Adds a table or view, and with it its source and schema.
    pub fn add_table(&mut self, table: TableName) {
        self.add_crawled(&table.source);
        self.schemas.entry(table.schema.clone()).or_default().insert(table.source.clone());
        self.tables.entry(table.table.clone()).or_default().push(table);
    }

    /// Adds a function that is not built in.
    pub fn add_function(&mut self, source: SourceName, schema: String, name: String) {
        self.add_crawled(&source);
        self.schemas.entry(schema.clone()).or_default().insert(source.clone());
        self.functions.entry((schema, name)).or_default().insert(source);
    }

    fn add_crawled(&mut self, source: &SourceName) {
        self.sources.insert(source.clone());
        self.crawled.insert(source.clone());
    }

    /// Whether one of `sources` may hold anything, because it could not be read.
    fn may_hold_anything(&self, sources: Sources<'_>) -> bool {
        self.sources.difference(&self.crawled).any(|source| covers(sources, source))
    }

    /// Whether a table is meant by `name` in one of `sources` (any, where there are none), or what may be meant.
    pub(crate) fn check_table(&self, name: &ObjectName, sources: Sources<'_>) -> Result<(), Unknown> {
        let same_name = self.tables.get(&*name.name).into_iter().flatten();
        let mut here = same_name.filter(|table| covers(sources, &table.source));
        if self.may_hold_anything(sources) || here.any(|table| name.matches(&table.schema, &table.table)) {
            return Ok(());
        }
        let tables = self.tables.values().flatten().filter(|table| covers(sources, &table.source));
        Err(Unknown(match &name.schema {
            Some(schema) => {
                let written = format!("{schema}.{}", name.name);
                let candidates: Vec<String> = tables.map(ToString::to_string).collect();
                did_you_mean(&written, candidates.iter().map(String::as_str))
            }
            None => did_you_mean(&name.name, tables.map(|table| table.table.as_str())),
        }))
    }

    /// Whether there is such a schema in one of `sources`.
    pub(crate) fn check_schema(&self, schema: &str, sources: Sources<'_>) -> Result<(), Unknown> {
        let here = |known: &BTreeSet<SourceName>| known.iter().any(|source| covers(sources, source));
        if self.may_hold_anything(sources) || self.schemas.get(schema).is_some_and(here) {
            return Ok(());
        }
        let candidates = self.schemas.iter().filter(|(_, known)| here(known)).map(|(name, _)| name.as_str());
        Err(Unknown(did_you_mean(schema, candidates)))
    }

    /// Whether there is such a function in one of `sources`. Built-in functions, and names without a schema, which may
    /// be meant to be built in, always pass.
    pub(crate) fn check_function(&self, name: &ObjectName, sources: Sources<'_>) -> Result<(), Unknown> {
        let Some(schema) = name.schema.as_deref().filter(|schema| *schema != "pg_catalog") else { return Ok(()) };
        let here = |known: &BTreeSet<SourceName>| known.iter().any(|source| covers(sources, source));
        let key = (schema.to_owned(), name.name.to_string());
        if self.may_hold_anything(sources) || self.functions.get(&key).is_some_and(here) {
            return Ok(());
        }
        let candidates: Vec<String> =
            self.functions.iter().filter(|(_, known)| here(known)).map(|((s, n), _)| format!("{s}.{n}")).collect();
        Err(Unknown(did_you_mean(&format!("{schema}.{}", name.name), candidates.iter().map(String::as_str))))
    }

    /// Whether there is such a source.
    pub(crate) fn check_source(&self, source: &SourceName) -> Result<(), Unknown> {
        if self.sources.contains(source) {
            return Ok(());
        }
        Err(Unknown(did_you_mean(source.as_str(), self.sources.iter().map(SourceName::as_str))))
    }
}

/// The sources a policy is for; all, where there are none.
pub(crate) type Sources<'a> = Option<&'a BTreeSet<SourceName>>;

/// A name that nothing has, and what may be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) Option<String>);

fn covers(sources: Sources<'_>, source: &SourceName) -> bool {
    sources.is_none_or(|sources| sources.contains(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Option<(Option<String>, String)> {
        let name = ObjectName::read(written).ok()?;
        Some((name.schema.map(String::from), name.name.into()))
    }

    #[test]
    fn names_are_read_as_sql_quotes_them_but_never_folded() {
        assert_eq!(read("dim_patient"), Some((None, "dim_patient".to_owned())));
        assert_eq!(read("Sales.Orders"), Some((Some("Sales".to_owned()), "Orders".to_owned())));
        assert_eq!(read("\"odd.na\"\"me\""), Some((None, "odd.na\"me".to_owned())));
        assert_eq!(read("a.\"b*\""), Some((Some("a".to_owned()), "b*".to_owned())));
    }

    #[test]
    fn what_could_never_match_is_no_name() {
        for written in
            ["", ".", "a.", ".a", "a.b.c", " a", "a ", "a..b", "pii_*", "\"", "\"\"", "\"a\"b", "a\"b\"", "a\n"]
        {
            assert_eq!(read(written), None, "{written:?}");
        }
    }
}
