//! Shadows: databases without rows that answer what clients ask of a source's catalog, one for all who see the same.
//!
//! ```text
//! Script ── fingerprint ──► database: there? ── no ──► made: on a server, or by a program of our own
//!                            │ the least recently used of too many goes
//!                            ▼
//!                          pool ──► lease: read-only, with a deadline and a limit of bytes
//! ```
//!
//! A shadow is a PostgreSQL like any other here: the same client, pool and lease. Only who it serves is nobody: what may
//! be seen was settled when it was made.

mod config;
mod lease;
mod making;
mod script;
mod server;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use passgate_policy::SourceName;
use tokio::sync::OnceCell;

pub use config::Config;
pub use making::Names;
pub use script::{Script, Statement};

use super::{Child, Postgres, nobody};
use crate::backends::SettingProblem;
use crate::login::Impersonation;
use crate::postgres::settings::Guards;
use crate::postgres::transport::Transport;
use crate::{Error, Lease, SessionSettings};
use lease::Limits;
pub(crate) use lease::ShadowLease;
use server::Server;

/// How often it is looked whether a database that is to go is still used, and for how long.
const FAREWELL_INTERVAL: Duration = Duration::from_secs(1);
const FAREWELL_TIMES: u32 = 600;

/// How much longer than a server we wait ourselves.
const GRACE: Duration = Duration::from_secs(1);

/// Programs of our own that each are a PostgreSQL with one database.
pub trait Programs: Send + Sync {
    /// Makes the database of a script and keeps it for [`Programs::program`]; the text says why it cannot be.
    fn make<'a>(&'a self, database: &'a str, script: &'a Script) -> BoxFuture<'a, Result<(), String>>;

    /// What starts a session in that database.
    fn program(&self, script: &Script) -> Child;

    /// The login of such a program, which is a superuser, and the role that sessions are to have.
    fn roles(&self) -> (&str, &str);

    /// Removes a database. Sessions in it have ended.
    fn forget(&self, fingerprint: &str);
}

/// The shadows of all sources.
pub struct Shadows {
    config: Config,
    place: Place,
    /// The least recently used first.
    databases: Mutex<Vec<Kept>>,
    /// Held by whoever makes one: it takes a processor and memory.
    making: tokio::sync::Mutex<()>,
    /// How many were made.
    times_made: AtomicU64,
}

enum Place {
    Server(Arc<Server>),
    Programs(Arc<dyn Programs>),
}

#[derive(Clone)]
struct Kept {
    fingerprint: String,
    database: Arc<OnceCell<Arc<Database>>>,
}

/// A database that has been made.
struct Database {
    postgres: Postgres,
    /// Whom the sessions are, where that is not the login.
    reader: Option<String>,
    names: Arc<Names>,
}

