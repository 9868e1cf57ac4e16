//! The only door to the sources.
//!
//! The connectors are private here, and a [`Lease`] runs a query only against an audit receipt: SQL that was not
//! recorded does not compile. The room also keeps what each source holds, read lazily and again in the background, so
//! that planning never waits for a source that was read once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::select_ok;
use passgate_connectors::{
    Batch, Bind, Caller, Cancel, Connector, Control, Description, Error, Query, SessionSettings, Source,
    TransactionStatus, Witness,
};
use passgate_policy::{Facts, Identity, Known, Permitted, PolicySet, SourceName};
use tokio::sync::watch;

mod discretion;
mod estimates;
mod freshness;
mod numbers;
mod owner;
mod shadows;
mod visibilities;

pub use estimates::{Estimates, Key as EstimateKey, Price};
pub use freshness::Freshness;
pub use numbers::Numbers;
pub use shadows::{Differences, Wanted};

use crate::audit::Receipt;
use crate::catalog::Snapshot;
use crate::catalog::shadow::Visibility;
use crate::plan::{self, Model};
use owner::Owner;
use visibilities::Visibilities;

/// How long readiness waits for a source to answer.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

/// How often the sources are read.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How old the list of a source's tables may become, in seconds, before it is read again in the background.
    /// Default: 300.
    pub catalog_refresh_seconds: u64,
    /// How soon, in seconds, a source may be read again because a name was not found, or because reading failed.
    /// Default: 5.
    pub catalog_retry_seconds: u64,
    /// How long, in seconds, the answer to whether any source can be reached is believed. Default: 5.
    pub reachable_seconds: u64,
    /// How long, in milliseconds, a source may take to estimate a statement, where a policy asks what it would cost.
    /// After that the estimate is unknown, which passes no threshold. Default: 2000.
    pub estimate_wait_ms: u64,
    /// How long, in seconds, the estimate of a statement is believed when the same person sends it again. Default: 300.
    pub estimate_believed_seconds: u64,
    /// What sources charge, by the name of the source; policies ask for it as `estimated.cost_usd`. Default: nothing is
    /// known.
    pub prices: BTreeMap<String, Price>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            catalog_refresh_seconds: 300,
            catalog_retry_seconds: 5,
            reachable_seconds: 5,
            estimate_wait_ms: 2_000,
            estimate_believed_seconds: 300,
            prices: BTreeMap::new(),
        }
    }
}

/// Every source of the settings file.
#[derive(Debug)]
pub struct Sources {
    entries: BTreeMap<SourceName, Arc<Entry>>,
    reachable_for: Duration,
    reachable: tokio::sync::Mutex<Option<(Instant, bool)>>,
    estimates: Estimates,
    estimate_wait: Duration,
    shadows: shadows::Room,
    /// Counts how often a source was read.
    readings: watch::Sender<u64>,
}

impl Sources {
    /// Takes the sources in. Connects to none of them yet.
    pub fn new(config: &Config, sources: Vec<Source>) -> Self {
        let readings = watch::Sender::new(0);
        let entry = |source: Source| (source.connector.name().clone(), Entry::new(config, source, readings.clone()));
        let entries = sources.into_iter().map(entry);
        Self {
            entries: entries.collect(),
            reachable_for: Duration::from_secs(config.reachable_seconds),
            reachable: tokio::sync::Mutex::new(None),
            estimates: Estimates::new(
                config.prices.iter().map(|(name, price)| (SourceName::new(name), *price)).collect(),
                Duration::from_secs(config.estimate_believed_seconds),
            ),
            estimate_wait: Duration::from_millis(config.estimate_wait_ms),
            shadows: shadows::Room::default(),
            readings,
        }
    }

    /// What the sources' estimates are worth.
    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// Tells whenever a source was read.
    pub fn readings(&self) -> watch::Receiver<u64> {
        self.readings.subscribe()
    }

    /// How long a source may take to estimate a statement.
    pub fn estimate_wait(&self) -> Duration {
        self.estimate_wait
    }

    /// Whether there is a source of this name.
    pub fn contains(&self, name: &SourceName) -> bool {
        self.entries.contains_key(name)
    }

