//! PREPARE, cursors and COPY: what is decided and recorded, and whose connection it takes. What they answer plays against
//! PostgreSQL too, in `tests/wire`.

use std::path::Path;

use passgate_connectors::Batch;

use super::client::World;
use super::division_by_zero;
use super::fake::{Script, rows};

const NO_LOWER: &str = r#"{ "name": "no-lower", "action": "block", "message": "not today",
    "condition": { "functions_referenced": { "contains_any": ["lower"] } } }"#;
const FEW: &str = r#"{ "name": "few", "check": "row_limit", "rows": 5 }"#;
const REFUSED: &str = "ErrorResponse ERROR 42501 not today";
const LIMITED: &str = "NoticeResponse NOTICE 00000 the answer ends at 5 rows, and there may be more";
const REVOKED: &str = "ErrorResponse ERROR 42501 the policies that allowed this statement no longer hold";

fn done(tag: &str) -> Vec<Batch> {
    vec![Batch::Done { tag: tag.to_owned() }]
}

/// Intent, status and statement of every record.
fn records(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let word = |record: &serde_json::Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    records
        .filter(|record| record["event"] == "statement" && record["status"] != "started")
        .map(|record| format!("{} {} {}", word(&record, "intent"), word(&record, "status"), word(&record, "query")))
        .collect()
}

