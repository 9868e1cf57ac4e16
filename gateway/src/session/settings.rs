//! The settings a client may change, and those it may only look at.
//!
//! An allow-list: a setting that changes what SQL means, whose rows are seen, or which limits hold is not the client's.
//! A value is checked here for its shape and kept here; the source learns it through `SessionSettings` when a connection
//! is taken. One row a setting.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use passgate_connectors::{Isolation, SessionSettings};

use crate::error::ClientError;

/// A setting that the client may change.
struct Row {
    /// Its name as PostgreSQL shows it.
    name: &'static str,
    /// The value as it is kept, or why it cannot be.
    check: fn(&str, &Limits) -> Result<String, Refusal>,
    /// The value without anybody's doing.
    default: fn(&Limits) -> String,
    /// Whether its changes are reported to the client.
    reported: bool,
    /// Whether the source is told.
    sent: bool,
}

/// What the checks need to know.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The highest statement timeout.
    pub(super) statement_timeout_ms_max: u64,
    /// The schema of unqualified names.
    pub(super) default_schema: String,
    /// The time zone of a session that names none.
    pub(super) time_zone: String,
}

/// Why a setting cannot be set, or shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// There is no such setting (42704).
    #[error("unrecognized configuration parameter \"{0}\"")]
    Unknown(String),
    /// It is not the client's to set (42501).
    #[error("permission denied to set parameter \"{0}\"")]
    NotYours(String),
    /// The value is not one it can have (22023).
    #[error("invalid value for parameter \"{name}\"")]
    Value {
        /// The setting.
        name: String,
        /// What it can have.
        hint: Option<Cow<'static, str>>,
    },
    /// The value is one that the gateway does not let a client have (42501).
    #[error("permission denied to set parameter \"{name}\" to \"{value}\"")]
    Forbidden {
        /// The setting.
        name: String,
        /// The value.
        value: String,
        /// What it can have.
        hint: Cow<'static, str>,
    },
    /// Too many settings of the person's own (54000).
    #[error("too many settings under \"passgate.\"")]
    TooMany,
    /// A start-up packet's `options` that cannot be read (42601).
    #[error("invalid command-line argument for server process: {0}")]
    Options(String),
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        match self {
            Self::Unknown(_) => "42704",
            Self::NotYours(_) | Self::Forbidden { .. } => "42501",
            Self::Value { .. } => "22023",
            Self::TooMany => "54000",
            Self::Options(_) => "42601",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotYours(_) => Some(format!("A session may set {}, and names under \"passgate.\".", names())),
            Self::Value { hint, .. } => hint.as_ref().map(ToString::to_string),
            Self::Forbidden { hint, .. } => Some(hint.to_string()),
            Self::Unknown(_) | Self::TooMany | Self::Options(_) => None,
        }
    }
}

