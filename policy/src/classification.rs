//! `tags.json`: which tables and columns have which tags, by patterns of names.
//!
//! Patterns, unlike the names in policies, because what is classified is a whole warehouse. It is no policy: it says
//! what things are, and the policies say what follows from that.

use std::collections::{BTreeSet, HashMap};

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use crate::compile::Context;
use crate::document::{Document, kind_of};
use crate::fields::{Field, Object, Shape, Text};
use crate::names::{Known, Sources, covers};
use crate::{SourceName, TableName, Tag};

/// Patterns in one set of policies.
const PATTERNS_MAX: usize = 20_000;

/// The keys of `tags.json`.
pub(crate) const FIELDS: &[Field] = &[
    Field {
        name: "$schema",
        shape: Shape::Text,
        required: false,
        manual: "Where an editor finds a schema; ignored otherwise.",
    },
    Field { name: "tags", shape: Shape::Objects(TAG_FIELDS), required: true, manual: "What has which tag." },
];

/// The keys of one entry.
pub(crate) const TAG_FIELDS: &[Field] = &[
    Field {
        name: "tag",
        shape: Shape::Text,
        required: true,
        manual: "The tag: words joined by dots, the widest first, such as `pii.ssn`.",
    },
    Field {
        name: "columns",
        shape: Shape::Names,
        required: false,
        manual: "Columns that have it, as `schema.table.column` or `table.column`. `*` stands for any characters and \
                 `?` for one, within a part; a quoted part is taken as it is.",
    },
    Field {
        name: "tables",
        shape: Shape::Names,
        required: false,
        manual: "Tables that have it, as `schema.table` or `table`, with the same patterns.",
    },
    Field {
        name: "sources",
        shape: Shape::Names,
        required: false,
        manual: "Sources that are meant; all where it is left out.",
    },
    Field {
        name: "description",
        shape: Shape::Text,
        required: false,
        manual: "What it is for, for those who read the file.",
    },
    Field {
        name: "unknown_ok",
        shape: Shape::Flag,
        required: false,
        manual: "Accept patterns that nothing matches: they are warnings, not errors.",
    },
];

/// Whether a file is the classification: it goes by its name.
pub(crate) fn is_classification(path: &str) -> bool {
    path.rsplit(['/', '\\']).next() == Some("tags.json")
}

/// What has which tag.
#[derive(Debug, Default)]
pub(crate) struct Classification {
    entries: Vec<Entry>,
    tables: Vec<(TablePattern, usize)>,
    /// Patterns of columns whose last part is a name, by that name.
    columns: HashMap<Box<str>, Vec<(TablePattern, usize)>>,
    wild_columns: Vec<(TablePattern, Pattern, usize)>,
    table_tags: BTreeSet<Tag>,
    column_tags: BTreeSet<Tag>,
}

#[derive(Debug)]
struct Entry {
    tag: Tag,
    sources: Option<BTreeSet<SourceName>>,
}

/// Tables by pattern; any schema, where there is none.
#[derive(Clone, Debug)]
struct TablePattern {
    schema: Option<Pattern>,
    table: Pattern,
}

/// A part of a name in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(Box<str>),
    Wild(Box<[char]>),
}

impl Classification {
    /// Reads the classification's file, reporting every problem in it.
    pub(crate) fn read(&mut self, document: &Document<'_>, context: &mut Context<'_>) {
        for value in document.entries() {
            let Value::Object(node) = value else {
                let message = format!("the classification is an object with \"tags\", not {}", kind_of(value));
                context.problems.push(document.source.problem(value.range(), message, None));
                continue;
            };
            let object = Object::new(&document.source, node);
            object.check(&[FIELDS], &mut context.problems);
            object.objects("tags").for_each(|entry| self.add(entry, context));
        }
    }

