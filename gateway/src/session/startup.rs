//! From the start-up packet to ReadyForQuery: the version, who it is, and what they want to talk to.

use std::sync::Arc;
use std::time::Duration;

use passgate_connectors::Caller;
use passgate_policy::{Identity, SourceName};
use passgate_wire::{Backend, Frontend, Negotiation, ProtocolVersion, Startup as Packet};
use uuid::Uuid;

use super::channel::{Channel, Stream};
use super::cursor::Cursors;
use super::error::{End, Error};
use super::prepared::{Portals, Statements};
use super::ready::Ready;
use super::settings::{Limits, Settings};
use super::{Client, Services, Session, measure};
use crate::audit::{Asker, Event, Outcome, Record, RecordedIdentity, Status, Who};
use crate::auth::{self, Ask, Candidate, Exchange, Refused, Step};

/// Nothing is proven yet.
pub(super) struct Startup {
    packet: Packet,
}

/// Proven, but not connected to anything yet.
pub(super) struct SignedIn {
    packet: Packet,
    version: ProtocolVersion,
    caller: Caller,
}

impl Session<Startup> {
    /// A session whose start-up packet has been read.
    pub(super) fn begin(
        id: Uuid,
        stream: Box<dyn Stream>,
        packet: Packet,
        client: Client,
        services: Arc<Services>,
    ) -> Box<Self> {
        let patience = Duration::from_secs(services.config.write_seconds.max(1));
        let channel = Channel::new(stream, services.config.message_bytes_max, patience);
        Box::new(Self { id, channel, client, services, state: Startup { packet } })
    }

    /// Signs the client in and opens the session for it; none if that failed, which the client has then been told.
    pub(super) async fn open(mut self: Box<Self>) -> Option<Box<Session<Ready>>> {
        let (version, caller) = match self.sign_in().await {
            Ok(signed_in) => signed_in,
            Err(end) => return self.finish(end).await,
        };
        let packet = self.state.packet.clone();
        let mut session = self.with(SignedIn { packet, version, caller });
        match session.prepare().await {
            Ok(ready) => Some(Box::new(session.greeted(ready))),
            Err(end) => session.finish(end).await,
        }
    }

    async fn sign_in(&mut self) -> Result<(ProtocolVersion, Caller), End> {
        let settled = self.state.packet.negotiate().map_err(Error::Version)?;
        if settled.must_tell {
            self.channel.send(&Backend::NegotiateProtocolVersion(&settled));
        }
        let Negotiation { version, .. } = settled;
        let user = self.state.packet.parameter("user").unwrap_or_default().to_owned();
        if user.is_empty() {
            return Err(Error::NoUser.into());
        }
        if self.client.encryption_offered && !self.client.encrypted && !self.client.plaintext_allowed {
            self.record_refusal(&user, "none", "the connection is not encrypted")?;
            return Err(Error::PlaintextRefused.into());
        }
        let mut exchange = self.client.sign_in.begin(self.candidate(user));
        self.converse(exchange.as_mut()).await.map(|caller| (version, caller))
    }

    async fn converse(&mut self, exchange: &mut dyn Exchange) -> Result<Caller, End> {
        let mut step = exchange.next(None).await;
        loop {
            match step {
                Step::Ask(ask) => {
                    self.ask(&ask);
                    let Frontend::Answer(body) = self.channel.receive().await? else {
                        return Err(Error::OutOfPlace.into());
                    };
                    step = exchange.next(Some(body.0)).await;
                }
                Step::SignedIn(signed_in) => return self.admit(*signed_in),
                Step::Refused(refused) => {
                    self.record_refusal(&refused.user, refused.method, &refused.cause)?;
                    return Err(End::fatal(refused));
                }
            }
        }
    }

    fn ask(&mut self, ask: &Ask) {
        self.channel.send(&match ask {
            Ask::CleartextPassword => Backend::AuthenticationCleartextPassword,
            Ask::Sasl(mechanisms) => Backend::AuthenticationSasl(mechanisms),
            Ask::SaslContinue(data) => Backend::AuthenticationSaslContinue(data.clone()),
        });
    }

    fn admit(&mut self, signed_in: auth::SignedIn) -> Result<Caller, End> {
        let auth::SignedIn { identity, token, sasl_final } = signed_in;
        let mut record = self.record(self.asker(who(&identity)));
        record.validation = "allowed".into();
        record.identity = Some(RecordedIdentity::of(&identity));
        let outcome = Outcome { status: Some(Status::Ok), ..Outcome::default() };
        self.services.audit.note(record, outcome).map_err(End::fatal)?;
        measure::sign_in(identity.proof.method, "ok");
        tracing::info!(user = %identity.person, method = identity.proof.method, "signed in");
        if let Some(data) = sasl_final {
            self.channel.send(&Backend::AuthenticationSaslFinal(data));
        }
        self.channel.send(&Backend::AuthenticationOk);
        Ok(Caller { identity, token })
    }

    fn record_refusal(&self, user: &str, method: &'static str, cause: &str) -> Result<(), End> {
        measure::sign_in(method, "refused");
        tracing::info!(user, method, cause, "sign-in refused");
        let asker = Who { user, authentication_method: method, ..Who::default() };
        let mut record = self.record(self.asker(asker));
        record.validation = "denied".into();
        let outcome = Outcome {
            status: Some(Status::Denied),
            sqlstate: Some("28P01".to_owned()),
            error: Some(cause.to_owned()),
            ..Outcome::default()
        };
        self.services.audit.note(record, outcome).map_err(End::fatal)
    }

