//! A client that speaks the protocol over a pipe and shows answers as lines, in the notation of `tests/wire`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use passgate_connectors::Source;
use passgate_policy::{PolicyFile, PolicySet, Role, SourceName, compile};
use passgate_wire as wire;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::fake::{FakeConnector, Script, Stage};
use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::auth::{self, MethodConfig, Methods, SignIn};
use crate::session::{Cancels, Client, Config, PolicyStatus, Services, Shutdown, serve};
use crate::sources::Sources;
use crate::statement;
use crate::store::Store;

/// A gateway without listeners, and a source behind it.
pub(in crate::session) struct World {
    services: Arc<Services>,
    policies: watch::Sender<Arc<PolicySet>>,
    /// Where its records and its store are.
    folder: PathBuf,
    kept: Option<TempDir>,
    sign_in: Arc<SignIn>,
    shutdown: watch::Sender<Shutdown>,
    stage: Arc<Stage>,
}

/// Everybody reads the schema `public`, and otherwise only what always holds.
fn policies(more: &str) -> PolicySet {
    let public = r#"{ "name": "public-only", "check": "schema_whitelist", "schemas": ["public"] }"#;
    compiled(&[("public.json", public), ("more.json", more)])
}

fn compiled(files: &[(&str, &str)]) -> PolicySet {
    let file = |(path, text): &(&str, &str)| PolicyFile { path: (*path).to_owned(), text: (*text).to_owned() };
    compile(&files.iter().map(file).collect::<Vec<_>>(), None, &passgate_policy::NoSql).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    pub(in crate::session) fn new(script: Script) -> Self {
        Self::with_policies(script, "[]")
    }

    /// A world that keeps its records in `audit.jsonl` in this folder.
    pub(in crate::session) fn recorded_in(folder: &Path, script: Script) -> Self {
        Self::in_folder(script, "[]", folder.to_owned(), None)
    }

    /// A world with more policies than that everybody reads the schema `public`.
    pub(in crate::session) fn with_policies(script: Script, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::in_folder(script, more, folder.path().to_owned(), Some(folder))
    }

    /// The gateway after a restart: other sessions, the same store and the same records.
    pub(in crate::session) fn again(self, script: Script, more: &str) -> Self {
        let Self { services, folder, kept, .. } = self;
        drop(services);
        Self::in_folder(script, more, folder, kept)
    }

    fn in_folder(script: Script, more: &str, folder: PathBuf, kept: Option<TempDir>) -> Self {
        let sinks = serde_json::from_value(json!([{ "type": "file", "path": "audit.jsonl" }])).unwrap();
        let audit = Audit::start(&sinks, &folder).unwrap();
        let store = Arc::new(open_store(&folder));
        let approvals = Approvals::new(&crate::approvals::Config::default(), store.clone(), audit.clone());
        let stage = Arc::new(Stage::default());
        *stage.script.lock().unwrap() = script;
        let connector = FakeConnector { name: SourceName::new("warehouse"), stage: stage.clone() };
        let source = Source { connector: Arc::new(connector), default_schema: "public".to_owned() };
        let policies = watch::Sender::new(Arc::new(policies(more)));
        let services = Services {
            security_roles: vec![Role::new("data_owner")],
            config: Config { prepared_statements_max: 3, answer_bytes_max: 30_000_000, ..Config::default() },
            statement_limits: statement::Limits::default(),
            sources: Arc::new(Sources::new(&crate::sources::Config::default(), vec![source])),
            policies: policies.subscribe(),
            rewriter: Arc::new(crate::plan::Rewriter::new(None)),
            seen: Arc::new(crate::plan::Seen::new(1 << 20)),
            audit,
            policy_status: watch::channel(PolicyStatus::default()).1,
            store,
            approvals,
            cancels: Arc::new(Cancels::default()),
        };
        let shutdown = watch::Sender::new(Shutdown::Open);
        Self { services: Arc::new(services), policies, folder, kept, sign_in: sign_in(), shutdown, stage }
    }

    /// Puts one policy in the place of all.
    pub(in crate::session) fn reload(&self, text: &str) {
        self.policies.send_replace(Arc::new(compiled(&[("policy.json", text)])));
    }

    /// Puts others in the place of the policies that the world was made with.
    pub(in crate::session) fn reload_more(&self, more: &str) {
        self.policies.send_replace(Arc::new(policies(more)));
    }

    /// The audit log so far.
    pub(in crate::session) fn audited(&self) -> Vec<serde_json::Value> {
        self.services.audit.flush();
        let text = std::fs::read_to_string(self.folder.join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether a text is read as a template with constants.
    pub(in crate::session) fn knows_template(&self, text: &str) -> bool {
        let recognised = self.services.seen.recognised(text, &self.services.statement_limits, |_| false).unwrap();
        recognised[0].filled.is_some()
    }

    /// Signs alice in and returns the greeting.
    pub(in crate::session) async fn connect(&self, parameters: &[(&str, &str)]) -> (TestClient, Vec<String>) {
        let mut client = self.open("alice", parameters);
        client.sign_in("pencil").await;
        let greeting = client.answer().await;
        (client, greeting)
    }

    /// Signs somebody in: `alice`, `bob`, or `carol`, who is a `data_owner`.
    pub(in crate::session) async fn connect_as(&self, person: &str) -> TestClient {
        let mut client = self.open(person, &[]);
        client.sign_in("pencil").await;
        client.answer().await;
        client
    }

    /// The error that a connection ends with.
    pub(in crate::session) async fn fail(&self, user: &str, password: &str, parameters: &[(&str, &str)]) -> String {
        let mut client = self.open(user, parameters);
        client.sign_in(password).await;
        let answer = client.answer().await;
        answer.into_iter().find(|line| line.starts_with("ErrorResponse")).unwrap()
    }

    fn open(&self, user: &str, parameters: &[(&str, &str)]) -> TestClient {
        let (near, far) = tokio::io::duplex(64 << 10);
        let mut all = vec![("user".to_owned(), user.to_owned()), ("database".to_owned(), "warehouse".to_owned())];
        all.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let packet = wire::Startup { version: wire::ProtocolVersion::NEWEST, parameters: all };
        let client = Client {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            encrypted: false,
            plaintext_allowed: true,
            encryption_offered: false,
            channel_binding: None,
            sign_in: self.sign_in.clone(),
            shutdown: self.shutdown.subscribe(),
        };
        tokio::spawn(serve(Box::new(far), packet, client, self.services.clone(), PATIENCE));
        TestClient { stream: near, received: BytesMut::new(), out: BytesMut::new(), key: None, told: Vec::new() }
    }

    pub(in crate::session) async fn cancel(&self, client: &TestClient) {
        let (process_id, key) = client.key.clone().unwrap();
        self.services.cancels.cancel(&wire::Cancel { process_id, key }).await;
    }

    pub(in crate::session) fn drain(&self) {
        self.shutdown.send_replace(Shutdown::Draining);
    }

    pub(in crate::session) fn add(&self, text: &str, batches: Vec<passgate_connectors::Batch>) {
        self.stage.add(text, batches);
    }

    pub(in crate::session) fn log(&self) -> Vec<String> {
        self.stage.log.lock().unwrap().clone()
    }

    pub(in crate::session) fn saw(&self, expected: &[&str]) {
        assert_eq!(self.log(), expected);
    }

    pub(in crate::session) fn settings(&self) -> BTreeMap<String, String> {
        self.stage.settings.lock().unwrap().clone()
    }

    pub(in crate::session) fn batches_pulled(&self) -> usize {
        *self.stage.pulled.lock().unwrap()
    }

    pub(in crate::session) async fn wait_for(&self, line: &str) {
        let seen = async {
            loop {
                let changed = self.stage.changed.notified();
                if self.log().iter().any(|had| had == line) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("never saw {line}: {:?}", self.log()));
    }
}

/// Opened where there is time to wait: the tests' worlds are made without waiting.
fn open_store(folder: &Path) -> Store {
    let folder = folder.to_owned();
    let open = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Store::open(&crate::store::Config::default(), &folder)).unwrap()
    };
    std::thread::spawn(open).join().unwrap()
}

fn sign_in() -> Arc<SignIn> {
    let folder = tempfile::tempdir().unwrap();
    let verifier = auth::scram::stored_verifier("pencil", auth::scram::ITERATIONS_DEFAULT);
    let person = |name: &str, roles: &str| json!({ "name": name, "verifier": verifier, "roles": [roles] });
    let people =
        json!({ "people": [person("alice", "analyst"), person("bob", "analyst"), person("carol", "data_owner")] });
    let people = people.to_string();
    std::fs::write(folder.path().join("people.yaml"), people).unwrap();
    let block: MethodConfig =
        serde_json::from_value(json!({ "name": "people", "type": "scram", "file": "people.yaml" })).unwrap();
    let config = auth::Config { refusal_ms: 1, ..auth::Config::default() };
    let methods = Methods::new(&config, &[block], folder.path()).unwrap();
    Arc::new(methods.sign_in(&["people".to_owned()]).unwrap())
}

pub(in crate::session) struct TestClient {
    stream: DuplexStream,
    received: BytesMut,
    out: BytesMut,
    key: Option<(i32, Bytes)>,
    /// Detail and hint of every error and notice of the last answer.
    pub(in crate::session) told: Vec<String>,
}

impl TestClient {
    async fn sign_in(&mut self, password: &str) {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let mechanisms = self.frame().await.unwrap();
        assert_eq!(mechanisms.0, b'R');
        let first = scram.message().to_vec();
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.put_u32(u32::try_from(first.len()).unwrap());
        body.extend_from_slice(&first);
        self.raw(b'p', &body).flush().await;
        let (_, continued) = self.frame().await.unwrap();
        scram.update(&continued[4..]).unwrap();
        let last = scram.message().to_vec();
        self.raw(b'p', &last).flush().await;
    }

    pub(in crate::session) async fn query(&mut self, text: &str) -> Vec<String> {
        self.send_query(text).await;
        self.answer().await
    }

    pub(in crate::session) async fn send_query(&mut self, text: &str) {
        self.raw(b'Q', format!("{text}\0").as_bytes()).flush().await;
    }

    pub(in crate::session) fn parse(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
    }

    pub(in crate::session) fn bind(&mut self, portal: &str, statement: &str, values: &[&str]) -> &mut Self {
        let mut body = format!("{portal}\0{statement}\0\0\0").into_bytes();
        body.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            body.put_u32(u32::try_from(value.len()).unwrap());
            body.extend_from_slice(value.as_bytes());
        }
        body.put_u16(0);
        self.raw(b'B', &body)
    }

    pub(in crate::session) fn execute(&mut self, portal: &str, rows_max: u32) -> &mut Self {
        let mut body = format!("{portal}\0").into_bytes();
        body.put_u32(rows_max);
        self.raw(b'E', &body)
    }

    pub(in crate::session) fn describe_statement(&mut self, name: &str) -> &mut Self {
        self.raw(b'D', format!("S{name}\0").as_bytes())
    }

    pub(in crate::session) fn describe_portal(&mut self, name: &str) -> &mut Self {
        self.raw(b'D', format!("P{name}\0").as_bytes())
    }

    pub(in crate::session) fn sync(&mut self) -> &mut Self {
        self.raw(b'S', b"")
    }

    pub(in crate::session) fn raw(&mut self, kind: u8, body: &[u8]) -> &mut Self {
        self.out.put_u8(kind);
        self.out.put_u32(u32::try_from(body.len() + 4).unwrap());
        self.out.put(body);
        self
    }

    pub(in crate::session) async fn terminate(&mut self) {
        self.raw(b'X', b"").flush().await;
        assert!(self.frame().await.is_none());
    }

    async fn flush(&mut self) {
        let out = self.out.split();
        self.stream.write_all(&out).await.unwrap();
    }

    /// Everything up to ReadyForQuery or the end of the connection.
    pub(in crate::session) async fn answer(&mut self) -> Vec<String> {
        self.flush().await;
        self.told.clear();
        let mut lines = Vec::new();
        loop {
            let Some((kind, body)) = self.frame().await else {
                lines.push("Closed".to_owned());
                return lines;
            };
            if kind == b'K' {
                let mut body = body;
                self.key = Some((body.get_i32(), body));
                continue;
            }
            if matches!(kind, b'E' | b'N') {
                self.told.push(detail_and_hint(body.clone()));
            }
            lines.extend(line(kind, body));
            if kind == b'Z' {
                return lines;
            }
        }
    }

    async fn frame(&mut self) -> Option<(u8, Bytes)> {
        let frame = async {
            loop {
                if let Some(length) = self.received.get(1..5) {
                    let total = 1 + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
                    if self.received.len() >= total {
                        let mut frame = self.received.split_to(total).freeze();
                        let kind = frame.get_u8();
                        frame.advance(4);
                        return Some((kind, frame));
                    }
                }
                if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, frame).await.expect("the gateway says nothing")
    }
}

/// A message as a line; none for those that say nothing.
fn line(kind: u8, mut body: Bytes) -> Option<String> {
    Some(match kind {
        b'R' if body.get_i32() == 0 => "AuthenticationOk".to_owned(),
        b'R' => return None,
        b'S' => format!("ParameterStatus {:?} {:?}", text(&mut body), text(&mut body)),
        b'Z' => format!("ReadyForQuery {:?}", char::from(body.get_u8())),
        b'C' => format!("CommandComplete {:?}", text(&mut body)),
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b's' => "PortalSuspended".to_owned(),
        b'n' => "NoData".to_owned(),
        b'I' => "EmptyQueryResponse".to_owned(),
        b'E' => format!("ErrorResponse {}", error(body)),
        b'N' => format!("NoticeResponse {}", error(body)),
        b't' => {
            let types: Vec<u32> = (0..body.get_u16()).map(|_| body.get_u32()).collect();
            format!("ParameterDescription {types:?}")
        }
        b'T' => format!("RowDescription {:?}", columns(body)),
        b'D' => format!("DataRow {:?}", values(body)),
        other => format!("{:?} {body:?}", char::from(other)),
    })
    .map(|line| line.replace("'I'", "\"I\"").replace("'T'", "\"T\"").replace("'E'", "\"E\""))
}

fn text(body: &mut Bytes) -> String {
    let end = body.iter().position(|&byte| byte == 0).unwrap();
    let text = String::from_utf8(body.split_to(end).to_vec()).unwrap();
    body.advance(1);
    text
}

fn fields(mut body: Bytes) -> BTreeMap<char, String> {
    let mut fields = BTreeMap::new();
    while body.first().is_some_and(|&field| field != 0) {
        let field = char::from(body.get_u8());
        fields.insert(field, text(&mut body));
    }
    fields
}

fn detail_and_hint(body: Bytes) -> String {
    let fields = fields(body);
    let field = |name: char| fields.get(&name).map_or("", String::as_str);
    format!("{} {}", field('D'), field('H'))
}

fn error(body: Bytes) -> String {
    let fields = fields(body);
    format!("{} {} {}", fields[&'S'], fields[&'C'], fields[&'M'])
}

fn columns(mut body: Bytes) -> Vec<String> {
    (0..body.get_u16())
        .map(|_| {
            let name = text(&mut body);
            body.advance(6);
            let oid = body.get_u32();
            body.advance(8);
            format!("{name}:{oid}")
        })
        .collect()
}

fn values(mut body: Bytes) -> Values {
    let value = |body: &mut Bytes| {
        let length = usize::try_from(body.get_i32()).ok()?;
        Some(String::from_utf8(body.split_to(length).to_vec()).unwrap())
    };
    Values((0..body.get_u16()).map(|_| value(&mut body)).collect())
}

/// A row, with NULL where there is no value.
struct Values(Vec<Option<String>>);

impl std::fmt::Debug for Values {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| value.as_ref().map_or("NULL".to_owned(), |value| format!("{value:?}"));
        write!(formatter, "[{}]", self.0.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}
