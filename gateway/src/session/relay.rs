//! From a source's frames to the client: a running statement, and how its rows get out.
//!
//! Rows are passed on undecoded. While a source is asked for more, the client is watched: one that goes away takes its
//! statement with it, because dropping a [`Running`] drops its lease, which cancels, and closes its record.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use passgate_connectors::{Batch, Error as SourceError, Query, ServerMessage, Witness};
use passgate_policy::{Decision, Obligation, Permitted, PolicySet, Request, RuleReference, decide};
use passgate_wire::{self as wire, Backend};
use tokio::sync::watch;

use super::cancel::Slot;
use super::channel::Channel;
use super::cursor::Reading;
use super::error::{End, Error, Failure};
use super::ready::Ready;
use super::whereabouts::Ended;
use super::{Session, Shutdown, measure};
use crate::audit::{Outcome, Receipt, Status};
use crate::plan::Terms;
use crate::sources::Lease;

/// A statement that has been started and not read to its end.
pub(super) struct Running {
    feed: Feed,
    /// What comes before the feed's next batch: the gateway's own answers, and rows that a limit held back.
    pub(super) kept: VecDeque<Batch>,
    permit: Option<Standing>,
    /// What runs, where errors may point into its text.
    query: Option<Arc<Permitted<Query>>>,
    receipt: Option<Receipt>,
    started: Instant,
    rows: u64,
    bytes: u64,
    suspended_before: bool,
    /// The cursor it reads, where it is a FETCH.
    reading: Option<Reading>,
}

/// Where the rest of the answer comes from.
enum Feed {
    /// A connection of the statement's own.
    Own(Lease),
    /// The connection of the transaction.
    Pinned,
    /// Nowhere: everything is kept.
    Over,
}

/// A permit while its statement runs: what was asked, and what was demanded.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) terms: Arc<Terms>,
    /// The rows that the source expected, where it was asked.
    pub(super) rows_estimated: Option<f64>,
}

impl Standing {
    /// Whether the policies in force would still let the statement run in the same way.
    fn holds(&mut self, policies: &PolicySet) -> bool {
        if *policies.revision() == self.terms.revision {
            return true;
        }
        let request = self.request_under(policies).into_owned();
        let terms = Arc::make_mut(&mut self.terms);
        terms.request = request;
        terms.revision = policies.revision().clone();
        match decide(policies, &terms.request) {
            Decision::Allow(permit) => self.terms.demand_the_same(permit.obligations()),
            _ => false,
        }
    }

    /// What to ask these policies. An approval was given under the policies of then: under others it is void.
    pub(super) fn request_under(&self, policies: &PolicySet) -> Cow<'_, Request> {
        let Terms { request, revision, .. } = &*self.terms;
        if policies.revision() == revision || request.facts.grants.is_empty() {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        request.facts.grants.clear();
        Cow::Owned(request)
    }

    /// The most rows that may be answered.
    fn rows_max(&self) -> Option<u64> {
        self.row_limit().map(|(rows, _)| rows)
    }

    /// The same, and the rule that says so.
    fn row_limit(&self) -> Option<(u64, &RuleReference)> {
        self.terms.obligations.iter().find_map(|obligation| match obligation {
            Obligation::LimitRows { rows, rule } => Some((*rows, rule)),
            Obligation::FilterRows { .. } | Obligation::MaskColumn { .. } | Obligation::HideColumn { .. } => None,
        })
    }
}

/// How much of an answer is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Whether the description of the rows belongs to the answer.
    pub(super) fields: bool,
    /// The most rows; `None` for all.
    pub(super) rows_max: Option<u64>,
    /// Rows of tables that earlier statements of the same message have answered. A row limit counts them: a message is one
    /// question, however many statements it is cut into.
    pub(super) answered_before: u64,
}

/// How far an answer came.
pub(super) enum Reached {
    /// The row limit; there may be more.
    Limit,
    /// The end, with the command tag.
    End(String),
}

impl Running {
    /// An answer of the gateway's own, whose record is complete.
    pub(super) fn answered(batches: VecDeque<Batch>) -> Self {
        Self::new(Feed::Over, batches, None, None)
    }

    /// A statement whose decision is recorded and which is about to be sent to a source.
    pub(super) fn recorded(receipt: Receipt, permit: Option<Standing>) -> Self {
        Self::new(Feed::Over, VecDeque::new(), permit, Some(receipt))
    }

