//! `"{{ env('NAME') }}"` and `"{{ file('path') }}"`: values that come from the environment or a file.
//!
//! Expressions run once, before anything is read as a setting. Two functions are all there is, and an undefined name
//! is an error, so what the file says is what the gateway gets.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, UndefinedBehavior};

use super::document::{Content, Node};
use super::problem::{Findings, Place, nearest};

/// A secret file larger than this is not a secret.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where expressions get their values.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The folder that relative paths are relative to: the settings file's own.
    pub folder: PathBuf,
}

impl Surroundings {
    /// The environment of this process.
    pub fn of_process(folder: &Path) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, folder: folder.to_owned() }
    }
}

/// Replaces every `{{ ... }}` under `node` by its value.
pub(super) fn expand(node: &mut Node, surroundings: &Surroundings, findings: &mut Findings) {
    let complaints = Complaints::default();
    let environment = environment(surroundings, &complaints);
    expand_node(node, &environment, &complaints, findings);
}

/// What a function found wrong, and what to do about it.
type Complaint = (String, Option<String>);

/// What functions found wrong while one expression ran. They answer an empty text and complain here, so that one
/// value with two missing variables is reported twice at once.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<Complaint>>>);

impl Complaints {
    fn add(&self, message: String, suggestion: Option<String>) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((message, suggestion));
        String::new()
    }

    fn take(&self) -> Vec<Complaint> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn environment(surroundings: &Surroundings, complaints: &Complaints) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    let (around, complain) = (surroundings.clone(), complaints.clone());
    environment
        .add_function("env", move |name: String, default: Option<String>| variable(&around, &complain, &name, default));
    let (around, complain) = (surroundings.clone(), complaints.clone());
    environment.add_function("file", move |path: String| contents(&around, &complain, &path));
    environment
}

fn expand_node(node: &mut Node, environment: &Environment<'_>, complaints: &Complaints, findings: &mut Findings) {
    let at = node.at;
    match &mut node.content {
        Content::List(items) => {
            items.iter_mut().for_each(|item| expand_node(item, environment, complaints, findings));
        }
        Content::Map(entries) => {
            entries.iter_mut().for_each(|(_, value)| expand_node(value, environment, complaints, findings));
        }
        Content::Scalar(scalar) if scalar.text.contains("{{") => {
            let value = evaluate(&scalar.text, at, environment, complaints, findings);
            scalar.text = value.unwrap_or_default();
            scalar.computed = true;
        }
        Content::Scalar(_) => {}
    }
}

fn evaluate(
    text: &str,
    at: Place,
    environment: &Environment<'_>,
    complaints: &Complaints,
    findings: &mut Findings,
) -> Option<String> {
    if text.contains("{%") || text.contains("{#") {
        let instead = "write {{ env('NAME') }} or {{ file('path') }}".to_owned();
        findings.error(at, "only {{ ... }} expressions are allowed in a setting", Some(instead));
        return None;
    }
    let value = environment.render_str(text, ());
    let complaints = complaints.take();
    let complained = !complaints.is_empty();
    for (message, suggestion) in complaints {
        findings.error(at, message, suggestion);
    }
    match value {
        Ok(value) => Some(value),
        Err(_) if complained => None,
        Err(error) => {
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let instead = "the two forms are {{ env('NAME') }} and {{ file('path') }}".to_owned();
            findings.error(at, format!("this expression does not work: {reason}"), Some(instead));
            None
        }
    }
}

fn variable(around: &Surroundings, complain: &Complaints, name: &str, default: Option<String>) -> String {
    if let Some(value) = around.variables.get(name) {
        return value.clone();
    }
    if let Some(default) = default {
        return default;
    }
    let suggestion = match nearest(name, around.variables.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {near}? It is set"),
        None => format!("set it, or give a default: {{{{ env('{name}', 'default') }}}}"),
    };
    complain.add(format!("the environment variable {name} is not set"), Some(suggestion))
}

/// The text of a file, without the line end that editors put last.
fn contents(around: &Surroundings, complain: &Complaints, path: &str) -> String {
    let resolved = around.folder.join(path);
    match read_bounded(&resolved) {
        Ok(mut text) => {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
            text
        }
        Err(reason) => {
            let suggestion = "paths are relative to the settings file; the gateway's own user must be able to read it";
            complain.add(format!("cannot read the file {path:?}: {reason}"), Some(suggestion.to_owned()))
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}
