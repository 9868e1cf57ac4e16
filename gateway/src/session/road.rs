//! The one road of a statement: every protocol path comes through [`Session::start`], and nothing else reaches a source.
//!
//! ```text
//! Statement ── resolve ── request ── decide ── rewrite ──► Permitted<Query>     (deciding)
//! Permitted<Query> ── audit.open_together ── checkout ── start ──► Running              (run)
//! ```
//!
//! What is refused or fails before it runs is recorded too, then answered; what cannot be recorded is refused.
//!
//! What few statements need is boxed where it branches off, so that the road of all others stays small: it is made anew
//! for each statement.

use std::sync::Arc;

use passgate_connectors::{Bind, Description, Query, ServerMessage};
use passgate_policy::{Permitted, Warning};
use tracing::Instrument;

use super::deciding::Sought;
use super::error::{Error, Failure};
use super::prepared::Prepared;
use super::ready::Ready;
use super::relay::{Running, Standing};
use super::{Session, measure, system};
use crate::audit::{Event, Outcome, Record, Status};
use crate::plan::Shadowed;
use crate::sources::{Lease, Numbers};
use crate::statement::{Cursor as Declared, Execute, Kind, Statement, Transaction};
use crate::store::Ticket;

/// A statement as the client asks for it to be run.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The statement.
    pub(super) statement: &'a Arc<Statement>,
    /// Parameter types that the client declared.
    pub(super) parameter_types: &'a Arc<[u32]>,
    /// Values.
    pub(super) bind: &'a Bind,
    /// Whether it came as a simple query.
    pub(super) simple: bool,
}

impl<'a> Asked<'a> {
    fn sought(self) -> Sought<'a> {
        Sought {
            statement: self.statement,
            parameter_types: self.parameter_types,
            bind: Some(self.bind),
            is_template: false,
        }
    }
}

/// A query that may run.
pub(super) struct Permission {
    pub(super) query: Arc<Permitted<Query>>,
    pub(super) standing: Standing,
    /// What the person is told beside the answer.
    pub(super) warnings: Arc<[Warning]>,
    /// Grants that were used for it.
    pub(super) used: Vec<Ticket>,
    /// Whether it runs on the connection that the session keeps even outside a transaction: that of held cursors.
    pub(super) on_kept_connection: bool,
    /// The shadow that answers it, where it asks the catalog.
    pub(super) shadowed: Option<Shadowed>,
    /// The numbers of tables and types in an answer of the source.
    pub(super) numbers: Option<Arc<Numbers>>,
}

/// Where a query runs.
#[derive(Clone, Copy)]
pub(super) enum Location<'a> {
    /// On a connection to the source: the transaction's, if there is one.
    Source(Option<&'a Arc<Numbers>>),
    /// On the one that the session keeps.
    Kept(Option<&'a Arc<Numbers>>),
    /// In a shadow.
    Shadow(&'a Shadowed),
}

impl Location<'_> {
    fn numbers(self) -> Option<Arc<Numbers>> {
        match self {
            Self::Source(numbers) | Self::Kept(numbers) => numbers.cloned(),
            Self::Shadow(_) => None,
        }
    }
}

impl Permission {
    /// Where it runs.
    pub(super) fn place(&self) -> Location<'_> {
        match &self.shadowed {
            Some(shadowed) => Location::Shadow(shadowed),
            None if self.on_kept_connection => Location::Kept(self.numbers.as_ref()),
            None => Location::Source(self.numbers.as_ref()),
        }
    }
}

impl Session<Ready> {
    /// Takes a statement down the road, up to where its rows can be read. Whatever stops it is recorded.
    pub(super) async fn start(&mut self, asked: Asked<'_>) -> Result<Running, Failure> {
        self.state.registration.slot.begin();
        let mut record = Box::new(self.record(Event::Statement, asked.statement));
        record.parameters = self.services.audit.parameters_as(asked.parameter_types, asked.bind);
        let span = tracing::info_span!("statement", statement_id = %record.statement_id);
        self.start_recorded(asked, record).instrument(span).await
    }

