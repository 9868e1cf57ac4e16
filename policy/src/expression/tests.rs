//! What the parser's tree is made into, and our evaluator against the crate `cel`'s, on expressions that were made up at
//! random.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cel::{Context as OtherContext, Program, Value as OtherValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::compile;
use super::parse::{Expr, Kind, parse};
use crate::compile::Context;
use crate::condition::{Condition, Reading, Truth};
use crate::document::Document;
use crate::fields::Object;
use crate::problem::Problems;
use crate::{
    Costs, Estimate, Identity, NoSql, PersonName, Place, PolicyFile, Proof, Request, Role, SourceName, StatementDigest,
    StatementKind, TableFacts, TableName, TableUse, Tenant,
};

/// Compiles an expression as it would stand in a policy, or says what is wrong with it.
fn compiled(text: &str) -> Result<Condition, String> {
    let file = PolicyFile { path: "p".to_owned(), text: json!({ "when": text }).to_string() };
    let document = Document::parse(&file, &mut Problems::default()).expect("it is JSON");
    let node = document.entries()[0].as_object().expect("it is an object");
    let written = Object::new(&document.source, node).text("when").ok_or("no text")?;
    let mut context = Context::new(None, &NoSql);
    let condition = compile(written, &mut Reading { sources: None, unknown_ok: false, context: &mut context });
    let problems: Vec<String> = context.problems.sorted().iter().map(ToString::to_string).collect();
    assert!(condition.is_some() || !problems.is_empty(), "{text} is refused and nothing is told");
    condition.filter(|_| problems.is_empty()).ok_or_else(|| problems.join("\n"))
}

fn request() -> Request {
    let identity = Identity {
        person: PersonName::new("ana"),
        subject: "7".to_owned(),
        email: None,
        tenant: Tenant::new("acme"),
        groups: ["finance".to_owned(), "hr".to_owned()].into(),
        roles: [Role::new("analyst")].into(),
        claims:
            json!({ "region": "WEST", "level": 3, "regions": ["WEST", "EAST"], "active": true, "deep": { "x": 1 } })
                .as_object()
                .expect("an object")
                .clone(),
        proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    };
    let table = |schema: &str, table: &str| {
        let source = SourceName::new("warehouse");
        TableFacts::named(TableName { source, schema: schema.to_owned(), table: table.to_owned() })
    };
    let used = |facts, built_on: Vec<TableFacts>| TableUse {
        table: Arc::new(facts),
        at: Place { line: 1, column: 15 },
        built_on: built_on.into_iter().map(Arc::new).collect(),
    };
    let mut request =
        Request::new(StatementDigest([0; 32]), StatementKind::Query, SourceName::new("warehouse"), Arc::new(identity));
    request.tables = vec![
        used(table("analytics", "v_sales"), vec![table("analytics", "fct_sales")]),
        used(table("odd.schema", "x"), Vec::new()),
    ];
    // 2026-11-21 03:05 UTC, a Saturday.
    request.facts.now = 1_795_230_300;
    request.facts.application_name = "psql".to_owned();
    request.facts.client_address = "::ffff:10.1.2.3".parse::<IpAddr>().expect("an address");
    request.facts.estimate = Estimate::Known(Costs {
        cost_usd: Some(1.2),
        bytes: Some(2.4e12),
        rows: None,
        rows_read: None,
        rows_of_largest_step: None,
    });
    request
}

fn asked(text: &str) -> Truth {
    compiled(text).unwrap_or_else(|problem| panic!("{text}: {problem}")).truth(&request())
}

