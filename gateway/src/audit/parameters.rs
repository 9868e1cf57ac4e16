//! How much of a statement's parameters is recorded.
//!
//! Parameters are where values about people tend to be, so the settings decide: all of it, only the types, or nothing.
//! Binary values of the common types are recorded as people read them; others as hexadecimal digits.

use std::fmt::Write as _;

use passgate_connectors::{Bind, Format};
use serde_json::{Value, json};

use super::record::clip;

/// How much of a statement's parameters is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parameters {
    /// Types and values.
    #[default]
    Full,
    /// Types only.
    Types,
    /// Nothing.
    None,
}

/// Bytes of one value, and number of values, that are recorded at most.
const VALUE_BYTES_MAX: usize = 4096;
const VALUES_MAX: usize = 256;

/// The parameters of one run, as the setting allows: one object each, with its `type` and, in full, its `value`.
pub(super) fn record(setting: Parameters, types: &[u32], bind: &Bind) -> Option<Vec<Value>> {
    if setting == Parameters::None {
        return None;
    }
    let one = |(index, value): (usize, &Option<bytes::Bytes>)| {
        let oid = types.get(index).copied().unwrap_or(0);
        match setting {
            Parameters::Full => {
                json!({ "type": type_name(oid), "value": shown(oid, format(bind, index), value.as_deref()) })
            }
            Parameters::Types | Parameters::None => json!({ "type": type_name(oid) }),
        }
    };
    let mut list: Vec<Value> = bind.parameters.iter().enumerate().take(VALUES_MAX).map(one).collect();
    if let Some(more) = bind.parameters.len().checked_sub(VALUES_MAX).filter(|more| *more > 0) {
        list.push(json!({ "omitted": more }));
    }
    Some(list)
}

/// No formats mean text for all, one means the same for all.
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, Bind.
fn format(bind: &Bind, index: usize) -> Format {
    match bind.parameter_formats.as_slice() {
        [] => Format::Text,
        [all] => *all,
        each => each.get(index).copied().unwrap_or_default(),
    }
}

fn shown(oid: u32, format: Format, value: Option<&[u8]>) -> Value {
    let Some(bytes) = value else { return Value::Null };
    let decoded = match format {
        Format::Text => std::str::from_utf8(bytes).ok().map(|text| text.into()),
        Format::Binary => binary(oid, bytes),
    };
    match decoded {
        Some(Value::String(text)) => clip(&text, VALUE_BYTES_MAX).into(),
        Some(value) => value,
        None => hexadecimal(bytes).into(),
    }
}

/// A binary value of a type whose form is known.
/// Source: the `*send` functions of PostgreSQL, `src/backend/utils/adt`.
fn binary(oid: u32, bytes: &[u8]) -> Option<Value> {
    Some(match oid {
        16 => json!(bytes == [1]),
        21 => json!(i16::from_be_bytes(bytes.try_into().ok()?)),
        23 => json!(i32::from_be_bytes(bytes.try_into().ok()?)),
        26 => json!(u32::from_be_bytes(bytes.try_into().ok()?)),
        // As text: JSON readers keep no more than 53 bits of a number.
        20 => json!(i64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        700 => json!(f32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        701 => json!(f64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        19 | 25 | 114 | 705 | 1042 | 1043 => json!(std::str::from_utf8(bytes).ok()?),
        2950 => json!(uuid::Uuid::from_slice(bytes).ok()?.to_string()),
        _ => return None,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let shown = bytes.get(..VALUE_BYTES_MAX / 2).unwrap_or(bytes);
    let mut text = shown.iter().fold(String::from("\\x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if shown.len() < bytes.len() {
        let _ = write!(text, "… [cut: {} of {} bytes]", shown.len(), bytes.len());
    }
    text
}

/// The names of the types clients use most; others by number. Source: PostgreSQL's `pg_type.dat`.
fn type_name(oid: u32) -> String {
    let name = match oid {
        0 => "unknown",
        16 => "bool",
        17 => "bytea",
        19 => "name",
        20 => "int8",
        21 => "int2",
        23 => "int4",
        25 => "text",
        26 => "oid",
        114 => "json",
        700 => "float4",
        701 => "float8",
        705 => "unknown",
        1042 => "bpchar",
        1043 => "varchar",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        1700 => "numeric",
        2950 => "uuid",
        3802 => "jsonb",
        _ => return format!("oid {oid}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn bind(format: Format, values: &[Option<&'static [u8]>]) -> Bind {
        let parameters = values.iter().map(|value| value.map(Bytes::from_static)).collect();
        Bind { parameter_formats: vec![format], parameters, ..Bind::default() }
    }

    #[test]
    fn values_are_recorded_as_people_read_them() {
        let bind = bind(Format::Binary, &[Some(&[0, 0, 0, 42]), Some(b"Ada"), None, Some(&[0xde, 0xad]), Some(&[1])]);
        assert_eq!(
            record(Parameters::Full, &[23, 25, 25, 1700, 16], &bind),
            Some(vec![
                json!({"type": "int4", "value": 42}),
                json!({"type": "text", "value": "Ada"}),
                json!({"type": "text", "value": null}),
                json!({"type": "numeric", "value": "\\xdead"}),
                json!({"type": "bool", "value": true}),
            ])
        );
    }

    #[test]
    fn types_and_none_hold_no_value() {
        let bind = bind(Format::Text, &[Some(b"123-45-6789"), None]);
        assert_eq!(
            record(Parameters::Types, &[25], &bind),
            Some(vec![json!({"type": "text"}), json!({"type": "unknown"})])
        );
        assert_eq!(record(Parameters::None, &[25], &bind), None);
    }

    #[test]
    fn lying_and_large_values_are_recorded_and_bounded() {
        let lying = bind(Format::Binary, &[Some(&[1, 2, 3]), Some(&[0xff])]);
        let shown = record(Parameters::Full, &[23, 25], &lying).unwrap();
        assert_eq!(shown[0]["value"], "\\x010203");
        assert_eq!(shown[1]["value"], "\\xff");
        let many = Bind { parameters: vec![Some(Bytes::from(vec![b'x'; 100_000])); 60_000], ..Bind::default() };
        let shown = record(Parameters::Full, &[], &many).unwrap();
        assert_eq!(shown.last(), Some(&json!({"omitted": 59_744})));
        assert!(shown[0]["value"].as_str().unwrap().len() < 5_000);
    }
}
