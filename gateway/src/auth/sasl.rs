//! The envelope that PostgreSQL puts around a SASL mechanism's messages.
//!
//! Separate because every SASL method opens with it.
//! Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, SASLInitialResponse.

use bytes::{Buf, Bytes};

/// A SASLInitialResponse.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Initial {
    /// The mechanism that the client chose.
    pub(super) mechanism: String,
    /// The mechanism's first message, where the client sent it along.
    pub(super) data: Option<Bytes>,
}

impl Initial {
    /// Reads the body of a `p` message: the mechanism, zero-terminated, then a length (-1 for nothing) and as many bytes.
    pub(super) fn parse(mut body: Bytes) -> Option<Self> {
        let end = body.iter().position(|byte| *byte == 0)?;
        let mechanism = String::from_utf8(body.split_to(end).to_vec()).ok()?;
        body.advance(1);
        let length = body.try_get_i32().ok()?;
        let data = match usize::try_from(length) {
            Ok(length) => (body.len() == length).then(|| Some(body))?,
            Err(_) => (length == -1 && body.is_empty()).then_some(None)?,
        };
        Some(Self { mechanism, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_mechanism_with_and_without_its_first_message() {
        let with = Initial::parse(Bytes::from_static(b"SCRAM-SHA-256\0\0\0\0\x02hi")).unwrap();
        assert_eq!((with.mechanism.as_str(), with.data.as_deref()), ("SCRAM-SHA-256", Some(b"hi".as_slice())));
        let without = Initial::parse(Bytes::from_static(b"SCRAM-SHA-256\0\xff\xff\xff\xff")).unwrap();
        assert_eq!(without.data, None);
    }

    #[test]
    fn refuses_what_is_cut_or_too_long() {
        for body in [
            b"".as_slice(),
            b"SCRAM",
            b"SCRAM\0",
            b"SCRAM\0\0\0\0",
            b"SCRAM\0\0\0\0\x03hi",
            b"SCRAM\0\0\0\0\x01hi",
            b"SCRAM\0\xff\xff\xff\xffhi",
            b"SCRAM\0\xff\xff\xff\xfe",
            b"\xff\0\0\0\0\0",
        ] {
            assert_eq!(Initial::parse(Bytes::copy_from_slice(body)), None, "{body:?}");
        }
    }
}
