//! While many work, their connections to the warehouse are ended, the warehouse crashes and recovers, shadows are lost,
//! and policies are reloaded. Only statements under way may fail, and they must say why.
//!
//! By hand with shadows in processes of the gateway's own, which are killed then: `TURMOIL_EMBEDDED=1`, with a gateway
//! that was built with them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use passgate_tests::clients::told;
use passgate_tests::{Gateway, World};
use serde_json::{Value, json};
use tokio_postgres::{Client, Error};

use super::crowd::{ask_own, make_people, person, settings, sign_in};

const WORKERS: usize = 20;

/// An answer that takes longer is counted as none.
const STUCK: Duration = Duration::from_secs(30);

/// How long things may take to be as before.
const RECOVERY: Duration = Duration::from_secs(3);

/// What a statement may fail with while the warehouse or a shadow is lost: the connection could not be made or is gone,
/// or the server says that it ends, has crashed or starts.
const LOST: [&str; 5] = ["08001", "08006", "57P01", "57P02", "57P03"];

/// Failures by SQLSTATE, with a message of each.
type Failures = BTreeMap<String, (u64, String)>;

/// What happened to the workers.
#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    failures: Mutex<Failures>,
    over: AtomicBool,
}

impl Seen {
    fn failed(&self, code: String, message: String) {
        self.failures.lock().expect("not poisoned").entry(code).or_insert((0, message)).0 += 1;
    }

    fn take_failures(&self) -> Failures {
        std::mem::take(&mut *self.failures.lock().expect("not poisoned"))
    }

