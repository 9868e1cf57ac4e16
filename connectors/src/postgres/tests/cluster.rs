//! A PostgreSQL 15 of our own on a free port, with TLS and a certificate authority made for it. It ends with the test
//! process, however that ends: its watcher reads a pipe that only this process holds open.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::super::{AuthMode, Config, Postgres};
use super::source;
use crate::Secret;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

const HBA: &str = "
local   all all                    trust
hostssl all certain   127.0.0.1/32 cert
hostssl all tokens    127.0.0.1/32 password
hostssl all outdated  127.0.0.1/32 md5
host    all all       127.0.0.1/32 scram-sha-256
";

const SETUP: &str = r#"
CREATE ROLE service LOGIN SUPERUSER PASSWORD 'service-secret';
CREATE ROLE shadows LOGIN CREATEDB PASSWORD 'shadows-secret';
CREATE ROLE member LOGIN NOINHERIT PASSWORD 'member-secret';
CREATE ROLE certain LOGIN;
CREATE ROLE hurried; ALTER ROLE hurried SET statement_timeout = '7s'; ALTER ROLE hurried SET lock_timeout = '1h';
CREATE ROLE tokens LOGIN PASSWORD 'tokens-secret';
SET password_encryption = md5;
CREATE ROLE outdated LOGIN PASSWORD 'outdated-secret';
RESET password_encryption;
CREATE ROLE alice; CREATE ROLE "Bob ""B"""; CREATE ROLE mighty SUPERUSER;
GRANT alice, "Bob ""B""" TO member;
CREATE TABLE sales (id int PRIMARY KEY, region text, owner text, code text, UNIQUE (region, code));
COMMENT ON TABLE sales IS 'what was sold';
COMMENT ON COLUMN sales.region IS 'where';
INSERT INTO sales VALUES (1, 'WEST', 'alice', 'a'), (2, 'EAST', 'Bob "B"', 'a'), (3, 'WEST', 'alice', 'b');
ALTER TABLE sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sales USING (owner = current_user);
CREATE VIEW sales_view AS SELECT id, region FROM sales;
CREATE MATERIALIZED VIEW sales_sums AS SELECT region, count(*) AS n FROM sales_view GROUP BY region;
CREATE TABLE visits (id bigint NOT NULL, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE people (id int PRIMARY KEY); CREATE TABLE staff (grade int) INHERITS (people);
CREATE UNIQUE INDEX ON staff (grade) WHERE grade > 3; CREATE UNIQUE INDEX ON staff (abs(grade));
CREATE FUNCTION twice(a int, b numeric(8,2)) RETURNS int LANGUAGE sql AS 'SELECT a * 2';
CREATE FUNCTION joined(first text, separator text DEFAULT ', ', VARIADIC further text[] DEFAULT '{}') RETURNS text
  LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION become(who text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('session_authorization', who, false) $$;
CREATE VIEW trap AS SELECT become('mighty');
CREATE FUNCTION is_code(text) RETURNS boolean LANGUAGE sql AS 'SELECT length($1) < 9';
CREATE DOMAIN code AS text CHECK (is_code(VALUE));
CREATE FUNCTION alike(a text, b text) RETURNS boolean LANGUAGE sql AS 'SELECT a = b';
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = alike);
CREATE VIEW odd AS SELECT 'x'::code AS code FROM sales s WHERE s.region === s.code;
CREATE SCHEMA shop; COMMENT ON SCHEMA shop IS 'what is sold';
CREATE TYPE shop.mood AS ENUM ('sad', 'glad'); COMMENT ON TYPE shop.mood IS 'how they felt';
CREATE DOMAIN shop.price AS numeric(9,2) NOT NULL CONSTRAINT positive CHECK (VALUE > 0);
CREATE TYPE shop.address AS (street text, city varchar(20)); CREATE TYPE shop.span AS RANGE (subtype = float8);
CREATE TABLE shop.people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gone int, name text COLLATE "C" NOT NULL DEFAULT 'x');
ALTER TABLE shop.people DROP COLUMN gone;
CREATE TABLE shop.orders (id serial, person bigint CONSTRAINT buyer REFERENCES shop.people, total shop.price, mood shop.mood,
  net numeric GENERATED ALWAYS AS (abs(id)) STORED, CONSTRAINT sane CHECK (id > 0), UNIQUE (id, person)) WITH (fillfactor = 70);