    fn add(&mut self, object: Object<'_>, context: &mut Context<'_>) {
        if !object.has("columns") && !object.has("tables") {
            let suggestion = Some("add \"columns\" or \"tables\"".to_owned());
            context.problems.push(object.problem("nothing has the tag".to_owned(), suggestion));
        }
        let Some(tag) = object.text("tag").and_then(|written| read_tag(&written, context)) else { return };
        let unknown_ok = object.flag("unknown_ok");
        let sources = object.has("sources").then(|| {
            object.names("sources").map(|written| source(&written, unknown_ok, context)).collect::<BTreeSet<_>>()
        });
        let entry = self.entries.len();
        for written in object.names("tables") {
            let Some(pattern) = accepted(&written, TablePattern::read(written.value), context) else { continue };
            check_tables(&written, &pattern, sources.as_ref(), unknown_ok, context);
            self.tables.push((pattern, entry));
            self.table_tags.insert(tag.clone());
        }
        for written in object.names("columns") {
            let Some((table, column)) = accepted(&written, read_column(written.value), context) else { continue };
            check_columns(&written, (&table, &column), sources.as_ref(), unknown_ok, context);
            match column {
                Pattern::Name(name) => self.columns.entry(name).or_default().push((table, entry)),
                wild @ Pattern::Wild(_) => self.wild_columns.push((table, wild, entry)),
            }
            self.column_tags.insert(tag.clone());
        }
        self.entries.push(Entry { tag, sources });
        if self.tables.len() + self.columns.len() + self.wild_columns.len() > PATTERNS_MAX {
            let message = format!("there are more than {PATTERNS_MAX} patterns");
            context.problems.push(object.problem(message, None));
        }
    }

    /// The tags of a table.
    pub(crate) fn of_table(&self, table: &TableName) -> BTreeSet<Tag> {
        let matching = self.tables.iter().filter(|(pattern, _)| pattern.matches(table));
        self.tags_for(table, matching.map(|(_, entry)| *entry))
    }

    /// The tags of a column.
    pub(crate) fn of_column(&self, table: &TableName, column: &str) -> BTreeSet<Tag> {
        let named = self.columns.get(column).into_iter().flatten();
        let named = named.filter(|(pattern, _)| pattern.matches(table)).map(|(_, entry)| *entry);
        let wild = self.wild_columns.iter().filter(|(of, name, _)| name.matches(column) && of.matches(table));
        self.tags_for(table, named.chain(wild.map(|(_, _, entry)| *entry)))
    }

    fn tags_for(&self, table: &TableName, entries: impl Iterator<Item = usize>) -> BTreeSet<Tag> {
        let entries = entries.filter_map(|index| self.entries.get(index));
        entries.filter(|entry| covers(entry.sources.as_ref(), &table.source)).map(|entry| entry.tag.clone()).collect()
    }

    /// The tags that tables are given.
    pub(crate) fn table_tags(&self) -> &BTreeSet<Tag> {
        &self.table_tags
    }

    /// The tags that columns are given.
    pub(crate) fn column_tags(&self) -> &BTreeSet<Tag> {
        &self.column_tags
    }
}

/// Reads a tag, or reports why it is none.
pub(crate) fn read_tag(written: &Text<'_>, context: &mut Context<'_>) -> Option<Tag> {
    match crate::names::read_tag(written.value) {
        Ok(tag) => Some(tag),
        Err(fault) => {
            context.problems.push(written.problem(fault.message, fault.suggestion));
            None
        }
    }
}

fn source(written: &Text<'_>, unknown_ok: bool, context: &mut Context<'_>) -> SourceName {
    let source = SourceName::new(written.value);
    if let Some(Err(unknown)) = context.known.map(|known| known.check_source(&source)) {
        let problem = written.problem(format!("no source is called \"{}\"", written.value), unknown.0);
        context.report_unknown(problem, unknown_ok);
    }
    source
}

fn accepted<T>(written: &Text<'_>, read: Option<T>, context: &mut Context<'_>) -> Option<T> {
    if read.is_none() {
        let message = format!("\"{}\" is not a pattern of names", written.value);
        let suggestion = "write \"schema.table\" for tables and \"schema.table.column\" for columns".to_owned();
        context.problems.push(written.problem(message, Some(suggestion)));
    }
    read
}

fn check_tables(
    written: &Text<'_>,
    pattern: &TablePattern,
    sources: Sources<'_>,
    unknown_ok: bool,
    context: &mut Context<'_>,
) {
    let Some(known) = context.known.filter(|known| known.is_complete(sources)) else { return };
    if !known.all_tables(sources).any(|table| pattern.matches(table)) {
        context.report_unknown(written.problem(format!("no table matches \"{}\"", written.value), None), unknown_ok);
    }
}

