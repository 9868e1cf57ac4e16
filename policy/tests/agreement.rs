//! A condition in JSON and the same in CEL decide the same, whatever is asked: both are made from one.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use passgate_policy::{
    ColumnFacts, ColumnUse, Costs, Decision, Estimate, Facts, FunctionUse, Identity, NoSql, PersonName, Place,
    PolicyFile, PolicySet, Proof, Request, Role, SourceName, StatementDigest, StatementKind, TableFacts, TableName,
    TableUse, Tag, Tenant, compile, decide,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// A condition, as JSON and as CEL.
type Both = (Value, String);

fn quoted(texts: &[&str]) -> String {
    format!("[{}]", texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", "))
}

/// Which of some texts a list has, in both.
fn lists(
    key: &'static [&'static str],
    cel: &'static str,
    texts: &'static [&'static str],
) -> impl Strategy<Value = Both> {
    let operators = select(&["contains_any", "contains_all", "contains_none"][..]);
    (operators, vec(select(texts), 1..3)).prop_map(move |(operator, texts)| {
        let has: Vec<String> = texts.iter().map(|text| format!("'{text}' in {cel}")).collect();
        let expression = match operator {
            "contains_any" => format!("({})", has.join(" || ")),
            "contains_all" => format!("({})", has.join(" && ")),
            _ => format!("!{cel}.exists(x, x in {})", quoted(&texts)),
        };
        (nested(key, json!({ operator: texts })), expression)
    })
}

fn nested(keys: &[&str], inner: Value) -> Value {
    keys.iter().rev().fold(inner, |inner, key| json!({ *key: inner }))
}

/// How a text compares, in both.
fn texts(key: &'static [&'static str], cel: &'static str) -> impl Strategy<Value = Both> {
    (select(&["eq", "in", "matches"][..]), select(&["a", "b"][..])).prop_map(move |(operator, text)| match operator {
        "eq" => (nested(key, json!({ "eq": text })), format!("{cel} == '{text}'")),
        "in" => (nested(key, json!({ "in": [text, "c"] })), format!("{cel} in ['{text}', 'c']")),
        _ => (nested(key, json!({ "matches": text })), format!("{cel}.matches('{text}')")),
    })
}

/// How a number compares, in both.
fn numbers(key: &'static [&'static str], cel: &'static str) -> impl Strategy<Value = Both> {
    (select(&["above", "below", "between"][..]), 1..4_u32).prop_map(move |(operator, number)| {
        let number = f64::from(number) / 4.0;
        match operator {
            "above" => (nested(key, json!({ "above": number })), format!("{cel} > {number:?}")),
            "below" => (nested(key, json!({ "below": number })), format!("{cel} < {number:?}")),
            _ => (nested(key, json!({ "between": [number, 1.0] })), format!("({cel} >= {number:?} && {cel} <= 1.0)")),
        }
    })
}

fn others() -> impl Strategy<Value = Both> {
    let hours = |from: u32, to: u32, cel: &str| {
        (
            json!({ "time": { "hours": { "from": format!("{from:02}:00"), "to": format!("{to:02}:00") } } }),
            cel.to_owned(),
        )
    };
    select(vec![
        (json!({ "full_export": true }), "full_export".to_owned()),
        (json!({ "first_access_to_source": false }), "!first_access_to_source".to_owned()),
        (json!({ "time": { "days": ["mon", "sat"] } }), "time.weekday in ['mon', 'sat']".to_owned()),
        (
            json!({ "time": { "days": ["mon"], "time_zone": "Asia/Tokyo" } }),
            "time.inZone('Asia/Tokyo').weekday == 'mon'".to_owned(),
        ),
        hours(8, 18, "(time.hour >= 8 && time.hour < 18)"),
        hours(22, 6, "(time.hour >= 22 || time.hour < 6)"),
        (json!({ "time": { "dates": { "from": "1970-06-01" } } }), "time.date >= '1970-06-01'".to_owned()),
        (json!({ "client_address": { "in": ["10.0.0.0/8"] } }), "client_address.inNetwork('10.0.0.0/8')".to_owned()),
        (json!({ "statement_kind": { "in": ["query"] } }), "statement_kind == 'query'".to_owned()),
        (json!({ "functions_referenced": { "only": ["a.a"] } }), "functions_referenced.all(f, f == 'a.a')".to_owned()),
        (json!({ "user": { "groups": { "only": ["a"] } } }), "user.groups.all(g, g == 'a')".to_owned()),
    ])
}

