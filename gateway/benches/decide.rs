//! What a decision costs, side by side with Cedar and OPA's Rego (regorus) on the same rules, in one run:
//!
//! ```text
//! cargo bench -p passgate --no-default-features --features comparison --bench decide
//! ```
//!
//! Every rule forbids one table to one group, and one more lets everybody read the schema. Each engine answers the same
//! question: may a person of two groups read one table? Ours is asked of a SQL statement, theirs of names. Without the
//! feature only ours is measured; run as a test it only shows that it works.
//!
//! Ours is also measured with rules of every other action, which the others do not have: as many, on other tables and for
//! other people, so that none of them does anything and each has to be passed over.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench prints its numbers and stops at the first surprise"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use passgate::catalog::Snapshot;
use passgate::plan::{self, Allowed, Context, Model, PolicySqlReader, Question, Rewriter, Rewriting, Seen, Terms};
use passgate::statement::{Limits, parse};
use passgate_connectors::{Column, Metadata, Relation};
use passgate_policy::{
    Decision, Facts, Identity, PersonName, PolicyFile, PolicySet, Proof, Request, SourceName, Tenant, compile, decide,
};

const RULES: [usize; 3] = [20, 200, 2_000];
const STATEMENT: &str = "SELECT region, sum(amount) FROM sales.t7 WHERE sold_on >= '2026-01-01' GROUP BY region";

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let spend = if measured { Duration::from_millis(800) } else { Duration::from_millis(2) };
    println!("{:>6} {:52} {:>12}", "rules", "what", "each");
    for rules in RULES {
        let show = |what: &str, each: Duration| println!("{rules:>6} {what:52} {:>9.2} µs", each.as_secs_f64() * 1e6);
        ours(rules, spend, &show);
        #[cfg(feature = "comparison")]
        others::measure(rules, spend, &show);
    }
}

