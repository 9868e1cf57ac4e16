//! Names of tables, schemas and functions in policy files, and what the sources really have.
//!
//! A name is compared exactly with the catalog's: case matters and nothing is a pattern. `dim_patient` means that table
//! in any schema, `analytics.dim_patient` that one table. A part that holds a dot or a star is written in double
//! quotes, as in SQL: `analytics."odd.name"`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::problem::{did_you_mean, nearest};
use crate::{Role, SourceName, TableName, Tag};

/// A table or function as a policy file names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectName {
    /// The schema; any, where there is none.
    pub(crate) schema: Option<Box<str>>,
    /// The name inside the schema.
    pub(crate) name: Box<str>,
}

/// A column as a policy file names it: `table.column` or `schema.table.column`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ColumnName {
    /// The table.
    pub(crate) table: ObjectName,
    /// The column.
    pub(crate) column: Box<str>,
}

impl ColumnName {
    /// Reads `table.column` or `schema.table.column`.
    pub(crate) fn read(written: &str) -> Result<Self, NotAName> {
        let mut parts = read_parts(written)?;
        let column = parts.pop();
        let mut table = parts.into_iter();
        match (table.next(), table.next(), table.next(), column) {
            (Some(name), None, _, Some(column)) => Ok(Self { table: ObjectName { schema: None, name }, column }),
            (Some(schema), Some(name), None, Some(column)) => {
                Ok(Self { table: ObjectName { schema: Some(schema), name }, column })
            }
            (None, _, _, _) => Err(NotAName::new(
                format!("\"{written}\" does not say of which table"),
                "write \"table.column\" or \"schema.table.column\"",
            )),
            _ => Err(NotAName::new(
                format!("\"{written}\" has more parts than schema, table and column"),
                "name the source under \"applies_to\", and quote a part that holds a dot",
            )),
        }
    }

    /// Whether a column of the catalog is meant.
    pub(crate) fn matches(&self, table: &TableName, column: &str) -> bool {
        *self.column == *column && self.table.matches(&table.schema, &table.table)
    }
}

/// Why a text is no name, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A function as a whitelist names it: `schema.name`, or one of several of that name by its argument types,
/// `schema.name(date, integer)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionName {
    /// The schema.
    pub(crate) schema: Box<str>,
    /// The name inside the schema.
    pub(crate) name: Box<str>,
    /// The argument types, as PostgreSQL's `format_type` writes them, with `, ` between; any, where there are none.
    pub(crate) arguments: Option<Box<str>>,
}

impl FunctionName {
    /// Reads `schema.name` or `schema.name(type, type)`.
    pub(crate) fn read(written: &str) -> Result<Self, NotAName> {
        let (name, arguments) = match written.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
            Some((name, arguments)) => (name, Some(arguments)),
            None => (written, None),
        };
        let fault = || {
            NotAName::new(
                format!("\"{written}\" does not name its arguments' types"),
                "write types only, with commas between: \"schema.name(date, integer)\"",
            )
        };
        if !name.contains('"') && name.contains(['(', ')']) {
            return Err(fault());
        }
        let (schema, name) = ObjectName::read_qualified(name)?;
        let arguments = match arguments {
            None => None,
            Some(list) if list.trim().is_empty() => Some(Box::default()),
            Some(list) => {
                let types: Option<Vec<String>> = list.split(',').map(read_type).collect();
                Some(types.ok_or_else(fault)?.join(", ").into())
            }
        };
        Ok(Self { schema, name, arguments })
    }
}