    fn new(feed: Feed, kept: VecDeque<Batch>, permit: Option<Standing>, receipt: Option<Receipt>) -> Self {
        Self {
            feed,
            kept,
            permit,
            query: None,
            receipt,
            started: Instant::now(),
            rows: 0,
            bytes: 0,
            suspended_before: false,
            reading: None,
        }
    }

    /// Whether a rule ended the answer, now that all of it was read.
    fn ended(&self) -> Option<Ended> {
        let limit = self.permit.as_ref().and_then(Standing::rows_max)?;
        (limit == self.rows).then_some(Ended::AtLimit)
    }

    /// Says that the answer may go on where a rule ended it: nobody should take a part for the whole.
    fn limit_notice(&self, ended: Ended) -> Option<ServerMessage> {
        let (rows, rule) = self.permit.as_ref()?.row_limit()?;
        let message = match ended {
            Ended::AtLimit => format!("the answer ends at {rows} rows, and there may be more"),
            Ended::PerhapsAtLimit => format!("the answer has {rows} rows at most, and there may be more"),
        };
        Some(ServerMessage {
            severity: "NOTICE".to_owned(),
            code: "00000".to_owned(),
            message,
            detail: Some(format!("At most {rows} rows are answered, by {rule}.")),
            hint: Some("Aggregate, filter, or page by a key.".to_owned()),
            position: None,
        })
    }

    /// Refuses what is over the row limit together with what the message has answered before. Each statement alone
    /// keeps to the limit as it was rewritten.
    fn check_message(&self, answered_before: u64, more: u64, uncounted: bool) -> Result<(), Error> {
        let Some(most) = self.permit.as_ref().and_then(Standing::rows_max).filter(|_| answered_before > 0) else {
            return Ok(());
        };
        let together = answered_before.saturating_add(self.rows).saturating_add(more);
        if uncounted || together > most { Err(Error::MessageTooLarge(most)) } else { Ok(()) }
    }

    /// Rows of tables answered so far.
    pub(super) fn rows_read(&self) -> u64 {
        let reads = self.permit.as_ref().is_some_and(|standing| !standing.terms.request.tables.is_empty());
        if reads { self.rows } else { 0 }
    }

    /// The proof that it is recorded; none for an answer of the gateway's own.
    pub(super) fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// What was asked and demanded, for a cursor to remember: nothing of its own answer is left to be watched.
    pub(super) fn take_standing(&mut self) -> Option<Standing> {
        self.permit.take()
    }

    /// Takes note of what runs.
    pub(super) fn runs(&mut self, query: Arc<Permitted<Query>>) {
        self.query = Some(query);
    }

    /// A failure of it, which may point into the text that ran.
    pub(super) fn pointing(&self, failure: Failure) -> Failure {
        match &self.query {
            Some(query) => failure.ran(&query.query().text),
            None => failure,
        }
    }

    /// It is a FETCH.
    pub(super) fn reads(&mut self, reading: Option<Reading>) {
        self.reading = reading;
    }

    /// Takes note of whom the source serves.
    pub(super) fn witnessed(&mut self, witness: &Arc<Witness>) {
        if let Some(receipt) = &mut self.receipt {
            receipt.witness(witness);
        }
    }

    /// Reads from a connection of its own from here on.
    pub(super) fn read_from(&mut self, lease: Lease) {
        self.feed = Feed::Own(lease);
    }

    /// Reads from the transaction's connection from here on.
    pub(super) fn read_from_pinned(&mut self) {
        self.feed = Feed::Pinned;
    }

    /// Whether its rows still stand on the transaction's connection.
    pub(super) fn reads_pinned_lease(&self) -> bool {
        matches!(self.feed, Feed::Pinned)
    }

    /// Whether its rows still stand on a connection of its own.
    pub(super) fn reads_own_lease(&self) -> bool {
        matches!(self.feed, Feed::Own(_))
    }

    /// The canceller of its own connection.
    pub(super) fn canceller(&self) -> Option<Arc<dyn passgate_connectors::Cancel>> {
        match &self.feed {
            Feed::Own(lease) => Some(lease.canceller()),
            Feed::Pinned | Feed::Over => None,
        }
    }

    /// The next batch. `pinned` is the transaction's connection, if there is one. Safe to drop and call again.
    async fn next(&mut self, pinned: Option<&mut Lease>) -> Result<Batch, SourceError> {
        if let Some(batch) = self.kept.pop_front() {
            return Ok(batch);
        }
        let batch = match (&mut self.feed, pinned) {
            (Feed::Own(lease), _) | (Feed::Pinned, Some(lease)) => lease.next().await,
            (Feed::Pinned, None) | (Feed::Over, _) => return Ok(Batch::Done { tag: String::new() }),
        };
        self.note_end(&batch);
        batch
    }

