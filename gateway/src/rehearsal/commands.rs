//! `passgate policy test`, `diff` and `explain`: folders and files in, texts out.
//!
//! Separate from the program's arguments, so that tests call them as the program does.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use passgate_connectors::Secret;
use passgate_policy::{Facts, Identity, PersonName, PolicySet, Proof, Role, Tenant, compile};
use serde::Deserialize as _;

use super::catalog::Document;
use super::difference::Difference;
use super::folder::{CATALOG, Folder};
use super::{Rehearsed, Stage, cases, rehearse};
use crate::catalog::Snapshot;
use crate::plan::{self, Model, Rewriter};
use crate::statement::Limits;

/// Lines for standard error.
pub type Failure = Vec<String>;

/// A folder's policies, compiled against a catalog.
struct Compiled {
    policies: PolicySet,
    model: Model,
    rewriter: Rewriter,
    limits: Limits,
}

impl Compiled {
    fn new(folder: &Folder, snapshot: &Arc<Snapshot>) -> Result<Self, Failure> {
        // Nothing leaves, so any secret does; what is shown of a hash has its salt taken out.
        let rewriter = Rewriter::new(Some(&Secret::new("rehearsal")));
        let mut known = passgate_policy::Known::new();
        plan::describe_built_in(&mut known);
        snapshot.describe(&mut known);
        let policies = compile(&folder.policies, Some(&known), rewriter.sql())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let model = Model::new(Arc::clone(snapshot), &policies);
        Ok(Self { policies, model, rewriter, limits: Limits::default() })
    }

    fn stage(&self) -> Stage<'_> {
        Stage {
            limits: &self.limits,
            model: &self.model,
            policies: &self.policies,
            rewriter: &self.rewriter,
            path: None,
        }
    }
}

/// Plays every `*.test.json` of a folder against its policies and its `catalog.json`. Fails where a case does, and where
/// there is none.
pub fn test(path: &Path) -> Result<String, Failure> {
    let folder = read(path)?;
    let snapshot = snapshot(&folder, path)?;
    let compiled = Compiled::new(&folder, &snapshot)?;
    if folder.cases.is_empty() {
        return Err(vec![format!("there is no *.test.json in {}: nothing was tested", path.display())]);
    }
    let mut passed = 0;
    let mut failures = Vec::new();
    for file in &folder.cases {
        let report = cases::play(&file.path, &file.text, compiled.stage());
        passed += report.passed;
        failures.extend(report.failures);
    }
    if failures.is_empty() {
        return Ok(format!("{}: {passed} cases passed\n", path.display()));
    }
    failures.push(format!("{}: {passed} cases passed, {} failed", path.display(), failures.len()));
    Err(failures)
}

/// Says who loses and who gains by a change of policies, by deciding the statements of an audit log again. What a source
/// holds is taken from `catalog`, or from the `catalog.json` of the new folder or the old. Fails where anything changes.
pub fn diff(old: &Path, new: &Path, log: &Path, catalog: Option<&Path>) -> Result<String, Failure> {
    let (before, after) = (read(old)?, read(new)?);
    let snapshot = match catalog {
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|error| vec![format!("cannot read {}: {error}", path.display())])?;
            snapshot_of(&path.display().to_string(), &text)?
        }
        None if after.catalog.is_some() => snapshot(&after, new)?,
        None => snapshot(&before, old)?,
    };
    let text = fs::read_to_string(log).map_err(|error| vec![format!("cannot read {}: {error}", log.display())])?;
    let (before, after) = (Compiled::new(&before, &snapshot)?, Compiled::new(&after, &snapshot)?);
    let source = snapshot.source().to_string();
    let difference = Difference::replay(&text, &source, before.stage(), after.stage());
    if difference.is_empty() {
        let log = log.display();
        return Err(vec![format!("there is no statement of source \"{source}\" in {log}: nothing was compared")]);
    }
    if difference.is_none() {
        Ok(difference.to_string())
    } else {
        Err(vec![difference.to_string().trim_end().to_owned()])
    }
}

/// Who asks, as the arguments of `explain` say it.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// Their name.
    pub name: String,
    /// Their tenant.
    pub tenant: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles.
    pub roles: Vec<String>,
    /// Their claims, as `name=value`; a value that is JSON is taken as such.
    pub claims: Vec<String>,
    /// What they declared with `SET passgate.purpose`.
    pub purpose: Option<String>,
    /// Where they connect from.
    pub from: Option<IpAddr>,
    /// When they ask, as RFC 3339; now, where it is left out.
    pub at: Option<String>,
}

/// Says what a folder's policies would do with a statement of somebody, and why. `now` is in seconds since 1970.
pub fn explain(path: &Path, asker: &Asker, statement: &str, now: i64) -> Result<String, Failure> {
    let folder = read(path)?;
    let snapshot = snapshot(&folder, path)?;
    let compiled = Compiled::new(&folder, &snapshot)?;
    let now = match &asker.at {
        Some(at) => cases::moment(at).map_err(|fault| vec![format!("--at: {fault}")])?,
        None => now,
    };
    let declared = asker.purpose.iter().map(|purpose| ("passgate.purpose".to_owned(), purpose.clone())).collect();
    let facts = Facts { now, declared, first_access_to_source: Some(false), ..Facts::default() };
    let facts = Facts { client_address: asker.from.unwrap_or(facts.client_address), ..facts };
    let accounts = rehearse(statement, compiled.stage(), &identity(asker)?, &facts);
    Ok(accounts.iter().map(account).collect::<Vec<_>>().join("\n"))
}

/// An account of a decision, for reading.
pub fn account(account: &Rehearsed) -> String {
    let mut text = format!("decision   {}\n", account.verdict);
    for (part, value) in account.rows() {
        let mut lines = value.lines();
        let _ = writeln!(text, "{part:10} {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "{:10} {line}", "");
        }
    }
    text
}

fn identity(asker: &Asker) -> Result<Arc<Identity>, Failure> {
    let mut claims = serde_json::Map::new();
    for claim in &asker.claims {
        let (name, value) =
            claim.split_once('=').ok_or_else(|| vec![format!("\"{claim}\" is not a claim: write name=value")])?;
        claims.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    Ok(Arc::new(Identity {
        person: PersonName::new(&asker.name),
        subject: asker.name.clone(),
        email: None,
        tenant: Tenant::new(asker.tenant.as_deref().unwrap_or("default")),
        groups: asker.groups.iter().cloned().collect(),
        roles: asker.roles.iter().map(Role::new).collect(),
        claims,
        proof: Proof { method: "oidc", issuer: "arguments".to_owned(), expires_at: None },
    }))
}

fn read(path: &Path) -> Result<Folder, Failure> {
    Folder::read(path, Path::new("")).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

fn snapshot(folder: &Folder, path: &Path) -> Result<Arc<Snapshot>, Failure> {
    let Some(file) = &folder.catalog else {
        let path = path.join(CATALOG);
        return Err(vec![
            format!("there is no {}, which says what the source holds", path.display()),
            format!("make one: passgate policy catalog --config passgate.yaml > {}", path.display()),
        ]);
    };
    snapshot_of(&file.path, &file.text)
}

fn snapshot_of(path: &str, text: &str) -> Result<Arc<Snapshot>, Failure> {
    let fault = |fault: &dyn std::fmt::Display| vec![format!("{path}: {fault}")];
    let value = super::value(text).map_err(|error| fault(&error))?;
    let document = Document::deserialize(value).map_err(|error| fault(&error))?;
    document.snapshot().map(Arc::new).map_err(|error| fault(&error))
}
