//! Bytes to messages and back: the PostgreSQL protocol, version 3, as a server speaks it.
//!
//! No runtime, no socket and no SQL: the caller reads bytes into [`Decoder::buffer`] and asks for messages, and writes
//! [`Backend`] messages into a buffer that it sends. It is a package of its own so that it stays this way, and so that
//! it can be fuzzed without anything behind it.
//!
//! ```text
//! socket ──► Decoder::buffer ──► Decoder::decode ──► Frontend
//! socket ◄── BytesMut ◄── Backend::encode
//! ```
//!
//! Messages to the client are written by pgwire's codec. Messages from the client are read here: pgwire's own bodies
//! panic on a short one, replace invalid UTF-8 instead of refusing it, and cap passwords at 10,000 bytes, which is less
//! than a cloud provider's token. The tests play pgwire's encoder against this decoder.
//!
//! Source for every layout: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

mod backend;
mod body;
mod decoder;
mod frames;
mod frontend;
mod fuzz;
mod startup;

pub use backend::{Backend, Column, ErrorFields, TooLong, TransactionStatus};
pub use decoder::{Decoder, Limits, Phase, Violation};
pub use frames::{BrokenFrame, Rows, split_rows, with_formats};
pub use frontend::{Answer, Bind, Frontend, Malformed, Parse, Target};
pub use fuzz::decode_anything;
pub use startup::{Cancel, Negotiation, ProtocolVersion, Startup, UnsupportedVersion};
