//! What stands between sessions and sinks: batches, refusals, and outcomes that must not be lost.
//!
//! A session puts its line in the queue and, where others are busy too, leaves the other tasks of its thread a turn to
//! put theirs there; then everything that is queued is written as one batch, and the others sleep until theirs is
//! written. So a busy gateway and a slow disk cost one write for many records. An outcome, which nobody waits for, goes
//! with the next batch, or soon alone. A batch is taken whole or not at all. When a required sink fails, lines that
//! promise something (a statement about to run, a sign-in) are refused, while outcomes, whose statements have run
//! already, wait in memory and are written first when the sink is back. There is room for every one of them, because a
//! statement reserves the room for its outcome before it may run.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Error;
use super::record::{Body, Fragment, Outcome, Status, notice};
use super::sinks::Sink;

/// How long an outcome may wait for a batch to go with.
const OUTCOME_WAIT_MAX: Duration = Duration::from_millis(10);

/// Room for an outcome that is still to come; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    bytes: usize,
    reserved: Arc<AtomicUsize>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A line on its way to the sinks.
struct Entry {
    body: Body,
    kind: EntryKind,
    answer: Answer,
}

/// What became of a line; set by whoever writes it.
type Answer = Arc<OnceLock<Result<(), Error>>>;

enum EntryKind {
    /// It promises something: refused when it cannot be written. `undo` is the record of a promise that must be taken
    /// back where some sinks have it already.
    Promise { undo: Option<Fragment> },
    /// It tells what has happened already: kept until it is written.
    Outcome { room: Arc<Reservation> },
}

/// A sink, and what it still has to take.
struct Installed {
    name: String,
    required: bool,
    sink: Box<dyn Sink>,
    backlog: VecDeque<Waiting>,
    backlog_bytes: usize,
    /// Bytes that may wait for an optional sink. What waits for a required one is bounded by what is reserved.
    backlog_bytes_max: usize,
    /// Lines an optional sink has lost since it began to fail.
    lost: u64,
    failing: bool,
}

struct Waiting {
    body: Body,
    _room: Option<Arc<Reservation>>,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    /// Whether somebody is writing a batch.
    writing: bool,
    /// How many threads wait until it is written.
    waiting: usize,
    /// Whether somebody will write what is queued once the others have had their turn.
    led: bool,
    /// Whether somebody will write what is queued a little later.
    scheduled: bool,
}

/// The queue and the sinks.
pub(super) struct Journal {
    queue: Mutex<Queue>,
    /// Told whenever a batch has been written: threads, and tasks.
    written: Condvar,
    settled: Notify,
    sinks: Mutex<Vec<Installed>>,
    may_wait: bool,
    reserved: Arc<AtomicUsize>,
    unwritten_bytes_max: usize,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Journal")
    }
}

impl Journal {
    /// Installs sinks: name, whether required, and the sink.
    pub(super) fn new(sinks: Vec<(String, bool, Box<dyn Sink>)>, unwritten_bytes_max: usize) -> Self {
        let may_wait = sinks.iter().any(|(_, _, sink)| sink.may_wait());
        let mut sinks: Vec<_> = sinks.into_iter().map(|sink| Installed::new(sink, unwritten_bytes_max)).collect();
        // Required ones first: what they refuse, the others need not take back.
        sinks.sort_by_key(|sink| !sink.required);
        Self {
            queue: Mutex::default(),
            written: Condvar::new(),
            settled: Notify::new(),
            sinks: Mutex::new(sinks),
            may_wait,
            reserved: Arc::default(),
            unwritten_bytes_max,
        }
    }

