//! Which policies can act on a request at all: an index of them by the names that they cannot act without.
//!
//! Separate from the tests so that every kind of rule can keep its policies in one [`Index`], and a statement meets only
//! those that may matter to it, however many there are.

use std::collections::{BTreeMap, HashMap};

use super::Condition;
use super::names::Subject;
use crate::audience::Audience;
use crate::{Request, Tag};

/// What a trigger is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Something in the statement.
    Statement(Subject),
    /// The person who asks.
    Person,
    Group,
    Role,
    Tenant,
}

/// A name without which a policy does not act.
pub(crate) type Trigger = (Key, Box<str>);

/// Of several lists of triggers, each of them sufficient, the one that the fewest requests meet. How many do is not
/// known; that a request has one of a table's names is rarer than that it has a tenant's.
pub(crate) fn rarest(lists: impl Iterator<Item = Vec<Trigger>>) -> Option<Vec<Trigger>> {
    lists.min_by_key(|triggers| (triggers.iter().map(|(key, _)| key.frequency()).max(), triggers.len()))
}

impl Key {
    /// The higher, the more requests share a name of this kind.
    fn frequency(self) -> u8 {
        match self {
            Self::Statement(Subject::Tables | Subject::Columns | Subject::Functions) | Self::Person => 0,
            Self::Statement(Subject::Classifications) | Self::Group | Self::Role => 1,
            Self::Statement(Subject::Schemas) | Self::Tenant => 2,
            Self::Statement(Subject::Sources) => 3,
        }
    }

    /// Calls `meet` with every name of this kind that a request has.
    fn each<'r>(self, request: &'r Request, mut meet: impl FnMut(&'r str)) {
        let tables = || request.tables.iter().flat_map(|used| used.closure());
        match self {
            Self::Statement(Subject::Tables) => tables().for_each(|table| meet(&table.name.table)),
            Self::Statement(Subject::Schemas) => tables().for_each(|table| meet(&table.name.schema)),
            Self::Statement(Subject::Columns) => request.columns.iter().for_each(|used| meet(&used.column)),
            Self::Statement(Subject::Functions) => request.functions.iter().for_each(|used| meet(&used.name)),
            Self::Statement(Subject::Sources) => {
                meet(request.source.as_str());
                request.tables.iter().for_each(|used| meet(used.name().source.as_str()));
            }
            Self::Statement(Subject::Classifications) => {
                let columns = request.columns.iter().filter_map(|used| used.table.column(&used.column));
                let tags = tables().flat_map(|table| &table.tags).chain(columns.flat_map(|column| &column.tags));
                tags.flat_map(wider).for_each(meet);
            }
            Self::Person => meet(request.identity.person.as_str()),
            Self::Group => request.identity.groups.iter().for_each(|group| meet(group)),
            Self::Role => request.identity.roles.iter().for_each(|role| meet(role.as_str())),
            Self::Tenant => meet(request.identity.tenant.as_str()),
        }
    }
}

/// Policies, by what they cannot act without.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_key: BTreeMap<Key, HashMap<Box<str>, Vec<usize>>>,
    untriggered: Vec<usize>,
}

impl Index {
    /// Adds a policy under a number of the caller's. A policy without a condition always holds.
    pub(crate) fn add(&mut self, number: usize, audience: &Audience, condition: Option<&Condition>) {
        let of_condition = condition.and_then(Condition::triggers);
        let Some(triggers) = rarest(of_condition.into_iter().chain(audience.triggers())) else {
            self.untriggered.push(number);
            return;
        };
        for (key, name) in triggers {
            self.by_key.entry(key).or_default().entry(name).or_default().push(number);
        }
    }

    /// The numbers of the policies that may act on a request, in order, each once.
    pub(crate) fn candidates(&self, request: &Request) -> Vec<usize> {
        let mut candidates = self.untriggered.clone();
        for (key, by_name) in &self.by_key {
            key.each(request, |name| candidates.extend(by_name.get(name).into_iter().flatten()));
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

/// A tag and every tag that covers it: `pii.ssn`, `pii`.
pub(crate) fn wider(tag: &Tag) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag.as_str()), |tag| tag.rsplit_once('.').map(|(wider, _)| wider))
}
