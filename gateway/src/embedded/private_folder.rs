//! The folder of shadows that nobody named, removed with the gateway.
//!
//! Separate because a gateway that is killed cannot tidy up, and each leaves a few hundred megabytes: each holds a lock
//! on its folder, and whoever starts next removes those that nobody holds.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::folder_lock;

const PREFIX: &str = "passgate-shadow-";

/// A folder that has just been made may not be locked yet.
const AGE_MIN: Duration = Duration::from_secs(60);

/// A folder that nobody else can read.
pub(super) struct PrivateFolder {
    folder: TempDir,
    _lock: File,
}

impl PrivateFolder {
    /// A new one below `parent`. Those that killed gateways left there are removed meanwhile.
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        let permissions = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempdir_in(parent)?;
        let lock = folder_lock::hold(folder.path())?;
        let (owner, parent) = (fs::metadata(folder.path())?.uid(), parent.to_owned());
        // Removing takes a while where many were left.
        std::thread::Builder::new().name("sweep".to_owned()).spawn(move || {
            for path in abandoned(&parent, owner, AGE_MIN) {
                match fs::remove_dir_all(&path) {
                    Ok(()) => tracing::info!(path = %path.display(), "a folder that a killed gateway left is removed"),
                    Err(error) => tracing::warn!(path = %path.display(), %error, "an old folder cannot be removed"),
                }
            }
        })?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Folders of ours below `parent` that nobody holds any more.
fn abandoned(parent: &Path, owner: u32, age_min: Duration) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let ours = entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    ours.map(|entry| entry.path()).filter(|path| is_abandoned(path, owner, age_min)).collect()
}

fn is_abandoned(path: &Path, owner: u32, age_min: Duration) -> bool {
    // Not through links, which anybody can place in a folder that is shared.
    let is_old = |found: &Metadata| found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= age_min));
    let folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == owner && is_old(&found));
    folder && folder_lock::was_held(path) && folder_lock::is_held(path).is_ok_and(|held| !held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_folders_that_nobody_holds_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let held = PrivateFolder::create(parent.path()).unwrap();
        let owner = fs::metadata(held.path()).unwrap().uid();
        let left = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            drop(folder_lock::hold(&path).unwrap());
            path
        };
        let (killed, _other) = (left("passgate-shadow-killed"), left("somebody-else"));
        fs::create_dir(parent.path().join("passgate-shadow-unlocked")).unwrap();
        std::os::unix::fs::symlink(parent.path(), parent.path().join("passgate-shadow-link")).unwrap();
        assert_eq!(abandoned(parent.path(), owner, Duration::ZERO), [killed]);
        assert!(abandoned(parent.path(), owner, AGE_MIN).is_empty(), "it was made just now");
        assert!(abandoned(parent.path(), owner + 1, Duration::ZERO).is_empty(), "it is somebody else's");
    }
}
