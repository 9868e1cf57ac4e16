//! Statements with constants, mutated: what is said of a template that is believed is what is said of every statement
//! that it is filled to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use passgate::plan::{self, Model, Rewriter, Rewriting};
use passgate::statement::{self, Kind, Limits, Shape, Statement};
use passgate_connectors::Query;
use passgate_policy::{Decision, Facts, Identity, Permitted, PolicyFile, PolicySet, compile, decide};

use super::{WORDS_OF_SQL, fuzz, governed};

const POLICIES: &str = r#"[
    { "name": "all", "check": "schema_whitelist", "schemas": ["a", "b"] },
    { "name": "kept", "action": "filter", "tables": ["a.fct"], "rows": "region = 'kept' AND dim_id < 9" },
    { "name": "masked", "action": "mask", "columns": ["a.fct.ssn"], "with": "fixed" },
    { "name": "partly", "action": "mask", "columns": ["a.dim.ssn"], "with": "partial", "last": 4 },
    { "name": "few", "check": "row_limit", "rows": 100 },
    { "name": "joined", "check": "no_cross_join" },
    { "name": "bounded", "check": "bounded_work" }
]"#;

/// Texts with constants, beside those of other targets.
const SEEDS: [&str; 14] = [
    "SELECT id FROM a.dim WHERE id = 7",
    "SELECT * FROM fct WHERE region = 'WEST' AND amount > 10.5 ORDER BY 1 LIMIT 5",
    "SELECT region, sum(amount) FROM fct WHERE id BETWEEN 1 AND 9 GROUP BY 1 HAVING count(*) > 3",
    "SELECT f.id FROM fct f JOIN dim d ON d.id = f.dim_id AND d.name IN ('a', 'b') WHERE f.ssn = 'x'",
    "SELECT * FROM fct, dim WHERE fct.id = 1 AND dim.id = 1",
    "WITH x AS (SELECT * FROM fct WHERE id = 3) SELECT count(*) FROM x WHERE region <> 'y' OR NOT amount >= 2",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n WHERE i <> 4",
    "SELECT * FROM generate_series(1, 9) AS g(i) WHERE i = 5",
    "SELECT id FROM western WHERE who = 'x' AND id IN (SELECT id FROM dim WHERE name = 'y')",
    "SELECT (SELECT max(id) FROM dim WHERE name = 'a') FROM fct WHERE dim_id = 1 UNION SELECT id FROM dim WHERE id = 2",
    "SELECT DISTINCT ON (region) id FROM fct WHERE born >= '2026-11-21' ORDER BY region, 1",
    "SELECT d, count(*) FROM (SELECT date_trunc('day', born) AS d FROM fct WHERE amount = 7) q GROUP BY 1",
    "SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
    "SELECT CASE WHEN id = 1 THEN ssn END FROM fct WHERE ssn = '123' AND id = 12",
];

/// Constants in the place of those of an input.
const OTHERS: [(&str, &str); 4] =
    [("0", "''"), ("1", "'1'"), ("123456789012345678", "'WEST'"), ("2.50", "'2026-02-30'")];

struct World {
    model: Model,
    policies: PolicySet,
    identity: Arc<Identity>,
    rewriter: Rewriter,
}

impl World {
    /// What would be sent, if the policies allow it.
    fn sent(&self, statement: &Statement, is_template: bool) -> Option<Permitted<Query>> {
        let plan = plan::resolve(statement, &self.model).ok()?;
        let request = plan::request(&plan, &self.identity, Facts::default());
        let Decision::Allow(permit) = decide(&self.policies, &request) else { return None };
        let under = Rewriting { is_template, ..Rewriting::of(&self.model, &self.identity.tenant) };
        self.rewriter.rewrite(plan, permit, under).ok()
    }

    /// The same for a text.
    fn sent_in_full(&self, text: &str) -> Option<String> {
        let statements = statement::parse(text, &Limits::default()).ok()?;
        let [statement] = statements.as_slice() else { return None };
        assert!(matches!(statement.kind, Kind::Query(_)), "no query: {text}");
        Some(self.sent(statement, false)?.query().text.clone())
    }
}

#[test]
fn what_a_template_may_do_every_statement_made_of_it_may() {
    let seeds: Vec<Vec<u8>> = include_str!("../../gateway/src/plan/govern/cases.txt")
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .chain(SEEDS)
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let rewriter = Rewriter::new(None);
    let file = PolicyFile { path: "fuzz.json".to_owned(), text: POLICIES.to_owned() };
    let policies = compile(&[file], None, rewriter.sql()).expect("the policies are right");
    let model = Model::new(Arc::new(governed::snapshot()), &policies);
    let world = World { model, policies, identity: Arc::new(governed::identity()), rewriter };
    let believed = AtomicU64::new(0);
    fuzz(&seeds, &WORDS_OF_SQL, |input| {
        let text = String::from_utf8_lossy(input);
        let Some(shape) = Shape::of(&text) else { return };
        let Some(template) = shape.template(&Limits::default()) else { return };
        let Some(sent) = world.sent(template.statement(), true) else { return };
        let filled = |text: &str| {
            let shape = Shape::of(text).expect("it has the same shape");
            let query = sent.filled(&template.filled(shape).filled.expect("it is filled").constants);
            query.map(|query| query.query().text.clone())
        };
        let whole = world.sent_in_full(&text);
        if whole.is_none() || whole != filled(&text) {
            return;
        }
        believed.fetch_add(1, Ordering::Relaxed);
        let key = shape.key();
        for (number, string) in OTHERS {
            let other = key.replace("\u{1}n", number).replace("\u{1}s", string);
            assert_eq!(Shape::of(&other).expect("it has the same shape").key(), key);
            assert_eq!(world.sent_in_full(&other), filled(&other), "{other}");
        }
    });
    let believed = believed.into_inner();
    assert!(believed > 10, "hardly any template was believed");
    println!("{believed} templates were believed");
}
