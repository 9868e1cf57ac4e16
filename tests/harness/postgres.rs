//! A PostgreSQL 15 cluster of the tests' own: TLS, people, row-level security, and logins by token.
//!
//! People sign in with an access token (through [`crate::ldap`]), service logins with SCRAM. Not Debian's cluster: this
//! one has a port, a folder and an end of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Authority;
use crate::process::{Server, Start, free_port};

/// Where Debian's `postgresql-15` puts its programs.
pub const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The database with the tests' tables.
pub const DATABASE: &str = "warehouse";
/// The password of the superuser `postgres`, who is the harness and nobody else.
pub const SUPERUSER_PASSWORD: &str = "harness-secret";

/// The running cluster.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    server: Server,
    tls: MakeTls,
}

/// The client side of TLS, with a `Debug` that says nothing.
#[derive(Clone)]
struct MakeTls(MakeRustlsConnect);

impl std::fmt::Debug for MakeTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MakeTls")
    }
}

impl Postgres {
    /// Makes a cluster in `folder` whose people sign in through the LDAP server on `ldap_port`, and fills it.
    ///
    /// The folder is removed when the cluster stops.
    pub fn start(authority: &Authority, ldap_port: u16, folder: &Path) -> Self {
        let owner = Owner::of_the_server();
        owner.give(folder);
        let data = folder.join("data");
        initialise(&owner, folder, &data);
        let port = free_port();
        configure(&owner, &data, authority, port, ldap_port);
        let server = Server::start(&Start {
            name: "postgres",
            command: owner.command(&[&program("postgres"), "-D", &data.to_string_lossy()]),
            environment: Vec::new(),
            // At once: nothing in it is worth keeping.
            stop_signal: "QUIT",
            folder: Some(folder),
        });
        let tls = MakeTls(MakeRustlsConnect::new(authority.client_config()));
        let postgres = Self { port, server, tls };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(postgres.fill());
        postgres
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection as the superuser, to look behind the scenes.
    pub async fn admin(&self) -> tokio_postgres::Client {
        self.connect("postgres", SUPERUSER_PASSWORD, DATABASE).await.expect("the harness signs in to PostgreSQL")
    }

    /// A connection over TLS.
    pub async fn connect(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname(database);
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let (client, connection) = config.connect(self.tls.0.clone()).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// How many statements that contain `marker` run now.
    pub async fn activity(&self, marker: &str) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity \
                     WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'";
        self.admin().await.query_one(count, &[&marker]).await.expect("a count").get(0)
    }

    async fn fill(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        let server = loop {
            match self.connect("postgres", SUPERUSER_PASSWORD, "postgres").await {
                Ok(client) => break client,
                Err(error) if Instant::now() > end => panic!("{error}\nlog of PostgreSQL:\n{}", self.server.log()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        server.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.expect("the database is made");
        let admin = self.admin().await;
        admin.batch_execute(include_str!("postgres/world.sql")).await.expect("the tables are made");
    }
}

/// Who owns the cluster: PostgreSQL refuses to run as root, so Debian's user `postgres` where we are root.
enum Owner {
    Ourselves,
    Account { user: u32, group: u32 },
}

impl Owner {
    fn of_the_server() -> Self {
        let id = |arguments: &[&str]| {
            let output = Command::new("id").args(arguments).output().expect("id runs");
            String::from_utf8_lossy(&output.stdout)
                .trim()
                .parse::<u32>()
                .expect("a number; is postgresql-15 installed?")
        };
        match id(&["-u"]) {
            0 => Self::Account { user: id(&["-u", "postgres"]), group: id(&["-g", "postgres"]) },
            _ => Self::Ourselves,
        }
    }

    fn give(&self, path: &Path) {
        if let Self::Account { user, group } = self {
            std::os::unix::fs::chown(path, Some(*user), Some(*group)).expect("root gives a file away");
        }
    }

    fn command(&self, command: &[&str]) -> Vec<String> {
        let drop_root = match self {
            Self::Ourselves => Vec::new(),
            // Unlike runuser and su it leaves no process of its own in between, so signals arrive.
            Self::Account { user, group } => vec![
                "setpriv".to_owned(),
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
            ],
        };
        drop_root.into_iter().chain(command.iter().map(|part| (*part).to_owned())).collect()
    }
}

fn program(name: &str) -> String {
    let path = PathBuf::from(PROGRAMS).join(name);
    assert!(path.is_file(), "run tests/install.sh first: there is no {}", path.display());
    path.to_string_lossy().into_owned()
}

fn initialise(owner: &Owner, folder: &Path, data: &Path) {
    let password = folder.join("password");
    std::fs::write(&password, SUPERUSER_PASSWORD).expect("the password file is written");
    owner.give(&password);
    let (data, password) = (data.to_string_lossy(), password.to_string_lossy());
    let command = owner.command(&[
        &program("initdb"),
        "--pgdata",
        &data,
        "--pwfile",
        &password,
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]);
    let output = Command::new(&command[0]).args(&command[1..]).current_dir("/").output().expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn configure(owner: &Owner, data: &Path, authority: &Authority, port: u16, ldap_port: u16) {
    let files = authority.server_certificate(data, "server");
    for file in [&files.certificate, &files.key] {
        owner.give(file);
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).expect("the key is made private");
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 200\n\
         ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n\
         fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nlog_statement = 'all'\n"
    );
    std::fs::write(data.join("postgresql.auto.conf"), settings).expect("the settings are written");
    let sign_in = format!(
        "hostssl all postgres,gateway_super,gateway_switch,gateway_reader,gateway_shadows 127.0.0.1/32 scram-sha-256\n\
         hostssl all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={ldap_port} \
         ldapprefix=\"uid=\" ldapsuffix=\",dc=example\"\n"
    );
    std::fs::write(data.join("pg_hba.conf"), sign_in).expect("the sign-in rules are written");
}
