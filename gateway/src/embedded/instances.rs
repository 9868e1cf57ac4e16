//! One folder per running session, removed with it.
//!
//! Separate because a session that is killed cannot tidy up: each holds a lock on its folder, and whoever comes next
//! removes the folders that nobody holds.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Problem, folder_lock};

/// A session's folder.
pub(super) struct InstanceDirectory {
    path: PathBuf,
    _lock: File,
}

impl InstanceDirectory {
    /// Makes a folder below `directory`, after removing those that killed sessions left there.
    pub(super) fn create(directory: &Path) -> Result<Self, Problem> {
        let parent = directory.join("instances");
        // Not with its parents: where those are gone, the demonstration is over.
        match fs::create_dir(&parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Problem::file(&parent)(error)),
            _ => {}
        }
        // Held while folders are made and removed, so that none is seen between the two halves of being made.
        let _turn = folder_lock::hold(&parent).map_err(Problem::file(&parent))?;
        remove_abandoned(&parent)?;
        let path = parent.join(std::process::id().to_string());
        fs::create_dir(&path).map_err(Problem::file(&path))?;
        let lock = folder_lock::hold(&path).map_err(Problem::file(&path))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for InstanceDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next session, or with everything else at the end.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_abandoned(parent: &Path) -> Result<(), Problem> {
    for entry in fs::read_dir(parent).map_err(Problem::file(parent))? {
        let path = entry.map_err(Problem::file(parent))?.path();
        if path.is_dir() && !folder_lock::is_held(&path).map_err(Problem::file(&path))? {
            fs::remove_dir_all(&path).map_err(Problem::file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_nobody_holds_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let abandoned = directory.path().join("instances/1");
        fs::create_dir_all(&abandoned).unwrap();
        let instance = InstanceDirectory::create(directory.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(folder_lock::is_held(instance.path()).unwrap());
        let path = instance.path().to_owned();
        drop(instance);
        assert!(!path.exists());
    }
}
