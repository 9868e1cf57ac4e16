//! No column is left out: a column that the gateway does not report cannot change an answer.
//!
//! PostgreSQL is the oracle. Random queries run over tables, and again over the same tables with one column's values
//! changed. Where the answers differ, the column can be seen through the query, so the plan must name it. A fixed
//! number of queries runs with the other tests; by hand, `COLUMNS_QUERIES=20000 cargo test -p passgate-tests --test
//! columns`, and `COLUMNS_SEED=7` for the queries of one seed.

use std::collections::BTreeSet;
use std::sync::Arc;

use passgate::catalog::Snapshot;
use passgate::plan::{self, Model};
use passgate::statement::{self, Limits};
use passgate_connectors::{Column, Metadata, Relation, RelationKind};
use passgate_policy::SourceName;
use passgate_tests::World;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Queries where `COLUMNS_QUERIES` does not say otherwise.
const QUERIES: usize = 300;

const TABLES: [(&str, &[&str], &str); 3] = [
    (
        "t",
        &["id", "a", "b", "ssn"],
        "VALUES ('1','x','y','n1'), ('2','x','z','n2'), ('3','w','y','n3'), ('4','q','q','n1')",
    ),
    ("u", &["id", "k", "c"], "VALUES ('1','1','x'), ('2','1','w'), ('3','3','n1'), ('9','2','y')"),
    ("w", &["x", "a"], "VALUES ('x','1'), ('y','x')"),
];

const VIEWS: [(&str, &[&str], &[&str], &str); 3] = [
    (
        "v",
        &["id", "first", "mixed"],
        &["t", "u"],
        "SELECT t.id, t.a AS first, CASE WHEN t.ssn = 'n1' THEN t.b ELSE u.c END AS mixed FROM t JOIN u ON t.id = u.k \
         WHERE t.b <> 'z' OR u.c = 'y'",
    ),
    (
        "over",
        &["f", "n"],
        &["v", "t", "u"],
        "SELECT first AS f, count(DISTINCT mixed)::text AS n FROM v GROUP BY first",
    ),
    ("lone", &["s"], &["t"], "SELECT DISTINCT ON (a) ssn AS s FROM t ORDER BY a, b"),
];

#[tokio::test]
async fn a_column_that_is_not_reported_cannot_be_seen() {
    let world = World::shared();
    world.postgres.admin().await.batch_execute("CREATE DATABASE columns").await.unwrap();
    let client = world.postgres.connect("postgres", "harness-secret", "columns").await.unwrap();
    let variants = fill(&client).await;
    let model = model(&client).await;
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let queries = number("COLUMNS_QUERIES").map_or(QUERIES, |queries| usize::try_from(queries).unwrap());
    let seed = number("COLUMNS_SEED").unwrap_or(1);
    let (mut answered, mut told) = (0, 0);
    for index in 0..queries {
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(index as u64) | 1);
        (0..8).for_each(|_| _ = random.next());
        let query = random.query(0);
        let Some(plain) = answer(&client, "plain", &query).await else { continue };
        let Some(reported) = reported(&model, &query) else { continue };
        answered += 1;
        for (schema, column) in &variants {
            if reported.contains(column) {
                told += 1;
                continue;
            }
            let other = answer(&client, schema, &query).await;
            assert_eq!(
                other.as_ref(),
                Some(&plain),
                "{column} can be seen, and is not reported: {query}\n{reported:?}"
            );
        }
    }
    println!("{answered} of {queries} queries, {told} columns reported");
    assert!(answered * 2 > queries, "most queries must mean something: {answered} of {queries}");
}

/// A schema with the tables as they are, and two for every column, with its values changed.
async fn fill(client: &Client) -> Vec<(String, String)> {
    let mut variants = vec![("plain".to_owned(), String::new())];
    for (table, columns, _) in TABLES {
        for column in columns {
            for change in ["other", "none"] {
                variants.push((format!("{table}_{column}_{change}"), format!("{table}.{column}")));
            }
        }
    }
    for (schema, changed) in &variants {
        let mut script = format!("CREATE SCHEMA {schema}; SET search_path = {schema};");
        for (table, columns, rows) in TABLES {
            script += &format!("CREATE TABLE {table} AS SELECT * FROM ({rows}) q ({});", columns.join(", "));
            if let Some(column) = changed.strip_prefix(&format!("{table}.")) {
                let value = if schema.ends_with("none") { "NULL" } else { "'other' || length({}) || {}" };
                script += &format!("UPDATE {table} SET {column} = {};", value.replace("{}", column));
            }
        }
        for (view, _, _, definition) in VIEWS {
            script += &format!("CREATE VIEW {view} AS {definition};");
        }
        client.batch_execute(&script).await.unwrap();
    }
    client.batch_execute("SET statement_timeout = '2s'; SET jit = off").await.unwrap();
    variants.split_off(1)
}

