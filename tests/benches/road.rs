//! What the gateway costs, side by side in one run with a direct connection and, where it is installed, pgbouncer.
//!
//! ```sh
//! cargo build --release -p passgate
//! PASSGATE_PROGRAM=$PWD/target/release/passgate cargo bench --profile dev -p passgate-tests --bench road
//! ```
//!
//! The targets take turns, round by round, everything over TLS on both sides, with a row filter, a mask and a row limit in
//! force on the streamed table. Times of processor are the middleman's own, from the kernel's count for its process, so
//! they are steadier than times of clock on a busy machine; and ratios are steadier than either. `ROAD_ROUNDS` (5) and
//! `ROAD_SECONDS` (2, for each measurement) say how long it takes. pgbench comes with PostgreSQL.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use passgate_tests::clients::connect;
use passgate_tests::gateway::Mode;
use passgate_tests::process::{Server, Start, free_port};
use passgate_tests::{Gateway, Settings, World, postgres};
use serde_json::json;
use tempfile::TempDir;

/// Who asks, everywhere: the warehouse's login, and a person of that name at the gateway.
const PERSON: &str = "gateway_reader";
const SECRET: &str = "reader-secret";

/// Kernel's count of processor time: ticks a second (`sysconf(_SC_CLK_TCK)`, 100 on every Linux we know).
const TICKS_PER_SECOND: f64 = 100.0;

const TABLES: &str = "
    ALTER ROLE gateway_reader SET log_statement = 'none';
    CREATE TABLE accounts AS SELECT n AS id, n % 1000 AS balance FROM generate_series(1, 100000) AS n;
    ALTER TABLE accounts ADD PRIMARY KEY (id);
    CREATE TABLE facts AS
        SELECT n::bigint AS id, n % 1000 AS customer, timestamp '2020-01-01' + n * interval '1 second' AS sold_at,
               (n % 9973)::numeric(12, 2) AS amount, md5(n::text) AS reference, 'region ' || n % 7 AS region
        FROM generate_series(1, 1000000) AS n;
    GRANT SELECT ON accounts, facts TO people;
    ANALYZE accounts, facts;";

const POLICIES: &str = r#"[
    { "name": "no seventh", "action": "filter", "tables": ["facts"], "rows": "region <> 'region 6'" },
    { "name": "references", "action": "mask", "columns": ["facts.reference"], "with": "partial", "last": 4 }
]"#;

/// What is streamed.
const STREAM: &str = "SELECT id, customer, sold_at, amount, reference, region FROM facts";

/// One way to the warehouse.
struct Target {
    name: &'static str,
    port: u16,
    user: &'static str,
    secret: String,
    /// The middleman.
    process_id: Option<u32>,
}

/// What was measured: test and figure, then target, a value for each round.
type Figures = BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, Vec<f64>>>;

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let asked = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"));
    let (rounds, seconds): (usize, u64) = (asked("ROAD_ROUNDS", 5) as usize, asked("ROAD_SECONDS", 2));
    let world = World::shared();
    world.postgres.admin().await.batch_execute(TABLES).await.expect("the tables are made");
    let gateway = gateway(world).await;
    let scripts = Scripts::new();
    let pooler = pooler(world, scripts.folder.path());
    let mut targets = vec![
        Target {
            name: "direct",
            port: world.postgres.port(),
            user: PERSON,
            secret: SECRET.to_owned(),
            process_id: None,
        },
        Target {
            name: "passgate",
            port: gateway.port(),
            user: PERSON,
            secret: format!("{PERSON}-password"),
            process_id: Some(gateway.process_id()),
        },
    ];
    targets.extend(pooler.as_ref().map(|(server, port)| Target {
        name: "pgbouncer",
        port: *port,
        user: PERSON,
        secret: SECRET.to_owned(),
        process_id: Some(server.process_id()),
    }));
    let mut figures = Figures::new();
    for round in 0..rounds {
        targets.rotate_left(1);
        for target in &targets {
            let mut note = |test, figure, value| {
                figures.entry((test, figure)).or_default().entry(target.name).or_default().push(value);
            };
            points(target, &scripts, seconds, &mut note);
            stream(world, target, &mut note).await;
            idle(world, target, &mut note).await;
        }
        println!("round {} of {rounds} is done", round + 1);
    }
    print(&figures);
}

