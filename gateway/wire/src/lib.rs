//! Bytes to messages and back, on pgwire's codec.
