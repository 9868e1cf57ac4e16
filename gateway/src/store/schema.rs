//! The tables of the store, as the steps that made them. A step that was released is never changed: add one.
//!
//! Read by SQLite and PostgreSQL alike. The names begin with `passgate_`, so that a database shared with something else
//! shows whose they are.

use super::Error;
use super::database::{Database, Value};

/// Every step, in order. The number of a step is its place in the list, from 1.
const STEPS: &[&[&str]] = &[&[
    "CREATE TABLE passgate_tickets (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        person TEXT NOT NULL,
        subject TEXT NOT NULL,
        source TEXT NOT NULL,
        statement_id TEXT NOT NULL,
        statement_digest TEXT NOT NULL,
        parameters_digest TEXT NOT NULL,
        revision TEXT NOT NULL,
        estimate_key TEXT NOT NULL,
        estimate TEXT,
        asks TEXT NOT NULL,
        statement TEXT NOT NULL,
        parameters TEXT,
        rules TEXT NOT NULL,
        roles TEXT,
        good_for BIGINT NOT NULL,
        uses_left BIGINT NOT NULL,
        state TEXT NOT NULL,
        opened_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        decided_by TEXT,
        decided_at BIGINT,
        reason TEXT
    )",
    "CREATE UNIQUE INDEX passgate_tickets_open ON passgate_tickets (tenant, person, source, statement_digest,
        parameters_digest, revision, estimate_key, asks) WHERE state = 'open'",
    "CREATE INDEX passgate_tickets_state ON passgate_tickets (state, expires_at)",
    "CREATE INDEX passgate_tickets_tenant ON passgate_tickets (tenant, opened_at)",
    "CREATE TABLE passgate_accesses (
        tenant TEXT NOT NULL,
        person TEXT NOT NULL,
        source TEXT NOT NULL,
        first_at BIGINT NOT NULL,
        PRIMARY KEY (tenant, person, source)
    )",
]];

/// Brings the tables up to date. A store that a newer gateway has written is refused: nobody knows what it means.
pub(super) async fn migrate(database: &Database) -> Result<(), Error> {
    let mut transaction = database.migrate().await?;
    transaction.run("CREATE TABLE IF NOT EXISTS passgate_migrations (step BIGINT PRIMARY KEY)", &[]).await?;
    let done = "SELECT coalesce(max(step), 0) AS step FROM passgate_migrations";
    let done = transaction.rows(done, &[], |row| row.integer("step")).await?;
    let done = done.into_iter().next().flatten().unwrap_or_default();
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if done > known {
        return Err(Error::TooNew { step: done, known });
    }
    for (step, statements) in (1_i64..).zip(STEPS).filter(|(step, _)| *step > done) {
        for statement in *statements {
            transaction.run(statement, &[]).await?;
        }
        transaction.run("INSERT INTO passgate_migrations (step) VALUES ($1)", &[Value::from(step)]).await?;
    }
    Ok(transaction.commit().await?)
}
