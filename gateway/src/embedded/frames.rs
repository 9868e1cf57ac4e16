//! Frames of PostgreSQL's protocol: reading a client's, writing and telling apart a server's.
//!
//! Separate from the session, and without PostgreSQL, so that hostile input can be tried on it alone. Every size is
//! bounded before memory is taken. Source: <https://www.postgresql.org/docs/17/protocol-message-formats.html>.

use std::io::{self, Read};

/// The longest start-up packet, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest message and the longest batch of messages up to its end.
const BATCH_BYTES_MAX: usize = 16 << 20;
const PROTOCOL_3_0: u32 = 3 << 16;

/// What a client said that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("cannot read the client's message: {0}")]
    Input(#[from] io::Error),
    #[error("a message of {0} bytes is longer than allowed, or shorter than possible")]
    Length(usize),
    #[error("unexpected message of type {0:#04x}")]
    Type(u8),
    #[error("the start-up packet asks for protocol {major}.{minor}; this server speaks 3.0", major = .0 >> 16, minor = .0 & 0xffff)]
    Protocol(u32),
    #[error("the start-up packet is malformed")]
    Startup,
}

/// The parameters of a start-up packet, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Startup {
    parameters: Vec<(String, String)>,
}

impl Startup {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Settings of the session: those named outright, after those in `options`.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let mut settings = parse_options(self.parameter("options").unwrap_or_default());
        let plain =
            |name: &str| !matches!(name, "user" | "database" | "options" | "replication") && !name.starts_with("_pq_.");
        settings.extend(self.parameters.iter().filter(|(name, _)| plain(name)).cloned());
        settings
    }
}

/// What a client sends after the start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Messages up to and with the one that wants an answer: Query, Sync or Flush.
    Batch(Vec<u8>),
    /// Terminate.
    Terminate,
}

/// Reads the start-up packet.
pub(super) fn read_startup(input: &mut impl Read) -> Result<Startup, FrameError> {
    let length = read_length(input)?;
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(FrameError::Length(length));
    }
    let body = read_exactly(input, length - 4)?;
    let (version, rest) = body.split_first_chunk::<4>().ok_or(FrameError::Startup)?;
    let version = u32::from_be_bytes(*version);
    if version != PROTOCOL_3_0 {
        return Err(FrameError::Protocol(version));
    }
    let text = std::str::from_utf8(rest).map_err(|_| FrameError::Startup)?;
    parse_parameters(text).map(|parameters| Startup { parameters })
}

/// Reads messages up to the next that wants an answer.
pub(super) fn read_batch(input: &mut impl Read) -> Result<Incoming, FrameError> {
    let mut batch = Vec::new();
    loop {
        let [kind] = read_array(input)?;
        let length = read_length(input)?;
        if length < 4 || length.saturating_add(batch.len()) > BATCH_BYTES_MAX {
            return Err(FrameError::Length(length));
        }
        match kind {
            b'X' => return Ok(Incoming::Terminate),
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'S' | b'H' => {}
            // Copy messages and function calls bring the embedded server down.
            _ => return Err(FrameError::Type(kind)),
        }
        batch.push(kind);
        batch.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        batch.append(&mut read_exactly(input, length - 4)?);
        if matches!(kind, b'Q' | b'S' | b'H') {
            return Ok(Incoming::Batch(batch));
        }
    }
}

/// The messages in a server's answer: type and body. Ends at the first that is not whole.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(4)?;
        let (body, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((*kind, body))
    })
}

/// Writes one message.
pub(super) fn put(output: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    output.push(kind);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(body);
}

/// The body of a message made of texts, each ended by a zero.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    texts.into_iter().flat_map(|text| text.bytes().chain([0])).collect()
}

/// An ErrorResponse that ends the session.
pub(super) fn fatal(code: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)] {
        body.push(field);
        body.extend(texts([value]));
    }
    body.push(0);
    let mut output = Vec::new();
    put(&mut output, b'E', &body);
    output
}

fn read_length(input: &mut impl Read) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(read_array(input)?);
    usize::try_from(length).map_err(|_| FrameError::Length(usize::MAX))
}

fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], FrameError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

