//! PostgreSQL's types as far as masks care: what a mask puts in place of a value has to be a value of the column's type.

use crate::Mask;

/// Kinds of types, by what their values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Text,
    Integer {
        most: i128,
    },
    /// Numbers with a fraction; NaN is one.
    Number,
    Boolean,
    Date,
    Timestamp,
    Uuid,
    Json,
    /// Nothing is known of its values.
    Other,
}

/// The family of a type as `format_type` writes it: `character varying(20)`, `timestamp(3) with time zone`.
///
/// <https://www.postgresql.org/docs/current/datatype.html>
pub(crate) fn family(type_name: &str) -> Family {
    if type_name.ends_with("[]") {
        return Family::Other;
    }
    let (before, after) = type_name
        .split_once('(')
        .map_or((type_name, ""), |(before, rest)| (before, rest.split_once(')').map_or("", |(_, after)| after)));
    match (before.trim_end(), after) {
        (
            "text" | "character varying" | "character" | "\"char\"" | "name" | "citext" | "public.citext" | "bpchar",
            "",
        ) => Family::Text,
        ("smallint", "") => Family::Integer { most: i16::MAX.into() },
        ("integer", "") => Family::Integer { most: i32::MAX.into() },
        ("bigint", "") => Family::Integer { most: i64::MAX.into() },
        ("numeric" | "real" | "double precision", "") => Family::Number,
        ("boolean", "") => Family::Boolean,
        ("date", "") => Family::Date,
        ("timestamp without time zone" | "timestamp with time zone", "")
        | ("timestamp", " without time zone" | " with time zone") => Family::Timestamp,
        ("uuid", "") => Family::Uuid,
        ("json" | "jsonb", "") => Family::Json,
        _ => Family::Other,
    }
}

/// Why a mask does not fit a column's type, to follow the column in a sentence, and what would.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) why: String,
    pub(crate) suggestion: &'static str,
}

/// Whether a mask puts a value of the type in place of a value.
pub(crate) fn fits(mask: &Mask, type_name: &str) -> Result<(), Misfit> {
    let family = family(type_name);
    let (fits, needs, suggestion) = match mask {
        Mask::Null | Mask::Expression(_) => return Ok(()),
        Mask::Fixed(value) => return fixed(value, family, type_name),
        Mask::Hash | Mask::Partial { .. } => {
            (family == Family::Text, "text", "mask it with \"null\", or with an \"expression\"")
        }
        Mask::Year => (
            matches!(family, Family::Date | Family::Timestamp),
            "dates and timestamps",
            "mask it with \"null\", or with an \"expression\"",
        ),
        Mask::Round { .. } => (
            matches!(family, Family::Integer { .. } | Family::Number),
            "numbers",
            "mask it with \"null\", or with an \"expression\"",
        ),
    };
    match fits {
        true => Ok(()),
        false => Err(Misfit { why: format!("is of type {type_name}, and the mask is for {needs}"), suggestion }),
    }
}

fn fixed(value: &str, family: Family, type_name: &str) -> Result<(), Misfit> {
    let (is_value, suggestion) = match family {
        Family::Text => (true, ""),
        Family::Integer { most } => {
            let within = |number: i128| (-most - 1..=most).contains(&number);
            (value.parse().is_ok_and(within), "write a whole number that the type holds, such as \"value\": \"0\"")
        }
        Family::Number => (is_number(value), "write a number, such as \"value\": \"0\""),
        Family::Boolean => (matches!(value, "true" | "false"), "write \"value\": \"true\" or \"value\": \"false\""),
        Family::Date => (is_date(value), "write a date, such as \"value\": \"1900-01-01\""),
        Family::Timestamp => (is_timestamp(value), "write a moment, such as \"value\": \"1900-01-01 00:00:00\""),
        Family::Uuid => (is_uuid(value), "write \"value\": \"00000000-0000-0000-0000-000000000000\""),
        Family::Json => {
            let is_json = serde_json::from_str::<serde_json::Value>(value).is_ok();
            (is_json, "write JSON, such as \"value\": \"{}\"")
        }
        Family::Other => {
            return Err(Misfit {
                why: format!("is of type {type_name}, and nothing is known to be a value of it"),
                suggestion: "mask it with \"null\", or with an \"expression\"",
            });
        }
    };
    match is_value {
        true => Ok(()),
        false => Err(Misfit { why: format!("is of type {type_name}, and \"{value}\" is no value of it"), suggestion }),
    }
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.len() <= 15 && part.chars().all(|c| c.is_ascii_digit());
    is_digits(whole) && is_digits(fraction)
}

