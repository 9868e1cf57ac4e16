//! The policy folder, read and compiled.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use passgate_policy::{PolicyFile, PolicySet};

use crate::config::{Place, Problem, Severity};

const FILES_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Compiles every `*.json` file of the folder, in the order of their names.
pub(super) fn read(folder: &Path) -> Result<PolicySet, Vec<Problem>> {
    let paths = list(folder).map_err(|error| {
        let message = format!("cannot read the policy folder {}: {error}", folder.display());
        vec![problem(folder, message, Some("name a folder of *.json files, relative to the settings file"))]
    })?;
    if paths.is_empty() {
        let message = format!("there is no *.json file in the policy folder {}", folder.display());
        return Err(vec![problem(folder, message, Some("a gateway without rules is not meant: write at least one"))]);
    }
    if paths.len() > FILES_MAX {
        let message = format!("there are more than {FILES_MAX} files in the policy folder {}", folder.display());
        return Err(vec![problem(folder, message, None)]);
    }
    let (files, problems): (Vec<_>, Vec<_>) = paths.iter().map(|path| read_file(path)).partition(Result::is_ok);
    let problems: Vec<Problem> = problems.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let files: Vec<PolicyFile> = files.into_iter().filter_map(Result::ok).collect();
    passgate_policy::compile(&files, None).map_err(|problems| problems.into_iter().map(Problem::from).collect())
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX * 10) {
        let path = entry?.path();
        // Editors leave hidden files behind while they write.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path) -> Result<PolicyFile, Problem> {
    let cannot =
        |error: &dyn std::fmt::Display| problem(path, format!("cannot read {}: {error}", path.display()), None);
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| cannot(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot(&format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot(&"it is not UTF-8 text"))?;
    Ok(PolicyFile { path: path.display().to_string(), text })
}

fn problem(path: &Path, message: String, suggestion: Option<&str>) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.display().to_string(),
        at: Place::default(),
        message,
        suggestion: suggestion.map(str::to_owned),
    }
}
