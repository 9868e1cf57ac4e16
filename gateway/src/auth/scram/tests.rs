//! SCRAM exchanges played by the client of `postgres-protocol`.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use postgres_protocol::authentication::sasl::ChannelBinding;

use super::*;
use crate::auth::testing::{candidate, lenient, sasl_initial, scram, sign_in, unencrypted};
use crate::auth::{Exchange, Refused, SignIn, Step};

fn people(folder: &Path, names: &[&str]) {
    let people: Vec<_> = names
        .iter()
        .map(|name| json!({ "name": name, "verifier": stored_verifier("pencil", 4096), "tenant": "acme" }))
        .collect();
    std::fs::write(folder.join("people.yaml"), json!({ "people": people }).to_string()).unwrap();
}

fn listener() -> (SignIn, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    people(folder.path(), &["alice", "bob"]);
    let block = json!([{ "name": "people", "type": "scram", "file": "people.yaml" }]);
    (sign_in(&lenient(), block, folder.path()), folder)
}

fn bound() -> ChannelBinding {
    ChannelBinding::tls_server_end_point(b"hash of our certificate".to_vec())
}

fn refused(step: Step) -> Refused {
    match step {
        Step::Refused(refused) => refused,
        step => panic!("{step:?}"),
    }
}

async fn server_first(exchange: &mut Box<dyn Exchange>) -> String {
    exchange.next(None).await;
    match exchange.next(sasl_initial(PLAIN, b"n,,n=,r=abc")).await {
        Step::Ask(Ask::SaslContinue(message)) => String::from_utf8(message.to_vec()).unwrap(),
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn the_right_password_signs_in_with_and_without_channel_binding() {
    let (sign_in, _folder) = listener();
    for (candidate, mechanism, binding) in [
        (candidate("alice"), PLUS, bound()),
        (candidate("alice"), PLAIN, ChannelBinding::unsupported()),
        (unencrypted("alice"), PLAIN, ChannelBinding::unsupported()),
        (unencrypted("alice"), PLAIN, ChannelBinding::unrequested()),
    ] {
        let mut exchange = sign_in.begin(candidate);
        let (step, mut client) = scram(&mut exchange, mechanism, binding, "pencil").await;
        let Step::SignedIn(signed_in) = step else { panic!("{step:?}") };
        client.finish(&signed_in.sasl_final.unwrap()).unwrap();
        assert_eq!(signed_in.identity.person.as_str(), "alice");
        assert_eq!(signed_in.identity.tenant.as_str(), "acme");
        assert_eq!(signed_in.identity.proof.method, "scram");
        assert!(signed_in.token.is_none());
        assert!(matches!(exchange.next(Some(Bytes::new())).await, Step::Refused(_)), "an exchange ends once");
    }
}

#[tokio::test]
async fn channel_binding_is_offered_on_tls_only() {
    let (sign_in, _folder) = listener();
    let Step::Ask(ask) = sign_in.begin(candidate("alice")).next(None).await else { panic!() };
    assert_eq!(ask, Ask::Sasl(vec![PLUS.to_owned(), PLAIN.to_owned()]));
    let Step::Ask(ask) = sign_in.begin(unencrypted("alice")).next(None).await else { panic!() };
    assert_eq!(ask, Ask::Sasl(vec![PLAIN.to_owned()]));
}

#[tokio::test]
async fn machines_in_the_middle_are_refused() {
    let (sign_in, _folder) = listener();
    let other = ChannelBinding::tls_server_end_point(b"hash of another certificate".to_vec());
    for (mechanism, binding, cause) in [
        (PLUS, other, "the client is bound to another channel: possible machine in the middle"),
        (
            PLAIN,
            ChannelBinding::unrequested(),
            "the client was told that we have no channel binding: possible downgrade",
        ),
        (PLUS, ChannelBinding::unsupported(), "the client chose channel binding and does not use it"),
        (PLAIN, bound(), "the client binds a channel without having chosen to"),
    ] {
        let (step, _) = scram(&mut sign_in.begin(candidate("alice")), mechanism, binding, "pencil").await;
        assert_eq!(refused(step).cause, cause);
    }
    let (step, _) = scram(&mut sign_in.begin(unencrypted("alice")), PLUS, bound(), "pencil").await;
    assert_eq!(refused(step).cause, "the client chose a SASL mechanism that was not offered");
}

#[tokio::test]
async fn an_unknown_person_and_a_wrong_password_look_the_same() {
    use crate::error::ClientError;
    let (sign_in, _folder) = listener();
    let mut texts = Vec::new();
    for (user, password, cause) in [("alice", "pen", "wrong password"), ("mallory", "pencil", "nobody has this name")] {
        let (step, _) = scram(&mut sign_in.begin(candidate(user)), PLUS, bound(), password).await;
        let refused = refused(step);
        assert_eq!(refused.cause, cause);
        texts.push((refused.sqlstate().to_owned(), refused.message().replace(user, "NAME"), refused.hint()));
    }
    assert_eq!(texts[0], texts[1]);
    let shape = |message: &str| {
        let parts: Vec<_> = message.split(',').map(str::to_owned).collect();
        (parts[0].len(), parts[1].len(), parts[2].clone())
    };
    let known = server_first(&mut sign_in.begin(candidate("alice"))).await;
    let unknown = server_first(&mut sign_in.begin(candidate("mallory"))).await;
    assert_eq!(shape(&known), shape(&unknown));
    let again = server_first(&mut sign_in.begin(candidate("mallory"))).await;
    let salt = |message: &str| message.split(',').nth(1).unwrap().to_owned();
    assert_eq!(salt(&unknown), salt(&again), "a salt that changes gives the unknown away");
    assert_ne!(unknown, again, "the nonce is fresh");
}

#[tokio::test]
async fn the_first_message_may_come_separately() {
    let (sign_in, _folder) = listener();
    let mut exchange = sign_in.begin(candidate("alice"));
    exchange.next(None).await;
    let chosen = Bytes::from_static(b"SCRAM-SHA-256\0\xff\xff\xff\xff");
    let Step::Ask(Ask::SaslContinue(empty)) = exchange.next(Some(chosen)).await else { panic!() };
    assert!(empty.is_empty());
    let step = exchange.next(Some(Bytes::from_static(b"n,,n=,r=abc"))).await;
    assert!(matches!(step, Step::Ask(Ask::SaslContinue(_))), "{step:?}");
}

#[tokio::test]
async fn another_nonce_is_refused() {
    let (sign_in, _folder) = listener();
    let mut exchange = sign_in.begin(candidate("alice"));
    server_first(&mut exchange).await;
    let proof = STANDARD.encode([0; 32]);
    let step = exchange.next(Some(Bytes::from(format!("c=biws,r=abc,p={proof}")))).await;
    assert_eq!(refused(step).cause, "the client answered with another nonce");
}

#[tokio::test]
async fn a_reload_takes_effect_for_the_next_exchange() {
    let (sign_in, folder) = listener();
    let (step, _) = scram(&mut sign_in.begin(candidate("carol")), PLUS, bound(), "pencil").await;
    assert!(matches!(step, Step::Refused(_)));
    people(folder.path(), &["carol"]);
    sign_in.reload().unwrap();
    let (step, _) = scram(&mut sign_in.begin(candidate("carol")), PLUS, bound(), "pencil").await;
    assert!(matches!(step, Step::SignedIn(_)), "{step:?}");
    let (step, _) = scram(&mut sign_in.begin(candidate("alice")), PLUS, bound(), "pencil").await;
    assert!(matches!(step, Step::Refused(_)));
}
