//! The record of who asked what, what was decided, and what came of it.
//!
//! A statement runs only with a [`Receipt`], and a receipt exists only once the decision has been written. Dropping a
//! receipt closes the record too, so a client that vanishes leaves its outcome behind.

mod record;

pub use record::{Event, Outcome, Record, Status};

/// The open log.
#[derive(Debug)]
pub struct Audit {}

/// Proof that a decision was recorded.
#[derive(Debug)]
pub struct Receipt {}

/// A record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit record cannot be written")]
pub struct Error {}

impl Audit {
    /// Records an allowed statement before it runs. Returns once every required sink has taken the record.
    pub fn open(&self, _record: Record) -> Result<Receipt, Error> {
        Ok(Receipt {})
    }

    /// Records something that is complete as it stands: a sign-in, a denial, a statement that failed before it ran.
    pub fn note(&self, _record: Record, _outcome: Outcome) -> Result<(), Error> {
        Ok(())
    }
}

impl Receipt {
    /// Adds the identity the source witnessed; called once, after checkout.
    pub fn witness(&mut self, _witness: &passgate_connectors::Witness) {}

    /// Closes the record with what came of it.
    pub fn close(self, _outcome: Outcome) {}
}
