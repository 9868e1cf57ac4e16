//! The shapes that values of settings have, and how PostgreSQL writes each.
//!
//! Separate from the list of settings because one shape serves many of them.

use std::borrow::Cow;

use super::rows::Limits;
use super::search_path;

/// Why a check does not take a value.
pub(super) enum Refusal {
    /// It is not one the setting can have.
    Value(Option<Cow<'static, str>>),
    /// It is one that the gateway does not let a client have.
    Forbidden(Cow<'static, str>),
}

pub(super) type Checked = Result<String, Refusal>;

/// As PostgreSQL cleans it: ASCII only, 63 bytes.
pub(super) fn application_name(value: &str) -> String {
    let printable = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
    value.chars().map(printable).take(63).collect()
}

pub(super) fn one_of(value: &str, known: &[&str]) -> Checked {
    let lower = value.to_ascii_lowercase();
    if known.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(Refusal::Value(Some(format!("Available values: {}.", known.join(", ")).into())))
}

/// A boolean as PostgreSQL reads one: any beginning of a word that no other word has.
/// Source: `parse_bool_with_len` in PostgreSQL's `src/backend/utils/adt/bool.c`.
pub(super) fn switched(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str| !value.is_empty() && word.starts_with(&value);
    match value.as_str() {
        "1" | "on" => Some(true),
        "0" | "of" | "off" => Some(false),
        _ if begins("true") || begins("yes") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ => None,
    }
}

pub(super) fn boolean(value: &str) -> Checked {
    match switched(value) {
        Some(on) => Ok(if on { "on" } else { "off" }.to_owned()),
        None => Err(Refusal::Value(None)),
    }
}

pub(super) fn only_on(value: &str, why: &'static str) -> Checked {
    match switched(value) {
        Some(true) => Ok("on".to_owned()),
        Some(false) => Err(Refusal::Forbidden(why.into())),
        None => Err(Refusal::Value(None)),
    }
}

pub(super) fn client_encoding(value: &str) -> Checked {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        _ => Err(Refusal::Forbidden("Only UTF8 is spoken here.".into())),
    }
}

pub(super) fn whole_number(value: &str, range: std::ops::RangeInclusive<i32>) -> Checked {
    match value.trim().parse::<i32>() {
        Ok(number) if range.contains(&number) => Ok(number.to_string()),
        _ => Err(Refusal::Value(Some(format!("A whole number from {} to {}.", range.start(), range.end()).into()))),
    }
}

/// A style, an order of day, month and year, or both; what is not named stays, except that German means day first.
pub(super) fn date_style(value: &str, before: &str) -> Checked {
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

/// The shape of a zone's name or offset; whether there is such a zone is the source's to say. Hours alone are shown as
/// the zone they make.
pub(super) fn time_zone(value: &str) -> Checked {
    let shaped = (1..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-:.<>,".contains(&byte));
    let hours = value.parse::<i8>().ok().filter(|hours| hours.abs() < 24);
    match (value, hours) {
        (_, Some(hours)) => {
            let (east, west) = if hours < 0 { ('-', '+') } else { ('+', '-') };
            let hours = hours.unsigned_abs();
            Ok(format!("<{east}{hours:02}>{west}{hours:02}"))
        }
        (value, None) if value.eq_ignore_ascii_case("utc") => Ok("UTC".to_owned()),
        (value, None) if shaped => Ok(value.to_owned()),
        _ => Err(Refusal::Value(None)),
    }
}

/// The shape of a locale's name; whether there is such a locale is the source's to say.
pub(super) fn locale(value: &str) -> Checked {
    let shaped = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte));
    if shaped { Ok(value.to_owned()) } else { Err(Refusal::Value(None)) }
}

/// Any names, as PostgreSQL takes them; what they mean is asked of the catalog with each statement.
pub(super) fn path(value: &str, _: &Limits) -> Checked {
    match search_path::names(value) {
        Some(_) => Ok(value.trim().to_owned()),
        None => Err(Refusal::Value(Some("List syntax is invalid.".into()))),
    }
}

/// A statement's time within the gateway's limit, which is shown where the client asks for more, or for none.
pub(super) fn statement_timeout(value: &str, limits: &Limits) -> Checked {
    let asked = timeout(value).map(|shown| milliseconds(&shown).unwrap_or_default())?;
    let most = limits.statement_timeout_ms_max;
    Ok(shown_ms(if asked == 0 { most } else { asked.min(most) }))
}

/// A time in milliseconds. 0 is none.
pub(super) fn timeout(value: &str) -> Checked {
    let units = "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";
    milliseconds(value).map(shown_ms).ok_or(Refusal::Value(Some(units.into())))
}

pub(super) fn milliseconds(value: &str) -> Option<u64> {
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
pub(super) fn shown_ms(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        _ if milliseconds == 0 => "0".to_owned(),
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}
