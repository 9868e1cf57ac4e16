//! Two people, the same statements, different rows: by PostgreSQL's own row-level security, in every mode.

use passgate_tests::clients::Login;
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};

/// Whatever the road, these must show what the person sees without a gateway.
const STATEMENTS: [&str; 4] = [
    "SELECT region, count(*), sum(amount) FROM sales GROUP BY region ORDER BY region",
    "SELECT * FROM sales ORDER BY id",
    "SELECT s.id, t.region FROM sales AS s JOIN territories AS t ON t.region = s.region AND t.person = 'bob' ORDER BY 1",
    "SELECT \"Column A\", \"select\" FROM \"Odd \"\"Name\"\"\"",
];

#[tokio::test]
async fn the_warehouse_itself_takes_tokens_and_shows_each_person_their_rows() {
    let world = World::shared();
    let count = "SELECT count(*), min(region) FROM sales";
    assert_eq!(directly(world, "alice").await.psql(count).await.rows(), ["100|WEST"]);
    assert_eq!(directly(world, "bob").await.psql(count).await.rows(), ["300|EAST"]);
    let stolen = world.openid.token("alice").await;
    let said = Login::new(world, world.postgres.port(), "bob", &stolen).psql(count).await;
    assert!(!said.ok && said.errors.contains("LDAP authentication failed"), "{said:?}");
}

#[tokio::test]
async fn psql_shows_each_person_what_the_warehouse_shows_them_by_session_authorization() {
    psql_shows_what_the_warehouse_shows(Mode::SessionAuthorization).await;
}

#[tokio::test]
async fn psql_shows_each_person_what_the_warehouse_shows_them_by_set_role() {
    psql_shows_what_the_warehouse_shows(Mode::SetRole).await;
}

#[tokio::test]
async fn psql_shows_each_person_what_the_warehouse_shows_them_by_their_own_token() {
    psql_shows_what_the_warehouse_shows(Mode::Token).await;
}

async fn psql_shows_what_the_warehouse_shows(mode: Mode) {
    let world = World::shared();
    let gateway = Settings::new(world, mode).start().await;
    for person in ["alice", "bob"] {
        for statement in STATEMENTS {
            let expected = directly(world, person).await.psql(statement).await;
            let seen = through(world, &gateway, person).await.psql(statement).await;
            assert_eq!(seen.rows(), expected.rows(), "{person}: {statement}");
        }
        witnessed(&gateway, mode, person).await;
    }
}

#[tokio::test]
async fn with_the_service_login_everybody_looks_the_same_to_the_warehouse() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::Password).start().await;
    for person in ["alice", "bob"] {
        let said = through(world, &gateway, person).await.psql("SELECT count(*), min(region) FROM sales").await;
        assert_eq!(said.rows(), ["100|NORTH"], "{person}");
        witnessed(&gateway, Mode::Password, person).await;
    }
}

#[tokio::test]
async fn psycopg_shows_each_person_what_the_warehouse_shows_them() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    // Text and binary results, parameters of several types, one statement prepared and run again, a transaction.
    let program = r#"
import datetime, decimal
for binary in (False, True):
    with connection.cursor(binary=binary) as cursor:
        for region in ("WEST", "EAST"):
            cursor.execute("SELECT id, region, amount, sold_on FROM sales WHERE region = %s AND amount > %s ORDER BY id",
                           [region, decimal.Decimal("10.5")], prepare=True)
            for row in cursor.fetchall():
                assert isinstance(row[2], decimal.Decimal) and isinstance(row[3], datetime.date)
                print(row)
connection.autocommit = False
with connection.transaction():
    print(connection.execute("SELECT count(*) FROM sales").fetchone())
"#;
    for person in ["alice", "bob"] {
        let expected = directly(world, person).await.psycopg(program).await;
        let seen = through(world, &gateway, person).await.psycopg(program).await;
        assert!(expected.rows().len() > 100);
        assert_eq!(seen.rows(), expected.rows(), "{person}");
    }
}

#[tokio::test]
async fn people_with_passwords_sign_in_by_scram_and_bind_it_to_the_channel() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).with_people(&["alice", "bob"]).start().await;
    for (person, expected) in [("alice", "100|WEST"), ("bob", "300|EAST")] {
        let login = Login::new(world, gateway.port(), person, &format!("{person}-password"));
        for binding in ["require", "disable"] {
            let login = login.clone().with("channel_binding", binding);
            let said = login.psql("SELECT count(*), min(region) FROM sales").await;
            assert_eq!(said.rows(), [expected], "{person}, channel_binding={binding}");
        }
    }
}

#[tokio::test]
async fn somebody_without_a_role_at_the_warehouse_is_told_so() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let said = through(world, &gateway, "mallory").await.psql("SELECT count(*) FROM sales").await;
    assert!(!said.ok && said.errors.contains("28000"), "{said:?}");
    let record = |record: &serde_json::Value| record["user"] == "mallory" && record["sqlstate"] == "28000";
    gateway.audited("mallory's statement", record).await;
}

/// The login of a person straight to the warehouse, with their token.
pub(super) async fn directly(world: &World, person: &str) -> Login {
    Login::new(world, world.postgres.port(), person, &world.openid.token(person).await)
}

/// The login of a person to a gateway, with their token.
pub(super) async fn through(world: &World, gateway: &Gateway, person: &str) -> Login {
    Login::new(world, gateway.port(), person, &world.openid.token(person).await)
}

/// The audit log says whom the warehouse named when it was asked.
async fn witnessed(gateway: &Gateway, mode: Mode, person: &str) {
    let (session_user, current_user) = match mode {
        Mode::SessionAuthorization | Mode::Token => (person, person),
        Mode::SetRole => ("gateway_switch", person),
        Mode::Password => ("gateway_reader", "gateway_reader"),
    };
    let record = gateway
        .audited("a statement", |record| {
            record["event"] == "statement" && record["user"] == person && record["status"] == "ok"
        })
        .await;
    let expected = serde_json::json!({ "session_user": session_user, "current_user": current_user });
    assert_eq!(record["witnessed"], expected, "{record}");
    assert_eq!(record["tenant"], "acme", "{record}");
    assert!(record["rows_returned"].is_u64() && record["policy_revision"].is_string(), "{record}");
}
