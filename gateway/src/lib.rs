//! Passgate: a SQL gateway that knows who is asking.
//!
//! The folder list is the pipeline. A room imports only rooms to its right:
//!
//! ```text
//! main, demo › serve › config › server › http, session › approvals, sources, rehearsal › plan › statement, catalog, auth, audit › store, log, embedded › error
//! ```
//!
//! `tests/architecture.rs` fails on an import against this order.

pub mod approvals;
pub mod audit;
pub mod auth;
pub mod catalog;
pub mod config;
pub mod demo;
pub mod embedded;
pub mod error;
pub mod http;
pub mod log;
pub mod plan;
pub mod rehearsal;
pub mod serve;
pub mod server;
pub mod session;
pub mod sources;
pub mod statement;
pub mod store;
