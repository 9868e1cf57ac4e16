//! BEGIN to COMMIT: what a session holds while a transaction lasts.
//!
//! A transaction's connection is taken with its first statement, not with BEGIN, so a client that begins and waits
//! keeps nothing from others. Until then savepoints are only remembered. A refusal by the gateway fails the
//! transaction just as an error of the source does.

use passgate_connectors::{Control, Isolation, ServerMessage, SessionSettings};
use passgate_wire::TransactionStatus;

use super::Session;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::settings::Settings;
use crate::sources::Lease;

/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1_000;

/// A transaction that has begun.
pub(super) struct Block {
    /// Whether nothing but its end is taken.
    pub(super) failed: bool,
    /// The isolation level asked for.
    pub(super) isolation: Option<Isolation>,
    /// Its connection, once there is one.
    pub(super) lease: Option<Lease>,
    /// Whether it had a connection that is gone.
    pub(super) lost: bool,
    /// What its connection was last told.
    pub(super) applied: Option<SessionSettings>,
    /// What the settings will be if it commits: without SET LOCAL.
    pub(super) lasting: Settings,
    before: Settings,
    marks: Vec<Mark>,
}

/// A savepoint.
struct Mark {
    name: String,
    settings: Settings,
    lasting: Settings,
}

impl Block {
    fn begin(isolation: Option<Isolation>, settings: &Settings) -> Self {
        Self {
            failed: false,
            isolation,
            lease: None,
            lost: false,
            applied: None,
            lasting: settings.clone(),
            before: settings.clone(),
            marks: Vec::new(),
        }
    }

    /// How many savepoints there are.
    pub(super) fn savepoint_count(&self) -> usize {
        self.marks.len()
    }

    /// The savepoints so far, to be repeated on a connection that is taken late.
    pub(super) fn savepoints(&self) -> impl Iterator<Item = Control> {
        self.marks.iter().map(|mark| Control::Savepoint(mark.name.clone()))
    }

    /// Where the newest savepoint of this name stands.
    fn mark(&self, name: &str) -> Result<usize, Error> {
        let found = self.marks.iter().rposition(|mark| mark.name == name);
        found.ok_or_else(|| Error::NoSavepoint(name.to_owned()))
    }
}

impl Session<Ready> {
    /// Where the session stands.
    pub(super) fn transaction_status(&self) -> TransactionStatus {
        match &self.state.transaction {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
        }
    }

    /// Something went wrong: a transaction does not survive it.
    pub(super) fn fail_transaction(&mut self) {
        if let Some(block) = &mut self.state.transaction {
            block.failed = true;
        }
    }

    /// The connection that the session keeps is not to be used again, and its cursors are gone with it.
    pub(super) fn lose_pinned_lease(&mut self) {
        self.state.cursors.clear();
        self.state.held = None;
        if let Some(block) = &mut self.state.transaction {
            block.lease = None;
            block.lost = true;
            block.failed = true;
        }
    }

    /// Carries transaction control out and says its tag.
    pub(super) async fn control(&mut self, control: &Control, text: &str) -> Result<String, Failure> {
        match control {
            Control::Begin { isolation } => {
                // Rows of a held cursor may stand on the connection that the transaction will take.
                self.settle().await?;
                Ok(self.begin(*isolation, text))
            }
            Control::Commit => self.end_transaction(false).await,
            Control::Rollback => self.end_transaction(true).await,
            Control::Savepoint(name) => self.savepoint(name).await,
            Control::Release(name) => self.release(name).await,
            Control::RollbackTo(name) => self.roll_back_to(name).await,
            // The session's own word to a source; no client's statement becomes one.
            Control::CloseCursor(_) | Control::CloseCursors => Err(Error::OutOfPlace.into()),
        }
    }

