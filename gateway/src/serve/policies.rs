//! The policy folder, read and compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use passgate_policy::{Known, PolicySet, Sql};
use tokio::sync::watch;

use crate::auth::Methods;
use crate::config::{Place, Problem, Severity};
use crate::plan::{self, Rewriter};
use crate::rehearsal::folder::{Folder, Unreadable};
use crate::session::{PolicyStatus, Reload};
use crate::sources::Sources;

/// Policies, and what their author should know although they can be used.
pub(super) struct Policies {
    pub(super) set: PolicySet,
    pub(super) warnings: Vec<Problem>,
    /// How many files there are.
    pub(super) files: usize,
}

impl Policies {
    /// What `passgate.policy_status` shows of them.
    pub(super) fn status(&self, reload: Option<Reload>) -> PolicyStatus {
        let unknown = Vec::new();
        PolicyStatus {
            revision: self.set.revision().to_string(),
            loaded_at: now(),
            files: self.files,
            policies: self.set.count(),
            reload,
            unknown,
        }
    }

    /// The policies, once what is unwise about them has been logged.
    pub(super) fn in_force(self) -> PolicySet {
        for warning in &self.warnings {
            tracing::warn!(file = warning.file, line = warning.at.line, "{}", warning.message);
        }
        tracing::info!(revision = %self.set.revision(), "policies in force");
        self.set
    }
}

/// The policies in force, and what replaces them.
pub(super) struct Enforcement {
    pub(super) settings_folder: PathBuf,
    pub(super) policies_folder: PathBuf,
    pub(super) methods: Methods,
    pub(super) sources: Arc<Sources>,
    pub(super) rewriter: Arc<Rewriter>,
    pub(super) policies: watch::Sender<Arc<PolicySet>>,
    pub(super) status: watch::Sender<PolicyStatus>,
}

impl Enforcement {
    /// Reads the folder again. A set with any problem is not taken, and a name that no source has is one.
    pub(super) fn reload(&self) -> Result<(), Vec<Problem>> {
        match self.read(self.sources.known()) {
            Ok(policies) => {
                let status = policies.status(Some(Reload { at: now(), is_taken: true, problems: Vec::new() }));
                self.policies.send_replace(Arc::new(policies.in_force()));
                self.status.send_replace(status);
                Ok(())
            }
            Err(problems) => {
                let refused = Reload { at: now(), is_taken: false, problems: self.places(&problems) };
                self.status.send_modify(|status| status.reload = Some(refused));
                Err(problems)
            }
        }
    }

    /// Holds the policies in force against what the sources have, whenever one was read: a gateway that starts does not
    /// know it yet. What is in force stays; that it governs nothing is said wherever somebody may look.
    pub(super) async fn watch_names(self: Arc<Self>) {
        let mut readings = self.sources.readings();
        while readings.changed().await.is_ok() {
            let enforcement = Arc::clone(&self);
            // Compiling may take a while.
            let checked = tokio::task::spawn_blocking(move || enforcement.check_names()).await;
            if checked.is_err() {
                tracing::error!("the names in the policies could not be checked");
            }
        }
    }

    fn check_names(&self) {
        let mut sources = Known::new();
        plan::describe_built_in(&mut sources);
        self.sources.names().for_each(|name| sources.add_source(name.clone()));
        let on_disk = self.read(sources);
        let in_force = self.policies.borrow().revision().clone();
        if !on_disk.is_ok_and(|policies| *policies.set.revision() == in_force) {
            // Edited since, and not reloaded.
            return;
        }
        let unknown = self.read(self.sources.known()).err().unwrap_or_default();
        metrics::gauge!("passgate_policy_unknown_names").set(unknown.len() as f64);
        let places = self.places(&unknown);
        let is_news = self.status.send_if_modified(|status| {
            let is_news = status.unknown != places;
            status.unknown = places;
            is_news
        });
        for problem in unknown.iter().filter(|_| is_news) {
            tracing::error!(%problem, "a policy in force names what no source has, and governs nothing by that name");
        }
    }

    fn read(&self, mut known: Known) -> Result<Policies, Vec<Problem>> {
        add_people(&mut known, &self.methods);
        read(&self.settings_folder, &self.policies_folder, &known, self.rewriter.sql())
    }

