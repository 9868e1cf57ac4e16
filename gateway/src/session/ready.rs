//! A session that takes statements: one message at a time, each to the protocol it belongs to.

use std::sync::Arc;
use std::time::Duration;

use passgate_connectors::{Batch, Caller};
use passgate_policy::SourceName;
use passgate_wire::{Backend, Frontend};
use tokio::sync::watch;

use super::cancel::Registration;
use super::cursor::Cursors;
use super::deciding::Known;
use super::error::{End, Error, Failure};
use super::prepared::{Portal, PortalState, Portals, Statements};
use super::relay::{Running, kept_bytes};
use super::settings::{Reported, Settings};
use super::shadowed::KnownNumbers;
use super::transaction::Block;
use super::{Session, Shutdown, measure};
use crate::audit::Asker;
use crate::sources::Lease;

/// How much of a statement that its client ended is read, and for how long, before it is cancelled.
const LEFT_BYTES_MAX: usize = 64 << 10;
const LEFT_WAIT_MAX: Duration = Duration::from_millis(10);

/// Signed in and connected to a source by name; connections to it are taken as statements need them.
pub(super) struct Ready {
    /// Who asks.
    pub(super) caller: Caller,
    /// The same, as it is recorded.
    pub(super) asker: Asker,
    /// What they ask.
    pub(super) source: SourceName,
    /// The source's version when the session began.
    pub(super) server_version: String,
    /// What SET and the start-up packet said.
    pub(super) settings: Settings,
    /// What the client was last told of it.
    pub(super) reported: Reported,
    /// Prepared statements.
    pub(super) statements: Statements,
    /// Portals.
    pub(super) portals: Portals,
    /// Cursors.
    pub(super) cursors: Cursors,
    /// The connection of cursors that outlive their transaction, between transactions.
    pub(super) held: Option<Lease>,
    /// The transaction, if one has begun.
    pub(super) transaction: Option<Block>,
    /// The numbers of tables and types in the shadow that was last needed.
    pub(super) numbers: Option<KnownNumbers>,
    /// Whether the person has read the source before, where that is known.
    pub(super) accessed: Option<bool>,
    /// What policies may ask of the person and the session, in short.
    pub(super) context: Option<Known>,
    /// Whether the statement at hand is the last of its message or pipeline, as far as is known.
    pub(super) last: bool,
    /// Whether messages are passed over up to the next Sync.
    pub(super) skipping: bool,
    /// By which key the session can be cancelled.
    pub(super) registration: Registration,
}

impl Session<Ready> {
    /// Serves the client to the session's end. Boxed, as a future holds what it was given as often as it is passed on.
    pub(super) async fn serve(mut self: Box<Self>) {
        let _connected = measure::connected();
        let end = match self.ready_for_query().await {
            Ok(()) => loop {
                if let Err(end) = self.turn().await {
                    break end;
                }
            },
            Err(end) => end,
        };
        Box::pin(self.finish::<Ready>(end)).await;
    }

    async fn turn(&mut self) -> Result<(), End> {
        let message = self.next_message().await?;
        // The work is boxed so that a session that waits is small.
        match message {
            Frontend::Terminate => Err(End::Terminated),
            Frontend::Sync => Box::pin(self.sync()).await,
            _ if self.state.skipping => Ok(()),
            Frontend::Query(text) => Box::pin(self.simple(&text)).await,
            Frontend::Malformed { kind: b'Q', cause } => {
                let failure = self.refuse_text("", Error::Malformed(cause));
                self.answer_failure(failure)?;
                self.ready_for_query().await
            }
            Frontend::FunctionCall => {
                self.answer_failure(Error::FunctionCall.into())?;
                self.ready_for_query().await
            }
            // PostgreSQL passes over what is left of a COPY that failed.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(()),
            Frontend::Flush => self.channel.flush().await,
            message => Box::pin(self.extended(message)).await,
        }
    }

