//! Names, links, and limits: each case a line of SQL and what became of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use passgate_connectors::{Column, Function, Metadata, Relation, RelationKind};
use passgate_policy::{Obligation, RuleReference, TableName};

use super::rewriter::must_be_readable;
use super::*;
use crate::catalog::Snapshot;
use crate::statement::{Limits, parse};

pub(super) fn relation(name: &str, columns: &[&str]) -> Relation {
    let (schema, name) = name.split_once('.').unwrap();
    Relation {
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|name| Column {
                name: (*name).to_owned(),
                type_name: "text".to_owned(),
                type_oid: 25,
                ..Column::default()
            })
            .collect(),
        unique_keys: vec![vec!["id".to_owned()]],
        ..Relation::default()
    }
}

pub(super) fn view(name: &str, columns: &[&str], on: &[&str], definition: &str) -> Relation {
    let on = on.iter().map(|name| name.split_once('.').unwrap());
    Relation {
        kind: RelationKind::View,
        built_on: on.map(|(schema, name)| (schema.to_owned(), name.to_owned())).collect(),
        unique_keys: Vec::new(),
        definition: Some(definition.to_owned()),
        ..relation(name, columns)
    }
}

pub(super) fn model_of(relations: Vec<Relation>) -> Model {
    model_under(relations, &[])
}

fn model_under(relations: Vec<Relation>, policies: &[passgate_policy::PolicyFile]) -> Model {
    let metadata = Metadata {
        server_version: "15.0".to_owned(),
        relations,
        functions: vec![Function {
            schema: "sales".to_owned(),
            name: "quarter".to_owned(),
            arguments: vec!["date".to_owned()],
            ..Function::default()
        }],
        ..Metadata::default()
    };
    let snapshot = Snapshot::new(SourceName::new("shop"), "sales".to_owned(), metadata);
    Model::new(Arc::new(snapshot), &passgate_policy::compile(policies, None, &passgate_policy::NoSql).unwrap())
}

fn model() -> Model {
    model_of(vec![
        relation("sales.orders", &["id", "customer", "amount"]),
        relation("sales.customers", &["id", "name", "region"]),
        relation("sales.regions", &["region", "label"]),
        relation("hidden.salaries", &["id", "amount"]),
        relation("sales.Orders", &["id"]),
    ])
}

pub(super) fn plan_on(model: &Model, text: &str) -> Result<Plan, Error> {
    let statement = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}")).remove(0);
    resolve(&statement, model)
}

fn plan(text: &str) -> Result<Plan, Error> {
    plan_on(&model(), text)
}

fn tables(text: &str) -> Vec<String> {
    plan(text).unwrap().tables.iter().map(|used| used.name().to_string()).collect()
}

fn limited(text: &str, rows: u64) -> String {
    let rule = RuleReference { policy: "p".into(), file: "f".into(), line: 1 };
    let plan = rewrite::meet(plan(text).unwrap(), &Obligation::LimitRows { rows, rule }).unwrap();
    rewrite::text(plan.query.as_ref().unwrap(), plan.explain).unwrap()
}