fn check_columns(
    written: &Text<'_>,
    (pattern, column): (&TablePattern, &Pattern),
    sources: Sources<'_>,
    unknown_ok: bool,
    context: &mut Context<'_>,
) {
    let Some(known) = context.known.filter(|known| known.is_complete(sources)) else { return };
    let mut tables = known.all_tables(sources).filter(|table| pattern.matches(table));
    if !tables.any(|table| may_have(known, table, column)) {
        context.report_unknown(written.problem(format!("no column matches \"{}\"", written.value), None), unknown_ok);
    }
}

fn may_have(known: &Known, table: &TableName, column: &Pattern) -> bool {
    known.columns(table).is_none_or(|columns| columns.keys().any(|name| column.matches(name)))
}

impl TablePattern {
    fn read(written: &str) -> Option<Self> {
        Self::of_parts(read_parts(written)?)
    }

    fn of_parts(mut parts: Vec<Pattern>) -> Option<Self> {
        let (table, schema) = (parts.pop()?, parts.pop());
        parts.is_empty().then_some(Self { schema, table })
    }

    fn matches(&self, table: &TableName) -> bool {
        self.table.matches(&table.table) && self.schema.as_ref().is_none_or(|schema| schema.matches(&table.schema))
    }
}

fn read_column(written: &str) -> Option<(TablePattern, Pattern)> {
    let mut parts = read_parts(written)?;
    let column = parts.pop()?;
    Some((TablePattern::of_parts(parts)?, column))
}

fn read_parts(written: &str) -> Option<Vec<Pattern>> {
    let mut parts = Vec::new();
    let mut rest = written;
    loop {
        let (part, after) = Pattern::read(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(parts),
        }
    }
}

impl Pattern {
    /// One part, and what follows it.
    fn read(rest: &str) -> Option<(Self, &str)> {
        if let Some(quoted) = rest.strip_prefix('"') {
            return crate::names::read_quoted(quoted).map(|(name, after)| (Self::Name(name), after));
        }
        let (part, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        let is_part = !part.is_empty() && part.trim() == part && !part.contains(|c: char| c == '"' || c.is_control());
        let wild = part.contains(['*', '?']);
        is_part.then(|| (if wild { Self::Wild(part.chars().collect()) } else { Self::Name(part.into()) }, after))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => **own == *name,
            Self::Wild(pattern) => matches_wild(pattern, name),
        }
    }
}

/// Whether a name matches, in time that grows with the product of both lengths at most: only the last `*` is tried again.
fn matches_wild(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = name.get(in_name) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(expected) if *expected == '?' || expected == letter => {
                at += 1;
                in_name += 1;
            }
            _ => match &mut star {
                Some((after_star, tried)) => {
                    *tried += 1;
                    (at, in_name) = (*after_star + 1, *tried);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::read(pattern).is_some_and(|(pattern, after)| after.is_empty() && pattern.matches(name))
    }

    #[test]
    fn stars_and_question_marks_match_within_a_part() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("*", "a.b"),
            ("a*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "abbc"),
            ("?", "é"),
            ("a?c", "abc"),
            ("*a*b*", "xxaxxbxx"),
            ("ssn", "ssn"),
            ("\"a*\"", "a*"),
            ("**", "x"),
            ("*ab", "aab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a*", "ba"), ("?", ""), ("?", "ab"), ("a?c", "ac"), ("\"a*\"", "ab"), ("SSN", "ssn"), ("*a*b", "ba")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_would_take_long_do_not() {
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &"a".repeat(499)));
        assert!(matches(&pattern, &"a".repeat(2_000)));
    }

    #[test]
    fn what_is_no_pattern_is_not_read() {
        for written in ["", ".", "a.", ".a", " a", "a..b", "\"a", "a\"b", "a\n"] {
            assert!(read_parts(written).is_none(), "{written:?}");
        }
        assert!(
            TablePattern::read("a.b.c").is_none() && read_column("a").is_none() && read_column("a.b.c.d").is_none()
        );
    }
}
