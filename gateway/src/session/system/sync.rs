//! `passgate.sync(source)`: reads what a source holds again, now.

use passgate_policy::SourceName;

use super::value::{Type, Value};
use super::{Error, Form, Row, Rows, Session, column};
use crate::session::error::Failure;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "sync",
    form: Form::Function { arguments: &[column("source", Type::Text)], required: 0 },
    manual: "Reads what a source holds again, so that tables that were just made or changed can be used and seen: with \
             its sync login where it has one, otherwise as the caller. Without an argument, the source of this session. \
             For holders of one of `policies.security_roles`: it is work for the source, and changes what everybody \
             sees. One that was read within `limits.sources.catalog_retry_seconds` is not read again. Gives when it was \
             read.",
    columns: &[column("sync", Type::Moment)],
    produce: |session, arguments, _| Box::pin(rows(session, arguments)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>) -> Rows {
    let services = session.services.clone();
    // Asked first, so that nobody else learns which sources there are.
    if !session.holds_security_role() {
        let error = Error::new("42501", "permission denied to read a source again");
        let hint = "Holders of a role listed in policies.security_roles may; sources are also read on a schedule.";
        return Err(Failure::statement(error.hint(hint)));
    }
    let source = match arguments.into_iter().next() {
        None => session.state.source.clone(),
        Some(Value::Text(named)) => SourceName::new(named),
        Some(_) => return Ok(vec![vec![Value::Null]]),
    };
    if !services.sources.contains(&source) {
        return Err(Failure::statement(Error::new("42704", format!("source \"{source}\" does not exist"))));
    }
    let caller = session.state.caller.clone();
    session.attended(services.sources.sync(&source, &caller)).await?;
    Ok(vec![vec![super::columns::read_at(&services.sources.freshness(&source))]])
}
