//! The main job, seen from outside: real clients, real tokens, real PostgreSQL, the real program.
//!
//! Each test starts the gateway it needs and shares the servers behind it with the others.

mod approvals;
mod catalog;
mod failures;
mod governed;
mod hostile;
mod operation;
mod paths;
mod people;
mod refusals;
mod shadow;
mod streams;
