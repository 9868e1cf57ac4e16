//! Policy files to a [`PolicySet`], or every problem at once.
//!
//! Nothing is loaded from files of which one has a problem: a policy that was meant and is not there is a hole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use sha2::{Digest, Sha256};

use crate::audience::Audience;
use crate::classification::{Classification, is_classification};
use crate::condition::{Condition, Reading};
use crate::decide::PolicySet;
use crate::document::{Document, kind_of};
use crate::fields::{Field, Object, Text};
use crate::names::Known;
use crate::problem::{Problem, Problems, did_you_mean};
use crate::rules::{ACTION_FIELDS, COMMON_FIELDS, NamedBy, RULES, RuleKind};
use crate::shadow::InShadow;
use crate::{Revision, RuleReference, Sql};

/// Policies in one set.
const POLICIES_MAX: usize = 10_000;

/// A policy file as read.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Its path, as it should appear in messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What compiling has at hand, and what it finds.
pub(crate) struct Context<'k> {
    /// What the sources hold, where that is known.
    pub(crate) known: Option<&'k Known>,
    /// Reads the SQL in policies.
    pub(crate) sql: &'k dyn Sql,
    /// What has which tag, as `tags.json` says.
    pub(crate) classification: Classification,
    pub(crate) problems: Problems,
    /// Whether anything asks for the time.
    pub(crate) tells_time: bool,
    warnings: Problems,
}

impl<'k> Context<'k> {
    pub(crate) fn new(known: Option<&'k Known>, sql: &'k dyn Sql) -> Self {
        let classification = Classification::default();
        let (problems, warnings) = (Problems::default(), Problems::default());
        Self { known, sql, classification, problems, tells_time: false, warnings }
    }

    /// Reports a name that nothing has: a problem, or a warning where the policy says `unknown_ok`.
    pub(crate) fn report_unknown(&mut self, mut problem: Problem, unknown_ok: bool) {
        let accept = || "name one that exists, or add \"unknown_ok\": true".to_owned();
        problem.suggestion.get_or_insert_with(accept);
        if unknown_ok { &mut self.warnings } else { &mut self.problems }.push(problem);
    }
}

/// A policy as written, with what every kind has in common understood.
#[derive(Clone, Debug)]
pub(crate) struct Policy<'d> {
    pub(crate) rule: RuleReference,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) audience: Audience,
    /// What must be true for it to act; always, where there is none.
    pub(crate) condition: Option<Arc<Condition>>,
    /// Whether names that nothing has are accepted.
    pub(crate) unknown_ok: bool,
    /// Whether only what it would do is wanted.
    pub(crate) is_shadow: bool,
    /// How early its reasons are told.
    pub(crate) priority: Option<i64>,
    /// The object, checked against the kind's fields.
    pub(crate) body: Object<'d>,
}

/// Compiles policy files, or reports every problem in them, in the order of the files.
///
/// A file called `tags.json` says what has which tag; every other file holds policies.
/// With `known`, a policy that names a table, schema, function or source that does not exist is a problem too (or a
/// warning, where it says `unknown_ok`). `sql` reads the SQL that policies hold.
pub fn compile(files: &[PolicyFile], known: Option<&Known>, sql: &dyn Sql) -> Result<PolicySet, Vec<Problem>> {
    let mut context = Context::new(known, sql);
    let documents: Vec<Document<'_>> =
        files.iter().filter_map(|file| Document::parse(file, &mut context.problems)).collect();
    let (tags, documents): (Vec<_>, Vec<_>) =
        documents.into_iter().partition(|document| is_classification(document.source.path));
    let mut classification = Classification::default();
    tags.iter().for_each(|document| classification.read(document, &mut context));
    let known = known.map(|known| known.with_tags(classification.table_tags(), classification.column_tags()));
    let mut context = Context { known: known.as_ref(), classification, ..context };
    let mut policies = sort_by_kind(&documents, &mut context);
    let count = policies.values().map(Vec::len).sum();
    let (mut judges, mut shadows, mut priorities) = (Vec::new(), Vec::new(), HashMap::new());
    for kind in RULES {
        let written = policies.remove(kind.name).unwrap_or_default();
        let prioritised = written.iter().filter_map(|policy| Some((Arc::clone(&policy.rule.policy), policy.priority?)));
        priorities.extend(prioritised);
        let (shadow, enforced): (Vec<_>, Vec<_>) = written.into_iter().partition(|policy| policy.is_shadow);
        shadows.extend(shadow.iter().map(|policy| in_shadow(kind, policy, &enforced, judges.len(), &mut context)));
        judges.push((kind.compile)(&enforced, &mut context));
    }
    let Context { classification, warnings, problems, tells_time, .. } = context;
    match problems.is_empty() {
        true => Ok(PolicySet {
            revision: revision(files),
            judges,
            shadows,
            priorities,
            classification,
            warnings: warnings.sorted(),
            count,
            tells_time,
        }),
        false => Err(problems.sorted()),
    }
}

