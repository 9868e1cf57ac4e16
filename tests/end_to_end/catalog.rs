//! What a person learns of the catalog: everything of what they may see, and nothing of what they may not.
//!
//! Real PostgreSQL twice, once as the source and once as the server of the shadows, and two people who see different
//! tables.

use futures_util::TryStreamExt;
use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};
use serde_json::json;
use tokio_postgres::{Client, SimpleQueryMessage};

const TABLES: &str = "
    CREATE SCHEMA atlas;
    CREATE TABLE atlas.ports (id int PRIMARY KEY, name text NOT NULL UNIQUE, berths int, secret_depth int);
    COMMENT ON TABLE atlas.ports IS 'Where ships lie';
    COMMENT ON COLUMN atlas.ports.secret_depth IS 'How deep it really is';
    CREATE TABLE atlas.smugglers (id int PRIMARY KEY, port int CONSTRAINT smugglers_port REFERENCES atlas.ports);
    COMMENT ON TABLE atlas.smugglers IS 'Known smugglers';
    CREATE INDEX smugglers_by_port ON atlas.smugglers (port);
    CREATE VIEW atlas.smuggled AS SELECT port, count(*) FROM atlas.smugglers GROUP BY port;
    CREATE VIEW atlas.harbours AS SELECT id, name FROM atlas.ports;
    CREATE TYPE atlas.contraband AS ENUM ('rum', 'tea');
    ALTER TABLE atlas.smugglers ADD cargo atlas.contraband;
    COMMENT ON VIEW atlas.harbours IS 'Unlike atlas.smugglers, of all';
    CREATE TYPE atlas.flag AS ENUM ('red', 'white');
    CREATE TABLE atlas.ships (id int PRIMARY KEY, port int REFERENCES atlas.ports, flag atlas.flag);
    INSERT INTO atlas.ports VALUES (1, 'Havn', 3, 12);
    INSERT INTO atlas.ships VALUES (1, 1, 'red');
    GRANT USAGE ON SCHEMA atlas TO people;
    GRANT SELECT ON ALL TABLES IN SCHEMA atlas TO people";

/// Statements that would tell somebody who must not know of `atlas.smugglers` or of `secret_depth`. `{oid}` is the table's
/// number at the source and `{name}` stands once for a name that is hidden and once for one that never was.
const WAYS: [&str; 41] = [
    "SELECT 'atlas.{name}'::regclass",
    "SELECT to_regclass('atlas.{name}')",
    "SELECT 'atlas.{name}'::regclass::oid",
    "SELECT 'atlas.{name}'::regtype",
    "SELECT has_table_privilege('atlas.{name}', 'SELECT')",
    "SELECT has_any_column_privilege('atlas.{name}', 'SELECT')",
    "SELECT has_table_privilege({oid}, 'SELECT')",
    "SELECT {oid}::regclass",
    "SELECT pg_get_viewdef({oid})",
    "SELECT pg_get_indexdef({oid})",
    "SELECT obj_description({oid}, 'pg_class')",
    "SELECT col_description({oid}, 1)",
    "SELECT pg_relation_size({oid}), pg_table_is_visible({oid})",
    "SELECT pg_describe_object('pg_class'::regclass, {oid}, 0)",
    "SELECT * FROM pg_identify_object('pg_class'::regclass, {oid}, 0)",
    "SELECT pg_get_serial_sequence('atlas.{name}', 'id')",
    "SELECT count(*) FROM pg_class WHERE relname ~ '{name}'",
    "SELECT count(*) FROM pg_attribute WHERE attname = 'secret_depth' OR attrelid = {oid}",
    "SELECT count(*) FROM pg_constraint WHERE conname ~ '{name}' OR conrelid = {oid}",
    "SELECT count(*) FROM pg_type WHERE typname ~ '{name}' OR typname ~ 'contraband'",
    "SELECT count(*) FROM pg_depend WHERE objid = {oid} OR refobjid = {oid}",
    "SELECT count(*) FROM pg_description WHERE description ~ 'smuggler' OR description ~ 'deep'",
    "SELECT count(*) FROM pg_stat_all_tables WHERE relname ~ '{name}'",
    "SELECT count(*) FROM pg_views WHERE definition ~ 'smuggle' OR viewname ~ 'smuggle'",
    "SELECT count(*) FROM information_schema.tables WHERE table_name ~ '{name}'",
    "SELECT count(*) FROM information_schema.columns WHERE column_name = 'secret_depth' OR table_name ~ '{name}'",
    "SELECT count(*) FROM information_schema.table_constraints WHERE constraint_name ~ '{name}'",
    "SELECT count(*) FROM pg_stats WHERE tablename ~ '{name}' OR attname = 'secret_depth'",
    "SELECT * FROM atlas.{name}",
    "SELECT nothing FROM atlas.{name}",
    "SELECT port FROM atlas.{name} ORDER BY nothing",
    "SELECT * FROM atlas.ports NATURAL JOIN atlas.{name}",
    "SELECT * FROM atlas.ports, atlas.{name}",
    "SELECT port(t) FROM atlas.{name} t",
    "SELECT id FROM atlas.{name} UNION SELECT nothing FROM atlas.ports",
    "SELECT NULL::atlas.{name}",
    "INSERT INTO atlas.{name} (nothing) VALUES (1)",
    "EXPLAIN SELECT port FROM atlas.{name}",
    "COPY (SELECT port FROM atlas.{name}) TO STDOUT",
    "SELECT * FROM passgate.explain('SELECT port FROM atlas.{name}')",
    "SELECT count(*) FROM pg_indexes WHERE tablename ~ '{name}' OR indexname ~ '{name}'",
];

