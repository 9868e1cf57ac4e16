//! Whatever a policy file holds and whatever is asked, compiling and deciding end without a panic, and no policy added
//! to a set lets through what the set refused, except a whitelist.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::result_large_err, reason = "a test")]

use std::sync::Arc;

use passgate_policy::{
    Decision, FunctionUse, Identity, PersonName, Place, PolicyFile, Proof, Request, Role, SourceName, Sql, SqlFault,
    SqlUse, StatementDigest, StatementKind, TableFacts, TableName, TableUse, Tenant, Unlinked, Write, compile, decide,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

mod words;
use words::Words;

/// Words that policies and statements are made of, so that they meet.
const WORDS: &[&str] = &[
    "a",
    "b",
    "A",
    "a.b",
    "b.a",
    "a.a",
    "\"a.b\"",
    "",
    "*",
    "pg_catalog",
    "block",
    "row_limit",
    "no_mutations",
    "no_cross_join",
    "schema_whitelist",
    "é",
    "\u{0}",
];

const KEYS: &[&str] = &[
    "$schema",
    "name",
    "description",
    "check",
    "applies_to",
    "message",
    "unknown_ok",
    "condition",
    "action",
    "rows",
    "schemas",
    "tables",
    "functions",
    "sources",
    "users",
    "groups",
    "roles",
    "tenants",
    "all",
    "any",
    "not",
    "tables_referenced",
    "schemas_referenced",
    "functions_referenced",
    "contains_any",
    "contains_all",
    "contains_none",
    "only",
    "nmae",
];

const NAMES: &[&str] = &["a", "b", "a.a", "a.b", "b.a"];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(WORDS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((select(KEYS), inner), 0..6).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
            )),
        ]
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let subjects = select(&["tables_referenced", "functions_referenced"][..]);
    let operators = select(&["contains_any", "contains_all", "contains_none", "only"][..]);
    let leaf = (subjects, operators, vec(select(NAMES), 1..3))
        .prop_map(|(subject, operator, names)| json!({ subject: { operator: names } }));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(|parts| json!({ "all": parts })),
            vec(inner.clone(), 1..3).prop_map(|parts| json!({ "any": parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    })
}

/// A policy that compiles, without its name.
fn policy() -> impl Strategy<Value = Value> {
    let kinds = prop_oneof![
        condition().prop_map(|condition| json!({ "condition": condition, "action": "block" })),
        vec(select(&["a", "b"][..]), 1..3).prop_map(|names| json!({ "check": "schema_whitelist", "schemas": names })),
        vec(select(&["a.a", "b.a"][..]), 1..3)
            .prop_map(|names| json!({ "check": "schema_whitelist", "tables": names, "functions": names })),
        (1..5u64).prop_map(|rows| json!({ "check": "row_limit", "rows": rows })),
        select(&["no_mutations", "no_cross_join"][..]).prop_map(|check| json!({ "check": check })),
    ];
    let audience = proptest::option::of(
        (select(&["sources", "users", "groups", "roles", "tenants"][..]), vec(select(&["a", "b"][..]), 1..3))
            .prop_map(|(key, names)| json!({ key: names })),
    );
    (kinds, audience).prop_map(|(mut policy, audience)| {
        if let Some(audience) = audience {
            policy["applies_to"] = audience;
        }
        policy
    })
}

prop_compose! {
    fn table()(source in select(&["a", "b"][..]), schema in select(&["a", "b", "A"][..]), table in select(&["a", "b"][..]))
        -> TableName {
        TableName { source: SourceName::new(source), schema: schema.to_owned(), table: table.to_owned() }
    }
}

prop_compose! {
    fn request()(
        tables in vec((table(), vec(table(), 0..3)), 0..4),
        functions in vec((select(&["a", "pg_catalog"][..]), select(&["a", "b"][..]), any::<bool>()), 0..3),
        others in proptest::option::weighted(0.2, vec("[a-c]{1,3}", 0..5)),
        kind in select(vec![StatementKind::Query, StatementKind::Query, StatementKind::Explain, StatementKind::Write]),
        writes in vec(select(&["INSERT", "FOR UPDATE"][..]), 0..2),
        names in vec(select(&["a", "b"][..]), 5),
    ) -> Request {
        let at = Place { line: 1, column: 1 };
        let facts = |table| Arc::new(TableFacts::named(table));
        let used = |(table, below): (TableName, Vec<TableName>)| TableUse {
            table: facts(table), at, built_on: below.into_iter().map(facts).collect(),
        };
        let called = |(schema, name, pure): (&str, &str, bool)| FunctionUse {
            schema: schema.to_owned(), name: name.to_owned(), pure: pure && schema == "pg_catalog", at,
        };
        let identity = Arc::new(Identity {
            person: PersonName::new(names[1]),
            subject: names[1].to_owned(),
            email: None,
            tenant: Tenant::new(names[2]),
            groups: [names[3].to_owned()].into(),
            roles: [Role::new(names[4])].into(),
            claims: serde_json::Map::new(),
            proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
        });
        Request {
            tables: tables.into_iter().map(used).collect(),
            functions: functions.into_iter().map(called).collect(),
            unlinked: others.into_iter().map(|others| Unlinked { relation: "r".to_owned(), others, at }).collect(),
            writes: if kind == StatementKind::Write {
                writes.into_iter().map(|command| Write { command, at }).collect()
            } else {
                Vec::new()
            },
            ..Request::new(StatementDigest([0; 32]), kind, SourceName::new(names[0]), identity)
        }
    }
}

