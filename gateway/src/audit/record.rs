//! One line of the log: what goes in, how large it may be, and the order of its fields.
//!
//! Everything a client can choose the length of is cut here, with a mark saying so, so that a line has a known bound.
//! What a session's records have in common is serialised once for all of them ([`Asker`]), and the part known before the
//! statement runs once for both of its lines ([`Fragment`]): with `started`, and again with the outcome, so that every
//! second line is complete on its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use passgate_connectors::Witness;
use passgate_policy::{Revision, SourceName};
use time::OffsetDateTime;

use super::chain::digest;
use super::history::RecordedEstimate;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody signed in, or tried to.
    SignIn,
    /// A statement.
    Statement,
    /// A statement was typed for a client, and not run.
    Describe,
    /// A statement was held, and a ticket opened for it.
    TicketOpened,
    /// Somebody approved a ticket.
    TicketGranted,
    /// Somebody refused a ticket.
    TicketRefused,
    /// The person who asked took a ticket back.
    TicketCancelled,
    /// A ticket's time was over.
    TicketExpired,
    /// A statement used a grant.
    TicketUsed,
    /// A statement that used a grant could not be sent to its source, and the use was given back.
    TicketReturned,
    /// A source was asked what a statement would take; the statement was not run.
    Estimate,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded before it ran; a line with the outcome follows.
    Started,
    /// It ran to its end.
    Ok,
    /// The policy, or the sign-in, refused it.
    Denied,
    /// The policy lets it run once somebody has approved it.
    Held,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// The client went away.
    Abandoned,
}

/// The part known before a statement runs.
#[derive(Clone, Debug)]
pub struct Record {
    /// What happened.
    pub event: Event,
    /// The statement's id: unique, sortable by time. For sign-ins the session's.
    pub statement_id: String,
    /// Who asks, and in which session.
    pub asker: Asker,
    /// `application_name`.
    pub application_name: String,
    /// The question in plain language, where the statement came from one.
    pub question: Option<String>,
    /// What the statement is for: `query`, `explain`, `set`, `transaction`, ...
    pub intent: Cow<'static, str>,
    /// The source it was meant for.
    pub source: Option<SourceName>,
    /// The statement as the client wrote it.
    pub query: Option<Arc<str>>,
    /// Its parameters, as the settings allow.
    pub parameters: Option<Vec<serde_json::Value>>,
    /// What the policy said: `allowed`, `denied`, `not_checked` with why.
    pub validation: Cow<'static, str>,
    /// The text sent to the source.
    pub rewritten: Option<Arc<str>>,
    /// Tables referenced.
    pub tables: Arc<[String]>,
    /// The policies in force.
    pub policy_revision: Option<Revision>,
    /// Rules that fired, with file and line.
    pub rules: Arc<[String]>,
    /// What rules in shadow mode would have done.
    pub shadow: Arc<[String]>,
    /// Tickets that the statement waits for or uses, or that the event is about.
    pub tickets: Vec<TicketNote>,
    /// What the source said that it would take, where a policy asked.
    pub estimate: Option<RecordedEstimate>,
    /// What else is known of the person; on sign-ins only, which a session's statements point to.
    pub identity: Option<RecordedIdentity>,
}

/// Who asks, and from where.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Who<'a> {
    /// The session.
    #[serde(serialize_with = "clipped")]
    pub session_id: &'a str,
    /// The person: as proven, or, for a refused sign-in, as claimed.
    #[serde(serialize_with = "clipped")]
    pub user: &'a str,
    /// Their tenant.
    #[serde(serialize_with = "clipped")]
    pub tenant: &'a str,
    /// How they signed in.
    #[serde(serialize_with = "clipped")]
    pub authentication_method: &'a str,
    /// The client's address.
    #[serde(serialize_with = "clipped")]
    pub client_address: &'a str,
}

/// [`Who`] as every record of a session has it.
#[derive(Clone, Debug)]
pub struct Asker(Arc<[u8]>);

impl Asker {
    /// What is recorded of them.
    pub fn new(who: &Who<'_>) -> Self {
        let mut members = Vec::new();
        push_members(&mut members, who);
        Self(members.into())
    }
}

