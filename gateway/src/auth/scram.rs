//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, for people in a file.
//!
//! The server's half of RFC 5802 and RFC 7677 as PostgreSQL speaks it: the name in the messages is ignored in favour of
//! the start-up packet's, and channel binding is `tls-server-end-point`. Somebody who does not exist gets the same
//! messages as somebody who does, with a salt that is the same each time.
//! Source: <https://www.postgresql.org/docs/current/sasl-authentication.html>.

mod message;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use passgate_connectors::Secret;

use super::people::{People, PeopleFile, Person};
use super::sasl::Initial;
use super::{Ask, Block, Candidate, Conversation, Method, MethodRow, Problem, SignedIn, Turn, Users, Voucher};
use message::{ClientFinal, ClientFirst, Flag};

pub use verifier::{ITERATIONS_DEFAULT, ITERATIONS_MAX, stored_verifier};
pub(super) use verifier::{SALT_LENGTH, Verifier};

/// The row of this method.
pub(super) static ROW: MethodRow = MethodRow {
    kind: "scram",
    manual: MANUAL,
    passes_secret: false,
    schema: || schemars::schema_for!(Config),
    build,
    open,
};

const MANUAL: &str = "\
Passwords of people in a file, checked by SCRAM-SHA-256; over TLS also SCRAM-SHA-256-PLUS, which ties the sign-in to our
certificate so that nobody in between can pass it on. The file holds verifiers as PostgreSQL stores them, never passwords;
`passgate scram NAME` makes one. No secret passes over the wire, so this method also works on an unencrypted listener.

```yaml
sign_in:
  - { name: people, type: scram, file: people.yaml }
```

Names in the file, and names that match `users`, are asked for SCRAM. On a listener that also takes tokens, every other
name is asked for a token: a stranger can thus learn which names are in the file. List patterns in `users` that cover them
(`svc_*`), or give people and tokens a listener each, where that matters.
";

/// Settings of a `scram` method.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The people file, relative to the settings file. Read again on SIGHUP.
    pub file: PathBuf,
    /// Start-up names that are asked for SCRAM although they are not in the file, so that being in it cannot be probed;
    /// `*` stands for any characters. Default: none.
    #[serde(default)]
    pub users: Vec<String>,
    /// Makes the salts shown for names that do not exist. Gateways behind one address, and restarts, show the same salts
    /// only if they share this; give it at least 16 random characters. Default: random at each start.
    #[serde(default)]
    pub unknown_person_key: Option<Secret>,
}

/// The people, and how to answer for those who are not among them.
#[derive(Debug)]
pub(super) struct Roll {
    pub(super) file: PeopleFile,
    mock_key: hmac::Key,
}

fn build(block: &Block<'_>) -> Result<Method, Vec<Problem>> {
    let config: Config = block.settings()?;
    let users = Users::new(config.users);
    let mock_key = match &config.unknown_person_key {
        Some(key) if key.expose().len() < 16 => {
            let problem = Problem::new(block.name, "must have at least 16 characters").key("unknown_person_key");
            return Err(vec![problem]);
        }
        Some(key) => hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()),
        None => hmac::Key::new(hmac::HMAC_SHA256, &verifier::random::<32>()),
    };
    let file = PeopleFile::open(block.name, block.folder.join(config.file))?;
    Ok(Method::new(block.name, &ROW, users, Voucher::People(Box::new(Roll { file, mock_key }))))
}

fn open(methods: &[Arc<Method>], candidate: &Candidate) -> Box<dyn Conversation> {
    Box::new(Scram {
        people: Lookup::new(methods, &candidate.user),
        channel_binding: candidate.channel_binding.clone().filter(|_| candidate.encrypted),
        state: State::Start,
    })
}

/// The verifier to ask this name against: their own, or one that cannot be satisfied.
struct Lookup {
    verifier: Verifier,
    person: Option<Person>,
}

impl Lookup {
    fn new(methods: &[Arc<Method>], user: &str) -> Self {
        let rolls: Vec<&Roll> = methods.iter().filter_map(|method| method.people()).collect();
        let snapshots: Vec<Arc<People>> = rolls.iter().map(|roll| roll.file.current()).collect();
        let person = snapshots.iter().find_map(|people| people.find(user)).cloned();
        let (iterations, salt_length) = snapshots.first().map(|people| people.usual_shape).unwrap_or_default();
        let mock = match rolls.first() {
            Some(roll) => Verifier::mock(&roll.mock_key, user, iterations, salt_length),
            None => Verifier::derive("", &verifier::random::<SALT_LENGTH>(), 1),
        };
        Self { verifier: person.as_ref().map_or(mock, |person| person.verifier.clone()), person }
    }
}