    async fn start_recorded(&mut self, asked: Asked<'_>, record: Box<Record>) -> Result<Running, Failure> {
        tracing::debug!(intent = %record.intent, "statement");
        if let Err(error) = self.allowed_now(asked.statement) {
            return Err(self.note(*record, error.into()));
        }
        match &asked.statement.kind {
            Kind::Prepare(prepare) => Box::pin(self.prepare(prepare, *record)).await,
            Kind::Fetch(fetch) if self.state.portals.prepared(&fetch.cursor).is_some() => {
                Box::pin(self.fetch_from_portal(fetch, asked, *record)).await
            }
            Kind::Fetch(fetch) => Box::pin(self.fetch(fetch, asked.bind, asked.simple, *record)).await,
            Kind::Execute(execute) => Box::pin(self.execute_prepared(execute, asked, record)).await,
            kind if is_governed(kind) => self.decide_and_run(asked, record).await,
            Kind::Query(query) => Box::pin(self.answer_system(query, asked, *record)).await,
            _ => Box::pin(self.answer(asked.statement, *record)).await,
        }
    }

    async fn execute_prepared(
        &mut self,
        execute: &Execute,
        asked: Asked<'_>,
        mut record: Box<Record>,
    ) -> Result<Running, Failure> {
        let called = match self.called(execute, asked) {
            Ok(called) => called,
            Err(error) => return Err(self.note(*record, error.into())),
        };
        // What runs is what was prepared: the record names that, and its values.
        record.query = Some(Arc::clone(&called.statement.text));
        record.parameters = self.services.audit.parameters_as(&called.parameter_types, &called.bind);
        self.decide_and_run(called.asked(asked.simple), record).await.map_err(Failure::elsewhere)
    }

    /// The same for a statement that is known to go to the policy: what a portal holds that a FETCH reads.
    pub(super) async fn start_governed(&mut self, asked: Asked<'_>) -> Result<Box<Running>, Failure> {
        let mut record = Box::new(self.record(Event::Statement, asked.statement));
        record.parameters = self.services.audit.parameters_as(asked.parameter_types, asked.bind);
        Ok(Box::new(self.decide_and_run(asked, record).await?))
    }

    async fn decide_and_run(&mut self, asked: Asked<'_>, mut record: Box<Record>) -> Result<Running, Failure> {
        let permission = match self.permit(asked.sought(), &mut record).await {
            Ok(permission) => permission,
            Err(failure) => return Err(self.note(*record, failure)),
        };
        match &asked.statement.kind {
            Kind::Declare(_, cursor) => Box::pin(self.declare(cursor, permission, asked.bind, record)).await,
            _ => self.run(permission, asked.bind, &record).await,
        }
    }

    async fn declare(
        &mut self,
        cursor: &Declared,
        permission: Permission,
        bind: &Bind,
        record: Box<Record>,
    ) -> Result<Running, Failure> {
        if let Err(error) = self.check_declarable(cursor) {
            self.give_back(&permission.used, &record).await;
            return Err(self.note(*record, error.into()));
        }
        if permission.shadowed.is_some() {
            return self.declare_over_catalog(cursor, permission, bind, *record).await;
        }
        let permission = Permission { on_kept_connection: true, ..permission };
        let tables = record.tables.clone();
        let declared = match self.run(permission, bind, &record).await {
            Ok(mut running) => self.declared(cursor, tables, &mut running).await.map(|()| running),
            Err(failure) => Err(failure),
        };
        self.release_kept_connection();
        declared
    }

    /// Whether the policy would let a statement run; refusals are recorded. Nothing runs.
    pub(super) async fn foresee(
        &mut self,
        statement: &Arc<Statement>,
        parameter_types: &Arc<[u32]>,
    ) -> Result<(), Failure> {
        self.state.registration.slot.begin();
        let mut record = self.record(Event::Statement, statement);
        let foreseen = match self.allowed_now(statement) {
            Ok(()) if is_governed(&statement.kind) => self.foresee_noted(statement, parameter_types, &mut record).await,
            Ok(()) => match &statement.kind {
                Kind::Query(query) => system::describe(query).map(drop),
                _ => return Ok(()),
            },
            Err(error) => Err(error.into()),
        };
        foreseen.map_err(|failure| self.note(record, failure))
    }

