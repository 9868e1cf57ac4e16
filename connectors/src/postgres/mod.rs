//! PostgreSQL: our own small client on `postgres-protocol`, so that rows are relayed as they came and every login is
//! ours to make.
//!
//! ```text
//! transport ──► frames ──► handshake ──► connection ──► lease        crawl
//!  TCP, TLS,     bytes to    login        one session     for a        reads
//!  child         frames                   │               session      the catalog
//!                                        pool: by tenant, person, role and credential
//! ```
//!
//! `shadow` makes databases of its own with all of this, for clients that look at a source's catalog.

mod cancel;
mod config;
mod connection;
mod crawl;
mod frames;
mod handshake;
mod lease;
mod persona;
mod pool;
mod portions;
mod settings;
pub mod shadow;
#[cfg(test)]
mod tests;
mod transport;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use passgate_policy::{PersonName, SourceName, Tenant};
use sha2::{Digest, Sha256};

pub use config::{AuthMode, Child, Config};

use crate::backends::SettingProblem;
use crate::login::Secret;
use crate::{Caller, Connector, Error, Lease, Metadata, Progress, SessionSettings};
use cancel::Target;
use connection::Connection;
use frames::Frames;
use handshake::Login;
use lease::PostgresLease;
use persona::{Key, Persona};
use pool::{Pool, Pooled, Slot};
use settings::Guards;
use transport::{ChildHandle, Transport};

/// The server ends a statement at its timeout; this much later we stop to wait for it.
const SILENCE_GRACE: Duration = Duration::from_secs(10);

/// A PostgreSQL source.
pub struct Postgres {
    name: SourceName,
    source_name: Arc<str>,
    config: Config,
    transport: Arc<Transport>,
    guards: Arc<Guards>,
    pool: Arc<Pool>,
    service: Option<Service>,
}

/// The login of the settings.
struct Service {
    user: Arc<str>,
    /// The SHA-256 of its password.
    digest: [u8; 32],
}

/// What one person signs in with.
struct Credential<'a> {
    persona: Persona,
    secret: Option<&'a Secret>,
    /// The secret's SHA-256.
    digest: [u8; 32],
    expires_at: Option<i64>,
}

