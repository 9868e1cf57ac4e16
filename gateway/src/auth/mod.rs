//! One exchange per sign-in method, from messages to an identity.
//!
//! An [`Exchange`] is a conversation without a socket: it is fed the body of each `p` message and says what to send.
//! The session owns the bytes. Whatever the reason, a refusal looks the same from outside.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use passgate_connectors::Secret;
use passgate_policy::Identity;

use crate::error::ClientError;

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
}

impl ClientError for Refused {
    fn sqlstate(&self) -> &str {
        "28P01"
    }

    fn message(&self) -> String {
        format!("password authentication failed for user \"{}\"", self.user)
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