    /// The same for PREPARE, which has a record of its own.
    pub(super) async fn foresee_noted(
        &mut self,
        statement: &Arc<Statement>,
        parameter_types: &Arc<[u32]>,
        record: &mut Record,
    ) -> Result<(), Failure> {
        self.foreseen(statement, parameter_types, record).await.map(drop)
    }

    /// The types of a prepared statement, asked of the source once under each revision of the policies.
    pub(super) async fn describe(
        &mut self,
        prepared: &Prepared,
        statement: &Arc<Statement>,
    ) -> Result<Arc<Description>, Failure> {
        let revision = self.services.policies.borrow().revision().clone();
        if let Some(description) = prepared.description(&revision) {
            return Ok(description);
        }
        self.state.registration.slot.begin();
        let mut record = self.record(Event::Describe, statement);
        let foreseen = match self.allowed_now(statement) {
            Ok(()) => self.foreseen(statement, &prepared.parameter_types, &mut record).await,
            Err(error) => Err(error.into()),
        };
        let foreseen = match foreseen {
            Ok(foreseen) => foreseen,
            Err(failure) => return Err(self.note(record, failure)),
        };
        let mut described = self.describe_permitted(foreseen.query(), foreseen.location(), record).await?;
        if matches!(statement.kind, Kind::Declare(..)) {
            described.fields = None;
        }
        let description = Arc::new(described);
        prepared.describe(foreseen.query().revision().clone(), description.clone());
        Ok(description)
    }

    /// Records that something is described, and asks the source.
    pub(super) async fn describe_permitted(
        &mut self,
        query: &Permitted<Query>,
        location: Location<'_>,
        record: Record,
    ) -> Result<Description, Failure> {
        let receipt = self.services.audit.open_together(&record).await.map_err(Failure::statement)?;
        let mut running = Running::recorded(receipt, None);
        let described = self.describe_there(query, location, &mut running).await;
        let described = described.map_err(|failure| failure.ran(&query.query().text));
        match &described {
            Ok(_) => running.finish(),
            Err(failure) => running.fail(failure),
        }
        described
    }

    /// What is recorded of a statement before anything is known of it.
    pub(super) fn record(&self, event: Event, statement: &Statement) -> Record {
        self.record_text(event, Arc::clone(&statement.text), statement.kind.intent())
    }

    /// What is recorded of a text that may not even be a statement.
    pub(super) fn record_text(&self, event: Event, text: impl Into<Arc<str>>, intent: &'static str) -> Record {
        Record {
            event,
            statement_id: uuid::Uuid::now_v7().to_string(),
            asker: self.state.asker.clone(),
            application_name: self.state.settings.application_name().to_owned(),
            question: None,
            intent: intent.into(),
            source: Some(self.state.source.clone()),
            query: Some(text.into()),
            parameters: None,
            validation: "not_checked".into(),
            rewritten: None,
            tables: Arc::default(),
            policy_revision: None,
            rules: Arc::default(),
            shadow: Arc::default(),
            tickets: Vec::new(),
            estimate: None,
            identity: None,
        }
    }

    /// Records a statement that ends before it ran, and says what to answer: the failure, or that it could not be
    /// recorded.
    pub(super) fn note(&self, record: Record, failure: Failure) -> Failure {
        let (status, error) = match &failure {
            Failure::Session(_) => (Status::Abandoned, None),
            Failure::Statement(error) if error.sqlstate() == "42501" && record.validation == "held" => {
                (Status::Held, Some(error))
            }
            Failure::Statement(error) if error.sqlstate() == "42501" || record.validation == "denied" => {
                (Status::Denied, Some(error))
            }
            Failure::Statement(error) if error.sqlstate() == "57014" => (Status::Cancelled, Some(error)),
            Failure::Statement(error) => (Status::Failed, Some(error)),
        };
        measure::statement(status);
        let outcome = Outcome {
            status: Some(status),
            sqlstate: error.map(|error| error.sqlstate().to_owned()),
            error: error.map(|error| error.message()),
            ..Outcome::default()
        };
        match self.services.audit.note(record, outcome) {
            Ok(()) => failure,
            Err(error) => Failure::statement(error),
        }
    }

    /// Whether a statement runs on the transaction's connection. An implicit transaction whose only query is the `last` of
    /// its message needs none.
    fn keeps_connection(&self, last: bool) -> bool {
        let Some(block) = &self.state.transaction else { return false };
        !last || block.implicit.is_none() || block.lease.is_some()
    }

