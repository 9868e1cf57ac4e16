//! BEGIN to COMMIT: what a session holds while a transaction lasts.
//!
//! A transaction's connection is taken with its first statement, not with BEGIN, so a client that begins and waits
//! keeps nothing from others. Until then savepoints are only remembered. A refusal by the gateway fails the
//! transaction just as an error of the source does.
//!
//! Statements that come in one message, or in one pipeline up to its Sync, are one transaction too, as in PostgreSQL: an
//! implicit one, which a BEGIN among them makes a block. That of a message counts as a block for what needs one, that of
//! a pipeline does not.
//! Source: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT> and
//! PostgreSQL 15's `xact.c`, `BeginImplicitTransactionBlock` and `PreventInTransactionBlock`.

use passgate_connectors::{Control, Isolation, ServerMessage, SessionSettings};
use passgate_wire::TransactionStatus;

use super::Session;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::settings::Settings;
use crate::sources::Lease;
use crate::statement::{Modes, Transaction};

/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1_000;

/// A transaction that has begun.
pub(super) struct Block {
    /// Whether nothing but its end is taken.
    pub(super) failed: bool,
    /// Whether nobody began it: it ends with the message or the pipeline.
    pub(super) implicit: Option<Implicit>,
    /// What it is.
    pub(super) modes: BlockModes,
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

/// What an implicit transaction is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Implicit {
    /// The statements of one simple query.
    Message,
    /// The messages up to a Sync.
    Pipeline {
        /// Whether a statement has been executed before.
        executed: bool,
    },
}

/// The modes of a transaction. Every transaction is read-only on the source; what the client asked for is only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockModes {
    pub(super) isolation: Isolation,
    pub(super) read_only: bool,
    pub(super) deferrable: bool,
}

/// A savepoint.
struct Mark {
    name: String,
    settings: Settings,
    lasting: Settings,
}

impl Block {
    fn begin(implicit: Option<Implicit>, modes: BlockModes, settings: &Settings) -> Self {
        Self {
            failed: false,
            implicit,
            modes,
            lease: None,
            lost: false,
            applied: None,
            lasting: settings.clone(),
            before: settings.clone(),
            marks: Vec::new(),
        }
    }

    /// How it begins on a connection. What the source does anyway is not said.
    pub(super) fn control(&self) -> Control {
        let BlockModes { isolation, deferrable, read_only: _ } = self.modes;
        Control::Begin { isolation: Some(isolation).filter(|level| *level != Isolation::ReadCommitted), deferrable }
    }

    /// Whether statements that need a block may run in it.
    fn counts(&self) -> bool {
        !matches!(self.implicit, Some(Implicit::Pipeline { .. }))
    }

    /// Whether statements that must stand alone may not run in it.
    pub(super) fn has_company(&self) -> bool {
        self.implicit != Some(Implicit::Pipeline { executed: false })
    }

    /// What the settings are once it fails, or the part of it since the last savepoint.
    fn settings_of_failed(&self) -> &Settings {
        self.marks.last().map_or(&self.before, |mark| &mark.settings)
    }