async fn model(client: &Client) -> Model {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        type_name: "text".to_owned(),
        type_oid: 25,
        ..Column::default()
    };
    let mut relations: Vec<Relation> = Vec::new();
    for (table, columns, _) in TABLES {
        let columns = columns.iter().map(column).collect();
        relations.push(Relation { schema: "plain".to_owned(), name: table.to_owned(), columns, ..Relation::default() });
    }
    client.batch_execute("SET search_path = ''").await.unwrap();
    for (view, columns, on, _) in VIEWS {
        let row = client.query_one("SELECT pg_get_viewdef($1::text::regclass)", &[&format!("plain.{view}")]).await;
        relations.push(Relation {
            schema: "plain".to_owned(),
            name: view.to_owned(),
            kind: RelationKind::View,
            columns: columns.iter().map(column).collect(),
            built_on: on.iter().map(|name| ("plain".to_owned(), (*name).to_owned())).collect(),
            definition: Some(row.unwrap().get(0)),
            ..Relation::default()
        });
    }
    let metadata = Metadata { server_version: "15".to_owned(), relations, ..Metadata::default() };
    let snapshot = Snapshot::new(SourceName::new("columns"), "plain".to_owned(), metadata);
    let policies = passgate_policy::compile(&[], None, &passgate_policy::NoSql).unwrap();
    let model = Model::new(Arc::new(snapshot), &policies);
    for entry in model.relations() {
        assert!(entry.view.as_ref().is_none_or(Result::is_ok), "{:?}", entry.view);
    }
    model
}

/// The rows in no order; none where the query is refused.
async fn answer(client: &Client, schema: &str, query: &str) -> Option<Vec<Vec<Option<String>>>> {
    client.batch_execute(&format!("SET search_path = {schema}")).await.unwrap();
    let messages = client.simple_query(query).await.ok()?;
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
        }
    }
    rows.sort();
    Some(rows)
}

/// The columns of tables that the plan names; none for what the gateway refuses.
fn reported(model: &Model, query: &str) -> Option<BTreeSet<String>> {
    let statement = statement::parse(query, &Limits::default()).ok()?.pop()?;
    let plan = plan::resolve(&statement, model).ok()?;
    if plan.missing().is_some() {
        return None;
    }
    Some(plan.columns().iter().map(|used| format!("{}.{}", used.table.name.table, used.column)).collect())
}

/// What a SELECT may read, as a relation z with the columns p, q and r.
const FROMS: [&str; 21] = [
    "t AS z (p, q, r, s)",
    "t AS z (p, q, r, s)",
    "u z (p, q, r)",
    "v z (p, q, r)",
    "(SELECT f AS p, n AS q, f || n AS r FROM over) z",
    "(SELECT s p, s q, 'l' r FROM lone) z",
    "({inner}) AS z (p, q, r)",
    "({inner}) AS z (p, q, r)",
    "({inner}) AS z",
    "({inner}) AS z (p, q, r) JOIN w AS w (p, m) USING (p)",
    "({inner}) z NATURAL JOIN (SELECT a AS q, b AS m FROM t) n",
    "(SELECT * FROM ({inner}) y NATURAL JOIN (SELECT a AS q, b AS m FROM t) n) z (q, p, r)",
    "({inner}) y (k, l, m), LATERAL (SELECT y.l AS p, max(c) AS q, m AS r FROM u WHERE u.k = y.k) z",
    "({inner}) z LEFT JOIN u ON u.c = z.q AND u.id <> z.p",
    "(({inner}) y (k, l, m) JOIN u USING (k)) AS z (p, q, r)",
    "(SELECT * FROM (({inner}) y (k, l, m) JOIN u USING (k)) j) AS z (p, q, r)",
    "({inner}) y (k, l, m), unnest(ARRAY[y.k, y.l]) x, LATERAL (SELECT x AS p, y.m AS q, k AS r) z",
    "({inner}) y (k, l, m), json_each_text(json_build_object(coalesce(k, ''), m)), LATERAL (SELECT key AS p, value AS q, l AS r) z",
    "({inner}) y, unnest(string_to_array(y.q, NULL)) WITH ORDINALITY AS o (c, n), LATERAL (SELECT o.c AS p, n::text AS q, y.r) z",
    "w, ({inner}) z (p, q, r)",
    "({inner}) y RIGHT JOIN (SELECT k AS p, c AS q, id AS r FROM u) z USING (p)",
];

