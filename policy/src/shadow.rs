//! `mode: shadow`: what a policy would have done, without its doing it.
//!
//! Apart from deciding, so that nothing that a shadow policy says can reach a decision.

use std::collections::BTreeSet;

use crate::decide::{Judge, Verdict};
use crate::{PolicySet, Request, RuleReference, Shadow};

/// Effects of one policy that are recorded; a statement may reach thousands of tables.
const EFFECTS_MAX: usize = 20;

/// A policy in shadow mode.
#[derive(Debug)]
pub(crate) struct InShadow {
    pub(crate) rule: RuleReference,
    /// The policy; where it lets more through, with all others of its kind.
    pub(crate) judge: Box<dyn Judge>,
    /// The same without the policy, by its place among the judges.
    pub(crate) without: Option<usize>,
}

/// What the policies in shadow mode would have done to a request. Pure, and without any effect on the decision.
pub fn shadow(policies: &PolicySet, request: &Request) -> Vec<Shadow> {
    policies.shadows.iter().flat_map(|shadow| shadow.effects(policies, request)).collect()
}

impl InShadow {
    fn effects(&self, policies: &PolicySet, request: &Request) -> Vec<Shadow> {
        let with = Verdict::of(std::iter::once(&self.judge), request);
        let mut effects: Vec<String> = match self.without.and_then(|index| policies.judges.get(index)) {
            None => with.effects().filter(|(rule, _)| **rule == self.rule).map(|(_, effect)| effect).collect(),
            Some(judge) => {
                let without = Verdict::of(std::iter::once(judge), request);
                let with: BTreeSet<String> = with.effects().map(|(_, effect)| effect).collect();
                let without: BTreeSet<String> = without.effects().map(|(_, effect)| effect).collect();
                let taken_back = without.difference(&with).map(|effect| format!("not {effect}"));
                with.difference(&without).cloned().chain(taken_back).collect()
            }
        };
        if self.without.is_none() && with.needs_estimate() {
            effects.push("depend on an estimate, which was not made".to_owned());
        }
        let shadow = |effect| Shadow { rule: self.rule.clone(), effect: format!("would {effect}") };
        effects.into_iter().take(EFFECTS_MAX).map(shadow).collect()
    }
}