struct Scram {
    people: Lookup,
    channel_binding: Option<Bytes>,
    state: State,
}

enum State {
    /// Nothing has been heard.
    Start,
    /// A mechanism was chosen without a first message.
    Chosen {
        bound: bool,
    },
    /// The salt has been sent.
    Challenged(Box<Challenge>),
    Over,
}

/// What the last message must fit.
struct Challenge {
    /// What `c=` must hold: the GS2 header and, for PLUS, our certificate's hash.
    binding: Vec<u8>,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";

impl Conversation for Scram {
    fn start(&mut self) -> Turn {
        let plus = self.channel_binding.as_ref().map(|_| PLUS.to_owned());
        Turn::Ask(Ask::Sasl(plus.into_iter().chain([PLAIN.to_owned()]).collect()))
    }

    fn take(&mut self, body: Bytes, doom: Option<String>) -> BoxFuture<'_, Turn> {
        let turn = match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.initial(body),
            State::Chosen { bound } => self.first(bound, &body),
            State::Challenged(challenge) => self.last(&challenge, &body, doom),
            State::Over => Err("the exchange is over".to_owned()),
        };
        std::future::ready(turn.unwrap_or_else(|cause| Turn::Refuse { cause, counts: true })).boxed()
    }
}

impl Scram {
    fn initial(&mut self, body: Bytes) -> Result<Turn, String> {
        let initial = Initial::parse(body).ok_or("the SASL message is malformed")?;
        let bound = match initial.mechanism.as_str() {
            PLAIN => false,
            PLUS if self.channel_binding.is_some() => true,
            _ => return Err("the client chose a SASL mechanism that was not offered".to_owned()),
        };
        match initial.data {
            Some(data) => self.first(bound, &data),
            None => {
                self.state = State::Chosen { bound };
                Ok(Turn::Ask(Ask::SaslContinue(Bytes::new())))
            }
        }
    }

    fn first(&mut self, bound: bool, message: &[u8]) -> Result<Turn, String> {
        let first = ClientFirst::parse(message)?;
        let binding = self.expected_binding(bound, &first)?;
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(verifier::random::<18>()));
        let verifier = &self.people.verifier;
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let answer = Bytes::from(server_first.clone());
        self.state =
            State::Challenged(Box::new(Challenge { binding, nonce, client_first_bare: first.bare, server_first }));
        Ok(Turn::Ask(Ask::SaslContinue(answer)))
    }

    /// RFC 5802, section 6: whoever says `y` when we offered PLUS has been lied to by somebody in between.
    fn expected_binding(&self, bound: bool, first: &ClientFirst) -> Result<Vec<u8>, String> {
        let mut binding = first.gs2_header.clone().into_bytes();
        match (bound, &first.flag, &self.channel_binding) {
            (true, Flag::Used(kind), Some(data)) if kind == "tls-server-end-point" => {
                binding.extend_from_slice(data);
                Ok(binding)
            }
            (true, Flag::Used(_), _) => Err("the client wants another kind of channel binding".to_owned()),
            (true, _, _) => Err("the client chose channel binding and does not use it".to_owned()),
            (false, Flag::Used(_), _) => Err("the client binds a channel without having chosen to".to_owned()),
            (false, Flag::ServerLacksIt, Some(_)) => {
                Err("the client was told that we have no channel binding: possible downgrade".to_owned())
            }
            (false, _, _) => Ok(binding),
        }
    }

    fn last(&self, challenge: &Challenge, message: &[u8], doom: Option<String>) -> Result<Turn, String> {
        let last = ClientFinal::parse(message)?;
        if last.nonce != challenge.nonce {
            return Err("the client answered with another nonce".to_owned());
        }
        if last.binding != challenge.binding {
            return Err("the client is bound to another channel: possible machine in the middle".to_owned());
        }
        let verifier = &self.people.verifier;
        let auth_message = format!("{},{},{}", challenge.client_first_bare, challenge.server_first, last.without_proof);
        let accepted = verifier.accepts(&auth_message, &last.proof);
        if let Some(cause) = doom {
            return Ok(Turn::Refuse { cause, counts: false });
        }
        match &self.people.person {
            None => Err("nobody has this name".to_owned()),
            Some(_) if !accepted => Err("wrong password".to_owned()),
            Some(person) => {
                let signature = STANDARD.encode(verifier.server_signature(&auth_message));
                Ok(Turn::SignedIn(Box::new(SignedIn {
                    identity: Arc::clone(&person.identity),
                    token: None,
                    sasl_final: Some(Bytes::from(format!("v={signature}"))),
                })))
            }
        }
    }
}

#[cfg(test)]
mod tests;
