//! The settings a client may change, and those it may only look at.
//!
//! An allow-list: a setting that changes what SQL means, whose rows are seen, or which limits hold is not the client's.
//! A value is checked here for its shape and kept here; the source learns it through `SessionSettings` when a connection
//! is taken. `rows` is the list, `values` what each may be, `search_path` and `options` are languages of their own.

mod options;
mod rows;
mod search_path;
#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use passgate_connectors::{Isolation, SessionSettings};

use super::transaction::BlockModes;
use crate::error::ClientError;
use crate::statement::Modes;
use options::options;
pub(super) use rows::Limits;
use rows::{FIXED, NOT_YOURS, ROWS, Row, check_fixed};
use values::{Refusal, date_style, milliseconds, shown_ms};

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
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        value: String,
        /// What it can have.
        hint: Option<Cow<'static, str>>,
    },
    /// The value is one that the gateway does not let a client have (42501).
    #[error("permission denied to set parameter \"{name}\"")]
    Forbidden {
        /// The setting.
        name: String,
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
            Self::NotYours(name) if name == "session_authorization" => {
                Some("Everybody is who they signed in as.".to_owned())
            }
            Self::NotYours(_) => Some("It is the source's own, and no session sets it.".to_owned()),
            Self::Value { hint, .. } => hint.as_ref().map(ToString::to_string),
            Self::Forbidden { hint, .. } => Some(hint.to_string()),
            Self::Unknown(_) | Self::TooMany | Self::Options(_) => None,
        }
    }
}

/// Settings of the source that change nothing of what a statement means.
const MEANINGLESS: [&str; 4] = ["application_name", "client_min_messages", "lock_timeout", "statement_timeout"];

/// The prefix of settings that people declare for the policy to read.
pub(super) const DECLARED: &str = "passgate.";
/// What a held statement does: `fail` with its ticket, or `wait` for a decision.
const ON_HOLD: &str = "passgate.on_hold";
/// Declared settings of one session, and bytes of one.
const DECLARED_MAX: usize = 32;
const DECLARED_BYTES_MAX: usize = 1024;

/// Bytes of any other. Every savepoint remembers all settings.
const VALUE_BYTES_MAX: usize = 4096;

/// The settings of one session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    limits: Limits,
    /// What RESET goes back to: what the start-up packet said, by name in lower case.
    initial: Arc<BTreeMap<String, String>>,
    /// What SET has changed since.
    changed: Arc<BTreeMap<String, String>>,
    /// Where names without a schema are looked for.
    path: Arc<[String]>,
    derived: Derived,
}

/// What follows from settings, worked out where it is first asked for.
#[derive(Clone, Debug, Default)]
struct Derived {
    for_source: OnceLock<SessionSettings>,
    reported: OnceLock<Reported>,
}

/// Settings that are reported to the client, as they are.
pub(super) type Reported = Arc<BTreeMap<&'static str, String>>;

impl Settings {
    /// A session's settings before anybody set one.
    pub(super) fn new(limits: Limits) -> Self {
        let path = Arc::default();
        let derived = Derived::default();
        let mut settings = Self { limits, initial: Arc::default(), changed: Arc::default(), path, derived };
        settings.note_change();
        settings
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
        self.note_change();
        Ok(())
    }