#[test]
fn tables_are_found_wherever_they_stand() {
    for text in [
        "SELECT * FROM hidden.salaries",
        "SELECT (SELECT max(amount) FROM hidden.salaries)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM hidden.salaries)",
        "SELECT 1 ORDER BY (SELECT 1 FROM hidden.salaries)",
        "SELECT 1 LIMIT (SELECT 1 FROM hidden.salaries)",
        "SELECT 1 OFFSET (SELECT 1 FROM hidden.salaries)",
        "SELECT count(*) FILTER (WHERE 1 IN (SELECT id FROM hidden.salaries))",
        "SELECT count(*) OVER (ORDER BY (SELECT 1 FROM hidden.salaries))",
        "SELECT 1 GROUP BY (SELECT 1 FROM hidden.salaries)",
        "SELECT 1 UNION SELECT id FROM hidden.salaries",
        "WITH x AS (SELECT * FROM hidden.salaries) SELECT 1",
        "WITH hidden AS (SELECT 1) SELECT * FROM hidden.salaries",
        "VALUES ((SELECT 1 FROM hidden.salaries))",
        "SELECT ARRAY(SELECT id FROM hidden.salaries)",
        "SELECT * FROM generate_series(1, (SELECT 1 FROM hidden.salaries))",
        "SELECT CASE WHEN true THEN (SELECT 1 FROM hidden.salaries) END",
        "SELECT * FROM shop.hidden.salaries",
        "SELECT DISTINCT ON ((SELECT 1 FROM hidden.salaries)) 1",
        "SELECT 1 WHERE 1 = ANY (SELECT id FROM hidden.salaries)",
        "SELECT string_agg('a', 'b' ORDER BY (SELECT 1 FROM hidden.salaries))",
        "TABLE hidden.salaries",
        "SELECT 1 UNION TABLE hidden.salaries",
        "SELECT * FROM ONLY hidden.salaries",
        "SELECT * FROM ONLY (hidden.salaries)",
        "SELECT * FROM hidden.salaries * s",
        "SELECT * FROM ROWS FROM (generate_series(1, (SELECT 1 FROM hidden.salaries)))",
        "SELECT 1 GROUP BY GROUPING SETS (ROLLUP ((SELECT 1 FROM hidden.salaries)), ())",
        "SELECT 1 GROUP BY ((SELECT 1 FROM hidden.salaries), 1)",
        "SELECT xmlelement(name a, xmlattributes((SELECT 1 FROM hidden.salaries) AS b))",
        "SELECT xmlforest((SELECT 1 FROM hidden.salaries))",
        "SELECT 1 LIKE ANY (SELECT 'a' FROM hidden.salaries)",
        "SELECT 1 BETWEEN SYMMETRIC 1 AND (SELECT 1 FROM hidden.salaries)",
        "SELECT trim(BOTH 'x' FROM (SELECT 'a' FROM hidden.salaries))",
        "SELECT concat(VARIADIC ARRAY(SELECT 'a' FROM hidden.salaries))",
        "SELECT ((SELECT s FROM hidden.salaries s)).*",
        "WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT 1 FROM hidden.salaries) SEARCH DEPTH FIRST BY n SET o SELECT 1",
    ] {
        assert_eq!(tables(text), ["hidden.salaries"], "{text}");
    }
}

#[test]
fn names_resolve_in_the_catalog_and_nowhere_else() {
    assert_eq!(tables("SELECT * FROM orders"), ["sales.orders"]);
    assert_eq!(tables("SELECT * FROM \"Orders\""), ["sales.Orders"]);
    assert_eq!(tables("WITH orders AS (SELECT 1) SELECT * FROM orders"), Vec::<String>::new());
    assert_eq!(tables("WITH x AS (SELECT * FROM orders), orders AS (SELECT 1) SELECT 1"), ["sales.orders"]);
    for text in ["SELECT * FROM pg_catalog.pg_class", "SELECT 1 FROM information_schema.tables"] {
        assert!(plan(text).unwrap().is_of_catalog(), "{text}");
        assert_eq!(tables(text), Vec::<String>::new());
    }
    assert_eq!(plan("SELECT * FROM pg_authid").unwrap_err().sqlstate, "42501");
    assert_eq!(plan("SELECT * FROM nowhere").unwrap().missing.unwrap().sqlstate, "42P01");
    assert!(plan("WITH pg_authid AS (SELECT 1) SELECT * FROM pg_authid").is_err());
    assert_eq!(limited("SELECT amount FROM orders", 5), "SELECT \"amount\" FROM \"sales\".\"orders\" LIMIT 5");
}

