//! Settings to a gateway at work: every part made, joined, and later reloaded and drained.
//!
//! Separate from `config`, which only reads, and from the rooms, which do not know each other: this is the one place
//! where all of them meet. `passgate serve`, `passgate demo` and tests start the same gateway by it, and
//! `passgate check` makes the same parts and throws them away.
//!
//! ```text
//! Loaded ── parts ──► sign-in, sources, policies ── start ──► Running ── reload*, drain ──► the end
//! ```

mod parts;
mod policies;
mod readiness;
mod syncing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use passgate_policy::{Role, SourceName};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::auth;
use crate::config::{Loaded, Problem};
use crate::http;
use crate::http::metrics::Metrics;
use crate::plan::Seen;
use crate::server::Server;
use crate::session::Services;
use crate::sources::Sources;
use crate::store::Store;
use parts::Parts;
use policies::Enforcement;
use readiness::Ready;

pub use parts::{catalog, check, connect};
pub use syncing::sync;

/// A gateway at work. Dropping it ends nothing; see [`Running::drain`].
pub struct Running {
    addresses: Vec<SocketAddr>,
    server: Arc<Server>,
    sources: Arc<Sources>,
    enforcement: Arc<Enforcement>,
    names: JoinHandle<()>,
    drain: Duration,
    http: Option<Http>,
}

/// The listener for health and metrics, at work.
struct Http {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Starts a gateway: returns once every listener is open, or with everything that keeps it from starting.
///
/// Sources are not waited for; `/readyz` tells when one answers. Dropping the future leaves nothing running but
/// listeners that were open already.
pub async fn start(loaded: &Loaded) -> Result<Running, Vec<Problem>> {
    let parts = Parts::make(loaded)?;
    let settings = &loaded.settings;
    // First, so that whatever the parts count from here on is seen.
    let metrics = settings.http.as_ref().map(|_| Metrics::install());
    let audit = Audit::start(&settings.audit, &loaded.folder)
        .map_err(|error| vec![loaded.problem(&["audit"], format!("audit: {error}"), Some(error.hint))])?;
    let sources = Sources::new(&settings.limits.sources, parts.sources).with_shadows(parts.shadows);
    let sources = Arc::new(sources);
    sources.keep_fresh();
    for before in settings.audit.estimated_before(&loaded.folder) {
        sources.estimates().compare(&SourceName::new(before.source), before.estimate.rows, before.rows);
    }
    let policy_status = watch::Sender::new(parts.policies.status(None));
    let policies = watch::Sender::new(Arc::new(parts.policies.in_force()));
    let store = open_store(loaded).await?;
    let approvals = Approvals::new(&settings.limits.approvals, store.clone(), audit.clone());
    approvals.sweep_in_background();
    let services = Arc::new(Services {
        security_roles: settings.policies.security_roles.iter().map(Role::new).collect(),
        config: settings.limits.session.clone(),
        statement_limits: settings.limits.statement.clone(),
        sources: sources.clone(),
        policies: policies.subscribe(),
        rewriter: parts.rewriter.clone(),
        seen: Arc::new(Seen::new(settings.limits.session.seen_bytes_max)),
        policy_status: policy_status.subscribe(),
        store,
        approvals,
        audit,
        cancels: Arc::default(),
    });
    let listeners = settings.listeners.iter().cloned().zip(parts.sign_in).collect();
    // The metrics listener first: an address that is taken is then found before clients come.
    let http = match &settings.http {
        Some(config) => Some(bind_http(loaded, config).await?),
        None => None,
    };
    let server = Server::start(listeners, &loaded.folder, &settings.limits.server, &services)
        .await
        .map_err(|error| vec![loaded.problem(&["listeners"], format!("listeners: {error}"), None)])?;
    let server = Arc::new(server);
    let enforcement = Arc::new(Enforcement {
        settings_folder: loaded.folder.clone(),
        policies_folder: settings.policies.folder.clone(),
        methods: parts.methods,
        sources: sources.clone(),
        rewriter: parts.rewriter,
        policies,
        status: policy_status,
    });
    let ready = Arc::new(Ready { server: server.clone(), sources: sources.clone() });
    let http = http.zip(metrics).map(|((address, http), metrics)| Http::start(address, http, ready, metrics));
    Ok(Running {
        addresses: server.addresses(),
        server,
        sources,
        names: tokio::spawn(Arc::clone(&enforcement).watch_names()),
        enforcement,
        drain: Duration::from_secs(settings.limits.server.drain_seconds),
        http,
    })
}

async fn open_store(loaded: &Loaded) -> Result<Arc<Store>, Vec<Problem>> {
    let config = &loaded.settings.store;
    let key = if config.url.is_some() { "url" } else { "path" };
    Store::open(config, &loaded.folder).await.map(Arc::new).map_err(|error| {
        let hint = "name a file that the gateway may write, or a PostgreSQL that is there";
        let message = format!("store.{key}: the gateway's own store cannot be opened: {}", error.cause());
        vec![loaded.problem(&["store", key], message, Some(hint.to_owned()))]
    })
}

async fn bind_http(loaded: &Loaded, config: &http::Config) -> Result<(SocketAddr, http::Server), Vec<Problem>> {
    let bind = async {
        let server = http::Server::bind(config).await?;
        Ok::<_, std::io::Error>((server.address()?, server))
    };
    bind.await.map_err(|error| {
        let message = format!("http.address: cannot listen on {}: {error}", config.address);
        vec![loaded.problem(&["http", "address"], message, None)]
    })
}

impl Http {
    fn start(address: SocketAddr, server: http::Server, ready: Arc<Ready>, metrics: Metrics) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        tracing::info!(%address, "serving health and metrics");
        Self { address, stop, task: tokio::spawn(server.run(ready, metrics, stopped)) }
    }
}

