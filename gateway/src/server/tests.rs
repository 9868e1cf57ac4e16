//! Listeners without a session behind them.

use super::*;

fn listener(text: &str) -> ListenerConfig {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_listener_is_safe_or_it_is_a_problem() {
    for (text, settings) in [
        (r#"{"address": "127.0.0.1:6432", "sign_in": ["people"]}"#, &[][..]),
        (r#"{"address": "[::1]:6432", "sign_in": ["people"], "dangerously_allow_plaintext": true}"#, &[]),
        (r#"{"address": "0.0.0.0:6432", "sign_in": []}"#, &["sign_in", "tls"]),
        (
            r#"{"address": "10.0.0.1:6432", "sign_in": ["people"], "dangerously_allow_plaintext": true,
                "tls": {"certificate": "c.pem", "key": "k.pem", "minimum_version": "1.3"}}"#,
            &["dangerously_allow_plaintext"],
        ),
    ] {
        let found: Vec<_> = listener(text).problems().iter().map(|problem| problem.setting).collect();
        assert_eq!(found, settings, "{text}");
    }
}

#[test]
fn an_unknown_version_of_tls_is_an_error() {
    let text = r#"{"address": "127.0.0.1:1", "sign_in": ["p"], "tls": {"certificate": "c", "key": "k", "minimum_version": "1.1"}}"#;
    assert!(serde_json::from_str::<ListenerConfig>(text).is_err());
}
