//! Shadows on a real server: made once, shared, bounded, and made again when they are gone.

use std::path::Path;

use super::cluster::cluster;
use super::*;
use crate::postgres::shadow::{Config as ShadowConfig, ShadowLease};
use crate::{Script, Shadows, Statement, TransactionStatus};

fn shadows(prefix: &str, change: impl FnOnce(&mut ShadowConfig)) -> Shadows {
    let mut config = ShadowConfig {
        host: Some("127.0.0.1".to_owned()),
        port: cluster().port,
        user: Some("shadows".to_owned()),
        password: Some(Secret::new("shadows-secret")),
        ca_file: Some("ca.pem".to_owned()),
        database_prefix: prefix.to_owned(),
        ..ShadowConfig::default()
    };
    change(&mut config);
    Shadows::open(config, None, &cluster().folder).unwrap().unwrap()
}

fn script(texts: &[&str]) -> Script {
    Script::new(texts.iter().map(|text| Statement::from((*text).to_owned())).collect(), Vec::new(), &[])
}

fn settings(pairs: &[(&str, &str)]) -> SessionSettings {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn lease(shadows: &Shadows, script: &Script) -> ShadowLease {
    shadows.checkout(&source(), script, &settings(&[("search_path", "shop")])).await.unwrap()
}

async fn all(lease: &mut ShadowLease, text: &str) -> Result<Vec<String>, Error> {
    lease.start_query(&query(text), &Bind::default()).await?;
    let mut found = Vec::new();
    loop {
        match lease.next().await? {
            Batch::Rows { frames, .. } => decode(&frames, &mut found),
            Batch::Done { .. } => return Ok(found.into_iter().flatten().map(Option::unwrap_or_default).collect()),
            _ => {}
        }
    }
}

fn code(outcome: Result<Vec<String>, Error>) -> String {
    match outcome.unwrap_err() {
        Error::Server(message) => message.code,
        other => panic!("{other}"),
    }
}

fn databases(prefix: &str) -> Vec<String> {
    let text = format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}') ORDER BY 1;");
    cluster().sql(&text).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_cannot_be_made_is_missing_and_nothing_else() {
    let shadows = shadows("part_", |_| {});
    let statements = vec![
        Statement::from("CREATE SCHEMA shop".to_owned()),
        Statement::or("CREATE TABLE shop.a (x nothing)", ["CREATE TABLE shop.a (x integer)".to_owned()]),
        Statement::from("COMMENT ON TABLE shop.a IS 'made the second way'".to_owned()),
        Statement::from("CREATE TABLE shop.b (x nothing)".to_owned()),
        Statement::from("CREATE TABLE shop.c (gone integer, x text); SELECT 1".to_owned()),
        Statement::from("CREATE TABLE shop.d (gone integer, x text)".to_owned()),
        Statement::from("ALTER TABLE shop.d DROP COLUMN gone".to_owned()),
    ];
    let script =
        Script::new(statements, vec![Statement::from("UPDATE pg_catalog.pg_class SET reltuples = 1".to_owned())], &[]);
    let mut lease = lease(&shadows, &script).await;
    let tables = "SELECT c.relname || coalesce(obj_description(c.oid), '') FROM pg_class c WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1";
    assert_eq!(all(&mut lease, tables).await.unwrap(), ["amade the second way", "d"]);
    let names = shadows.names(&source(), &script).await.unwrap();
    assert!(names.server_version.starts_with("15."));
    let (oid, columns) = &names.relations[&("shop".to_owned(), "d".to_owned())];
    assert!(*oid > 0 && columns["x"] == 2 && columns.len() == 1);
    assert!(names.types[&("shop".to_owned(), "d".to_owned())].array > 0);
    assert_eq!(databases("part_"), std::slice::from_ref(&names.database));
}

#[tokio::test]
async fn sessions_are_set_as_asked_and_cannot_write() {
    let shadows = shadows("session_", |_| {});
    let script = script(&["CREATE SCHEMA shop", "CREATE TABLE shop.a (x integer)"]);
    let mut first = lease(&shadows, &script).await;
    assert_eq!(all(&mut first, "SELECT 'a'::regclass").await.unwrap(), ["a"]);
    assert_eq!(code(all(&mut first, "CREATE TABLE shop.b ()").await), "25006");
    drop(first);
    let plain = settings(&[("search_path", "public"), ("role", "owner")]);
    let mut other = shadows.checkout(&source(), &script, &plain).await.unwrap();
    assert_eq!(all(&mut other, "SELECT 'shop.a'::regclass").await.unwrap(), ["shop.a"]);
    assert_eq!(all(&mut other, "SHOW role").await.unwrap(), ["none"]);
    assert_eq!(code(all(&mut other, "SELECT 'a'::regclass").await), "42P01");
}

#[tokio::test]
async fn statements_end_after_a_time_and_after_so_many_bytes() {
    let shadows = shadows("bounded_", |config| {
        config.statement_ms_max = 300;
        config.answer_bytes_max = 100_000;
    });
    let script = script(&[]);
    let mut lease = lease(&shadows, &script).await;
    assert_eq!(code(all(&mut lease, "SELECT pg_sleep(20)").await), "57014");
    assert_eq!(code(all(&mut lease, "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").await), "54000");
    assert_eq!(lease.transaction_status(), TransactionStatus::Idle);
    assert_eq!(all(&mut lease, "SELECT 1").await.unwrap(), ["1"], "and the lease is still good");
}

#[tokio::test]
async fn a_shadow_that_was_dropped_is_made_again_and_found_again_by_others() {
    let shadows = shadows("again_", |config| config.idle_seconds_max = 0);
    let script = script(&["CREATE TABLE public.a ()"]);
    drop(lease(&shadows, &script).await);
    let made = databases("again_");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    cluster().sql(&format!("DROP DATABASE {} WITH (FORCE);", made[0]));
    let mut again = lease(&shadows, &script).await;
    assert_eq!(all(&mut again, "SELECT 'public.a'::regclass").await.unwrap(), ["public.a"]);
    cluster().sql(&format!("\\c {}\nCREATE TABLE public.trace ();", made[0]));
    let others = self::shadows("again_", |_| {});
    let mut found = lease(&others, &script).await;
    assert_eq!(all(&mut found, "SELECT 'public.trace'::regclass").await.unwrap(), ["public.trace"], "not made anew");
    assert_eq!(databases("again_"), made);
}

#[tokio::test]
async fn the_least_recently_used_goes_when_nobody_uses_it() {
    let shadows = shadows("least_", |config| {
        config.databases_max = 1;
        config.idle_seconds_max = 0;
    });
    let (first, second) = (script(&["CREATE TABLE public.a ()"]), script(&["CREATE TABLE public.b ()"]));
    let mut held = lease(&shadows, &first).await;
    let mut other = lease(&shadows, &second).await;
    assert_eq!(all(&mut held, "SELECT 'public.a'::regclass").await.unwrap(), ["public.a"], "it is in use");
    assert_eq!(all(&mut other, "SELECT 'public.b'::regclass").await.unwrap(), ["public.b"]);
    drop(held);
    for _ in 0..100 {
        if databases("least_").len() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(databases("least_"), ["least_".to_owned() + second.fingerprint()]);
}

#[test]
fn settings_that_make_no_sense_are_told() {
    let config = ShadowConfig {
        host: Some("db.example.com".to_owned()),
        database_prefix: "Mine-".to_owned(),
        databases_max: 0,
        ..ShadowConfig::default()
    };
    let problems = Shadows::open(config, None, Path::new(".")).unwrap_err();
    let settings: Vec<&str> = problems.iter().map(|problem| problem.setting.as_str()).collect();
    assert_eq!(settings, ["user", "database_prefix", "databases_max"]);
    assert!(Shadows::open(ShadowConfig::default(), None, Path::new(".")).unwrap().is_none());
}
