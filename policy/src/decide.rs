//! Deciding: every kind of rule is asked in turn, and what they say is put together.
//!
//! Deny wins, and every denial is kept. The order of [`crate::rules::RULES`] is the order in which reasons are told.

use std::fmt;
use std::sync::Arc;

use crate::audience::Audience;
use crate::compile::Policy;
use crate::problem::Problem;
use crate::{Decision, Obligation, Permit, Reason, Reasons, Request, Revision, RuleReference};

/// Reasons kept for one statement; it is refused all the same, and nobody reads more.
const REASONS_MAX: usize = 50;

/// Policies, ready to decide.
#[derive(Debug)]
pub struct PolicySet {
    revision: Revision,
    judges: Vec<Box<dyn Judge>>,
    warnings: Vec<Problem>,
}

impl PolicySet {
    pub(crate) fn new(revision: Revision, judges: Vec<Box<dyn Judge>>, warnings: Vec<Problem>) -> Self {
        Self { revision, judges, warnings }
    }

    /// Which policies these are.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What was accepted only because a policy says `unknown_ok`.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// Decides. Pure: the same arguments give the same answer.
pub fn decide(policies: &PolicySet, request: &Request) -> Decision {
    let mut verdict = Verdict::default();
    for judge in &policies.judges {
        judge.judge(request, &mut verdict);
    }
    let mut reasons = verdict.reasons.into_iter();
    match reasons.next() {
        Some(first) => Decision::Deny(Reasons::new(first, reasons.collect())),
        None => Decision::Allow(Permit::new(
            request.statement,
            verdict.obligations,
            policies.revision.clone(),
            verdict.fired,
        )),
    }
}

/// All policies of one kind, ready to be asked.
///
/// A kind whose rule always holds says so here also when no file mentions it.
pub(crate) trait Judge: fmt::Debug + Send + Sync {
    /// Adds what these policies say of a request. Allocates only to refuse or to oblige.
    fn judge(&self, request: &Request, verdict: &mut Verdict);
}

/// What has been said of a request so far.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    reasons: Vec<Reason>,
    obligations: Vec<Obligation>,
    fired: Vec<RuleReference>,
}

impl Verdict {
    /// Refuses.
    pub(crate) fn deny(&mut self, reason: impl FnOnce() -> Reason) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason());
        }
    }

    /// Asks for something to be done first.
    pub(crate) fn oblige(&mut self, obligation: Obligation) {
        self.obligations.push(obligation);
    }

    /// Notes that a rule shaped the answer.
    pub(crate) fn fired(&mut self, rule: &RuleReference) {
        if !self.fired.contains(rule) {
            self.fired.push(rule.clone());
        }
    }
}

/// What is left of a policy when its own meaning is compiled: whose it is, whom it is for and what it tells them.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) rule: RuleReference,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) audience: Audience,
}

impl Header {
    /// A rule that always holds, for everybody.
    pub(crate) fn built_in(kind: &str) -> Self {
        let rule = RuleReference { policy: kind.into(), file: "built-in".into(), line: 0 };
        Self { rule, message: None, audience: Audience::default() }
    }

    /// The policy's own message, or this one.
    pub(crate) fn message_or(&self, message: impl FnOnce() -> String) -> String {
        self.message.as_deref().map_or_else(message, str::to_owned)
    }

    /// Whom to ask, to end a hint: `ask the owner of policies/a.json`.
    pub(crate) fn owner(&self) -> String {
        match self.rule.line {
            0 => "ask whoever keeps the policy files".to_owned(),
            _ => format!("ask the owner of {}", self.rule.file),
        }
    }
}

impl From<&Policy<'_>> for Header {
    fn from(policy: &Policy<'_>) -> Self {
        Self { rule: policy.rule.clone(), message: policy.message.clone(), audience: policy.audience.clone() }
    }
}

/// The headers of a kind that always holds: those in the files, then the built-in one.
pub(crate) fn always(kind: &str, policies: &[Policy<'_>]) -> Vec<Header> {
    policies.iter().map(Header::from).chain([Header::built_in(kind)]).collect()
}

/// The first header that is for this request. With [`always`] there is one.
pub(crate) fn applying<'h>(headers: &'h [Header], request: &Request) -> Option<&'h Header> {
    headers.iter().find(|header| header.audience.includes(request))
}

/// `a`, `a and b`, `a, b and 3 more`: at most `most` of them are spelled out.
pub(crate) fn listed<T: fmt::Display>(items: &[T], most: usize) -> String {
    joined(items, most, "and")
}

/// The same with another word before the last, such as `or`.
pub(crate) fn joined<T: fmt::Display>(items: &[T], most: usize, word: &str) -> String {
    let mut shown: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    if items.len() > most {
        shown.push(format!("{} more", items.len() - most));
    }
    match shown.pop() {
        Some(last) if !shown.is_empty() => format!("{} {word} {last}", shown.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}
