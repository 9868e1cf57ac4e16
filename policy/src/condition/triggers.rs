//! Which conditions can hold for a statement at all: an index of them by the names that they cannot hold without.
//!
//! Separate from the tests so that every action can keep its policies in one [`Index`], and a statement meets only
//! those that may matter to it, however many there are.

use std::collections::HashMap;

use super::Condition;
use super::names::Subject;
use crate::{Request, Tag};

/// A name without which a condition cannot be true.
pub(crate) type Trigger = (Subject, Box<str>);

/// Policies, by what their conditions cannot hold without.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_trigger: HashMap<Subject, HashMap<Box<str>, Vec<usize>>>,
    untriggered: Vec<usize>,
}

impl Index {
    /// Adds a policy under a number of the caller's. A policy without a condition always holds.
    pub(crate) fn add(&mut self, number: usize, condition: Option<&Condition>) {
        let Some(triggers) = condition.and_then(Condition::triggers) else {
            self.untriggered.push(number);
            return;
        };
        for (subject, name) in triggers {
            self.by_trigger.entry(subject).or_default().entry(name).or_default().push(number);
        }
    }

    /// The numbers of the policies that may hold for a request, in order, each once.
    pub(crate) fn candidates(&self, request: &Request) -> Vec<usize> {
        let mut candidates = self.untriggered.clone();
        if !self.by_trigger.is_empty() {
            each_trigger(request, |subject, name| {
                let found = self.by_trigger.get(&subject).and_then(|by_name| by_name.get(name));
                candidates.extend(found.into_iter().flatten());
            });
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

/// Calls `meet` with every name in a request that may be a [`Trigger`].
fn each_trigger<'r>(request: &'r Request, mut meet: impl FnMut(Subject, &'r str)) {
    meet(Subject::Sources, request.source.as_str());
    for used in &request.tables {
        meet(Subject::Sources, used.name().source.as_str());
        for table in used.closure() {
            meet(Subject::Tables, &table.name.table);
            meet(Subject::Schemas, &table.name.schema);
            table.tags.iter().flat_map(wider).for_each(|tag| meet(Subject::Classifications, tag));
        }
    }
    for used in &request.columns {
        meet(Subject::Columns, &used.column);
        let tags = used.table.column(&used.column).into_iter().flat_map(|column| &column.tags);
        tags.flat_map(wider).for_each(|tag| meet(Subject::Classifications, tag));
    }
    for function in &request.functions {
        meet(Subject::Functions, &function.name);
    }
}

/// A tag and every tag that covers it: `pii.ssn`, `pii`.
pub(crate) fn wider(tag: &Tag) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag.as_str()), |tag| tag.rsplit_once('.').map(|(wider, _)| wider))
}
