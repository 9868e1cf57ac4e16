//! Whole sessions over a pipe: a scripted source behind, a client that speaks the protocol in front.
//!
//! What only the protocol decides stands in `tests/wire`, where it plays against PostgreSQL too; here stands what needs a
//! source that does as it is told.

pub(super) mod client;
pub(super) mod fake;
mod held;
mod paths;

use std::time::Duration;

use passgate_connectors::{Error as SourceError, ServerMessage};

use client::World;
use fake::{Script, rows};

fn division_by_zero() -> SourceError {
    SourceError::Server(ServerMessage {
        severity: "ERROR".to_owned(),
        code: "22012".to_owned(),
        message: "division by zero".to_owned(),
        ..ServerMessage::default()
    })
}

#[tokio::test]
async fn a_session_begins_with_what_clients_expect() {
    let world = World::new(Script::default());
    let (mut client, greeting) = world.connect(&[("application_name", "t")]).await;
    for line in [
        "AuthenticationOk",
        r#"ParameterStatus "application_name" "t""#,
        r#"ParameterStatus "client_encoding" "UTF8""#,
        r#"ParameterStatus "DateStyle" "ISO, MDY""#,
        r#"ParameterStatus "server_version" "15.14""#,
        r#"ParameterStatus "session_authorization" "alice""#,
        r#"ParameterStatus "standard_conforming_strings" "on""#,
        r#"ParameterStatus "default_transaction_read_only" "on""#,
        r#"ReadyForQuery "I""#,
    ] {
        assert!(greeting.iter().any(|had| had == line), "{line} in {greeting:#?}");
    }
    client.terminate().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_so_are_an_unknown_database_and_setting() {
    let world = World::new(Script::default());
    let refused = world.fail("alice", "wrong", &[]).await;
    assert_eq!(refused, r#"ErrorResponse FATAL 28P01 password authentication failed for user "alice""#);
    let refused = world.fail("alice", "pencil", &[("database", "nowhere")]).await;
    assert_eq!(refused, r#"ErrorResponse FATAL 3D000 database "nowhere" does not exist"#);
    let refused = world.fail("alice", "pencil", &[("options", "-c client_encoding=LATIN1")]).await;
    assert_eq!(refused, r#"ErrorResponse FATAL 42501 permission denied to set parameter "client_encoding""#);
    let refused = world.fail("alice", "pencil", &[("role", "secret")]).await;
    assert!(refused.starts_with("ErrorResponse FATAL 42501"), "{refused}");
}

#[tokio::test]
async fn a_simple_query_is_relayed_and_its_connection_given_back() {
    let world = World::new(Script::default().answer("SELECT 1", rows(&["1"])));
    let (mut client, _) = world.connect(&[]).await;
    let answer = client.query("SELECT 1").await;
    assert_eq!(
        answer,
        [r#"RowDescription ["a:23"]"#, r#"DataRow ["1"]"#, r#"CommandComplete "SELECT 1""#, r#"ReadyForQuery "I""#]
    );
    client.terminate().await;
    world.saw(&["checkout alice", "start SELECT 1", "release"]);
}

#[tokio::test]
async fn a_row_limit_holds_for_a_message_however_it_is_cut() {
    let few = r#"[{ "name": "public-only", "check": "schema_whitelist", "schemas": ["public"] },
        { "name": "few", "check": "row_limit", "rows": 5 }]"#;
    let text = "SELECT \"a\" FROM \"public\".\"numbers\" LIMIT 3";
    let one = "SELECT a FROM numbers LIMIT 3";
    let script = Script::default().answer("SELECT 1 LIMIT 5", rows(&["1"]));
    let world = World::new(script.answer(text, rows(&["1", "2", "3"])).answer(text, rows(&["4", "5", "6"])));
    world.reload(few);
    let (mut client, _) = world.connect(&[]).await;
    let answer = client.query(&format!("SELECT 1; {one}; {one}")).await;
    assert_eq!(answer.iter().filter(|message| message.starts_with("DataRow")).count(), 4, "{answer:?}");
    let refused = "ErrorResponse ERROR 54000 the statements of one message may answer 5 rows together";
    assert!(answer.iter().any(|message| message.starts_with(refused)), "{answer:?}");
    client.terminate().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_ends_and_so_does_its_statement() {
    let large = "x".repeat(10_000_000);
    let world = World::new(Script::default().answer("SELECT 1", rows(&[&large, &large, &large, &large])));
    let (mut client, _) = world.connect(&[]).await;
    let answer = client.query("SELECT 1").await;
    let expected = "ErrorResponse ERROR 54000 the answer is larger than 30000000 bytes";
    assert!(answer.iter().any(|message| message.starts_with(expected)), "{answer:.200?}");
    assert_eq!(answer.last().unwrap(), r#"ReadyForQuery "I""#);
    client.terminate().await;
}

#[tokio::test]
async fn an_error_ends_a_simple_query_and_a_transaction() {
    let script = Script::default().fail("SELECT 0", division_by_zero());
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    assert_eq!(
        client.query("SELECT 0; SELECT 1").await,
        ["ErrorResponse ERROR 22012 division by zero", r#"ReadyForQuery "E""#]
    );
    let answer = client.query("SELECT 1").await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 25P02"), "{answer:?}");
    assert_eq!(client.query("COMMIT").await, [r#"CommandComplete "ROLLBACK""#, r#"ReadyForQuery "I""#]);
    client.terminate().await;
    world.saw(&[
        "checkout alice",
        "control Begin { isolation: None, deferrable: false }",
        "start SELECT 0",
        "control Rollback",
        "release",
    ]);
}

#[tokio::test]
async fn a_refusal_by_the_gateway_fails_the_transaction_too() {
    let world = World::new(Script::default().answer("SELECT 1", rows(&["1"])));
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN; SAVEPOINT a").await;
    client.query("SELECT 1").await;
    let refused = client.query("SET role = 'postgres'").await;
    assert!(refused[0].starts_with("ErrorResponse ERROR 42501"), "{refused:?}");
    assert_eq!(refused[1], r#"ReadyForQuery "E""#);
    assert_eq!(client.query("ROLLBACK TO a").await, [r#"CommandComplete "ROLLBACK""#, r#"ReadyForQuery "T""#]);
    client.query("COMMIT").await;
    client.terminate().await;
    world.saw(&[
        "checkout alice",
        "control Begin { isolation: None, deferrable: false }",
        r#"control Savepoint("a")"#,
        "start SELECT 1",
        r#"control RollbackTo("a")"#,
        "control Commit",
        "release",
    ]);
}

#[tokio::test]
async fn a_transaction_that_never_asks_takes_no_connection() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    assert_eq!(client.query("BEGIN").await, [r#"CommandComplete "BEGIN""#, r#"ReadyForQuery "T""#]);
    assert_eq!(client.query("ROLLBACK").await, [r#"CommandComplete "ROLLBACK""#, r#"ReadyForQuery "I""#]);
    client.terminate().await;
    world.saw(&[]);
}

#[tokio::test]
async fn the_extended_protocol_answers_in_order_and_skips_after_an_error() {
    let script = Script::default().answer("SELECT $1", rows(&["7"])).answer("SELECT $1", rows(&["8"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.parse("s", "SELECT $1").bind("", "s", &["7"]).execute("", 0);
    client.bind("", "s", &["8"]).execute("", 0).bind("", "none", &[]).execute("", 0).sync();
    assert_eq!(
        client.answer().await,
        [
            "ParseComplete",
            "BindComplete",
            r#"DataRow ["7"]"#,
            r#"CommandComplete "SELECT 1""#,
            "BindComplete",
            r#"DataRow ["8"]"#,
            r#"CommandComplete "SELECT 1""#,
            r#"ErrorResponse ERROR 26000 prepared statement "none" does not exist"#,
            r#"ReadyForQuery "I""#,
        ]
    );
    client.terminate().await;
    // Two of a pipeline share a transaction.
    world.saw(&[
        "checkout alice",
        "control Begin { isolation: None, deferrable: false }",
        "start SELECT $1",
        "start SELECT $1",
        "control Rollback",
        "release",
    ]);
}

#[tokio::test]
async fn a_description_is_asked_for_once() {
    let script = Script::default().describe("SELECT $1", &[23]).answer("SELECT $1", rows(&["7"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.parse("s", "SELECT $1").describe_statement("s").describe_statement("s").sync();
    let described = [r"ParameterDescription [23]", r#"RowDescription ["a:23"]"#];
    let expected = ["ParseComplete", described[0], described[1], described[0], described[1], r#"ReadyForQuery "I""#];
    assert_eq!(client.answer().await, expected);
    client.terminate().await;
    world.saw(&["checkout alice", "describe SELECT $1", "release"]);
}

#[tokio::test]
async fn describing_a_portal_that_is_about_to_run_asks_the_source_once() {
    let world = World::new(Script::default().answer("SELECT $1", rows(&["7"])));
    let (mut client, _) = world.connect(&[]).await;
    client.parse("", "SELECT $1").bind("", "", &["7"]).describe_portal("").execute("", 0).sync();
    assert_eq!(
        client.answer().await[2..],
        [r#"RowDescription ["a:23"]"#, r#"DataRow ["7"]"#, r#"CommandComplete "SELECT 1""#, r#"ReadyForQuery "I""#]
    );
    client.terminate().await;
    world.saw(&["checkout alice", "start SELECT $1", "release"]);
}

#[tokio::test]
async fn a_row_limit_suspends_a_portal_and_keeps_its_connection_until_sync() {
    let world = World::new(Script::default().answer("SELECT 1", rows(&["1", "2", "3"])));
    let (mut client, _) = world.connect(&[]).await;
    client.parse("", "SELECT 1").bind("p", "", &[]).execute("p", 2).execute("p", 2).execute("p", 2).sync();
    assert_eq!(
        client.answer().await[2..],
        [
            r#"DataRow ["1"]"#,
            r#"DataRow ["2"]"#,
            "PortalSuspended",
            r#"DataRow ["3"]"#,
            r#"CommandComplete "SELECT 1""#,
            r#"CommandComplete "SELECT 0""#,
            r#"ReadyForQuery "I""#,
        ]
    );
    client.parse("", "SELECT 1").bind("p", "", &[]).execute("p", 0).sync();
    world.add("SELECT 1", rows(&["9"]));
    assert!(client.answer().await.contains(&r#"DataRow ["9"]"#.to_owned()));
}

#[tokio::test]
async fn another_statement_may_run_while_a_portal_of_the_transaction_waits() {
    let script = Script::default().answer("SELECT 1", rows(&["1", "2", "3"])).answer("SELECT 2", rows(&["x"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    client.parse("", "SELECT 1").bind("p", "", &[]).execute("p", 1).sync();
    client.answer().await;
    client.query("SELECT 2").await;
    client.execute("p", 0).sync();
    assert_eq!(
        client.answer().await,
        [r#"DataRow ["2"]"#, r#"DataRow ["3"]"#, r#"CommandComplete "SELECT 2""#, r#"ReadyForQuery "T""#]
    );
    client.query("COMMIT").await;
    client.terminate().await;
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.starts_with("checkout")).count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_cancel_request_stops_what_runs_and_the_session_goes_on() {
    let script = Script::default().hang("SELECT 1").answer("SELECT 2", rows(&["2"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.send_query("SELECT 1").await;
    world.wait_for("start SELECT 1").await;
    world.cancel(&client).await;
    assert_eq!(
        client.answer().await,
        ["ErrorResponse ERROR 57014 canceling statement due to user request", r#"ReadyForQuery "I""#]
    );
    assert_eq!(client.query("SELECT 2").await.len(), 4);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_statement_with_it() {
    let world = World::new(Script::default().hang("SELECT 1"));
    let (mut client, _) = world.connect(&[]).await;
    client.send_query("SELECT 1").await;
    world.wait_for("start SELECT 1").await;
    drop(client);
    world.wait_for("drop while running").await;
}

#[tokio::test]
async fn a_lost_connection_is_an_error_and_the_session_goes_on() {
    let lost = SourceError::Connection { source_name: "warehouse".to_owned(), cause: "reset".to_owned() };
    let script = Script::default().fail("SELECT 1", lost).answer("SELECT 2", rows(&["2"]));
    let world = World::new(script);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    let answer = client.query("SELECT 1").await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 08006"), "{answer:?}");
    assert_eq!(answer[1], r#"ReadyForQuery "E""#);
    assert_eq!(client.query("ROLLBACK").await[0], r#"CommandComplete "ROLLBACK""#);
    assert_eq!(client.query("SELECT 2").await.len(), 4);
}

#[tokio::test]
async fn a_silent_session_is_told_at_once_that_the_gateway_ends() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    world.drain();
    let last = client.answer().await;
    assert_eq!(last, ["ErrorResponse FATAL 57P01 terminating connection due to administrator command", "Closed"]);
}

#[tokio::test]
async fn a_running_statement_may_finish_while_the_gateway_drains() {
    let world = World::new(Script::default().slow("SELECT 1", Duration::from_millis(100), rows(&["1"])));
    let (mut client, _) = world.connect(&[]).await;
    client.send_query("SELECT 1").await;
    world.wait_for("start SELECT 1").await;
    world.drain();
    let answer = client.answer().await;
    assert!(answer.contains(&r#"DataRow ["1"]"#.to_owned()), "{answer:?}");
}

#[tokio::test]
async fn settings_reach_the_source_and_are_reported() {
    let world = World::new(Script::default().answer("SELECT 1", rows(&["1"])));
    let (mut client, _) = world.connect(&[("TimeZone", "Asia/Tokyo")]).await;
    assert_eq!(
        client.query("SET datestyle = 'German'").await,
        [r#"CommandComplete "SET""#, r#"ParameterStatus "DateStyle" "German, DMY""#, r#"ReadyForQuery "I""#]
    );
    assert_eq!(client.query("SHOW timezone").await[1], r#"DataRow ["Asia/Tokyo"]"#);
    client.query("SELECT 1").await;
    let settings = world.settings();
    assert_eq!(settings["datestyle"], "German, DMY");
    assert_eq!(settings["timezone"], "Asia/Tokyo");
    client.query("BEGIN; SET LOCAL timezone = 'UTC'").await;
    assert_eq!(client.query("COMMIT").await[1], r#"ParameterStatus "TimeZone" "Asia/Tokyo""#);
}

#[tokio::test]
async fn prepared_statements_and_portals_have_an_end() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    for number in 0..4 {
        client.parse(&format!("s{number}"), "SELECT 1");
    }
    client.sync();
    let answer = client.answer().await;
    assert_eq!(
        answer[2..],
        ["ParseComplete", "ErrorResponse ERROR 54000 too many prepared statements", r#"ReadyForQuery "I""#]
    );
    assert_eq!(client.query("DEALLOCATE ALL").await[0], r#"CommandComplete "DEALLOCATE ALL""#);
}

#[tokio::test]
async fn broken_messages_are_answered_and_unknown_ones_end_the_session() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    client.raw(b'Q', b"\xff\xfe\0");
    let answer = client.answer().await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 22021"), "{answer:?}");
    client.raw(b'B', b"\0").sync();
    let answer = client.answer().await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 08P01"), "{answer:?}");
    client.raw(b'z', b"");
    let answer = client.answer().await;
    assert_eq!(answer, ["ErrorResponse FATAL 08P01 invalid frontend message type 122", "Closed"]);
}

#[tokio::test]
async fn a_slow_client_holds_the_source_back() {
    let many: Vec<String> = (0..200_000).map(|number| format!("{number:0100}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = World::new(Script::default().answer("SELECT 1", rows(&many)));
    let (mut client, _) = world.connect(&[]).await;
    client.send_query("SELECT 1").await;
    world.wait_for("start SELECT 1").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let pulled = world.batches_pulled();
    assert!(pulled < 20, "{pulled} batches were taken from the source although nobody read them");
    assert_eq!(client.answer().await.len(), 200_003);
}

#[tokio::test]
async fn a_declared_parameter_type_is_held_to_what_a_cast_is() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    let regclass = 2205_u32;
    let parse = [&b"\0SELECT $1\0\0\x01"[..], &regclass.to_be_bytes()].concat();
    let refused = client.raw(b'P', &parse).bind("", "", &["secret"]).execute("", 0).sync().answer().await;
    assert!(refused[0].starts_with("ErrorResponse ERROR 0A000 parameter $1"), "{refused:?}");
    assert_eq!(refused[1..], [r#"ReadyForQuery "I""#]);
    client.terminate().await;
    world.saw(&[]);
}

#[tokio::test]
async fn portals_that_wait_share_one_limit() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    let large = "x".repeat(9 << 20);
    let answer = client.parse("", "SELECT $1").bind("a", "", &[&large]).bind("b", "", &[&large]).sync().answer().await;
    assert_eq!(answer[..2], ["ParseComplete", "BindComplete"]);
    assert!(answer[2].starts_with("ErrorResponse ERROR 54000 portals that wait"), "{answer:?}");
    client.terminate().await;
    world.saw(&[]);
}

#[tokio::test]
async fn a_fetch_of_too_much_leaves_the_connection_of_its_transaction_good() {
    let large = "x".repeat(9 << 20);
    let answer = rows(&[&large, &large, "y"]);
    let script = Script::default().answer("SELECT 1", rows(&["z"])).describe("SELECT 2", &[]);
    let world = World::new(script.answer("SELECT 2", answer.clone()).answer("SELECT 3", answer));
    let (mut client, _) = world.connect(&[]).await;
    for text in ["BEGIN", "SELECT 1", "SAVEPOINT a"] {
        client.query(text).await;
    }
    client.parse("", "SELECT 2").bind("p", "", &[]).sync().answer().await;
    let answer = client.query("FETCH ALL FROM p").await;
    assert!(answer[0].starts_with("ErrorResponse ERROR 54000"), "{answer:?}");
    assert_eq!(client.query("ROLLBACK TO a").await, [r#"CommandComplete "ROLLBACK""#, r#"ReadyForQuery "T""#]);
    // What is passed over is not kept.
    client.parse("", "SELECT 3").bind("q", "", &[]).sync().answer().await;
    assert_eq!(client.query("MOVE ALL FROM q").await, [r#"CommandComplete "MOVE 3""#, r#"ReadyForQuery "T""#]);
    client.query("COMMIT").await;
    client.terminate().await;
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.starts_with("checkout")).count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_text_that_becomes_no_statement_is_recorded_too() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    client.parse("", "SELECT 'two'; SELECT 2").sync().answer().await;
    client.parse("a", "SELECT 1").parse("a", "SELECT 'again'").sync().answer().await;
    client.raw(b'P', b"\0SELECT \xff\0\0\0").sync().answer().await;
    client.raw(b'Q', b"SELECT \xff\0").answer().await;
    client.terminate().await;
    let refused: Vec<String> = world
        .audited()
        .into_iter()
        .filter(|record| record["event"] == "statement")
        .map(|record| format!("{} {}", record["sqlstate"].as_str().unwrap(), record["query"].as_str().unwrap()))
        .collect();
    assert_eq!(refused, ["42601 SELECT 'two'; SELECT 2", "42P05 SELECT 'again'", "22021 ", "22021 "]);
}
