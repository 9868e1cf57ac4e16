//! Values of the gateway's own relations: five types, in the text and binary formats of the protocol.
//!
//! Source for the binary formats: `send` and `recv` of each type in PostgreSQL's `src/backend/utils/adt`.

use std::cmp::Ordering;

use bytes::Bytes;
use passgate_connectors::Format;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use super::Error;

/// A type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `text`.
    Text,
    /// `boolean`.
    Boolean,
    /// `bigint`.
    Integer,
    /// `double precision`.
    Float,
    /// `timestamp with time zone`.
    Moment,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Microseconds since 1970-01-01 UTC.
    Moment(i64),
}

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;
const MICROSECONDS: i64 = 1_000_000;

/// Oids that clients declare and that mean one of the types.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const UNKNOWN: u32 = 705;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
}

impl Type {
    /// Its oid.
    pub(super) fn oid(self) -> u32 {
        match self {
            Self::Text => oid::TEXT,
            Self::Boolean => oid::BOOL,
            Self::Integer => oid::INT8,
            Self::Float => oid::FLOAT8,
            Self::Moment => oid::TIMESTAMPTZ,
        }
    }

    /// Its size in bytes; -1 where it varies.
    pub(super) fn size(self) -> i16 {
        match self {
            Self::Text => -1,
            Self::Boolean => 1,
            Self::Integer | Self::Float | Self::Moment => 8,
        }
    }

    /// Its name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Integer => "bigint",
            Self::Float => "double precision",
            Self::Moment => "timestamp with time zone",
        }
    }

    /// The type that a name of `pg_catalog` means.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "text" | "varchar" | "name" => Self::Text,
            "bool" => Self::Boolean,
            "int2" | "int4" | "int8" => Self::Integer,
            "float4" | "float8" | "numeric" => Self::Float,
            "timestamp" | "timestamptz" | "date" => Self::Moment,
            _ => return None,
        })
    }

    fn of(oid: u32) -> Option<Self> {
        Some(match oid {
            oid::TEXT | oid::VARCHAR | oid::NAME => Self::Text,
            oid::BOOL => Self::Boolean,
            oid::INT2 | oid::INT4 | oid::INT8 => Self::Integer,
            oid::FLOAT4 | oid::FLOAT8 => Self::Float,
            oid::TIMESTAMP | oid::TIMESTAMPTZ => Self::Moment,
            _ => return None,
        })
    }

    /// Reads a text.
    pub(super) fn read(self, text: &str) -> Result<Value, Error> {
        let trimmed = text.trim();
        let value = match self {
            Self::Text => Some(Value::Text(text.to_owned())),
            Self::Boolean => boolean(trimmed).map(Value::Boolean),
            Self::Integer => trimmed.parse().ok().map(Value::Integer),
            Self::Float => trimmed.parse().ok().map(Value::Float),
            Self::Moment => moment(trimmed).map(Value::Moment),
        };
        let malformed = || Error::new("22P02", format!("invalid input syntax for type {}", self.name()));
        value.ok_or_else(malformed)
    }

    /// A value as one of this type.
    pub(super) fn cast(self, value: Value) -> Result<Value, Error> {
        match (self, value) {
            (_, Value::Null) => Ok(Value::Null),
            (of, Value::Text(text)) => of.read(&text),
            #[allow(clippy::cast_precision_loss, reason = "as PostgreSQL does where it compares the two")]
            (Self::Float, Value::Integer(number)) => Ok(Value::Float(number as f64)),
            (of, value) if value.of() == Some(of) => Ok(value),
            (of, value) => {
                let other = value.of().map_or("unknown", Self::name);
                Err(Error::new("42804", format!("a value of type {other} cannot be compared with {}", of.name())))
            }
        }
    }
}

impl Value {
    /// Seconds since 1970-01-01 UTC.
    pub(super) fn seconds(seconds: i64) -> Self {
        Self::Moment(seconds.saturating_mul(MICROSECONDS))
    }

