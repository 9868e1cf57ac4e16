-- What compose.yaml's PostgreSQL holds: a service login, one that makes the databases of catalog.shadow, two people, and a
-- table whose rows are theirs to see.
CREATE ROLE passgate LOGIN NOINHERIT PASSWORD 'development-only';
CREATE ROLE passgate_shadow LOGIN CREATEDB PASSWORD 'development-only';
CREATE ROLE alice NOLOGIN;
CREATE ROLE bob NOLOGIN;
GRANT alice, bob TO passgate;

CREATE TABLE sales (id int PRIMARY KEY, owner name NOT NULL, amount numeric NOT NULL);
INSERT INTO sales SELECT id, CASE WHEN id % 3 = 0 THEN 'bob' ELSE 'alice' END, id * 10 FROM generate_series(1, 30) AS id;
ALTER TABLE sales ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON sales FOR SELECT USING (owner = current_user);
GRANT SELECT ON sales TO alice, bob;
