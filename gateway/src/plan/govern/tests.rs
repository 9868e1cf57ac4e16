//! Statements and obligations, and what is sent: each case in `cases.txt`, regenerated with `UPDATE=1` and reviewed as text.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use passgate_connectors::{Column, Metadata, Relation as Found, RelationKind, Secret};
use passgate_policy::{Attribute, RuleReference, Sql};
use proptest::prelude::*;

use super::*;
use crate::catalog::Snapshot;
use crate::plan::rewrite;
use crate::statement::{Kind, Limits, Part, parse};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/govern/cases.txt");

fn relation(kind: RelationKind, name: &str, columns: &[(&str, &str)], built_on: &[&str]) -> Found {
    let column = |(name, type_name): &(&str, &str)| Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
        ..Column::default()
    };
    let (schema, name) = name.split_once('.').unwrap();
    let split = |name: &&str| name.split_once('.').map(|(schema, name)| (schema.to_owned(), name.to_owned())).unwrap();
    Found {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind,
        columns: columns.iter().map(column).collect(),
        built_on: built_on.iter().map(split).collect(),
        unique_keys: if kind == RelationKind::Table { vec![vec!["id".to_owned()]] } else { Vec::new() },
        ..Found::default()
    }
}

const FCT: [(&str, &str); 6] = [
    ("id", "integer"),
    ("region", "text"),
    ("amount", "numeric(12,2)"),
    ("ssn", "text"),
    ("born", "date"),
    ("dim_id", "integer"),
];

/// Name, columns with types, what it is built on, and its definition.
type View = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static str);

const VIEWS: [View; 6] = [
    (
        "a.western",
        &[("id", "integer"), ("who", "text"), ("total", "numeric")],
        &["a.fct"],
        "SELECT fct.id, fct.ssn AS who, fct.amount * 2::numeric AS total FROM a.fct WHERE fct.region = 'WEST'::text",
    ),
    (
        "a.outer_view",
        &[("id", "integer"), ("who", "text")],
        &["a.western"],
        "SELECT western.id, western.who FROM a.western",
    ),
    (
        "a.joined",
        &[("name", "text"), ("sum", "numeric")],
        &["a.fct", "a.dim"],
        "SELECT d.name, sum(f.amount) AS sum FROM a.fct f JOIN a.dim d ON d.id = f.dim_id GROUP BY d.id",
    ),
    ("a.names", &[("id", "integer"), ("name", "text")], &["a.dim"], "SELECT dim.id, dim.name FROM a.dim"),
    ("a.twice", &[("id", "integer")], &["a.fct", "a.dim"], "SELECT fct.id FROM a.fct UNION SELECT dim.id FROM a.dim"),
    ("a.circle", &[("id", "integer")], &["a.fct", "a.circle"], "SELECT circle.id FROM a.circle"),
];

/// A source with a table of many types, its views, and a table beside it.
fn world() -> Model {
    use RelationKind::{MaterializedView, Table, View};
    let types = [
        ("id", "bigint"),
        ("t", "text"),
        ("v", "character varying(20)"),
        ("c", "character(5)"),
        ("u", "uuid"),
        ("i", "integer"),
        ("s", "smallint"),
        ("n", "numeric"),
        ("p", "numeric(5,2)"),
        ("f", "double precision"),
        ("r", "real"),
        ("d", "date"),
        ("ts", "timestamp(3) without time zone"),
        ("tz", "timestamp with time zone"),
        ("j", "json"),
        ("a", "text[]"),
        ("m", "a.mood"),
        ("b", "boolean"),
    ];
    let mut relations = vec![
        relation(Table, "a.fct", &FCT, &[]),
        relation(Table, "a.dim", &[("id", "integer"), ("name", "text"), ("ssn", "text")], &[]),
        relation(Table, "b.fct", &FCT, &[]),
        relation(Table, "a.types", &types, &[]),
        relation(Table, "a.part", &FCT, &["a.fct"]),
        relation(Table, "a.Odd-name", &[("id", "integer")], &[]),
        relation(MaterializedView, "a.copy", &[("id", "integer"), ("ssn", "text")], &["a.fct"]),
    ];
    relations.extend(VIEWS.map(|(name, columns, on, text)| Found {
        definition: Some(text.to_owned()),
        ..relation(View, name, columns, on)
    }));
    let metadata = Metadata { server_version: "15.0".to_owned(), relations, ..Metadata::default() };
    let snapshot = Snapshot::new(SourceName::new("w"), "a".to_owned(), metadata);
    Model::new(Arc::new(snapshot), &passgate_policy::compile(&[], None, &passgate_policy::NoSql).unwrap())
}

fn resolved(text: &str, model: &Model) -> Query {
    let statement = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}")).remove(0);
    crate::plan::resolve(&statement, model).unwrap_or_else(|error| panic!("{text}: {error:?}")).query.unwrap()
}

