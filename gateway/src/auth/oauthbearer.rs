//! SASL OAUTHBEARER: a token handed over the way psql 18 does it.
//!
//! RFC 7628 as PostgreSQL 18 speaks it. The client may first ask where to get a token, by sending none; it is told, and
//! the connection ends. A refused token is answered with the same text, the client acknowledges, and the refusal follows.
//! Source: <https://www.postgresql.org/docs/18/sasl-authentication.html#SASL-OAUTHBEARER>.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use passgate_connectors::Secret;

use super::provider::{self, Provider};
use super::sasl::Initial;
use super::{Ask, Block, Candidate, Conversation, Method, MethodRow, Problem, SignedIn, Turn};

/// The row of this method.
pub(super) static ROW: MethodRow = MethodRow {
    kind: "oauthbearer",
    manual: MANUAL,
    passes_secret: true,
    schema: || schemars::schema_for!(provider::Config),
    build,
    open,
};

const MANUAL: &str = "\
A token of an OpenID Connect provider, handed over by SASL OAUTHBEARER, as psql and libpq 18 do. The client is told where
the provider is and fetches the token itself: `psql 'host=... dbname=... oauth_issuer=https://login.example.com
oauth_client_id=psql'`. The checks and the settings are those of `oidc`; `scope` is what the client is told to ask for.

```yaml
sign_in:
  - { name: corporate_sasl, type: oauthbearer, issuer: https://login.example.com, audience: [passgate], scope: openid }
```

With several such methods on one listener, the client is pointed to the first; tokens of all are accepted. A name gets one
way of signing in: of `oidc` and `oauthbearer`, the one that comes first in the listener's `sign_in`, unless `users` says.
";

/// The name of the mechanism.
const MECHANISM: &str = "OAUTHBEARER";
/// Separates and ends the pairs of the client's message.
const SEPARATOR: char = '\x01';

fn build(block: &Block<'_>) -> Result<Method, Vec<Problem>> {
    provider::build(block, &ROW)
}

fn open(methods: &[Arc<Method>], candidate: &Candidate) -> Box<dyn Conversation> {
    let providers = methods.iter().filter_map(|method| method.provider()).collect();
    Box::new(Bearer { providers, user: candidate.user.clone(), state: State::Start })
}

struct Bearer {
    providers: Vec<Arc<Provider>>,
    user: String,
    state: State,
}

enum State {
    Start,
    /// The mechanism was chosen without a first message.
    Chosen,
    /// The client has been told no; it must acknowledge before it is refused.
    Told {
        cause: String,
        counts: bool,
    },
    Over,
}

impl Conversation for Bearer {
    fn start(&mut self) -> Turn {
        Turn::Ask(Ask::Sasl(vec![MECHANISM.to_owned()]))
    }

    fn take(&mut self, body: Bytes, doom: Option<String>) -> BoxFuture<'_, Turn> {
        async move {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Start => self.initial(body, doom).await,
                State::Chosen => self.message(&body, doom).await,
                State::Told { cause, counts } if *body == [1] => Turn::Refuse { cause, counts },
                State::Told { cause, .. } => {
                    Turn::Refuse { cause: format!("{cause}; and the client did not acknowledge it"), counts: true }
                }
                State::Over => malformed("the exchange is over"),
            }
        }
        .boxed()
    }
}

impl Bearer {
    async fn initial(&mut self, body: Bytes, doom: Option<String>) -> Turn {
        match Initial::parse(body) {
            None => malformed("the SASL message is malformed"),
            Some(initial) if initial.mechanism != MECHANISM => {
                malformed("the client chose a SASL mechanism that was not offered")
            }
            Some(Initial { data: Some(data), .. }) => self.message(&data, doom).await,
            Some(_) => {
                self.state = State::Chosen;
                Turn::Ask(Ask::SaslContinue(Bytes::new()))
            }
        }
    }

    async fn message(&mut self, data: &[u8], doom: Option<String>) -> Turn {
        let authorization = match authorization(data) {
            Ok(authorization) => authorization,
            Err(cause) => return malformed(cause),
        };
        if authorization.is_empty() {
            return self.tell("the client only asked where to get a token".to_owned(), false);
        }
        if let Some(cause) = doom {
            return self.tell(cause, false);
        }
        let Some(token) = bearer_token(authorization) else {
            return self.tell("the Authorization value is not a bearer token".to_owned(), true);
        };
        match provider::check(&self.providers, token, &self.user, "oauthbearer").await {
            Ok(identity) => Turn::SignedIn(Box::new(SignedIn {
                identity: Arc::new(identity),
                token: Some(Arc::new(Secret::new(token))),
                sasl_final: None,
            })),
            Err(refusal) => self.tell(refusal.to_string(), refusal.is_the_clients()),
        }
    }

