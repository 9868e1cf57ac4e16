//! Plays the conversations of `tests/wire/*.wire` with a server: messages sent, messages expected.
//!
//! ```text
//! file ── script ──► Conversation ── player ──► bytes ──► server
//!                                       ▲  heard ◄── bytes ──┘
//! ```
//!
//! The notation is described in `tests/wire/README.md`. The server is the gateway or PostgreSQL itself.

mod heard;
mod player;
mod script;
mod sent;

pub use heard::Heard;
pub use player::{Connection, Server, play};
pub use script::{Conversation, Line, Only};
