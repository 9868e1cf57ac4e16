//! Cursors: DECLARE, FETCH, MOVE and CLOSE.
//!
//! A cursor over tables is the source's own, declared there with the query as it was rewritten, so its rows wait where they are and
//! scrolling is the source's. The gateway remembers what was decided about it and decides again at each FETCH, by the
//! policies of then. The row limit stands inside the query, so it holds for the cursor in total, however often a row is
//! fetched. A cursor WITH HOLD outlives its transaction, and keeps its connection with the session.

use std::collections::HashMap;
use std::sync::Arc;

use passgate_connectors::{Bind, Control, Description, Format, Witness};
use passgate_policy::{Decision, decide};

use super::Session;
use super::catalog_cursor::Answer;
use super::deciding::now;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::relay::{Running, Standing};
use super::road::Permission;
use super::whereabouts::{Ended, Whereabouts};
use crate::audit::{Event, Record};
use crate::plan;
use crate::sources::Lease;
use crate::statement::{Cursor as Declared, Direction, Fetch, Statement};

/// A cursor that is open on the source.
pub(super) struct Cursor {
    standing: Standing,
    /// Tables that its query names, for the records of each FETCH.
    tables: Arc<[String]>,
    binary: bool,
    hold: bool,
    /// How many savepoints there were when it was declared; none once its transaction is over.
    savepoints: Option<usize>,
    whereabouts: Whereabouts,
    description: Option<Arc<Description>>,
    /// Its rows, where the session keeps them: it is one over the catalog.
    answer: Option<Answer>,
}

/// A session's cursors, by name.
#[derive(Default)]
pub(super) struct Cursors(HashMap<String, Cursor>);

/// Which cursor a statement reads, and how.
#[derive(Clone)]
pub(super) struct Reading {
    name: String,
    direction: Direction,
    /// Where the cursor stood before.
    before: Whereabouts,
}

impl Cursors {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether any is the source's.
    fn any_at_source(&self) -> bool {
        self.0.values().any(|cursor| cursor.answer.is_none())
    }

    /// Whether any of the source's outlives the transaction that declared it.
    pub(super) fn any_held(&self) -> bool {
        self.0.values().any(|cursor| cursor.hold && cursor.answer.is_none())
    }

    /// The rows of one over the catalog.
    pub(super) fn answer(&mut self, name: &str) -> Option<&mut Answer> {
        self.0.get_mut(name)?.answer.as_mut()
    }

    /// How many bytes of rows the session keeps for them.
    pub(super) fn bytes(&self) -> usize {
        self.0.values().filter_map(|cursor| cursor.answer.as_ref()).map(Answer::bytes).sum()
    }

    /// Forgets all of them: their connection is gone, or they were closed together.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The transaction is over.
    pub(super) fn end_transaction(&mut self, rolled_back: bool) {
        self.0.retain(|_, cursor| cursor.hold && (!rolled_back || cursor.savepoints.is_none()));
        self.0.values_mut().for_each(|cursor| cursor.savepoints = None);
    }

    /// The transaction went back to where it had so many savepoints.
    pub(super) fn roll_back_to(&mut self, savepoints: usize) {
        self.0.retain(|_, cursor| cursor.savepoints.is_none_or(|then| then < savepoints));
    }

    /// Savepoints were released, down to so many.
    pub(super) fn release(&mut self, savepoints: usize) {
        for cursor in self.0.values_mut() {
            cursor.savepoints = cursor.savepoints.map(|then| then.min(savepoints));
        }
    }

    fn find(&mut self, name: &str) -> Result<&mut Cursor, Error> {
        self.0.get_mut(name).ok_or_else(|| Error::NoCursor(name.to_owned()))
    }

    /// What is about to read a cursor.
    pub(super) fn reading(&mut self, fetch: &Fetch) -> Option<Reading> {
        let cursor = self.0.get_mut(&fetch.cursor)?;
        let before = cursor.whereabouts;
        cursor.whereabouts.leave();
        Some(Reading { name: fetch.cursor.clone(), direction: fetch.direction, before })
    }

    /// Notes how many rows were passed, and says what is to be told of the row limit.
    pub(super) fn moved(&mut self, reading: &Reading, rows: u64, limit: Option<u64>) -> Option<Ended> {
        let mut now = reading.before;
        let ended = now.go(reading.direction, rows, limit);
        if let Some(cursor) = self.0.get_mut(&reading.name) {
            cursor.whereabouts = now;
        }
        ended
    }
}

