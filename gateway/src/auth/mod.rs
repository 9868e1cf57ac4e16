//! One exchange per sign-in method, from messages to an identity.
//!
//! An [`Exchange`] is a conversation without a socket: it is fed the body of each `p` message and says what to send.
//! The session owns the bytes. Whatever the reason, a refusal looks the same from outside.
//!
//! ```text
//! settings ─► Methods ─ sign_in(names) ─► SignIn ─ begin(Candidate) ─► Exchange ─ next(body) ─► Ask | SignedIn | Refused
//!             (once)                      (per listener)               (per connection: door.rs around a method)
//! ```
//!
//! To add a method, write its file and add its row to [`METHODS`].

mod attempts;
mod door;
mod oauthbearer;
mod oidc;
mod people;
mod problem;
mod provider;
mod sasl;
pub mod scram;
mod sign_in;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use passgate_connectors::Secret;
use passgate_policy::Identity;

use crate::error::ClientError;
use sign_in::{Method, Users, Voucher};

pub use problem::Problem;
pub use provider::{Algorithm, ClaimNames, Config as ProviderConfig, PersonCase, PersonMapping};
pub use sign_in::{Methods, SignIn};

/// The sign-in methods there are.
pub static METHODS: [&MethodRow; 3] = [&oidc::ROW, &oauthbearer::ROW, &scram::ROW];

/// The longest body of a `p` message worth reading: a token of 32 kB fits with what surrounds it, and one of 40 kB is
/// read whole, so that it is refused like any other rather than by a broken connection.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The tenant of whoever is given none.
pub const DEFAULT_TENANT: &str = "default";

/// A kind of sign-in method.
pub struct MethodRow {
    /// The `type` that names it in the settings, and the method that the audit names.
    pub kind: &'static str,
    /// What it does and how it is set up, in Markdown.
    pub manual: &'static str,
    /// Whether what the client sends is itself the secret, so that the connection must be encrypted.
    pub passes_secret: bool,
    /// The schema of its settings, less `name` and `type`.
    pub schema: fn() -> schemars::Schema,
    build: fn(&Block<'_>) -> Result<Method, Vec<Problem>>,
    open: fn(&[Arc<Method>], &Candidate) -> Box<dyn Conversation>,
}

impl std::fmt::Debug for MethodRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind)
    }
}

/// How refusals are slowed down and failures limited, for all methods and listeners together.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Failed sign-ins allowed from one address (IPv6: one /64) within the window. Further ones are refused whatever they
    /// prove. Default: 60.
    pub attempts_per_address: usize,
    /// Failed sign-ins allowed for one name within the window, from all addresses together. Whoever knows a name can thus
    /// keep its person out while they go on failing; a larger number makes that harder and guessing easier. Default: 10.
    pub attempts_per_person: usize,
    /// The length of the window, in seconds. Default: 60.
    pub window_seconds: u64,
    /// Addresses and names remembered, each. Beyond that, the one that failed longest ago is forgotten. Default: 10000.
    pub tracked_max: usize,
    /// The least time a refusal takes after the client's last message, in milliseconds, so that the reason cannot be told
    /// by the time it took. Default: 250.
    pub refusal_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts_per_address: 60,
            attempts_per_person: 10,
            window_seconds: 60,
            tracked_max: 10_000,
            refusal_ms: 250,
        }
    }
}

/// One entry of `sign_in` in the settings.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
pub struct MethodConfig {
    /// What listeners call it.
    pub name: String,
    /// A kind of [`METHODS`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What that kind makes of the rest of the block.
    #[serde(flatten)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// What a row builds a method from.
struct Block<'a> {
    name: &'a str,
    settings: &'a serde_json::Map<String, serde_json::Value>,
    /// Where relative paths begin.
    folder: &'a Path,
}

impl Block<'_> {
    /// The settings as the row's own type, or what is wrong with them.
    fn settings<T: serde::de::DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        serde_json::from_value(serde_json::Value::Object(self.settings.clone()))
            .map_err(|error| vec![Problem::from_serde(self.name, &error)])
    }
}

/// A method's half of an exchange: the messages, without limits and delays, which `door.rs` adds for all.
trait Conversation: Send {
    /// The first request.
    fn start(&mut self) -> Turn;

    /// What follows from the client's message. With a `doom`, the conversation goes on as usual and ends in that refusal,
    /// whatever the client proves.
    fn take(&mut self, body: Bytes, doom: Option<String>) -> BoxFuture<'_, Turn>;
}

/// What a method says next.
enum Turn {
    Ask(Ask),
    SignedIn(Box<SignedIn>),
    Refuse {
        cause: String,
        /// Whether it counts against the address and the name.
        counts: bool,
    },
}

/// What is known about a client before it has proven anything.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The `user` of the start-up packet.
    pub user: String,
    /// Where the client is.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Whether the listener lets secrets pass unencrypted (`dangerously_allow_plaintext`, loopback only).
    pub plaintext_allowed: bool,
    /// The `tls-server-end-point` channel binding data (RFC 5929) of our certificate, on an encrypted connection.
    pub channel_binding: Option<Bytes>,
}

/// What the server asks of a client: one AuthenticationRequest message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// AuthenticationCleartextPassword.
    CleartextPassword,
    /// AuthenticationSASL with these mechanisms.
    Sasl(Vec<String>),
    /// AuthenticationSASLContinue.
    SaslContinue(Bytes),
}

/// Where an exchange stands.
#[derive(Debug)]
pub enum Step {
    /// Send this and wait for the answer.
    Ask(Ask),
    /// Proven.
    SignedIn(Box<SignedIn>),
    /// Refused. Already counted against the address and the person, and already as slow as every other refusal.
    Refused(Refused),
}

/// A person, proven, and the token they proved it with.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub identity: Arc<Identity>,
    /// The token, where one was used, for sources that take it as the password.
    pub token: Option<Arc<Secret>>,
    /// The body of AuthenticationSASLFinal to send before AuthenticationOk.
    pub sasl_final: Option<Bytes>,
}

/// A sign-in that failed. The client sees one text whatever the cause; the cause is for the log and the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The user as claimed.
    pub user: String,
    /// Why, for the log and the audit: never contains a secret.
    pub cause: String,
    /// The kind of method that refused.
    pub method: &'static str,
    /// What to do about it, where that is the same for every name and secret: a listener that needs encryption says so.
    pub hint: Option<&'static str>,
}

impl ClientError for Refused {
    fn sqlstate(&self) -> &str {
        "28P01"
    }

    fn message(&self) -> String {
        format!("password authentication failed for user \"{}\"", self.user)
    }

    fn hint(&self) -> Option<String> {
        self.hint.map(str::to_owned)
    }

    fn is_fatal(&self) -> bool {
        true
    }
}

/// A conversation that ends in an identity or a refusal.
pub trait Exchange: Send {
    /// Takes the body of the client's last `p` message (`None` at the start) and says what comes next.
    ///
    /// For a password the body is the text with its terminating zero; for SASL it is as RFC 5802 and the PostgreSQL
    /// protocol lay it out (SASLInitialResponse, then SASLResponse).
    fn next<'a>(&'a mut self, body: Option<Bytes>) -> BoxFuture<'a, Step>;
}
