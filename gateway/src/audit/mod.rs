//! The record of who asked what, what was decided, and what came of it.
//!
//! A statement runs only with a [`Receipt`], and a receipt exists only once the decision has been written. Dropping a
//! receipt closes the record too, so a client that vanishes leaves its outcome behind.
//!
//! ```text
//! Record ── open ──► {"status":"started", …}   before it runs; cannot be written: refused, 58030
//!   │
//! Receipt ── close or drop ──► {"status":"ok", …}   complete; waits in memory while a sink is failing
//!
//! Record + Outcome ── note ──► {"status":"denied", …}   complete as it stands
//! ```
//!
//! `record` makes the line, `journal` carries it to the sinks (`sinks` lists the kinds), `chain` seals it, `verify`
//! checks what was written. What it does not do: it neither decides nor reads back.

mod chain;
mod file;
mod head;
mod history;
mod journal;
mod parameters;
mod record;
mod sinks;
mod standard_output;
#[cfg(test)]
mod suite;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use passgate_connectors::{Bind, Witness};

use crate::error::ClientError;
use journal::{Journal, Reservation};
use record::Fragment;

pub use chain::{Hash, Link, Malformed};
pub use file::read_key;
pub use history::{Estimated, RecordedEstimate};
pub use parameters::Parameters;
pub use record::{Asker, Event, Outcome, Record, RecordedIdentity, Status, TicketNote, Who};
pub use sinks::{Row, SINKS, SinkConfig};
pub use verify::{Damage, Finding, Report, verify};

/// What is recorded, and where. In the settings either a list of sinks, or a mapping with `sinks` and the rest.
#[derive(Clone, Debug)]
pub struct Config {
    sinks: Vec<SinkConfig>,
    parameters: Parameters,
    query_bytes_max: usize,
    unwritten_bytes_max: usize,
}

/// The long form of the settings.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audit")]
struct LongForm {
    /// Where records go. A required sink that cannot take a record refuses the statement. Default: none, which
    /// `passgate check` warns of.
    #[serde(default)]
    sinks: Vec<SinkConfig>,
    /// How much of a statement's parameters is recorded: `full` (types and values), `types`, or `none`. Literals in the
    /// text of a query are recorded in any case. Default: `full`.
    #[serde(default)]
    parameters: Parameters,
    /// Bytes of a query's text that are recorded, at most 1048576; of a longer one the beginning and the SHA-256 of the
    /// whole. Default: 65536.
    #[serde(default = "query_bytes_max")]
    query_bytes_max: usize,
    /// Memory in bytes for outcomes that cannot be written yet. Room for its outcome is reserved before a statement
    /// runs, so none is lost while the process lives; when there is no more room, statements are refused. As much again
    /// may wait for each sink that is not required. Default: 67108864.
    #[serde(default = "unwritten_bytes_max")]
    unwritten_bytes_max: usize,
}

/// What one line may hold of a query at most, whatever the settings say: `verify` reads lines of bounded length.
const QUERY_BYTES_LIMIT: usize = 1 << 20;

fn query_bytes_max() -> usize {
    1 << 16
}

fn unwritten_bytes_max() -> usize {
    1 << 26
}

impl Default for Config {
    fn default() -> Self {
        LongForm {
            sinks: Vec::new(),
            parameters: Parameters::default(),
            query_bytes_max: query_bytes_max(),
            unwritten_bytes_max: unwritten_bytes_max(),
        }
        .into()
    }
}

impl From<LongForm> for Config {
    fn from(form: LongForm) -> Self {
        let LongForm { sinks, parameters, query_bytes_max, unwritten_bytes_max } = form;
        Self { sinks, parameters, query_bytes_max, unwritten_bytes_max }
    }
}

impl Config {
    /// Whether records go anywhere at all.
    pub fn has_sinks(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// What became of the statements that were recorded last, oldest first: those of which an estimate was made, from
    /// the end of the first sink that can be read back. Whatever cannot be read is passed over.
    pub fn estimated_before(&self, folder: &Path) -> Vec<Estimated> {
        self.sinks
            .iter()
            .find_map(|sink| sink.settings.history(folder))
            .map_or_else(Vec::new, |path| history::read(&path))
    }
}

impl<'de> serde::Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;

        impl<'de> serde::de::Visitor<'de> for EitherForm {
            type Value = Config;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list of audit sinks, or a mapping with the key \"sinks\"")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, sequence: A) -> Result<Config, A::Error> {
                let sinks = serde::Deserialize::deserialize(serde::de::value::SeqAccessDeserializer::new(sequence))?;
                Ok(Config { sinks, ..Config::default() })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
                let form: LongForm =
                    serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                if form.query_bytes_max > QUERY_BYTES_LIMIT {
                    let problem = format!("query_bytes_max is at most {QUERY_BYTES_LIMIT}");
                    return Err(serde::de::Error::custom(problem));
                }
                Ok(form.into())
            }
        }

        deserializer.deserialize_any(EitherForm)
    }
}

impl schemars::JsonSchema for Config {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AuditConfig".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (short, long) = (generator.subschema_for::<Vec<SinkConfig>>(), generator.subschema_for::<LongForm>());
        schemars::json_schema!({ "anyOf": [long, short] })
    }
}

/// The open log. A handle: clones write to the same sinks.
#[derive(Clone, Debug)]
pub struct Audit {
    journal: Arc<Journal>,
    parameters: Parameters,
    query_bytes_max: usize,
}

