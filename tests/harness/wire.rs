//! Plays conversations.