    /// A text, or NULL.
    pub(super) fn text(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    fn of(&self) -> Option<Type> {
        Some(match self {
            Self::Null => return None,
            Self::Text(_) => Type::Text,
            Self::Boolean(_) => Type::Boolean,
            Self::Integer(_) => Type::Integer,
            Self::Float(_) => Type::Float,
            Self::Moment(_) => Type::Moment,
        })
    }

    /// How two values of one type compare; none where one is NULL.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Boolean(left), Self::Boolean(right)) => Some(left.cmp(right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(right),
            (Self::Integer(left), Self::Integer(right)) | (Self::Moment(left), Self::Moment(right)) => {
                Some(left.cmp(right))
            }
            _ => None,
        }
    }

    /// The value as a client reads it; none is NULL.
    pub(super) fn encode(&self, format: Format) -> Option<Bytes> {
        Some(match (self, format) {
            (Self::Null, _) => return None,
            (Self::Text(text), _) => Bytes::copy_from_slice(text.as_bytes()),
            (Self::Boolean(on), Format::Text) => Bytes::from_static(if *on { b"t" } else { b"f" }),
            (Self::Boolean(on), Format::Binary) => Bytes::copy_from_slice(&[u8::from(*on)]),
            (Self::Integer(number), Format::Text) => number.to_string().into(),
            (Self::Integer(number), Format::Binary) => Bytes::copy_from_slice(&number.to_be_bytes()),
            (Self::Float(number), Format::Text) => number.to_string().into(),
            (Self::Float(number), Format::Binary) => Bytes::copy_from_slice(&number.to_be_bytes()),
            (Self::Moment(at), Format::Text) => shown(*at).into(),
            (Self::Moment(at), Format::Binary) => Bytes::copy_from_slice(&at.saturating_sub(EPOCH).to_be_bytes()),
        })
    }

    /// Reads a parameter. `declared` is the type that the client gave it, or 0.
    pub(super) fn decode(bytes: &[u8], format: Format, declared: u32, wanted: Type) -> Result<Self, Error> {
        let of = match declared {
            0 | oid::UNKNOWN => wanted,
            other => Type::of(other).ok_or_else(|| {
                Error::new("0A000", "a parameter of this type is not supported by the gateway's own relations")
            })?,
        };
        let value = match format {
            Format::Text => of.read(utf8(bytes)?)?,
            Format::Binary => of.receive(bytes)?,
        };
        wanted.cast(value)
    }
}