impl Postgres {
    /// Reads the certificates that the settings name, relative to `folder`. Connects to nothing yet.
    pub fn open(name: SourceName, config: Config, folder: &Path) -> Result<Self, Vec<SettingProblem>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let transport = Transport::new(&config, folder)?;
        Ok(Self::on(name, config, transport))
    }

    fn on(name: SourceName, config: Config, transport: Transport) -> Self {
        let guards = Guards::new(&config);
        Self::with(name, config, Arc::new(transport), guards)
    }

    fn with(name: SourceName, config: Config, transport: Arc<Transport>, guards: Guards) -> Self {
        let source_name: Arc<str> = name.as_str().into();
        let pool = Arc::new(Pool::new(Arc::clone(&source_name), &config));
        let digest = digest(config.password.as_ref());
        let service = config.user.as_deref().map(|user| Service { user: user.into(), digest });
        Self { name, guards: Arc::new(guards), pool, service, source_name, config, transport }
    }

    async fn lease(&self, caller: &Caller, settings: &SessionSettings) -> Result<PostgresLease, Error> {
        let credential = self.credential(caller)?;
        let identity = &caller.identity;
        let key = credential.key(identity.tenant.clone(), identity.person.clone());
        self.lease_as(key, &credential, settings).await
    }

    async fn lease_as(
        &self,
        key: Key,
        credential: &Credential<'_>,
        settings: &SessionSettings,
    ) -> Result<PostgresLease, Error> {
        let slot = self.pool.enter(key).await?;
        // What is rare is boxed, so that what is usual is small.
        let pooled = match slot.take_idle().await {
            Some(pooled) => self.hand_over(pooled, &credential.persona, settings).await?,
            None => Box::pin(self.connect_instead(&slot, credential, settings)).await?,
        };
        PostgresLease::new(Arc::clone(&self.source_name), pooled, slot)
    }

    /// Readies a used connection for the same person's next lease.
    async fn hand_over(
        &self,
        mut pooled: Pooled,
        persona: &Persona,
        settings: &SessionSettings,
    ) -> Result<Pooled, Error> {
        let witness_max = Duration::from_secs(self.config.witness_seconds_max);
        if !pooled.connection.is_just_so(persona, settings, witness_max) {
            Box::pin(self.in_time(pooled.connection.assume(persona, settings))).await?;
        }
        Ok(pooled)
    }

    async fn connect_instead(
        &self,
        slot: &Slot,
        credential: &Credential<'_>,
        settings: &SessionSettings,
    ) -> Result<Pooled, Error> {
        slot.make_room().await;
        self.connect(credential, settings).await
    }

    async fn connect(&self, credential: &Credential<'_>, settings: &SessionSettings) -> Result<Pooled, Error> {
        let started = Instant::now();
        let (mut connection, target) = self.in_time(self.sign_in(credential)).await?;
        self.in_time(connection.learn_timeouts(&credential.persona)).await?;
        self.in_time(connection.assume(&credential.persona, settings)).await?;
        metrics::histogram!("passgate_backend_connect_seconds", "source" => self.source_name.to_string())
            .record(started.elapsed());
        Ok(Pooled { connection: Box::new(connection), target, expires_at: credential.expires_at })
    }

    async fn sign_in(&self, credential: &Credential<'_>) -> Result<(Connection, Target), Error> {
        let opened = self.transport.open().await.map_err(|error| self.unreachable(error))?;
        let wait_max = Duration::from_millis(self.config.statement_timeout_ms) + SILENCE_GRACE;
        let mut frames = Frames::new(opened.stream, Arc::clone(&self.source_name), wait_max);
        let login = Login {
            source_name: &self.source_name,
            user: &credential.persona.user,
            secret: credential.secret,
            database: &self.config.database,
            guards: &self.guards,
            private: opened.private,
            channel_binding: opened.channel_binding,
        };
        let greeting = handshake::sign_in(&mut frames, &login).await?;
        let target = self.target(opened.child, greeting.key);
        let source_name = Arc::clone(&self.source_name);
        let guards = Arc::clone(&self.guards);
        Ok((Connection::new(frames, source_name, greeting, guards, self.config.row_bytes_max), target))
    }

    fn target(&self, child: Option<ChildHandle>, key: Option<(i32, i32)>) -> Target {
        match (child, key) {
            (Some(child), _) => Target::Child(child),
            (None, Some(key)) => Target::Server(Arc::clone(&self.transport), key),
            (None, None) => Target::Nowhere,
        }
    }

    /// As whom, and with what, this person's statements run.
    fn credential<'a>(&'a self, caller: &'a Caller) -> Result<Credential<'a>, Error> {
        let role = || {
            let found = self.config.impersonation.role_of(&caller.identity);
            found.map_err(|cause| Error::NoRole { source_name: self.source_name.to_string(), cause })
        };
        match self.config.auth_mode {
            AuthMode::Password => Ok(self.service()?),
            AuthMode::Impersonate => {
                let mut service = self.service()?;
                let role = role()?;
                if *role == *service.persona.user {
                    let cause = format!("\"{role}\" is the gateway's own login");
                    return Err(Error::NoRole { source_name: self.source_name.to_string(), cause });
                }
                service.persona.impersonated = Some((self.config.impersonation.statement, role.into()));
                Ok(service)
            }
            AuthMode::Token => {
                let persona = self.persona(role()?.into());
                let token = caller.token.as_deref();
                let token =
                    token.ok_or_else(|| persona.refused("this sign-in left no token to use here".to_owned()))?;
                let expires_at = caller.identity.proof.expires_at;
                if expires_at.is_some_and(|end| end <= pool::now()) {
                    return Err(persona.refused("the token has expired; sign in again".to_owned()));
                }
                Ok(Credential { persona, secret: Some(token), digest: digest(Some(token)), expires_at })
            }
        }
    }

    /// The service login.
    fn service(&self) -> Result<Credential<'_>, Error> {
        let none = || Error::NoCrawlLogin { source_name: self.source_name.to_string() };
        let Service { user, digest } = self.service.as_ref().ok_or_else(none)?;
        Ok(Credential {
            persona: self.persona(Arc::clone(user)),
            secret: self.config.password.as_ref(),
            digest: *digest,
            expires_at: None,
        })
    }

    fn persona(&self, user: Arc<str>) -> Persona {
        Persona {
            source_name: Arc::clone(&self.source_name),
            user,
            impersonated: None,
            superuser_allowed: self.config.dangerously_allow_superuser,
        }
    }

    /// Reads the catalog with the service login where there is one: it sees every relation.
    async fn crawl_as(
        &self,
        caller: Option<&Caller>,
        tell: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Metadata, Error> {
        let settings = SessionSettings::default();
        let has_service = self.config.user.is_some()
            && (self.config.auth_mode != AuthMode::Token
                || self.config.password.is_some()
                || self.config.client_key_file.is_some());
        let mut lease = match caller {
            _ if has_service => {
                let service = self.service()?;
                self.lease_as(nobody(&service), &service, &settings).await?
            }
            Some(caller) => self.lease(caller, &settings).await?,
            None => return Err(Error::NoCrawlLogin { source_name: self.source_name.to_string() }),
        };
        crawl::read(lease.connection()?, &self.source_name, self.config.relations_max, tell).await
    }

    async fn reach(&self) -> Result<(), Error> {
        // A program is started for a session only, and starting one tells nothing that the first session would not.
        if matches!(*self.transport, Transport::Child(_)) {
            return Ok(());
        }
        self.in_time(async { self.transport.open().await.map_err(|error| self.unreachable(error)) }).await?;
        Ok(())
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limit = Duration::from_millis(self.config.connect_ms_max);
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("no answer within {} ms", limit.as_millis()))),
        }
    }

    fn unreachable(&self, cause: impl ToString) -> Error {
        Error::Connection { source_name: self.source_name.to_string(), cause: cause.to_string() }
    }
}