    /// A failed transaction takes nothing but its end.
    pub(super) fn allowed_now(&self, statement: &Statement) -> Result<(), Error> {
        match statement.kind {
            Kind::Transaction(
                Transaction::Commit { .. } | Transaction::Rollback { .. } | Transaction::RollbackTo(_),
            ) => Ok(()),
            _ => self.allowed_nothing_now(),
        }
    }

    /// The same for an empty text.
    pub(super) fn allowed_nothing_now(&self) -> Result<(), Error> {
        let failed = self.state.transaction.as_ref().is_some_and(|block| block.failed);
        if failed { Err(Error::TransactionFailed) } else { Ok(()) }
    }

    /// Records the decision, then sends the query to its source.
    pub(super) async fn run(
        &mut self,
        permission: Permission,
        bind: &Bind,
        record: &Record,
    ) -> Result<Running, Failure> {
        let Permission { query, standing, warnings, used, on_kept_connection, shadowed, numbers } = permission;
        let receipt = match self.services.audit.open_together(record).await {
            Ok(receipt) => receipt,
            Err(error) => {
                self.give_back(&used, record).await;
                return Err(Failure::statement(error));
            }
        };
        let mut running = Running::recorded(receipt, Some(standing));
        let location = match &shadowed {
            Some(shadowed) => Location::Shadow(shadowed),
            None if on_kept_connection || self.keeps_connection(self.state.last) => Location::Kept(numbers.as_ref()),
            None => Location::Source(numbers.as_ref()),
        };
        let mut sent = false;
        match self.start_there(&query, bind, location, &mut running, &mut sent).await {
            Ok(()) => {
                if shadowed.is_none() {
                    self.note_access().await;
                }
                warnings.iter().for_each(|warning| self.channel.notice(&beside(warning)));
                running.runs(query);
                Ok(running)
            }
            Err(failure) => {
                running.fail(&failure);
                if !sent {
                    self.give_back(&used, record).await;
                }
                Err(failure.ran(&query.query().text))
            }
        }
    }

    async fn start_there(
        &mut self,
        query: &Permitted<Query>,
        bind: &Bind,
        location: Location<'_>,
        running: &mut Running,
        sent: &mut bool,
    ) -> Result<(), Failure> {
        let numbers = location.numbers();
        if let Location::Kept(_) = location {
            return Box::pin(self.start_on_kept(query, bind, numbers, running, sent)).await;
        }
        let mut lease = self.checkout_at(location, running).await?;
        *sent = true;
        let receipt = running.receipt().ok_or(Error::TransactionLost)?;
        self.attended(lease.start(receipt, query, bind)).await?;
        running.read_from(lease);
        Ok(())
    }

    async fn start_on_kept(
        &mut self,
        query: &Permitted<Query>,
        bind: &Bind,
        numbers: Option<Arc<Numbers>>,
        running: &mut Running,
        sent: &mut bool,
    ) -> Result<(), Failure> {
        self.pin(running).await?;
        *sent = true;
        let receipt = running.receipt().ok_or(Error::TransactionLost)?;
        let start = async |lease: &mut Lease| {
            lease.number(numbers);
            lease.start(receipt, query, bind).await
        };
        self.on_pinned_lease(start).await?;
        running.read_from_pinned();
        Ok(())
    }

    async fn describe_there(
        &mut self,
        query: &Permitted<Query>,
        location: Location<'_>,
        running: &mut Running,
    ) -> Result<Description, Failure> {
        let in_transaction = self.keeps_connection(true);
        let numbers = location.numbers();
        if matches!(location, Location::Kept(_)) || matches!(location, Location::Source(_) if in_transaction) {
            self.pin(running).await?;
            let receipt = running.receipt().ok_or(Error::TransactionLost)?;
            let describe = async |lease: &mut Lease| {
                lease.number(numbers);
                lease.describe(receipt, query).await
            };
            return self.on_pinned_lease(describe).await;
        }
        let mut lease = self.checkout_at(location, running).await?;
        let receipt = running.receipt().ok_or(Error::TransactionLost)?;
        Ok(self.attended(lease.describe(receipt, query)).await?)
    }

