//! A stream as frames: what has been read and not yet taken, and what is to be sent. Rows leave here as they came, many
//! in one piece, with no field looked at; that is what keeps relaying cheap and memory flat.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{ErrorFields, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::transport::Stream;
use crate::{Error, ServerMessage};

/// How much is read at a time, and so about how large a batch of rows is: at first, and at most once reads are full.
const READ_BYTES_MIN: usize = 8 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

/// The longest frame taken before the login is through: nothing there is long.
const LOGIN_FRAME_BYTES_MAX: usize = 64 << 10;

/// Type byte and length.
const HEADER_BYTES: usize = 5;

/// Frames from and to a server.
pub(crate) struct Frames {
    stream: Box<dyn Stream>,
    source_name: Arc<str>,
    inbox: BytesMut,
    read_bytes: usize,
    /// What [`Frames::flush`] will send.
    pub(crate) outbox: BytesMut,
    frame_bytes_max: usize,
    wait_max: Duration,
}

impl Frames {
    /// Wraps a stream on which nothing has been said.
    pub(crate) fn new(stream: Box<dyn Stream>, source_name: Arc<str>, wait_max: Duration) -> Self {
        let frame_bytes_max = LOGIN_FRAME_BYTES_MAX;
        Self {
            stream,
            source_name,
            inbox: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            outbox: BytesMut::new(),
            frame_bytes_max,
            wait_max,
        }
    }

    /// Takes longer frames from now on.
    pub(crate) fn raise_frame_limit(&mut self, bytes: usize) {
        self.frame_bytes_max = bytes;
    }

    /// All whole frames of one type that have been read and stand first, and how many they are.
    pub(crate) fn run_of(&mut self, wanted: u8) -> Result<Option<(Bytes, u64)>, Error> {
        let (mut end, mut count) = (0, 0);
        loop {
            match self.header(end) {
                Ok(Some((tag, length))) if tag == wanted && end + length <= self.inbox.len() => {
                    end += length;
                    count += 1;
                }
                // Frames before a broken one are good; the next call meets the breach.
                Err(error) if count == 0 => return Err(error),
                _ => break,
            }
        }
        Ok((count > 0).then(|| (self.inbox.split_to(end).freeze(), count)))
    }

    /// The next frame with its type, if it has been read in whole.
    pub(crate) fn frame(&mut self) -> Result<Option<(u8, BytesMut)>, Error> {
        Ok(match self.header(0)? {
            Some((tag, length)) if length <= self.inbox.len() => Some((tag, self.inbox.split_to(length))),
            _ => None,
        })
    }

    /// The next frame, waiting for it.
    pub(crate) async fn wait_for_frame(&mut self) -> Result<(u8, BytesMut), Error> {
        loop {
            if let Some(frame) = self.frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Reads more. Safe to drop: what has been read is in the inbox.
    pub(crate) async fn fill(&mut self) -> Result<(), Error> {
        self.inbox.reserve(self.read_bytes);
        match tokio::time::timeout(self.wait_max, self.stream.read_buf(&mut self.inbox)).await {
            Ok(Ok(0)) => Err(self.lost("the server closed the connection")),
            Ok(Ok(read)) => {
                if read >= self.read_bytes {
                    self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(self.lost(said(&error))),
            Err(_) => Err(self.lost(format!("the server was silent for {} s", self.wait_max.as_secs()))),
        }
    }

    /// Reads what has already arrived, if anything has.
    pub(crate) fn fill_now(&mut self) -> Result<(), Error> {
        use futures_util::FutureExt as _;
        self.inbox.reserve(READ_BYTES_MIN);
        // Unlike a timeout of nothing, this never waits; dropping the read loses no bytes.
        match self.stream.read_buf(&mut self.inbox).now_or_never() {
            None => Ok(()),
            Some(Ok(0)) => Err(self.lost("the server closed the connection")),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.lost(said(&error))),
        }
    }

    /// Gives back the memory of a large answer.
    pub(crate) fn rest(&mut self) {
        if self.inbox.is_empty() && self.read_bytes > READ_BYTES_MIN {
            (self.inbox, self.read_bytes) = (BytesMut::new(), READ_BYTES_MIN);
        }
    }

    /// Sends the outbox. Not safe to drop half-way: the connection has to be closed then.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let sent = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.flush().await
        };
        let result = tokio::time::timeout(self.wait_max, sent).await;
        self.outbox.clear();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error)),
            Err(_) => Err(self.lost("the server took no bytes")),
        }
    }

    /// Overwrites what the outbox held and gives its memory back.
    pub(crate) fn wipe_outbox(&mut self) {
        use zeroize::Zeroize as _;
        self.outbox.clear();
        self.outbox.spare_capacity_mut().zeroize();
        self.outbox = BytesMut::new();
    }

    /// Says good-bye and waits, up to `wait`, until the server has gone.
    pub(crate) async fn close(mut self, wait: Duration) {
        self.outbox.clear();
        postgres_protocol::message::frontend::terminate(&mut self.outbox);
        let farewell = async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.shutdown().await?;
            // What is still under way is read and dropped, so that the server is not held up by a full pipe.
            loop {
                self.inbox.clear();
                self.inbox.reserve(READ_BYTES_MAX);
                if self.stream.read_buf(&mut self.inbox).await? == 0 {
                    return std::io::Result::Ok(());
                }
            }
        };
        // Whatever goes wrong here, dropping the stream closes it.
        let _ = tokio::time::timeout(wait, farewell).await;
    }

    /// The connection is no longer there.
    pub(crate) fn lost(&self, cause: impl ToString) -> Error {
        Error::Connection { source_name: self.source_name.to_string(), cause: cause.to_string() }
    }

    /// The server said what it must not.
    pub(crate) fn breach(&self, cause: impl ToString) -> Error {
        Error::Protocol { source_name: self.source_name.to_string(), cause: cause.to_string() }
    }

    /// A frame as a message. The frame has to be whole.
    pub(crate) fn parse(&self, mut frame: BytesMut) -> Result<Message, Error> {
        match Message::parse(&mut frame) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.breach("a message ends before its end")),
            Err(error) => Err(self.breach(error)),
        }
    }

    /// The type and whole length of the frame at `at`, once its header has been read.
    fn header(&self, at: usize) -> Result<Option<(u8, usize)>, Error> {
        let Some(&[tag, a, b, c, d]) = self.inbox.get(at..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>()) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 4 {
            return Err(self.breach("a message has no length"));
        }
        if length > self.frame_bytes_max {
            return Err(self.breach(format!(
                "a message of {length} bytes (type {:?}) is longer than the {} that are taken",
                char::from(tag),
                self.frame_bytes_max
            )));
        }
        Ok(Some((tag, length + 1)))
    }
}

/// An ErrorResponse or NoticeResponse in our words.
/// <https://www.postgresql.org/docs/current/protocol-error-fields.html>
pub(crate) fn server_message(mut fields: ErrorFields<'_>) -> ServerMessage {
    let mut message = ServerMessage::default();
    while let Ok(Some(field)) = fields.next() {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            // `S` may be in the server's language, `V` never is and comes after it.
            b'S' if message.severity.is_empty() => message.severity = value(),
            b'V' => message.severity = value(),
            b'C' => message.code = value(),
            b'M' => message.message = value(),
            b'D' => message.detail = Some(value()),
            b'H' => message.hint = Some(value()),
            b'P' => message.position = value().parse().ok(),
            _ => {}
        }
    }
    message
}

/// What a failed read means. A server that dies says no goodbye, and what TLS makes of that is nothing to the reader.
fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    }
}
