//! Cases beside the policies: `*.test.json`, played by `passgate policy test`.
//!
//! A case says who asks what and when, and what should come of it. Only what it says is compared, but it must say the
//! decision. Files that hold no case, and folders without one, are failures: a test that ran nothing shows nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use passgate_policy::{Costs, Estimate, Facts, Grant, Identity, PersonName, Proof, Role, Tenant, TicketId};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Rehearsed, Stage, Verdict, rehearse};

/// The moment of a case that says none: a Wednesday at noon, UTC.
const MOMENT_DEFAULT: &str = "2026-01-07T12:00:00Z";

/// A file of cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Where an editor finds the schema; ignored otherwise.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    /// People whom cases name.
    #[serde(default)]
    pub people: BTreeMap<String, Person>,
    /// What the source would say that a statement takes, for cases that do not say themselves.
    #[serde(default)]
    pub estimated: Option<Estimated>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// Somebody who asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    /// The name they sign in with; the key under `people` where it is left out.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// The tenant; `default` where it is left out.
    pub tenant: Option<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// How they signed in: `oidc`, `oauthbearer` or `scram`; `oidc` where it is left out.
    pub authentication_method: Option<String>,
}

impl Person {
    /// Them, as if they had signed in; called `name` where they have no name of their own.
    pub fn identity(&self, name: &str) -> Result<Identity, String> {
        let name = self.name.as_deref().unwrap_or(name);
        let method = match self.authentication_method.as_deref() {
            None | Some("oidc") => "oidc",
            Some("oauthbearer") => "oauthbearer",
            Some("scram") => "scram",
            Some(other) => return Err(format!("nobody signs in by \"{other}\": write oidc, oauthbearer or scram")),
        };
        Ok(Identity {
            person: PersonName::new(name),
            subject: name.to_owned(),
            email: self.email.clone(),
            tenant: Tenant::new(self.tenant.as_deref().unwrap_or("default")),
            groups: self.groups.clone(),
            roles: self.roles.iter().map(Role::new).collect(),
            claims: self.claims.clone(),
            proof: Proof { method, issuer: "test".to_owned(), expires_at: None },
        })
    }
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence that says what should be so.
    pub name: String,
    /// Who asks: a name under `people`, or somebody described here.
    pub who: Who,
    /// The statement.
    pub statement: String,
    /// When, as RFC 3339.
    #[serde(default)]
    pub when: Option<String>,
    /// The client's address.
    #[serde(default)]
    pub client_address: Option<IpAddr>,
    /// `application_name`.
    #[serde(default)]
    pub application_name: Option<String>,
    /// What the person declared with `SET passgate.purpose`.
    #[serde(default)]
    pub purpose: Option<String>,
    /// What the source would say that it takes; what the file says, or unknown, where it is left out.
    #[serde(default)]
    pub estimated: Option<Estimated>,
    /// How sure the translation of a question is.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// Whether the person never asked the source before.
    #[serde(default)]
    pub first_access_to_source: Option<bool>,
    /// Policies of which somebody has granted the approval.
    #[serde(default)]
    pub approved: Vec<String>,
    /// What should come of it.
    pub expect: Expectation,
}

/// Who asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Who {
    /// Somebody under `people`.
    Named(String),
    /// Somebody described on the spot.
    Described(Box<Person>),
}

/// An estimate.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// Dollars.
    pub cost_usd: Option<f64>,
    /// Bytes read.
    pub bytes: Option<f64>,
    /// Rows answered.
    pub rows: Option<f64>,
}

/// What should come of a case. What is left out is not compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdict.
    pub decision: Verdict,
    /// The message that would be told first.
    #[serde(default)]
    pub message: Option<String>,
    /// Its SQLSTATE.
    #[serde(default)]
    pub sqlstate: Option<String>,
    /// Names of policies that must be among those that fired.
    #[serde(default)]
    pub rules: Option<BTreeSet<String>>,
    /// The text for the source, exactly.
    #[serde(default)]
    pub rewritten: Option<String>,
    /// Predicates by table: all of them.
    #[serde(default)]
    pub filters: Option<BTreeMap<String, Vec<String>>>,
    /// Masks by column: all of them.
    #[serde(default)]
    pub masks: Option<BTreeMap<String, String>>,
    /// Columns that are left out: all of them.
    #[serde(default)]
    pub hidden: Option<Vec<String>>,
    /// The most rows.
    #[serde(default)]
    pub limit: Option<u64>,
    /// What the person is told beside the answer: all of it.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// Names of policies in shadow mode that would have acted: all of them.
    #[serde(default)]
    pub shadow: Option<BTreeSet<String>>,
}