impl Type {
    fn receive(self, bytes: &[u8]) -> Result<Value, Error> {
        let malformed = || Error::new("22P03", format!("incorrect binary data format for type {}", self.name()));
        let eight = || bytes.try_into().map_err(|_| malformed());
        Ok(match (self, bytes) {
            (Self::Text, bytes) => Value::Text(utf8(bytes)?.to_owned()),
            (Self::Boolean, [on]) => Value::Boolean(*on != 0),
            (Self::Integer, [a, b]) => Value::Integer(i16::from_be_bytes([*a, *b]).into()),
            (Self::Integer, [a, b, c, d]) => Value::Integer(i32::from_be_bytes([*a, *b, *c, *d]).into()),
            (Self::Integer, _) => Value::Integer(i64::from_be_bytes(eight()?)),
            (Self::Float, [a, b, c, d]) => Value::Float(f32::from_be_bytes([*a, *b, *c, *d]).into()),
            (Self::Float, _) => Value::Float(f64::from_be_bytes(eight()?)),
            (Self::Moment, _) => Value::Moment(i64::from_be_bytes(eight()?).saturating_add(EPOCH)),
            (Self::Boolean, _) => return Err(malformed()),
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::new("22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// As PostgreSQL reads it, with the prefixes that nobody uses left out.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "yes" | "y" | "on" | "1" => Some(true),
        "f" | "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// `2026-11-21`, `2026-11-21 08:30:00.5`, with `T` or a space between, and an offset or none, which is UTC.
fn moment(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = date_of(date)?;
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    let sign = rest.find(['+', '-', 'Z', 'z']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at_checked(sign)?;
    let at = PrimitiveDateTime::new(date, time_of(time.trim())?).assume_offset(offset_of(offset)?);
    i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()
}

fn date_of(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

fn time_of(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::MIDNIGHT);
    }
    let mut parts = text.split(':');
    let (hour, minute) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (second, fraction) = parts.next().map_or(("0", ""), |second| second.split_once('.').unwrap_or((second, "")));
    let microsecond = match fraction {
        "" => 0,
        digits => format!("{digits:0<6}").get(..6)?.parse().ok()?,
    };
    Time::from_hms_micro(hour, minute, second.parse().ok()?, microsecond).ok()
}

fn offset_of(text: &str) -> Option<UtcOffset> {
    let (sign, digits) = match text.split_at_checked(1) {
        None => return Some(UtcOffset::UTC),
        Some(("Z" | "z", "")) => return Some(UtcOffset::UTC),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some(_) => return None,
    };
    let digits: String = digits.chars().filter(|character| *character != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes: i8 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    UtcOffset::from_hms(sign * hours.parse::<i8>().ok()?, sign * minutes, 0).ok()
}

/// In UTC, as PostgreSQL shows it there, whatever the session's time zone: with its offset it means the same everywhere.
fn shown(microseconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1_000) else {
        return "infinity".to_owned();
    };
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, fraction) = at.to_hms_micro();
    let fraction = match fraction {
        0 => String::new(),
        fraction => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}+00", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_shown_as_postgresql_does() {
        for (text, expected) in [
            ("2026-11-21", "2026-11-21 00:00:00+00"),
            ("2026-11-21 08:30", "2026-11-21 08:30:00+00"),
            ("2026-11-21T08:30:00.25Z", "2026-11-21 08:30:00.25+00"),
            ("2026-11-21 08:30:00+02", "2026-11-21 06:30:00+00"),
            ("2026-11-21 08:30:00-05:30", "2026-11-21 14:00:00+00"),
        ] {
            let Ok(Value::Moment(at)) = Type::Moment.read(text) else { panic!("{text}") };
            assert_eq!(shown(at), expected, "{text}");
        }
        for text in
            ["", "now", "2026-13-01", "2026-11-21 25:00", "2026-11-21x", "2026-11-21 08:30:00+xx", "äöü-äöü-äöü"]
        {
            assert_eq!(Type::Moment.read(text).unwrap_err().sqlstate, "22P02", "{text}");
        }
    }

    #[test]
    fn binary_values_go_out_as_they_come_in() {
        for value in [
            Value::Text("é".to_owned()),
            Value::Boolean(true),
            Value::Integer(-7),
            Value::Float(1.5),
            Value::seconds(1_000_000_000),
        ] {
            let of = value.of().unwrap();
            let bytes = value.encode(Format::Binary).unwrap();
            assert_eq!(Value::decode(&bytes, Format::Binary, of.oid(), of), Ok(value.clone()));
            let text = value.encode(Format::Text).unwrap();
            assert_eq!(Value::decode(&text, Format::Text, 0, of), Ok(value));
        }
        // 2000-01-01 is PostgreSQL's zero.
        assert_eq!(Value::Moment(EPOCH).encode(Format::Binary).unwrap(), [0; 8].as_slice());
    }

    #[test]
    fn parameters_of_other_types_are_taken_where_they_mean_the_same() {
        let four = Value::decode(&4_i32.to_be_bytes(), Format::Binary, oid::INT4, Type::Integer);
        assert_eq!(four, Ok(Value::Integer(4)));
        assert_eq!(Value::decode(b"4", Format::Text, oid::TEXT, Type::Integer), Ok(Value::Integer(4)));
        assert!(Value::decode(b"4", Format::Text, oid::INT4, Type::Boolean).is_err());
        assert!(Value::decode(b"x", Format::Binary, oid::INT4, Type::Integer).is_err());
        assert!(Value::decode(b"{}", Format::Text, 114, Type::Text).is_err());
    }
}
