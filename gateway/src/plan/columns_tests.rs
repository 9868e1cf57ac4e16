//! Which columns a statement uses: cases in `columns.txt`, and properties that hold for any statement.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;

use passgate_connectors::{Relation, RelationKind};

use super::tests::{model_of, plan_on, relation, view};
use super::*;

fn model() -> Model {
    let copy = view("sales.copy", &["id", "ssn"], &["sales.t"], " SELECT t.id, t.ssn FROM sales.t;");
    model_of(vec![
        relation("sales.t", &["id", "a", "b", "ssn"]),
        relation("sales.u", &["id", "t_id", "c"]),
        relation("sales.w", &["x"]),
        view(
            "sales.v",
            &["id", "first", "mixed"],
            &["sales.t", "sales.u"],
            " SELECT t.id, t.a AS first, CASE WHEN (t.ssn = '1'::text) THEN t.b ELSE u.c END AS mixed FROM (sales.t \
             JOIN sales.u ON ((t.id = u.t_id))) WHERE (t.b > '0'::text);",
        ),
        view("sales.over", &["f", "mixed"], &["sales.v"], " SELECT v.first AS f, v.mixed FROM sales.v;"),
        view("sales.odd", &["o"], &["sales.w"], " SELECT (w.x)::sales.status AS o FROM sales.w;"),
        Relation { kind: RelationKind::MaterializedView, ..copy },
    ])
}

/// `sales.t.a` and how it is used.
fn uses(model: &Model, text: &str) -> Result<BTreeMap<String, (bool, bool)>, Error> {
    let plan = plan_on(model, text)?;
    let named = |used: &ColumnUse| format!("{}.{}", used.table.name.table, used.column);
    Ok(plan.columns().iter().map(|used| (named(used), (used.in_answer, used.in_predicate))).collect())
}

fn answer(model: &Model, text: &str) -> String {
    let used = match uses(model, text) {
        Ok(used) => used,
        Err(error) => return format!("error: {error}"),
    };
    let words = used.into_iter().map(|(name, how)| match how {
        (true, true) => format!("{name}:ap"),
        (true, false) => format!("{name}:a"),
        (false, true) => format!("{name}:p"),
        (false, false) => format!("{name}:?"),
    });
    let export = plan_on(model, text).unwrap().full_export.then(|| "(full export)".to_owned());
    let words: Vec<String> = words.chain(export).collect();
    if words.is_empty() { "(none)".to_owned() } else { words.join(" ") }
}

#[test]
fn columns_txt() {
    let model = model();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/columns.txt");
    let written = std::fs::read_to_string(path).unwrap();
    let mut now = String::new();
    for line in written.lines().filter(|line| !line.starts_with("    ")) {
        writeln!(now, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            writeln!(now, "    {}", answer(&model, line)).unwrap();
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, &now).unwrap();
    }
    let first = now.lines().zip(written.lines()).find(|(now, then)| now != then);
    assert_eq!(first, None, "now, and in columns.txt");
    assert_eq!(now, written);
}

/// A query of three columns, from a list of choices that never runs out.
struct Chooser<'c> {
    choices: std::iter::Cycle<std::slice::Iter<'c, u8>>,
    depth: usize,
}

