//! `passgate.approve(ticket)`: lets a held statement run.

use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::approvals::Choice;
use crate::audit::Record;
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "approve",
    form: Form::Function { arguments: &[column("ticket", Type::Text)], required: 1 },
    manual: "Approves a ticket: the person who asked may run the statement, and the whole decision is made again then. For \
             those whom the rule names, and never for one's own statement unless it says so.",
    columns: &[column("approve", Type::Text)],
    produce: |session, arguments, record| Box::pin(rows(session, arguments, record)),
};

async fn rows(session: &mut Session<Ready>, arguments: Vec<Value>, record: &Record) -> Rows {
    let ticket = arguments.into_iter().next();
    session.decide_ticket(ticket, Choice::Approve, record).await
}