async fn gateway(world: &World) -> Gateway {
    world.postgres.admin().await.batch_execute(TABLES).await.unwrap();
    let alice = json!({ "users": ["alice"] });
    let hidden = json!({
        "name": "coast-guard", "action": "allow", "applies_to": alice,
        "tables": ["atlas.smugglers"], "columns": ["atlas.ports.secret_depth"],
    });
    let listed = json!({ "name": "atlas", "check": "schema_whitelist", "schemas": ["atlas"] });
    let mut settings = Settings::new(world, Mode::SessionAuthorization).policy("atlas.json", &json!([listed, hidden]));
    settings.file["catalog"] = json!({ "shadow": {
        "host": "127.0.0.1", "port": world.postgres.port(), "user": "gateway_shadows", "password": "shadows-secret",
        "ca_file": world.authority.file(), "database_prefix": "atlas_shadow_",
    } });
    settings.start().await
}

async fn person(world: &World, gateway: &Gateway, name: &str) -> Client {
    connect(world, gateway.port(), name, &world.openid.token(name).await).await.unwrap()
}

/// The rows as text, or SQLSTATE, message and detail.
async fn answer(client: &Client, statement: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let answered = match client.simple_query(statement).await {
        Ok(answered) => answered,
        Err(error) => return Err(format!("{:?}", told(&error))),
    };
    let rows = answered.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.map(|row| (0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect()).collect())
}

