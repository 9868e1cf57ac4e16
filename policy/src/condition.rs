//! Conditions: what must be true of a statement for a policy to act.
//!
//! A condition is compiled to a tree of tests over the request. Each test can say what in the statement made it true,
//! for the refusal's detail, and which names it cannot be true without, so that only conditions that can hold are
//! evaluated at all.

use std::fmt;

use crate::compile::Context;
use crate::fields::{Field, Object, Shape};
use crate::names::{NotAName, ObjectName, Sources, Unknown, read_simple};
use crate::{Place, Request, TableName, TableUse};

/// The keys of a condition: ways to combine conditions, and what can be asked about. Several must all hold.
pub(crate) const FIELDS: &[Field] = &[
    Field { name: "all", shape: Shape::Conditions, required: false, manual: "Every one of these conditions holds." },
    Field { name: "any", shape: Shape::Conditions, required: false, manual: "At least one of these conditions holds." },
    Field { name: "not", shape: Shape::Condition, required: false, manual: "This condition does not hold." },
    Field {
        name: "tables_referenced",
        shape: Shape::Object(OPERATORS),
        required: false,
        manual: "The tables and views that the statement names anywhere, by `table` in any schema or `schema.table`. \
                 What a view is built on counts for all operators except `only`.",
    },
    Field {
        name: "schemas_referenced",
        shape: Shape::Object(OPERATORS),
        required: false,
        manual: "The schemas of the tables and views that the statement names, and of what those are built on \
                 (except for `only`).",
    },
    Field {
        name: "functions_referenced",
        shape: Shape::Object(OPERATORS),
        required: false,
        manual: "The functions that the statement calls, by `function` in any schema or `schema.function`; built-in \
                 ones are in `pg_catalog`.",
    },
];

/// How the names in a statement are compared with a list. Several must all hold.
const OPERATORS: &[Field] = &[
    operator("contains_any", "At least one of these names is there."),
    operator("contains_all", "All of these names are there."),
    operator("contains_none", "None of these names is there."),
    operator("only", "Nothing but these names is there; true of a statement that names nothing."),
];

const fn operator(name: &'static str, manual: &'static str) -> Field {
    Field { name, shape: Shape::Names, required: false, manual }
}

/// A condition, ready to be asked.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Names { subject: Subject, operator: Operator, names: Vec<ObjectName> },
}

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    False,
    True,
    /// It cannot be known, and why. What restricts acts as if it were true, what grants as if it were false.
    Unknown(String),
    /// It depends on an estimate that was not made yet.
    NeedsEstimate,
}

/// What a test of names looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Tables,
    Schemas,
    Functions,
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    ContainsAny,
    ContainsAll,
    ContainsNone,
    Only,
}

/// A name without which a condition cannot be true.
pub(crate) type Trigger = (Subject, Box<str>);

/// Something in the statement that made a condition true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Evidence {
    pub(crate) at: Place,
    /// What the statement names.
    pub(crate) name: String,
    /// What the policy names, where that is something below it.
    pub(crate) built_on: Option<String>,
}

impl Evidence {
    /// What it is, without its place.
    pub(crate) fn named(&self) -> String {
        match &self.built_on {
            Some(below) => format!("{}, which is built on {below}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, name, built_on } = self;
        match built_on {
            Some(below) => write!(formatter, "{name} (built on {below}) at {at}"),
            None => write!(formatter, "{name} at {at}"),
        }
    }
}

/// One thing in the statement, as a test sees it.
enum Item<'r> {
    Table(&'r TableUse),
    Function(&'r crate::FunctionUse),
}

impl Condition {
    /// Compiles an object that was checked against [`FIELDS`]; `None` where it had a problem.
    pub(crate) fn compile(
        object: Object<'_>,
        sources: Sources<'_>,
        unknown_ok: bool,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        let mut parts = Vec::new();
        for key in object.keys() {
            parts.push(match key {
                "all" => compile_list(object, key, sources, unknown_ok, context).map(Self::All),
                "any" => compile_list(object, key, sources, unknown_ok, context).map(Self::Any),
                "not" => object
                    .object(key)
                    .and_then(|inner| Self::compile(inner, sources, unknown_ok, context))
                    .map(|inner| Self::Not(Box::new(inner))),
                key => Subject::of_key(key)
                    .zip(object.object(key))
                    .and_then(|(subject, tests)| compile_tests(subject, tests, sources, unknown_ok, context)),
            });
        }
        all_of(parts.into_iter().collect::<Option<Vec<_>>>()?)
    }

    /// Whether it holds.
    pub(crate) fn truth(&self, request: &Request) -> Truth {
        if self.holds(request) { Truth::True } else { Truth::False }
    }

    /// Whether it holds. Allocates nothing.
    fn holds(&self, request: &Request) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(request)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(request)),
            Self::Not(part) => !part.holds(request),
            Self::Names { subject, operator, names } => match operator {
                Operator::ContainsAny => subject.any(request, |item| subject.reaches(item, names)),
                Operator::ContainsNone => !subject.any(request, |item| subject.reaches(item, names)),
                Operator::ContainsAll => {
                    let there = |name| subject.any(request, |item| subject.reaches(item, std::slice::from_ref(name)));
                    names.iter().all(there)
                }
                Operator::Only => !subject.any(request, |item| !subject.is_one_of(item, names)),
            },
        }
    }

