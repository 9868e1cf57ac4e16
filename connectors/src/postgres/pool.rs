//! Idle connections, and how many there may be.
//!
//! A connection is handed to its own key only: tenant, person, role and credential. When the source is at its limit, an
//! idle connection of somebody else is closed to make room, never handed over.
//!
//! ```text
//! enter ──► Slot ── take_idle ──► use ──► give_back ──► idle ── sweep ──► closed
//!            └── make_room, connect ──┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use passgate_policy::{PersonName, Tenant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cancel::Target;
use super::config::Config;
use super::connection::Connection;
use super::persona::Key;
use crate::Error;

/// How often idle connections are looked over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a connection that is closed to make room may take to go.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// The connections of one source.
pub(crate) struct Pool {
    source_name: Arc<str>,
    limits: Limits,
    /// One permit for each connection in use.
    in_use: Arc<Semaphore>,
    state: Mutex<State>,
    /// How often an idle connection was there to be taken, and how often none.
    hits: OnceLock<metrics::Counter>,
    misses: OnceLock<metrics::Counter>,
}

struct Limits {
    connections: usize,
    per_person: usize,
    checkout_ms: u64,
    idle: Duration,
    lifetime: Duration,
}

/// Counts and idle connections change together, under one lock that is never held across a wait.
#[derive(Default)]
struct State {
    /// The longest idle first.
    idle: Vec<Idle>,
    used: usize,
    people: HashMap<(Tenant, PersonName), Person>,
    swept: bool,
}

struct Person {
    in_use: Arc<Semaphore>,
    used: usize,
}

struct Idle {
    key: Key,
    pooled: Pooled,
    since: Instant,
}

/// A connection, and what goes with it from lease to lease.
pub(crate) struct Pooled {
    /// The connection; boxed, because it passes through many hands.
    pub(crate) connection: Box<Connection>,
    /// Where to cancel what it runs.
    pub(crate) target: Target,
    /// When the credential it was made with ends, in seconds since 1970-01-01 UTC.
    pub(crate) expires_at: Option<i64>,
}

/// The right to have one connection.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    key: Key,
    _person: OwnedSemaphorePermit,
    _source: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool with nothing in it.
    pub(crate) fn new(source_name: Arc<str>, config: &Config) -> Self {
        let connections = config.connections_max as usize;
        Self {
            source_name,
            limits: Limits {
                connections,
                per_person: config.connections_per_person_max as usize,
                checkout_ms: config.checkout_ms_max,
                idle: Duration::from_secs(config.idle_seconds_max),
                lifetime: Duration::from_secs(config.lifetime_seconds_max),
            },
            in_use: Arc::new(Semaphore::new(connections)),
            state: Mutex::new(State::default()),
            hits: OnceLock::new(),
            misses: OnceLock::new(),
        }
    }

    /// Waits, in turn, for the right to have a connection.
    pub(crate) async fn enter(self: &Arc<Self>, key: Key) -> Result<Slot, Error> {
        self.sweep_from_now_on();
        let in_use = Arc::clone(&self.lock().person(&key, self.limits.per_person).in_use);
        let (person, source) = match self.permits_now(&in_use) {
            Some(permits) => permits,
            None => self.permits(in_use).await?,
        };
        let mut state = self.lock();
        state.used += 1;
        state.person(&key, self.limits.per_person).used += 1;
        drop(state);
        Ok(Slot { pool: Arc::clone(self), key, _person: person, _source: source })
    }

    /// The person's permit and the source's, where nobody has to wait for them or waits already.
    fn permits_now(&self, in_use: &Arc<Semaphore>) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let person = Arc::clone(in_use).try_acquire_owned().ok()?;
        let source = Arc::clone(&self.in_use).try_acquire_owned().ok()?;
        Some((person, source))
    }

    async fn permits(&self, in_use: Arc<Semaphore>) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Error> {
        let permits = async {
            // The person's own first: whoever waits for themselves holds nothing that others wait for.
            let person = in_use.acquire_owned().await.ok()?;
            let source = Arc::clone(&self.in_use).acquire_owned().await.ok()?;
            Some((person, source))
        };
        let waited = Duration::from_millis(self.limits.checkout_ms);
        if let Ok(Some(permits)) = tokio::time::timeout(waited, permits).await {
            return Ok(permits);
        }
        metrics::counter!("passgate_pool_busy_total", "source" => self.source_name.to_string()).increment(1);
        Err(Error::Busy { source_name: self.source_name.to_string(), waited_ms: self.limits.checkout_ms })
    }

    fn count(&self, counter: &OnceLock<metrics::Counter>, name: &'static str) {
        // Not before the first use: what counts is installed by then.
        let counter = counter.get_or_init(|| metrics::counter!(name, "source" => self.source_name.to_string()));
        counter.increment(1);
    }

    fn is_good(&self, pooled: &Pooled) -> bool {
        let expired = pooled.expires_at.is_some_and(|end| end <= now());
        !expired && pooled.connection.age() < self.limits.lifetime && pooled.connection.is_reusable()
    }

    /// Starts the sweeper with the first use: only then there is a runtime for certain.
    fn sweep_from_now_on(self: &Arc<Self>) {
        if std::mem::replace(&mut self.lock().swept, true) {
            return;
        }
        let pool: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                let Some(pool) = pool.upgrade() else { return };
                let expired = pool.sweep();
                drop(pool);
                farewell(expired).await;
            }
        });
    }

    fn sweep(&self) -> Vec<Idle> {
        let mut state = self.lock();
        // Whoever waits or uses a connection holds the semaphore too.
        state.people.retain(|_, person| Arc::strong_count(&person.in_use) > 1);
        let is_over = |idle: &mut Idle| {
            idle.since.elapsed() >= self.limits.idle
                || !self.is_good(&idle.pooled)
                || !idle.pooled.connection.is_alive()
        };
        state.idle.extract_if(.., is_over).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn person(&mut self, key: &Key, per_person: usize) -> &mut Person {
        let name = (key.tenant.clone(), key.person.clone());
        let new = || Person { in_use: Arc::new(Semaphore::new(per_person)), used: 0 };
        self.people.entry(name).or_insert_with(new)
    }

    /// Takes out the longest idle connection that `matches`.
    fn evict(&mut self, matches: impl Fn(&Key) -> bool) -> Option<Idle> {
        let place = self.idle.iter().position(|idle| matches(&idle.key))?;
        Some(self.idle.remove(place))
    }
}

