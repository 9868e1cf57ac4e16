//! Running the gateway: policies that explain themselves and change under way, health, a clean end, a log that verifies.

use std::process::Command;
use std::time::Duration;

use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::{Mode, people_file, program};
use passgate_tests::{Settings, World};
use serde_json::json;

use super::failures::wait_for_activity;
use super::people::through;

/// As people have it already.
fn block_pii() -> serde_json::Value {
    json!({
        "name": "block-pii-tables",
        "description": "Prevent access to PII-containing tables",
        // One of them is in no source yet.
        "unknown_ok": true,
        "condition": { "tables_referenced": { "contains_any": ["dim_patient", "dim_member_ssn"] } },
        "action": "block",
        "message": "Direct access to PII tables is not permitted. Use the anonymized views instead."
    })
}

#[tokio::test]
async fn a_blocked_table_explains_itself() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).policy("pii.json", &block_pii()).start().await;
    let alice = through(world, &gateway, "alice").await;
    for statement in [
        "SELECT name FROM dim_patient",
        "SELECT 1 FROM sales WHERE EXISTS (SELECT FROM public.dim_patient)",
        "WITH x AS (SELECT * FROM dim_patient) SELECT * FROM x",
        "SELECT id FROM sales UNION ALL SELECT id FROM DIM_patient",
    ] {
        let said = alice.psql(statement).await;
        let expected = "ERROR:  42501: Direct access to PII tables is not permitted. Use the anonymized views instead.";
        assert!(said.errors.contains(expected), "{statement}: {said:?}");
        assert!(said.errors.contains("DETAIL:") && said.errors.contains("block-pii-tables"), "{said:?}");
        assert!(said.errors.contains("HINT:"), "{said:?}");
    }
    let denied = gateway.audited("the denial", |record| record["status"] == "denied").await;
    assert_eq!(denied["sqlstate"], "42501", "{denied}");
    assert!(denied["rules"].to_string().contains("block-pii-tables"), "{denied}");
}

#[tokio::test]
async fn nothing_is_written() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let alice = through(world, &gateway, "alice").await;
    for statement in [
        "INSERT INTO sales VALUES (0)",
        "UPDATE sales SET amount = 0",
        "DELETE FROM sales",
        "CREATE TABLE x (y int)",
        "WITH gone AS (DELETE FROM sales RETURNING id) SELECT * FROM gone",
        "SELECT id FROM sales FOR UPDATE",
        "SELECT * INTO TEMP x FROM sales",
        "DROP TABLE sales",
    ] {
        let said = alice.psql(statement).await;
        assert!(!said.ok && said.errors.contains("ERROR:"), "{statement}: {said:?}");
    }
    assert_eq!(alice.psql("SELECT count(*) FROM sales").await.rows(), ["100"]);
}

