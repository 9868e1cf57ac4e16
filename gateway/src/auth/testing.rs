//! What the tests of this room share: keys that sign tokens, a provider that publishes them, clients that answer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Ask, Candidate, Config, Exchange, MethodConfig, Methods, Problem, SignIn, Step};

/// A key pair of a provider.
pub(super) struct SigningKey {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) private: EncodingKey,
    pub(super) public_pem: String,
    /// As the provider publishes it.
    pub(super) jwk: Value,
}

impl SigningKey {
    pub(super) fn new(id: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let pem = pair.serialize_pem();
        let private = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        }
        .unwrap();
        let mut jwk = match algorithm {
            Algorithm::EdDSA => {
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": base64_url(pair.public_key_raw()) })
            }
            _ => serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap(),
        };
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        Self { id: id.to_owned(), algorithm, private, public_pem: pair.public_key_pem(), jwk }
    }

    pub(super) fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        header
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header(), claims, &self.private).unwrap()
    }

    /// Signs with a header of any shape.
    pub(super) fn sign_raw(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64_url(header.to_string()), base64_url(claims.to_string()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(super) fn base64_url(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970, some from now.
pub(super) fn seconds_from_now(seconds: i64) -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp() + seconds
}

/// A provider in this process. It follows what the test writes into it.
pub(super) struct FakeProvider {
    pub(super) issuer: String,
    pub(super) published: Arc<Mutex<Published>>,
    /// The certificate it shows, where it speaks TLS.
    pub(super) certificate: Option<String>,
    server: JoinHandle<()>,
}

#[derive(Default)]
pub(super) struct Published {
    pub(super) keys: Vec<Value>,
    /// Says this in its discovery document instead of its own address.
    pub(super) other_issuer: Option<String>,
    /// Answers 503.
    pub(super) down: bool,
    /// Answers this long a body.
    pub(super) padding: usize,
    /// How often its keys were asked for.
    pub(super) fetches: usize,
}

impl FakeProvider {
    pub(super) async fn start(keys: &[&SigningKey]) -> Self {
        Self::listen(keys, None).await
    }

    pub(super) async fn start_tls(keys: &[&SigningKey]) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        Self::listen(keys, Some((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))).await
    }

    async fn listen(keys: &[&SigningKey], tls: Option<(TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let issuer = format!("{scheme}://{}", listener.local_addr().unwrap());
        let keys = keys.iter().map(|key| key.jwk.clone()).collect();
        let published = Arc::new(Mutex::new(Published { keys, ..Published::default() }));
        let (acceptor, certificate) = tls.unzip();
        let server = tokio::spawn(serve(listener, acceptor, issuer.clone(), Arc::clone(&published)));
        Self { issuer, published, certificate, server }
    }

    /// Claims of a good token.
    pub(super) fn claims(&self, person: &str) -> Value {
        json!({
            "iss": self.issuer, "aud": "passgate", "sub": format!("id of {person}"), "preferred_username": person,
            "exp": seconds_from_now(600), "nbf": seconds_from_now(-5), "groups": ["analysts"],
        })
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, issuer: String, published: Arc<Mutex<Published>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, issuer, published) = (tls.clone(), issuer.clone(), Arc::clone(&published));
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, &issuer, &published).await;
                    }
                }
                None => answer(stream, &issuer, &published).await,
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, issuer: &str, published: &Mutex<Published>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let (status, body) = document(&String::from_utf8_lossy(&request), issuer, &mut published.lock().unwrap());
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn document(request: &str, issuer: &str, published: &mut Published) -> (&'static str, String) {
    if published.down {
        return ("503 Service Unavailable", String::new());
    }
    let padding = " ".repeat(published.padding);
    if request.starts_with("GET /.well-known/openid-configuration ") {
        let named = published.other_issuer.as_deref().unwrap_or(issuer);
        ("200 OK", json!({ "issuer": named, "jwks_uri": format!("{issuer}/keys") }).to_string() + &padding)
    } else if request.starts_with("GET /keys ") {
        published.fetches += 1;
        ("200 OK", json!({ "keys": published.keys }).to_string() + &padding)
    } else {
        ("404 Not Found", String::new())
    }
}

/// Limits that do not get in a test's way.
pub(super) fn lenient() -> Config {
    Config { attempts_per_address: 1000, attempts_per_person: 1000, refusal_ms: 1, ..Config::default() }
}

/// Methods from a list of blocks as the settings have them.
pub(super) fn methods(config: &Config, blocks: Value, folder: &Path) -> Result<Methods, Vec<Problem>> {
    let blocks: Vec<MethodConfig> = serde_json::from_value(blocks).unwrap();
    Methods::new(config, &blocks, folder)
}

/// The sign-in of a listener with all of these blocks.
pub(super) fn sign_in(config: &Config, blocks: Value, folder: &Path) -> SignIn {
    let names: Vec<String> =
        blocks.as_array().unwrap().iter().map(|block| block["name"].as_str().unwrap().to_owned()).collect();
    methods(config, blocks, folder).unwrap().sign_in(&names).unwrap()
}

/// Somebody on an encrypted connection.
pub(super) fn candidate(user: &str) -> Candidate {
    Candidate {
        user: user.to_owned(),
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        encrypted: true,
        plaintext_allowed: false,
        channel_binding: Some(Bytes::from_static(b"hash of our certificate")),
    }
}

/// Somebody on an unencrypted connection.
pub(super) fn unencrypted(user: &str) -> Candidate {
    Candidate { encrypted: false, channel_binding: None, ..candidate(user) }
}

/// The body of a password message.
pub(super) fn password(text: &str) -> Option<Bytes> {
    Some(Bytes::from(format!("{text}\0")))
}

/// The body of a SASLInitialResponse.
pub(super) fn sasl_initial(mechanism: &str, data: &[u8]) -> Option<Bytes> {
    let mut body = BytesMut::new();
    body.put_slice(mechanism.as_bytes());
    body.put_u8(0);
    body.put_i32(data.len().try_into().unwrap());
    body.put_slice(data);
    Some(body.freeze())
}

/// Hands in a token as the password.
pub(super) async fn present(sign_in: &SignIn, user: &str, token: &str) -> Step {
    let mut exchange = sign_in.begin(candidate(user));
    assert!(matches!(exchange.next(None).await, Step::Ask(Ask::CleartextPassword)));
    exchange.next(password(token)).await
}

/// Plays a SCRAM client that PostgreSQL's users have.
pub(super) async fn scram(
    exchange: &mut Box<dyn Exchange>,
    mechanism: &str,
    binding: ChannelBinding,
    password: &str,
) -> (Step, ScramSha256) {
    assert!(matches!(exchange.next(None).await, Step::Ask(Ask::Sasl(_))));
    let mut client = ScramSha256::new(password.as_bytes(), binding);
    match exchange.next(sasl_initial(mechanism, client.message())).await {
        Step::Ask(Ask::SaslContinue(server_first)) => client.update(&server_first).unwrap(),
        step => return (step, client),
    }
    let last = Bytes::copy_from_slice(client.message());
    (exchange.next(Some(last)).await, client)
}
