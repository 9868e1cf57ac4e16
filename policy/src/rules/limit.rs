//! `limit`: how many rows a statement may answer, where a condition holds.

use super::{NamedBy, Refused};
use crate::acting::Acting;
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Judge, Verdict};
use crate::fields::{Field, Shape};
use crate::{Obligation, Request};

rule_kind! {
    /// A statement answers at most `rows` rows where the condition holds. One that asks for more is lowered, not refused.
    ///
    /// Of several limits, and those of `row_limit`, the smallest holds. `row_limit` says how many rows people get
    /// in general, more than the built-in number too; this lowers it for some tables, times or purposes.
    LIMIT {
        name: "limit",
        named_by: NamedBy::Action,
        fields: &[Field {
            name: "rows",
            shape: Shape::Count,
            required: true,
            manual: "The most rows that one statement answers.",
        }],
        accepted: include_str!("../../examples/limit.json"),
        refused: Refused {
            file: r#"{ "name": "few", "action": "limit", "row": 100 }"#,
            problem: "1:1: \"rows\" is missing; add \"rows\": a whole number from 1, in digits\n\
                      1:37: unknown key \"row\"; did you mean \"rows\"?",
        },
        grants: false,
        compile: compile,
    }
}

#[derive(Debug)]
struct Limits(Acting<u64>);

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut limits = Acting::default();
    for policy in policies {
        if let Some(rows) = policy.body.count("rows") {
            limits.add(policy, rows);
        }
    }
    Box::new(Limits(limits))
}

impl Judge for Limits {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        self.0.each(request, |header, rows, truth| {
            if truth == Truth::NeedsEstimate {
                verdict.need_estimate();
            }
            verdict.oblige(Obligation::LimitRows { rows: *rows, rule: header.rule.clone() });
            verdict.fired(&header.rule);
        });
    }
}
