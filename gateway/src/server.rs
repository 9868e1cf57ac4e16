//! Listeners: accept, encrypt, bound, hand over to a session, and drain.
//!
//! ```text
//! accept ── opening (TLS, cancel, start-up packet) ── session::serve
//! ```
//!
//! A connection takes part in nothing until its start-up packet is here; up to then `opening` speaks with it, within a
//! time and a number that are both limited.

mod opening;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use passgate_connectors::ServerMessage;
use passgate_wire::{Backend, ErrorFields};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::auth::SignIn;
use crate::error::ClientError;
use crate::session::{self, Client, Services, Shutdown, Stream};
use opening::Opened;
use tls::Certificate;

pub use tls::{MinimumVersion, TlsConfig};

/// Where clients connect, and how.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub struct ListenerConfig {
    /// Address and port to listen on, such as `127.0.0.1:6432` or `[::]:5432`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// The certificate to encrypt with. Without it connections are plaintext, which is for loopback only. Default: none.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// The sign-in methods of this listener, by their names under `sign_in`; at least one.
    pub sign_in: Vec<String>,
    /// Takes unencrypted connections although there is a certificate, and tokens and passwords on them. On loopback
    /// addresses only. Default: false.
    #[serde(default)]
    pub dangerously_allow_plaintext: bool,
}

impl ListenerConfig {
    /// What is wrong with it: the key to blame, what is wrong, and what to do. Touches nothing outside.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let loopback = self.address.ip().to_canonical().is_loopback();
        let mut problems = Vec::new();
        if self.sign_in.is_empty() {
            problems.push(SettingProblem::new(
                "sign_in",
                "nobody can sign in here",
                "name at least one sign-in method",
            ));
        }
        if self.dangerously_allow_plaintext && !loopback {
            let what = "secrets may pass unencrypted on loopback addresses only";
            problems.push(SettingProblem::new(
                "dangerously_allow_plaintext",
                what,
                "remove it, or listen on 127.0.0.1",
            ));
        }
        if self.tls.is_none() && !loopback {
            let what = "a listener that is reachable from outside needs a certificate";
            problems.push(SettingProblem::new("tls", what, "add tls with certificate and key, or listen on 127.0.0.1"));
        }
        problems
    }
}

impl ListenerConfig {
    /// Whether certificate and key can be read and belong together. Relative paths begin in `folder`.
    pub fn check_files(&self, folder: &Path) -> Result<(), Error> {
        self.tls.as_ref().map_or(Ok(()), |tls| Certificate::read(tls, folder).map(drop))
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key in the listener's block.
    pub setting: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub suggestion: String,
}

impl SettingProblem {
    fn new(setting: &'static str, message: &str, suggestion: &str) -> Self {
        Self { setting, message: message.to_owned(), suggestion: suggestion.to_owned() }
    }
}

/// How many clients there may be and how long they may take to begin. Section `limits.server` of the settings.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ServerLimits")]
pub struct Limits {
    /// Sessions of one listener at the same time; more are refused (53300). Default: 1000.
    pub connections_max: usize,
    /// Connections of one listener that have not sent their start-up packet, beyond the sessions; more are closed
    /// without a word. Default: 200.
    pub openings_max: usize,
    /// From connecting to the start-up packet, TLS included, in seconds. Default: 10.
    pub opening_seconds: u64,
    /// From the start-up packet to being signed in, in seconds. Default: 60.
    pub sign_in_seconds: u64,
    /// How long running statements may take when the gateway ends, in seconds. Default: 30.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 1_000, openings_max: 200, opening_seconds: 10, sign_in_seconds: 60, drain_seconds: 30 }
    }
}

/// Why the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use {path}: {cause}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

/// Listeners at work.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Arc<Listener>>,
    shutdown: watch::Sender<Shutdown>,
}

/// One listener at work.
struct Listener {
    config: ListenerConfig,
    address: SocketAddr,
    folder: PathBuf,
    certificate: RwLock<Option<Arc<Certificate>>>,
    sign_in: Arc<SignIn>,
    services: Arc<Services>,
    limits: Limits,
    sessions: Arc<Semaphore>,
    openings: Arc<Semaphore>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Listener({})", self.address)
    }
}

impl Server {
    /// Listens on every address and begins to accept. Relative paths begin in `folder`. All or nothing: an address or a
    /// certificate that cannot be had is an error.
    pub async fn start(
        listeners: Vec<(ListenerConfig, Arc<SignIn>)>,
        folder: &Path,
        limits: &Limits,
        services: &Arc<Services>,
    ) -> Result<Self, Error> {
        let shutdown = watch::Sender::new(Shutdown::Open);
        let mut bound = Vec::with_capacity(listeners.len());
        for (config, sign_in) in listeners {
            bound.push(Listener::bind(config, sign_in, folder, limits, services).await?);
        }
        let started = bound.into_iter().map(|(socket, listener)| {
            tokio::spawn(listener.clone().accept(socket, shutdown.subscribe()));
            tracing::info!(address = %listener.address, encrypted = listener.config.tls.is_some(), "listening");
            listener
        });
        Ok(Self { listeners: started.collect(), shutdown })
    }

    /// The addresses, with the ports that port 0 became.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Reads certificates and keys again; sessions keep what they have. All or nothing.
    pub fn reload_certificates(&self) -> Result<(), Error> {
        let read: Vec<_> = self.listeners.iter().map(|listener| listener.read()).collect::<Result<_, _>>()?;
        for (listener, certificate) in self.listeners.iter().zip(read) {
            *listener.certificate.write().unwrap_or_else(PoisonError::into_inner) = certificate;
        }
        Ok(())
    }

