//! Tokens, good and bad, against a provider in this process.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{
    FakeProvider, SigningKey, base64_url, lenient, methods, present, seconds_from_now, sign_in,
};
use crate::auth::{Refused, SignIn, Step};
use crate::error::ClientError;

type Jwt = jsonwebtoken::Algorithm;

fn block(provider: &FakeProvider) -> Value {
    json!({
        "name": "corporate", "type": "oidc", "issuer": provider.issuer, "audience": ["passgate"],
        "algorithms": ["RS256", "ES256", "ES384", "EdDSA", "PS256"], "dangerously_allow_http": true,
        "jwks_refresh_seconds_min": 0,
    })
}

fn with(mut block: Value, more: Value) -> Value {
    block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    block
}

fn listener(blocks: Value) -> SignIn {
    sign_in(&lenient(), blocks, Path::new("."))
}

fn refused(step: Step) -> Refused {
    match step {
        Step::Refused(refused) => refused,
        step => panic!("{step:?}"),
    }
}

fn identity(step: Step) -> Arc<Identity> {
    match step {
        Step::SignedIn(signed_in) => signed_in.identity,
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn a_good_token_signs_in_with_every_algorithm() {
    for (number, algorithm) in [Jwt::RS256, Jwt::PS256, Jwt::ES256, Jwt::ES384, Jwt::EdDSA].into_iter().enumerate() {
        let key = SigningKey::new(&number.to_string(), algorithm);
        let provider = FakeProvider::start(&[&key]).await;
        let sign_in = listener(json!([block(&provider)]));
        let token = key.sign(&provider.claims("alice"));
        let Step::SignedIn(signed_in) = present(&sign_in, "alice", &token).await else { panic!("{algorithm:?}") };
        assert!(token.split('.').all(|part| !format!("{signed_in:?}").contains(part)), "a token prints as nothing");
        assert_eq!(signed_in.token.unwrap().expose(), token);
        let identity = signed_in.identity;
        assert_eq!(identity.person.as_str(), "alice");
        assert_eq!(identity.subject, "id of alice");
        assert_eq!(identity.tenant.as_str(), "default");
        assert!(identity.groups.contains("analysts"));
        assert_eq!(identity.proof.method, "oidc");
        assert_eq!(identity.proof.issuer, provider.issuer);
        assert!(identity.proof.expires_at.unwrap() > seconds_from_now(500));
    }
}

#[tokio::test]
async fn bad_tokens_are_all_refused_and_all_alike() {
    let key = SigningKey::new("one", Jwt::RS256);
    let curve = SigningKey::new("curve", Jwt::ES256);
    let stranger = SigningKey::new("one", Jwt::RS256);
    let mut encryption = SigningKey::new("encryption", Jwt::RS256);
    encryption.jwk["use"] = "enc".into();
    let provider = FakeProvider::start(&[&key, &curve, &encryption]).await;
    let sign_in = listener(json!([block(&provider)]));
    let good = provider.claims("alice");
    let claims = |more: Value| with(good.clone(), more);
    let header = |more: Value| with(json!({ "alg": "RS256", "kid": "one", "typ": "JWT" }), more);
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().shift_remove(name);
        claims
    };
    let unsigned =
        format!("{}.{}.", base64_url(json!({ "alg": "none", "typ": "JWT" }).to_string()), base64_url(good.to_string()));
    let mut hmac = Header::new(Jwt::HS256);
    hmac.kid = Some("one".to_owned());
    let public_key_as_secret = EncodingKey::from_secret(key.public_pem.as_bytes());
    let confused = jsonwebtoken::encode(&hmac, &good, &public_key_as_secret).unwrap();
    let mut tampered = key.sign(&good);
    tampered.replace_range(tampered.len() - 10..tampered.len() - 9, if tampered.ends_with('A') { "B" } else { "A" });
    let swapped = {
        let (mine, theirs) = (key.sign(&good), key.sign(&provider.claims("bob")));
        let part = |token: &str, number| token.split('.').nth(number).unwrap().to_owned();
        format!("{}.{}.{}", part(&mine, 0), part(&mine, 1), part(&theirs, 2))
    };

    let table = [
        ("expired", key.sign(&claims(json!({ "exp": seconds_from_now(-120) }))), "the token has expired"),
        ("not in force", key.sign(&claims(json!({ "nbf": seconds_from_now(120) }))), "the token is not in force yet"),
        ("never expires", key.sign(&without("exp")), "the token lacks a usable \"exp\""),
        ("odd expiry", key.sign(&claims(json!({ "exp": "tomorrow" }))), "the token lacks a usable \"exp\""),
        ("odd nbf", key.sign(&claims(json!({ "nbf": "today" }))), "the token lacks a usable \"nbf\""),
        ("other audience", key.sign(&claims(json!({ "aud": "other" }))), "the token is not meant for us"),
        ("no audience", key.sign(&without("aud")), "the token lacks a usable \"aud\""),
        ("empty audience", key.sign(&claims(json!({ "aud": [] }))), "the token is not meant for us"),
        (
            "other issuer",
            key.sign(&claims(json!({ "iss": "https://evil.example" }))),
            "the token is from no provider that is configured here",
        ),
        ("no issuer", key.sign(&without("iss")), "this is not a signed token"),
        ("list of issuers", key.sign(&claims(json!({ "iss": [provider.issuer] }))), "this is not a signed token"),
        ("wrong key", stranger.sign(&good), "the token's signature is wrong"),
        ("another person's", key.sign(&provider.claims("bob")), "the token is \"bob\"'s, not the start-up user's"),
        ("nobody's", key.sign(&without("preferred_username")), "the token lacks a usable \"preferred_username\""),
        ("none", unsigned, "the token's algorithm is not allowed"),
        ("HMAC with the public key", confused, "the token's algorithm is not allowed"),
        (
            "another key's id",
            key.sign_raw(&header(json!({ "kid": "curve" })), &good),
            "the token names no key of its provider that fits its algorithm",
        ),
        (
            "algorithm of another key",
            curve.sign_raw(&json!({ "alg": "ES256", "kid": "one" }), &good),
            "the token names no key of its provider that fits its algorithm",
        ),
        (
            "algorithm not the key's own",
            key.sign_raw(&header(json!({ "alg": "PS256" })), &good),
            "the token names no key of its provider that fits its algorithm",
        ),
        (
            "algorithm not allowed",
            key.sign_raw(&header(json!({ "alg": "RS512" })), &good),
            "the token's algorithm is not allowed",
        ),
        ("encryption key", encryption.sign(&good), "the token names no key of its provider that fits its algorithm"),
        (
            "unknown key",
            key.sign_raw(&header(json!({ "kid": "two" })), &good),
            "the token names no key of its provider that fits its algorithm",
        ),
        (
            "brings its own key",
            stranger.sign_raw(&header(json!({ "jwk": stranger.jwk, "jku": "https://evil.example/keys" })), &good),
            "the token's signature is wrong",
        ),
        (
            "unknown extension",
            key.sign_raw(&header(json!({ "crit": ["x"], "x": 1 })), &good),
            "the token's header is not acceptable: it requires extensions (crit), and none are understood",
        ),
        (
            "logout token",
            key.sign_raw(&header(json!({ "typ": "logout+jwt" })), &good),
            "the token's header is not acceptable: it is a token for another purpose (typ)",
        ),
        (
            "compressed",
            key.sign_raw(&header(json!({ "zip": "DEF" })), &good),
            "the token's header is not acceptable: it is encrypted or compressed",
        ),
        (
            "nested",
            key.sign_raw(&header(json!({ "cty": "JWT" })), &good),
            "the token's header is not acceptable: it holds another token",
        ),
        ("tampered", tampered, "the token's signature is wrong"),
        ("another token's signature", swapped, "the token's signature is wrong"),
        ("four parts", format!("{}.x", key.sign(&good)), "this is not a signed token"),
        ("no token", "hunter2".to_owned(), "this is not a signed token"),
        ("40 kB", "x".repeat(40_000), "the token has 40000 bytes; at most 32768 are taken"),
        ("odd groups", key.sign(&claims(json!({ "groups": [1] }))), "the token lacks a usable \"groups\""),
        (
            "too many groups",
            key.sign(&with(without("groups"), json!({ "_claim_names": { "groups": "src1" } }))),
            "the token says that its person has too many groups to list, so what they may do is not known",
        ),
    ];

    assert!(matches!(present(&sign_in, "alice", &key.sign(&good)).await, Step::SignedIn(_)));
    for (name, token, cause) in table {
        let refused = refused(present(&sign_in, "alice", &token).await);
        assert_eq!(refused.cause, cause, "{name}");
        let shown = format!("{refused:?}");
        assert!(
            token.split('.').all(|part| part.is_empty() || !shown.contains(part)),
            "{name}: shows part of the token"
        );
        assert_eq!(refused.message(), "password authentication failed for user \"alice\"", "{name}");
        assert_eq!((refused.sqlstate(), refused.hint(), refused.detail()), ("28P01", None, None), "{name}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_the_skew() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let sign_in = listener(json!([block(&provider)]));
    let claims = with(provider.claims("alice"), json!({ "exp": seconds_from_now(-30), "nbf": seconds_from_now(30) }));
    assert!(matches!(present(&sign_in, "alice", &key.sign(&claims)).await, Step::SignedIn(_)));
}

#[tokio::test]
async fn a_token_of_exactly_32_kb_works_and_one_byte_more_does_not() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let sign_in = listener(json!([block(&provider)]));
    let token = |padding: usize| key.sign(&with(provider.claims("alice"), json!({ "padding": "x".repeat(padding) })));
    let exact = (24_000..25_000).map(token).find(|token| token.len() >= TOKEN_BYTES_MAX).unwrap();
    assert_eq!(exact.len(), TOKEN_BYTES_MAX);
    assert!(matches!(present(&sign_in, "alice", &exact).await, Step::SignedIn(_)));
    let cause = refused(present(&sign_in, "alice", &format!("{exact}x")).await).cause;
    assert_eq!(cause, "the token has 32769 bytes; at most 32768 are taken");
}

#[tokio::test]
async fn the_person_and_what_is_known_of_them_come_from_the_claims_that_the_settings_name() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let sign_in = listener(json!([with(
        block(&provider),
        json!({
            "claims": { "name": "upn", "groups": "https://example.com/groups", "roles": "realm_access.roles", "tenant": "tid" },
            "person": "before_at", "person_case": "lower", "domains": ["example.com"],
        })
    )]));
    let claims = json!({
        "iss": provider.issuer, "aud": ["other", "passgate"], "exp": seconds_from_now(600), "tid": "acme",
        "upn": "Alice@Example.com", "https://example.com/groups": "west", "realm_access": { "roles": ["reader"] },
        "email": "alice@example.com", "region": "WEST",
    });
    let alice = identity(present(&sign_in, "alice", &key.sign(&claims)).await);
    assert_eq!((alice.person.as_str(), alice.subject.as_str(), alice.tenant.as_str()), ("alice", "alice", "acme"));
    assert_eq!(alice.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["west"]);
    assert_eq!(alice.roles.iter().map(passgate_policy::Role::as_str).collect::<Vec<_>>(), ["reader"]);
    assert_eq!(alice.email.as_deref(), Some("alice@example.com"));
    assert_eq!(alice.claims["region"], "WEST");

    for (user, more) in [
        ("Alice", json!({})),
        ("alice@example.com", json!({})),
        ("alice", json!({ "upn": "alice@elsewhere.example" })),
        ("alice", json!({ "upn": "alice@evil.example@example.com" })),
        ("alice", json!({ "upn": "alice" })),
        ("", json!({ "upn": "@example.com" })),
        ("alice", json!({ "tid": null })),
        ("alice\n", json!({ "upn": "alice\n@example.com" })),
    ] {
        let token = key.sign(&with(claims.clone(), more.clone()));
        assert!(matches!(present(&sign_in, user, &token).await, Step::Refused(_)), "{user} {more}");
    }
}

#[tokio::test]
async fn several_providers_are_told_apart_by_the_issuer() {
    let (one, two) = (SigningKey::new("same id", Jwt::ES256), SigningKey::new("same id", Jwt::ES256));
    let (first, second) = (FakeProvider::start(&[&one]).await, FakeProvider::start(&[&two]).await);
    let sign_in = listener(json!([block(&first), with(block(&second), json!({ "name": "other" }))]));
    assert_eq!(identity(present(&sign_in, "a", &one.sign(&first.claims("a"))).await).proof.issuer, first.issuer);
    assert_eq!(identity(present(&sign_in, "a", &two.sign(&second.claims("a"))).await).proof.issuer, second.issuer);
    let crossed = refused(present(&sign_in, "a", &one.sign(&second.claims("a"))).await);
    assert_eq!(crossed.cause, "the token's signature is wrong");
}

#[tokio::test]
async fn a_new_key_is_fetched_and_a_withdrawn_one_is_forgotten() {
    let (old, new) = (SigningKey::new("old", Jwt::ES256), SigningKey::new("new", Jwt::ES256));
    let provider = FakeProvider::start(&[&old]).await;
    let sign_in = listener(json!([block(&provider)]));
    let claims = provider.claims("alice");
    identity(present(&sign_in, "alice", &old.sign(&claims)).await);
    provider.published.lock().unwrap().keys = vec![new.jwk.clone()];
    identity(present(&sign_in, "alice", &new.sign(&claims)).await);
    assert!(matches!(present(&sign_in, "alice", &old.sign(&claims)).await, Step::Refused(_)));
}

#[tokio::test]
async fn unknown_keys_cannot_make_us_hammer_the_provider() {
    let (known, unknown) = (SigningKey::new("known", Jwt::ES256), SigningKey::new("unknown", Jwt::ES256));
    let provider = FakeProvider::start(&[&known]).await;
    let sign_in = listener(json!([with(block(&provider), json!({ "jwks_refresh_seconds_min": 30 }))]));
    let claims = provider.claims("alice");
    for _ in 0..20 {
        assert!(matches!(present(&sign_in, "alice", &unknown.sign(&claims)).await, Step::Refused(_)));
        identity(present(&sign_in, "alice", &known.sign(&claims)).await);
    }
    assert_eq!(provider.published.lock().unwrap().fetches, 1);
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let sign_in = listener(json!([block(&provider)]));
    let token = key.sign(&provider.claims("alice"));
    let all = (0..50).map(|_| present(&sign_in, "alice", &token));
    for step in futures_util::future::join_all(all).await {
        identity(step);
    }
    assert_eq!(provider.published.lock().unwrap().fetches, 1);
}

#[tokio::test]
async fn keys_outlive_the_provider_for_a_while() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let stale_at_once = json!({ "jwks_refresh_seconds_max": 0, "jwks_keep_seconds_max": 3600 });
    let sign_in = listener(json!([with(block(&provider), stale_at_once)]));
    let token = key.sign(&provider.claims("alice"));
    identity(present(&sign_in, "alice", &token).await);
    provider.published.lock().unwrap().down = true;
    identity(present(&sign_in, "alice", &token).await);

    let kept_not_at_all = json!({ "jwks_refresh_seconds_max": 0, "jwks_keep_seconds_max": 0 });
    let sign_in = listener(json!([with(block(&provider), kept_not_at_all)]));
    let cause = refused(present(&sign_in, "alice", &token).await).cause;
    assert!(cause.starts_with("the provider cannot be reached") && cause.ends_with("answered 503"), "{cause}");
}

