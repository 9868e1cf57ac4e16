//! A policy folder: which of its files are what.
//!
//! Separate from compiling because the program reads the same folder to serve, to test and to compare.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use passgate_policy::PolicyFile;

/// Files that a folder may hold.
const FILES_MAX: usize = 1_000;

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The file that says what the tests' source holds.
pub const CATALOG: &str = "catalog.json";

/// What a folder holds, in the order of names.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Policies, and `tags.json`.
    pub policies: Vec<PolicyFile>,
    /// `*.test.json`.
    pub cases: Vec<PolicyFile>,
    /// `catalog.json`.
    pub catalog: Option<PolicyFile>,
}

/// A file or folder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<&'static str>,
}

impl Folder {
    /// Reads every `*.json` and `*.jsonc` file of a folder, or says everything that cannot be read. Messages call the
    /// files by their path without `shown_from` at its start.
    pub fn read(folder: &Path, shown_from: &Path) -> Result<Self, Vec<Unreadable>> {
        let fault = |message: String, hint| vec![Unreadable { path: folder.to_owned(), message, hint }];
        let paths = list(folder).map_err(|error| {
            let message = format!("cannot read the policy folder {}: {error}", folder.display());
            fault(message, Some("name a folder of *.json files, relative to the settings file"))
        })?;
        if paths.len() > FILES_MAX {
            let message = format!("there are more than {FILES_MAX} files in the policy folder {}", folder.display());
            return Err(fault(message, None));
        }
        let mut read = Self::default();
        let mut faults = Vec::new();
        for path in paths {
            match text(&path) {
                Ok(text) => {
                    let shown = path.strip_prefix(shown_from).unwrap_or(&path).display().to_string();
                    read.add(&path, PolicyFile { path: shown, text });
                }
                Err(message) => faults.push(Unreadable { path, message, hint: None }),
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn add(&mut self, path: &Path, file: PolicyFile) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == CATALOG {
            self.catalog = Some(file);
        } else if name.ends_with(".test.json") || name.ends_with(".test.jsonc") {
            self.cases.push(file);
        } else {
            self.policies.push(file);
        }
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX * 10) {
        let path = entry?.path();
        // Editors leave hidden files behind while they write.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let read = path.extension().is_some_and(|extension| extension == "json" || extension == "jsonc");
        if !hidden && read {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> Result<String, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| cannot(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot(&format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| cannot(&"it is not UTF-8 text"))
}