    /// The next batch, if it is kept or has been read from a connection of the statement's own.
    fn at_hand(&mut self) -> Option<Result<Batch, SourceError>> {
        if let Some(batch) = self.kept.pop_front() {
            return Some(Ok(batch));
        }
        let Feed::Own(lease) = &mut self.feed else { return None };
        let batch = lease.at_hand()?;
        self.note_end(&batch);
        Some(batch)
    }

    fn note_end(&mut self, batch: &Result<Batch, SourceError>) {
        if matches!(batch, Ok(Batch::Done { .. }) | Err(SourceError::Server(_))) {
            // Gives the connection back before the client has read the end.
            self.feed = Feed::Over;
        }
    }

    /// How many bytes are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.iter().map(kept_bytes).sum()
    }

    /// Counts rows that went elsewhere than to the client at once.
    pub(super) fn count(&mut self, rows: u64) {
        self.rows += rows;
        self.suspended_before = true;
    }

    /// Puts rows back that a limit held back.
    pub(super) fn hold_back(&mut self, frames: Bytes, rows: u64) {
        if !frames.is_empty() {
            self.kept.push_front(Batch::Rows { frames, rows });
        }
    }

    /// It came to its end, or was closed by the client before.
    pub(super) fn finish(mut self) {
        self.close(Status::Ok, None);
    }

    /// It failed, or was given up.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let (status, error) = match failure {
            Failure::Session(End::Gone | End::Terminated) => (Status::Abandoned, None),
            Failure::Session(End::Fatal(error)) => (Status::Cancelled, Some(error)),
            Failure::Statement(error) if error.sqlstate() == "57014" => (Status::Cancelled, Some(error)),
            Failure::Statement(error) => (Status::Failed, Some(error)),
        };
        self.close(status, error.map(|error| (error.sqlstate().to_owned(), error.message())));
    }

    fn close(&mut self, status: Status, error: Option<(String, String)>) {
        let Some(receipt) = self.receipt.take() else { return };
        measure::statement(status);
        measure::answer(self.started.elapsed(), self.rows, self.bytes);
        let (sqlstate, error) = error.unzip();
        let status = Some(status);
        receipt.close(Outcome { rows: self.rows, bytes: self.bytes, status, sqlstate, error, ..Outcome::default() });
    }
}

impl Drop for Running {
    /// Whatever drops a statement that has not ended leaves its outcome behind, with what was answered so far.
    fn drop(&mut self) {
        self.close(Status::Abandoned, None);
    }
}

/// What may interrupt work on a source.
struct Watch<'a> {
    /// Whether somebody cancels.
    slot: &'a Slot,
    /// Whether the gateway ends.
    shutdown: &'a mut watch::Receiver<Shutdown>,
    /// How long the work may go on once it was cancelled.
    grace: Duration,
}

/// Why work on a source did not come to its end.
pub(super) enum Interrupted {
    /// The source says so.
    Source(SourceError),
    /// It was cancelled, the client is gone, or the gateway ends; what the connection does by now is not known.
    Stopped(Failure),
}

impl Interrupted {
    /// Whether the connection is as good as before.
    pub(super) fn leaves_connection_good(&self) -> bool {
        matches!(self, Self::Source(SourceError::Server(_)))
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Source(error) => Self::statement(error),
            Interrupted::Stopped(failure) => failure,
        }
    }
}

/// Works on a source and keeps an eye on everything that would make the work pointless.
async fn attend<T>(
    channel: &mut Channel,
    watch: Watch<'_>,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, Interrupted> {
    let mut work = pin!(work);
    let source_told = tokio::select! {
        biased;
        done = &mut work => return done.map_err(Interrupted::Source),
        end = channel.departure() => return Err(Interrupted::Stopped(end.into())),
        source_told = watch.slot.asked() => source_told,
        () = stopped(watch.shutdown) => return Err(Interrupted::Stopped(Error::ShuttingDown.into())),
    };
    // A source that has been told answers with its own 57014, and its connection stays good.
    let grace = if source_told { watch.grace } else { Duration::ZERO };
    match tokio::time::timeout(grace, work).await {
        Ok(done) => done.map_err(Interrupted::Source),
        Err(_) => Err(Interrupted::Stopped(Error::Cancelled.into())),
    }
}

/// Waits until sessions must end at once.
async fn stopped(shutdown: &mut watch::Receiver<Shutdown>) {
    if shutdown.wait_for(|state| *state == Shutdown::Now).await.is_err() {
        // Whoever could have told is gone, so nobody will.
        std::future::pending().await
    }
}