/// A policy of which only what it would do is wanted: alone, or, where it lets more through, beside the others that do.
fn in_shadow<'d>(
    kind: &RuleKind,
    policy: &Policy<'d>,
    enforced: &[Policy<'d>],
    judge: usize,
    context: &mut Context<'_>,
) -> InShadow {
    let beside = if kind.grants { enforced } else { &[] };
    let policies: Vec<Policy<'d>> = beside.iter().chain([policy]).cloned().collect();
    let without = kind.grants.then_some(judge);
    InShadow { rule: policy.rule.clone(), judge: (kind.compile)(&policies, context), without }
}

/// Reads what all policies have in common, and hands each to its kind.
fn sort_by_kind<'d>(
    documents: &'d [Document<'d>],
    context: &mut Context<'_>,
) -> BTreeMap<&'static str, Vec<Policy<'d>>> {
    let mut by_kind: BTreeMap<&'static str, Vec<Policy<'d>>> = BTreeMap::new();
    let mut names: BTreeMap<&'d str, RuleReference> = BTreeMap::new();
    let entries = documents.iter().flat_map(|document| document.entries().iter().map(move |entry| (document, entry)));
    for (index, (document, entry)) in entries.enumerate() {
        if index == POLICIES_MAX {
            let message = format!("there are more than {POLICIES_MAX} policies");
            context.problems.push(document.source.problem(entry.range(), message, None));
            break;
        }
        let Value::Object(node) = entry else {
            let message = format!("a policy is an object, not {}", kind_of(entry));
            context.problems.push(document.source.problem(entry.range(), message, None));
            continue;
        };
        let body = Object::new(&document.source, node);
        if let Some((kind, policy)) = read(body, &mut names, context) {
            by_kind.entry(kind.name).or_default().push(policy);
        }
    }
    by_kind
}

fn read<'d>(
    body: Object<'d>,
    names: &mut BTreeMap<&'d str, RuleReference>,
    context: &mut Context<'_>,
) -> Option<(&'static RuleKind, Policy<'d>)> {
    let kind = kind(body, &mut context.problems);
    match kind {
        Some(kind) if kind.named_by == NamedBy::Action => {
            body.check(&[COMMON_FIELDS, ACTION_FIELDS, kind.fields], &mut context.problems);
        }
        Some(kind) => body.check(&[COMMON_FIELDS, kind.fields], &mut context.problems),
        // So that only what no kind knows is called unknown.
        None => {
            let tables: Vec<&'static [Field]> =
                [COMMON_FIELDS, ACTION_FIELDS].into_iter().chain(RULES.iter().map(|kind| kind.fields)).collect();
            body.check_present(&tables, &mut context.problems);
        }
    }
    let name = body.text("name")?;
    let rule = RuleReference { policy: name.value.into(), file: body.source.path.into(), line: body.line() };
    if let Some(other) = names.get(name.value) {
        let message = format!("another policy is called \"{}\", in {}:{}", name.value, other.file, other.line);
        context.problems.push(name.problem(message, Some("give each its own name".to_owned())));
    }
    names.entry(name.value).or_insert_with(|| rule.clone());
    let unknown_ok = body.flag("unknown_ok");
    let audience =
        body.object("applies_to").map(|object| Audience::compile(object, unknown_ok, context)).unwrap_or_default();
    let message = body.text("message").map(|message| message.value.into());
    let mut reading = Reading { sources: audience.sources(), unknown_ok, context };
    let condition = match kind {
        Some(RuleKind { named_by: NamedBy::Check, .. }) => None,
        _ => condition(body, &mut reading).map(Arc::new),
    };
    let is_shadow = body.text("mode").is_some_and(|mode| mode.value == "shadow");
    let priority = body.integer("priority");
    Some((kind?, Policy { rule, message, audience, condition, unknown_ok, is_shadow, priority, body }))
}