    /// The names that policies may use: the sources', and what those that were read hold.
    pub fn known(&self) -> Known {
        let mut known = Known::new();
        plan::describe_built_in(&mut known);
        for (name, entry) in &self.entries {
            known.add_source(name.clone());
            let Some(held) = entry.held() else { continue };
            held.snapshot.describe(&mut known);
        }
        known
    }

    /// The names there are.
    pub fn names(&self) -> impl Iterator<Item = &SourceName> {
        self.entries.keys()
    }

    /// A connection that runs as the person, witnessed. Safe to drop at any point.
    pub async fn checkout(
        &self,
        name: &SourceName,
        caller: &Caller,
        settings: &SessionSettings,
    ) -> Result<Lease, Error> {
        let lease = self.entry(name)?.connector.checkout(caller, settings).await;
        if let Err(error) = &lease {
            tracing::warn!(source = %name, %error, "no connection to the source");
        }
        lease.map(|inner| Lease { inner, discreet: false, numbers: None, owner: None })
    }

    /// What the source holds: as last read, or read now if it never was. While a source is down, what it held when it
    /// was last seen.
    pub async fn snapshot(&self, name: &SourceName, caller: &Caller) -> Result<Arc<Snapshot>, Error> {
        let entry = self.entry(name)?;
        match entry.held() {
            Some(held) => {
                if held.is_due {
                    entry.refresh_in_background(caller);
                }
                Ok(held.snapshot)
            }
            None => entry.first(caller).await,
        }
    }

    /// What the source holds, as these policies see it. Made once for each reading of the source and revision of the
    /// policies; whoever comes meanwhile waits for it.
    pub async fn model(
        &self,
        name: &SourceName,
        caller: &Caller,
        policies: &Arc<PolicySet>,
    ) -> Result<Arc<Model>, Error> {
        let snapshot = self.snapshot(name, caller).await?;
        Ok(self.entry(name)?.model(snapshot, policies).await)
    }

    /// The same, if it is made and the source is not due to be read again.
    pub fn model_at_hand(&self, name: &SourceName, policies: &PolicySet) -> Option<Arc<Model>> {
        self.entries.get(name)?.model_at_hand(policies)
    }

    /// What a person may see of the source now.
    pub async fn visibility(
        &self,
        name: &SourceName,
        model: &Arc<Model>,
        policies: &Arc<PolicySet>,
        identity: &Arc<Identity>,
        facts: &Facts,
    ) -> Result<Arc<Visibility>, Error> {
        Ok(self.entry(name)?.visibilities.of(model, policies, identity, facts).await)
    }

    /// Says that a name was not found: the source may have changed, so it is read again in the background, unless it
    /// just was.
    pub fn note_missing(&self, name: &SourceName, caller: &Caller) {
        if let Ok(entry) = self.entry(name)
            && entry.may_retry()
        {
            entry.refresh_in_background(caller);
        }
    }

    /// Has every source read again at its next use.
    pub fn reload(&self) {
        for entry in self.entries.values() {
            entry.lock().due_at = None;
        }
    }

    /// Whether any source can be reached; asked at most once in a while.
    pub async fn any_reachable(&self) -> bool {
        let mut believed = self.reachable.lock().await;
        if let Some((at, answer)) = *believed
            && at.elapsed() < self.reachable_for
        {
            return answer;
        }
        let probes: Vec<_> = self.entries.values().map(|entry| entry.connector.probe()).collect();
        let answer =
            !probes.is_empty() && matches!(tokio::time::timeout(PROBE_WAIT_MAX, select_ok(probes)).await, Ok(Ok(_)));
        *believed = Some((Instant::now(), answer));
        answer
    }

    fn entry(&self, name: &SourceName) -> Result<&Arc<Entry>, Error> {
        // Sessions ask `contains` first, and say 3D000 themselves.
        let cause = "there is no such source".to_owned();
        self.entries.get(name).ok_or_else(|| Error::Connection { source_name: name.to_string(), cause })
    }
}

/// One connection, in the hands of one session. Dropped, it goes back, or is cancelled and closed if it is busy.
pub struct Lease {
    inner: Box<dyn passgate_connectors::Lease>,
    /// Whether the words of the source are kept back: what it runs, or described last, is governed.
    discreet: bool,
    /// The numbers that tables and types have for the client.
    numbers: Option<Arc<Numbers>>,
    /// Whose rights those of a shadow's reader are.
    owner: Option<Owner>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Lease").field(self.witness()).finish()
    }
}

