-- The demonstration warehouse: a small health insurer that also sells online.
-- Members, providers and claims are the healthcare half; fct_sales is the shop.

CREATE TABLE dim_region (
    region_code text PRIMARY KEY,
    region_name text NOT NULL,
    time_zone   text NOT NULL
);

CREATE TABLE dim_provider (
    provider_id   integer PRIMARY KEY,
    provider_name text NOT NULL,
    specialty     text NOT NULL,
    region_code   text NOT NULL REFERENCES dim_region
);

CREATE TABLE dim_member (
    member_id   integer PRIMARY KEY,
    member_key  text NOT NULL UNIQUE,
    region_code text NOT NULL REFERENCES dim_region,
    birth_year  integer NOT NULL,
    plan        text NOT NULL,
    joined_on   date NOT NULL
);

-- Names and addresses of people. The gateway's policy keeps everyone out of this table and the next.
CREATE TABLE dim_patient (
    patient_id  integer PRIMARY KEY REFERENCES dim_member,
    full_name   text NOT NULL,
    birth_date  date NOT NULL,
    phone       text NOT NULL,
    region_code text NOT NULL REFERENCES dim_region
);

CREATE TABLE dim_member_ssn (
    member_id integer PRIMARY KEY REFERENCES dim_member,
    ssn       text NOT NULL
);

CREATE TABLE fct_claims (
    claim_id       integer PRIMARY KEY,
    member_id      integer NOT NULL REFERENCES dim_member,
    provider_id    integer NOT NULL REFERENCES dim_provider,
    region_code    text NOT NULL REFERENCES dim_region,
    service_date   date NOT NULL,
    diagnosis_code text NOT NULL,
    procedure_code text NOT NULL,
    billed_amount  numeric(12, 2) NOT NULL,
    paid_amount    numeric(12, 2) NOT NULL,
    status         text NOT NULL CHECK (status IN ('paid', 'denied', 'pending'))
);

CREATE TABLE fct_sales (
    sale_id     integer PRIMARY KEY,
    sale_date   date NOT NULL,
    region_code text NOT NULL REFERENCES dim_region,
    channel     text NOT NULL CHECK (channel IN ('web', 'phone', 'store')),
    product     text NOT NULL,
    quantity    integer NOT NULL,
    unit_price  numeric(10, 2) NOT NULL,
    net_amount  numeric(12, 2) NOT NULL
);

-- Which regions a person may see. The row-level security of access.sql reads it.
CREATE TABLE person_region (
    person      name NOT NULL,
    region_code text NOT NULL REFERENCES dim_region,
    PRIMARY KEY (person, region_code)
);

COMMENT ON TABLE dim_patient IS 'Names and contacts of patients: personal data';
COMMENT ON TABLE dim_member_ssn IS 'Social security numbers: personal data';
COMMENT ON TABLE fct_claims IS 'One row per claim';
COMMENT ON TABLE fct_sales IS 'One row per sale in the shop';
COMMENT ON COLUMN fct_sales.net_amount IS 'Quantity times unit price, in dollars';
COMMENT ON COLUMN fct_claims.paid_amount IS 'What the insurer paid, in dollars; 0 unless status is paid';

-- security_invoker: the row-level security that applies is that of the person who asks, not of the view's owner.
CREATE VIEW v_sales_monthly WITH (security_invoker = true) AS
SELECT date_trunc('month', sale_date)::date AS month,
       region_code,
       channel,
       count(*) AS sales,
       sum(net_amount) AS net_amount
  FROM fct_sales
 GROUP BY 1, 2, 3;

CREATE VIEW v_claims_by_specialty WITH (security_invoker = true) AS
SELECT p.specialty,
       c.region_code,
       c.status,
       count(*) AS claims,
       sum(c.billed_amount) AS billed_amount,
       sum(c.paid_amount) AS paid_amount
  FROM fct_claims AS c
  JOIN dim_provider AS p ON p.provider_id = c.provider_id
 GROUP BY 1, 2, 3;

-- What may be known of patients without knowing who they are. Made from dim_member and not from dim_patient: a view over
-- a blocked table is blocked as the table is.
CREATE VIEW v_patient_anonymous WITH (security_invoker = true) AS
SELECT md5('passgate demo ' || member_id) AS patient_key,
       birth_year / 10 * 10 AS birth_decade,
       plan,
       region_code
  FROM dim_member;

COMMENT ON VIEW v_patient_anonymous IS 'Patients by decade of birth, plan and region, without names';