#[tokio::test]
async fn a_provider_that_is_down_does_not_count_against_anybody() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    provider.published.lock().unwrap().down = true;
    let config = crate::auth::Config { attempts_per_person: 1, ..lenient() };
    let sign_in = sign_in(&config, json!([block(&provider)]), Path::new("."));
    let token = key.sign(&provider.claims("alice"));
    for _ in 0..3 {
        assert!(matches!(present(&sign_in, "alice", &token).await, Step::Refused(_)));
    }
    provider.published.lock().unwrap().down = false;
    identity(present(&sign_in, "alice", &token).await);
}

#[tokio::test]
async fn a_provider_that_answers_for_another_or_without_end_is_not_believed() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start(&[&key]).await;
    let token = key.sign(&provider.claims("alice"));
    provider.published.lock().unwrap().other_issuer = Some("https://evil.example".to_owned());
    let cause = refused(present(&listener(json!([block(&provider)])), "alice", &token).await).cause;
    assert!(cause.ends_with("it is the document of https://evil.example"), "{cause}");
    provider.published.lock().unwrap().other_issuer = None;
    provider.published.lock().unwrap().padding = 600_000;
    let cause = refused(present(&listener(json!([block(&provider)])), "alice", &token).await).cause;
    assert!(cause.ends_with("answered with more than 524288 bytes"), "{cause}");
}

