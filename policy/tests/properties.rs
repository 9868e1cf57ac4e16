//! Whatever a policy file holds and whatever is asked, compiling and deciding end without a panic, and no policy added
//! to a set lets through what the set refused, except a whitelist.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::result_large_err, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use passgate_policy::{
    ColumnFacts, ColumnUse, Decision, FunctionUse, Identity, Obligation, PersonName, Place, PolicyFile, Proof, Request,
    Role, SourceName, Sql, SqlFault, SqlUse, StatementDigest, StatementKind, TableFacts, TableKind, TableName,
    TableUse, Tag, Tenant, Unlinked, Visible, Write, compile, decide, shadow, visible,
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

const COLUMNS: &[&str] = &["a.c", "b.c", "a.a.c", "a.b.d", "b.a.d"];

const TAGS: &[&str] = &["pii", "pii.c", "phi"];

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
        vec(select(NAMES), 1..3)
            .prop_map(|tables| json!({ "action": "filter", "tables": tables, "rows": "c = user.name" })),
        vec(select(TAGS), 1..3).prop_map(|tags| json!({ "action": "filter", "tags": tags, "rows": "d > 0" })),
        (vec(select(COLUMNS), 1..3), select(&["null", "hash", "year"][..]), select(&["masked", "deny"][..])).prop_map(
            |(columns, with, predicates)| {
                json!({ "action": "mask", "columns": columns, "with": with, "predicates": predicates })
            }
        ),
        (vec(select(TAGS), 1..3), 1..5u64)
            .prop_map(|(tags, last)| json!({ "action": "mask", "tags": tags, "with": "partial", "last": last })),
        (vec(select(NAMES), 1..3), vec(select(COLUMNS), 1..3))
            .prop_map(|(tables, columns)| json!({ "action": "allow", "tables": tables, "columns": columns })),
        vec(select(NAMES), 1..3).prop_map(|tables| json!({ "action": "allow", "tables": tables })),
        (1..5u64, condition())
            .prop_map(|(rows, condition)| json!({ "action": "limit", "rows": rows, "condition": condition })),
        condition().prop_map(|condition| json!({ "action": "warn", "message": "mind", "condition": condition })),
        condition().prop_map(|condition| json!({ "action": "require_approval", "by": "self", "condition": condition })),
        Just(json!({ "action": "redirect", "from": "a.a", "to": "b.b" })),
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

fn kind() -> impl Strategy<Value = TableKind> {
    select(vec![TableKind::Table, TableKind::Table, TableKind::View, TableKind::MaterializedView])
}

/// A table with its children, or a view with what it reads.
fn used(table: TableName, kind: TableKind, below: Vec<(TableName, TableKind)>) -> TableUse {
    let names: Vec<TableName> = below.iter().map(|(name, _)| name.clone()).filter(|name| *name != table).collect();
    let built_on = below.into_iter().filter(|(name, _)| *name != table).map(|(name, below_kind)| {
        Arc::new(match kind {
            TableKind::Table => TableFacts { parents: vec![table.clone()], ..facts(name, TableKind::Table) },
            TableKind::View | TableKind::MaterializedView => facts(name, below_kind),
        })
    });
    let built_on = built_on.collect();
    let mut table = facts(table, kind);
    match kind {
        TableKind::Table => table.children = names,
        TableKind::View | TableKind::MaterializedView => table.reads = names,
    }
    TableUse { table: Arc::new(table), at: Place { line: 1, column: 1 }, built_on }
}

fn facts(name: TableName, kind: TableKind) -> TableFacts {
    let column = |column: &str, type_name: &str, tag: Option<&str>| ColumnFacts {
        name: column.to_owned(),
        type_name: type_name.to_owned(),
        tags: tag.map(Tag::new).into_iter().collect(),
        inherited_tags: BTreeSet::new(),
    };
    let tag = (name.table == "a").then_some("pii.c");
    let tags = (name.schema == "b").then(|| Tag::new("phi")).into_iter().collect();
    let columns = vec![column("c", "text", tag), column("d", "integer", None)];
    TableFacts { kind, columns, tags, ..TableFacts::named(name) }
}

