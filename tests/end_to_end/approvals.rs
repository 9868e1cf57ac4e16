//! A held statement between two people: one asks in psql, the other decides in theirs, at the same gateway or at another.

use passgate_tests::clients::{Login, Said};
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};
use serde_json::{Value, json};

/// alice asks; bob owns the data.
fn settings(world: &World) -> Settings {
    let mut settings = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice", "bob"]).policy(
        "export.json",
        &json!({
            "name": "whole-tables", "action": "require_approval", "condition": { "full_export": true },
            "by": { "roles": ["data_owner"] }, "message": "this takes a whole table away",
        }),
    );
    let mut people: Value = serde_json::from_str(&settings.people).expect("a people file");
    people["people"][1]["roles"] = json!(["data_owner"]);
    settings.people = people.to_string();
    settings
}

fn login(world: &World, gateway: &Gateway, person: &str) -> Login {
    Login::new(world, gateway.port(), person, &format!("{person}-password"))
}

/// The ticket that bob finds when he looks; he waits until there is one.
async fn ticket_for(bob: &Login) -> String {
    for _ in 0..100 {
        let found = bob.psql("SELECT ticket FROM passgate.approvals WHERE may_decide AND state = 'open'").await;
        assert!(found.ok, "{found:?}");
        if let Some(ticket) = found.rows().first() {
            return (*ticket).to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nothing waits for bob");
}

async fn decide(bob: &Login, call: &str, ticket: &str) -> Said {
    bob.psql(&format!("SELECT passgate.{call}('{ticket}')")).await
}

const EXPORT: &str = "SELECT * FROM sales";

#[tokio::test]
async fn one_person_asks_and_another_lets_it_run_once() {
    let world = World::shared();
    let gateway = settings(world).start().await;
    let (alice, bob) = (login(world, &gateway, "alice"), login(world, &gateway, "bob"));
    let held = alice.psql(EXPORT).await;
    for told in ["42501", "this takes a whole table away", "whole-tables", "Ticket T", "data_owner", "passgate.approve"]
    {
        assert!(!held.ok && held.errors.contains(told), "{told}: {held:?}");
    }
    let ticket = ticket_for(&bob).await;
    let shown = bob.psql("SELECT person, statement, reason FROM passgate.approvals WHERE may_decide").await;
    assert!(shown.output.contains("alice") && shown.output.contains(EXPORT), "{shown:?}");
    // Not by herself, and psycopg reads the list as well.
    let own = decide(&alice, "approve", &ticket).await;
    assert!(!own.ok && own.errors.contains("42501"), "{own:?}");
    let program = format!(
        r#"
with connection.cursor(binary=True) as cursor:
    cursor.execute("SELECT state, may_decide, expires_at FROM passgate.approvals WHERE ticket = %s", ["{ticket}"])
    print(cursor.fetchone()[:2])
"#
    );
    let listed = alice.psycopg(&program).await;
    assert_eq!(listed.output.trim(), "('open', False)", "{listed:?}");
    assert_eq!(decide(&bob, "approve", &ticket).await.rows(), ["granted"]);
    assert_eq!(alice.psql(EXPORT).await.rows().len(), 100);
    assert!(!alice.psql(EXPORT).await.ok, "it was for once");
    for (event, user) in [("ticket_opened", "alice"), ("ticket_granted", "bob"), ("ticket_used", "alice")] {
        let is_it = |record: &Value| record["event"] == event && record["user"] == user;
        let record = gateway.audited(event, is_it).await;
        assert_eq!(record["tickets"][0]["ticket"], ticket.as_str(), "{record}");
        assert_eq!(record["tickets"][0]["asker"], "alice", "{record}");
    }
}

#[tokio::test]
async fn gateways_that_share_a_store_decide_for_each_other() {
    let world = World::shared();
    let admin = world.postgres.admin().await;
    admin.batch_execute("CREATE DATABASE shared_store").await.expect("a database");
    let shared = |mut settings: Settings| {
        let (port, authority) = (world.postgres.port(), world.authority.file().display());
        let url = format!(
            "postgres://gateway_super:super-secret@127.0.0.1:{port}/shared_store?sslmode=verify-full&sslrootcert={authority}"
        );
        settings.file["store"] = json!({ "url": url });
        settings.file["limits"]["approvals"] = json!({ "poll_seconds": 1 });
        settings
    };
    let (here, there) = tokio::join!(shared(settings(world)).start(), shared(settings(world)).start());
    let waits = login(world, &here, "alice").with("options", "-c passgate.on_hold=wait");
    let bob = login(world, &there, "bob");
    let decided = async {
        let ticket = ticket_for(&bob).await;
        decide(&bob, "approve", &ticket).await
    };
    let (answer, decided) = tokio::join!(waits.psql(EXPORT), decided);
    assert_eq!(decided.rows(), ["granted"]);
    assert_eq!(answer.rows().len(), 100, "{}", answer.errors);
    assert!(answer.errors.contains("NOTICE") && answer.errors.contains("waiting for an approval"), "{}", answer.errors);
    let refused = async {
        let ticket = ticket_for(&bob).await;
        bob.psql(&format!("SELECT passgate.refuse('{ticket}', 'not twice a day')")).await
    };
    let (answer, _) = tokio::join!(waits.psql(EXPORT), refused);
    assert!(!answer.ok && answer.errors.contains("not twice a day"), "{answer:?}");
}

#[tokio::test]
async fn a_reload_that_is_refused_shows_in_the_status() {
    let world = World::shared();
    let mut gateway = settings(world).start().await;
    let alice = login(world, &gateway, "alice");
    let status = "SELECT files, policies, reload, problems FROM passgate.policy_status";
    assert_eq!(alice.psql(status).await.rows(), ["2|2|none|"]);
    gateway.settings.policies.insert("wrong.json".to_owned(), r#"{ "name": "x", "action": "blokc" }"#.to_owned());
    gateway.reload();
    for _ in 0..100 {
        if alice.psql(status).await.output.contains("refused") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(alice.psql(status).await.rows(), ["2|2|refused|policies/wrong.json:1:26"]);
}
