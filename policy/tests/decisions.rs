//! Plays `cases/decisions/*.json`: policies from `examples/`, statements as the gateway resolves them, and the answers
//! as a person reads them. With `UPDATE=1` in the environment the answers are written anew, to be reviewed as text.
//!
//! A case names the person (`user`, `groups`, `roles`, `tenant`), the `source`, and what the statement has, each with
//! its place: `tables` (`"1:15 analytics.v on analytics.t"`), `functions` (`"1:8 pg_catalog.lower pure"`), `unlinked`
//! (`"1:20 b to a, c"`), `writes` (`"1:1 INSERT"`), `columns` (`"1:8 analytics.t.ssn answer predicate"`). What a table
//! is may stand under `catalog`, by its name: its `columns` (`"ssn text #pii.ssn"`, or `^pii.ssn` for a tag that a view's
//! column has from what it is made of), `tags`, `kind`, `parents`, `children`, `reads`. Policies that are no example stand
//! under `written`. An `estimate` is `{ "cost_usd": 1.2, "bytes": 3, "rows": 4, "step": 5 }`, or `"unknown"`.
//! What is known of the person, the session and the moment beside stands under `facts`.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use passgate_policy::{
    Attribute, ColumnFacts, ColumnUse, Costs, Decision, Estimate, Facts, FunctionUse, Grant, Identity, Mask,
    Obligation, PersonName, Place, PolicyFile, PolicySet, PolicySql, Proof, Redirect, Request, Role, Shadow,
    SourceName, Sql, SqlFault, SqlUse, StatementDigest, StatementKind, TableFacts, TableKind, TableName, TableUse, Tag,
    Tenant, TicketId, Unlinked, Warning, Write, compile, decide, shadow,
};
use serde::{Deserialize, Serialize};

mod words;
use words::Words;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    written: Vec<serde_json::Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    catalog: Catalog,
    cases: Vec<Case>,
}

type Catalog = BTreeMap<String, Relation>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    claims: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    functions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unlinked: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    writes: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    full_export: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redirected: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimate: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<String>,
    #[serde(default, skip_serializing_if = "CaseFacts::is_empty")]
    facts: CaseFacts,
    #[serde(default)]
    answer: Vec<String>,
}

/// What is known of the person, the session and the moment beside.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_access: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    explain: bool,
}

