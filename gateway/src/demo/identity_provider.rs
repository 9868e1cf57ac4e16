//! An OpenID Connect provider on loopback, for the demonstration: discovery, keys, and a token for each account.
//!
//! Separate from `auth`, which it must not know: the gateway meets this provider as it would meet any other, over HTTPS
//! with a named authority. It has no sign-in page and gives tokens to nobody but the process it runs in.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use passgate_connectors::Secret;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::ServerCertificate;
use super::{Error, Person};

/// Whom the tokens are for.
pub(super) const AUDIENCE: &str = "passgate";
/// How long a token is good for.
pub(super) const TOKEN_HOURS: u64 = 12;

const KEY_ID: &str = "demonstration";
const HANDSHAKE_SECONDS_MAX: u64 = 5;

/// The running provider. Dropping it stops it.
pub(super) struct IdentityProvider {
    issuer: String,
    key: EncodingKey,
    server: JoinHandle<()>,
}

impl IdentityProvider {
    /// Starts on a free port of loopback.
    pub(super) async fn start(certificate: &ServerCertificate) -> Result<Self, Error> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::IdentityProvider)?;
        let address = tcp.local_addr().map_err(Error::IdentityProvider)?;
        let issuer = format!("https://{address}");
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?;
        let router = router(&issuer, &pair)?;
        let listener = TlsListener { tcp, acceptor: acceptor(certificate)? };
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the development identity provider stopped");
            }
        });
        Ok(Self { issuer, key, server })
    }

    /// The provider's address, as tokens name it.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token that says its bearer is `person`.
    pub(super) fn token(&self, person: &Person) -> Result<Secret, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": self.issuer,
            "sub": person.name,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(TOKEN_HOURS * 3600),
            "preferred_username": person.name,
            "email": format!("{}@demo.example", person.name),
            "groups": [person.group],
        });
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(Secret::new(jsonwebtoken::encode(&header, &claims, &self.key)?))
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(issuer: &str, pair: &KeyPair) -> Result<Router, Error> {
    // Required by OpenID Connect Discovery 1.0, section 3, but for the authorization endpoint, which is not there.
    let discovery = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    let keys = json!({ "keys": [public_key(pair)?] });
    Ok(Router::new()
        .route("/.well-known/openid-configuration", get(|| document(discovery)))
        .route("/keys", get(|| document(keys))))
}

async fn document(value: Value) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], value.to_string())
}

/// The public key as RFC 7518, section 6.2.1 writes it: the two coordinates of the point.
fn public_key(pair: &KeyPair) -> Result<Value, Error> {
    // 4 stands for an uncompressed point (SEC 1, section 2.3.3); P-256 has coordinates of 32 bytes.
    let point = pair.public_key_raw().strip_prefix(&[4]).filter(|point| point.len() == 64);
    let (x, y) = point.and_then(|point| point.split_at_checked(32)).ok_or(Error::Key)?;
    Ok(json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID,
        "x": URL_SAFE_NO_PAD.encode(x),
        "y": URL_SAFE_NO_PAD.encode(y),
    }))
}

fn acceptor(certificate: &ServerCertificate) -> Result<TlsAcceptor, Error> {
    let (certificate, key) = certificate.der();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config).into())
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    // One handshake at a time, which is enough for the one client this provider has.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.handshake().await {
                Ok(connection) => return connection,
                Err(error) => {
                    tracing::debug!(%error, "a client of the development identity provider was lost");
                    // Where accepting itself fails (no file descriptors left), trying again at once would spin.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

impl TlsListener {
    async fn handshake(&self) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
        let (stream, address) = self.tcp.accept().await?;
        let handshake = self.acceptor.accept(stream);
        let stream = tokio::time::timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), handshake).await??;
        Ok((stream, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::PEOPLE;
    use crate::demo::certificates::Authority;

    #[tokio::test]
    async fn a_token_verifies_against_the_published_keys() {
        let authority = Authority::new().unwrap();
        let provider = IdentityProvider::start(&authority.issue("identity provider").unwrap()).await.unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap()])
            .build()
            .unwrap();
        let fetch = async |url: String| -> Value { client.get(url).send().await.unwrap().json().await.unwrap() };
        let discovery = fetch(format!("{}/.well-known/openid-configuration", provider.issuer())).await;
        assert_eq!(discovery["issuer"], provider.issuer());
        let keys = fetch(discovery["jwks_uri"].as_str().unwrap().to_owned()).await;
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(KEY_ID).unwrap()).unwrap();
        let token = provider.token(&PEOPLE[0]).unwrap();
        let mut validation = jsonwebtoken::Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[provider.issuer()]);
        let claims = jsonwebtoken::decode::<Value>(token.expose(), &key, &validation).unwrap().claims;
        assert_eq!(claims["preferred_username"], PEOPLE[0].name);
    }
}