async fn gateway(world: &World) -> Gateway {
    let mut settings = Settings::new(world, Mode::Password).with_people(&[PERSON]).unlimited().patient();
    settings.policies.insert("bench.json".to_owned(), POLICIES.to_owned());
    for most in ["connections_max", "connections_per_person_max"] {
        settings.file["databases"][0][most] = json!(64);
    }
    settings.file["log"] = json!({ "level": "warn" });
    settings.start().await
}

/// pgbouncer, where there is one.
fn pooler(world: &World, folder: &Path) -> Option<(Server, u16)> {
    let found = Command::new("pgbouncer").arg("--version").output().is_ok();
    if !found {
        println!("pgbouncer is not installed: measured without it");
        return None;
    }
    let port = free_port();
    let files = world.authority.server_certificate(folder, "pooler");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file of pgbouncer's is written");
        path.to_string_lossy().into_owned()
    };
    let people = write("people.txt", format!("\"{PERSON}\" \"{SECRET}\"\n"));
    let settings = write(
        "pgbouncer.ini",
        format!(
            "[databases]\n{database} = host=127.0.0.1 port={warehouse} dbname={database}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {people}\npool_mode = transaction\nmax_client_conn = 3000\ndefault_pool_size = 64\n\
             ignore_startup_parameters = extra_float_digits\nserver_tls_sslmode = require\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {cert}\nclient_tls_key_file = {key}\n",
            database = postgres::DATABASE,
            warehouse = world.postgres.port(),
            cert = files.certificate.display(),
            key = files.key.display(),
        ),
    );
    // It does not run as root.
    let command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer", &settings];
    let status = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status().expect("chown runs");
    assert!(status.success(), "the files are pgbouncer's");
    let command = command.map(str::to_owned).to_vec();
    let server =
        Server::start(&Start { name: "pgbouncer", command, environment: Vec::new(), stop_signal: "INT", folder: None });
    Some((server, port))
}

/// The scripts that pgbench plays.
struct Scripts {
    folder: TempDir,
}

impl Scripts {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let scripts = [
            ("known", "SELECT balance FROM accounts WHERE id = 7;\n"),
            ("constants", "\\set id random(1, 100000)\nSELECT balance FROM accounts WHERE id = :id;\n"),
            ("new", "\\set id random(1, 100000)\nSELECT balance AS b:id FROM accounts WHERE id = :id;\n"),
            ("one", "SELECT 1;\n"),
        ];
        for (name, text) in scripts {
            std::fs::write(folder.path().join(name), text).expect("a script is written");
        }
        Self { folder }
    }

    /// Transactions, and a second's, of a run.
    fn play(&self, target: &Target, script: &str, arguments: &[&str], seconds: u64) -> (f64, f64) {
        let output = Command::new(Path::new(postgres::PROGRAMS).join("pgbench"))
            .args(["--no-vacuum", "--host=127.0.0.1", "--jobs=1"])
            .args([
                format!("--port={}", target.port),
                format!("--username={}", target.user),
                format!("--time={seconds}"),
            ])
            .arg("--file")
            .arg(self.folder.path().join(script))
            .args(arguments)
            .arg(postgres::DATABASE)
            .env("PGPASSWORD", &target.secret)
            .env("PGSSLMODE", "require")
            .output()
            .expect("pgbench runs");
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {complaint}", target.name);
        let number = |before: &str| -> f64 {
            let rest = said.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in {said}")).1;
            let end =
                rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
            rest[..end].parse().expect("a number")
        };
        (number("actually processed: "), number("tps = "))
    }
}

