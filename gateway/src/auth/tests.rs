//! What holds for every method: who is asked for what, limits, times, and foreign input.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt;
use postgres_protocol::authentication::sasl::ChannelBinding;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::testing::*;
use super::*;

const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

fn people_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let verifier = scram::stored_verifier("pencil", 4096);
    let people = json!({ "people": [{ "name": "alice", "verifier": verifier }] });
    std::fs::write(folder.path().join("people.yaml"), people.to_string()).unwrap();
    folder
}

fn people() -> Value {
    json!({ "name": "people", "type": "scram", "file": "people.yaml", "users": ["svc_*"] })
}

fn tokens(kind: &str) -> Value {
    json!({ "name": kind, "type": kind, "issuer": "https://login.example.com/", "audience": ["passgate"] })
}

async fn asked(sign_in: &SignIn, user: &str) -> Ask {
    match sign_in.begin(candidate(user)).next(None).await {
        Step::Ask(ask) => ask,
        step => panic!("{step:?}"),
    }
}

fn sasl(mechanisms: &[&str]) -> Ask {
    Ask::Sasl(mechanisms.iter().map(|&name| name.to_owned()).collect())
}

#[tokio::test]
async fn a_name_is_asked_for_what_it_can_give() {
    let folder = people_folder();
    let scram = sasl(&[SCRAM_PLUS, "SCRAM-SHA-256"]);
    let bearer = sasl(&["OAUTHBEARER"]);
    let only = |users: &str, block: Value| {
        let mut block = block;
        block["users"] = json!([users]);
        block
    };
    for (blocks, expected) in [
        (json!([people()]), [&scram, &scram, &scram]),
        (json!([tokens("oidc")]), [&Ask::CleartextPassword, &Ask::CleartextPassword, &Ask::CleartextPassword]),
        (json!([tokens("oidc"), people()]), [&scram, &scram, &Ask::CleartextPassword]),
        (json!([people(), tokens("oauthbearer")]), [&scram, &scram, &bearer]),
        (
            json!([tokens("oidc"), tokens("oauthbearer")]),
            [&Ask::CleartextPassword, &Ask::CleartextPassword, &Ask::CleartextPassword],
        ),
        (json!([tokens("oauthbearer"), tokens("oidc"), people()]), [&scram, &scram, &bearer]),
        (
            json!([only("a*", tokens("oauthbearer")), tokens("oidc")]),
            [&bearer, &Ask::CleartextPassword, &Ask::CleartextPassword],
        ),
    ] {
        let sign_in = sign_in(&lenient(), blocks.clone(), folder.path());
        for (user, expected) in ["alice", "svc_report", "bob"].into_iter().zip(expected) {
            assert_eq!(asked(&sign_in, user).await, *expected, "{user} with {blocks}");
        }
    }
}

#[tokio::test]
async fn tokens_are_not_even_asked_for_on_an_unencrypted_connection() {
    for kind in ["oidc", "oauthbearer"] {
        let sign_in = sign_in(&lenient(), json!([tokens(kind)]), Path::new("."));
        let Step::Refused(refused) = sign_in.begin(unencrypted("alice")).next(None).await else { panic!() };
        assert_eq!(refused.cause, "the connection is not encrypted");
        assert!(refused.hint().unwrap().contains("TLS"));
        let allowed = Candidate { plaintext_allowed: true, ..unencrypted("alice") };
        assert!(matches!(sign_in.begin(allowed).next(None).await, Step::Ask(_)));
    }
}