impl CaseFacts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[test]
fn the_cases_are_answered_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut played = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(root.join("cases/decisions")).unwrap() {
        let path = entry.unwrap().path();
        let mut script: Script = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let policies = load(root, &script);
        for case in &mut script.cases {
            let answer = answer(&policies, &request(&script.catalog, case));
            if answer != case.answer {
                let (is, was) = (answer.join("\n  "), case.answer.join("\n  "));
                failures.push(format!("{}: {}\n  {is}\ninstead of\n  {was}", path.display(), case.name));
                case.answer = answer;
            }
            played += 1;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, serde_json::to_string_pretty(&script).unwrap() + "\n").unwrap();
            failures.clear();
        }
    }
    assert!(played > 0, "no case was played");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn load(root: &Path, script: &Script) -> PolicySet {
    let file = |name: &String| {
        let text = fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        PolicyFile { path: name.clone(), text }
    };
    let written = serde_json::to_string(&script.written).unwrap();
    let written = PolicyFile { path: "written.json".to_owned(), text: written };
    let files: Vec<PolicyFile> = script.policies.iter().map(file).chain([written]).collect();
    compile(&files, None, &Words).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn answer(policies: &PolicySet, request: &Request) -> Vec<String> {
    match decide(policies, request) {
        Decision::Allow(permit) => {
            let obligations = permit.obligations().iter().map(obligation);
            let warned =
                permit.warnings().iter().map(|Warning { rule, message }| format!("WARNED {message}, by {rule}"));
            let used = permit.grants_used().iter().map(|ticket| format!("USED {ticket}"));
            let fired = permit.fired().iter().map(|rule| format!("FIRED {rule}"));
            let shadow = shadow(policies, request);
            let shadow = shadow.iter().map(|Shadow { rule, effect }| format!("SHADOW {effect}, by {rule}"));
            obligations.chain(warned).chain(used).chain(fired).chain(shadow).collect()
        }
        Decision::Estimate(_) => vec!["ESTIMATE".to_owned()],
        Decision::Redirect(redirects) => {
            redirects.iter().map(|Redirect { from, to, rule }| format!("{to} IN PLACE OF {from}, by {rule}")).collect()
        }
        Decision::Hold(hold) => hold
            .iter()
            .flat_map(|approval| {
                let (by, seconds, uses) = (&approval.by, approval.expires_in_seconds, approval.uses);
                [
                    format!("HELD by {}", approval.rule),
                    format!("MESSAGE {}", approval.message),
                    format!("DETAIL {}", approval.detail),
                    format!("TERMS {by:?}, {seconds} seconds, {uses} uses"),
                ]
            })
            .collect(),
        Decision::Deny(reasons) => reasons
            .iter()
            .flat_map(|reason| {
                let place = reason.at.map_or_else(String::new, |at| format!(", at {at}"));
                [
                    format!("REFUSED by {}{place}", reason.rule),
                    format!("MESSAGE {}", reason.message),
                    format!("DETAIL {}", reason.detail),
                    format!("HINT {}", reason.hint),
                ]
            })
            .collect(),
    }
}

fn obligation(obligation: &Obligation) -> String {
    match obligation {
        Obligation::LimitRows { rows, rule } => format!("ALLOWED at most {rows} rows, by {rule}"),
        Obligation::FilterRows { table, predicate, rule } => format!("FILTERED {table}: {}, by {rule}", sql(predicate)),
        Obligation::HideColumn { table, column, rule } => format!("HIDDEN {table}.{column}, by {rule}"),
        Obligation::MaskColumn { table, column, mask, rule } => {
            let mask = match mask {
                Mask::Expression(expression) => sql(expression),
                other => format!("{other:?}"),
            };
            format!("MASKED {table}.{column}: {mask}, by {rule}")
        }
    }
}

fn sql(PolicySql { text, attributes }: &PolicySql) -> String {
    let value = |(path, value): &(Arc<str>, Attribute)| format!(", {path} = {value:?}");
    let values: String = attributes.iter().map(value).collect();
    format!("{text}{values}")
}

fn request(catalog: &Catalog, case: &Case) -> Request {
    let source = SourceName::new(case.source.as_deref().unwrap_or("warehouse"));
    let identity = Identity {
        person: PersonName::new(case.user.as_deref().unwrap_or("ana")),
        subject: "1".to_owned(),
        email: case.facts.email.clone(),
        tenant: Tenant::new(case.tenant.as_deref().unwrap_or("acme")),
        groups: case.groups.iter().cloned().collect(),
        roles: case.roles.iter().map(Role::new).collect(),
        claims: case.claims.clone(),
        proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    };
    let kind = match (case.writes.is_empty(), case.facts.explain) {
        (false, _) => StatementKind::Write,
        (true, true) => StatementKind::Explain,
        (true, false) => StatementKind::Query,
    };
    let defaults = Facts::default();
    let CaseFacts { now, application_name, client_address, purpose, confidence, first_access, .. } = &case.facts;
    Request {
        tables: case.tables.iter().map(|written| table_use(written, &source, catalog)).collect(),
        columns: case.columns.iter().map(|written| column_use(written, &source, catalog)).collect(),
        functions: case.functions.iter().map(|written| function_use(written)).collect(),
        unlinked: case.unlinked.iter().map(|written| unlinked(written)).collect(),
        writes: case.writes.iter().map(|written| write(written)).collect(),
        full_export: case.full_export,
        redirected: case.redirected.iter().map(|name| table(name, &source)).collect(),
        facts: Facts {
            estimate: estimate(case.estimate.as_ref()),
            grants: case.grants.iter().map(|policy| grant(policy)).collect(),
            now: now.unwrap_or_default(),
            application_name: application_name.clone().unwrap_or_default(),
            client_address: client_address.unwrap_or(defaults.client_address),
            declared: purpose.iter().map(|purpose| ("passgate.purpose".to_owned(), purpose.clone())).collect(),
            confidence: *confidence,
            first_access_to_source: *first_access,
        },
        ..Request::new(StatementDigest([7; 32]), kind, source, Arc::new(identity))
    }
}

fn estimate(written: Option<&serde_json::Value>) -> Estimate {
    let Some(written) = written else { return Estimate::NotMade };
    let Some(costs) = written.as_object() else { return Estimate::Unknown };
    let of = |key: &str| costs.get(key).and_then(serde_json::Value::as_f64);
    Estimate::Known(Costs {
        cost_usd: of("cost_usd"),
        bytes: of("bytes"),
        rows: of("rows"),
        rows_of_largest_step: of("step"),
        rows_read: None,
    })
}

fn grant(policy: &str) -> Grant {
    Grant { ticket: TicketId::new(format!("ticket for {policy}")), policy: policy.into() }
}

fn place(written: &str) -> (Place, &str) {
    let (place, rest) = written.split_once(' ').expect("place, then what stands there");
    let (line, column) = place.split_once(':').expect("line:column");
    (Place { line: line.parse().unwrap(), column: column.parse().unwrap() }, rest)
}

fn table(written: &str, source: &SourceName) -> TableName {
    let (schema, table) = written.split_once('.').expect("schema.table");
    TableName { source: source.clone(), schema: schema.to_owned(), table: table.to_owned() }
}

fn table_use(written: &str, source: &SourceName, catalog: &Catalog) -> TableUse {
    let (at, rest) = place(written);
    let (name, below) = rest.split_once(" on ").unwrap_or((rest, ""));
    let facts = |name: &str| Arc::new(facts(name, source, catalog));
    let used = facts(name);
    let known = used.parents.iter().chain(&used.children).chain(&used.reads).map(ToString::to_string);
    let below: BTreeSet<String> =
        below.split(", ").filter(|below| !below.is_empty()).map(str::to_owned).chain(known).collect();
    TableUse { built_on: below.iter().map(|name| facts(name)).collect(), table: used, at }
}

fn facts(name: &str, source: &SourceName, catalog: &Catalog) -> TableFacts {
    let named = TableFacts::named(table(name, source));
    let Some(relation) = catalog.get(name) else { return named };
    let names = |names: &[String]| names.iter().map(|name| table(name, source)).collect();
    TableFacts {
        kind: match relation.kind.as_deref() {
            None | Some("table") => TableKind::Table,
            Some("view") => TableKind::View,
            Some("materialized view") => TableKind::MaterializedView,
            Some(other) => panic!("{other}"),
        },
        columns: relation.columns.iter().map(|written| column_facts(written)).collect(),
        tags: relation.tags.iter().map(Tag::new).collect(),
        parents: names(&relation.parents),
        children: names(&relation.children),
        reads: names(&relation.reads),
        ..named
    }
}

fn column_facts(written: &str) -> ColumnFacts {
    let tags = |sign: char| -> BTreeSet<Tag> {
        written.split(' ').filter_map(|word| word.strip_prefix(sign)).map(Tag::new).collect()
    };
    let (name, rest) = written.split_once(' ').expect("name type");
    let type_name: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with(['#', '^'])).collect();
    let inherited_tags = tags('^');
    let tags = tags('#').union(&inherited_tags).cloned().collect();
    ColumnFacts { name: name.to_owned(), type_name: type_name.join(" "), tags, inherited_tags }
}