#[tokio::test]
async fn policies_and_people_change_without_dropping_a_session() {
    let world = World::shared();
    let mut gateway = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice"]).start().await;
    let client = connect(world, gateway.port(), "alice", "alice-password").await.expect("alice");
    client.simple_query("SELECT name FROM dim_patient").await.expect("not blocked yet");
    connect(world, gateway.port(), "bob", "bob-password").await.expect_err("bob is not known yet");

    gateway.settings.policies.insert("pii.json".to_owned(), block_pii().to_string());
    gateway.settings.people = people_file(&["alice", "bob"]);
    gateway.reload();

    let mut blocked = false;
    for _ in 0..100 {
        blocked =
            client.simple_query("SELECT name FROM dim_patient").await.is_err_and(|error| told(&error).0 == "42501");
        if blocked {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(blocked, "the new policy does not hold in the open session");
    connect(world, gateway.port(), "bob", "bob-password").await.expect("bob is known now");

    // A broken policy changes nothing.
    gateway.settings.policies.insert("pii.json".to_owned(), "{ \"name\": ".to_owned());
    gateway.reload();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = client.simple_query("SELECT name FROM dim_patient").await.expect_err("still blocked");
    assert_eq!(told(&error).0, "42501");

    // So does a name that no source has.
    let slip = r#"{ "name": "slip", "action": "mask", "columns": ["dim_patiend.name"], "with": "null" }"#;
    gateway.settings.policies.insert("pii.json".to_owned(), slip.to_owned());
    gateway.reload();
    let status =
        "SELECT problems FROM passgate.policy_status WHERE reload = 'refused' AND problems LIKE '%pii.json:1:%'";
    let mut shown = false;
    for _ in 0..100 {
        shown = client.simple_query(status).await.is_ok_and(|answer| answer.len() > 2);
        if shown {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shown, "the unknown name is not told");
    let error = client.simple_query("SELECT name FROM dim_patient").await.expect_err("still blocked");
    assert_eq!(told(&error).0, "42501");
}

/// A gateway that starts has read no source yet.
#[tokio::test]
async fn a_policy_in_force_that_names_nothing_is_told_once_the_source_is_read() {
    let world = World::shared();
    let mut settings = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice"]);
    let slip = r#"{ "name": "slip", "action": "mask", "columns": ["dim_patiend.name"], "with": "null" }"#;
    settings.policies.insert("slip.json".to_owned(), slip.to_owned());
    let gateway = settings.start().await;
    let client = connect(world, gateway.port(), "alice", "alice-password").await.expect("alice");
    client.simple_query("SELECT count(*) FROM sales").await.expect("the source is read");
    let status = "SELECT unknown_names FROM passgate.policy_status WHERE unknown_names LIKE '%slip.json:1:%'";
    for _ in 0..100 {
        if client.simple_query(status).await.is_ok_and(|answer| answer.len() > 2) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the unknown name is not told");
}

#[tokio::test]
async fn a_gateway_that_is_told_to_end_lets_statements_finish() {
    let world = World::shared();
    let mut gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let token = world.openid.token("alice").await;
    let busy = connect(world, gateway.port(), "alice", &token).await.expect("alice");
    let idle = connect(world, gateway.port(), "alice", &token).await.expect("alice again");
    let statement = "SELECT max(state) AS draining FROM (SELECT state FROM naps LIMIT 10) AS some";
    let (answer, ()) = tokio::join!(busy.simple_query(statement), async {
        wait_for_activity(world, "draining", 1).await;
        gateway.server.signal("TERM");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(connect(world, gateway.port(), "alice", &token).await.is_err(), "a new session while draining");
        let error = idle.simple_query("SELECT 1").await.expect_err("the idle session has ended");
        let told = error.as_db_error().map(|error| error.code().code().to_owned());
        assert!(error.is_closed() || told.as_deref() == Some("57P01"), "{error:?}");
    });
    answer.expect("the running statement finishes");
    assert_eq!(gateway.server.wait(Duration::from_secs(15)), 0);
    verify(&gateway.settings.path("audit.jsonl"), true);
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    through(world, &gateway, "alice").await.psql("SELECT count(*) FROM sales").await.rows();
    assert_eq!(gateway.http("/livez").await.map(|answer| answer.0), Some(200));
    let (status, metrics) = gateway.http("/metrics").await.expect("metrics");
    assert_eq!(status, 200);
    for name in ["passgate_sign_ins", "passgate_statements", "passgate_rows", "passgate_bytes"] {
        assert!(metrics.contains(name), "there is no {name} in\n{metrics}");
    }
}

#[tokio::test]
async fn without_its_source_a_gateway_is_alive_but_not_ready() {
    let world = World::shared();
    let mut settings = Settings::new(world, Mode::SessionAuthorization);
    settings.file["databases"][0]["port"] = json!(9);
    let gateway = settings.spawn();
    let mut alive = None;
    for _ in 0..200 {
        alive = gateway.http("/livez").await;
        if alive.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(alive.map(|answer| answer.0), Some(200));
    assert_eq!(gateway.http("/readyz").await.map(|answer| answer.0), Some(503));
    let token = world.openid.token("alice").await;
    if let Ok(client) = connect(world, gateway.port(), "alice", &token).await {
        let error = client.simple_query("SELECT count(*) FROM sales").await.expect_err("no source");
        assert!(told(&error).0.starts_with("08"), "{error:?}");
    }
}

#[tokio::test]
async fn a_changed_audit_log_does_not_verify() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let alice = through(world, &gateway, "alice").await;
    alice.psql("SELECT count(*) FROM sales").await.rows();
    gateway.audited("the statement", |record| record["event"] == "statement" && record["status"] == "ok").await;
    let log = gateway.settings.path("audit.jsonl");
    verify(&log, true);
    let text = std::fs::read_to_string(&log).expect("the log");
    let changed = gateway.settings.path("changed.jsonl");
    std::fs::write(&changed, text.replacen("alice", "bobby", 1)).expect("a changed log");
    verify(&changed, false);
    let lines: Vec<_> = text.lines().collect();
    std::fs::write(&changed, [&lines[..1], &lines[2..]].concat().join("\n") + "\n").expect("a cut log");
    verify(&changed, false);
}

fn verify(log: &std::path::Path, is_whole: bool) {
    let output = Command::new(program()).args(["audit", "verify"]).arg(log).output().expect("passgate runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(if is_whole { 0 } else { 1 }), "{text}");
}
