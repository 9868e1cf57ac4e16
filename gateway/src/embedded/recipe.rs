//! What a database is made of, written by whoever wants one and read by the process that makes it.

use std::fs;
use std::io;
use std::path::Path;

use passgate_connectors::Statement;
use serde::{Deserialize, Serialize};

/// What a database is made of.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name.
    pub database: String,
    /// SQL of several statements each, run first. None of it may fail.
    pub steps: Vec<String>,
    /// Statements that may fail, each by itself.
    pub statements: Vec<Statement>,
}

impl Recipe {
    /// Writes it to a file of a private folder.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec(self)?)
    }

    /// Reads it again.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
