//! The packets before the first message: requests for encryption, to cancel, and to start.
//!
//! They have no type byte, which is why they are kept apart from the messages.

use bytes::Bytes;

use crate::body::Body;
use crate::frontend::{Frontend, Malformed};

/// A protocol version as it stands in the start-up packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion {
    /// Major: 3 since PostgreSQL 7.4.
    pub major: u16,
    /// Minor.
    pub minor: u16,
}

impl ProtocolVersion {
    /// The oldest we speak.
    pub const OLDEST: Self = Self { major: 3, minor: 0 };
    /// The newest we speak: PostgreSQL 18's.
    pub const NEWEST: Self = Self { major: 3, minor: 2 };

    /// As the 32-bit number of the protocol.
    pub fn number(self) -> i32 {
        (i32::from(self.major) << 16) | i32::from(self.minor)
    }

    /// Whether the client reads cancel keys longer than four bytes: those came with 3.2.
    pub fn has_long_cancel_keys(self) -> bool {
        self >= Self { major: 3, minor: 2 }
    }
}

/// A start-up packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The version asked for.
    pub version: ProtocolVersion,
    /// Parameters in the order given; a name may come twice.
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    /// The value of a parameter; the last one counts.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Settles on a version, as PostgreSQL 18 does: a newer minor is answered with ours, and so is an option of the
    /// protocol itself (`_pq_.`) that we do not know. Minor 1 was never used but is not refused.
    ///
    /// Source: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>.
    pub fn negotiate(&self) -> Result<Negotiation, UnsupportedVersion> {
        if self.version.major != ProtocolVersion::NEWEST.major {
            return Err(UnsupportedVersion { asked: self.version });
        }
        let unknown_options: Vec<String> = self
            .parameters
            .iter()
            .filter(|(name, _)| name.starts_with("_pq_."))
            .map(|(name, _)| name.clone())
            .collect();
        let version = self.version.min(ProtocolVersion::NEWEST);
        let must_tell = version != self.version || !unknown_options.is_empty();
        Ok(Negotiation { version, must_tell, unknown_options })
    }
}

/// What start-up settled on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiation {
    /// The version spoken from here on.
    pub version: ProtocolVersion,
    /// Whether the client must be told with NegotiateProtocolVersion.
    pub must_tell: bool,
    /// Options of the protocol that we do not know.
    pub unknown_options: Vec<String>,
}

/// The client speaks another major version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", .asked.major, .asked.minor)]
pub struct UnsupportedVersion {
    /// The version asked for.
    pub asked: ProtocolVersion,
}

/// A request to cancel what another connection runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The process id given in BackendKeyData.
    pub process_id: i32,
    /// The key given with it.
    pub key: Bytes,
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cancel").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

const SSL_REQUEST: i32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: i32 = 80_877_104;
const CANCEL_REQUEST: i32 = 80_877_102;
/// Keys are four bytes up to protocol 3.0 and up to 256 since 3.2.
const CANCEL_KEY_BYTES: std::ops::RangeInclusive<usize> = 4..=256;

/// Reads an opening packet without its length word.
pub(crate) fn opening(packet: Bytes) -> Result<Frontend, Malformed> {
    let mut body = Body::new(packet);
    match body.i32()? {
        SSL_REQUEST => body.end().map(|()| Frontend::SslRequest),
        GSS_ENCRYPTION_REQUEST => body.end().map(|()| Frontend::GssEncryptionRequest),
        CANCEL_REQUEST => cancel(body),
        code => startup(code, body),
    }
}

fn cancel(mut body: Body) -> Result<Frontend, Malformed> {
    let process_id = body.i32()?;
    let key = body.rest();
    if !CANCEL_KEY_BYTES.contains(&key.len()) {
        return Err(Malformed::CancelKey);
    }
    Ok(Frontend::Cancel(Cancel { process_id, key }))
}

fn startup(code: i32, mut body: Body) -> Result<Frontend, Malformed> {
    let [major_high, major_low, minor_high, minor_low] = code.to_be_bytes();
    let version = ProtocolVersion {
        major: u16::from_be_bytes([major_high, major_low]),
        minor: u16::from_be_bytes([minor_high, minor_low]),
    };
    let mut parameters = Vec::new();
    // Another major version may lay the rest out in another way.
    if version.major == ProtocolVersion::NEWEST.major {
        loop {
            let name = body.string()?;
            if name.is_empty() {
                break;
            }
            parameters.push((name, body.string()?));
        }
        body.end()?;
    }
    Ok(Frontend::Startup(Startup { version, parameters }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(minor: u16, options: &[&str]) -> Startup {
        let parameters = options.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Startup { version: ProtocolVersion { major: 3, minor }, parameters }
    }

    #[test]
    fn versions_we_speak_need_no_negotiation() {
        for minor in [0, 1, 2] {
            let settled = asking(minor, &["user"]).negotiate().unwrap();
            assert_eq!((settled.version.minor, settled.must_tell), (minor, false));
        }
    }

    #[test]
    fn a_newer_minor_is_answered_with_ours() {
        let settled = asking(9999, &[]).negotiate().unwrap();
        assert_eq!((settled.version, settled.must_tell), (ProtocolVersion::NEWEST, true));
    }

    #[test]
    fn an_unknown_option_is_named_and_the_version_kept() {
        let settled = asking(0, &["user", "_pq_.command_tag_format"]).negotiate().unwrap();
        assert_eq!(settled.version, ProtocolVersion::OLDEST);
        assert_eq!(settled.unknown_options, ["_pq_.command_tag_format"]);
    }

    #[test]
    fn another_major_is_refused_in_the_words_of_postgresql() {
        let startup = Startup { version: ProtocolVersion { major: 2, minor: 0 }, parameters: Vec::new() };
        let refused = startup.negotiate().unwrap_err();
        assert_eq!(refused.to_string(), "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
    }

    #[test]
    fn a_cancel_key_does_not_print() {
        let cancel = Cancel { process_id: 7, key: Bytes::from_static(b"hunter2!") };
        assert_eq!(format!("{cancel:?}"), "Cancel { process_id: 7, .. }");
    }
}