fn condition() -> impl Strategy<Value = Both> {
    const NAMES: &[&str] = &["a.a", "a.b", "b.a"];
    let leaf = prop_oneof![
        lists(&["tables_referenced"], "tables_referenced", NAMES),
        lists(&["schemas_referenced"], "schemas_referenced", &["a", "b"]),
        lists(&["columns_referenced"], "columns_referenced", &["a.a.x", "a.b.y"]),
        lists(&["functions_referenced"], "functions_referenced", NAMES),
        lists(&["sources_referenced"], "sources_referenced", &["a", "b"]),
        lists(&["classifications_referenced"], "classifications_referenced", &["pii", "pii.ssn", "phi"]),
        lists(&["user", "groups"], "user.groups", &["a", "b"]),
        lists(&["user", "roles"], "user.roles", &["a", "b"]),
        lists(&["user", "claims", "list"], "user.claims.list", &["a", "b"]),
        texts(&["user", "name"], "user.name"),
        texts(&["user", "email"], "user.email"),
        texts(&["user", "claims", "text"], "user.claims.text"),
        texts(&["application_name"], "application_name"),
        texts(&["purpose"], "purpose"),
        numbers(&["user", "claims", "number"], "user.claims.number"),
        numbers(&["estimated", "cost_usd"], "estimated.cost_usd"),
        numbers(&["estimated", "rows"], "estimated.rows"),
        numbers(&["confidence"], "confidence"),
        others(),
        others(),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let several = |key: &'static str, sign: &'static str, parts: Vec<Both>| {
            let (json, cel): (Vec<Value>, Vec<String>) = parts.into_iter().unzip();
            (json!({ key: json }), format!("({})", cel.join(sign)))
        };
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(move |parts| several("all", " && ", parts)),
            vec(inner.clone(), 1..3).prop_map(move |parts| several("any", " || ", parts)),
            inner.prop_map(|(json, cel)| (json!({ "not": json }), format!("!({cel})"))),
        ]
    })
}

prop_compose! {
    fn table()(schema in select(&["a", "b"][..]), table in select(&["a", "b"][..]), tag in option::of(tag())) -> Arc<TableFacts> {
        let column = |name: &str, tags: Option<Tag>| ColumnFacts {
            name: name.to_owned(), type_name: "text".to_owned(), tags: tags.into_iter().collect(), inherited_tags: BTreeSet::new(),
        };
        let name = TableName { source: SourceName::new("a"), schema: schema.to_owned(), table: table.to_owned() };
        Arc::new(TableFacts {
            columns: vec![column("x", tag.clone()), column("y", None)],
            tags: tag.filter(|_| table == "b").into_iter().collect(),
            ..TableFacts::named(name)
        })
    }
}

fn tag() -> impl Strategy<Value = Tag> {
    select(&["pii", "pii.ssn", "phi.x", "piix"][..]).prop_map(Tag::new)
}

fn claims() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let text = select(vec![None, Some(json!("a")), Some(json!("ab")), Some(json!(3)), Some(json!(["a"]))]);
    let number = select(vec![None, Some(json!(1)), Some(json!(0.5)), Some(json!("1")), Some(json!(true))]);
    let list = select(vec![None, Some(json!(["a"])), Some(json!(["a", "b", "c"])), Some(json!([])), Some(json!("a"))]);
    (text, number, list).prop_map(|(text, number, list)| {
        let claims = [("text", text), ("number", number), ("list", list)];
        claims.into_iter().filter_map(|(name, claim)| Some((name.to_owned(), claim?))).collect()
    })
}

