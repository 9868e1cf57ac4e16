-- Rows of the demonstration warehouse. Arithmetic in place of chance, so that every start shows the same numbers.

INSERT INTO dim_region VALUES
    ('WEST', 'West Coast', 'America/Los_Angeles'),
    ('EAST', 'East Coast', 'America/New_York');

INSERT INTO person_region VALUES
    ('analyst_west', 'WEST'),
    ('analyst_east', 'EAST'),
    ('security', 'WEST'),
    ('security', 'EAST');

INSERT INTO dim_provider
SELECT id,
       (ARRAY['Alder', 'Birch', 'Cedar', 'Dogwood', 'Elm', 'Fir'])[1 + id % 6] || ' '
           || (ARRAY['Clinic', 'Hospital', 'Medical Group', 'Health Center'])[1 + id % 4],
       (ARRAY['cardiology', 'family medicine', 'orthopedics', 'pediatrics', 'radiology'])[1 + id % 5],
       CASE WHEN id % 12 < 7 THEN 'WEST' ELSE 'EAST' END
  FROM generate_series(1, 60) AS id;

INSERT INTO dim_member
SELECT id,
       'M' || lpad(id::text, 6, '0'),
       CASE WHEN id % 12 < 7 THEN 'WEST' ELSE 'EAST' END,
       1940 + id * 7 % 66,
       (ARRAY['bronze', 'silver', 'gold'])[1 + id * 5 % 3],
       date '2019-01-01' + id * 13 % 2400
  FROM generate_series(1, 1200) AS id;

INSERT INTO dim_patient
SELECT member_id,
       (ARRAY['Ada', 'Ben', 'Chloe', 'Dev', 'Elena', 'Femi', 'Grace', 'Hugo'])[1 + member_id % 8] || ' '
           || (ARRAY['Abara', 'Brandt', 'Castillo', 'Dunne', 'Eriksen', 'Fujita', 'Goldberg'])[1 + member_id % 7],
       make_date(birth_year, 1 + member_id % 12, 1 + member_id % 28),
       -- 555-0100 to 555-0199 are set aside for fiction.
       '+1-555-01' || lpad((member_id % 100)::text, 2, '0'),
       region_code
  FROM dim_member;

INSERT INTO dim_member_ssn
-- No social security number begins with 9.
SELECT member_id, '9' || lpad((member_id % 100)::text, 2, '0') || '-00-' || lpad(member_id::text, 4, '0')
  FROM dim_member;

INSERT INTO fct_claims
SELECT id,
       m.member_id,
       -- A provider of the member's own region: 12 divides 60, so the remainder by 12 is kept.
       1 + (m.member_id - 1) % 12 + 12 * (id % 5),
       m.region_code,
       date '2025-01-01' + id * 17 % 690,
       (ARRAY['E11.9', 'I10', 'J45.909', 'M54.5', 'Z00.00'])[1 + id * 3 % 5],
       (ARRAY['99213', '99214', '93000', '71046', '80053', '36415'])[1 + id * 5 % 6],
       60 + id * 37 % 1900 + 0.5,
       CASE WHEN id % 10 < 7 THEN (60 + id * 37 % 1900) * 0.8 ELSE 0 END,
       CASE WHEN id % 10 < 7 THEN 'paid' WHEN id % 10 < 9 THEN 'denied' ELSE 'pending' END
  FROM generate_series(1, 8000) AS id
  JOIN dim_member AS m ON m.member_id = 1 + id * 7 % 1200;

-- 30,000 sales: 17,500 in the west and 12,500 in the east, so that either analyst meets the limit of 10,000 rows.
INSERT INTO fct_sales
SELECT id,
       date '2025-01-01' + id * 11 % 690,
       CASE WHEN id % 12 < 7 THEN 'WEST' ELSE 'EAST' END,
       (ARRAY['web', 'phone', 'store'])[1 + id * 7 % 3],
       (ARRAY['blood pressure monitor', 'first aid kit', 'knee brace', 'reading glasses', 'thermometer'])[1 + id * 3 % 5],
       1 + id % 4,
       9.9 + id * 3 % 5 * 12,
       (1 + id % 4) * (9.9 + id * 3 % 5 * 12)
  FROM generate_series(1, 30000) AS id;

CREATE INDEX fct_claims_member ON fct_claims (member_id);
CREATE INDEX fct_claims_service_date ON fct_claims (service_date);
CREATE INDEX fct_sales_sale_date ON fct_sales (sale_date);

ANALYZE;
