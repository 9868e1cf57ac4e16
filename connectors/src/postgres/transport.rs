//! How bytes reach a server: TCP with verified TLS, or the standard input and output of a child process. Separate from
//! the protocol, which sees a stream and what of TLS a login may need.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsConnector;
use x509_parser::oid_registry;

use super::config::{Child, Config};
use super::portions::Portions;
use crate::backends::SettingProblem;

/// A server that vanishes without a word is noticed after this long idle, plus three unanswered probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Bytes to a server and back.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a source is, with what it takes to get there.
pub(crate) enum Transport {
    /// A server on the network.
    Network {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS, but for `dangerously_disable_tls`.
        tls: Option<(TlsConnector, ServerName<'static>)>,
    },
    /// A program of our own.
    Child(Child),
    /// A scripted server.
    #[cfg(test)]
    Fake(Box<dyn Fn() -> tokio::io::DuplexStream + Send + Sync>),
}

/// An open stream and what goes with it.
pub(crate) struct Opened {
    /// The stream.
    pub(crate) stream: Box<dyn Stream>,
    /// Whether a secret may be sent as it is.
    pub(crate) private: bool,
    /// The `tls-server-end-point` channel binding data, where there is one.
    pub(crate) channel_binding: Option<Vec<u8>>,
    /// The process on the other end, where it is ours.
    pub(crate) child: Option<ChildHandle>,
}

impl Transport {
    /// Reads the certificates that the settings name.
    pub(crate) fn new(config: &Config, folder: &Path) -> Result<Self, Vec<SettingProblem>> {
        if let Some(child) = config.child() {
            return Ok(Self::Child(child.clone()));
        }
        let tls = if config.dangerously_disable_tls { None } else { Some(tls(config, folder)?) };
        Ok(Self::Network { host: config.host.clone(), port: config.port, tls })
    }

    /// Opens a stream. The caller bounds the time.
    pub(crate) async fn open(&self) -> io::Result<Opened> {
        match self {
            Self::Network { host, port, tls } => open_network(host, *port, tls.as_ref()).await,
            Self::Child(child) => open_child(child),
            #[cfg(test)]
            Self::Fake(open) => {
                Ok(Opened { stream: Box::new(open()), private: true, channel_binding: None, child: None })
            }
        }
    }
}

async fn open_network(host: &str, port: u16, tls: Option<&(TlsConnector, ServerName<'static>)>) -> io::Result<Opened> {
    let mut tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    let Some((connector, name)) = tls else {
        return Ok(Opened { stream: Box::new(Portions::new(tcp)), private: false, channel_binding: None, child: None });
    };
    request_tls(&mut tcp).await?;
    let stream = connector.connect(name.clone(), Portions::new(tcp)).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let channel_binding = certificates.and_then(|chain| chain.first()).and_then(end_point);
    Ok(Opened { stream: Box::new(stream), private: true, channel_binding, child: None })
}

/// SSLRequest. Exactly one byte is read, so that bytes put in before the handshake reach the handshake, which fails
/// on them, and never the protocol (CVE-2021-23222).
/// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>
async fn request_tls(tcp: &mut TcpStream) -> io::Result<()> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    match tcp.read_u8().await? {
        b'S' => Ok(()),
        b'N' => Err(io::Error::other("the server does not offer TLS")),
        _ => Err(io::Error::other("the server did not answer the request for TLS as PostgreSQL does")),
    }
}

fn tls(config: &Config, folder: &Path) -> Result<(TlsConnector, ServerName<'static>), Vec<SettingProblem>> {
    let name = ServerName::try_from(config.host.clone()).map_err(|_| {
        vec![SettingProblem::new("host", "this is neither a host name nor an address", "write: host: db.example.com")]
    })?;
    let roots = roots(config.ca_file.as_deref().map(|file| folder.join(file)).as_deref()).map_err(|p| vec![p])?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![SettingProblem::new("", error.to_string(), "report this: it is ours")])?
        .with_root_certificates(roots);
    let client = match (&config.client_certificate_file, &config.client_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("client_certificate_file", &folder.join(certificate)).map_err(|p| vec![p])?;
            let key = PrivateKeyDer::from_pem_file(folder.join(key))
                .map_err(|error| vec![unreadable("client_key_file", &folder.join(key), &error)])?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                vec![SettingProblem::new("client_key_file", error.to_string(), "name the key of that certificate")]
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok((TlsConnector::from(Arc::new(client)), name))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, SettingProblem> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in certificates("ca_file", path)? {
                roots.add(certificate).map_err(|error| unreadable("ca_file", path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let message = "this machine trusts no certificate authority";
                return Err(SettingProblem::new("ca_file", message, "install ca-certificates, or set ca_file"));
            }
        }
    }
    Ok(roots)
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingProblem> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(setting, path, &error))?;
    if found.is_empty() {
        return Err(unreadable(setting, path, &"it holds no certificate"));
    }
    Ok(found)
}

fn unreadable(setting: &str, path: &Path, cause: &dyn std::fmt::Display) -> SettingProblem {
    let path: PathBuf = path.into();
    SettingProblem::new(setting, format!("{} cannot be used: {cause}", path.display()), "name a PEM file")
}

/// `tls-server-end-point` (RFC 5929, section 4.1): the certificate's digest by the hash of its own signature, SHA-256
/// in place of MD5 and SHA-1. Where the signature has no such hash (Ed25519) there is no binding.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm.algorithm;
    let sha256 = [
        oid_registry::OID_PKCS1_MD5WITHRSAENC,
        oid_registry::OID_PKCS1_SHA1WITHRSA,
        oid_registry::OID_PKCS1_SHA256WITHRSA,
        oid_registry::OID_SIG_ECDSA_WITH_SHA256,
    ];
    let sha384 = [oid_registry::OID_PKCS1_SHA384WITHRSA, oid_registry::OID_SIG_ECDSA_WITH_SHA384];
    let sha512 = [oid_registry::OID_PKCS1_SHA512WITHRSA, oid_registry::OID_SIG_ECDSA_WITH_SHA512];
    if sha256.contains(algorithm) {
        Some(Sha256::digest(certificate).to_vec())
    } else if sha384.contains(algorithm) {
        Some(Sha384::digest(certificate).to_vec())
    } else if sha512.contains(algorithm) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// A process of ours; it dies with the last handle, or when killed.
#[derive(Clone)]
pub(crate) struct ChildHandle(Arc<Mutex<tokio::process::Child>>);

impl ChildHandle {
    /// Kills it: the one way to stop what it runs.
    pub(crate) fn kill(&self) {
        // Failing to kill means that it is gone already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
    }
}

fn open_child(child: &Child) -> io::Result<Opened> {
    let mut process = Command::new(&child.program)
        .args(&child.arguments)
        .envs(&child.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
        return Err(io::Error::other("the child process has no standard input and output"));
    };
    Ok(Opened {
        stream: Box::new(Pipes { input, output }),
        // Nobody else reads these pipes.
        private: true,
        channel_binding: None,
        child: Some(ChildHandle(Arc::new(Mutex::new(process)))),
    })
}

/// A child's standard input and output as one stream.
struct Pipes {
    input: ChildStdin,
    output: ChildStdout,
}

impl AsyncRead for Pipes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, into)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
