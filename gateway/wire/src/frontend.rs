//! Messages a client sends.

use bytes::Bytes;

use crate::body::Body;
use crate::startup::{Cancel, Startup};

/// A message from a client. The unnamed statement and portal have the empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// SSLRequest.
    SslRequest,
    /// GSSENCRequest.
    GssEncryptionRequest,
    /// CancelRequest.
    Cancel(Cancel),
    /// StartupMessage.
    Startup(Startup),
    /// The body of a `p` message: a password or a part of a SASL exchange. Who asked knows which.
    Answer(Answer),
    /// Query.
    Query(String),
    /// Parse.
    Parse(Parse),
    /// Bind.
    Bind(Bind),
    /// Describe.
    Describe(Target),
    /// Execute.
    Execute {
        /// The portal.
        portal: String,
        /// The most rows to answer; 0 for all.
        rows_max: u32,
    },
    /// Close.
    Close(Target),
    /// Flush.
    Flush,
    /// Sync.
    Sync,
    /// Terminate.
    Terminate,
    /// FunctionCall, which nobody has used for twenty years. Its body is not read.
    FunctionCall,
    /// CopyData.
    CopyData(Bytes),
    /// CopyDone.
    CopyDone,
    /// CopyFail.
    CopyFail(String),
    /// A whole message whose inside is wrong. The ones after it can still be read.
    Malformed {
        /// Its type byte.
        kind: u8,
        /// What is wrong.
        cause: Malformed,
    },
}

/// What a client sent to prove who it is. Prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(pub Bytes);

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Answer")
    }
}

/// Parse: a text to be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// Under which name.
    pub statement: String,
    /// The text.
    pub query: String,
    /// Types of parameters by oid; 0 or absent leaves the choice to the server.
    pub parameter_types: Vec<u32>,
}

/// Bind: a prepared statement with values becomes a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The portal to make.
    pub portal: String,
    /// The statement to make it of.
    pub statement: String,
    /// How each parameter is written: none for all text, one for all, or one each; 0 text, 1 binary.
    pub parameter_formats: Vec<i16>,
    /// Values; `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// How each column is wanted, in the same manner.
    pub result_formats: Vec<i16>,
}

/// What Describe and Close are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

/// What is wrong with the inside of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too soon.
    #[error("insufficient data left in message")]
    Short,
    /// Something follows its end.
    #[error("invalid message format")]
    Long,
    /// A string without its terminating zero.
    #[error("invalid string in message")]
    Unterminated,
    /// A string that is not UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    NotUtf8,
    /// Describe or Close of something that is neither statement nor portal.
    #[error("invalid message subtype")]
    Subtype,
    /// A cancel key of an impossible length.
    #[error("invalid length of cancel request packet")]
    CancelKey,
}

/// Whether messages of this type exist after sign-in.
pub(crate) fn is_known(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'F' | b'd' | b'c' | b'f' | b'p')
}

/// Reads the body of a message.
pub(crate) fn message(kind: u8, body: Bytes) -> Frontend {
    read(kind, Body::new(body)).unwrap_or_else(|cause| Frontend::Malformed { kind, cause })
}

fn read(kind: u8, mut body: Body) -> Result<Frontend, Malformed> {
    let message = match kind {
        b'p' => Frontend::Answer(Answer(body.rest())),
        b'Q' => Frontend::Query(body.string()?),
        b'P' => Frontend::Parse(parse(&mut body)?),
        b'B' => Frontend::Bind(bind(&mut body)?),
        b'D' => Frontend::Describe(target(&mut body)?),
        b'C' => Frontend::Close(target(&mut body)?),
        b'E' => execute(&mut body)?,
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData(body.rest()),
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail(body.string()?),
        _ => {
            body.rest();
            Frontend::FunctionCall
        }
    };
    body.end()?;
    Ok(message)
}

fn parse(body: &mut Body) -> Result<Parse, Malformed> {
    Ok(Parse { statement: body.string()?, query: body.string()?, parameter_types: body.counted(4, Body::u32)? })
}

fn bind(body: &mut Body) -> Result<Bind, Malformed> {
    Ok(Bind {
        portal: body.string()?,
        statement: body.string()?,
        parameter_formats: body.counted(2, Body::i16)?,
        parameters: body.counted(4, value)?,
        result_formats: body.counted(2, Body::i16)?,
    })
}

fn value(body: &mut Body) -> Result<Option<Bytes>, Malformed> {
    match body.i32()? {
        -1 => Ok(None),
        length => body.bytes(usize::try_from(length).map_err(|_| Malformed::Short)?).map(Some),
    }
}

fn target(body: &mut Body) -> Result<Target, Malformed> {
    match body.u8()? {
        b'S' => body.string().map(Target::Statement),
        b'P' => body.string().map(Target::Portal),
        _ => Err(Malformed::Subtype),
    }
}

fn execute(body: &mut Body) -> Result<Frontend, Malformed> {
    let portal = body.string()?;
    // A negative limit means none, as PostgreSQL reads it.
    let rows_max = u32::try_from(body.i32()?).unwrap_or(0);
    Ok(Frontend::Execute { portal, rows_max })
}
