//! Makes the database once, as a folder of which every session gets a copy.
//!
//! Separate from the session because it runs once, in a process whose memory is then given back.

use std::fs;
use std::path::{Path, PathBuf};

use passgate_connectors::Statement;
use pglite_oxide::{ExecProtocolOptions, Pglite, PgliteBuilder};

use super::instances::InstanceDirectory;
use super::{LOGIN, Problem, Recipe, frames};

/// Statements in one transaction.
const STATEMENTS_AT_ONCE: usize = 128;

/// Makes the template of this name in `directory`, of what a file says.
pub(super) fn make(directory: &Path, name: &str, recipe: &Path) -> Result<(), Problem> {
    super::require_private_cache(directory)?;
    let Recipe { database, steps, statements } = Recipe::read(recipe).map_err(Problem::file(recipe))?;
    let instance = InstanceDirectory::create(directory)?;
    let root = instance.path().join("root");
    let create = format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\""));
    with(builder(&root).database("template1"), |server| {
        server.exec(&create, None).map_err(Problem::engine)?;
        Ok(())
    })?;
    with(builder(&root).database(&database), |server| {
        for step in &steps {
            server.exec(step, None).map_err(Problem::engine)?;
        }
        let mut left_out = 0_usize;
        for statements in statements.chunks(STATEMENTS_AT_ONCE) {
            if run_together(server, statements)? {
                continue;
            }
            for statement in statements {
                left_out += usize::from(!run(server, statement)?);
            }
        }
        if left_out > 0 {
            tracing::warn!(left_out, "the catalog that clients see lacks what could not be made");
        }
        Ok(())
    })?;
    let template = path(directory, name);
    fs::rename(&root, &template).map_err(Problem::file(&template))
}

/// Runs a statement, or what is to be tried where it fails; whether one of them did not fail.
fn run(server: &mut Pglite, statement: &Statement) -> Result<bool, Problem> {
    for text in statement.texts() {
        if run_texts(server, [text])? {
            return Ok(true);
        }
    }
    tracing::debug!(statement = statement.text, "left out");
    Ok(false)
}

/// Runs statements in one transaction; whether none failed, and otherwise nothing is left behind.
fn run_together(server: &mut Pglite, statements: &[Statement]) -> Result<bool, Problem> {
    run_texts(server, statements.iter().map(|statement| &statement.text))
}

/// Only one statement can stand in each message, and what stands before one Sync is one transaction.
fn run_texts<'a>(server: &mut Pglite, texts: impl IntoIterator<Item = &'a String>) -> Result<bool, Problem> {
    let mut batch = Vec::new();
    for text in texts {
        frames::put(&mut batch, b'P', &[&frames::texts(["", text]), &[0_u8, 0][..]].concat());
        frames::put(&mut batch, b'B', &[0; 8]);
        frames::put(&mut batch, b'E', &[0; 5]);
    }
    frames::put(&mut batch, b'S', b"");
    let answer = server.exec_protocol_raw(&batch, ExecProtocolOptions::no_sync()).map_err(Problem::engine)?;
    Ok(!frames::messages(&answer).any(|(kind, _)| kind == b'E'))
}

/// Copies a template to `root`.
pub(super) fn copy(directory: &Path, name: &str, root: &Path) -> Result<(), Problem> {
    copy_folder(&path(directory, name), root)
}

/// A server whose files are below `root`.
pub(super) fn builder(root: &Path) -> PgliteBuilder {
    // Little is written, and what is written is copied at every start.
    Pglite::builder().path(root).username(LOGIN).postgres_config("min_wal_size", "32MB")
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

fn with(builder: PgliteBuilder, work: impl FnOnce(&mut Pglite) -> Result<(), Problem>) -> Result<(), Problem> {
    let mut server = builder.open().map_err(Problem::engine)?;
    work(&mut server)?;
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