    /// RFC 7628, section 3.2.2: where to get a token that would do.
    fn tell(&mut self, cause: String, counts: bool) -> Turn {
        self.state = State::Told { cause, counts };
        let mut answer = serde_json::Map::new();
        answer.insert("status".to_owned(), "invalid_token".into());
        if let Some(provider) = self.providers.first() {
            answer.insert("openid-configuration".to_owned(), provider.discovery_address().into());
            answer.insert("scope".to_owned(), provider.scope().into());
        }
        Turn::Ask(Ask::SaslContinue(Bytes::from(serde_json::Value::Object(answer).to_string())))
    }
}

fn malformed(cause: &str) -> Turn {
    Turn::Refuse { cause: cause.to_owned(), counts: true }
}

/// The `auth` value of `n,,\x01auth=Bearer TOKEN\x01\x01`. As strict as PostgreSQL: no channel binding, no other
/// identity, `auth` once, nothing after the end. Other keys (`host`, `port`) are allowed and ignored.
fn authorization(data: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(data).map_err(|_| "the OAUTHBEARER message is not UTF-8")?;
    let (flag, rest) = text.split_once(',').ok_or("the OAUTHBEARER message is malformed")?;
    match flag {
        "n" | "y" => {}
        _ if flag.starts_with('p') => return Err("OAUTHBEARER has no channel binding, and the client uses it"),
        _ => return Err("the OAUTHBEARER message is malformed"),
    }
    let (identity, rest) = rest.split_once(',').ok_or("the OAUTHBEARER message is malformed")?;
    if !identity.is_empty() {
        return Err("the client asks for another identity (authzid), which is not supported");
    }
    let pairs = rest
        .strip_prefix(SEPARATOR)
        .and_then(|rest| rest.strip_suffix("\x01\x01"))
        .ok_or("the OAUTHBEARER message is malformed")?;
    let mut authorization = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair.split_once('=').ok_or("the OAUTHBEARER message is malformed")?;
        let known = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'));
        if !known || !printable {
            return Err("the OAUTHBEARER message is malformed");
        }
        if key == "auth" && authorization.replace(value).is_some() {
            return Err("the OAUTHBEARER message has two tokens");
        }
    }
    authorization.ok_or("the OAUTHBEARER message has no token")
}

/// The token of `Bearer TOKEN`: RFC 6750, section 2.1, the scheme in any case (RFC 9110, section 11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !body.is_empty() && body.bytes().all(allowed)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libpq_18_sends() {
        assert_eq!(authorization(b"n,,\x01auth=Bearer abc\x01\x01"), Ok("Bearer abc"));
        assert_eq!(authorization(b"n,,\x01auth=\x01\x01"), Ok(""));
        assert_eq!(authorization(b"y,,\x01host=h\x01port=1\x01auth=Bearer a=\x01\x01"), Ok("Bearer a="));
        assert_eq!(bearer_token("bearer   a.b-c_~+/=="), Some("a.b-c_~+/=="));
    }

    #[test]
    fn refuses_what_postgresql_refuses() {
        for data in [
            "",
            "n",
            "n,,",
            "n,,\x01",
            "n,,\x01\x01",
            "n,,\x01auth=x\x01",
            "n,,\x01auth=x\x01\x01more",
            "n,,\x01auth=x\x01auth=y\x01\x01",
            "n,,\x01host=x\x01\x01",
            "n,,\x01auth\x01\x01",
            "n,,\x01a1=x\x01auth=y\x01\x01",
            "n,,\x01auth=\u{e9}\x01\x01",
            "n,a=root,\x01auth=x\x01\x01",
            "p=tls-server-end-point,,\x01auth=x\x01\x01",
            "q,,\x01auth=x\x01\x01",
        ] {
            assert!(authorization(data.as_bytes()).is_err(), "{data:?}");
        }
        for value in ["Bearer", "Bearer ", "Bearer ==", "Basic abc", "Bearer a b", "Bearer a\tb", "Bearer a=b"] {
            assert_eq!(bearer_token(value), None, "{value:?}");
        }
    }
}
