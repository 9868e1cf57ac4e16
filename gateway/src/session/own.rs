//! Statements that the session answers itself: SET, SHOW, transaction control and their like.
//!
//! They reach no source, or only as settings and control that the connector words itself, so no policy is asked; they
//! are recorded all the same.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use passgate_connectors::Batch;
use passgate_wire::Backend;

use super::Session;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::relay::Running;
use super::settings::{self, isolation};
use crate::audit::{Outcome, Record, Status};
use crate::statement::{Kind, Statement};

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
        record.validation = "not_checked: answered by the gateway".to_owned();
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
            _ => Ok(Vec::new()),
        }
    }

    async fn carry_out(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        match &statement.kind {
            Kind::Set { name, value, local } => self.set(name, value.as_deref(), *local).map(|()| Answer::tag("SET")),
            Kind::Reset(name) => self.reset(name.as_deref()).map(|()| Answer::tag("RESET")),
            Kind::Show(name) => {
                let (name, value) = self.show(name).map_err(Failure::statement)?;
                Ok(Answer { columns: &[], name, rows: vec![vec![value]], tag: "SHOW".to_owned() })
            }
            Kind::Transaction(control) => self.control(control, &statement.text).await.map(Answer::tag),
            Kind::Deallocate(name) => self.deallocate(name.as_deref()).map(Answer::tag),
            Kind::DiscardAll => self.discard_all().await.map(Answer::tag),
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

    fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Failure> {
        if name.eq_ignore_ascii_case("transaction_isolation") {
            return self.set_isolation(value);
        }
        if local && self.state.transaction.is_none() {
            self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        self.state.settings.set(name, value).map_err(Failure::statement)?;
        match &mut self.state.transaction {
            Some(block) if !local => block.lasting.set(name, value).map_err(Failure::statement),
            _ => Ok(()),
        }
    }

    /// `SET TRANSACTION ISOLATION LEVEL`, which must come before the transaction's first query.
    fn set_isolation(&mut self, value: Option<&str>) -> Result<(), Failure> {
        let level = value.unwrap_or("read committed").to_ascii_lowercase();
        let Some(isolation) = isolation(&level) else {
            let (name, hint) = ("transaction_isolation".to_owned(), None);
            return Err(Failure::statement(settings::Error::Value { name, hint }));
        };
        match &mut self.state.transaction {
            None => self.warn("25P01", "SET TRANSACTION can only be used in transaction blocks"),
            Some(block) if block.lease.is_some() => return Err(Error::LateIsolation.into()),
            Some(block) => block.isolation = Some(isolation),
        }
        Ok(())
    }

    fn reset(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let Some(name) = name else {
            self.state.settings.reset_all();
            if let Some(block) = &mut self.state.transaction {
                block.lasting.reset_all();
            }
            return Ok(());
        };
        self.set(name, None, false)
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
        if self.state.transaction.is_some() {
            return Err(Error::InTransaction("DISCARD ALL").into());
        }
        self.close_everything().await?;
        self.state.statements.clear();
        self.state.settings.reset_all();
        Ok("DISCARD ALL")
    }

    /// A setting's name as shown, and its value.
    fn show(&self, name: &str) -> Result<(String, String), settings::Error> {
        let changeable = self.state.settings.show(name);
        let found = changeable.or_else(|| {
            let fixed = self.fixed().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            fixed.map(|(name, value)| (name.to_owned(), value))
        });
        found.ok_or_else(|| settings::Error::Unknown(name.to_owned()))
    }

    /// Every setting as SHOW tells it, by name in lower case.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        let fixed = self.fixed().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        fixed.chain(self.state.settings.all()).collect()
    }

    /// What a client may look at and not change: true of every session here, or of this one.
    fn fixed(&self) -> Vec<(&'static str, String)> {
        let version = &self.state.server_version;
        let isolation = self.state.transaction.as_ref().and_then(|block| block.isolation);
        let isolation = match isolation {
            None => {
                self.state.settings.show("default_transaction_isolation").map_or_else(String::new, |(_, level)| level)
            }
            Some(passgate_connectors::Isolation::ReadCommitted) => "read committed".to_owned(),
            Some(passgate_connectors::Isolation::RepeatableRead) => "repeatable read".to_owned(),
            Some(passgate_connectors::Isolation::Serializable) => "serializable".to_owned(),
        };
        let mut fixed = vec![
            ("server_version", version.clone()),
            ("server_version_num", version_number(version)),
            ("session_authorization", self.state.caller.identity.person.to_string()),
            ("transaction_isolation", isolation),
        ];
        fixed.extend(FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fixed
    }
}

/// The same for every session.
const FIXED: &[(&str, &str)] = &[
    ("block_size", "8192"),
    ("default_transaction_deferrable", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("password_encryption", "scram-sha-256"),
    ("role", "none"),
    ("row_security", "on"),
    ("scram_iterations", "4096"),
    ("server_encoding", "UTF8"),
    ("transaction_deferrable", "off"),
];

/// `15.14 (Debian 15.14-0+deb12u1)` is 150014; before version 10 there were three parts.
fn version_number(version: &str) -> String {
    let word = version.split([' ', 'b', 'r', 'd']).next().unwrap_or_default();
    let parts: Vec<u32> = word.split('.').map_while(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [major, rest @ ..] if *major >= 10 => (major * 10_000 + rest.first().unwrap_or(&0)).to_string(),
        [major, minor, rest @ ..] => (major * 10_000 + minor * 100 + rest.first().unwrap_or(&0)).to_string(),
        _ => "0".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn version_numbers_are_postgresqls() {
        for (version, number) in [
            ("15.14 (Debian 15.14-0+deb12u1)", "150014"),
            ("18.0", "180000"),
            ("19beta1", "190000"),
            ("9.6.24", "90624"),
            ("PostgreSQL", "0"),
        ] {
            assert_eq!(version_number(version), number, "{version}");
        }
    }
}