impl Shadows {
    /// Shadows on the server of the settings, or in these programs. Connects to nothing yet.
    pub fn open(
        config: Config,
        programs: Option<Arc<dyn Programs>>,
        folder: &Path,
    ) -> Result<Option<Self>, Vec<SettingProblem>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let place = match (&config.host, programs) {
            (Some(_), _) => Place::Server(Arc::new(Server::new(&config, folder)?)),
            (None, Some(programs)) => Place::Programs(programs),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            config,
            place,
            databases: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            times_made: AtomicU64::new(0),
        }))
    }

    /// A connection to the database of a script, which is made if need be. Safe to drop at any point.
    pub async fn lease(
        &self,
        source: &SourceName,
        script: &Script,
        settings: &SessionSettings,
    ) -> Result<Box<dyn Lease>, Error> {
        Ok(Box::new(self.checkout(source, script, settings).await?))
    }

    pub(crate) async fn checkout(
        &self,
        source: &SourceName,
        script: &Script,
        settings: &SessionSettings,
    ) -> Result<ShadowLease, Error> {
        let mut again = true;
        loop {
            let database = self.database(source, script).await?;
            match database.lease(settings).await {
                Ok(inner) => {
                    // A server keeps the time itself; a program of our own does not.
                    let grace = if self.config.host.is_some() { GRACE } else { Duration::ZERO };
                    let wait = Duration::from_millis(self.config.statement_ms_max) + grace;
                    let limits = Limits { wait, bytes: self.config.answer_bytes_max };
                    return Ok(ShadowLease::new(inner, limits, database));
                }
                // Somebody may have dropped it: then it is made once more, and otherwise found to be there.
                Err(Error::Connection { .. }) if again => {
                    self.lock().retain(|kept| kept.fingerprint != script.fingerprint());
                    again = false;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the objects of a script's database are called by number.
    pub async fn names(&self, source: &SourceName, script: &Script) -> Result<Arc<Names>, Error> {
        Ok(Arc::clone(&self.database(source, script).await?.names))
    }

    /// How many databases were made so far. What is known of their numbers holds until another is.
    pub fn times_made(&self) -> u64 {
        self.times_made.load(Ordering::Acquire)
    }

    /// The same numbers where the database is there; it is neither made for it nor counted as used.
    pub fn names_if_made(&self, script: &Script) -> Option<Arc<Names>> {
        let databases = self.lock();
        let kept = databases.iter().find(|kept| kept.fingerprint == script.fingerprint())?;
        kept.database.get().map(|database| Arc::clone(&database.names))
    }

    async fn database(&self, source: &SourceName, script: &Script) -> Result<Arc<Database>, Error> {
        let kept = self.keep(script.fingerprint());
        let made = kept.get_or_try_init(|| self.make(source, script)).await;
        made.cloned().inspect_err(|error| tracing::error!(source = %source, %error, "no shadow of the catalog"))
    }

    async fn make(&self, source: &SourceName, script: &Script) -> Result<Arc<Database>, Error> {
        let _turn = self.making.lock().await;
        let limit = Duration::from_secs(self.config.build_seconds_max);
        let started = std::time::Instant::now();
        let made = tokio::time::timeout(limit, self.made(source, script)).await;
        let made = made.unwrap_or_else(|_| Err(unmade(source, format!("not made within {} s", limit.as_secs()))))?;
        self.times_made.fetch_add(1, Ordering::AcqRel);
        tracing::info!(
            source = %source,
            shadow = made.names.database,
            statements = script.statements().len(),
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a shadow of the catalog is ready"
        );
        Ok(made)
    }

    async fn made(&self, source: &SourceName, script: &Script) -> Result<Arc<Database>, Error> {
        let (postgres, reader, name) = match &self.place {
            Place::Server(server) => {
                server.make(source, script).await?;
                let name = server.name_of(script);
                (server.open(source, &name), None, name)
            }
            Place::Programs(programs) => {
                let name = source.as_str();
                programs.make(name, script).await.map_err(|cause| unmade(source, cause))?;
                let (login, reader) = programs.roles();
                let mut config = self.config.source(name);
                config.user = Some(login.to_owned());
                let guards = Guards::new(&config).with_search_path();
                let transport = Arc::new(Transport::Child(programs.program(script)));
                let postgres = Postgres::with(source.clone(), config, transport, guards);
                (postgres, Some(reader.to_owned()), name.to_owned())
            }
        };
        let mut database = Database { postgres, reader, names: Arc::default() };
        let mut lease = database.lease(&SessionSettings::default()).await?;
        database.names = Arc::new(making::names(lease.connection()?, &name).await?);
        Ok(Arc::new(database))
    }

    /// The place of a database among those that are kept, now the most recently used.
    fn keep(&self, fingerprint: &str) -> Arc<OnceCell<Arc<Database>>> {
        let mut databases = self.lock();
        let place = databases.iter().position(|kept| kept.fingerprint == fingerprint);
        let kept = match place {
            Some(place) => databases.remove(place),
            None => Kept { fingerprint: fingerprint.to_owned(), database: Arc::default() },
        };
        databases.push(kept.clone());
        while databases.len() > self.config.databases_max {
            let leaving = databases.remove(0);
            self.retire(leaving);
        }
        kept.database
    }

    /// Removes a database once nobody uses it.
    fn retire(&self, leaving: Kept) {
        let Some(database) = leaving.database.get().cloned() else { return };
        let (programs, server) = match &self.place {
            Place::Programs(programs) => (Some(Arc::clone(programs)), None),
            Place::Server(server) => (None, Some(Arc::clone(server))),
        };
        drop(leaving.database);
        tokio::spawn(async move {
            for _ in 0..FAREWELL_TIMES {
                if Arc::strong_count(&database) == 1 {
                    break;
                }
                tokio::time::sleep(FAREWELL_INTERVAL).await;
            }
            let (names, source) = (Arc::clone(&database.names), database.postgres.name.clone());
            drop(database);
            if let Some(programs) = programs {
                programs.forget(&leaving.fingerprint);
            }
            if let Some(server) = server
                && let Err(error) = server.forget(&source, &names.database).await
            {
                // Another gateway uses it.
                tracing::debug!(shadow = names.database, %error, "not dropped");
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database {
    async fn lease(&self, settings: &SessionSettings) -> Result<super::PostgresLease, Error> {
        let mut service = self.postgres.service()?;
        service.persona.impersonated =
            self.reader.as_ref().map(|reader| (Impersonation::SessionAuthorization, reader.as_str().into()));
        self.postgres.lease_as(nobody(&service), &service, settings).await
    }
}

impl std::fmt::Debug for Shadows {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shadows").field("kept", &self.lock().len()).finish_non_exhaustive()
    }
}

fn unmade(source: &SourceName, cause: String) -> Error {
    Error::Connection { source_name: source.to_string(), cause: format!("its catalog cannot be shown: {cause}") }
}
