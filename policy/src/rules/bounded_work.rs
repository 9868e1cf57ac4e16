//! `bounded_work`: no statement that runs long whatever the tables hold.

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::Index;
use crate::decide::{Header, Judge, Verdict, listed};
use crate::fields::{Field, Shape};
use crate::{Estimate, Multiplied, Reason, Request, Work, WorkKind};

/// Relations spelled out in one refusal.
const RELATIONS_SHOWN_MAX: usize = 5;

/// Rows that functions may make, where no policy says otherwise.
const ROWS_DEFAULT: u64 = 1_000_000;

/// Bytes of text that functions may make, where no policy says otherwise: 32 MiB.
const BYTES_DEFAULT: u64 = 32 << 20;

/// Rows that a join on no key may give, where no policy says otherwise.
const JOINED_DEFAULT: u64 = 10_000_000;

/// A join may always give so many times the rows that it reads: a fact of a hundred dimensions is no accident.
const JOINED_TIMES_READ: f64 = 100.0;

/// The largest argument of a factorial: its result has 2,568 digits.
const FACTORIAL_MAX: f64 = 1_000.0;

rule_kind! {
    /// A statement makes only so much work out of nothing: rows with `generate_series` and the like, text with `repeat`
    /// and the like. Refused as well are recursive queries whose recursive part has nothing that ends it, regular
    /// expressions whose back-references make matching exponential, and factorials of more than 1,000.
    ///
    /// Such a statement keeps a server busy whatever the tables hold, so no estimate of the source shows it. What the
    /// gateway cannot work out, such as a series that ends at a column of a table, is left to `statement_timeout`.
    ///
    /// Where relations are joined on none of their keys, the source is asked for an estimate: a step that handles more
    /// than 10,000,000 rows, and a hundred times what the tables give, is a product in all but name.
    ///
    /// It always holds, for everybody, also when no file mentions it: 1,000,000 rows made, 33,554,432 bytes
    /// and 10,000,000 rows joined. A policy of
    /// this kind sets other amounts for those it applies to; where several apply, the smallest holds; where none does, the built-in amounts.
    BOUNDED_WORK {
        name: "bounded_work",
        named_by: NamedBy::Check,
        fields: &[
            Field {
                name: "generated_rows",
                shape: Shape::Count,
                required: false,
                manual: "The most rows that functions may make, multiplied where they are joined.",
            },
            Field {
                name: "generated_bytes",
                shape: Shape::Count,
                required: false,
                manual: "The most bytes of text that functions may make for all rows together.",
            },
            Field {
                name: "joined_rows",
                shape: Shape::Count,
                required: false,
                manual: "The most rows that a join on no key may give by the source's estimate; a hundred times the \
                         rows it reads are always allowed.",
            },
        ],
        accepted: include_str!("../../examples/bounded-work.json"),
        refused: Refused {
            file: r#"{ "name": "work", "check": "bounded_work", "generated_rows": 0 }"#,
            problem: "1:62: \"generated_rows\" is a whole number from 1, in digits, not 0",
        },
        grants: false,
        compile: compile,
    }
}

#[derive(Debug)]
struct BoundedWork {
    written: Vec<(Amounts, Header)>,
    index: Index,
    default: Header,
}

#[derive(Clone, Copy, Debug)]
struct Amounts {
    rows: Option<u64>,
    bytes: Option<u64>,
    joined: Option<u64>,
}

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    let amounts = |policy: &Policy<'_>| {
        let count = |key| policy.body.count(key);
        (
            Amounts { rows: count("generated_rows"), bytes: count("generated_bytes"), joined: count("joined_rows") },
            policy.into(),
        )
    };
    let written: Vec<(Amounts, Header)> = policies.iter().map(amounts).collect();
    let mut index = Index::default();
    written.iter().enumerate().for_each(|(number, (_, header))| index.add(number, &header.audience, None));
    Box::new(BoundedWork { written, index, default: Header::built_in(BOUNDED_WORK.name) })
}