/// The log cannot be opened, or not continued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl StartError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// A record could not be written, so what it was about must not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not record the statement")]
pub struct Error {
    detail: String,
}

impl Error {
    /// Names the sink by its kind only: where it lies is in the log of whoever runs the gateway.
    fn sink(name: &str, error: &std::io::Error) -> Self {
        let cause = match error.kind() {
            std::io::ErrorKind::StorageFull => "there is no space left".to_owned(),
            std::io::ErrorKind::QuotaExceeded => "its quota is used up".to_owned(),
            std::io::ErrorKind::TimedOut => "it did not take the record in time".to_owned(),
            _ => error.to_string(),
        };
        Self { detail: format!("The audit sink \"{name}\" failed: {cause}.") }
    }

    fn full(bytes_max: usize) -> Self {
        Self {
            detail: format!("Outcomes that are still to be recorded take up all {bytes_max} bytes set aside for them."),
        }
    }

    fn unanswered() -> Self {
        Self { detail: "The audit log did not answer.".to_owned() }
    }
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        "58030"
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn detail(&self) -> Option<String> {
        Some(self.detail.clone())
    }

    fn hint(&self) -> Option<String> {
        Some("Nothing was run. Try again; if it persists, tell whoever runs the gateway.".to_owned())
    }
}

/// Bytes of an outcome beyond the record it repeats, at most: errors and names are cut to less.
const OUTCOME_BYTES: usize = 8 << 10;

impl Audit {
    /// Opens every sink; relative paths begin in `folder`. A log that was tampered with is refused.
    pub fn start(config: &Config, folder: &Path) -> Result<Self, StartError> {
        let open = |sink: &SinkConfig| {
            let opened = sink.settings.open(folder)?;
            Ok((sink.kind.to_owned(), sink.required, opened))
        };
        let sinks = config.sinks.iter().map(open).collect::<Result<_, StartError>>()?;
        Ok(Self {
            journal: Arc::new(Journal::new(sinks, config.unwritten_bytes_max)),
            parameters: config.parameters,
            query_bytes_max: config.query_bytes_max,
        })
    }

    /// Records an allowed statement before it runs. Returns once every required sink has taken the record.
    pub fn open(&self, record: Record) -> Result<Receipt, Error> {
        let fragment = Fragment::new(&record, self.query_bytes_max);
        let room = self.journal.reserve(fragment.len().saturating_add(OUTCOME_BYTES))?;
        self.journal.promise(fragment.started(), Some(fragment.clone()))?;
        let journal = self.journal.clone();
        Ok(Receipt(Some(Open { journal, fragment, room, witness: None, started: Instant::now() })))
    }

    /// The same, written together with what other tasks record at this moment. Dropped halfway, the statement counts as
    /// abandoned.
    pub async fn open_together(&self, record: &Record) -> Result<Receipt, Error> {
        let fragment = Fragment::new(record, self.query_bytes_max);
        let room = self.journal.reserve(fragment.len().saturating_add(OUTCOME_BYTES))?;
        let (journal, started) = (self.journal.clone(), Instant::now());
        let mut receipt = Receipt(Some(Open { journal, fragment: fragment.clone(), room, witness: None, started }));
        match self.journal.promise_together(fragment.started(), Some(fragment)).await {
            Ok(()) => Ok(receipt),
            Err(error) => {
                // What was refused has no outcome.
                receipt.0 = None;
                Err(error)
            }
        }
    }

    /// Records something that is complete as it stands: a sign-in, a denial, a statement that failed before it ran.
    pub fn note(&self, record: Record, outcome: Outcome) -> Result<(), Error> {
        let fragment = Fragment::new(&record, self.query_bytes_max);
        self.journal.promise(fragment.finished(None, &outcome, Default::default()), None)
    }

    /// Writes the outcomes that wait for a batch to go with, for those who read the log at once.
    #[cfg(test)]
    pub(crate) fn flush(&self) {
        self.journal.write_queued();
    }

    /// What may be recorded of a run's parameters, for [`Record::parameters`]. `types` are oids, in order; 0 or missing
    /// where not known.
    pub fn parameters_as(&self, types: &[u32], bind: &Bind) -> Option<Vec<serde_json::Value>> {
        parameters::record(self.parameters, types, bind)
    }
}

/// Proof that a decision was recorded. Dropping it records that the client went away.
#[derive(Debug)]
pub struct Receipt(Option<Open>);

#[derive(Debug)]
struct Open {
    journal: Arc<Journal>,
    fragment: Fragment,
    room: Arc<Reservation>,
    witness: Option<Arc<Witness>>,
    started: Instant,
}

impl Receipt {
    /// Adds the identity the source witnessed; called once, after checkout.
    pub fn witness(&mut self, witness: &Arc<Witness>) {
        if let Some(open) = &mut self.0 {
            open.witness = Some(Arc::clone(witness));
        }
    }

    /// Closes the record with what came of it.
    pub fn close(mut self, outcome: Outcome) {
        self.finish(&outcome);
    }

    fn finish(&mut self, outcome: &Outcome) {
        if let Some(Open { journal, fragment, room, witness, started }) = self.0.take() {
            journal.tell(fragment.finished(witness.as_deref(), outcome, started.elapsed()), room);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.finish(&Outcome::default());
    }
}
