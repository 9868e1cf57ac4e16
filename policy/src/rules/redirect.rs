//! `redirect`: another table answers in place of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape, Text};
use crate::governed::{ByTable, Reading};
use crate::names::{NotAName, ObjectName};
use crate::{Reason, Redirect, Request, RuleReference, StatementKind, TableName, TableUse};

rule_kind! {
    /// Where a statement names the table `from`, the table or view `to` answers in its place.
    ///
    /// It is for those who get aggregates only: they write the table that they know and read a view with less detail. The
    /// statement is decided anew with the other table, and refused where it names columns that the other does not have.
    /// What cannot be put in place of anything is refused: other views over `from`, and its partitions and parents.
    REDIRECT {
        name: "redirect",
        named_by: NamedBy::Action,
        fields: &[
            Field {
                name: "from",
                shape: Shape::Text,
                required: true,
                manual: "The table that is named, as `schema.table`, or `table` for that one in any schema.",
            },
            Field {
                name: "to",
                shape: Shape::Text,
                required: true,
                manual: "The table or view of the same source that answers, as `schema.table`.",
            },
        ],
        accepted: include_str!("../../examples/redirect.json"),
        refused: Refused {
            file: r#"[
  { "name": "there", "action": "redirect", "from": "a.detail", "to": "a.total" },
  { "name": "and back", "action": "redirect", "from": "a.total", "to": "a.detail" }
]"#,
            problem: "2:70: \"a.total\" is redirected back to \"a.detail\"; redirect to a table that is not redirected itself\n\
                      3:72: \"a.detail\" is redirected back to \"a.total\"; redirect to a table that is not redirected itself",
        },
        grants: false,
        compile: compile,
    }
}

#[derive(Debug, Default)]
struct Redirects {
    rules: Vec<Rule>,
    from: ByTable<usize>,
}

#[derive(Debug)]
struct Rule {
    header: Header,
    schema: Box<str>,
    table: Box<str>,
}

/// A policy, and what it says as written.
struct Written<'p, 'd> {
    policy: &'p Policy<'d>,
    from: ObjectName,
    to: ObjectName,
    to_text: Text<'d>,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let written: Vec<Written<'_, '_>> = policies.iter().filter_map(|policy| read(policy, context)).collect();
    report_circles(&written, context);
    report_rivals(&written, context);
    let mut redirects = Redirects::default();
    for Written { policy, from, to, to_text: _ } in written {
        redirects.from.add(from, redirects.rules.len());
        let schema = to.schema.unwrap_or_default();
        redirects.rules.push(Rule { header: policy.into(), schema, table: to.name });
    }
    Box::new(redirects)
}

fn read<'p, 'd>(policy: &'p Policy<'d>, context: &mut Context<'_>) -> Option<Written<'p, 'd>> {
    let qualified = |written: &str| {
        ObjectName::read_qualified(written).map(|(schema, name)| ObjectName { schema: Some(schema), name })
    };
    let from = table(policy, "from", ObjectName::read, context);
    let to = table(policy, "to", qualified, context);
    let ((_, from), (to_text, to)) = from.zip(to)?;
    Some(Written { policy, from, to, to_text })
}

fn table<'d>(
    policy: &Policy<'d>,
    key: &str,
    read: impl Fn(&str) -> Result<ObjectName, NotAName>,
    context: &mut Context<'_>,
) -> Option<(Text<'d>, ObjectName)> {
    let written = policy.body.text(key)?;
    match read(written.value) {
        Ok(name) => {
            let known = context.known.map(|known| known.check_table(&name, policy.audience.sources()));
            if let Some(Err(unknown)) = known {
                let problem = written.problem(format!("no table is called \"{}\"", written.value), unknown.0);
                context.report_unknown(problem, policy.unknown_ok);
            }
            Some((written, name))
        }
        Err(fault) => {
            context.problems.push(written.problem(fault.message, fault.suggestion));
            None
        }
    }
}

/// For each policy, those that may redirect what it redirects to.
fn following(written: &[Written<'_, '_>]) -> Vec<Vec<usize>> {
    let mut from: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, one) in written.iter().enumerate() {
        from.entry(&one.from.name).or_default().push(index);
    }
    let next = |one: &Written<'_, '_>| {
        let same_name = from.get(&*one.to.name).into_iter().flatten().copied();
        let meant = |other: &usize| {
            written.get(*other).is_some_and(|other| {
                one.to.schema.as_deref().is_some_and(|schema| other.from.matches(schema, &one.to.name))
                    && !one.policy.audience.is_apart_from(&other.policy.audience)
            })
        };
        same_name.filter(meant).collect()
    };
    written.iter().map(next).collect()
}

