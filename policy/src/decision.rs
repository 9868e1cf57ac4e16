//! Permission is a value.
//!
//! [`Permit`] has no public constructor: only `decide` makes one. A permit becomes a [`Permitted`] query only by
//! discharging every obligation it carries, on the very statement it was issued for, and a connector accepts nothing
//! else. Unauthorised SQL does not compile.

use std::fmt;
use std::sync::Arc;

use crate::request::{Place, StatementDigest};

/// Which policies were in force: the digest of every policy file, shortened to 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Names a revision.
    pub fn new(digest: &str) -> Self {
        Self(digest.into())
    }

    /// The revision as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A rule, and where its author finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct RuleReference {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The file it is written in, as the settings name it; `built-in` for what always holds.
    pub file: Arc<str>,
    /// The line it starts on, from 1; 0 for what always holds.
    pub line: usize,
}

impl fmt::Display for RuleReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "rule \"{}\" ({})", self.policy, self.file),
            line => write!(formatter, "rule \"{}\" ({}:{})", self.policy, self.file, line),
        }
    }
}

/// Why a statement is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule that refuses.
    pub rule: RuleReference,
    /// The policy's message, for the person who asked.
    pub message: String,
    /// Facts: what in the statement offends. The rule and the place are fields of their own.
    pub detail: String,
    /// The smallest change that passes, or who can grant it.
    pub hint: String,
    /// Where in the statement.
    pub at: Option<Place>,
}

/// Every reason a statement is refused, the most telling first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    first: Reason,
    rest: Vec<Reason>,
}

impl Reasons {
    /// A refusal for at least one reason.
    pub fn new(first: Reason, rest: Vec<Reason>) -> Self {
        Self { first, rest }
    }

    /// The reason to show.
    pub fn first(&self) -> &Reason {
        &self.first
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Reason> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// What the policy says of a request.
#[derive(Debug)]
pub enum Decision {
    /// It may run, once every obligation of the permit is met.
    Allow(Permit),
    /// It may not.
    Deny(Reasons),
}

/// What must be done to a statement before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obligation {
    /// Answer at most this many rows.
    LimitRows {
        /// The limit.
        rows: u64,
        /// The rule that asks for it.
        rule: RuleReference,
    },
}

impl Obligation {
    /// Whether both ask for the same, whichever rule does.
    pub fn has_same_effect(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::LimitRows { rows, rule: _ }, Self::LimitRows { rows: others, rule: _ }) => rows == others,
        }
    }
}

/// The right to run one statement, once its obligations are met.
///
/// Made by `decide` only, and good for one statement: there is no `Clone`.
#[derive(Debug)]
pub struct Permit {
    statement: StatementDigest,
    obligations: Vec<Obligation>,
    revision: Revision,
    fired: Vec<RuleReference>,
}

impl Permit {
    pub(crate) fn new(
        statement: StatementDigest,
        obligations: Vec<Obligation>,
        revision: Revision,
        fired: Vec<RuleReference>,
    ) -> Self {
        Self { statement, obligations, revision, fired }
    }

    /// What must be done first.
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// The policies it was decided under.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The rules that shaped it.
    pub fn fired(&self) -> &[RuleReference] {
        &self.fired
    }

    /// Meets every obligation in turn with `meet`, then makes the query that may run with `finish`.
    ///
    /// Refuses a plan other than the one the permit was issued for.
    pub fn discharge<P: Governed, Q, E>(
        self,
        plan: P,
        meet: impl FnMut(P, &Obligation) -> Result<P, E>,
        finish: impl FnOnce(P) -> Result<Q, E>,
    ) -> Result<Permitted<Q>, DischargeError<E>> {
        if plan.digest() != self.statement {
            return Err(DischargeError::OtherStatement);
        }
        let plan = self.obligations.iter().try_fold(plan, meet).map_err(DischargeError::Unmet)?;
        let query = finish(plan).map_err(DischargeError::Unmet)?;
        Ok(Permitted { query, revision: self.revision, fired: self.fired })
    }
}

/// Something a permit can be issued for.
pub trait Governed {
    /// The fingerprint that was put in the request.
    fn digest(&self) -> StatementDigest;
}

/// Why a permit could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DischargeError<E> {
    /// The permit belongs to another statement.
    #[error("the permit was issued for another statement")]
    OtherStatement,
    /// An obligation could not be met.
    #[error("an obligation could not be met")]
    Unmet(E),
}

/// A query that may run: decided, and with every obligation met.
#[derive(Debug)]
pub struct Permitted<T> {
    query: T,
    revision: Revision,
    fired: Vec<RuleReference>,
}

impl<T> Permitted<T> {
    /// The query.
    pub fn query(&self) -> &T {
        &self.query
    }

    /// The policies it was decided under.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The rules that shaped it.
    pub fn fired(&self) -> &[RuleReference] {
        &self.fired
    }
}