impl Credential<'_> {
    /// Whose connection it is that this makes.
    fn key(&self, tenant: Tenant, person: PersonName) -> Key {
        let role = self.persona.impersonated.as_ref().map_or(&self.persona.user, |(_, role)| role);
        Key { tenant, person, role: Arc::clone(role), credential: self.digest }
    }
}

/// What tells one secret from another.
fn digest(secret: Option<&Secret>) -> [u8; 32] {
    Sha256::digest(secret.map_or("", Secret::expose)).into()
}

/// The key of a connection that is never anybody's: nobody has this tenant and name.
fn nobody(credential: &Credential<'_>) -> Key {
    credential.key(Tenant::new(""), PersonName::new(""))
}

impl Connector for Postgres {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn checkout<'a>(
        &'a self,
        caller: &'a Caller,
        settings: &'a SessionSettings,
    ) -> BoxFuture<'a, Result<Box<dyn Lease>, Error>> {
        Box::pin(async move { Ok(Box::new(self.lease(caller, settings).await?) as Box<dyn Lease>) })
    }

    fn crawl<'a>(&'a self, caller: Option<&'a Caller>) -> BoxFuture<'a, Result<Metadata, Error>> {
        Box::pin(self.crawl_as(caller, &|_| {}))
    }

    fn crawl_telling<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        tell: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Metadata, Error>> {
        Box::pin(self.crawl_as(caller, tell))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.reach())
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Postgres").field("name", &self.name).finish_non_exhaustive()
    }
}
