//! `no_cross_join`: no accidental product of two tables.

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::decide::{Header, Judge, Verdict, always, applying, joined};
use crate::{Reason, Request, Unlinked};

/// Relations spelled out in one refusal.
const RELATIONS_SHOWN_MAX: usize = 3;

rule_kind! {
    /// Every relation of a FROM clause is linked to the others by a condition that uses columns of both sides.
    ///
    /// A forgotten join condition multiplies tables: two of a million rows give a million million. Not meant are what
    /// can give at most one row, such as an aggregate without GROUP BY, and a LATERAL or `unnest` that uses the other side's columns.
    ///
    /// It always holds, for everybody, also when no file mentions it. A policy of this kind gives it a message of your
    /// own for those it applies to.
    NO_CROSS_JOIN {
        name: "no_cross_join",
        named_by: NamedBy::Check,
        fields: &[],
        accepted: include_str!("../../examples/no-cross-join.json"),
        refused: Refused {
            file: r#"{ "name": "joins", "check": "no_cross_join", "tables": ["a"] }"#,
            problem: "1:46: unknown key \"tables\"; known here: $schema, name, description, check, applies_to, \
                      message, mode, priority, unknown_ok",
        },
        grants: false,
        compile: compile,
    }
}

/// Who is told what; the last is built in.
#[derive(Debug)]
struct NoCrossJoin {
    headers: Vec<Header>,
}

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    Box::new(NoCrossJoin { headers: always(NO_CROSS_JOIN.name, policies) })
}

impl Judge for NoCrossJoin {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if request.unlinked.is_empty() {
            return;
        }
        let Some(header) = applying(&self.headers, request) else { return };
        for unlinked in &request.unlinked {
            verdict.deny(|| reason(header, unlinked));
        }
    }
}

fn reason(header: &Header, unlinked: &Unlinked) -> Reason {
    let relation = &unlinked.relation;
    let others = match unlinked.others.is_empty() {
        true => "the other relations".to_owned(),
        false => joined(&unlinked.others, RELATIONS_SHOWN_MAX, "or"),
    };
    let hint = match unlinked.others.first() {
        Some(other) => format!("Add a join condition, such as {relation}.<column> = {other}.<column>."),
        None => format!("Add a join condition that uses a column of {relation}."),
    };
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| format!("{relation} is not joined to {others}")),
        detail: format!("no condition uses columns of both {relation} and another relation"),
        hint,
        at: Some(unlinked.at),
    }
}
