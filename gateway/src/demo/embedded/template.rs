//! Makes the database once, as a folder of which every session gets a copy.
//!
//! Separate from the session because it runs once per demonstration, in a process whose memory is then given back.

use std::fs;
use std::path::{Path, PathBuf};

use pglite_oxide::{Pglite, PgliteBuilder};

use super::instances::InstanceDirectory;
use super::{DATABASE, LOGIN, Problem};

const STEPS: [&str; 3] = [include_str!("../schema.sql"), include_str!("../rows.sql"), include_str!("../access.sql")];

/// Makes the template in `directory`.
pub(super) fn prepare(directory: &Path) -> Result<(), Problem> {
    super::require_private_cache(directory)?;
    let instance = InstanceDirectory::create(directory)?;
    let root = instance.path().join("root");
    run(builder(&root).database("template1"), &[&format!("CREATE DATABASE {DATABASE}")])?;
    run(builder(&root).database(DATABASE), &STEPS)?;
    let template = path(directory);
    fs::rename(&root, &template).map_err(Problem::file(&template))
}

/// Copies the template to `root`.
pub(super) fn copy(directory: &Path, root: &Path) -> Result<(), Problem> {
    copy_folder(&path(directory), root)
}

/// A server whose files are below `root`.
pub(super) fn builder(root: &Path) -> PgliteBuilder {
    // Little is written, and what is written is copied at every start.
    Pglite::builder().path(root).username(LOGIN).postgres_config("min_wal_size", "32MB")
}

fn path(directory: &Path) -> PathBuf {
    directory.join("template")
}

fn run(builder: PgliteBuilder, steps: &[&str]) -> Result<(), Problem> {
    let mut server = builder.open().map_err(Problem::engine)?;
    for step in steps {
        server.exec(step, None).map_err(Problem::engine)?;
    }
    server.close().map_err(Problem::engine)
}

// The library keeps only what differs from its own template, so this is small. Everything is a plain file or folder.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::create_dir(to).map_err(Problem::file(to))?;
    for entry in fs::read_dir(from).map_err(Problem::file(from))? {
        let entry = entry.map_err(Problem::file(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(Problem::file(&source))?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(Problem::file(&target))?;
        }
    }
    Ok(())
}