prop_compose! {
    fn facts()(
        now in 0..400_000_000_i64, application_name in "[abc]{0,2}", purpose in option::of("[abc]{1,2}"),
        inside in any::<bool>(), estimate in option::of(option::of((option::of(0.0..1.5), option::of(0.0..1.5)))),
        confidence in option::of(0.0..1.0), first_access_to_source in any::<Option<bool>>(),
    ) -> Facts {
        Facts {
            now,
            application_name,
            client_address: if inside { [10, 1, 2, 3].into() } else { [192, 0, 2, 1].into() },
            declared: purpose.into_iter().map(|purpose| ("passgate.purpose".to_owned(), purpose)).collect(),
            estimate: match estimate {
                None => Estimate::NotMade,
                Some(None) => Estimate::Unknown,
                Some(Some((cost_usd, rows))) => Estimate::Known(Costs {
                    cost_usd, rows, bytes: None, rows_of_largest_step: None, rows_read: None,
                }),
            },
            confidence,
            first_access_to_source,
            ..Facts::default()
        }
    }
}

prop_compose! {
    fn request()(
        facts in facts(), claims in claims(), email in option::of("[abc]{1,2}"), full_export in any::<bool>(),
        tables in vec((table(), vec(table(), 0..2)), 0..3), columns in vec((table(), select(&["x", "y"][..])), 0..3),
        functions in vec((select(&["a", "b"][..]), select(&["a", "b"][..])), 0..3),
        names in vec(select(&["a", "b"][..]), 3), groups in vec(select(&["a", "b", "c"][..]), 0..3),
        kind in select(vec![StatementKind::Query, StatementKind::Explain]),
    ) -> Request {
        let at = Place { line: 1, column: 1 };
        let identity = Arc::new(Identity {
            person: PersonName::new(names[0]),
            subject: "1".to_owned(),
            email,
            tenant: Tenant::new("t"),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            roles: groups.iter().skip(1).map(|role| Role::new(*role)).collect(),
            claims,
            proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
        });
        let used = |(table, built_on): (_, Vec<_>)| TableUse { table, at, built_on: built_on.into() };
        let read = |(table, column): (_, &str)| {
            ColumnUse { table, column: column.to_owned(), in_answer: true, in_predicate: false, at }
        };
        let called = |(schema, name): (&str, &str)| {
            FunctionUse { schema: schema.to_owned(), name: name.to_owned(), forms: Vec::new(), pure: false, at }
        };
        Request {
            facts,
            full_export,
            tables: tables.into_iter().map(used).collect(),
            columns: columns.into_iter().map(read).collect(),
            functions: functions.into_iter().map(called).collect(),
            ..Request::new(StatementDigest([0; 32]), kind, SourceName::new(names[1]), identity)
        }
    }
}

/// Whom a policy is for, and whether that is who asks.
type Audience = (Value, fn(&Request) -> bool);

fn audience() -> impl Strategy<Value = Audience> {
    let all: Vec<Audience> = vec![
        (json!({ "tenants": ["t", "u"] }), |_| true),
        (json!({ "users": ["b"] }), |request| request.identity.person == PersonName::new("b")),
        (json!({ "groups": ["a", "c"] }), |request| {
            request.identity.groups.contains("a") || request.identity.groups.contains("c")
        }),
        (json!({ "roles": ["a"], "tenants": ["t"] }), |request| request.identity.roles.contains(&Role::new("a"))),
        (json!({ "tenants": ["other"] }), |_| false),
        // Every table is of source a.
        (json!({ "sources": ["a"] }), |request| request.source == SourceName::new("a") || !request.tables.is_empty()),
    ];
    select(all)
}