async fn texts(client: &Client, statement: &str) -> Vec<String> {
    let rows = answer(client, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.into_iter()
        .map(|row| row.into_iter().map(|value| value.unwrap_or_default()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// One world for all of it: the tables are made once.
#[tokio::test]
async fn people_see_what_is_theirs_to_see() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let (alice, bob) = (person(world, &gateway, "alice").await, person(world, &gateway, "bob").await);
    everything_visible_is_there(&alice, &bob).await;
    nothing_hidden_is_told(&alice, &bob).await;
    the_session_is_the_sessions(&bob).await;
    numbers_of_answers_are_found(&bob).await;
    a_transaction_asks_both_places(&bob).await;
    the_catalog_takes_every_path(&bob).await;
}

async fn everything_visible_is_there(alice: &Client, bob: &Client) {
    let relations =
        "SELECT relname FROM pg_class WHERE relnamespace = 'atlas'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1";
    assert_eq!(texts(alice, relations).await, ["harbours", "ports", "ships", "smuggled", "smugglers"]);
    assert_eq!(texts(bob, relations).await, ["harbours", "ports", "ships"]);
    let columns = "SELECT attname || ' ' || format_type(atttypid, atttypmod) || ' ' || coalesce(col_description(attrelid, attnum), '') \
        FROM pg_attribute WHERE attrelid = 'atlas.ports'::regclass AND attnum > 0 ORDER BY attnum";
    assert_eq!(
        texts(alice, columns).await,
        ["id integer ", "name text ", "berths integer ", "secret_depth integer How deep it really is"]
    );
    assert_eq!(texts(bob, columns).await, ["id integer ", "name text ", "berths integer "]);
    let keys = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'atlas.ships'::regclass AND contype = 'f'";
    assert_eq!(texts(bob, keys).await, ["ships_port_fkey FOREIGN KEY (port) REFERENCES atlas.ports(id)"]);
    assert_eq!(texts(bob, "SELECT obj_description('atlas.ports'::regclass)").await, ["Where ships lie"]);
    let relationships = "SELECT constraint_name FROM information_schema.referential_constraints \
        WHERE constraint_catalog = current_database() AND constraint_schema = 'atlas' ORDER BY 1";
    assert_eq!(texts(alice, relationships).await, ["ships_port_fkey", "smugglers_port"]);
    assert_eq!(texts(bob, relationships).await, ["ships_port_fkey"]);
}

async fn nothing_hidden_is_told(alice: &Client, bob: &Client) {
    let world = World::shared();
    let row = world.postgres.admin().await.query_one("SELECT 'atlas.smugglers'::regclass::oid", &[]).await.unwrap();
    let at_source: u32 = row.get(0);
    for way in WAYS {
        let ask = |name: &str, oid: u32| way.replace("{name}", name).replace("{oid}", &oid.to_string());
        let hidden = answer(bob, &ask("smugglers", at_source)).await;
        let absent = answer(bob, &ask("mermaids9", u32::MAX - 7)).await;
        let alike = |answer: &Result<Vec<Vec<Option<String>>>, String>, name: &str, oid: u32| {
            format!("{answer:?}").replace(name, "?").replace(&oid.to_string(), "?")
        };
        assert_eq!(alike(&hidden, "smugglers", at_source), alike(&absent, "mermaids9", u32::MAX - 7), "{way}");
    }
    assert_eq!(texts(alice, "SELECT 'atlas.smugglers'::regclass").await, ["atlas.smugglers"]);
}

async fn the_session_is_the_sessions(bob: &Client) {
    let asked =
        "SELECT current_user, session_user, current_database(), current_setting('is_superuser') FROM pg_class LIMIT 1";
    assert_eq!(texts(bob, asked).await, ["bob bob warehouse off"]);
    assert_eq!(texts(bob, "SELECT datname FROM pg_database").await, ["warehouse"]);
    assert_eq!(texts(bob, "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user").await, ["bob f"]);
    let owners = "SELECT DISTINCT r.rolname, pg_get_userbyid(c.relowner) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner \
        WHERE c.relname = 'ports'";
    assert_eq!(texts(bob, owners).await, ["bob bob"]);
    assert_eq!(texts(bob, "SELECT pg_advisory_unlock_all()").await, [""]);
    let may = "SELECT has_table_privilege('atlas.ports', 'SELECT'), has_table_privilege('atlas.ports', 'INSERT, REFERENCES'), \
        has_schema_privilege('atlas', 'USAGE'), has_schema_privilege('atlas', 'CREATE'), has_schema_privilege('public', 'CREATE')";
    assert_eq!(texts(bob, may).await, ["t f t f f"]);
    assert_eq!(texts(bob, "SELECT setting FROM pg_settings WHERE name = 'search_path'").await, ["\"$user\", public"]);
    assert_eq!(texts(bob, "SELECT count(*) FROM pg_subscription").await, ["0"]);
    assert_eq!(texts(bob, "SELECT has_database_privilege(current_database(), 'CONNECT')").await, ["t"]);
    assert_eq!(texts(bob, "SELECT DISTINCT table_catalog FROM information_schema.tables").await, ["warehouse"]);
    let rights = "SELECT relacl FROM pg_class WHERE oid = 'atlas.ports'::regclass";
    assert_eq!(texts(bob, rights).await, ["{bob=r/bob}"], "people are told of their own rights");
    let rights = "SELECT r.rolname, has_table_privilege(r.rolname, 'atlas.ports', 'SELECT'), pg_has_role(current_user, 'USAGE') \
         FROM pg_roles r WHERE r.rolname = current_user";
    assert_eq!(texts(bob, rights).await, ["bob t t"]);
    assert_eq!(texts(bob, "SELECT has_database_privilege(current_database(), 'CREATE')").await, ["f"]);
    for (statement, code) in [
        ("SELECT rolpassword FROM pg_authid", "42501"),
        ("SELECT usename, datname FROM pg_stat_activity", "42501"),
        ("SELECT relname, n_live_tup FROM pg_stat_user_tables", "42501"),
        ("SELECT setting FROM pg_settings", "42501"),
        ("SELECT pg_read_file('postgresql.conf'), 1::regclass", "42501"),
        ("SELECT set_config('search_path', 'atlas', false) FROM pg_class", "42501"),
        ("SELECT count(*) FROM atlas.ports, pg_class", "0A000"),
    ] {
        let refused = answer(bob, statement).await.unwrap_err();
        assert!(refused.contains(code), "{statement}: {refused}");
    }
}

/// What an answer of the source calls tables and types by is what the catalog knows them by.
async fn numbers_of_answers_are_found(bob: &Client) {
    let statement = bob.prepare("SELECT id, flag FROM atlas.ships").await.unwrap();
    let [id, flag] = statement.columns() else { panic!("two columns") };
    assert_eq!((flag.type_().schema(), flag.type_().name()), ("atlas", "flag"));
    let table = id.table_oid().expect("a table");
    assert_eq!(texts(bob, &format!("SELECT {table}::regclass")).await, ["atlas.ships"]);
    let column =
        format!("SELECT attname FROM pg_attribute WHERE attrelid = {table} AND attnum = {}", id.column_id().unwrap());
    assert_eq!(texts(bob, &column).await, ["id"]);
}

async fn a_transaction_asks_both_places(bob: &Client) {
    bob.batch_execute("BEGIN").await.unwrap();
    assert_eq!(texts(bob, "SELECT name FROM atlas.ports").await, ["Havn"]);
    assert_eq!(texts(bob, "SELECT 'atlas.ports'::regclass").await, ["atlas.ports"]);
    assert!(answer(bob, "SELECT 'atlas.smugglers'::regclass").await.unwrap_err().contains("42P01"));
    assert!(answer(bob, "SELECT 1").await.unwrap_err().contains("25P02"));
    bob.batch_execute("ROLLBACK").await.unwrap();
}

/// Cursors, COPY, prepared statements and binary values are as they are over tables.
async fn the_catalog_takes_every_path(bob: &Client) {
    let declare = "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT relname FROM pg_class \
        WHERE relnamespace = 'atlas'::regnamespace AND relkind = 'r' ORDER BY 1";
    bob.batch_execute("BEGIN").await.unwrap();
    bob.batch_execute(declare).await.unwrap();
    assert_eq!(texts(bob, "FETCH 1 FROM c").await, ["ports"]);
    bob.batch_execute("SAVEPOINT s; DECLARE gone CURSOR FOR SELECT 1 FROM pg_class; ROLLBACK TO s").await.unwrap();
    bob.batch_execute("DECLARE rows CURSOR FOR SELECT name FROM atlas.ports; COMMIT").await.unwrap();
    assert_eq!(texts(bob, "FETCH ALL FROM c").await, ["ships"]);
    assert_eq!(texts(bob, "FETCH BACKWARD ALL FROM c").await, ["ships", "ports"]);
    assert_eq!(texts(bob, "MOVE LAST IN c; FETCH RELATIVE 0 FROM c").await, ["ships"]);
    assert!(answer(bob, "FETCH 1 FROM gone").await.unwrap_err().contains("34000"));
    assert!(answer(bob, "FETCH 1 FROM rows").await.unwrap_err().contains("34000"));
    let fetched = bob.query("FETCH ABSOLUTE 1 FROM c", &[]).await;
    assert!(fetched.unwrap_err().as_db_error().is_some_and(|error| error.code().code() == "0A000"), "binary of text");
    bob.batch_execute("CLOSE c").await.unwrap();
    assert!(answer(bob, "FETCH 1 FROM c").await.unwrap_err().contains("34000"));
    assert!(answer(bob, "DECLARE c CURSOR FOR SELECT 1 FROM pg_class").await.unwrap_err().contains("25P01"));

    let copied = "COPY (SELECT relname, relkind FROM pg_class WHERE oid = 'atlas.ports'::regclass) TO STDOUT";
    let copied: Vec<_> = bob.copy_out(copied).await.unwrap().try_collect().await.unwrap();
    assert_eq!(copied.concat(), b"ports\tr\n");
    let by_name =
        "SELECT relname, oid, relkind, 'atlas.ports'::regclass::oid = oid FROM pg_class WHERE oid = $1::text::regclass";
    let row = bob.query_one(by_name, &[&"atlas.ports"]).await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i8>(2), row.get::<_, bool>(3)),
        ("ports", b'r'.cast_signed(), true)
    );
    let oid: u32 = row.get(1);
    let columns: Vec<String> = bob
        .query("SELECT attname::text FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 ORDER BY attnum", &[&oid])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(columns, ["id", "name", "berths"]);
    let hidden = bob.query(by_name, &[&"atlas.smugglers"]).await.unwrap_err();
    assert_eq!(hidden.as_db_error().unwrap().message(), "relation \"atlas.smugglers\" does not exist");
    bob.batch_execute("PREPARE p (oid) AS SELECT relname FROM pg_class WHERE oid = $1").await.unwrap();
    assert_eq!(texts(bob, &format!("EXECUTE p ({oid})")).await, ["ports"]);
    let prepared = "SELECT name, parameter_types FROM pg_prepared_statements WHERE name = 'p'";
    assert_eq!(texts(bob, prepared).await, ["p {oid}"]);
    assert_eq!(
        texts(bob, "SET search_path = atlas; SELECT 'ports'::regclass, to_regclass('smugglers')").await,
        ["ports "]
    );
    assert_eq!(
        texts(bob, "SET search_path = public; SELECT 'atlas.ports'::regclass, to_regclass('ports')").await,
        ["atlas.ports "]
    );
    bob.batch_execute("RESET search_path; DEALLOCATE p").await.unwrap();
}
