//! Cuts a stream of bytes into messages, each bounded before anything is kept for it.

use bytes::{Buf, BytesMut};

use crate::frontend::{self, Frontend};
use crate::startup;

/// The largest start-up packet, as PostgreSQL has it (`MAX_STARTUP_PACKET_LENGTH`), without its length word.
const STARTUP_BYTES_MAX: usize = 10_000;
/// The largest message before sign-in. Tokens of cloud providers with many groups pass 32 kB in the worst case we have
/// seen; whoever reads the token has the last word on its size.
const SIGN_IN_BYTES_MAX: usize = 65_536;
/// Frames from this size on share their memory with no other.
const LARGE_BYTES: usize = 64 << 10;
/// The length word, which counts itself.
const LENGTH_BYTES: usize = 4;

/// Where a connection stands, which decides what may be sent and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Packets without a type: requests for encryption, to cancel, to start.
    Opening,
    /// `p` messages only.
    SignIn,
    /// Everything else.
    Ready,
}

/// Bounds of the messages after sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

/// Something after which the rest of the stream means nothing: the connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A length that cannot be.
    #[error("invalid message length")]
    Length,
    /// A start-up packet of an impossible length. What is not our protocol at all looks like this.
    #[error("invalid length of startup packet")]
    StartupLength,
    /// A message over the limit.
    #[error("message of {length} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What the client announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A type byte that does not exist, or not yet.
    #[error("invalid frontend message type {0}")]
    Kind(u8),
    /// An opening packet whose inside is wrong.
    #[error("invalid startup packet: {0}")]
    Opening(frontend::Malformed),
}

/// Turns bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    phase: Phase,
    limits: Limits,
    buffer: BytesMut,
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { phase: Phase::Opening, limits, buffer: BytesMut::new() }
    }

    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves on to the next phase. The caller decides: a SSLRequest leaves the phase as it is, a start-up packet does not.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Where to put bytes as they come in.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes received and not yet handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Gives back the memory of an empty buffer.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// How many more bytes are needed at least before [`Decoder::decode`] can say anything new. Whoever reads no more than
    /// this in the opening leaves the bytes of a TLS handshake where they are.
    pub fn missing(&self) -> usize {
        match self.header() {
            Err(_) => 0,
            Ok(None) => (self.type_bytes() + LENGTH_BYTES).saturating_sub(self.buffer.len()),
            Ok(Some((_, total))) => total.saturating_sub(self.buffer.len()),
        }
    }

    /// The next whole message; `None` until more bytes have come.
    pub fn decode(&mut self) -> Result<Option<Frontend>, Violation> {
        let Some((kind, total)) = self.header()? else { return Ok(None) };
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(total).freeze();
        if total > LARGE_BYTES {
            // Whoever keeps a part of a small frame is not to keep the memory of a large one with it.
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        frame.advance(self.type_bytes() + LENGTH_BYTES);
        match self.phase {
            Phase::Opening => startup::opening(frame).map(Some).map_err(Violation::Opening),
            Phase::SignIn | Phase::Ready => Ok(Some(frontend::message(kind, frame))),
        }
    }

    /// The type of the frame that stands so many frames ahead in what is buffered, after sign-in; `None` where it is not
    /// here yet. Nothing is checked: whoever reaches the frame does.
    pub fn kind_ahead(&self, frames: usize) -> Option<u8> {
        let mut rest = self.buffer.as_ref();
        for _ in 0..frames {
            let word = rest.get(1..1 + LENGTH_BYTES)?;
            let length = word.iter().fold(0_usize, |length, &byte| (length << 8) | usize::from(byte));
            rest = rest.get(1 + length.max(LENGTH_BYTES)..)?;
        }
        rest.first().copied()
    }

    /// The type and whole length of the next frame, checked; `None` until they are here.
    fn header(&self) -> Result<Option<(u8, usize)>, Violation> {
        let kind = match self.phase {
            Phase::Opening => 0,
            Phase::SignIn | Phase::Ready => match self.buffer.first() {
                Some(&kind) => self.checked_kind(kind)?,
                None => return Ok(None),
            },
        };
        let type_bytes = self.type_bytes();
        let Some(word) = self.buffer.get(type_bytes..type_bytes + LENGTH_BYTES) else { return Ok(None) };
        let announced = word.iter().fold(0_usize, |length, &byte| (length << 8) | usize::from(byte));
        Ok(Some((kind, type_bytes + self.checked_length(announced)?)))
    }

    fn checked_kind(&self, kind: u8) -> Result<u8, Violation> {
        let exists = match self.phase {
            Phase::Opening => true,
            Phase::SignIn => kind == b'p',
            Phase::Ready => frontend::is_known(kind),
        };
        if exists { Ok(kind) } else { Err(Violation::Kind(kind)) }
    }

    /// `announced` counts the length word itself.
    fn checked_length(&self, announced: usize) -> Result<usize, Violation> {
        let limit = match self.phase {
            Phase::Opening if (2 * LENGTH_BYTES..=LENGTH_BYTES + STARTUP_BYTES_MAX).contains(&announced) => {
                return Ok(announced);
            }
            Phase::Opening => return Err(Violation::StartupLength),
            Phase::SignIn => SIGN_IN_BYTES_MAX,
            Phase::Ready => self.limits.message_bytes_max,
        };
        match announced {
            length if length < LENGTH_BYTES => Err(Violation::Length),
            length if length > limit => Err(Violation::TooLarge { length, limit }),
            length => Ok(length),
        }
    }

    fn type_bytes(&self) -> usize {
        match self.phase {
            Phase::Opening => 0,
            Phase::SignIn | Phase::Ready => 1,
        }
    }
}

#[cfg(test)]
mod tests;
