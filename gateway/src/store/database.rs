//! Two databases behind one small door: the part of SQL that both read, and two types of values.
//!
//! Separate from what is kept, so that what is kept is written once. Every statement is a constant of this room with
//! `$1` for its values, which SQLite and PostgreSQL both take; every column is text or a 64-bit integer. Nothing is
//! checked against a database at build time, so building needs none.

use std::future::Future;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use passgate_connectors::Secret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Encode, PgPool, Postgres, Row, Sqlite, SqlitePool, Type};

use super::Error;

/// Connections to the store. What it keeps is asked for seldom.
const CONNECTIONS_MAX: u32 = 4;
/// How long a statement waits for a connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long SQLite waits for another writer.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one piece of work may take in all.
const WORK_SECONDS_MAX: u64 = 15;
/// The number under which gateways that start together take turns to migrate a shared store: "passgate" in ASCII.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(8097873591115247717)";

/// Where things are kept.
#[derive(Debug)]
pub(super) enum Database {
    /// A file of this gateway's own.
    Sqlite(SqlitePool),
    /// A server that several gateways share.
    Postgres(PgPool),
}

/// A value for a statement.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A text, or NULL.
    Text(Option<String>),
    /// A whole number, or NULL.
    Integer(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

/// A row that was read: its values by column name.
pub(super) trait Cells {
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error>;
    fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
}

impl Cells for SqliteRow {
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }
}

impl Cells for PgRow {
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }

    fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }
}

impl Database {
    /// Opens a file, and makes it if it is not there. Only its owner may read it: it holds statements.
    pub(super) async fn open_file(path: &Path) -> Result<Self, sqlx::Error> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A grant that was answered must survive a loss of power.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_WAIT_MAX)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(CONNECTION_WAIT_MAX);
        Ok(Self::Sqlite(pool.connect_with(options).await?))
    }

    /// Connects to a server.
    pub(super) async fn connect(url: &Secret) -> Result<Self, sqlx::Error> {
        let options = server_options(url.expose())?.disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(CONNECTION_WAIT_MAX);
        Ok(Self::Postgres(pool.connect_with(options).await?))
    }

    /// Whether other gateways may write to it too.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Begins to read.
    pub(super) async fn read(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(Transaction::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Transaction::Postgres),
        }
    }

    /// Begins to write. SQLite has one writer at a time, and one that has read before may find that it came too late.
    pub(super) async fn write(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Transaction::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Transaction::Postgres),
        }
    }

    /// Begins to change the schema, after whoever else does.
    pub(super) async fn migrate(&self) -> Result<Transaction, sqlx::Error> {
        let mut transaction = self.write().await?;
        if let Transaction::Postgres(transaction) = &mut transaction {
            sqlx::query::<Postgres>(MIGRATION_LOCK).execute(&mut **transaction).await?;
        }
        Ok(transaction)
    }
}

/// Statements that hold together: dropped before [`Transaction::commit`], none of them happened.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    /// Runs a statement, and says how many rows it changed.
    pub(super) async fn run(&mut self, statement: &'static str, values: &[Value]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => {
                Ok(query::<Sqlite>(statement, values).execute(&mut **transaction).await?.rows_affected())
            }
            Self::Postgres(transaction) => {
                Ok(query::<Postgres>(statement, values).execute(&mut **transaction).await?.rows_affected())
            }
        }
    }

    /// Runs a statement and reads the rows it answers.
    pub(super) async fn rows<T>(
        &mut self,
        statement: &'static str,
        values: &[Value],
        read: impl Fn(&dyn Cells) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => {
                let rows = query::<Sqlite>(statement, values).fetch_all(&mut **transaction).await?;
                rows.iter().map(|row| read(row)).collect()
            }
            Self::Postgres(transaction) => {
                let rows = query::<Postgres>(statement, values).fetch_all(&mut **transaction).await?;
                rows.iter().map(|row| read(row)).collect()
            }
        }
    }

    /// Makes it happen.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

/// A statement with its values.
fn query<DB: sqlx::Database>(statement: &'static str, values: &[Value]) -> Query<'static, DB, DB::Arguments>
where
    Option<String>: Encode<'static, DB> + Type<DB>,
    Option<i64>: Encode<'static, DB> + Type<DB>,
{
    values.iter().fold(sqlx::query(statement), |query, value| match value {
        Value::Text(text) => query.bind(text.clone()),
        Value::Integer(number) => query.bind(*number),
    })
}

/// Work on the store, within its time.
pub(super) async fn bounded<T, E: From<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let limit = Duration::from_secs(WORK_SECONDS_MAX);
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::from(sqlx::Error::PoolTimedOut).into()),
    }
}

/// The options of a URL. Unless it says otherwise the server must prove who it is; a socket of this machine need not.
pub(super) fn server_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?;
    let chosen = url.contains("sslmode=") || url.contains("ssl-mode=");
    let local = options.get_socket().is_some();
    Ok(if chosen || local { options } else { options.ssl_mode(PgSslMode::VerifyFull) })
}

/// Makes an empty file that nobody else may read; SQLite gives its companions the same permissions.
fn make_private(path: &Path) -> Result<(), std::io::Error> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
