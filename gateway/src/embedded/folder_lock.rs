//! Who works in a folder holds a lock on it, so that a folder that nobody holds is one that a killed process left.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

const LOCK: &str = ".lock";

/// Holds a folder until what this gives is dropped.
pub(super) fn hold(folder: &Path) -> io::Result<File> {
    let lock = lock_file(folder)?;
    lock.lock()?;
    Ok(lock)
}

/// Whether somebody holds it.
pub(super) fn is_held(folder: &Path) -> io::Result<bool> {
    match lock_file(folder)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether somebody ever held it.
pub(super) fn was_held(folder: &Path) -> bool {
    folder.join(LOCK).is_file()
}

fn lock_file(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))
}
