//! The extended query: prepare, bind, describe, execute, each with a message of its own.
//!
//! After an error everything up to the next Sync is passed over, and Sync answers once.
//! Source: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>.

use std::sync::Arc;

use passgate_connectors::{Bind, Description, Format};
use passgate_wire::{self as wire, Backend, Frontend, Target};

use super::Session;
use super::error::{End, Error, Failure};
use super::prepared::{Portal, PortalState, Prepared};
use super::ready::Ready;
use super::relay::{Reached, Wanted};
use super::road::{Asked, is_governed};
use super::system;
use super::transaction::Implicit;
use crate::statement::{Direction, Fetch, Kind, Statement};

impl Session<Ready> {
    /// Answers a message of the extended protocol, other than Sync and Flush.
    pub(super) async fn extended(&mut self, message: Frontend) -> Result<(), End> {
        let answered = match message {
            Frontend::Parse(parse) => {
                let text = parse.query.clone();
                self.parse(parse).await.map_err(|failure| failure.located(&text))
            }
            Frontend::Bind(bind) => self.bind(bind).await,
            Frontend::Describe(Target::Statement(name)) => {
                let prepared = self.state.statements.find(&name).ok();
                self.describe_statement(&name).await.map_err(|failure| located(failure, prepared.as_deref()))
            }
            Frontend::Describe(Target::Portal(name)) => {
                let prepared = self.state.portals.find(&name).ok().map(|portal| portal.prepared.clone());
                self.describe_portal(&name).await.map_err(|failure| located(failure, prepared.as_deref()))
            }
            Frontend::Execute { portal: name, rows_max } => {
                let prepared = self.state.portals.find(&name).ok().map(|portal| portal.prepared.clone());
                self.execute(&name, rows_max).await.map_err(|failure| located(failure, prepared.as_deref()))
            }
            Frontend::Close(target) => self.close(target).await,
            Frontend::Malformed { kind: b'P', cause } => Err(self.refuse_text("", Error::Malformed(cause))),
            Frontend::Malformed { cause, .. } => Err(Error::Malformed(cause).into()),
            _ => Err(Error::OutOfPlace.into()),
        };
        if let Err(failure) = answered {
            self.answer_failure(failure)?;
            self.state.skipping = true;
        }
        self.channel.flush_if_full().await
    }

    /// Answers Sync.
    pub(super) async fn sync(&mut self) -> Result<(), End> {
        self.state.skipping = false;
        self.end_turn().await
    }

    /// Prepares a statement. What the policy refuses now is refused now; it is asked again when the statement runs.
    async fn parse(&mut self, message: wire::Parse) -> Result<(), Failure> {
        let wire::Parse { statement: name, query, parameter_types } = message;
        if name.is_empty() {
            self.state.statements.remove("");
        }
        let statements = if name.is_empty() { self.recognise(&query)? } else { self.understand(&query)? };
        if statements.len() > 1 {
            return Err(self.refuse_text(&query, Error::SeveralStatements));
        }
        let parameter_types: Arc<[u32]> = parameter_types.into();
        if let Some(statement) = statements.first() {
            self.foresee(statement, &parameter_types).await?;
        }
        self.state.statements.check_free(&name).map_err(|error| self.refuse_text(&query, error))?;
        let prepared = Prepared::new(statements.first().cloned(), parameter_types);
        self.state.statements.insert(name, prepared, &self.services.config)?;
        self.channel.send(&Backend::ParseComplete);
        Ok(())
    }