fn column_use(written: &str, source: &SourceName, catalog: &Catalog) -> ColumnUse {
    let (at, rest) = place(written);
    let words: Vec<&str> = rest.split(' ').collect();
    let (name, column) = words[0].rsplit_once('.').expect("schema.table.column");
    ColumnUse {
        table: Arc::new(facts(name, source, catalog)),
        column: column.to_owned(),
        in_answer: words.contains(&"answer"),
        in_predicate: words.contains(&"predicate"),
        at,
    }
}

fn function_use(written: &str) -> FunctionUse {
    let (at, rest) = place(written);
    let (name, pure) = rest.strip_suffix(" pure").map_or((rest, false), |name| (name, true));
    let (name, forms) = name.split_once('(').map_or((name, ""), |(name, forms)| (name, forms.trim_end_matches(')')));
    let forms = forms.split(") (").filter(|form| !form.is_empty()).map(str::to_owned).collect();
    let (schema, name) = name.split_once('.').expect("schema.function");
    FunctionUse { schema: schema.to_owned(), name: name.to_owned(), forms, pure, at }
}

fn unlinked(written: &str) -> Unlinked {
    let (at, rest) = place(written);
    let (relation, others) = rest.split_once(" to ").unwrap_or((rest, ""));
    let others = others.split(", ").filter(|other| !other.is_empty()).map(str::to_owned);
    Unlinked { relation: relation.to_owned(), others: others.collect(), at }
}

fn write(written: &str) -> Write {
    let (at, command) = place(written);
    let command = ["INSERT", "DELETE", "FOR UPDATE", "SELECT INTO"].into_iter().find(|known| *known == command);
    Write { command: command.expect("a known command"), at }
}
