//! Databases on a server that we sign in to: made, found again, and dropped.
//!
//! A database has the fingerprint of its script in its name, so that what several gateways need is made once, and is found
//! again after a restart. It is made under another name and renamed when it is whole: what is there is complete.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use passgate_policy::SourceName;
use sha2::{Digest, Sha256};

use super::config::Config;
use super::making;
use super::script::Script;
use crate::backends::SettingProblem;
use crate::postgres::connection::{Connection, Step};
use crate::postgres::persona::quoted;
use crate::postgres::settings::Guards;
use crate::postgres::transport::Transport;
use crate::postgres::{Postgres, nobody};
use crate::{Error, SessionSettings};

const EXISTS: &str = "SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname = $1::text::pg_catalog.name";

/// Our databases that nobody is connected to, the oldest first.
const UNUSED: &str = "
SELECT d.datname FROM pg_catalog.pg_database d
WHERE pg_catalog.starts_with(d.datname::text, $1::text)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)
ORDER BY d.oid";

/// What a database is called of which a name was made by nobody else at the same time.
const DUPLICATE_DATABASE: &str = "42P04";

/// The server.
pub(super) struct Server {
    config: Config,
    transport: Arc<Transport>,
}

impl Server {
    /// Reads the certificates that the settings name. Connects to nothing yet.
    pub(super) fn new(config: &Config, folder: &Path) -> Result<Self, Vec<SettingProblem>> {
        let transport = Transport::new(&config.source(&config.database), folder)?;
        Ok(Self { config: config.clone(), transport: Arc::new(transport) })
    }

    /// The name of a script's database.
    pub(super) fn name_of(&self, script: &Script) -> String {
        format!("{}{}", self.config.database_prefix, script.fingerprint())
    }

    /// The database of a script, ready to be used.
    pub(super) fn open(&self, source: &SourceName, database: &str) -> Postgres {
        let config = self.config.source(database);
        let guards = Guards::new(&config).with_search_path();
        Postgres::with(source.clone(), config, Arc::clone(&self.transport), guards)
    }

    /// Makes the database of a script, unless it is there.
    pub(super) async fn make(&self, source: &SourceName, script: &Script) -> Result<(), Error> {
        let name = self.name_of(script);
        let mut lease = self.connect(source, &self.config.database).await?;
        let connection = lease.connection()?;
        if !rows(connection, Step::with(EXISTS, [name.clone()])).await?.is_empty() {
            return Ok(());
        }
        self.sweep(connection).await?;
        let draft = format!("{}new_{}", self.config.database_prefix, unique());
        must(connection, &format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", quoted(&draft))).await?;
        let made = self.fill(source, &draft, script).await;
        let renamed = match made {
            Ok(()) => must(connection, &format!("ALTER DATABASE {} RENAME TO {}", quoted(&draft), quoted(&name))).await,
            Err(error) => Err(error),
        };
        let Err(error) = renamed else { return Ok(()) };
        // Somebody else was first, or it is of no use.
        let _ = connection.attempt(&[&drop_database(&draft)]).await?;
        match error {
            Error::Server(message) if message.code == DUPLICATE_DATABASE => Ok(()),
            error => Err(error),
        }
    }

    /// Drops a database that nobody is connected to.
    pub(super) async fn forget(&self, source: &SourceName, name: &str) -> Result<(), Error> {
        let mut lease = self.connect(source, &self.config.database).await?;
        must(lease.connection()?, &drop_database(name)).await
    }

    async fn fill(&self, source: &SourceName, database: &str, script: &Script) -> Result<(), Error> {
        let mut lease = self.connect(source, database).await?;
        let connection = lease.connection()?;
        making::make(connection, source.as_str(), script).await?;
        // It would keep the database from being renamed.
        lease.end().await;
        Ok(())
    }

    /// Drops databases that are in nobody's way and nobody's use, those of gateways that are gone.
    async fn sweep(&self, connection: &mut Connection) -> Result<(), Error> {
        let unused = rows(connection, Step::with(UNUSED, [self.config.database_prefix.clone()])).await?;
        let surplus = unused.len().saturating_sub(self.config.databases_max);
        for name in unused.iter().take(surplus) {
            connection.attempt(&[&drop_database(name)]).await?;
        }
        Ok(())
    }

    /// A connection that may write, with the time that making takes.
    async fn connect(&self, source: &SourceName, database: &str) -> Result<crate::postgres::PostgresLease, Error> {
        let mut config = self.config.source(database);
        config.statement_timeout_ms = self.config.build_seconds_max.saturating_mul(1_000).min(i32::MAX as u64);
        config.idle_seconds_max = 0;
        let guards = Guards::new(&config).for_writing();
        let postgres = Postgres::with(source.clone(), config, Arc::clone(&self.transport), guards);
        let service = postgres.service()?;
        postgres.lease_as(nobody(&service), &service, &SessionSettings::default()).await
    }
}

fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {}", quoted(name))
}

async fn must(connection: &mut Connection, text: &str) -> Result<(), Error> {
    let outcome = connection.attempt(&[text]).await?;
    outcome.into_iter().flatten().next().map_or(Ok(()), |message| Err(Error::Server(message)))
}

/// The first column of each row.
async fn rows(connection: &mut Connection, step: Step) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let ran = connection
        .run(&[step], &mut |_, row| {
            found.extend(row.text(0).map(str::to_owned));
            Ok(())
        })
        .await;
    ran.map_err(|failed| failed.error)?;
    Ok(found)
}

/// A text that no other gateway makes.
fn unique() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let hash = Sha256::digest(format!("{} {now}", std::process::id()));
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
