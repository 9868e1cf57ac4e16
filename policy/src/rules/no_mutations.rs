//! `no_mutations`: only reads.

use super::{NamedBy, Refused};
use crate::compile::{Context, Policy};
use crate::decide::{Header, Judge, Verdict, always, applying};
use crate::{Place, Reason, Request, StatementKind};

rule_kind! {
    /// Only reads pass. Anything that writes, locks, defines, calls or changes what others see is refused: `INSERT`,
    /// `CREATE`, `SELECT INTO`, `FOR UPDATE`, a `WITH` that deletes.
    ///
    /// It always holds, for everybody, also when no file mentions it. A policy of this kind gives it a message of your
    /// own for those it applies to; nothing takes it away.
    NO_MUTATIONS {
        name: "no_mutations",
        named_by: NamedBy::Check,
        fields: &[],
        accepted: include_str!("../../examples/no-mutations.json"),
        refused: Refused {
            file: r#"{ "name": "reads only", "check": "no_mutation" }"#,
            problem: "1:34: unknown check \"no_mutation\"; did you mean \"no_mutations\"?",
        },
        grants: false,
        compile: compile,
    }
}

/// Who is told what; the last is built in.
#[derive(Debug)]
struct NoMutations {
    headers: Vec<Header>,
}

fn compile(policies: &[Policy<'_>], _context: &mut Context<'_>) -> Box<dyn Judge> {
    Box::new(NoMutations { headers: always(NO_MUTATIONS.name, policies) })
}

impl Judge for NoMutations {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if request.writes.is_empty() && request.kind != StatementKind::Write {
            return;
        }
        let Some(header) = applying(&self.headers, request) else { return };
        for write in &request.writes {
            verdict.deny(|| reason(header, write.command, Some(write.at)));
        }
        if request.writes.is_empty() {
            verdict.deny(|| reason(header, "a statement that writes", None));
        }
    }
}

fn reason(header: &Header, command: &str, at: Option<Place>) -> Reason {
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| format!("{command} is not permitted, only reads are")),
        detail: format!("{command} is not a read"),
        hint: format!("Leave {command} out; changes are made at the source, not through the gateway."),
        at,
    }
}