/// What is recorded of a ticket: both sides of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TicketNote {
    /// Its name.
    pub ticket: String,
    /// Who asked.
    pub asker: String,
    /// The statement that was held, as its own record names it.
    pub held_statement_id: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// Claims of a token that say nothing of the person but only of the token.
/// Source: <https://www.iana.org/assignments/jwt/jwt.xhtml>.
const TOKEN_CLAIMS: [&str; 13] =
    ["iss", "aud", "exp", "nbf", "iat", "jti", "nonce", "at_hash", "c_hash", "azp", "sid", "auth_time", "sub"];

/// Bytes of a person's claims; where there are more, none is recorded.
const CLAIMS_BYTES_MAX: usize = 8192;

/// Entries of a person's groups and roles.
const MEMBERSHIPS_MAX: usize = 1000;

/// What policies may ask of a person, as it was when they signed in, so that a statement can be decided again later.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RecordedIdentity {
    /// The identity provider's own id.
    pub subject: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Claims, without those that only speak of the token.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Whether all of it is here: false where a list or the claims were too long.
    pub complete: bool,
}

impl RecordedIdentity {
    /// What is recorded of a person.
    pub fn of(identity: &passgate_policy::Identity) -> Self {
        let name = |text: &str| clip(text, NAME_BYTES_MAX).into_owned();
        let mut claims = identity.claims.clone();
        TOKEN_CLAIMS.iter().for_each(|claim| drop(claims.remove(*claim)));
        let fits = serde_json::to_string(&claims).is_ok_and(|text| text.len() <= CLAIMS_BYTES_MAX);
        if !fits {
            claims.clear();
        }
        let complete = fits && identity.groups.len().max(identity.roles.len()) <= MEMBERSHIPS_MAX;
        Self {
            subject: name(&identity.subject),
            email: identity.email.as_deref().map(name),
            groups: identity.groups.iter().take(MEMBERSHIPS_MAX).map(|group| name(group)).collect(),
            roles: identity.roles.iter().take(MEMBERSHIPS_MAX).map(|role| name(role.as_str())).collect(),
            claims,
            complete,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rows answered.
    pub rows: u64,
    /// Bytes answered.
    pub bytes: u64,
    /// How long it took; `None` is the time since the record was opened, and 0 for what is complete as it stands.
    pub duration: Option<Duration>,
    /// How it ended; `None` is [`Status::Abandoned`].
    pub status: Option<Status>,
    /// The SQLSTATE where it failed.
    pub sqlstate: Option<String>,
    /// The error's message where it failed.
    pub error: Option<String>,
}

/// Bytes of one short field (a name, an address), an error, and entries of one list, at most.
const NAME_BYTES_MAX: usize = 1024;
const ERROR_BYTES_MAX: usize = 4096;
const LIST_LENGTH_MAX: usize = 1000;
/// Tickets in one record. There is one for each group of people whose approval a statement needs.
const TICKETS_MAX: usize = 50;

/// Now, as RFC 3339 with microseconds, in UTC.
pub(super) fn timestamp() -> String {
    let mut text = Vec::new();
    push_timestamp(&mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn push_timestamp(out: &mut Vec<u8>) {
    let now = OffsetDateTime::now_utc();
    let (hour, minute, second, microsecond) = now.to_hms_micro();
    push_digits(out, now.year().unsigned_abs(), 4);
    for (separator, part) in
        [(b'-', u8::from(now.month())), (b'-', now.day()), (b'T', hour), (b':', minute), (b':', second)]
    {
        out.push(separator);
        push_digits(out, part.into(), 2);
    }
    out.push(b'.');
    push_digits(out, microsecond, 6);
    out.push(b'Z');
}

fn push_digits(out: &mut Vec<u8>, number: u32, digits: u32) {
    let digit = |place: u32| (number / 10_u32.pow(place) % 10) as u8;
    out.extend((0..digits).rev().map(|place| b'0' + digit(place)));
}

/// A record, serialised: `,"event":"statement", … ,"rules":[]` without braces.
#[derive(Clone, Debug)]
pub(super) struct Fragment(Bytes);

/// A line but for its place in the chain: an object without its closing brace.
pub(super) type Body = Bytes;

/// Room for what most lines have beside the texts of their statement.
const MEMBERS_BYTES: usize = 1 << 10;
/// Room for what a line begins with and most end in.
const ENDS_BYTES: usize = 256;

impl Fragment {
    pub(super) fn new(record: &Record, query_bytes_max: usize) -> Self {
        let texts = [record.query.as_deref(), record.rewritten.as_deref()];
        let texts = texts.into_iter().flatten().map(|text| text.len().min(query_bytes_max)).sum::<usize>();
        let mut members = Vec::with_capacity(MEMBERS_BYTES + texts);
        push_members(&mut members, &Happened { event: record.event, statement_id: &record.statement_id });
        members.extend_from_slice(&record.asker.0);
        push_members(&mut members, &Known::new(record, query_bytes_max));
        Self(members.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The line written before the statement runs.
    pub(super) fn started(&self) -> Body {
        self.line(&Ending::started())
    }

    /// The line that says what came of it.
    pub(super) fn finished(&self, witness: Option<&Witness>, outcome: &Outcome, took: Duration) -> Body {
        let error = outcome.error.as_deref().map(|error| clip(error, ERROR_BYTES_MAX));
        self.line(&Ending {
            witnessed: witness.map(Witnessed::new),
            status: outcome.status.unwrap_or(Status::Abandoned),
            rows_returned: Some(outcome.rows),
            bytes_returned: Some(outcome.bytes),
            duration_ms: Some(milliseconds(outcome.duration.unwrap_or(took))),
            sqlstate: outcome.sqlstate.as_deref().map(|sqlstate| clip(sqlstate, NAME_BYTES_MAX)),
            error,
        })
    }

    fn line(&self, ending: &Ending<'_>) -> Body {
        let mut line = Vec::with_capacity(self.0.len() + ENDS_BYTES);
        line.extend_from_slice(b"{\"timestamp\":\"");
        push_timestamp(&mut line);
        line.push(b'"');
        line.extend_from_slice(&self.0);
        push_members(&mut line, ending);
        line.into()
    }
}

/// A line the log writes about itself, such as what a crash left behind.
pub(super) fn notice(event: &str, error: &str, torn: Option<&str>) -> Body {
    let notice = serde_json::json!({
        "timestamp": timestamp(), "event": event, "status": "ok",
        "error": clip(error, ERROR_BYTES_MAX), "torn": torn.map(|text| clip(text, ERROR_BYTES_MAX)),
    });
    let text = notice.to_string();
    text.strip_suffix('}').unwrap_or(&text).to_owned().into()
}

/// The longest beginning of `text` within `bytes_max`, with a mark where something was cut.
pub(super) fn clip(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(bytes_max);
    Cow::Owned(format!("{}… [cut: {end} of {} bytes]", text.get(..end).unwrap_or_default(), text.len()))
}

/// A short text, cut where it is not short.
fn clipped<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&clip(text, NAME_BYTES_MAX))
}

/// A list of short texts, with a mark where it was cut.
fn clipped_list<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    let more = list.len().checked_sub(LIST_LENGTH_MAX).filter(|more| *more > 0);
    let more = more.map(|more| format!("… and {more} more").into());
    let kept = list.iter().take(LIST_LENGTH_MAX).map(|entry| clip(entry, NAME_BYTES_MAX));
    serializer.collect_seq(kept.chain(more))
}

impl TicketNote {
    fn clipped(&self) -> Self {
        let name = |text: &String| clip(text, NAME_BYTES_MAX).into_owned();
        Self {
            ticket: name(&self.ticket),
            asker: name(&self.asker),
            held_statement_id: name(&self.held_statement_id),
            decided_by: self.decided_by.as_ref().map(name),
            reason: self.reason.as_ref().map(name),
        }
    }
}

/// Appends the members of an object to those of another: `,"a":1,"b":2`.
fn push_members(out: &mut Vec<u8>, object: &impl serde::Serialize) {
    let start = out.len();
    // Strings, numbers and lists of them: serialising cannot fail.
    if serde_json::to_writer(&mut *out, object).is_err() {
        out.truncate(start);
        return;
    }
    out.pop();
    if let Some(brace) = out.get_mut(start) {
        *brace = b',';
    }
}

/// Milliseconds with three decimals, as people read them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

#[derive(serde::Serialize)]
struct Happened<'a> {
    event: Event,
    #[serde(serialize_with = "clipped")]
    statement_id: &'a str,
}

#[derive(serde::Serialize)]
struct Known<'a> {
    #[serde(serialize_with = "clipped")]
    application_name: &'a str,
    question: Option<Cow<'a, str>>,
    #[serde(serialize_with = "clipped")]
    intent: &'a str,
    source: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    /// SHA-256 of the whole text, where `query` is only its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    query_sha256: Option<String>,
    parameters: Option<&'a [serde_json::Value]>,
    validation: Cow<'a, str>,
    rewritten: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten_sha256: Option<String>,
    #[serde(serialize_with = "clipped_list")]
    tables: &'a [String],
    policy_revision: Option<Cow<'a, str>>,
    #[serde(serialize_with = "clipped_list")]
    rules: &'a [String],
    #[serde(serialize_with = "clipped_list", skip_serializing_if = "<[_]>::is_empty")]
    shadow: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tickets: Vec<TicketNote>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<RecordedEstimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a RecordedIdentity>,
}

impl<'a> Known<'a> {
    fn new(record: &'a Record, query_bytes_max: usize) -> Self {
        let name = |text: &'a str| clip(text, NAME_BYTES_MAX);
        let text = |text: Option<&'a str>| text.map(|text| clip(text, query_bytes_max));
        let whole = |text: Option<&str>| text.filter(|text| text.len() > query_bytes_max).map(digest);
        Self {
            application_name: &record.application_name,
            question: text(record.question.as_deref()),
            intent: &record.intent,
            source: record.source.as_ref().map(SourceName::as_str).map(name),
            query: text(record.query.as_deref()),
            query_sha256: whole(record.query.as_deref()),
            parameters: record.parameters.as_deref(),
            validation: clip(&record.validation, ERROR_BYTES_MAX),
            rewritten: text(record.rewritten.as_deref()),
            rewritten_sha256: whole(record.rewritten.as_deref()),
            tables: &record.tables,
            policy_revision: record.policy_revision.as_ref().map(Revision::as_str).map(name),
            rules: &record.rules,
            shadow: &record.shadow,
            tickets: record.tickets.iter().take(TICKETS_MAX).map(TicketNote::clipped).collect(),
            estimate: record.estimate,
            identity: record.identity.as_ref(),
        }
    }
}

#[derive(serde::Serialize)]
struct Ending<'a> {
    witnessed: Option<Witnessed<'a>>,
    status: Status,
    rows_returned: Option<u64>,
    bytes_returned: Option<u64>,
    duration_ms: Option<f64>,
    sqlstate: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
}

