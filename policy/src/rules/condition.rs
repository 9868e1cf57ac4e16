//! `condition` and `action`: a rule of the author's own making.

use std::collections::HashMap;

use super::Refused;
use crate::compile::{Context, Policy};
use crate::condition::{Condition, Subject, each_trigger};
use crate::decide::{Header, Judge, Verdict, listed};
use crate::fields::{Field, Shape, Word};
use crate::{Reason, Request};

/// Offending names spelled out in one refusal.
const EVIDENCE_SHOWN_MAX: usize = 5;

/// What can be done when a condition holds.
const ACTIONS: &[Word] = &[Word { name: "block", manual: "The statement is refused." }];

rule_kind! {
    /// When its `condition` holds, a policy of this kind does what its `action` says.
    ///
    /// A condition asks about the statement as the gateway's catalog resolves it, not about its text: a table is found
    /// under an alias, in a subquery, in an EXPLAIN and behind a view. A view over a blocked table is blocked like the
    /// table, through every layer, and so is a materialised view, which holds a copy of the rows.
    ///
    /// Names are compared exactly, as the catalog has them; `dim_patient` is that table in any schema.
    CONDITION {
        name: "condition",
        marked_by_key: true,
        fields: &[
            Field {
                name: "condition",
                shape: Shape::Condition,
                required: true,
                manual: "What must be true of a statement. Several keys must all hold.",
            },
            Field {
                name: "action",
                shape: Shape::Word(ACTIONS),
                required: true,
                manual: "What is done when it is true.",
            },
        ],
        accepted: include_str!("../../examples/block-pii-tables.json"),
        refused: Refused {
            file: r#"{ "name": "pii", "condition": { "tables_referenced": { "contain_any": ["a"] } }, "action": "blok" }"#,
            problem: "1:56: unknown key \"contain_any\"; did you mean \"contains_any\"?\n\
                      1:92: unknown action \"blok\"; did you mean \"block\"?",
        },
        compile: compile,
    }
}

/// The conditions, and for each name those that cannot hold without it.
#[derive(Debug, Default)]
struct Conditions {
    rules: Vec<Rule>,
    by_trigger: HashMap<Subject, HashMap<Box<str>, Vec<usize>>>,
    untriggered: Vec<usize>,
}

#[derive(Debug)]
struct Rule {
    header: Header,
    condition: Condition,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut conditions = Conditions::default();
    for policy in policies {
        let Some(object) = policy.body.object("condition") else { continue };
        let sources = policy.audience.sources();
        if let Some(condition) = Condition::compile(object, sources, policy.unknown_ok, context) {
            conditions.add(Rule { header: policy.into(), condition });
        }
    }
    Box::new(conditions)
}

impl Conditions {
    fn add(&mut self, rule: Rule) {
        let index = self.rules.len();
        match rule.condition.triggers() {
            Some(triggers) => {
                for (subject, name) in triggers {
                    self.by_trigger.entry(subject).or_default().entry(name).or_default().push(index);
                }
            }
            None => self.untriggered.push(index),
        }
        self.rules.push(rule);
    }

    /// The rules that may hold for a request, in the order of the files.
    fn candidates(&self, request: &Request) -> Vec<usize> {
        let mut candidates = self.untriggered.clone();
        each_trigger(request, |subject, name| {
            let found = self.by_trigger.get(&subject).and_then(|by_name| by_name.get(name));
            candidates.extend(found.into_iter().flatten());
        });
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

impl Judge for Conditions {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        for rule in self.candidates(request).into_iter().filter_map(|index| self.rules.get(index)) {
            if rule.header.audience.includes(request) && rule.condition.holds(request) {
                verdict.deny(|| rule.reason(request));
            }
        }
    }
}

impl Rule {
    fn reason(&self, request: &Request) -> Reason {
        let mut evidence = Vec::new();
        self.condition.evidence(request, true, &mut evidence);
        evidence.sort();
        evidence.dedup();
        let mut names: Vec<&str> = evidence.iter().map(|found| found.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let offending = listed(&names, EVIDENCE_SHOWN_MAX);
        let rule = &self.header.rule;
        let owner = self.header.owner();
        Reason {
            rule: rule.clone(),
            message: self.header.message_or(|| match names.is_empty() {
                true => format!("blocked by policy \"{}\"", rule.policy),
                false => format!("access to {offending} is blocked by policy \"{}\"", rule.policy),
            }),
            detail: match evidence.as_slice() {
                [] => "the condition holds for the statement as a whole".to_owned(),
                [one] => format!("the statement names {}", one.named()),
                several => format!("the statement names {}", listed(several, EVIDENCE_SHOWN_MAX)),
            },
            hint: match names.is_empty() {
                true => format!("To run it as it is, {owner}."),
                false => format!("Leave out {offending}, or {owner}."),
            },
            at: evidence.first().map(|found| found.at),
        }
    }
}