impl Slot {
    /// The key's own connection that was used last, if it is still good.
    pub(crate) async fn take_idle(&self) -> Option<Pooled> {
        let pool = &*self.pool;
        while let Some(mut idle) = self.last_idle() {
            if pool.is_good(&idle.pooled) && idle.pooled.connection.is_alive() {
                pool.count(&pool.hits, "passgate_pool_hits_total");
                return Some(idle.pooled);
            }
            Box::pin(farewell(vec![idle])).await;
        }
        pool.count(&pool.misses, "passgate_pool_misses_total");
        None
    }

    fn last_idle(&self) -> Option<Idle> {
        let mut state = self.pool.lock();
        let place = state.idle.iter().rposition(|idle| idle.key == self.key)?;
        Some(state.idle.remove(place))
    }

    /// Closes idle connections until one more fits, for the person and for the source.
    pub(crate) async fn make_room(&self) {
        let limits = &self.pool.limits;
        let mut evicted = Vec::new();
        {
            let mut state = self.pool.lock();
            let is_own = |key: &Key| key.tenant == self.key.tenant && key.person == self.key.person;
            let used = state.person(&self.key, limits.per_person).used;
            while used + state.idle.iter().filter(|idle| is_own(&idle.key)).count() > limits.per_person {
                let Some(idle) = state.evict(is_own) else { break };
                evicted.push(idle);
            }
            while state.used + state.idle.len() > limits.connections {
                let Some(idle) = state.evict(|_| true) else { break };
                evicted.push(idle);
            }
        }
        farewell(evicted).await;
    }

    /// Puts a connection by for the same key, if it is good for another use; otherwise hands it back to be closed.
    pub(crate) fn give_back(&self, mut pooled: Pooled) -> Option<Pooled> {
        if !self.pool.is_good(&pooled) || self.pool.limits.idle.is_zero() {
            return Some(pooled);
        }
        pooled.connection.rest();
        let idle = Idle { key: self.key.clone(), pooled, since: Instant::now() };
        self.pool.lock().idle.push(idle);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.used = state.used.saturating_sub(1);
        let person = state.person(&self.key, self.pool.limits.per_person);
        person.used = person.used.saturating_sub(1);
    }
}

async fn farewell(leaving: Vec<Idle>) {
    futures_util::future::join_all(leaving.into_iter().map(|idle| idle.pooled.connection.close(FAREWELL_MAX))).await;
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
