//! Deciding without running anything: what the policies would say of a statement, and why.
//!
//! `passgate policy test`, `policy diff` and `passgate.explain()` all stand on [`rehearse`], which takes the same steps
//! as the road of a statement, with the same functions, up to where a source would be asked. Separate from the road
//! because it owns no session, no source and no record: text, model, policies and person in, an account of the decision
//! out.

pub mod cases;
pub mod catalog;
pub mod commands;
pub mod difference;
pub mod folder;

use std::collections::BTreeMap;
use std::sync::Arc;

use passgate_policy::{
    Approval, Approver, Decision, Estimate, Facts, Hold, Identity, Mask, Obligation, Place, PolicySet, Reasons,
    Redirect, Request, RuleReference, decide,
};

use crate::error::ClientError;
use crate::plan::{self, Model, Plan};
use crate::statement::{Limits, Statement, parse};

/// Times that a policy may want to know more.
const ROUNDS_MAX: usize = 8;

/// What a statement is held against.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// Caps on a statement's text.
    pub limits: &'a Limits,
    /// What the source holds.
    pub model: &'a Model,
    /// The policies.
    pub policies: &'a PolicySet,
    /// What meets the policies' demands.
    pub rewriter: &'a plan::Rewriter,
    /// Where names without a schema are looked for; by default where the source looks.
    pub path: Option<plan::SearchPath<'a>>,
}

impl Stage<'_> {
    fn resolve(&self, statement: &Statement, redirects: &[Redirect]) -> Result<Plan, plan::Error> {
        match self.path {
            Some(path) => plan::resolve_along(statement, self.model, path, redirects),
            None => plan::redirect(statement, self.model, redirects),
        }
    }
}

/// What became of a statement, and why.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// The verdict.
    pub verdict: Verdict,
    /// SQLSTATE of what is refused.
    pub sqlstate: Option<String>,
    /// Every reason, the one that would be told first.
    pub reasons: Vec<Told>,
    /// Rules that fired, with file and line.
    pub rules: Vec<RuleReference>,
    /// Tables referenced, in order, each once.
    pub tables: Vec<String>,
    /// Columns that can reach the answer or shape it.
    pub columns: Vec<String>,
    /// Predicates by table.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Masks by column.
    pub masks: BTreeMap<String, String>,
    /// Columns that are left out.
    pub hidden: Vec<String>,
    /// The most rows.
    pub limit: Option<u64>,
    /// What the person would be told beside the answer.
    pub warnings: Vec<String>,
    /// What rules in shadow mode would have done.
    pub shadow: Vec<String>,
    /// Tables that others stand in place of.
    pub redirected: Vec<String>,
    /// The text that a source would get, without secrets.
    pub rewritten: Option<String>,
    /// Whether a rule asked for an estimate that was not there.
    pub estimate_wanted: bool,
}

/// What the policies say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It waits for an approval.
    Hold,
    /// It is refused.
    Deny,
    /// It does not get as far as the policies, or not beyond them: it cannot be read, or names what there is not.
    #[default]
    Error,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Error => "error",
        })
    }
}

/// What a person would be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The rule, where one speaks.
    pub rule: Option<RuleReference>,
    /// The message.
    pub message: String,
    /// The detail.
    pub detail: Option<String>,
    /// The smallest change that passes, or who can grant it.
    pub hint: Option<String>,
    /// Where in the statement.
    pub at: Option<Place>,
}

/// What the policies would say of a text, one account for each statement in it; or why it cannot be read.
pub fn rehearse(text: &str, stage: Stage<'_>, identity: &Arc<Identity>, facts: &Facts) -> Vec<Rehearsed> {
    match parse(text, stage.limits) {
        Ok(statements) => statements.iter().map(|statement| one(statement, stage, identity, facts)).collect(),
        Err(error) => vec![failed(&error)],
    }
}

/// A file of JSON as policies are: comments and trailing commas are allowed, and nothing else is forgiven.
fn value(text: &str) -> Result<serde_json::Value, String> {
    let options = jsonc_parser::ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    jsonc_parser::parse_to_serde_value(text, &options).map_err(|error| error.to_string())
}