#[tokio::test]
async fn what_was_prepared_is_judged_by_the_policies_of_now() {
    let world = World::new(Script::default().answer("SELECT \"pg_catalog\".\"lower\"($1)", rows(&["5"])));
    let (mut client, _) = world.connect(&[]).await;
    assert_eq!(client.query("PREPARE p (text) AS SELECT lower($1)").await[0], r#"CommandComplete "PREPARE""#);
    assert_eq!(client.query("EXECUTE p('5')").await[1], r#"DataRow ["5"]"#);
    world.reload(NO_LOWER);
    assert_eq!(client.query("EXECUTE p('5')").await[0], REFUSED);
    assert_eq!(client.query("EXPLAIN EXECUTE p('5')").await[0], REFUSED);
    assert_eq!(client.query("PREPARE q AS SELECT lower('a')").await[0], REFUSED);
    let answer = client.bind("", "p", &["5"]).execute("", 0).sync().answer().await;
    assert_eq!(answer[1], REFUSED, "{answer:?}");
    client.terminate().await;
    world.saw(&["checkout alice", "start SELECT \"pg_catalog\".\"lower\"($1)", "release"]);
}

#[tokio::test]
async fn a_cursor_is_judged_at_every_fetch() {
    let declare = "DECLARE \"c\" CURSOR FOR SELECT \"pg_catalog\".\"lower\"('a')";
    let script =
        Script::default().answer(declare, done("DECLARE CURSOR")).answer("FETCH FORWARD 1 FROM \"c\"", rows(&["1"]));
    for policy in [NO_LOWER, FEW] {
        let world = World::new(script.clone());
        let (mut client, _) = world.connect(&[]).await;
        client.query("BEGIN; DECLARE c CURSOR FOR SELECT lower('a')").await;
        assert_eq!(client.query("FETCH c").await[1], r#"DataRow ["1"]"#);
        world.reload(policy);
        assert_eq!(client.query("FETCH c").await, [REVOKED, r#"ReadyForQuery "E""#]);
        assert_eq!(client.query("ROLLBACK").await[0], r#"CommandComplete "ROLLBACK""#);
    }
}

#[tokio::test]
async fn the_row_limit_holds_for_a_cursor_in_total_and_is_told_once() {
    let script = Script::default()
        .answer("DECLARE \"c\" CURSOR FOR SELECT 1 LIMIT 5", done("DECLARE CURSOR"))
        .answer("FETCH FORWARD 3 FROM \"c\"", rows(&["1", "2", "3"]))
        .answer("FETCH FORWARD 3 FROM \"c\"", rows(&["4", "5"]))
        .answer("FETCH FORWARD 3 FROM \"c\"", rows(&[]));
    let world = World::new(script);
    world.reload(FEW);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN; DECLARE c CURSOR FOR SELECT 1").await;
    let first = client.query("FETCH 3 FROM c").await;
    assert!(!first.iter().any(|line| line.starts_with("NoticeResponse")), "{first:?}");
    let last = client.query("FETCH 3 FROM c").await;
    assert_eq!(last[3], LIMITED, "{last:?}");
    let after = client.query("FETCH 3 FROM c").await;
    assert!(!after.iter().any(|line| line.starts_with("NoticeResponse")), "{after:?}");
}

#[tokio::test]
async fn the_row_limit_is_told_however_a_cursor_comes_to_it() {
    let declare = "DECLARE \"c\" SCROLL CURSOR FOR SELECT 1 LIMIT 5";
    let script = Script::default()
        .answer(declare, done("DECLARE CURSOR"))
        .answer("MOVE FORWARD 3 FROM \"c\"", done("MOVE 3"))
        .answer("FETCH FORWARD 3 FROM \"c\"", rows(&["4", "5"]))
        .answer(declare, done("DECLARE CURSOR"))
        .answer("MOVE FORWARD ALL FROM \"c\"", done("MOVE 5"))
        .answer(declare, done("DECLARE CURSOR"))
        .answer("FETCH ABSOLUTE -1 FROM \"c\"", rows(&["9"]));
    let world = World::new(script);
    world.reload(FEW);
    let (mut client, _) = world.connect(&[]).await;
    let declare = "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT 1";
    assert_eq!(client.query(&format!("{declare}; MOVE 3 FROM c; FETCH 3 FROM c; ROLLBACK")).await[6], LIMITED);
    assert_eq!(client.query(&format!("{declare}; MOVE ALL FROM c; ROLLBACK")).await[2], LIMITED);
    let perhaps = "NoticeResponse NOTICE 00000 the answer has 5 rows at most, and there may be more";
    assert_eq!(client.query(&format!("{declare}; FETCH LAST FROM c; ROLLBACK")).await[4], perhaps);
}

#[tokio::test]
async fn the_row_limit_is_told_by_a_fetch_from_a_portal() {
    let script = Script::default().describe("SELECT 1", &[]).describe("SELECT 1 LIMIT 5", &[]);
    let world = World::new(script.answer("SELECT 1 LIMIT 5", rows(&["1", "2", "3", "4", "5"])));
    world.reload(FEW);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    client.parse("", "SELECT 1").bind("p", "", &[]).execute("p", 2).sync().answer().await;
    let answer = client.query("MOVE RELATIVE 2 FROM p; FETCH ALL FROM p; FETCH ALL FROM p").await;
    assert_eq!(answer.iter().filter(|line| *line == LIMITED).count(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_held_cursor_keeps_its_connection_until_it_is_closed() {
    let script = Script::default()
        .answer("DECLARE \"h\" CURSOR WITH HOLD FOR SELECT 1", done("DECLARE CURSOR"))
        .answer("SELECT 2", rows(&["2"]))
        .answer("FETCH FORWARD 1 FROM \"h\"", rows(&["1"]))
        .answer("SELECT 3", rows(&["3"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    for text in
        ["DECLARE h CURSOR WITH HOLD FOR SELECT 1", "SELECT 2", "BEGIN", "FETCH h", "SELECT 3", "COMMIT", "CLOSE h"]
    {
        let answer = client.query(text).await;
        assert!(!answer[0].starts_with("ErrorResponse"), "{text}: {answer:?}");
    }
    client.terminate().await;
    world.saw(&[
        "checkout alice",
        "start DECLARE \"h\" CURSOR WITH HOLD FOR SELECT 1",
        "checkout alice",
        "start SELECT 2",
        "release",
        "control Begin { isolation: None, deferrable: false }",
        "start FETCH FORWARD 1 FROM \"h\"",
        "start SELECT 3",
        "control Commit",
        "control CloseCursors",
        "release",
    ]);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_declared_leaves_nothing_behind() {
    let declare = "DECLARE \"h\" CURSOR WITH HOLD FOR SELECT 1";
    let world = World::new(Script::default().fail(declare, division_by_zero()));
    let (mut client, _) = world.connect(&[]).await;
    assert!(client.query("DECLARE h CURSOR WITH HOLD FOR SELECT 1").await[0].contains("22012"));
    assert!(client.query("FETCH h").await[0].contains("34000"));
    client.terminate().await;
    world.saw(&["checkout alice", &format!("start {declare}"), "release"]);
}

#[tokio::test]
async fn a_portal_that_waits_in_a_failed_transaction_does_not_stop_its_end() {
    let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = World::new(Script::default().answer("SELECT 1", rows(&many)));
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    client.parse("", "SELECT 1").bind("p", "", &[]).execute("p", 1).sync().answer().await;
    client.query("SAVEPOINT").await;
    let answer = client.execute("p", 1).sync().answer().await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 25P02"), "{answer:?}");
    assert_eq!(client.query("ROLLBACK").await, [r#"CommandComplete "ROLLBACK""#, r#"ReadyForQuery "I""#]);
    client.terminate().await;
    world.saw(&[
        "checkout alice",
        "control Begin { isolation: None, deferrable: false }",
        "start SELECT 1",
        "cancel",
        "control Rollback",
        "release",
    ]);
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_its_transaction_and_not_the_connection() {
    let large = "x".repeat(20_000_000);
    let world = World::new(
        Script::default().answer("SELECT 1", rows(&[&large, &large, &large])).answer("SELECT 2", rows(&["2"])),
    );
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN; SAVEPOINT s").await;
    let answer = client.query("SELECT 1").await;
    assert!(answer[1].starts_with("ErrorResponse ERROR 54000"), "{answer:?}");
    assert_eq!(client.query("ROLLBACK TO s").await[0], r#"CommandComplete "ROLLBACK""#);
    assert_eq!(client.query("SELECT 2").await[1], r#"DataRow ["2"]"#);
}

#[tokio::test]
async fn each_is_recorded_with_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default()
        .answer("SELECT 1, $1", rows(&["1"]))
        .answer("COPY (SELECT 2 LIMIT 10000) TO STDOUT WITH (FORMAT text)", done("COPY 0"))
        .answer("DECLARE \"c\" CURSOR FOR SELECT 3", done("DECLARE CURSOR"))
        .answer("FETCH FORWARD 1 FROM \"c\"", rows(&["3"]))
        .answer("MOVE FORWARD ALL FROM \"c\"", done("MOVE 0"));
    let world = World::recorded_in(folder.path(), script);
    let (mut client, _) = world.connect(&[]).await;
    let text = "PREPARE p AS SELECT 1, $1; EXECUTE p('x') ;COPY (SELECT 2) TO STDOUT; BEGIN; \
                DECLARE c CURSOR FOR SELECT 3; FETCH c; MOVE ALL c; CLOSE c; COPY t FROM STDIN; SELECT 4";
    client.query(text).await;
    client.query("ROLLBACK").await;
    client.query("COPY (SELECT 1) TO '/etc/passwd'").await;
    client.terminate().await;
    assert_eq!(
        records(folder.path()),
        [
            "prepare ok PREPARE p AS SELECT 1, $1",
            "execute ok SELECT 1, $1",
            "copy ok COPY (SELECT 2) TO STDOUT",
            "transaction ok BEGIN",
            "declare ok DECLARE c CURSOR FOR SELECT 3",
            "fetch ok FETCH c",
            "move ok MOVE ALL c",
            "close ok CLOSE c",
            "write denied COPY t FROM STDIN",
            "transaction ok ROLLBACK",
            "write denied COPY (SELECT 1) TO '/etc/passwd'",
        ]
    );
}

const WITHOUT_LOWER: &str = r#"[{ "name": "no-lower", "action": "block", "message": "not today",
    "condition": { "functions_referenced": { "contains_any": ["lower"] } } }]"#;

/// A text with this constant, and what is sent for it.
fn asked(constant: &str) -> (String, String) {
    let text = format!("SELECT lower(b) FROM (SELECT 'X' AS b) q WHERE b = {constant} OR b IN ('y', {constant})");
    let sent = format!(
        "SELECT \"pg_catalog\".\"lower\"(\"b\") FROM (SELECT 'X' AS \"b\") AS \"q\" WHERE (\"b\" = {constant}) OR (\"b\" \
         IN ('y', {constant}))"
    );
    (text, sent)
}

#[tokio::test]
async fn texts_that_differ_in_constants_are_asked_about_once_and_recorded_each() {
    let constants = ["'a'", "'b'", "'c'", "'d'", "''", "'e'"];
    let script = constants.iter().fold(Script::default(), |script, constant| {
        script.answer(&asked(constant).1, rows(&[constant.trim_matches('\'')]))
    });
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    for constant in constants {
        let (text, sent) = asked(constant);
        let answer = match constant {
            "'d'" => client.parse("", &text).bind("", "", &[]).execute("", 0).sync().answer().await,
            _ => client.query(&text).await,
        };
        let row = format!("DataRow [\"{}\"]", constant.trim_matches('\''));
        assert!(answer.contains(&row), "{constant}: {answer:?}");
        let recorded = world.audited().pop().unwrap();
        assert_eq!((&recorded["query"], &recorded["rewritten"]), (&text.into(), &format!("{sent} LIMIT 10000").into()));
        assert_eq!(recorded["parameters"], serde_json::json!([]));
    }
    let is_known = |known: &str| world.knows_template(&asked(known).0);
    assert!(is_known("'unheard of'"));
    assert!(!is_known("5"));
    world.reload_more(WITHOUT_LOWER);
    for constant in ["'a'", "'f'"] {
        assert_eq!(client.query(&asked(constant).0).await[0], REFUSED);
    }
    client.terminate().await;
}

#[tokio::test]
async fn a_constant_that_an_answer_depends_on_is_none_of_a_template() {
    let sent =
        |a: u64, rows: u64| format!("SELECT \"a\" FROM (SELECT 1 AS \"a\") AS \"q\" WHERE \"a\" = {a} LIMIT {rows}");
    let asked = [(1, 3, 3), (2, 3, 3), (3, 3, 3), (4, 3, 3), (5, 50, 5), (6, 500, 5), (7, 4, 4)];
    let script = asked
        .iter()
        .fold(Script::default(), |script, (a, _, rows_sent)| script.answer(&sent(*a, *rows_sent), rows(&["1"])));
    let world = World::new(script);
    world.reload(FEW);
    let (mut client, _) = world.connect(&[]).await;
    for (a, rows, rows_sent) in asked {
        client.query(&format!("SELECT a FROM (SELECT 1 AS a) q WHERE a = {a} LIMIT {rows}")).await;
        assert_eq!(world.audited().pop().unwrap()["rewritten"], sent(a, rows_sent));
    }
    client.terminate().await;
}
