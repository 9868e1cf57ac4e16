//! Many people at once: connections that are held, some of them working, and every row its own person's.
//!
//! Small with the other tests. By hand as large as is asked for, with a gateway built for speed:
//!
//! ```sh
//! cargo build --release -p passgate
//! SOAK_CONNECTIONS=5000 SOAK_WORKING=500 SOAK_SECONDS=1800 PASSGATE_PROGRAM=$PWD/target/release/passgate \
//!     cargo test -p passgate-tests --test soak -- --nocapture
//! ```
//!
//! Half of the workers keep a connection, the others open one for a few statements and close it. Prepared statements,
//! transactions, cursors and plain queries take turns. What the gateway holds in memory is shown while it goes on, and
//! must not grow once it has been as busy as it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use passgate_tests::{Gateway, World};
use serde_json::json;

use super::crowd::{ask_own, make_people, person, settings, sign_in};

/// Statements on one connection of those who do not keep theirs.
const STATEMENTS_EACH: u64 = 40;

/// Parts of the whole time; the first of them is for getting busy.
const PARTS: u32 = 10;

/// What memory may be at the end, in hundredths of what it was after the first part. Allocators keep some in reserve.
const GROWTH_MAX: u64 = 110;

/// A run shorter than this says nothing about growth.
const GROWTH_SECONDS_MIN: u64 = 120;

#[derive(Clone, Copy)]
struct Size {
    connections: usize,
    working: usize,
    seconds: u64,
}

impl Size {
    fn asked() -> Self {
        let asked = |name: &str, otherwise: u64| {
            std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
        };
        let count = |name: &str, otherwise| usize::try_from(asked(name, otherwise)).expect("a count");
        Self {
            connections: count("SOAK_CONNECTIONS", 120),
            working: count("SOAK_WORKING", 24),
            seconds: asked("SOAK_SECONDS", 5),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_anothers_rows_however_many_there_are() {
    let size = Size::asked();
    let world = World::shared();
    make_people(world).await;
    let gateway = Arc::new(gateway(world, size).await);
    let held: Vec<_> = futures_util::stream::iter(size.working..size.connections)
        .map(async |number| {
            let client = sign_in(world, &gateway, &person(number)).await;
            ask_own(&client, &person(number), 0).await.expect("an answer");
            (person(number), client)
        })
        .buffer_unordered(8)
        .collect()
        .await;
    println!("{} connections are held; the gateway has {} kB", held.len(), gateway.memory_bytes() / 1024);
    let (end, done) = (Instant::now() + Duration::from_secs(size.seconds), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..size.working)
        .map(|number| tokio::spawn(work(world, Arc::clone(&gateway), number, end, Arc::clone(&done))))
        .collect();
    let memory = watch(&gateway, size, &done).await;
    for worker in workers {
        worker.await.expect("every row was the worker's own, and nothing failed");
    }
    for (person, client) in &held {
        ask_own(client, person, 1).await.expect("an answer");
    }
    println!("{} statements", done.load(Ordering::Relaxed));
    if size.seconds >= GROWTH_SECONDS_MIN {
        let (first, last) = (memory[0], memory[memory.len() - 1]);
        assert!(last * 100 <= first * GROWTH_MAX, "memory grew: {memory:?}");
    }
}

async fn gateway(world: &World, size: Size) -> Gateway {
    let mut settings = settings(world);
    // The clients compute their side of every sign-in here, too, and are slow at it.
    settings.file["limits"] = json!({ "server": {
        "connections_max": size.connections + 100, "openings_max": size.connections, "opening_seconds": 60
    } });
    settings.start().await
}

/// Takes turns with the ways to ask.
async fn work(world: &'static World, gateway: Arc<Gateway>, number: usize, end: Instant, done: Arc<AtomicU64>) {
    let (person, keeps) = (person(number), number.is_multiple_of(2));
    tokio::time::sleep(Duration::from_millis(20) * u32::try_from(number).unwrap_or_default()).await;
    let mut client = sign_in(world, &gateway, &person).await;
    let mut turn = 0;
    while Instant::now() < end {
        ask_own(&client, &person, turn).await.expect("an answer");
        done.fetch_add(1, Ordering::Relaxed);
        turn += 1;
        if !keeps && turn.is_multiple_of(STATEMENTS_EACH) {
            client = sign_in(world, &gateway, &person).await;
        }
    }
}

/// What the gateway has in memory at the end of each part, in bytes.
async fn watch(gateway: &Gateway, size: Size, done: &AtomicU64) -> Vec<u64> {
    let mut memory = Vec::new();
    for part in 1..=PARTS {
        tokio::time::sleep(Duration::from_secs(size.seconds) / PARTS).await;
        let bytes = gateway.memory_bytes();
        println!("part {part} of {PARTS}: {} kB, {} statements", bytes / 1024, done.load(Ordering::Relaxed));
        memory.push(bytes);
    }
    memory
}
