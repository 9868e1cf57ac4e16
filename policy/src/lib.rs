//! What a person may ask.
//!
//! `passgate-policy` is a function: rules and a request in, a decision out. It has no runtime, no clock and no
//! network, so a security team's test gives the same answer as the gateway does. It is separate from the gateway so
//! that this stays true: nothing here can open a socket.
//!
//! ```text
//! *.json ── document ── compile ──► PolicySet ─┐
//!                                             ├─ decide ──► Decision::{Allow(Permit), Hold, Deny(Reasons)}
//! statement, person, facts ───────► Request ──┘
//! ```
//!
//! A [`Permit`] is the only thing that lets a statement run. It is made here and nowhere else.

mod acting;
mod attributes;
mod audience;
mod classification;
mod compile;
mod condition;
mod decide;
mod decision;
mod document;
mod expression;
mod fields;
mod governed;
mod identity;
mod names;
mod problem;
mod read_sql;
mod reference;
mod request;
mod rules;
mod shadow;
mod sql;
mod types;
mod visible;
mod wording;
#[cfg(test)]
#[path = "../tests/words/mod.rs"]
mod words;

pub use compile::{PolicyFile, compile};
pub use decide::{PolicySet, decide};
pub use decision::{
    Approval, Approver, Attribute, Decision, DischargeError, EstimatePermit, Governed, Hold, Mask, Obligation, Permit,
    Permitted, PolicySql, Reason, Reasons, Redirect, Revision, RuleReference, Shadow, Template, Warning,
};
pub use identity::{AUTHENTICATION_METHODS, Identity, PersonName, Proof, Role, Tenant};
pub use names::Known;
pub use problem::Problem;
pub use reference::{json_schema, reference, tags_schema};
pub use request::{
    ColumnFacts, ColumnUse, Costs, Estimate, Facts, FunctionUse, Grant, Multiplied, Place, Request, SourceName,
    StatementDigest, StatementKind, TableFacts, TableKind, TableName, TableUse, Tag, TicketId, Unlinked, Work,
    WorkKind, Write,
};
pub use shadow::shadow;
pub use sql::{NoSql, Sql, SqlFault, SqlUse};
pub use visible::{Visible, visible};
