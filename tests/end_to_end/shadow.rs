//! A shadow beside its source, both on one server: what catalogs say of one, they say of the other; what fails in it, and
//! what is read of a source when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use passgate::catalog::Snapshot;
use passgate::catalog::shadow::{Visibility, VisibleRelation, script};
use passgate_connectors::postgres::shadow::Config;
use passgate_connectors::{BACKENDS, Shadows};
use passgate_policy::SourceName;
use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::postgres::SUPERUSER_PASSWORD;
use passgate_tests::{Gateway, Settings, World};
use serde_json::json;
use tokio_postgres::Client;

/// One of everything that a shadow makes.
const SOURCE: &str = r#"
    CREATE SCHEMA odd; COMMENT ON SCHEMA odd IS 'it''s odd'; CREATE SCHEMA "Other Schema";
    CREATE TYPE odd.mood AS ENUM ('sad', 'glad', '''quoted'''); COMMENT ON TYPE odd.mood IS 'how they felt';
    CREATE DOMAIN odd.price AS numeric(9,2) DEFAULT 1.5 NOT NULL CONSTRAINT positive CHECK (VALUE > 0);
    CREATE DOMAIN odd.dear AS odd.price CHECK (VALUE > 100);
    CREATE TYPE odd.address AS (street text, city varchar(20), moods odd.mood[]);
    CREATE TYPE odd.span AS RANGE (SUBTYPE = float8);
    CREATE FUNCTION odd.half(n int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT n / b';
    COMMENT ON FUNCTION odd.half IS 'the half';
    CREATE PROCEDURE odd.restock(INOUT amount int DEFAULT 1) LANGUAGE plpgsql AS 'BEGIN END';
    CREATE TABLE odd."Tàble" (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 3) PRIMARY KEY, gone int,
        "weird "" name" text COLLATE "C" NOT NULL DEFAULT 'x''y', spent odd.price, mood odd.mood DEFAULT 'sad',
        home odd.address, spans odd.span[], during tstzrange, mask bit varying(5),
        CONSTRAINT apart EXCLUDE USING gist (during WITH &&));
    ALTER TABLE odd."Tàble" DROP COLUMN gone;
    COMMENT ON TABLE odd."Tàble" IS 'a table'; COMMENT ON COLUMN odd."Tàble"."weird "" name" IS 'a column';
    CREATE TABLE odd.orders (id serial, person bigint CONSTRAINT buyer REFERENCES odd."Tàble" ON DELETE CASCADE,
        mood odd.mood, doubled int GENERATED ALWAYS AS (odd.half(id)) STORED, note text DEFAULT now()::text,
        CONSTRAINT sane CHECK (id > 0), CONSTRAINT later UNIQUE (id, person) DEFERRABLE INITIALLY DEFERRED, CONSTRAINT now UNIQUE (id))
        WITH (fillfactor = 70, autovacuum_enabled = false);
    COMMENT ON CONSTRAINT buyer ON odd.orders IS 'who bought';
    ALTER TABLE odd.orders ADD CONSTRAINT again FOREIGN KEY (person) REFERENCES odd.orders (id) NOT VALID;
    CREATE INDEX orders_mood ON odd.orders (odd.half(id) DESC NULLS LAST) INCLUDE (note) WHERE mood = 'sad';
    COMMENT ON INDEX odd.orders_mood IS 'by mood';
    CREATE UNLOGGED TABLE odd.scratch (LIKE odd.orders INCLUDING INDEXES);
    CREATE TABLE odd.people (id int, name text DEFAULT 'who', CONSTRAINT named CHECK (name <> ''));
    CREATE TABLE odd.staff (grade int, PRIMARY KEY (id)) INHERITS (odd.people);
    CREATE TABLE odd.visits (id bigint, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE odd.visits_old PARTITION OF odd.visits FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
    CREATE TABLE odd.visits_new PARTITION OF odd.visits FOR VALUES FROM ('2026-01-01') TO (MAXVALUE) PARTITION BY LIST (id);
    CREATE TABLE odd.visits_new_a PARTITION OF odd.visits_new FOR VALUES IN (1, 2);
    CREATE TABLE odd.visits_rest (note text, day date NOT NULL, id bigint NOT NULL);
    ALTER TABLE odd.visits_new ATTACH PARTITION odd.visits_rest DEFAULT;
    CREATE INDEX visits_day ON odd.visits (day);
    ALTER TABLE odd.visits ADD FOREIGN KEY (id) REFERENCES odd."Tàble";
    CREATE FUNCTION odd.first(odd.people) RETURNS SETOF odd.staff LANGUAGE sql AS 'SELECT NULL::odd.staff';
    CREATE VIEW odd.sums WITH (security_barrier = true) AS
        SELECT mood, odd.half(count(*)::int) AS half, max(note) COLLATE "C" AS last FROM odd.orders GROUP BY mood;
    CREATE VIEW odd.over AS SELECT s.*, p.home FROM odd.sums s LEFT JOIN odd."Tàble" p USING (mood);
    CREATE MATERIALIZED VIEW odd.kept AS SELECT mood, half FROM odd.over; CREATE UNIQUE INDEX ON odd.kept (mood);
    CREATE SEQUENCE odd.shared AS smallint MINVALUE -5 MAXVALUE 5 CYCLE; CREATE TABLE odd.drawn (n int DEFAULT nextval('odd.shared'));
"#;

/// What is compared: each gives lines of text that name nothing by number.
const COMPARED: &[(&str, &str)] = &[
    ("schemas", "SELECT nspname, obj_description(oid) FROM pg_namespace WHERE nspname !~ '^pg_'"),
    ("relations", "SELECT c.oid::regclass, relkind, relpersistence, relispartition, reloptions, pg_get_partkeydef(c.oid),
        pg_get_expr(relpartbound, c.oid), obj_description(c.oid, 'pg_class'), relhasindex, relhassubclass, relchecks,
        relnatts FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname ~ '^(odd|Other)'"),
    ("columns", "SELECT attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
        attgenerated, attislocal, attinhcount, attstorage, attcollation::regcollation, pg_get_expr(adbin, adrelid),
        col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE nspname = 'odd' AND attnum > 0 AND NOT attisdropped"),
    ("constraints", "SELECT conrelid::regclass, contypid::regtype, conname, contype, pg_get_constraintdef(oid), convalidated,
        condeferred, conislocal, coninhcount, obj_description(oid, 'pg_constraint') FROM pg_constraint
        WHERE connamespace = 'odd'::regnamespace"),
    ("indexes", "SELECT pg_get_indexdef(indexrelid), indisprimary, indisunique, indisvalid, indisexclusion, indimmediate,
        obj_description(indexrelid, 'pg_class') FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE relnamespace = 'odd'::regnamespace"),
    ("inheritance", "SELECT inhrelid::regclass, inhparent::regclass, inhseqno FROM pg_inherits"),
    ("views", "SELECT c.oid::regclass, pg_get_viewdef(c.oid, true) FROM pg_class c
        WHERE relkind IN ('v', 'm') AND relnamespace = 'odd'::regnamespace"),
    ("types", "SELECT t.oid::regtype, typtype, typarray::regtype, typnotnull, typdefault, format_type(typbasetype, typtypmod),
        obj_description(t.oid, 'pg_type'), (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum
        WHERE enumtypid = t.oid), (SELECT rngsubtype::regtype FROM pg_range WHERE rngtypid = t.oid)
        FROM pg_type t WHERE typnamespace = 'odd'::regnamespace"),
    ("functions", "SELECT p.oid::regprocedure, prokind, provolatile, proisstrict, pg_get_function_arguments(p.oid),
        pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc') FROM pg_proc p
        WHERE pronamespace = 'odd'::regnamespace"),
    ("sequences", "SELECT seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
        refobjid::regclass, refobjsubid, deptype FROM pg_sequence LEFT JOIN pg_depend
        ON objid = seqrelid AND refobjsubid > 0"),
];

async fn lines(client: &Client, query: &str) -> Vec<String> {
    let query = format!("SELECT r::text FROM ({query}) r ORDER BY r::text COLLATE \"C\"");
    client.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_shadow_is_the_source_to_a_catalog() {
    let world = World::shared();
    let admin = world.postgres.admin().await;
    admin.batch_execute("CREATE DATABASE beside").await.unwrap();
    let source = world.postgres.connect("postgres", SUPERUSER_PASSWORD, "beside").await.unwrap();
    source.batch_execute(SOURCE).await.unwrap();
    source.batch_execute("ANALYZE").await.unwrap();

    let ca = world.authority.file();
    let settings = json!({
        "host": "127.0.0.1", "port": world.postgres.port(), "database": "beside", "auth_mode": "password",
        "user": "postgres", "password": SUPERUSER_PASSWORD, "ca_file": ca, "schema_name": "odd",
    });
    let name = SourceName::new("beside");
    let opened = (BACKENDS[0].open)(name.clone(), &settings, Path::new(".")).unwrap();
    let metadata = opened.connector.crawl(None).await.unwrap();
    let snapshot = Arc::new(Snapshot::new(name.clone(), "odd".to_owned(), metadata));
    let mut everything = Visibility::default();
    for entry in snapshot.relations() {
        let seen = VisibleRelation { statistics: true, ..VisibleRelation::default() };
        everything.show(&entry.relation.schema, &entry.relation.name, seen);
    }
    let config: Config = serde_json::from_value(json!({
        "host": "127.0.0.1", "port": world.postgres.port(), "user": "gateway_shadows", "password": "shadows-secret",
        "ca_file": ca, "database_prefix": "beside_",
    }))
    .unwrap();
    let shadows = Shadows::open(config, None, Path::new(".")).unwrap().unwrap();
    let names = shadows.names(&name, &script(&snapshot, &everything)).await.unwrap();
    let shadow = world.postgres.connect("postgres", SUPERUSER_PASSWORD, &names.database).await.unwrap();
    let mut different = Vec::new();
    for (what, query) in COMPARED {
        let (there, here) = (lines(&source, query).await, lines(&shadow, query).await);
        different.extend(there.iter().filter(|line| !here.contains(line)).map(|line| format!("{what}: lacks {line}")));
        different.extend(here.iter().filter(|line| !there.contains(line)).map(|line| format!("{what}: has   {line}")));
    }
    assert!(different.is_empty(), "\n{}\n", different.join("\n"));
}

/// Settings with shadows on the world's server, in databases whose names begin so.
fn settings(world: &World, mode: Mode, prefix: &str) -> Settings {
    let mut settings = Settings::new(world, mode);
    settings.file["catalog"]["shadow"] = json!({
        "host": "127.0.0.1", "port": world.postgres.port(), "user": "gateway_shadows", "password": "shadows-secret",
        "ca_file": world.authority.file(), "database_prefix": prefix,
    });
    settings.file["policies"]["security_roles"] = json!(["manager"]);
    settings
}

async fn signed_in(world: &World, gateway: &Gateway, person: &str) -> Client {
    connect(world, gateway.port(), person, &world.openid.token(person).await).await.expect("a session")
}

async fn texts(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.expect(query).iter().map(|row| row.get(0)).collect()
}

const SALES: &str = "SELECT relname::text FROM pg_class WHERE oid = 'sales'::regclass";

#[tokio::test]
async fn a_shadow_that_is_lost_fails_what_was_in_flight_and_nothing_else() {
    let world = World::shared();
    let gateway = settings(world, Mode::SessionAuthorization, "lost_").start().await;
    let (alice, bob) = (signed_in(world, &gateway, "alice").await, signed_in(world, &gateway, "bob").await);
    assert_eq!(texts(&alice, SALES).await, ["sales"]);
    let admin = world.postgres.admin().await;
    // As a server that restarts does to its sessions.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(datname, 'lost_')";
    let long = "SELECT count(*) FROM pg_proc a, pg_proc b, pg_proc c";
    let (answer, ()) = tokio::join!(alice.simple_query(long), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        admin.batch_execute(end).await.unwrap();
    });
    let (code, message) = told(&answer.expect_err("an error"));
    assert!(["57P01", "08006"].contains(&code.as_str()), "{code} {message}");
    assert_eq!(texts(&alice, SALES).await, ["sales"]);
    assert_eq!(texts(&bob, SALES).await, ["sales"]);
    // And whoever comes after it was dropped has another made.
    let names = "SELECT datname::text FROM pg_database WHERE starts_with(datname, 'lost_')";
    for name in texts(&admin, names).await {
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
    assert_eq!(texts(&alice, SALES).await, ["sales"]);
    assert_eq!(texts(&bob, SALES).await, ["sales"]);
}

#[tokio::test]
async fn the_sync_login_reads_the_source_and_nothing_else() {
    let world = World::shared();
    let gateway = settings(world, Mode::Token, "sync_").start().await;
    let (alice, bob) = (signed_in(world, &gateway, "alice").await, signed_in(world, &gateway, "bob").await);
    let admin = world.postgres.connect("postgres", SUPERUSER_PASSWORD, "warehouse").await.unwrap();
    let known = "SELECT name FROM passgate.tables WHERE name LIKE 'sync_%'";
    assert_eq!(texts(&alice, known).await, Vec::<String>::new());
    admin.batch_execute("CREATE TABLE sync_new (a int); GRANT SELECT ON sync_new TO people").await.unwrap();
    let refused = alice.simple_query("SELECT passgate.sync('warehouse')").await.expect_err("a refusal");
    assert_eq!(told(&refused), ("42501".to_owned(), "permission denied to read a source again".to_owned()));
    // One that was just read is not read again.
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    bob.simple_query("SELECT passgate.sync('warehouse')").await.expect("it is read");
    assert_eq!(texts(&alice, known).await, ["sync_new"]);
    assert_eq!(texts(&alice, "SELECT relname::text FROM pg_class WHERE relname = 'sync_new'").await, ["sync_new"]);
    let missing = "SELECT name FROM passgate.columns WHERE table = 'sync_new' AND NOT is_described";
    assert_eq!(texts(&alice, &missing.replace("table =", "\"table\" =")).await, ["a"]);
    admin.batch_execute("DROP TABLE sync_new").await.unwrap();
    let ran = "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'gateway_reader' AND query ~ 'sales'";
    assert_eq!(texts(&alice, "SELECT region FROM sales LIMIT 1").await, ["WEST"]);
    assert_eq!(texts(&admin, ran).await, ["0"]);
}

#[tokio::test]
async fn reading_sources_from_the_command_line_says_what_is_there() {
    let world = World::shared();
    let settings = settings(world, Mode::Token, "line_");
    settings.write();
    let run = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(passgate_tests::gateway::program());
        let command = command.arg("sync").arg("--config").arg(settings.path("passgate.yaml")).args(more);
        command.output().await.expect("it runs")
    };
    let output = run(&[]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.starts_with("warehouse: ") && said.contains(" tables, "), "{output:?}");
    let output = run(&["--source", "nowhere"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there is no source \"nowhere\""), "{output:?}");
}
