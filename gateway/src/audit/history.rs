//! Reading back what the log says of estimates and what came of them, so that a restart forgets nothing of how far a
//! source's estimates can be trusted. Separate from verifying, which trusts no line.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// So much of the end of a log is read: some thousand statements.
const BYTES_MAX: u64 = 8 << 20;

/// A statement of which an estimate was made, and what came of it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Estimated {
    /// The source.
    pub source: String,
    /// The source's estimate.
    pub estimate: RecordedEstimate,
    /// The rows that were answered.
    #[serde(rename = "rows_returned")]
    pub rows: u64,
    status: String,
}

/// An estimate, as recorded: the source's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RecordedEstimate {
    /// Rows.
    pub rows: f64,
    /// Bytes read.
    pub bytes: f64,
    /// In the source's units.
    pub cost_units: f64,
}

/// The statements at the end of a log that ran to their end and had an estimate.
pub(super) fn read(path: &Path) -> Vec<Estimated> {
    let text = tail(path).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("\"estimate\":{"));
    let estimated = lines.filter_map(|line| serde_json::from_str::<Estimated>(line).ok());
    estimated.filter(|estimated| estimated.status == "ok").collect()
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_to_its_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let line = |status: &str, rows: u64| {
            format!(
                r#"{{"event":"statement","source":"w","estimate":{{"rows":5.0,"bytes":1.0,"cost_units":2.5}},"rows_returned":{rows},"status":"{status}"}}"#
            )
        };
        let text = format!("cut off\n{}\n{}\n{{\"source\":\"w\"}}\n", line("ok", 7), line("cancelled", 9));
        std::fs::write(&path, text).unwrap();
        let found = read(&path);
        assert_eq!(found.iter().map(|found| found.rows).collect::<Vec<_>>(), [7]);
        assert!(read(&folder.path().join("none")).is_empty());
    }
}