/// `2026-01-31`.
fn is_date(value: &str) -> bool {
    let mut parts = value.split('-');
    let mut part = |length: usize| {
        let digits = parts.next().filter(|part| part.len() == length && part.chars().all(|c| c.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    let (year, month, day) = (part(4), part(2), part(2));
    let (Some(year @ 1..), Some(month @ 1..=12), Some(day @ 1..), None) = (year, month, day, parts.next()) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= days
}

/// `2026-01-31`, or `2026-01-31 23:59:59`.
fn is_timestamp(value: &str) -> bool {
    let (date, time) = value.split_once([' ', 'T']).unwrap_or((value, "00:00:00"));
    let time: Vec<&str> = time.split(':').collect();
    let two = |part: &str, most: u32| {
        part.len() == 2
            && part.chars().all(|c| c.is_ascii_digit())
            && part.parse().is_ok_and(|number: u32| number <= most)
    };
    let is_time = match time.as_slice() {
        [hours, minutes, seconds] => two(hours, 23) && two(minutes, 59) && two(seconds, 59),
        _ => false,
    };
    is_date(date) && is_time
}

fn is_uuid(value: &str) -> bool {
    let lengths: Vec<usize> = value.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && value.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn is_fixed(value: &str, type_name: &str) -> bool {
        fits(&Mask::Fixed(Arc::from(value)), type_name).is_ok()
    }

    #[test]
    fn types_are_told_apart_as_postgresql_writes_them() {
        assert_eq!(family("character varying(20)"), Family::Text);
        assert_eq!(family("numeric(10,2)"), Family::Number);
        assert_eq!(family("timestamp(3) with time zone"), Family::Timestamp);
        for other in ["text[]", "interval", "time(3) with time zone", "analytics.mood", "numeric(10,2)[]", "bytea", ""]
        {
            assert_eq!(family(other), Family::Other, "{other}");
        }
    }

    #[test]
    fn a_fixed_value_is_a_value_of_the_type() {
        for (value, type_name) in [
            ("***", "text"),
            ("-32768", "smallint"),
            ("0.50", "numeric(4,2)"),
            ("-1", "double precision"),
            ("true", "boolean"),
            ("2024-02-29", "date"),
            ("1900-01-01", "timestamp without time zone"),
            ("1900-01-01 23:59:59", "timestamp(3) with time zone"),
            ("{\"a\": 1}", "jsonb"),
            ("00000000-0000-0000-0000-00000000abcd", "uuid"),
        ] {
            assert!(is_fixed(value, type_name), "{value} {type_name}");
        }
        for (value, type_name) in [
            ("***", "integer"),
            ("32768", "smallint"),
            ("1.5", "bigint"),
            ("NaN", "numeric"),
            ("1e3", "numeric"),
            ("", "numeric"),
            ("yes", "boolean"),
            ("2023-02-29", "date"),
            ("2024-1-1", "date"),
            ("0000-01-01", "date"),
            ("today", "date"),
            ("2024-01-01 24:00:00", "timestamp without time zone"),
            ("{", "json"),
            ("***", "uuid"),
            ("***", "text[]"),
            ("***", "analytics.mood"),
        ] {
            assert!(!is_fixed(value, type_name), "{value} {type_name}");
        }
    }

    #[test]
    fn every_other_mask_is_for_some_types() {
        let round = Mask::Round { to: "10".into() };
        assert!(fits(&round, "numeric(10,2)").is_ok() && fits(&round, "date").is_err());
        assert!(fits(&Mask::Year, "date").is_ok() && fits(&Mask::Year, "text").is_err());
        assert!(fits(&Mask::Hash, "character(9)").is_ok() && fits(&Mask::Hash, "uuid").is_err());
        assert!(fits(&Mask::Null, "text[]").is_ok());
    }
}
