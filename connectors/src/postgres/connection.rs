//! One signed-in connection: what it runs, who the server says it serves, and what it may be used for next.
//!
//! ```text
//! idle ── start ──► busy ── next … next ──► idle        broken: never used again, only closed
//!      └─ run(steps) ─────────────────────► idle
//! ```
//!
//! Every statement goes by the extended protocol, in which one message cannot hold two statements.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>

mod attempts;
mod named;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{self, DataRowBody, Message};
use postgres_protocol::message::frontend;

use self::named::{Named, Sent};
use super::frames::{Frames, server_message};
use super::handshake::Greeting;
use super::persona::{Assumed, Persona};
use super::settings::{Guards, OWN_TIMEOUTS};
use crate::{
    Batch, Bind, Description, Error, Format, Gives, Query, ServerMessage, SessionSettings, TransactionStatus, Witness,
};

/// The answer to this is the witness; `is_superuser` is asked in the same breath.
const WHO: &str = "SELECT session_user, current_user, pg_catalog.current_setting('is_superuser')";

/// A signed-in connection.
pub(crate) struct Connection {
    frames: Frames,
    source_name: Arc<str>,
    status: TransactionStatus,
    parameters: BTreeMap<String, String>,
    /// How many ReadyForQuery the server still owes us.
    owed: u32,
    /// Whether a message may have gone out in part.
    sending: bool,
    broken: bool,
    /// The error and the tag of what runs, until ReadyForQuery.
    failure: Option<ServerMessage>,
    tag: String,
    /// Whether what runs is a copy, and whether it has begun.
    copying: Option<Copying>,
    /// Whether a cursor may be open that outlives its transaction.
    holds_cursors: bool,
    /// Statements that stay prepared.
    named: Named,
    /// What holds on this session, whatever is asked of it.
    guards: Arc<Guards>,
    /// Whom the server serves, and what is set; none until [`Connection::assume`].
    assumed: Option<Assumed>,
    opened_at: Instant,
    _open: OpenGauge,
}

/// How far a copy has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copying {
    Asked,
    Under,
    Done,
}

/// A statement of our own.
#[derive(Default)]
pub(crate) struct Step {
    text: String,
    parameters: Vec<Option<Bytes>>,
    /// Whether it has to stand in a transaction of its own.
    alone: bool,
}

/// A step that failed, by its place.
pub(crate) struct StepError {
    pub(crate) step: usize,
    pub(crate) error: Error,
}

/// A row of our own statements, whose columns are asked for as text.
pub(crate) struct Row {
    body: DataRowBody,
    ranges: Vec<Option<std::ops::Range<usize>>>,
}

impl Connection {
    /// A connection on which the login is through.
    pub(crate) fn new(
        mut frames: Frames,
        source_name: Arc<str>,
        greeting: Greeting,
        guards: Arc<Guards>,
        row_bytes_max: usize,
    ) -> Self {
        frames.raise_frame_limit(row_bytes_max);
        Self {
            frames,
            _open: OpenGauge::new(&source_name),
            source_name,
            status: TransactionStatus::Idle,
            parameters: greeting.parameters,
            owed: 0,
            sending: false,
            broken: false,
            failure: None,
            tag: String::new(),
            copying: None,
            holds_cursors: false,
            named: Named::default(),
            guards,
            assumed: None,
            opened_at: Instant::now(),
        }
    }

    /// Reads which timeouts the source itself sets for the person, once, and holds to those that are shorter than ours.
    pub(crate) async fn learn_timeouts(&mut self, persona: &Persona) -> Result<(), Error> {
        let steps = [Step::with(OWN_TIMEOUTS, [persona.role().to_owned()])];
        let mut own = Vec::new();
        let ran = self
            .run(&steps, &mut |_, row| {
                let text = |column| row.text(column).unwrap_or_default().to_owned();
                own.push((text(0), text(1)));
                Ok(())
            })
            .await;
        ran.map_err(|failed| failed.error)?;
        self.guards = Arc::new(self.guards.within(&own));
        Ok(())
    }

