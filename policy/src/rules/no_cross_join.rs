//! `no_cross_join`: no accidental product of two tables.

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::decide::{Header, Judge, Verdict, always, applying, joined};
use crate::fields::{Field, Shape};
use crate::{Costs, Estimate, Reason, Request, Unlinked};

/// Relations spelled out in one refusal.
const RELATIONS_SHOWN_MAX: usize = 3;

rule_kind! {
    /// Every relation of a FROM clause is linked to the others by a condition that uses columns of both sides.
    ///
    /// A forgotten join condition multiplies tables: two of a million rows give a million million. Not meant are what
    /// can give at most one row, such as an aggregate without GROUP BY, and a LATERAL or `unnest` that uses the other side's columns.
    ///
    /// It always holds, for everybody, also when no file mentions it. A policy of this kind gives it a message of your
    /// own for those it applies to, and may let them make products on purpose, up to so many rows: for these the source
    /// is asked for an estimate, and where it gives none they are refused. Where several that say `joined_rows` apply, the
    /// smallest holds. What `bounded_work` says of joins holds beside it.
    NO_CROSS_JOIN {
        name: "no_cross_join",
        named_by: NamedBy::Check,
        fields: &[Field {
            name: "joined_rows",
            shape: Shape::Count,
            required: false,
            manual: "The most rows that a step of a statement with a product may handle by the source's estimate. Without \
                     it no product is let through.",
        }],
        accepted: include_str!("../../examples/no-cross-join.json"),
        refused: Refused {
            file: r#"{ "name": "joins", "check": "no_cross_join", "tables": ["a"] }"#,
            problem: "1:46: unknown key \"tables\"; known here: $schema, name, description, check, applies_to, \
                      message, mode, priority, unknown_ok, joined_rows",
        },
        grants: false,
        compile: compile,
    }
}

/// Who is told what, and how many rows products of theirs may have; the last is built in.
#[derive(Debug)]
struct NoCrossJoin {
    headers: Vec<Header>,
    /// As many as there are headers in files.
    rows: Vec<Option<u64>>,
}

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    let rows = policies.iter().map(|policy| policy.body.count("joined_rows")).collect();
    Box::new(NoCrossJoin { headers: always(NO_CROSS_JOIN.name, policies), rows })
}

impl Judge for NoCrossJoin {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if request.unlinked.is_empty() {
            return;
        }
        let too_many = match (self.most(request), &request.facts.estimate) {
            (Some(_), Estimate::NotMade) => return verdict.need_estimate(),
            (Some(most), Estimate::Known(Costs { rows_of_largest_step: Some(step), .. })) => {
                if *step <= most {
                    return;
                }
                Some((*step, most))
            }
            (Some(_), Estimate::Known(_) | Estimate::Unknown) | (None, _) => None,
        };
        let Some(header) = applying(&self.headers, request) else { return };
        for unlinked in &request.unlinked {
            verdict.deny(|| reason(header, unlinked, too_many));
        }
    }
}

impl NoCrossJoin {
    /// How many rows a product may have; `None` where none may be.
    #[allow(clippy::cast_precision_loss, reason = "a limit that large bounds nothing")]
    fn most(&self, request: &Request) -> Option<f64> {
        let of_files = self.headers.iter().zip(&self.rows);
        let applying = of_files.filter(|(header, _)| header.audience.includes(request));
        applying.filter_map(|(_, rows)| *rows).min().map(|most| most as f64)
    }
}

/// `too_many` are the rows that are expected where some are let through, and how many.
fn reason(header: &Header, unlinked: &Unlinked, too_many: Option<(f64, f64)>) -> Reason {
    let relation = &unlinked.relation;
    let others = match unlinked.others.is_empty() {
        true => "the other relations".to_owned(),
        false => joined(&unlinked.others, RELATIONS_SHOWN_MAX, "or"),
    };
    let hint = match unlinked.others.first() {
        Some(other) => format!("Add a join condition, such as {relation}.<column> = {other}.<column>."),
        None => format!("Add a join condition that uses a column of {relation}."),
    };
    let detail = format!("no condition uses columns of both {relation} and another relation");
    let detail = match too_many {
        Some((step, most)) => format!("{detail}, and the source expects about {step:.0} rows where {most:.0} may be"),
        None => detail,
    };
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| format!("{relation} is not joined to {others}")),
        detail,
        hint,
        at: Some(unlinked.at),
    }
}