#[tokio::test]
async fn https_is_checked_against_the_authorities_of_the_settings() {
    let key = SigningKey::new("one", Jwt::ES256);
    let provider = FakeProvider::start_tls(&[&key]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), provider.certificate.as_ref().unwrap()).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("other.pem"), other.cert.pem()).unwrap();
    let token = key.sign(&provider.claims("alice"));
    let listener = |file: &str| {
        let more = json!({ "dangerously_allow_http": false, "ca_file": file });
        sign_in(&lenient(), json!([with(block(&provider), more)]), folder.path())
    };
    identity(present(&listener("ca.pem"), "alice", &token).await);
    let cause = refused(present(&listener("other.pem"), "alice", &token).await).cause;
    assert!(cause.starts_with("the provider cannot be reached"), "{cause}");
}

#[tokio::test]
async fn a_provider_that_never_answers_is_waited_for_no_longer_than_the_limit() {
    let listener_socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener_socket.local_addr().unwrap());
    let key = SigningKey::new("one", Jwt::ES256);
    let block = json!({
        "name": "slow", "type": "oidc", "issuer": issuer, "audience": ["passgate"], "dangerously_allow_http": true,
        "request_seconds_max": 1,
    });
    let token =
        key.sign(&json!({ "iss": issuer, "aud": "passgate", "exp": seconds_from_now(60), "preferred_username": "a" }));
    let sign_in = listener(json!([block]));
    let step = tokio::time::timeout(Duration::from_secs(5), present(&sign_in, "a", &token)).await.unwrap();
    assert!(refused(step).cause.starts_with("the provider cannot be reached"));
}

