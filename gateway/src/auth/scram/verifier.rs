//! What the gateway keeps of a password, and the arithmetic of RFC 5802 on it.
//!
//! Separate because it is pure: no state of an exchange, no messages. The text form is PostgreSQL's own, so that
//! verifiers can be copied between `pg_authid` and the people file.
//! Source: <https://www.postgresql.org/docs/current/catalog-pg-authid.html>.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The iterations PostgreSQL uses, and the least RFC 7677 allows.
pub const ITERATIONS_DEFAULT: u32 = 4096;

/// Clients refuse to work harder than this for a server they do not know yet (pgjdbc, `postgres-protocol`).
pub const ITERATIONS_MAX: u32 = 100_000;

/// The length of the salt PostgreSQL makes.
pub(in crate::auth) const SALT_LENGTH: usize = 16;

const KEY_LENGTH: usize = 32;

/// A key, a signature or a proof.
pub(super) type Key = [u8; KEY_LENGTH];

/// The text to put into a people file for `password`, with a fresh random salt.
///
/// The password is prepared as clients do it: SASLprep where that works, otherwise the bytes as they are.
/// `iterations` is kept between [`ITERATIONS_DEFAULT`] and [`ITERATIONS_MAX`].
pub fn stored_verifier(password: &str, iterations: u32) -> String {
    let iterations = iterations.clamp(ITERATIONS_DEFAULT, ITERATIONS_MAX);
    Verifier::derive(password, &random::<SALT_LENGTH>(), iterations).to_text()
}

/// Bytes nobody can guess.
pub(super) fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // AWS-LC aborts rather than hand out weak bytes; to go on with zeros would be worse than to stop.
    assert!(rand::fill(&mut bytes).is_ok(), "the system has no random numbers");
    bytes
}

/// A stored verifier: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::auth) struct Verifier {
    pub(in crate::auth) iterations: u32,
    pub(in crate::auth) salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Verifier")
    }
}

/// What is wrong with the text of a verifier. Never shows any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum VerifierError {
    #[error("this is not a SCRAM-SHA-256 verifier")]
    Shape,
    #[error("the verifier's iteration count must be {ITERATIONS_DEFAULT} to {ITERATIONS_MAX}")]
    Iterations,
    #[error("the verifier's salt must be 8 to 64 bytes in base64")]
    Salt,
    #[error("the verifier's keys must be 32 bytes each in base64")]
    Keys,
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    pub(in crate::auth) fn parse(text: &str) -> Result<Self, VerifierError> {
        let rest = text.strip_prefix("SCRAM-SHA-256$").ok_or(VerifierError::Shape)?;
        let (work, keys) = rest.split_once('$').ok_or(VerifierError::Shape)?;
        let (iterations, salt) = work.split_once(':').ok_or(VerifierError::Shape)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Shape)?;
        let iterations = iterations.parse().map_err(|_| VerifierError::Iterations)?;
        if !(ITERATIONS_DEFAULT..=ITERATIONS_MAX).contains(&iterations) {
            return Err(VerifierError::Iterations);
        }
        let salt = STANDARD.decode(salt).map_err(|_| VerifierError::Salt)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(VerifierError::Salt);
        }
        let key = |text| decode_key(text).ok_or(VerifierError::Keys);
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// RFC 5802, section 3, from the password.
    pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let mut salted = [0; KEY_LENGTH];
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let server_key = sign(&salted, b"Server Key");
        Self { iterations, salt: salt.to_vec(), stored_key: hash(&client_key), server_key }
    }

    /// A verifier nobody can satisfy, for a name nobody has: it looks like a real one of this shape and is the same
    /// each time. PostgreSQL does likewise (`mock_scram_secret`).
    pub(super) fn mock(key: &hmac::Key, user: &str, iterations: u32, salt_length: usize) -> Self {
        let derive = |label: u8| {
            let mut context = hmac::Context::with_key(key);
            context.update(&[label]);
            context.update(user.as_bytes());
            fixed(context.sign().as_ref())
        };
        let salt = derive(1).into_iter().chain(derive(2)).take(salt_length).collect();
        Self { iterations, salt, stored_key: derive(3), server_key: derive(4) }
    }

    /// PostgreSQL's text form.
    pub(super) fn to_text(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }

    /// Whether `proof` shows knowledge of the password. Takes the same time either way.
    pub(super) fn accepts(&self, auth_message: &str, proof: &Key) -> bool {
        let mut client_key = sign(&self.stored_key, auth_message.as_bytes());
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        constant_time::verify_slices_are_equal(&hash(&client_key), &self.stored_key).is_ok()
    }

    /// The server's own proof.
    pub(super) fn server_signature(&self, auth_message: &str) -> Key {
        sign(&self.server_key, auth_message.as_bytes())
    }
}

