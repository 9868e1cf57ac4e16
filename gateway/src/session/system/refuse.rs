//! `passgate.refuse(ticket, reason)`: does not let a held statement run.

use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::approvals::Choice;
use crate::audit::Record;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "refuse",
    form: Form::Function { arguments: &[column("ticket", Type::Text), column("reason", Type::Text)], required: 1 },
    manual: "Refuses a ticket, with a reason that the person who asked is told. For those who could approve it.",
    columns: &[column("refuse", Type::Text)],
    produce: |session, arguments, record| Box::pin(rows(session, arguments, record)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>, record: &Record) -> Rows {
    let mut arguments = arguments.into_iter();
    let ticket = arguments.next();
    let reason = match arguments.next() {
        Some(Value::Text(reason)) if !reason.is_empty() => Some(reason),
        _ => None,
    };
    session.decide_ticket(ticket, Choice::Refuse(reason), record).await
}