#[test]
fn every_variable_and_function_can_be_asked() {
    for text in [
        "'analytics.v_sales' in tables_referenced && 'analytics.fct_sales' in tables_referenced",
        "tables_referenced == ['\"odd.schema\".x', 'analytics.fct_sales', 'analytics.v_sales']",
        "tables_referenced.exists(t, t == 'analytics.fct_sales')",
        "tables_referenced.exists(t, t.startsWith('analytics.')) && !tables_referenced.all(t, t.startsWith('analytics.'))",
        "tables_referenced.filter(t, t.endsWith('_sales')).size() == 2",
        "schemas_referenced.exists_one(s, s == 'analytics')",
        "size(columns_referenced) + functions_referenced.size() == 0",
        "sources_referenced == ['warehouse'] && classifications_referenced.size() == 0",
        "user.name == 'ana' && user.tenant == 'acme' && user.subject == '7'",
        "'finance' in user.groups && 'analyst' in user.roles && !('x' in user.groups)",
        "user.groups.map(g, g + '!') == ['finance!', 'hr!']",
        "user.claims.region == 'WEST' && user.claims['level'] > 2 && 'EAST' in user.claims.regions",
        "user.claims.active && user.claims.deep.x == 1.0 && user.claims.regions[0] == 'WEST'",
        "has(user.claims.region) && !has(user.claims.nothing) && !has(user.email) && 'deep' in user.claims",
        "time.hour == 3 && time.minute == 5 && time.weekday == 'sat' && time.date == '2026-11-21'",
        "time.inZone('America/New_York').hour == 22 && time.inZone('America/New_York').weekday == 'fri'",
        "time.date >= '2026-11-01' && time.date < '2026-12-01'",
        "estimated.cost_usd > 1 && estimated.bytes >= 2.4e12 && !has(estimated.rows)",
        "!(confidence < 0.7) && !(confidence >= 0.7) && confidence != 0.7",
        "!full_export && statement_kind == 'query' && authentication_method in ['scram', 'oidc']",
        "application_name.matches('^ps') && application_name.upperAscii() == 'PSQL' && purpose == ''",
        "client_address == '10.1.2.3' && client_address.inNetwork('10.0.0.0/8')",
        "int('7') + 1 == 8 && double(7) / 2.0 == 3.5 && string(7) == '7' && 7 % 4 == 3 && -(-3) == 3",
        "(user.name == 'bob' ? 'x' : 'y') == 'y' // a comment",
        "user.email == 'x' || true",
        "!(user.email == 'x' && false)",
        "first_access_to_source || user.name.contains('n')",
        "'a.b'.contains('.') && r'\\n' == '\\\\n' && '\\u00e9' == 'é'",
    ] {
        assert_eq!(asked(text), Truth::True, "{text}");
    }
}