impl Ending<'_> {
    fn started() -> Self {
        Self {
            witnessed: None,
            status: Status::Started,
            rows_returned: None,
            bytes_returned: None,
            duration_ms: None,
            sqlstate: None,
            error: None,
        }
    }
}

/// Who the source said it was serving.
#[derive(serde::Serialize)]
struct Witnessed<'a> {
    session_user: Cow<'a, str>,
    current_user: Cow<'a, str>,
}

impl<'a> Witnessed<'a> {
    fn new(witness: &'a Witness) -> Self {
        Self {
            session_user: clip(&witness.session_user, NAME_BYTES_MAX),
            current_user: clip(&witness.current_user, NAME_BYTES_MAX),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const WHO: Who<'static> = Who {
        session_id: "session-1",
        user: "analyst_west",
        tenant: "acme",
        authentication_method: "oidc",
        client_address: "127.0.0.1:50000",
    };

    /// A statement as the session would record it.
    pub(crate) fn sample(statement_id: &str, query: &str) -> Record {
        Record {
            event: Event::Statement,
            statement_id: statement_id.to_owned(),
            asker: Asker::new(&WHO),
            application_name: "psql".to_owned(),
            question: None,
            intent: "query".into(),
            source: Some(SourceName::new("warehouse")),
            query: Some(query.into()),
            parameters: None,
            validation: "allowed".into(),
            rewritten: Some(format!("{query} LIMIT 10000").into()),
            tables: ["sales.orders".to_owned()].into(),
            policy_revision: Some(Revision::new("0123456789abcdef")),
            rules: ["rule \"row_limit\" (rows.json:1)".to_owned()].into(),
            shadow: Arc::default(),
            tickets: Vec::new(),
            estimate: None,
            identity: None,
        }
    }

    fn note(text: &str) -> TicketNote {
        TicketNote {
            ticket: text.to_owned(),
            asker: text.to_owned(),
            held_statement_id: text.to_owned(),
            decided_by: Some(text.to_owned()),
            reason: Some(text.to_owned()),
        }
    }

    fn json(body: &[u8]) -> serde_json::Value {
        let mut text = String::from_utf8(body.to_vec()).unwrap();
        text.push('}');
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_holds_what_was_asked_for_and_what_came_of_it() {
        let fragment = Fragment::new(&sample("s1", "SELECT 1"), 64_000);
        let witness = Witness { session_user: "svc".to_owned(), current_user: "analyst_west".to_owned() };
        let outcome = Outcome { rows: 3, bytes: 120, status: Some(Status::Ok), ..Outcome::default() };
        let line = json(&fragment.finished(Some(&witness), &outcome, Duration::from_micros(1_500)));
        for (key, value) in [
            ("event", serde_json::json!("statement")),
            ("user", serde_json::json!("analyst_west")),
            ("question", serde_json::Value::Null),
            ("rewritten", serde_json::json!("SELECT 1 LIMIT 10000")),
            ("witnessed", serde_json::json!({"session_user": "svc", "current_user": "analyst_west"})),
            ("status", serde_json::json!("ok")),
            ("rows_returned", serde_json::json!(3)),
            ("bytes_returned", serde_json::json!(120)),
            ("duration_ms", serde_json::json!(1.5)),
        ] {
            assert_eq!(line[key], value, "{key}");
        }
        let started = json(&fragment.started());
        assert_eq!(started["status"], "started");
        assert!(started["rows_returned"].is_null());
    }

    #[test]
    fn a_timestamp_is_rfc_3339_with_microseconds() {
        let text = timestamp();
        assert_eq!(text.len(), "2026-11-21T05:29:16.000000Z".len(), "{text}");
        OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).unwrap();
    }

    #[test]
    fn a_long_query_is_cut_at_a_character_and_hashed_whole() {
        let query = "é".repeat(50_000);
        let line = json(&Fragment::new(&sample("s1", &query), 64_001).started());
        let text = line["query"].as_str().unwrap();
        assert!(text.ends_with("é… [cut: 64000 of 100000 bytes]"));
        assert_eq!(line["query_sha256"], digest(&query));
    }

    #[test]
    fn every_text_a_client_chooses_is_bounded() {
        let long = "x".repeat(1_000_000);
        let mut record = sample("s1", &long);
        record.asker = Asker::new(&Who { user: &long, tenant: &long, ..WHO });
        record.application_name = long.clone();
        for field in [&mut record.validation, &mut record.intent] {
            *field = long.clone().into();
        }
        record.tables = vec![long.clone(); 2_000].into();
        record.rules = vec![long.clone(); 2_000].into();
        record.tickets = vec![note(&long); 2_000];
        let outcome = Outcome { error: Some(long.clone()), sqlstate: Some(long), ..Outcome::default() };
        let body = Fragment::new(&record, 64_000).finished(None, &outcome, Duration::ZERO);
        assert!(body.len() < 3_000_000, "{}", body.len());
        assert_eq!(json(&body)["tables"][1000], "… and 1000 more");
    }
}
