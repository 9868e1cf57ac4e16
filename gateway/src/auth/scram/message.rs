//! The two messages a SCRAM client sends.
//!
//! Separate from the exchange so that reading a stranger's text stays a pure function.
//! Source: RFC 5802, section 7.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::verifier::{Key, decode_key};

/// What the client says of channel binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `n`: the client does not support it.
    Unsupported,
    /// `y`: the client supports it and thinks the server does not.
    ServerLacksIt,
    /// `p=...`: this kind is used.
    Used(String),
}

/// `n,,n=user,r=nonce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    pub(super) flag: Flag,
    /// The part that channel binding covers.
    pub(super) gs2_header: String,
    /// The part the proof covers.
    pub(super) bare: String,
    pub(super) nonce: String,
}

/// `c=binding,r=nonce,p=proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFinal {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: String,
    pub(super) without_proof: String,
    pub(super) proof: Key,
}

impl ClientFirst {
    /// Reads the message. The name in it is ignored, as PostgreSQL does: the start-up packet has said who it is about.
    pub(super) fn parse(message: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(message).map_err(|_| "the first SCRAM message is not UTF-8")?;
        let malformed = "the first SCRAM message is malformed";
        let (flag, rest) = text.split_once(',').ok_or(malformed)?;
        let (authorization, bare) = rest.split_once(',').ok_or(malformed)?;
        if !authorization.is_empty() {
            return Err("the client asks for another identity (authzid), which is not supported");
        }
        let parsed = match flag.split_once('=') {
            None if flag == "n" => Flag::Unsupported,
            None if flag == "y" => Flag::ServerLacksIt,
            Some(("p", kind)) => Flag::Used(kind.to_owned()),
            _ => return Err(malformed),
        };
        if bare.starts_with("m=") {
            return Err("the client requires a SCRAM extension, and there is none");
        }
        let (_, rest) = bare.strip_prefix("n=").and_then(|rest| rest.split_once(',')).ok_or(malformed)?;
        Ok(Self {
            flag: parsed,
            gs2_header: format!("{flag},,"),
            bare: bare.to_owned(),
            nonce: parse_nonce(rest).ok_or(malformed)?.to_owned(),
        })
    }
}

impl ClientFinal {
    /// Reads the message.
    pub(super) fn parse(message: &[u8]) -> Result<Self, &'static str> {
        let malformed = "the last SCRAM message is malformed";
        let text = std::str::from_utf8(message).map_err(|_| "the last SCRAM message is not UTF-8")?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed)?;
        let (binding, rest) = without_proof.split_once(',').ok_or(malformed)?;
        let binding = binding.strip_prefix("c=").ok_or(malformed)?;
        Ok(Self {
            binding: STANDARD.decode(binding).map_err(|_| malformed)?,
            nonce: parse_nonce(rest).ok_or(malformed)?.to_owned(),
            without_proof: without_proof.to_owned(),
            proof: decode_key(proof).ok_or(malformed)?,
        })
    }
}

/// `r=` and printable characters up to the next comma; optional extensions may follow and are ignored.
fn parse_nonce(text: &str) -> Option<&str> {
    let text = text.strip_prefix("r=")?;
    let nonce = text.split_once(',').map_or(text, |(nonce, _)| nonce);
    (!nonce.is_empty() && nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e))).then_some(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_messages_of_rfc_7677() {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.flag, Flag::Unsupported);
        assert_eq!(first.gs2_header, "n,,");
        assert_eq!(first.bare, "n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first.nonce, "rOprNGfwEbeRWgbNEkqO");
        let last = ClientFinal::parse(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        .unwrap();
        assert_eq!(last.binding, b"n,,");
        assert_eq!(last.without_proof, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    }

    #[test]
    fn refuses_other_identities_extensions_and_nonsense() {
        for text in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,r=abc",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "n,a=root,n=user,r=abc",
            "n,,m=ext,n=user,r=abc",
            "x,,n=user,r=abc",
            "p,,n=user,r=abc",
            "n=1,,n=user,r=abc",
        ] {
            assert!(ClientFirst::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", "c=biws", "c=biws,r=abc", "c=biws,r=abc,p=AAAA", "c=*,r=abc,p=", "r=abc,c=biws,p=AAAA"] {
            assert!(ClientFinal::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