#[test]
fn functions_are_named_in_full_and_told_apart() {
    let uses = |text: &str| -> Vec<(String, bool)> {
        let functions = plan(text).unwrap().functions;
        functions.iter().map(|used| (format!("{}.{}", used.schema, used.name), used.pure)).collect()
    };
    assert_eq!(uses("SELECT lower('A')"), [("pg_catalog.lower".to_owned(), true)]);
    assert_eq!(uses("SELECT 1 WHERE starts_with('ab', 'a')"), [("pg_catalog.starts_with".to_owned(), true)]);
    assert_eq!(uses("SELECT pg_sleep(1)"), [("pg_catalog.pg_sleep".to_owned(), false)]);
    assert_eq!(uses("SELECT quarter(now())")[0], ("sales.quarter".to_owned(), false));
    assert_eq!(uses("SELECT (1.0).pg_sleep"), [("pg_catalog.pg_sleep".to_owned(), false)]);
    assert_eq!(uses("SELECT o.pg_sleep FROM orders o"), [("pg_catalog.pg_sleep".to_owned(), false)]);
    assert_eq!(uses("SELECT o.amount FROM orders o"), []);
    assert_eq!(uses("SELECT amount(o) FROM orders o"), []);
    assert_eq!(uses("SELECT name(c) FROM customers c"), []);
    assert_eq!(uses("SELECT pg_sleep(o) FROM (SELECT 1 AS pg_sleep) o"), []);
    assert_eq!(uses("SELECT pg_sleep(o) FROM (SELECT 1 AS o, 2 AS pg_sleep) o").len(), 1);
    assert_eq!(uses("SELECT pg_typeof(o) FROM (SELECT 1 AS pg_typeof) o").len(), 1);
    assert_eq!(uses("SELECT quarter(o) FROM (SELECT 1 AS quarter) o").len(), 1);
    assert_eq!(uses("SELECT ts_rewrite('a', 'SELECT 1')"), [("pg_catalog.ts_rewrite".to_owned(), false)]);
    assert_eq!(uses("SELECT ts_rewrite('a', 'b', 'c')"), [("pg_catalog.ts_rewrite".to_owned(), true)]);
    assert_eq!(
        uses("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY 1)"),
        [("pg_catalog.percentile_cont".to_owned(), true)]
    );
    assert_eq!(uses("SELECT xmlelement(name a, pg_sleep(1)), xmlforest(lower('a'))").len(), 2);
    assert_eq!(uses("SELECT * FROM ROWS FROM (pg_ls_dir('.'))"), [("pg_catalog.pg_ls_dir".to_owned(), false)]);
    let forms = |text: &str| plan(text).unwrap().functions.remove(0).forms;
    assert_eq!(forms("SELECT quarter(now())"), ["date"]);
    assert_eq!(forms("SELECT quarter(now(), 1)"), Vec::<String>::new());
    assert_eq!(uses("SELECT * FROM pg_ls_dir('.')"), [("pg_catalog.pg_ls_dir".to_owned(), false)]);
}

#[test]
fn a_cross_join_is_seen() {
    for text in [
        "SELECT * FROM orders, customers",
        "SELECT * FROM orders CROSS JOIN customers",
        "SELECT * FROM orders o JOIN customers c ON true",
        "SELECT * FROM orders o JOIN customers c ON o.id = o.id",
        "SELECT * FROM orders o JOIN customers c ON c.id = c.id OR o.id = c.id",
        "SELECT * FROM orders o JOIN customers c ON o.customer <> c.name",
        "SELECT * FROM orders o, customers c WHERE o.amount > 1 AND c.region = 'x'",
        "SELECT * FROM orders o, customers c, regions r WHERE o.customer = c.name",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM orders, customers)",
        "SELECT * FROM orders NATURAL JOIN (SELECT 1 AS other FROM customers) x",
        "SELECT * FROM orders, generate_series(1, 100)",
        "SELECT * FROM orders o, (SELECT * FROM customers) c",
        "SELECT * FROM orders o, (VALUES (1), (2)) v",
        "SELECT * FROM orders o, (SELECT max(id), quarter(now()) FROM customers) c",
        "SELECT * FROM orders o, (SELECT quarter(max(id)) FROM customers) c",
        "SELECT * FROM orders o JOIN customers c ON NOT (o.customer = c.name)",
        "SELECT * FROM orders o JOIN customers c ON o.id = o.id + 0 * c.id",
        "SELECT * FROM orders o JOIN customers c ON length(o.customer || c.name) > 0",
        "SELECT * FROM orders o JOIN customers c ON coalesce(o.customer, c.name) IS NOT NULL",
        "SELECT * FROM orders o JOIN customers c ON o.id IN (o.id, c.id)",
        "SELECT * FROM orders o JOIN customers c ON o.id BETWEEN o.id AND o.id + c.id",
    ] {
        assert!(!plan(text).unwrap().unlinked.is_empty(), "{text}");
    }
}

