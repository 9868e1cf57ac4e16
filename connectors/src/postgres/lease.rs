//! A connection in the hands of one session, until dropped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use passgate_policy::Permitted;

use super::cancel::CancelHandle;
use super::connection::{Connection, Step};
use super::persona::quoted;
use super::pool::{Pooled, Slot};
use crate::{
    Batch, Bind, Cancel, Control, Description, Error, Isolation, Lease, Query, ServerMessage, SessionSettings,
    TransactionStatus, Witness,
};

/// How long a connection may take to end in the background.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// A lease on a PostgreSQL connection.
pub(crate) struct PostgresLease {
    source_name: Arc<str>,
    /// Both are there until the lease is dropped.
    held: Option<(Pooled, Slot)>,
    witness: Arc<Witness>,
    cancel: Arc<CancelHandle>,
}

impl PostgresLease {
    /// A lease on a connection that has assumed its person.
    pub(crate) fn new(source_name: Arc<str>, pooled: Pooled, slot: Slot) -> Result<Self, Error> {
        let Some(witness) = pooled.connection.witness().cloned() else {
            return Err(pooled.connection.lost("nobody is signed in on this connection"));
        };
        let cancel = Arc::new(CancelHandle::new(pooled.target.clone()));
        Ok(Self { source_name, held: Some((pooled, slot)), witness, cancel })
    }

    /// The connection, for statements of the connector's own.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, Error> {
        match &mut self.held {
            Some((pooled, _)) => Ok(&mut pooled.connection),
            None => {
                Err(Error::Connection { source_name: self.source_name.to_string(), cause: "it was given back".into() })
            }
        }
    }

    /// Closes the connection, and returns when it is closed.
    pub(crate) async fn end(mut self) {
        if let Some((pooled, slot)) = self.held.take() {
            pooled.connection.close(FAREWELL_MAX).await;
            drop(slot);
        }
    }

    /// [`Lease::describe`], before the permit is taken off.
    pub(crate) async fn describe_query(&mut self, query: &Query) -> Result<Description, Error> {
        let described = self.connection()?.describe(query).await;
        described.map_err(|error| self.explained(error))
    }

    /// [`Lease::start`], before the permit is taken off.
    pub(crate) async fn start_query(&mut self, query: &Query, bind: &Bind) -> Result<(), Error> {
        let started = self.connection()?.start(query, bind).await;
        started.map_err(|error| self.explained(error))
    }

    async fn next_batch(&mut self) -> Result<Batch, Error> {
        let next = self.connection()?.next().await;
        next.map_err(|error| self.explained(error))
    }

    /// A child that was killed to cancel what it ran looks like one that died; say what it was.
    fn explained(&self, error: Error) -> Error {
        if matches!(error, Error::Connection { .. }) && self.cancel.has_killed() {
            return Error::Server(ServerMessage {
                severity: "ERROR".to_owned(),
                code: "57014".to_owned(),
                message: "canceling statement due to user request".to_owned(),
                ..ServerMessage::default()
            });
        }
        error
    }
}

impl Lease for PostgresLease {
    fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    fn describe<'a>(&'a mut self, query: &'a Permitted<Query>) -> BoxFuture<'a, Result<Description, Error>> {
        Box::pin(self.describe_query(query.query()))
    }

    fn start<'a>(&'a mut self, query: &'a Permitted<Query>, bind: &'a Bind) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.start_query(query.query(), bind))
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Batch, Error>> {
        Box::pin(self.next_batch())
    }

    fn at_hand(&mut self) -> Result<Option<Batch>, Error> {
        let batch = self.connection()?.at_hand();
        batch.map_err(|error| self.explained(error))
    }

    fn control<'a>(&'a mut self, control: &'a Control) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let steps = [Step::new(text_of(control))];
            let ran = self.connection()?.run(&steps, &mut |_, _| Ok(())).await;
            ran.map_err(|failed| self.explained(failed.error))?;
            if *control == Control::CloseCursors {
                self.connection()?.forget_cursors();
            }
            Ok(())
        })
    }

    fn apply<'a>(&'a mut self, settings: &'a SessionSettings) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.connection()?.apply(settings).await })
    }

    fn transaction_status(&self) -> TransactionStatus {
        self.held.as_ref().map_or(TransactionStatus::Idle, |(pooled, _)| pooled.connection.status())
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::clone(&self.cancel) as Arc<dyn Cancel>
    }
}

impl Drop for PostgresLease {
    fn drop(&mut self) {
        let (target, cancelled) = self.cancel.disarm();
        let Some((pooled, slot)) = self.held.take() else { return };
        let pooled = if cancelled { Some(pooled) } else { slot.give_back(pooled) };
        let (Some(pooled), Ok(runtime)) = (pooled, tokio::runtime::Handle::try_current()) else { return };
        // There are as many of these at most as there are slots: the slot is free only when the connection is gone.
        runtime.spawn(async move {
            if pooled.connection.is_busy() {
                target.cancel().await;
            }
            pooled.connection.close(FAREWELL_MAX).await;
            drop(slot);
        });
    }
}

fn text_of(control: &Control) -> String {
    match control {
        Control::Begin { isolation, deferrable } => {
            let level = match isolation {
                None => "",
                Some(Isolation::ReadUncommitted) => " ISOLATION LEVEL READ UNCOMMITTED",
                Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
                Some(Isolation::RepeatableRead) => " ISOLATION LEVEL REPEATABLE READ",
                Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
            };
            let deferrable = if *deferrable { " DEFERRABLE" } else { "" };
            format!("BEGIN{level} READ ONLY{deferrable}")
        }
        Control::Commit => "COMMIT".to_owned(),
        Control::Rollback => "ROLLBACK".to_owned(),
        Control::Savepoint(name) => format!("SAVEPOINT {}", quoted(name)),
        Control::Release(name) => format!("RELEASE SAVEPOINT {}", quoted(name)),
        Control::RollbackTo(name) => format!("ROLLBACK TO SAVEPOINT {}", quoted(name)),
        Control::CloseCursor(name) => format!("CLOSE {}", quoted(name)),
        Control::CloseCursors => "CLOSE ALL".to_owned(),
    }
}