    /// Changes modes, within what PostgreSQL allows once queries have run.
    fn set_modes(&mut self, modes: Modes) -> Result<(), Error> {
        let queried = self.lease.is_some() || self.lost;
        let nested = !self.marks.is_empty();
        let late = |what, changes: bool| match changes && (queried || nested) {
            true => Err(if nested { Error::NestedMode(what) } else { Error::LateMode(what) }),
            false => Ok(()),
        };
        if let Some(isolation) = modes.isolation {
            late("SET TRANSACTION ISOLATION LEVEL", isolation != self.modes.isolation)?;
            self.modes.isolation = isolation;
        }
        if let Some(read_only) = modes.read_only {
            match !read_only && self.modes.read_only {
                true if nested => return Err(Error::NestedReadWrite),
                true if queried => return Err(Error::LateReadWrite),
                _ => self.modes.read_only = read_only,
            }
        }
        if let Some(deferrable) = modes.deferrable {
            late("SET TRANSACTION [NOT] DEFERRABLE", deferrable != self.modes.deferrable)?;
            self.modes.deferrable = deferrable;
        }
        Ok(())
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
            Some(block) if block.implicit.is_some() => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Open,
        }
    }

    /// Something went wrong: a transaction does not survive it, and what it had set is undone at once.
    pub(super) fn fail_transaction(&mut self) {
        if let Some(block) = &mut self.state.transaction
            && !block.failed
        {
            block.failed = true;
            self.state.settings.clone_from(block.settings_of_failed());
            self.state.portals.fail();
        }
    }

    /// The connection that the session keeps is not to be used again, and its cursors are gone with it.
    pub(super) fn lose_pinned_lease(&mut self) {
        self.state.cursors.clear();
        self.state.held = None;
        if let Some(block) = &mut self.state.transaction {
            block.lease = None;
            block.lost = true;
        }
        self.fail_transaction();
    }

    /// Carries transaction control out and says its tag.
    pub(super) async fn control(&mut self, transaction: &Transaction) -> Result<String, Failure> {
        match transaction {
            Transaction::Begin { modes, start } => {
                // Rows of a held cursor may stand on the connection that the transaction will take.
                self.settle().await?;
                self.begin(*modes)?;
                Ok(if *start { "START TRANSACTION" } else { "BEGIN" }.to_owned())
            }
            Transaction::Commit { chain } => self.end_transaction(false, *chain).await,
            Transaction::Rollback { chain } => self.end_transaction(true, *chain).await,
            Transaction::Savepoint(name) => self.savepoint(name).await,
            Transaction::Release(name) => self.release(name).await,
            Transaction::RollbackTo(name) => self.roll_back_to(name).await,
            Transaction::Modes { modes, lasting } => self.set_modes(*modes, *lasting),
        }
    }

    /// The transaction in which a statement that needs a block may run.
    pub(super) fn block(&self) -> Option<&Block> {
        self.state.transaction.as_ref().filter(|block| block.counts())
    }

    /// The transaction that somebody began.
    pub(super) fn explicit_block(&self) -> Option<&Block> {
        self.state.transaction.as_ref().filter(|block| block.implicit.is_none())
    }

    fn begin(&mut self, modes: Modes) -> Result<(), Error> {
        let default = self.state.settings.default_modes();
        if self.explicit_block().is_some() {
            self.warn("25001", "there is already a transaction in progress");
        }
        match &mut self.state.transaction {
            Some(block) => {
                block.set_modes(modes)?;
                block.implicit = None;
            }
            None => {
                let mut block = Block::begin(None, default, &self.state.settings);
                block.set_modes(modes)?;
                self.state.transaction = Some(block);
            }
        }
        Ok(())
    }

    /// Sees to it that what follows is in a transaction, until [`Self::end_implicit`].
    pub(super) fn begin_implicit(&mut self, implicit: Implicit) {
        if self.state.transaction.is_none() {
            let modes = self.state.settings.default_modes();
            self.state.transaction = Some(Block::begin(Some(implicit), modes, &self.state.settings));
        }
    }

    /// A statement of a pipeline has been executed.
    pub(super) fn note_executed(&mut self) {
        if let Some(Block { implicit: Some(Implicit::Pipeline { executed }), .. }) = &mut self.state.transaction {
            *executed = true;
        }
    }

    /// The message, or the pipeline, is over.
    pub(super) async fn end_implicit(&mut self) -> Result<(), Failure> {
        let implicit = self.state.transaction.as_ref().is_some_and(|block| block.implicit.is_some());
        if implicit { Box::pin(self.end_block(false)).await.map(drop) } else { Ok(()) }
    }

    async fn end_transaction(&mut self, roll_back: bool, chain: bool) -> Result<String, Failure> {
        let command = if roll_back { "ROLLBACK" } else { "COMMIT" };
        let Some(modes) = self.explicit_block().map(|block| block.modes) else {
            if chain {
                let command = if roll_back { "ROLLBACK AND CHAIN" } else { "COMMIT AND CHAIN" };
                return Err(Error::NoTransaction(command).into());
            }
            self.warn("25P01", "there is no transaction in progress");
            self.end_block(roll_back).await?;
            return Ok(command.to_owned());
        };
        // PostgreSQL forgets the modes of a transaction when it fails, and so does what is chained to it.
        let failed = self.state.transaction.as_ref().is_some_and(|block| block.failed);
        let rolled_back = self.end_block(roll_back).await?;
        if chain {
            let modes = if failed { self.state.settings.default_modes() } else { modes };
            self.state.transaction = Some(Block::begin(None, modes, &self.state.settings));
        }
        Ok(if rolled_back { "ROLLBACK" } else { command }.to_owned())
    }

    /// Ends a transaction, if there is one, and says whether it was rolled back.
    async fn end_block(&mut self, roll_back: bool) -> Result<bool, Failure> {
        let Some(block) = &self.state.transaction else { return Ok(roll_back) };
        let roll_back = roll_back || block.failed;
        self.abandon_portals(roll_back).await?;
        let Some(mut block) = self.state.transaction.take() else { return Ok(true) };
        self.state.settings = if roll_back { block.before } else { block.lasting };
        if let Some(lease) = block.lease.take() {
            self.end_on(lease, roll_back).await?;
        }
        self.state.cursors.end_transaction(roll_back);
        Ok(roll_back)
    }

    /// SET TRANSACTION, or for the transactions to come.
    pub(super) fn set_modes(&mut self, modes: Modes, lasting: bool) -> Result<String, Failure> {
        if lasting {
            for (name, value) in super::settings::as_defaults(modes) {
                self.change_setting(name, Some(value), false)?;
            }
        } else if self.block().is_none() {
            self.warn("25P01", "SET TRANSACTION can only be used in transaction blocks");
        } else if let Some(block) = &mut self.state.transaction {
            block.set_modes(modes)?;
        }
        Ok("SET".to_owned())
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
        let block = self.explicit_block().ok_or(Error::NoTransaction("SAVEPOINT"))?;
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
        let block = self.explicit_block().ok_or(Error::NoTransaction("RELEASE SAVEPOINT"))?;
        let at = block.mark(name)?;
        self.control_pinned(&Control::Release(name.to_owned())).await?;
        if let Some(block) = &mut self.state.transaction {
            block.marks.truncate(at);
        }
        self.state.cursors.release(at);
        Ok("RELEASE".to_owned())
    }

    async fn roll_back_to(&mut self, name: &str) -> Result<String, Failure> {
        let block = self.explicit_block().ok_or(Error::NoTransaction("ROLLBACK TO SAVEPOINT"))?;
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
        self.channel.notice(&ServerMessage { severity, code, message, ..ServerMessage::default() });
    }
}
