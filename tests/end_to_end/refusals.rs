//! Who is not let in: always with the same words, and always recorded.

use passgate_tests::clients::{Login, connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::token::{now, unsigned};
use passgate_tests::wire::{Conversation, Server, play};
use passgate_tests::{Settings, Signer, World};
use serde_json::{Value, json};

/// A token that must be refused, and why.
fn bad_tokens(world: &World) -> Vec<(&'static str, String)> {
    let signer = world.openid.signer();
    let claims = || world.openid.claims("alice");
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().expect("claims are an object").remove(name);
        signer.sign(&claims)
    };
    let good = signer.sign(&claims());
    let (body, _) = good.rsplit_once('.').expect("a token has three parts");
    vec![
        ("expired", with("exp", json!(now() - 600))),
        ("not yet valid", with("nbf", json!(now() + 600))),
        ("without an end", without("exp")),
        ("for somebody else's service", with("aud", json!("another"))),
        ("for nobody", without("aud")),
        ("from another issuer", with("iss", json!("https://127.0.0.1:1"))),
        ("another person's", with("preferred_username", json!("bob"))),
        ("nobody's", without("preferred_username")),
        ("a person who is a list", with("preferred_username", json!(["alice"]))),
        ("signed with an unknown key", Signer::new("unknown").sign(&claims())),
        ("signed with another key of the same name", Signer::new(signer.key_id()).sign(&claims())),
        ("HMAC with the public key", signer.sign_with_public_key_as_secret(&claims())),
        ("unsigned", unsigned(&claims())),
        ("with its signature cut off", format!("{body}.")),
        ("of 40 kB", with("padding", json!("x".repeat(30_000)))),
        ("no token at all", "password".to_owned()),
        ("empty", String::new()),
    ]
}

#[tokio::test]
async fn bad_tokens_are_refused_alike_and_recorded() {
    let world = World::shared();
    // More attempts than a person may have in practice; the limit is a test of its own.
    let gateway = Settings::new(world, Mode::SessionAuthorization).patient().start().await;
    let mut answers = Vec::new();
    let tokens = bad_tokens(world);
    for (which, token) in &tokens {
        let error = connect(world, gateway.port(), "alice", token).await.err();
        let error = error.unwrap_or_else(|| panic!("a token was taken: {which}"));
        answers.push((which, told(&error)));
    }
    let expected = ("28P01".to_owned(), "password authentication failed for user \"alice\"".to_owned());
    for (which, answer) in answers {
        assert_eq!(answer, expected, "{which}");
    }
    let denied = |record: &&Value| record["event"] == "sign_in" && record["status"] == "denied";
    gateway.audited("the last refusal", |_| gateway.audit().iter().filter(denied).count() >= tokens.len()).await;
    let log = gateway.audit().iter().map(Value::to_string).collect::<String>() + &gateway.server.log();
    for (which, token) in tokens.iter().filter(|(_, token)| token.len() > 100) {
        let part = &token[token.len() - 60..token.len() - 20];
        assert!(!log.contains(part), "the log shows a token: {which}");
    }
    // After all that, a good one still is.
    let token = world.openid.token("alice").await;
    connect(world, gateway.port(), "alice", &token).await.expect("a good token is taken");
}

#[tokio::test]
async fn a_token_of_thirty_kilobytes_is_taken() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::Token).start().await;
    let mut claims = world.openid.claims("bob");
    claims["padding"] = json!("x".repeat(20_000));
    let token = world.openid.signer().sign(&claims);
    assert!(token.len() > 27_000);
    let client = connect(world, gateway.port(), "bob", &token).await.expect("a large token is taken");
    let row = client.query_one("SELECT count(*) FROM sales", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 300);
}

#[tokio::test]
async fn wrong_passwords_and_unknown_people_are_refused_alike() {
    let world = World::shared();
    let settings = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice"]);
    let gateway = settings.start().await;
    for person in ["alice", "nobody"] {
        let error = connect(world, gateway.port(), person, "wrong").await.expect_err("a refusal");
        let message = format!("password authentication failed for user \"{person}\"");
        assert_eq!(told(&error), ("28P01".to_owned(), message));
        gateway.audited("the refusal", |record| record["user"] == person && record["status"] == "denied").await;
    }
}

#[tokio::test]
async fn by_oauthbearer_a_token_is_taken_from_its_person_only() {
    let world = World::shared();
    let mut settings = Settings::new(world, Mode::Token);
    settings.file["listeners"][0]["sign_in"] = json!(["corporate_sasl"]);
    let gateway = settings.start().await;
    let text = "> Query \"SELECT count(*) FROM sales\"\n< RowDescription [\"count:20\"]\n< DataRow [\"300\"]\n\
                < CommandComplete \"SELECT 1\"\n< ReadyForQuery \"I\"";
    let conversation = Conversation::parse(text).expect("a conversation");
    let secret = world.openid.token("bob").await;
    let bob = Server { port: gateway.port(), user: "bob".to_owned(), secret: secret.clone() };
    play(world, &bob, &conversation).await.expect("bob sees his rows");
    let alice = Server { port: gateway.port(), user: "alice".to_owned(), secret };
    let refusal = play(world, &alice, &conversation).await.expect_err("bob's token is not alice's");
    assert!(refusal.contains("\"28P01\"") || refusal.contains("\"28000\""), "{refusal}");
    gateway.audited("the refusal", |record| record["user"] == "alice" && record["status"] == "denied").await;
}

#[tokio::test]
async fn nobody_signs_in_unencrypted() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let token = world.openid.token("alice").await;
    let login = Login::new(world, gateway.port(), "alice", &token).with("sslmode", "disable");
    let said = login.psql("SELECT 1").await;
    assert!(!said.ok && said.errors.contains("FATAL"), "{said:?}");
}

#[tokio::test]
async fn a_token_goes_over_plaintext_only_where_the_settings_dare() {
    let world = World::shared();
    let token = world.openid.token("alice").await;
    for dangerous in [false, true] {
        let mut settings = Settings::new(world, Mode::SessionAuthorization);
        let listener = settings.file["listeners"][0].as_object_mut().expect("a listener");
        listener.remove("tls");
        listener.insert("dangerously_allow_plaintext".to_owned(), json!(dangerous));
        let gateway = settings.start().await;
        let login = Login::new(world, gateway.port(), "alice", &token).with("sslmode", "disable");
        let said = login.psql("SELECT 1").await;
        assert_eq!(said.ok, dangerous, "{said:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_in_the_settings_does_not_exist() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let token = world.openid.token("alice").await;
    let said = Login::new(world, gateway.port(), "alice", &token).with("dbname", "other").psql("SELECT 1").await;
    assert!(
        !said.ok && said.errors.contains("FATAL:  3D000") || said.errors.contains("database \"other\""),
        "{said:?}"
    );
}