impl Session<Ready> {
    /// Brings rows to the client, up to a limit or the end. On a failure the statement's record is closed.
    pub(super) async fn relay(&mut self, running: &mut Running, wanted: Wanted) -> Result<Reached, Failure> {
        let reached = self.relay_batches(running, wanted).await;
        if let Err(failure) = &reached {
            running.fail(failure);
            Box::pin(self.stop_pinned(running)).await;
            running.feed = Feed::Over;
        }
        reached.map_err(|failure| running.pointing(failure))
    }

    /// Cancels what still runs on the connection that the session keeps and reads it to its end, so that the connection
    /// can be told to roll back; one that does not end in time is given up. The statement, and a transaction with it, has
    /// failed by then or is about to end.
    pub(super) async fn stop_pinned(&mut self, running: &mut Running) {
        if !running.reads_pinned_lease() {
            return;
        }
        running.feed = Feed::Over;
        // Taken out meanwhile, so that whatever ends this early drops it.
        let Some(mut lease) = self.pinned().take() else { return };
        let end = async {
            lease.canceller().cancel().await;
            loop {
                match lease.next().await {
                    Ok(Batch::Done { .. }) | Err(SourceError::Server(_)) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        let grace = Duration::from_millis(self.services.config.cancel_ms_max);
        match tokio::time::timeout(grace, end).await {
            Ok(true) => *self.pinned() = Some(lease),
            Ok(false) | Err(_) => self.lose_pinned_lease(),
        }
    }

    async fn relay_batches(&mut self, running: &mut Running, wanted: Wanted) -> Result<Reached, Failure> {
        let mut sent = 0_u64;
        loop {
            self.check_standing(running)?;
            match self.next_batch(running).await? {
                Batch::Fields(frame) if wanted.fields => {
                    if running.reading.is_some() {
                        // A FETCH that fails gives no description, because PostgreSQL runs it whole before it answers.
                        let next = self.next_batch(running).await?;
                        running.kept.push_front(next);
                    }
                    self.channel.relay(frame).await?;
                }
                Batch::Fields(_) => {}
                Batch::Notice(notice) => self.pass_on(&notice).await?,
                Batch::Copied(frames) => {
                    // How many rows a copy has is known at its end only.
                    running.check_message(wanted.answered_before, 0, true)?;
                    self.relay_counted(running, frames).await?;
                }
                Batch::Rows { frames, rows } => {
                    running.check_message(wanted.answered_before, rows, false)?;
                    let room = wanted.rows_max.map_or(u64::MAX, |most| most - sent);
                    sent += self.relay_rows(running, frames, rows, room).await?;
                    if wanted.rows_max == Some(sent) {
                        running.suspended_before = true;
                        return Ok(Reached::Limit);
                    }
                }
                Batch::Done { tag } => {
                    // How many rows a copy has is known at its end only: its header is no row.
                    if let Some(rows) = tag.strip_prefix("COPY ").and_then(|rows| rows.parse().ok()) {
                        running.rows = rows;
                    }
                    if let Some(rows) = running.permit.as_ref().and_then(|standing| standing.rows_estimated) {
                        self.services.sources.estimates().compare(&self.state.source, rows, running.rows);
                    }
                    self.tell_of_limit(running, &tag);
                    let tag = if running.suspended_before { last_part(tag, sent) } else { tag };
                    return Ok(Reached::End(tag));
                }
            }
        }
    }

    /// Says it where a row limit ended an answer that was read to its end.
    pub(super) fn tell_of_limit(&mut self, running: &Running, tag: &str) {
        let ended = match &running.reading {
            None => running.ended(),
            Some(reading) => {
                // MOVE passes rows too, and answers none.
                let passed = tag.rsplit(' ').next().and_then(|rows| rows.parse().ok()).unwrap_or(running.rows);
                let limit = running.permit.as_ref().and_then(Standing::rows_max);
                self.state.cursors.moved(reading, passed, limit)
            }
        };
        if let Some(notice) = ended.and_then(|ended| running.limit_notice(ended)) {
            self.channel.notice(&notice);
        }
    }

    /// Brings the description of the rows to the client, and nothing after it.
    pub(super) async fn relay_fields(&mut self, running: &mut Running) -> Result<(), Failure> {
        loop {
            match self.next_batch(running).await {
                Ok(Batch::Notice(notice)) => self.pass_on(&notice).await?,
                Ok(Batch::Fields(frame)) => return Ok(self.channel.relay(frame).await?),
                Ok(other) => {
                    running.kept.push_front(other);
                    self.channel.send(&Backend::NoData);
                    return Ok(());
                }
                Err(failure) => {
                    running.fail(&failure);
                    running.feed = Feed::Over;
                    return Err(failure);
                }
            }
        }
    }

    /// Brings a source's notice to the client. There may be as many as rows.
    pub(super) async fn pass_on(&mut self, notice: &ServerMessage) -> Result<(), End> {
        self.channel.notice(notice);
        self.channel.flush_if_full().await
    }

    async fn relay_rows(&mut self, running: &mut Running, frames: Bytes, rows: u64, room: u64) -> Result<u64, Failure> {
        let (frames, rows) = if rows > room {
            let divided = wire::split_rows(frames, room)?;
            running.hold_back(divided.tail, rows - room);
            (divided.head, room)
        } else {
            (frames, rows)
        };
        running.rows += rows;
        self.relay_counted(running, frames).await?;
        Ok(rows)
    }

    async fn relay_counted(&mut self, running: &mut Running, frames: Bytes) -> Result<(), Failure> {
        running.bytes += frames.len() as u64;
        let most = self.services.config.answer_bytes_max;
        if running.bytes > most {
            return Err(Error::AnswerTooLarge(most).into());
        }
        Ok(self.channel.relay(frames).await?)
    }

    /// The next batch of a statement.
    pub(super) async fn next_batch(&mut self, running: &mut Running) -> Result<Batch, Failure> {
        if running.reads_pinned_lease() {
            return Box::pin(self.on_pinned_lease(async |lease| running.next(Some(lease)).await)).await;
        }
        match running.at_hand() {
            Some(batch) => batch.map_err(Failure::statement),
            None => Ok(self.attended(running.next(None)).await?),
        }
    }

    /// Works on a source and keeps an eye on everything that would make the work pointless.
    pub(super) async fn attended<T>(
        &mut self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, Interrupted> {
        let watch = Watch {
            slot: &self.state.registration.slot,
            shutdown: &mut self.client.shutdown,
            grace: Duration::from_millis(self.services.config.cancel_ms_max),
        };
        attend(&mut self.channel, watch, work).await
    }

    /// Works on the transaction's connection. One that may not be as it was is given up, and the transaction with it.
    pub(super) async fn on_pinned_lease<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Lease) -> Result<T, SourceError>,
    ) -> Result<T, Failure> {
        // Taken out meanwhile, so that whatever ends this early drops it, which cancels what it runs.
        let lease = self.pinned().take();
        let Some(mut lease) = lease else { return Err(Error::TransactionLost.into()) };
        let done = self.attended(work(&mut lease)).await;
        let good = done.as_ref().err().is_none_or(Interrupted::leaves_connection_good);
        match good {
            true => *self.pinned() = Some(lease),
            false => self.lose_pinned_lease(),
        }
        Ok(done?)
    }

    /// Makes a statement that was interrupted by a row limit cancellable again.
    pub(super) fn resume(&mut self, running: &Running) -> Result<(), Failure> {
        self.state.registration.slot.begin();
        let pinned = self.pinned().as_ref().map(Lease::canceller).filter(|_| running.reads_pinned_lease());
        let canceller = running.canceller().or(pinned);
        let asked = canceller.is_some_and(|canceller| !self.state.registration.slot.arm(canceller));
        if asked { Err(Error::Cancelled.into()) } else { Ok(()) }
    }

    /// Ends a stream whose permit no longer holds.
    pub(super) fn check_standing(&self, running: &mut Running) -> Result<(), Failure> {
        let Some(standing) = &mut running.permit else { return Ok(()) };
        if standing.holds(&self.services.policies.borrow()) { Ok(()) } else { Err(Error::Revoked.into()) }
    }
}

/// What a batch takes up while it is kept.
pub(super) fn kept_bytes(batch: &Batch) -> usize {
    match batch {
        Batch::Rows { frames, .. } | Batch::Copied(frames) | Batch::Fields(frames) => frames.len(),
        Batch::Notice(notice) => {
            let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            size_of::<ServerMessage>() + notice.message.len() + optional(&notice.detail) + optional(&notice.hint)
        }
        Batch::Done { .. } => 0,
    }
}

/// The tag of the last part of an answer in parts counts that part only, as PostgreSQL does.
fn last_part(tag: String, rows: u64) -> String {
    match tag.split_once(' ') {
        Some((command @ ("SELECT" | "FETCH"), _)) => format!("{command} {rows}"),
        _ => tag,
    }
}
