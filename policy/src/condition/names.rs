//! Names in the statement: tables, schemas, columns, functions, sources and classifications.
//!
//! One test for all of them: which of a list of names the statement has. They differ in what is looked at, how a name
//! is read, and what stands below what is named: a view counts as what it is built on.

use std::collections::BTreeSet;

use super::evidence::{Evidence, Named};
use super::triggers::{Key, Trigger, wider};
use super::{Condition, Reading, Test, Truth};
use crate::decide::listed;
use crate::fields::{Field, Object, Shape, Text};
use crate::names::{ColumnName, NotAName, ObjectName, Unknown, read_simple, read_tag, written_part};
use crate::{ColumnUse, FunctionUse, Known, Request, SourceName, TableFacts, TableName, TableUse, Tag};

/// How the names in a statement are compared with a list. Several must all hold.
pub(crate) const OPERATORS: &[Field] = &[
    operator("contains_any", "At least one of these names is there."),
    operator("contains_all", "All of these names are there."),
    operator("contains_none", "None of these names is there."),
    operator("only", "Nothing but these names is there; true where there is none."),
];

const fn operator(name: &'static str, manual: &'static str) -> Field {
    Field { name, shape: Shape::Names, required: false, manual }
}

/// What a test of names looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Tables,
    Schemas,
    Columns,
    Functions,
    Sources,
    Classifications,
}

/// How a list is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    ContainsAny,
    ContainsAll,
    ContainsNone,
    Only,
}

/// A name that a policy gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Object(ObjectName),
    Schema(Box<str>),
    Column(ColumnName),
    Source(SourceName),
    Tag(Tag),
}

/// Which of some names the statement has.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) subject: Subject,
    pub(crate) operator: Operator,
    pub(crate) names: Vec<Name>,
}

