//! The store, on every database it speaks to: the same cases, and a file that is opened again.

use std::path::Path;

use super::*;
use passgate_policy::{Approver, Identity, PersonName, Proof, Role, SourceName, Tenant, TicketId};

/// Set to the URL of an empty database to run the cases on PostgreSQL too.
const POSTGRES: &str = "PASSGATE_TEST_STORE_URL";

async fn file(folder: &Path) -> Store {
    Store::open(&Config::default(), folder).await.unwrap()
}

fn ticket(id: &str, by: Approver) -> Ticket {
    Ticket {
        id: TicketId::new(id),
        binding: Binding {
            tenant: "acme".to_owned(),
            person: "alice".to_owned(),
            source: SourceName::new("warehouse"),
            statement: "aa".to_owned(),
            parameters: "bb".to_owned(),
            revision: "r1".to_owned(),
            estimate: String::new(),
        },
        subject: "alice".to_owned(),
        statement_id: "s1".to_owned(),
        statement: "SELECT 'x'".to_owned(),
        parameters: None,
        estimate: None,
        asks: vec![Ask {
            policy: "costly".to_owned(),
            rule: "rule \"costly\" (c.json:1)".to_owned(),
            message: "it costs".to_owned(),
            detail: String::new(),
        }],
        by,
        good_for: 100,
        uses_left: 1,
        state: State::Open,
        opened_at: 1_000,
        expires_at: 1_100,
        decided_by: None,
        decided_at: None,
        reason: None,
    }
}

fn by(role: &str) -> Approver {
    Approver::Roles([Role::new(role)].into())
}

fn verdict(state: State, now: i64) -> Verdict {
    Verdict { state, by: "carol".to_owned(), reason: Some("fine".to_owned()), now }
}

fn taken<T: ?Sized>(_: &T) -> Result<(), Error> {
    Ok(())
}

/// Everything that the store promises of tickets and accesses.
async fn keeps_its_promises(store: &Store) {
    let first = ticket("T1", by("owner"));
    assert!(matches!(store.open_ticket(first.clone(), 2, taken).await, Ok(Opened::New(_))));
    let mut again = Ticket { id: TicketId::new("T2"), ..first.clone() };
    again.asks[0].message = "it costs a little more".to_owned();
    let Ok(Opened::Known(known)) = store.open_ticket(again, 2, taken).await else { panic!("opened twice") };
    assert_eq!(known.id.as_str(), "T1");
    assert_eq!((known.asks, known.by), (first.asks.clone(), by("owner")));

    // Another approver is another ticket; a third one is over the limit.
    let own = ticket("T3", Approver::Asker);
    assert!(matches!(store.open_ticket(own, 2, taken).await, Ok(Opened::New(_))));
    assert!(matches!(store.open_ticket(ticket("T4", by("other")), 2, taken).await, Ok(Opened::TooMany)));

    // What cannot be recorded does not happen.
    let unrecorded = |_: &Ticket| Err(Error::Unreadable("the log"));
    assert!(store.decide(&first.id, &verdict(State::Granted, 1_050), unrecorded).await.is_err());
    assert_eq!(store.ticket(&first.id).await.unwrap().unwrap().state, State::Open);

    let granted = store.decide(&first.id, &verdict(State::Granted, 1_050), taken).await.unwrap().unwrap();
    assert_eq!((granted.state, granted.expires_at), (State::Granted, 1_150), "good from when it was granted");
    assert!(store.decide(&first.id, &verdict(State::Refused, 1_051), taken).await.unwrap().is_none());

    // Found for the very same statement only, and only in its time.
    assert_eq!(store.grants(&first.binding, 1_060).await.unwrap().len(), 1);
    assert!(store.grants(&first.binding, 1_150).await.unwrap().is_empty());
    for other in [
        Binding { person: "bob".to_owned(), ..first.binding.clone() },
        Binding { tenant: "other".to_owned(), ..first.binding.clone() },
        Binding { source: SourceName::new("lake"), ..first.binding.clone() },
        Binding { statement: "ab".to_owned(), ..first.binding.clone() },
        Binding { parameters: "ab".to_owned(), ..first.binding.clone() },
        Binding { revision: "r2".to_owned(), ..first.binding.clone() },
        Binding { estimate: "1.2".to_owned(), ..first.binding.clone() },
    ] {
        assert!(store.grants(&other, 1_060).await.unwrap().is_empty(), "{other:?}");
    }

    // Used once, by one of two; with one that is not granted, not at all.
    let both = [first.id.clone(), TicketId::new("T3")];
    assert!(store.use_grants(&both, 1_060, taken).await.unwrap().is_none());
    assert_eq!(store.ticket(&first.id).await.unwrap().unwrap().uses_left, 1);
    let one = [first.id.clone(), first.id.clone()];
    let (left, right) = tokio::join!(store.use_grants(&one, 1_060, taken), store.use_grants(&one, 1_060, taken));
    assert_eq!([left, right].into_iter().filter(|used| matches!(used, Ok(Some(_)))).count(), 1);
    assert_eq!(store.ticket(&first.id).await.unwrap().unwrap().state, State::Used);
    store.give_back(&one[..1], || Ok::<_, Error>(())).await.unwrap();
    assert_eq!(store.grants(&first.binding, 1_060).await.unwrap()[0].uses_left, 1);

    // The asker takes both back; what is over is over.
    assert!(store.decide(&first.id, &verdict(State::Cancelled, 1_070), taken).await.unwrap().is_some());
    let expired = store.expire(1_100, 0, taken).await.unwrap();
    assert_eq!(expired.iter().map(|ticket| ticket.id.as_str()).collect::<Vec<_>>(), ["T3"]);
    assert!(matches!(store.open_ticket(ticket("T5", Approver::Asker), 2, taken).await, Ok(Opened::New(_))));

    let listed = store.tickets("acme", 10, |_| true).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|ticket| (ticket.id.as_str(), ticket.state.as_str())).collect();
    assert_eq!(listed, [("T5", "open"), ("T1", "cancelled"), ("T3", "expired")]);
    assert_eq!(store.tickets("acme", 1, |ticket| ticket.state != State::Open).await.unwrap().len(), 1);
    assert!(store.tickets("other", 10, |_| true).await.unwrap().is_empty());
    store.expire(10_000, 10_000, taken).await.unwrap();
    assert!(store.ticket(&first.id).await.unwrap().is_none(), "forgotten");

    let (alice, source) = (alice(), SourceName::new("warehouse"));
    assert!(!store.has_accessed(&alice, &source).await.unwrap());
    store.note_access(&alice, &source, 5).await.unwrap();
    store.note_access(&alice, &source, 6).await.unwrap();
    assert!(store.has_accessed(&alice, &source).await.unwrap());
    assert!(!store.has_accessed(&alice, &SourceName::new("lake")).await.unwrap());
    let bo = Identity { person: PersonName::new("bo"), ..alice };
    assert!(!store.has_accessed(&bo, &source).await.unwrap());
}

