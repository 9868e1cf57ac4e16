//! A source that follows a script: what it will be asked, and what it answers. It keeps a log of what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use passgate_connectors::{
    Batch, Bind, Caller, Cancel, Column, Connector, Control, Description, Error, Lease, Metadata, Query, Relation,
    ServerMessage, SessionSettings, TransactionStatus, Witness,
};
use passgate_policy::{Permitted, SourceName};
use tokio::sync::Notify;

/// What a statement does.
#[derive(Clone)]
enum Answer {
    Batches(Vec<Batch>),
    Fail(Arc<Mutex<Option<Error>>>),
    Hang,
    Slow(Duration, Vec<Batch>),
}

/// What will be asked, in order, and what is answered.
#[derive(Clone, Default)]
pub(in crate::session) struct Script {
    answers: VecDeque<(String, Answer)>,
    descriptions: BTreeMap<String, Vec<u32>>,
}

impl Script {
    pub(in crate::session) fn answer(self, text: &str, batches: Vec<Batch>) -> Self {
        self.then(text, Answer::Batches(batches))
    }

    pub(in crate::session) fn fail(self, text: &str, error: Error) -> Self {
        self.then(text, Answer::Fail(Arc::new(Mutex::new(Some(error)))))
    }

    /// Runs until it is cancelled.
    pub(in crate::session) fn hang(self, text: &str) -> Self {
        self.then(text, Answer::Hang)
    }

    pub(in crate::session) fn slow(self, text: &str, wait: Duration, batches: Vec<Batch>) -> Self {
        self.then(text, Answer::Slow(wait, batches))
    }

    pub(in crate::session) fn describe(mut self, text: &str, parameters: &[u32]) -> Self {
        self.descriptions.insert(text.to_owned(), parameters.to_vec());
        self
    }

    fn then(mut self, text: &str, answer: Answer) -> Self {
        self.answers.push_back((text.to_owned(), answer));
        self
    }
}

/// The rows of one column `a`, a hundred a batch, from RowDescription to the tag.
pub(in crate::session) fn rows(values: &[&str]) -> Vec<Batch> {
    let mut batches = vec![Batch::Fields(fields())];
    for chunk in values.chunks(100) {
        let mut frames = BytesMut::new();
        for value in chunk {
            frames.put_u8(b'D');
            frames.put_u32(u32::try_from(10 + value.len()).unwrap());
            frames.put_u16(1);
            frames.put_u32(u32::try_from(value.len()).unwrap());
            frames.put(value.as_bytes());
        }
        batches.push(Batch::Rows { frames: frames.freeze(), rows: chunk.len() as u64 });
    }
    batches.push(Batch::Done { tag: format!("SELECT {}", values.len()) });
    batches
}

fn fields() -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(b'T');
    frame.put_u32(4 + 2 + 2 + 18);
    frame.put_u16(1);
    frame.put(&b"a\0"[..]);
    frame.put(&[0; 6][..]);
    frame.put_u32(23);
    frame.put(&[0; 8][..]);
    frame.freeze()
}

/// What the fake and the test share.
#[derive(Default)]
pub(in crate::session) struct Stage {
    pub(in crate::session) script: Mutex<Script>,
    pub(in crate::session) log: Mutex<Vec<String>>,
    pub(in crate::session) changed: Notify,
    pub(in crate::session) settings: Mutex<BTreeMap<String, String>>,
    pub(in crate::session) pulled: Mutex<usize>,
}

impl Stage {
    pub(in crate::session) fn say(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
        self.changed.notify_waiters();
    }

    pub(in crate::session) fn add(&self, text: &str, batches: Vec<Batch>) {
        let mut script = self.script.lock().unwrap();
        script.answers.push_back((text.to_owned(), Answer::Batches(batches)));
    }
}

pub(in crate::session) struct FakeConnector {
    pub(in crate::session) name: SourceName,
    pub(in crate::session) stage: Arc<Stage>,
}

