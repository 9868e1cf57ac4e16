//! A lease whose statements end: after a time, and after so many bytes.
//!
//! A server is told a timeout and keeps it; a PostgreSQL in a program of our own heeds none, and is killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use passgate_policy::Permitted;

use super::Database;
use crate::postgres::lease::PostgresLease;
use crate::{
    Batch, Bind, Cancel, Control, Description, Error, Lease, Query, ServerMessage, SessionSettings, TransactionStatus,
    Witness,
};

/// How long a server that was told to stop may take to say that it has.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(5);

/// A lease on a database of a shadow.
pub(crate) struct ShadowLease {
    inner: PostgresLease,
    limits: Limits,
    /// What the statement that runs has taken: only waiting for the server counts, not for the client.
    waited: Duration,
    bytes: usize,
    /// Keeps the database from being dropped.
    _database: Arc<Database>,
}

/// What one statement may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) wait: Duration,
    pub(super) bytes: usize,
}

impl ShadowLease {
    pub(super) fn new(inner: PostgresLease, limits: Limits, database: Arc<Database>) -> Self {
        Self { inner, limits, waited: Duration::ZERO, bytes: 0, _database: database }
    }

    /// [`Lease::start`], before the permit is taken off.
    pub(crate) async fn start_query(&mut self, query: &Query, bind: &Bind) -> Result<(), Error> {
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        self.inner.start_query(query, bind).await
    }

    async fn next_in_time(&mut self) -> Result<Batch, Error> {
        let started = Instant::now();
        let left = self.limits.wait.saturating_sub(self.waited);
        let next = tokio::time::timeout(left, self.inner.next()).await;
        self.waited += started.elapsed();
        let Ok(next) = next else { return Err(self.stopped("57014", too_long()).await) };
        let next = next?;
        self.bytes += match &next {
            Batch::Rows { frames, .. } | Batch::Copied(frames) => frames.len(),
            Batch::Fields(_) | Batch::Notice(_) | Batch::Done { .. } => 0,
        };
        if self.bytes > self.limits.bytes {
            let message = format!("an answer of the catalog has {} bytes at most", self.limits.bytes);
            return Err(self.stopped("54000", message).await);
        }
        Ok(next)
    }

    /// Has the server stop what it runs, and waits for the end of it, so that the lease is good for another statement
    /// where the server is.
    async fn stopped(&mut self, code: &str, message: String) -> Error {
        self.inner.canceller().cancel().await;
        let to_the_end = async { while !matches!(self.inner.next().await, Ok(Batch::Done { .. }) | Err(_)) {} };
        // One that does not end is not idle, and will not be used again.
        let _ = tokio::time::timeout(CANCEL_WAIT_MAX, to_the_end).await;
        refused(code, message)
    }
}

fn too_long() -> String {
    "canceling statement due to statement timeout".to_owned()
}

fn refused(code: &str, message: String) -> Error {
    let (severity, code) = ("ERROR".to_owned(), code.to_owned());
    Error::Server(ServerMessage { severity, code, message, ..ServerMessage::default() })
}

impl Lease for ShadowLease {
    fn witness(&self) -> &Arc<Witness> {
        self.inner.witness()
    }

    fn describe<'a>(&'a mut self, query: &'a Permitted<Query>) -> BoxFuture<'a, Result<Description, Error>> {
        Box::pin(async move {
            let described = tokio::time::timeout(self.limits.wait, self.inner.describe(query)).await;
            match described {
                Ok(described) => described,
                Err(_) => Err(self.stopped("57014", too_long()).await),
            }
        })
    }

    fn start<'a>(&'a mut self, query: &'a Permitted<Query>, bind: &'a Bind) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.start_query(query.query(), bind))
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Batch, Error>> {
        Box::pin(self.next_in_time())
    }

    fn control<'a>(&'a mut self, control: &'a Control) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.control(control)
    }

    fn apply<'a>(&'a mut self, settings: &'a SessionSettings) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.apply(settings)
    }

    fn transaction_status(&self) -> TransactionStatus {
        self.inner.transaction_status()
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.inner.canceller()
    }
}
