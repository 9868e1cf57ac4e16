//! Listeners over real sockets, up to where a session would begin.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};
use passgate_policy::compile;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;

use super::*;
use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::auth::{self, MethodConfig, Methods};
use crate::sources::Sources;
use crate::statement;
use crate::store::Store;

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
    let tls = r#"{"certificate": "c", "key": "k", "minimum_version": "1.1"}"#;
    let text = format!(r#"{{"address": "127.0.0.1:1", "sign_in": ["p"], "tls": {tls}}}"#);
    assert!(serde_json::from_str::<ListenerConfig>(&text).is_err());
}

/// A server on a free port, with a certificate that its clients trust.
struct World {
    server: Server,
    roots: rustls::RootCertStore,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = write_certificate(folder.path());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let listener = listener(
            r#"{"address": "127.0.0.1:0", "sign_in": ["people"], "tls": {"certificate": "server.pem", "key": "server.key"}}"#,
        );
        let audit = Audit::start(&crate::audit::Config::default(), folder.path()).unwrap();
        let store = Arc::new(Store::open(&crate::store::Config::default(), folder.path()).await.unwrap());
        let services = Services {
            security_roles: Vec::new(),
            config: session::Config::default(),
            statement_limits: statement::Limits::default(),
            sources: Arc::new(Sources::new(&crate::sources::Config::default(), Vec::new())),
            policies: watch::channel(Arc::new(compile(&[], None, &passgate_policy::NoSql).unwrap())).1,
            rewriter: Arc::new(crate::plan::Rewriter::new(None)),
            seen: Arc::new(crate::plan::Seen::new(1 << 20)),
            policy_status: watch::channel(session::PolicyStatus::default()).1,
            approvals: Approvals::new(&crate::approvals::Config::default(), store.clone(), audit.clone()),
            store,
            audit,
            cancels: Arc::default(),
        };
        let listeners = vec![(listener, sign_in(folder.path()))];
        let server = Server::start(listeners, folder.path(), &limits, &Arc::new(services)).await.unwrap();
        Self { server, roots, folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.addresses()[0]).await.unwrap()
    }

    async fn encrypt(&self, tcp: TcpStream, alpn: Option<&str>) -> io::Result<Box<dyn Stream>> {
        let mut config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(self.roots.clone())
                .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Box::new(stream))
    }
}

fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("server.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn sign_in(folder: &Path) -> Arc<SignIn> {
    std::fs::write(folder.join("people.yaml"), "people: []\n").unwrap();
    let block = serde_json::json!({ "name": "people", "type": "scram", "file": "people.yaml" });
    let block: MethodConfig = serde_json::from_value(block).unwrap();
    let methods = Methods::new(&auth::Config::default(), &[block], folder).unwrap();
    Arc::new(methods.sign_in(&["people".to_owned()]).unwrap())
}

fn packet(code: u32, body: &[u8]) -> BytesMut {
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(body.len() + 8).unwrap());
    packet.put_u32(code);
    packet.put(body);
    packet
}

fn startup() -> BytesMut {
    packet(196_608, b"user\0alice\0\0")
}

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

async fn one_byte(stream: &mut (impl Stream + ?Sized)) -> u8 {
    tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await.unwrap().unwrap()
}

/// Everything until the server closes, as far as it is text.
async fn last_words(stream: &mut (impl Stream + ?Sized)) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn encryption_is_agreed_on_the_old_way() {
    let world = World::new(Limits::default()).await;
    let mut tcp = world.connect().await;
    tcp.write_all(&packet(GSS_REQUEST, b"")).await.unwrap();
    assert_eq!(one_byte(&mut tcp).await, b'N');
    tcp.write_all(&packet(SSL_REQUEST, b"")).await.unwrap();
    assert_eq!(one_byte(&mut tcp).await, b'S');
    let mut stream = world.encrypt(tcp, Some("postgresql")).await.unwrap();
    stream.write_all(&startup()).await.unwrap();
    assert_eq!(one_byte(&mut *stream).await, b'R', "an AuthenticationRequest");
}

#[tokio::test]
async fn direct_tls_needs_the_protocols_name() {
    let world = World::new(Limits::default()).await;
    let mut stream = world.encrypt(world.connect().await, Some("postgresql")).await.unwrap();
    stream.write_all(&startup()).await.unwrap();
    assert_eq!(one_byte(&mut *stream).await, b'R', "an AuthenticationRequest");
    let mut nameless = world.encrypt(world.connect().await, None).await.unwrap();
    let _ = nameless.write_all(&startup()).await;
    assert_eq!(last_words(&mut *nameless).await, "");
    assert!(world.encrypt(world.connect().await, Some("http/1.1")).await.is_err());
}

#[tokio::test]
async fn plaintext_is_refused_where_tls_is_offered() {
    let world = World::new(Limits::default()).await;
    let mut tcp = world.connect().await;
    tcp.write_all(&startup()).await.unwrap();
    let words = last_words(&mut tcp).await;
    assert!(words.contains("C28000\0Mconnection requires TLS"), "{words}");
}

#[tokio::test]
async fn bytes_behind_an_unencrypted_request_never_reach_a_session() {
    let world = World::new(Limits::default()).await;
    let mut tcp = world.connect().await;
    let mut stuffed = packet(SSL_REQUEST, b"");
    stuffed.put(startup());
    tcp.write_all(&stuffed).await.unwrap();
    assert_eq!(one_byte(&mut tcp).await, b'S');
    assert!(world.encrypt(tcp, None).await.is_err());
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let world = World::new(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = world.encrypt(world.connect().await, Some("postgresql")).await.unwrap();
    first.write_all(&startup()).await.unwrap();
    one_byte(&mut *first).await;
    let mut second = world.encrypt(world.connect().await, Some("postgresql")).await.unwrap();
    second.write_all(&startup()).await.unwrap();
    let words = last_words(&mut *second).await;
    assert!(words.contains("SFATAL") && words.contains("C53300"), "{words}");
}

/// Its end says that the cancel is done: one that came to an end before would hit what the client asks next.
#[tokio::test]
async fn a_connection_that_cancels_stays_until_that_is_done() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    client.write_all(&packet(80_877_102, &[0; 8])).await.unwrap();
    let opened = opening::open(socket.accept().await.unwrap().0, None).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    drop(opened);
    assert_eq!(client.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_client_that_says_nothing_or_something_else_is_let_go() {
    let world = World::new(Limits { opening_seconds: 1, ..Limits::default() }).await;
    let mut silent = world.connect().await;
    let mut browser = world.connect().await;
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let words = last_words(&mut browser).await;
    assert!(words.contains("C08P01"), "{words}");
    assert_eq!(last_words(&mut silent).await, "");
}

#[tokio::test]
async fn certificates_are_read_again_and_a_broken_one_changes_nothing() {
    let mut world = World::new(Limits::default()).await;
    let renewed = write_certificate(world.folder.path());
    world.server.reload_certificates().unwrap();
    world.roots = rustls::RootCertStore::empty();
    world.roots.add(renewed).unwrap();
    world.encrypt(world.connect().await, Some("postgresql")).await.unwrap();
    std::fs::write(world.folder.path().join("server.key"), "not a key").unwrap();
    let error = world.server.reload_certificates().unwrap_err().to_string();
    assert!(error.contains("server.key"), "{error}");
    world.encrypt(world.connect().await, Some("postgresql")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_drains_takes_nobody_in_and_ends() {
    let world = World::new(Limits::default()).await;
    let address = world.server.addresses()[0];
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    tokio::time::timeout(Duration::from_secs(5), world.server.drain(Duration::from_secs(1))).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