impl Connector for FakeConnector {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn checkout<'a>(
        &'a self,
        caller: &'a Caller,
        settings: &'a SessionSettings,
    ) -> BoxFuture<'a, Result<Box<dyn Lease>, Error>> {
        Box::pin(async move {
            let person = caller.identity.person.to_string();
            self.stage.say(format!("checkout {person}"));
            self.stage.settings.lock().unwrap().clone_from(&*settings.0);
            let witness = Arc::new(Witness { session_user: person.clone(), current_user: person });
            let cancelled = Arc::new(Cancelled { stage: self.stage.clone(), notify: Notify::default() });
            let stage = self.stage.clone();
            let lease = FakeLease { stage, witness, cancelled, running: None, status: TransactionStatus::Idle };
            Ok(Box::new(lease) as Box<dyn Lease>)
        })
    }

    fn crawl<'a>(&'a self, _: Option<&'a Caller>) -> BoxFuture<'a, Result<Metadata, Error>> {
        let (schema, name) = ("public".to_owned(), "numbers".to_owned());
        let column = Column { name: "a".to_owned(), type_name: "int4".to_owned(), type_oid: 23, ..Column::default() };
        let relations = vec![Relation { schema, name, columns: vec![column], ..Relation::default() }];
        let metadata = Metadata { server_version: "15.14".to_owned(), relations, ..Metadata::default() };
        Box::pin(async move { Ok(metadata) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

struct Cancelled {
    stage: Arc<Stage>,
    notify: Notify,
}

impl Cancel for Cancelled {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        self.stage.say("cancel");
        self.notify.notify_one();
        Box::pin(async {})
    }
}

struct FakeLease {
    stage: Arc<Stage>,
    witness: Arc<Witness>,
    cancelled: Arc<Cancelled>,
    running: Option<Running>,
    status: TransactionStatus,
}

enum Running {
    Batches(VecDeque<Batch>),
    Hanging,
}

impl Drop for FakeLease {
    fn drop(&mut self) {
        let busy = self.running.is_some() || self.status != TransactionStatus::Idle;
        self.stage.say(if busy { "drop while running" } else { "release" });
    }
}

/// The text a source is asked, without the row limit that every statement gets by default.
fn without_limit(query: &Permitted<Query>) -> &str {
    let text = query.query().text.as_str();
    text.strip_suffix(" LIMIT 10000").unwrap_or(text)
}

impl Lease for FakeLease {
    fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    fn describe<'a>(&'a mut self, query: &'a Permitted<Query>) -> BoxFuture<'a, Result<Description, Error>> {
        let text = without_limit(query);
        self.stage.say(format!("describe {text}"));
        let parameters = self.stage.script.lock().unwrap().descriptions[text].clone();
        Box::pin(async move { Ok(Description { parameters, fields: Some(fields()) }) })
    }

    fn start<'a>(&'a mut self, query: &'a Permitted<Query>, _: &'a Bind) -> BoxFuture<'a, Result<(), Error>> {
        assert!(self.running.is_none(), "a statement was started on a connection with rows to be read");
        let text = without_limit(query).to_owned();
        let next = self.stage.script.lock().unwrap().answers.pop_front();
        let (expected, answer) = next.unwrap_or_else(|| panic!("the script ends before {text}"));
        assert_eq!(text, expected, "the script says otherwise");
        self.stage.say(format!("start {text}"));
        Box::pin(async move {
            self.running = Some(match answer {
                Answer::Batches(batches) => Running::Batches(batches.into()),
                Answer::Slow(wait, batches) => {
                    tokio::time::sleep(wait).await;
                    Running::Batches(batches.into())
                }
                Answer::Hang => Running::Hanging,
                Answer::Fail(error) => {
                    let error = error.lock().unwrap().take().unwrap();
                    if self.status == TransactionStatus::Open {
                        self.status = TransactionStatus::Failed;
                    }
                    return Err(error);
                }
            });
            Ok(())
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Batch, Error>> {
        Box::pin(async move {
            *self.stage.pulled.lock().unwrap() += 1;
            match &mut self.running {
                Some(Running::Batches(batches)) => {
                    let batch = batches.pop_front().unwrap();
                    if matches!(batch, Batch::Done { .. }) {
                        self.running = None;
                    }
                    Ok(batch)
                }
                Some(Running::Hanging) => {
                    self.cancelled.notify.notified().await;
                    self.running = None;
                    Err(Error::Server(ServerMessage {
                        severity: "ERROR".to_owned(),
                        code: "57014".to_owned(),
                        message: "canceling statement due to user request".to_owned(),
                        ..ServerMessage::default()
                    }))
                }
                None => panic!("nothing runs"),
            }
        })
    }

    fn control<'a>(&'a mut self, control: &'a Control) -> BoxFuture<'a, Result<(), Error>> {
        assert!(self.running.is_none(), "control on a connection with rows to be read");
        self.stage.say(format!("control {control:?}"));
        self.status = match control {
            Control::Begin { .. } | Control::RollbackTo(_) => TransactionStatus::Open,
            Control::Commit | Control::Rollback => TransactionStatus::Idle,
            Control::Savepoint(_) | Control::Release(_) => self.status,
            Control::CloseCursor(_) | Control::CloseCursors => self.status,
        };
        Box::pin(async { Ok(()) })
    }

    fn apply<'a>(&'a mut self, settings: &'a SessionSettings) -> BoxFuture<'a, Result<(), Error>> {
        self.stage.settings.lock().unwrap().clone_from(&*settings.0);
        Box::pin(async { Ok(()) })
    }

    fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        self.cancelled.clone()
    }
}
