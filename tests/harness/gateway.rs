//! The gateway under test: the real program, as a child process, with settings of the test's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Server, Start, free_port};
use crate::{World, openid, postgres};

/// How the gateway becomes a person at the warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The service login, then `SET SESSION AUTHORIZATION`.
    SessionAuthorization,
    /// A service login that is no superuser, then `SET ROLE`.
    SetRole,
    /// The person's own token.
    Token,
    /// The service login for everybody.
    Password,
}

/// The settings file and what it names, before the gateway is started.
#[derive(Debug)]
pub struct Settings {
    /// The settings file, as JSON, which is YAML too: change what the test is about.
    pub file: Value,
    /// Policy files by name.
    pub policies: BTreeMap<String, String>,
    /// The people file.
    pub people: String,
    folder: TempDir,
    port: u16,
    http_port: u16,
}

impl Settings {
    /// A gateway with TLS before the world's warehouse, which takes tokens of the world's provider.
    pub fn new(world: &World, mode: Mode) -> Self {
        let folder = TempDir::new().expect("a folder");
        let files = world.authority.server_certificate(folder.path(), "gateway");
        let (port, http_port) = (free_port(), free_port());
        let token = json!({
            "issuer": world.openid.issuer(), "audience": [openid::AUDIENCE], "algorithms": ["RS256"],
            "ca_file": world.authority.file(),
            "claims": { "name": "preferred_username", "groups": "groups", "roles": "roles", "tenant": "tid" },
        });
        let method = |name: &str, kind: &str| {
            let mut method = token.clone();
            method["name"] = name.into();
            method["type"] = kind.into();
            method
        };
        let file = json!({
            "environment": "test",
            "listeners": [{
                "address": format!("127.0.0.1:{port}"),
                "tls": { "certificate": files.certificate, "key": files.key },
                "sign_in": ["corporate"],
            }],
            "sign_in": [
                method("corporate", "oidc"),
                method("corporate_sasl", "oauthbearer"),
                { "name": "people", "type": "scram", "file": folder.path().join("people.yaml") },
            ],
            "databases": [database(world, mode)],
            "policies": { "folder": folder.path().join("policies") },
            "audit": [{ "type": "file", "path": folder.path().join("audit.jsonl") }],
            "http": { "address": format!("127.0.0.1:{http_port}") },
            "log": { "format": "json", "level": "info" },
        });
        let settings = Self { file, policies: BTreeMap::new(), people: people_file(&[]), folder, port, http_port };
        // Of the two schemas, the people's one.
        settings.policy("schema.json", &json!({ "name": "public", "check": "schema_whitelist", "schemas": ["public"], "functions": ["public.nap"] }))
    }

    /// A file in the gateway's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds or replaces a policy file.
    pub fn policy(mut self, name: &str, document: &Value) -> Self {
        self.policies.insert(name.to_owned(), document.to_string());
        self
    }

    /// Signs people in with stored passwords instead of tokens; each password is the name and `-password`.
    pub fn with_people(mut self, names: &[&str]) -> Self {
        self.people = people_file(names);
        self.file["listeners"][0]["sign_in"] = json!(["people"]);
        self
    }

    /// Lets more sign-ins fail than a test can count.
    pub fn patient(mut self) -> Self {
        self.file["limits"]["sign_in"] =
            json!({ "attempts_per_person": 1000, "attempts_per_address": 1000, "refusal_ms": 100 });
        self
    }

    /// Answers a few million rows at most.
    pub fn unlimited(self) -> Self {
        self.policy("rows.json", &json!({ "name": "many-rows", "check": "row_limit", "rows": 5_000_000 }))
    }

    /// Starts the gateway and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let gateway = self.spawn();
        gateway.wait_until_ready().await;
        gateway
    }

    /// Starts the gateway without waiting for anything.
    pub fn spawn(self) -> Gateway {
        self.spawn_under(&[])
    }

    /// Starts the gateway as the last arguments of another command, which must end by executing them.
    pub fn spawn_under(self, wrapper: &[&str]) -> Gateway {
        self.write();
        let program = program().to_string_lossy().into_owned();
        let config = self.path("passgate.yaml").to_string_lossy().into_owned();
        let wrapper = wrapper.iter().map(|part| (*part).to_owned());
        let server = Server::start(&Start {
            name: "gateway",
            command: wrapper.chain([program, "serve".to_owned(), "--config".to_owned(), config]).collect(),
            environment: Vec::new(),
            stop_signal: "KILL",
            folder: None,
        });
        Gateway { settings: self, server }
    }

    /// Writes the files as they are now; a running gateway sees them at the next SIGHUP.
    pub fn write(&self) {
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("a settings file is written");
        write(self.path("passgate.yaml"), &self.file.to_string());
        write(self.path("people.yaml"), &self.people);
        let folder = self.path("policies");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("the policy folder is made");
        for (name, text) in &self.policies {
            write(folder.join(name), text);
        }
    }
}