#[test]
fn what_cannot_be_known_is_said() {
    let why = |text: &str| match asked(text) {
        Truth::Unknown(why) => why,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(why("user.email.endsWith('@acme.example')"), "user.email is not known of ana");
    assert_eq!(why("user.claims.nothing == 'x'"), "user.claims.nothing is not known of ana");
    assert_eq!(
        why("user.claims.regions == 'WEST'"),
        "a list cannot be compared with a text: user.claims.regions is a list"
    );
    assert_eq!(
        why("user.claims.region > 3"),
        "a text cannot be compared with a number: user.claims.region is \"WEST\""
    );
    assert_eq!(why("user.claims.region"), "a text is neither true nor false: user.claims.region is \"WEST\"");
    assert_eq!(why("user.claims.level / 0 == 1"), "a number is divided by zero: user.claims.level is 3");
    assert_eq!(why("9223372036854775807 + user.claims.level > 0"), "a number is too large: user.claims.level is 3");
    assert_eq!(why("user.claims.regions[7] == 'x'"), "a list has no element 7: user.claims.regions is a list");
    assert_eq!(
        why("!(first_access_to_source)"),
        "it is not known whether this is the first statement on source warehouse"
    );
    assert_eq!(
        why("estimated.rows > 5.0"),
        "the estimate is not complete: the source cannot tell how many rows are answered"
    );
    let nested = "user.groups + user.groups + user.groups + user.groups";
    let nested = format!("({nested} + {nested} + {nested} + {nested} + {nested})");
    let long = format!("{nested}.all(a, {nested}.all(b, {nested}.all(c, a != '' && b != '' && c != '')))");
    assert_eq!(why(&long), "the expression takes more than 20000 steps");
    let long = "user.groups.map(a, user.groups.map(b, user.groups)).size() == 2";
    assert_eq!(asked(long), Truth::True);
}

#[test]
fn an_estimate_is_asked_for_where_it_may_decide() {
    let mut request = request();
    request.facts.estimate = Estimate::NotMade;
    let asked = |text: &str| compiled(text).expect("compiles").truth(&request);
    assert_eq!(asked("estimated.cost_usd > 1.0"), Truth::NeedsEstimate);
    assert_eq!(asked("estimated.cost_usd > 1.0 && user.name == 'bob'"), Truth::False);
    assert_eq!(asked("estimated.cost_usd > 1.0 || user.name == 'ana'"), Truth::True);
    assert_eq!(asked("user.name == 'bob' ? estimated.rows > 1.0 : false"), Truth::False);
    assert_eq!(asked("has(estimated.rows)"), Truth::NeedsEstimate);
    assert_eq!(asked("user.groups.exists(g, estimated.rows > double(size(g)))"), Truth::NeedsEstimate);
}

#[test]
fn only_statements_that_may_matter_meet_an_expression() {
    let triggers = |text: &str| format!("{:?}", compiled(text).expect("compiles").triggers());
    assert_eq!(triggers("'a.b' in tables_referenced && time.hour < 6"), "Some([(Statement(Tables), \"b\")])");
    assert_eq!(
        triggers("tables_referenced.exists(t, t == 'a.b' || t in ['a.c', 'a.d'])"),
        "Some([(Statement(Tables), \"b\"), (Statement(Tables), \"c\"), (Statement(Tables), \"d\")])"
    );
    assert_eq!(
        triggers("'pii' in classifications_referenced || 'a.b.c' in columns_referenced"),
        "Some([(Statement(Classifications), \"pii\"), (Statement(Columns), \"c\")])"
    );
    assert_eq!(triggers("!('a.b' in tables_referenced)"), "None");
    assert_eq!(triggers("'a.b' in tables_referenced || time.hour < 6"), "None");
    assert_eq!(triggers("tables_referenced.exists(t, t != 'a.b')"), "None");
}

const PIECES: &[&str] = &[
    "a",
    "b.c",
    ".d",
    "'x'",
    "\"y\"",
    "'\\n\\x41\\u00e9\\101'",
    "r'\\n'",
    "'''q'r'''",
    "1",
    "0x1F",
    "1.5",
    "2e3",
    ".5",
    "-9223372036854775808",
    "9223372036854775807",
    "9223372036854775808",
    "1.",
    "1e",
    "true",
    "null",
    "in",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    ",",
    "f(",
    ".g(",
    " ",
    "\n",
    "// c\n",
    "é",
    "=",
    "&",
    "'",
    "\\",
    "for",
    "_x1",
    "..",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The parser is generated: what it makes of anything, and where it says that it stands, is looked at here.
    #[test]
    fn any_pieces_are_read_or_refused_where_they_stand(pieces in vec(select(PIECES), 0..14), spaced in any::<bool>()) {
        let text = pieces.join(if spaced { " " } else { "" });
        match parse(&text) {
            Ok(expression) => prop_assert!(is_in_place(&expression, &text), "{}: {:?}", text, expression),
            Err(fault) => {
                prop_assert!(text.is_char_boundary(fault.at), "{}: {:?}", text, fault);
                prop_assert_ne!(fault.message, "the expression cannot be read", "{}", text);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused_where_it_stands(text in any::<String>()) {
        if let Err(fault) = parse(&text) {
            prop_assert!(text.is_char_boundary(fault.at) || fault.at >= text.len());
        }
        let _ = compiled(&text);
    }

    #[test]
    fn any_expression_is_checked(pieces in vec(select(TYPED_PIECES), 0..16)) {
        if let Ok(condition) = compiled(&pieces.concat()) {
            condition.truth(&request());
        }
    }

    /// What both evaluate to true or false is the same.
    #[test]
    fn both_evaluate_the_same(text in condition_text()) {
        let Ok(condition) = compiled(&text) else {
            // Comparisons that can never hold are problems, and are made up too.
            let problem = compiled(&text).err().unwrap_or_default();
            prop_assert!(problem.lines().all(|line| line.contains(" is never ")), "{}: {}", text, problem);
            return Ok(());
        };
        let ours = condition.truth(&request());
        let read = text.clone();
        let other = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
            let program = Program::compile(&read).map_err(|error| error.to_string())?;
            match program.execute(&other_context()) {
                Ok(OtherValue::Bool(flag)) => Ok(Some(flag)),
                Ok(other) => Err(format!("{other:?}")),
                Err(_) => Ok(None),
            }
        });
        let other: Result<Option<bool>, String> = other.unwrap().join().unwrap();
        match (ours, other) {
            (Truth::True, Ok(Some(true))) | (Truth::False, Ok(Some(false))) | (Truth::Unknown(_), Ok(None)) => {}
            (ours, other) => prop_assert!(false, "{}: {:?}, {:?}", text, ours, other),
        }
    }
}

/// Whether everything in an expression stands where the text says the same.
fn is_in_place(expression: &Expr, text: &str) -> bool {
    let Some(rest) = text.get(expression.at..) else { return false };
    let own = match &expression.kind {
        Kind::Name(name) | Kind::Select(_, name) | Kind::Call(name, ..) => rest.starts_with(name.as_str()),
        Kind::Binary(operator, ..) => rest.starts_with(&operator.to_string()),
        Kind::And(_) => rest.starts_with("&&"),
        Kind::Or(_) => rest.starts_with("||"),
        Kind::If(_) => rest.starts_with('?'),
        Kind::Not(_) => rest.starts_with('!'),
        Kind::Negate(_) => rest.starts_with('-'),
        Kind::List(_) | Kind::Index(..) => rest.starts_with('['),
        Kind::Null => rest.starts_with("null"),
        Kind::Bool(flag) => rest.starts_with(&flag.to_string()),
        Kind::Int(_) | Kind::Double(_) => rest.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.'),
        Kind::Text(_) => rest.starts_with(['\'', '"', 'r']),
    };
    own && expression.kind.inner().all(|inner| is_in_place(inner, text))
}

#[test]
fn everything_that_recurses_is_bounded() {
    let refused = |text: &str| parse(text).err().map(|fault| fault.message);
    let deep = Some("expressions are nested deeper than 48".to_owned());
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("f(", ")"), ("a[", "]"), ("-(", ")")] {
        assert_eq!(refused(&format!("{}a{}", open.repeat(300), close.repeat(300))), deep, "{open}");
        assert_eq!(refused(&format!("{}a{}", open.repeat(20), close.repeat(20))), None, "{open}");
    }
    assert_eq!(refused(&format!("{}a", "a ? b : ".repeat(240))), deep);
    assert_eq!(refused(&format!("a{}", ".b".repeat(990))), deep);
    assert_eq!(refused(&format!("a{}", "[0]".repeat(600))), deep);
    assert_eq!(refused(&format!("a{}", "+1".repeat(990))), deep);
    assert_eq!(refused(&format!("a{}", ".b()".repeat(490))), deep);
    assert_eq!(refused(&format!("{}a", "!".repeat(1_999))), None);
    assert_eq!(refused(&format!("a{}", "&&a".repeat(660))), None);
    assert_eq!(refused(&format!("[{}a]", "a, ".repeat(600))), None);
    assert_eq!(refused(&format!("a{}", " ".repeat(1_900))), None);
}

#[test]
fn what_does_not_parse_is_told_in_words_where_it_stands() {
    let told = |text: &str| {
        let fault = parse(text).expect_err(text);
        let suggestion = fault.suggestion.map(|suggestion| format!("; {suggestion}")).unwrap_or_default();
        format!("{}: {}{suggestion}", fault.at, fault.message)
    };
    for (text, expected) in [
        ("time.hour <", "11: an expression is missing before the end"),
        ("", "0: an expression is missing before the end"),
        ("a == && b", "5: an expression is missing before \"&&\""),
        ("'é' a", "5: \"a\" does not belong here; join conditions with && or ||"),
        ("// é\n\n 'é' 1", "13: a number does not belong here; join conditions with && or ||"),
        ("a and b", "2: \"and\" does not belong here; write && for \"and\""),
        ("f(a,)", "3: an argument is missing after the comma"),
        ("a.", "2: a field's name is missing before the end"),
        ("(a", "0: \"(\" is not closed; close it"),
        ("a)", "1: \")\" does not belong here; close each bracket with its own"),
        ("(a]", "2: \"]\" does not belong here; close each bracket with its own"),
        ("a ? b", "5: the expression is not complete"),
        ("for == 1", "0: \"for\" is a reserved word"),
        ("99999999999999999999 == 1", "0: the number is too large"),
        ("{'a': 1}", "0: a map cannot be written here; use texts, numbers, true, false and lists of them"),
        ("a{b: 1}", "1: a message cannot be written here; use texts, numbers, true, false and lists of them"),
        ("b'x' == 1", "0: a byte string cannot be written here; use texts, numbers, true, false and lists of them"),
        ("a == 'x\\q'", "7: not an escape; write \\\\ for a backslash, or r'...' for a text without escapes"),
        (".a", "1: names are not written with a dot before them; leave out the dot"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

const TYPED_PIECES: &[&str] = &[
    "tables_referenced",
    "user.groups",
    "user.name",
    "user.claims",
    ".region",
    ".regions",
    "['level']",
    "time.hour",
    "estimated.rows",
    "full_export",
    ".exists(t, ",
    ".all(t, ",
    ".map(t, ",
    "t",
    "size(",
    "has(",
    "int(",
    ")",
    "(",
    " == ",
    " in ",
    " && ",
    " || ",
    "!",
    "-",
    " + ",
    " * ",
    " % ",
    " < ",
    "'finance'",
    "'a.b'",
    "1",
    "2.5",
    "[1]",
    "[",
    "]",
    ", ",
    " ? ",
    " : ",
    "true",
    "null",
    ".startsWith(",
    ".matches('a')",
    "[0]",
];

/// An expression that is true or false, well typed, over what [`other_context`] has too.
fn condition_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (0..5_i64).prop_map(|number| number.to_string()),
        select(vec![
            "time.hour",
            "time.minute",
            "size(user.groups)",
            "size('abc')",
            "user.groups.size()",
            "time.hour / 0"
        ])
        .prop_map(str::to_owned),
    ];
    let number = number.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), select(vec!["+", "-", "*", "/", "%"]), inner).prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    });
    let text = select(vec![
        "'ana'",
        "user.name",
        "'finance'",
        "user.tenant",
        "time.weekday",
        "user.claims.region",
        "'a' + 'na'",
        "string(time.date)",
    ]);
    let list = select(vec![
        "user.groups",
        "['ana', 'finance']",
        "user.roles",
        "user.claims.regions",
        "user.groups + user.roles",
        "user.groups.filter(g, g != 'hr')",
        "user.groups.map(g, g + 'x')",
    ]);
    let leaf = prop_oneof![
        (number.clone(), select(vec!["==", "!=", "<", "<=", ">", ">="]), number)
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), select(vec!["==", "!=", "<", ">="]), select(vec!["'ana' + ''", "'b'", "user.name"]))
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (select(vec!["'ana'", "'WEST'", "user.name"]), list.clone()).prop_map(|(a, b)| format!("{a} in {b}")),
        (text, select(vec!["startsWith", "endsWith", "contains"])).prop_map(|(a, f)| format!("({a}).{f}('a')")),
        (
            list,
            select(vec!["exists", "all", "exists_one"]),
            select(vec!["v == 'hr'", "v.size() > 2", "v.startsWith('f')", "size(v) / 0 == 1 || v == 'hr'"])
        )
            .prop_map(|(list, f, body)| format!("({list}).{f}(v, {body})")),
        select(vec![
            "true",
            "false",
            "user.claims.active",
            "has(user.claims.region)",
            "has(user.claims.gone)",
            "user.claims.gone == 'x'"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// What [`request`] has, for the other evaluator.
fn other_context() -> OtherContext<'static, 'static> {
    let texts = |texts: &[&str]| OtherValue::from(texts.iter().map(|text| OtherValue::from(*text)).collect::<Vec<_>>());
    let map = |entries: Vec<(&str, OtherValue)>| {
        OtherValue::from(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>())
    };
    let mut context = OtherContext::default();
    let claims = map(vec![
        ("region", "WEST".into()),
        ("level", 3_i64.into()),
        ("regions", texts(&["WEST", "EAST"])),
        ("active", true.into()),
    ]);
    context.add_variable_from_value(
        "user",
        map(vec![
            ("name", "ana".into()),
            ("tenant", "acme".into()),
            ("groups", texts(&["finance", "hr"])),
            ("roles", texts(&["analyst"])),
            ("claims", claims),
        ]),
    );
    context.add_variable_from_value(
        "time",
        map(vec![
            ("hour", 3_i64.into()),
            ("minute", 5_i64.into()),
            ("weekday", "sat".into()),
            ("date", "2026-11-21".into()),
        ]),
    );
    context
}

#[test]
fn a_walk_of_the_deepest_tree_is_shallow() {
    let deep = format!("{}true{}", "!(".repeat(22), ")".repeat(22));
    let asked = std::thread::Builder::new().stack_size(1 << 20).spawn(move || asked(&deep)).unwrap().join().unwrap();
    assert_eq!(asked, Truth::True);
}