    /// SET; no value is DEFAULT.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let key = name.to_ascii_lowercase();
        let Some(value) = value else { return self.reset(&key) };
        if is_declared(&key) {
            return self.declare(key, value);
        }
        if value.len() > VALUE_BYTES_MAX {
            let hint = Some(Cow::Owned(format!("At most {VALUE_BYTES_MAX} bytes.")));
            return Err(Error::Value { name: key, value: value.chars().take(40).collect(), hint });
        }
        let (name, checked) = match (row(&key), fixed(&key)) {
            (Some(row), _) if row.name == "DateStyle" => (row.name, date_style(value, &self.value(row))),
            (Some(row), _) => (row.name, (row.check)(value, &self.limits)),
            (None, Some((name, fixed))) => (name, check_fixed(fixed, value)),
            (None, None) => return Err(stranger(&key)),
        };
        let value = checked.map_err(|refusal| refusal.of(name, value))?;
        Arc::make_mut(&mut self.changed).insert(key, value);
        self.note_change();
        Ok(())
    }

    /// RESET.
    pub(super) fn reset(&mut self, name: &str) -> Result<(), Error> {
        let key = name.to_ascii_lowercase();
        let known = is_declared(&key) || row(&key).is_some() || fixed(&key).is_some();
        if !known {
            return Err(stranger(&key));
        }
        Arc::make_mut(&mut self.changed).remove(&key);
        self.note_change();
        Ok(())
    }

    /// RESET ALL.
    pub(super) fn reset_all(&mut self) {
        self.changed = Arc::default();
        self.note_change();
    }

    /// A setting that can be changed: its name as shown and its value.
    pub(super) fn show(&self, name: &str) -> Option<(String, String)> {
        let key = name.to_ascii_lowercase();
        match (row(&key), fixed(&key)) {
            (Some(row), _) => Some((row.name.to_owned(), self.value(row))),
            (None, Some((name, value))) => Some((name.to_owned(), value.to_owned())),
            (None, None) => self.kept(&key).map(|value| (key.clone(), value.to_owned())),
        }
    }

    /// Everything that can be changed, with what SHOW ALL says of it.
    pub(super) fn all(&self) -> Vec<(String, String, &'static str)> {
        let rows = ROWS.iter().map(|row| (row.name.to_owned(), self.value(row), row.description));
        let fixed = FIXED.iter().map(|(name, value)| {
            ((*name).to_owned(), (*value).to_owned(), "The source's own; shown for clients that ask.")
        });
        let declared = self.declared().into_iter().filter(|(name, _)| is_declared(name));
        let declared = declared.map(|(name, value)| (name, value, "Declared by the session."));
        rows.chain(fixed).chain(declared).collect()
    }

    /// Where names without a schema are looked for, in this order.
    pub(super) fn search_path(&self) -> &Arc<[String]> {
        &self.path
    }

    /// What is reported to the client.
    pub(super) fn reported(&self) -> &Reported {
        let reported = || ROWS.iter().filter(|row| row.reported).map(|row| (row.name, self.value(row)));
        self.derived.reported.get_or_init(|| Arc::new(reported().collect()))
    }

    /// What a connection to the source must have. What nobody changed and the source has of its own is left out, and a
    /// timeout of the client's is cut to the gateway's limit.
    pub(super) fn for_source(&self) -> &SessionSettings {
        self.derived.for_source.get_or_init(|| self.told_source())
    }

    fn told_source(&self) -> SessionSettings {
        let own = |row: &Row| row.name.ends_with("_timeout") || row.name.starts_with("lc_");
        let told = ROWS.iter().filter(|row| row.sent);
        let value = |row: &Row| {
            let key = row.name.to_ascii_lowercase();
            if own(row) && self.kept(&key).is_none() {
                return None;
            }
            let value = match row.name {
                "statement_timeout" => self.statement_timeout(),
                _ => self.value(row),
            };
            Some((key, value))
        };
        told.filter_map(value).collect()
    }

    /// What a statement's meaning depends on: how its constants are read, and how values become text.
    pub(super) fn meaning(&self) -> SessionSettings {
        let told = self.for_source().0.iter().filter(|(name, _)| !MEANINGLESS.contains(&name.as_str()));
        told.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What the client asked for, within the gateway's limit.
    fn statement_timeout(&self) -> String {
        let most = self.limits.statement_timeout_ms_max;
        let asked = self.kept("statement_timeout").and_then(milliseconds).filter(|asked| *asked > 0);
        shown_ms(asked.map_or(most, |asked| asked.min(most)))
    }

    /// How long the client wants to be allowed to be silent, inside a transaction or outside one; no limit is nothing.
    pub(super) fn idle_ms(&self, in_transaction: bool) -> Option<u64> {
        let name = if in_transaction { "idle_in_transaction_session_timeout" } else { "idle_session_timeout" };
        self.kept(name).and_then(milliseconds).filter(|limit| *limit > 0)
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

    /// What a transaction is that names no modes.
    pub(super) fn default_modes(&self) -> BlockModes {
        let on = |name, default| self.kept(name).map_or(default, |value| value == "on");
        BlockModes {
            isolation: self
                .kept("default_transaction_isolation")
                .and_then(isolation)
                .unwrap_or(Isolation::ReadCommitted),
            read_only: on("default_transaction_read_only", true),
            deferrable: on("default_transaction_deferrable", false),
        }
    }

    fn note_change(&mut self) {
        self.derived = Derived::default();
        let value = self.kept("search_path").map_or_else(
            || row("search_path").map(|row| (row.default)(&self.limits)).unwrap_or_default(),
            str::to_owned,
        );
        self.path = search_path::schemas(&value, &self.limits.person);
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
            let value = value.chars().take(40).collect();
            return Err(Error::Value { name: key, value, hint });
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
            Self::Value(hint) => Error::Value { name, value, hint },
            Self::Forbidden(hint) => Error::Forbidden { name, hint },
        }
    }
}

