//! Statements that clients send, and what becomes of them.

use std::collections::BTreeMap;

use super::super::tests::{model_of, relation};
use super::*;
use crate::statement::{Kind, Limits, parse, print};

fn values() -> SessionValues {
    SessionValues {
        person: "o'hara".to_owned(),
        source: "shop".to_owned(),
        pid: 42,
        client: "192.0.2.7:5000".parse().unwrap(),
        settings: BTreeMap::from([("search_path".to_owned(), "sales".to_owned())]),
        server_version: "15.4".to_owned(),
        prepared: vec![("p'1".to_owned(), "SELECT $1".into(), [23, 25].into())],
        asked: std::sync::atomic::AtomicBool::new(false),
    }
}

fn tree(text: &str) -> Query {
    let statement = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}")).remove(0);
    match statement.kind {
        Kind::Query(query) => (*query).clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn model() -> Model {
    model_of(vec![relation("sales.orders", &["id", "amount"]), relation("sales.pg_stat_statements", &["query"])])
}

/// Where a statement goes: the text for the shadow, or why it does not.
fn sent(text: &str) -> String {
    let mut query = tree(text);
    match introspect(&mut query, &model()) {
        Ok(None) => "source".to_owned(),
        Err(error) => format!("{} {error}", error.sqlstate),
        Ok(Some(Introspection { functions, missing, privileges: _ })) => {
            if let Some(refused) = functions.iter().find(|called| !called.pure) {
                return format!("the policy refuses {}()", refused.name);
            }
            if let Some(missing) = missing {
                return format!("{} {missing}", missing.sqlstate);
            }
            fill(&mut query, &values()).unwrap();
            let printed = print(&query);
            assert_eq!(tree(&printed), query, "{printed}");
            printed
        }
    }
}

/// What is written into a statement is written as often as it is asked for.
#[test]
fn what_is_filled_in_is_bounded() {
    let filled = |text: &str, values: &SessionValues| {
        let mut query = tree(text);
        introspect(&mut query, &model()).unwrap();
        fill(&mut query, values).map(|()| print(&query).len()).map_err(|error| error.to_string())
    };
    let owners = format!("SELECT {}relowner{} FROM pg_class", "pg_get_userbyid(".repeat(60), ")".repeat(60));
    assert_eq!(filled(&owners, &values()).unwrap_err(), "the owner of an owner is not supported by the gateway");
    assert!(filled("SELECT pg_get_userbyid(relowner), pg_get_userbyid(10) FROM pg_class", &values()).is_ok());

    for asked in ["pg_has_role(relname, 'usage')", "EXISTS (SELECT FROM pg_roles)", "pg_get_userbyid(relowner)"] {
        let often = |times: usize| format!("SELECT concat({}) FROM pg_class", vec![asked; times].join(", "));
        assert!(filled(&often(500), &values()).is_ok(), "{asked}");
        assert_eq!(filled(&often(1_001), &values()).unwrap_err(), "statement asks too much of the catalog", "{asked}");
    }

    let prepared = vec![("p".to_owned(), "x".repeat(1 << 20).into(), [].into()); 2];
    let many = SessionValues { prepared, ..values() };
    let asked =
        |times: usize| format!("SELECT {}", vec!["(SELECT count(*) FROM pg_prepared_statements)"; times].join(", "));
    assert!(filled(&asked(1), &many).is_ok());
    assert_eq!(filled(&asked(3), &many).unwrap_err(), "statement asks too often for what is prepared");
}

#[test]
fn what_asks_for_privileges_is_known() {
    let asks = |text: &str| introspect(&mut tree(text), &model()).unwrap().unwrap().privileges;
    assert!(asks("SELECT c.relacl FROM pg_class c"));
    assert!(asks("SELECT 1 FROM pg_namespace WHERE EXISTS (SELECT FROM aclexplode(nspacl))"));
    assert!(!asks("SELECT 'relacl', relname FROM pg_class"));
}

#[test]
fn a_column_that_was_renamed_is_still_found_by_its_name() {
    let text =
        "SELECT d.daticulocale, 'daticulocale' FROM pg_database d JOIN pg_collation c ON colliculocale = d.datname";
    let filled = |version: &str| {
        let mut query = tree(text);
        introspect(&mut query, &model()).unwrap().unwrap();
        fill(&mut query, &SessionValues { server_version: version.to_owned(), ..values() }).unwrap();
        print(&query)
    };
    let (before, after) = (filled("16.3"), filled("17.5"));
    assert!(before.contains("\"d\".\"daticulocale\"") && before.contains("\"colliculocale\" ="), "{before}");
    assert!(after.starts_with("SELECT \"d\".\"datlocale\" AS \"daticulocale\", 'daticulocale'"), "{after}");
    assert!(after.contains("\"colllocale\" ="), "{after}");
}

/// `cases.txt`: a statement on one line, and what becomes of it on the next. `UPDATE=1` writes it anew.
#[test]
fn statements_go_where_they_are_answered() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/introspect/cases.txt");
    let cases = std::fs::read_to_string(path).unwrap();
    let statements = cases.lines().filter(|line| !line.is_empty() && !line.starts_with("  "));
    let printed: String = statements
        .map(|line| match line.strip_prefix('#') {
            Some(_) => format!("\n{line}\n\n"),
            None => format!("{line}\n  {}\n", sent(line)),
        })
        .collect();
    let printed = printed.trim_start();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, printed).unwrap();
    }
    assert_eq!(cases, printed);
}
