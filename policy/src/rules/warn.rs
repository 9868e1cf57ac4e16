//! `warn`: the person is told something beside the answer.

use super::{NamedBy, Refused};
use crate::acting::Acting;
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Judge, Verdict};
use crate::wording::Wording;
use crate::{Request, Warning};

rule_kind! {
    /// The statement is answered, and its `message` is sent along as a NOTICE, where the condition holds.
    ///
    /// In the message, `{estimated.bytes}`, `{estimated.cost_usd}`, `{estimated.rows}`, `{confidence}` and `{user.name}`
    /// stand for what is known, or for the word "unknown".
    WARN {
        name: "warn",
        named_by: NamedBy::Action,
        fields: &[],
        accepted: include_str!("../../examples/warn.json"),
        refused: Refused {
            file: r#"{ "name": "mind", "action": "warn" }"#,
            problem: "1:19: a policy that warns says what; add a \"message\"",
        },
        grants: false,
        compile: compile,
    }
}

#[derive(Debug)]
struct Warnings(Acting<Wording>);

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut warnings = Acting::default();
    for policy in policies {
        match Wording::of(policy, context) {
            Some(wording) => warnings.add(policy, wording),
            // A message that has a problem of its own is none either, and that problem is told.
            None if policy.body.has("message") => {}
            None => {
                let suggestion = Some("add a \"message\"".to_owned());
                let message = "a policy that warns says what".to_owned();
                context.problems.push(policy.body.problem_at("action", message, suggestion));
            }
        }
    }
    Box::new(Warnings(warnings))
}

impl Judge for Warnings {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        self.0.each(request, |header, wording, truth| {
            if truth == Truth::NeedsEstimate || wording.awaits_estimate(request) {
                return verdict.need_estimate();
            }
            verdict.warn(Warning { rule: header.rule.clone(), message: wording.fill(request) });
        });
    }
}
