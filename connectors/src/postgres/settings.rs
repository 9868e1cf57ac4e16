//! What is set on every session, and which of a client's settings reach it.

use super::config::Config;
use crate::SessionSettings;

/// Settings that shape how values are written or what a session calls itself; everything else a client sets lives in
/// the gateway. Names with a dot are left out as well: row-level security reads such settings, so a client must not be
/// able to write them.
const FORWARDED: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "timezone",
    "xmlbinary",
    "xmloption",
];

/// Timeouts: the shortest of ours, the source's own and the client's holds.
const TIMEOUTS: &[&str] = &["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// What the source itself sets as timeouts: for the login (`reset_val` tells, because none is sent at the start), and
/// for the role taken on after it, for which PostgreSQL would set them at a login of its own only. In milliseconds, or
/// as somebody wrote them.
pub(crate) const OWN_TIMEOUTS: &str = "
SELECT s.name, s.reset_val FROM pg_catalog.pg_settings s
WHERE s.name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')
UNION ALL
SELECT pg_catalog.split_part(c.entry, '=', 1), pg_catalog.split_part(c.entry, '=', 2)
FROM pg_catalog.pg_db_role_setting r CROSS JOIN LATERAL pg_catalog.unnest(r.setconfig) AS c (entry)
WHERE r.setrole IN (SELECT a.oid FROM pg_catalog.pg_roles a WHERE a.rolname = $1::text)
  AND r.setdatabase IN (SELECT 0::oid UNION ALL
                        SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())";

/// Settings that hold on every session, whoever it serves.
pub(crate) struct Guards {
    values: Vec<(String, String)>,
    /// Whether a client's `search_path` holds here: in a shadow, where names are the server's to resolve.
    takes_search_path: bool,
}

impl Guards {
    /// The guards that these settings of the source ask for.
    pub(crate) fn new(config: &Config) -> Self {
        let pairs = [
            ("application_name", "passgate".to_owned()),
            ("client_encoding", "UTF8".to_owned()),
            ("default_transaction_read_only", "on".to_owned()),
            ("idle_in_transaction_session_timeout", config.idle_in_transaction_timeout_ms.to_string()),
            ("lock_timeout", config.lock_timeout_ms.to_string()),
            // Only pg_catalog resolves; pg_temp is named, last, because it would otherwise come first.
            // <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SEARCH-PATH>
            ("search_path", "pg_catalog, pg_temp".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
            ("statement_timeout", config.statement_timeout_ms.to_string()),
        ];
        let values = pairs.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { values, takes_search_path: false }
    }

    /// The same, with the session's own `search_path`.
    pub(crate) fn with_search_path(self) -> Self {
        Self { takes_search_path: true, ..self }
    }

    /// The same, for making what is read later.
    pub(crate) fn for_writing(mut self) -> Self {
        self.values.retain(|(name, _)| name != "default_transaction_read_only");
        self
    }

    /// These, with each timeout as short as the source's own where that is shorter. 0 is none at all.
    pub(crate) fn within(&self, own: &[(String, String)]) -> Self {
        let shortest = |name: &str, ours: &str| {
            let theirs = own.iter().filter(|(setting, _)| setting == name && TIMEOUTS.contains(&name));
            let theirs = theirs.filter_map(|(_, value)| milliseconds(value)).filter(|wait| *wait > 0);
            milliseconds(ours).and_then(|ours| theirs.min().filter(|theirs| *theirs < ours))
        };
        let guards = self.values.iter().map(|(name, ours)| {
            let value = shortest(name, ours).map_or_else(|| ours.clone(), |theirs| theirs.to_string());
            (name.clone(), value)
        });
        Self { values: guards.collect(), takes_search_path: self.takes_search_path }
    }

    /// As start-up parameters, so that `DISCARD ALL` falls back to them. Timeouts are left out: they would hide the
    /// source's own.
    pub(crate) fn at_start(&self) -> impl Iterator<Item = (&str, &str)> {
        let at_start = self.values.iter().filter(|(name, _)| !TIMEOUTS.contains(&name.as_str()));
        at_start.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// For setting them again.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.values.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())))
    }

    /// The guard of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values().find(|(guard, _)| *guard == name).and_then(|(_, value)| value)
    }

    /// Which of a client's settings are set on the source. The rest is not an error: it is not for the source.
    pub(crate) fn forwarded(&self, settings: &SessionSettings) -> SessionSettings {
        let passes = |name: &str, value: &str| {
            FORWARDED.contains(&name)
                || (self.takes_search_path && name == "search_path")
                || (TIMEOUTS.contains(&name) && self.shortens(name, value))
        };
        let kept = settings.0.iter().filter(|(name, value)| passes(name, value));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether a timeout is one, and below the guard's. 0 would turn it off.
    fn shortens(&self, name: &str, value: &str) -> bool {
        let limit = self.value(name).and_then(milliseconds).unwrap_or(0);
        milliseconds(value).is_some_and(|wanted| wanted > 0 && wanted < limit)
    }
}

/// A whole number of a unit, as PostgreSQL shows timeouts; milliseconds where there is no unit.
/// <https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES>
fn milliseconds(value: &str) -> Option<u64> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits)?;
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_timeout_holds() {
        let own = |value: &str| Guards::new(&Config::default()).within(&[("statement_timeout".into(), value.into())]);
        for (theirs, holds) in
            [("5s", "5000"), ("0", "300000"), ("10min", "300000"), ("1500", "1500"), ("soon", "300000")]
        {
            assert_eq!(own(theirs).value("statement_timeout"), Some(holds), "{theirs}");
        }
        let guards = own("5s").within(&[("search_path".into(), "1".into())]);
        assert_eq!(guards.value("search_path"), Some("pg_catalog, pg_temp"));
        let asked = |value: &str| SessionSettings::from_iter([("statement_timeout".into(), value.into())]);
        assert_eq!(guards.forwarded(&asked("4s")), asked("4s"));
        assert_eq!(guards.forwarded(&asked("6s")), SessionSettings::default());
        assert!(guards.at_start().all(|(name, _)| !name.ends_with("_timeout")));
    }

    #[test]
    fn only_harmless_settings_are_forwarded() {
        let pairs = [
            ("timezone", "UTC", true),
            ("application_name", "psql", true),
            ("statement_timeout", "1000", true),
            ("statement_timeout", "0", false),
            ("statement_timeout", "9000000", false),
            ("statement_timeout", "90s", true),
            ("statement_timeout", "4min", true),
            ("statement_timeout", "1h", false),
            ("statement_timeout", "18446744073709551615d", false),
            ("statement_timeout", "soon", false),
            ("role", "postgres", false),
            ("session_authorization", "postgres", false),
            ("default_transaction_read_only", "off", false),
            ("search_path", "evil", false),
            ("app.tenant", "other", false),
            ("row_security", "off", false),
        ];
        let guards = Guards::new(&Config::default());
        for (name, value, passes) in pairs {
            let settings = SessionSettings::from_iter([(name.to_owned(), value.to_owned())]);
            assert_eq!(guards.forwarded(&settings) == settings, passes, "{name} = {value}");
        }
    }
}