    /// Becomes the person, applies the guards and settings, and asks the server who it serves; all in one write.
    ///
    /// After an error the connection is not to be used again: who it serves is not known.
    pub(crate) async fn assume(&mut self, persona: &Persona, settings: &SessionSettings) -> Result<(), Error> {
        let guards = Arc::clone(&self.guards);
        let mut steps = Vec::new();
        if self.assumed.take().is_some() {
            steps.push(Step { alone: true, ..Step::new("DISCARD ALL") });
            self.holds_cursors = false;
            self.named.clear();
        }
        let becoming = persona.statement().map(|statement| {
            steps.push(Step::new(statement));
            steps.len() - 1
        });
        let applied = guards.forwarded(settings);
        let values = guards.values().chain(applied.0.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))));
        steps.extend(Step::set(values));
        steps.push(Step::new(WHO));
        let mut answer = Vec::new();
        let last = steps.len() - 1;
        let ran = self
            .run(&steps, &mut |step, row| {
                if step == last {
                    answer = (0..3).map(|column| row.text(column).unwrap_or_default().to_owned()).collect();
                }
                Ok(())
            })
            .await;
        ran.map_err(|failed| match failed.error {
            Error::Server(message) if Some(failed.step) == becoming => persona.refused(message.message),
            error => error,
        })?;
        let witness = Arc::new(persona.compare(&self.source_name, &answer)?);
        let (witnessed_at, asked) = (Instant::now(), settings.clone());
        self.assumed = Some(Assumed { witness, witnessed_at, asked, settings: applied, uncertain: false });
        Ok(())
    }

    /// Whether this connection can be given out as it stands: the very same state, and a young enough witness.
    ///
    /// No round trip is needed then, because nothing a client may run changes who is served: statements are reads that
    /// were printed from a checked tree, and identity statements are not among them. What the warehouse's own functions
    /// could do behind a view is watched: the server reports every change of `session_authorization`, and on such a
    /// report the connection is closed (see [`Connection::parameter`]). A change of `role` is not reported, so there
    /// the server is asked each time (see [`Persona::is_reported`]).
    pub(crate) fn is_just_so(&self, persona: &Persona, settings: &SessionSettings, witness_max: Duration) -> bool {
        self.assumed.as_ref().is_some_and(|assumed| {
            persona.is_reported()
                && !assumed.uncertain
                && assumed.witnessed_at.elapsed() < witness_max
                && (assumed.asked == *settings || assumed.settings == self.guards.forwarded(settings))
        })
    }

    /// Whom the server serves.
    pub(crate) fn witness(&self) -> Option<&Arc<Witness>> {
        self.assumed.as_ref().map(|assumed| &assumed.witness)
    }

    /// Whether it could serve again.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.broken && !self.sending && self.owed == 0 && self.status == TransactionStatus::Idle && !self.holds_cursors
    }

    /// Nobody uses it for a while.
    pub(crate) fn rest(&mut self) {
        self.frames.rest();
    }

    /// Every cursor has been closed.
    pub(crate) fn forget_cursors(&mut self) {
        self.holds_cursors = false;
    }

    /// Whether something may be running on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.sending || self.owed > 0
    }

    /// How long ago it was opened.
    pub(crate) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Where it stands.
    pub(crate) fn status(&self) -> TransactionStatus {
        self.status
    }

    /// A setting as the server reported it.
    pub(crate) fn parameter_value(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Whether the server is still there; takes in what it said meanwhile.
    pub(crate) fn is_alive(&mut self) -> bool {
        let alive = self.frames.fill_now().and_then(|()| {
            while let Some((tag, frame)) = self.frames.frame()? {
                self.take(tag, frame)?;
            }
            Ok(())
        });
        alive.is_ok() && self.failure.is_none() && self.is_reusable()
    }

    /// Parameter and result types.
    pub(crate) async fn describe(&mut self, query: &Query) -> Result<Description, Error> {
        self.must_be_idle()?;
        let built = self.build(|out| {
            frontend::parse("", &query.text, query.parameter_types.iter().copied(), out)?;
            frontend::describe(b'S', "", out)?;
            frontend::sync(out);
            Ok(())
        });
        built?;
        self.send(1).await?;
        let mut description = Description { parameters: Vec::new(), fields: None };
        loop {
            let (tag, frame) = self.frame().await?;
            if tag == backend::PARAMETER_DESCRIPTION_TAG {
                if let Message::ParameterDescription(body) = self.parse(frame)? {
                    description.parameters = body.parameters().collect().map_err(|error| self.breach(error))?;
                }
                continue;
            }
            match self.take_or_break(tag, frame)? {
                Some(Batch::Fields(fields)) => description.fields = Some(fields),
                Some(Batch::Done { .. }) => return Ok(description),
                _ => {}
            }
        }
    }

    /// Sends a query: one write, and the answer is read by [`Connection::next`].
    pub(crate) async fn start(&mut self, query: &Query, bind: &Bind) -> Result<(), Error> {
        self.must_be_idle()?;
        // What a roll-back may undo is none of what a statement that stays should be read under.
        let settled = self.assumed.as_ref().is_some_and(|assumed| !assumed.uncertain);
        let sent = match bind.kept && settled && query.gives == Gives::Rows {
            true => self.named.send(query),
            false => Sent::Whole(String::new()),
        };
        let closing = self.named.closing();
        let built = self.build(|out| {
            closing.iter().try_for_each(|name| frontend::close(b'S', name, out))?;
            let name = match &sent {
                Sent::Whole(name) => {
                    frontend::parse(name, &query.text, query.parameter_types.iter().copied(), out)?;
                    name
                }
                Sent::ByName(name) => name,
            };
            let formats = bind.parameter_formats.iter().copied().map(code);
            write_bind(name, formats, &bind.parameters, bind.result_formats.iter().copied().map(code), out)?;
            frontend::describe(b'P', "", out)?;
            frontend::execute("", 0, out)?;
            frontend::sync(out);
            Ok(())
        });
        if let Err(error) = built {
            self.named.not_sent(closing);
            return Err(error);
        }
        self.holds_cursors |= query.gives == Gives::HeldCursor;
        self.send(1).await?;
        self.copying = (query.gives == Gives::Copy).then_some(Copying::Asked);
        Ok(())
    }

    /// The next part of the answer. Safe to drop: everything read stays here.
    pub(crate) async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            if let Some(batch) = self.at_hand()? {
                return Ok(batch);
            }
            let filled = self.frames.fill().await;
            filled.map_err(|error| self.broken(error))?;
        }
    }

    /// The next part of the answer, if it has been read.
    pub(crate) fn at_hand(&mut self) -> Result<Option<Batch>, Error> {
        if self.owed == 0 {
            return Err(self.lost("nothing runs on this connection"));
        }
        loop {
            let copied = self.copying == Some(Copying::Under);
            let in_runs = if copied { backend::COPY_DATA_TAG } else { backend::DATA_ROW_TAG };
            match self.frames.run_of(in_runs) {
                Ok(Some((frames, _))) if copied => return Ok(Some(Batch::Copied(frames))),
                Ok(Some((frames, rows))) => return Ok(Some(Batch::Rows { frames, rows })),
                Ok(None) => {}
                Err(error) => return Err(self.broken(error)),
            }
            let frame = match self.frames.frame() {
                Ok(frame) => frame,
                Err(error) => return Err(self.broken(error)),
            };
            let Some((tag, frame)) = frame else { return Ok(None) };
            if let Some(batch) = self.take_or_break(tag, frame)? {
                return Ok(Some(batch));
            }
        }
    }

    /// Runs statements of our own in one write, up to the end of all or the first failure.
    pub(crate) async fn run(
        &mut self,
        steps: &[Step],
        on_row: &mut (dyn FnMut(usize, Row) -> Result<(), String> + Send),
    ) -> Result<(), StepError> {
        let mut step = 0;
        let result = self.run_steps(steps, on_row, &mut step).await;
        result.map_err(|error| StepError { step, error })
    }

    async fn run_steps(
        &mut self,
        steps: &[Step],
        on_row: &mut (dyn FnMut(usize, Row) -> Result<(), String> + Send),
        step: &mut usize,
    ) -> Result<(), Error> {
        self.must_be_idle()?;
        let mut syncs = 0;
        self.build(|out| {
            for (place, step) in steps.iter().enumerate() {
                frontend::parse("", &step.text, [], out)?;
                write_bind("", [], &step.parameters, [], out)?;
                frontend::execute("", 0, out)?;
                if step.alone || place + 1 == steps.len() {
                    frontend::sync(out);
                    syncs += 1;
                }
            }
            Ok(())
        })?;
        self.send(syncs).await?;
        let mut failed: Option<ServerMessage> = None;
        while self.owed > 0 {
            let (tag, frame) = self.frame().await?;
            match tag {
                backend::DATA_ROW_TAG => {
                    let row = Row::new(self.parse(frame)?).map_err(|cause| self.breach(cause))?;
                    on_row(*step, row).map_err(|cause| self.breach(cause))?;
                    continue;
                }
                backend::COMMAND_COMPLETE_TAG if failed.is_none() => *step += 1,
                _ => {}
            }
            match self.take_or_break(tag, frame) {
                Ok(_) => {}
                // The steps after it may have cycles of their own: read on to the end of the last.
                Err(Error::Server(message)) => failed = failed.or(Some(message)),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), |message| Err(Error::Server(message)))
    }

    /// Applies changed settings; in a transaction they may be rolled back, so the next to come starts afresh.
    pub(crate) async fn apply(&mut self, settings: &SessionSettings) -> Result<(), Error> {
        let Some(assumed) = &self.assumed else { return Err(self.lost("nobody is signed in on this connection")) };
        if assumed.asked == *settings {
            return Ok(());
        }
        let guards = Arc::clone(&self.guards);
        let wanted = guards.forwarded(settings);
        if assumed.settings == wanted {
            return Ok(());
        }
        let changed = wanted
            .0
            .iter()
            .filter(|(name, value)| assumed.settings.0.get(*name) != Some(value))
            .map(|(name, value)| (name.as_str(), Some(value.as_str())));
        // A setting that is no longer named goes back to what it was: the guard's value, or the server's.
        let dropped = assumed
            .settings
            .0
            .keys()
            .filter(|name| !wanted.0.contains_key(*name))
            .map(|name| (name.as_str(), guards.value(name)));
        self.named.give_up();
        let steps: Vec<Step> = Step::set(changed.chain(dropped)).into_iter().collect();
        self.run(&steps, &mut |_, _| Ok(())).await.map_err(|failed| failed.error)?;
        let open = self.status != TransactionStatus::Idle;
        if let Some(assumed) = &mut self.assumed {
            (assumed.asked, assumed.settings) = (settings.clone(), wanted);
            assumed.uncertain |= open;
        }
        Ok(())
    }

    /// Says good-bye.
    pub(crate) async fn close(self, wait: Duration) {
        self.frames.close(wait).await;
    }

    /// The connection can no longer be used.
    pub(crate) fn lost(&self, cause: impl ToString) -> Error {
        self.frames.lost(cause)
    }

    fn must_be_idle(&self) -> Result<(), Error> {
        if self.broken || self.sending {
            return Err(self.lost("the connection was lost earlier"));
        }
        if self.owed > 0 {
            return Err(self.lost("the connection still runs another statement"));
        }
        Ok(())
    }

    /// Writes messages to the outbox; a value that does not fit the protocol (a zero byte in the text, more than 65,535
    /// parameters, 2 GB) leaves nothing there.
    fn build(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<(), Error> {
        self.frames.outbox.clear();
        write(&mut self.frames.outbox).map_err(|error| {
            self.frames.outbox.clear();
            Error::Server(ServerMessage {
                severity: "ERROR".to_owned(),
                code: "08P01".to_owned(),
                message: format!("the statement cannot be sent: {error}"),
                ..ServerMessage::default()
            })
        })
    }

    async fn send(&mut self, syncs: u32) -> Result<(), Error> {
        self.failure = None;
        self.tag.clear();
        self.copying = None;
        self.owed += syncs;
        self.sending = true;
        let sent = self.frames.flush().await;
        self.sending = false;
        sent.map_err(|error| self.broken(error))
    }

    async fn frame(&mut self) -> Result<(u8, BytesMut), Error> {
        let frame = self.frames.wait_for_frame().await;
        frame.map_err(|error| self.broken(error))
    }

    /// [`Connection::take`], after which only an error of the statement leaves the connection good.
    fn take_or_break(&mut self, tag: u8, frame: BytesMut) -> Result<Option<Batch>, Error> {
        let taken = self.take(tag, frame);
        taken.map_err(|error| if matches!(error, Error::Server(_)) { error } else { self.broken(error) })
    }

    /// What one frame means. Rows are not for here.
    fn take(&mut self, tag: u8, frame: BytesMut) -> Result<Option<Batch>, Error> {
        match tag {
            backend::PARSE_COMPLETE_TAG => {
                self.named.parsed();
                return Ok(None);
            }
            backend::BIND_COMPLETE_TAG | backend::CLOSE_COMPLETE_TAG | backend::NO_DATA_TAG => return Ok(None),
            backend::ROW_DESCRIPTION_TAG => return Ok(Some(Batch::Fields(frame.freeze()))),
            backend::COPY_OUT_RESPONSE_TAG if self.copying == Some(Copying::Asked) => {
                self.copying = Some(Copying::Under);
                return Ok(Some(Batch::Copied(frame.freeze())));
            }
            backend::COPY_DONE_TAG if self.copying == Some(Copying::Under) => {
                self.copying = Some(Copying::Done);
                return Ok(Some(Batch::Copied(frame.freeze())));
            }
            _ => {}
        }
        match self.parse(frame)? {
            Message::CommandComplete(body) => {
                body.tag().map_err(|error| self.breach(error))?.clone_into(&mut self.tag);
                Ok(None)
            }
            Message::EmptyQueryResponse | Message::NotificationResponse(_) => Ok(None),
            Message::NoticeResponse(body) => Ok(Some(Batch::Notice(server_message(body.fields())))),
            Message::ParameterStatus(body) => {
                let name = body.name().map_err(|error| self.breach(error))?;
                let value = body.value().map_err(|error| self.breach(error))?;
                self.parameter(name, value)?;
                Ok(None)
            }
            Message::ErrorResponse(body) => {
                let message = server_message(body.fields());
                if matches!(message.severity.as_str(), "FATAL" | "PANIC") {
                    return Err(self.lost(message.message));
                }
                self.named.failed();
                self.failure = Some(message);
                Ok(None)
            }
            Message::ReadyForQuery(body) => self.ready(body.status()).map(Some),
            Message::CopyInResponse(_) | Message::CopyOutResponse(_) | Message::CopyData(_) | Message::CopyDone => {
                Err(self.breach("it began to copy, which nothing here asks for"))
            }
            _ => Err(self.breach(format!("an unexpected message of type {:?}", char::from(tag)))),
        }
    }

    fn ready(&mut self, status: u8) -> Result<Batch, Error> {
        self.status = match status {
            b'I' => TransactionStatus::Idle,
            b'T' => TransactionStatus::Open,
            b'E' => TransactionStatus::Failed,
            _ => return Err(self.breach("an unknown transaction status")),
        };
        self.owed = self.owed.checked_sub(1).ok_or_else(|| self.breach("it is ready although nothing was asked"))?;
        self.named.ended();
        match self.failure.take() {
            Some(message) => Err(Error::Server(message)),
            None => Ok(Batch::Done { tag: std::mem::take(&mut self.tag) }),
        }
    }

    /// Notes a reported setting. `session_authorization` and `is_superuser` are reported whenever they change
    /// (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC>): once we are who we should be, any
    /// change is somebody else's doing, and ends the connection.
    fn parameter(&mut self, name: &str, value: &str) -> Result<(), Error> {
        if let Some(assumed) = &self.assumed {
            let expected = match name {
                "session_authorization" => Some(assumed.witness.session_user.as_str()),
                "is_superuser" => self.parameters.get(name).map(String::as_str),
                _ => None,
            };
            if let Some(expected) = expected.filter(|expected| *expected != value) {
                return Err(Error::Witness {
                    source_name: self.source_name.to_string(),
                    expected: expected.to_owned(),
                    found: value.to_owned(),
                });
            }
        }
        self.parameters.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn parse(&mut self, frame: BytesMut) -> Result<Message, Error> {
        let parsed = self.frames.parse(frame);
        parsed.map_err(|error| self.broken(error))
    }

    fn breach(&mut self, cause: impl ToString) -> Error {
        let error = self.frames.breach(cause);
        self.broken(error)
    }

    fn broken(&mut self, error: Error) -> Error {
        self.broken = true;
        error
    }
}

impl Step {
    /// A statement without parameters.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A statement with text parameters.
    pub(crate) fn with(text: impl Into<String>, parameters: impl IntoIterator<Item = String>) -> Self {
        let parameters = parameters.into_iter().map(|value| Some(Bytes::from(value))).collect();
        Self { text: text.into(), parameters, alone: false }
    }

    /// Sets settings for the session, names and values as parameters; a value of NULL puts the session's start-up
    /// value back. Nothing, if there is nothing to set.
    fn set<'a>(values: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Option<Self> {
        let mut calls = Vec::new();
        let mut parameters = Vec::new();
        for (name, value) in values {
            let at = parameters.len();
            calls.push(format!("pg_catalog.set_config(${}, ${}, false)", at + 1, at + 2));
            parameters.push(Some(Bytes::copy_from_slice(name.as_bytes())));
            parameters.push(value.map(|value| Bytes::copy_from_slice(value.as_bytes())));
        }
        let text = format!("SELECT {}", calls.join(", "));
        (!calls.is_empty()).then_some(Self { text, parameters, alone: false })
    }
}

