//! How a line proves that nothing before it was touched.
//!
//! Every line ends in the same three fields, and its hash covers the hash of the line before it:
//!
//! ```text
//! {"timestamp":"…", … ,"sequence":7,"previous_hash":"<64 hex digits>","hash":"<64 hex digits>"}
//!  └──────────────────── these bytes ──────────────────────────────┘
//! hash = SHA-256(previous hash, 32 bytes ‖ the bytes of the line before `,"hash":"`)
//! ```
//!
//! so an auditor needs no more than SHA-256 to check it. With a chain key the hash is HMAC-SHA-256 (RFC 2104) instead,
//! and whoever can write the file but does not know the key cannot make a chain that holds. The first line follows a
//! hash of zeros. This file is pure: the same bytes go in for writing, for verifying and for a fuzzer.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use passgate_connectors::Secret;
use sha2::{Digest, Sha256};

const SEQUENCE: &[u8] = b",\"sequence\":";
const PREVIOUS: &[u8] = b",\"previous_hash\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const HEX_LENGTH: usize = 64;

/// A hash, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hash([u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl FromStr for Hash {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::from_hex(text.as_bytes()).ok_or(Malformed("a hash is 64 lower-case hexadecimal digits"))
    }
}

impl Hash {
    /// Reads a hash; capitals are refused, so that a hash is written in one way only.
    fn from_hex(digits: &[u8]) -> Option<Self> {
        if digits.len() != HEX_LENGTH {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *byte = nibble(high)? << 4 | nibble(low)?;
        }
        Some(Self(bytes))
    }

    fn to_hex(self) -> [u8; HEX_LENGTH] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut hex = [0; HEX_LENGTH];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        hex
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The end of a chain: the sequence number and hash of its last line. `0` and zeros before the first.
///
/// Written `SEQUENCE:HASH`, for instance to keep it where nobody who can write the log can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// The line's number, from 1.
    pub sequence: u64,
    /// The line's hash.
    pub hash: Hash,
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Link {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let problem = Malformed("expected SEQUENCE:HASH, a number, a colon and 64 lower-case hexadecimal digits");
        let (sequence, hash) = text.split_once(':').ok_or_else(|| problem.clone())?;
        let sequence = sequence.parse().map_err(|_| problem.clone())?;
        Ok(Self { sequence, hash: hash.parse().map_err(|_| problem)? })
    }
}

/// Bytes that are not a line, a hash or a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// Makes hashes: plain, or keyed.
#[derive(Clone)]
pub(super) struct Sealer(Option<Hmac<Sha256>>);

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Sealer(keyed)" } else { "Sealer(plain)" })
    }
}

impl Sealer {
    pub(super) fn new(key: Option<&Secret>) -> Self {
        // HMAC takes a key of any length, so this cannot fail; were it to, the chain would visibly not verify.
        Self(key.and_then(|key| Hmac::new_from_slice(key.expose().as_bytes()).ok()))
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn hash(&self, previous: &Hash, bytes: &[u8]) -> Hash {
        match &self.0 {
            None => Hash(Sha256::new().chain_update(previous.0).chain_update(bytes).finalize().into()),
            Some(keyed) => {
                Hash(keyed.clone().chain_update(previous.0).chain_update(bytes).finalize().into_bytes().into())
            }
        }
    }

    /// Appends `body`, an object without its closing brace, as the line after `last`; says where the chain ends then.
    pub(super) fn push_line(&self, last: Link, body: &[u8], out: &mut Vec<u8>) -> Link {
        let start = out.len();
        let sequence = last.sequence.saturating_add(1);
        out.extend_from_slice(body);
        out.extend_from_slice(SEQUENCE);
        out.extend_from_slice(sequence.to_string().as_bytes());
        out.extend_from_slice(PREVIOUS);
        out.extend_from_slice(&last.hash.to_hex());
        out.push(b'"');
        let hash = self.hash(&last.hash, out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH);
        out.extend_from_slice(&hash.to_hex());
        out.extend_from_slice(b"\"}\n");
        Link { sequence, hash }
    }
}

/// A line's own claim of its place in the chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) link: Link,
    pub(super) previous: Hash,
    hashed: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads the three last fields of a line (without its line feed), from the end.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Malformed> {
        let unfinished = Malformed("it does not end in a hash");
        let rest = line.strip_suffix(b"\"}").ok_or_else(|| unfinished.clone())?;
        let (rest, hash) = split_hash(rest).ok_or_else(|| unfinished.clone())?;
        let hashed = rest.strip_suffix(HASH).ok_or(unfinished)?;
        let no_previous = Malformed("it does not name the hash before it");
        let rest = hashed.strip_suffix(b"\"").ok_or_else(|| no_previous.clone())?;
        let (rest, previous) = split_hash(rest).ok_or_else(|| no_previous.clone())?;
        let rest = rest.strip_suffix(PREVIOUS).ok_or(no_previous)?;
        let sequence = trailing_number(rest).ok_or(Malformed("it has no sequence number"))?;
        Ok(Self { link: Link { sequence, hash }, previous, hashed })
    }

    /// Whether the hash is that of the line's bytes.
    pub(super) fn holds(&self, sealer: &Sealer) -> bool {
        sealer.hash(&self.previous, self.hashed) == self.link.hash
    }
}

fn split_hash(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    let (rest, digits) = bytes.split_at_checked(bytes.len().checked_sub(HEX_LENGTH)?)?;
    Some((rest, Hash::from_hex(digits)?))
}

fn trailing_number(bytes: &[u8]) -> Option<u64> {
    let length = bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, digits) = bytes.split_at_checked(bytes.len().checked_sub(length)?)?;
    rest.ends_with(SEQUENCE).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The SHA-256 of a text, for a record that holds only its beginning.
pub(super) fn digest(text: &str) -> String {
    Hash(Sha256::digest(text.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_an_auditor_computes() {
        // printf with 32 zero bytes, then {"a":1,"sequence":1,"previous_hash":"00…00", piped to sha256sum.
        let mut line = Vec::new();
        let link = Sealer::new(None).push_line(Link::default(), b"{\"a\":1", &mut line);
        let mut input = vec![0; 32];
        input.extend(format!("{{\"a\":1,\"sequence\":1,\"previous_hash\":\"{}\"", "0".repeat(64)).into_bytes());
        let expected: [u8; 32] = Sha256::digest(&input).into();
        assert_eq!(link, Link { sequence: 1, hash: Hash(expected) });
        let text = String::from_utf8(line).unwrap();
        assert!(text.ends_with(&format!(",\"hash\":\"{}\"}}\n", link.hash)), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn a_line_reads_back_and_holds_only_under_its_key() {
        let key = Secret::new("between the auditor and the gateway");
        let keyed = Sealer::new(Some(&key));
        let mut line = Vec::new();
        let link = keyed.push_line(Link { sequence: 41, hash: Hash([7; 32]) }, b"{\"a\":1", &mut line);
        line.pop();
        let read = Line::read(&line).unwrap();
        assert_eq!((read.link, read.previous), (link, Hash([7; 32])));
        assert!(read.holds(&keyed));
        assert!(!read.holds(&Sealer::new(None)));
        assert!(!read.holds(&Sealer::new(Some(&Secret::new("another")))));
        assert_eq!(format!("{keyed:?}"), "Sealer(keyed)");
    }

    #[test]
    fn a_link_reads_back() {
        let link = Link { sequence: 12, hash: Hash([0xab; 32]) };
        assert_eq!(link.to_string().parse(), Ok(link));
        for wrong in ["", "12", "12:", ":", "x:00", &format!("1:{}", "A".repeat(64))] {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
    }
}
