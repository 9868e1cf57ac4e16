-- The warehouse of the tests: people, who sees what by PostgreSQL's own row-level security, and service logins.

-- People. They have no password: they sign in with a token of the OpenID provider.
CREATE ROLE people NOLOGIN;
CREATE ROLE alice LOGIN IN ROLE people;
CREATE ROLE bob LOGIN IN ROLE people;

-- Service logins, one for each way to become a person.
CREATE ROLE gateway_super LOGIN SUPERUSER PASSWORD 'super-secret';
CREATE ROLE gateway_switch LOGIN NOINHERIT PASSWORD 'switch-secret' IN ROLE people, alice, bob;
CREATE ROLE gateway_reader LOGIN PASSWORD 'reader-secret' IN ROLE people;
CREATE ROLE gateway_shadows LOGIN CREATEDB PASSWORD 'shadows-secret';

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE TABLE territories (person name NOT NULL, region text NOT NULL, PRIMARY KEY (person, region));
INSERT INTO territories VALUES
    ('alice', 'WEST'),
    ('bob', 'WEST'), ('bob', 'EAST'), ('bob', 'NORTH'),
    ('gateway_reader', 'NORTH');

CREATE TABLE sales (id int PRIMARY KEY, region text NOT NULL, seller text, amount numeric(10, 2), sold_on date);
INSERT INTO sales
    SELECT n, (ARRAY['WEST', 'EAST', 'NORTH', 'SOUTH'])[1 + n % 4], 'seller ' || n % 7, n * 1.25, DATE '2026-01-01' + n
    FROM generate_series(1, 400) AS n;
COMMENT ON TABLE sales IS 'What was sold where';
ALTER TABLE sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_territory ON sales USING (
    EXISTS (SELECT FROM territories AS t WHERE t.person = current_user AND t.region = sales.region));

CREATE TABLE dim_patient (id int PRIMARY KEY, name text, ssn text);
INSERT INTO dim_patient VALUES (1, 'Ada', '000-00-0001');

CREATE TABLE "Odd ""Name""" ("Column A" int, "select" text);
INSERT INTO "Odd ""Name""" VALUES (1, 'quoted');

-- Rows without storage: a million of them, and some that take their time.
CREATE VIEW million AS
    SELECT n AS id, 'row number ' || n AS label, n::bigint * 7919 % 10007 AS amount FROM generate_series(1, 1000000) AS n;
CREATE FUNCTION nap() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'awake' || pg_catalog.pg_sleep(0.2) $$;
CREATE VIEW naps AS SELECT n AS id, nap() AS state FROM generate_series(1, 300) AS n;

CREATE SCHEMA private;
CREATE TABLE private.salaries (person name, amount int);
INSERT INTO private.salaries VALUES ('alice', 1), ('bob', 2);

GRANT USAGE ON SCHEMA public, private TO people;
GRANT SELECT ON ALL TABLES IN SCHEMA public, private TO people;
