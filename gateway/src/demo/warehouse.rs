//! The embedded warehouse as the gateway sees it: a program to start, once for making the database and then once for
//! every connection.
//!
//! Separate from `embedded`, which is that program: the two share nothing but a folder and a command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::Error;
use super::embedded::{CACHE_VARIABLES, DATABASE, LOGIN};

const PREPARE_SECONDS_MAX: u64 = 120;

/// A prepared warehouse.
pub(super) struct Warehouse {
    program: PathBuf,
    directory: PathBuf,
}

impl Warehouse {
    /// Makes the database below `directory`.
    pub(super) async fn prepare(directory: &Path) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Program)?;
        let directory = directory.to_owned();
        let warehouse = Self { program, directory };
        let mut child = Command::new(&warehouse.program)
            .args(warehouse.arguments())
            .arg("--prepare")
            .envs(warehouse.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::Program)?;
        let status = tokio::time::timeout(Duration::from_secs(PREPARE_SECONDS_MAX), child.wait())
            .await
            .map_err(|_| Error::WarehouseTimeout { seconds: PREPARE_SECONDS_MAX })?
            .map_err(Error::Program)?;
        if status.success() { Ok(warehouse) } else { Err(Error::Warehouse { status }) }
    }

    /// The entry of `databases` in the settings file.
    pub(super) fn settings(&self) -> Value {
        json!({
            "name": DATABASE,
            "type": "postgres",
            "database": DATABASE,
            "auth_mode": "impersonate",
            "user": LOGIN,
            "schema_name": "public",
            "impersonation": { "statement": "session_authorization", "role": "name" },
            // Each connection is a process of about 200 MB, which starts in a moment.
            "connections_max": 8,
            "connections_per_person_max": 3,
            "idle_seconds_max": 120,
            "statement_timeout_ms": 30_000,
            "child": {
                "program": self.program,
                "arguments": self.arguments(),
                "environment": self.environment(),
            },
        })
    }

    fn arguments(&self) -> Vec<String> {
        let directory = self.directory.to_string_lossy().into_owned();
        vec!["embedded-postgres".to_owned(), "--directory".to_owned(), directory]
    }

    fn environment(&self) -> BTreeMap<&'static str, PathBuf> {
        let cache = self.directory.join("cache");
        CACHE_VARIABLES.into_iter().map(|name| (name, cache.clone())).collect()
    }
}