#[test]
fn a_join_is_no_cross_join() {
    for text in [
        "SELECT * FROM orders o JOIN customers c ON o.customer = c.name",
        "SELECT * FROM orders, customers WHERE customer = name",
        "SELECT * FROM orders JOIN customers USING (id)",
        "SELECT * FROM orders NATURAL JOIN customers",
        "SELECT * FROM orders o, customers c, regions r WHERE o.customer = c.name AND c.region = r.region",
        "SELECT * FROM orders o CROSS JOIN LATERAL (SELECT o.amount * 2 AS double) x",
        "SELECT * FROM orders o, LATERAL (SELECT * FROM customers c WHERE c.name = o.customer) x",
        "SELECT * FROM orders o, unnest(ARRAY[o.amount]) u",
        "SELECT * FROM orders o, (SELECT max(id) AS m FROM customers) x",
        "SELECT * FROM orders o, (SELECT string_agg(quarter(now()) || id, ',') AS m FROM customers) x",
        "SELECT * FROM orders o, (SELECT id FROM customers LIMIT 1) x",
        "SELECT * FROM orders o, (VALUES (1)) v",
        "WITH x AS (SELECT count(*) FROM customers) SELECT * FROM orders, x",
        "SELECT * FROM orders o, customers c WHERE c.id = 5",
        "SELECT * FROM orders o JOIN customers c ON o.id BETWEEN c.id AND c.id + 10",
        "SELECT * FROM orders o JOIN customers c ON (o.id = c.id AND c.region = 'a') OR (o.customer = c.name)",
        "SELECT * FROM orders o JOIN customers c ON o.id = c.id, (SELECT 1) one",
        "SELECT * FROM orders o JOIN customers c ON c.id = ANY (ARRAY[o.id])",
        "SELECT * FROM orders o JOIN customers c ON starts_with(o.customer, c.name)",
        "SELECT * FROM orders o, customers c WHERE EXISTS (SELECT 1 FROM regions r WHERE r.region = c.region AND r.label = o.customer)",
    ] {
        assert!(plan(text).unwrap().unlinked.is_empty(), "{text}: {:?}", plan(text).unwrap().unlinked);
    }
}

#[test]
fn a_key_that_is_a_constant_only_sometimes_gives_many_rows() {
    for text in [
        "SELECT * FROM orders o, customers c WHERE c.id = 5 OR c.id = 6",
        "SELECT * FROM orders o, customers c WHERE c.id = 5 OR o.amount > 1",
        "SELECT * FROM customers c LEFT JOIN regions r ON c.id = 5 AND r.id = 6, orders o",
        "SELECT * FROM customers c FULL JOIN regions r ON c.id = r.id AND c.id = 5, orders o",
        "SELECT * FROM regions r RIGHT JOIN customers c ON c.id = 5 AND r.id = 6, orders o",
    ] {
        assert!(!plan(text).unwrap().unlinked.is_empty(), "{text}");
    }
    for text in [
        "SELECT * FROM orders o, customers c WHERE (c.id, c.name) = (5, 'x')",
        "SELECT * FROM orders o LEFT JOIN customers c ON c.id = 5",
        "SELECT * FROM orders o, regions r RIGHT JOIN customers c ON r.id = 6 WHERE c.id = 5",
    ] {
        assert!(plan(text).unwrap().unlinked.is_empty(), "{text}: {:?}", plan(text).unwrap().unlinked);
    }
}

#[test]
fn a_join_on_no_key_is_seen() {
    let multiplied = |text: &str| -> Vec<String> {
        plan(text).unwrap().multiplied.iter().map(|found| found.relations.join(" ")).collect()
    };
    for (text, expected) in [
        ("SELECT * FROM orders o JOIN customers c ON o.customer = c.name", "o c"),
        ("SELECT * FROM orders o JOIN orders p ON o.amount > p.amount", "o p"),
        ("SELECT * FROM orders o JOIN customers c ON o.id = 1 OR c.id = o.customer", "o c"),
        ("SELECT * FROM orders o JOIN customers c ON c.id = o.customer JOIN regions r USING (region)", "o r"),
        ("SELECT * FROM orders o JOIN (SELECT customer FROM orders) p USING (customer)", "o p"),
        ("SELECT * FROM orders o, LATERAL (SELECT * FROM customers c WHERE c.name = o.customer) l", "o l"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM orders o JOIN customers c ON c.name = o.customer)", "o c"),
        ("SELECT * FROM orders o JOIN generate_series(1, 9) g ON g > o.amount", "o g"),
        // Each determines the other, and neither the third.
        ("SELECT * FROM orders o JOIN customers c ON o.id = c.id JOIN regions r ON r.region = c.region", "o r"),
        ("WITH w AS (SELECT * FROM orders) SELECT * FROM w JOIN w v ON v.customer = w.customer", "w v"),
        // Under other names, other columns are called as those of the key.
        ("SELECT * FROM orders o JOIN customers c (name, id) ON c.id = o.customer", "o c"),
    ] {
        assert_eq!(multiplied(text), [expected], "{text}");
    }
    for text in [
        "SELECT * FROM orders",
        "SELECT * FROM orders o JOIN customers c ON c.id = o.customer",
        "SELECT * FROM customers c LEFT JOIN orders o ON c.id = o.customer",
        "SELECT * FROM orders o JOIN customers c ON c.id = o.customer JOIN regions r ON r.id = c.region",
        "SELECT * FROM orders o, customers c, regions r WHERE (c.id, r.id) = (o.customer, o.amount)",
        "SELECT * FROM orders NATURAL JOIN customers",
        "SELECT * FROM orders o JOIN customers c ON c.name = o.customer AND c.id = 5",
        "SELECT * FROM orders o, unnest(ARRAY[o.amount]) u",
        "SELECT * FROM orders o, (SELECT max(id) AS m FROM customers) x",
        "SELECT (SELECT name FROM customers c WHERE c.name = o.customer) FROM orders o",
    ] {
        assert_eq!(multiplied(text), Vec::<String>::new(), "{text}");
    }
}