/// A type as PostgreSQL's `format_type` writes it; nothing where the text cannot be one.
fn read_type(written: &str) -> Option<String> {
    // Source: <https://www.postgresql.org/docs/current/datatype.html>, table 8.1.
    const SYNONYMS: [(&str, &str); 18] = [
        ("bool", "boolean"),
        ("bpchar", "character"),
        ("char", "character"),
        ("decimal", "numeric"),
        ("float4", "real"),
        ("float8", "double precision"),
        ("int", "integer"),
        ("int2", "smallint"),
        ("int4", "integer"),
        ("int8", "bigint"),
        ("time", "time without time zone"),
        ("timestamp", "timestamp without time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("timetz", "time with time zone"),
        ("varbit", "bit varying"),
        ("varchar", "character varying"),
        ("dec", "numeric"),
        ("float", "double precision"),
    ];
    let words = written.split_whitespace().collect::<Vec<_>>().join(" ");
    let (element, array) = match words.strip_suffix("[]") {
        Some(element) => (element, "[]"),
        None => (words.as_str(), ""),
    };
    let plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '"' | ' ' | '$');
    if element.is_empty() || !element.chars().all(plain) {
        return None;
    }
    let element = if element.contains('"') { element.to_owned() } else { element.to_lowercase() };
    let name = SYNONYMS.iter().find(|(synonym, _)| *synonym == element).map_or(element.as_str(), |(_, name)| name);
    Some(format!("{name}{array}"))
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

/// Reads a tag: words joined by dots.
pub(crate) fn read_tag(written: &str) -> Result<Tag, NotAName> {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
    };
    if written.split('.').all(is_word) {
        return Ok(Tag::new(written));
    }
    Err(NotAName::new(
        format!("\"{written}\" is not a tag"),
        "write words of letters, digits, _ and -, joined by dots, such as \"pii.ssn\"",
    ))
}

