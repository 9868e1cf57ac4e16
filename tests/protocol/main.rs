//! Generated conversations, played against PostgreSQL and against the gateway: both must say the same.
//!
//! ```text
//! seed ── sequence ──► messages ─┬─► PostgreSQL ── answers ──┐
//!                                └─► gateway ───── answers ──┴─► equal, and as the protocol wants them
//! ```
//!
//! The conversations of `tests/wire` say what somebody thought of; these say what nobody did: pipelines that fail
//! halfway, names that do not exist, portals that take turns, transactions that end in odd places. Two things judge an
//! answer. `answers` knows the protocol's grammar: which messages may answer which, that an error skips to the Sync,
//! that a Sync is answered once. And PostgreSQL says the rest: rows, tags, SQLSTATEs, and where the transaction stands.
//! What differs is made shorter before it is shown.
//!
//! A fixed number of conversations of a fixed seed runs with the other tests. By hand:
//!
//! ```text
//! PROTOCOL_SECONDS=600 cargo test -p passgate-tests --test protocol -- --nocapture   those of a fresh seed
//! PROTOCOL_SEED=17 ...   the conversations of one seed
//! ```

mod answers;
mod hunt;
mod sequence;
mod statements;

use passgate_tests::gateway::Mode;
use passgate_tests::{Settings, World};

use hunt::Hunt;

/// Who signs in to both.
const PERSON: &str = "bob";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_sends_is_answered_as_postgresql_does() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let hunt = Hunt { world, gateway: gateway.port(), secret: world.openid.token(PERSON).await, conversations: 240 };
    hunt.run().await;
}