/// One thing in the statement, as a test sees it.
#[derive(Clone, Copy)]
enum Item<'r> {
    Table(&'r TableUse),
    Column(&'r ColumnUse),
    Function(&'r FunctionUse),
    Source(&'r SourceName),
}

/// Compiles what stands at one of the keys ending in `_referenced`.
pub(super) fn compile(object: Object<'_>, key: &'static str, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let tests = object.object(key)?;
    let subject = Subject::of_key(key)?;
    let mut lists: Vec<(Operator, Vec<(Name, Text<'_>)>)> = Vec::new();
    for key in tests.keys() {
        let operator = Operator::of_key(key)?;
        let names = tests.names(key).filter_map(|written| Some((reading.name(subject, &written)?, written)));
        lists.push((operator, names.collect()));
    }
    subject.contradiction(tests, &lists, reading);
    let tests = lists.into_iter().map(|(operator, names)| {
        let names = names.into_iter().map(|(name, _)| name).collect();
        Condition::test(Names { subject, operator, names })
    });
    Condition::all_of(tests.collect())
}

impl Reading<'_, '_> {
    /// Reads a name, or reports why it is none. One that nothing has is reported and kept.
    pub(crate) fn name(&mut self, subject: Subject, written: &Text<'_>) -> Option<Name> {
        match subject.read(written.value) {
            Ok(name) => {
                let unknown = self.context.known.map(|known| subject.check(known, &name, self.sources));
                if let Some(Err(unknown)) = unknown {
                    let message = format!("no {} is called \"{}\"", subject.noun(), written.value);
                    self.report_unknown(written.problem(message, unknown.0));
                }
                Some(name)
            }
            Err(fault) => {
                self.context.problems.push(written.problem(fault.message, fault.suggestion));
                None
            }
        }
    }
}

impl Test for Names {
    fn truth(&self, request: &Request) -> Truth {
        let Self { subject, operator, names } = self;
        Truth::from(match operator {
            Operator::ContainsAny => subject.any(request, |item| item.reaches(*subject, names)),
            Operator::ContainsNone => !subject.any(request, |item| item.reaches(*subject, names)),
            Operator::ContainsAll => {
                let there = |name| subject.any(request, |item| item.reaches(*subject, std::slice::from_ref(name)));
                names.iter().all(there)
            }
            Operator::Only => {
                !subject.any(request, |item| subject.is_own(request, item) && item.is_other(*subject, names))
            }
        })
    }

    fn evidence(&self, request: &Request, outcome: bool, found: &mut Evidence) {
        let Self { subject, operator, names } = self;
        match (operator, outcome) {
            (Operator::ContainsAny | Operator::ContainsAll, true) | (Operator::ContainsNone, false) => {
                subject.each(request, |item| item.tell_reached(*subject, names, found));
            }
            (Operator::Only, false) => subject.each(request, |item| {
                if subject.is_own(request, &item) && item.is_other(*subject, names) {
                    item.tell_other(*subject, names, found);
                }
            }),
            // Something is absent, or everything is as listed: nothing to point at.
            _ => {}
        }
    }

    fn triggers(&self) -> Option<Vec<Trigger>> {
        let triggers = self.names.iter().map(|name| (Key::Statement(self.subject), name.trigger().into()));
        match self.operator {
            Operator::ContainsAny => Some(triggers.collect()),
            Operator::ContainsAll => Some(triggers.take(1).collect()),
            Operator::ContainsNone | Operator::Only => None,
        }
    }
}

impl Operator {
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "contains_any" => Self::ContainsAny,
            "contains_all" => Self::ContainsAll,
            "contains_none" => Self::ContainsNone,
            "only" => Self::Only,
            _ => return None,
        })
    }
}

impl Subject {
    /// The subject that a key of a condition, or a variable of an expression, means.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "tables_referenced" => Self::Tables,
            "schemas_referenced" => Self::Schemas,
            "columns_referenced" => Self::Columns,
            "functions_referenced" => Self::Functions,
            "sources_referenced" => Self::Sources,
            "classifications_referenced" => Self::Classifications,
            _ => return None,
        })
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Tables => "table",
            Self::Schemas => "schema",
            Self::Columns => "column",
            Self::Functions => "function",
            Self::Sources => "source",
            Self::Classifications => "tag",
        }
    }

    pub(crate) fn read(self, written: &str) -> Result<Name, NotAName> {
        match self {
            Self::Tables | Self::Functions => ObjectName::read(written).map(Name::Object),
            Self::Schemas => read_simple(written).map(Name::Schema),
            Self::Columns => ColumnName::read(written).map(Name::Column),
            Self::Sources => Ok(Name::Source(SourceName::new(written))),
            Self::Classifications => read_tag(written).map(Name::Tag),
        }
    }

    fn check(self, known: &Known, name: &Name, sources: crate::names::Sources<'_>) -> Result<(), Unknown> {
        match name {
            Name::Object(name) if self == Self::Functions => known.check_function(name, sources),
            Name::Object(name) => known.check_table(name, sources),
            Name::Schema(name) => known.check_schema(name, sources),
            Name::Column(name) => known.check_column(name, sources),
            Name::Source(name) => known.check_source(name),
            Name::Tag(tag) => known.check_tag(tag),
        }
    }

    /// Reports lists that no statement satisfies together.
    fn contradiction(
        self,
        tests: Object<'_>,
        lists: &[(Operator, Vec<(Name, Text<'_>)>)],
        reading: &mut Reading<'_, '_>,
    ) {
        let list = |operator| lists.iter().find(|(other, _)| *other == operator).map(|(_, names)| names.as_slice());
        let excluded = |names: &[(Name, Text<'_>)], by: &[(Name, Text<'_>)]| {
            names.iter().filter(|(name, _)| by.iter().any(|(other, _)| other == name)).count()
        };
        let never = |with: &str, key: &str| {
            let message = format!("\"{key}\" can never hold together with \"{with}\"");
            tests.problem_at(key, message, Some("leave one of the two out".to_owned()))
        };
        let (any, all) = (list(Operator::ContainsAny), list(Operator::ContainsAll));
        if let Some(none) = list(Operator::ContainsNone) {
            if any.is_some_and(|any| !any.is_empty() && excluded(any, none) == any.len()) {
                reading.context.problems.push(never("contains_none", "contains_any"));
            }
            if all.is_some_and(|all| excluded(all, none) > 0) {
                reading.context.problems.push(never("contains_none", "contains_all"));
            }
        }
        // What a view is built on counts for `contains_any` and not for `only`, so there the two may hold together.
        let exact = matches!(self, Self::Functions | Self::Sources);
        if let Some(only) = list(Operator::Only).filter(|_| exact) {
            if any.is_some_and(|any| !any.is_empty() && excluded(any, only) == 0) {
                reading.context.problems.push(never("only", "contains_any"));
            }
            if all.is_some_and(|all| excluded(all, only) < all.len()) {
                reading.context.problems.push(never("only", "contains_all"));
            }
        }
    }

    fn any<'r>(self, request: &'r Request, test: impl Fn(&Item<'r>) -> bool) -> bool {
        let tables = || request.tables.iter().map(Item::Table);
        let columns = || request.columns.iter().map(Item::Column);
        match self {
            Self::Tables | Self::Schemas => tables().any(|item| test(&item)),
            Self::Columns => columns().any(|item| test(&item)),
            Self::Functions => request.functions.iter().map(Item::Function).any(|item| test(&item)),
            Self::Sources => sources(request).any(|source| test(&Item::Source(source))),
            Self::Classifications => tables().chain(columns()).any(|item| test(&item)),
        }
    }

    fn each<'r>(self, request: &'r Request, mut meet: impl FnMut(Item<'r>)) {
        let tables = || request.tables.iter().map(Item::Table);
        let columns = || request.columns.iter().map(Item::Column);
        match self {
            Self::Tables | Self::Schemas => tables().for_each(meet),
            Self::Columns => columns().for_each(meet),
            Self::Functions => request.functions.iter().map(Item::Function).for_each(meet),
            Self::Sources => sources(request).for_each(|source| meet(Item::Source(source))),
            Self::Classifications => tables().chain(columns()).for_each(meet),
        }
    }

    /// Whether the statement itself names an item; the others are below what it names. `only` asks for these.
    fn is_own(self, request: &Request, item: &Item<'_>) -> bool {
        match item {
            Item::Column(used) if self == Self::Columns => {
                request.tables.iter().any(|table| *table.name() == used.table.name)
            }
            _ => true,
        }
    }

    /// What a name is in full, where it leaves out the schema or the table.
    pub(crate) fn unqualified(self, name: &Name) -> Option<String> {
        match name {
            Name::Object(ObjectName { schema: None, name }) => Some(format!("schema.{}", written_part(name))),
            Name::Column(ColumnName { table: ObjectName { schema: None, name }, column }) => {
                Some(format!("schema.{}.{}", written_part(name), written_part(column)))
            }
            _ => None,
        }
    }

    /// The names of this kind in a request, as a clause of evidence.
    pub(crate) fn fact(self, request: &Request) -> String {
        let texts: Vec<String> = self.texts(request).into_iter().collect();
        match texts.is_empty() {
            true => format!("it names no {}", self.noun()),
            false => format!("it names {}", listed(&texts, 5)),
        }
    }

    /// Every name of this kind in a request, as an expression sees it, each once.
    pub(crate) fn texts(self, request: &Request) -> BTreeSet<String> {
        let mut texts = BTreeSet::new();
        let qualified = |schema: &str, name: &str| format!("{}.{}", written_part(schema), written_part(name));
        self.each(request, |item| match (self, item) {
            (Self::Tables, Item::Table(used)) => {
                texts.extend(used.closure().map(|facts| qualified(&facts.name.schema, &facts.name.table)));
            }
            (Self::Schemas, Item::Table(used)) => {
                texts.extend(used.closure().map(|facts| written_part(&facts.name.schema).into_owned()));
            }
            (Self::Columns, Item::Column(used)) => {
                let column = written_part(&used.column);
                let full = |name: &TableName| format!("{}.{column}", qualified(&name.schema, &name.table));
                texts.extend(used.tables().map(full));
            }
            (Self::Functions, Item::Function(used)) => {
                texts.insert(qualified(&used.schema, &used.name));
            }
            (Self::Sources, Item::Source(source)) => {
                texts.insert(source.as_str().to_owned());
            }
            (Self::Classifications, item) => {
                texts.extend(item.tags().flat_map(|(tag, _)| wider(tag)).map(str::to_owned));
            }
            _ => {}
        });
        texts
    }
}

/// The sources that a statement touches; one may come twice.
fn sources(request: &Request) -> impl Iterator<Item = &SourceName> {
    std::iter::once(&request.source).chain(request.tables.iter().map(|used| &used.name().source))
}

impl Name {
    /// It as [`Subject::texts`] writes it.
    pub(crate) fn written(&self) -> String {
        let object = |name: &ObjectName| match &name.schema {
            Some(schema) => format!("{}.{}", written_part(schema), written_part(&name.name)),
            None => written_part(&name.name).into_owned(),
        };
        match self {
            Self::Object(name) => object(name),
            Self::Schema(name) => written_part(name).into_owned(),
            Self::Column(name) => format!("{}.{}", object(&name.table), written_part(&name.column)),
            Self::Source(name) => name.as_str().to_owned(),
            Self::Tag(tag) => tag.as_str().to_owned(),
        }
    }

    /// The part of it that a statement must have.
    fn trigger(&self) -> &str {
        match self {
            Self::Object(name) => &name.name,
            Self::Schema(name) => name,
            Self::Column(name) => &name.column,
            Self::Source(name) => name.as_str(),
            Self::Tag(tag) => tag.as_str(),
        }
    }

    fn is_table(&self, table: &TableName) -> bool {
        match self {
            Self::Object(name) => name.matches(&table.schema, &table.table),
            Self::Schema(name) => **name == *table.schema,
            Self::Column(_) | Self::Source(_) | Self::Tag(_) => false,
        }
    }

    fn is_column(&self, table: &TableName, column: &str) -> bool {
        matches!(self, Self::Column(name) if name.matches(table, column))
    }

    fn is_function(&self, used: &FunctionUse) -> bool {
        matches!(self, Self::Object(name) if name.matches(&used.schema, &used.name))
    }

    fn is_source(&self, source: &SourceName) -> bool {
        matches!(self, Self::Source(name) if name == source)
    }

    fn covers(&self, tag: &Tag) -> bool {
        matches!(self, Self::Tag(own) if own.covers(tag))
    }
}

impl<'r> Item<'r> {
    /// Whether it, or anything it is built on, is one of the names.
    fn reaches(&self, subject: Subject, names: &[Name]) -> bool {
        match self {
            Self::Table(_) | Self::Column(_) if subject == Subject::Classifications => {
                self.tags().any(|(tag, _)| names.iter().any(|name| name.covers(tag)))
            }
            Self::Table(used) => used.closure().any(|facts| names.iter().any(|name| name.is_table(&facts.name))),
            Self::Column(used) => {
                used.tables().any(|table| names.iter().any(|name| name.is_column(table, &used.column)))
            }
            Self::Function(used) => names.iter().any(|name| name.is_function(used)),
            Self::Source(source) => names.iter().any(|name| name.is_source(source)),
        }
    }

    /// Whether it itself is, or has, something that is none of the names.
    fn is_other(&self, subject: Subject, names: &[Name]) -> bool {
        match self {
            Self::Table(_) | Self::Column(_) if subject == Subject::Classifications => {
                self.tags().any(|(tag, _)| !names.iter().any(|name| name.covers(tag)))
            }
            Self::Table(used) => !names.iter().any(|name| name.is_table(used.name())),
            Self::Column(used) => !names.iter().any(|name| name.is_column(&used.table.name, &used.column)),
            _ => !self.reaches(subject, names),
        }
    }

    /// Its tags, each with the table that has it. A table's are those of everything it is built on.
    fn tags(&self) -> impl Iterator<Item = (&'r Tag, &'r TableFacts)> + use<'r> {
        let (tables, column) = match *self {
            Self::Table(used) => (Some(used), None),
            Self::Column(used) => (None, used.table.column(&used.column).map(|column| (column, &*used.table))),
            Self::Function(_) | Self::Source(_) => (None, None),
        };
        let of_tables = tables
            .into_iter()
            .flat_map(TableUse::closure)
            .flat_map(|facts| facts.tags.iter().map(move |tag| (tag, &**facts)));
        of_tables.chain(column.into_iter().flat_map(|(column, table)| column.tags.iter().map(move |tag| (tag, table))))
    }

    /// Says what it is, where it reaches one of the names.
    fn tell_reached(&self, subject: Subject, names: &[Name], found: &mut Evidence) {
        if subject == Subject::Classifications {
            let tag = self.tags().find(|(tag, _)| names.iter().any(|name| name.covers(tag)));
            return tag.into_iter().for_each(|(tag, facts)| self.tell_tag(tag, facts, found));
        }
        match self {
            Self::Table(used) => {
                let is_named =
                    |facts: &&std::sync::Arc<TableFacts>| names.iter().any(|name| name.is_table(&facts.name));
                if let Some(facts) = used.closure().find(is_named) {
                    let below = &facts.name != used.name();
                    self.tell(below.then(|| format!("built on {}", facts.name)), found);
                }
            }
            _ if self.reaches(subject, names) => self.tell(None, found),
            _ => {}
        }
    }

    /// Says what it is, where it is none of the names.
    fn tell_other(&self, subject: Subject, names: &[Name], found: &mut Evidence) {
        if subject == Subject::Classifications {
            let tag = self.tags().find(|(tag, _)| !names.iter().any(|name| name.covers(tag)));
            return tag.into_iter().for_each(|(tag, facts)| self.tell_tag(tag, facts, found));
        }
        self.tell(None, found);
    }

    fn tell_tag(&self, tag: &Tag, facts: &TableFacts, found: &mut Evidence) {
        let below = match self {
            Self::Table(used) if *used.name() != facts.name => format!("built on {}, tagged {tag}", facts.name),
            _ => format!("tagged {tag}"),
        };
        self.tell(Some(below), found);
    }

    fn tell(&self, because: Option<String>, found: &mut Evidence) {
        match self {
            Self::Table(used) => found.name(Named { at: used.at, name: used.name().to_string(), because }),
            Self::Column(used) => {
                found.name(Named { at: used.at, name: format!("{}.{}", used.table.name, used.column), because });
            }
            Self::Function(used) => {
                found.name(Named { at: used.at, name: format!("{}.{}", used.schema, used.name), because });
            }
            Self::Source(source) => found.fact(format!("it touches source {source}")),
        }
    }
}
