//! Relations and functions of the schema `passgate`, which the gateway answers itself.
//!
//! ```text
//! SELECT ticket, statement FROM passgate.approvals WHERE may_decide ORDER BY opened_at
//! SELECT passgate.approve('T...')
//! ```
//!
//! One file and one row of [`ROWS`] each: a name, columns, arguments, and what makes the rows. `question` understands the
//! SQL around them, which is little on purpose; `value` turns values into what clients read. They reach no source, so no
//! policy is asked: each shows a person what is their own business, and says so in its manual. They are recorded like
//! every statement. A source's own schema of that name cannot be reached.

mod approvals;
mod approve;
mod cancel;
mod columns;
mod explain;
mod policy_status;
mod question;
mod refuse;
mod sync;
mod tables;
#[cfg(test)]
mod tests;
mod value;

use std::collections::VecDeque;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use passgate_connectors::{Batch, Bind, Format};
use passgate_wire::{Backend, Column as Described};

use super::Session;
use super::error::Failure;
use super::ready::Ready;
use super::relay::Running;
use super::road::Asked;
use crate::approvals::Choice;
use crate::audit::{Outcome, Record, Status};
use crate::error::ClientError;
use crate::plan::OWN_SCHEMA;
use crate::statement::tree;
use question::Question;

pub use policy_status::{PolicyStatus, Reload};
use value::{Type, Value};

/// Something that the gateway answers.
struct Row {
    /// Its name in the schema `passgate`.
    name: &'static str,
    /// Whether it is called.
    form: Form,
    /// What it shows, and to whom.
    manual: &'static str,
    /// Its columns. A function of one column can also be called in a SELECT list.
    columns: &'static [Column],
    /// Makes the rows, for the person of the session. The record is that of the statement.
    produce: Produce,
}

/// How something is named in SQL.
enum Form {
    /// `FROM passgate.name`.
    Relation,
    /// `FROM passgate.name(...)`.
    Function {
        /// What it takes.
        arguments: &'static [Column],
        /// How many of them must be given.
        required: usize,
    },
}

/// A column, or an argument.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    of: Type,
}

type Rows = Result<Vec<Vec<Value>>, Failure>;
type Produce = for<'a> fn(&'a mut Session<Ready>, Vec<Value>, &'a Record) -> BoxFuture<'a, Rows>;

const ROWS: &[&Row] = &[
    &approvals::ROW,
    &approve::ROW,
    &cancel::ROW,
    &columns::ROW,
    &explain::ROW,
    &policy_status::ROW,
    &refuse::ROW,
    &sync::ROW,
    &tables::ROW,
];

const fn column(name: &'static str, of: Type) -> Column {
    Column { name, of }
}

/// The names of arguments; those that may be left out stand in brackets.
fn taken(arguments: &[Column], required: usize) -> String {
    let one = |(at, argument): (usize, &Column)| match (at, at < required) {
        (0, true) => argument.name.to_owned(),
        (0, false) => format!("[{}]", argument.name),
        (_, true) => format!(", {}", argument.name),
        (_, false) => format!(" [, {}]", argument.name),
    };
    arguments.iter().enumerate().map(one).collect()
}

/// What the schema `passgate` holds, as Markdown.
pub fn manual() -> String {
    let mut out = MANUAL_BEGINNING.to_owned();
    for row in ROWS {
        let call = match &row.form {
            Form::Relation => String::new(),
            Form::Function { arguments, required } => format!("({})", taken(arguments, *required)),
        };
        out.push_str(&format!(
            "\n## {OWN_SCHEMA}.{}{call}\n\n{}\n\n| column | type |\n|---|---|\n",
            row.name, row.manual
        ));
        row.columns.iter().for_each(|column| out.push_str(&format!("| `{}` | {} |\n", column.name, column.of.name())));
    }
    out
}

const MANUAL_BEGINNING: &str = "\
# What the gateway answers itself

The schema `passgate` holds relations and functions of the gateway's own. Printed from the code that answers them; change
it there. They need no source and no policy: each shows people what is their own business, and each use is recorded.

They are read by a statement of their own: `SELECT` with `*`, columns or `count(*)` `FROM` one of them, `WHERE` with
comparisons of columns and constants or parameters (`=`, `<>`, `<`, `>`, `IN`, `LIKE`, `IS NULL`) joined by `AND`,
`ORDER BY` columns, `LIMIT` and `OFFSET`; or `SELECT` with one call of a function. Moments are in UTC. What they change
does not wait for the end of a transaction. A schema of this name on a source cannot be reached.
";

/// Whether a query is for the gateway alone: what it reads first, or calls, is in the schema `passgate`. What names that
/// schema anywhere else is refused where names are resolved.
pub(super) fn concerns(query: &tree::Query) -> bool {
    let tree::Body::Select(select) = &query.body else { return false };
    let own = |path: &tree::Path| matches!(path.0.as_slice(), [schema, _] if schema.text == OWN_SCHEMA);
    match select.from.as_slice() {
        [] => select.items.iter().any(|item| match item {
            tree::Item::Expression { of: tree::Expression::Call(call), .. } => own(&call.name),
            _ => false,
        }),
        [tree::Relation::Table { name, .. }] => own(name),
        [tree::Relation::Function { call, .. }] => own(&call.name),
        _ => false,
    }
}

/// Types of parameters and columns of a query that [`concerns`] the gateway.
pub(super) struct Description {
    question: Question,
}

