//! `require_approval`: a statement waits until somebody has said yes.

use std::collections::BTreeSet;

use super::{NamedBy, Refused};
use crate::acting::Acting;
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape, Word};
use crate::wording::{Wording, costs};
use crate::{Approval, Approver, Request, Role};

/// How long a ticket is open where the policy does not say: a day.
const SECONDS_DEFAULT: u64 = 24 * 60 * 60;

/// The longest that a ticket may be open: thirty days.
const SECONDS_MAX: u64 = 30 * 24 * 60 * 60;

rule_kind! {
    /// The statement is held until somebody approves it, where the condition holds.
    ///
    /// The answer names a ticket. Once that is granted, by whom `by` names, the very same statement with the same
    /// parameters runs, `uses` times; everything else is decided anew. Where it cannot be known whether the condition
    /// holds, such as when a source makes no estimate, the statement is held too.
    ///
    /// In the message, `{estimated.bytes}`, `{estimated.cost_usd}`, `{estimated.rows}`, `{confidence}` and `{user.name}`
    /// stand for what is known, or for the word "unknown".
    REQUIRE_APPROVAL {
        name: "require_approval",
        named_by: NamedBy::Action,
        fields: &[
            Field {
                name: "by",
                shape: Shape::WordOrObject(ASKER, APPROVERS),
                required: true,
                manual: "Who may approve.",
            },
            Field {
                name: "expires_in",
                shape: Shape::Text,
                required: false,
                manual: "How long the ticket stays open and its grant is good: a number of seconds, minutes, hours or \
                         days, as `90s`, `30m`, `24h` or `7d`, 30 days at most. Default: `24h`.",
            },
            Field {
                name: "uses",
                shape: Shape::Count,
                required: false,
                manual: "How many times the statement may run on one grant. Default: 1.",
            },
        ],
        accepted: include_str!("../../examples/require-approval.json"),
        refused: Refused {
            file: r#"{ "name": "ask", "action": "require_approval", "by": "boss", "expires_in": "1 week" }"#,
            problem: "1:54: unknown by \"boss\"; write \"self\", or an object with \"roles\"\n\
                      1:76: \"1 week\" is not a length of time; write a number with s, m, h or d behind it, such as \
                      \"24h\", 30 days at most",
        },
        grants: false,
        compile: compile,
    }
}

const ASKER: &[Word] = &[Word { name: "self", manual: "The person who asked, by confirming." }];

const APPROVERS: &[Field] = &[Field {
    name: "roles",
    shape: Shape::Names,
    required: true,
    manual: "Anybody else of the same tenant who holds one of these roles.",
}];

#[derive(Debug)]
struct Approvals(Acting<Terms>);

/// What one policy asks for.
#[derive(Debug)]
struct Terms {
    message: Option<Wording>,
    by: Approver,
    expires_in_seconds: u64,
    uses: u32,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut approvals = Acting::default();
    for policy in policies {
        let message = Wording::of(policy, context);
        let expires_in_seconds = seconds(policy, context);
        let uses = policy.body.count("uses").unwrap_or(1).try_into().unwrap_or(u32::MAX);
        if let Some((by, expires_in_seconds)) = approver(policy, context).zip(expires_in_seconds) {
            approvals.add(policy, Terms { message, by, expires_in_seconds, uses });
        }
    }
    Box::new(Approvals(approvals))
}

fn approver(policy: &Policy<'_>, context: &mut Context<'_>) -> Option<Approver> {
    let body = policy.body;
    let Some(approvers) = body.object("by") else {
        return body.text("by").filter(|word| word.value == "self").map(|_| Approver::Asker);
    };
    for role in approvers.names("roles") {
        if let Some(Err(unknown)) = context.known.map(|known| known.check_role(role.value)) {
            let problem = role.problem(format!("nobody holds a role called \"{}\"", role.value), unknown.0);
            context.report_unknown(problem, policy.unknown_ok);
        }
    }
    let roles: BTreeSet<Role> = approvers.names("roles").map(|role| Role::new(role.value)).collect();
    (!roles.is_empty()).then_some(Approver::Roles(roles))
}

/// How long a ticket is open, or `None` where that cannot be read.
fn seconds(policy: &Policy<'_>, context: &mut Context<'_>) -> Option<u64> {
    let Some(written) = policy.body.text("expires_in") else { return Some(SECONDS_DEFAULT) };
    let read = read_seconds(written.value).filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    if read.is_none() {
        let suggestion = "write a number with s, m, h or d behind it, such as \"24h\", 30 days at most";
        let message = format!("\"{}\" is not a length of time", written.value);
        context.problems.push(written.problem(message, Some(suggestion.to_owned())));
    }
    read
}

fn read_seconds(written: &str) -> Option<u64> {
    let unit = written.chars().next_back()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let digits = written.strip_suffix(unit)?;
    let is_number = digits.chars().all(|digit| digit.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(seconds)
}

impl Judge for Approvals {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        self.0.each(request, |header, terms, truth| {
            let awaits = terms.message.as_ref().is_some_and(|message| message.awaits_estimate(request));
            if truth == Truth::NeedsEstimate || awaits {
                return verdict.need_estimate();
            }
            verdict.hold(request, || terms.approval(header, request, truth));
        });
    }
}

impl Terms {
    fn approval(&self, header: &Header, request: &Request, truth: Truth) -> Approval {
        let rule = &header.rule;
        let message = match &self.message {
            Some(wording) => wording.fill(request),
            None => costs(request.facts.estimate)
                .unwrap_or_else(|| format!("policy \"{}\" asks for an approval of this statement", rule.policy)),
        };
        let detail = match (truth, &header.condition) {
            (Truth::Unknown(why), _) => format!("it cannot be known whether the policy is meant: {why}"),
            (_, Some(condition)) => condition.evidence(request).detail(),
            (_, None) => "the policy asks for it whatever the statement says".to_owned(),
        };
        Approval {
            rule: rule.clone(),
            message,
            detail,
            by: self.by.clone(),
            expires_in_seconds: self.expires_in_seconds,
            uses: self.uses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        let read = |written| read_seconds(written);
        assert_eq!(
            [read("90s"), read("30m"), read("24h"), read("7d")],
            [Some(90), Some(1800), Some(86400), Some(604_800)]
        );
        for written in
            ["", "s", "24", "1.5h", "-1h", "+1h", "1w", "1 h", "99999999999999999999d", "9999999999999999999d"]
        {
            assert_eq!(read(written), None, "{written}");
        }
    }
}
