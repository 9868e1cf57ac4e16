-- Who may see what, said in the warehouse itself. The gateway runs each statement as the person, so these rules hold
-- whatever the gateway's own policies say. The roles cannot sign in: only the service login can take them on.

CREATE ROLE analyst_west NOLOGIN;
CREATE ROLE analyst_east NOLOGIN;
CREATE ROLE security NOLOGIN;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO analyst_west, analyst_east, security;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO analyst_west, analyst_east, security;

-- A person sees rows of their own regions.
ALTER TABLE dim_provider ENABLE ROW LEVEL SECURITY;
ALTER TABLE dim_member ENABLE ROW LEVEL SECURITY;
ALTER TABLE dim_patient ENABLE ROW LEVEL SECURITY;
ALTER TABLE dim_member_ssn ENABLE ROW LEVEL SECURITY;
ALTER TABLE fct_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE fct_sales ENABLE ROW LEVEL SECURITY;
ALTER TABLE person_region ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_regions ON person_region FOR SELECT
    USING (person = current_user);
CREATE POLICY own_regions ON dim_provider FOR SELECT
    USING (region_code IN (SELECT region_code FROM person_region WHERE person = current_user));
CREATE POLICY own_regions ON dim_member FOR SELECT
    USING (region_code IN (SELECT region_code FROM person_region WHERE person = current_user));
CREATE POLICY own_regions ON dim_patient FOR SELECT
    USING (region_code IN (SELECT region_code FROM person_region WHERE person = current_user));
CREATE POLICY own_regions ON fct_claims FOR SELECT
    USING (region_code IN (SELECT region_code FROM person_region WHERE person = current_user));
CREATE POLICY own_regions ON fct_sales FOR SELECT
    USING (region_code IN (SELECT region_code FROM person_region WHERE person = current_user));
-- dim_member is filtered too, so a number is seen only by those who see its member.
CREATE POLICY own_members ON dim_member_ssn FOR SELECT
    USING (member_id IN (SELECT member_id FROM dim_member));