/// A part of a name as [`ObjectName::read`] reads it: quoted where it must be.
pub(crate) fn written_part(part: &str) -> Cow<'_, str> {
    let is_plain = !part.is_empty()
        && part.trim() == part
        && !part.contains(|letter: char| matches!(letter, '.' | '"' | '*' | '%') || letter.is_control());
    if is_plain { Cow::Borrowed(part) } else { Cow::Owned(format!("\"{}\"", part.replace('"', "\"\""))) }
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
pub(crate) fn read_quoted(quoted: &str) -> Option<(Box<str>, &str)> {
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
    forms: BTreeMap<(String, String), BTreeSet<String>>,
    built_in: BTreeSet<&'static str>,
    columns: BTreeMap<TableName, BTreeMap<String, String>>,
    table_tags: BTreeSet<Tag>,
    column_tags: BTreeSet<Tag>,
    groups: BTreeSet<String>,
    roles: BTreeSet<Role>,
    all_people_known: bool,
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

    /// Adds a function that is not built in; its argument types as PostgreSQL's `format_type` writes them.
    pub fn add_function(&mut self, source: SourceName, schema: String, name: String, arguments: &[String]) {
        self.add_crawled(&source);
        self.schemas.entry(schema.clone()).or_default().insert(source.clone());
        self.forms.entry((schema.clone(), name.clone())).or_default().insert(arguments.join(", "));
        self.functions.entry((schema, name)).or_default().insert(source);
    }

    /// Adds a function that every source has built in. Where none was added, any may be.
    pub fn add_built_in(&mut self, name: &'static str) {
        self.built_in.insert(name);
    }

    /// Adds a column of a table that was added; its type as PostgreSQL's `format_type` writes it.
    pub fn add_column(&mut self, table: TableName, column: String, type_name: String) {
        self.columns.entry(table).or_default().insert(column, type_name);
    }

    /// Adds a tag that a table's comment gives.
    pub fn add_table_tag(&mut self, tag: Tag) {
        self.table_tags.insert(tag);
    }

    /// Adds a tag that a column's comment gives.
    pub fn add_column_tag(&mut self, tag: Tag) {
        self.column_tags.insert(tag);
    }

    /// Adds a group that somebody is a member of.
    pub fn add_group(&mut self, group: String) {
        self.groups.insert(group);
    }

    /// Adds a role that somebody holds.
    pub fn add_role(&mut self, role: Role) {
        self.roles.insert(role);
    }

    /// Says that there are no other groups and roles than those added: nobody signs in with a token that brings more.
    pub fn all_people_are_known(&mut self) {
        self.all_people_known = true;
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
        Err(Unknown(self.table_near(name, sources).map(|near| format!("did you mean \"{near}\"?"))))
    }

    /// The table of `sources` whose name is nearest, written as `name` is.
    fn table_near(&self, name: &ObjectName, sources: Sources<'_>) -> Option<String> {
        let tables = self.all_tables(sources);
        match &name.schema {
            Some(schema) => {
                let written = format!("{schema}.{}", name.name);
                let candidates: Vec<String> = tables.map(ToString::to_string).collect();
                nearest(&written, candidates.iter().map(String::as_str)).map(str::to_owned)
            }
            None => nearest(&name.name, tables.map(|table| table.table.as_str())).map(str::to_owned),
        }
    }

    /// The tables that are meant by `name` in one of `sources`.
    pub(crate) fn tables_named<'k>(
        &'k self,
        name: &'k ObjectName,
        sources: Sources<'k>,
    ) -> impl Iterator<Item = &'k TableName> {
        let same_name = self.tables.get(&*name.name).into_iter().flatten();
        same_name.filter(move |table| covers(sources, &table.source) && name.matches(&table.schema, &table.table))
    }

    /// The columns of a table, with their types; `None` where they are not known.
    pub(crate) fn columns(&self, table: &TableName) -> Option<&BTreeMap<String, String>> {
        self.columns.get(table)
    }

    /// Whether a column is meant by `name` in one of `sources`, or what may be meant.
    pub(crate) fn check_column(&self, name: &ColumnName, sources: Sources<'_>) -> Result<(), Unknown> {
        if self.check_table(&name.table, sources).is_err() {
            let near = self.table_near(&name.table, sources);
            return Err(Unknown(near.map(|table| format!("did you mean \"{table}.{}\"?", name.column))));
        }
        let tables = || self.tables_named(&name.table, sources);
        let may_have = |table| self.columns(table).is_none_or(|columns| columns.contains_key(&*name.column));
        if self.may_hold_anything(sources) || tables().any(may_have) {
            return Ok(());
        }
        let candidates = tables().filter_map(|table| self.columns(table)).flat_map(BTreeMap::keys);
        let table =
            name.table.schema.iter().chain([&name.table.name]).map(|part| &**part).collect::<Vec<_>>().join(".");
        let near = nearest(&name.column, candidates.map(String::as_str));
        Err(Unknown(near.map(|column| format!("did you mean \"{table}.{column}\"?"))))
    }

    /// Whether every source was read, so that what is not here is nowhere.
    pub(crate) fn is_complete(&self, sources: Sources<'_>) -> bool {
        !self.may_hold_anything(sources)
    }

    /// Every table of some sources.
    pub(crate) fn all_tables<'k>(&'k self, sources: Sources<'k>) -> impl Iterator<Item = &'k TableName> {
        self.tables.values().flatten().filter(move |table| covers(sources, &table.source))
    }

    /// These names, and the tags that a classification gives.
    pub(crate) fn with_tags(&self, of_tables: &BTreeSet<Tag>, of_columns: &BTreeSet<Tag>) -> Self {
        let mut known = self.clone();
        known.table_tags.extend(of_tables.iter().cloned());
        known.column_tags.extend(of_columns.iter().cloned());
        known
    }

    /// The tags that tables have.
    pub(crate) fn table_tags(&self) -> &BTreeSet<Tag> {
        &self.table_tags
    }

    /// The tags that columns have.
    pub(crate) fn column_tags(&self) -> &BTreeSet<Tag> {
        &self.column_tags
    }

    /// Whether anything has a tag.
    pub(crate) fn check_tag(&self, tag: &Tag) -> Result<(), Unknown> {
        let tags = || self.table_tags.iter().chain(&self.column_tags);
        if self.may_hold_anything(None) || tags().any(|known| tag.covers(known)) {
            return Ok(());
        }
        Err(Unknown(did_you_mean(tag.as_str(), tags().map(Tag::as_str))))
    }

    /// Whether anybody is a member of a group.
    pub(crate) fn check_group(&self, group: &str) -> Result<(), Unknown> {
        if !self.all_people_known || self.groups.contains(group) {
            return Ok(());
        }
        Err(Unknown(did_you_mean(group, self.groups.iter().map(String::as_str))))
    }

    /// Whether anybody holds a role.
    pub(crate) fn check_role(&self, role: &str) -> Result<(), Unknown> {
        if !self.all_people_known || self.roles.contains(&Role::new(role)) {
            return Ok(());
        }
        Err(Unknown(did_you_mean(role, self.roles.iter().map(Role::as_str))))
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

    /// Whether there is such a function in one of `sources`, or built in.
    pub(crate) fn check_function(&self, name: &ObjectName, sources: Sources<'_>) -> Result<(), Unknown> {
        let here = |known: &BTreeSet<SourceName>| known.iter().any(|source| covers(sources, source));
        let Some(schema) = name.schema.as_deref().filter(|schema| *schema != "pg_catalog") else {
            let other = || self.functions.iter().any(|((_, own), known)| **own == *name.name && here(known));
            let may_be_other = name.schema.is_none() && (self.may_hold_anything(sources) || other());
            return match self.built_in.is_empty() || self.built_in.contains(&*name.name) || may_be_other {
                true => Ok(()),
                false => Err(Unknown(did_you_mean(&name.name, self.built_in.iter().copied()))),
            };
        };
        let key = (schema.to_owned(), name.name.to_string());
        if self.may_hold_anything(sources) || self.functions.get(&key).is_some_and(here) {
            return Ok(());
        }
        let candidates: Vec<String> =
            self.functions.iter().filter(|(_, known)| here(known)).map(|((s, n), _)| format!("{s}.{n}")).collect();
        Err(Unknown(did_you_mean(&format!("{schema}.{}", name.name), candidates.iter().map(String::as_str))))
    }

    /// Whether a function that there is takes these arguments; otherwise what it takes.
    pub(crate) fn check_form(&self, name: &FunctionName, sources: Sources<'_>) -> Result<(), Unknown> {
        let Some(arguments) = name.arguments.as_deref() else { return Ok(()) };
        let Some(forms) = self.forms.get(&(name.schema.to_string(), name.name.to_string())) else { return Ok(()) };
        if self.may_hold_anything(sources) || forms.contains(arguments) {
            return Ok(());
        }
        let taken: Vec<String> = forms.iter().map(|form| format!("({form})")).collect();
        Err(Unknown(Some(format!("it takes {}", taken.join(" or ")))))
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

pub(crate) fn covers(sources: Sources<'_>, source: &SourceName) -> bool {
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
    fn a_function_may_be_named_with_its_types() {
        let read = |written| {
            let name = FunctionName::read(written).ok()?;
            Some((name.schema.to_string(), name.name.to_string(), name.arguments.map(String::from)))
        };
        let quarter =
            |arguments: Option<&str>| Some(("sales".to_owned(), "quarter".to_owned(), arguments.map(str::to_owned)));
        assert_eq!(read("sales.quarter"), quarter(None));
        assert_eq!(read("sales.quarter()"), quarter(Some("")));
        assert_eq!(read("sales.\"quarter\"( DATE,int )"), quarter(Some("date, integer")));
        assert_eq!(
            read("sales.quarter(timestamptz, varchar[], timestamp  without time zone)"),
            quarter(Some("timestamp with time zone, character varying[], timestamp without time zone"))
        );
        for written in ["quarter(date)", "sales.quarter(date", "sales.quarter(date,)", "sales.quarter(a int = 1)"] {
            assert_eq!(read(written), None, "{written}");
        }
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
