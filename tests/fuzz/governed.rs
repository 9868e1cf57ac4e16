//! Statements over governed tables, mutated: decided and rewritten, they name such a table inside its derived table
//! only.
//!
//! The rewritten text is read back and walked here by other means than the gateway's, so that both would have to be
//! wrong in the same place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use passgate::catalog::Snapshot;
use passgate::plan::{self, Model, Rewriter, Rewriting};
use passgate::statement::tree::{Body, Expression, Item, JoinCondition, Literal, Query, Relation, Select};
use passgate::statement::{self, Kind, Limits, Part};
use passgate_connectors::{Column, Metadata, Relation as Found, RelationKind};
use passgate_policy::{Decision, Facts, Identity, PersonName, PolicyFile, Proof, SourceName, Tenant, compile, decide};

use super::{WORDS_OF_SQL, fuzz};

/// What the filter of the governed table compares with, and nothing else does.
const KEPT: &str = "only what is kept";

const POLICIES: &str = r#"[
    { "name": "all", "check": "schema_whitelist", "schemas": ["a", "b"] },
    { "name": "kept", "action": "filter", "tables": ["a.fct"], "rows": "region = 'only what is kept'" },
    { "name": "masked", "action": "mask", "columns": ["a.fct.ssn"], "with": "fixed" },
    { "name": "hidden", "action": "allow", "applies_to": { "groups": ["nobody"] }, "columns": ["a.fct.born"] }
]"#;

#[test]
fn a_governed_table_is_named_inside_its_derived_table_only() {
    let seeds: Vec<Vec<u8>> = include_str!("../../gateway/src/plan/govern/cases.txt")
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .chain(include_str!("../../gateway/src/statement/queries.sql").split(";\n"))
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let rewriter = Rewriter::new(None);
    let file = PolicyFile { path: "fuzz.json".to_owned(), text: POLICIES.to_owned() };
    let policies = compile(&[file], None, rewriter.sql()).expect("the policies are right");
    let model = Model::new(Arc::new(snapshot()), &policies);
    let identity = Arc::new(identity());
    let governed = AtomicU64::new(0);
    fuzz(&seeds, &WORDS_OF_SQL, |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(statements) = statement::parse(&text, &Limits::default()) else { return };
        for statement in statements.iter().filter(|statement| statement.kind.is_governed()) {
            let Ok(plan) = plan::resolve(statement, &model) else { continue };
            let request = plan::request(&plan, &identity, Facts::default());
            let Decision::Allow(permit) = decide(&policies, &request) else { continue };
            if let Ok(query) = rewriter.rewrite(plan, permit, Rewriting::of(&model, &identity.tenant)) {
                let text = &query.query().text;
                check(text);
                governed.fetch_add(text.contains(KEPT).into(), Ordering::Relaxed);
            }
        }
    });
    let governed = governed.into_inner();
    assert!(governed > 10, "hardly any statement was governed");
    println!("{governed} rewritten texts were governed");
}

fn check(text: &str) {
    let again = statement::parse(text, &Limits::for_printed_text()).expect("what is sent can be read");
    for statement in again {
        match &statement.kind {
            Kind::Query(tree) | Kind::Copy(tree, _) | Kind::Declare(tree, _) | Kind::Explain(tree, _) => {
                check_query(tree, text);
            }
            other => panic!("{other:?} is sent: {text}"),
        }
    }
}

fn check_query(query: &Query, text: &str) {
    // Every query and expression that stands directly inside, and so on inwards.
    query.each_part(&mut |part| check_part(part, text));
    check_body(&query.body, text);
}

fn check_part(part: Part<'_>, text: &str) {
    match part {
        Part::Query(query) => check_query(query, text),
        Part::Expression(of) => of.each_part(&mut |part| check_part(part, text)),
    }
}

fn check_body(body: &Body, text: &str) {
    match body {
        Body::Select(select) => {
            let tables: usize = select.from.iter().map(governed_tables).sum();
            assert!(tables == 0 || tables == 1 && is_derived(select), "not governed: {text}");
        }
        // The queries inside are parts.
        Body::Values(_) | Body::Query(_) => {}
        Body::Combination { left, right, .. } => {
            check_body(left, text);
            check_body(right, text);
        }
    }
}

/// How many times a FROM names a governed table, outside of its own subqueries.
fn governed_tables(relation: &Relation) -> usize {
    match relation {
        Relation::Table { name, .. } => {
            let name: Vec<&str> = name.0.iter().map(|name| name.text.as_str()).collect();
            usize::from(matches!(name.as_slice(), ["a", "fct" | "part" | "western"]))
        }
        Relation::Join { left, right, on, .. } => {
            // What ON holds is a part of the query.
            let _: &JoinCondition = on;
            governed_tables(left) + governed_tables(right)
        }
        Relation::Query { .. } | Relation::Function { .. } | Relation::Functions { .. } => 0,
    }
}

