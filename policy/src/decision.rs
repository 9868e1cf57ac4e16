//! Permission is a value.
//!
//! [`Permit`] has no public constructor: only `decide` makes one. A permit becomes a [`Permitted`] query only by
//! discharging every obligation it carries, on the very statement it was issued for, and a connector accepts nothing
//! else. Unauthorised SQL does not compile.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::Role;
use crate::request::{Place, StatementDigest, TableName, TicketId};

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
    /// How many of the last are about tables of which the person may not know.
    absent: usize,
}

impl Reasons {
    /// A refusal for at least one reason.
    pub fn new(first: Reason, rest: Vec<Reason>) -> Self {
        Self { first, rest, absent: 0 }
    }

    pub(crate) fn with_absent(self, absent: usize) -> Self {
        Self { absent, ..self }
    }

    /// Those that may be told: all but that there is a table of which the person may not know. `None` where that is all
    /// there is to refuse, and they are to be told what they would be told if there was no such table.
    pub fn told(self) -> Option<Self> {
        let Self { first, mut rest, absent } = self;
        let told = rest.len().checked_sub(absent)?;
        rest.truncate(told);
        Some(Self { first, rest, absent: 0 })
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
    /// It may run once somebody has approved it. Grants are facts of the next request; the whole decision is made again.
    Hold(Hold),
    /// Ask again for the statement with other tables in place of some.
    Redirect(Vec<Redirect>),
    /// Ask again with an estimate, which this permit lets the source be asked for.
    Estimate(EstimatePermit),
    /// It may not.
    Deny(Reasons),
}

/// Approvals that a statement needs. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    first: Approval,
    rest: Vec<Approval>,
}

impl Hold {
    /// A statement that needs at least one approval.
    pub fn new(first: Approval, rest: Vec<Approval>) -> Self {
        Self { first, rest }
    }

    /// The approval to speak of.
    pub fn first(&self) -> &Approval {
        &self.first
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Approval> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// An approval that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The rule.
    pub rule: RuleReference,
    /// Why, for the person who asked and for whoever decides.
    pub message: String,
    /// Facts: what in the statement made the rule ask.
    pub detail: String,
    /// Who may give it.
    pub by: Approver,
    /// How long a ticket stays open, and a grant good, in seconds.
    pub expires_in_seconds: u64,
    /// How many times a grant may be used.
    pub uses: u32,
}

/// Who may approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approver {
    /// The person who asked, by confirming.
    Asker,
    /// Anybody else of the same tenant who holds one of these roles.
    Roles(BTreeSet<Role>),
}

/// A table to put in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The table that the statement names.
    pub from: TableName,
    /// The table that answers instead.
    pub to: TableName,
    /// The rule that asks for it.
    pub rule: RuleReference,
}

/// What a rule in shadow mode would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The rule.
    pub rule: RuleReference,
    /// What: `would refuse: ...`, `would mask analytics.t.c`, ...
    pub effect: String,
}

/// A text for the person beside the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule.
    pub rule: RuleReference,
    /// The policy's message.
    pub message: String,
}

/// What must be done to a statement before it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Obligation {
    /// Answer at most this many rows.
    LimitRows {
        /// The limit.
        rows: u64,
        /// The rule that asks for it.
        rule: RuleReference,
    },
    /// Show only the rows of a table that satisfy a predicate. Several on one table must all be satisfied.
    FilterRows {
        /// The table.
        table: TableName,
        /// A condition over its columns.
        predicate: PolicySql,
        /// The rule that asks for it.
        rule: RuleReference,
    },
    /// Show something else in place of a column's values. There is one for a column.
    MaskColumn {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// What to show.
        mask: Mask,
        /// The rule that asks for it.
        rule: RuleReference,
    },
    /// Leave a column out, as if the table did not have it.
    HideColumn {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// The rule that asks for it.
        rule: RuleReference,
    },
}

/// SQL that a policy's author wrote, with the values of the person's attributes that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySql {
    /// The text, as written.
    pub text: Arc<str>,
    /// Values by path, such as `user.claims.region`: every one that the text names.
    pub attributes: Vec<(Arc<str>, Attribute)>,
}

/// The value of a person's attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number, in digits.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// What is shown in place of a value. The type of the column stays; NULL stays NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// NULL.
    Null,
    /// A constant, in the place of NULL too.
    Fixed(Arc<str>),
    /// A digest of the tenant's salt and the value, as text.
    Hash,
    /// `*` for every character but the last few.
    Partial {
        /// How many are shown.
        last: u32,
    },
    /// The first of January of a date's year.
    Year,
    /// The nearest multiple of a number, given in digits.
    Round {
        /// The number.
        to: Arc<str>,
    },
    /// An expression over the columns of the table.
    Expression(PolicySql),
}