impl Session<Ready> {
    /// Whether a cursor may be declared now.
    pub(super) fn check_declarable(&self, declared: &Declared) -> Result<(), Error> {
        if !declared.hold && self.block().is_none() {
            return Err(Error::NoTransaction("DECLARE CURSOR"));
        }
        self.check_portal_name(&declared.name)
    }

    /// Whether a name is free for a portal or a cursor, and there may be one more: they are one thing to a client.
    pub(super) fn check_portal_name(&self, name: &str) -> Result<(), Error> {
        if self.state.cursors.contains(name) {
            return Err(Error::PortalExists(name.to_owned()));
        }
        self.state.portals.check_free(name, self.state.cursors.len(), &self.services.config)
    }

    /// Waits until the source has declared a cursor, and remembers it.
    pub(super) async fn declared(
        &mut self,
        declared: &Declared,
        tables: Arc<[String]>,
        running: &mut Running,
    ) -> Result<(), Failure> {
        self.keep_everything(running).await?;
        self.remember_cursor(declared, tables, running, None);
        Ok(())
    }

    /// Remembers a cursor, with its rows where the session keeps them.
    pub(super) fn remember_cursor(
        &mut self,
        declared: &Declared,
        tables: Arc<[String]>,
        running: &mut Running,
        answer: Option<Answer>,
    ) {
        let Some(standing) = running.take_standing() else { return };
        // How many rows there are in all, no single FETCH tells.
        let standing = Standing { rows_estimated: None, ..standing };
        let savepoints = self.state.transaction.as_ref().map(super::transaction::Block::savepoint_count);
        let Declared { binary, hold, .. } = *declared;
        let description = answer.as_ref().map(Answer::description);
        let whereabouts = Whereabouts::default();
        let cursor = Cursor { standing, tables, binary, hold, savepoints, whereabouts, description, answer };
        self.state.cursors.0.insert(declared.name.clone(), cursor);
    }

    /// Takes FETCH or MOVE down the road. `simple` is whether it came as a simple query.
    pub(super) async fn fetch(
        &mut self,
        fetch: &Fetch,
        bind: &Bind,
        simple: bool,
        mut record: Record,
    ) -> Result<Running, Failure> {
        let permission = match self.permit_fetch(fetch, &mut record) {
            Ok(permission) => permission,
            Err(failure) => return Err(self.note(record, failure)),
        };
        let binary = self.state.cursors.find(&fetch.cursor)?.binary;
        // As PostgreSQL does: BINARY is for simple queries, the others say for themselves.
        let bind = match simple && binary {
            true => Bind { result_formats: vec![Format::Binary], ..Bind::default() },
            false => Bind { result_formats: bind.result_formats.clone(), ..Bind::default() },
        };
        if self.state.cursors.answer(&fetch.cursor).is_some() {
            return self.fetch_kept(fetch, &bind.result_formats, permission.standing, record).await;
        }
        let mut running = self.run(permission, &bind, &record).await?;
        running.reads(self.state.cursors.reading(fetch));
        Ok(running)
    }

    /// Asks the policy again for what a cursor reads.
    fn permit_fetch(&mut self, fetch: &Fetch, record: &mut Record) -> Result<Permission, Failure> {
        let policies = self.services.policies.borrow().clone();
        let now = now();
        let cursor = self.state.cursors.find(&fetch.cursor)?;
        // The same request, at another time.
        Arc::make_mut(&mut cursor.standing.terms).request.facts.now = now;
        record.tables.clone_from(&cursor.tables);
        record.policy_revision = Some(policies.revision().clone());
        let Decision::Allow(permit) = decide(&policies, &cursor.standing.request_under(&policies)) else {
            record.validation = "denied".into();
            return Err(Error::Revoked.into());
        };
        if !cursor.standing.terms.demand_the_same(permit.obligations()) {
            record.validation = "denied".into();
            return Err(Error::Revoked.into());
        }
        record.validation = "allowed".into();
        record.rules = permit.fired().iter().map(ToString::to_string).collect();
        let mut standing = cursor.standing.clone();
        Arc::make_mut(&mut standing.terms).revision = permit.revision().clone();
        let query = plan::fetch(standing.terms.request.statement, &standing.terms.obligations, permit, fetch);
        let query = query.map_err(Failure::statement)?;
        record.rewritten = Some(query.query().text.as_str().into());
        // What was approved was approved, and what was said was said, when it was declared.
        Ok(Permission {
            query: Arc::new(query),
            standing,
            warnings: Arc::default(),
            used: Vec::new(),
            on_kept_connection: true,
            shadowed: None,
            numbers: self.state.numbers.as_ref().map(|known| Arc::clone(&known.numbers)),
        })
    }

