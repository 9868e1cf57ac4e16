//! From a person to a source's credentials.

mod secret;

pub use secret::Secret;
