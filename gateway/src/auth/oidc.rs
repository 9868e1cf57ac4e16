//! An OpenID Connect token as the password.
//!
//! Separate from the checks of tokens, which it shares with OAUTHBEARER: this is only the conversation, for the many
//! tools that know no other way to hand over a token than the password field.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use passgate_connectors::Secret;

use super::provider::{self, Provider};
use super::{Ask, Block, Candidate, Conversation, Method, MethodRow, Problem, SignedIn, Turn};

/// The row of this method.
pub(super) static ROW: MethodRow = MethodRow {
    kind: "oidc",
    manual: MANUAL,
    passes_secret: true,
    schema: || schemars::schema_for!(provider::Config),
    build,
    open,
};

const MANUAL: &str = "\
A token of an OpenID Connect provider, given as the password. Works with every tool that can send a password of up to 32 kB.

```yaml
sign_in:
  - name: corporate
    type: oidc
    issuer: https://login.example.com
    audience: [passgate]
    claims: { name: preferred_username, groups: groups, roles: roles, tenant: tid, email: email }
    person: before_at
    domains: [example.com]
```

The token must be signed by a key the provider publishes, with an allowed asymmetric algorithm, be meant for one of
`audience`, and be in force; and its person must be the start-up user. Tokens are refused on an unencrypted connection.
Several such methods may be on one listener: the token's `iss` says which one checks it.
";

fn build(block: &Block<'_>) -> Result<Method, Vec<Problem>> {
    provider::build(block, &ROW)
}

fn open(methods: &[Arc<Method>], candidate: &Candidate) -> Box<dyn Conversation> {
    let providers = methods.iter().filter_map(|method| method.provider()).collect();
    Box::new(TokenAsPassword { providers, user: candidate.user.clone() })
}

struct TokenAsPassword {
    providers: Vec<Arc<Provider>>,
    user: String,
}

impl Conversation for TokenAsPassword {
    fn start(&mut self) -> Turn {
        Turn::Ask(Ask::CleartextPassword)
    }

    fn take(&mut self, body: Bytes, doom: Option<String>) -> BoxFuture<'_, Turn> {
        async move {
            if let Some(cause) = doom {
                return Turn::Refuse { cause, counts: false };
            }
            let Some(token) = password(&body) else {
                return Turn::Refuse { cause: "the password message is malformed".to_owned(), counts: true };
            };
            match provider::check(&self.providers, token.expose(), &self.user, "oidc").await {
                Ok(identity) => Turn::SignedIn(Box::new(SignedIn {
                    identity: Arc::new(identity),
                    token: Some(Arc::new(token)),
                    sasl_final: None,
                })),
                Err(refusal) => Turn::Refuse { counts: refusal.is_the_clients(), cause: refusal.to_string() },
            }
        }
        .boxed()
    }
}

/// The text before the one zero that ends the message.
fn password(body: &[u8]) -> Option<Secret> {
    let text = body.strip_suffix(&[0])?;
    if text.is_empty() || text.contains(&0) {
        return None;
    }
    std::str::from_utf8(text).ok().map(Secret::new)
}
