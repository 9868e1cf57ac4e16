//! What a server said, in the notation of the conversations.

use std::fmt;

use bytes::{Buf, Bytes};
use serde_json::{Map, Value, json};

/// One message from a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Its name.
    pub message: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

impl fmt::Display for Heard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {argument}"))
    }
}

impl Heard {
    /// Reads a message from its type byte and body; `None` when the body is too short for its type.
    ///
    /// Layouts: <https://www.postgresql.org/docs/15/protocol-message-formats.html>.
    pub(super) fn read(kind: u8, mut body: Bytes) -> Option<Self> {
        let body = &mut body;
        let (message, arguments) = match kind {
            b'1' => ("ParseComplete", vec![]),
            b'2' => ("BindComplete", vec![]),
            b'3' => ("CloseComplete", vec![]),
            b'n' => ("NoData", vec![]),
            b's' => ("PortalSuspended", vec![]),
            b'I' => ("EmptyQueryResponse", vec![]),
            b't' => ("ParameterDescription", vec![list(body, |body| Some(json!(body.try_get_u32().ok()?)))?]),
            b'T' => ("RowDescription", vec![list(body, column)?]),
            b'D' => ("DataRow", vec![list(body, value)?]),
            b'C' => ("CommandComplete", vec![json!(text(body)?)]),
            b'Z' => ("ReadyForQuery", vec![json!(char::from(body.try_get_u8().ok()?).to_string())]),
            b'H' => (
                "CopyOutResponse",
                vec![json!(body.try_get_u8().ok()?), list(body, |body| Some(json!(body.try_get_u16().ok()?)))?],
            ),
            b'd' => (
                "CopyData",
                vec![std::str::from_utf8(body).map_or_else(|_| json!({ "hex": hex(body) }), |text| json!(text))],
            ),
            b'c' => ("CopyDone", vec![]),
            b'E' => ("ErrorResponse", vec![fields(body)?]),
            b'N' => ("NoticeResponse", vec![fields(body)?]),
            b'S' => ("ParameterStatus", vec![json!(text(body)?), json!(text(body)?)]),
            b'K' => ("BackendKeyData", vec![json!(body.try_get_u32().ok()?), json!(hex(body))]),
            b'R' => ("Authentication", vec![json!(body.try_get_u32().ok()?)]),
            other => return Some(Self { message: format!("Unknown-{}", char::from(other)), arguments: vec![] }),
        };
        Some(Self { message: message.to_owned(), arguments })
    }

    /// The end of the connection.
    pub(super) fn closed() -> Self {
        Self { message: "Closed".to_owned(), arguments: Vec::new() }
    }

    /// Whether an expectation is met: the same message, with the same arguments; of an error only the named fields.
    pub(super) fn meets(&self, message: &str, arguments: &[Value]) -> bool {
        let same = || match (self.arguments.first(), arguments.first()) {
            (Some(Value::Object(heard)), Some(Value::Object(wanted))) => {
                wanted.iter().all(|(field, value)| heard.get(field) == Some(value))
            }
            (Some(Value::Object(_)), None) => true,
            _ => self.arguments == arguments,
        };
        self.message == message && same()
    }
}

fn list(body: &mut Bytes, element: impl Fn(&mut Bytes) -> Option<Value>) -> Option<Value> {
    let count = body.try_get_u16().ok()?;
    (0..count).map(|_| element(body)).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// `name:type oid`, with `:binary` at the end where it is.
fn column(body: &mut Bytes) -> Option<Value> {
    let name = text(body)?;
    let (_table, _attribute) = (body.try_get_u32().ok()?, body.try_get_u16().ok()?);
    let type_oid = body.try_get_u32().ok()?;
    let (_size, _modifier) = (body.try_get_u16().ok()?, body.try_get_u32().ok()?);
    let suffix = if body.try_get_u16().ok()? == 1 { ":binary" } else { "" };
    Some(json!(format!("{name}:{type_oid}{suffix}")))
}

fn value(body: &mut Bytes) -> Option<Value> {
    let Ok(length) = usize::try_from(body.try_get_i32().ok()?) else { return Some(Value::Null) };
    let bytes = (body.len() >= length).then(|| body.split_to(length))?;
    Some(std::str::from_utf8(&bytes).map_or_else(|_| json!({ "hex": hex(&bytes) }), |text| json!(text)))
}

fn fields(body: &mut Bytes) -> Option<Value> {
    let mut found = Map::new();
    loop {
        let name = match body.try_get_u8().ok()? {
            0 => return Some(Value::Object(found)),
            b'S' => "severity",
            b'C' => "code",
            b'M' => "message",
            b'D' => "detail",
            b'H' => "hint",
            b'P' => "position",
            _ => {
                text(body)?;
                continue;
            }
        };
        found.insert(name.to_owned(), json!(text(body)?));
    }
}

fn text(body: &mut Bytes) -> Option<String> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = body.split_to(end);
    body.advance(1);
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
