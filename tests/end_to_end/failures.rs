//! What happens when a part fails: clear errors, nothing hangs, nothing is lost, and the gateway goes on.

use std::time::{Duration, Instant};

use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::wire::{Conversation, Server, play};
use passgate_tests::{OpenId, Settings, World};
use serde_json::{Value, json};

#[tokio::test]
async fn a_killed_backend_is_a_lost_connection_and_the_session_goes_on() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let client = connect(world, gateway.port(), "alice", &world.openid.token("alice").await).await.expect("alice");
    let statement = "SELECT max(state) AS killed_backend FROM naps";
    let (answer, ()) = tokio::join!(client.simple_query(statement), async {
        wait_for_activity(world, "killed_backend", 1).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE query LIKE '%killed_backend%' AND pid <> pg_backend_pid()";
        world.postgres.admin().await.batch_execute(kill).await.expect("the backend is killed");
    });
    assert_eq!(told(&answer.expect_err("an error")).0, "08006");
    let failed = |record: &Value| record["sqlstate"] == "08006" && record["status"] == "failed";
    gateway.audited("the lost backend", failed).await;
    let row = client.query_one("SELECT count(*) FROM sales", &[]).await.expect("the session goes on");
    assert_eq!(row.get::<_, i64>(0), 100);
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_statement_along() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let server = Server { port: gateway.port(), user: "alice".to_owned(), secret: world.openid.token("alice").await };
    let text = "> Query \"SELECT max(state) AS vanished FROM naps\"\n> Sleep 3000\n> Disconnect";
    let conversation = Conversation::parse(text).expect("a conversation");
    let (played, ()) = tokio::join!(play(world, &server, &conversation), wait_for_activity(world, "vanished", 1));
    played.expect("it is played");
    wait_for_activity(world, "vanished", 0).await;
    let record = gateway.audited("the abandoned statement", |record| record["status"] == "abandoned").await;
    assert_eq!(record["user"], "alice");
}

#[tokio::test]
async fn a_client_that_vanishes_amid_a_stream_takes_its_statement_along() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).unlimited().start().await;
    let server = Server { port: gateway.port(), user: "bob".to_owned(), secret: world.openid.token("bob").await };
    let text = "> Query \"SELECT id AS midstream, label FROM million\"\n> Sleep 500\n> Disconnect";
    play(world, &server, &Conversation::parse(text).expect("a conversation")).await.expect("it is played");
    wait_for_activity(world, "midstream", 0).await;
    gateway.audited("the abandoned statement", |record| record["status"] == "abandoned").await;
}

#[tokio::test]
async fn without_the_provider_its_keys_still_serve_who_has_a_token() {
    let world = World::shared();
    let folder = tempfile::TempDir::new().expect("a folder");
    let provider = OpenId::start(&world.authority, folder.path());
    let mut settings = Settings::new(world, Mode::SessionAuthorization).patient();
    settings.file["sign_in"][0]["issuer"] = json!(provider.issuer());
    let gateway = settings.start().await;
    let token = provider.token("alice").await;
    connect(world, gateway.port(), "alice", &token).await.expect("alice");
    provider.stop();
    connect(world, gateway.port(), "alice", &token).await.expect("the keys are remembered");
    let unknown = passgate_tests::Signer::new("unknown").sign(&provider.claims("alice"));
    let started = Instant::now();
    let error = connect(world, gateway.port(), "alice", &unknown).await.expect_err("a refusal");
    assert_eq!(told(&error).0, "28P01");
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_gateway_that_starts_without_the_provider_serves_who_needs_none() {
    let world = World::shared();
    let mut settings = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice"]);
    settings.file["sign_in"][0]["issuer"] = json!("https://127.0.0.1:9");
    settings.file["listeners"][0]["sign_in"] = json!(["people", "corporate"]);
    let gateway = settings.start().await;
    let client = connect(world, gateway.port(), "alice", "alice-password").await.expect("alice has a password");
    client.query_one("SELECT count(*) FROM sales", &[]).await.expect("and works");
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_run() {
    let world = World::shared();
    let mut settings = Settings::new(world, Mode::SessionAuthorization);
    settings.file["log"]["level"] = json!("error");
    // As a full disk: no file may grow beyond 64 kB. Without the trap the system would end the process instead.
    let gateway = settings.spawn_under(&["sh", "-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "limited"]);
    gateway.wait_until_ready().await;
    let client = connect(world, gateway.port(), "alice", &world.openid.token("alice").await).await.expect("alice");
    let mut refused = None;
    for number in 0..500 {
        if let Err(error) = client.simple_query(&format!("SELECT count(*) AS disk_full_{number} FROM sales")).await {
            refused = Some((number, told(&error)));
            break;
        }
    }
    let (number, (code, message)) = refused.expect("the disk is full before 500 statements");
    assert_eq!(code, "58030", "{message}");
    assert!(number > 5, "only {number} statements fit");
    // It was refused before it ran, and the gateway still answers.
    let ran = world.postgres.activity(&format!("disk_full_{number} ")).await;
    assert_eq!(ran, 0);
    assert_eq!(gateway.http("/livez").await.map(|answer| answer.0), Some(200));
    let again = client.simple_query("SELECT count(*) FROM sales").await.expect_err("still full");
    assert_eq!(told(&again).0, "58030");
}

/// Waits until as many statements with `marker` run at the warehouse.
pub(super) async fn wait_for_activity(world: &World, marker: &str, count: i64) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let running = world.postgres.activity(marker).await;
        if running == count {
            return;
        }
        assert!(Instant::now() < end, "{running} statements with {marker} run, not {count}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