#[tokio::test]
async fn a_client_is_told_where_to_get_a_token_and_a_refused_one_is_told_again() {
    let key = SigningKey::new("one", jsonwebtoken::Algorithm::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let block = json!({
        "name": "b", "type": "oauthbearer", "issuer": provider.issuer, "audience": ["passgate"],
        "dangerously_allow_http": true, "scope": "openid passgate",
    });
    let sign_in = sign_in(&Config { attempts_per_person: 2, ..lenient() }, json!([block]), Path::new("."));
    let told = json!({
        "status": "invalid_token", "scope": "openid passgate",
        "openid-configuration": format!("{}/.well-known/openid-configuration", provider.issuer),
    });
    let bearer = |token: &str| sasl_initial("OAUTHBEARER", format!("n,,\x01auth={token}\x01\x01").as_bytes());
    let good = format!("Bearer {}", key.sign(&provider.claims("alice")));
    let others = format!("Bearer {}", key.sign(&provider.claims("bob")));

    // Asking where to get a token is not a failure, however often.
    for (authorization, cause) in [
        ("", "the client only asked where to get a token"),
        ("", "the client only asked where to get a token"),
        ("", "the client only asked where to get a token"),
        (others.as_str(), "the token is \"bob\"'s, not the start-up user's"),
    ] {
        let mut exchange = sign_in.begin(candidate("alice"));
        exchange.next(None).await;
        let Step::Ask(Ask::SaslContinue(answer)) = exchange.next(bearer(authorization)).await else { panic!() };
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), told);
        let Step::Refused(refused) = exchange.next(Some(Bytes::from_static(b"\x01"))).await else { panic!() };
        assert_eq!((refused.cause.as_str(), refused.method), (cause, "oauthbearer"));
    }
    let mut exchange = sign_in.begin(candidate("alice"));
    exchange.next(None).await;
    let Step::SignedIn(signed_in) = exchange.next(bearer(&good)).await else { panic!() };
    assert_eq!(signed_in.identity.proof.method, "oauthbearer");
    assert!(signed_in.sasl_final.is_none() && good.ends_with(signed_in.token.unwrap().expose()));
}

#[tokio::test]
async fn whoever_fails_too_often_is_refused_in_the_same_way_even_with_the_right_password() {
    let folder = people_folder();
    let config = Config { attempts_per_person: 2, ..lenient() };
    let sign_in = sign_in(&config, json!([people()]), folder.path());
    let mut causes = Vec::new();
    for password in ["wrong", "wrong", "pencil"] {
        let mut exchange = sign_in.begin(candidate("alice"));
        let binding = ChannelBinding::tls_server_end_point(b"hash of our certificate".to_vec());
        let (step, _) = testing::scram(&mut exchange, SCRAM_PLUS, binding, password).await;
        let Step::Refused(refused) = step else { panic!("{step:?}") };
        assert_eq!(refused.message(), "password authentication failed for user \"alice\"");
        causes.push(refused.cause);
    }
    assert_eq!(causes, ["wrong password", "wrong password", "too many failed sign-ins for this name"]);
}

#[tokio::test]
async fn refusals_take_at_least_the_same_time_whatever_the_reason() {
    let folder = people_folder();
    let config = Config { refusal_ms: 60, ..lenient() };
    let sign_in = sign_in(&config, json!([people(), tokens("oidc")]), folder.path());
    for (user, body) in [
        ("alice", sasl_initial("SCRAM-SHA-256", b"nonsense")),
        ("svc_nobody", sasl_initial("SCRAM-SHA-256", b"nonsense")),
        ("bob", password("not a token")),
        ("bob", password(&"x".repeat(40_000))),
        ("bob", Some(Bytes::from(vec![0; BODY_BYTES_MAX + 1]))),
    ] {
        let mut exchange = sign_in.begin(candidate(user));
        exchange.next(None).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let heard_at = Instant::now();
        assert!(matches!(exchange.next(body).await, Step::Refused(_)));
        assert!(heard_at.elapsed() >= Duration::from_millis(60), "{user}");
    }
}

#[tokio::test]
async fn a_broken_off_exchange_cannot_be_taken_up_again() {
    let folder = people_folder();
    let sign_in = sign_in(&lenient(), json!([people()]), folder.path());
    let mut exchange = sign_in.begin(candidate("alice"));
    assert!(matches!(exchange.next(Some(Bytes::new())).await, Step::Refused(_)), "an answer before the question");
    assert!(matches!(exchange.next(None).await, Step::Refused(_)));
    let mut exchange = sign_in.begin(candidate("alice"));
    exchange.next(None).await;
    assert!(matches!(exchange.next(None).await, Step::Refused(_)));
}

