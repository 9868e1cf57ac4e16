//! Every conversation of `tests/wire` against PostgreSQL itself and against the gateway.
//!
//! Playing them against PostgreSQL tests the expectation; playing them against the gateway tests the gateway.

use std::path::Path;

use passgate_tests::gateway::Mode;
use passgate_tests::wire::{Conversation, Only, Server, play};
use passgate_tests::{Settings, World};

/// Who signs in where a conversation does not say.
const DEFAULT_PERSON: &str = "alice";

#[tokio::test]
async fn conversations_play_against_postgresql() {
    let world = World::shared();
    play_all(world, world.postgres.port(), Only::Postgres).await;
}

#[tokio::test]
async fn conversations_play_against_the_gateway() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    play_all(world, gateway.port(), Only::Gateway).await;
}

async fn play_all(world: &World, port: u16, against: Only) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wire");
    let mut problems = Vec::new();
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("tests/wire is a folder") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "wire") {
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        let conversation = Conversation::parse(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        if conversation.only.is_some_and(|only| only != against) {
            continue;
        }
        let user = conversation.person.clone().unwrap_or_else(|| DEFAULT_PERSON.to_owned());
        let secret = world.openid.token(&user).await;
        played += 1;
        if let Err(problem) = play(world, &Server { port, user, secret }, &conversation).await {
            problems.push(format!("tests/wire/{name}: {problem}"));
        }
    }
    assert!(played > 0, "there are no conversations");
    assert!(problems.is_empty(), "{} of {played} conversations fail:\n{}", problems.len(), problems.join("\n"));
}