/// Why a check does not take a value.
enum Refusal {
    Value(Option<Cow<'static, str>>),
    Forbidden(Cow<'static, str>),
}

type Checked = Result<String, Refusal>;

/// Settings of the source that change nothing of what a statement means.
const MEANINGLESS: [&str; 3] = ["application_name", "client_min_messages", "statement_timeout"];

const ROWS: &[Row] = &[
    Row {
        name: "application_name",
        check: |value, _| Ok(application_name(value)),
        default: |_| String::new(),
        reported: true,
        sent: true,
    },
    Row {
        name: "bytea_output",
        check: |value, _| one_of(value, &["hex", "escape"]),
        default: |_| "hex".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "client_encoding",
        check: |value, _| client_encoding(value),
        default: |_| "UTF8".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "client_min_messages",
        check: |value, _| one_of(value, MESSAGE_LEVELS),
        default: |_| "notice".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "default_transaction_isolation",
        check: |value, _| one_of(value, ISOLATION_LEVELS),
        default: |_| "read committed".to_owned(),
        reported: false,
        sent: false,
    },
    // Its value depends on the one before, so `Settings::set` checks it.
    Row {
        name: "DateStyle",
        check: |value, _| date_style(value, "ISO, MDY"),
        default: |_| "ISO, MDY".to_owned(),
        reported: true,
        sent: true,
    },
    Row {
        name: "default_transaction_read_only",
        check: |value, _| only_on(value, "Every transaction is read-only."),
        default: |_| "on".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "extra_float_digits",
        check: |value, _| whole_number(value, -15..=3),
        default: |_| "1".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "IntervalStyle",
        check: |value, _| one_of(value, &["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        default: |_| "postgres".to_owned(),
        reported: true,
        sent: true,
    },
    Row {
        name: ON_HOLD,
        check: |value, _| one_of(value, &["fail", "wait"]),
        default: |_| "fail".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "search_path",
        check: search_path,
        default: |limits| quoted(&limits.default_schema),
        reported: false,
        sent: false,
    },
    Row {
        name: "standard_conforming_strings",
        check: |value, _| only_on(value, "A backslash in a literal is an ordinary character here."),
        default: |_| "on".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "statement_timeout",
        check: statement_timeout,
        default: |limits| shown_ms(limits.statement_timeout_ms_max),
        reported: false,
        sent: true,
    },
    Row {
        name: "TimeZone",
        check: |value, _| time_zone(value),
        default: |limits| limits.time_zone.clone(),
        reported: true,
        sent: true,
    },
    Row {
        name: "transaction_read_only",
        check: |value, _| only_on(value, "Every transaction is read-only."),
        default: |_| "on".to_owned(),
        reported: false,
        sent: false,
    },
];

const ISOLATION_LEVELS: &[&str] = &["read uncommitted", "read committed", "repeatable read", "serializable"];
const MESSAGE_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Settings that PostgreSQL has and that are not the client's here, so that the refusal can say so. What is missing in
/// this list is refused all the same, as unknown.
const NOT_YOURS: &[&str] = &[
    "allow_in_place_tablespaces",
    "allow_system_table_mods",
    "array_nulls",
    "backslash_quote",
    "check_function_bodies",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "deadlock_timeout",
    "default_statistics_target",
    "default_tablespace",
    "default_text_search_config",
    "default_transaction_deferrable",
    "dynamic_library_path",
    "effective_cache_size",
    "escape_string_warning",
    "event_triggers",
    "exit_on_error",
    "from_collapse_limit",
    "geqo",
    "gin_fuzzy_search_limit",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "join_collapse_limit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "local_preload_libraries",
    "lock_timeout",
    "log_duration",
    "log_error_verbosity",
    "log_min_duration_statement",
    "log_min_error_statement",
    "log_min_messages",
    "log_statement",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "max_stack_depth",
    "password_encryption",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "role",
    "row_security",
    "session_authorization",
    "session_preload_libraries",
    "session_replication_role",
    "statement_mem",
    "synchronize_seqscans",
    "synchronous_commit",
    "temp_buffers",
    "temp_tablespaces",
    "timezone_abbreviations",
    "track_activities",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_timeout",
    "transform_null_equals",
    "work_mem",
    "xmlbinary",
    "xmloption",
    "zero_damaged_pages",
];

/// The prefix of settings that people declare for the policy to read.
pub(super) const DECLARED: &str = "passgate.";
/// What a held statement does: `fail` with its ticket, or `wait` for a decision.
const ON_HOLD: &str = "passgate.on_hold";
/// Declared settings of one session, and bytes of one.
const DECLARED_MAX: usize = 32;
const DECLARED_BYTES_MAX: usize = 1024;

/// The settings of one session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    limits: Limits,
    /// What RESET goes back to: what the start-up packet said, by name in lower case.
    initial: Arc<BTreeMap<String, String>>,
    /// What SET has changed since.
    changed: Arc<BTreeMap<String, String>>,
}

impl Settings {
    /// A session's settings before anybody set one.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, initial: Arc::default(), changed: Arc::default() }
    }

    /// Whether nothing was set between these two, as far as is known without comparing them: what follows from the one
    /// follows from the other.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.initial, &other.initial) && Arc::ptr_eq(&self.changed, &other.changed)
    }

    /// Takes what the start-up packet says: parameters, and `options` with `-c name=value`. What the session itself
    /// reads (`user` and its like) and options of the protocol are passed over.
    pub(super) fn begin(&mut self, parameters: &[(String, String)]) -> Result<(), Error> {
        const NOT_SETTINGS: &[&str] = &["user", "database", "replication"];
        for (name, value) in parameters {
            match name.as_str() {
                "options" => {
                    for (name, value) in options(value)? {
                        self.set(&name, Some(&value))?;
                    }
                }
                name if NOT_SETTINGS.contains(&name) || name.starts_with("_pq_.") => {}
                name => self.set(name, Some(value))?,
            }
        }
        self.initial = std::mem::take(&mut self.changed);
        Ok(())
    }

    /// SET; no value is DEFAULT.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let key = name.to_ascii_lowercase();
        let Some(value) = value else { return self.reset(&key) };
        if is_declared(&key) {
            return self.declare(key, value);
        }
        let row = row(&key).ok_or_else(|| stranger(&key))?;
        let checked = match row.name {
            "DateStyle" => date_style(value, &self.value(row)),
            _ => (row.check)(value, &self.limits),
        };
        let value = checked.map_err(|refusal| refusal.of(row.name, value))?;
        Arc::make_mut(&mut self.changed).insert(key, value);
        Ok(())
    }