fn table(name: &str) -> TableName {
    let (schema, table) = name.split_once('.').unwrap();
    TableName { source: SourceName::new("w"), schema: schema.to_owned(), table: table.to_owned() }
}

fn policy_sql(text: &str) -> PolicySql {
    let value = |path: &str| match path {
        "user.claims.region" => Attribute::Text("WEST".to_owned()),
        "user.groups" => Attribute::Texts(vec!["a".to_owned(), "b".to_owned()]),
        other => panic!("{other}"),
    };
    let uses = PolicySqlReader::new(true).read(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    PolicySql {
        text: text.into(),
        attributes: uses.attributes.iter().map(|path| (path.as_str().into(), value(path))).collect(),
    }
}

/// `filter a.fct: region = 'x'`, `mask a.fct.ssn fixed ***`, `hide a.fct.ssn`.
fn obligation(text: &str) -> Obligation {
    let rule = RuleReference { policy: "p".into(), file: "f".into(), line: 1 };
    let (what, rest) = text.split_once(' ').unwrap();
    if what == "filter" {
        let (name, predicate) = rest.split_once(": ").unwrap();
        return Obligation::FilterRows { table: table(name), predicate: policy_sql(predicate), rule };
    }
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (name, column) = name.rsplit_once('.').unwrap();
    let (table, column) = (table(name), column.to_owned());
    let (kind, argument) = rest.split_once(' ').unwrap_or((rest, ""));
    let mask = match kind {
        "" => return Obligation::HideColumn { table, column, rule },
        "null" => Mask::Null,
        "fixed" => Mask::Fixed(argument.into()),
        "hash" => Mask::Hash,
        "partial" => Mask::Partial { last: argument.parse().unwrap() },
        "year" => Mask::Year,
        "round" => Mask::Round { to: argument.into() },
        "expression" => Mask::Expression(policy_sql(argument)),
        other => panic!("{other}"),
    };
    Obligation::MaskColumn { table, column, mask, rule }
}

fn governance(obligations: &[&str]) -> Governance {
    let mut governance = Governance::default();
    obligations.iter().for_each(|text| governance.add(&obligation(text)));
    governance
}

fn governed(world: &Model, text: &str, governance: &Governance) -> Result<Query, Error> {
    let mut query = resolved(text, world);
    let salt = Salt(Secret::new("salt"));
    let context = Context {
        source: world.snapshot().source(),
        model: world,
        sql: &PolicySqlReader::new(true),
        salt: Some(&salt),
        parameter_types: &[],
    };
    govern(&mut query, governance, context)?;
    Ok(query)
}

fn said(world: &Model, text: &str, governance: &Governance) -> String {
    let printed = governed(world, text, governance).and_then(|query| rewrite::text(&query, None));
    match printed {
        Ok(text) => text.replace("\"pg_catalog\".", "").replace("pg_catalog.", "").replace('"', ""),
        Err(error) => format!("{}: {} {}", error.sqlstate, error.message, error.hint.unwrap_or_default()),
    }
}

/// Cases are blocks: a line `- ` for each obligation, a line `> ` for each statement, each followed by what comes of it.
/// Quotation marks around names, and `pg_catalog`, are left out of what is shown.
#[test]
fn cases() {
    let world = world();
    let text = fs::read_to_string(CASES).unwrap();
    let mut out = String::new();
    let mut obligations: Vec<&str> = Vec::new();
    let mut in_statements = true;
    for line in text.lines() {
        if let Some(obligation) = line.strip_prefix("- ") {
            if in_statements {
                obligations.clear();
            }
            in_statements = false;
            obligations.push(obligation);
        } else if let Some(statement) = line.strip_prefix("> ") {
            in_statements = true;
            let said = said(&world, statement, &governance(&obligations));
            writeln!(out, "{line}\n  {said}").unwrap();
            continue;
        } else if line.starts_with("  ") {
            continue;
        }
        writeln!(out, "{line}").unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(CASES, &out).unwrap();
    }
    assert!(text == out, "{CASES} says otherwise; UPDATE=1 writes what is so, for review\n{out}");
}

/// What a client wrote is within the limits, and what would be sent is not.
#[test]
fn what_grows_too_large_by_its_filters_is_told_so() {
    let text = format!("SELECT coalesce({})", vec!["(SELECT max(id) FROM a.fct)"; 5_000].join(", "));
    let said = said(&world(), &text, &governance(&["filter a.fct: region = 'WEST'"]));
    assert!(said.starts_with("54001: statement is too complex with the filters and masks"), "{said:.200}");
}

/// A parts of a FROM clause over the tables of the world.
fn sources() -> impl Strategy<Value = String> {
    let table = prop::sample::select(vec![
        "fct f",
        "a.fct f",
        "dim f",
        "western f",
        "outer_view f",
        "twice f",
        "names f",
        "fct AS f (x, y)",
        "copy f",
        "(SELECT * FROM fct) f",
        "(SELECT id, id AS dim_id FROM a.fct WHERE region > 'a') f",
        "LATERAL (SELECT * FROM fct) f",
        "(VALUES (1)) f (id)",
        "fct f TABLESAMPLE SYSTEM (10)",
        "generate_series(1, 2) f (id)",
    ]);
    table.prop_map(str::to_owned)
}

fn conditions() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "true",
        "f.id = 1",
        "id > 1",
        "f IS NOT NULL",
        "EXISTS (SELECT 1 FROM fct g WHERE g.id = f.id)",
        "f.id IN (SELECT id FROM fct)",
        "1 / f.id > 0",
        "f.id = (SELECT max(id) FROM a.fct)",
        "f.id = ANY (SELECT a.fct.id FROM a.fct)",
        "f.id = ANY (ARRAY(SELECT id FROM western))",
        "CASE WHEN EXISTS (SELECT * FROM fct) THEN true END",
        "(f.id, 1) IN (SELECT id, 1 FROM twice)",
    ])
    .prop_map(str::to_owned)
}