/// Names times relations in sight: a message of a mebibyte must not take all of the machine.
#[test]
fn names_that_mean_nothing_take_bounded_time_and_memory() {
    let nested = |inside: &str, levels: usize, relations: usize| {
        let from = vec!["orders"; relations].join(", ");
        format!("{}SELECT {inside} FROM {from}{}", "SELECT (".repeat(levels), format!(") FROM {from}").repeat(levels))
    };
    let names: Vec<String> = (0..20_000).map(|index| format!("n{index}")).collect();
    let many = format!("concat({})", names.join(", "));
    let same = format!("concat({})", vec!["other"; 60_000].join(", "));
    let known = format!("concat({})", vec!["region"; 60_000].join(", "));
    assert!(plan(&format!("SELECT {many} FROM orders")).is_ok());
    for text in [nested(&many, 60, 100), nested(&same, 60, 100), nested(&known, 60, 100) + ", customers"] {
        let error = plan(&text).map(|plan| plan.tables.len()).unwrap_err();
        assert_eq!(error.to_string(), "too many columns in one statement", "{text:.200}");
    }
}

/// Columns times joins, columns times subqueries, keys times relations times equations.
#[test]
fn what_is_wide_takes_bounded_time_and_memory() {
    let columns: Vec<String> = (0..1_600).map(|index| format!("id AS c{index}")).collect();
    let wide = format!("WITH w AS (SELECT {} FROM orders)", columns.join(", "));
    let joins = |most, how: &str, on: &str| (1..most).map(|index| format!(" {how} w a{index}{on}")).collect::<String>();
    let natural = format!("EXISTS (SELECT FROM w a0{})", joins(120, "NATURAL JOIN", ""));
    let tables: String = (0..5_000).map(|index| format!(", w{index} AS (SELECT * FROM w)")).collect();
    for text in
        [format!("{wide} SELECT 1 WHERE {}", vec![natural; 70].join(" OR ")), format!("{wide}{tables} SELECT 1")]
    {
        let error = plan(&text).map(|plan| plan.tables.len()).unwrap_err();
        assert_eq!(error.to_string(), "too many columns in one statement", "{text:.200}");
    }
    assert!(plan(&format!("{wide} SELECT FROM w a0{}", joins(20, "JOIN", " USING (c1, c2)"))).is_ok());

    let relations: Vec<String> = (0..128).map(|index| format!("orders a{index}")).collect();
    let chain = (0..127).map(|index| format!("a{index}.id = a{}.customer", index + 1));
    let more = (0..2_300).map(|index| format!("a{}.id = a{}.amount", index % 127, (index * 7 + 1) % 128));
    let conditions: Vec<String> = chain.chain(more).collect();
    assert!(plan(&format!("SELECT 1 FROM {} WHERE {}", relations.join(", "), conditions.join(" AND "))).is_ok());
}