impl Lease {
    /// What the server said of who it is serving.
    pub fn witness(&self) -> &Arc<Witness> {
        self.inner.witness()
    }

    /// Has tables and types called by these numbers in what is described and answered from now on.
    pub fn number(&mut self, numbers: Option<Arc<Numbers>>) {
        self.numbers = numbers;
    }

    /// Parameter and result types of a recorded query, without running it.
    pub async fn describe(&mut self, _: &Receipt, query: &Permitted<Query>) -> Result<Description, Error> {
        self.discreet = query.query().discreet;
        let described = self.inner.describe(query).await.map_err(|error| self.told(error))?;
        Ok(match &self.numbers {
            Some(numbers) => numbers.description(described),
            None => described,
        })
    }

    /// Starts a recorded query; its rows are then read with [`Lease::next`] until [`Batch::Done`].
    pub async fn start(&mut self, _: &Receipt, query: &Permitted<Query>, bind: &Bind) -> Result<(), Error> {
        self.discreet = query.query().discreet;
        self.inner.start(query, bind).await.map_err(|error| self.told(error))
    }

    /// The next part of the answer. Safe to drop and call again: nothing is lost.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        let batch = self.inner.next().await;
        self.passed_on(batch)
    }

    /// The same, if it has been read from the source already.
    pub fn at_hand(&mut self) -> Option<Result<Batch, Error>> {
        let batch = self.inner.at_hand().transpose()?;
        Some(self.passed_on(batch))
    }

    fn passed_on(&self, batch: Result<Batch, Error>) -> Result<Batch, Error> {
        let batch = batch.map_err(|error| self.told(error))?;
        let batch = if self.discreet { discretion::batch(batch) } else { batch };
        Ok(match (&self.numbers, batch) {
            (Some(numbers), Batch::Fields(frame)) => Batch::Fields(numbers.fields(frame)),
            (_, Batch::Rows { frames, rows }) => match &self.owner {
                Some(owner) => Batch::Rows { frames: owner.rows(frames), rows },
                None => Batch::Rows { frames, rows },
            },
            (_, batch) => batch,
        })
    }

    /// Begins, ends or marks a transaction.
    pub async fn control(&mut self, control: &Control) -> Result<(), Error> {
        self.inner.control(control).await.map_err(|error| self.told(error))
    }

    /// Applies changed session settings.
    pub async fn apply(&mut self, settings: &SessionSettings) -> Result<(), Error> {
        self.inner.apply(settings).await
    }

    fn told(&self, error: Error) -> Error {
        if self.discreet { discretion::error(error) } else { error }
    }

    /// Where the connection stands.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.inner.transaction_status()
    }

    /// A handle that cancels whatever this lease runs. Does nothing once the lease is gone.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.inner.canceller()
    }
}

/// One source, and what it held when it was last read.
struct Entry {
    connector: Arc<dyn Connector>,
    default_schema: String,
    refresh_after: Duration,
    retry_after: Duration,
    state: Mutex<State>,
    /// Held by whoever reads the source: there is one at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever makes a model.
    modelling: tokio::sync::Mutex<()>,
    visibilities: Visibilities,
    readings: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    model: Option<Arc<Model>>,
    /// When it is to be read again; none is now.
    due_at: Option<Instant>,
    tried_at: Option<Instant>,
    /// When the snapshot was taken.
    read_at: Option<SystemTime>,
    /// Why the last try came to nothing.
    failed: Option<String>,
    /// Whether it can be read only as a person.
    needs_somebody: bool,
    /// Why the source could not be reached at `tried_at`.
    unreachable: Option<String>,
}

struct Held {
    snapshot: Arc<Snapshot>,
    is_due: bool,
}

impl Entry {
    fn new(config: &Config, source: Source, readings: watch::Sender<u64>) -> Arc<Self> {
        Arc::new(Self {
            connector: source.connector,
            default_schema: source.default_schema,
            refresh_after: Duration::from_secs(config.catalog_refresh_seconds),
            retry_after: Duration::from_secs(config.catalog_retry_seconds),
            state: Mutex::default(),
            reading: Arc::default(),
            modelling: tokio::sync::Mutex::default(),
            visibilities: Visibilities::default(),
            readings,
        })
    }

