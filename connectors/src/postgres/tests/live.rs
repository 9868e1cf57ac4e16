//! Against PostgreSQL itself.

use std::time::{Duration, Instant};

use super::super::settings::Guards;
use super::super::transport::Transport;
use super::super::{AuthMode, Child};
use super::cluster::{cluster, resident_bytes};
use super::*;
use crate::login::{Impersonation, Mapping, RoleRule};
use crate::{Connector, ConstraintKind, Control, Filled, Format, Isolation, RelationKind, TransactionStatus, TypeForm};

const BOB: &str = "Bob \"B\"";

/// The error that a running statement comes to.
async fn until_error(lease: &mut PostgresLease) -> Error {
    loop {
        match lease.next().await {
            Ok(Batch::Done { .. }) => panic!("no error came"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

fn impersonating() -> Postgres {
    cluster().open(cluster().config(AuthMode::Impersonate))
}

#[tokio::test]
async fn two_people_see_their_own_rows_and_are_witnessed() {
    let source = impersonating();
    let mut alice = checkout(&source, "alice").await.unwrap();
    let mut bob = checkout(&source, BOB).await.unwrap();
    assert_eq!((alice.witness().session_user.as_str(), bob.witness().current_user.as_str()), ("alice", BOB));
    let ids = "SELECT id FROM public.sales ORDER BY id";
    let of = |rows: Vec<Vec<Option<String>>>| rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" ");
    assert_eq!(of(rows(&mut alice, ids).await.unwrap().0), "1 3");
    assert_eq!(of(rows(&mut bob, ids).await.unwrap().0), "2");
}

#[tokio::test]
async fn set_role_keeps_the_service_login_as_session_user() {
    let mut config = cluster().config(AuthMode::Impersonate);
    config.user = Some("member".to_owned());
    config.password = Some(Secret::new("member-secret"));
    config.impersonation = Mapping { statement: Impersonation::Role, ..Mapping::default() };
    let source = cluster().open(config);
    let mut lease = checkout(&source, "alice").await.unwrap();
    assert_eq!((lease.witness().session_user.as_str(), lease.witness().current_user.as_str()), ("member", "alice"));
    assert_eq!(value(&mut lease, "SELECT pg_catalog.count(*) FROM public.sales").await, "2");
    let refused = checkout(&source, "mighty").await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::SignIn { .. }), "{refused}");
}

#[tokio::test]
async fn password_mode_serves_the_service_login() {
    let source = cluster().open(cluster().config(AuthMode::Password));
    let lease = checkout(&source, "anybody").await.unwrap();
    assert_eq!(lease.witness().current_user, "service");
}

#[tokio::test]
async fn a_token_is_the_password_and_an_expired_one_is_not_used() {
    let mut config = cluster().config(AuthMode::Token);
    config.user = None;
    config.password = None;
    let source = cluster().open(config);
    let settings = SessionSettings::default();
    assert!(matches!(source.crawl(None).await, Err(Error::NoCrawlLogin { .. })));
    let good = caller("tokens", Some("tokens-secret"), Some(super::super::pool::now() + 2));
    let lease = source.lease(&good, &settings).await.unwrap();
    assert_eq!(lease.witness().session_user, "tokens");
    drop(lease);
    assert!(!source.crawl(Some(&good)).await.unwrap().relations.is_empty());

    let wrong = source.lease(&caller("tokens", Some("guessed"), None), &settings).await.map(|_| ()).unwrap_err();
    assert!(matches!(wrong, Error::SignIn { .. }));
    assert!(!wrong.to_string().contains("guessed"), "{wrong}");
    assert!(matches!(source.lease(&caller("tokens", None, None), &settings).await, Err(Error::SignIn { .. })));

    tokio::time::sleep(Duration::from_secs(3)).await;
    let expired = source.lease(&good, &settings).await.map(|_| ()).unwrap_err();
    assert!(expired.to_string().contains("expired"), "{expired}");
}

#[tokio::test]
async fn a_client_certificate_signs_in() {
    let mut config = cluster().config(AuthMode::Password);
    config.user = Some("certain".to_owned());
    config.password = None;
    config.client_certificate_file = Some("client.pem".to_owned());
    config.client_key_file = Some("client.key".to_owned());
    let source = cluster().open(config);
    assert_eq!(checkout(&source, "x").await.unwrap().witness().session_user, "certain");
}

#[tokio::test]
async fn the_channel_is_bound() {
    let source = cluster().open(cluster().config(AuthMode::Password));
    drop(checkout(&source, "x").await.unwrap());
    // The server logs no mechanism, so ask a server that would not take anything else: with the wrong binding data
    // its SCRAM exchange fails.
    let mut opened = source.transport.open().await.unwrap();
    let binding = opened.channel_binding.take().unwrap();
    assert_eq!(binding.len(), 32);
    let mut wrong = binding.clone();
    wrong[0] ^= 1;
    let mut frames = super::super::frames::Frames::new(opened.stream, "w".into(), Duration::from_secs(5));
    let secret = Secret::new("service-secret");
    let login = super::super::handshake::Login {
        source_name: "w",
        user: "service",
        secret: Some(&secret),
        database: "postgres",
        guards: &Guards::new(&Config::default()),
        private: true,
        channel_binding: Some(wrong),
    };
    let refused = super::super::handshake::sign_in(&mut frames, &login).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("channel binding"), "{refused}");
}