/// Reports redirects that come back to where they started.
fn report_circles(written: &[Written<'_, '_>], context: &mut Context<'_>) {
    let following = following(written);
    for (start, one) in written.iter().enumerate() {
        let mut seen = BTreeSet::new();
        let mut open = following.get(start).cloned().unwrap_or_default();
        while let Some(next) = open.pop() {
            if next == start {
                let (from, to) = (one.policy.body.text("from").map_or("", |from| from.value), one.to_text.value);
                let message = match following.get(start).is_some_and(|next| next.contains(&start)) {
                    true => format!("\"{to}\" is redirected to itself"),
                    false => format!("\"{to}\" is redirected back to \"{from}\""),
                };
                let suggestion = "redirect to a table that is not redirected itself".to_owned();
                context.problems.push(one.to_text.problem(message, Some(suggestion)));
                break;
            }
            if seen.insert(next) {
                open.extend(following.get(next).into_iter().flatten());
            }
        }
    }
}

/// Reports redirects of one table to different tables, for people who may be the same.
fn report_rivals(written: &[Written<'_, '_>], context: &mut Context<'_>) {
    let mut from: HashMap<&str, Vec<&Written<'_, '_>>> = HashMap::new();
    for one in written {
        let earlier = from.entry(&one.from.name).or_default();
        let rival = earlier.iter().find(|other| {
            let schemas = one.from.schema.as_deref().zip(other.from.schema.as_deref());
            other.to != one.to
                && schemas.is_none_or(|(one, other)| one == other)
                && !one.policy.audience.is_apart_from(&other.policy.audience)
        });
        if let Some(rival) = rival {
            let RuleReference { policy, file, line } = &rival.policy.rule;
            let message =
                format!("policy \"{policy}\" ({file}:{line}) redirects the same table to \"{}\"", rival.to_text.value);
            let suggestion = "agree on one, or apply them to different users, tenants or sources".to_owned();
            context.problems.push(one.to_text.problem(message, Some(suggestion)));
        }
        earlier.push(one);
    }
}

impl Judge for Redirects {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        // What writes is refused whatever it names.
        if self.rules.is_empty() || request.kind == StatementKind::Write {
            return;
        }
        let mut asking = Asking { redirects: self, request, truths: BTreeMap::new() };
        for from in &request.redirected {
            if let Some(rule) = asking.acting(from, verdict) {
                verdict.fired(&rule.header.rule);
            }
        }
        let mut told: BTreeSet<&TableName> = BTreeSet::new();
        for used in request.tables.iter().filter(|used| told.insert(used.name())) {
            match asking.acting(used.name(), verdict) {
                Some(rule) => verdict.redirect(rule.redirect(used.name())),
                None => asking.refuse_built_on(used, verdict),
            }
        }
    }
}

/// One request's questions to the policies: the truth of each is found once.
struct Asking<'a> {
    redirects: &'a Redirects,
    request: &'a Request,
    truths: BTreeMap<usize, Truth>,
}

impl<'a> Asking<'a> {
    /// The policy that redirects a table, if any does.
    fn acting(&mut self, from: &TableName, verdict: &mut Verdict) -> Option<&'a Rule> {
        let redirects = self.redirects;
        for number in redirects.from.named(from) {
            let Some(rule) = redirects.rules.get(*number).filter(|rule| rule.header.audience.covers(&from.source))
            else {
                continue;
            };
            match self.truths.entry(*number).or_insert_with(|| rule.header.truth(self.request)) {
                Truth::False => {}
                // Until it is known, nothing else answers, and nothing runs either.
                Truth::NeedsEstimate => verdict.need_estimate(),
                Truth::True | Truth::Unknown(_) => return Some(rule),
            }
        }
        None
    }

    /// Refuses what gives rows of a redirected table without being it, except what answers in its place.
    fn refuse_built_on(&mut self, used: &TableUse, verdict: &mut Verdict) {
        let reading = Reading::new(used);
        for table in reading.tables() {
            for from in crate::governed::names_of(table).filter(|from| *from != used.name()) {
                if let Some(rule) = self.acting(from, verdict).filter(|rule| !rule.is_to(used.name())) {
                    return verdict.deny(|| rule.built_on(used, from));
                }
            }
        }
    }
}

impl Rule {
    fn redirect(&self, from: &TableName) -> Redirect {
        let to =
            TableName { source: from.source.clone(), schema: self.schema.to_string(), table: self.table.to_string() };
        Redirect { from: from.clone(), to, rule: self.header.rule.clone() }
    }

    fn is_to(&self, table: &TableName) -> bool {
        *self.schema == *table.schema && *self.table == *table.table
    }

    fn built_on(&self, used: &TableUse, from: &TableName) -> Reason {
        let rule = &self.header.rule;
        let (name, to) = (used.name(), format!("{}.{}", self.schema, self.table));
        Reason {
            rule: rule.clone(),
            message: self.header.message_or(|| format!("permission denied for table {name}")),
            detail: format!("{name} gives rows of {from}, in whose place policy \"{}\" puts {to}", rule.policy),
            hint: format!("Read {to}, or {}.", self.header.owner()),
            at: Some(used.at),
        }
    }
}