fn selects() -> impl Strategy<Value = String> {
    (sources(), sources(), conditions(), conditions()).prop_map(|(one, other, on, filter)| {
        // The second is called g.
        let other = match other.rsplit_once(" f") {
            Some((before, after)) => format!("{before} g{after}"),
            None => other,
        };
        let rest = "ORDER BY (SELECT 1 FROM fct LIMIT 1)";
        format!("SELECT f.*, g, (SELECT max(ssn) FROM fct) FROM {one} LEFT JOIN {other} ON {on} WHERE {filter} {rest}")
    })
}

fn statements() -> impl Strategy<Value = String> {
    let combine = (selects(), selects()).prop_map(|(one, other)| format!("({one}) UNION ALL ({other})"));
    let with = (selects(), selects())
        .prop_map(|(one, other)| format!("WITH fct AS ({one}), x AS (SELECT * FROM fct) SELECT * FROM x, ({other}) y"));
    prop_oneof![selects(), combine, with]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However a statement is put together, no governed table is reached but through what governs it.
    #[test]
    fn nothing_gets_round(text in statements()) {
        let world = world();
        let rules = ["filter a.fct: region = user.claims.region", "mask a.fct.ssn fixed ***", "hide a.fct.born", "filter a.copy: id < 5"];
        let query = governed(&world, &text, &governance(&rules)).unwrap();
        let printed = rewrite::text(&query, None).unwrap();
        let again = parse(&printed, &Limits::for_printed_text()).unwrap();
        let Kind::Query(again) = &again[0].kind else { panic!("{printed}") };
        reached_only_through_what_governs(again, &printed);
    }
}

/// Looks at every SELECT for one that reads the governed table, which must be the derived table and nothing else.
fn reached_only_through_what_governs(query: &Query, text: &str) {
    bodies(&query.body, text);
    query.each_part(&mut |part| parts(part, text));
}

fn parts(part: Part<'_>, text: &str) {
    match part {
        Part::Expression(of) => of.each_part(&mut |part| parts(part, text)),
        Part::Query(query) => reached_only_through_what_governs(query, text),
    }
}

fn bodies(body: &Body, text: &str) {
    match body {
        Body::Select(select) => {
            for relation in &select.from {
                relations(relation, select, text);
            }
        }
        // Walked as a part.
        Body::Query(_) | Body::Values(_) => {}
        Body::Combination { left, right, .. } => {
            bodies(left, text);
            bodies(right, text);
        }
    }
}

fn relations(relation: &Relation, select: &Select, text: &str) {
    match relation {
        Relation::Table { name, .. } => {
            let parts: Vec<&str> = name.0.iter().map(|name| name.text.as_str()).collect();
            let filter = select.filter.as_ref().map(|filter| format!("{filter:?}")).unwrap_or_default();
            let items = format!("{:?}", select.items);
            match parts.as_slice() {
                ["a", "fct"] => {
                    assert!(select.from.len() == 1 && filter.contains("\"WEST\""), "{text}");
                    assert!(select.items.len() == 5 && items.contains("***") && !items.contains("born"), "{text}");
                }
                ["a", "copy"] => assert!(select.from.len() == 1 && filter.contains("\"5\""), "{text}"),
                ["a", "western" | "outer_view" | "twice"] => panic!("a view is left: {text}"),
                _ => {}
            }
        }
        Relation::Join { left, right, .. } => {
            relations(left, select, text);
            relations(right, select, text);
        }
        // Walked as a part.
        Relation::Query { .. } | Relation::Function { .. } | Relation::Functions { .. } => {}
    }
}