/// An isolation level by its name.
pub(super) fn isolation(name: &str) -> Option<Isolation> {
    match name {
        "read uncommitted" => Some(Isolation::ReadUncommitted),
        "read committed" => Some(Isolation::ReadCommitted),
        "repeatable read" => Some(Isolation::RepeatableRead),
        "serializable" => Some(Isolation::Serializable),
        _ => None,
    }
}

/// Its name.
pub(super) fn isolation_name(level: Isolation) -> &'static str {
    match level {
        Isolation::ReadUncommitted => "read uncommitted",
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
    }
}

/// Modes as the settings that make them those of every transaction to come.
pub(super) fn as_defaults(modes: Modes) -> impl Iterator<Item = (&'static str, &'static str)> {
    let switched = |on| if on { "on" } else { "off" };
    [
        modes.isolation.map(|level| ("default_transaction_isolation", isolation_name(level))),
        modes.read_only.map(|on| ("default_transaction_read_only", switched(on))),
        modes.deferrable.map(|on| ("default_transaction_deferrable", switched(on))),
    ]
    .into_iter()
    .flatten()
}

/// A value as a mode of the transaction at hand, for `SET transaction_isolation` and its like; none for other settings.
pub(super) fn as_mode(name: &str, value: &str) -> Option<Result<Modes, Error>> {
    let refused = || Error::Value { name: name.to_owned(), value: value.to_owned(), hint: None };
    let on = || values::switched(value).ok_or_else(refused);
    Some(match name {
        "transaction_isolation" => {
            let level = isolation(&value.to_ascii_lowercase()).ok_or_else(refused);
            level.map(|level| Modes { isolation: Some(level), ..Modes::default() })
        }
        "transaction_read_only" => on().map(|on| Modes { read_only: Some(on), ..Modes::default() }),
        "transaction_deferrable" => on().map(|on| Modes { deferrable: Some(on), ..Modes::default() }),
        _ => return None,
    })
}

/// Whether a setting is one that people declare, and the gateway only keeps for the policy to read.
fn is_declared(key: &str) -> bool {
    key.starts_with(DECLARED) && row(key).is_none()
}

fn row(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(key))
}

fn fixed(key: &str) -> Option<(&'static str, &'static str)> {
    FIXED.iter().find(|(name, _)| *name == key).copied()
}

fn stranger(key: &str) -> Error {
    if NOT_YOURS.contains(&key) { Error::NotYours(key.to_owned()) } else { Error::Unknown(key.to_owned()) }
}
