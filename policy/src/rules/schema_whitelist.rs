//! `schema_whitelist`: what may be named at all.

use std::collections::{BTreeSet, HashMap};

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::Index;
use crate::decide::{Header, Judge, Verdict, listed};
use crate::fields::{Field, Shape, Text};
use crate::names::{FunctionName, NotAName, ObjectName, Unknown, is_system_schema, read_simple};
use crate::problem::nearest;
use crate::{FunctionUse, Identity, Reason, Request, SourceName, TableName, TableUse};

/// Names compared with a refused one to find what was meant.
const COMPARED_MAX: usize = 1_000;

/// Names spelled out in a hint.
const NAMES_SHOWN_MAX: usize = 5;

rule_kind! {
    /// Only what is listed can be read: whole `schemas`, single `tables`, and `functions` that are not built in.
    ///
    /// Without a whitelist that applies to a person they see no table at all. Several add up. A view is judged by its
    /// own name here, so that it can show a part of a table that is not listed; a `condition` also looks at what the
    /// view is built on, and blocking wins over listing.
    ///
    /// Built-in functions that only compute need no listing, and no listing allows the others. What a function of
    /// your own does cannot be seen from outside: list those whose source you have read.
    SCHEMA_WHITELIST {
        name: "schema_whitelist",
        named_by: NamedBy::Check,
        fields: &[
            Field {
                name: "schemas",
                shape: Shape::Names,
                required: false,
                manual: "Schemas of which every table and view can be read, also those made later.",
            },
            Field {
                name: "tables",
                shape: Shape::Names,
                required: false,
                manual: "Single tables and views, as `schema.table`.",
            },
            Field {
                name: "functions",
                shape: Shape::Names,
                required: false,
                manual: "Functions that are not built in and may be called, as `schema.function`, or one of several of \
                         that name by the types of its arguments, as `schema.function(date, integer)`. A call is \
                         allowed only where every function it can mean is listed.",
            },
        ],
        accepted: include_str!("../../examples/analytics-only.json"),
        refused: Refused {
            file: r#"{ "name": "all", "check": "schema_whitelist", "schemas": ["analytics.*", "pg_catalog"] }"#,
            problem: "1:59: \"analytics.*\" is a pattern, and names are compared exactly; list the names, or quote \
                      the part if the star is part of the name\n\
                      1:74: \"pg_catalog\" belongs to the database system; leave it out: the gateway answers for the \
                      catalog itself",
        },
        grants: true,
        compile: compile,
    }
}

/// All whitelists, and for each name the lists (by index) that have it.
#[derive(Debug, Default)]
struct Whitelists {
    lists: Vec<Header>,
    index: Index,
    schemas: HashMap<Box<str>, Grants>,
}

/// What is listed of one schema.
#[derive(Debug, Default)]
struct Grants {
    whole: Vec<usize>,
    tables: HashMap<Box<str>, Vec<usize>>,
    functions: HashMap<Box<str>, Vec<ListedFunction>>,
}

/// A function as one list has it.
#[derive(Debug)]
struct ListedFunction {
    list: usize,
    /// The argument types; any, where none are written.
    arguments: Option<Box<str>>,
}

/// A request, and the lists (by index) that may be for its person.
struct Meant<'r> {
    request: &'r Request,
    candidates: Vec<usize>,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut whitelists = Whitelists::default();
    for (index, policy) in policies.iter().enumerate() {
        whitelists.index.add(index, &policy.audience, None);
        whitelists.lists.push(policy.into());
        whitelists.read(index, policy, context);
    }
    Box::new(whitelists)
}

impl Whitelists {
    fn read(&mut self, index: usize, policy: &Policy<'_>, context: &mut Context<'_>) {
        let sources = policy.audience.sources();
        if !["schemas", "tables", "functions"].into_iter().any(|key| policy.body.has(key)) {
            let suggestion = Some("add \"schemas\", \"tables\" or \"functions\"".to_owned());
            context.problems.push(policy.body.problem_at(
                "check",
                "the whitelist lists nothing".to_owned(),
                suggestion,
            ));
        }
        for written in policy.body.names("schemas") {
            let name = read_simple(written.value).map(|schema| (schema, Box::default()));
            let Some((schema, _)) = accepted(&written, name, context) else { continue };
            let known = context.known.map(|known| known.check_schema(&schema, sources));
            report_unknown("schema", &written, known, policy, context);
            self.schemas.entry(schema).or_default().whole.push(index);
        }
        for written in policy.body.names("tables") {
            let name = ObjectName::read_qualified(written.value);
            let Some((schema, name)) = accepted(&written, name, context) else { continue };
            let object = ObjectName { schema: Some(schema.clone()), name: name.clone() };
            let known = context.known.map(|known| known.check_table(&object, sources));
            report_unknown("table", &written, known, policy, context);
            self.schemas.entry(schema).or_default().tables.entry(name).or_default().push(index);
        }
        for written in policy.body.names("functions") {
            self.read_function(index, &written, policy, context);
        }
    }

