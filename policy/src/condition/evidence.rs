//! What made a condition what it is, for the detail of a refusal.
//!
//! Separate from the tests because all of them give it and all actions tell it: names in the statement, each with its
//! place, and facts about the person, the moment and the estimate. It says what is so, never what the policy says.

use std::fmt;

use crate::Place;
use crate::decide::listed;

/// Names and facts spelled out in one refusal.
const SHOWN_MAX: usize = 5;

/// What made a condition true, or false.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    named: Vec<Named>,
    facts: Vec<String>,
}

/// Something that the statement names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) at: Place,
    /// What the statement names.
    pub(crate) name: String,
    /// Why it counts, where that is not its own name: `built on analytics.dim_patient`, `tagged pii.ssn`.
    pub(crate) because: Option<String>,
}

impl Named {
    /// What it is, without its place.
    fn unplaced(&self) -> String {
        match &self.because {
            Some(because) => format!("{}, which is {because}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, name, because } = self;
        match because {
            Some(because) => write!(formatter, "{name} ({because}) at {at}"),
            None => write!(formatter, "{name} at {at}"),
        }
    }
}

impl Evidence {
    /// Adds something that the statement names.
    pub(crate) fn name(&mut self, named: Named) {
        self.named.push(named);
    }

    /// Adds a fact, as a clause: `it is Saturday 23:10 in UTC`.
    pub(crate) fn fact(&mut self, fact: String) {
        if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
    }

    /// In the order of the statement, each once.
    pub(super) fn sorted(mut self) -> Self {
        self.named.sort();
        self.named.dedup();
        self
    }

    /// What the statement names that offends, each once, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.named.iter().map(|found| found.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where the first of them stands.
    pub(crate) fn at(&self) -> Option<Place> {
        self.named.first().map(|found| found.at)
    }

    /// All of it, as a sentence without its full stop.
    pub(crate) fn detail(&self) -> String {
        let names = match self.named.as_slice() {
            [] => None,
            [one] => Some(format!("the statement names {}", one.unplaced())),
            several => Some(format!("the statement names {}", listed(several, SHOWN_MAX))),
        };
        let facts = self.facts.iter().take(SHOWN_MAX).cloned();
        let clauses: Vec<String> = names.into_iter().chain(facts).collect();
        match clauses.is_empty() {
            true => "the condition holds for the statement as a whole".to_owned(),
            false => clauses.join("; "),
        }
    }
}