    fn held(&self) -> Option<Held> {
        let state = self.lock();
        let is_due = state.due_at.is_none_or(|due| due <= Instant::now());
        state.snapshot.clone().map(|snapshot| Held { snapshot, is_due })
    }

    fn model_at_hand(&self, policies: &PolicySet) -> Option<Arc<Model>> {
        let state = self.lock();
        let is_due = state.due_at.is_none_or(|due| due <= Instant::now());
        let (model, snapshot) = (state.model.as_ref()?, state.snapshot.as_ref()?);
        (!is_due && model.is_of(snapshot, policies.revision())).then(|| Arc::clone(model))
    }

    async fn model(&self, snapshot: Arc<Snapshot>, policies: &Arc<PolicySet>) -> Arc<Model> {
        let made = || self.lock().model.clone().filter(|model| model.is_of(&snapshot, policies.revision()));
        if let Some(model) = made() {
            return model;
        }
        let _modelling = self.modelling.lock().await;
        if let Some(model) = made() {
            return model;
        }
        // Many views take a while, and nobody else should wait for them.
        let (shared, wanted) = (Arc::clone(&snapshot), Arc::clone(policies));
        let model = match tokio::task::spawn_blocking(move || Arc::new(Model::new(shared, &wanted))).await {
            Ok(model) => model,
            Err(_) => Arc::new(Model::new(snapshot, policies)),
        };
        self.lock().model = Some(Arc::clone(&model));
        model
    }

    fn may_retry(&self) -> bool {
        self.lock().tried_at.is_none_or(|tried| tried.elapsed() >= self.retry_after)
    }

    /// The first reading, for which everybody waits together. Whoever waited for one that could not reach the source
    /// has their answer too, and does not try in their turn.
    async fn first(self: &Arc<Self>, caller: &Caller) -> Result<Arc<Snapshot>, Error> {
        let asked_at = Instant::now();
        let _reading = self.reading.lock().await;
        {
            let state = self.lock();
            if let Some(snapshot) = &state.snapshot {
                return Ok(Arc::clone(snapshot));
            }
            if let (Some(cause), Some(_)) = (&state.unreachable, state.tried_at.filter(|tried| *tried >= asked_at)) {
                let source_name = self.connector.name().to_string();
                return Err(Error::Connection { source_name, cause: cause.clone() });
            }
        }
        self.read(Some(caller)).await
    }

    /// Reads the source again without anybody waiting, unless somebody already does.
    fn refresh_in_background(self: &Arc<Self>, caller: &Caller) {
        let Ok(reading) = Arc::clone(&self.reading).try_lock_owned() else { return };
        let (entry, caller) = (Arc::clone(self), caller.clone());
        tokio::spawn(async move {
            if let Err(error) = entry.read(Some(&caller)).await {
                let source = entry.connector.name().as_str();
                tracing::warn!(source, %error, "the catalog cannot be read again; the last one stays in use");
            }
            drop(reading);
        });
    }

    async fn read(&self, caller: Option<&Caller>) -> Result<Arc<Snapshot>, Error> {
        let crawled = self.connector.crawl(caller).await;
        let name = self.connector.name().clone();
        // Arranged before the lock is taken: it takes a while for a large source.
        let result = crawled.map(|metadata| Arc::new(Snapshot::new(name, self.default_schema.clone(), metadata)));
        let mut state = self.lock();
        let now = Instant::now();
        state.tried_at = Some(now);
        state.unreachable = None;
        match &result {
            Ok(snapshot) => {
                state.snapshot = Some(Arc::clone(snapshot));
                (state.read_at, state.failed) = (Some(SystemTime::now()), None);
                state.due_at = Some(now + self.refresh_after);
            }
            // Nothing was tried.
            Err(Error::NoCrawlLogin { .. }) => {}
            Err(error) => {
                state.failed = Some(error.to_string());
                if let Error::Connection { cause, .. } = error {
                    state.unreachable = Some(cause.clone());
                }
                state.due_at = Some(now + self.retry_after);
            }
        }
        drop(state);
        if result.is_ok() {
            self.readings.send_modify(|count| *count += 1);
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Entry").field("source", self.connector.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