    /// Reserves room for an outcome of `bytes`.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Arc<Reservation>, Error> {
        let more = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.unwritten_bytes_max);
        match self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Arc::new(Reservation { bytes, reserved: self.reserved.clone() })),
            Err(_) => Err(Error::full(self.unwritten_bytes_max)),
        }
    }

    /// Writes a line that promises something; on an error no required sink holds it unrevoked.
    pub(super) fn promise(&self, body: Body, undo: Option<Fragment>) -> Result<(), Error> {
        self.submit(body, EntryKind::Promise { undo })
    }

    /// The same, in one batch with what the other tasks of this thread have to write now.
    ///
    /// Dropped halfway, the line may or may not be written.
    pub(super) async fn promise_together(&self, body: Body, undo: Option<Fragment>) -> Result<(), Error> {
        let answer = Answer::default();
        let entry = Entry { body, kind: EntryKind::Promise { undo }, answer: answer.clone() };
        let (leads, others_are_busy) = {
            let mut queue = locked(&self.queue);
            // One may be the outcome of what this very session ran before.
            let others_are_busy = queue.entries.len() > 1;
            queue.entries.push(entry);
            (!std::mem::replace(&mut queue.led, true), others_are_busy)
        };
        if leads {
            // Whatever becomes of this task, the others' lines are written.
            let lead = Lead(self);
            // A turn for nobody wakes another thread of the runtime, which costs more than it could spare.
            if others_are_busy {
                tokio::task::yield_now().await;
            }
            drop(lead);
        }
        loop {
            let mut settled = pin!(self.settled.notified());
            // From here on no notification is missed.
            settled.as_mut().enable();
            match answer.get() {
                Some(result) => return result.clone(),
                None => settled.await,
            }
        }
    }

    /// Writes a line that tells what has happened, with the next batch, within [`OUTCOME_WAIT_MAX`], or as soon as a
    /// sink can take it.
    pub(super) fn tell(self: &Arc<Self>, body: Body, room: Arc<Reservation>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Where it was not taken it waits in the backlog, and the failure has been logged.
            let _ = self.submit(body, EntryKind::Outcome { room });
            return;
        };
        let entry = Entry { body, kind: EntryKind::Outcome { room }, answer: Answer::default() };
        let scheduled = {
            let mut queue = locked(&self.queue);
            queue.entries.push(entry);
            std::mem::replace(&mut queue.scheduled, true)
        };
        if !scheduled {
            // A journal that is closed before has written it then.
            let journal = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(OUTCOME_WAIT_MAX).await;
                if let Some(journal) = journal.upgrade() {
                    locked(&journal.queue).scheduled = false;
                    journal.write_queued();
                }
            });
        }
    }

    /// Writes what is queued by now.
    pub(super) fn write_queued(&self) {
        let write = || {
            let mut queue = locked(&self.queue);
            while queue.writing {
                queue = self.wait(queue);
            }
            self.write_as_batch(queue);
        };
        if self.may_wait && on_a_worker() { tokio::task::block_in_place(write) } else { write() }
    }

    /// Sleeps until a batch is written.
    fn wait<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.waiting += 1;
        let mut queue = self.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.waiting -= 1;
        queue
    }

    fn write_as_batch(&self, mut queue: MutexGuard<'_, Queue>) {
        let batch = std::mem::take(&mut queue.entries);
        if batch.is_empty() {
            return;
        }
        queue.writing = true;
        drop(queue);
        let _turn = Turn(self);
        write_batch(&mut locked(&self.sinks), batch);
    }

    fn submit(&self, body: Body, kind: EntryKind) -> Result<(), Error> {
        let answer = Answer::default();
        let entry = Entry { body, kind, answer: answer.clone() };
        let wait = || self.enqueue_and_wait(entry, &answer);
        if self.may_wait && on_a_worker() { tokio::task::block_in_place(wait) } else { wait() }
    }

    fn enqueue_and_wait(&self, entry: Entry, answer: &Answer) -> Result<(), Error> {
        let mut queue = locked(&self.queue);
        queue.entries.push(entry);
        while queue.writing && answer.get().is_none() {
            queue = self.wait(queue);
        }
        if answer.get().is_none() {
            self.write_as_batch(queue);
        }
        // Whoever wrote the batch has answered; were an answer ever missing, nothing would be known to be written.
        answer.get().cloned().unwrap_or_else(|| Err(Error::unanswered()))
    }
}

/// The turn to write; passed on when dropped, whatever happens.
struct Turn<'a>(&'a Journal);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = locked(&self.0.queue);
            queue.writing = false;
            queue.waiting
        };
        // A call of the system, whether anybody waits or not.
        if waiting > 0 {
            self.0.written.notify_all();
        }
        self.0.settled.notify_waiters();
    }
}

/// The promise to write what is queued; kept when dropped, whatever happens.
struct Lead<'a>(&'a Journal);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        locked(&self.0.queue).led = false;
        self.0.write_queued();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::take(&mut queue.entries);
        write_batch(self.sinks.get_mut().unwrap_or_else(PoisonError::into_inner), told);
        for sink in self.sinks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            if !sink.backlog.is_empty() && sink.append(&[]).is_err() {
                tracing::error!(sink = sink.name, lines = sink.backlog.len(), "audit outcomes lost: never written");
            }
        }
    }
}

