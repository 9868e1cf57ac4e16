//! A line that is sent, as bytes.

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use serde_json::Value;

use super::Line;

/// Appends the message of `line` to `out`; the error says what is wrong with the line.
pub(super) fn encode(line: &Line, out: &mut BytesMut) -> Result<(), String> {
    let arguments = Arguments(&line.arguments);
    let written = match line.message.as_str() {
        "Query" => frontend::query(arguments.text(0)?, out),
        "Parse" => frontend::parse(arguments.text(0)?, arguments.text(1)?, arguments.numbers(2)?, out),
        "Bind" => return bind(&arguments, out),
        "DescribeStatement" => frontend::describe(b'S', arguments.text(0)?, out),
        "DescribePortal" => frontend::describe(b'P', arguments.text(0)?, out),
        "CloseStatement" => frontend::close(b'S', arguments.text(0)?, out),
        "ClosePortal" => frontend::close(b'P', arguments.text(0)?, out),
        "Execute" => frontend::execute(arguments.text(0)?, arguments.number(1)?, out),
        "CopyFail" => frontend::copy_fail(arguments.text(0)?, out),
        _ => return encode_bare(line, &arguments, out),
    };
    written.map_err(|error| error.to_string())
}

/// Messages without arguments, and bytes as they are.
fn encode_bare(line: &Line, arguments: &Arguments<'_>, out: &mut BytesMut) -> Result<(), String> {
    match line.message.as_str() {
        "Flush" => frontend::flush(out),
        "Sync" => frontend::sync(out),
        "Terminate" => frontend::terminate(out),
        "CopyDone" => frontend::copy_done(out),
        "Raw" => out.extend_from_slice(&from_hex(arguments.text(0)?)?),
        other => return Err(format!("there is no message {other} to send")),
    }
    Ok(())
}

fn bind(arguments: &Arguments<'_>, out: &mut BytesMut) -> Result<(), String> {
    let values = match arguments.0.get(2) {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().map(value).collect::<Result<_, _>>()?,
        Some(other) => return Err(format!("{other} is no list of values")),
    };
    let formats = |name| match arguments.0.get(3).and_then(|formats| formats.get(name)) {
        None => Ok(Vec::new()),
        Some(formats) => serde_json::from_value::<Vec<i16>>(formats.clone()).map_err(|error| error.to_string()),
    };
    let serialize = |value: Option<Vec<u8>>, out: &mut BytesMut| {
        let Some(value) = value else { return Ok(IsNull::Yes) };
        out.extend_from_slice(&value);
        Ok(IsNull::No)
    };
    let (portal, statement) = (arguments.text(0)?, arguments.text(1)?);
    let bound = frontend::bind(portal, statement, formats("parameters")?, values, serialize, formats("results")?, out);
    bound.map_err(|_| "the values do not fit in a message".to_owned())
}

/// Text, `null`, or `{"hex": "00ff"}`.
fn value(value: &Value) -> Result<Option<Vec<u8>>, String> {
    match (value, value.get("hex").and_then(Value::as_str)) {
        (Value::Null, _) => Ok(None),
        (Value::String(text), _) => Ok(Some(text.clone().into_bytes())),
        (_, Some(hex)) => from_hex(hex).map(Some),
        _ => Err(format!("{value} is neither text, null nor hex")),
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits
        .chunks(2)
        .map(byte)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("\"{text}\" is not hexadecimal: {error}"))
}

struct Arguments<'a>(&'a [Value]);

impl Arguments<'_> {
    fn text(&self, at: usize) -> Result<&str, String> {
        self.0.get(at).and_then(Value::as_str).ok_or_else(|| format!("argument {} is not a text", at + 1))
    }

    fn number(&self, at: usize) -> Result<i32, String> {
        let number = self.0.get(at).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| format!("argument {} is not a number", at + 1))
    }

    fn numbers(&self, at: usize) -> Result<Vec<u32>, String> {
        let numbers = self.0.get(at).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        serde_json::from_value(numbers).map_err(|error| format!("argument {}: {error}", at + 1))
    }
}
