//! The embedded PostgreSQL as the gateway sees it: a program to start, once for making a database and then once for every
//! session in it.
//!
//! Separate from the rest of the room, which is that program: the two share nothing but a folder and a command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use passgate_connectors::postgres::Child;
use tokio::process::Command;

use super::{CACHE_VARIABLES, Recipe, TEMPLATE};

const MAKE_SECONDS_MAX: u64 = 120;

/// This program, with a folder for its databases.
#[derive(Clone, Debug)]
pub struct Program {
    program: PathBuf,
    directory: PathBuf,
}

impl Program {
    /// With this folder, which has to be there, be absolute, and be nobody else's to write to.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Program)?;
        Ok(Self { program, directory: directory.to_owned() })
    }

    /// Makes a database, under a name that is a file's.
    pub async fn make(&self, template: &str, recipe: &Recipe) -> Result<(), Error> {
        let file = self.directory.join(format!("{template}.json"));
        recipe.write(&file).map_err(Error::Recipe)?;
        let made = self.run(template, &file).await;
        // It is of no use any more, and stands in nobody's way.
        let _ = tokio::fs::remove_file(&file).await;
        made
    }

    async fn run(&self, template: &str, file: &Path) -> Result<(), Error> {
        let serve = self.child(template);
        let mut child = Command::new(&serve.program)
            .args(&serve.arguments)
            .arg("--make")
            .arg(file)
            .envs(&serve.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::Program)?;
        let status = tokio::time::timeout(Duration::from_secs(MAKE_SECONDS_MAX), child.wait())
            .await
            .map_err(|_| Error::Timeout { seconds: MAKE_SECONDS_MAX })?
            .map_err(Error::Program)?;
        if status.success() { Ok(()) } else { Err(Error::Ended { status }) }
    }

    /// Whether a database of this name has been made.
    pub fn has(&self, template: &str) -> bool {
        self.directory.join(template).is_dir()
    }

    /// Removes a database.
    pub fn remove(&self, template: &str) {
        // What cannot be removed now is removed with the folder.
        let _ = std::fs::remove_dir_all(self.directory.join(template));
    }

    /// Removes every database; the native code, which takes long to make, stays.
    pub fn remove_all(&self) {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if is_fingerprint(&name) {
                self.remove(&name);
            }
        }
    }

    /// What starts a session in a database.
    pub fn child(&self, template: &str) -> Child {
        let mut arguments = vec!["embedded-postgres".to_owned(), "--directory".to_owned(), shown(&self.directory)];
        if template != TEMPLATE {
            arguments.extend(["--template".to_owned(), template.to_owned()]);
        }
        let cache = self.directory.join("cache");
        let environment: BTreeMap<String, String> =
            CACHE_VARIABLES.into_iter().map(|name| (name.to_owned(), shown(&cache))).collect();
        Child { program: shown(&self.program), arguments, environment }
    }
}

/// Whether this is what the database of a script is called; there is no other name of that form.
fn is_fingerprint(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Why there is no embedded PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This program cannot be started a second time.
    #[error("cannot start the embedded PostgreSQL: {0}")]
    Program(#[source] std::io::Error),
    /// What the database is made of cannot be written down.
    #[error("cannot write for the embedded PostgreSQL: {0}")]
    Recipe(#[source] std::io::Error),
    /// The database was not made.
    #[error("the embedded PostgreSQL ended with {status}; its own words are above")]
    Ended {
        /// How it ended.
        status: ExitStatus,
    },
    /// Making the database took too long.
    #[error("the embedded PostgreSQL was not ready after {seconds} seconds")]
    Timeout {
        /// How long it had.
        seconds: u64,
    },
}
