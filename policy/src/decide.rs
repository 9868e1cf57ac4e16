//! Deciding: every kind of rule is asked in turn, and what they say is put together.
//!
//! Deny wins, and every denial is kept. The order of [`crate::rules::RULES`] is the order in which reasons are told.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::audience::Audience;
use crate::classification::Classification;
use crate::compile::Policy;
use crate::condition::{Condition, Truth};
use crate::governed::{Demand, Governed, Tables};
use crate::problem::Problem;
use crate::shadow::InShadow;
use crate::{
    Approval, Decision, EstimatePermit, Hold, Obligation, Permit, Reason, Reasons, Redirect, Request, Revision,
    RuleReference, TableName, Tag, TicketId, Warning,
};

/// Reasons kept for one statement; it is refused all the same, and nobody reads more.
const REASONS_MAX: usize = 50;

/// Policies, ready to decide.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) revision: Revision,
    pub(crate) judges: Vec<Box<dyn Judge>>,
    pub(crate) shadows: Vec<InShadow>,
    /// By policy; those that do not say have none.
    pub(crate) priorities: HashMap<Arc<str>, i64>,
    pub(crate) classification: Classification,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) count: usize,
    pub(crate) tells_time: bool,
}

impl PolicySet {
    /// The tags that `tags.json` gives a table.
    pub fn tags_of_table(&self, table: &TableName) -> BTreeSet<Tag> {
        self.classification.of_table(table)
    }

    /// The tags that `tags.json` gives a column.
    pub fn tags_of_column(&self, table: &TableName, column: &str) -> BTreeSet<Tag> {
        self.classification.of_column(table, column)
    }

    /// How many policies the files hold.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Which policies these are.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What of a moment, in seconds since 1970, can matter to any answer: its minute, or nothing where no policy asks for
    /// the time. Requests that differ in their moments alone, and have this in common, are answered alike.
    pub fn moment(&self, now: i64) -> Option<i64> {
        self.tells_time.then(|| now.div_euclid(60))
    }

    /// What was accepted only because a policy says `unknown_ok`.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// Decides. Pure: the same arguments give the same answer.
pub fn decide(policies: &PolicySet, request: &Request) -> Decision {
    let mut verdict = Verdict::of(policies.judges.iter(), request);
    if !policies.priorities.is_empty() {
        verdict.prioritise(&policies.priorities);
    }
    verdict.decision(request, &policies.revision)
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
    redirects: Vec<Redirect>,
    reasons: Vec<Reason>,
    /// Why tables are not there for this person.
    absent: Vec<Reason>,
    estimate: bool,
    approvals: Vec<Approval>,
    grants_used: Vec<TicketId>,
    obligations: Vec<Obligation>,
    warnings: Vec<Warning>,
    fired: Vec<RuleReference>,
    tables: OnceCell<Arc<Tables>>,
    governed: Governed,
}

impl Verdict {
    /// What some policies say.
    pub(crate) fn of<'j>(judges: impl Iterator<Item = &'j Box<dyn Judge>>, request: &Request) -> Self {
        let mut verdict = Self::default();
        judges.for_each(|judge| judge.judge(request, &mut verdict));
        verdict.settle(request);
        verdict
    }

    /// Has the reasons of policies with a higher number told first; those with the same number stay in their order.
    fn prioritise(&mut self, priorities: &HashMap<Arc<str>, i64>) {
        let priority = |rule: &RuleReference| Reverse(priorities.get(&rule.policy).copied().unwrap_or(0));
        self.reasons.sort_by_key(|reason| priority(&reason.rule));
        self.approvals.sort_by_key(|approval| priority(&approval.rule));
    }

