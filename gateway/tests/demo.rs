//! `passgate demo --json` from outside, as a script meets it: what it prints, what each person then sees, and that
//! nothing is left behind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls};

const PROGRAM: &str = env!("CARGO_BIN_EXE_passgate");
const STOP_SECONDS_MAX: u64 = 20;

struct Demonstration {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    announced: Value,
    temporary: TempDir,
}

impl Demonstration {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--json", "--port", "0"])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let announced = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, output, announced, temporary }
    }

    async fn connect(&self, name: &str) -> Client {
        self.sign_in(name, &self.password(name)).await.unwrap()
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<Client, Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(self.announced["host"].as_str().unwrap())
            .port(u16::try_from(self.announced["port"].as_u64().unwrap()).unwrap())
            .dbname(self.announced["database"].as_str().unwrap())
            .user(name)
            .password(password)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn password(&self, name: &str) -> String {
        let people = self.announced["people"].as_array().unwrap();
        people.iter().find(|person| person["name"] == name).unwrap()["password"].as_str().unwrap().to_owned()
    }

    /// The processes that show catalogs.
    fn shadows(&self) -> Vec<String> {
        let listed = Command::new("ps").args(["-o", "pid=,args=", "--ppid", &self.child.id().to_string()]).output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        let shadows = listed.lines().filter(|line| line.contains(" --template "));
        shadows.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }

    fn folder(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.temporary.path()).unwrap();
        entries.next().unwrap().unwrap().path()
    }

    /// Ends it as a terminal's window does, and gives what else it printed.
    fn stop(mut self) -> String {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let told_at = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if told_at.elapsed() > Duration::from_secs(STOP_SECONDS_MAX) => panic!("it does not stop"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert!(status.success(), "{status}");
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        // After a failed assertion; otherwise it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn regions(client: &Client) -> Vec<(String, i64)> {
    let rows = client.query("SELECT region_code, count(*) FROM fct_sales GROUP BY 1 ORDER BY 1", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn refusal(client: &Client, statement: &str) -> (SqlState, String) {
    let error = client.query(statement, &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    (error.code().clone(), error.message().to_owned())
}

#[tokio::test]
async fn the_demonstration_shows_what_it_promises() {
    let demonstration = Demonstration::start();
    let west = demonstration.connect("analyst_west").await;
    let east = demonstration.connect("analyst_east").await;
    let security = demonstration.connect("security").await;

    assert_eq!(regions(&west).await, [("WEST".to_owned(), 17_500)]);
    assert_eq!(regions(&east).await, [("EAST".to_owned(), 12_500)]);
    assert_eq!(regions(&security).await, [("EAST".to_owned(), 12_500), ("WEST".to_owned(), 17_500)]);

    let (code, message) = refusal(&west, "SELECT full_name FROM dim_patient").await;
    assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(message, "Direct access to PII tables is not permitted. Use the anonymized views instead.");
    assert_eq!(west.query("SELECT * FROM v_patient_anonymous", &[]).await.unwrap().len(), 700);

    assert_eq!(west.query("SELECT sale_id FROM fct_sales", &[]).await.unwrap().len(), 10_000);
    assert_eq!(east.query("SELECT sale_id FROM fct_sales", &[]).await.unwrap().len(), 10_000);

    for statement in ["DELETE FROM fct_sales", "SELECT count(*) FROM fct_claims, fct_sales"] {
        let (code, message) = refusal(&west, statement).await;
        assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{statement}: {message}");
    }

    let stolen = demonstration.password("analyst_east");
    assert!(demonstration.sign_in("analyst_west", &stolen).await.is_err());

    let mut page = TcpStream::connect(demonstration.announced["http"].as_str().unwrap()).unwrap();
    page.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");

    drop((west, east, security));
    let audit = demonstration.folder().join("audit.jsonl");
    let verified = Command::new(PROGRAM).args(["audit", "verify"]).arg(&audit).status().unwrap();
    assert!(verified.success());
    assert!(std::fs::read_to_string(&audit).unwrap().contains("dim_patient"));
    assert_eq!(demonstration.stop(), "", "more than one line was printed");
}

#[tokio::test]
async fn the_catalog_is_shown_by_processes_that_may_be_lost() {
    let demonstration = Demonstration::start();
    let west = demonstration.connect("analyst_west").await;
    let sales = "SELECT relname::text FROM pg_class WHERE oid = 'fct_sales'::regclass";
    let seen = async || west.query_one(sales, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(seen().await, "fct_sales");

    // A processor's worth of work, and the end of it in the middle: nobody but the statement notices.
    let before = demonstration.shadows();
    assert_eq!(before.len(), 1);
    let long = refusal(&west, "SELECT count(*) FROM pg_proc a, pg_proc b, pg_proc c");
    let (refused, ()) = tokio::join!(long, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(Command::new("kill").args(["-KILL", &before[0]]).status().unwrap().success());
    });
    assert_eq!(refused.0.code(), "08006", "{}", refused.1);
    assert_eq!(seen().await, "fct_sales");
    assert_ne!(demonstration.shadows(), before);

    // What would take more memory than there is fails alone, too.
    let (code, message) = refusal(&west, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM pg_proc").await;
    assert_eq!((code.code(), message.as_str()), ("53200", "out of memory"));
    assert_eq!(seen().await, "fct_sales");
    drop(west);
    demonstration.stop();
}

#[test]
fn a_port_in_use_is_said_plainly() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temporary = tempfile::tempdir().unwrap();
    let output =
        Command::new(PROGRAM).args(["demo", "--port", &port]).env("TMPDIR", temporary.path()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&port) && said.contains("in use"), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
