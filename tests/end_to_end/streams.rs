//! Large answers and long statements: flat memory, exact limits, prompt cancels.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use passgate_tests::clients::{connect, tls, told};
use passgate_tests::gateway::Mode;
use passgate_tests::{Settings, World};
use serde_json::Value;

use super::failures::wait_for_activity;

const MEGABYTE: u64 = 1 << 20;

#[tokio::test]
async fn a_million_rows_pass_with_flat_memory() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).unlimited().start().await;
    let client = connect(world, gateway.port(), "alice", &world.openid.token("alice").await).await.expect("alice");
    client.query("SELECT id, label, amount FROM million WHERE id < 10000", &[]).await.expect("a warm gateway");
    let before = gateway.memory_bytes();
    let none: [&str; 0] = [];
    let rows = client.query_raw("SELECT id, label, amount FROM million", none).await.expect("a stream");
    let mut rows = std::pin::pin!(rows);
    let (mut count, mut sum, mut highest) = (0_u64, 0_i64, before);
    while let Some(row) = rows.try_next().await.expect("rows") {
        sum += i64::from(row.get::<_, i32>(0));
        count += 1;
        if count == 10_000 {
            // A client that pauses makes the gateway wait, not collect.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        if count.is_multiple_of(50_000) || count == 10_001 {
            highest = highest.max(gateway.memory_bytes());
        }
    }
    assert_eq!((count, sum), (1_000_000, 500_000_500_000));
    assert!(highest - before < 32 * MEGABYTE, "grew by {} MB", (highest - before) / MEGABYTE);
    let record = gateway.audited("the stream", |record| record["rows_returned"] == 1_000_000).await;
    assert_eq!(record["status"], "ok");
}

#[tokio::test]
async fn ten_thousand_rows_are_the_limit_where_no_policy_says_otherwise() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let client = connect(world, gateway.port(), "alice", &world.openid.token("alice").await).await.expect("alice");
    let count = async |statement: &str| client.query(statement, &[]).await.expect("rows").len();
    assert_eq!(count("SELECT id FROM million").await, 10_000);
    assert_eq!(count("SELECT id FROM million LIMIT 20000").await, 10_000);
    assert_eq!(count("SELECT id FROM million LIMIT ALL").await, 10_000);
    assert_eq!(count("SELECT id FROM million LIMIT 7").await, 7);
    assert_eq!(count("SELECT id FROM million UNION ALL SELECT id FROM million ORDER BY 1 OFFSET 5").await, 10_000);
    let inner = "SELECT count(*) FROM (SELECT id FROM million) AS everything";
    assert_eq!(client.query_one(inner, &[]).await.expect("a row").get::<_, i64>(0), 1_000_000);
}

#[tokio::test]
async fn a_cancel_reaches_the_warehouse_at_once() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let client = connect(world, gateway.port(), "bob", &world.openid.token("bob").await).await.expect("bob");
    let cancel = client.cancel_token();
    let (answer, cancelled) = tokio::join!(client.simple_query("SELECT max(state) AS cancelled FROM naps"), async {
        wait_for_activity(world, "cancelled", 1).await;
        let at = Instant::now();
        cancel.cancel_query(tls(world)).await.expect("the request is sent");
        at
    });
    assert_eq!(told(&answer.expect_err("an error")).0, "57014");
    assert!(cancelled.elapsed() < Duration::from_secs(2));
    wait_for_activity(world, "cancelled", 0).await;
    let record = |record: &Value| record["status"] == "cancelled" && record["user"] == "bob";
    gateway.audited("the cancelled statement", record).await;
    client.query_one("SELECT count(*) FROM sales", &[]).await.expect("the session goes on");
}
