//! The shadow: a database that holds what one person may see of a source, without a row in it, so that a real PostgreSQL
//! answers what clients ask of its catalogs.
//!
//! ```text
//! Snapshot × Visibility ──► statements that make the database        (pure)
//! ```
//!
//! Emulated catalogs fail clients, because answers depend on types, functions and joins that nobody can imitate piece by
//! piece. What is not made does not exist there, so nothing can tell of it: no function, no oid, no error's words.

mod visibility;

pub use visibility::{Visibility, VisibleColumns, VisibleRelation};
