//! One connection from its start-up packet to its end.
//!
//! ```text
//! Session<Startup> ── sign in ──► Session<SignedIn> ── open ──► Session<Ready> ── serve ──► the end
//!
//! Query, Execute ──► road::start ──► Running ──► relay ──► client
//!                    statement, plan, policy, audit, sources: the one road, whatever the protocol path
//! ```
//!
//! The states are types, so a statement before sign-in does not compile. `channel` owns the bytes and is the only way
//! out; `road` takes a statement through the policy to a source; `relay` brings its rows back; `simple` and `extended`
//! are the two ways a client asks by message, `execute`, `cursor` and `fetch_portal` those by SQL; `prepared`,
//! `transaction` and `settings` are what a session remembers, `own` and `set` what it answers by itself.

mod cancel;
mod catalog_cursor;
mod channel;
mod cursor;
mod deciding;
mod error;
mod execute;
mod extended;
mod fetch_portal;
mod hold;
mod measure;
mod own;
mod placed;
mod prepared;
mod ready;
mod relay;
mod road;
mod set;
mod settings;
mod shadowed;
mod simple;
mod startup;
mod system;
#[cfg(test)]
mod tests;
mod transaction;
mod whereabouts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use passgate_policy::{PolicySet, Role};
use passgate_wire as wire;
use tokio::sync::watch;

use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::auth::SignIn;
use crate::plan::{Rewriter, Seen};
use crate::sources::Sources;
use crate::statement;
use crate::store::Store;

pub use cancel::Cancels;
pub use channel::Stream;
pub use error::{Error, Telling};
pub use system::{PolicyStatus, Reload, manual as system_manual};

use channel::Channel;
use startup::Startup;

/// What one session may use, and for how long. Section `limits.session` of the settings.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SessionLimits")]
pub struct Config {
    /// The largest message a client may send after sign-in, in bytes; a larger one ends the session. Default: 16777216.
    pub message_bytes_max: usize,
    /// How long a session may be silent outside a transaction, in seconds; 0 for ever. Default: 0.
    pub idle_seconds: u64,
    /// How long a session may be silent inside a transaction, which holds a connection to the source, in seconds; 0 for
    /// ever. Default: 300.
    pub idle_in_transaction_seconds: u64,
    /// How long a client may take no byte of an answer, or leave a message unfinished, in seconds, before it counts as
    /// gone. Default: 300.
    pub write_seconds: u64,
    /// Prepared statements of one session. Default: 1000.
    pub prepared_statements_max: usize,
    /// Bytes of SQL text and of declared parameter types that one session's prepared statements may hold together.
    /// What is kept of a statement takes some ten times its text in memory, and seventy times at worst.
    /// Default: 2097152.
    pub prepared_bytes_max: usize,
    /// Portals of one session that may be open at the same time. Default: 100.
    pub portals_max: usize,
    /// Bytes that one session's portals may hold together: values of those that have not run yet, and rows kept for
    /// those that wait while another statement of the same transaction runs. Default: 16777216.
    pub portal_bytes_max: usize,
    /// Bytes that one statement may answer; it ends with 54000 where it goes beyond. Default: 1073741824.
    pub answer_bytes_max: u64,
    /// The longest a statement may run whatever `statement_timeout` a client sets, in milliseconds; a source's own
    /// timeout holds in any case.
    /// Default: 300000.
    pub statement_timeout_ms_max: u64,
    /// How long a cancelled statement may take to end on the source, in milliseconds, before its connection is given up.
    /// Default: 5000.
    pub cancel_ms_max: u64,
    /// Memory in bytes for statements seen before and for what the policies said of them, of all sessions together; it is
    /// counted by the length of their texts, so it is about that much. 0 remembers none. Default: 33554432.
    pub seen_bytes_max: usize,
    /// The `TimeZone` of a session that names none. Default: `UTC`.
    pub time_zone: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            idle_seconds: 0,
            idle_in_transaction_seconds: 300,
            write_seconds: 300,
            prepared_statements_max: 1_000,
            prepared_bytes_max: 2 << 20,
            portals_max: 100,
            portal_bytes_max: 16 << 20,
            answer_bytes_max: 1 << 30,
            statement_timeout_ms_max: 300_000,
            cancel_ms_max: 5_000,
            seen_bytes_max: 32 << 20,
            time_zone: "UTC".to_owned(),
        }
    }
}

/// What every session works with.
pub struct Services {
    /// Limits of a session.
    pub config: Config,
    /// Limits of a statement.
    pub statement_limits: statement::Limits,
    /// The door to the sources.
    pub sources: Arc<Sources>,
    /// The policies in force.
    pub policies: watch::Receiver<Arc<PolicySet>>,
    /// What rewrites statements as they demand.
    pub rewriter: Arc<Rewriter>,
    /// Statements seen before.
    pub seen: Arc<Seen>,
    /// Roles whose holders may explain statements as somebody else.
    pub security_roles: Vec<Role>,
    /// How they came to be in force.
    pub policy_status: watch::Receiver<PolicyStatus>,
    /// The log.
    pub audit: Audit,
    /// The gateway's own state.
    pub store: Arc<Store>,
    /// Held statements.
    pub approvals: Arc<Approvals>,
    /// Who can be cancelled.
    pub cancels: Arc<Cancels>,
}

/// A client as the listener met it.
pub struct Client {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Whether the listener takes unencrypted connections although it has a certificate, and secrets on them.
    pub plaintext_allowed: bool,
    /// Whether the listener could have encrypted.
    pub encryption_offered: bool,
    /// The channel binding data of our certificate.
    pub channel_binding: Option<Bytes>,
    /// The sign-in methods of the listener.
    pub sign_in: Arc<SignIn>,
    /// When to end.
    pub shutdown: watch::Receiver<Shutdown>,
}

/// Whether sessions may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// They may.
    #[default]
    Open,
    /// They end when nothing runs.
    Draining,
    /// They end now.
    Now,
}

/// Serves a connection whose start-up packet has been read, to its end.
///
/// Dropping the future ends the session: what runs is cancelled, and its record closed.
pub async fn serve(
    stream: Box<dyn Stream>,
    packet: wire::Startup,
    client: Client,
    services: Arc<Services>,
    sign_in_time: Duration,
) {
    let id = uuid::Uuid::now_v7();
    let span = tracing::info_span!("session", session_id = %id, client = %client.address);
    let session = Session::<Startup>::begin(id, stream, packet, client, services);
    tracing::Instrument::instrument(run(session, sign_in_time), span).await;
}

async fn run(session: Box<Session<Startup>>, sign_in_time: Duration) {
    let mut shutdown = session.client.shutdown.clone();
    let opened = tokio::select! {
        opened = tokio::time::timeout(sign_in_time, Box::pin(session.open())) => opened,
        // Whoever has not signed in yet goes elsewhere.
        () = ready::draining(&mut shutdown) => return,
    };
    drop(shutdown);
    match opened {
        Ok(Some(ready)) => ready.serve().await,
        Ok(None) => {}
        // PostgreSQL closes without a word too: whoever did not sign in is told nothing.
        Err(_) => tracing::info!("the client did not sign in in time"),
    }
}

/// A connection in one of its states.
struct Session<State> {
    id: uuid::Uuid,
    channel: Channel,
    client: Client,
    services: Arc<Services>,
    state: State,
}