/// What came of a file of cases.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many cases were as they should be.
    pub passed: usize,
    /// What was not: ready to print.
    pub failures: Vec<String>,
}

/// Plays a file of cases. `path` is how messages call it.
pub fn play(path: &str, text: &str, stage: Stage<'_>) -> Report {
    let mut report = Report::default();
    let document = match read(text) {
        Ok(document) => document,
        Err(faults) => {
            report.failures.extend(faults.iter().map(|fault| format!("{path}{fault}")));
            return report;
        }
    };
    if document.cases.is_empty() {
        report.failures.push(format!("{path}: there is no case in it"));
    }
    for case in &document.cases {
        match faults(case, &document, stage) {
            faults if faults.is_empty() => report.passed += 1,
            faults => {
                let line = line_of(text, &case.name);
                let mut shown = format!("{path}:{line}: {}\n", case.name);
                faults.iter().for_each(|fault| indented(&mut shown, fault));
                report.failures.push(shown);
            }
        }
    }
    report
}

/// Reads a file; comments and trailing commas are allowed. What is wrong begins with the line where that is known.
fn read(text: &str) -> Result<Document, Vec<String>> {
    let value = super::value(text).map_err(|error| vec![format!(": {error}")])?;
    Document::deserialize(&value).map_err(|error| {
        let mut faults = Vec::new();
        let people = value.get("people").and_then(serde_json::Value::as_object);
        for (name, person) in people.into_iter().flatten() {
            faults.extend(unread::<Person>(text, name, person));
        }
        for (index, case) in value.get("cases").and_then(serde_json::Value::as_array).into_iter().flatten().enumerate()
        {
            match case.get("name").and_then(serde_json::Value::as_str) {
                Some(name) => faults.extend(unread::<Case>(text, name, case)),
                None => faults.push(format!(": case {} has no \"name\"", index + 1)),
            }
        }
        if faults.is_empty() { vec![format!(": {error}")] } else { faults }
    })
}

/// Why the part of a file that is called `name` cannot be read, if so.
fn unread<'v, T: Deserialize<'v>>(text: &str, name: &str, value: &'v serde_json::Value) -> Option<String> {
    T::deserialize(value).err().map(|error| format!(":{}: {name}\n    {error}\n", line_of(text, name)))
}

/// The line on which a case's name stands, from 1.
fn line_of(text: &str, name: &str) -> usize {
    let quoted = serde_json::Value::from(name).to_string();
    let before = text.find(&quoted).and_then(|at| text.get(..at)).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn indented(shown: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(shown, "    {line}");
    }
}

fn faults(case: &Case, document: &Document, stage: Stage<'_>) -> Vec<String> {
    let (identity, facts) = match (identity(&case.who, document), facts(case, document)) {
        (Ok(identity), Ok(facts)) => (identity, facts),
        (Err(fault), _) | (_, Err(fault)) => return vec![fault],
    };
    let accounts = rehearse(&case.statement, stage, &identity, &facts);
    let [account] = accounts.as_slice() else {
        return vec![format!("a case has one statement, and this text has {}", accounts.len())];
    };
    compare(&case.expect, account)
}