    /// The next message, or why there will be none.
    async fn next_message(&mut self) -> Result<Frontend, End> {
        if let Some(message) = self.channel.received()? {
            return Ok(message);
        }
        self.channel.flush().await?;
        let config = &self.services.config;
        let (seconds, error) = match self.state.transaction {
            None => (config.idle_seconds, Error::Idle),
            Some(_) => (config.idle_in_transaction_seconds, Error::IdleInTransaction),
        };
        let own = self.state.settings.idle_ms(self.state.transaction.is_some()).map(Duration::from_millis);
        let limit = Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero());
        let limit = limit.into_iter().chain(own).min();
        tokio::select! {
            message = self.channel.receive() => message,
            () = draining(&mut self.client.shutdown) => Err(Error::ShuttingDown.into()),
            () = silence(limit) => Err(error.into()),
        }
    }

    /// Ends what a message or a pipeline has begun, outside a transaction every portal too, and tells the client that it
    /// may ask again.
    pub(super) async fn end_turn(&mut self) -> Result<(), End> {
        if let Err(failure) = self.end_implicit().await {
            self.answer_failure(failure)?;
        }
        if self.state.transaction.is_none()
            && let Err(failure) = self.close_portals().await
        {
            self.answer_failure(failure)?;
        }
        self.state.last = false;
        self.ready_for_query().await
    }

    /// Tells the client that it may ask again.
    pub(super) async fn ready_for_query(&mut self) -> Result<(), End> {
        self.state.registration.slot.end();
        self.report_settings();
        self.channel.send(&Backend::ReadyForQuery(self.transaction_status()));
        if *self.client.shutdown.borrow() != Shutdown::Open {
            return Err(Error::ShuttingDown.into());
        }
        self.channel.flush_if_full().await
    }

    /// Answers what failed; an end of the session passes through.
    pub(super) fn answer_failure(&mut self, failure: Failure) -> Result<(), End> {
        match failure {
            Failure::Session(end) => Err(end),
            Failure::Statement(error) => {
                self.fail_transaction();
                self.channel.refuse(&*error);
                Ok(())
            }
        }
    }

    /// Reports settings that have changed since the last time.
    fn report_settings(&mut self) {
        let now = self.state.settings.reported();
        if Arc::ptr_eq(now, &self.state.reported) {
            return;
        }
        for (name, value) in &**now {
            if self.state.reported.get(name) != Some(value) {
                self.channel.send(&Backend::ParameterStatus { name, value });
            }
        }
        self.state.reported = Arc::clone(now);
    }

    /// Ends every portal.
    pub(super) async fn close_portals(&mut self) -> Result<(), Failure> {
        for portal in self.state.portals.take_all() {
            self.end_portal(portal).await?;
        }
        Ok(())
    }

    /// Ends every portal, at the end of a transaction or on the way back to a savepoint. What still runs on the
    /// transaction's connection is cancelled where nothing else would be lost by that: always when it rolls back, and when
    /// it commits (it has written nothing), unless a cursor is to outlive it.
    pub(super) async fn abandon_portals(&mut self, roll_back: bool) -> Result<(), Failure> {
        if (roll_back || !self.state.cursors.any_held())
            && let Some((_, mut running)) = self.state.portals.take_pinned()
        {
            self.stop_pinned(&mut running).await;
            running.finish();
        }
        self.close_portals().await
    }

    /// Ends a portal. Rows that it left on the transaction's connection are read and thrown away: cancelling them would
    /// fail the transaction.
    pub(super) async fn end_portal(&mut self, portal: Portal) -> Result<(), Failure> {
        let PortalState::Suspended(mut running) = portal.state else { return Ok(()) };
        self.read_what_is_left(&mut running).await?;
        while running.reads_pinned_lease() {
            match self.next_batch(&mut running).await {
                Ok(_) => {}
                Err(Failure::Statement(error)) => {
                    tracing::debug!(sqlstate = error.sqlstate(), "a portal failed after it was closed");
                    self.fail_transaction();
                    break;
                }
                Err(failure) => {
                    running.fail(&failure);
                    return Err(failure);
                }
            }
        }
        running.finish();
        Ok(())
    }

    /// Reads the little that is left on a connection of the statement's own, so that it can serve again: clients that want
    /// one row of a statement that has one ask for one, and end it there. What has more is cancelled, with its connection.
    async fn read_what_is_left(&mut self, running: &mut Running) -> Result<(), Failure> {
        let mut bytes = 0;
        let reading = async {
            while running.reads_own_lease() && bytes < LEFT_BYTES_MAX {
                match self.next_batch(running).await {
                    Ok(Batch::Rows { frames, .. }) => bytes += frames.len(),
                    Ok(_) => {}
                    Err(failure @ Failure::Session(_)) => return Err(failure),
                    Err(Failure::Statement(_)) => break,
                }
            }
            Ok(())
        };
        match tokio::time::timeout(LEFT_WAIT_MAX, reading).await {
            Ok(Err(failure)) => {
                running.fail(&failure);
                Err(failure)
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Clears the transaction's connection for the next statement: rows that a waiting portal has left on it are kept
    /// for the portal, up to a limit.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let Some((name, mut running)) = self.state.portals.take_pinned() else { return Ok(()) };
        let settled = self.keep_rest(&mut running).await;
        match &settled {
            Err(failure @ Failure::Session(_)) => running.fail(failure),
            _ => self.state.portals.put_back(&name, running),
        }
        settled
    }

    /// Reads all that a statement answers, and keeps it. On a failure its record is closed.
    pub(super) async fn keep_everything(&mut self, running: &mut Running) -> Result<(), Failure> {
        let kept = self.keep_rest(running).await;
        if let Err(failure) = &kept {
            running.fail(failure);
            self.stop_pinned(running).await;
        }
        kept.map_err(|failure| running.pointing(failure))
    }

    async fn keep_rest(&mut self, running: &mut Running) -> Result<(), Failure> {
        // What other portals and cursors hold counts too: the limit is the session's.
        let mut bytes = self.state.portals.bytes() + self.state.cursors.bytes() + running.kept_bytes();
        let mut held = std::mem::take(&mut running.kept);
        let kept = loop {
            match self.next_batch(running).await {
                Ok(batch) => {
                    bytes += kept_bytes(&batch);
                    let done = matches!(batch, Batch::Done { .. });
                    held.push_back(batch);
                    if done {
                        break Ok(());
                    }
                    if bytes > self.services.config.portal_bytes_max {
                        break Err(Error::PortalTooLarge.into());
                    }
                }
                Err(failure) => break Err(failure),
            }
        };
        running.kept = held;
        kept
    }
}

/// Waits until sessions are to end.
pub(super) async fn draining(shutdown: &mut watch::Receiver<Shutdown>) {
    if shutdown.wait_for(|state| *state != Shutdown::Open).await.is_err() {
        std::future::pending().await
    }
}

/// Waits for so long; for ever without a limit.
pub(super) async fn silence(limit: Option<Duration>) {
    match limit {
        None => std::future::pending().await,
        Some(limit) => tokio::time::sleep(limit).await,
    }
}
