//! Tests of the settings.

use super::*;

fn settings() -> Settings {
    Settings::new(Limits {
        statement_timeout_ms_max: 300_000,
        default_schema: "public".to_owned(),
        time_zone: "UTC".to_owned(),
        person: "alice".to_owned(),
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
        ("search_path", "\"$user\", public", "\"$user\", public"),
        ("search_path", "", ""),
        ("statement_timeout", "0", "5min"),
        ("statement_timeout", "6min", "5min"),
        ("lock_timeout", "2s", "2s"),
        ("timezone", "-3", "<-03>+03"),
        ("default_transaction_read_only", "off", "off"),
        ("jit", "FALSE", "off"),
        ("work_mem", "4mb", "4MB"),
        ("enable_seqscan", "t", "on"),
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
        ("statement_timeout", "soon", "22023"),
        ("statement_timeout", "-1", "22023"),
        ("search_path", "a b", "22023"),
        ("jit", "on", "42501"),
        ("work_mem", "2GB", "42501"),
        ("xmloption", "document", "42501"),
        ("client_encoding", "LATIN1", "42501"),
        ("standard_conforming_strings", "off", "42501"),
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
    let parameters =
        [("user", "alice"), ("TimeZone", "Asia/Tokyo"), ("options", "-c datestyle=sql,\\ dmy --bytea-output=escape")];
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

#[test]
fn a_timeout_reaches_the_source_within_the_gateways_limit() {
    let mut settings = settings();
    let told = |settings: &Settings| settings.for_source().0.get("statement_timeout").cloned();
    for (value, expected) in [("5s", "5s"), ("6min", "5min"), ("0", "5min")] {
        settings.set("statement_timeout", Some(value)).unwrap();
        assert_eq!(told(&settings).as_deref(), Some(expected), "{value}");
    }
    settings.reset("statement_timeout").unwrap();
    assert_eq!(told(&settings), None);
}

#[test]
fn the_search_path_follows_every_change() {
    let mut settings = settings();
    let path = |settings: &Settings| settings.search_path().join(" ");
    assert_eq!(path(&settings), "alice public");
    settings.set("search_path", Some("Sales, \"B b\"")).unwrap();
    assert_eq!(path(&settings), "sales B b");
    settings.reset("search_path").unwrap();
    assert_eq!(path(&settings), "alice public");
    settings.set("search_path", Some("x")).unwrap();
    settings.reset_all();
    assert_eq!(path(&settings), "alice public");
}
