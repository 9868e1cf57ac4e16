//! `passgate.cancel(ticket)`: takes a request for an approval back.

use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::approvals::Choice;
use crate::audit::Record;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "cancel",
    form: Form::Function { arguments: &[column("ticket", Type::Text)], required: 1 },
    manual: "Takes a ticket back that the caller has asked for, also after it was granted.",
    columns: &[column("cancel", Type::Text)],
    produce: |session, arguments, record| Box::pin(rows(session, arguments, record)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>, record: &Record) -> Rows {
    let ticket = arguments.into_iter().next();
    session.decide_ticket(ticket, Choice::Cancel, record).await
}
