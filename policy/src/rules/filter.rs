//! `filter`: which rows of a table a person sees.

use std::collections::{BTreeMap, BTreeSet};

use super::{NamedBy, Refused, TABLES, tables_of};
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape};
use crate::governed::{Asked, ByTable, ByTag, Demand, Reached, Tables};
use crate::read_sql::{ReadSql, missing};
use crate::{PolicySql, Reason, Request, Tag};

rule_kind! {
    /// Of these tables people see only the rows for which `rows` is true.
    ///
    /// `rows` is a SQL condition over the columns of the table. `user.name`, `user.email`, `user.subject`,
    /// `user.tenant`, `user.groups`, `user.roles` and `user.claims.x` stand in it for the person's own values, typed
    /// and quoted: `region = user.claims.region`, or `region = ANY (user.claims.regions)` where the claim is a list. A
    /// person of whom the value is not known is refused.
    ///
    /// Several filters of one table must all be true. A filter holds wherever the table is read: under views, which
    /// are governed by what they read, and in every partition or child of it. Where only a part is filtered, its parent
    /// cannot be read; and a materialised view over a filtered table, which holds a copy of all rows, is refused unless
    /// a policy with the action `allow` names it.
    FILTER {
        name: "filter",
        named_by: NamedBy::Action,
        fields: &[
            TABLES,
            Field {
                name: "tags",
                shape: Shape::Names,
                required: false,
                manual: "Tables that have one of these tags; `pii` means `pii.ssn` too. Each must have the columns \
                         that `rows` names.",
            },
            Field {
                name: "rows",
                shape: Shape::Text,
                required: true,
                manual: "The rows that are seen: a SQL condition over the columns of the table.",
            },
        ],
        accepted: include_str!("../../examples/filter.json"),
        refused: Refused {
            file: r#"{ "name": "west", "action": "filter", "rows": "region = user.claim.region" }"#,
            problem: "1:1: the filter names no table; add \"tables\" or \"tags\"\n\
                      1:47: nobody has an attribute \"user.claim.region\"; known: user.name, user.email, user.subject, \
                      user.tenant, user.groups, user.roles, user.claims.x",
        },
        grants: false,
        compile: compile,
    }
}

/// All filters, and those (by number) that are about a table.
#[derive(Debug, Default)]
struct Filters {
    rules: Vec<Rule>,
    by_table: ByTable<usize>,
    by_tag: ByTag,
}

#[derive(Debug)]
struct Rule {
    header: Header,
    rows: ReadSql,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut filters = Filters::default();
    for policy in policies {
        filters.read(policy, context);
    }
    Box::new(filters)
}

impl Filters {
    fn read(&mut self, policy: &Policy<'_>, context: &mut Context<'_>) {
        let body = policy.body;
        if !body.has("tables") && !body.has("tags") {
            let suggestion = Some("add \"tables\" or \"tags\"".to_owned());
            context.problems.push(body.problem("the filter names no table".to_owned(), suggestion));
        }
        let tables = tables_of(policy, context);
        let tags = super::tags_of(policy, context, super::Tagged::Tables);
        let Some(written) = body.text("rows") else { return };
        let Some(rows) = ReadSql::compile(&written, context) else { return };
        if let Some(known) = context.known {
            let named = tables.iter().flat_map(|name| known.tables_named(name, policy.audience.sources()));
            rows.check_columns(&written, named, policy.unknown_ok, context);
        }
        let number = self.rules.len();
        tables.into_iter().for_each(|name| self.by_table.add(name, number));
        tags.iter().for_each(|tag| self.by_tag.add(tag, number));
        self.rules.push(Rule { header: policy.into(), rows });
    }

    /// The filters about a table, in the order of the files.
    fn about(&self, tables: &Tables, reached: &Reached) -> BTreeSet<usize> {
        let mut numbers: BTreeSet<usize> = self.by_table.about(&reached.facts).copied().collect();
        if !self.by_tag.is_empty() {
            numbers.extend(tables.own_tags(&reached.facts).flat_map(|tag: &Tag| self.by_tag.about(tag)));
        }
        numbers
    }
}

impl Judge for Filters {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if self.rules.is_empty() {
            return;
        }
        let tables = verdict.tables(request);
        let mut truths: BTreeMap<usize, Truth> = BTreeMap::new();
        let mut told: BTreeSet<usize> = BTreeSet::new();
        for (table, reached) in tables.iter() {
            for number in self.about(&tables, reached) {
                let Some(rule) = self.rules.get(number) else { continue };
                if !rule.header.audience.covers(&reached.facts.name.source) {
                    continue;
                }
                match truths.entry(number).or_insert_with(|| rule.header.truth(request)) {
                    Truth::False => continue,
                    Truth::NeedsEstimate => verdict.need_estimate(),
                    Truth::True | Truth::Unknown(_) => {}
                }
                match rule.filter(request, reached) {
                    Ok(predicate) => {
                        let rule = rule.header.rule.clone();
                        verdict.demand(Demand { table, what: Asked::Filter(predicate), number, rule });
                    }
                    // The tables that stand for one another, such as partitions, are refused for one reason.
                    Err(reason) if told.insert(number) => verdict.deny(|| *reason),
                    Err(_) => {}
                }
            }
        }
    }
}

impl Rule {
    /// The condition for one table, or why there can be none.
    fn filter(&self, request: &Request, reached: &Reached) -> Result<PolicySql, Box<Reason>> {
        let Header { rule, .. } = &self.header;
        if let Some(misfit) = self.rows.misfit(&reached.facts) {
            return Err(Box::new(Reason {
                rule: rule.clone(),
                message: format!("permission denied for table {}", reached.facts.name),
                detail: format!("policy \"{}\" cannot filter {}: {misfit}", rule.policy, reached.facts.name),
                hint: format!("To read it, {}.", self.header.owner()),
                at: Some(reached.at),
            }));
        }
        let of_person = self.rows.of(&request.identity);
        of_person.map_err(|absent| Box::new(missing(&self.header, absent, &reached.facts, reached.at)))
    }
}