#[tokio::test]
async fn what_is_not_safe_is_refused() {
    let base = || cluster().config(AuthMode::Password);
    let refusal =
        async |config: Config| checkout(&cluster().open(config), "alice").await.map(|_| ()).unwrap_err().to_string();
    let md5 =
        refusal(Config { user: Some("outdated".to_owned()), password: Some(Secret::new("outdated-secret")), ..base() });
    assert!(md5.await.contains("MD5"));
    let stranger = refusal(Config { ca_file: Some("other.pem".to_owned()), ..base() }).await;
    assert!(stranger.contains("certificate"), "{stranger}");
    // The certificate is made out for 127.0.0.1 only.
    let other_name = refusal(Config { host: "localhost".to_owned(), ..base() }).await;
    assert!(other_name.contains("certificate"), "{other_name}");
    let wrong = refusal(Config { password: Some(Secret::new("hunter2")), ..base() }).await;
    assert!(wrong.contains("refused the sign-in") && !wrong.contains("hunter2"), "{wrong}");
    let plain = Config { dangerously_disable_tls: true, ..base() };
    assert_eq!(checkout(&cluster().open(plain), "x").await.unwrap().witness().session_user, "service");
}

#[tokio::test]
async fn some_people_are_nobody_there() {
    let source = impersonating();
    let refusal = async |person: &str| checkout(&source, person).await.map(|_| ()).unwrap_err();
    assert!(matches!(refusal("stranger").await, Error::SignIn { .. }));
    assert!(matches!(refusal("none").await, Error::NoRole { .. }));
    assert!(matches!(refusal("service").await, Error::NoRole { .. }));
    assert!(matches!(refusal("mighty").await, Error::NoRole { .. }));
    let listed = Config {
        impersonation: Mapping { role: RoleRule::Listed, ..Mapping::default() },
        ..cluster().config(AuthMode::Impersonate)
    };
    assert!(matches!(checkout(&cluster().open(listed), "alice").await, Err(Error::NoRole { .. })));
}