/// The entry of `databases` for the world's warehouse.
pub fn database(world: &World, mode: Mode) -> Value {
    let mut entry = json!({
        "name": "warehouse", "type": "postgres", "host": "127.0.0.1", "port": world.postgres.port(),
        "database": postgres::DATABASE, "schema_name": "public", "ca_file": world.authority.file(),
    });
    let mut set = |values: Value| {
        if let (Some(entry), Value::Object(values)) = (entry.as_object_mut(), values) {
            entry.extend(values);
        }
    };
    let switch = |statement: &str| json!({ "statement": statement, "role": "name" });
    match mode {
        Mode::SessionAuthorization => {
            set(json!({ "auth_mode": "impersonate", "user": "gateway_super", "password": "super-secret" }));
            set(json!({ "impersonation": switch("session_authorization") }));
        }
        Mode::SetRole => {
            set(json!({ "auth_mode": "impersonate", "user": "gateway_switch", "password": "switch-secret" }));
            set(json!({ "impersonation": switch("role") }));
        }
        // The service login reads the catalog only.
        Mode::Token => set(json!({ "auth_mode": "token", "user": "gateway_reader", "password": "reader-secret" })),
        Mode::Password => {
            set(json!({ "auth_mode": "password", "user": "gateway_reader", "password": "reader-secret" }))
        }
    }
    entry
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// What it was started with. Change and [`Settings::write`] it before [`Gateway::reload`].
    pub settings: Settings,
    /// The process.
    pub server: Server,
}

impl Gateway {
    /// The port that clients connect to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// Asks the gateway's HTTP listener, and returns the status and the body; `None` when nobody listens.
    pub async fn http(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("a client");
        let address = format!("http://127.0.0.1:{}{path}", self.settings.http_port);
        let answer = client.get(address).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// Waits until `/readyz` says yes.
    pub async fn wait_until_ready(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.http("/readyz").await;
            if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
                return;
            }
            let hopeless = Instant::now() > end || !self.server.is_running();
            assert!(!hopeless, "not ready: {answer:?}; its log:\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Makes the running gateway read its policies and people again.
    pub fn reload(&self) {
        self.settings.write();
        self.server.signal("HUP");
    }

    /// The audit log so far, one JSON object a line.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.settings.path("audit.jsonl")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for an audit record that `wanted` accepts, and returns it.
    pub async fn audited(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(record) = self.audit().into_iter().find(&wanted) {
                return record;
            }
            assert!(Instant::now() < end, "no audit record of {what}; there are:\n{}", self.audit_text());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn audit_text(&self) -> String {
        self.audit().iter().map(|record| format!("{record}\n")).collect()
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.server.process_id()
    }

    /// The memory that the process holds, in bytes (`VmRSS`).
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.server.process_id());
        let status = std::fs::read_to_string(path).expect("the gateway runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// The program: the one that `PASSGATE_PROGRAM` names, or as cargo built it beside the tests.
///
/// `cargo test --workspace` builds it; when only this package is tested it may be missing or old, and testing an old
/// program is worse than testing none.
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("PASSGATE_PROGRAM") {
        return std::path::absolute(program).expect("a path");
    }
    let program = process::build_folder().join("passgate");
    let advice = "build it first: cargo build --package passgate (or run tests/run)";
    assert!(program.is_file(), "there is no {}: {advice}", program.display());
    let built = modified(&program);
    let made_from = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    // `program: file file ...`, as make reads it.
    let sources = made_from.split_once(": ").map_or("", |(_, sources)| sources).split_whitespace().map(Path::new);
    let newer = sources.filter(|source| source.extension().is_some_and(|kind| kind == "rs")).find(|source| {
        // A file that is gone has been changed too, but cargo knows best what took its place.
        source.is_file() && modified(source) > built
    });
    assert!(
        newer.is_none(),
        "{} is older than {}: {advice}",
        program.display(),
        newer.map_or("".into(), Path::to_string_lossy)
    );
    program
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().and_then(|file| file.modified()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A people file with these people, whose password is their name and `-password`.
pub fn people_file(names: &[&str]) -> String {
    let people: Vec<_> = names
        .iter()
        .map(|name| {
            let password = format!("{name}-password");
            json!({ "name": name, "verifier": postgres_protocol::password::scram_sha_256(password.as_bytes()) })
        })
        .collect();
    json!({ "people": people }).to_string()
}