    fn record(&self, asker: Asker) -> Record {
        let parameter = |name| self.state.packet.parameter(name).unwrap_or_default();
        Record {
            event: Event::SignIn,
            statement_id: self.id.to_string(),
            asker,
            application_name: parameter("application_name").to_owned(),
            question: None,
            intent: "sign_in".into(),
            source: Some(parameter("database")).filter(|name| !name.is_empty()).map(SourceName::new),
            query: None,
            parameters: None,
            validation: "".into(),
            rewritten: None,
            tables: Arc::default(),
            policy_revision: None,
            rules: Arc::default(),
            shadow: Arc::default(),
            tickets: Vec::new(),
            estimate: None,
            identity: None,
        }
    }

    fn candidate(&self, user: String) -> Candidate {
        Candidate {
            user,
            address: self.client.address.ip(),
            encrypted: self.client.encrypted,
            plaintext_allowed: self.client.plaintext_allowed,
            channel_binding: self.client.channel_binding.clone().filter(|_| self.client.encrypted),
        }
    }
}

impl Session<SignedIn> {
    /// Finds the source and takes the client's settings.
    async fn prepare(&mut self) -> Result<Ready, End> {
        let packet = &self.state.packet;
        if packet.parameter("replication").is_some_and(|value| !matches!(value, "off" | "false" | "no" | "0")) {
            return Err(Error::Replication.into());
        }
        let database = packet.parameter("database").filter(|name| !name.is_empty());
        let database = database.or(packet.parameter("user")).unwrap_or_default();
        let source = SourceName::new(database);
        let services = self.services.clone();
        if !services.sources.contains(&source) {
            return Err(Error::NoDatabase(database.to_owned()).into());
        }
        let snapshot = services.sources.snapshot(&source, &self.state.caller).await.map_err(End::fatal)?;
        let mut settings = Settings::new(Limits {
            statement_timeout_ms_max: services.config.statement_timeout_ms_max,
            default_schema: snapshot.default_schema().to_owned(),
            time_zone: services.config.time_zone.clone(),
            person: self.state.caller.identity.person.to_string(),
        });
        settings.begin(&packet.parameters).map_err(End::fatal)?;
        Ok(Ready {
            caller: self.state.caller.clone(),
            source,
            server_version: snapshot.server_version().to_owned(),
            asker: self.asker(who(&self.state.caller.identity)),
            reported: settings.reported().clone(),
            settings,
            statements: Statements::default(),
            cursors: Cursors::default(),
            held: None,
            context: None,
            portals: Portals::default(),
            transaction: None,
            numbers: None,
            accessed: None,
            last: false,
            skipping: false,
            registration: services.cancels.register(self.state.version.has_long_cancel_keys()),
        })
    }

    /// Tells the client how the session begins.
    fn greeted(mut self, ready: Ready) -> Session<Ready> {
        let person = ready.caller.identity.person.to_string();
        let fixed = [
            ("in_hot_standby", "off"),
            ("integer_datetimes", "on"),
            ("is_superuser", "off"),
            ("scram_iterations", "4096"),
            ("server_encoding", "UTF8"),
            ("server_version", &ready.server_version),
            ("session_authorization", &person),
        ];
        for (name, value) in fixed {
            self.channel.send(&Backend::ParameterStatus { name, value });
        }
        for (name, value) in &*ready.reported {
            self.channel.send(&Backend::ParameterStatus { name, value });
        }
        let (process_id, key) = (ready.registration.process_id, ready.registration.key.clone());
        self.channel.send(&Backend::BackendKeyData { process_id, key });
        self.channel.signed_in();
        self.with(ready)
    }
}

impl<State> Session<State> {
    /// Whoever asks, in this session.
    fn asker(&self, who: Who<'_>) -> Asker {
        let (session_id, client_address) = (self.id.to_string(), self.client.address.to_string());
        Asker::new(&Who { session_id: &session_id, client_address: &client_address, ..who })
    }

    fn with<Next>(self, state: Next) -> Session<Next> {
        Session { id: self.id, channel: self.channel, client: self.client, services: self.services, state }
    }

    /// Says the last word and closes. There is no session afterwards.
    pub(super) async fn finish<Next>(mut self, end: End) -> Option<Box<Session<Next>>> {
        match end {
            End::Terminated => tracing::debug!("the client said good-bye"),
            End::Gone => tracing::debug!("the client went away"),
            End::Fatal(error) => {
                tracing::info!(sqlstate = error.sqlstate(), error = %error.message(), "session ended");
                self.channel.dismiss(&*error);
            }
        }
        // What runs is cancelled before the client reads the last word.
        let Self { mut channel, state, .. } = self;
        drop(state);
        channel.close().await;
        None
    }
}

/// Somebody who has signed in.
fn who(identity: &Identity) -> Who<'_> {
    Who {
        user: identity.person.as_str(),
        tenant: identity.tenant.as_str(),
        authentication_method: identity.proof.method,
        ..Who::default()
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        Self::fatal(refused)
    }
}