    /// RESET.
    pub(super) fn reset(&mut self, name: &str) -> Result<(), Error> {
        let key = name.to_ascii_lowercase();
        if !is_declared(&key) {
            row(&key).ok_or_else(|| stranger(&key))?;
        }
        Arc::make_mut(&mut self.changed).remove(&key);
        Ok(())
    }

    /// RESET ALL.
    pub(super) fn reset_all(&mut self) {
        self.changed = Arc::default();
    }

    /// A setting that can be changed: its name as shown and its value.
    pub(super) fn show(&self, name: &str) -> Option<(String, String)> {
        let key = name.to_ascii_lowercase();
        match row(&key) {
            Some(row) => Some((row.name.to_owned(), self.value(row))),
            None => self.kept(&key).map(|value| (key.clone(), value.to_owned())),
        }
    }

    /// Every setting that can be changed, by name in lower case, and its value.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, String)> {
        let changeable = ROWS.iter().map(|row| (row.name.to_ascii_lowercase(), self.value(row)));
        changeable.chain(self.declared())
    }

    /// What is reported to the client.
    pub(super) fn reported(&self) -> BTreeMap<&'static str, String> {
        ROWS.iter().filter(|row| row.reported).map(|row| (row.name, self.value(row))).collect()
    }

    /// What a connection to the source must have. What nobody changed and the source has of its own is left out.
    pub(super) fn for_source(&self) -> SessionSettings {
        let told =
            |row: &&Row| row.sent && (row.name != "statement_timeout" || self.kept("statement_timeout").is_some());
        let value = |row: &Row| (row.name.to_ascii_lowercase(), self.value(row));
        SessionSettings(ROWS.iter().filter(told).map(value).collect())
    }

    /// What a statement's meaning depends on: how its constants are read, and how values become text.
    pub(super) fn meaning(&self) -> SessionSettings {
        let mut settings = self.for_source();
        settings.0.retain(|name, _| !MEANINGLESS.contains(&name.as_str()));
        settings
    }

    /// What people declared for the policy to read.
    pub(super) fn declared(&self) -> BTreeMap<String, String> {
        let mut declared = (*self.initial).clone();
        declared.extend((*self.changed).clone());
        declared.retain(|name, _| is_declared(name));
        declared
    }

    /// Whether a held statement waits for a decision.
    pub(super) fn waits_when_held(&self) -> bool {
        self.kept(ON_HOLD) == Some("wait")
    }

    /// `application_name`.
    pub(super) fn application_name(&self) -> &str {
        self.kept("application_name").unwrap_or_default()
    }

    /// The isolation level of a transaction that names none, where it is not the usual one.
    pub(super) fn default_isolation(&self) -> Option<Isolation> {
        self.kept("default_transaction_isolation").and_then(isolation)
    }

    fn declare(&mut self, key: String, value: &str) -> Result<(), Error> {
        let label = key.strip_prefix(DECLARED).unwrap_or_default();
        let shaped = (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !shaped {
            return Err(Error::Unknown(key));
        }
        if value.len() > DECLARED_BYTES_MAX {
            let hint = Some(Cow::Owned(format!("At most {DECLARED_BYTES_MAX} bytes.")));
            return Err(Error::Value { name: key, hint });
        }
        if self.kept(&key).is_none() && self.declared().len() >= DECLARED_MAX {
            return Err(Error::TooMany);
        }
        Arc::make_mut(&mut self.changed).insert(key, value.to_owned());
        Ok(())
    }

    fn kept(&self, key: &str) -> Option<&str> {
        self.changed.get(key).or_else(|| self.initial.get(key)).map(String::as_str)
    }

    fn value(&self, row: &Row) -> String {
        let key = row.name.to_ascii_lowercase();
        self.kept(&key).map_or_else(|| (row.default)(&self.limits), str::to_owned)
    }
}

