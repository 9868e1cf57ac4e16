//! Tokens: signed with the provider's own key, where a provider would not issue them, or with another's.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// An RSA key that signs tokens.
pub struct Signer {
    key: KeyPair,
    key_id: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signer({})", self.key_id)
    }
}

impl Signer {
    /// A fresh key, which calls itself `key_id`.
    pub fn new(key_id: &str) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key");
        Self { key, key_id: key_id.to_owned() }
    }

    /// The key's id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The private key, as PKCS#8 PEM.
    pub fn private_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The public key, as PEM.
    pub fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// A token with these claims, signed as it should be.
    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.private_pem().as_bytes()).expect("our own key");
        jsonwebtoken::encode(&self.header(Algorithm::RS256), claims, &key).expect("a token")
    }

    /// A token that calls the public key a shared secret: the confusion of RS256 with HS256.
    pub fn sign_with_public_key_as_secret(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.public_pem().as_bytes());
        jsonwebtoken::encode(&self.header(Algorithm::HS256), claims, &key).expect("a token")
    }

    fn header(&self, algorithm: Algorithm) -> Header {
        Header { kid: Some(self.key_id.clone()), typ: Some("at+jwt".to_owned()), ..Header::new(algorithm) }
    }
}

/// A token that says it needs no signature.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: Value| base64_url(value.to_string().as_bytes());
    format!("{}.{}.", part(json!({"alg": "none", "typ": "at+jwt"})), part(claims.clone()))
}

/// Now, in seconds since 1970-01-01 UTC.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("the clock is before the end of time")
}

/// Base64 in the alphabet of URLs, without padding (RFC 4648, section 5).
pub fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