impl Row {
    fn new(message: Message) -> Result<Self, String> {
        let Message::DataRow(body) = message else { return Err("a row is not a row".to_owned()) };
        let ranges = body.ranges().collect().map_err(|error| error.to_string())?;
        Ok(Self { body, ranges })
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> usize {
        self.body.buffer().len()
    }

    /// A column as text; `None` where it is NULL, missing or not UTF-8.
    pub(crate) fn text(&self, column: usize) -> Option<&str> {
        let range = self.ranges.get(column)?.clone()?;
        std::str::from_utf8(self.body.buffer().get(range)?).ok()
    }
}

/// Counts open connections.
struct OpenGauge(metrics::Gauge);

impl OpenGauge {
    fn new(source_name: &str) -> Self {
        let gauge = metrics::gauge!("passgate_backend_connections", "source" => source_name.to_owned());
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn code(format: Format) -> i16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}

fn write_bind(
    statement: &str,
    formats: impl IntoIterator<Item = i16>,
    values: &[Option<Bytes>],
    result_formats: impl IntoIterator<Item = i16>,
    out: &mut BytesMut,
) -> std::io::Result<()> {
    let write = |value: &Option<Bytes>, out: &mut BytesMut| {
        Ok(match value {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    };
    frontend::bind("", statement, formats, values, write, result_formats, out).map_err(|error| match error {
        frontend::BindError::Conversion(error) => std::io::Error::other(error),
        frontend::BindError::Serialization(error) => error,
    })
}
