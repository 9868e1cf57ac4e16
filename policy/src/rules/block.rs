//! `block`: a statement is refused.

use std::collections::HashMap;
use std::sync::Arc;

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::{Condition, Subject, Truth, each_trigger};
use crate::decide::{Header, Judge, Verdict, listed};
use crate::{Reason, Request};

/// Offending names spelled out in one refusal.
const EVIDENCE_SHOWN_MAX: usize = 5;

rule_kind! {
    /// The statement is refused where the `condition` holds.
    ///
    /// A condition asks about the statement as the gateway's catalog resolves it, not about its text: a table is found
    /// under an alias, in a subquery, in an EXPLAIN and behind a view. A view over a blocked table is blocked like the
    /// table, through every layer, and so is a materialised view, which holds a copy of the rows.
    ///
    /// Names are compared exactly, as the catalog has them; `dim_patient` is that table in any schema.
    BLOCK {
        name: "block",
        named_by: NamedBy::Action,
        fields: &[],
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
    condition: Arc<Condition>,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut conditions = Conditions::default();
    for policy in policies {
        match &policy.condition {
            Some(condition) => conditions.add(Rule { header: policy.into(), condition: Arc::clone(condition) }),
            // A condition that has a problem of its own is none either, and that problem is told.
            None if policy.body.has("condition") => {}
            None => {
                let suggestion = Some("add a \"condition\", or leave the policy out".to_owned());
                let message = "a policy that blocks says when".to_owned();
                context.problems.push(policy.body.problem_at("action", message, suggestion));
            }
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
            match rule.header.truth(request) {
                Truth::False => {}
                Truth::NeedsEstimate => verdict.need_estimate(),
                Truth::True => verdict.deny(|| rule.reason(request)),
                Truth::Unknown(why) => verdict.deny(|| rule.unknown(why)),
            }
        }
    }
}

impl Rule {
    /// What cannot be known is refused.
    fn unknown(&self, why: String) -> Reason {
        let rule = &self.header.rule;
        Reason {
            rule: rule.clone(),
            message: self
                .header
                .message_or(|| format!("policy \"{}\" cannot tell whether it blocks this statement", rule.policy)),
            detail: why,
            hint: format!("To run it, {}.", self.header.owner()),
            at: None,
        }
    }

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
