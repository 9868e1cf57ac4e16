//! `allow`: tables and columns that only some people see.

use std::collections::{BTreeMap, BTreeSet};

use super::{NamedBy, Refused, TABLES, columns_of, tables_of};
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape};
use crate::governed::{Asked, ByTable, Demand, Reached, Reading};
use crate::names::ColumnName;
use crate::{Reason, Request, SourceName, TableFacts, TableKind, TableName, TableUse};

rule_kind! {
    /// What is named here is seen only by those whom one such policy allows it: the people it applies to, where its
    /// condition holds.
    ///
    /// It takes away and never adds: without a `schema_whitelist` that lists a table nobody reads it, whatever is allowed
    /// here. A table that is not allowed is refused, also under a view; a column that is not allowed is left out, as if
    /// the table did not have it. What no policy of this kind names stays as it is. Whoever names a table that is not
    /// allowed reads that there is no such table, or the policy's message if it has one.
    ///
    /// A materialised view holds a copy of rows, so it is refused where something it is made of is filtered, masked or
    /// left out for the person. A policy of this kind that names the materialised view under `tables` says that the copy
    /// may be read all the same, by those whom it allows.
    ALLOW {
        name: "allow",
        named_by: NamedBy::Action,
        fields: &[
            TABLES,
            Field {
                name: "columns",
                shape: Shape::Names,
                required: false,
                manual: "Columns, as `schema.table.column`, or `table.column` for that table in any schema.",
            },
        ],
        accepted: include_str!("../../examples/allow.json"),
        refused: Refused {
            file: r#"{ "name": "care", "action": "allow", "columns": ["dim_patient.*"] }"#,
            problem: "1:50: \"dim_patient.*\" is a pattern, and names are compared exactly; list the names, or quote the \
                      part if the star is part of the name",
        },
        grants: true,
        compile: compile,
    }
}

/// All policies, and those (by number) that reserve a table or a column.
#[derive(Debug, Default)]
struct Allowed {
    rules: Vec<Header>,
    tables: ByTable<usize>,
    columns: ByTable<(Box<str>, usize)>,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut allowed = Allowed::default();
    for (number, policy) in policies.iter().enumerate() {
        if !policy.body.has("tables") && !policy.body.has("columns") {
            let suggestion = Some("add \"tables\" or \"columns\"".to_owned());
            context.problems.push(policy.body.problem("the policy allows nothing".to_owned(), suggestion));
        }
        tables_of(policy, context).into_iter().for_each(|name| allowed.tables.add(name, number));
        for (_, ColumnName { table, column }) in columns_of(policy, context) {
            allowed.columns.add(table, (column, number));
        }
        allowed.rules.push(policy.into());
    }
    Box::new(allowed)
}

/// What the policies that name something say of it.
enum Answer<'a> {
    /// One allows it.
    Allowed(&'a Header),
    /// None does; this one speaks for them.
    Reserved(&'a Header),
}

/// One request's questions to the policies: the truth of each is found once.
struct Asking<'a> {
    rules: &'a [Header],
    request: &'a Request,
    truths: BTreeMap<usize, Truth>,
}

impl<'a> Asking<'a> {
    /// What these policies say of something in a source; `None` where none of them is about that source.
    fn answer(&mut self, numbers: &BTreeSet<usize>, source: &SourceName, verdict: &mut Verdict) -> Option<Answer<'a>> {
        let mut speaker: Option<&'a Header> = None;
        for number in numbers {
            let Some(header) = self.rules.get(*number).filter(|header| header.audience.covers(source)) else {
                continue;
            };
            match self.truths.entry(*number).or_insert_with(|| header.truth(self.request)) {
                Truth::True => return Some(Answer::Allowed(header)),
                // As if it were true, for the time being: whatever is decided now is decided again with the estimate.
                Truth::NeedsEstimate => {
                    verdict.need_estimate();
                    return Some(Answer::Allowed(header));
                }
                // What is not known is not allowed.
                Truth::False | Truth::Unknown(_) => {}
            }
            if speaker.is_none_or(|speaker| speaker.message.is_none() && header.message.is_some()) {
                speaker = Some(header);
            }
        }
        speaker.map(Answer::Reserved)
    }
}

/// Tables that are not allowed, each with the policy that speaks for them.
type Reserved<'a> = BTreeMap<&'a TableName, &'a Header>;

impl Judge for Allowed {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if self.rules.is_empty() {
            return;
        }
        let tables = verdict.tables(request);
        let mut asking = Asking { rules: &self.rules, request, truths: BTreeMap::new() };
        let mut reserved = Reserved::new();
        let mut released: BTreeSet<&TableName> = BTreeSet::new();
        for (table, reached) in tables.iter() {
            let name = &reached.facts.name;
            let about: BTreeSet<usize> = self.tables.about(&reached.facts).copied().collect();
            match asking.answer(&about, &name.source, verdict) {
                Some(Answer::Allowed(header)) => verdict.fired(&header.rule),
                Some(Answer::Reserved(header)) => {
                    reserved.insert(name, header);
                }
                None => {}
            }
            let naming: BTreeSet<usize> = self.tables.named(name).copied().collect();
            if let Some(Answer::Allowed(_)) = asking.answer(&naming, &name.source, verdict) {
                released.insert(name);
                verdict.release(table);
            }
            self.hide_columns(&mut asking, table, reached, verdict);
        }
        if !reserved.is_empty() {
            refuse(request, &reserved, &released, verdict);
        }
    }
}

impl Allowed {
    fn hide_columns(&self, asking: &mut Asking<'_>, table: usize, reached: &Reached, verdict: &mut Verdict) {
        let facts = &reached.facts;
        let mut of_columns: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (column, number) in self.columns.about(facts) {
            if facts.columns.is_empty() || facts.column(column).is_some() {
                of_columns.entry(column).or_default().insert(*number);
            }
        }
        for (column, numbers) in of_columns {
            match asking.answer(&numbers, &facts.name.source, verdict) {
                Some(Answer::Allowed(header)) => verdict.fired(&header.rule),
                Some(Answer::Reserved(header)) => {
                    let (what, rule) = (Asked::Hide { column: column.into() }, header.rule.clone());
                    verdict.demand(Demand { table, what, number: 0, rule });
                }
                None => {}
            }
        }
    }
}

/// Refuses every table of the statement whose rows are reserved, or come from one that is. What is told is what a
/// whitelist would tell of it.
fn refuse(request: &Request, reserved: &Reserved<'_>, released: &BTreeSet<&TableName>, verdict: &mut Verdict) {
    let mut told: BTreeSet<&TableName> = BTreeSet::new();
    for used in &request.tables {
        let is_copy = used.table.kind == TableKind::MaterializedView && released.contains(used.name());
        let comes_out = |table: &&TableFacts| !is_copy || table.name == used.table.name;
        let reading = Reading::new(used);
        let read = reading.tables().map(|facts| &**facts).filter(comes_out);
        let header = read.filter_map(|facts| reserved.get(&facts.name)).next();
        if let Some(header) = header.filter(|_| told.insert(used.name())) {
            let reason = not_listed(used, header);
            // Who writes a message wants it read.
            match header.message {
                None => verdict.deny_absent(reason),
                Some(_) => verdict.deny(|| reason),
            }
        }
    }
}

fn not_listed(used: &TableUse, header: &Header) -> Reason {
    let table = used.name();
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| format!("permission denied for table {table}")),
        detail: format!("{table} is not listed"),
        hint: format!("To read {table}, {}.", header.owner()),
        at: Some(used.at),
    }
}