impl Description {
    /// What the client declared of the parameters, and what is read from the query about the others.
    pub(super) fn parameters(&self, declared: &[u32]) -> Vec<u32> {
        let inferred = self.question.parameters();
        let count = inferred.len().max(declared.len());
        let declared = |at: usize| declared.get(at).copied().filter(|oid| *oid != 0);
        let inferred = |at: usize| inferred.get(at).copied().flatten().unwrap_or(Type::Text).oid();
        (0..count).map(|at| declared(at).unwrap_or_else(|| inferred(at))).collect()
    }

    /// RowDescription in these formats.
    pub(super) fn columns(&self, formats: &[Format]) -> Vec<Described<'_>> {
        let columns = self.question.columns();
        let described = |(at, (name, of)): (usize, (_, Type))| Described {
            name,
            type_oid: of.oid(),
            type_size: of.size(),
            format: i16::from(format_of(formats, at) == Format::Binary),
        };
        columns.into_iter().enumerate().map(described).collect()
    }
}

/// Understands a query that [`concerns`] the gateway.
pub(super) fn describe(query: &tree::Query) -> Result<Description, Failure> {
    let question = question::understand(query).map_err(Failure::statement)?;
    Ok(Description { question })
}

impl Session<Ready> {
    /// Answers a query that [`concerns`] the gateway, and records that.
    pub(super) async fn answer_system(
        &mut self,
        query: &tree::Query,
        asked: Asked<'_>,
        mut record: Record,
    ) -> Result<Running, Failure> {
        record.validation = "not_checked: answered by the gateway".into();
        let (batches, rows) = match self.system_rows(query, asked, &mut record).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.note(record, failure)),
        };
        let outcome = Outcome { rows, status: Some(Status::Ok), ..Outcome::default() };
        super::measure::statement(Status::Ok);
        self.services.audit.note(record, outcome).map_err(Failure::statement)?;
        Ok(Running::answered(batches))
    }

    /// Whether the person is one of those who look after what others may see.
    fn holds_security_role(&self) -> bool {
        let held = &self.state.caller.identity.roles;
        self.services.security_roles.iter().any(|role| held.contains(role))
    }

    /// Decides about a ticket, for the functions that do: the ticket's state afterwards.
    async fn decide_ticket(&mut self, ticket: Option<Value>, choice: Choice, record: &Record) -> Rows {
        let Some(Value::Text(ticket)) = ticket else { return Ok(vec![vec![Value::Null]]) };
        let identity = self.state.caller.identity.clone();
        let revision = self.services.policies.borrow().revision().clone();
        let approvals = self.services.approvals.clone();
        let decided = approvals.decide(&identity, &ticket, choice, revision.as_str(), record).await;
        let decided = decided.map_err(super::hold::failed)?;
        Ok(vec![vec![Value::Text(decided.state.as_str().to_owned())]])
    }

    async fn system_rows(
        &mut self,
        query: &tree::Query,
        asked: Asked<'_>,
        record: &mut Record,
    ) -> Result<(VecDeque<Batch>, u64), Failure> {
        let description = describe(query)?;
        let question = &description.question;
        record.tables = [format!("{OWN_SCHEMA}.{}", question.row.name)].into();
        let known = question.known(asked.parameter_types, asked.bind).map_err(Failure::statement)?;
        let rows = (question.row.produce)(self, known.arguments(), record).await?;
        let rows = known.select(rows);
        Ok((batches(&description, &rows, asked.bind), rows.len() as u64))
    }
}

/// Rows in the form in which a source's answers come.
fn batches(description: &Description, rows: &[Vec<Value>], bind: &Bind) -> VecDeque<Batch> {
    let formats = &bind.result_formats;
    let mut frames = BytesMut::new();
    let mut encode = |message: &Backend<'_>| {
        if message.encode(&mut frames).is_err() {
            tracing::error!("a row of the gateway's own was too long to be shown");
        }
        frames.split().freeze()
    };
    let mut batches = VecDeque::with_capacity(rows.len() + 2);
    batches.push_back(Batch::Fields(encode(&Backend::Columns(&description.columns(formats)))));
    for row in rows {
        let values: Vec<_> = row.iter().enumerate().map(|(at, value)| value.encode(format_of(formats, at))).collect();
        batches.push_back(Batch::Rows { frames: encode(&Backend::Row(&values)), rows: 1 });
    }
    batches.push_back(Batch::Done { tag: format!("SELECT {}", rows.len()) });
    batches
}

/// None is text for all, one is for all, and otherwise there is one for each.
pub(super) fn format_of(formats: &[Format], at: usize) -> Format {
    match formats {
        [one] => *one,
        formats => formats.get(at).copied().unwrap_or_default(),
    }
}

/// What cannot be asked of the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
struct Error {
    sqlstate: &'static str,
    message: String,
    hint: Option<String>,
}

impl Error {
    fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn unsupported(what: &str) -> Self {
        Self::new("0A000", format!("{what} is not supported in a query of the gateway's own relations")).hint(
            "Supported are: SELECT with *, columns or count(*) FROM one of them, WHERE with comparisons of columns and \
             constants joined by AND, ORDER BY columns, LIMIT and OFFSET; and SELECT with one call of a function.",
        )
    }
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        self.sqlstate
    }

    fn message(&self) -> String {
        self.message.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