/// When a policy acts: what its `condition` or its `when` says.
fn condition(body: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    match (body.object("condition"), body.text("when")) {
        (Some(_), Some(_)) => {
            let message = "a policy has a \"condition\" or a \"when\", not both".to_owned();
            let suggestion = Some("join them with && in \"when\"".to_owned());
            reading.context.problems.push(body.problem_at("when", message, suggestion));
            None
        }
        (Some(condition), None) => Condition::compile(condition, reading),
        (None, Some(expression)) => crate::expression::compile(expression, reading),
        (None, None) => None,
    }
}

/// Which kind of rule a policy is: the one that its `check` or its `action` names.
fn kind(body: Object<'_>, problems: &mut Problems) -> Option<&'static RuleKind> {
    let (check, action) = (body.text("check"), body.text("action"));
    match (check, action) {
        (Some(check), Some(_)) => {
            let suggestion = Some("make two policies of it".to_owned());
            problems.push(check.problem("a policy has a \"check\" or an \"action\", not both".to_owned(), suggestion));
            None
        }
        (Some(written), None) => named_kind(&written, NamedBy::Check, problems),
        (None, Some(written)) => named_kind(&written, NamedBy::Action, problems),
        (None, None) if body.has("check") || body.has("action") => None,
        (None, None) => {
            let suggestion =
                Some("add \"check\" with a kind of rule, or \"action\" with what is to be done".to_owned());
            problems.push(body.problem("the policy says neither \"check\" nor \"action\"".to_owned(), suggestion));
            None
        }
    }
}

fn named_kind(written: &Text<'_>, named_by: NamedBy, problems: &mut Problems) -> Option<&'static RuleKind> {
    let kinds = || RULES.iter().copied().filter(|kind| kind.named_by == named_by);
    let found = kinds().find(|kind| kind.name == written.value);
    if found.is_none() {
        let names = || kinds().map(|kind| kind.name);
        let suggestion = did_you_mean(written.value, names())
            .unwrap_or_else(|| format!("known: {}", names().collect::<Vec<_>>().join(", ")));
        let message = format!("unknown {} \"{}\"", named_by.key(), written.value);
        problems.push(written.problem(message, Some(suggestion)));
    }
    found
}

/// The digest of every path and text, each with its length before it, so that no two sets of files share one.
fn revision(files: &[PolicyFile]) -> Revision {
    let mut sorted: Vec<(&str, &str)> = files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for part in sorted.iter().flat_map(|(path, text)| [path, text]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Revision::new(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> PolicyFile {
        PolicyFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_revision_is_that_of_the_files_whatever_their_order() {
        let (a, b) = (file("a", "1"), file("b", "2"));
        assert_eq!(revision(&[a.clone(), b.clone()]), revision(&[b.clone(), a.clone()]));
        assert_ne!(revision(&[a.clone(), b]), revision(&[a, file("b", "3")]));
        assert_ne!(revision(&[file("ab", "c")]), revision(&[file("a", "bc")]));
        assert_eq!(revision(&[]).as_str(), "e3b0c44298fc1c14");
    }
}
