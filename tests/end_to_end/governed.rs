//! Filters and masks before real PostgreSQL: what a person gets, and what they cannot get.

use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};
use serde_json::json;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A value at every end of every type that has a mask, an ordinary one, and none.
const EXTREMES: &str = "
    CREATE TABLE public.extremes (
        id int PRIMARY KEY, small smallint, whole int, large bigint, free numeric, exact numeric(5, 2), half real,
        double double precision, day date, moment timestamp(0), instant timestamptz, words text, few varchar(6),
        fixed char(6));
    INSERT INTO public.extremes VALUES
        (1, 32767, 2147483647, 9223372036854775807, 'NaN', 999.99, 'Infinity', 'NaN', 'infinity', 'infinity', 'infinity',
            '', '', ''),
        (2, -32768, -2147483648, -9223372036854775808, 'Infinity', -999.99, '-3.4e38', '1.7976931348623157e308',
            '4714-11-24 BC', '4714-11-24 00:00 BC', '4714-11-24 00:00+00 BC', repeat('ü', 30), 'äöüßab', '1'),
        (3, 0, 0, 0, '1e1000', 'NaN', '1e-45', '5e-324', '5874897-12-31', '294276-12-31 23:59:59',
            '294276-12-31 23:59:59+00', E'a\\\\b''c', '1', '123456'),
        (4, 1234, 123456, 123456, 123456.789, 123.45, 1234.5, 123456.789, '2024-05-06', '2024-05-06 07:08:09',
            '2024-01-01 00:30+00', '123-45-6789', '456789', '12'),
        (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    GRANT SELECT ON public.extremes TO people";

fn mask(column: &str, with: &str) -> serde_json::Value {
    let columns = [format!("public.extremes.{column}")];
    json!({ "name": column, "action": "mask", "columns": columns, "with": with })
}

#[tokio::test]
async fn masks_fail_for_no_value_and_leave_null_alone() {
    let world = World::shared();
    world.postgres.admin().await.batch_execute(EXTREMES).await.unwrap();
    let rounded = ["small", "whole", "large", "free", "exact", "half", "double"].map(|column| {
        let mut mask = mask(column, "round");
        mask["to"] = json!(if column == "exact" { 50 } else { 1000 });
        mask
    });
    let others = ["day", "moment", "instant"].map(|column| mask(column, "year"));
    let mut texts = vec![mask("words", "hash"), mask("few", "partial"), mask("fixed", "partial")];
    texts[1]["last"] = json!(2);
    let all: Vec<_> = rounded.into_iter().chain(others).chain(texts).collect();
    let mut settings = Settings::new(world, Mode::SessionAuthorization).policy("masks.json", &json!(all));
    settings.file["policies"]["hash_secret"] = json!("only these tests know what this says");
    let gateway = settings.start().await;
    let client = person(world, &gateway, "alice").await;
    client.batch_execute("SET TimeZone = 'America/New_York'").await.unwrap();
    let rows = rows(&client, "SELECT * FROM extremes ORDER BY id").await;
    let shown: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect()).collect();
    let hashed = |row: usize| shown[row][11].len() == 64 && !shown[row][11].contains('-');
    assert!((0..4).all(hashed) && shown[4][1..].iter().all(|value| *value == "NULL"), "{shown:?}");
    let without_hash = |row: usize| [&shown[row][1..11], &shown[row][12..]].concat();
    assert_eq!(
        without_hash(0),
        [
            "32767",
            "2147483647",
            "9223372036854775807",
            "NaN",
            "999.99",
            "NULL",
            "NULL",
            "infinity",
            "infinity",
            "infinity",
            "",
            "      "
        ]
    );
    assert_eq!(without_hash(1)[..5], ["-32768", "-2147483648", "-9223372036854775808", "Infinity", "-999.99"]);
    assert_eq!(without_hash(1)[10..], ["****ab", "*     "]);
    assert_eq!(
        without_hash(3),
        [
            "1000",
            "123000",
            "123000",
            "123000",
            "100.00",
            "1000",
            "123000",
            "2024-01-01",
            "2024-01-01 00:00:00",
            "2023-12-31 19:00:00-05",
            "****89",
            "**    "
        ]
    );
    let recorded = gateway.audit();
    let rewritten =
        recorded.iter().filter_map(|record| record["rewritten"].as_str()).find(|text| text.contains("sha256"));
    assert!(rewritten.is_some_and(|text| text.contains("'<salt>'")), "{rewritten:?}");
}

/// Alice sees the rows of the west, and no amount.
async fn west(world: &World) -> Gateway {
    let policies = json!([
        { "name": "west", "action": "filter", "tables": ["public.sales"], "rows": "region = 'WEST'" },
        { "name": "amounts", "action": "mask", "columns": ["public.sales.amount"], "with": "null" },
        { "name": "sellers", "action": "allow", "columns": ["public.sales.seller"], "applies_to": { "groups": ["leads"] } },
    ]);
    // As bob, whom the warehouse shows other regions too.
    Settings::new(world, Mode::SessionAuthorization).policy("west.json", &policies).start().await
}

