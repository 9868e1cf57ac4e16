//! More of a query that was rewritten and begun before: FETCH and MOVE.
//!
//! Separate because nothing is resolved or rewritten here: the cursor's query carries its obligations in it. They are
//! compared with what the permit of now demands, so that a permit can never be met by less than it asks.

use passgate_connectors::Query;
use passgate_policy::{DischargeError, Governed, Obligation, Permit, Permitted, StatementDigest};

use super::Error;
use crate::statement::Fetch;

/// A query that runs already.
struct Begun<'a> {
    digest: StatementDigest,
    met: &'a [Obligation],
}

impl Governed for Begun<'_> {
    fn digest(&self) -> StatementDigest {
        self.digest
    }
}

/// The text that fetches, if `permit` demands no more than was `met` when the cursor's query was begun.
pub fn fetch(
    digest: StatementDigest,
    met: &[Obligation],
    permit: Permit,
    fetch: &Fetch,
) -> Result<Permitted<Query>, Error> {
    let discreet = met.iter().any(Obligation::is_about_a_table);
    let finish = |_: Begun<'_>| Ok(Query { text: fetch.text(), discreet, ..Query::default() });
    permit.discharge(Begun { digest, met }, meet, finish).map_err(|error| match error {
        DischargeError::OtherStatement => Error::internal(),
        DischargeError::Unmet(error) => error,
    })
}

fn meet<'a>(begun: Begun<'a>, obligation: &Obligation) -> Result<Begun<'a>, Error> {
    let is_met = begun.met.iter().any(|met| met.has_same_effect(obligation));
    if is_met { Ok(begun) } else { Err(Error::internal()) }
}