fn one(statement: &Statement, stage: Stage<'_>, identity: &Arc<Identity>, facts: &Facts) -> Rehearsed {
    if !statement.kind.is_governed() {
        return Rehearsed { verdict: Verdict::Allow, ..Rehearsed::default() };
    }
    match stage.resolve(statement, &[]) {
        Ok(plan) => decided(statement, plan, stage, identity, facts.clone()),
        Err(error) => failed(&error),
    }
}

fn decided(
    statement: &Statement,
    mut plan: Plan,
    stage: Stage<'_>,
    identity: &Arc<Identity>,
    mut facts: Facts,
) -> Rehearsed {
    let mut account = Rehearsed::default();
    let under = plan::Rewriting::of(stage.model, &identity.tenant);
    for _ in 0..ROUNDS_MAX {
        let request = plan::request(&plan, identity, facts.clone());
        account.note_names(&request);
        account.shadow = passgate_policy::shadow(stage.policies, &request)
            .iter()
            .map(|shadow| format!("{}: {}", shadow.rule, shadow.effect))
            .collect();
        let decision = decide(stage.policies, &request);
        let missing = plan.missing().filter(|_| stage.path.is_some_and(|path| path.hides));
        if let Some(missing) = missing {
            return account.unknowing(decision, missing);
        }
        match decision {
            Decision::Allow(permit) => {
                account.rules = permit.fired().to_vec();
                permit.obligations().iter().for_each(|obligation| account.note_obligation(obligation));
                account.warnings = permit.warnings().iter().map(|warning| warning.message.clone()).collect();
                return match stage.rewriter.rewrite(plan, permit, under) {
                    Ok(query) => {
                        let rewritten = Some(query.query().shown().to_owned());
                        Rehearsed { verdict: Verdict::Allow, rewritten, ..account }
                    }
                    Err(error) => failed_after(account, &error),
                };
            }
            Decision::Deny(reasons) => return account.denied(&reasons),
            Decision::Hold(hold) => return account.held(&hold),
            Decision::Redirect(redirects) => {
                account.redirected = redirects.iter().map(|to| format!("{} to {}", to.from, to.to)).collect();
                plan = match stage.resolve(statement, &redirects) {
                    Ok(plan) => plan,
                    Err(error) => return failed_after(account, &error),
                };
            }
            Decision::Estimate(_) => {
                account.estimate_wanted = true;
                facts.estimate = Estimate::Unknown;
            }
        }
    }
    failed_after(account, &plan::Error::undecided())
}

impl Rehearsed {
    /// What is said to somebody who may not know of what a statement names: what is said where it is not there.
    fn unknowing(self, decision: Decision, missing: &plan::Error) -> Self {
        let told = match decision {
            Decision::Deny(reasons) => reasons.told(),
            _ => None,
        };
        told.map_or_else(|| failed(missing), |told| self.denied(&told))
    }