    /// The columns of a cursor, asked of the source once.
    pub(super) async fn describe_cursor(
        &mut self,
        fetch: &Fetch,
        statement: Option<&Statement>,
    ) -> Result<Arc<Description>, Failure> {
        let (text, intent) = statement.map_or(("", "fetch"), |statement| (&statement.text, statement.kind.intent()));
        let mut record = self.record_text(Event::Describe, text, intent);
        let permission = match self.permit_fetch(fetch, &mut record) {
            Ok(permission) => permission,
            Err(failure) => return Err(self.note(record, failure)),
        };
        if let Some(description) = &self.state.cursors.find(&fetch.cursor)?.description {
            return Ok(description.clone());
        }
        let description = Arc::new(self.describe_permitted(&permission.query, permission.place(), record).await?);
        if let Ok(cursor) = self.state.cursors.find(&fetch.cursor) {
            cursor.description = Some(description.clone());
        }
        Ok(description)
    }

    /// CLOSE, of a cursor or of a portal of this name.
    pub(super) async fn close_named(&mut self, name: &str) -> Result<(), Failure> {
        if self.state.portals.is_active(name) {
            return Err(Error::PortalActive(name.to_owned()).into());
        }
        if self.state.portals.contains(name) {
            return self.close_portal(name).await;
        }
        if !self.close_cursor(name).await? {
            return Err(Error::NoCursor(name.to_owned()).into());
        }
        Ok(())
    }

    /// Closes a cursor, if there is one of this name.
    pub(super) async fn close_cursor(&mut self, name: &str) -> Result<bool, Failure> {
        let Some(closed) = self.state.cursors.0.remove(name) else { return Ok(false) };
        if closed.answer.is_some() {
            return Ok(true);
        }
        // The last one leaves a connection that can serve again.
        let control = match self.state.cursors.any_at_source() {
            false => Control::CloseCursors,
            true => Control::CloseCursor(name.to_owned()),
        };
        self.control_cursors(&control).await?;
        Ok(true)
    }

    /// Closes every cursor and every portal but the one that asks for it.
    pub(super) async fn close_everything(&mut self) -> Result<(), Failure> {
        for portal in self.state.portals.take_idle() {
            self.end_portal(portal).await?;
        }
        let any_at_source = self.state.cursors.any_at_source();
        self.state.cursors.clear();
        if !any_at_source {
            return Ok(());
        }
        self.control_cursors(&Control::CloseCursors).await
    }

    async fn control_cursors(&mut self, control: &Control) -> Result<(), Failure> {
        if self.pinned().is_none() {
            // A transaction that has not begun on the source yet has left the connection of held cursors where it was.
            let Some(mut lease) = self.state.held.take() else { return Ok(()) };
            self.attended(lease.control(control)).await?;
            self.state.held = Some(lease);
            self.release_kept_connection();
            return Ok(());
        }
        self.settle().await?;
        self.on_pinned_lease(async |lease| lease.control(control).await).await?;
        self.release_kept_connection();
        Ok(())
    }

    /// Gives the connection of held cursors back if there are none.
    pub(super) fn release_kept_connection(&mut self) {
        if !self.state.cursors.any_held() {
            self.state.held = None;
        }
    }

    /// The connection that the session keeps from one statement to the next: the transaction's, or outside one that of
    /// held cursors.
    pub(super) fn pinned(&mut self) -> &mut Option<Lease> {
        match &mut self.state.transaction {
            Some(block) => &mut block.lease,
            None => &mut self.state.held,
        }
    }

    /// Whom the connection of held cursors serves.
    pub(super) fn held_witness(&self) -> Option<&Arc<Witness>> {
        self.state.held.as_ref().map(Lease::witness)
    }
}
