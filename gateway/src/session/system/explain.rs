//! `passgate.explain(statement, as)`: what the policies would do with a statement, and why, without running it.

use std::sync::Arc;

use passgate_policy::Identity;

use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::error::ClientError;
use crate::plan::{Entry, SearchPath};
use crate::rehearsal::cases::Person;
use crate::rehearsal::{Stage, rehearse};
use crate::session::deciding::sees;
use crate::session::error::Failure;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "explain",
    form: Form::Function { arguments: &[column("statement", Type::Text), column("as", Type::Text)], required: 1 },
    manual: "What the policies would do with a statement: the decision, why, every rule that fired with its file and \
             line, filters, masks, limit, and the text that the source would get. Nothing runs. For oneself; holders of \
             one of `policies.security_roles` may give somebody else, as JSON: \
             `{\"name\": \"bob\", \"groups\": [\"analysts\"], \"claims\": {\"region\": \"WEST\"}}`.",
    columns: &[column("part", Type::Text), column("value", Type::Text)],
    produce: |session, arguments, _| Box::pin(rows(session, arguments)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>) -> Rows {
    let mut arguments = arguments.into_iter();
    let Some(Value::Text(statement)) = arguments.next() else { return Ok(Vec::new()) };
    let identity = match arguments.next() {
        Some(Value::Text(described)) => somebody(session, &described)?,
        _ => Arc::clone(&session.state.caller.identity),
    };
    let services = session.services.clone();
    let policies = services.policies.borrow().clone();
    let (source, caller) = (session.state.source.clone(), session.state.caller.clone());
    let model = session.attended(services.sources.model(&source, &caller, &policies)).await?;
    let row = |part: &str, value: String| vec![Value::Text(part.to_owned()), Value::Text(value)];
    let facts = session.facts().await;
    let schemas = Arc::clone(session.state.settings.search_path());
    let sees = |entry: &Entry| sees(entry, &policies, &identity, &facts);
    let path = SearchPath { schemas: &schemas, sees: &sees, hides: !session.holds_security_role() };
    let stage = Stage {
        limits: &services.statement_limits,
        model: &model,
        policies: &policies,
        rewriter: &services.rewriter,
        path: Some(path),
    };
    let mut rows = Vec::new();
    for account in rehearse(&statement, stage, &identity, &facts) {
        rows.push(row("decision", account.verdict.to_string()));
        rows.extend(account.rows().into_iter().map(|(part, value)| row(part, value)));
    }
    Ok(rows)
}

/// Somebody else, for those who may ask.
fn somebody(session: &Session<Ready>, described: &str) -> Result<Arc<Identity>, Failure> {
    if !session.holds_security_role() {
        return Err(Failure::statement(Error::NotSecurity));
    }
    let person: Person = serde_json::from_str(described).map_err(|error| Failure::statement(Error::Person(error)))?;
    let identity = person.identity("somebody").map_err(|fault| Failure::statement(Error::Method(fault)))?;
    Ok(Arc::new(identity))
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("permission denied to explain as somebody else")]
    NotSecurity,
    #[error("the second argument of passgate.explain describes no person: {0}")]
    Person(serde_json::Error),
    #[error("{0}")]
    Method(String),
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        match self {
            Self::NotSecurity => "42501",
            Self::Person(_) | Self::Method(_) => "22023",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotSecurity => "Holders of a role listed in policies.security_roles may.".to_owned(),
            Self::Person(_) | Self::Method(_) => {
                "Write JSON, such as {\"name\": \"bob\", \"groups\": [\"analysts\"]}.".to_owned()
            }
        })
    }
}
