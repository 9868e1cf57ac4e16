//! `passgate demo`: everything the gateway needs, on this machine, for as long as someone looks at it.
//!
//! Separate from `serve` because it makes what `serve` is given: a warehouse, an identity provider, certificates,
//! policies and a settings file. From there on it is the same gateway, started the same way.
//!
//! ```text
//! folder ─┬─ certificates ── identity_provider ──► tokens
//!         ├─ warehouse ── embedded (a process per connection)
//!         └─ passgate.yaml, policies/ ──► the gateway ──► announcement
//! ```

mod announcement;
mod certificates;
mod folder;
mod identity_provider;
mod warehouse;

use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use passgate_connectors::Secret;
use tokio::signal::unix::{Signal, SignalKind, signal};

use announcement::Announcement;
use certificates::Authority;
use folder::{Folder, Settings};
use identity_provider::IdentityProvider;
use warehouse::Warehouse;

use crate::embedded;

/// What `passgate demo` is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Port of 127.0.0.1 that the gateway listens on; 0 takes a free one.
    #[arg(long, default_value_t = 6432)]
    pub port: u16,
    /// Print one line of JSON with host, port, database, people and the address of its pages once it is ready, and
    /// nothing else.
    #[arg(long)]
    pub json: bool,
}

/// An account of the demonstration.
#[derive(Clone, Copy, Debug)]
struct Person {
    name: &'static str,
    group: &'static str,
    sees: &'static str,
}

const PEOPLE: [Person; 3] = [
    Person { name: "analyst_west", group: "analysts", sees: "sees the region WEST" },
    Person { name: "analyst_east", group: "analysts", sees: "sees the region EAST" },
    Person { name: "security", group: "security", sees: "sees every region" },
];

/// A gateway that runs. `main` gives the way to start one, the same for the demonstration as for `passgate serve`.
pub trait Gateway {
    /// Where its first listener is.
    fn address(&self) -> SocketAddr;

    /// Where it says how it is, if it does.
    fn http_address(&self) -> Option<SocketAddr>;

    /// Ends it: no new sessions, and those there are end as when the program is told to stop.
    fn stop(self) -> impl Future<Output = ()>;
}

/// Runs the demonstration until the program is told to stop, then removes everything it made.
pub async fn run<G: Gateway>(
    options: Options,
    start: impl AsyncFnOnce(PathBuf) -> Result<G, String>,
) -> Result<(), Error> {
    if !cfg!(feature = "embedded-postgres") {
        return Err(Error::NotBuiltIn);
    }
    let mut told = Told::new()?;
    require_free(options.port)?;
    let folder = Folder::create()?;
    tokio::select! {
        demonstration = Demonstration::start(&options, &folder, start) => {
            let demonstration = demonstration?;
            demonstration.announce(&options)?;
            told.stop().await;
            demonstration.gateway.stop().await;
            Ok(())
        }
        () = told.stop() => Ok(()),
    }
}

/// Says at once, rather than after everything else has started, that the port is taken.
fn require_free(port: u16) -> Result<(), Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|source| Error::Port { port, source })
}

struct Demonstration<'a, G> {
    folder: &'a Folder,
    people: Vec<(Person, Secret)>,
    gateway: G,
    // Serves keys for as long as the gateway may ask for them.
    _identity_provider: IdentityProvider,
}

impl<'a, G: Gateway> Demonstration<'a, G> {
    async fn start(
        options: &Options,
        folder: &'a Folder,
        start: impl AsyncFnOnce(PathBuf) -> Result<G, String>,
    ) -> Result<Self, Error> {
        if !options.json {
            print("Starting a PostgreSQL, an identity provider and the gateway ...\n")?;
        }
        let warehouse = Warehouse::prepare(&folder.create_folder("warehouse")?).await?;
        let authority = Authority::new()?;
        let identity_provider = IdentityProvider::start(&authority.issue("identity provider")?).await?;
        folder.write_certificates(&authority)?;
        folder.write_policies()?;
        let mut people = Vec::new();
        for person in PEOPLE {
            let token = identity_provider.token(&person)?;
            folder.write_token(&person, &token)?;
            people.push((person, token));
        }
        let settings = folder.write_settings(Settings {
            port: options.port,
            log_level: if options.json { "info" } else { "error" },
            issuer: identity_provider.issuer(),
            database: warehouse.settings(),
            shadows: warehouse.folder(),
        })?;
        let gateway = start(settings).await.map_err(Error::Gateway)?;
        Ok(Self { folder, people, gateway, _identity_provider: identity_provider })
    }

    fn announce(&self, options: &Options) -> Result<(), Error> {
        let address = self.gateway.address();
        let http = self.gateway.http_address();
        let announcement = Announcement { address, http, people: &self.people, folder: self.folder };
        if options.json { print(&format!("{}\n", announcement.to_json())) } else { print(&announcement.to_string()) }
    }
}

/// Ctrl-C, a request to end, and the terminal going away.
struct Told {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Told {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signal);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn print(text: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Error::Output)
}

/// Why the demonstration cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The build has no PostgreSQL in it.
    #[error(
        "this passgate was built without the embedded PostgreSQL that the demonstration needs; build it with \
         `cargo build --release -p passgate`, whose default features include `embedded-postgres`"
    )]
    NotBuiltIn,
    /// The gateway's port cannot be had.
    #[error(
        "cannot listen on 127.0.0.1:{port}: {source}; choose another port with --port, or any free one with --port 0"
    )]
    Port {
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder for settings and data cannot be made or written.
    #[error("cannot write the demonstration's folder: {0}")]
    Folder(#[source] io::Error),
    /// The database was not made.
    #[error(transparent)]
    Warehouse(#[from] embedded::Error),
    /// The identity provider cannot listen.
    #[error("cannot start the development identity provider: {0}")]
    IdentityProvider(#[source] io::Error),
    /// A certificate or its key cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate cannot be used.
    #[error("cannot use a certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// A token cannot be signed.
    #[error("cannot sign a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The key is not one that can be published.
    #[error("cannot publish the identity provider's key")]
    Key,
    /// The gateway does not start; its own words.
    #[error("{0}")]
    Gateway(String),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] io::Error),
    /// The text cannot be printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}
