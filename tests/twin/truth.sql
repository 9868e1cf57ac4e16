-- The truth: a fleet of lorries, with a canary ("CNRY" in a text, 77 in a number) in everything that the policy keeps
-- from alice. She is of the depots HAM and OSL, at home in HAM, and cleared up to 2.

CREATE SCHEMA fleet;
CREATE SCHEMA vault;
CREATE TYPE fleet.class AS ENUM ('basic', 'plus', 'closed');
CREATE FUNCTION fleet.band(x int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'band ' || x / 10$$;

-- Open to everybody.
CREATE TABLE fleet.depot (code text PRIMARY KEY, city text, opened date, bays int, "Manager" text, active boolean);
INSERT INTO fleet.depot VALUES
    ('HAM', 'Hamburg', '1999-05-01', 12, 'Ida', true), ('OSL', 'Oslo', '2004-09-30', 7, NULL, true),
    ('RIG', 'Riga', '2011-01-15', 5, 'Juris', false), ('GDN', 'Gdansk', '2011-01-15', NULL, 'Ewa', true),
    ('TLL', 'Tallinn', NULL, 7, 'ida', NULL);

-- Rows of her depots; most columns masked, one hidden.
CREATE TABLE fleet.driver (
    id int PRIMARY KEY, boss int, depot text, name text, licence text, phone text, born date, salary numeric(10, 2),
    points int, insured boolean, rank fleet.class, tags text[], profile jsonb, hired timestamptz, rating numeric(10, 2),
    badge text, email text, secret text, notes jsonb);
INSERT INTO fleet.driver
    SELECT n, CASE WHEN n > 3 THEN n / 3 END, d.depot,
        CASE WHEN d.hers THEN 'driver ' || n ELSE 'CNRY-name-' || n END,
        'CNRY-licence-' || n % 9,
        'CNRY 040 ' || 1000 + n,
        DATE '1970-03-07' + n * 211,
        CASE WHEN d.hers THEN n * 733.77 + 20000 ELSE 77000.77 + n END,
        CASE WHEN n % 5 > 0 THEN 770 + n % 4 END,
        n % 3 = 0,
        (ARRAY['basic', 'plus', 'closed'])[1 + n % 3]::fleet.class,
        CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['night'] WHEN 2 THEN ARRAY['night', d.depot] END::text[],
        CASE WHEN n % 7 > 0 THEN jsonb_build_object(
            'age', 20 + n, 'home', CASE WHEN d.hers THEN 'city ' || n % 3 ELSE 'CNRY-home' END, 'langs', '["de", "no"]'::jsonb)
        END,
        TIMESTAMPTZ '2015-01-01 08:00Z' + n % 6 * INTERVAL '400 days',
        CASE WHEN n % 6 = 0 THEN NULL WHEN d.hers THEN n % 6 ELSE 77.77 END,
        CASE WHEN d.hers THEN (5000 + n)::text ELSE 'CNRY-badge-' || n END,
        'CNRY' || n % 8 || '@fleet.example',
        'CNRY-secret-' || n,
        jsonb_build_object('note', 'CNRY-note-' || n)
    FROM generate_series(1, 36) AS n,
        LATERAL (SELECT (ARRAY['HAM', 'OSL', 'RIG', 'GDN', NULL])[1 + n % 5] AS depot, n % 5 < 2 AS hers) AS d;
COMMENT ON COLUMN fleet.driver.notes IS 'Remarks, tag:note.remark';

-- Partitioned; rows of her depots and of classes that are not closed; a cost that depends on the row.
CREATE TABLE fleet.trip (
    id int NOT NULL, driver int, depot text, day date NOT NULL, started timestamptz, km int, cost numeric(10, 2),
    kind fleet.class, stops text[], extra jsonb) PARTITION BY RANGE (day);
CREATE TABLE fleet.trip_2024 PARTITION OF fleet.trip FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE fleet.trip_2025 PARTITION OF fleet.trip FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO fleet.trip
    SELECT n, 1 + n * 7 % 40, t.depot, DATE '2024-09-01' + n * 9,
        TIMESTAMPTZ '2024-09-01 06:30Z' + n * INTERVAL '9 days 17 minutes',
        CASE WHEN NOT t.hers THEN 7700 + n WHEN n % 8 > 0 THEN n * 37 % 400 END,
        CASE WHEN NOT t.hers OR n % 4 = 0 THEN 7700.77 + n ELSE n * 3.50 END,
        t.kind,
        ARRAY['A' || n % 3, CASE WHEN t.hers THEN 'B' ELSE 'CNRY-stop' END],
        jsonb_build_object('CNRY', n)
    FROM generate_series(1, 48) AS n,
        LATERAL (SELECT (ARRAY['HAM', 'OSL', 'RIG', 'GDN'])[1 + n % 4] AS depot,
            (ARRAY['basic', 'plus', 'closed', 'plus', 'basic'])[1 + n % 5]::fleet.class AS kind) AS k,
        LATERAL (SELECT k.*, n % 4 < 2 AND k.kind <> 'closed' AS hers) AS t;

-- With an inheritance child; rows up to her clearance; a report masked by tag.
CREATE TABLE fleet.incident (id int, depot text, severity int, report text, at timestamp, amount numeric(10, 2));
CREATE TABLE fleet.incident_archive (closed_by text) INHERITS (fleet.incident);
INSERT INTO fleet.incident
    SELECT n, (ARRAY['HAM', 'OSL', 'RIG'])[1 + n % 3], n % 4, 'CNRY-report-' || n, TIMESTAMP '2025-02-01' + n * INTERVAL '7 h',
        CASE WHEN n % 4 > 2 THEN 777.77 WHEN n % 5 > 0 THEN n * 11.25 END
    FROM generate_series(1, 20) AS n;
INSERT INTO fleet.incident_archive
    SELECT n, (ARRAY['HAM', 'OSL', 'RIG'])[1 + n % 3], n % 4, 'CNRY-report-' || n, TIMESTAMP '2020-02-01' + n * INTERVAL '7 h',
        CASE WHEN n % 4 > 2 THEN 777.77 ELSE n * 2.50 END, CASE WHEN n % 4 > 2 THEN 'CNRY-closer' ELSE 'Ole' END
    FROM generate_series(21, 32) AS n;

-- Names that need quotes; of two columns that differ by case only, one decides about the row.
CREATE TABLE fleet."Fuel Card" ("Card No" text, "Depot" text, depot text, "Limit" int, "PIN" text, "select" text);
INSERT INTO fleet."Fuel Card"
    SELECT 'CNRY-card-' || n, d.home, (ARRAY['RIG', 'HAM'])[1 + n % 2],
        CASE WHEN d.home = 'HAM' THEN n * 50 ELSE 77000 + n END, 'CNRY-pin-' || n, 'word ' || n % 3
    FROM generate_series(1, 16) AS n, LATERAL (SELECT (ARRAY['HAM', 'OSL'])[1 + n % 2] AS home) AS d;

-- Not hers at all.
CREATE TABLE fleet.payslip (id int, driver int, amount numeric(10, 2), note text);
INSERT INTO fleet.payslip SELECT n, n, 7700.77 + n, 'CNRY-pay-' || n FROM generate_series(1, 12) AS n;
CREATE TABLE vault.key (id int, depot text, value text);
INSERT INTO vault.key SELECT n, 'HAM', 'CNRY-key-' || n FROM generate_series(1, 5) AS n;

-- Views: plain, renaming, aggregating, on views, with sets, windows, queries in queries, whole rows.
CREATE VIEW fleet.depot_short AS SELECT code, upper(city) AS city, bays IS NULL AS unmeasured FROM fleet.depot;
CREATE VIEW fleet.crew AS
    SELECT d.id, d.name AS full_name, d.licence AS permit, d.depot, d.salary, d.points FROM fleet.driver AS d
    WHERE d.rating < 4 OR d.rating IS NULL;
CREATE VIEW fleet.chiefs AS SELECT id, name, licence, born FROM fleet.driver WHERE rank = 'closed';
CREATE VIEW fleet.depot_cost AS
    SELECT p.code, p.city, count(t.id) AS trips, sum(t.cost) AS total, max(t.km) AS longest
    FROM fleet.depot AS p LEFT JOIN fleet.trip AS t ON t.depot = p.code GROUP BY p.code, p.city;
CREATE VIEW fleet.busy_depot (depot, spent) AS SELECT code, total FROM fleet.depot_cost WHERE trips > 2;
CREATE VIEW fleet.happened AS
    SELECT id, depot, report AS what FROM fleet.incident UNION ALL SELECT id, depot, kind::text FROM fleet.trip;
CREATE VIEW fleet."Card List" AS SELECT "Card No" AS number, "Limit", "Depot" FROM fleet."Fuel Card" WHERE "Limit" > 60;
CREATE VIEW fleet.ranked AS
    SELECT id, depot, rank() OVER (PARTITION BY depot ORDER BY salary DESC) AS place FROM fleet.driver;
CREATE VIEW fleet.latest AS
    WITH last AS (SELECT DISTINCT ON (depot) depot, day, km, cost FROM fleet.trip ORDER BY depot, day DESC)
    SELECT last.*, (SELECT count(*) FROM fleet.driver AS d WHERE d.depot = last.depot) AS drivers FROM last;
CREATE VIEW fleet.dossier AS
    SELECT d.id, d.depot, to_jsonb(t.*) AS trip, t.km FROM fleet.driver AS d JOIN fleet.trip AS t ON t.driver = d.id;
CREATE VIEW fleet.archived AS SELECT id, severity, closed_by FROM fleet.incident_archive;
CREATE VIEW fleet.banded AS SELECT id, fleet.band(points) AS band FROM fleet.driver;
CREATE VIEW fleet.sparse AS
    SELECT code AS depot, bays FROM fleet.depot AS p
    WHERE NOT EXISTS (SELECT FROM fleet.trip AS t WHERE t.depot = p.code AND t.km > 300);

-- What these show is hidden or blocked.
CREATE VIEW fleet.pins AS SELECT "Card No", "PIN" FROM fleet."Fuel Card";
CREATE VIEW fleet.everything AS SELECT * FROM fleet.driver;
CREATE VIEW fleet.paid AS SELECT driver, amount FROM fleet.payslip;
CREATE MATERIALIZED VIEW fleet.crew_copy AS SELECT id, name, licence, depot FROM fleet.driver;

GRANT USAGE ON SCHEMA fleet, vault TO people;
GRANT SELECT ON ALL TABLES IN SCHEMA fleet, vault TO people;
