//! An LDAP server that knows one thing: whether a token is a person's.
//!
//! PostgreSQL has no login by token, but asks an LDAP server with a simple bind whether a password is right. This one
//! takes the password for an access token and verifies it against the provider's published keys, so the warehouse
//! itself enforces that the token is that role's: what cloud databases do with tokens. Layout: RFC 4511, section 4.2.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// What makes a token good.
#[derive(Clone, Debug)]
pub struct TokenCheck {
    /// Who must have issued it.
    pub issuer: String,
    /// Whom it must be for.
    pub audience: String,
    /// The issuer's keys.
    pub keys: Arc<JwkSet>,
}

#[derive(Deserialize)]
struct Claims {
    preferred_username: String,
}

impl TokenCheck {
    /// Whether `token` is good and belongs to `person`.
    fn belongs_to(&self, token: &str, person: &str) -> bool {
        let key_id = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).unwrap_or_default();
        let Some(key) = self.keys.find(&key_id).and_then(|key| DecodingKey::from_jwk(key).ok()) else { return false };
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .is_ok_and(|token| token.claims.preferred_username == person)
    }
}

/// Listens on a free port until the process ends, and returns the port.
pub fn start(check: TokenCheck) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let check = check.clone();
            std::thread::spawn(move || serve(connection, &check));
        }
    });
    port
}

const SUCCESS: u8 = 0;
const INVALID_CREDENTIALS: u8 = 49;

/// Answers binds until the client unbinds or goes away.
fn serve(mut connection: TcpStream, check: &TokenCheck) {
    let _ = connection.set_read_timeout(Some(Duration::from_secs(10)));
    while let Some(message) = read_element(&mut connection) {
        let Some(bind) = Bind::parse(&message) else { return };
        let code = if check.belongs_to(&bind.password, &bind.person) { SUCCESS } else { INVALID_CREDENTIALS };
        if connection.write_all(&bind.answer(code)).is_err() {
            return;
        }
    }
}

/// Reads one LDAPMessage and returns its contents.
fn read_element(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    connection.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length & 0x80 != 0 {
        let mut bytes = vec![0; length & 0x7f];
        connection.read_exact(&mut bytes).ok()?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
    }
    let mut contents = vec![0; length.min(1 << 20)];
    connection.read_exact(&mut contents).ok()?;
    Some(contents)
}

struct Bind {
    message_id: Vec<u8>,
    person: String,
    password: String,
}

impl Bind {
    /// `MessageID, BindRequest { version, name, simple password }`; anything else is no bind.
    fn parse(message: &[u8]) -> Option<Self> {
        let (_, message_id, rest) = element(message)?;
        let (0x60, body, _) = element(rest)? else { return None };
        let (_, _version, rest) = element(body)?;
        let (_, name, rest) = element(rest)?;
        let (0x80, password, _) = element(rest)? else { return None };
        let name = std::str::from_utf8(name).ok()?;
        Some(Self {
            message_id: message_id.to_vec(),
            person: name.strip_prefix("uid=")?.strip_suffix(",dc=example")?.to_owned(),
            password: String::from_utf8(password.to_vec()).ok()?,
        })
    }

    /// A BindResponse with this result code and no text.
    fn answer(&self, code: u8) -> Vec<u8> {
        let id_length = u8::try_from(self.message_id.len()).expect("a message id is at most four bytes");
        let mut contents = vec![0x02, id_length];
        contents.extend(&self.message_id);
        contents.extend([0x61, 7, 0x0a, 1, code, 4, 0, 4, 0]);
        let length = u8::try_from(contents.len()).expect("a short message");
        [vec![0x30, length], contents].concat()
    }
}

/// Splits off the first BER element: its tag, its contents, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = bytes.split_first_chunk()?;
    let mut length = usize::from(first);
    if length & 0x80 != 0 {
        let (digits, after) = rest.split_at_checked(length & 0x7f)?;
        length = digits.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = after;
    }
    let (contents, after) = rest.split_at_checked(length)?;
    Some((tag, contents, after))
}