/// Whether a statement is refused, let through, or waits for an estimate, where only this condition blocks.
fn decided(condition: Value, request: &Request) -> &'static str {
    answer(&compiled(condition), request)
}

fn compiled(condition: Value) -> PolicySet {
    let whitelist = json!({
        "name": "all", "check": "schema_whitelist", "schemas": ["a", "b"], "functions": ["a.a", "a.b", "b.a", "b.b"],
    });
    let mut block = json!({ "name": "block", "action": "block" });
    block.as_object_mut().expect("an object").extend(condition.as_object().expect("an object").clone());
    let file = PolicyFile { path: "p.json".to_owned(), text: json!([whitelist, block]).to_string() };
    compile(&[file], None, &NoSql).expect("compiles")
}

fn answer(policies: &PolicySet, request: &Request) -> &'static str {
    match decide(policies, request) {
        Decision::Allow(_) => "allowed",
        Decision::Deny(_) => "refused",
        Decision::Estimate(_) => "waits for an estimate",
        Decision::Hold(_) | Decision::Redirect(_) => "something else",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn json_and_cel_decide_the_same((json, cel) in condition(), request in request()) {
        let (one, other) = (json!({ "condition": json }), json!({ "when": cel }));
        prop_assert_eq!(decided(one, &request), decided(other, &request));
    }

    /// Policies are found by the names that they cannot act without; what is negated twice cannot be found like that.
    #[test]
    fn no_policy_that_acts_is_overlooked((json, cel) in condition(), (applies_to, is_meant) in audience(), request in request()) {
        let expected = match is_meant(&request) {
            true => decided(json!({ "condition": { "not": { "not": json.clone() } } }), &request),
            false => decided(json!({ "condition": { "full_export": true, "not": { "full_export": true } } }), &request),
        };
        prop_assert_eq!(decided(json!({ "applies_to": applies_to.clone(), "condition": json }), &request), expected);
        prop_assert_eq!(decided(json!({ "applies_to": applies_to, "when": cel }), &request), expected);
    }

    /// What was answered once may be answered again while the moment is the same to the policies.
    #[test]
    fn moments_that_policies_cannot_tell_apart_are_answered_alike(
        (json, cel) in condition(), request in request(), later in prop_oneof![0..60_i64, 0..10_000_000_i64],
    ) {
        let mut then = request.clone();
        then.facts.now += later;
        for condition in [json!({ "condition": json }), json!({ "when": cel })] {
            let policies = compiled(condition);
            if policies.moment(request.facts.now) == policies.moment(then.facts.now) {
                prop_assert_eq!(answer(&policies, &request), answer(&policies, &then));
            }
        }
    }

    /// What is neither true nor false is refused also when it is turned round.
    #[test]
    fn a_condition_and_its_opposite_never_both_let_pass((json, _) in condition(), request in request()) {
        let one = decided(json!({ "condition": json.clone() }), &request);
        let other = decided(json!({ "condition": { "not": json } }), &request);
        prop_assert!(one != "allowed" || other != "allowed");
        prop_assert!(one == "waits for an estimate" || other != "waits for an estimate");
    }
}

#[test]
fn policies_that_do_not_ask_for_the_time_have_no_moments() {
    let moment = |condition: Value| compiled(condition).moment(130);
    assert_eq!(moment(json!({ "when": "full_export && user.name == 'a'" })), None);
    assert_eq!(moment(json!({ "condition": { "full_export": true } })), None);
    assert_eq!(moment(json!({ "when": "full_export && time.hour < 8" })), Some(2));
    assert_eq!(moment(json!({ "when": "time.inZone('Asia/Tokyo').weekday == 'mon'", "mode": "shadow" })), Some(2));
    assert_eq!(moment(json!({ "condition": { "not": { "time": { "days": ["mon"] } } } })), Some(2));
}
