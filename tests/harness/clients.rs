//! The clients people use, as child processes: psql and psycopg.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{World, postgres, process};

/// A connection over verified TLS to the database `warehouse` on a port of loopback.
pub async fn connect(
    world: &World,
    port: u16,
    user: &str,
    secret: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(secret).dbname(postgres::DATABASE);
    config.ssl_mode(tokio_postgres::config::SslMode::Require).connect_timeout(Duration::from_secs(10));
    let (client, connection) = config.connect(tls(world)).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What a client needs to verify the world's servers.
pub fn tls(world: &World) -> MakeRustlsConnect {
    MakeRustlsConnect::new(world.authority.client_config())
}

/// SQLSTATE and message of an error that a server sent.
pub fn told(error: &tokio_postgres::Error) -> (String, String) {
    match error.as_db_error() {
        Some(error) => (error.code().code().to_owned(), error.message().to_owned()),
        None => panic!("not a server's error: {error:?}"),
    }
}

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Login {
    port: u16,
    user: String,
    secret: String,
    database: String,
    authority: PathBuf,
    more: Vec<(String, String)>,
}

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Login {
    /// Signs in to `port` on loopback over verified TLS, to the database `warehouse`.
    pub fn new(world: &World, port: u16, user: &str, secret: &str) -> Self {
        Self {
            port,
            user: user.to_owned(),
            secret: secret.to_owned(),
            database: postgres::DATABASE.to_owned(),
            authority: world.authority.file().to_owned(),
            more: Vec::new(),
        }
    }

    /// Sets one more of libpq's connection parameters.
    pub fn with(mut self, parameter: &str, value: &str) -> Self {
        self.more.push((parameter.to_owned(), value.to_owned()));
        self
    }

    /// The connection string, without the secret.
    pub fn connection_string(&self) -> String {
        let mut text = format!(
            "host=127.0.0.1 port={} user={} dbname={} sslmode=verify-full sslrootcert={} connect_timeout=10",
            self.port,
            self.user,
            self.database,
            self.authority.display()
        );
        for (parameter, value) in &self.more {
            text.push_str(&format!(" {parameter}='{value}'"));
        }
        text
    }

    /// Runs statements through psql: unaligned, tuples only, SQLSTATEs shown.
    pub async fn psql(&self, statements: &str) -> Said {
        let mut command = Command::new(PathBuf::from(postgres::PROGRAMS).join("psql"));
        command.args(["-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", statements, "-d"]);
        self.run(command.arg(self.connection_string())).await
    }

    /// Runs a script through psql, with its own commands in it.
    pub async fn psql_script(&self, script: &str) -> Said {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), script).expect("the script is written");
        let mut command = Command::new(PathBuf::from(postgres::PROGRAMS).join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file.path()).arg("-d");
        self.run(command.arg(self.connection_string())).await
    }

    /// Runs a Python program that finds psycopg imported and an open connection in `connection`.
    pub async fn psycopg(&self, program: &str) -> Said {
        let opening = "import os, sys, psycopg\nconnection = psycopg.connect(sys.argv[1], autocommit=True)\n";
        let mut command = Command::new(process::cache_folder().join("python/bin/python"));
        command.args(["-c", &format!("{opening}{program}")]);
        self.run(command.arg(self.connection_string())).await
    }

    async fn run(&self, command: &mut Command) -> Said {
        let command = command.env("PGPASSWORD", &self.secret).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output());
        let output = output.await.expect("the client ends within a minute").expect("the client starts");
        Said {
            ok: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// The rows, where all went well.
    pub fn rows(&self) -> Vec<&str> {
        assert!(self.ok, "the client failed:\n{}", self.errors);
        self.output.lines().collect()
    }
}