/// Whether this thread runs other tasks that must not be kept waiting.
fn on_a_worker() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// A panic in another thread leaves nothing half done here: every change below is made after the last thing that can
/// fail.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_batch(sinks: &mut [Installed], batch: Vec<Entry>) {
    if batch.is_empty() {
        return;
    }
    let started = std::time::Instant::now();
    let results: Vec<_> = sinks.iter_mut().map(|sink| sink.append(&batch)).collect();
    let refusal = sinks.iter().zip(&results).find_map(|(sink, result)| result.clone().err().filter(|_| sink.required));
    if refusal.is_some() {
        let undo: Vec<Entry> = batch.iter().filter_map(Entry::undo).collect();
        for (sink, result) in sinks.iter_mut().zip(results) {
            if result.is_ok() && !undo.is_empty() {
                // Where this fails too, it waits with the outcomes.
                let _ = sink.append(&undo);
            }
        }
    }
    metrics::histogram!("passgate_audit_write_seconds").record(started.elapsed());
    metrics::gauge!("passgate_audit_backlog_records")
        .set(sinks.iter().map(|sink| sink.backlog.len() as f64).sum::<f64>());
    let outcome = if refusal.is_some() { "refused" } else { "written" };
    metrics::counter!("passgate_audit_records_total", "outcome" => outcome)
        .increment(u64::try_from(batch.len()).unwrap_or(u64::MAX));
    for entry in batch {
        let _ = entry.answer.set(refusal.clone().map_or(Ok(()), Err));
    }
}

impl Entry {
    /// The line that takes this one back. It is small, and there are no more of them than statements being refused at
    /// this moment, so it needs no reservation.
    fn undo(&self) -> Option<Self> {
        let EntryKind::Promise { undo: Some(undo) } = &self.kind else { return None };
        let room = Arc::new(Reservation { bytes: 0, reserved: Arc::default() });
        let body = undo.finished(None, &refused(), Duration::ZERO);
        Some(Self { body, kind: EntryKind::Outcome { room }, answer: Answer::default() })
    }
}

/// What became of a statement whose record one sink took and another did not.
fn refused() -> Outcome {
    Outcome {
        status: Some(Status::Failed),
        sqlstate: Some("58030".to_owned()),
        error: Some("could not record the statement".to_owned()),
        ..Outcome::default()
    }
}

/// Bytes of waiting lines that are written at once.
const CATCH_UP_BYTES: usize = 1 << 18;

impl Installed {
    fn new((name, required, sink): (String, bool, Box<dyn Sink>), backlog_bytes_max: usize) -> Self {
        Self {
            name,
            required,
            sink,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            backlog_bytes_max,
            lost: 0,
            failing: false,
        }
    }

    /// Writes what waits, then the batch, which is taken whole or not at all.
    fn append(&mut self, batch: &[Entry]) -> Result<(), Error> {
        let bodies: Vec<Body> = batch.iter().map(|entry| entry.body.clone()).collect();
        let written = self.catch_up().and_then(|()| match bodies.as_slice() {
            [] => Ok(()),
            bodies => self.sink.append(bodies),
        });
        match written {
            Ok(()) => {
                self.recovered();
                Ok(())
            }
            Err(error) => {
                self.failed(&error);
                batch.iter().for_each(|entry| self.keep(entry));
                Err(Error::sink(&self.name, &error))
            }
        }
    }

    /// Writes what waits, a part at a time: trying a sink that still fails must not cost a write of everything.
    fn catch_up(&mut self) -> std::io::Result<()> {
        if self.lost > 0 {
            let what = format!("{} records were lost while this sink was failing", self.lost);
            self.sink.append(&[notice("records_lost", &what, None)])?;
            self.lost = 0;
        }
        while !self.backlog.is_empty() {
            let mut bytes = 0;
            let part = self.backlog.iter().map(|waiting| &waiting.body).take_while(|body| {
                let first = bytes == 0;
                bytes += body.len();
                first || bytes <= CATCH_UP_BYTES
            });
            let part: Vec<Body> = part.cloned().collect();
            self.sink.append(&part)?;
            self.backlog_bytes -= part.iter().map(|body| body.len()).sum::<usize>();
            self.backlog.drain(..part.len());
        }
        Ok(())
    }

    fn keep(&mut self, entry: &Entry) {
        let room = match &entry.kind {
            EntryKind::Outcome { room } => Some(room.clone()),
            EntryKind::Promise { .. } if self.required => return,
            EntryKind::Promise { .. } => None,
        };
        self.backlog_bytes += entry.body.len();
        self.backlog.push_back(Waiting { body: entry.body.clone(), _room: room });
        while !self.required && self.backlog_bytes > self.backlog_bytes_max {
            let Some(dropped) = self.backlog.pop_front() else { return };
            self.backlog_bytes -= dropped.body.len();
            self.lost += 1;
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(sink = self.name, "audit sink is back");
            self.backlog.shrink_to_fit();
        }
    }

    /// Said once per failure, not once per refused statement.
    fn failed(&mut self, error: &std::io::Error) {
        if !self.failing {
            let consequence = if self.required { "statements are refused" } else { "records wait in memory" };
            tracing::error!(sink = self.name, %error, "audit sink fails: {consequence}");
        }
        self.failing = true;
    }
}
