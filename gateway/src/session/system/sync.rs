//! `passgate.sync(source)`: reads what a source holds again, now.

use super::value::{Type, Value};
use super::{Error, Form, Row, Rows, Session, column};
use crate::session::error::Failure;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "sync",
    form: Form::Function { arguments: &[column("source", Type::Text)], required: 0 },
    manual: "Reads what the source of this session holds again, so that tables that were just made or changed can be \
             used and seen: with its sync login where it has one, otherwise as the caller. For everybody; a source that \
             was read within `limits.sources.catalog_retry_seconds` is not read again. Gives when it was read.",
    columns: &[column("sync", Type::Moment)],
    produce: |session, arguments, _| Box::pin(rows(session, arguments)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>) -> Rows {
    let source = session.state.source.clone();
    match arguments.into_iter().next() {
        Some(Value::Text(named)) if named != source.as_str() => {
            let error = Error::new("0A000", format!("this session is on source \"{source}\", not \"{named}\""));
            return Err(Failure::statement(error.hint("Connect to the other one, and ask there.")));
        }
        _ => {}
    }
    let (services, caller) = (session.services.clone(), session.state.caller.clone());
    session.attended(services.sources.sync(&source, &caller)).await?;
    Ok(vec![vec![super::columns::read_at(&services.sources.freshness(&source))]])
}
