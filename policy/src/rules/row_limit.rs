//! `row_limit`: how many rows one statement may answer.

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::condition::Index;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape};
use crate::{Obligation, Request};

/// Rows answered where no policy says otherwise.
pub(crate) const ROWS_DEFAULT: u64 = 10_000;

rule_kind! {
    /// A statement answers at most `rows` rows. One that asks for more is lowered, not refused.
    ///
    /// 10,000 rows is the limit for everybody, also when no file mentions it. Policies of this kind replace it for
    /// those they apply to, with more or with fewer; of several, the smallest holds.
    ROW_LIMIT {
        name: "row_limit",
        named_by: NamedBy::Check,
        fields: &[Field {
            name: "rows",
            shape: Shape::Count,
            required: false,
            manual: "The most rows that one statement answers. Default: 10000.",
        }],
        accepted: include_str!("../../examples/row-limit.json"),
        refused: Refused {
            file: r#"{ "name": "few", "check": "row_limit", "rows": 0 }"#,
            problem: "1:48: \"rows\" is a whole number from 1, in digits, not 0",
        },
        grants: false,
        compile: compile,
    }
}

#[derive(Debug)]
struct RowLimits {
    /// The smallest first.
    written: Vec<(u64, Header)>,
    index: Index,
    default: Header,
}

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    let limit = |policy: &Policy<'_>| (policy.body.count("rows").unwrap_or(ROWS_DEFAULT), policy.into());
    let mut written: Vec<(u64, Header)> = policies.iter().map(limit).collect();
    written.sort_by_key(|(rows, _)| *rows);
    let mut index = Index::default();
    written.iter().enumerate().for_each(|(number, (_, header))| index.add(number, &header.audience, None));
    Box::new(RowLimits { written, index, default: Header::built_in(ROW_LIMIT.name) })
}

impl Judge for RowLimits {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        // A list of tables that is cut off shows a client a schema that is not there.
        if request.of_catalog {
            return;
        }
        let mut candidates = self.index.candidates(request).into_iter().filter_map(|number| self.written.get(number));
        let smallest = candidates.find(|(_, header)| header.audience.includes(request));
        let (rows, header) = smallest.map_or((ROWS_DEFAULT, &self.default), |(rows, header)| (*rows, header));
        verdict.oblige(Obligation::LimitRows { rows, rule: header.rule.clone() });
        verdict.fired(&header.rule);
    }
}
