//! The cookbook's policies do what its cases say, and a case that is wrong is told.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use passgate::rehearsal::commands::{self, Asker};

fn cookbook() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/cookbook"))
}

fn copied(change: impl Fn(&str, String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(cookbook()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::write(folder.path().join(&name), change(&name, fs::read_to_string(&path).unwrap())).unwrap();
    }
    folder
}

#[test]
fn every_case_of_the_cookbook_passes() {
    let report = commands::test(cookbook()).unwrap_or_else(|failures| panic!("{}", failures.join("\n")));
    assert!(report.ends_with(" cases passed\n"), "{report}");
}

#[test]
fn a_policy_that_is_taken_out_fails_its_case() {
    let folder = copied(|name, text| if name.starts_with("10-") { "[]".to_owned() } else { text });
    let failures = commands::test(folder.path()).unwrap_err().join("\n");
    assert!(failures.contains("10: health data is read for a purpose"), "{failures}");
    assert!(failures.contains("decision is allow, not deny"), "{failures}");
}

#[test]
fn running_nothing_is_a_failure() {
    let folder = copied(|name, text| if name.ends_with(".test.json") { "{ \"cases\": [] }".to_owned() } else { text });
    assert!(commands::test(folder.path()).unwrap_err().join("\n").contains("there is no case in it"));
    fs::remove_file(folder.path().join("cookbook.test.json")).unwrap();
    assert!(commands::test(folder.path()).unwrap_err().join("\n").contains("nothing was tested"));
    fs::remove_file(folder.path().join("catalog.json")).unwrap();
    assert!(commands::test(folder.path()).unwrap_err().join("\n").contains("passgate policy catalog"));
}

#[test]
fn every_mistake_in_a_file_of_cases_is_told_with_its_line() {
    let cases = r#"{
  "people": { "ana": { "claim": { "region": "WEST" } } },
  "cases": [
    { "name": "typo", "who": "ana", "statement": "SELECT 1", "expect": { "decision": "alow" } },
    { "name": "open", "who": "ana", "statement": "SELECT 1", "expect": {} }
  ]
}"#;
    let play = |cases: &str| {
        let folder = copied(|name, text| if name.ends_with(".test.json") { cases.to_owned() } else { text });
        let failures = commands::test(folder.path()).unwrap_err().join("\n");
        failures.replace(&format!("{}/", folder.path().display()), "")
    };
    let told = play(cases);
    assert!(told.contains("cookbook.test.json:2: ana\n    unknown field `claim`"), "{told}");
    assert!(told.contains("cookbook.test.json:4: typo\n    unknown variant `alow`"), "{told}");
    assert!(told.contains("cookbook.test.json:5: open\n    missing field `decision`"), "{told}");
    let told = play(r#"{ "people": {} "cases": [] }"#);
    assert!(told.contains("cookbook.test.json: Expected comma"), "{told}");
}

#[test]
fn a_decision_is_explained() {
    let asker = Asker { name: "wanda".to_owned(), claims: vec!["region=WEST".to_owned()], ..Asker::default() };
    let text = commands::explain(cookbook(), &asker, "SELECT * FROM patients", 1_767_787_200).unwrap();
    assert!(text.starts_with("decision   deny\nreason     declare why you read health data"), "{text}");
    assert!(text.contains("\nby         rule \"declared purpose\" (") && text.contains("10-purpose.json:"), "{text}");
    let asker = Asker { purpose: Some("treatment".to_owned()), ..asker };
    let text = commands::explain(cookbook(), &asker, "SELECT count(*) FROM patients", 1_767_787_200).unwrap();
    assert!(text.starts_with("decision   hold\n") && text.contains("costly queries"), "{text}");
}

#[test]
fn a_change_of_policies_tells_who_loses_and_who_gains() {
    // Without the policy that asks what a statement would cost, which no log tells.
    let without_cost = |name: &str, text: String| if name.starts_with("09-") { "[]".to_owned() } else { text };
    let before = copied(without_cost);
    let folder = copied(|name, text| match name {
        "09-exports-and-costs.json" => "[]".to_owned(),
        "06-card-numbers.json" => "[]".to_owned(),
        "11-limits.json" => text.replace("5000", "50"),
        _ => text,
    });
    let log = folder.path().join("audit.jsonl");
    let line = |more: &str| {
        format!(
            r#"{{"timestamp":"2026-01-07T12:00:00Z","session_id":"s","user":"nadia","tenant":"default","authentication_method":"oidc","client_address":"127.0.0.1:5","application_name":"",{more}}}"#
        )
    };
    let identity = r#"{"subject":"nadia","email":null,"groups":[],"roles":["national"],"claims":{},"complete":true}"#;
    let sign_in = line(&format!(r#""event":"sign_in","intent":"sign_in","status":"ok","identity":{identity}"#));
    let asked = |query: &str| {
        line(&format!(
            r#""event":"statement","intent":"query","status":"started","source":"warehouse","query":"{query}""#
        ))
    };
    let text = [sign_in, asked("SELECT label FROM regions WHERE region = 'X'"), asked("SELECT count(*) FROM visits")];
    fs::write(&log, text.join("\n")).unwrap();
    let told = commands::diff(before.path(), folder.path(), &log, None).unwrap_err().join("\n");
    assert!(told.contains("LOSES    nadia: SELECT label FROM regions WHERE region = 'X'"), "{told}");
    assert!(told.contains("limit 5000 -> 50"), "{told}");
    assert!(told.contains("1 statements change and 1 stay the same"), "{told}");
    let same = commands::diff(before.path(), before.path(), &log, None).unwrap();
    assert!(same.contains("0 statements change and 2 stay the same"), "{same}");
    fs::write(&log, "").unwrap();
    let told = commands::diff(before.path(), before.path(), &log, None).unwrap_err().join("\n");
    assert!(told.contains("nothing was compared"), "{told}");
    fs::write(&log, format!("{{\n{}", text.join("\n"))).unwrap();
    let told = commands::diff(before.path(), before.path(), &log, None).unwrap_err().join("\n");
    assert!(told.contains("cannot be told: 1, because the line is none of an audit log"), "{told}");
}