// The length is the client's claim, so memory grows with what arrives, not with what is promised.
fn read_exactly(input: &mut impl Read, length: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::with_capacity(length.min(64 << 10));
    let read = input.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    if read < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

fn parse_parameters(text: &str) -> Result<Vec<(String, String)>, FrameError> {
    let mut parts = text.strip_suffix("\0").ok_or(FrameError::Startup)?.split_terminator('\0');
    let mut parameters = Vec::new();
    while let Some(name) = parts.next() {
        let value = parts.next().ok_or(FrameError::Startup)?;
        parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(parameters)
}

/// `-c name=value` and `--name=value`, where a backslash takes the next character as it is.
fn parse_options(options: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (character, _) if character.is_ascii_whitespace() => words.push(String::new()),
            (character, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    let setting = |word: &str| {
        let (name, value) = word.strip_prefix("--").or(word.strip_prefix("-c")).unwrap_or(word).split_once('=')?;
        // PostgreSQL takes a dash in such a name for an underscore.
        Some((name.replace('-', "_"), value.to_owned()))
    };
    words.iter().filter_map(|word| setting(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup_packet(parameters: &[&str]) -> Vec<u8> {
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        body.extend(texts(parameters.iter().copied()));
        body.push(0);
        [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
    }

    #[test]
    fn a_start_up_packet_gives_its_parameters_and_settings() {
        let packet = startup_packet(&[
            "user",
            "postgres",
            "database",
            "demo",
            "options",
            r"-c search_path=a,\ b --work-mem=4MB",
            "TimeZone",
            "UTC",
        ]);
        let startup = read_startup(&mut packet.as_slice()).unwrap();
        assert_eq!(startup.parameter("user"), Some("postgres"));
        let settings = startup.settings();
        let expected = [("search_path", "a, b"), ("work_mem", "4MB"), ("TimeZone", "UTC")];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn start_up_packets_that_are_none_are_refused() {
        let refused = |bytes: &[u8]| read_startup(&mut &*bytes).unwrap_err();
        assert!(matches!(refused(b"GET / HTTP/1.1\r\n"), FrameError::Length(_)));
        assert!(matches!(refused(&[0, 0, 0, 4]), FrameError::Length(4)));
        assert!(matches!(refused(&[0, 0, 0, 8, 0, 3, 0, 2]), FrameError::Protocol(_)));
        assert!(matches!(refused(&[0, 0, 0, 9, 0, 3, 0, 0, 1]), FrameError::Startup));
        assert!(matches!(refused(&[0, 0, 0, 99, 0, 3, 0, 0]), FrameError::Input(_)));
        assert!(matches!(refused(&startup_packet(&["user"])), FrameError::Startup));
    }

    #[test]
    fn a_batch_ends_with_the_message_that_wants_an_answer() {
        let mut bytes = Vec::new();
        put(&mut bytes, b'P', &texts(["", "SELECT 1"]));
        put(&mut bytes, b'S', b"");
        let first = bytes.clone();
        put(&mut bytes, b'Q', &texts(["SELECT 2"]));
        put(&mut bytes, b'X', b"");
        let mut input = bytes.as_slice();
        assert_eq!(read_batch(&mut input).unwrap(), Incoming::Batch(first));
        assert!(matches!(read_batch(&mut input).unwrap(), Incoming::Batch(batch) if batch.starts_with(b"Q")));
        assert_eq!(read_batch(&mut input).unwrap(), Incoming::Terminate);
        assert!(matches!(read_batch(&mut input), Err(FrameError::Input(_))));
    }

    #[test]
    fn messages_that_would_harm_the_server_are_refused() {
        assert!(matches!(read_batch(&mut &b"d\0\0\0\x05x"[..]), Err(FrameError::Type(b'd'))));
        assert!(matches!(read_batch(&mut &b"Q\xff\xff\xff\xff"[..]), Err(FrameError::Length(_))));
        assert!(matches!(read_batch(&mut &b"Q\0\0\0\x03"[..]), Err(FrameError::Length(3))));
    }

    #[test]
    fn an_error_that_ends_the_session_is_one_message() {
        let error = fatal("08P01", "no");
        let seen: Vec<_> = messages(&error).collect();
        assert_eq!(seen, [(b'E', &b"SFATAL\0VFATAL\0C08P01\0Mno\0\0"[..])]);
    }

    #[test]
    fn a_servers_messages_are_told_apart() {
        let mut bytes = Vec::new();
        put(&mut bytes, b'C', &texts(["SELECT 1"]));
        put(&mut bytes, b'Z', b"I");
        bytes.push(b'D');
        let seen: Vec<_> = messages(&bytes).collect();
        assert_eq!(seen, [(b'C', &b"SELECT 1\0"[..]), (b'Z', &b"I"[..])]);
    }
}
