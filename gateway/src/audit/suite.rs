//! What every sink must satisfy: order, back-pressure, redaction, loss. Runs over each kind in turn, on a disk or pipe
//! that can be made to fail in mid-line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use passgate_connectors::{Bind, Witness};
use serde_json::Value;

use super::chain::Sealer;
use super::file::{FileSink, Storage};
use super::head::Head;
use super::journal::Journal;
use super::record::tests::sample;
use super::sinks::Sink;
use super::standard_output::WriterSink;
use super::*;

/// Bytes in memory, standing in for a disk or a pipe; while `full`, a write gets half of its bytes out and fails.
#[derive(Clone, Default)]
struct Medium {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
    stuck: Arc<AtomicBool>,
}

impl Medium {
    fn put(&self, bytes: &[u8], offset: usize) -> io::Result<()> {
        while self.stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let full = self.full.load(Ordering::SeqCst);
        let taken = if full { &bytes[..bytes.len() / 2] } else { bytes };
        let mut medium = self.bytes.lock().unwrap();
        let length = medium.len().max(offset + taken.len());
        medium.resize(length, 0);
        medium[offset..offset + taken.len()].copy_from_slice(taken);
        if full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl Storage for Medium {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset.try_into().unwrap())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().truncate(length.try_into().unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn check(&self, length: u64) -> io::Result<()> {
        assert_eq!(self.bytes.lock().unwrap().len() as u64, length, "a failed write was left behind");
        Ok(())
    }
}

/// A medium that cannot be cut back, and says how much got out before it says that no more will.
struct Pipe {
    medium: Medium,
    failing: bool,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.medium.bytes.lock().unwrap().len();
        match self.medium.put(if self.failing { &[] } else { bytes }, end) {
            Ok(()) => {
                self.failing = false;
                Ok(bytes.len())
            }
            Err(error) if self.failing => {
                self.failing = false;
                Err(error)
            }
            Err(_) => {
                self.failing = true;
                Ok(bytes.len() / 2)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One kind of sink over a medium.
struct Case {
    kind: &'static str,
    medium: Medium,
    head: Medium,
    audit: Audit,
}

const KINDS: [&str; 2] = ["file", "stdout"];

impl Case {
    fn new(kind: &'static str) -> Self {
        Self::with(kind, true, 1 << 20)
    }

    fn with(kind: &'static str, required: bool, unwritten_bytes_max: usize) -> Self {
        let (medium, head) = (Medium::default(), Medium::default());
        let sink = sink(kind, &medium, &head);
        let journal = Journal::new(vec![(kind.to_owned(), required, sink)], unwritten_bytes_max);
        let audit = Audit { journal: Arc::new(journal), parameters: Parameters::Full, query_bytes_max: 65_536 };
        Self { kind, medium, head, audit }
    }

    fn all() -> impl Iterator<Item = Self> {
        KINDS.into_iter().map(Self::new)
    }

    fn fill_up(&self, full: bool) {
        self.medium.full.store(full, Ordering::SeqCst);
    }

    fn text(&self) -> String {
        String::from_utf8(self.medium.bytes.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// (statement, status) of every line. What a pipe failed to take as a whole is there again.
    fn steps(&self) -> Vec<(String, String)> {
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let mut steps: Vec<_> =
            self.lines().iter().map(|line| (text(line, "statement_id"), text(line, "status"))).collect();
        steps.dedup();
        steps
    }

    /// Verifies what is on the medium. A pipe may hold an unfinished line; it cannot be cut back.
    fn assert_intact(&self) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let whole: String =
            self.text().lines().filter(|line| line.ends_with("\"}")).map(|line| format!("{line}\n")).collect();
        let (text, head) = if self.kind == "file" {
            (self.text(), self.head.bytes.lock().unwrap().clone())
        } else {
            let last: Value = serde_json::from_str(whole.lines().last().unwrap()).unwrap();
            let last = Link {
                sequence: last["sequence"].as_u64().unwrap(),
                hash: last["hash"].as_str().unwrap().parse().unwrap(),
            };
            let head = Head { after: Link::default(), last, bytes: whole.len() as u64 };
            (whole, head.write(&Sealer::new(None)).into_bytes())
        };
        std::fs::write(&path, text).unwrap();
        std::fs::write(Head::path(&path), head).unwrap();
        let report = verify(&path, None, None).unwrap();
        assert!(report.is_intact(), "{}: {report}", self.kind);
    }
}

/// How long the reader of standard output may take; as no test waits for it but one, long enough for a busy machine.
const READER_WAIT_MAX: Duration = Duration::from_secs(2);

fn sink(kind: &str, medium: &Medium, head: &Medium) -> Box<dyn Sink> {
    let sealer = Sealer::new(None);
    match kind {
        "file" => Box::new(FileSink::new(
            PathBuf::from("audit.jsonl"),
            sealer,
            Box::new(medium.clone()),
            Box::new(head.clone()),
            Head::default(),
        )),
        "stdout" => {
            let pipe = Pipe { medium: medium.clone(), failing: false };
            Box::new(WriterSink::start(Box::new(pipe), sealer, READER_WAIT_MAX).unwrap())
        }
        other => panic!("no case for the sink {other}"),
    }
}

fn ok(rows: u64) -> Outcome {
    Outcome { rows, status: Some(Status::Ok), ..Outcome::default() }
}

fn step(statement: &str, status: &str) -> (String, String) {
    (statement.to_owned(), status.to_owned())
}

#[test]
fn every_kind_of_sink_is_in_the_suite() {
    assert_eq!(SINKS.iter().map(|row| row.kind).collect::<Vec<_>>(), KINDS);
}

#[test]
fn order_a_statement_is_recorded_before_it_runs_and_again_when_it_ends() {
    for case in Case::all() {
        let mut receipt = case.audit.open(sample("s1", "SELECT 1")).unwrap();
        assert_eq!(case.steps(), [step("s1", "started")], "{}", case.kind);
        receipt.witness(&Arc::new(Witness { session_user: "svc".into(), current_user: "analyst_west".into() }));
        case.audit
            .note(sample("s2", "DROP TABLE t"), Outcome { status: Some(Status::Denied), ..Default::default() })
            .unwrap();
        receipt.close(ok(3));
        assert_eq!(case.steps(), [step("s1", "started"), step("s2", "denied"), step("s1", "ok")], "{}", case.kind);
        let end = &case.lines()[2];
        assert_eq!((&end["rows_returned"], &end["witnessed"]["current_user"]), (&3.into(), &"analyst_west".into()));
        assert_eq!(end["sequence"], 3);
        case.assert_intact();
    }
}

#[test]
fn order_a_receipt_that_is_dropped_says_the_client_went_away() {
    for case in Case::all() {
        drop(case.audit.open(sample("s1", "SELECT 1")).unwrap());
        assert_eq!(case.steps(), [step("s1", "started"), step("s1", "abandoned")], "{}", case.kind);
    }
}

#[test]
fn loss_a_sink_that_cannot_take_a_record_refuses_the_statement() {
    for case in Case::all() {
        case.fill_up(true);
        let error = case.audit.open(sample("s1", "SELECT 1")).unwrap_err();
        assert_eq!((error.sqlstate(), error.message()), ("58030", "could not record the statement".to_owned()));
        assert_eq!(error.detail(), Some(format!("The audit sink \"{}\" failed: there is no space left.", case.kind)));
        assert!(error.hint().is_some());
        case.audit.note(sample("s2", "DROP TABLE t"), ok(0)).unwrap_err();
        case.fill_up(false);
        case.audit.note(sample("s3", "SELECT 1"), ok(0)).unwrap();
        assert_eq!(case.steps(), [step("s3", "ok")], "{}", case.kind);
        case.assert_intact();
    }
}

#[test]
fn loss_outcomes_wait_for_the_sink_and_come_first_when_it_is_back() {
    for case in Case::all() {
        let receipts = ["s1", "s2"].map(|id| case.audit.open(sample(id, "SELECT 1")).unwrap());
        case.fill_up(true);
        receipts.into_iter().for_each(|receipt| receipt.close(ok(7)));
        case.audit.open(sample("s3", "SELECT 1")).unwrap_err();
        case.fill_up(false);
        drop(case.audit.open(sample("s4", "SELECT 1")).unwrap());
        let expected =
            [("s1", "started"), ("s2", "started"), ("s1", "ok"), ("s2", "ok"), ("s4", "started"), ("s4", "abandoned")];
        assert_eq!(case.steps(), expected.map(|(id, status)| step(id, status)), "{}", case.kind);
        case.assert_intact();
    }
}

#[test]
fn loss_outcomes_that_wait_are_written_when_the_gateway_stops() {
    for case in Case::all() {
        let receipt = case.audit.open(sample("s1", "SELECT 1")).unwrap();
        case.fill_up(true);
        receipt.close(ok(7));
        case.fill_up(false);
        let Case { kind, medium, head, audit } = case;
        drop(audit);
        let case = Case { medium, head, ..Case::new(kind) };
        assert_eq!(case.steps(), [step("s1", "started"), step("s1", "ok")], "{kind}");
    }
}

#[test]
fn back_pressure_no_statement_runs_without_room_for_its_outcome() {
    for kind in KINDS {
        let case = Case::with(kind, true, 20_000);
        let receipts = ["s1", "s2"].map(|id| case.audit.open(sample(id, "SELECT 1")).unwrap());
        let error = case.audit.open(sample("s3", "SELECT 1")).unwrap_err();
        assert!(error.detail().unwrap().contains("20000 bytes"), "{error:?}");
        case.fill_up(true);
        receipts.into_iter().for_each(|receipt| receipt.close(ok(1)));
        case.audit.open(sample("s4", "SELECT 1")).unwrap_err();
        case.fill_up(false);
        case.audit.note(sample("s5", "SELECT 1"), ok(0)).unwrap();
        case.audit.open(sample("s6", "SELECT 1")).unwrap();
        case.assert_intact();
    }
}

#[test]
fn back_pressure_an_optional_sink_never_refuses_and_counts_what_it_lost() {
    for kind in KINDS {
        let case = Case::with(kind, false, 1 << 20);
        case.fill_up(true);
        let query = "x".repeat(60_000);
        for _ in 0..30 {
            case.audit.note(sample("s1", &query), ok(0)).unwrap();
        }
        case.fill_up(false);
        case.audit.note(sample("s2", "SELECT 1"), ok(0)).unwrap();
        let lines = case.lines();
        let lost = lines.iter().find(|line| line["event"] == "records_lost").unwrap();
        if kind == "file" {
            assert_eq!(lost["error"], format!("{} records were lost while this sink was failing", 32 - lines.len()));
        }
        assert!(lines.len() < 32, "{kind}: {}", lines.len());
        case.assert_intact();
    }
}

#[test]
fn redaction_values_do_not_reach_a_sink_unless_the_settings_let_them() {
    let bind = Bind { parameters: vec![Some(Bytes::from_static(b"123-45-6789"))], ..Bind::default() };
    for kind in KINDS {
        for (parameters, seen) in [(Parameters::Full, true), (Parameters::Types, false), (Parameters::None, false)] {
            let mut case = Case::new(kind);
            case.audit.parameters = parameters;
            let record = Record { parameters: case.audit.parameters_as(&[25], &bind), ..sample("s1", "SELECT $1") };
            case.audit.open(record).unwrap().close(ok(1));
            assert_eq!(case.text().contains("123-45-6789"), seen, "{kind} {parameters:?}");
        }
    }
}

#[test]
fn a_promise_that_only_some_sinks_have_is_taken_back() {
    let media = [Medium::default(), Medium::default()];
    let head = Medium::default();
    let sinks = vec![
        ("file".to_owned(), true, sink("file", &media[0], &head)),
        ("stdout".to_owned(), true, sink("stdout", &media[1], &head)),
    ];
    let journal = Arc::new(Journal::new(sinks, 1 << 20));
    let audit = Audit { journal, parameters: Parameters::Full, query_bytes_max: 65_536 };
    media[1].full.store(true, Ordering::SeqCst);
    audit.open(sample("s1", "SELECT 1")).unwrap_err();
    let case = Case { kind: "file", medium: media[0].clone(), head, audit };
    assert_eq!(case.steps(), [step("s1", "started"), step("s1", "failed")]);
    assert_eq!(case.lines()[1]["sqlstate"], "58030");
    case.assert_intact();
}

#[test]
fn a_reader_that_stops_reading_holds_nobody_up_for_long() {
    let case = Case::new("stdout");
    case.medium.stuck.store(true, Ordering::SeqCst);
    let error = case.audit.open(sample("s1", "SELECT 1")).unwrap_err();
    assert!(error.detail().unwrap().contains("did not take the record in time"), "{error:?}");
    let again = std::time::Instant::now();
    case.audit.open(sample("s2", "SELECT 1")).unwrap_err();
    assert!(again.elapsed() < READER_WAIT_MAX, "it waits for the reader once, not each time");
    case.medium.stuck.store(false, Ordering::SeqCst);
    let written = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        case.audit.note(sample("s3", "SELECT 1"), ok(0)).is_ok()
    });
    assert!(written, "the reader is back");
    case.assert_intact();
}

fn start(settings: &str, folder: &Path) -> Result<Audit, StartError> {
    Audit::start(&serde_json::from_str(settings).unwrap(), folder)
}

fn log_of(records: usize, settings: &str, folder: &Path) -> PathBuf {
    let audit = start(settings, folder).unwrap();
    for number in 0..records {
        audit.note(sample(&format!("s{number}"), "SELECT 1"), ok(0)).unwrap();
    }
    folder.join("audit.jsonl")
}

const PLAIN: &str = r#"[{"type": "file", "path": "audit.jsonl"}]"#;

#[test]
fn eight_threads_write_one_chain() {
    for durability in ["written", "synced"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(r#"[{{"type": "file", "path": "audit.jsonl", "durability": "{durability}"}}]"#);
        let audit = start(&settings, folder.path()).unwrap();
        let each = if durability == "synced" { 20 } else { 1000 };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let audit = &audit;
                scope.spawn(move || {
                    for number in 0..each {
                        audit.open(sample(&format!("{thread}-{number}"), "SELECT 1")).unwrap().close(ok(1));
                    }
                });
            }
        });
        let report = verify(&folder.path().join("audit.jsonl"), None, None).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!((report.lines, report.unfinished.len()), (8 * each * 2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_may_be_used_from_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let audit = start(r#"[{"type": "file", "path": "audit.jsonl", "durability": "synced"}]"#, folder.path()).unwrap();
    let tasks = (0..8).map(|task| {
        let audit = audit.clone();
        tokio::spawn(async move { drop(audit.open(sample(&format!("s{task}"), "SELECT 1")).unwrap()) })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(verify(&folder.path().join("audit.jsonl"), None, None).unwrap().is_intact());
}

#[test]
fn a_log_goes_on_where_it_ended_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    log_of(3, PLAIN, folder.path());
    let path = log_of(3, PLAIN, folder.path());
    let report = verify(&path, None, None).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.lines, report.last.sequence), (6, 6));
    for file in [&path, &Head::path(&path)] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_log_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let _first = start(PLAIN, folder.path()).unwrap();
    let error = start(PLAIN, folder.path()).unwrap_err();
    assert!(error.message.contains("another process writes it"), "{error:?}");
}

#[test]
fn a_log_that_was_touched_is_not_continued() {
    type Touch = fn(&Path, Vec<u8>);
    let touches: [(&str, Touch); 5] = [
        ("ends at byte", |path, text| std::fs::write(path, &text[..text.len() - 1]).unwrap()),
        ("last line is not", |path, mut text| {
            let at = text.len() - 200;
            text[at] ^= 1;
            std::fs::write(path, text).unwrap();
        }),
        ("does not belong there", |path, text| std::fs::write(path, [text, b"{}\n".to_vec()].concat()).unwrap()),
        ("it is gone", |path, _| std::fs::remove_file(path).unwrap()),
        ("head is missing", |path, _| std::fs::remove_file(Head::path(path)).unwrap()),
    ];
    for (expected, touch) in touches {
        let folder = tempfile::tempdir().unwrap();
        let path = log_of(3, PLAIN, folder.path());
        touch(&path, std::fs::read(&path).unwrap());
        let error = start(PLAIN, folder.path()).unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {error:?}");
        assert!(error.hint.contains("passgate audit verify"), "{error:?}");
    }
}

#[test]
fn what_a_crash_left_is_recovered_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(2, PLAIN, folder.path());
    let head = std::fs::read(Head::path(&path)).unwrap();
    log_of(1, PLAIN, folder.path());
    // As if the process had died after writing line 3 and half of line 4, before it wrote the head.
    std::fs::write(Head::path(&path), head).unwrap();
    let text = [std::fs::read(&path).unwrap(), b"{\"timestamp\":\"2026".to_vec()].concat();
    std::fs::write(&path, text).unwrap();
    log_of(1, PLAIN, folder.path());
    let report = verify(&path, None, None).unwrap();
    assert!(report.is_intact(), "{report}");
    let text = std::fs::read_to_string(&path).unwrap();
    let recovered: Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
    assert_eq!(recovered["event"], "log_recovered");
    assert_eq!(recovered["torn"], "{\"timestamp\":\"2026");
    assert_eq!(text.lines().count(), 5);
}

#[test]
fn a_log_that_is_moved_or_cut_while_it_is_written_refuses_statements() {
    for touch in [
        |path: &Path| std::fs::rename(path, path.with_extension("moved")).unwrap(),
        |path: &Path| std::fs::write(path, "").unwrap(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let audit = start(PLAIN, folder.path()).unwrap();
        audit.note(sample("s1", "SELECT 1"), ok(0)).unwrap();
        touch(&folder.path().join("audit.jsonl"));
        audit.note(sample("s2", "SELECT 1"), ok(0)).unwrap_err();
    }
}

/// With a real file system: `mount -t tmpfs -o size=256k none DIR; PASSGATE_SMALL_DISK=DIR cargo test -- --ignored`.
#[test]
#[ignore = "needs a small file system of its own"]
fn a_real_disk_that_fills_up_refuses_statements_until_there_is_room() {
    let folder = PathBuf::from(std::env::var("PASSGATE_SMALL_DISK").unwrap());
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 150_000]).unwrap();
    let audit = start(PLAIN, &folder).unwrap();
    let mut receipts = Vec::new();
    let error = loop {
        match audit.open(sample(&format!("s{}", receipts.len()), "SELECT 1")) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => break error,
        }
    };
    assert_eq!(error.detail().unwrap(), "The audit sink \"file\" failed: there is no space left.");
    let ran = receipts.len() as u64;
    assert!(ran > 50, "{ran}");
    receipts.into_iter().for_each(|receipt| receipt.close(ok(1)));
    audit.open(sample("refused", "SELECT 1")).unwrap_err();
    assert!(verify(&folder.join("audit.jsonl"), None, None).unwrap().is_intact());
    std::fs::remove_file(ballast).unwrap();
    audit.note(sample("after", "SELECT 1"), ok(0)).unwrap();
    let report = verify(&folder.join("audit.jsonl"), None, None).unwrap();
    assert!(report.is_intact() && report.unfinished.is_empty(), "{report}");
    assert_eq!(report.lines, 2 * ran + 1);
}

#[test]
fn a_log_that_is_set_aside_is_continued_by_the_next_file() {
    let settings = r#"[{"type": "file", "path": "audit.jsonl", "rotate_bytes": 5000, "chain_key": "k"}]"#;
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(30, settings, folder.path());
    let mut logs: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|log| log.extension().is_none_or(|extension| extension != "head"));
    logs.sort();
    assert!(logs.len() >= 3, "{logs:?}");
    let key = passgate_connectors::Secret::new("k");
    let mut lines = 0;
    for log in &logs {
        let report = verify(log, Some(&key), None).unwrap();
        assert!(report.is_intact(), "{report}");
        lines += report.lines;
    }
    assert_eq!(lines, 30);
    // Broken off between the two renames, and after both.
    let aside = logs.last().unwrap().clone();
    assert_eq!(logs[0], path);
    for head_is_back in [true, false] {
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(Head::path(&path)).unwrap();
        let end = verify(&aside, Some(&key), None).unwrap().last;
        if head_is_back {
            std::fs::rename(Head::path(&aside), Head::path(&path)).unwrap();
        }
        log_of(1, settings, folder.path());
        assert_eq!(verify(&path, Some(&key), None).unwrap().last.sequence, end.sequence + 1);
    }
}

#[test]
fn settings_are_a_list_or_a_mapping_and_mistakes_are_named() {
    let read = |text: &str| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
    assert!(read(PLAIN).unwrap().has_sinks());
    let long = read(&format!(r#"{{"parameters": "types", "sinks": {PLAIN}}}"#)).unwrap();
    assert_eq!((long.parameters, long.sinks.len()), (Parameters::Types, 1));
    for (text, expected) in [
        (r#"[{"type": "fil", "path": "x"}]"#, "unknown sink type \"fil\"; there are: file, stdout"),
        (r#"[{"path": "x"}]"#, "missing field `type`"),
        (r#"[{"type": "file"}]"#, "missing field `path`"),
        (r#"[{"type": "file", "path": "x", "durable": 1}]"#, "unknown field `durable`"),
        (r#"{"sink": []}"#, "unknown field `sink`"),
        (r#"{"query_bytes_max": 99999999}"#, "query_bytes_max is at most 1048576"),
        ("3", "a list of audit sinks, or a mapping"),
    ] {
        let problem = read(text).unwrap_err();
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    let secret = read(r#"[{"type": "file", "path": "x", "chain_key": "hunter2"}]"#).unwrap();
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[test]
fn the_settings_reference_names_every_key() {
    let schema = serde_json::to_string(&schemars::schema_for!(Config)).unwrap();
    for key in ["\"type\"", "\"required\"", "\"path\"", "\"durability\"", "\"write_timeout_ms\"", "\"parameters\""] {
        assert!(schema.contains(key), "{key}: {schema}");
    }
}
