//! From a person to a source's credentials.

mod role;
mod secret;

pub use role::{Impersonation, Mapping, RoleRule};
pub use secret::Secret;
