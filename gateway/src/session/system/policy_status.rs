//! `passgate.policy_status`: which policies are in force, and how the last reload went.

use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "policy_status",
    form: Form::Relation,
    manual: "The policies in force and the last reload, for everybody. `reload` is `none`, `taken` or `refused`. `problems` \
             shows where those are that kept the last reload from being taken, and `unknown_names` where policies in \
             force name what no source has, by which they govern nothing. What they are is in the log, since the \
             names in them may not be everybody's to know.",
    columns: &[
        column("revision", Type::Text),
        column("loaded_at", Type::Moment),
        column("files", Type::Integer),
        column("policies", Type::Integer),
        column("reloaded_at", Type::Moment),
        column("reload", Type::Text),
        column("problems", Type::Text),
        column("unknown_names", Type::Text),
    ],
    produce: |session, _, _| Box::pin(rows(session)),
};

/// How the policies came to be in force. Kept by whoever loads them.
#[derive(Clone, Debug, Default)]
pub struct PolicyStatus {
    /// The revision in force.
    pub revision: String,
    /// When it was loaded, in seconds since 1970-01-01 UTC.
    pub loaded_at: i64,
    /// Policy files.
    pub files: usize,
    /// Policies in them.
    pub policies: usize,
    /// The last reload, if there was one.
    pub reload: Option<Reload>,
    /// Where policies in force name what no source has, as far as the sources were read: `policies/a.json:3:5`.
    pub unknown: Vec<String>,
}

/// What came of a reload.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When, in seconds since 1970-01-01 UTC.
    pub at: i64,
    /// Whether it was taken.
    pub is_taken: bool,
    /// Where the problems are that kept it from being taken: `policies/a.json:3:5`.
    pub problems: Vec<String>,
}

/// Problems shown; the log has all.
const PROBLEMS_MAX: usize = 100;

async fn rows(session: &mut Session<Ready>) -> Rows {
    let status = session.services.policy_status.borrow().clone();
    let count = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let (at, reload, problems) = match &status.reload {
        None => (Value::Null, "none", Value::Null),
        Some(Reload { at, is_taken, problems }) => {
            (Value::seconds(*at), if *is_taken { "taken" } else { "refused" }, listed(problems))
        }
    };
    Ok(vec![vec![
        Value::Text(status.revision),
        Value::seconds(status.loaded_at),
        count(status.files),
        count(status.policies),
        at,
        Value::Text(reload.to_owned()),
        problems,
        listed(&status.unknown),
    ]])
}

fn listed(places: &[String]) -> Value {
    let shown: Vec<&str> = places.iter().take(PROBLEMS_MAX).map(String::as_str).collect();
    if shown.is_empty() { Value::Null } else { Value::Text(shown.join("\n")) }
}
