//! A shadow beside its source, both on one server: what catalogs say of one, they say of the other.

use std::path::Path;
use std::sync::Arc;

use passgate::catalog::Snapshot;
use passgate::catalog::shadow::{Visibility, VisibleRelation, script};
use passgate_connectors::postgres::shadow::Config;
use passgate_connectors::{BACKENDS, Shadows};
use passgate_policy::SourceName;
use passgate_tests::World;
use passgate_tests::postgres::SUPERUSER_PASSWORD;
use serde_json::json;

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
        home odd.address, spans odd.span[], during tstzrange, mask bit varying(5), old date,
        CONSTRAINT apart EXCLUDE USING gist (during WITH &&));
    ALTER TABLE odd."Tàble" DROP COLUMN gone; ALTER TABLE odd."Tàble" DROP COLUMN old;
    COMMENT ON TABLE odd."Tàble" IS 'a table'; COMMENT ON COLUMN odd."Tàble"."weird "" name" IS 'a column';
    CREATE TABLE odd.orders (id serial, person bigint CONSTRAINT buyer REFERENCES odd."Tàble" ON DELETE CASCADE,
        mood odd.mood, doubled int GENERATED ALWAYS AS (odd.half(id)) STORED, note text DEFAULT now()::text,
        CONSTRAINT sane CHECK (id > 0), CONSTRAINT later UNIQUE (id, person) DEFERRABLE INITIALLY DEFERRED)
        WITH (fillfactor = 70, autovacuum_enabled = false);
    COMMENT ON CONSTRAINT buyer ON odd.orders IS 'who bought';
    ALTER TABLE odd.orders ADD CONSTRAINT again FOREIGN KEY (id, person) REFERENCES odd.orders (id, person) NOT VALID;
    CREATE INDEX orders_mood ON odd.orders (odd.half(id) DESC NULLS LAST) INCLUDE (note) WHERE mood = 'sad';
    COMMENT ON INDEX odd.orders_mood IS 'by mood';
    CREATE UNLOGGED TABLE odd.scratch (LIKE odd.orders INCLUDING INDEXES);
    CREATE TABLE odd.people (id int, name text DEFAULT 'who', CONSTRAINT named CHECK (name <> ''));
    CREATE TABLE odd.staff (grade int, PRIMARY KEY (id)) INHERITS (odd.people);
    CREATE TABLE odd.visits (id bigint, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE odd.visits_old PARTITION OF odd.visits FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
    CREATE TABLE odd.visits_new PARTITION OF odd.visits FOR VALUES FROM ('2026-01-01') TO (MAXVALUE) PARTITION BY LIST (note);
    CREATE TABLE odd.visits_new_a PARTITION OF odd.visits_new FOR VALUES IN ('a', NULL);
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

async fn lines(client: &tokio_postgres::Client, query: &str) -> Vec<String> {
    let query = format!("SELECT r::text FROM ({query}) r ORDER BY 1 COLLATE \"C\"");
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
