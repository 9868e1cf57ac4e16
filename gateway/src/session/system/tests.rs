//! The gateway's own relations over both protocols. What tickets mean is tested with `approvals`.

use crate::session::tests::client::World;
use crate::session::tests::fake::Script;

async fn asked(world: &World, text: &str) -> Vec<String> {
    let (mut client, _) = world.connect(&[]).await;
    let mut answer = client.query(text).await;
    client.terminate().await;
    assert_eq!(answer.pop().unwrap(), r#"ReadyForQuery "I""#);
    world.saw(&[]);
    answer
}

#[tokio::test]
async fn the_status_of_the_policies_is_one_row() {
    let world = World::new(Script::default());
    let answer = asked(&world, "SELECT revision, files, policies, reload, problems FROM passgate.policy_status").await;
    assert_eq!(
        answer,
        [
            r#"RowDescription ["revision:25", "files:20", "policies:20", "reload:25", "problems:25"]"#,
            r#"DataRow ["", "0", "0", "none", NULL]"#,
            r#"CommandComplete "SELECT 1""#,
        ]
    );
    let record = world.audited().into_iter().find(|record| record["event"] == "statement").unwrap();
    assert_eq!(record["validation"], "not_checked: answered by the gateway");
    assert_eq!(record["tables"], serde_json::json!(["passgate.policy_status"]));
}

#[tokio::test]
async fn conditions_order_limits_and_counts_are_understood() {
    let world = World::new(Script::default());
    for (text, rows) in [
        ("SELECT files AS f FROM passgate.policy_status AS s WHERE s.files = 0 AND reload IN ('none', 'taken')", 1),
        ("SELECT * FROM passgate.policy_status WHERE files > 0", 0),
        ("SELECT * FROM passgate.policy_status WHERE 1 > files AND NOT reload LIKE 'x%'", 1),
        ("SELECT s.* FROM passgate.policy_status s WHERE problems IS NULL ORDER BY 1, files DESC LIMIT 5 OFFSET 0", 1),
        ("SELECT files FROM passgate.policy_status WHERE problems = 'x'", 0),
        ("SELECT files FROM passgate.policy_status WHERE problems <> 'x'", 0),
        ("SELECT files FROM passgate.policy_status WHERE loaded_at < '2026-01-01' LIMIT 1", 1),
        ("SELECT files FROM passgate.policy_status OFFSET 1", 0),
        ("SELECT count(*) FROM passgate.approvals", 1),
        ("SELECT * FROM passgate.approvals WHERE may_decide AND opened_at >= '2026-01-01 00:00:00+00'", 0),
        ("SELECT ticket FROM passgate.approvals WHERE passgate.approvals.may_decide IS TRUE", 0),
    ] {
        let answer = asked(&world, text).await;
        assert_eq!(answer.last().unwrap(), &format!("CommandComplete \"SELECT {rows}\""), "{text}: {answer:?}");
    }
}

#[tokio::test]
async fn whatever_is_more_is_refused_by_its_name() {
    let world = World::new(Script::default());
    for (text, code, named) in [
        ("SELECT * FROM passgate.nothing", "42P01", "passgate.nothing"),
        ("SELECT passgate.nothing()", "42P01", "passgate.nothing"),
        ("SELECT nothing FROM passgate.approvals", "42703", "nothing"),
        ("SELECT DISTINCT state FROM passgate.approvals", "0A000", "DISTINCT"),
        ("SELECT state, count(*) FROM passgate.approvals GROUP BY 1", "0A000", "GROUP BY"),
        ("SELECT upper(state) FROM passgate.approvals", "0A000", "SELECT list"),
        ("SELECT 1 FROM passgate.approvals", "0A000", "SELECT list"),
        ("SELECT * FROM passgate.approvals WHERE state = ticket", "0A000", "two columns"),
        ("SELECT * FROM passgate.approvals WHERE state = 'a' OR state = 'b'", "0A000", "condition"),
        ("SELECT * FROM passgate.approvals WHERE ticket = (SELECT 'x')", "0A000", "expression"),
        ("SELECT * FROM passgate.approvals WHERE may_decide = 'perhaps'", "22P02", "boolean"),
        ("SELECT * FROM passgate.approvals WHERE state = 1", "42804", "bigint"),
        ("SELECT * FROM passgate.approvals ORDER BY 99", "42P10", "ORDER BY"),
        ("SELECT * FROM passgate.approvals LIMIT -1", "2201W", "LIMIT"),
        ("WITH x AS (SELECT 1) SELECT * FROM passgate.approvals", "0A000", "WITH"),
        ("SELECT passgate.approve()", "42883", "approve"),
        ("SELECT passgate.approve('a', 'b')", "42883", "approve"),
        ("SELECT passgate.approve('a'), passgate.approve('b')", "0A000", "call"),
        ("SELECT * FROM passgate.approve", "42809", "function"),
        ("SELECT passgate.approvals()", "42809", "function"),
        // Mixed with anything of a source, it is refused where names are resolved.
        ("SELECT * FROM passgate.approvals, t", "0A000", "passgate.approvals"),
        ("SELECT * FROM t WHERE x IN (SELECT ticket FROM passgate.approvals)", "0A000", "passgate.approvals"),
        ("SELECT passgate.approve(x) FROM t", "0A000", "passgate.approve"),
        ("EXPLAIN SELECT * FROM passgate.approvals", "0A000", "passgate.approvals"),
        ("COPY (SELECT * FROM passgate.approvals) TO STDOUT", "0A000", "passgate.approvals"),
    ] {
        let answer = asked(&world, text).await;
        let expected = format!("ErrorResponse ERROR {code} ");
        assert!(answer[0].starts_with(&expected) && answer[0].contains(named), "{text}: {answer:?}");
    }
}

#[tokio::test]
async fn the_extended_protocol_describes_and_binds() {
    let world = World::new(Script::default());
    let (mut client, _) = world.connect(&[]).await;
    let text = "SELECT files, reload FROM passgate.policy_status WHERE files = $1 AND reload = $2 LIMIT $3";
    client
        .parse("s", text)
        .describe_statement("s")
        .bind("", "s", &["0", "none", "5"])
        .describe_portal("")
        .execute("", 0);
    client.execute("", 0).sync();
    let columns = r#"RowDescription ["files:20", "reload:25"]"#;
    assert_eq!(
        client.answer().await,
        [
            "ParseComplete",
            "ParameterDescription [20, 25, 20]",
            columns,
            "BindComplete",
            columns,
            r#"DataRow ["0", "none"]"#,
            r#"CommandComplete "SELECT 1""#,
            r#"CommandComplete "SELECT 0""#,
            r#"ReadyForQuery "I""#,
        ]
    );
    // What cannot be understood is said when it is prepared.
    let refused = client.parse("t", "SELECT x FROM passgate.approvals").sync().answer().await;
    assert!(refused[0].starts_with("ErrorResponse ERROR 42703"), "{refused:?}");
    // A value that is not of the column's type, and one that is NULL.
    let refused = client.bind("", "s", &["many", "none", "5"]).execute("", 0).sync().answer().await;
    assert!(refused[1].starts_with("ErrorResponse ERROR 22P02"), "{refused:?}");
    client.terminate().await;
    world.saw(&[]);
}

#[tokio::test]
async fn a_ticket_that_does_not_exist_cannot_be_decided_about() {
    let world = World::new(Script::default());
    for text in [
        "SELECT passgate.approve('T1')",
        "SELECT passgate.refuse('T1', 'no')",
        "SELECT passgate.refuse('T1')",
        "SELECT * FROM passgate.cancel('T1')",
    ] {
        let answer = asked(&world, text).await;
        assert_eq!(answer, [r#"ErrorResponse ERROR 42704 ticket "T1" does not exist"#], "{text}");
    }
    let null = asked(&world, "SELECT passgate.approve(NULL) AS done").await;
    assert_eq!(null, [r#"RowDescription ["done:25"]"#, "DataRow [NULL]", r#"CommandComplete "SELECT 1""#]);
}

#[tokio::test]
async fn only_those_who_look_after_the_sources_have_them_read() {
    let world = World::new(Script::default());
    for text in ["SELECT passgate.sync()", "SELECT passgate.sync('warehouse')", "SELECT passgate.sync('nowhere')"] {
        let answer = asked(&world, text).await;
        assert!(
            answer[0].starts_with("ErrorResponse ERROR 42501 permission denied to read a source again"),
            "{answer:?}"
        );
    }
    let mut carol = world.connect_as("carol").await;
    for text in ["SELECT passgate.sync()", "SELECT passgate.sync('warehouse')"] {
        let answer = carol.query(text).await;
        assert!(answer[1].starts_with("DataRow [\"20"), "{answer:?}");
    }
    let answer = carol.query("SELECT passgate.sync('nowhere')").await;
    assert_eq!(answer[0], r#"ErrorResponse ERROR 42704 source "nowhere" does not exist"#);
    carol.terminate().await;
    world.saw(&[]);
}

#[tokio::test]
async fn what_is_known_of_tables_is_shown_as_far_as_they_are_seen() {
    let world = World::new(Script::default());
    let answer = asked(&world, "SELECT * FROM passgate.tables").await;
    assert!(
        answer[1].starts_with(r#"DataRow ["public", "numbers", "table", NULL, NULL, "1", "f", "1", "20"#),
        "{answer:?}"
    );
    assert!(answer[1].ends_with("+00\", NULL]"), "{answer:?}");
    let answer = asked(&world, "SELECT * FROM passgate.columns WHERE NOT is_described").await;
    assert!(
        answer[1].starts_with(r#"DataRow ["public", "numbers", "a", "1", "int4", NULL, NULL, "f", "20"#),
        "{answer:?}"
    );
    assert_eq!(asked(&world, "SELECT * FROM passgate.columns WHERE is_described").await.len(), 2);
    // What no policy shows is not there.
    world.reload(r#"{ "name": "other", "check": "schema_whitelist", "schemas": ["other"], "unknown_ok": true }"#);
    assert_eq!(asked(&world, "SELECT * FROM passgate.tables").await.len(), 2);
}

#[test]
fn the_manual_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SYSTEM.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, super::manual()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), super::manual(), "UPDATE=1 cargo test writes it again");
}

#[test]
fn every_row_says_what_it_shows() {
    for row in super::ROWS {
        assert!(row.manual.ends_with('.') && !row.columns.is_empty(), "{}", row.name);
        let lower = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(lower(row.name) && row.columns.iter().all(|column| lower(column.name)), "{}", row.name);
    }
}