/// What a SELECT list may hold, of a relation z with the columns p, q and r.
const ITEMS: [&str; 31] = [
    "z.{o}",
    "z.{o}",
    "z.{o}",
    "{o}",
    "z.{o} || '-' || z.{n}",
    "(z).{o}",
    "z::text",
    "row_to_json(z)::text",
    "(z.*)::text",
    "z.row_to_json::text",
    "CASE WHEN z.{o} = 'x' THEN 'is' ELSE z.{n} END",
    "CASE z.{o} WHEN 'x' THEN 'is' END",
    "(z.{o} = 'x')::text",
    "(z.{o} IN (SELECT c FROM u))::text",
    "(z.{o} = ANY (SELECT a FROM t))::text",
    "EXISTS (SELECT * FROM t WHERE t.a = z.{o})::text",
    "EXISTS (SELECT ssn || 'x' FROM t)::text",
    "EXISTS (SELECT b FROM t EXCEPT SELECT z.{o})::text",
    "(SELECT max(c) FROM u WHERE u.k = z.{o})",
    "(SELECT string_agg(y.q, '') FROM (SELECT a AS q, b FROM t ORDER BY a, b, id) y)",
    "ARRAY(SELECT b FROM t WHERE a = z.{o} ORDER BY 1)::text",
    "coalesce(z.{o}, z.{n}, 'none')",
    "nullif(z.{o}, z.{n})",
    "upper(z.{o})",
    "substring(z.{o} FROM 1 FOR 1)",
    "count(*) OVER (PARTITION BY z.{o})::text",
    "rank() OVER (ORDER BY z.{o})::text",
    "max(z.{n}) OVER (ORDER BY z.p, z.q, z.r)",
    "(ROW(z.{o}, z.{n}) = ROW('x', 'y'))::text",
    "length(z.{o})::text",
    "'constant'",
];

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::try_from(self.next() % of.len() as u64).unwrap()]
    }

    /// A query of three columns of text: p, q, r.
    fn query(&mut self, depth: usize) -> String {
        let depth = depth + 1;
        let kind = if depth > 4 {
            "select"
        } else {
            self.one_of(&["select", "select", "select", "set", "with", "recursive", "values", "nested"])
        };
        match kind {
            "set" => {
                let operator = self.one_of(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL"]);
                let tail = self.one_of(&["", " ORDER BY p LIMIT 2", " ORDER BY 2, 1, 3 LIMIT 1", " OFFSET 1"]);
                format!("({}) {operator} ({}){tail}", self.query(depth), self.query(depth))
            }
            "with" => {
                let (c, d, items) = (self.query(depth), self.query(depth), self.items("z", depth));
                let from =
                    self.one_of(&["c", "d", "(SELECT p, d.q, c.r FROM c JOIN d USING (p))", "(c NATURAL JOIN d)"]);
                format!("WITH c AS ({c}), d (q, r, p) AS ({d}) SELECT {items} FROM {from} AS z")
            }
            "recursive" => format!(
                "WITH RECURSIVE c (p, q, r) AS (({}) UNION {}) SELECT p, q, r FROM c",
                self.query(depth),
                self.one_of(&[
                    "SELECT q, p, r FROM c",
                    "SELECT c.r, c.q, t.ssn FROM c JOIN t ON t.a = c.p",
                    "SELECT p, r, q FROM c WHERE q = 'x'"
                ])
            ),
            "values" => format!(
                "SELECT * FROM (VALUES ((SELECT min(p) FROM ({}) z), 'v', (SELECT max(ssn) FROM t))) y (p, q, r)",
                self.query(depth)
            ),
            "nested" => format!(
                "({}) {}",
                self.query(depth),
                self.one_of(&["LIMIT 2", "ORDER BY 1 LIMIT 1", "ORDER BY q, p, r LIMIT 2", "OFFSET 1"])
            ),
            _ => self.select(depth),
        }
    }

    fn select(&mut self, depth: usize) -> String {
        let inner = if depth > 3 { "SELECT id AS p, a AS q, ssn AS r FROM t".to_owned() } else { self.query(depth) };
        let from = self.one_of(&FROMS).replace("{inner}", &inner);
        if self.one_of(&["yes", "no", "no"]) == "yes" {
            return format!(
                "SELECT {} FROM {from} {}",
                self.one_of(&[
                    "z.p AS p, max(z.q) AS q, count(*)::text AS r",
                    "z.p, string_agg(z.q, ',' ORDER BY z.r) AS q, min(z.r) FILTER (WHERE z.q = 'x') AS r",
                    "z.p, count(DISTINCT z.r)::text AS q, json_agg(z.q ORDER BY z.q)::text AS r",
                    "z.p AS p, max(z::text) AS q, percentile_disc(0.5) WITHIN GROUP (ORDER BY z.r) AS r",
                ]),
                self.one_of(&[
                    "GROUP BY z.p",
                    "GROUP BY 1",
                    "GROUP BY z.p HAVING count(*) > 1",
                    "GROUP BY z.p HAVING max(z.r) > 'n1'",
                    "GROUP BY ROLLUP (z.p)",
                    "WHERE z.q = 'x' GROUP BY z.p"
                ])
            );
        }
        let distinct = self.one_of(&["", "", "", "DISTINCT", "DISTINCT ON (z.q)", "DISTINCT ON (1)"]);
        let items = self.items("z", depth);
        let tail = match distinct {
            "DISTINCT" => "",
            "DISTINCT ON (z.q)" => "ORDER BY z.q, z.p, z.r",
            "DISTINCT ON (1)" => "ORDER BY 1, 2, 3",
            _ => self.one_of(&[
                "",
                "",
                "ORDER BY z.q, z.p, z.r LIMIT 2",
                "ORDER BY 2, 1, 3 LIMIT 1",
                "ORDER BY q, p, r LIMIT 2",
                "OFFSET (SELECT count(*) FROM u WHERE c = 'x')",
                "LIMIT (SELECT count(*) FROM t WHERE ssn = 'n1')",
            ]),
        };
        format!("SELECT {distinct} {items} FROM {from} {} {tail}", self.filter())
    }

    fn items(&mut self, table: &str, depth: usize) -> String {
        if depth > 2 && self.one_of(&["star", "no", "no", "no"]) == "star" {
            return format!("{table}.p, {table}.q, {table}.r");
        }
        let item = |this: &mut Self, name: &str| {
            let other = this.one_of(&["p", "q", "r"]);
            let item = this.one_of(&ITEMS).replace("{o}", other).replace("{n}", name);
            format!("{item} AS {name}").replace("z.", &format!("{table}."))
        };
        ["p", "q", "r"].map(|name| item(self, name)).join(", ")
    }

    fn filter(&mut self) -> &'static str {
        self.one_of(&[
            "",
            "",
            "",
            "WHERE z.p = 'x' OR z.q = 'y'",
            "WHERE z.r IN (SELECT ssn FROM t)",
            "WHERE z IS NOT NULL",
            "WHERE EXISTS (SELECT 1 FROM u WHERE u.c = z.q)",
            "WHERE NOT EXISTS (SELECT * FROM u WHERE u.c = z.q AND u.id = '1')",
            "WHERE (z.p, z.q) IN (SELECT a, b FROM t)",
            "WHERE z.q LIKE '%x%'",
            "WHERE z.q BETWEEN 'a' AND z.p",
            "WHERE length(z.p) > (SELECT min(length(c)) FROM u)",
            "WHERE z.q = (SELECT max(q.a) FROM (SELECT a, b FROM t WHERE b = z.r) q)",
        ])
    }
}