impl Refusal {
    fn of(self, name: &str, value: &str) -> Error {
        let (name, value) = (name.to_owned(), value.to_owned());
        match self {
            Self::Value(hint) => Error::Value { name, hint },
            Self::Forbidden(hint) => Error::Forbidden { name, value, hint },
        }
    }
}

/// An isolation level by its name. PostgreSQL treats READ UNCOMMITTED as READ COMMITTED.
pub(super) fn isolation(name: &str) -> Option<Isolation> {
    match name {
        "read uncommitted" | "read committed" => Some(Isolation::ReadCommitted),
        "repeatable read" => Some(Isolation::RepeatableRead),
        "serializable" => Some(Isolation::Serializable),
        _ => None,
    }
}

/// Whether a setting is one that people declare, and the gateway only keeps for the policy to read.
fn is_declared(key: &str) -> bool {
    key.starts_with(DECLARED) && row(key).is_none()
}

fn row(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(key))
}

fn stranger(key: &str) -> Error {
    let planner = key.starts_with("enable_");
    if planner || NOT_YOURS.contains(&key) { Error::NotYours(key.to_owned()) } else { Error::Unknown(key.to_owned()) }
}

fn names() -> String {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

/// Reads `-c name=value`, `-cname=value` and `--name=value`, with PostgreSQL's escapes: a backslash keeps a space.
/// Source: `pg_split_opts` in PostgreSQL's `src/backend/utils/init/postinit.c`.
fn options(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut words = split_options(text).into_iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match (word.as_str(), word.strip_prefix("-c"), word.strip_prefix("--")) {
            ("-c", _, _) => words.next(),
            (_, Some(assignment), _) | (_, None, Some(assignment)) => Some(assignment.to_owned()),
            _ => None,
        };
        let pair = assignment.as_deref().and_then(|assignment| assignment.split_once('='));
        let (name, value) = pair.ok_or_else(|| Error::Options(word.clone()))?;
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

fn split_options(text: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                word.extend(characters.next());
                begun = true;
            }
            space if space.is_ascii_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// As PostgreSQL cleans it: ASCII only, 63 bytes.
fn application_name(value: &str) -> String {
    let printable = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
    value.chars().map(printable).take(63).collect()
}

fn one_of(value: &str, known: &[&str]) -> Checked {
    let lower = value.to_ascii_lowercase();
    if known.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(Refusal::Value(Some(format!("Available values: {}.", known.join(", ")).into())))
}

fn only_on(value: &str, why: &'static str) -> Checked {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".to_owned()),
        "off" | "false" | "no" | "0" | "f" | "n" => Err(Refusal::Forbidden(why.into())),
        _ => Err(Refusal::Value(None)),
    }
}

fn client_encoding(value: &str) -> Checked {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        _ => Err(Refusal::Value(Some("Only UTF8 is spoken here.".into()))),
    }
}

fn whole_number(value: &str, range: std::ops::RangeInclusive<i32>) -> Checked {
    match value.trim().parse::<i32>() {
        Ok(number) if range.contains(&number) => Ok(number.to_string()),
        _ => Err(Refusal::Value(Some(format!("A whole number from {} to {}.", range.start(), range.end()).into()))),
    }
}