fn alice() -> Identity {
    Identity {
        person: PersonName::new("alice"),
        subject: "alice".to_owned(),
        email: None,
        tenant: Tenant::new("acme"),
        groups: Default::default(),
        roles: Default::default(),
        claims: Default::default(),
        proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    }
}

#[tokio::test]
async fn a_file_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    keeps_its_promises(&file(folder.path()).await).await;
}

#[tokio::test]
async fn a_server_keeps_its_promises() {
    let Ok(url) = std::env::var(POSTGRES) else { return };
    let config = Config { path: None, url: Some(Secret::new(url)) };
    // Several gateways start together.
    let (first, second) = tokio::join!(Store::open(&config, Path::new(".")), Store::open(&config, Path::new(".")));
    assert!(second.unwrap().is_shared());
    keeps_its_promises(&first.unwrap()).await;
}

#[tokio::test]
async fn a_file_that_is_opened_again_holds_what_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = file(folder.path()).await;
    store.open_ticket(ticket("T1", by("owner")), 10, taken).await.unwrap();
    let (alice, source) = (alice(), SourceName::new("warehouse"));
    store.note_access(&alice, &source, 5).await.unwrap();
    drop(store);
    let store = file(folder.path()).await;
    assert!(store.has_accessed(&alice, &source).await.unwrap());
    assert_eq!(store.ticket(&TicketId::new("T1")).await.unwrap().unwrap().statement, "SELECT 'x'");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_is_for_the_gateway_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = file(folder.path()).await;
    store.open_ticket(ticket("T1", by("owner")), 10, taken).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_store_of_a_newer_gateway_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = file(folder.path()).await;
    let mut transaction = store.database.write().await.unwrap();
    transaction.run("INSERT INTO passgate_migrations (step) VALUES (99)", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    drop(store);
    let refused = Store::open(&Config::default(), folder.path()).await.unwrap_err();
    assert!(matches!(refused, Error::TooNew { step: 99, .. }), "{refused}");
}

#[test]
fn a_url_that_cannot_be_one_is_a_problem_and_its_password_is_not_told() {
    let problem =
        |path: Option<&str>, url: &str| Config { path: path.map(Into::into), url: Some(Secret::new(url)) }.problem();
    assert_eq!(problem(None, "postgres://me:secret@db.example/passgate"), None);
    let (key, text) = problem(None, "postgres//me:secret@db").unwrap();
    assert!(key == "url" && !text.contains("secret"));
    assert_eq!(problem(Some("a.sqlite"), "postgres://db/passgate").unwrap().0, "path");
}

#[test]
fn a_server_must_prove_who_it_is_unless_told_otherwise() {
    use sqlx::postgres::PgSslMode;
    let mode = |url: &str| database::server_options(url).unwrap().get_ssl_mode();
    assert!(matches!(mode("postgres://db/passgate"), PgSslMode::VerifyFull));
    assert!(matches!(mode("postgres://db/passgate?sslmode=require"), PgSslMode::Require));
}