    async fn checkout_at(&mut self, location: Location<'_>, running: &mut Running) -> Result<Lease, Failure> {
        match location {
            Location::Shadow(shadowed) => Box::pin(self.checkout_shadow(shadowed, running)).await,
            Location::Source(numbers) | Location::Kept(numbers) => {
                let mut lease = self.checkout(running).await?;
                lease.number(numbers.cloned());
                Ok(lease)
            }
        }
    }

    /// A connection as this person, witnessed and ready to be cancelled.
    pub(super) async fn checkout(&mut self, running: &mut Running) -> Result<Lease, Failure> {
        let services = self.services.clone();
        let (source, caller) = (self.state.source.clone(), self.state.caller.clone());
        let settings = self.state.settings.for_source().clone();
        let lease = self.attended(services.sources.checkout(&source, &caller, &settings)).await?;
        running.witnessed(lease.witness());
        self.arm(&lease)?;
        Ok(lease)
    }

    /// Sees to it that the session keeps a connection, with nothing else to read on it and the settings of now.
    async fn pin(&mut self, running: &mut Running) -> Result<(), Failure> {
        self.settle().await?;
        let Some(block) = &self.state.transaction else { return self.pin_for_held_cursors(running).await };
        if block.lost {
            return Err(Error::TransactionLost.into());
        }
        let wanted = self.state.settings.for_source().clone();
        match &block.lease {
            None => {
                // Held cursors go with the session from transaction to transaction.
                let lease = match self.state.held.take() {
                    Some(lease) => lease,
                    None => self.checkout(running).await?,
                };
                running.witnessed(lease.witness());
                self.begin_on(lease).await?;
                self.arm_pinned()?;
                self.on_pinned_lease(async |lease| lease.apply(&wanted).await).await?;
            }
            Some(lease) => {
                running.witnessed(lease.witness());
                self.arm(lease)?;
                if block.applied.as_ref() != Some(&wanted) {
                    self.on_pinned_lease(async |lease| lease.apply(&wanted).await).await?;
                }
            }
        }
        if let Some(block) = &mut self.state.transaction {
            block.applied = Some(wanted);
        }
        Ok(())
    }

    async fn pin_for_held_cursors(&mut self, running: &mut Running) -> Result<(), Failure> {
        if self.state.held.is_none() {
            self.state.held = Some(self.checkout(running).await?);
        }
        if let Some(witness) = self.held_witness().cloned() {
            running.witnessed(&witness);
        }
        self.arm_pinned()?;
        let wanted = self.state.settings.for_source().clone();
        self.on_pinned_lease(async |lease| lease.apply(&wanted).await).await
    }

    /// Begins the transaction on a connection, up to its last savepoint.
    async fn begin_on(&mut self, lease: Lease) -> Result<(), Failure> {
        let Some(block) = &mut self.state.transaction else { return Ok(()) };
        block.lease = Some(lease);
        let controls: Vec<_> = std::iter::once(block.control()).chain(block.savepoints()).collect();
        for control in &controls {
            self.on_pinned_lease(async |lease| lease.control(control).await).await?;
        }
        Ok(())
    }

    fn arm_pinned(&mut self) -> Result<(), Error> {
        let canceller = self.pinned().as_ref().map(Lease::canceller);
        let armed = canceller.is_none_or(|canceller| self.state.registration.slot.arm(canceller));
        if armed { Ok(()) } else { Err(Error::Cancelled) }
    }

    pub(super) fn arm(&self, lease: &Lease) -> Result<(), Error> {
        if self.state.registration.slot.arm(lease.canceller()) { Ok(()) } else { Err(Error::Cancelled) }
    }
}

/// Whether a statement goes to the policy and a source; the others are the session's own business.
pub(super) fn is_governed(kind: &Kind) -> bool {
    kind.is_governed() && !matches!(kind, Kind::Query(query) if system::concerns(query))
}

/// A warning as the client reads it, before the rows.
fn beside(warning: &Warning) -> ServerMessage {
    ServerMessage {
        severity: "NOTICE".to_owned(),
        code: "00000".to_owned(),
        message: warning.message.clone(),
        detail: Some(format!("Said by {}.", warning.rule)),
        ..ServerMessage::default()
    }
}
