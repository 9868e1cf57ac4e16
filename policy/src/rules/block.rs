//! `block`: a statement is refused.

use std::sync::Arc;

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::{Condition, Index, Truth};
use crate::decide::{Header, Judge, Verdict, listed};
use crate::{Reason, Request};

/// Offending names spelled out in one refusal.
const NAMES_SHOWN_MAX: usize = 5;

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
        grants: false,
        compile: compile,
    }
}

/// The rules, and which of them may hold for a statement.
#[derive(Debug, Default)]
struct Conditions {
    rules: Vec<Rule>,
    index: Index,
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
            None if policy.body.has("condition") || policy.body.has("when") => {}
            None => {
                let suggestion = Some("add a \"condition\" or a \"when\", or leave the policy out".to_owned());
                let message = "a policy that blocks says when".to_owned();
                context.problems.push(policy.body.problem_at("action", message, suggestion));
            }
        }
    }
    Box::new(conditions)
}

impl Conditions {
    fn add(&mut self, rule: Rule) {
        self.index.add(self.rules.len(), &rule.header.audience, Some(&rule.condition));
        self.rules.push(rule);
    }
}

impl Judge for Conditions {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        for rule in self.index.candidates(request).into_iter().filter_map(|index| self.rules.get(index)) {
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
        let evidence = self.condition.evidence(request);
        let names = evidence.names();
        let offending = listed(&names, NAMES_SHOWN_MAX);
        let rule = &self.header.rule;
        let owner = self.header.owner();
        Reason {
            rule: rule.clone(),
            message: self.header.message_or(|| match names.is_empty() {
                true => format!("blocked by policy \"{}\"", rule.policy),
                false => format!("access to {offending} is blocked by policy \"{}\"", rule.policy),
            }),
            detail: evidence.detail(),
            hint: match names.is_empty() {
                true => format!("To run it as it is, {owner}."),
                false => format!("Leave out {offending}, or {owner}."),
            },
            at: evidence.at(),
        }
    }
}