/// A style, an order of day, month and year, or both; what is not named stays, except that German means day first.
fn date_style(value: &str, before: &str) -> Checked {
    let (style_before, order_before) = before.split_once(", ").unwrap_or(("ISO", "MDY"));
    let (mut style, mut order) = (None, None);
    for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (slot, name) = match word.to_ascii_lowercase().as_str() {
            "iso" => (&mut style, "ISO"),
            "sql" => (&mut style, "SQL"),
            "german" => (&mut style, "German"),
            word if word.starts_with("postgres") => (&mut style, "Postgres"),
            "ymd" => (&mut order, "YMD"),
            "dmy" | "european" | "euro" => (&mut order, "DMY"),
            "mdy" | "us" | "noneuropean" | "noneuro" => (&mut order, "MDY"),
            _ => return Err(Refusal::Value(None)),
        };
        if slot.replace(name).is_some_and(|other| other != name) {
            return Err(Refusal::Value(Some("Conflicting \"DateStyle\" specifications.".into())));
        }
    }
    let order = match (order, style) {
        (Some(order), _) => order,
        (None, Some("German")) => "DMY",
        (None, _) => order_before,
    };
    Ok(format!("{}, {order}", style.unwrap_or(style_before)))
}

/// The shape of a zone's name or offset; whether there is such a zone is the source's to say.
fn time_zone(value: &str) -> Checked {
    let shaped = (1..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-:.<>,".contains(&byte));
    match value {
        value if value.eq_ignore_ascii_case("utc") => Ok("UTC".to_owned()),
        value if shaped => Ok(value.to_owned()),
        _ => Err(Refusal::Value(None)),
    }
}

/// Only the schema that unqualified names mean anyway: names are resolved by the gateway's catalog, and a path that the
/// source alone knew would make the two disagree.
fn search_path(value: &str, limits: &Limits) -> Checked {
    let unquoted = |name: &str| match name.trim() {
        quoted if quoted.len() > 1 && quoted.starts_with('"') && quoted.ends_with('"') => {
            quoted.trim_matches('"').replace("\"\"", "\"")
        }
        plain => plain.to_ascii_lowercase(),
    };
    let own = [limits.default_schema.as_str(), "$user", "pg_catalog"];
    let names: Vec<String> = value.split(',').map(unquoted).collect();
    let harmless =
        names.iter().all(|name| own.contains(&name.as_str()) || *name == limits.default_schema.to_lowercase());
    if harmless && names.iter().any(|name| !matches!(name.as_str(), "$user" | "pg_catalog")) {
        return Ok(quoted(&limits.default_schema));
    }
    let schema = quoted(&limits.default_schema);
    Err(Refusal::Forbidden(
        format!("The search path is always {schema}: write other schemas in front of a table's name.").into(),
    ))
}

fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Lower than the limit, and never off.
fn statement_timeout(value: &str, limits: &Limits) -> Checked {
    let milliseconds = milliseconds(value)
        .ok_or(Refusal::Value(Some("Valid units are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".".into())))?;
    if (1..=limits.statement_timeout_ms_max).contains(&milliseconds) {
        return Ok(shown_ms(milliseconds));
    }
    let highest = shown_ms(limits.statement_timeout_ms_max);
    Err(Refusal::Forbidden(format!("Every statement has a timeout, of {highest} at most.").into()))
}

fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = value.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let milliseconds = (number * factor).round();
    // PostgreSQL keeps it in 31 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, as just compared")]
    (0.0..=f64::from(i32::MAX)).contains(&milliseconds).then_some(milliseconds as u64)
}

/// In the largest unit that leaves no rest, as PostgreSQL shows it.
fn shown_ms(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(Limits {
            statement_timeout_ms_max: 300_000,
            default_schema: "public".to_owned(),
            time_zone: "UTC".to_owned(),
        })
    }

    fn set(settings: &mut Settings, name: &str, value: &str) -> Result<String, String> {
        let answer = settings.set(name, Some(value)).map_err(|error| error.sqlstate().to_owned());
        answer.map(|()| settings.show(name).unwrap().1)
    }

    #[test]
    fn values_are_kept_as_postgresql_shows_them() {
        let mut settings = settings();
        for (name, value, shown) in [
            ("DateStyle", "german", "German, DMY"),
            ("datestyle", "ISO", "ISO, DMY"),
            ("datestyle", "mdy", "ISO, MDY"),
            ("timezone", "utc", "UTC"),
            ("TIMEZONE", "Europe/Berlin", "Europe/Berlin"),
            ("client_encoding", "unicode", "UTF8"),
            ("statement_timeout", "5000", "5s"),
            ("statement_timeout", "1.5 min", "90s"),
            ("search_path", "\"$user\", public", "public"),
            ("application_name", "caf\u{e9}\n", "caf??"),
            ("passgate.purpose", "audit", "audit"),
            ("passgate.on_hold", "WAIT", "wait"),
            ("extra_float_digits", "3", "3"),
        ] {
            assert_eq!(set(&mut settings, name, value), Ok(shown.to_owned()), "{name} = {value}");
        }
    }

    #[test]
    fn what_is_not_the_clients_is_refused_with_its_code() {
        let mut settings = settings();
        for (name, value, code) in [
            ("session_authorization", "postgres", "42501"),
            ("role", "postgres", "42501"),
            ("row_security", "off", "42501"),
            ("enable_seqscan", "off", "42501"),
            ("search_path", "secret", "42501"),
            ("search_path", "", "42501"),
            ("search_path", "public, secret", "42501"),
            ("statement_timeout", "0", "42501"),
            ("statement_timeout", "6min", "42501"),
            ("statement_timeout", "soon", "22023"),
            ("statement_timeout", "-1", "22023"),
            ("client_encoding", "LATIN1", "22023"),
            ("standard_conforming_strings", "off", "42501"),
            ("default_transaction_read_only", "off", "42501"),
            ("datestyle", "iso, german", "22023"),
            ("timezone", "UTC'; DROP TABLE x", "22023"),
            ("no_such", "1", "42704"),
            ("passgate.on_hold", "soon", "22023"),
            ("passgate.", "1", "42704"),
            ("passgate.a-b", "1", "42704"),
        ] {
            assert_eq!(set(&mut settings, name, value), Err(code.to_owned()), "{name} = {value}");
        }
        assert!(settings.changed.is_empty());
    }

    #[test]
    fn reset_goes_back_to_what_start_up_said() {
        let mut settings = settings();
        let parameters = [
            ("user", "alice"),
            ("TimeZone", "Asia/Tokyo"),
            ("options", "-c datestyle=sql,\\ dmy --bytea-output=escape"),
        ];
        settings.begin(&parameters.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        assert_eq!(settings.show("datestyle").unwrap().1, "SQL, DMY");
        assert_eq!(settings.show("bytea_output").unwrap().1, "escape");
        settings.set("timezone", Some("UTC")).unwrap();
        settings.set("timezone", None).unwrap();
        assert_eq!(settings.show("timezone").unwrap().1, "Asia/Tokyo");
    }

    #[test]
    fn options_that_cannot_be_read_are_refused() {
        for text in ["-c", "-c datestyle", "-x", "datestyle=iso"] {
            assert!(matches!(options(text), Err(Error::Options(_))), "{text}");
        }
    }

    #[test]
    fn what_constants_mean_is_told_apart_from_the_rest() {
        let mut changed = settings();
        changed.set("application_name", Some("psql")).unwrap();
        changed.set("statement_timeout", Some("1s")).unwrap();
        assert_eq!(changed.meaning(), settings().meaning());
        for (name, value) in [("DateStyle", "German"), ("TimeZone", "Asia/Tokyo"), ("IntervalStyle", "iso_8601")] {
            let mut changed = settings();
            changed.set(name, Some(value)).unwrap();
            assert_ne!(changed.meaning(), settings().meaning(), "{name}");
        }
    }

    #[test]
    fn declared_settings_are_bounded() {
        let mut settings = settings();
        for number in 0..DECLARED_MAX {
            settings.set(&format!("passgate.n{number}"), Some("x")).unwrap();
        }
        assert_eq!(settings.set("passgate.more", Some("x")), Err(Error::TooMany));
        assert_eq!(settings.set("passgate.n0", Some("y")), Ok(()));
        assert!(settings.set("passgate.n1", Some(&"x".repeat(2_000))).is_err());
        assert_eq!(settings.for_source().0.keys().filter(|name| name.starts_with(DECLARED)).count(), 0);
    }
}