#[tokio::test]
async fn sessions_are_guarded_and_settings_applied() {
    let source = impersonating();
    let settings = |zone: &str| {
        SessionSettings::from_iter(
            [("timezone", zone), ("datestyle", "German"), ("role", "mighty"), ("search_path", "public")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    };
    let person = caller("alice", None, None);
    let shown = "SELECT pg_catalog.concat_ws('|', current_user, pg_catalog.current_setting('transaction_read_only'), \
                 pg_catalog.current_setting('search_path'), pg_catalog.current_setting('statement_timeout'), \
                 pg_catalog.current_setting('timezone'), pg_catalog.current_setting('datestyle'))";
    let mut lease = source.lease(&person, &settings("UTC")).await.unwrap();
    let guards = "alice|on|pg_catalog, pg_temp|5min";
    assert_eq!(value(&mut lease, shown).await, format!("{guards}|UTC|German, DMY"));
    lease.apply(&settings("Asia/Tokyo")).await.unwrap();
    assert_eq!(value(&mut lease, shown).await, format!("{guards}|Asia/Tokyo|German, DMY"));
    lease.apply(&SessionSettings::default()).await.unwrap();
    assert!(value(&mut lease, shown).await.ends_with("ISO, MDY"));
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    drop(lease);
    // Other settings: the same connection, as if it were new.
    let mut lease = source.lease(&person, &settings("Europe/Berlin")).await.unwrap();
    assert_eq!(value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await, pid);
    assert_eq!(value(&mut lease, shown).await, format!("{guards}|Europe/Berlin|German, DMY"));
    let error = rows(&mut lease, "INSERT INTO public.people VALUES (1)").await.unwrap_err();
    assert!(matches!(&error, Error::Server(message) if message.code == "25006" || message.code == "42501"), "{error}");
    let error = lease.apply(&SessionSettings::from_iter([("timezone".to_owned(), "Nowhere".to_owned())])).await;
    assert!(matches!(&error, Err(Error::Server(message)) if message.code == "22023"), "{error:?}");
    assert_eq!(value(&mut lease, shown).await, format!("{guards}|Europe/Berlin|German, DMY"));
}

#[tokio::test]
async fn a_shorter_timeout_of_the_persons_own_role_holds() {
    let source = impersonating();
    let shown = "SELECT pg_catalog.concat_ws('|', pg_catalog.current_setting('statement_timeout'), \
                 pg_catalog.current_setting('lock_timeout'))";
    let mut lease = checkout(&source, "hurried").await.unwrap();
    assert_eq!(value(&mut lease, shown).await, "7s|10s");
    let timeout = |value: &str| SessionSettings::from_iter([("statement_timeout".to_owned(), value.to_owned())]);
    for (asked, holds) in [("5s", "5s"), ("8s", "7s"), ("0", "7s")] {
        lease.apply(&timeout(asked)).await.unwrap();
        assert_eq!(value(&mut lease, shown).await, format!("{holds}|10s"), "{asked}");
    }
    drop(lease);
    // The connection again, after DISCARD ALL.
    let mut lease = source.lease(&caller("hurried", None, None), &timeout("6s")).await.unwrap();
    assert_eq!(value(&mut lease, shown).await, "6s|10s");
}

#[tokio::test]
async fn a_copy_comes_as_the_messages_it_is() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let copy = Query { gives: Gives::Copy, ..query("COPY (SELECT id FROM public.sales ORDER BY id) TO STDOUT") };
    lease.start_query(&copy, &Bind::default()).await.unwrap();
    let mut copied = Vec::new();
    let tag = loop {
        match lease.next().await.unwrap() {
            Batch::Copied(frames) => copied.extend_from_slice(&frames),
            Batch::Done { tag } => break tag,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(tag, "COPY 2");
    assert_eq!(copied, b"H\0\0\0\x09\0\0\x01\0\0d\0\0\0\x061\nd\0\0\0\x063\nc\0\0\0\x04");
    assert_eq!(value(&mut lease, "SELECT 1").await, "1");
    // One that nobody asked for is not taken.
    lease.start_query(&query("COPY (SELECT 1) TO STDOUT"), &Bind::default()).await.unwrap();
    assert!(matches!(until_error(&mut lease).await, Error::Protocol { .. }));
}

#[tokio::test]
async fn a_connection_with_a_held_cursor_serves_nobody_else() {
    let source = impersonating();
    for (closes, again) in [(false, false), (true, true)] {
        let mut lease = checkout(&source, "alice").await.unwrap();
        let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
        let declare = Query { gives: Gives::HeldCursor, ..query("DECLARE c CURSOR WITH HOLD FOR SELECT 7") };
        lease.start_query(&declare, &Bind::default()).await.unwrap();
        while !matches!(lease.next().await.unwrap(), Batch::Done { .. }) {}
        assert_eq!(value(&mut lease, "FETCH 1 FROM c").await, "7");
        if closes {
            lease.control(&Control::CloseCursors).await.unwrap();
        }
        drop(lease);
        let mut lease = checkout(&source, "alice").await.unwrap();
        assert_eq!(value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await == pid, again);
    }
}

#[tokio::test]
async fn a_view_that_changes_the_identity_ends_the_connection() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    let result = rows(&mut lease, "SELECT * FROM public.trap").await;
    assert!(matches!(result, Err(Error::Witness { .. })), "{result:?}");
    drop(lease);
    let mut lease = checkout(&source, "alice").await.unwrap();
    assert_ne!(value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await, pid);
}

#[tokio::test]
async fn describe_and_binary_results() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let text = query("SELECT id, region FROM public.sales WHERE id = $1");
    let described = lease.describe_query(&text).await.unwrap();
    assert_eq!(described.parameters, [23]);
    assert_eq!(described.fields.unwrap()[0], b'T');
    assert!(lease.describe_query(&query("SELECT nope")).await.is_err());
    let bind = Bind {
        parameter_formats: vec![Format::Binary],
        parameters: vec![Some(vec![0, 0, 0, 3].into())],
        result_formats: vec![Format::Binary],
        ..Bind::default()
    };
    lease.start_query(&text, &bind).await.unwrap();
    let Batch::Fields(fields) = lease.next().await.unwrap() else { panic!() };
    assert_eq!(fields[fields.len() - 1], 1, "the last column is announced as binary");
    let Batch::Rows { frames, rows: 1 } = lease.next().await.unwrap() else { panic!() };
    assert_eq!(&frames[7..15], [0, 0, 0, 4, 0, 0, 0, 3]);
    assert!(matches!(lease.next().await.unwrap(), Batch::Done { tag } if tag == "SELECT 1"));
}

/// Runs a statement that the client keeps: its rows, or the error's code.
async fn again(lease: &mut PostgresLease, text: &str) -> Result<u64, String> {
    let code = |error| match error {
        Error::Server(message) => message.code,
        other => other.to_string(),
    };
    lease.start_query(&query(text), &Bind { kept: true, ..Bind::default() }).await.map_err(code)?;
    let mut found = 0;
    loop {
        match lease.next().await.map_err(code)? {
            Batch::Rows { rows, .. } => found += rows,
            Batch::Done { .. } => return Ok(found),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_the_client_keeps_stays_prepared_with_the_server() {
    const PREPARED: &str = "SELECT coalesce(string_agg(name || ' ' || generic_plans + custom_plans, ', '), '') \
        FROM pg_catalog.pg_prepared_statements";
    cluster().sql("CREATE TABLE public.changing (a int); GRANT SELECT ON public.changing TO PUBLIC");
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let text = "SELECT * FROM public.changing";
    for _ in 0..3 {
        assert_eq!(again(&mut lease, text).await, Ok(0));
    }
    assert_eq!(value(&mut lease, PREPARED).await, "passgate_1 3");
    // The table changes under it: as on a connection of one's own that is told, and the next run reads it anew.
    cluster().sql("ALTER TABLE public.changing ADD COLUMN b int");
    assert_eq!(again(&mut lease, text).await, Err("0A000".to_owned()));
    assert_eq!(again(&mut lease, text).await, Ok(0));
    assert_eq!(value(&mut lease, PREPARED).await, "passgate_2 1");
    // What cannot be parsed is not there, and what fails when it runs does not stay.
    assert_eq!(again(&mut lease, "SELECT nope").await, Err("42703".to_owned()));
    assert_eq!(
        again(&mut lease, "SELECT 1 / (count(*) - count(*)) FROM public.changing").await,
        Err("22012".to_owned())
    );
    assert_eq!(value(&mut lease, PREPARED).await, "passgate_2 1");
    // Under other settings it is read anew.
    let settings = SessionSettings::from_iter([("datestyle".to_owned(), "German".to_owned())]);
    lease.apply(&settings).await.unwrap();
    assert_eq!(again(&mut lease, text).await, Ok(0));
    assert_eq!(value(&mut lease, PREPARED).await, "passgate_5 1");
    cluster().sql("DROP TABLE public.changing");
}

#[tokio::test]
async fn one_message_holds_one_statement_and_copy_is_a_breach() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let two = rows(&mut lease, "SELECT 1; SELECT 2").await.unwrap_err();
    assert!(matches!(&two, Error::Server(message) if message.code == "42601"), "{two}");
    assert_eq!(value(&mut lease, "SELECT 7").await, "7");
    let zero = lease.start_query(&query("SELECT '\0'"), &Bind::default()).await.unwrap_err();
    assert!(matches!(zero, Error::Server(_)));
    let copy = rows(&mut lease, "COPY (SELECT 1) TO STDOUT").await.unwrap_err();
    assert!(matches!(copy, Error::Protocol { .. }), "{copy}");
}

#[tokio::test]
async fn transactions_are_read_only_and_savepoints_quoted() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.control(&Control::Begin { isolation: Some(Isolation::RepeatableRead), deferrable: false }).await.unwrap();
    assert_eq!(lease.transaction_status(), TransactionStatus::Open);
    assert_eq!(value(&mut lease, "SELECT pg_catalog.current_setting('transaction_read_only')").await, "on");
    lease.control(&Control::Savepoint("a\"; DROP".to_owned())).await.unwrap();
    assert!(rows(&mut lease, "SELECT 1/0").await.is_err());
    assert_eq!(lease.transaction_status(), TransactionStatus::Failed);
    lease.control(&Control::RollbackTo("a\"; DROP".to_owned())).await.unwrap();
    lease.control(&Control::Release("a\"; DROP".to_owned())).await.unwrap();
    lease.control(&Control::Commit).await.unwrap();
    assert_eq!(lease.transaction_status(), TransactionStatus::Idle);
}

#[tokio::test]
async fn a_million_rows_take_no_memory() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let million = query("SELECT g, pg_catalog.repeat('x', 300) FROM pg_catalog.generate_series(1, 1000000) g");
    let mut peak = 0;
    lease.start_query(&million, &Bind::default()).await.unwrap();
    let before = resident_bytes();
    let mut seen = 0;
    let tag = loop {
        match lease.next().await.unwrap() {
            Batch::Rows { rows, .. } => {
                seen += rows;
                peak = peak.max(resident_bytes().saturating_sub(before));
            }
            Batch::Done { tag } => break tag,
            _ => {}
        }
    };
    assert_eq!((seen, tag.as_str()), (1_000_000, "SELECT 1000000"));
    // 330 MB went by. Other tests run meanwhile, so this is a bound, not a measure.
    assert!(peak < 64 << 20, "{peak} bytes more than before");
}

#[tokio::test]
async fn a_killed_backend_is_told_at_once() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    lease.start_query(&query("SELECT pg_catalog.pg_sleep(60)"), &Bind::default()).await.unwrap();
    cluster().sql(&format!("SELECT pg_terminate_backend({pid})"));
    let started = Instant::now();
    let error = until_error(&mut lease).await;
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(lease);
    // An idle connection whose server went away is not handed out.
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    drop(lease);
    cluster().sql(&format!("SELECT pg_terminate_backend({pid})"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut lease = checkout(&source, "alice").await.unwrap();
    assert_eq!(value(&mut lease, "SELECT 1").await, "1");
}

#[tokio::test]
async fn cancel_reaches_the_server_and_the_connection_is_not_used_again() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    lease.start_query(&query("SELECT pg_catalog.pg_sleep(60)"), &Bind::default()).await.unwrap();
    let canceller = lease.canceller();
    tokio::time::sleep(Duration::from_millis(100)).await;
    canceller.cancel().await;
    let error = until_error(&mut lease).await;
    assert!(matches!(&error, Error::Server(message) if message.code == "57014"), "{error}");
    assert_eq!(value(&mut lease, "SELECT 1").await, "1");
    drop(lease);
    canceller.cancel().await;
    let mut lease = checkout(&source, "alice").await.unwrap();
    assert_ne!(value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await, pid);
}

#[tokio::test]
async fn dropping_a_busy_lease_cancels_at_once() {
    let source = impersonating();
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    lease.start_query(&query("SELECT pg_catalog.pg_sleep(60)"), &Bind::default()).await.unwrap();
    drop(lease);
    let started = Instant::now();
    while cluster().sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")) != "0" {
        assert!(started.elapsed() < Duration::from_secs(5), "the statement still runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn people_never_share_and_make_room_for_each_other() {
    let config = Config { connections_max: 1, checkout_ms_max: 200, ..cluster().config(AuthMode::Impersonate) };
    let source = cluster().open(config);
    let mut alice = checkout(&source, "alice").await.unwrap();
    let first = value(&mut alice, "SELECT pg_catalog.pg_backend_pid()").await;
    let busy = checkout(&source, BOB).await.map(|_| ()).unwrap_err();
    assert!(matches!(busy, Error::Busy { waited_ms: 200, .. }), "{busy}");
    drop(alice);
    let mut alice = checkout(&source, "alice").await.unwrap();
    assert_eq!(value(&mut alice, "SELECT pg_catalog.pg_backend_pid()").await, first);
    drop(alice);
    let mut bob = checkout(&source, BOB).await.unwrap();
    assert_eq!(bob.witness().current_user, BOB);
    assert_ne!(value(&mut bob, "SELECT pg_catalog.pg_backend_pid()").await, first);
    assert_eq!(cluster().sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {first}")), "0");
}

#[tokio::test]
async fn one_person_cannot_take_all() {
    let config = Config {
        connections_max: 3,
        connections_per_person_max: 2,
        checkout_ms_max: 100,
        ..cluster().config(AuthMode::Impersonate)
    };
    let source = cluster().open(config);
    let _one = checkout(&source, "alice").await.unwrap();
    let _two = checkout(&source, "alice").await.unwrap();
    assert!(matches!(checkout(&source, "alice").await, Err(Error::Busy { .. })));
    assert!(checkout(&source, BOB).await.is_ok());
}

#[tokio::test]
async fn an_open_transaction_and_an_idle_connection_end() {
    let source = cluster().open(Config { idle_seconds_max: 1, ..cluster().config(AuthMode::Impersonate) });
    let gone = async |pid: String| {
        let started = Instant::now();
        while cluster().sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")) != "0" {
            assert!(started.elapsed() < Duration::from_secs(6), "connection {pid} is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.control(&Control::Begin { isolation: None, deferrable: false }).await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    drop(lease);
    gone(pid).await;
    let mut lease = checkout(&source, "alice").await.unwrap();
    let pid = value(&mut lease, "SELECT pg_catalog.pg_backend_pid()").await;
    drop(lease);
    gone(pid).await;
}

#[tokio::test]
async fn the_catalog_is_read() {
    let source = impersonating();
    let metadata = source.crawl(None).await.unwrap();
    assert!(metadata.server_version.starts_with("15."));
    let of = |name: &str| metadata.relations.iter().find(|relation| relation.name == name).unwrap();
    let sales = of("sales");
    assert_eq!((sales.schema.as_str(), sales.kind), ("public", RelationKind::Table));
    assert_eq!(sales.comment.as_deref(), Some("what was sold"));
    assert_eq!(sales.columns[1].comment.as_deref(), Some("where"));
    assert_eq!((sales.columns[0].type_name.as_str(), sales.columns[0].type_oid), ("integer", 23));
    assert_eq!(sales.unique_keys, [vec!["id".to_owned()], vec!["region".to_owned(), "code".to_owned()]]);
    let on = |name: &str| of(name).built_on.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
    assert_eq!(on("sales_view"), ["sales"]);
    assert_eq!(on("sales_sums"), ["sales_view"]);
    assert_eq!(of("sales_sums").kind, RelationKind::MaterializedView);
    assert_eq!(on("visits_2026"), ["visits"]);
    assert_eq!(of("visits").unique_keys, [vec!["id".to_owned(), "day".to_owned()]]);
    assert_eq!(on("staff"), ["people"]);
    assert!(of("people").unique_keys.is_empty(), "staff may hold the same id again");
    assert!(of("staff").unique_keys.is_empty());
    assert_eq!(
        of("sales_view").definition.as_deref(),
        Some(" SELECT sales.id,\n    sales.region\n   FROM public.sales;"),
        "every name in it is qualified"
    );
    assert_eq!((sales.definition.as_deref(), sales.calls.len()), (None, 0));
    let calls = |name: &str| of(name).calls.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
    assert_eq!(calls("trap"), ["become"]);
    assert_eq!(calls("odd"), ["alike", "is_code"], "behind an operator, and in the check of a domain");
    assert_eq!(calls("sales_view"), Vec::<String>::new());
    assert_eq!((sales.rows, sales.bytes), (None, None), "nobody has counted yet");
    assert!(!metadata.relations.iter().any(|relation| relation.schema.starts_with("pg_")));
    let twice = metadata.functions.iter().find(|function| function.name == "twice").unwrap();
    assert_eq!(twice.arguments, ["integer", "numeric"]);
    assert!(twice.takes(2) && !twice.takes(1) && !twice.takes(3));
    let joined = metadata.functions.iter().find(|function| function.name == "joined").unwrap();
    assert_eq!((joined.arguments.len(), joined.defaults, joined.variadic), (3, 2, true));
    assert!(joined.takes(1) && joined.takes(3) && joined.takes(9));

    let small = cluster().open(Config { relations_max: 3, ..cluster().config(AuthMode::Impersonate) });
    let error = small.crawl(None).await.unwrap_err();
    assert_eq!(error.to_string(), "source \"warehouse\" has more than 3 relations");
}

#[tokio::test]
async fn what_clients_want_to_see_of_relations_is_read() {
    let metadata = impersonating().crawl(None).await.unwrap();
    let of = |name: &str| metadata.relations.iter().find(|relation| relation.name == name).unwrap();
    let numbers = |name: &str| of(name).columns.iter().map(|column| column.number).collect::<Vec<_>>();
    assert_eq!(numbers("people").len(), 1);
    let orders = of("orders");
    let oids = orders.details.oids;
    assert!(oids.relation > 0 && oids.row > oids.relation && oids.array > oids.relation);
    assert_eq!(orders.details.options, ["fillfactor=70"]);
    let filled = |column: usize| (orders.columns[column].filled, orders.columns[column].default.as_deref());
    assert_eq!(filled(0), (Filled::ByDefault, Some("nextval('shop.orders_id_seq'::regclass)")));
    assert_eq!(filled(4), (Filled::Generated, Some("abs(id)")));
    assert_eq!(orders.columns[2].type_name, "shop.price");
    let constraint = |name: &str| orders.details.constraints.iter().find(|found| found.name == name).unwrap();
    assert_eq!(constraint("sane").kind, ConstraintKind::Check);
    assert_eq!(constraint("sane").definition, "CHECK ((id > 0))");
    assert_eq!(constraint("orders_id_person_key").columns.as_deref().unwrap(), ["id", "person"]);
    let buyer = constraint("buyer");
    assert_eq!(buyer.comment.as_deref(), Some("who bought"));
    let target = buyer.refers_to.as_ref().unwrap();
    assert_eq!((target.table.as_str(), target.columns.as_slice()), ("people", &["id".to_owned()][..]));
    let indexes = &orders.details.indexes;
    assert_eq!((indexes.len(), indexes[0].is_plain, indexes[1].is_plain), (2, true, false));
    assert_eq!(indexes[0].comment.as_deref(), Some("by person"));
    assert!(["id", "mood"].iter().all(|column| indexes[1].columns.contains(&(*column).to_owned())), "{indexes:?}");

    let people = metadata.relations.iter().find(|found| found.schema == "shop" && found.name == "people").unwrap();
    assert_eq!(people.columns.iter().map(|column| column.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(people.columns[0].filled, Filled::IdentityAlways);
    assert_eq!(people.columns[1].collation.as_deref(), Some("pg_catalog.\"C\""));
    let part = of("visits_2026");
    assert!(part.details.partition_bound.as_deref().unwrap().starts_with("FOR VALUES FROM"));
    assert_eq!(of("visits").details.partition_key.as_deref(), Some("RANGE (day)"));
    let whole = Some(("public".to_owned(), "visits_day".to_owned()));
    assert_eq!(part.details.indexes[0].part_of, whole);
    assert_eq!(part.details.constraints[0].part_of.as_ref().unwrap().1, "visits_pkey");
    assert!(part.columns.iter().all(|column| column.inherited) && part.details.parents.len() == 1);
}

#[tokio::test]
async fn what_clients_want_to_see_beside_relations_is_read() {
    let metadata = impersonating().crawl(None).await.unwrap();
    let shop = metadata.schemas.iter().find(|schema| schema.name == "shop").unwrap();
    assert_eq!(shop.comment.as_deref(), Some("what is sold"));
    let types: Vec<_> = metadata.types.iter().filter(|found| found.schema == "shop").collect();
    assert_eq!(types.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["mood", "price", "address", "span"]);
    assert_eq!(types[0].comment.as_deref(), Some("how they felt"));
    assert!(matches!(&types[0].form, TypeForm::Enum { labels } if *labels == ["sad", "glad"]));
    assert!(matches!(&types[1].form, TypeForm::Domain { base, not_null: true, checks, .. }
        if base == "numeric(9,2)" && checks[0].definition == "CHECK ((VALUE > (0)::numeric))"));
    assert!(
        matches!(&types[2].form, TypeForm::Composite { columns } if columns[1].type_name == "character varying(20)")
    );
    assert!(matches!(&types[3].form, TypeForm::Range { of, .. } if of == "double precision"));
    let sequence = |name: &str| metadata.sequences.iter().find(|found| found.name == name).unwrap();
    assert_eq!(sequence("orders_id_seq").owned_by.as_ref().unwrap().2, "id");
    assert!(sequence("people_id_seq").is_identity && sequence("orders_id_seq").type_name == "integer");
    let restock = &metadata.functions.iter().find(|function| function.name == "restock").unwrap().details;
    assert_eq!((restock.word, restock.signature.as_str()), (Some("PROCEDURE"), "IN amount integer DEFAULT 1"));
    let twice = &metadata.functions.iter().find(|function| function.name == "twice").unwrap().details;
    assert_eq!((twice.result.as_deref(), twice.types.as_slice()), (Some("integer"), &[23, 1700, 23][..]));
}

/// A child that passes its standard input and output on to the server.
fn bridge() -> Postgres {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; cat <&0 >&3 & exec cat <&3", cluster().port);
    let child = Child {
        program: "/bin/bash".to_owned(),
        arguments: vec!["-c".to_owned(), script],
        environment: std::collections::BTreeMap::new(),
    };
    Postgres::on(source(), cluster().config(AuthMode::Impersonate), Transport::Child(child))
}

#[tokio::test]
async fn a_child_process_is_a_server_and_dies_to_cancel() {
    let source = bridge();
    let mut lease = checkout(&source, "alice").await.unwrap();
    assert_eq!(lease.witness().current_user, "alice");
    assert_eq!(value(&mut lease, "SELECT pg_catalog.count(*) FROM public.sales").await, "2");
    drop(lease);
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.start_query(&query("SELECT pg_catalog.pg_sleep(60)"), &Bind::default()).await.unwrap();
    lease.canceller().cancel().await;
    let error = until_error(&mut lease).await;
    assert!(matches!(&error, Error::Server(message) if message.code == "57014"), "{error}");
    drop(lease);
    assert!(checkout(&source, "alice").await.is_ok());

    let missing = Child { program: "/nowhere".to_owned(), ..Child::default() };
    let source = Postgres::on(super::source(), cluster().config(AuthMode::Impersonate), Transport::Child(missing));
    assert!(matches!(checkout(&source, "alice").await, Err(Error::Connection { .. })));
}

#[tokio::test]
async fn a_probe_signs_nobody_in() {
    let source = impersonating();
    source.probe().await.unwrap();
    let closed = cluster().open(Config { port: 1, ..cluster().config(AuthMode::Impersonate) });
    assert!(matches!(closed.probe().await, Err(Error::Connection { .. })));
}