    /// What in the statement made it `outcome`. Called only for a condition that was.
    pub(crate) fn evidence(&self, request: &Request, outcome: bool, found: &mut Vec<Evidence>) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let relevant = parts.iter().filter(|part| part.holds(request) == outcome);
                relevant.for_each(|part| part.evidence(request, outcome, found));
            }
            Self::Not(part) => part.evidence(request, !outcome, found),
            Self::Names { subject, operator, names } => match (operator, outcome) {
                (Operator::ContainsAny | Operator::ContainsAll, true) | (Operator::ContainsNone, false) => {
                    subject.each(request, |item| found.extend(subject.evidence(&item, names)));
                }
                (Operator::Only, false) => subject.each(request, |item| {
                    if !subject.is_one_of(&item, names) {
                        found.push(subject.named(&item, None));
                    }
                }),
                // Something is absent, or everything is as listed: nothing to point at.
                _ => {}
            },
        }
    }

    /// Names of which one must be in the statement for this to hold; `None` where it may hold without any.
    pub(crate) fn triggers(&self) -> Option<Vec<Trigger>> {
        match self {
            Self::All(parts) => parts.iter().filter_map(Self::triggers).min_by_key(Vec::len),
            Self::Any(parts) => {
                parts.iter().map(Self::triggers).collect::<Option<Vec<_>>>().map(|triggers| triggers.concat())
            }
            Self::Names { subject, operator, names } => {
                let triggers = names.iter().map(|name| (*subject, name.name.clone()));
                match operator {
                    Operator::ContainsAny => Some(triggers.collect()),
                    Operator::ContainsAll => Some(triggers.take(1).collect()),
                    Operator::ContainsNone | Operator::Only => None,
                }
            }
            Self::Not(_) => None,
        }
    }
}

/// Calls `meet` with every name in a request that may be a [`Trigger`].
pub(crate) fn each_trigger<'r>(request: &'r Request, mut meet: impl FnMut(Subject, &'r str)) {
    for used in &request.tables {
        for table in used.closure().map(|facts| &facts.name) {
            meet(Subject::Tables, &table.table);
            meet(Subject::Schemas, &table.schema);
        }
    }
    for function in &request.functions {
        meet(Subject::Functions, &function.name);
    }
}

fn compile_list(
    object: Object<'_>,
    key: &str,
    sources: Sources<'_>,
    unknown_ok: bool,
    context: &mut Context<'_>,
) -> Option<Vec<Condition>> {
    let parts: Vec<_> =
        object.objects(key).map(|part| Condition::compile(part, sources, unknown_ok, context)).collect();
    parts.into_iter().collect::<Option<Vec<_>>>().filter(|parts| !parts.is_empty())
}

fn compile_tests(
    subject: Subject,
    tests: Object<'_>,
    sources: Sources<'_>,
    unknown_ok: bool,
    context: &mut Context<'_>,
) -> Option<Condition> {
    let mut parts = Vec::new();
    for key in tests.keys() {
        let names = read_names(subject, tests, key, sources, unknown_ok, context);
        parts.push(Operator::of_key(key).map(|operator| Condition::Names { subject, operator, names }));
    }
    all_of(parts.into_iter().collect::<Option<Vec<_>>>()?)
}