impl Chooser<'_> {
    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::from(*self.choices.next().unwrap()) % of.len()]
    }

    fn query(&mut self) -> String {
        self.depth += 1;
        let query = match self.one_of(&["select", "select", "select", "union", "with", "recursive", "values"]) {
            _ if self.depth > 4 => "SELECT id AS p, a AS q, ssn AS r FROM t".to_owned(),
            "union" => {
                let operator = self.one_of(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
                format!("({}) {operator} ({})", self.query(), self.query())
            }
            "with" => format!("WITH z AS ({}) SELECT {} FROM z", self.query(), self.items("z")),
            "recursive" => {
                let (first, items) = (self.query(), self.items("z"));
                format!(
                    "WITH RECURSIVE z (p, q, r) AS (({first}) UNION ALL SELECT {items} FROM z) SELECT p, q, r FROM z"
                )
            }
            "values" => format!("VALUES ((SELECT p FROM ({}) z), '2', '3')", self.query()),
            _ => self.select(),
        };
        self.depth -= 1;
        query
    }

    fn items(&mut self, table: &str) -> String {
        let shapes = [
            "z.p, z.q, z.r",
            "z.*",
            "*",
            "z.r AS p, z.q || z.p AS q, z AS r",
            "CASE WHEN z.p = '1' THEN z.q ELSE z.r END AS p, (z).q AS q, row_to_json(z) AS r",
            "z.q AS p, (SELECT max(z.r) FROM u) AS q, z.p IN (SELECT c FROM u) AS r",
            "max(z.p) OVER (PARTITION BY z.q) AS p, z.q, ARRAY(SELECT z.r || c FROM u) AS r",
        ];
        self.one_of(&shapes).replace('z', table)
    }

    fn select(&mut self) -> String {
        let from = match self.one_of(&["t", "t", "v", "query", "query", "join", "lateral"]) {
            "t" => "t AS z (p, q, r, s)".to_owned(),
            "v" => "v AS z (p, q, r)".to_owned(),
            "join" => format!("({}) AS z (p, q, r) JOIN u ON u.c = z.p", self.query()),
            "lateral" => {
                format!("({}) AS y (p, q, r), LATERAL (SELECT y.q AS p, y.p AS q, y.r) z (p, q, r)", self.query())
            }
            _ => format!("({}) AS z (p, q, r)", self.query()),
        };
        let alone = !from.contains("JOIN") && !from.contains("LATERAL") && !from.starts_with("t ");
        let items = self.items("z");
        let items = if items == "*" && !alone { "z.p, z.q, z.r".to_owned() } else { items };
        let items = if items == "z.*" && from.starts_with("t ") { "z.s AS p, z.q, z.r".to_owned() } else { items };
        let tail =
            self.one_of(&["", "", "WHERE z.r = '1'", "ORDER BY z.q", "LIMIT 5", "ORDER BY 2", "WHERE z IS NULL"]);
        format!("SELECT {items} FROM {from} {tail}")
    }
}

/// What `wider` leaves out of `narrower`.
fn lost(narrower: &BTreeMap<String, (bool, bool)>, wider: &BTreeMap<String, (bool, bool)>) -> Vec<String> {
    let kept = |(name, how): &(&String, &(bool, bool))| {
        wider.get(*name).is_some_and(|wider| wider.0 >= how.0 && wider.1 >= how.1)
    };
    narrower.iter().filter(|used| !kept(used)).map(|(name, how)| format!("{name} {how:?}")).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    #[test]
    fn no_wrapping_loses_a_column(choices in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..60)) {
        static MODEL: std::sync::LazyLock<Model> = std::sync::LazyLock::new(model);
        let model = &*MODEL;
        let query = Chooser { choices: choices.iter().cycle(), depth: 0 }.query();
        let plain = uses(model, &query).unwrap();
        for wrapped in [
            format!("SELECT * FROM ({query}) whole"),
            format!("SELECT whole.* FROM ({query}) whole"),
            format!("SELECT whole FROM ({query}) whole"),
            format!("SELECT row_to_json(whole) FROM ({query}) whole"),
            format!("SELECT whole.k, whole.l, whole.m FROM ({query}) whole (k, l, m)"),
            format!("WITH whole AS ({query}) SELECT * FROM whole"),
            format!("WITH whole (k, l, m) AS ({query}) SELECT m, l, k FROM whole"),
            format!("WITH RECURSIVE whole (k, l, m) AS (({query}) UNION ALL SELECT m, k, l FROM whole) SELECT k, l, m FROM whole"),
            format!("({query}) UNION ALL VALUES ('1', '2', '3')"),
            format!("SELECT * FROM ({query}) whole WHERE EXISTS (SELECT 1 FROM u)"),
            format!("SELECT * FROM ({query}) whole ORDER BY 1"),
            format!("SELECT * FROM w CROSS JOIN ({query}) whole"),
            format!("SELECT * FROM w NATURAL JOIN ({query}) whole"),
            format!("SELECT ARRAY(SELECT whole FROM ({query}) whole)"),
            format!("SELECT k.* FROM (({query}) whole JOIN w ON true) AS k"),
        ] {
            let found = uses(model, &wrapped).unwrap();
            assert_eq!(lost(&plain, &found), Vec::<String>::new(), "{wrapped}");
        }
        let chosen = uses(model, &format!("SELECT 1 FROM ({query}) q (k, l, m) WHERE (k, l, m) IS NOT NULL")).unwrap();
        let shown = plain.keys().map(|name| (name.clone(), (false, true))).collect();
        assert_eq!(lost(&shown, &chosen), Vec::<String>::new(), "as a predicate: {query}");
    }
}

