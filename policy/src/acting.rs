//! Policies that do something to a statement as a whole where their condition holds, and the index that finds them.
//!
//! Separate from the kinds that use it (`limit`, `warn`, `require_approval`) because they differ in what is done only.

use crate::Request;
use crate::compile::Policy;
use crate::condition::{Index, Truth};
use crate::decide::Header;

/// Policies of one kind, each with what is its own.
#[derive(Debug)]
pub(crate) struct Acting<T> {
    rules: Vec<(Header, T)>,
    index: Index,
}

impl<T> Default for Acting<T> {
    fn default() -> Self {
        Self { rules: Vec::new(), index: Index::default() }
    }
}

impl<T> Acting<T> {
    pub(crate) fn add(&mut self, policy: &Policy<'_>, what: T) {
        let header = Header::from(policy);
        self.index.add(self.rules.len(), &header.audience, header.condition.as_deref());
        self.rules.push((header, what));
    }

    /// Those of which it is not known that they do not hold, in the order of the files. None where the catalog is asked:
    /// clients do that by themselves, many times over, and no rows come of it.
    pub(crate) fn each(&self, request: &Request, mut act: impl FnMut(&Header, &T, Truth)) {
        if request.of_catalog {
            return;
        }
        for (header, what) in self.index.candidates(request).into_iter().filter_map(|number| self.rules.get(number)) {
            match header.truth(request) {
                Truth::False => {}
                truth => act(header, what, truth),
            }
        }
    }
}