    /// Where problems are, each file as the settings name it.
    fn places(&self, problems: &[Problem]) -> Vec<String> {
        places(&self.settings_folder, problems)
    }
}

fn places(settings_folder: &Path, problems: &[Problem]) -> Vec<String> {
    let place = |problem: &Problem| {
        let file = Path::new(&problem.file);
        let file = file.strip_prefix(settings_folder).unwrap_or(file).display();
        match problem.at.line {
            0 => file.to_string(),
            line => format!("{file}:{line}:{}", problem.at.column),
        }
    };
    problems.iter().map(place).collect()
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// Compiles the policies of a folder, in the order of the files' names. `named` is the folder as the settings name it,
/// relative to `settings_folder`: people who are refused are shown the first, and operators the whole path. A
/// policy that names what is not `known` is a problem; a source that was not read yet may hold anything.
pub(super) fn read(
    settings_folder: &Path,
    named: &Path,
    known: &Known,
    sql: &dyn Sql,
) -> Result<Policies, Vec<Problem>> {
    let folder = &settings_folder.join(named);
    let files = Folder::read(folder, settings_folder).map_err(unreadable)?.policies;
    let whole_path = |problem: &passgate_policy::Problem| {
        let file = settings_folder.join(&problem.file).display().to_string();
        Problem { file, ..Problem::from(problem.clone()) }
    };
    match passgate_policy::compile(&files, Some(known), sql) {
        Ok(set) => {
            let mut warnings: Vec<Problem> = set.warnings().iter().map(whole_path).collect();
            if files.is_empty() {
                let message = format!("there is no *.json file in the policy folder {}", folder.display());
                warnings.push(problem(folder, message, Some("without a schema_whitelist nobody may read anything")));
            }
            warnings.iter_mut().for_each(|warning| warning.severity = Severity::Warning);
            Ok(Policies { set, warnings, files: files.len() })
        }
        Err(problems) => Err(problems.iter().map(whole_path).collect()),
    }
}

/// Adds who can sign in, so that a group or role that nobody has is found; where an identity provider says who may sign
/// in, any may be there.
pub(super) fn add_people(known: &mut Known, methods: &Methods) {
    let Some(everybody) = methods.everybody() else { return };
    for identity in everybody {
        identity.groups.iter().for_each(|group| known.add_group(group.clone()));
        identity.roles.iter().for_each(|role| known.add_role(role.clone()));
    }
    known.all_people_are_known();
}

fn unreadable(faults: Vec<Unreadable>) -> Vec<Problem> {
    faults.into_iter().map(|fault| problem(&fault.path, fault.message, fault.hint)).collect()
}

fn problem(path: &Path, message: String, suggestion: Option<&str>) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.display().to_string(),
        at: Place::default(),
        message,
        suggestion: suggestion.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use passgate_policy::NoSql;

    use super::*;

    fn said(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_folder_is_read_in_order_and_hidden_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join("policies").join(name), text).unwrap();
        let none = read(folder.path(), Path::new("policies"), &Known::new(), &NoSql)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(none.warnings.len(), 1, "{:?}", none.warnings);
        write("b.json", r#"{ "name": "limit", "check": "row_limit", "rows": 5 }"#);
        write(".b.json.swp", "half written");
        write("notes.md", "not a policy");
        write("b.test.json", "cases of its own kind");
        write("catalog.json", "what the cases' sources hold");
        let one = read(folder.path(), Path::new("policies"), &Known::new(), &NoSql)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(one.warnings.is_empty() && one.set.revision() != none.set.revision());
    }

    #[test]
    fn a_problem_names_the_whole_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("bad.json"), r#"{ "name": "limit", "check": "row_limt", "rows": 5 }"#).unwrap();
        let problems = read(folder.path(), Path::new("p"), &Known::new(), &NoSql).err().unwrap();
        let expected = format!("{}:1:29: error: ", path.join("bad.json").display());
        assert!(said(&problems)[0].starts_with(&expected), "{problems:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem() {
        let problems = read(Path::new("/"), Path::new("nowhere/policies"), &Known::new(), &NoSql).err().unwrap();
        assert!(problems[0].message.starts_with("cannot read the policy folder /nowhere/policies: "), "{problems:?}");
    }
}