#[test]
fn every_problem_of_a_block_is_reported() {
    let bad = json!([{
        "name": "corporate", "type": "oidc", "issuer": "http://login.example.com", "audience": [], "algorithms": [],
        "clock_skew_seconds": 301, "request_seconds_max": 0, "jwks_refresh_seconds_max": 1, "domains": ["x"],
        "ca_file": "absent.pem", "claims": { "name": "" },
    }]);
    let problems = methods(&lenient(), bad, Path::new("/nowhere")).unwrap_err();
    let keys: Vec<_> = problems.iter().filter_map(|problem| problem.key.as_deref()).collect();
    assert_eq!(
        keys,
        [
            "issuer",
            "audience",
            "algorithms",
            "clock_skew_seconds",
            "request_seconds_max",
            "jwks_keep_seconds_max",
            "domains",
            "claims",
            "ca_file"
        ]
    );
}

#[test]
fn neither_none_nor_hmac_can_be_configured() {
    for algorithm in ["none", "HS256", "HS512"] {
        let block = json!([{
            "name": "c", "type": "oidc", "issuer": "https://a.example", "audience": ["p"], "algorithms": [algorithm],
        }]);
        let problems = methods(&lenient(), block, Path::new(".")).unwrap_err();
        assert!(problems[0].message.contains("unknown variant"), "{problems:?}");
    }
}