impl Judge for BoundedWork {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        for work in &request.work {
            let (most, header) = match work.kind {
                WorkKind::GeneratedRows => self.smallest(request, |amounts| amounts.rows, ROWS_DEFAULT),
                WorkKind::GeneratedBytes => self.smallest(request, |amounts| amounts.bytes, BYTES_DEFAULT),
                WorkKind::Factorial => (FACTORIAL_MAX, &self.default),
                WorkKind::EndlessRecursion | WorkKind::Backtracking => (0.0, &self.default),
            };
            // Not a number is no amount that is known to be small.
            if work.amount.is_nan() || work.amount > most {
                verdict.deny(|| reason(header, work, most));
            }
        }
        self.judge_joins(request, verdict);
    }
}

impl BoundedWork {
    fn judge_joins(&self, request: &Request, verdict: &mut Verdict) {
        let Some(multiplied) = request.multiplied.first() else { return };
        let (most, header) = self.smallest(request, |amounts| amounts.joined, JOINED_DEFAULT);
        let handled = match request.facts.estimate {
            Estimate::NotMade => return verdict.need_estimate(),
            Estimate::Unknown => None,
            Estimate::Known(costs) => costs.rows_of_largest_step.zip(costs.rows_read),
        };
        match handled {
            Some((step, read)) if step <= most.max(read * JOINED_TIMES_READ) => {}
            Some((step, _)) => verdict.deny(|| multiplies(header, multiplied, Some(step))),
            None => verdict.deny(|| multiplies(header, multiplied, None)),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a limit that large bounds nothing")]
    fn smallest(&self, request: &Request, of: impl Fn(&Amounts) -> Option<u64>, default: u64) -> (f64, &Header) {
        let candidates = self.index.candidates(request).into_iter().filter_map(|number| self.written.get(number));
        let applying = candidates.filter(|(_, header)| header.audience.includes(request));
        let smallest =
            applying.filter_map(|(amounts, header)| Some((of(amounts)?, header))).min_by_key(|(most, _)| *most);
        let (most, header) = smallest.unwrap_or((default, &self.default));
        (most as f64, header)
    }
}

fn multiplies(header: &Header, multiplied: &Multiplied, step: Option<f64>) -> Reason {
    let relations = listed(&multiplied.relations, RELATIONS_SHOWN_MAX);
    let detail = match step {
        Some(step) => {
            format!("the source expects about {step:.0} rows when {relations} are joined on none of their keys")
        }
        None => format!("the source could not tell how many rows come of joining {relations} on none of their keys"),
    };
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| "statement multiplies rows".to_owned()),
        detail,
        hint: "Join on a key of one side, or aggregate one side before joining.".to_owned(),
        at: Some(multiplied.at),
    }
}

fn reason(header: &Header, work: &Work, most: f64) -> Reason {
    let amount = |what: &str| match work.amount.is_finite() {
        true => format!("up to {:.0} {what}, and at most {most:.0} are allowed", work.amount),
        false => format!("{what} without end"),
    };
    let (message, detail, hint) = match work.kind {
        WorkKind::GeneratedRows => (
            "statement makes too many rows out of nothing",
            format!("its functions make {}", amount("rows")),
            "Make fewer rows, or read them from a table.",
        ),
        WorkKind::GeneratedBytes => (
            "statement makes too much text out of nothing",
            format!("its functions make {}", amount("bytes")),
            "Make shorter texts.",
        ),
        WorkKind::EndlessRecursion => (
            "recursive query does not end",
            "its recursive part has neither a condition nor a table that would end it".to_owned(),
            "Add a condition to the recursive part, such as WHERE n < 100.",
        ),
        WorkKind::Backtracking => (
            "regular expression may take exponential time",
            "it has a back-reference and several groups of any length".to_owned(),
            "Write the pattern without the back-reference, or with groups of bounded length.",
        ),
        WorkKind::Factorial => (
            "factorial is too large to compute",
            format!("its argument may be {:.0}, and {most:.0} is the most", work.amount),
            "Use a smaller argument, or logarithms.",
        ),
    };
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| message.to_owned()),
        detail,
        hint: hint.to_owned(),
        at: Some(work.at),
    }
}
