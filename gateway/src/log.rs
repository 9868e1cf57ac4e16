//! The gateway's own log: what it did, for whoever runs it. (What people did is the audit's.)
//!
//! JSON lines for machines, or text on a terminal, to standard error. A line has `timestamp`, `name`, `level`,
//! `message`, `env`, `app_name` and `version`; `session_id` and `statement_id` where there are any, taken from the
//! event or the spans around it; then the event's other fields. It is a module of its own because every room logs and
//! only `main` decides where to. Secrets cannot be logged by mistake: their type prints as nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// The gateway's own log, on standard error.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How lines look: `json`, `text` for people, or `auto`, which is text on a terminal and JSON elsewhere. Default:
    /// `auto`.
    pub format: Format,
    /// What is logged: `off`, `error`, `warn`, `info`, `debug` or `trace` (the last two for the gateway's own parts
    /// only), or directives by module such as `warn,passgate::session=debug`. Default: `info`.
    #[serde(deserialize_with = "level")]
    pub level: String,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Auto, level: "info".to_owned() }
    }
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is neither a level nor directives.
    #[error("log level \"{level}\" is not understood: {cause}")]
    Level {
        /// As written.
        level: String,
        /// What is wrong.
        cause: String,
    },
    /// Something in this process logs already.
    #[error("this process has a log already")]
    Taken,
}

fn level<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let level = <String as serde::Deserialize>::deserialize(deserializer)?;
    filter(&level).map_err(serde::de::Error::custom)?;
    Ok(level)
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let directives = match level {
        // Our packages' names all begin so; the chatter of libraries hides more than it shows.
        "debug" | "trace" => format!("info,passgate={level}"),
        other => other.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|error| Error::Level { level: level.to_owned(), cause: error.to_string() })
}

/// Begins to log. `environment` is the settings' `environment`.
pub fn start(config: &Config, environment: &str) -> Result<(), Error> {
    let terminal = io::stderr().is_terminal();
    let json = match config.format {
        Format::Auto => !terminal,
        Format::Json => true,
        Format::Text => false,
    };
    let filter = filter(&config.level)?;
    let set = if json {
        tracing::subscriber::set_global_default(json_log(filter, environment, io::stderr))
    } else {
        let text = tracing_subscriber::fmt().with_timer(Clock).with_ansi(terminal).with_writer(io::stderr);
        tracing::subscriber::set_global_default(text.with_env_filter(filter).finish())
    };
    set.map_err(|_| Error::Taken)
}

fn json_log<W>(filter: EnvFilter, environment: &str, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(JsonFields::new())
        .event_format(Lines { environment: environment.to_owned() })
        .with_writer(writer)
        .finish()
}

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

fn timestamp() -> String {
    // Only a year beyond 9999 does not format.
    OffsetDateTime::now_utc().format(TIMESTAMP).unwrap_or_default()
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp())
    }
}

/// Formats events as JSON lines.
struct Lines {
    environment: String,
}

/// Keys that are ours: an event's field of that name gets a `field_` before it.
const OWN: [&str; 7] = ["timestamp", "name", "level", "message", "env", "app_name", "version"];
/// Fields that say whom a line is about; they come first.
const IDS: [&str; 2] = ["session_id", "statement_id"];
/// Bytes of one field's text, at most.
const FIELD_BYTES_MAX: usize = 8 << 10;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(formatted) = span.extensions().get::<FormattedFields<N>>() {
                fields.add_span(formatted);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = fields.line([
            timestamp(),
            metadata.target().to_owned(),
            metadata.level().to_string(),
            String::new(),
            self.environment.clone(),
            "passgate".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ]);
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's fields and those of the spans around it; the innermost wins.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, Value>,
}

impl Fields {
    fn add_span(&mut self, formatted: &str) {
        if let Ok(Value::Object(fields)) = serde_json::from_str(formatted) {
            fields.into_iter().for_each(|(name, value)| self.put(&name, value));
        }
    }

    fn put(&mut self, name: &str, value: Value) {
        let value = match value {
            Value::String(text) => bounded(text).into(),
            other => other,
        };
        let name = if OWN.contains(&name) { format!("field_{name}") } else { name.to_owned() };
        self.others.insert(name, value);
    }

