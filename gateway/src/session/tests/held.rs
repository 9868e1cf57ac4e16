//! Held statements in their sessions: what is told, what runs on which grant, and every way a wait can end.

use std::time::Duration;

use serde_json::Value;

use super::client::{TestClient, World};
use super::fake::{Script, rows};

/// Everything that reads asks an owner of the data.
const BY_OWNER: &str = r#"{ "name": "ask", "action": "require_approval", "by": { "roles": ["data_owner"] },
    "condition": { "statement_kind": { "eq": "query" } }, "message": "ask somebody" }"#;
const BY_SELF: &str = r#"{ "name": "sure", "action": "require_approval", "by": "self", "message": "are you sure" }"#;

fn with_rows(texts: &[&str]) -> Script {
    texts.iter().fold(Script::default(), |script, text| script.answer(text, rows(&["1"])))
}

/// The tickets that the last answer names.
fn tickets(client: &TestClient) -> Vec<String> {
    let told = client.told.join(" ");
    let names = told.split("Ticket ").skip(1);
    names.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

/// The ticket of a statement that is held.
async fn ticket(client: &mut TestClient, text: &str) -> String {
    let answer = client.query(text).await;
    assert!(answer.iter().any(|line| line.starts_with("ErrorResponse ERROR 42501")), "{answer:?}");
    tickets(client).remove(0)
}

async fn approve(world: &World, person: &str, ticket: &str) -> Vec<String> {
    let mut client = world.connect_as(person).await;
    client.query(&format!("SELECT passgate.approve('{ticket}')")).await
}

/// Waits until the session of this client has a ticket, and tells it.
async fn waiting(world: &World, person: &str) -> String {
    let mut client = world.connect_as(person).await;
    for _ in 0..200 {
        let open = client.query("SELECT ticket FROM passgate.approvals WHERE state = 'open'").await;
        if let Some(row) = open.iter().find_map(|line| line.strip_prefix("DataRow [\"")) {
            return row.trim_end_matches("\"]").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits");
}

async fn waiting_client(world: &World, text: &str) -> TestClient {
    let (mut client, _) = world.connect(&[("options", "-c passgate.on_hold=wait")]).await;
    client.send_query(text).await;
    client
}

fn events(world: &World) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let statements = world.audited().into_iter().filter(|record| record["event"] != "sign_in");
    let told = statements.filter(|record| record["tickets"].is_array());
    told.map(|record| {
        let note = &record["tickets"][0];
        let parts = [&record["event"], &record["status"], &record["user"], &note["asker"], &note["decided_by"]];
        parts.map(text).join(" ")
    })
    .collect()
}

#[tokio::test]
async fn a_held_statement_names_its_ticket_and_runs_once_it_is_granted() {
    let world = World::with_policies(with_rows(&["SELECT 1"]), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    let held = client.query("SELECT 1").await;
    assert!(held[0].starts_with("ErrorResponse ERROR 42501 ask somebody"), "{held:?}");
    let told = client.told.join(" ");
    assert!(told.contains("rule \"ask\" (more.json:1)") && told.contains("holds the role \"data_owner\""), "{told}");
    let id = tickets(&client).remove(0);
    assert_eq!(ticket(&mut client, "SELECT 1").await, id, "asked again, the same ticket waits");
    world.saw(&[]);
    // Not by herself, and not by somebody without the role.
    for person in ["alice", "bob"] {
        let refused = approve(&world, person, &id).await;
        assert!(refused[0].starts_with("ErrorResponse ERROR 42"), "{person}: {refused:?}");
    }
    assert_eq!(approve(&world, "carol", &id).await[1], r#"DataRow ["granted"]"#);
    // Another statement is not approved by that, nor the same by somebody else.
    assert!(client.query("SELECT 2").await[0].starts_with("ErrorResponse ERROR 42501"));
    assert!(world.connect_as("bob").await.query("SELECT 1").await[0].starts_with("ErrorResponse ERROR 42501"));
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    // Once.
    assert_ne!(ticket(&mut client, "SELECT 1").await, id);
    let told = events(&world);
    for event in [
        "ticket_opened ok alice alice -",
        "statement held alice alice -",
        "ticket_granted ok carol alice carol",
        "ticket_used ok alice alice carol",
        "statement started alice alice carol",
    ] {
        assert!(told.iter().any(|had| had == event), "{event} in {told:#?}");
    }
}

#[tokio::test]
async fn both_sides_can_be_told_from_the_log() {
    let world = World::with_policies(with_rows(&["SELECT 1"]), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    let id = ticket(&mut client, "SELECT 1").await;
    approve(&world, "carol", &id).await;
    client.query("SELECT 1").await;
    let find = |event: &str, status: &str| {
        let is_it = |record: &Value| record["event"] == event && record["status"] == status;
        world.audited().into_iter().find(|record| is_it(record) && record["tickets"].is_array()).unwrap()
    };
    let (held, used, ran) = (find("statement", "held"), find("ticket_used", "ok"), find("statement", "ok"));
    assert_eq!(used["tickets"][0]["held_statement_id"], held["statement_id"]);
    assert_eq!(used["statement_id"], ran["statement_id"]);
    assert_eq!(held["validation"], "held");
    assert!(held["rules"].to_string().contains("ask"));
}

#[tokio::test]
async fn the_person_who_asked_confirms_and_the_hint_says_how() {
    let world = World::with_policies(with_rows(&["SELECT 1"]), BY_SELF);
    let (mut client, _) = world.connect(&[]).await;
    let id = ticket(&mut client, "SELECT 1").await;
    let hint = format!("Run SELECT passgate.approve('{id}') and run it again.");
    assert!(client.told[0].contains(&hint), "{:?}", client.told);
    assert_eq!(client.query(&format!("SELECT passgate.approve('{id}')")).await[1], r#"DataRow ["granted"]"#);
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    let taken_back = client.query(&format!("SELECT passgate.cancel('{id}')")).await;
    assert!(taken_back[0].contains("is used already"), "{taken_back:?}");
}

#[tokio::test]
async fn values_are_part_of_what_is_approved_and_preparing_is_not_held() {
    let script = Script::default().describe("SELECT $1", &[23]).answer("SELECT $1", rows(&["7"]));
    let world = World::with_policies(script, BY_SELF);
    let (mut client, _) = world.connect(&[]).await;
    client.parse("s", "SELECT $1").describe_statement("s").sync();
    let prepared = client.answer().await;
    assert_eq!(prepared[1], "ParameterDescription [23]", "{prepared:?}");
    client.bind("", "s", &["7"]).describe_portal("").execute("", 0).sync().answer().await;
    let id = tickets(&client).remove(0);
    client.query(&format!("SELECT passgate.approve('{id}')")).await;
    let other = client.bind("", "s", &["8"]).execute("", 0).sync().answer().await;
    assert!(other[1].starts_with("ErrorResponse ERROR 42501"), "{other:?}");
    let ran = client.bind("", "s", &["7"]).describe_portal("").execute("", 0).sync().answer().await;
    assert_eq!(ran[2], r#"DataRow ["7"]"#, "{ran:?}");
}

#[tokio::test]
async fn what_constants_mean_is_part_of_what_is_approved() {
    let text = "SELECT 1";
    let world = World::with_policies(with_rows(&[text]), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    let id = ticket(&mut client, text).await;
    approve(&world, "carol", &id).await;
    client.query("SET DateStyle = 'German'").await;
    assert_ne!(ticket(&mut client, text).await, id, "it is another day now");
    client.query("RESET DateStyle").await;
    assert!(client.query(text).await.contains(&"DataRow [\"1\"]".to_owned()));
}

#[tokio::test]
async fn a_grant_survives_a_restart_and_not_a_change_of_the_policies() {
    let world = World::with_policies(Script::default(), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    let ids = [ticket(&mut client, "SELECT 1").await, ticket(&mut client, "SELECT 2").await];
    for id in &ids {
        approve(&world, "carol", id).await;
    }
    client.terminate().await;
    let world = world.again(with_rows(&["SELECT 1"]), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    world.reload_more(&BY_OWNER.replace("ask somebody", "ask somebody else"));
    assert!(!ids.contains(&ticket(&mut client, "SELECT 2").await));
    let void = client.query("SELECT state FROM passgate.approvals WHERE state = 'void'").await;
    assert_eq!(void[1], r#"DataRow ["void"]"#);
}

#[tokio::test]
async fn a_session_that_waits_gets_its_rows_once_it_is_granted() {
    let world = World::with_policies(with_rows(&["SELECT 1"]), BY_OWNER);
    let mut client = waiting_client(&world, "SELECT 1").await;
    let id = waiting(&world, "carol").await;
    world.saw(&[]);
    approve(&world, "carol", &id).await;
    let answer = client.answer().await;
    let answer = &answer[answer.iter().position(|line| line.starts_with("Notice")).unwrap()..];
    assert!(answer[0].starts_with("NoticeResponse NOTICE 00000 waiting for an approval: ask somebody"), "{answer:?}");
    assert_eq!(answer[1..3], [r#"RowDescription ["a:23"]"#, r#"DataRow ["1"]"#]);
    let one = client.query("SELECT count(*) FROM passgate.approvals WHERE state = 'used'").await;
    assert_eq!(one[1], r#"DataRow ["1"]"#);
}

#[tokio::test]
async fn a_session_that_waits_is_told_of_a_refusal_with_its_reason() {
    let world = World::with_policies(Script::default(), BY_OWNER);
    let mut client = waiting_client(&world, "SELECT 1").await;
    let id = waiting(&world, "carol").await;
    let mut carol = world.connect_as("carol").await;
    carol.query(&format!("SELECT passgate.refuse('{id}', 'not today')")).await;
    let answer = client.answer().await;
    let refused = answer.iter().find(|line| line.starts_with("Error")).unwrap();
    assert!(refused.contains("42501 the statement was refused"), "{refused}");
    assert!(client.told.join(" ").contains("not today"), "{:?}", client.told);
    world.saw(&[]);
}

#[tokio::test]
async fn a_wait_ends_with_a_cancel_request_and_the_ticket_stays() {
    let world = World::with_policies(Script::default(), BY_OWNER);
    let (mut client, _) = world.connect(&[]).await;
    client.query("SET passgate.on_hold = 'wait'").await;
    client.send_query("SELECT 1").await;
    let id = waiting(&world, "carol").await;
    world.cancel(&client).await;
    let answer = client.answer().await;
    assert!(answer.iter().any(|line| line.starts_with("ErrorResponse ERROR 57014")), "{answer:?}");
    client.query("SET passgate.on_hold = 'fail'").await;
    assert_eq!(ticket(&mut client, "SELECT 1").await, id);
}

#[tokio::test]
async fn a_wait_ends_with_its_client_and_with_the_gateway() {
    let world = World::with_policies(Script::default(), BY_OWNER);
    let client = waiting_client(&world, "SELECT 1").await;
    waiting(&world, "carol").await;
    drop(client);
    let gone = async {
        while !world.audited().iter().any(|record| record["status"] == "abandoned") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the statement of a client that is gone ends");
    let mut client = waiting_client(&world, "SELECT 2").await;
    waiting(&world, "carol").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.drain();
    let answer = client.answer().await;
    assert!(answer.iter().any(|line| line.starts_with("ErrorResponse FATAL 57P01")), "{answer:?}");
}

#[tokio::test]
async fn a_wait_ends_when_policies_do_not_ask_any_more() {
    let world = World::with_policies(with_rows(&["SELECT 1"]), BY_OWNER);
    let mut client = waiting_client(&world, "SELECT 1").await;
    waiting(&world, "carol").await;
    world.reload_more("[]");
    let answer = client.answer().await;
    assert!(answer.contains(&r#"DataRow ["1"]"#.to_owned()), "{answer:?}");
}

#[tokio::test]
async fn a_ticket_that_nobody_decides_about_ends_the_wait() {
    let short = BY_OWNER.replace("\"message\"", "\"expires_in\": \"1s\", \"message\"");
    let world = World::with_policies(Script::default(), &short);
    let mut client = waiting_client(&world, "SELECT 1").await;
    let answer = client.answer().await;
    assert!(answer.iter().any(|line| line.contains("nobody has approved the statement in time")), "{answer:?}");
}

#[tokio::test]
async fn several_groups_of_people_must_all_agree() {
    let both = format!("[{BY_OWNER}, {BY_SELF}]");
    let world = World::with_policies(with_rows(&["SELECT 1"]), &both);
    let (mut client, _) = world.connect(&[]).await;
    client.query("SELECT 1").await;
    let ids = tickets(&client);
    assert_eq!(ids.len(), 2, "{:?}", client.told);
    approve(&world, "carol", &ids[0]).await;
    assert_eq!(ticket(&mut client, "SELECT 1").await, ids[1], "only what is missing is asked for");
    client.query(&format!("SELECT passgate.approve('{}')", ids[1])).await;
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
}

#[tokio::test]
async fn a_grant_with_several_uses_is_shared_by_sessions_and_used_up() {
    let twice = BY_SELF.replace("\"message\"", "\"uses\": 2, \"message\"");
    let world = World::with_policies(with_rows(&["SELECT 1", "SELECT 1"]), &twice);
    let (mut client, _) = world.connect(&[]).await;
    let id = ticket(&mut client, "SELECT 1").await;
    client.query(&format!("SELECT passgate.approve('{id}')")).await;
    let (mut other, _) = world.connect(&[]).await;
    assert_eq!(other.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    assert_ne!(ticket(&mut other, "SELECT 1").await, id);
}

#[tokio::test]
async fn every_path_is_held_alike() {
    let world = World::with_policies(Script::default(), BY_SELF);
    let (mut client, _) = world.connect(&[]).await;
    client.query("BEGIN").await;
    let mut seen = Vec::new();
    for text in
        ["SELECT 1", "PREPARE p AS SELECT 1; EXECUTE p", "DECLARE c CURSOR FOR SELECT 1", "COPY (SELECT 1) TO STDOUT"]
    {
        client.query("ROLLBACK; BEGIN").await;
        seen.push(ticket(&mut client, text).await);
    }
    assert!(seen.iter().all(|id| *id == seen[0]), "the same query is the same, whatever its path: {seen:?}");
    let held = client.parse("", "SELECT 1").bind("", "", &[]).execute("", 0).sync().answer().await;
    assert!(held.iter().any(|line| line.contains("25P02")), "a held statement fails its transaction: {held:?}");
    client.query("ROLLBACK").await;
    world.saw(&[]);
}

#[tokio::test]
async fn warnings_come_before_the_rows() {
    let warn = r#"{ "name": "late", "action": "warn", "message": "this is late" }"#;
    let world = World::with_policies(with_rows(&["SELECT 1"]), warn);
    let (mut client, _) = world.connect(&[]).await;
    let answer = client.query("SELECT 1").await;
    assert!(answer[0].starts_with("NoticeResponse NOTICE 00000 this is late"), "{answer:?}");
    assert_eq!(answer[1], r#"RowDescription ["a:23"]"#);
}

#[tokio::test]
async fn a_first_access_is_one_until_something_ran() {
    let first = r#"{ "name": "first", "action": "require_approval", "by": "self",
        "condition": { "first_access_to_source": true }, "message": "you are new here" }"#;
    let world = World::with_policies(with_rows(&["SELECT 1", "SELECT 2"]), first);
    let (mut client, _) = world.connect(&[]).await;
    let id = ticket(&mut client, "SELECT 1").await;
    client.query(&format!("SELECT passgate.approve('{id}')")).await;
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    assert_eq!(client.query("SELECT 2").await[1], r#"DataRow ["1"]"#);
    client.terminate().await;
    let world = world.again(with_rows(&["SELECT 3"]), first);
    assert_eq!(world.connect_as("alice").await.query("SELECT 3").await[1], r#"DataRow ["1"]"#);
    assert!(world.connect_as("bob").await.query("SELECT 3").await[0].contains("you are new here"));
}

#[tokio::test]
async fn what_a_session_asks_of_the_gateway_can_be_blocked() {
    let block = r#"{ "name": "quiet", "action": "block", "message": "not here",
        "condition": { "statement_kind": { "in": ["show_all", "show_privileges"] } } }"#;
    let world = World::with_policies(Script::default(), block);
    let (mut client, _) = world.connect(&[]).await;
    let refused = client.query("SHOW ALL").await;
    assert!(refused[0].starts_with("ErrorResponse ERROR 42501 not here"), "{refused:?}");
    let refused = client.query("SELECT relacl FROM pg_class").await;
    assert!(refused[0].starts_with("ErrorResponse ERROR 42501 not here"), "{refused:?}");
    assert_eq!(client.query("SHOW TimeZone").await[1], r#"DataRow ["UTC"]"#);
    world.reload_more("[]");
    assert!(client.query("SHOW ALL").await.len() > 20);
}

#[tokio::test]
async fn what_a_shadow_policy_would_have_done_is_recorded() {
    let shadow = BY_SELF.replace("\"action\"", "\"mode\": \"shadow\", \"action\"");
    let world = World::with_policies(with_rows(&["SELECT 1"]), &shadow);
    let (mut client, _) = world.connect(&[]).await;
    assert_eq!(client.query("SELECT 1").await[1], r#"DataRow ["1"]"#);
    client.terminate().await;
    let record = world.audited().into_iter().find(|record| record["status"] == "ok" && record["event"] == "statement");
    assert!(record.unwrap()["shadow"][0].as_str().unwrap().contains("rule \"sure\""));
}
