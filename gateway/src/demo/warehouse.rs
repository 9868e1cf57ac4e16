//! The demonstration's warehouse: an embedded PostgreSQL with a few tables, a process for every connection.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Error;
use crate::embedded::{LOGIN, Program, Recipe, TEMPLATE};

/// The database that holds the demonstration's tables.
pub(super) const DATABASE: &str = "demo";

const STEPS: [&str; 3] = [include_str!("schema.sql"), include_str!("rows.sql"), include_str!("access.sql")];

/// A prepared warehouse.
pub(super) struct Warehouse {
    program: Program,
    directory: PathBuf,
}

impl Warehouse {
    /// Makes the database below `directory`.
    pub(super) async fn prepare(directory: &Path) -> Result<Self, Error> {
        let program = Program::new(directory)?;
        let steps = STEPS.map(str::to_owned).to_vec();
        program.make(TEMPLATE, &Recipe { database: DATABASE.to_owned(), steps, statements: Vec::new() }).await?;
        Ok(Self { program, directory: directory.to_owned() })
    }

    /// The folder that its processes work in; others may, too.
    pub(super) fn folder(&self) -> &Path {
        &self.directory
    }

    /// The entry of `databases` in the settings file.
    pub(super) fn settings(&self) -> Value {
        let child = self.program.child(TEMPLATE);
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
                "program": child.program,
                "arguments": child.arguments,
                "environment": child.environment,
            },
        })
    }
}