    /// What there is to say beside the verdict: what of it, and a text of one or more lines. Nothing is left out but
    /// what is empty.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        for told in &self.reasons {
            rows.push(("reason", told.message.clone()));
            let by = told.rule.iter().map(ToString::to_string).chain(told.at.map(|at| format!("at {at}")));
            let by: Vec<String> = by.collect();
            rows.extend((!by.is_empty()).then(|| ("by", by.join(", "))));
            rows.extend(told.detail.iter().map(|detail| ("detail", detail.clone())));
            rows.extend(told.hint.iter().map(|hint| ("change", hint.clone())));
        }
        rows.extend(self.rules.iter().map(|rule| ("rule", rule.to_string())));
        rows.extend(self.redirected.iter().map(|text| ("redirect", text.clone())));
        for (table, rows_shown) in &self.filters {
            rows.extend(rows_shown.iter().map(|predicate| ("filter", format!("{table}: {predicate}"))));
        }
        rows.extend(self.masks.iter().map(|(column, mask)| ("mask", format!("{column}: {mask}"))));
        rows.extend(self.hidden.iter().map(|column| ("hidden", column.clone())));
        rows.extend(self.limit.map(|limit| ("limit", format!("{limit} rows"))));
        rows.extend(self.warnings.iter().map(|text| ("warning", text.clone())));
        rows.extend(self.estimate_wanted.then(|| ("estimate", "a rule asks what it would cost".to_owned())));
        rows.extend(self.shadow.iter().map(|text| ("shadow", text.clone())));
        rows.extend(self.rewritten.iter().map(|text| ("rewritten", text.clone())));
        rows
    }

    fn note_names(&mut self, request: &Request) {
        self.tables = request.tables.iter().map(|used| used.name().to_string()).collect();
        self.tables.sort();
        self.tables.dedup();
        self.columns = request.columns.iter().map(|used| format!("{}.{}", used.table.name, used.column)).collect();
        self.columns.sort();
        self.columns.dedup();
    }

    fn note_obligation(&mut self, obligation: &Obligation) {
        match obligation {
            Obligation::LimitRows { rows, rule: _ } => {
                self.limit = Some(self.limit.map_or(*rows, |limit| limit.min(*rows)));
            }
            Obligation::FilterRows { table, predicate, rule: _ } => {
                self.filters.entry(table.to_string()).or_default().push(predicate.text.to_string());
            }
            Obligation::MaskColumn { table, column, mask, rule: _ } => {
                self.masks.insert(format!("{table}.{column}"), mask_word(mask).to_owned());
            }
            Obligation::HideColumn { table, column, rule: _ } => self.hidden.push(format!("{table}.{column}")),
        }
    }

    fn denied(self, reasons: &Reasons) -> Self {
        let told = reasons.iter().map(|reason| Told {
            rule: Some(reason.rule.clone()),
            message: reason.message.clone(),
            detail: Some(reason.detail.clone()),
            hint: Some(reason.hint.clone()),
            at: reason.at,
        });
        let rules = reasons.iter().map(|reason| reason.rule.clone()).collect();
        let sqlstate = Some("42501".to_owned());
        Self { verdict: Verdict::Deny, sqlstate, reasons: told.collect(), rules, ..self }
    }

    fn held(self, hold: &Hold) -> Self {
        let reasons = hold.iter().map(|approval| Told {
            rule: Some(approval.rule.clone()),
            message: approval.message.clone(),
            detail: Some(approval.detail.clone()),
            hint: Some(who_approves(approval)),
            at: None,
        });
        let rules = hold.iter().map(|approval| approval.rule.clone()).collect();
        let sqlstate = Some("42501".to_owned());
        Self { verdict: Verdict::Hold, sqlstate, reasons: reasons.collect(), rules, ..self }
    }
}

/// The word that a policy uses for a mask.
pub fn mask_word(mask: &Mask) -> &'static str {
    match mask {
        Mask::Null => "null",
        Mask::Fixed(_) => "fixed",
        Mask::Hash => "hash",
        Mask::Partial { .. } => "partial",
        Mask::Year => "year",
        Mask::Round { .. } => "round",
        Mask::Expression(_) => "expression",
    }
}

fn who_approves(approval: &Approval) -> String {
    match &approval.by {
        Approver::Asker => "The person who asks confirms it.".to_owned(),
        Approver::Roles(roles) => {
            let roles: Vec<&str> = roles.iter().map(passgate_policy::Role::as_str).collect();
            format!("Somebody else with one of these roles approves it: {}.", roles.join(", "))
        }
    }
}

fn failed(error: &dyn ClientError) -> Rehearsed {
    failed_after(Rehearsed::default(), error)
}

fn failed_after(account: Rehearsed, error: &dyn ClientError) -> Rehearsed {
    let told = Told { rule: None, message: error.message(), detail: error.detail(), hint: error.hint(), at: None };
    Rehearsed { verdict: Verdict::Error, sqlstate: Some(error.sqlstate().to_owned()), reasons: vec![told], ..account }
}
