//! Statements that the session answers itself: SET, SHOW, transaction control and their like.
//!
//! They reach no source, or only as settings and control that the connector words itself, so no policy is asked; they
//! are recorded all the same.

use std::collections::VecDeque;

use bytes::BytesMut;
use passgate_connectors::Batch;
use passgate_policy::StatementKind;
use passgate_wire::Backend;

use super::Session;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::relay::Running;
use super::transaction::Block;
use crate::audit::{Outcome, Record, Status};
use crate::statement::{Discard, Kind, Statement};

/// The columns of SHOW ALL.
const SHOW_ALL: &[&str] = &["name", "setting", "description"];

/// Columns and rows of texts, and the command tag.
struct Answer {
    columns: &'static [&'static str],
    name: String,
    rows: Vec<Vec<String>>,
    tag: String,
}

impl Answer {
    fn tag(tag: impl Into<String>) -> Self {
        Self { columns: &[], name: String::new(), rows: Vec::new(), tag: tag.into() }
    }
}

impl Session<Ready> {
    /// Answers a statement and records that.
    pub(super) async fn answer(&mut self, statement: &Statement, mut record: Record) -> Result<Running, Failure> {
        record.validation = "not_checked: answered by the gateway".into();
        if let Kind::ShowAll = statement.kind
            && let Err(failure) = self.may(StatementKind::ShowAll, &mut record).await
        {
            return Err(self.note(record, failure));
        }
        let answer = match self.carry_out(statement).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.note(record, failure)),
        };
        self.answered(&answer, record)
    }

    /// Answers nothing but a tag, and records that.
    pub(super) fn answer_tag(&self, tag: &str, record: Record) -> Result<Running, Failure> {
        self.answered(&Answer::tag(tag), record)
    }

    fn answered(&self, answer: &Answer, record: Record) -> Result<Running, Failure> {
        let rows = answer.rows.len() as u64;
        let outcome = Outcome { rows, status: Some(Status::Ok), ..Outcome::default() };
        super::measure::statement(Status::Ok);
        self.services.audit.note(record, outcome).map_err(Failure::statement)?;
        Ok(Running::answered(batches(answer)))
    }

    /// The columns of an answer, for Describe: none where there are no rows.
    pub(super) fn own_columns(&self, kind: &Kind) -> Result<Vec<String>, Failure> {
        match kind {
            Kind::Show(name) => Ok(vec![self.show(name).map_err(Failure::statement)?.0]),
            Kind::SetConfig { column, .. } => Ok(vec![column.clone()]),
            Kind::ShowAll => Ok(SHOW_ALL.iter().map(|column| (*column).to_owned()).collect()),
            _ => Ok(Vec::new()),
        }
    }

    async fn carry_out(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        match &statement.kind {
            Kind::Set { name, value, local } => self.set(name, value.as_deref(), *local).map(|()| Answer::tag("SET")),
            Kind::SetConfig { name, value, local, column } => {
                self.set(name, Some(value), *local)?;
                let (_, value) = self.show(name).map_err(Failure::statement)?;
                Ok(Answer { columns: &[], name: column.clone(), rows: vec![vec![value]], tag: "SELECT 1".to_owned() })
            }
            Kind::Reset(name) => self.reset(name.as_deref()).map(|()| Answer::tag("RESET")),
            Kind::Show(name) => {
                let (name, value) = self.show(name).map_err(Failure::statement)?;
                Ok(Answer { columns: &[], name, rows: vec![vec![value]], tag: "SHOW".to_owned() })
            }
            Kind::ShowAll => {
                let rows = self.show_all().into_iter().map(Vec::from).collect();
                Ok(Answer { columns: SHOW_ALL, name: String::new(), rows, tag: "SHOW".to_owned() })
            }
            Kind::Listen => Err(Error::Listen.into()),
            Kind::Unlisten => Ok(Answer::tag("UNLISTEN")),
            Kind::Transaction(control) => self.control(control).await.map(Answer::tag),
            Kind::Deallocate(name) => self.deallocate(name.as_deref()).map(Answer::tag),
            Kind::Discard(Discard::All) => self.discard_all().await.map(Answer::tag),
            Kind::Discard(Discard::Plans) => Ok(Answer::tag("DISCARD PLANS")),
            Kind::Discard(Discard::Sequences) => Ok(Answer::tag("DISCARD SEQUENCES")),
            Kind::Discard(Discard::Temporary) => Ok(Answer::tag("DISCARD TEMP")),
            Kind::Close(Some(name)) => self.close_named(name).await.map(|()| Answer::tag("CLOSE CURSOR")),
            Kind::Close(None) => self.close_everything().await.map(|()| Answer::tag("CLOSE CURSOR ALL")),
            // The road sends these elsewhere.
            Kind::Query(_)
            | Kind::Explain(..)
            | Kind::Copy(..)
            | Kind::Declare(..)
            | Kind::Fetch(_)
            | Kind::Prepare(_)
            | Kind::Execute(_)
            | Kind::Write => Err(Error::OutOfPlace.into()),
        }
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<&'static str, Failure> {
        let Some(name) = name else {
            self.state.statements.clear();
            return Ok("DEALLOCATE ALL");
        };
        if self.state.statements.remove(name) {
            Ok("DEALLOCATE")
        } else {
            Err(Error::NoStatement(name.to_owned()).into())
        }
    }

    async fn discard_all(&mut self) -> Result<&'static str, Failure> {
        if self.state.transaction.as_ref().is_some_and(Block::has_company) {
            return Err(Error::InTransaction("DISCARD ALL").into());
        }
        self.close_everything().await?;
        self.close_portals().await?;
        self.state.statements.clear();
        self.state.settings.reset_all();
        Ok("DISCARD ALL")
    }
}

/// An answer in the form in which a source's answers come.
fn batches(answer: &Answer) -> VecDeque<Batch> {
    let mut batches = VecDeque::with_capacity(3);
    let single = [answer.name.as_str()];
    let columns = if answer.columns.is_empty() { &single[..] } else { answer.columns };
    let mut frames = BytesMut::new();
    let mut encode = |message: &Backend<'_>| {
        if message.encode(&mut frames).is_err() {
            tracing::error!("a setting was too long to be shown");
        }
        frames.split().freeze()
    };
    if !answer.rows.is_empty() {
        batches.push_back(Batch::Fields(encode(&Backend::TextColumns(columns))));
        for row in &answer.rows {
            let texts: Vec<&str> = row.iter().map(String::as_str).collect();
            batches.push_back(Batch::Rows { frames: encode(&Backend::TextRow(&texts)), rows: 1 });
        }
    }
    batches.push_back(Batch::Done { tag: answer.tag.clone() });
    batches
}