    /// The whole line; `own` are the values of [`OWN`], of which the message is filled in here.
    fn line(mut self, own: [String; 7]) -> Map<String, Value> {
        let mut line: Map<String, Value> =
            OWN.iter().zip(own).map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        line.insert("message".to_owned(), self.message.into());
        line.extend(IDS.iter().filter_map(|id| self.others.remove_entry(*id)));
        line.extend(self.others);
        line
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > FIELD_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FIELD_BYTES_MAX));
        text.push('…');
    }
    text
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = bounded(value.to_owned()),
            name => self.put(name, value.into()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use passgate_connectors::Secret;
    use tracing_subscriber::fmt::TestWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, log: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = json_log(filter(level).unwrap(), "test", move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_exactly_the_agreed_keys() {
        let lines = logged("info", || tracing::info!("ready"));
        let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, OWN);
        let line = &lines[0];
        assert_eq!(
            (&line["name"], &line["level"], &line["message"], &line["env"], &line["app_name"], &line["version"]),
            (
                &"passgate::log::tests".into(),
                &"INFO".into(),
                &"ready".into(),
                &"test".into(),
                &"passgate".into(),
                &env!("CARGO_PKG_VERSION").into()
            )
        );
        let time = line["timestamp"].as_str().unwrap();
        OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).unwrap();
    }

    #[test]
    fn ids_come_from_the_spans_or_the_event_and_fields_follow() {
        let lines = logged("info", || {
            let session = tracing::info_span!("session", session_id = "s-1", client = %"127.0.0.1");
            let _session = session.enter();
            let statement = tracing::info_span!("statement", statement_id = tracing::field::Empty);
            let _statement = statement.enter();
            statement.record("statement_id", "q-1");
            tracing::warn!(rows = 3, slow = true, took = 1.5, name = "mine", "done {}", 1);
            tracing::warn!(statement_id = "q-2", "other");
        });
        let keys: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).skip(OWN.len()).collect();
        assert_eq!(keys, ["session_id", "statement_id", "client", "field_name", "rows", "slow", "took"]);
        let line = &lines[0];
        assert_eq!((&line["session_id"], &line["statement_id"]), (&"s-1".into(), &"q-1".into()));
        assert_eq!((&line["rows"], &line["slow"], &line["took"]), (&3.into(), &true.into(), &1.5.into()));
        assert_eq!((&line["message"], &line["field_name"]), (&"done 1".into(), &"mine".into()));
        assert_eq!(lines[1]["statement_id"], "q-2");
    }

    #[test]
    fn no_text_breaks_a_line_or_fills_it_without_bound() {
        let lines = logged("info", || {
            tracing::info!(user = "a\nb\u{1b}[31m\"", "x\ny");
            tracing::info!(user = "é".repeat(100_000), "{}", "y".repeat(100_000));
        });
        assert_eq!(lines[0]["user"], "a\nb\u{1b}[31m\"");
        assert!(lines[1].to_string().len() < 20_000);
    }

    #[test]
    fn a_secret_is_not_logged() {
        let secret = Secret::new("hunter2");
        let lines = logged("info", || tracing::info!(?secret, "signing in with {secret:?}"));
        assert!(!lines[0].to_string().contains("hunter2"));
    }

    #[test]
    fn levels_are_kept_and_mistakes_named() {
        let all = || {
            tracing::debug!("ours");
            tracing::debug!(target: "hyper", "theirs");
            tracing::error!("bad");
        };
        let messages = |level| logged(level, all).iter().map(|line| line["message"].to_string()).collect::<Vec<_>>();
        assert_eq!(messages("error"), ["\"bad\""]);
        assert_eq!(messages("debug"), ["\"ours\"", "\"bad\""]);
        assert!(messages("off").is_empty());
        let read = |text: &str| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"level": "warn,passgate::session=debug"}"#).unwrap().format, Format::Auto);
        let problem = read(r#"{"level": "info=loud=er"}"#).unwrap_err();
        assert!(problem.contains("log level \"info=loud=er\" is not understood"), "{problem}");
        read(r#"{"levels": "info"}"#).unwrap_err();
    }

    #[test]
    fn text_is_for_people() {
        let text = tracing_subscriber::fmt().with_timer(Clock).with_writer(TestWriter::new()).finish();
        tracing::subscriber::with_default(text, || tracing::info!("ready"));
    }
}
