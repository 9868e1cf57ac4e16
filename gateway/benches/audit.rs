//! What recording a statement costs: `cargo bench -p passgate --bench audit`. Separate from the tests because a number
//! measured on a busy machine must not fail a build; run as a test it only shows that it works.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its numbers and stops at the first surprise"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use passgate::audit::{Asker, Audit, Event, Outcome, Record, Status, Who, verify};
use passgate_policy::{Revision, SourceName};

fn main() {
    let statements = if std::env::args().any(|argument| argument == "--bench") { 200_000 } else { 2_000 };
    println!("statement = a line before it runs and a line after; about 1.7 kB together");
    for (durability, threads, statements) in
        [("written", 1, statements), ("written", 8, statements), ("synced", 1, 500), ("synced", 8, 2_000)]
    {
        let folder = tempfile::tempdir().unwrap();
        let took = run(folder.path(), durability, threads, statements);
        let each = took.as_secs_f64() * 1e6 / f64::from(statements);
        println!("{durability:8} {threads} threads: {each:8.1} µs a statement, {:8.0} a second", 1e6 / each);
        check(&folder.path().join("audit.jsonl"), statements);
    }
}

fn run(folder: &Path, durability: &str, threads: u32, statements: u32) -> Duration {
    let settings = format!(r#"[{{"type": "file", "path": "audit.jsonl", "durability": "{durability}"}}]"#);
    let audit = Audit::start(&serde_json::from_str(&settings).unwrap(), folder).unwrap();
    let asker = asker();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for number in 0..statements / threads {
                    audit.open(record(number, &asker)).unwrap().close(Outcome {
                        rows: 10,
                        bytes: 1000,
                        status: Some(Status::Ok),
                        ..Outcome::default()
                    });
                }
            });
        }
    });
    began.elapsed()
}

fn check(path: &Path, statements: u32) {
    let bytes = std::fs::metadata(path).unwrap().len();
    let began = Instant::now();
    let report = verify(path, None, None).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.lines, u64::from(statements) * 2);
    let seconds = began.elapsed().as_secs_f64();
    println!("         verified {} lines, {:.0} MB/s", report.lines, bytes as f64 / 1e6 / seconds);
}

fn asker() -> Asker {
    Asker::new(&Who {
        session_id: "0193a2f0-0000-7000-8000-000000000000",
        user: "analyst_west",
        tenant: "acme",
        authentication_method: "oidc",
        client_address: "127.0.0.1:50000",
    })
}

fn record(number: u32, asker: &Asker) -> Record {
    let query = "SELECT region, sum(amount) FROM sales.orders WHERE ordered_at >= $1 GROUP BY region ORDER BY 2 DESC";
    Record {
        event: Event::Statement,
        statement_id: format!("0193-{number:012}"),
        asker: asker.clone(),
        application_name: "psql".to_owned(),
        question: None,
        intent: "query".into(),
        source: Some(SourceName::new("warehouse")),
        query: Some(query.into()),
        parameters: Some(vec![serde_json::json!({"type": "date", "value": "2026-01-01"})]),
        validation: "allowed".into(),
        rewritten: Some(format!("{query} LIMIT 10000").into()),
        tables: ["sales.orders".to_owned()].into(),
        policy_revision: Some(Revision::new("0123456789abcdef")),
        rules: ["rule \"row_limit\" (rows.json:1)".to_owned()].into(),
        shadow: Arc::default(),
        tickets: Vec::new(),
        estimate: None,
        identity: None,
    }
}