#[test]
fn the_limit_is_exact() {
    for (text, expected) in [
        ("SELECT 1", "SELECT 1 LIMIT 10"),
        ("SELECT 1 LIMIT 5", "SELECT 1 LIMIT 5"),
        ("SELECT 1 LIMIT 50", "SELECT 1 LIMIT 10"),
        ("SELECT 1 LIMIT ALL", "SELECT 1 LIMIT 10"),
        ("SELECT 1 LIMIT NULL", "SELECT 1 LIMIT LEAST(NULL::pg_catalog.\"int8\", 10)"),
        ("SELECT 1 LIMIT $1", "SELECT 1 LIMIT LEAST($1::pg_catalog.\"int8\", 10)"),
        ("SELECT 1 FETCH FIRST 50 ROWS ONLY", "SELECT 1 LIMIT 10"),
        ("SELECT 1 OFFSET 5", "SELECT 1 LIMIT 10 OFFSET 5"),
        ("SELECT 1 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 2 LIMIT 10"),
        ("(SELECT 1 LIMIT 50)", "(SELECT 1 LIMIT 10)"),
        ("((SELECT 1 LIMIT 5))", "((SELECT 1 LIMIT 5))"),
        ("((SELECT 1) OFFSET 2)", "((SELECT 1 LIMIT 10) OFFSET 2)"),
        ("(SELECT 1 LIMIT 50) OFFSET 2", "(SELECT 1 LIMIT 10) OFFSET 2"),
        ("(SELECT 1 LIMIT 2) UNION ALL SELECT 2", "(SELECT 1 LIMIT 2) UNION ALL SELECT 2 LIMIT 10"),
        (
            "(SELECT 1 ORDER BY 1 FETCH FIRST 50 ROWS WITH TIES) OFFSET 2",
            "SELECT * FROM ((SELECT 1 ORDER BY 1 FETCH FIRST 50 ROWS WITH TIES) OFFSET 2) AS \"limited\" LIMIT 10",
        ),
        ("SELECT 1 ORDER BY 1", "SELECT 1 ORDER BY 1 LIMIT 10"),
        (
            "SELECT 1 ORDER BY 1 FETCH FIRST 50 ROWS WITH TIES",
            "SELECT * FROM (SELECT 1 ORDER BY 1 FETCH FIRST 50 ROWS WITH TIES) AS \"limited\" LIMIT 10",
        ),
        ("VALUES (1), (2)", "VALUES (1), (2) LIMIT 10"),
        ("EXPLAIN SELECT 1", "EXPLAIN (FORMAT TEXT) SELECT 1 LIMIT 10"),
    ] {
        assert_eq!(limited(text, 10), expected, "{text}");
    }
}

#[test]
fn the_session_answers_for_schema_and_database() {
    assert_eq!(
        limited("SELECT current_schema(), current_database()", 1),
        "SELECT 'sales'::pg_catalog.\"name\" AS \"current_schema\", 'shop'::pg_catalog.\"name\" AS \"current_database\" LIMIT 1"
    );
}

#[test]
fn a_permit_is_for_one_statement() {
    let one = plan("SELECT 1").unwrap();
    let other = plan("SELECT 2").unwrap();
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.digest, plan("select  1").unwrap().digest);
    assert_ne!(one.digest, plan("EXPLAIN SELECT 1").unwrap().digest);
}

fn somebody() -> Arc<Identity> {
    Arc::new(Identity {
        person: passgate_policy::PersonName::new("ana"),
        subject: "ana".to_owned(),
        email: None,
        tenant: passgate_policy::Tenant::new("t"),
        groups: BTreeSet::new(),
        roles: BTreeSet::new(),
        claims: serde_json::Map::new(),
        proof: passgate_policy::Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    })
}

#[test]
fn the_request_holds_what_was_found() {
    let identity = somebody();
    let facts = Facts {
        now: 0,
        application_name: String::new(),
        client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ..Facts::default()
    };
    let plan = plan("SELECT * FROM\n  orders FOR UPDATE").unwrap();
    let request = request(&plan, &identity, facts);
    assert_eq!(request.kind, StatementKind::Write);
    assert_eq!(request.writes[0].command, "FOR UPDATE");
    assert_eq!(request.tables[0].at, Place { line: 2, column: 3 });
}