fn compare(expected: &Expectation, account: &Rehearsed) -> Vec<String> {
    let mut faults = Vec::new();
    if account.verdict != expected.decision {
        let why: String = account.reasons.iter().map(told).collect();
        faults.push(format!("decision is {}, not {}{why}", account.verdict, expected.decision));
    }
    let first = account.reasons.first();
    differs(&mut faults, "message", expected.message.as_ref(), &first.map_or("", |told| &told.message));
    differs(&mut faults, "sqlstate", expected.sqlstate.as_ref(), &account.sqlstate.as_deref().unwrap_or(""));
    differs(&mut faults, "rewritten", expected.rewritten.as_ref(), &account.rewritten.as_deref().unwrap_or(""));
    differs(&mut faults, "filters", expected.filters.as_ref(), &account.filters);
    differs(&mut faults, "masks", expected.masks.as_ref(), &account.masks);
    differs(&mut faults, "hidden", expected.hidden.as_ref(), &account.hidden);
    differs(&mut faults, "warnings", expected.warnings.as_ref(), &account.warnings);
    if let Some(limit) = expected.limit.filter(|limit| account.limit != Some(*limit)) {
        let is = account.limit.map_or_else(|| "none".to_owned(), |rows| rows.to_string());
        faults.push(format!("limit is {is}, not {limit}"));
    }
    let fired: BTreeSet<String> = account.rules.iter().map(|rule| rule.policy.to_string()).collect();
    for rule in expected.rules.iter().flatten().filter(|rule| !fired.contains(*rule)) {
        let fired: Vec<&str> = fired.iter().map(String::as_str).collect();
        faults.push(format!("\"{rule}\" is not among the rules that fired: {}", fired.join(", ")));
    }
    if let Some(expected) = &expected.shadow {
        let named = |text: &String| text.split('"').nth(1).unwrap_or_default().to_owned();
        let acted: BTreeSet<String> = account.shadow.iter().map(named).collect();
        differs(&mut faults, "shadow", Some(expected), &acted);
    }
    faults
}

fn told(told: &super::Told) -> String {
    let rule = told.rule.as_ref().map_or_else(String::new, |rule| format!(", by {rule}"));
    let detail = told.detail.as_ref().map_or_else(String::new, |detail| format!("\n  {detail}"));
    let hint = told.hint.as_ref().map_or_else(String::new, |hint| format!("\n  {hint}"));
    format!("\n  {}{rule}{detail}{hint}", told.message)
}

fn differs<E, A>(faults: &mut Vec<String>, what: &str, expected: Option<&E>, actual: &A)
where
    E: std::fmt::Debug + PartialEq<A>,
    A: std::fmt::Debug + ?Sized,
{
    if let Some(expected) = expected.filter(|expected| **expected != *actual) {
        faults.push(format!("{what} is\n  {actual:?}\nnot\n  {expected:?}"));
    }
}

fn identity(who: &Who, document: &Document) -> Result<Arc<Identity>, String> {
    let (name, person) = match who {
        Who::Named(name) => {
            let known = || document.people.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let person = document.people.get(name);
            (name.as_str(), person.ok_or_else(|| format!("nobody under \"people\" is called \"{name}\": {}", known()))?)
        }
        Who::Described(person) => ("somebody", &**person),
    };
    person.identity(name).map(Arc::new)
}

/// A moment in RFC 3339, in seconds since 1970.
pub(super) fn moment(written: &str) -> Result<i64, String> {
    OffsetDateTime::parse(written, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|error| format!("a moment is written as \"{MOMENT_DEFAULT}\": {error}"))
}

fn facts(case: &Case, document: &Document) -> Result<Facts, String> {
    let written = case.when.as_deref().unwrap_or(MOMENT_DEFAULT);
    let now = moment(written).map_err(|fault| format!("\"when\": {fault}"))?;
    let declared = case.purpose.iter().map(|purpose| ("passgate.purpose".to_owned(), purpose.clone())).collect();
    let grant = |(index, policy): (usize, &String)| Grant {
        ticket: TicketId::new(format!("T{index}")),
        policy: policy.as_str().into(),
    };
    let facts = Facts {
        now,
        application_name: case.application_name.clone().unwrap_or_default(),
        declared,
        estimate: case.estimated.or(document.estimated).map_or(Estimate::NotMade, |estimated| {
            let Estimated { cost_usd, bytes, rows } = estimated;
            Estimate::Known(Costs { cost_usd, bytes, rows, rows_of_largest_step: rows, rows_read: rows })
        }),
        confidence: case.confidence,
        first_access_to_source: Some(case.first_access_to_source.unwrap_or(false)),
        grants: case.approved.iter().enumerate().map(grant).collect(),
        ..Facts::default()
    };
    Ok(match case.client_address {
        Some(client_address) => Facts { client_address, ..facts },
        None => facts,
    })
}