    /// Waits until every worker has had a few more answers, on average.
    async fn more_answers(&self) {
        let (before, end) = (self.answers.load(Ordering::Relaxed), Instant::now() + STUCK);
        while self.answers.load(Ordering::Relaxed) < before + 5 * WORKERS as u64 {
            assert!(Instant::now() < end, "the workers get no answers any more: {:?}", self.take_failures());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing but this may have happened to the workers, and it must be over.
    async fn only(&self, what: &str, codes: &[&str], times: u64) {
        tokio::time::sleep(RECOVERY).await;
        let failures = self.take_failures();
        println!("{what}: {failures:?}");
        for (code, (count, message)) in &failures {
            assert!(!message.contains("http"), "{what}, and a person is told {message}");
            assert!(codes.contains(&code.as_str()), "{what}, and a statement failed with {code} {message}");
            // What was under way, and what found a connection that did not know yet.
            let most = times.saturating_mul(2 * WORKERS as u64);
            assert!(*count <= most, "{what}, and {count} statements failed with {code} {message}");
        }
        self.more_answers().await;
        assert_eq!(self.take_failures(), Failures::new(), "{what}, and it goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_statements_under_way_fail_and_they_say_why() {
    let world = World::apart();
    make_people(world).await;
    let mut gateway = gateway(world).await;
    let seen = Arc::new(Seen::default());
    let workers = start(world, &gateway, &seen).await;
    seen.more_answers().await;
    assert_eq!(seen.take_failures(), Failures::new(), "nothing has happened yet");

    for _ in 0..3 {
        end_connections(world, "gateway_super").await;
        seen.more_answers().await;
    }
    seen.only("connections were ended", &LOST, 3).await;

    for tables in [["sales"], ["dim_patient"]] {
        let other = json!({ "name": "other", "action": "block", "tables": tables, "message": "not now" });
        gateway = reload(gateway, &seen, &other).await;
    }
    seen.only("policies about something else were reloaded", &[], 0).await;

    for rows in [9_000, 8_000, 9_000] {
        let limit = json!({ "name": "other", "check": "row_limit", "rows": rows });
        gateway = reload(gateway, &seen, &limit).await;
    }
    seen.only("policies that let less through were reloaded", &["42501"], 3).await;

    for _ in 0..2 {
        lose_shadows(world, &gateway).await;
        seen.more_answers().await;
    }
    seen.only("shadows were lost", &LOST, 2).await;

    crash(world).await;
    seen.more_answers().await;
    seen.only("the warehouse crashed", &LOST, u64::MAX).await;

    seen.over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("every row was the worker's own, and no session was lost");
    }
    println!("{} answers", seen.answers.load(Ordering::Relaxed));
    every_statement_has_an_outcome(&gateway).await;
}

async fn gateway(world: &World) -> Gateway {
    let mut settings = settings(world);
    if std::env::var_os("TURMOIL_EMBEDDED").is_none() {
        settings.file["catalog"] = json!({ "shadow": {
            "host": "127.0.0.1", "port": world.postgres.port(), "user": "gateway_shadows",
            "password": "shadows-secret", "ca_file": world.authority.file(), "database_prefix": "turmoil_",
        } });
    }
    settings.start().await
}

async fn start(world: &'static World, gateway: &Gateway, seen: &Arc<Seen>) -> Vec<tokio::task::JoinHandle<()>> {
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let person = person(number);
        let client = sign_in(world, gateway, &person).await;
        let seen = Arc::clone(seen);
        workers.push(tokio::spawn(async move {
            let mut turn = number as u64;
            while !seen.over.load(Ordering::Relaxed) {
                work(&client, &person, turn, &seen).await;
                assert!(!client.is_closed(), "a session was lost");
                turn += 1;
            }
        }));
    }
    workers
}

/// One statement or transaction, after which the session must be as before.
async fn work(client: &Client, person: &str, turn: u64, seen: &Seen) {
    let asked = async {
        match turn % 8 {
            5 => ask_catalog(client).await,
            _ => ask_own(client, person, turn).await,
        }
    };
    let Err(error) = tokio::time::timeout(STUCK, asked).await.expect("an answer, or an error") else {
        seen.answers.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let (code, message) = told(&error);
    seen.failed(code, message);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ended = tokio::time::timeout(STUCK, client.batch_execute("ROLLBACK")).await.expect("an answer");
    ended.expect("a transaction that has lost its connection can be ended");
}

async fn ask_catalog(client: &Client) -> Result<(), Error> {
    let row = client.query_one("SELECT count(*) FROM pg_class WHERE relname = 'territories'", &[]).await?;
    assert_eq!(row.get::<_, i64>(0), 1);
    Ok(())
}

/// Puts this policy in the place of the last, and waits until it is in force and people work under it.
async fn reload(mut gateway: Gateway, seen: &Seen, policy: &Value) -> Gateway {
    gateway.settings = gateway.settings.policy("other.json", policy);
    gateway.reload();
    seen.more_answers().await;
    gateway
}

/// Ends all connections of a login at the warehouse.
async fn end_connections(world: &World, login: &str) {
    let text = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'");
    world.postgres.admin().await.batch_execute(&text).await.expect("they are ended");
}

/// Kills a process of the warehouse, which then ends all others, recovers and starts again.
async fn crash(world: &World) {
    let admin = world.postgres.admin().await;
    let text = "SELECT pid FROM pg_stat_activity WHERE usename = 'gateway_super' LIMIT 1";
    let pid: i32 = admin.query_one(text, &[]).await.expect("the gateway is there").get(0);
    kill(&pid.to_string());
}

async fn lose_shadows(world: &World, gateway: &Gateway) {
    if std::env::var_os("TURMOIL_EMBEDDED").is_none() {
        return end_connections(world, "gateway_shadows").await;
    }
    let threads = format!("/proc/{}/task", gateway.server.process_id());
    let threads = std::fs::read_dir(threads).expect("the gateway runs");
    let children = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.expect("a thread").path().join("children")).unwrap_or_default()
    };
    let children: String = threads.map(children).collect();
    assert!(!children.is_empty(), "there is no shadow to be killed");
    children.split_whitespace().for_each(kill);
}

fn kill(process: &str) {
    let status = Command::new("kill").args(["-s", "KILL", process]).status().expect("kill runs");
    assert!(status.success(), "there is no process {process}");
}

/// Every statement that the log says has started has ended too.
async fn every_statement_has_an_outcome(gateway: &Gateway) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let mut started = BTreeMap::new();
        for record in gateway.audit() {
            let id = record["statement_id"].to_string();
            match record["status"] == "started" {
                true => drop(started.insert(id, record)),
                false => drop(started.remove(&id)),
            }
        }
        if started.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "these have no outcome: {started:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