/// Whether a SELECT gives the rows that are kept, and of their columns nothing that is masked or hidden.
fn is_derived(select: &Select) -> bool {
    let Select { distinct: None, items, from, filter: Some(filter), group_by, having: None, windows, .. } = select
    else {
        return false;
    };
    let kept = match filter {
        Expression::And(list) => list.iter().any(keeps),
        other => keeps(other),
    };
    // A column that is shown to all, as it is or behind a condition that the planner cannot look through.
    let open = |of: &Expression| match of {
        Expression::Column(path) => path.0.last().is_some_and(|name| !["ssn", "born"].contains(&name.text.as_str())),
        _ => false,
    };
    let shown = |item: &Item| match item {
        Item::Expression { of: Expression::Case { operand: None, arms, otherwise: Some(otherwise) }, .. } => {
            open(otherwise) && arms.iter().all(|(_, then)| open(then))
        }
        Item::Expression { of: Expression::Cast { of, .. }, .. } => matches!(**of, Expression::Literal(_)),
        Item::Expression { of, .. } => open(of),
        _ => false,
    };
    kept && from.len() == 1
        && matches!(from[0], Relation::Table { .. })
        && group_by.is_empty()
        && windows.is_empty()
        && items.iter().all(shown)
}

/// `region = 'only what is kept'`.
fn keeps(of: &Expression) -> bool {
    let constant = |of: &Expression| {
        let of = if let Expression::Cast { of, .. } = of { of } else { of };
        matches!(of, Expression::Literal(Literal::String(text)) if text == KEPT)
    };
    let region = |of: &Expression| matches!(of, Expression::Column(path) if path.0.last().is_some_and(|name| name.text == "region"));
    matches!(of, Expression::Infix { operator, left, right } if operator == "=" && region(left) && constant(right))
}

pub(super) fn identity() -> Identity {
    Identity {
        person: PersonName::new("ana"),
        subject: "ana".to_owned(),
        email: None,
        tenant: Tenant::new("acme"),
        groups: Default::default(),
        roles: Default::default(),
        claims: Default::default(),
        proof: Proof { method: "oidc", issuer: "fuzz".to_owned(), expires_at: None },
    }
}

/// The tables that the cases of governing name: one that is governed, a child of it, views over it, and others.
pub(super) fn snapshot() -> Snapshot {
    const FCT: [&str; 6] = ["id", "region", "amount", "ssn", "born", "dim_id"];
    let relation = |kind, schema: &str, name: &str, columns: &[&str], on: &[&str], definition: &str| Found {
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind,
        columns: columns.iter().map(|name| column(name)).collect(),
        built_on: on.iter().map(|name| ("a".to_owned(), (*name).to_owned())).collect(),
        definition: (!definition.is_empty()).then(|| definition.to_owned()),
        ..Found::default()
    };
    use RelationKind::{MaterializedView, Table, View};
    let western = "SELECT fct.id, fct.ssn AS who FROM a.fct WHERE (fct.region <> 'EAST'::text)";
    let nested = "SELECT western.id, western.who FROM (a.western JOIN a.dim ON ((dim.id = western.id)))";
    let relations = vec![
        relation(Table, "a", "fct", &FCT, &[], ""),
        relation(Table, "a", "part", &FCT, &["fct"], ""),
        relation(Table, "b", "fct", &FCT, &[], ""),
        relation(Table, "a", "dim", &["id", "name", "ssn"], &[], ""),
        relation(View, "a", "western", &["id", "who"], &["fct"], western),
        relation(View, "a", "outer_view", &["id", "who"], &["western", "dim"], nested),
        relation(MaterializedView, "a", "copy", &["id", "ssn"], &["fct"], "SELECT fct.id, fct.ssn FROM a.fct"),
    ];
    let metadata = Metadata { server_version: "15".to_owned(), relations, ..Metadata::default() };
    Snapshot::new(SourceName::new("fuzz"), "a".to_owned(), metadata)
}

fn column(name: &str) -> Column {
    let (type_name, type_oid) = match name {
        "id" | "dim_id" => ("integer", 23),
        "amount" => ("numeric", 1700),
        "born" => ("date", 1082),
        _ => ("text", 25),
    };
    Column { name: name.to_owned(), type_name: type_name.to_owned(), type_oid, ..Column::default() }
}