fn read_names(
    subject: Subject,
    tests: Object<'_>,
    key: &str,
    sources: Sources<'_>,
    unknown_ok: bool,
    context: &mut Context<'_>,
) -> Vec<ObjectName> {
    let mut names = Vec::new();
    for written in tests.names(key) {
        match subject.read(written.value) {
            Ok(name) => {
                let unknown = context.known.map(|known| subject.check(known, &name, sources));
                if let Some(Err(unknown)) = unknown {
                    let what = subject.noun();
                    let problem = written.problem(format!("no {what} is called \"{}\"", written.value), unknown.0);
                    context.report_unknown(problem, unknown_ok);
                }
                names.push(name);
            }
            Err(fault) => context.problems.push(written.problem(fault.message, fault.suggestion)),
        }
    }
    names
}

/// All of several conditions; the condition itself where there is one. `None` where there is none.
fn all_of(mut parts: Vec<Condition>) -> Option<Condition> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Condition::All(parts)),
    }
}

impl Operator {
    fn of_key(key: &str) -> Option<Self> {
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
    fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "tables_referenced" => Self::Tables,
            "schemas_referenced" => Self::Schemas,
            "functions_referenced" => Self::Functions,
            _ => return None,
        })
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Tables => "table",
            Self::Schemas => "schema",
            Self::Functions => "function",
        }
    }

    fn read(self, written: &str) -> Result<ObjectName, NotAName> {
        match self {
            Self::Tables | Self::Functions => ObjectName::read(written),
            Self::Schemas => read_simple(written).map(|name| ObjectName { schema: None, name }),
        }
    }

    fn check(self, known: &crate::Known, name: &ObjectName, sources: Sources<'_>) -> Result<(), Unknown> {
        match self {
            Self::Tables => known.check_table(name, sources),
            Self::Schemas => known.check_schema(&name.name, sources),
            Self::Functions => known.check_function(name, sources),
        }
    }

    fn any<'r>(self, request: &'r Request, test: impl Fn(&Item<'r>) -> bool) -> bool {
        match self {
            Self::Tables | Self::Schemas => request.tables.iter().any(|used| test(&Item::Table(used))),
            Self::Functions => request.functions.iter().any(|used| test(&Item::Function(used))),
        }
    }

    fn each<'r>(self, request: &'r Request, mut meet: impl FnMut(Item<'r>)) {
        match self {
            Self::Tables | Self::Schemas => request.tables.iter().for_each(|used| meet(Item::Table(used))),
            Self::Functions => request.functions.iter().for_each(|used| meet(Item::Function(used))),
        }
    }

    fn is_named(self, table: &TableName, names: &[ObjectName]) -> bool {
        match self {
            Self::Schemas => names.iter().any(|name| *name.name == *table.schema),
            _ => names.iter().any(|name| name.matches(&table.schema, &table.table)),
        }
    }

    /// Whether a thing itself is one of the names.
    fn is_one_of(self, item: &Item<'_>, names: &[ObjectName]) -> bool {
        match item {
            Item::Table(used) => self.is_named(used.name(), names),
            Item::Function(used) => names.iter().any(|name| name.matches(&used.schema, &used.name)),
        }
    }

    /// Whether a thing, or anything it is built on, is one of the names.
    fn reaches(self, item: &Item<'_>, names: &[ObjectName]) -> bool {
        self.is_one_of(item, names) || self.below(item, names).is_some()
    }

    fn below<'r>(self, item: &Item<'r>, names: &[ObjectName]) -> Option<&'r TableName> {
        match item {
            Item::Table(used) => {
                used.built_on.iter().map(|facts| &facts.name).find(|table| self.is_named(table, names))
            }
            Item::Function(_) => None,
        }
    }

    fn evidence(self, item: &Item<'_>, names: &[ObjectName]) -> Option<Evidence> {
        if self.is_one_of(item, names) {
            return Some(self.named(item, None));
        }
        self.below(item, names).map(|below| self.named(item, Some(below)))
    }

    fn named(self, item: &Item<'_>, built_on: Option<&TableName>) -> Evidence {
        let built_on = built_on.map(ToString::to_string);
        match item {
            Item::Table(used) => Evidence { at: used.at, name: used.name().to_string(), built_on },
            Item::Function(used) => Evidence { at: used.at, name: format!("{}.{}", used.schema, used.name), built_on },
        }
    }
}