COMMENT ON CONSTRAINT buyer ON shop.orders IS 'who bought';
CREATE INDEX orders_person ON shop.orders (person); CREATE INDEX orders_mood ON shop.orders (abs(id)) WHERE mood = 'sad';
COMMENT ON INDEX shop.orders_person IS 'by person';
CREATE INDEX visits_day ON visits (day);
CREATE PROCEDURE shop.restock(amount int DEFAULT 1) LANGUAGE plpgsql AS 'BEGIN END'; COMMENT ON PROCEDURE shop.restock IS 'more';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
"#;

/// A running server.
pub(super) struct Cluster {
    /// Where its files are, `ca.pem` among them.
    pub(super) folder: PathBuf,
    /// Its port on 127.0.0.1.
    pub(super) port: u16,
    /// Holding this keeps it running.
    _watcher: Child,
}

/// The server that the tests share.
pub(super) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start)
}

impl Cluster {
    /// Settings that sign in as `service`.
    pub(super) fn config(&self, auth_mode: AuthMode) -> Config {
        Config {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: "postgres".to_owned(),
            auth_mode,
            user: Some("service".to_owned()),
            password: Some(Secret::new("service-secret")),
            ca_file: Some("ca.pem".to_owned()),
            ..Config::default()
        }
    }

    /// A source with these settings.
    pub(super) fn open(&self, config: Config) -> Postgres {
        Postgres::open(source(), config, &self.folder).unwrap()
    }

    /// Runs SQL as the server's owner, past the client under test.
    pub(super) fn sql(&self, text: &str) -> String {
        let mut psql = as_owner(Path::new(PROGRAMS).join("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-d", "postgres", "-p", &self.port.to_string()]);
        let mut psql = psql.arg("-h").arg(&self.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        assert!(output.status.success(), "psql failed");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn start() -> Cluster {
    // PostgreSQL is not optional here: without it these tests fail, and say so.
    assert!(Path::new(PROGRAMS).exists(), "these tests need PostgreSQL 15: apt-get install postgresql-15");
    let folder = tempfile::Builder::new().prefix("passgate-connectors-").tempdir().unwrap().keep();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    write_certificates(&folder);
    if let Some((user, group)) = owner() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(user), Some(group)).unwrap();
        }
        std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
    }
    let data = folder.join("data");
    let made = as_owner(Path::new(PROGRAMS).join("initdb"))
        .args(["-U", "owner", "-A", "trust", "-N", "--locale=C.UTF-8", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "initdb failed");
    std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
    let watcher = watch(&folder, &data, port);
    let cluster = Cluster { folder, port, _watcher: watcher };
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.sql(SETUP);
    cluster
}

/// Starts the server, and stops it and removes its files once our end of the pipe closes.
fn watch(folder: &Path, data: &Path, port: u16) -> Child {
    let script = r#""$0" -D "$1" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$3" -c fsync=off \
        -c ssl=on -c ssl_cert_file="$3/server.pem" -c ssl_key_file="$3/server.key" -c ssl_ca_file="$3/ca.pem" \
        -c max_connections=50 -c log_statement=all 2>"$3/log" & server=$!
        read _; kill -INT $server; wait $server; rm -rf "$3""#;
    let mut shell = as_owner("/bin/sh");
    shell.arg("-c").arg(script).arg(Path::new(PROGRAMS).join("postgres")).arg(data).arg(port.to_string()).arg(folder);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// PostgreSQL does not run as root.
fn as_owner(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

/// The ids of the system's user `postgres`, when we are root.
fn owner() -> Option<(u32, u32)> {
    let ids = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap().stdout;
        String::from_utf8(output).unwrap().trim().parse::<u32>().unwrap()
    };
    (ids(&["-u"]) == 0).then(|| (ids(&["-u", "postgres"]), ids(&["-g", "postgres"])))
}

fn write_certificates(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Passgate test CA");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    for (name, common_name, hosts) in
        [("server", "127.0.0.1", vec!["127.0.0.1".to_owned()]), ("client", "certain", vec![])]
    {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        write(&format!("{name}.pem"), &parameters.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
    let stranger = KeyPair::generate().unwrap();
    let mut other = CertificateParams::new(Vec::new()).unwrap();
    other.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("other.pem", &other.self_signed(&stranger).unwrap().pem());
}

/// Resident memory of this process, in bytes.
pub(super) fn resident_bytes() -> u64 {
    let mut text = String::new();
    std::fs::File::open("/proc/self/statm").unwrap().read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
