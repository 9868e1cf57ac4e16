//! Whether settings that are each well formed make sense together.
//!
//! Nothing outside the settings is looked at here: files, addresses and servers are tried where they are used.

use std::collections::{HashMap, HashSet};

use super::document::Node;
use super::problem::{Findings, Place, did_you_mean};
use super::{Settings, place_of};
use crate::statement::DEPTH_MAX;

/// Checks names and references. Works on the tree, so that it says its part even where something else is wrong.
pub(super) fn names(tree: &Node, findings: &mut Findings) {
    for section in ["listeners", "sign_in", "databases"] {
        if let Some(list) = tree.get(section)
            && list.is_empty_list()
        {
            findings.error(list.at, format!("{section}: at least one entry is needed"), None);
        }
    }
    let methods = unique_names(tree, "sign_in", findings);
    unique_names(tree, "databases", findings);
    references(tree, &methods, findings);
}

/// Everything else, on settings whose every part is well formed.
pub(super) fn together(settings: &Settings, tree: &Node, findings: &mut Findings) {
    listeners(settings, tree, findings);
    databases(settings, tree, findings);
    if settings.limits.statement.depth_max > DEPTH_MAX {
        let path = ["limits", "statement", "depth_max"];
        findings.error(place_of(tree, &path), format!("{}: at most {DEPTH_MAX}", path.join(".")), None);
    }
    if let Some((key, message)) = settings.store.problem() {
        findings.error(place_of(tree, &["store", key]), format!("store.{key}: {message}"), None);
    }
    if !settings.audit.has_sinks() {
        let hint = "add `audit: [ { type: file, path: audit.jsonl } ]`".to_owned();
        findings.error(
            place_of(tree, &["audit"]),
            "audit: nothing would be recorded; name at least one sink",
            Some(hint),
        );
    }
}

fn listeners(settings: &Settings, tree: &Node, findings: &mut Findings) {
    let mut addresses = HashSet::new();
    for (index, listener) in settings.listeners.iter().enumerate() {
        let index = index.to_string();
        for problem in listener.problems() {
            let at = place_of(tree, &["listeners", &index, problem.setting]);
            let message = format!("listeners[{index}].{}: {}", problem.setting, problem.message);
            findings.error(at, message, Some(problem.suggestion));
        }
        if listener.dangerously_allow_plaintext {
            let at = place_of(tree, &["listeners", &index, "dangerously_allow_plaintext"]);
            findings.warning(at, format!("listeners[{index}]: secrets may pass unencrypted on loopback"), None);
        }
        if listener.address.port() != 0 && !addresses.insert(listener.address) {
            let at = place_of(tree, &["listeners", &index, "address"]);
            findings.error(at, format!("listeners[{index}].address: another listener has it already"), None);
        }
    }
}

fn databases(settings: &Settings, tree: &Node, findings: &mut Findings) {
    for (index, database) in settings.databases.iter().enumerate() {
        let index = index.to_string();
        let checked = (database.backend.check)(&database.settings);
        for problem in checked.problems {
            let at = place_of(tree, &["databases", &index, &problem.setting]);
            let path = if problem.setting.is_empty() { String::new() } else { format!(".{}", problem.setting) };
            findings.error(at, format!("databases[{index}]{path}: {}", problem.message), problem.suggestion);
        }
        for advice in checked.advice {
            let setting = advice.split([' ', ':']).next().unwrap_or_default();
            let at = place_of(tree, &["databases", &index, setting]);
            findings.warning(at, format!("databases[{index}] \"{}\": {advice}", database.name), None);
        }
    }
}

/// The names of a section's entries, each with its place; one that is given twice is reported.
fn unique_names<'a>(tree: &'a Node, section: &str, findings: &mut Findings) -> HashMap<&'a str, Place> {
    let mut names: HashMap<&str, Place> = HashMap::new();
    for (index, entry) in tree.get(section).map(Node::items).unwrap_or_default().iter().enumerate() {
        let Some(node) = entry.get("name") else { continue };
        let Some(name) = node.text() else { continue };
        if let Some(first) = names.get(name) {
            let message = format!("{section}[{index}].name: {name:?} is taken");
            findings.error(node.at, message, Some(format!("the first one is on line {}", first.line)));
        }
        names.entry(name).or_insert(node.at);
    }
    names
}

/// Holds each listener's methods against those there are, and warns of those nobody uses.
fn references(tree: &Node, methods: &HashMap<&str, Place>, findings: &mut Findings) {
    let mut used = HashSet::new();
    for (index, listener) in tree.get("listeners").map(Node::items).unwrap_or_default().iter().enumerate() {
        for (position, node) in listener.get("sign_in").map(Node::items).unwrap_or_default().iter().enumerate() {
            let Some(name) = node.text() else { continue };
            if !methods.contains_key(name) {
                let mut known: Vec<&str> = methods.keys().copied().collect();
                known.sort_unstable();
                let suggestion = did_you_mean(name, &known, "the sign-in methods are");
                let message = format!("listeners[{index}].sign_in[{position}]: there is no sign-in method {name:?}");
                findings.error(node.at, message, suggestion);
            }
            used.insert(name);
        }
    }
    if findings.errors() > 0 {
        // A listener may be meant to use it, in a part that could not be read.
        return;
    }
    let mut unused: Vec<_> = methods.iter().filter(|(name, _)| !used.contains(*name)).collect();
    unused.sort_unstable();
    for (name, at) in unused {
        let hint = "name it under `sign_in` of a listener, or remove it".to_owned();
        findings.warning(*at, format!("sign_in: no listener uses {name:?}"), Some(hint));
    }
}