    async fn bind(&mut self, message: wire::Bind) -> Result<(), Failure> {
        let wire::Bind { portal: name, statement, parameter_formats, parameters, result_formats } = message;
        let prepared = self.state.statements.find(&statement)?;
        let is_named = !statement.is_empty();
        check_counts(&prepared, statement, &parameter_formats, parameters.len())?;
        match &prepared.statement {
            Some(statement) => self.allowed_now(statement)?,
            None => self.allowed_nothing_now()?,
        }
        let bind = Bind {
            parameter_formats: formats(&parameter_formats)?,
            parameters,
            result_formats: formats(&result_formats)?,
            kept: is_named,
        };
        if name.is_empty() {
            self.close_portal("").await?;
        }
        self.check_portal_name(&name)?;
        let portal = Portal { prepared, bind, state: PortalState::Fresh };
        self.state.portals.insert(name, portal, &self.services.config)?;
        self.channel.send(&Backend::BindComplete);
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let prepared = self.state.statements.find(name)?;
        let Some((statement, description)) = self.described(&prepared).await? else {
            return self.describe_own(&prepared, None);
        };
        // What an EXECUTE takes is its own; what it gives is the prepared statement's.
        let own = is_governed(&statement.kind);
        let parameters = if own { description.parameters.as_slice() } else { &*prepared.parameter_types };
        self.channel.send(&Backend::ParameterDescription(parameters));
        self.send_fields(&description, &[]).await
    }

