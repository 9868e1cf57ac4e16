//! Every number the gateway shows, in one table, and the recorder that collects them.
//!
//! Each room counts under names of its own; this table describes them for whoever reads `/metrics`, and a test walks
//! the sources so that no name is missing here. Labels have few values each: kinds, outcomes and names from the
//! settings, never a person or a statement.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Is measured again and again.
    Histogram,
}

use Shape::{Counter, Gauge, Histogram};

/// Name, shape, unit, and what it tells; labels in the text.
#[rustfmt::skip]
static TABLE: &[(&str, Shape, Unit, &str)] = &[
    ("passgate_connections_total", Counter, Unit::Count, "Connections accepted by the listeners."),
    ("passgate_connections_refused_total", Counter, Unit::Count, "Connections turned away by the listeners' limits."),
    ("passgate_sessions", Gauge, Unit::Count, "Clients connected now."),
    ("passgate_sessions_total", Counter, Unit::Count, "Clients that have connected."),
    ("passgate_sign_ins_total", Counter, Unit::Count, "Sign-ins by method and outcome."),
    ("passgate_statements_total", Counter, Unit::Count, "Statements that have come to an end, by outcome: ok, denied, held, failed, cancelled, abandoned."),
    ("passgate_decision_seconds", Histogram, Unit::Seconds, "Time to resolve a statement's names and ask the policy."),
    ("passgate_backend_seconds", Histogram, Unit::Seconds, "Time from the start of a statement at its source to the end of its answer."),
    ("passgate_rows_total", Counter, Unit::Count, "Rows answered by sources."),
    ("passgate_bytes_total", Counter, Unit::Bytes, "Bytes answered by sources."),
    ("passgate_backend_connections", Gauge, Unit::Count, "Connections open to a source."),
    ("passgate_backend_connect_seconds", Histogram, Unit::Seconds, "Time to open a connection to a source and become the person."),
    ("passgate_pool_hits_total", Counter, Unit::Count, "Statements that found an idle connection to a source."),
    ("passgate_pool_misses_total", Counter, Unit::Count, "Statements that had to open a connection to a source."),
    ("passgate_pool_busy_total", Counter, Unit::Count, "Statements refused because no connection to a source became free in time."),
    ("passgate_audit_records_total", Counter, Unit::Count, "Audit records by outcome: written or refused."),
    ("passgate_audit_write_seconds", Histogram, Unit::Seconds, "Time to write a batch of audit records."),
    ("passgate_reloads_total", Counter, Unit::Count, "Reloads on SIGHUP by what was read again and outcome: taken or refused."),
    ("passgate_tickets_total", Counter, Unit::Count, "Tickets of held statements by what happened to them: opened, granted, refused, cancelled, expired, used, returned."),
    ("passgate_audit_backlog_records", Gauge, Unit::Count, "Audit records that wait for a failing sink."),
    ("passgate_policy_unknown_names", Gauge, Unit::Count, "Names in the policies in force that no source has, by which they govern nothing."),
];

/// Upper bounds in seconds: from a decision, tens of microseconds, to a long query.
const BUCKETS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    60.0, 600.0,
];

/// How often measurements are folded into their buckets, so that they take no room while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// The numbers of this process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to collect: what is counted before is lost. Every call gives the same numbers.
    pub fn install() -> Self {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        INSTALLED.get_or_init(Self::collect).clone()
    }

    fn collect() -> Self {
        // The buckets are not empty, which is all `set_buckets` asks.
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("somebody else collects metrics in this process: /metrics stays empty");
        }
        for (name, shape, unit, text) in TABLE {
            match shape {
                Counter => metrics::describe_counter!(*name, *unit, *text),
                Gauge => metrics::describe_gauge!(*name, *unit, *text),
                Histogram => metrics::describe_histogram!(*name, *unit, *text),
            }
        }
        Self(handle)
    }

    /// All of them in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Does the housekeeping, for ever.
    pub(super) async fn keep_up(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Names of metrics in a folder's sources.
    fn names(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("http/metrics.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let quoted = text.split('"').skip(1);
                let is_name = |text: &&str| {
                    text.starts_with("passgate_") && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
                };
                let metric = |text: &&str| {
                    ["_total", "_seconds", "_connections", "_records", "_sessions", "_names"]
                        .iter()
                        .any(|end| text.ends_with(end))
                };
                found.extend(quoted.filter(is_name).filter(metric).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_number_is_described() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        names(&root.join("src"), &mut found);
        names(&root.join("../connectors/src"), &mut found);
        let described: BTreeSet<_> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let missing: Vec<_> = found.difference(&described).collect();
        assert!(missing.is_empty(), "not in the table: {missing:?}");
    }

    #[test]
    fn names_follow_the_conventions() {
        // https://prometheus.io/docs/practices/naming/
        for (name, shape, unit, text) in TABLE {
            assert_eq!(name.ends_with("_total"), *shape == Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            assert!(text.ends_with('.'), "{name}");
        }
    }
}