#[test]
fn a_schema_that_a_column_does_not_need_is_taken_away() {
    let model = model();
    for (text, expected) in [
        ("SELECT sales.t.a FROM sales.t", "SELECT \"t\".\"a\" FROM \"sales\".\"t\""),
        ("SELECT shop.sales.t.a FROM t", "SELECT \"t\".\"a\" FROM \"sales\".\"t\""),
        (
            "SELECT (SELECT sales.t.a FROM w AS t) FROM t",
            "SELECT (SELECT \"sales\".\"t\".\"a\" FROM \"sales\".\"w\" AS \"t\") FROM \"sales\".\"t\"",
        ),
    ] {
        let plan = plan_on(&model, text).unwrap();
        assert_eq!(statement::print(plan.query.as_ref().unwrap()), expected, "{text}");
    }
}

#[test]
fn the_columns_of_views_have_the_tags_of_what_they_are_made_of() {
    let tagged = |mut relation: Relation| {
        relation.columns.iter_mut().filter(|column| column.name == "ssn").for_each(|column| {
            column.comment = Some("tag:pii.ssn".to_owned());
        });
        relation
    };
    let copy =
        view("sales.copy", &["secret"], &["sales.over", "sales.t"], " SELECT over.shown AS secret FROM sales.over;");
    let model = model_of(vec![
        tagged(relation("sales.t", &["id", "ssn"])),
        view("sales.under", &["id", "shown"], &["sales.t"], " SELECT t.id, upper(t.ssn) AS shown FROM sales.t;"),
        view(
            "sales.over",
            &["shown", "n"],
            &["sales.under", "sales.t"],
            " SELECT under.shown, 1 AS n FROM sales.under;",
        ),
        Relation { kind: RelationKind::MaterializedView, ..copy },
        view("sales.odd", &["o"], &["sales.t"], " SELECT (t.id)::sales.status AS o FROM sales.t;"),
    ]);
    let tags = |table: &str, column: &str| {
        let facts = &model.relation("sales", table).unwrap().facts;
        facts.column(column).unwrap().tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    for (table, column, expected) in [
        ("t", "ssn", "pii.ssn"),
        ("under", "shown", "pii.ssn"),
        ("under", "id", ""),
        ("over", "shown", "pii.ssn"),
        ("over", "n", ""),
        ("copy", "secret", "pii.ssn"),
        ("odd", "o", "pii.ssn"),
    ] {
        assert_eq!(tags(table, column), expected, "{table}.{column}");
        let column = model.relation("sales", table).unwrap().facts.column(column).unwrap().clone();
        let inherited = if table == "t" { BTreeSet::new() } else { column.tags };
        assert_eq!(column.inherited_tags, inherited, "{table}.{}", column.name);
    }
}