    fn read_function(&mut self, list: usize, written: &Text<'_>, policy: &Policy<'_>, context: &mut Context<'_>) {
        let sources = policy.audience.sources();
        let read = FunctionName::read(written.value);
        let name = read.as_ref().map(|name| (name.schema.clone(), name.name.clone())).map_err(Clone::clone);
        let (Some((schema, name)), Ok(function)) = (accepted(written, name, context), read) else { return };
        let object = ObjectName { schema: Some(schema.clone()), name: name.clone() };
        let known = context
            .known
            .map(|known| known.check_function(&object, sources).and_then(|()| known.check_form(&function, sources)));
        report_unknown("function", written, known, policy, context);
        let listed = ListedFunction { list, arguments: function.arguments };
        self.schemas.entry(schema).or_default().functions.entry(name).or_default().push(listed);
    }

    /// The first list that lets a person read a table: one of its whole schema, or else one of the table.
    fn granting_table(&self, meant: &Meant<'_>, table: &TableName) -> Option<&Header> {
        let grants = self.schemas.get(table.schema.as_str())?;
        let single = || self.first_for(grants.tables.get(table.table.as_str())?, meant, &table.source);
        self.first_for(&grants.whole, meant, &table.source).or_else(single)
    }

    /// The first list that lets a person call a function that is not built in. Whatever the call can mean must be
    /// listed: which of several it will be is for the source to say.
    fn granting_function(&self, meant: &Meant<'_>, used: &FunctionUse) -> Option<&Header> {
        let mut forms = used.forms.iter();
        let first = self.granting_form(meant, used, forms.next().map(String::as_str))?;
        forms.all(|form| self.granting_form(meant, used, Some(form)).is_some()).then_some(first)
    }

    /// The first list that has one form of a function; its name alone stands for every form.
    fn granting_form(&self, meant: &Meant<'_>, used: &FunctionUse, form: Option<&str>) -> Option<&Header> {
        let listed = self.schemas.get(used.schema.as_str())?.functions.get(used.name.as_str())?;
        let has = |listed: &&ListedFunction| match &listed.arguments {
            None => true,
            Some(arguments) => form == Some(&**arguments),
        };
        let lists: Vec<usize> = listed.iter().filter(has).map(|listed| listed.list).collect();
        self.first_for(&lists, meant, &meant.request.source)
    }

    /// The first of some lists that is for a person on a source. Of these, and of those that may be for the person, the
    /// fewer are looked at.
    fn first_for(&self, lists: &[usize], meant: &Meant<'_>, source: &SourceName) -> Option<&Header> {
        let is_for = |list: &&Header| list.audience.includes_on(&meant.request.identity, source);
        let list = |number: &usize| self.lists.get(*number).filter(is_for);
        match lists.len() <= meant.candidates.len() {
            true => lists.iter().find_map(list),
            false => meant.candidates.iter().filter(|number| lists.binary_search(number).is_ok()).find_map(list),
        }
    }
}

/// A name that a whitelist may hold, or nothing and a problem.
fn accepted(
    written: &Text<'_>,
    name: Result<(Box<str>, Box<str>), NotAName>,
    context: &mut Context<'_>,
) -> Option<(Box<str>, Box<str>)> {
    let problem = match name {
        Ok((schema, _)) if is_system_schema(&schema) => written.problem(
            format!("\"{}\" belongs to the database system", written.value),
            Some("leave it out: the gateway answers for the catalog itself".to_owned()),
        ),
        Ok(name) => return Some(name),
        Err(fault) => written.problem(fault.message, fault.suggestion),
    };
    context.problems.push(problem);
    None
}

fn report_unknown(
    noun: &str,
    written: &Text<'_>,
    known: Option<Result<(), Unknown>>,
    policy: &Policy<'_>,
    context: &mut Context<'_>,
) {
    if let Some(Err(Unknown(suggestion))) = known {
        let problem = written.problem(format!("no {noun} is called \"{}\"", written.value), suggestion);
        context.report_unknown(problem, policy.unknown_ok);
    }
}

impl Judge for Whitelists {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        let meant = Meant { request, candidates: self.index.candidates(request) };
        for (index, used) in request.tables.iter().enumerate() {
            match self.granting_table(&meant, used.name()) {
                Some(list) => verdict.fired(&list.rule),
                None if is_repeated(request.tables.iter().take(index), used) => {}
                None => verdict.deny(|| self.refused_table(request, used)),
            }
        }
        for used in request.functions.iter().filter(|used| !used.pure) {
            match self.granting_function(&meant, used) {
                Some(list) => verdict.fired(&list.rule),
                None => verdict.deny(|| self.refused_function(&meant, used)),
            }
        }
    }
}

/// Whether a table that is refused was refused before.
fn is_repeated<'r>(mut earlier: impl Iterator<Item = &'r TableUse>, used: &TableUse) -> bool {
    earlier.any(|other| other.name() == used.name())
}

impl Whitelists {
    fn refused_table(&self, request: &Request, used: &TableUse) -> Reason {
        let here = self.lists_for(&request.identity, &used.name().source);
        let header = self.spokesman(&here);
        let table = used.name();
        let detail = match here.len() {
            0 => format!("no schema_whitelist applies to {} on source {}", request.identity.person, table.source),
            1 => format!("{table} is not listed"),
            lists => format!("{table} is listed by none of the {lists} whitelists that apply"),
        };
        Reason {
            rule: header.rule.clone(),
            message: header.message_or(|| format!("permission denied for table {table}")),
            detail,
            hint: self.hint_for_table(&here, table, &header),
            at: Some(used.at),
        }
    }

