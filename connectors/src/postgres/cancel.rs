//! Stopping what runs: a CancelRequest on a connection of its own, or the end of a child process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::transport::{ChildHandle, Transport};
use crate::Cancel;

/// How long a request to cancel may take in all.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(5);

/// Where a cancel goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// To the server, by process id and secret key.
    Server(Arc<Transport>, (i32, i32)),
    /// To the process, which is killed: it cannot be asked.
    Child(ChildHandle),
    /// Nowhere: the server gave no key.
    Nowhere,
}

/// Cancels what one lease runs, for as long as there is the lease.
pub(crate) struct CancelHandle(Mutex<State>);

struct State {
    target: Target,
    sent: bool,
}

impl CancelHandle {
    /// A handle on this target.
    pub(crate) fn new(target: Target) -> Self {
        Self(Mutex::new(State { target, sent: false }))
    }

    /// Ends the handle with its lease, and tells whether it was used. A connection that was cancelled once does not
    /// serve again: the signal may arrive late and hit another statement.
    pub(crate) fn disarm(&self) -> (Target, bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut state.target, Target::Nowhere), state.sent)
    }

    /// Whether the end of the connection is our own doing.
    pub(crate) fn has_killed(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.sent && matches!(state.target, Target::Child(_))
    }
}

impl Cancel for CancelHandle {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        let target = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.sent |= !matches!(state.target, Target::Nowhere);
            state.target.clone()
        };
        Box::pin(async move { target.cancel().await })
    }
}

impl Target {
    /// Asks once. Nothing tells whether it helped, as the protocol has it.
    /// <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>
    pub(crate) async fn cancel(&self) {
        match self {
            Self::Server(transport, key) => {
                let asked = tokio::time::timeout(CANCEL_WAIT_MAX, request(transport, *key)).await;
                if !matches!(asked, Ok(Ok(()))) {
                    tracing::warn!("a request to cancel did not reach the source");
                }
            }
            Self::Child(child) => child.kill(),
            Self::Nowhere => {}
        }
    }
}

/// The key is a secret, so the request goes over TLS wherever the session did.
async fn request(transport: &Transport, (process, key): (i32, i32)) -> std::io::Result<()> {
    let mut stream = transport.open().await?.stream;
    let mut request = BytesMut::new();
    frontend::cancel_request(process, key, &mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    // The server closes once it has sent the signal. It does so without TLS's own good-bye, which is an error to TLS.
    let _ = stream.read_u8().await;
    Ok(())
}