/// Small statements, and connections.
fn points(target: &Target, scripts: &Scripts, seconds: u64, note: &mut impl FnMut(&'static str, &'static str, f64)) {
    let tests = [
        ("known text, 1 client", "known", &["--client=1"][..]),
        ("known text, 64 clients", "known", &["--client=64"]),
        ("other constants, 64 clients", "constants", &["--client=64"]),
        ("new text, 64 clients", "new", &["--client=64"]),
        ("prepared, 64 clients", "constants", &["--client=64", "--protocol=prepared"]),
        ("connect", "one", &["--client=4", "--connect"]),
    ];
    for (test, script, arguments) in tests {
        if target.name == "pgbouncer" && test.starts_with("prepared") {
            // Not before its version 1.21.
            continue;
        }
        let before = target.processor_seconds();
        let (transactions, a_second) = scripts.play(target, script, arguments, seconds);
        note(test, "per second", a_second);
        note(test, "CPU, µs each", (target.processor_seconds() - before) / transactions * 1e6);
    }
}

/// A million rows, in text.
async fn stream(world: &World, target: &Target, note: &mut impl FnMut(&'static str, &'static str, f64)) {
    let client = connect(world, target.port, target.user, &target.secret).await.expect("signed in");
    let (before, began, mut bytes) = (target.processor_seconds(), Instant::now(), 0_usize);
    let rows = client.simple_query_raw(STREAM).await.expect("it runs");
    let mut rows = std::pin::pin!(rows);
    while let Some(message) = rows.try_next().await.expect("it comes to its end") {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            // A frame's type, length and count of columns, and each value after its length.
            bytes += 7 + (0..row.len()).map(|column| 4 + row.get(column).map_or(0, str::len)).sum::<usize>();
        }
    }
    let gigabytes = bytes as f64 / 1e9;
    note("stream", "MB/s", gigabytes * 1e3 / began.elapsed().as_secs_f64());
    note("stream", "CPU, s per GB", (target.processor_seconds() - before) / gigabytes);
    note("stream", "memory after, MB", target.memory_kilobytes() / 1e3);
}

/// Connections that wait.
async fn idle(world: &World, target: &Target, note: &mut impl FnMut(&'static str, &'static str, f64)) {
    const CONNECTIONS: usize = 500;
    if target.process_id.is_none() {
        return;
    }
    let before = target.memory_kilobytes();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(connect(world, target.port, target.user, &target.secret).await.expect("signed in"));
    }
    note("500 idle connections", "kB each", (target.memory_kilobytes() - before) / CONNECTIONS as f64);
    drop(held);
    tokio::time::sleep(Duration::from_millis(300)).await;
}

impl Target {
    /// What the kernel has counted for the middleman.
    fn processor_seconds(&self) -> f64 {
        let Some(process_id) = self.process_id else { return 0.0 };
        let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).expect("the middleman runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |place: usize| fields[place].parse::<f64>().expect("ticks");
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    /// What it holds in memory.
    fn memory_kilobytes(&self) -> f64 {
        let Some(process_id) = self.process_id else { return 0.0 };
        let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).expect("the middleman runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// The table of the README: medians, and the median of each round's ratio to pgbouncer.
fn print(figures: &Figures) {
    println!("\n| what | figure | direct | passgate | pgbouncer | passgate : pgbouncer |\n|---|---|---|---|---|---|");
    for ((test, figure), of) in figures {
        let show = |name: &str| match of.get(name).map(|values| median(values.clone())) {
            Some(value) if value > 0.0 => format!("{value:.*}", usize::from(value < 100.0)),
            _ => "–".to_owned(),
        };
        let ratio = match (of.get("passgate"), of.get("pgbouncer")) {
            (Some(ours), Some(theirs)) => {
                let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
                format!("×{:.2}", median(ratios))
            }
            _ => "–".to_owned(),
        };
        println!("| {test} | {figure} | {} | {} | {} | {ratio} |", show("direct"), show("passgate"), show("pgbouncer"));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
