//! How old what is known of a source is, and making it young again: on a schedule, when told to, and when somebody asks.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use passgate_connectors::{Caller, Error};
use passgate_policy::SourceName;

use super::{Entry, Sources};
use crate::catalog::Snapshot;

/// How often it is looked which source is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// When a source was read, and why it was not read again since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// When what is known of it was read; never, so far, where there is none.
    pub read_at: Option<SystemTime>,
    /// Why the last try to read it again came to nothing.
    pub failed: Option<String>,
}

impl Sources {
    /// When a source was read.
    pub fn freshness(&self, name: &SourceName) -> Freshness {
        let Some(entry) = self.entries.get(name) else { return Freshness::default() };
        let state = entry.lock();
        Freshness { read_at: state.read_at, failed: state.failed.clone() }
    }

    /// Reads a source now: with its sync login where it has one, otherwise as this person. One that was read within
    /// `catalog_retry_seconds` is not read again, so that asking often costs nothing.
    pub async fn sync(&self, name: &SourceName, caller: &Caller) -> Result<Arc<Snapshot>, Error> {
        let entry = self.entry(name)?;
        let _reading = entry.reading.lock().await;
        let recent = |read: &SystemTime| read.elapsed().is_ok_and(|age| age < entry.retry_after);
        let known = {
            let state = entry.lock();
            state.snapshot.clone().filter(|_| state.failed.is_none() && state.read_at.as_ref().is_some_and(recent))
        };
        match known {
            Some(snapshot) => Ok(snapshot),
            None => entry.read(Some(caller)).await,
        }
    }

    /// Reads sources whenever they are due, from now on and for as long as there is this value: those that have a login
    /// to be read with. The others are read as the next person who comes.
    pub fn keep_fresh(self: &Arc<Self>) {
        let sources: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(sources) = sources.upgrade() else { return };
                sources.entries.values().for_each(Entry::refresh_unattended);
                drop(sources);
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
    }
}

impl Entry {
    /// Reads the source if it is due, without anybody waiting and as nobody.
    fn refresh_unattended(self: &Arc<Self>) {
        let is_due = |due: Option<Instant>| due.is_none_or(|due| due <= Instant::now());
        let wanted = {
            let state = self.lock();
            !state.needs_somebody && is_due(state.due_at)
        };
        let Some(Ok(reading)) = wanted.then(|| Arc::clone(&self.reading).try_lock_owned()) else { return };
        let entry = Arc::clone(self);
        tokio::spawn(async move {
            let source = entry.connector.name();
            match entry.read(None).await {
                Ok(_) => tracing::debug!(%source, "the catalog has been read"),
                Err(Error::NoCrawlLogin { .. }) => entry.lock().needs_somebody = true,
                Err(error) => tracing::warn!(%source, %error, "the catalog cannot be read; what was known of it stays"),
            }
            drop(reading);
        });
    }
}