#[test]
fn a_view_calls_what_its_definition_calls() {
    let model = model_of(vec![
        relation("sales.orders", &["id", "status"]),
        view(
            "sales.slow",
            &["id"],
            &["sales.orders"],
            " SELECT orders.id, pg_sleep((1)::double precision) FROM sales.orders;",
        ),
        view("sales.slower", &["id"], &["sales.slow", "sales.orders"], " SELECT slow.id FROM sales.slow;"),
        Relation {
            calls: vec![("sales".to_owned(), "alike".to_owned())],
            ..view(
                "sales.odd",
                &["id"],
                &["sales.orders"],
                " SELECT orders.id FROM sales.orders WHERE (orders.id OPERATOR(sales.===) orders.id);",
            )
        },
        Relation {
            kind: RelationKind::MaterializedView,
            ..view("sales.copy", &["id"], &["sales.slow", "sales.orders"], " SELECT slow.id FROM sales.slow;")
        },
    ]);
    let calls = |text: &str| -> Vec<(String, bool, u64)> {
        let functions = plan_on(&model, text).unwrap().functions;
        functions
            .into_iter()
            .map(|used| (format!("{}.{}", used.schema, used.name), used.pure, used.at.column))
            .collect()
    };
    assert_eq!(calls("SELECT * FROM slow"), [("pg_catalog.pg_sleep".to_owned(), false, 15)]);
    assert_eq!(calls("SELECT 1 FROM slower"), [("pg_catalog.pg_sleep".to_owned(), false, 15)]);
    assert_eq!(calls("SELECT * FROM odd"), [("sales.alike".to_owned(), false, 15)]);
    assert_eq!(calls("SELECT * FROM copy"), [], "it was filled by others");
}

#[test]
fn a_view_that_cannot_be_read_is_refused_where_it_matters() {
    let enumeration = " SELECT orders.id FROM sales.orders WHERE (orders.status = 'open'::sales.status);";
    let model = model_of(vec![
        relation("sales.orders", &["id", "status"]),
        view("sales.open", &["id"], &["sales.orders"], enumeration),
        view("sales.over", &["id"], &["sales.open", "sales.orders"], " SELECT open.id FROM sales.open;"),
        view("sales.secret", &["id"], &["sales.orders"], " SELECT query_to_xml('x'::sales.status) FROM sales.orders;"),
    ]);
    let rule = RuleReference { policy: "p".into(), file: "f".into(), line: 1 };
    let table = TableName { source: SourceName::new("shop"), schema: "sales".to_owned(), table: "orders".to_owned() };
    let hide = [Obligation::HideColumn { table, column: "status".to_owned(), rule: rule.clone() }];
    let check = |text: &str, obligations: &[Obligation]| {
        must_be_readable(&plan_on(&model, text).unwrap().unreadable, obligations).map_err(|error| error.message)
    };
    assert_eq!(check("SELECT * FROM open", &[]), Ok(()));
    assert_eq!(check("SELECT * FROM over", &[Obligation::LimitRows { rows: 1, rule }]), Ok(()));
    let reason = "type \"sales.status\" is not a built-in type the gateway knows";
    for text in ["SELECT * FROM open", "SELECT * FROM over"] {
        let expected = format!("the definition of view \"sales.open\" cannot be read by the gateway: {reason}");
        assert_eq!(check(text, &hide), Err(expected), "{text}");
    }
    assert!(check("SELECT * FROM secret", &[]).is_err());
    assert_eq!(check("SELECT * FROM orders", &hide), Ok(()));
}

#[test]
fn the_names_of_a_view_are_its_own() {
    let model = model_of(vec![
        relation("sales.orders", &["id"]),
        relation("other.orders", &["id"]),
        view("sales.both", &["id"], &["other.orders"], " SELECT orders.id FROM other.orders;"),
        view("sales.roles", &["id"], &[], " SELECT pg_authid.oid AS id FROM pg_authid;"),
        view("sales.unqualified", &["id"], &["sales.orders"], " SELECT orders.id FROM orders;"),
    ]);
    let body = |name: &str| model.relation("sales", name).unwrap().view.clone().unwrap();
    assert_eq!(body("both").unwrap().tables[0].name().to_string(), "other.orders");
    for name in ["roles", "unqualified"] {
        let unreadable = body(name).unwrap_err();
        assert!(!unreadable.only_computes || name == "unqualified", "{name}: {}", unreadable.reason);
    }
}

