//! Statements of the catalog: those that ask what there is, and read no row of the source.
//!
//! ```text
//! tree ── survey ──► of the source │ of both: refused │ of the catalog ── settle ──► every name in full ── fill ──► text for the shadow
//! ```
//!
//! Separate from resolving because nothing here is looked up in what the source holds: a shadow, a real PostgreSQL with
//! nothing in it but what the person may see, answers, so that what a name means, and whether there is such a thing, is
//! for it to say. What is decided here is only that a statement can do no more there than ask.

mod activity;
mod fill;
mod functions;
mod relations;
mod settings;
mod settle;
mod stand_ins;
mod survey;
#[cfg(test)]
mod tests;

use passgate_policy::FunctionUse;

use super::Error;
use super::model::Model;
use crate::statement::tree::Query;

pub use fill::SessionValues;
pub(super) use fill::fill;
pub(super) use survey::asks_catalog;

/// What a statement of the catalog does.
#[derive(Debug, Default)]
pub(super) struct Introspection {
    /// The functions that it calls; those that only ask count as pure.
    pub(super) functions: Vec<FunctionUse>,
    /// The first name that does not exist.
    pub(super) missing: Option<Error>,
    /// Whether it names a column that says who was granted what. A shadow tells people of their own rights only.
    pub(super) privileges: bool,
}

/// Where a statement is answered: `None` at the source. Names in the tree of one of the catalog are written in full.
pub(super) fn introspect(query: &mut Query, model: &Model) -> Result<Option<Introspection>, Error> {
    match survey::survey(query, model) {
        survey::About::Source => Ok(None),
        survey::About::Catalog => settle::settle(query, model).map(Some),
        survey::About::Both(at) => Err(Error::both_places(at)),
    }
}