impl Obligation {
    /// Whether it changes what a table shows: its rows, or the values of its columns.
    pub fn is_about_a_table(&self) -> bool {
        match self {
            Self::LimitRows { .. } => false,
            Self::FilterRows { .. } | Self::MaskColumn { .. } | Self::HideColumn { .. } => true,
        }
    }

    /// The rule that asks for it.
    pub fn rule(&self) -> &RuleReference {
        match self {
            Self::LimitRows { rule, .. }
            | Self::FilterRows { rule, .. }
            | Self::MaskColumn { rule, .. }
            | Self::HideColumn { rule, .. } => rule,
        }
    }

    /// What is done, to follow "it would": `mask analytics.t.c`.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::LimitRows { rows, .. } => format!("answer at most {rows} rows"),
            Self::FilterRows { table, predicate, .. } => format!("filter {table}: {}", predicate.text),
            Self::MaskColumn { table, column, .. } => format!("mask {table}.{column}"),
            Self::HideColumn { table, column, .. } => format!("leave out {table}.{column}"),
        }
    }

    /// Whether both ask for the same, whichever rule does.
    pub fn has_same_effect(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::LimitRows { rows, rule: _ }, Self::LimitRows { rows: others, rule: _ }) => rows == others,
            (
                Self::FilterRows { table, predicate, rule: _ },
                Self::FilterRows { table: other, predicate: others, rule: _ },
            ) => table == other && predicate == others,
            (
                Self::MaskColumn { table, column, mask, rule: _ },
                Self::MaskColumn { table: other, column: other_column, mask: others, rule: _ },
            ) => table == other && column == other_column && mask == others,
            (
                Self::HideColumn { table, column, rule: _ },
                Self::HideColumn { table: other, column: other_column, rule: _ },
            ) => table == other && column == other_column,
            (
                Self::LimitRows { .. } | Self::FilterRows { .. } | Self::MaskColumn { .. } | Self::HideColumn { .. },
                _,
            ) => false,
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
    warnings: Vec<Warning>,
    grants_used: Vec<TicketId>,
}

impl Permit {
    pub(crate) fn new(statement: StatementDigest, revision: Revision) -> Self {
        Self {
            statement,
            obligations: Vec::new(),
            revision,
            fired: Vec::new(),
            warnings: Vec::new(),
            grants_used: Vec::new(),
        }
    }

    pub(crate) fn with_obligations(self, obligations: Vec<Obligation>, fired: Vec<RuleReference>) -> Self {
        Self { obligations, fired, ..self }
    }

    pub(crate) fn with_warnings(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }

    pub(crate) fn with_grants_used(self, grants_used: Vec<TicketId>) -> Self {
        Self { grants_used, ..self }
    }

    /// What the person is told beside the answer.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The tickets without whose grants this would be a [`Decision::Hold`]: to be used up before the statement runs.
    pub fn grants_used(&self) -> &[TicketId] {
        &self.grants_used
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
        Ok(Permitted { query, revision: self.revision, fired: self.fired.into() })
    }
}

/// The right to ask a source what a statement would cost, once its obligations are met; not to run it.
#[derive(Debug)]
pub struct EstimatePermit(Permit);

impl EstimatePermit {
    pub(crate) fn new(permit: Permit) -> Self {
        Self(permit)
    }

    /// As [`Permit::discharge`]. What `finish` makes must ask for the plan and not run it; there is one caller, which
    /// puts EXPLAIN before the text.
    pub fn discharge<P: Governed, Q, E>(
        self,
        plan: P,
        meet: impl FnMut(P, &Obligation) -> Result<P, E>,
        finish: impl FnOnce(P) -> Result<Q, E>,
    ) -> Result<Permitted<Q>, DischargeError<E>> {
        self.0.discharge(plan, meet, finish)
    }

    /// What must be done first.
    pub fn obligations(&self) -> &[Obligation] {
        &self.0.obligations
    }

    /// The policies it was decided under.
    pub fn revision(&self) -> &Revision {
        &self.0.revision
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
    fired: Arc<[RuleReference]>,
}

/// A query with gaps, which may run with any values in them.
pub trait Template: Sized {
    /// What fills the gaps.
    type Values: ?Sized;

    /// The query with these values in its gaps; none where they do not fit. Whatever they are, it must be a query that
    /// the permit for the template holds for.
    fn filled(&self, values: &Self::Values) -> Option<Self>;
}

impl<T: Template> Permitted<T> {
    /// The same permission with values in the gaps.
    pub fn filled(&self, values: &T::Values) -> Option<Self> {
        let query = self.query.filled(values)?;
        Some(Self { query, revision: self.revision.clone(), fired: Arc::clone(&self.fired) })
    }
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