/// Whether the obligations after a policy was added do all that those before did.
fn keep(before: &[Obligation], after: &[Obligation]) -> bool {
    before.iter().all(|one| {
        after.iter().any(|other| match (one, other) {
            (Obligation::LimitRows { rows: before, .. }, Obligation::LimitRows { rows: after, .. }) => after <= before,
            (
                Obligation::MaskColumn { table, column, .. },
                Obligation::MaskColumn { table: other, column: others, .. }
                | Obligation::HideColumn { table: other, column: others, .. },
            ) => table == other && column == others,
            (one, other) => one.has_same_effect(other),
        })
    })
}

prop_compose! {
    fn request()(
        tables in vec((table(), kind(), vec((table(), kind()), 0..3)), 0..4),
        columns in vec((0..4usize, select(&["c", "d"][..]), any::<bool>()), 0..4),
        functions in vec((select(&["a", "pg_catalog"][..]), select(&["a", "b"][..]), any::<bool>()), 0..3),
        others in proptest::option::weighted(0.2, vec("[a-c]{1,3}", 0..5)),
        kind in select(vec![StatementKind::Query, StatementKind::Query, StatementKind::Explain, StatementKind::Write]),
        writes in vec(select(&["INSERT", "FOR UPDATE"][..]), 0..2),
        names in vec(select(&["a", "b"][..]), 5),
    ) -> Request {
        let at = Place { line: 1, column: 1 };
        let tables: Vec<TableUse> = tables.into_iter().map(|(table, kind, below)| used(table, kind, below)).collect();
        let columns = columns.into_iter().filter_map(|(index, column, in_predicate)| Some(ColumnUse {
            table: Arc::clone(&tables.get(index)?.table),
            column: column.to_owned(),
            in_answer: true,
            in_predicate,
            at,
        })).collect();
        let called = |(schema, name, pure): (&str, &str, bool)| FunctionUse {
            schema: schema.to_owned(), name: name.to_owned(), forms: Vec::new(), pure: pure && schema == "pg_catalog", at,
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
            tables,
            columns,
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

fn named(policies: &[Value]) -> Vec<Value> {
    let named = policies.iter().enumerate().map(|(index, policy)| {
        let mut policy = policy.clone();
        policy["name"] = json!(format!("p{index}"));
        policy
    });
    named.collect()
}

fn decided(policies: &[Value], request: &Request) -> Decision {
    let text = Value::from(named(policies)).to_string();
    decide(&compile(&[file(text)], None, &Words).expect("compiles"), request)
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
        let before = decided(&policies, &request);
        let grants = added["check"] == "schema_whitelist" || added["action"] == "allow";
        let is_larger_limit = added["check"] == "row_limit" || added["check"] == "bounded_work";
        let more: Vec<Value> = policies.into_iter().chain([added]).collect();
        let after = decided(&more, &request);
        prop_assert!(grants || is_allowed(&before) || !is_allowed(&after));
        if let (Decision::Allow(before), Decision::Allow(after), false) = (before, after, grants || is_larger_limit) {
            prop_assert!(keep(before.obligations(), after.obligations()), "{before:?} {after:?}");
        }
    }

    /// What is reserved is reserved within the whitelists: no `allow` shows a table that they do not list.
    #[test]
    fn an_allow_shows_nothing_that_the_whitelists_do_not(
        policies in vec(policy(), 0..6), request in request(),
    ) {
        let allowed = is_allowed(&decided(&policies, &request));
        let whitelists: Vec<Value> =
            policies.into_iter().filter(|policy| policy["check"] == "schema_whitelist").collect();
        prop_assert!(!allowed || is_allowed(&decided(&whitelists, &request)));
    }

    /// Whatever is in shadow mode changes nothing, and what it would have done is told without a panic.
    #[test]
    fn a_shadow_changes_nothing(policies in vec(policy(), 0..6), added in policy(), request in request()) {
        let answer = |decision: Decision| match decision {
            Decision::Allow(permit) => format!("{permit:?}").split("revision").next().map(str::to_owned),
            Decision::Deny(reasons) => Some(format!("{reasons:?}")),
            other => Some(format!("{:?}", std::mem::discriminant(&other))),
        };
        let before = answer(decided(&policies, &request));
        let mut added = added;
        added["mode"] = json!("shadow");
        added["name"] = json!("shadow");
        let more: Vec<Value> = named(&policies).into_iter().chain([added]).collect();
        let set = compile(&[file(Value::from(more).to_string())], None, &Words).expect("compiles");
        prop_assert_eq!(before, answer(decide(&set, &request)));
        for told in shadow(&set, &request) {
            prop_assert_eq!(&*told.rule.policy, "shadow");
        }
    }

    #[test]
    fn what_always_holds_holds_under_any_policies(policies in vec(policy(), 0..6), request in request()) {
        if let Decision::Allow(permit) = decided(&policies, &request) {
            prop_assert!(request.writes.is_empty() && request.kind != StatementKind::Write);
            prop_assert!(request.unlinked.is_empty());
            prop_assert!(request.functions.iter().all(|used| used.pure || used.schema != "pg_catalog"));
            prop_assert!(request.tables.is_empty() || !permit.fired().is_empty());
            let limits = permit.obligations().iter().filter(|one| matches!(one, Obligation::LimitRows { .. })).count();
            prop_assert_eq!(limits, 1);
            for (index, one) in permit.obligations().iter().enumerate() {
                prop_assert!(!permit.obligations().iter().skip(index + 1).any(|other| one.has_same_effect(other)));
            }
        }
    }

    /// What is visible may be named: a statement that reads all visible columns of a table is not refused for naming it,
    /// and what is hidden is refused whatever is read of it.
    #[test]
    fn what_is_visible_is_what_may_be_named(policies in vec(policy(), 0..6), request in request()) {
        let set = compile(&[file(Value::from(named(&policies)).to_string())], None, &Words).expect("compiles");
        let Some(table) = request.tables.first().cloned() else { return Ok(()) };
        let ask = |tables: Vec<TableUse>, names: &BTreeSet<String>| {
            let column = |column: &String| ColumnUse {
                table: Arc::clone(&table.table), column: column.clone(), in_answer: true, in_predicate: false, at: table.at,
            };
            let columns = names.iter().filter(|_| !tables.is_empty()).map(column).collect();
            let source = table.name().source.clone();
            let bare = Request::new(StatementDigest([0; 32]), StatementKind::Query, source, Arc::clone(&request.identity));
            match decide(&set, &Request { tables, columns, ..bare }) {
                Decision::Deny(reasons) => reasons.iter().map(|reason| reason.rule.policy.to_string()).collect(),
                _ => BTreeSet::new(),
            }
        };
        let nothing = BTreeSet::new();
        let anyway = ask(Vec::new(), &nothing);
        let bare = ask(vec![table.clone()], &nothing);
        match visible(&set, &request.identity, &request.facts, &table) {
            Visible::No => {
                prop_assert!(!bare.is_subset(&anyway));
                let one = BTreeSet::from(["c".to_owned()]);
                prop_assert!(!ask(vec![table.clone()], &one).is_empty());
            }
            Visible::Columns { names, governed: _ } => {
                let all = ask(vec![table.clone()], &names);
                prop_assert!(bare.is_subset(&anyway) || all.is_subset(&anyway), "{bare:?} {all:?}");
                if let Decision::Allow(permit) = decide(&set, &Request { tables: vec![table.clone()], ..request.clone() }) {
                    for obligation in permit.obligations() {
                        if let Obligation::HideColumn { table: of, column, .. } = obligation {
                            prop_assert!(of != table.name() || !names.contains(column) || of.source != request.source);
                        }
                    }
                }
            }
        }
    }

    /// Whoever asks the catalog is held, limited and told nothing, and is blocked all the same.
    #[test]
    fn a_question_to_the_catalog_is_answered_or_refused(policies in vec(policy(), 0..6), request in request()) {
        let asked = Request {
            of_catalog: true, tables: Vec::new(), columns: Vec::new(), unlinked: Vec::new(), ..request.clone()
        };
        match decided(&policies, &asked) {
            Decision::Allow(permit) => prop_assert!(permit.obligations().is_empty() && permit.warnings().is_empty()),
            Decision::Deny(_) => {}
            other => prop_assert!(false, "{:?}", other),
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
