//! SET, RESET and SHOW: what a session does with its settings, and what of them it only shows.
//!
//! Separate from `settings`, which knows no transaction: what a transaction sets goes with it.

use std::collections::BTreeMap;

use super::Session;
use super::error::Failure;
use super::ready::Ready;
use super::settings::{self, as_mode, isolation_name};

impl Session<Ready> {
    /// SET; no value is DEFAULT.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Failure> {
        let key = name.to_ascii_lowercase();
        let default = || match key.as_str() {
            "transaction_isolation" => Some("default_transaction_isolation"),
            "transaction_read_only" => Some("default_transaction_read_only"),
            "transaction_deferrable" => Some("default_transaction_deferrable"),
            _ => None,
        };
        let default = value.is_none().then(default).flatten().and_then(|name| self.state.settings.show(name));
        let value = value.or(default.as_ref().map(|(_, value)| value.as_str()));
        if let Some(mode) = value.and_then(|value| as_mode(&key, value)) {
            return self.set_mode(mode.map_err(Failure::statement)?);
        }
        if key == "session_authorization" && value.is_none() {
            return Ok(());
        }
        if local && self.block().is_none() {
            self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
            return Ok(());
        }
        self.change_setting(&key, value, local)
    }

    /// Changes a setting, for the transaction at hand or for good.
    pub(super) fn change_setting(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Failure> {
        self.state.settings.set(name, value).map_err(Failure::statement)?;
        match &mut self.state.transaction {
            Some(block) if !local => block.lasting.set(name, value).map_err(Failure::statement),
            _ => Ok(()),
        }
    }

    /// `SET transaction_isolation` and its like: without a transaction, nothing.
    fn set_mode(&mut self, modes: crate::statement::Modes) -> Result<(), Failure> {
        match self.block() {
            Some(_) => self.set_modes(modes, false).map(drop),
            None => Ok(()),
        }
    }

    /// RESET of one setting, or of all.
    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let Some(name) = name else {
            self.state.settings.reset_all();
            if let Some(block) = &mut self.state.transaction {
                block.lasting.reset_all();
            }
            return Ok(());
        };
        self.set(name, None, false)
    }

    /// A setting's name as shown, and its value.
    pub(super) fn show(&self, name: &str) -> Result<(String, String), settings::Error> {
        let changeable = self.state.settings.show(name);
        let found = changeable.or_else(|| {
            let fixed = self.fixed().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            fixed.map(|(name, value)| (name.to_owned(), value))
        });
        found.ok_or_else(|| settings::Error::Unknown(name.to_owned()))
    }

    /// Every setting as SHOW tells it, by name in lower case.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        self.show_all().into_iter().map(|[name, value, _]| (name.to_ascii_lowercase(), value)).collect()
    }

    /// Every setting with its value and what it is, by name.
    pub(super) fn show_all(&self) -> Vec<[String; 3]> {
        let fixed = self.fixed().into_iter().map(|(name, value)| [name.to_owned(), value, String::new()]);
        let changeable = self.state.settings.all().into_iter();
        let changeable = changeable.map(|(name, value, description)| [name, value, description.to_owned()]);
        let mut all: Vec<_> = fixed.chain(changeable).collect();
        all.sort_by_cached_key(|[name, ..]| name.to_ascii_lowercase());
        all
    }

    /// What a client may look at and not change: true of every session here, or of this one.
    fn fixed(&self) -> Vec<(&'static str, String)> {
        let version = &self.state.server_version;
        let modes = match &self.state.transaction {
            Some(block) => block.modes,
            None => self.state.settings.default_modes(),
        };
        let switched = |on| if on { "on" } else { "off" }.to_owned();
        let mut fixed = vec![
            ("server_version", version.clone()),
            ("server_version_num", version_number(version)),
            ("session_authorization", self.state.caller.identity.person.to_string()),
            ("transaction_deferrable", switched(modes.deferrable)),
            ("transaction_isolation", isolation_name(modes.isolation).to_owned()),
            ("transaction_read_only", switched(modes.read_only)),
        ];
        fixed.extend(FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fixed
    }
}

/// The same for every session.
const FIXED: &[(&str, &str)] = &[
    ("block_size", "8192"),
    ("data_checksums", "off"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("max_connections", "100"),
    ("max_function_args", "100"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("password_encryption", "scram-sha-256"),
    ("scram_iterations", "4096"),
    ("segment_size", "1GB"),
    ("server_encoding", "UTF8"),
    ("session_replication_role", "origin"),
    ("ssl", "on"),
    ("wal_block_size", "8192"),
];

/// `15.14 (Debian 15.14-0+deb12u1)` is 150014; before version 10 there were three parts.
fn version_number(version: &str) -> String {
    let word = version.split([' ', 'b', 'r', 'd']).next().unwrap_or_default();
    let parts: Vec<u32> = word.split('.').map_while(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [major, rest @ ..] if *major >= 10 => (major * 10_000 + rest.first().unwrap_or(&0)).to_string(),
        [major, minor, rest @ ..] => (major * 10_000 + minor * 100 + rest.first().unwrap_or(&0)).to_string(),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn version_numbers_are_postgresqls() {
        for (version, number) in [
            ("15.14 (Debian 15.14-0+deb12u1)", "150014"),
            ("18.0", "180000"),
            ("19beta1", "190000"),
            ("9.6.24", "90624"),
            ("PostgreSQL", "0"),
        ] {
            assert_eq!(version_number(version), number, "{version}");
        }
    }
}