/// Reads a key, proof or signature in base64.
pub(super) fn decode_key(text: &str) -> Option<Key> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn sign(key: &Key, message: &[u8]) -> Key {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

fn hash(message: &Key) -> Key {
    fixed(digest::digest(&digest::SHA256, message).as_ref())
}

/// SHA-256 makes 32 bytes; the type of the library does not say so.
fn fixed(bytes: &[u8]) -> Key {
    bytes.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    #[test]
    fn agrees_with_the_example_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::derive("pencil", &salt, 4096);
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = decode_key("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert!(verifier.accepts(auth_message, &proof));
        assert!(!verifier.accepts(&auth_message.replace("i=4096", "i=4097"), &proof));
        assert_eq!(
            STANDARD.encode(verifier.server_signature(auth_message)),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn a_stored_verifier_reads_back_and_has_a_fresh_salt() {
        let text = stored_verifier("pencil", 4096);
        assert_eq!(Verifier::parse(&text).unwrap().to_text(), text);
        assert_ne!(text, stored_verifier("pencil", 4096));
        assert!(stored_verifier("pencil", 1).starts_with("SCRAM-SHA-256$4096:"));
    }

    #[test]
    fn reads_what_the_postgresql_client_library_makes_and_prepares_passwords_alike() {
        // A soft hyphen maps to nothing and the ligature is normalised: RFC 4013, section 3.
        for password in ["pencil", "I\u{ad}X", "\u{fb01}sh", "with\u{7}bell"] {
            let theirs = postgres_protocol::password::scram_sha_256(password.as_bytes());
            let theirs = Verifier::parse(&theirs).unwrap();
            assert_eq!(Verifier::derive(password, &theirs.salt, theirs.iterations), theirs);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_verifier() {
        let good = stored_verifier("pencil", 4096);
        for (text, error) in [
            ("hunter2".to_owned(), VerifierError::Shape),
            ("md5c0ffee".to_owned(), VerifierError::Shape),
            (good.replace("$4096:", "$12:"), VerifierError::Iterations),
            (good.replace("$4096:", "$many:"), VerifierError::Iterations),
            (good.replace("$4096:", "$4096:***"), VerifierError::Salt),
            (format!("{good}AAAA"), VerifierError::Keys),
        ] {
            assert_eq!(Verifier::parse(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_mock_is_the_same_each_time_and_differs_by_name_and_key() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"one");
        let mock = |key, name| Verifier::mock(key, name, 4096, 16);
        assert_eq!(mock(&key, "mallory"), mock(&key, "mallory"));
        assert_eq!(mock(&key, "mallory").salt.len(), 16);
        assert_ne!(mock(&key, "mallory").salt, mock(&key, "trudy").salt);
        assert_ne!(mock(&key, "mallory").salt, mock(&hmac::Key::new(hmac::HMAC_SHA256, b"two"), "mallory").salt);
    }

    #[test]
    fn a_verifier_prints_as_nothing() {
        assert_eq!(format!("{:?}", Verifier::derive("pencil", b"saltsalt", 4096)), "Verifier");
    }
}