    fn begin(&mut self, isolation: Option<Isolation>, text: &str) -> String {
        if self.state.transaction.is_some() {
            self.warn("25001", "there is already a transaction in progress");
        } else {
            let isolation = isolation.or_else(|| self.state.settings.default_isolation());
            self.state.transaction = Some(Block::begin(isolation, &self.state.settings));
        }
        let started = text.trim_start().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("start"));
        if started { "START TRANSACTION" } else { "BEGIN" }.to_owned()
    }

    async fn end_transaction(&mut self, roll_back: bool) -> Result<String, Failure> {
        if self.state.transaction.is_none() {
            self.warn("25P01", "there is no transaction in progress");
            return Ok(if roll_back { "ROLLBACK" } else { "COMMIT" }.to_owned());
        }
        let roll_back = roll_back || self.state.transaction.as_ref().is_some_and(|block| block.failed);
        self.abandon_portals(roll_back).await?;
        let Some(mut block) = self.state.transaction.take() else { return Ok("ROLLBACK".to_owned()) };
        self.state.settings = if roll_back { block.before } else { block.lasting };
        if let Some(lease) = block.lease.take() {
            self.end_on(lease, roll_back).await?;
        }
        self.state.cursors.end_transaction(roll_back);
        Ok(if roll_back { "ROLLBACK" } else { "COMMIT" }.to_owned())
    }

    /// Ends the transaction on its connection, which stays with the session while it has cursors that outlive it.
    async fn end_on(&mut self, mut lease: Lease, roll_back: bool) -> Result<(), Failure> {
        let failed = lease.transaction_status() == passgate_connectors::TransactionStatus::Failed;
        let control = if roll_back || failed { Control::Rollback } else { Control::Commit };
        if let Err(interrupted) = self.attended(lease.control(&control)).await {
            self.state.cursors.clear();
            return Err(interrupted.into());
        }
        self.state.cursors.end_transaction(roll_back);
        if self.state.cursors.any_held() {
            self.state.held = Some(lease);
        }
        Ok(())
    }

    async fn savepoint(&mut self, name: &str) -> Result<String, Failure> {
        let block = self.state.transaction.as_ref().ok_or(Error::NoTransaction("SAVEPOINT"))?;
        if block.marks.len() >= SAVEPOINTS_MAX {
            return Err(Error::TooManySavepoints.into());
        }
        self.control_pinned(&Control::Savepoint(name.to_owned())).await?;
        let settings = self.state.settings.clone();
        if let Some(block) = &mut self.state.transaction {
            let lasting = block.lasting.clone();
            block.marks.push(Mark { name: name.to_owned(), settings, lasting });
        }
        Ok("SAVEPOINT".to_owned())
    }

    async fn release(&mut self, name: &str) -> Result<String, Failure> {
        let block = self.state.transaction.as_ref().ok_or(Error::NoTransaction("RELEASE SAVEPOINT"))?;
        let at = block.mark(name)?;
        self.control_pinned(&Control::Release(name.to_owned())).await?;
        if let Some(block) = &mut self.state.transaction {
            block.marks.truncate(at);
        }
        self.state.cursors.release(at);
        Ok("RELEASE".to_owned())
    }

    async fn roll_back_to(&mut self, name: &str) -> Result<String, Failure> {
        let block = self.state.transaction.as_ref().ok_or(Error::NoTransaction("ROLLBACK TO SAVEPOINT"))?;
        let at = block.mark(name)?;
        if block.lost {
            return Err(Error::TransactionLost.into());
        }
        self.abandon_portals(true).await?;
        if self.state.transaction.as_ref().is_some_and(|block| block.lost) {
            return Err(Error::TransactionLost.into());
        }
        self.control_pinned(&Control::RollbackTo(name.to_owned())).await?;
        self.state.cursors.roll_back_to(at + 1);
        if let Some(block) = &mut self.state.transaction {
            block.marks.truncate(at + 1);
            if let Some(mark) = block.marks.last() {
                self.state.settings = mark.settings.clone();
                block.lasting = mark.lasting.clone();
            }
            block.failed = false;
            // The server has gone back on settings too.
            block.applied = None;
        }
        Ok("ROLLBACK".to_owned())
    }

    /// Tells the transaction's connection, if there is one by now.
    async fn control_pinned(&mut self, control: &Control) -> Result<(), Failure> {
        if self.state.transaction.as_ref().is_none_or(|block| block.lease.is_none()) {
            return Ok(());
        }
        self.settle().await?;
        self.on_pinned_lease(async |lease| lease.control(control).await).await
    }

    /// Queues a warning.
    pub(super) fn warn(&mut self, code: &str, message: &str) {
        let (severity, code, message) = ("WARNING".to_owned(), code.to_owned(), message.to_owned());
        self.channel.notice(&ServerMessage { severity, code, message, detail: None, hint: None });
    }
}
