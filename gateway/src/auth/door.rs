//! What every method's exchange has around it: encryption where a secret passes, limits, and refusals that look alike.
//!
//! Separate so that no method can forget it: a [`Conversation`] only becomes an [`Exchange`] here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::attempts::Attempts;
use super::{BODY_BYTES_MAX, Candidate, Conversation, Exchange, MethodRow, Refused, Step, Turn};

const NEEDS_ENCRYPTION: &str =
    "Connect with TLS (sslmode=verify-full): no token is taken over an unencrypted connection.";

/// An exchange in the making.
pub(super) struct Door {
    row: &'static MethodRow,
    conversation: Box<dyn Conversation>,
    attempts: Arc<Attempts>,
    refusal_time: Duration,
    candidate: Candidate,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fresh,
    Asked,
    Over,
}

impl Door {
    pub(super) fn new(
        row: &'static MethodRow,
        conversation: Box<dyn Conversation>,
        attempts: Arc<Attempts>,
        refusal_ms: u64,
        candidate: Candidate,
    ) -> Self {
        let refusal_time = Duration::from_millis(refusal_ms);
        Self { row, conversation, attempts, refusal_time, candidate, stage: Stage::Fresh }
    }

    fn start(&mut self) -> Turn {
        if self.row.passes_secret && !self.candidate.encrypted && !self.candidate.plaintext_allowed {
            return refuse("the connection is not encrypted", false);
        }
        self.conversation.start()
    }

    async fn take(&mut self, body: Bytes) -> Turn {
        if body.len() > BODY_BYTES_MAX {
            return refuse("the client's message is too long", true);
        }
        let doom = self.attempts.limited(Instant::now(), self.candidate.address, &self.candidate.user);
        self.conversation.take(body, doom).await
    }

    /// A refusal, after the time that every refusal takes at least.
    async fn refused(&mut self, heard_at: Instant, cause: String, counts: bool) -> Step {
        if counts {
            self.attempts.failed(Instant::now(), self.candidate.address, &self.candidate.user);
        }
        sleep_until(heard_at + self.refusal_time).await;
        let unencrypted = self.row.passes_secret && !self.candidate.encrypted && !self.candidate.plaintext_allowed;
        Step::Refused(Refused {
            user: self.candidate.user.clone(),
            cause,
            method: self.row.kind,
            hint: unencrypted.then_some(NEEDS_ENCRYPTION),
        })
    }
}

impl Exchange for Door {
    /// Survives being dropped: a failure is counted before the wait.
    fn next<'a>(&'a mut self, body: Option<Bytes>) -> BoxFuture<'a, Step> {
        async move {
            let heard_at = Instant::now();
            // Over until the conversation says that it goes on: whatever interrupts it cannot be resumed.
            let turn = match (std::mem::replace(&mut self.stage, Stage::Over), body) {
                (Stage::Fresh, None) => self.start(),
                (Stage::Asked, Some(body)) => self.take(body).await,
                (Stage::Over, _) => refuse("the exchange is over", false),
                (Stage::Fresh, Some(_)) | (Stage::Asked, None) => refuse("a message out of turn", true),
            };
            match turn {
                Turn::Ask(ask) => {
                    self.stage = Stage::Asked;
                    Step::Ask(ask)
                }
                Turn::SignedIn(signed_in) => Step::SignedIn(signed_in),
                Turn::Refuse { cause, counts } => self.refused(heard_at, cause, counts).await,
            }
        }
        .boxed()
    }
}

fn refuse(cause: &str, counts: bool) -> Turn {
    Turn::Refuse { cause: cause.to_owned(), counts }
}
