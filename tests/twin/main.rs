//! Generated queries over governed tables, with a twin database as the oracle.
//!
//! ```text
//! seed ── choices ── grammar ──► query ─┬─► gateway ──► truth      must answer as the twin, or refuse
//!                                       └─► twin: the truth with the policy applied to the data itself
//! ```
//!
//! The twin knows nothing of rewriting: its rows are deleted, its cells overwritten, its columns dropped. So whatever
//! a query does, what it answers there is what the person may learn. The queries are made by a grammar that covers
//! what BI tools and people write; a failing one is made smaller before it is shown.
//!
//! A fixed number of queries runs with the other tests: those of a fixed seed and those of a fresh one. By hand:
//!
//! ```text
//! TWIN_SECONDS=600 cargo test -p passgate-tests --test twin -- --nocapture
//! TWIN_SEED=17 ...   the queries of one seed
//! ```

mod catalog;
mod choices;
mod client;
mod databases;
mod grammar;
mod hunt;
mod verdict;

use passgate_tests::World;
use tokio::sync::OnceCell;

use catalog::Catalog;
use hunt::Hunt;

/// The databases are made once.
async fn catalog(world: &World) -> &'static Catalog {
    static CATALOG: OnceCell<Catalog> = OnceCell::const_new();
    CATALOG.get_or_init(|| databases::make(world)).await
}

/// Without a policy the truth is its own twin: what differs is the gateway's reading and printing.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_queries_are_answered_as_the_database_does() {
    let world = World::shared();
    let catalog = catalog(world).await;
    let gateway = databases::gateway(world, false).await;
    let catalog = &catalog.without_traps();
    let hunt = Hunt { world, catalog, port: gateway.port(), twin: databases::TRUTH, queries: 150, answered_min: 90 };
    hunt.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn governed_queries_are_answered_as_a_database_with_only_that_data_does() {
    let world = World::shared();
    let catalog = catalog(world).await;
    let gateway = databases::gateway(world, true).await;
    let hunt = Hunt { world, catalog, port: gateway.port(), twin: databases::SAFE, queries: 400, answered_min: 90 };
    hunt.run().await;
}