impl Running {
    /// Where clients connect, in the order of the settings, with the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where health and metrics are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.address)
    }

    /// Reads policies, people and certificates again, without touching a session. Each of the three stays as it was
    /// where anything is wrong with it; all that is wrong is returned, and has been logged and counted.
    pub fn reload(&self) -> Result<(), Vec<String>> {
        let attempts = [
            // First, because policies may name groups that only the new people are in.
            ("people", self.enforcement.methods.reload().map_err(|problems| texts(&problems))),
            ("policies", self.enforcement.reload().map_err(|problems| texts(&problems))),
            ("certificates", self.server.reload_certificates().map_err(|error| vec![error.to_string()])),
        ];
        // What the sources hold may be why somebody asks; they are read at their next use.
        self.sources.reload();
        let mut wrong = Vec::new();
        for (what, attempt) in attempts {
            let outcome = if attempt.is_ok() { "taken" } else { "refused" };
            metrics::counter!("passgate_reloads_total", "what" => what, "outcome" => outcome).increment(1);
            match attempt {
                Ok(()) => tracing::info!(what, "reloaded"),
                Err(problems) => {
                    for problem in &problems {
                        tracing::error!(what, problem, "not reloaded: what was in force stays in force");
                    }
                    wrong.extend(problems);
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Ends the gateway: no new sessions, running statements may finish within the deadline of the settings, then
    /// every session is told 57P01. `/readyz` says so until the last one is gone.
    pub async fn drain(self) {
        self.names.abort();
        self.server.drain(self.drain).await;
        if let Some(http) = self.http {
            // It may have ended already, of itself.
            let _ = http.stop.send(());
            let _ = http.task.await;
        }
    }
}

fn texts<T: ToString>(problems: &[T]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// A sign-in problem, at its place in the settings or in the file it was found in.
fn sign_in_problem(loaded: &Loaded, problem: auth::Problem) -> Problem {
    let message = match &problem.key {
        Some(key) => format!("sign_in \"{}\": {key}: {}", problem.method, problem.message),
        None => format!("sign_in \"{}\": {}", problem.method, problem.message),
    };
    let index = loaded.settings.sign_in.iter().position(|method| method.name == problem.method);
    let index = index.map(|index| index.to_string());
    let path: Vec<&str> = match (&index, &problem.key) {
        (Some(index), Some(key)) => vec!["sign_in", index, key],
        (Some(index), None) => vec!["sign_in", index],
        // Without a method it is the limits of signing in.
        (None, Some(key)) => vec!["limits", "sign_in", key],
        (None, None) => vec!["sign_in"],
    };
    let mut reported = loaded.problem(&path, message, problem.suggestion);
    if let Some((file, line, column)) = problem.place {
        reported.file = file.display().to_string();
        reported.at = crate::config::Place { line, column };
    }
    reported
}