    fn hint_for_table(&self, here: &BTreeSet<usize>, table: &TableName, header: &Header) -> String {
        if here.is_empty() {
            return "Ask whoever keeps the policy files for a schema_whitelist that applies to you.".to_owned();
        }
        let (schemas, tables) = self.readable(here);
        let written = table.to_string();
        let owner = header.owner();
        let meant =
            nearest(&written, tables.iter().take(COMPARED_MAX).map(String::as_str)).map(str::to_owned).or_else(|| {
                nearest(&table.schema, schemas.iter().take(COMPARED_MAX).copied())
                    .map(|schema| format!("{schema}.{}", table.table))
            });
        if let Some(meant) = meant.filter(|meant| *meant != written) {
            return format!("Perhaps you meant {meant}; otherwise {owner} to list {written}.");
        }
        let mut readable: Vec<String> = schemas.iter().map(|schema| format!("schema {schema}")).collect();
        readable.extend(tables.iter().map(|table| format!("table {table}")));
        match readable.is_empty() {
            true => format!("To read {written}, {owner}."),
            false => format!("You may read {}; for {written}, {owner}.", listed(&readable, NAMES_SHOWN_MAX)),
        }
    }

    fn refused_function(&self, meant: &Meant<'_>, used: &FunctionUse) -> Reason {
        let request = meant.request;
        let here = self.lists_for(&request.identity, &request.source);
        let header = self.spokesman(&here);
        let function = format!("{}.{}", used.schema, used.name);
        let built_in = used.schema == "pg_catalog";
        let why = if built_in { "is not among the built-in functions that only compute" } else { "is not listed" };
        let hint = match built_in {
            true => format!("See that {} is spelt right, or leave it out; no policy can allow it.", used.name),
            false => self.hint_for_function(&here, &function, &header),
        };
        let message = format!("permission denied for function {function}");
        // A policy's own message speaks of what it lists; it cannot list what is built in.
        let (rule, message) = match built_in {
            true => (Header::built_in(SCHEMA_WHITELIST.name).rule, message),
            false => (header.rule.clone(), header.message_or(|| message)),
        };
        let missing = |form: &&String| self.granting_form(meant, used, Some(form.as_str())).is_none();
        let detail = match used.forms.iter().find(missing) {
            Some(form) => format!("{function}({form}) {why}"),
            None => format!("{function} {why}"),
        };
        Reason { rule, message, detail, hint, at: Some(used.at) }
    }

    fn hint_for_function(&self, here: &BTreeSet<usize>, function: &str, header: &Header) -> String {
        let listed: BTreeSet<String> = self
            .schemas
            .iter()
            .flat_map(|(schema, grants)| grants.functions.iter().map(move |(name, lists)| (schema, name, lists)))
            .filter(|(_, _, listed)| listed.iter().any(|listed| here.contains(&listed.list)))
            .map(|(schema, name, _)| format!("{schema}.{name}"))
            .filter(|listed| listed != function)
            .collect();
        let owner = header.owner();
        match nearest(function, listed.iter().take(COMPARED_MAX).map(String::as_str)) {
            Some(meant) => format!("Perhaps you meant {meant}; otherwise {owner} to list {function}."),
            None => {
                format!("Built-in functions that only compute may be called; to call {function}, {owner} to list it.")
            }
        }
    }

    /// The lists that apply to a person on a source.
    fn lists_for(&self, identity: &Identity, source: &SourceName) -> BTreeSet<usize> {
        let applies = |(_, list): &(usize, &Header)| list.audience.includes_on(identity, source);
        self.lists.iter().enumerate().filter(applies).map(|(index, _)| index).collect()
    }

    /// The list in whose name something is refused: the first with a message of its own, or the first.
    fn spokesman(&self, here: &BTreeSet<usize>) -> Header {
        let lists = || here.iter().filter_map(|index| self.lists.get(*index));
        let list = lists().find(|list| list.message.is_some()).or_else(|| lists().next());
        list.cloned().unwrap_or_else(|| Header::built_in(SCHEMA_WHITELIST.name))
    }

    /// Schemas and tables that some lists let a person read, in order.
    fn readable(&self, here: &BTreeSet<usize>) -> (BTreeSet<&str>, BTreeSet<String>) {
        let lists_it = |lists: &[usize]| lists.iter().any(|index| here.contains(index));
        let whole = self.schemas.iter().filter(|(_, grants)| lists_it(&grants.whole)).map(|(schema, _)| &**schema);
        let tables = self
            .schemas
            .iter()
            .flat_map(|(schema, grants)| grants.tables.iter().map(move |(table, lists)| (schema, table, lists)))
            .filter(|(_, _, lists)| lists_it(lists))
            .map(|(schema, table, _)| format!("{schema}.{table}"));
        (whole.collect(), tables.collect())
    }
}