/// The mean time of one call, over as many as fit in `spend`.
fn timed(spend: Duration, mut call: impl FnMut()) -> Duration {
    call();
    let began = Instant::now();
    let mut calls = 0_u32;
    while began.elapsed() < spend {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    began.elapsed() / calls.max(1)
}

fn ours(rules: usize, spend: Duration, show: &dyn Fn(&str, Duration)) {
    let policies = policies(rules);
    let identity = identity();
    let model = Arc::new(Model::new(Arc::new(snapshot(rules)), &policies));
    let limits = Limits::default();
    let ask = || {
        let statement = parse(STATEMENT, &limits).unwrap().remove(0);
        let plan = plan::resolve(&statement, &model).unwrap();
        let request = plan::request(&plan, &identity, Facts::default());
        (plan, request)
    };
    let rewriter = Rewriter::new(None);
    let (_, request) = ask();
    assert!(is_allowed(&policies, &request), "the question is one that every engine allows");
    show("passgate: decide", timed(spend, || assert!(is_allowed(&policies, &request))));
    show("passgate: new: parse, resolve, decide", timed(spend, || assert!(is_allowed(&policies, &ask().1))));
    let whole = timed(spend, || {
        let (plan, request) = ask();
        let Decision::Allow(permit) = decide(&policies, &request) else { panic!("refused") };
        rewriter.rewrite(plan, permit, Rewriting::of(&model, &identity.tenant)).unwrap();
    });
    show("passgate: the same, rewrite, read back what is sent", whole);
    show("passgate: seen before", seen_before(&model, &policies, &identity, spend));
    for (action, keys) in ACTIONS {
        let policies = policies_of(rules, keys);
        assert!(is_allowed(&policies, &request), "{action}: no rule is about the statement");
        let each = timed(spend, || assert!(is_allowed(&policies, &request)));
        show(&format!("passgate: decide, {action}"), each);
    }
}

/// From a text that was seen before to what may run.
fn seen_before(model: &Arc<Model>, policies: &PolicySet, identity: &Arc<Identity>, spend: Duration) -> Duration {
    let (seen, limits) = (Seen::new(64 << 20), Limits::default());
    let context = Context::of(identity, &Facts::default());
    let schemas: Arc<[String]> = [String::from("public")].into();
    let asked = || {
        let statement = seen.statements(STATEMENT, &limits).unwrap().first().cloned().unwrap();
        let (parameter_types, schemas) = (Arc::default(), Arc::clone(&schemas));
        Question { statement, parameter_types, model: Arc::clone(model), schemas, context, moment: None }
    };
    // A text is kept when it is asked for the second time, and so is an answer.
    let _ = (asked(), asked());
    let question = asked();
    let plan = plan::resolve(&question.statement, model).unwrap();
    let request = plan::request(&plan, identity, Facts::default());
    let Decision::Allow(permit) = decide(policies, &request) else { panic!("refused") };
    let terms = Arc::new(Terms { request, obligations: Vec::new(), revision: permit.revision().clone() });
    let under = Rewriting::of(model, &identity.tenant);
    let query = Arc::new(Rewriter::new(None).rewrite(plan, permit, under).unwrap());
    let (warnings, tables, rules, shadow) = Default::default();
    let rewritten = query.query().shown().into();
    let (shadowed, of_catalog) = (None, false);
    let allowed = Allowed { query, terms, warnings, tables, rules, shadow, rewritten, shadowed, of_catalog };
    let allowed = Arc::new(allowed);
    seen.remember(question.clone(), Arc::clone(&allowed));
    seen.remember(question, allowed);
    timed(spend, || assert!(seen.answer(&asked()).is_some()))
}

/// Rules of one kind each, where `#` stands for a rule's number: none is about the statement or the person.
const ACTIONS: [(&str, &str); 9] = [
    ("filters", r#""action": "filter", "tables": ["sales.x#"], "rows": "region = 'WEST'""#),
    ("masks", r#""action": "mask", "columns": ["sales.x#.region"], "with": "null""#),
    ("masks by tag", r#""action": "mask", "tags": ["pii.x#"], "with": "null""#),
    ("allowed tables", r#""action": "allow", "tables": ["sales.x#"]"#),
    ("redirects", r#""action": "redirect", "from": "sales.x#", "to": "sales.y#""#),
    ("limits in CEL", r#""action": "limit", "rows": 9, "when": "'x#' in user.groups && time.hour < 6""#),
    ("warnings", r#""action": "warn", "message": "mind", "applies_to": { "users": ["x#"] }"#),
    ("approvals", r#""action": "require_approval", "by": "self", "applies_to": { "roles": ["x#"] }"#),
    ("row limits", r#""check": "row_limit", "rows": 9, "applies_to": { "groups": ["x#"] }"#),
];

fn is_allowed(policies: &PolicySet, request: &Request) -> bool {
    matches!(decide(policies, request), Decision::Allow(_))
}

fn policies(rules: usize) -> PolicySet {
    let keys = r#""action": "block", "applies_to": { "groups": ["g#"] },
        "condition": { "tables_referenced": { "contains_any": ["sales.t#"] } }"#;
    policies_of(rules, keys)
}

fn policies_of(rules: usize, keys: &str) -> PolicySet {
    let mut text = String::from(r#"[{ "name": "all", "check": "schema_whitelist", "schemas": ["sales"] }"#);
    for number in 0..rules {
        let keys = keys.replace('#', &number.to_string());
        text.push_str(&format!(r#", {{ "name": "r{number}", {keys} }}"#));
    }
    text.push(']');
    compile(&[PolicyFile { path: "p.json".to_owned(), text }], None, &PolicySqlReader::new(false)).unwrap()
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        person: PersonName::new("ana"),
        subject: "ana".to_owned(),
        email: None,
        tenant: Tenant::new("acme"),
        groups: ["g1".to_owned(), "g2".to_owned()].into(),
        roles: [].into(),
        claims: serde_json::Map::new(),
        proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    })
}

fn snapshot(tables: usize) -> Snapshot {
    let column = |name: &str, type_name: &str, type_oid| Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_oid,
        ..Column::default()
    };
    let relation = |number: usize| Relation {
        schema: "sales".to_owned(),
        name: format!("t{number}"),
        columns: vec![column("region", "text", 25), column("amount", "numeric", 1700), column("sold_on", "date", 1082)],
        ..Relation::default()
    };
    let metadata = Metadata {
        server_version: "15.0".to_owned(),
        relations: (0..tables).map(relation).collect(),
        ..Metadata::default()
    };
    Snapshot::new(SourceName::new("warehouse"), "sales".to_owned(), metadata)
}

#[cfg(feature = "comparison")]
mod others {
    //! The same rules and the same question for the others.

    use std::str::FromStr;
    use std::time::Duration;

    use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};

    use super::timed;

    pub(super) fn measure(rules: usize, spend: Duration, show: &dyn Fn(&str, Duration)) {
        show("cedar-policy: is_authorized", cedar(rules, spend));
        let (prepared, fresh) = rego(rules, spend);
        show("regorus: eval_rule", prepared);
        show("regorus: set_input from JSON, eval_rule", fresh);
    }

    fn cedar(rules: usize, spend: Duration) -> Duration {
        let mut text = String::from(r#"permit(principal, action == Action::"read", resource in Schema::"sales");"#);
        for number in 0..rules {
            text.push_str(&format!(
                r#"forbid(principal in Group::"g{number}", action == Action::"read", resource == Table::"t{number}");"#
            ));
        }
        let policies = PolicySet::from_str(&text).unwrap();
        let entities = Entities::from_json_str(
            r#"[{"uid":{"type":"User","id":"ana"},"attrs":{},"parents":[{"type":"Group","id":"g1"},{"type":"Group","id":"g2"}]},
                {"uid":{"type":"Group","id":"g1"},"attrs":{},"parents":[]},
                {"uid":{"type":"Group","id":"g2"},"attrs":{},"parents":[]},
                {"uid":{"type":"Table","id":"t7"},"attrs":{},"parents":[{"type":"Schema","id":"sales"}]},
                {"uid":{"type":"Schema","id":"sales"},"attrs":{},"parents":[]}]"#,
            None,
        )
        .unwrap();
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let request = Request::new(
            uid(r#"User::"ana""#),
            uid(r#"Action::"read""#),
            uid(r#"Table::"t7""#),
            Context::empty(),
            None,
        )
        .unwrap();
        let authorizer = Authorizer::new();
        timed(spend, || {
            assert_eq!(authorizer.is_authorized(&request, &policies, &entities).decision(), Decision::Allow);
        })
    }

    fn rego(rules: usize, spend: Duration) -> (Duration, Duration) {
        let mut text = String::from("package passgate\nimport rego.v1\ndefault allow := false\n");
        text.push_str("allow if { input.schema == \"sales\"; not deny }\n");
        for number in 0..rules {
            text.push_str(&format!("deny if {{ input.table == \"t{number}\"; \"g{number}\" in input.groups }}\n"));
        }
        let mut engine = regorus::Engine::new();
        engine.add_policy("p.rego".to_owned(), text).unwrap();
        let input = r#"{"user": "ana", "groups": ["g1", "g2"], "schema": "sales", "table": "t7"}"#;
        let mut ask = |fresh: bool| {
            if fresh {
                engine.set_input_json(input).unwrap();
            }
            let answer = engine.eval_rule("data.passgate.allow".to_owned()).unwrap();
            assert_eq!(answer, regorus::Value::from(true));
        };
        ask(true);
        (timed(spend, || ask(false)), timed(spend, || ask(true)))
    }
}
