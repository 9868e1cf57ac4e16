//! The bytes of one client: messages in, messages out, and nothing else.
//!
//! It does not pass for an ordinary stream, so every reply is framed and every error leaves through [`Channel::refuse`].
//! What it buffers is bounded in both directions, and given back while the session waits.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use passgate_connectors::ServerMessage;
use passgate_wire::{Backend, Decoder, ErrorFields, Frontend, Limits, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::{End, Error};
use crate::error::ClientError;

/// A connection: TCP, TLS, or a pipe in a test.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Answers are sent once they are this many bytes.
const WRITE_BYTES: usize = 64 << 10;
/// Row frames from this size on are written from where they are instead of being copied.
const DIRECT_BYTES: usize = 16 << 10;
/// What a client may send ahead while a statement runs, before we stop reading.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// What a waiting session keeps ready to read into, and what a busy one does.
const WAITING_READ_BYTES: usize = 1 << 10;
const BUSY_READ_BYTES: usize = 8 << 10;

/// A client's connection.
pub(super) struct Channel {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    /// A message that was looked at and not yet taken.
    ahead: Option<Frontend>,
    out: BytesMut,
    patience: Duration,
}

impl Channel {
    /// A connection whose start-up packet has been read.
    pub(super) fn new(stream: Box<dyn Stream>, message_bytes_max: usize, patience: Duration) -> Self {
        let mut decoder = Decoder::new(Limits { message_bytes_max });
        decoder.enter(Phase::SignIn);
        Self { stream, decoder, ahead: None, out: BytesMut::new(), patience }
    }

    /// The client has signed in: from here on it may ask.
    pub(super) fn signed_in(&mut self) {
        self.decoder.enter(Phase::Ready);
    }

    /// The next message if it is here already.
    pub(super) fn received(&mut self) -> Result<Option<Frontend>, End> {
        match self.ahead.take() {
            Some(message) => Ok(Some(message)),
            None => self.decoder.decode().map_err(|violation| Error::Violation(violation).into()),
        }
    }

    /// Looks at the next message if it is here already.
    pub(super) fn peek(&mut self) -> Result<Option<&Frontend>, End> {
        self.ahead = self.received()?;
        Ok(self.ahead.as_ref())
    }

    /// The type of the message after so many others, if it is here already.
    pub(super) fn peek_kind(&mut self, after: usize) -> Result<Option<u8>, End> {
        self.peek()?;
        match (&self.ahead, after) {
            (None, _) => Ok(None),
            (Some(Frontend::Sync), 0) => Ok(Some(b'S')),
            (Some(_), 0) => Ok(Some(0)),
            (Some(_), after) => Ok(self.decoder.kind_ahead(after - 1)),
        }
    }

    /// The next message. What was to be sent is sent first.
    ///
    /// Safe to drop and call again.
    pub(super) async fn receive(&mut self) -> Result<Frontend, End> {
        loop {
            if let Some(message) = self.received()? {
                return Ok(message);
            }
            self.flush().await?;
            self.release();
            if self.decoder.buffered() == 0 {
                self.fill().await?;
            } else {
                self.fill_in_time().await?;
            }
        }
    }

    /// The rest of a message that has begun must come in time: it takes room.
    async fn fill_in_time(&mut self) -> Result<(), End> {
        let filled = tokio::time::timeout(self.patience, self.fill()).await;
        filled.unwrap_or_else(|_| {
            tracing::info!("the client left a message unfinished for too long");
            Err(End::Gone)
        })
    }

    /// Waits for the client to go away, and keeps what it sends meanwhile up to a bound; beyond the bound it waits for
    /// ever, and writing finds out.
    ///
    /// Safe to drop and call again.
    pub(super) async fn departure(&mut self) -> End {
        while self.decoder.buffered() < AHEAD_BYTES_MAX {
            if let Err(end) = self.fill().await {
                return end;
            }
        }
        std::future::pending().await
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &Backend<'_>) {
        if message.encode(&mut self.out).is_err() {
            // Only texts of our own making can be too long, and the longest come out of a start-up packet.
            tracing::error!("a message was too long for a client and was left out");
        }
    }

    /// The one door out for errors.
    pub(super) fn refuse(&mut self, error: &dyn ClientError) {
        let message = error.to_server_message();
        self.send(&Backend::Error(ErrorFields { position: error.position(), ..fields(&message) }));
    }

    /// The same for an error that ends the session, whatever it is elsewhere.
    pub(super) fn dismiss(&mut self, error: &dyn ClientError) {
        let message = ServerMessage { severity: "FATAL".to_owned(), ..error.to_server_message() };
        self.send(&Backend::Error(fields(&message)));
    }

    /// Queues a notice.
    pub(super) fn notice(&mut self, notice: &ServerMessage) {
        self.send(&Backend::Notice(fields(notice)));
    }

    /// Sends whole frames of a source on, in large writes.
    ///
    /// Not to be dropped halfway unless the session ends with it.
    pub(super) async fn relay(&mut self, mut frames: Bytes) -> Result<(), End> {
        if frames.len() < DIRECT_BYTES {
            self.out.extend_from_slice(&frames);
            return self.flush_if_full().await;
        }
        self.flush().await?;
        while !frames.is_empty() {
            patient(self.patience, self.stream.write_buf(&mut frames)).await?;
        }
        Ok(())
    }

    /// Sends what is queued if it is a good deal.
    pub(super) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.out.len() >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends what is queued.
    ///
    /// Safe to drop and call again.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        while !self.out.is_empty() {
            patient(self.patience, self.stream.write_buf(&mut self.out)).await?;
        }
        patient(self.patience, async { self.stream.flush().await.map(|()| 1) }).await
    }

    /// Sends what is queued and closes, as far as the client lets us.
    pub(super) async fn close(&mut self) {
        const LAST_WORD: Duration = Duration::from_secs(5);
        let _ = tokio::time::timeout(LAST_WORD, async {
            if self.flush().await.is_ok() {
                let _ = self.stream.shutdown().await;
            }
        })
        .await;
    }

    /// Gives memory back before a wait that may be long.
    fn release(&mut self) {
        self.decoder.release();
        self.out = BytesMut::new();
    }

    async fn fill(&mut self) -> Result<(), End> {
        let room = if self.decoder.buffered() == 0 { WAITING_READ_BYTES } else { BUSY_READ_BYTES };
        let buffer = self.decoder.buffer();
        buffer.reserve(room);
        match self.stream.read_buf(buffer).await {
            Ok(0) | Err(_) => Err(End::Gone),
            Ok(_) => Ok(()),
        }
    }
}

/// A write that must take at least one byte in time.
async fn patient(patience: Duration, write: impl Future<Output = io::Result<usize>>) -> Result<(), End> {
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(written)) if written > 0 => Ok(()),
        Ok(_) => Err(End::Gone),
        Err(_) => {
            tracing::info!("the client took no byte for too long");
            Err(End::Gone)
        }
    }
}

fn fields(message: &ServerMessage) -> ErrorFields<'_> {
    ErrorFields {
        severity: &message.severity,
        code: &message.code,
        message: &message.message,
        detail: message.detail.as_deref(),
        hint: message.hint.as_deref(),
        position: None,
    }
}