    /// Why it refuses.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().chain(&self.absent)
    }

    /// Whether it puts another table in place of one.
    pub(crate) fn is_redirected(&self) -> bool {
        !self.redirects.is_empty()
    }

    /// What it asks to be done first.
    pub(crate) fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// Each thing that was said, and by which rule.
    pub(crate) fn effects(&self) -> impl Iterator<Item = (&RuleReference, String)> {
        let refused = self.reasons().map(|reason| (&reason.rule, format!("refuse: {}", reason.message)));
        let put = |redirect: &Redirect| format!("put {} in place of {}", redirect.to, redirect.from);
        let redirected = self.redirects.iter().map(move |redirect| (&redirect.rule, put(redirect)));
        let obliged = self.obligations.iter().map(|obligation| (obligation.rule(), obligation.described()));
        let held = self.approvals.iter().map(|approval| (&approval.rule, format!("hold: {}", approval.message)));
        let warned = self.warnings.iter().map(|warning| (&warning.rule, format!("warn: {}", warning.message)));
        refused.chain(redirected).chain(obliged).chain(held).chain(warned)
    }

    /// Every table that the request reaches.
    pub(crate) fn tables(&self, request: &Request) -> Arc<Tables> {
        Arc::clone(self.tables.get_or_init(|| Arc::new(Tables::of(request))))
    }

    /// Asks something of one of the [`Verdict::tables`].
    pub(crate) fn demand(&mut self, demand: Demand) {
        self.fired(&demand.rule);
        self.governed.demand(demand);
    }

    /// Refuses because of a column of one of the [`Verdict::tables`], unless the column is hidden: then it is as if it
    /// did not exist.
    pub(crate) fn deny_column(&mut self, table: usize, column: &str, reason: Reason) {
        self.governed.refuse_column(table, column, reason);
    }

    /// Lets the copy out that a materialised view holds.
    pub(crate) fn release(&mut self, table: usize) {
        self.governed.release(table);
    }

    /// Makes obligations of what was asked of the tables.
    fn settle(&mut self, request: &Request) {
        let Some(tables) = self.tables.get() else { return };
        let (obligations, reasons) = std::mem::take(&mut self.governed).settle(request, tables);
        self.obligations.extend(obligations);
        self.reasons.extend(reasons);
        self.reasons.truncate(REASONS_MAX);
    }

    /// Refuses.
    pub(crate) fn deny(&mut self, reason: impl FnOnce() -> Reason) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason());
        }
    }

    /// Refuses because of a table of which the person may not know that it exists.
    pub(crate) fn deny_absent(&mut self, reason: Reason) {
        if self.absent.len() < REASONS_MAX {
            self.absent.push(reason);
        }
    }

    /// Puts another table in place of one.
    pub(crate) fn redirect(&mut self, redirect: Redirect) {
        self.redirects.push(redirect);
    }

    /// Asks for an estimate: without it, a rule cannot say whether it holds.
    pub(crate) fn need_estimate(&mut self) {
        self.estimate = true;
    }

    /// Whether something depends on an estimate.
    pub(crate) fn needs_estimate(&self) -> bool {
        self.estimate
    }

    /// Asks for an approval, unless the request has it.
    pub(crate) fn hold(&mut self, request: &Request, approval: impl FnOnce() -> Approval) {
        let approval = approval();
        match request.facts.grants.iter().find(|grant| grant.policy == approval.rule.policy) {
            Some(grant) => {
                self.fired(&approval.rule);
                self.grants_used.push(grant.ticket.clone());
            }
            None => self.approvals.push(approval),
        }
    }

    /// Tells the person something beside the answer.
    pub(crate) fn warn(&mut self, warning: Warning) {
        self.fired(&warning.rule);
        self.warnings.push(warning);
    }

    /// What comes of all that was said: what changes the question first, then what refuses, then what is missing.
    fn decision(self, request: &Request, revision: &Revision) -> Decision {
        if !self.redirects.is_empty() && request.redirected.is_empty() {
            return Decision::Redirect(self.redirects);
        }
        let again = self.redirects.into_iter().map(redirected_twice);
        let mut told: Vec<Reason> = self.reasons.into_iter().chain(again).collect();
        let absent = self.absent.len();
        told.extend(self.absent);
        let mut reasons = told.into_iter();
        if let Some(first) = reasons.next() {
            return Decision::Deny(Reasons::new(first, reasons.collect()).with_absent(absent));
        }
        let permit = Permit::new(request.statement, revision.clone()).with_obligations(self.obligations, self.fired);
        if self.estimate {
            return Decision::Estimate(EstimatePermit::new(permit));
        }
        let mut approvals = self.approvals.into_iter();
        match approvals.next() {
            Some(first) => Decision::Hold(Hold::new(first, approvals.collect())),
            None => Decision::Allow(permit.with_warnings(self.warnings).with_grants_used(self.grants_used)),
        }
    }

    /// Asks for something to be done first. Of several limits the smallest holds.
    pub(crate) fn oblige(&mut self, obligation: Obligation) {
        if let Obligation::LimitRows { rows, rule: _ } = &obligation {
            let limit = |other: &&mut Obligation| matches!(other, Obligation::LimitRows { .. });
            if let Some(other) = self.obligations.iter_mut().find(limit) {
                if matches!(other, Obligation::LimitRows { rows: others, rule: _ } if rows < others) {
                    *other = obligation;
                }
                return;
            }
        }
        self.obligations.push(obligation);
    }

    /// Notes that a rule shaped the answer.
    pub(crate) fn fired(&mut self, rule: &RuleReference) {
        if !self.fired.contains(rule) {
            self.fired.push(rule.clone());
        }
    }
}

fn redirected_twice(redirect: Redirect) -> Reason {
    let Redirect { from, to, rule } = redirect;
    Reason {
        message: format!("policy \"{}\" redirects what was redirected before", rule.policy),
        detail: format!("{from} stands in place of another table, and {to} would stand in its place"),
        hint: format!("Ask the owner of {} to redirect to a table that is not redirected itself.", rule.file),
        at: None,
        rule,
    }
}

/// What is left of a policy when its own meaning is compiled: whose it is, whom it is for and what it tells them.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) rule: RuleReference,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) audience: Audience,
    pub(crate) condition: Option<Arc<Condition>>,
}

impl Header {
    /// Whether the policy is for this request, and its condition holds.
    pub(crate) fn truth(&self, request: &Request) -> Truth {
        match &self.condition {
            _ if !self.audience.includes(request) => Truth::False,
            None => Truth::True,
            Some(condition) => condition.truth(request),
        }
    }

    /// A rule that always holds, for everybody.
    pub(crate) fn built_in(kind: &str) -> Self {
        let rule = RuleReference { policy: kind.into(), file: "built-in".into(), line: 0 };
        Self { rule, message: None, audience: Audience::default(), condition: None }
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
        Self {
            rule: policy.rule.clone(),
            message: policy.message.clone(),
            audience: policy.audience.clone(),
            condition: policy.condition.clone(),
        }
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
