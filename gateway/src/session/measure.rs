//! The numbers a session leaves behind, each under one name.

use std::time::Duration;

use crate::audit::Status;

/// A session that counts as connected until this is dropped.
pub(super) struct Connected;

/// Counts a session.
pub(super) fn connected() -> Connected {
    metrics::counter!("passgate_sessions_total").increment(1);
    metrics::gauge!("passgate_sessions").increment(1.0);
    Connected
}

impl Drop for Connected {
    fn drop(&mut self) {
        metrics::gauge!("passgate_sessions").decrement(1.0);
    }
}

/// Counts a sign-in.
pub(super) fn sign_in(method: &'static str, outcome: &'static str) {
    metrics::counter!("passgate_sign_ins_total", "method" => method, "outcome" => outcome).increment(1);
}

/// Counts a statement that has come to its end.
pub(super) fn statement(status: Status) {
    let outcome = match status {
        Status::Started => "started",
        Status::Ok => "ok",
        Status::Denied => "denied",
        Status::Held => "held",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Abandoned => "abandoned",
    };
    metrics::counter!("passgate_statements_total", "outcome" => outcome).increment(1);
}

/// How long resolving names and asking the policy took.
pub(super) fn decision(took: Duration) {
    metrics::histogram!("passgate_decision_seconds").record(took.as_secs_f64());
}

/// What a source was asked and gave: time from the start of a statement to its end, rows and bytes.
pub(super) fn answer(took: Duration, rows: u64, bytes: u64) {
    metrics::histogram!("passgate_backend_seconds").record(took.as_secs_f64());
    metrics::counter!("passgate_rows_total").increment(rows);
    metrics::counter!("passgate_bytes_total").increment(bytes);
}
