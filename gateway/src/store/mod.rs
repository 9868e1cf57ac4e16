//! The gateway's own state: what must survive a restart and belongs to no source.
//!
//! ```text
//! tickets   statements that wait for an approval, and what became of them
//! accesses  who has read which source before
//! ```
//!
//! A SQLite file by default; a PostgreSQL when several gateways share it. `database` hides the difference, `schema` makes
//! the tables, and the rest is one file a table. It keeps and finds; what a ticket means is `approvals`' business.

mod accesses;
mod database;
mod schema;
#[cfg(test)]
mod tests;
mod tickets;

use std::path::{Path, PathBuf};

use passgate_connectors::Secret;
use sha2::{Digest, Sha256};

use crate::error::ClientError;
use database::Database;

pub use tickets::{Ask, Binding, Opened, State, Ticket, Verdict};

/// Where the gateway keeps its own state: tickets of held statements, and who has read which source before.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Store")]
pub struct Config {
    /// A SQLite file, relative to the settings file; it is made if it is not there, for the gateway's eyes only, and
    /// belongs to one gateway. Default: `passgate.sqlite`.
    pub path: Option<PathBuf>,
    /// In place of the file, a PostgreSQL that several gateways share: `postgres://user:password@host/database`. The
    /// server must prove who it is unless `?sslmode=` says otherwise; `&sslrootcert=` names a certificate authority of
    /// your own. Default: none.
    pub url: Option<Secret>,
}

impl Config {
    /// What is wrong with it, with the key that is wrong.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        match (&self.path, &self.url) {
            (Some(_), Some(_)) => Some(("path", "either \"path\" or \"url\" is given, not both".to_owned())),
            (None, Some(url)) => match database::server_options(url.expose()) {
                Ok(_) => None,
                // The library's own words may repeat the URL, and with it the password.
                Err(_) => Some(("url", "this is not a postgres:// URL".to_owned())),
            },
            _ => None,
        }
    }
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    database: Database,
    accesses: accesses::Accesses,
}

/// The store cannot be opened, or does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database says so.
    #[error("the gateway's own store failed")]
    Database(#[from] sqlx::Error),
    /// It was written by a newer gateway.
    #[error("the store has been written by a newer gateway (step {step}, and this one knows {known})")]
    TooNew {
        /// What it has.
        step: i64,
        /// What is known here.
        known: i64,
    },
    /// What was written cannot be read.
    #[error("the gateway's own store holds what cannot be read in {0}")]
    Unreadable(&'static str),
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        "58030"
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn hint(&self) -> Option<String> {
        Some("Try again; if it persists, tell whoever runs the gateway.".to_owned())
    }
}

impl Error {
    /// What an operator needs and a client must not see.
    pub fn cause(&self) -> String {
        match self {
            Self::Database(error) => error.to_string(),
            Self::TooNew { .. } | Self::Unreadable(_) => self.to_string(),
        }
    }
}

impl Store {
    /// Opens the store and brings its tables up to date. Relative paths begin in `folder`.
    pub async fn open(config: &Config, folder: &Path) -> Result<Self, Error> {
        let database = match (&config.url, &config.path) {
            (Some(url), _) => Database::connect(url).await?,
            (None, Some(path)) => Database::open_file(&folder.join(path)).await?,
            (None, None) => Database::open_file(&folder.join("passgate.sqlite")).await?,
        };
        schema::migrate(&database).await?;
        Ok(Self { database, accesses: accesses::Accesses::default() })
    }

    /// Whether other gateways may change it, so that waiting for a change means looking again.
    pub fn is_shared(&self) -> bool {
        self.database.is_shared()
    }
}

/// A fingerprint of texts, in hexadecimal digits: different lists of texts have different ones.
pub fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
