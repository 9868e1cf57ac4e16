//! From an open stream to a session: the start-up message, the login, and the key for cancelling.
//!
//! MD5 is refused, and a secret is sent as it is only where nobody else can read it.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use std::collections::BTreeMap;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::frames::{Frames, server_message};
use super::settings::Guards;
use crate::login::Secret;
use crate::{Error, ServerMessage};

/// Parameters a server may report before it is ready; PostgreSQL 17 has fifteen.
const PARAMETERS_MAX: usize = 256;

/// Who signs in, and where.
pub(crate) struct Login<'a> {
    /// The source's name, for errors.
    pub(crate) source_name: &'a str,
    /// The login's name.
    pub(crate) user: &'a str,
    /// Its password or token.
    pub(crate) secret: Option<&'a Secret>,
    /// The database.
    pub(crate) database: &'a str,
    /// What holds on the session; most of it from the start.
    pub(crate) guards: &'a Guards,
    /// Whether a secret may be sent as it is.
    pub(crate) private: bool,
    /// The `tls-server-end-point` channel binding data.
    pub(crate) channel_binding: Option<Vec<u8>>,
}

/// What the server said of itself at the start.
#[derive(Default)]
pub(crate) struct Greeting {
    /// Its settings, as far as it reports them.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Process id and secret key for cancelling; a server need not have any.
    pub(crate) key: Option<(i32, i32)>,
}

/// Signs in. The caller bounds the time.
pub(crate) async fn sign_in(frames: &mut Frames, login: &Login<'_>) -> Result<Greeting, Error> {
    let fixed = [("user", login.user), ("database", login.database)];
    frontend::startup_message(fixed.into_iter().chain(login.guards.at_start()), &mut frames.outbox)
        .map_err(|error| login.refused(error))?;
    frames.flush().await?;
    authenticate(frames, login).await?;
    greeting(frames, login).await
}

/// Answers what the server asks until it is content.
async fn authenticate(frames: &mut Frames, login: &Login<'_>) -> Result<(), Error> {
    loop {
        match login_message(frames, login).await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                if !login.private {
                    return Err(login.refused("the server wants the password in the clear on a connection without TLS"));
                }
                frontend::password_message(login.secret()?.expose().as_bytes(), &mut frames.outbox)
                    .map_err(|error| login.refused(error))?;
                flush_secret(frames).await?;
            }
            // The exchange ends before AuthenticationOk, or not at all: a server that skips its own proof is refused.
            Message::AuthenticationSasl(mechanisms) => scram(frames, login, &mechanisms).await?,
            Message::AuthenticationMd5Password(_) => {
                return Err(login.refused("the server asks for MD5, which is refused; store it with scram-sha-256"));
            }
            _ => return Err(login.refused("the server asks for a way to sign in that is not known here")),
        }
    }
}

async fn scram(frames: &mut Frames, login: &Login<'_>, offered: &AuthenticationSaslBody) -> Result<(), Error> {
    let mechanisms: Vec<&str> = offered.mechanisms().collect().map_err(|error| frames.breach(error))?;
    let (mechanism, binding) = choose(&mechanisms, login.channel_binding.as_deref())
        .ok_or_else(|| login.refused(format!("none of {mechanisms:?} is known here")))?;
    let mut scram = ScramSha256::new(login.secret()?.expose().as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, scram.message(), &mut frames.outbox)
        .map_err(|error| login.refused(error))?;
    frames.flush().await?;

    let Message::AuthenticationSaslContinue(challenge) = login_message(frames, login).await? else {
        return Err(frames.breach("SCRAM stopped after its first message"));
    };
    scram.update(challenge.data()).map_err(|error| frames.breach(error))?;
    frontend::sasl_response(scram.message(), &mut frames.outbox).map_err(|error| login.refused(error))?;
    frames.flush().await?;

    let Message::AuthenticationSaslFinal(proof) = login_message(frames, login).await? else {
        return Err(frames.breach("SCRAM ended without the server's proof"));
    };
    scram.finish(proof.data()).map_err(|error| login.refused(format!("the server's proof is wrong: {error}")))
}

/// The strongest mechanism both sides have. `y` tells the server that we would have bound the channel, so that taking
/// the stronger one off its list on the way is noticed (RFC 5802, section 6).
fn choose(offered: &[&str], binding: Option<&[u8]>) -> Option<(&'static str, ChannelBinding)> {
    let plain = offered.contains(&SCRAM_SHA_256);
    match binding {
        Some(data) if offered.contains(&SCRAM_SHA_256_PLUS) => {
            Some((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(data.to_vec())))
        }
        Some(_) => plain.then(|| (SCRAM_SHA_256, ChannelBinding::unrequested())),
        None => plain.then(|| (SCRAM_SHA_256, ChannelBinding::unsupported())),
    }
}

/// Reads on until the server is ready.
async fn greeting(frames: &mut Frames, login: &Login<'_>) -> Result<Greeting, Error> {
    let mut greeting = Greeting::default();
    loop {
        match login_message(frames, login).await? {
            Message::BackendKeyData(key) => greeting.key = Some((key.process_id(), key.secret_key())),
            Message::ParameterStatus(parameter) if greeting.parameters.len() < PARAMETERS_MAX => {
                let name = parameter.name().map_err(|error| frames.breach(error))?;
                let value = parameter.value().map_err(|error| frames.breach(error))?;
                greeting.parameters.insert(name.to_owned(), value.to_owned());
            }
            Message::ReadyForQuery(_) => return Ok(greeting),
            _ => return Err(frames.breach("an unexpected message before the first ReadyForQuery")),
        }
    }
}

/// The next message that matters, or the server's refusal.
async fn login_message(frames: &mut Frames, login: &Login<'_>) -> Result<Message, Error> {
    loop {
        let (_, frame) = frames.wait_for_frame().await?;
        match frames.parse(frame)? {
            Message::NoticeResponse(_) => {}
            Message::ErrorResponse(error) => return Err(login.failed(frames, server_message(error.fields()))),
            message => return Ok(message),
        }
    }
}

/// Sends the outbox and wipes it: it held a secret.
async fn flush_secret(frames: &mut Frames) -> Result<(), Error> {
    let sent = frames.flush().await;
    frames.wipe_outbox();
    sent
}

impl Login<'_> {
    fn secret(&self) -> Result<&Secret, Error> {
        self.secret.ok_or_else(|| self.refused("the server asks for a password, and there is none"))
    }

    fn refused(&self, cause: impl ToString) -> Error {
        Error::SignIn { source_name: self.source_name.to_owned(), role: self.user.to_owned(), cause: cause.to_string() }
    }

    /// Class 28 is about who we are; anything else (too many connections, starting up, no such database) is about the
    /// server. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn failed(&self, frames: &Frames, message: ServerMessage) -> Error {
        if message.code.starts_with("28") { self.refused(message.message) } else { frames.lost(message.message) }
    }
}