    /// Ends: no new sessions, silent ones are told at once, running statements may finish until the deadline. Returns
    /// when every session has ended.
    pub async fn drain(&self, deadline: Duration) {
        self.shutdown.send_replace(Shutdown::Draining);
        if tokio::time::timeout(deadline, self.shutdown.closed()).await.is_err() {
            tracing::info!("statements that still run are ended");
            self.shutdown.send_replace(Shutdown::Now);
            self.shutdown.closed().await;
        }
    }

    /// Whether sessions are being ended.
    pub fn is_draining(&self) -> bool {
        *self.shutdown.borrow() != Shutdown::Open
    }
}

/// How long a session may take over its last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// What to do when accepting fails, for want of file descriptors, say: wait a little.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Listener {
    async fn bind(
        config: ListenerConfig,
        sign_in: Arc<SignIn>,
        folder: &Path,
        limits: &Limits,
        services: &Arc<Services>,
    ) -> Result<(TcpListener, Arc<Self>), Error> {
        let cause = |cause| Error::Address { address: config.address, cause };
        let socket = TcpListener::bind(config.address).await.map_err(cause)?;
        let address = socket.local_addr().map_err(cause)?;
        let listener = Self {
            address,
            folder: folder.to_owned(),
            certificate: RwLock::new(None),
            sign_in,
            services: services.clone(),
            limits: limits.clone(),
            sessions: Arc::new(Semaphore::new(limits.connections_max)),
            openings: Arc::new(Semaphore::new(limits.connections_max + limits.openings_max)),
            config,
        };
        let certificate = listener.read()?;
        *listener.certificate.write().unwrap_or_else(PoisonError::into_inner) = certificate;
        Ok((socket, Arc::new(listener)))
    }

    fn read(&self) -> Result<Option<Arc<Certificate>>, Error> {
        let certificate = self.config.tls.as_ref().map(|tls| Certificate::read(tls, &self.folder));
        Ok(certificate.transpose()?.map(Arc::new))
    }

    /// The certificate of now.
    fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn accept(self: Arc<Self>, socket: TcpListener, mut shutdown: watch::Receiver<Shutdown>) {
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = shutdown.wait_for(|state| *state != Shutdown::Open) => return,
            };
            match accepted {
                Ok((stream, address)) => self.clone().admit(stream, address, shutdown.clone()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: Arc<Self>, stream: TcpStream, address: SocketAddr, shutdown: watch::Receiver<Shutdown>) {
        metrics::counter!("passgate_connections_total").increment(1);
        let Ok(opening) = self.openings.clone().try_acquire_owned() else {
            metrics::counter!("passgate_connections_refused_total").increment(1);
            tracing::warn!(client = %address, "too many connections: closed without a word");
            return;
        };
        tokio::spawn(async move {
            self.serve(stream, address, shutdown).await;
            drop(opening);
        });
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, shutdown: watch::Receiver<Shutdown>) {
        set_options(&stream);
        let within = Duration::from_secs(self.limits.opening_seconds.max(1));
        let opened = match tokio::time::timeout(within, Box::pin(opening::open(stream, self.certificate()))).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(cause)) => return tracing::debug!(client = %address, %cause, "a connection did not begin"),
            Err(_) => return tracing::debug!(client = %address, "a connection took too long to begin"),
        };
        match opened {
            Opened::Cancel { request, stream } => {
                self.services.cancels.cancel(&request).await;
                drop(stream);
            }
            Opened::Session { stream, packet, encrypted, channel_binding } => {
                let Ok(_place) = self.sessions.try_acquire() else {
                    metrics::counter!("passgate_connections_refused_total").increment(1);
                    return turn_away(stream, &TooManyClients).await;
                };
                let client = Client {
                    address,
                    encrypted,
                    plaintext_allowed: self.config.dangerously_allow_plaintext,
                    encryption_offered: self.config.tls.is_some(),
                    channel_binding,
                    sign_in: self.sign_in.clone(),
                    shutdown: shutdown.clone(),
                };
                let sign_in_time = Duration::from_secs(self.limits.sign_in_seconds.max(1));
                let session = Box::pin(session::serve(stream, packet, client, self.services.clone(), sign_in_time));
                tokio::select! {
                    () = session => {}
                    () = overdue(shutdown) => tracing::warn!(client = %address, "a session did not end in time"),
                }
            }
        }
    }
}

/// Waits until sessions had to end and had time for it.
async fn overdue(mut shutdown: watch::Receiver<Shutdown>) {
    if shutdown.wait_for(|state| *state == Shutdown::Now).await.is_err() {
        std::future::pending().await
    }
    tokio::time::sleep(LAST_WORD).await;
}

/// Small messages go out at once, and a client whose machine is gone is noticed.
fn set_options(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let set = stream.set_nodelay(true).and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "the options of a connection could not be set");
    }
}

/// Every place is taken.
#[derive(Debug, thiserror::Error)]
#[error("sorry, too many clients already")]
struct TooManyClients;

impl ClientError for TooManyClients {
    fn sqlstate(&self) -> &str {
        "53300"
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn is_fatal(&self) -> bool {
        true
    }
}

/// Refuses a connection before there is a session.
async fn turn_away(mut stream: Box<dyn Stream>, error: &(dyn ClientError + Sync)) {
    let ServerMessage { severity, code, message, detail, hint, position: _ } = error.to_server_message();
    let (detail, hint) = (detail.as_deref(), hint.as_deref());
    let fields = ErrorFields { severity: &severity, code: &code, message: &message, detail, hint, position: None };
    let mut out = bytes::BytesMut::new();
    if Backend::Error(fields).encode(&mut out).is_ok() {
        let _ = tokio::time::timeout(LAST_WORD, async {
            stream.write_all(&out).await?;
            stream.shutdown().await
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