fn file(text: String) -> PolicyFile {
    PolicyFile { path: "p.json".to_owned(), text }
}

fn decided(policies: &[Value], request: &Request) -> Decision {
    let named: Vec<Value> = policies
        .iter()
        .enumerate()
        .map(|(index, policy)| {
            let mut policy = policy.clone();
            policy["name"] = json!(format!("p{index}"));
            policy
        })
        .collect();
    decide(&compile(&[file(Value::from(named).to_string())], None, &Words).expect("compiles"), request)
}

fn is_allowed(decision: &Decision) -> bool {
    matches!(decision, Decision::Allow(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_compiles_or_is_refused(text in any::<String>()) {
        let _ = compile(&[file(text)], None, &Words);
    }

    #[test]
    fn any_text_made_of_json_compiles_or_is_refused(parts in vec(select(&[
        "{", "}", "[", "]", ":", ",", "\"name\"", "\"", "\\", "//", "/*", "*/", "\n", "1", "-", "tru", "é", "\u{feff}", "\\u12",
    ][..]), 0..40)) {
        let _ = compile(&[file(parts.concat())], None, &Words);
    }

    #[test]
    fn any_json_compiles_or_is_refused_in_its_file(value in any_json()) {
        let text = format!("{value:#}");
        if let Err(problems) = compile(&[file(text.clone())], None, &Words) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(!problem.underlined(&text).is_empty(), "{}", problem);
            }
        }
    }

    #[test]
    fn what_is_decided_is_decided_again(policies in vec(policy(), 0..6), request in request()) {
        let answer = |decision: Decision| match decision {
            Decision::Allow(permit) => Ok((permit.obligations().to_vec(), permit.fired().to_vec())),
            Decision::Deny(reasons) => Err(reasons),
            Decision::Hold(_) | Decision::Redirect(_) | Decision::Estimate(_) => Ok((Vec::new(), Vec::new())),
        };
        prop_assert_eq!(answer(decided(&policies, &request)), answer(decided(&policies, &request)));
    }

    #[test]
    fn nothing_but_a_whitelist_lets_more_through(
        policies in vec(policy(), 0..6), added in policy(), request in request(),
    ) {
        let before = is_allowed(&decided(&policies, &request));
        let is_whitelist = added["check"] == "schema_whitelist";
        let more: Vec<Value> = policies.into_iter().chain([added]).collect();
        let after = is_allowed(&decided(&more, &request));
        prop_assert!(is_whitelist || before || !after);
    }

    #[test]
    fn what_always_holds_holds_under_any_policies(policies in vec(policy(), 0..6), request in request()) {
        if let Decision::Allow(permit) = decided(&policies, &request) {
            prop_assert!(request.writes.is_empty() && request.kind != StatementKind::Write);
            prop_assert!(request.unlinked.is_empty());
            prop_assert!(request.functions.iter().all(|used| used.pure || used.schema != "pg_catalog"));
            prop_assert!(request.tables.is_empty() || !permit.fired().is_empty());
            prop_assert_eq!(permit.obligations().len(), 1);
        }
    }

    #[test]
    fn the_order_of_the_statement_changes_nothing(policies in vec(policy(), 0..6), request in request()) {
        let mut turned = request.clone();
        turned.tables.reverse();
        turned.functions.reverse();
        prop_assert_eq!(is_allowed(&decided(&policies, &request)), is_allowed(&decided(&policies, &turned)));
    }

    /// The index of conditions by name finds every condition that holds.
    #[test]
    fn a_condition_that_is_wrapped_holds_as_before(condition in condition(), request in request()) {
        let whitelist = json!({ "check": "schema_whitelist", "schemas": ["a", "b", "A"], "functions": ["a.a", "a.b"] });
        let block = |condition: Value| {
            let blocking = json!({ "condition": condition, "action": "block" });
            is_allowed(&decided(&[whitelist.clone(), blocking], &request))
        };
        // A double negation has no triggers, so it is evaluated without the index.
        prop_assert_eq!(block(condition.clone()), block(json!({ "not": { "not": condition } })));
    }
}