    /// What the source says of a statement's types, and the statement; nothing where the answer will be our own.
    async fn described<'a>(
        &mut self,
        prepared: &'a Prepared,
    ) -> Result<Option<(&'a Arc<Statement>, Arc<Description>)>, Failure> {
        let Some(statement) = &prepared.statement else { return Ok(None) };
        let description = match &statement.kind {
            Kind::Fetch(fetch) if !fetch.moves && self.is_open(&fetch.cursor) => {
                self.allowed_now(statement)?;
                if let Some(read) = self.state.portals.prepared(&fetch.cursor) {
                    let inner = read.statement.as_ref().filter(|inner| is_governed(&inner.kind));
                    let inner = inner.ok_or_else(|| Error::FetchFromPortal(fetch.cursor.clone()))?;
                    return Ok(Some((statement, self.describe(&read, inner).await?)));
                }
                self.describe_cursor(fetch, Some(statement)).await?
            }
            Kind::Execute(execute) => {
                // What does not exist has no rows to describe; it is missed when it is to run.
                let Ok((inner, statement)) = self.executed(execute) else { return Ok(None) };
                self.allowed_now(&statement)?;
                let explained = Prepared::new(None, inner.parameter_types.clone());
                let known = if execute.explain.is_some() { &explained } else { &*inner };
                self.describe(known, &statement).await?
            }
            Kind::Copy(..) => return Ok(None),
            kind if is_governed(kind) => self.describe(prepared, statement).await?,
            _ => return Ok(None),
        };
        Ok(Some((statement, description)))
    }

    async fn send_fields(&mut self, description: &Description, formats: &[Format]) -> Result<(), Failure> {
        match &description.fields {
            Some(fields) => {
                let formats: Vec<i16> = formats.iter().copied().map(format_code).collect();
                self.channel.relay(wire::with_formats(fields, &formats)?).await?;
            }
            None => self.channel.send(&Backend::NoData),
        }
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Failure> {
        if self.state.cursors.contains(name) {
            // As PostgreSQL does: a cursor is a portal, and psycopg asks for its columns so.
            let fetch = Fetch { cursor: name.to_owned(), direction: Direction::Forward(Some(1)), moves: false };
            let description = self.describe_cursor(&fetch, None).await?;
            return self.send_fields(&description, &[]).await;
        }
        let portal = self.state.portals.find(name)?;
        let (prepared, formats) = (portal.prepared.clone(), portal.bind.result_formats.clone());
        match &prepared.statement {
            Some(statement) if self.answers_rows(&statement.kind) && self.runs_next(name)? => {
                self.describe_by_running(name, &prepared, statement).await
            }
            Some(statement) if matches!(statement.kind, Kind::Declare(..)) => {
                self.describe_own(&prepared, Some(&formats))
            }
            _ => match self.described(&prepared).await? {
                Some((_, description)) => self.send_fields(&description, &formats).await,
                None => self.describe_own(&prepared, Some(&formats)),
            },
        }
    }

    /// Whether a statement has rows of a source to answer.
    fn answers_rows(&self, kind: &Kind) -> bool {
        match kind {
            // Of a portal the gateway divides the rows itself, and knows their columns without running it.
            Kind::Fetch(fetch) => !fetch.moves && self.state.cursors.contains(&fetch.cursor),
            Kind::Execute(execute) => self.executed(execute).is_ok_and(|(prepared, _)| prepared.takes(execute)),
            Kind::Copy(..) | Kind::Declare(..) => false,
            kind => is_governed(kind),
        }
    }

    /// Whether there is a cursor or a portal of this name.
    fn is_open(&self, name: &str) -> bool {
        self.state.cursors.contains(name) || self.state.portals.contains(name)
    }

    /// Whether the portal has not run yet and the next message, here already, is to run it.
    fn runs_next(&mut self, name: &str) -> Result<bool, Failure> {
        let fresh = matches!(self.state.portals.find(name)?.state, PortalState::Fresh);
        let next = self.channel.peek()?;
        Ok(fresh && matches!(next, Some(Frontend::Execute { portal, .. }) if portal == name))
    }

    /// Notes whether what is executed now is the last of its pipeline, and sees to it that it is in a transaction with
    /// the rest if it is not. `messages` are still to come before it is executed. What is not here yet counts as more: a
    /// client that sends nothing but this sends its Sync with it.
    fn note_place_in_pipeline(&mut self, messages: usize) -> Result<(), Failure> {
        self.state.last = self.channel.peek_kind(messages)? == Some(b'S');
        if !self.state.last {
            self.begin_implicit(Implicit::Pipeline { executed: false });
        }
        Ok(())
    }

    /// Describes a portal by running it, as it is about to be anyway: the source's answer begins with the description,
    /// and the client is spared a round to the source. Most drivers send Describe and Execute together.
    async fn describe_by_running(
        &mut self,
        name: &str,
        prepared: &Prepared,
        statement: &Arc<Statement>,
    ) -> Result<(), Failure> {
        self.note_place_in_pipeline(1)?;
        let portal = self.state.portals.find(name)?;
        let bind = portal.take_bind();
        portal.state = PortalState::Spent;
        let asked = Asked { statement, parameter_types: &prepared.parameter_types, bind: &bind, simple: false };
        let mut running = Box::new(self.start(asked).await?);
        self.relay_fields(&mut running).await?;
        self.state.portals.put_back(name, running);
        Ok(())
    }

    /// Describes what the gateway answers itself: a statement, or a portal with the formats it asks for.
    fn describe_own(&mut self, prepared: &Prepared, portal: Option<&[Format]>) -> Result<(), Failure> {
        if let Some(statement @ Statement { kind: Kind::Query(query), .. }) = prepared.statement.as_deref() {
            self.allowed_now(statement)?;
            let described = system::describe(query)?;
            if portal.is_none() {
                let parameters = described.parameters(&prepared.parameter_types);
                self.channel.send(&Backend::ParameterDescription(&parameters));
            }
            self.channel.send(&Backend::Columns(&described.columns(portal.unwrap_or_default())));
            return Ok(());
        }
        if portal.is_none() {
            self.channel.send(&Backend::ParameterDescription(&prepared.parameter_types));
        }
        let kind = prepared.statement.as_ref().map(|statement| &statement.kind);
        let columns = kind.map_or_else(|| Ok(Vec::new()), |kind| self.own_columns(kind))?;
        if let Some(statement) = prepared.statement.as_ref().filter(|_| !columns.is_empty()) {
            self.allowed_now(statement)?;
        }
        let formats = portal.unwrap_or_default();
        let format = |at| format_code(system::format_of(formats, at));
        let columns: Vec<_> =
            columns.iter().enumerate().map(|(at, name)| wire::Column::text(name, format(at))).collect();
        self.channel.send(&if columns.is_empty() { Backend::NoData } else { Backend::Columns(&columns) });
        Ok(())
    }

    async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Failure> {
        let executed = self.execute_portal(name, rows_max).await;
        self.state.portals.rest(name);
        executed
    }

    async fn execute_portal(&mut self, name: &str, rows_max: u32) -> Result<(), Failure> {
        self.state.portals.find(name)?;
        self.note_place_in_pipeline(0)?;
        let portal = self.state.portals.find(name)?;
        let prepared = portal.prepared.clone();
        let Some(statement) = &prepared.statement else {
            self.channel.send(&Backend::EmptyQueryResponse);
            return Ok(());
        };
        let mut running = match std::mem::replace(&mut portal.state, PortalState::Active) {
            PortalState::Fresh => {
                let bind = portal.take_bind();
                let asked = Asked { statement, parameter_types: &prepared.parameter_types, bind: &bind, simple: false };
                Box::new(self.start(asked).await?)
            }
            PortalState::Suspended(running) => {
                let resumed = self.allowed_now(statement).map_err(Failure::from).and_then(|()| self.resume(&running));
                if let Err(failure) = resumed {
                    // It still has rows on the connection, so it must not be forgotten.
                    self.state.portals.put_back(name, running);
                    return Err(failure);
                }
                running
            }
            PortalState::Active | PortalState::Spent => return self.execute_spent(name, statement),
        };
        let rows_max = Some(u64::from(rows_max)).filter(|rows| *rows > 0);
        match self.relay(&mut running, Wanted { fields: false, rows_max, answered_before: 0 }).await? {
            Reached::Limit => {
                self.note_executed();
                self.state.portals.put_back(name, running);
                self.channel.send(&Backend::PortalSuspended);
            }
            Reached::End(tag) => {
                running.finish();
                self.note_executed();
                self.channel.send(&Backend::CommandComplete(&tag));
            }
        }
        Ok(())
    }

    /// A portal that was read to its end has no more rows; one without rows cannot run twice.
    fn execute_spent(&mut self, name: &str, statement: &Statement) -> Result<(), Failure> {
        self.allowed_nothing_now()?;
        match statement.kind {
            Kind::Query(_) | Kind::Execute(_) => {
                self.channel.send(&Backend::CommandComplete("SELECT 0"));
                Ok(())
            }
            Kind::Fetch(_) => {
                self.channel.send(&Backend::CommandComplete("FETCH 0"));
                Ok(())
            }
            Kind::Show(_) | Kind::ShowAll => {
                self.channel.send(&Backend::CommandComplete("SHOW"));
                Ok(())
            }
            Kind::Explain(..) => {
                self.channel.send(&Backend::CommandComplete("EXPLAIN"));
                Ok(())
            }
            _ => Err(Error::PortalSpent(name.to_owned()).into()),
        }
    }

    async fn close(&mut self, target: Target) -> Result<(), Failure> {
        match target {
            Target::Statement(name) => {
                self.state.statements.remove(&name);
            }
            Target::Portal(name) => {
                self.close_cursor(&name).await?;
                self.close_portal(&name).await?;
            }
        }
        self.channel.send(&Backend::CloseComplete);
        Ok(())
    }

    /// Ends a portal, if there is one of this name.
    pub(super) async fn close_portal(&mut self, name: &str) -> Result<(), Failure> {
        match self.state.portals.remove(name) {
            Some(portal) => Box::pin(self.end_portal(portal)).await,
            None => Ok(()),
        }
    }
}

/// A failure with its place in what was prepared.
fn located(failure: Failure, prepared: Option<&Prepared>) -> Failure {
    match prepared.and_then(|prepared| prepared.statement.as_ref()) {
        Some(statement) => failure.located(&statement.text),
        None => failure,
    }
}

fn check_counts(prepared: &Arc<Prepared>, statement: String, formats: &[i16], supplied: usize) -> Result<(), Error> {
    if formats.len() > 1 && formats.len() != supplied {
        return Err(Error::FormatCount { formats: formats.len(), parameters: supplied });
    }
    let required = prepared.parameters();
    if supplied != required {
        return Err(Error::ParameterCount { supplied, required, statement });
    }
    Ok(())
}

fn formats(codes: &[i16]) -> Result<Vec<Format>, Error> {
    let format = |code: &i16| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(Error::Format(*other)),
    };
    codes.iter().map(format).collect()
}

fn format_code(format: Format) -> i16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}