#[test]
fn tags_flow_to_views_and_children() {
    let tagged = |mut relation: Relation, comment: &str| {
        relation.comment = Some(comment.to_owned());
        relation
    };
    let child =
        Relation { built_on: vec![("sales".to_owned(), "visits".to_owned())], ..relation("sales.visits_1", &["id"]) };
    let model = model_of(vec![
        tagged(relation("sales.visits", &["id"]), "tag:phi"),
        child,
        view("sales.recent", &["id"], &["sales.visits"], " SELECT visits.id FROM sales.visits;"),
        view("sales.of_child", &["id"], &["sales.visits_1"], " SELECT visits_1.id FROM sales.visits_1;"),
    ]);
    for name in ["visits", "visits_1", "recent", "of_child"] {
        let entry = model.relation("sales", name).unwrap();
        assert_eq!(entry.facts.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["phi"], "{name}");
        assert!(entry.built_on.iter().all(|facts| !facts.tags.is_empty()), "{name}");
    }
}

#[test]
fn tags_json_gives_tags_that_flow() {
    let text = r#"{ "tags": [
        { "tag": "pii.ssn", "columns": ["sales.visits.ssn"] }, { "tag": "phi", "tables": ["sales.visit?"] } ] }"#;
    let tags = passgate_policy::PolicyFile { path: "tags.json".to_owned(), text: text.to_owned() };
    let on = vec![("sales".to_owned(), "visits".to_owned())];
    let child = Relation { built_on: on, ..relation("sales.part", &["ssn"]) };
    let recent = " SELECT part.ssn AS shown FROM sales.part;";
    let relations =
        vec![relation("sales.visits", &["ssn"]), child, view("sales.recent", &["shown"], &["sales.part"], recent)];
    let model = model_under(relations, &[tags]);
    for (name, column) in [("visits", "ssn"), ("part", "ssn"), ("recent", "shown")] {
        let facts = &model.relation("sales", name).unwrap().facts;
        let of = |tags: &BTreeSet<passgate_policy::Tag>| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(&facts.tags), ["phi"], "{name}");
        assert_eq!(of(&facts.column(column).unwrap().tags), ["pii.ssn"], "{name}.{column}");
    }
}

#[test]
fn a_redirected_table_keeps_the_name_by_which_the_statement_knows_it() {
    let named = |table: &str| TableName {
        source: SourceName::new("shop"),
        schema: "sales".to_owned(),
        table: table.to_owned(),
    };
    let rule = RuleReference { policy: "r".into(), file: "r.json".into(), line: 1 };
    let redirects = [Redirect { from: named("orders"), to: named("regions"), rule }];
    for (text, expected) in [
        ("SELECT amount FROM orders", "SELECT amount FROM sales.regions AS orders"),
        ("SELECT orders.amount FROM sales.orders", "SELECT orders.amount FROM sales.regions AS orders"),
        ("SELECT sales.orders.amount FROM orders", "SELECT orders.amount FROM sales.regions AS orders"),
        ("SELECT sales.orders.* FROM orders", "SELECT orders.* FROM sales.regions AS orders"),
        ("SELECT o.amount FROM shop.sales.orders o", "SELECT o.amount FROM sales.regions AS o"),
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", "WITH orders AS (SELECT 1) SELECT * FROM orders"),
        ("SELECT * FROM \"Orders\"", "SELECT * FROM sales.\"Orders\""),
        (
            "SELECT (SELECT max(amount) FROM orders) FROM customers",
            "SELECT (SELECT pg_catalog.max(amount) FROM sales.regions AS orders) FROM sales.customers",
        ),
    ] {
        let statement = parse(text, &Limits::default()).unwrap().remove(0);
        let plan = redirect(&statement, &model(), &redirects).unwrap();
        assert!(plan.is_redirected());
        let expected = parse(expected, &Limits::default()).unwrap().remove(0);
        let Kind::Query(expected) = expected.kind else { panic!("{text}") };
        assert_eq!(plan.query.as_ref(), Some(&*expected), "{text}");
        assert!(plan.tables.iter().all(|used| used.name().table != "orders"), "{text}");
        let request = request(&plan, &somebody(), Facts::default());
        assert_eq!(request.redirected, [named("orders")]);
    }
}

#[test]
fn the_gateways_own_schema_is_no_schema_of_a_source() {
    for text in ["SELECT * FROM passgate.approvals, orders", "SELECT passgate.approve(id) FROM orders"] {
        let error = plan(text).unwrap_err();
        assert_eq!(error.sqlstate, "0A000", "{text}");
        assert!(error.message.contains("passgate.appro"), "{error}");
    }
}