#[tokio::test]
async fn no_expression_runs_on_rows_that_a_filter_takes_away() {
    let world = World::shared();
    let gateway = west(world).await;
    let client = person(world, &gateway, "bob").await;
    assert_eq!(rows(&client, "SELECT DISTINCT region, amount FROM sales").await, [[Some("WEST".to_owned()), None]]);
    for statement in [
        "SELECT id FROM sales WHERE CASE region WHEN 'WEST' THEN 1 ELSE 1 / (id - id) END > 0 LIMIT 1",
        "SELECT id FROM sales WHERE region = 'WEST' OR CAST(region AS int) > 0 LIMIT 1",
        "SELECT id FROM (SELECT id, CASE region WHEN 'WEST' THEN 1 ELSE CAST(region AS int) END AS x FROM sales) s WHERE x = 1 LIMIT 1",
        "SELECT s.id FROM sales s JOIN territories t ON t.region = s.region AND CAST(replace(s.region, 'WEST', '1') AS int) = 1 LIMIT 1",
        "SELECT region FROM sales GROUP BY region HAVING CAST(replace(region, 'WEST', '1') AS int) = 1",
    ] {
        assert_eq!(rows(&client, statement).await.len(), 1, "{statement}");
    }
}

#[tokio::test]
async fn what_the_source_says_of_governed_rows_is_kept_back() {
    let world = World::shared();
    let gateway = west(world).await;
    let client = person(world, &gateway, "bob").await;
    for (statement, code, message) in [
        ("SELECT CAST(region AS int) FROM sales", "22P02", "invalid text representation"),
        ("SELECT CAST(seller AS int) FROM sales", "22P02", "invalid text representation"),
        ("SELECT 1 / (id - id) FROM sales", "22012", "division by zero"),
        ("SELECT nothing FROM sales", "42703", "column \"nothing\" does not exist"),
        ("SELECT CAST(seller AS int) FROM sales FOR", "42601", ""),
    ] {
        let error = client.simple_query(statement).await.unwrap_err();
        let (sqlstate, text) = told(&error);
        assert_eq!(sqlstate, code, "{statement}: {text}");
        assert!(message.is_empty() || text == message, "{statement}: {text}");
        assert!(!format!("{:?}", error.as_db_error()).contains("seller 1"), "{error:?}");
    }
    let log = gateway.audit();
    assert!(log.iter().all(|record| !record.to_string().contains("invalid input syntax")), "{log:?}");
    // A place in the person's own text tells nothing; one in what a rule added would.
    for (statement, place) in [
        ("SELECT 'é',\n  nothing FROM sales", Some(15)),
        ("SELECT count(*) FROM sales s WHERE s.nothing = 1", Some(36)),
        ("SELECT seller = 1 FROM sales", Some(15)),
        ("SELECT CAST(region AS int) FROM sales", None),
    ] {
        let error = client.simple_query(statement).await.unwrap_err();
        let told = error.as_db_error().and_then(|error| error.position().cloned());
        let original = told.map(|position| match position {
            tokio_postgres::error::ErrorPosition::Original(at) => at,
            other => panic!("{other:?}"),
        });
        assert_eq!(original, place, "{statement}: {error:?}");
    }
    // Where nothing is governed, its words are the source's own.
    let error = client.simple_query("SELECT CAST(region AS int) FROM territories").await.unwrap_err();
    assert!(told(&error).1.contains("invalid input syntax for type integer"), "{error:?}");
}

#[tokio::test]
async fn a_hidden_column_is_not_there() {
    let world = World::shared();
    let gateway = west(world).await;
    let (alice, bob) = (person(world, &gateway, "alice").await, person(world, &gateway, "bob").await);
    for statement in ["SELECT seller FROM sales", "SELECT s.seller FROM sales s", "SELECT (s).seller FROM sales s"] {
        let error = alice.simple_query(statement).await.unwrap_err();
        assert_eq!(told(&error).0, "42703", "{statement}");
        assert!(bob.simple_query(statement).await.is_ok(), "{statement}");
    }
    let sellers = "SELECT count(*) FROM sales WHERE to_json(sales)::text LIKE '%seller%'";
    assert_eq!(rows(&alice, sellers).await, [[Some("0".to_owned())]]);
    assert_eq!(rows(&alice, "SELECT * FROM sales LIMIT 1").await[0].len(), 4);
}

#[tokio::test]
async fn explain_of_what_is_governed_is_refused() {
    let world = World::shared();
    let gateway = west(world).await;
    let client = person(world, &gateway, "bob").await;
    // Without the filter's own column, with it, and contradicting it: the steps alone would tell these apart.
    for condition in ["s.id < 7", "s.region = 'WEST'", "s.region = 'EAST'"] {
        let explained = format!("SELECT * FROM sales s JOIN territories t ON t.region = s.region WHERE {condition}");
        for format in ["EXPLAIN", "EXPLAIN (VERBOSE)", "EXPLAIN (FORMAT JSON)"] {
            let error = client.simple_query(&format!("{format} {explained}")).await.unwrap_err();
            assert_eq!(told(&error).0, "42501", "{format} {condition}");
        }
        assert_eq!(told(&client.prepare(&format!("EXPLAIN {explained}")).await.unwrap_err()).0, "42501");
    }
    let open = rows(&client, "EXPLAIN SELECT * FROM territories WHERE region = 'x'").await;
    assert!(format!("{open:?}").contains("cost"), "{open:?}");
}

async fn person(world: &World, gateway: &Gateway, name: &str) -> Client {
    connect(world, gateway.port(), name, &world.openid.token(name).await).await.unwrap()
}

/// Rows as text.
async fn rows(client: &Client, statement: &str) -> Vec<Vec<Option<String>>> {
    let answer = client.simple_query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let rows = answer.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect()
}
