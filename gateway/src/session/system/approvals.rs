//! `passgate.approvals`: tickets that the reader may decide about, or has asked for.

use passgate_policy::Approver;

use super::value::{Type, Value};
use super::{Column, Form, Row, Rows, Session, column};
use crate::approvals::Listed;
use crate::session::hold;
use crate::session::ready::Ready;
use crate::store::{Ask, State};

pub(super) const ROW: Row = Row {
    name: "approvals",
    form: Form::Relation,
    manual: "Tickets of held statements: those the reader may decide about, and those the reader has asked for. The open \
             ones come first, then the newest.",
    columns: COLUMNS,
    produce: |session, _, _| Box::pin(rows(session)),
};

const COLUMNS: &[Column] = &[
    column("ticket", Type::Text),
    column("state", Type::Text),
    column("person", Type::Text),
    column("source", Type::Text),
    column("statement", Type::Text),
    column("parameters", Type::Text),
    column("reason", Type::Text),
    column("rule", Type::Text),
    column("estimate", Type::Text),
    column("approvers", Type::Text),
    column("may_decide", Type::Boolean),
    column("uses_left", Type::Integer),
    column("opened_at", Type::Moment),
    column("expires_at", Type::Moment),
    column("decided_by", Type::Text),
    column("decided_at", Type::Moment),
    column("decision", Type::Text),
];

async fn rows(session: &mut Session<Ready>) -> Rows {
    let identity = session.state.caller.identity.clone();
    let revision = session.services.policies.borrow().revision().clone();
    let listed = session.services.approvals.list(&identity).await.map_err(hold::failed)?;
    Ok(listed.into_iter().map(|listed| row(listed, revision.as_str())).collect())
}

fn row(listed: Listed, revision: &str) -> Vec<Value> {
    let Listed { ticket, may_decide } = listed;
    let alive = matches!(ticket.state, State::Open | State::Granted);
    let void = alive && ticket.binding.revision != revision;
    let state = if void { "void" } else { ticket.state.as_str() };
    vec![
        Value::Text(ticket.id.to_string()),
        Value::Text(state.to_owned()),
        Value::Text(ticket.binding.person),
        Value::Text(ticket.binding.source.to_string()),
        Value::Text(ticket.statement),
        Value::text(ticket.parameters),
        Value::Text(each(&ticket.asks, |ask| match ask.detail.as_str() {
            "" => ask.message.clone(),
            detail => format!("{}: {detail}", ask.message.trim_end_matches('.')),
        })),
        Value::Text(each(&ticket.asks, |ask| ask.rule.clone())),
        Value::text(ticket.estimate),
        Value::Text(approvers(&ticket.by)),
        Value::Boolean(may_decide && !void),
        Value::Integer(ticket.uses_left),
        Value::seconds(ticket.opened_at),
        Value::seconds(ticket.expires_at),
        Value::text(ticket.decided_by),
        ticket.decided_at.map_or(Value::Null, Value::seconds),
        Value::text(ticket.reason),
    ]
}

fn each(asks: &[Ask], tell: impl Fn(&Ask) -> String) -> String {
    asks.iter().map(tell).collect::<Vec<_>>().join("\n")
}

fn approvers(by: &Approver) -> String {
    match by {
        Approver::Asker => "self".to_owned(),
        Approver::Roles(roles) => roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