#[test]
fn everybody_is_known_unless_an_identity_provider_says_who_may_sign_in() {
    let folder = people_folder();
    let everybody = |blocks: Value| {
        let methods = methods(&Config::default(), blocks, folder.path()).unwrap();
        methods.everybody().map(|people| people.iter().map(|one| one.person.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(everybody(json!([people()])), Some(vec!["alice".to_owned()]));
    assert_eq!(everybody(json!([people(), tokens("oidc")])), None);
}

#[test]
fn settings_are_checked_with_suggestions() {
    let folder = people_folder();
    let blocks = json!([
        { "name": "a", "type": "scramm", "file": "people.yaml" },
        { "name": "b", "type": "scram", "file": "absent.yaml" },
        { "name": "c", "type": "scram", "file": "people.yaml", "users": ["x"], "filed": 1 },
        { "name": "d", "type": "scram" },
        { "name": "e", "type": "scram", "file": "people.yaml", "unknown_person_key": "short" },
        { "name": "f", "type": "scram", "file": "people.yaml" },
        { "name": "f", "type": "scram", "file": "people.yaml" },
    ]);
    let config = Config { window_seconds: 0, ..Config::default() };
    let problems: Vec<_> =
        methods(&config, blocks, folder.path()).unwrap_err().iter().map(Problem::to_string).collect();
    let all = problems.join("\n").replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(
        all,
        "sign-in method \"\": window_seconds: must be 1 to 86400\n\
         sign-in method \"a\": type: there is no method of type \"scramm\" (did you mean `scram`?)\n\
         sign-in method \"b\": file: the people file FOLDER/absent.yaml cannot be read: \
         No such file or directory (os error 2)\n\
         sign-in method \"c\": filed: unknown field `filed`, expected one of `file`, `users`, `unknown_person_key`\n\
         sign-in method \"d\": file: missing field `file`\n\
         sign-in method \"e\": unknown_person_key: must have at least 16 characters\n\
         sign-in method \"f\": name: two methods have this name"
    );
    let methods = methods(&Config::default(), json!([people()]), folder.path()).unwrap();
    let problem = methods.sign_in(&["peeple".to_owned()]).unwrap_err().remove(0);
    assert_eq!(problem.suggestion.as_deref(), Some("did you mean \"people\"?"));
    assert!(methods.sign_in(&[]).is_err());
}

#[test]
fn policies_can_name_every_method() {
    for row in METHODS {
        assert!(passgate_policy::AUTHENTICATION_METHODS.contains(&row.kind), "{}: add it there", row.kind);
    }
}

#[test]
fn every_method_has_a_manual_with_an_example_and_a_documented_schema() {
    for row in METHODS {
        assert!(row.manual.contains("```yaml\nsign_in:"), "{}", row.kind);
        assert!(row.manual.contains(&format!("type: {}", row.kind)), "{}", row.kind);
        let schema = (row.schema)().to_value();
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}: {name}", row.kind);
        }
    }
}

proptest! {
    /// Whatever a stranger sends, an exchange answers with a step, and nobody gets in.
    #[test]
    fn exchanges_survive_any_bodies(
        user in prop_oneof![Just("alice".to_owned()), Just("bob".to_owned()), ".*"],
        bodies in proptest::collection::vec(body(), 1..4),
        kinds in proptest::sample::subsequence(vec!["oidc", "oauthbearer", "people"], 1..=3),
    ) {
        static METHODS: LazyLock<Methods> = LazyLock::new(|| {
            let config = Config { attempts_per_address: 1_000_000, attempts_per_person: 1_000_000, ..lenient() };
            let blocks = json!([people(), tokens("oidc"), tokens("oauthbearer")]);
            methods(&config, blocks, people_folder().path()).unwrap()
        });
        let names: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let sign_in = METHODS.sign_in(&names).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut exchange = sign_in.begin(candidate(&user));
            exchange.next(None).await;
            for body in bodies {
                let step = std::panic::AssertUnwindSafe(exchange.next(Some(body))).catch_unwind().await.unwrap();
                assert!(!matches!(step, Step::SignedIn(_)));
            }
        });
    }
}

/// Bodies that come some way into each method, and noise.
fn body() -> impl Strategy<Value = Bytes> {
    let noise = proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let text = "[ -~\\x01]{0,60}".prop_map(|text: String| Bytes::from(text));
    let scram = ("[nyp=,a-z]{0,6},(n=)?[a-z]{0,3},(r=)?[ -~]{0,20}")
        .prop_map(|data| sasl_initial("SCRAM-SHA-256", data.as_bytes()).unwrap());
    let bearer = "[nyp],{0,2}\\x01?(auth=)?(Bearer )?[a-zA-Z0-9.]{0,20}\\x01{0,2}"
        .prop_map(|data: String| sasl_initial("OAUTHBEARER", data.as_bytes()).unwrap());
    let last = "c=[a-zA-Z0-9+/=]{0,8},r=[!-~]{0,20},p=[a-zA-Z0-9+/]{43}=".prop_map(|text: String| Bytes::from(text));
    let token =
        "[a-zA-Z0-9_-]{0,20}\\.[a-zA-Z0-9_-]{0,20}\\.[a-z]{0,4}\\x00".prop_map(|text: String| Bytes::from(text));
    prop_oneof![noise, text, scram, bearer, last, token]
}
