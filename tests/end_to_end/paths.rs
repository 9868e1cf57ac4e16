//! One core for every path: the same statements, down every road that a client can take, with the same answer.
//!
//! A case says who asks what. Every path must give the same rows as text, or the same SQLSTATE and message, and where the
//! case says which, that one.

use passgate_tests::clients::{connect, told};
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};
use serde_json::{Value, json};

use super::people::{directly, through};

/// Who asks what, and what comes of it: rows as the warehouse itself gives them to the person, so many rows where a rule
/// limits them, or a refusal.
struct Case {
    person: &'static str,
    statement: &'static str,
    /// Values for its parameters, as text.
    values: &'static [&'static str],
    outcome: Outcome,
}

enum Outcome {
    /// What the warehouse itself says to the person, rows or error.
    AsDirectly,
    /// So many rows.
    Rows(usize),
    /// SQLSTATE and message.
    Refused(&'static str, &'static str),
}

const fn case(person: &'static str, statement: &'static str, outcome: Outcome) -> Case {
    Case { person, statement, values: &[], outcome }
}

const NO_PATIENTS: &str = "Patients are nobody's business.";

const CASES: [Case; 17] = [
    case("alice", "SELECT id, region, amount, sold_on FROM sales WHERE id < 20 ORDER BY id", Outcome::AsDirectly),
    case("bob", "SELECT id, region, amount, sold_on FROM sales WHERE id < 20 ORDER BY id", Outcome::AsDirectly),
    case("alice", "SELECT NULL AS a, true AS b, 'it''s; \\ done' AS c, 1.50 AS d", Outcome::AsDirectly),
    case("alice", "SELECT \"Column A\", \"select\" FROM \"Odd \"\"Name\"\"\"", Outcome::AsDirectly),
    case("alice", "VALUES (1, 'a'), (2, NULL)", Outcome::AsDirectly),
    case("bob", "SELECT region, count(*) FROM sales GROUP BY region ORDER BY region", Outcome::AsDirectly),
    case("alice", "SELECT id FROM sales WHERE false", Outcome::AsDirectly),
    case("alice", "SELECT id FROM million ORDER BY id", Outcome::Rows(50)),
    case("alice", "SELECT id FROM million ORDER BY id LIMIT 60 OFFSET 3", Outcome::Rows(50)),
    case("alice", "SELECT * FROM dim_patient", Outcome::Refused("42501", NO_PATIENTS)),
    case("bob", "SELECT 1 WHERE EXISTS (SELECT FROM dim_patient)", Outcome::Refused("42501", NO_PATIENTS)),
    case("alice", "WITH p AS (SELECT * FROM dim_patient) SELECT 1 FROM sales", Outcome::Refused("42501", NO_PATIENTS)),
    case(
        "alice",
        "WITH gone AS (DELETE FROM sales RETURNING id) SELECT id FROM gone",
        Outcome::Refused("42501", "DELETE is not permitted, only reads are"),
    ),
    case("alice", "SELECT id FROM nowhere", Outcome::Refused("42P01", "relation \"nowhere\" does not exist")),
    case(
        "alice",
        "SELECT pg_sleep(1)",
        Outcome::Refused("42501", "permission denied for function pg_catalog.pg_sleep"),
    ),
    Case {
        person: "bob",
        statement: "SELECT id, amount FROM sales WHERE region = $1 AND id < $2 ORDER BY id",
        values: &["EAST", "40"],
        outcome: Outcome::AsDirectly,
    },
    Case {
        person: "alice",
        statement: "SELECT name FROM dim_patient WHERE id = $1",
        values: &["1"],
        outcome: Outcome::Refused("42501", NO_PATIENTS),
    },
];

/// Runs one case down every path and prints, for each, its name and what came of it, as JSON.
///
/// `$1` is a parameter where the path can bind one, and a literal where it cannot.
const PROGRAM: &str = r#"
import json
from psycopg import pq, sql, errors
from psycopg.types import TypeInfo
pg = connection.pgconn

def literal(statement):
    for number, value in enumerate(values, 1):
        statement = statement.replace(f"${number}", "'" + value.replace("'", "''") + "'")
    return statement

def failed(error):
    return {"error": [error.sqlstate, error.diag.message_primary]}

def result(res):
    if res.status == pq.ExecStatus.FATAL_ERROR:
        field = lambda name: (res.error_field(name) or b"").decode()
        return {"error": [field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.MESSAGE_PRIMARY)]}
    value = lambda row, column: res.get_value(row, column)
    texts = lambda row: [None if value(row, c) is None else value(row, c).decode() for c in range(res.nfields)]
    return {"rows": [texts(row) for row in range(res.ntuples)]}

bound = [value.encode() for value in values]
def by_message(text, with_values=True, **more):
    return result(pg.exec_params(text.encode(), bound if with_values else None, **more))

def first_error(*results):
    return next((r for r in results if "error" in r), results[-1])

def in_transaction(*steps):
    by_message("BEGIN", False)
    try:
        done = []
        for step in steps:
            done.append(step())
            if "error" in done[-1]:
                return done[-1]
        return {"rows": [row for r in done for row in r["rows"]]}
    finally:
        by_message("ROLLBACK", False)

def simple():
    return result(pg.exec_(literal(statement).encode()))

def extended():
    return by_message(statement)

def binary():
    # The values as Python has them must be the same as those that came as text.
    def load(**more):
        with connection.cursor(**more) as cursor:
            cursor.execute(literal(statement))
            return cursor.fetchall()
    try:
        as_text, as_binary = load(), load(binary=True)
    except errors.Error as error:
        return failed(error)
    return extended() if as_text == as_binary else {"binary": repr(as_binary), "text": repr(as_text)}

def parsed():
    prepared = result(pg.prepare(b"parsed", statement.encode()))
    done = prepared if "error" in prepared else result(pg.exec_prepared(b"parsed", bound))
    pg.exec_(b"DEALLOCATE parsed")
    return done

def executed():
    arguments = "(" + ", ".join("'" + value + "'" for value in values) + ")" if values else ""
    prepared = result(pg.exec_(("PREPARE executed AS " + statement).encode()))
    done = prepared if "error" in prepared else result(pg.exec_(("EXECUTE executed" + arguments).encode()))
    pg.exec_(b"DEALLOCATE executed")
    return done

def executed_by_message():
    prepared = result(pg.prepare(b"shared", statement.encode()))
    arguments = "(" + ", ".join("'" + value + "'" for value in values) + ")" if values else ""
    done = prepared if "error" in prepared else by_message("EXECUTE shared" + arguments, False)
    pg.exec_(b"DEALLOCATE shared")
    return done

def cursor():
    fetch = lambda: by_message("FETCH FORWARD 7 FROM c", False)
    steps = [lambda: by_message("DECLARE c CURSOR FOR " + statement)] + [fetch] * 9
    return in_transaction(*steps)

def simple_cursor():
    run = lambda text: lambda: result(pg.exec_(text.encode()))
    return in_transaction(run("DECLARE c NO SCROLL CURSOR FOR " + literal(statement)), run("FETCH ALL FROM c"))

def held_cursor():
    declared = by_message("DECLARE h CURSOR WITH HOLD FOR " + statement)
    done = declared if "error" in declared else by_message("FETCH ALL FROM h", False)
    pg.exec_(b"CLOSE h")
    return done

def portal():
    # As JDBC with a fetch size, and psycopg's server-side cursors.
    try:
        with connection.transaction(), connection.cursor("named") as named:
            named.itersize = 5
            named.execute(literal(statement))
            return simple() if named.fetchall() == connection.execute(literal(statement)).fetchall() else {"differs": True}
    except errors.Error as error:
        return failed(error)

def copy():
    try:
        with connection.cursor() as cursor, cursor.copy(f"COPY ({literal(statement)}) TO STDOUT") as copy:
            return {"rows": [list(row) for row in copy.rows()]}
    except errors.Error as error:
        return failed(error)

def copy_csv():
    import csv, io
    try:
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY ({literal(statement)}) TO STDOUT (FORMAT csv, NULL '\\N', FORCE_QUOTE *)") as copy:
                text = b"".join(copy).decode()
    except errors.Error as error:
        return failed(error)
    return {"rows": [[None if value == "\\N" else value for value in row] for row in csv.reader(io.StringIO(text))]}

def explain():
    done = result(pg.exec_(("EXPLAIN " + literal(statement)).encode()))
    return done if "error" in done else {"decision": "allowed"}

def explain_execute():
    prepared = result(pg.exec_(("PREPARE explained AS " + literal(statement)).encode()))
    done = prepared if "error" in prepared else result(pg.exec_(b"EXPLAIN EXECUTE explained"))
    pg.exec_(b"DEALLOCATE explained")
    return done if "error" in done else {"decision": "allowed"}

for person_case in cases:
    statement, values = person_case["statement"], person_case["values"]
    bound = [value.encode() for value in values]
    paths = [simple, extended, binary, parsed, executed, executed_by_message, cursor, simple_cursor, held_cursor, portal,
             copy, copy_csv, explain, explain_execute]
    for path in paths:
        print(json.dumps([statement, path.__name__, path()]))
"#;

fn policies(settings: Settings) -> Settings {
    settings.policy("rows.json", &json!({ "name": "few-rows", "check": "row_limit", "rows": 50 })).policy(
        "patients.json",
        &json!({
            "name": "no-patients", "action": "block", "message": NO_PATIENTS,
            "condition": { "tables_referenced": { "contains_any": ["dim_patient"] } },
        }),
    )
}

#[tokio::test]
async fn every_path_gives_the_same_answer() {
    let world = World::shared();
    let gateway = policies(Settings::new(world, Mode::SessionAuthorization)).start().await;
    let mut problems = Vec::new();
    for person in ["alice", "bob"] {
        let cases: Vec<&Case> = CASES.iter().filter(|case| case.person == person).collect();
        let direct = run(&cases, directly(world, person).await, &["simple"]).await;
        let seen = run(&cases, through(world, &gateway, person).await, &[]).await;
        assert_eq!(seen.len(), cases.len() * PATHS);
        for (statement, path, outcome) in &seen {
            let case = cases.iter().find(|case| case.statement == *statement).expect("a case");
            let directly = direct.iter().find(|(of, ..)| of == statement).map(|(.., outcome)| outcome);
            if !agrees(case, path, outcome, directly) {
                problems.push(format!("{person}, {path}: {statement}\n    {outcome}"));
            }
        }
    }
    assert!(problems.is_empty(), "{} of {} differ:\n{}", problems.len(), CASES.len() * PATHS, problems.join("\n"));
}

/// How many paths the program takes.
const PATHS: usize = 14;

/// Statement, path and outcome of every case on every path.
async fn run(cases: &[&Case], login: passgate_tests::clients::Login, only: &[&str]) -> Vec<(String, String, Value)> {
    let cases: Vec<Value> =
        cases.iter().map(|case| json!({ "statement": case.statement, "values": case.values })).collect();
    let only = match only {
        [] => String::new(),
        only => format!("    paths = [path for path in paths if path.__name__ in {only:?}]\n    for path in paths:\n"),
    };
    let program = match only.as_str() {
        "" => PROGRAM.to_owned(),
        only => PROGRAM.replace("    for path in paths:\n", only),
    };
    let text = Value::from(cases).to_string();
    let said = login.psycopg(&format!("import json\ncases = json.loads({text:?})\nvalues = []\n{program}")).await;
    let line = |line: &str| serde_json::from_str::<(String, String, Value)>(line).expect("a line of the program");
    said.rows().into_iter().map(line).collect()
}

fn agrees(case: &Case, path: &str, outcome: &Value, directly: Option<&Value>) -> bool {
    let only_decides = path.starts_with("explain");
    match &case.outcome {
        Outcome::Refused(code, message) => *outcome == json!({ "error": [code, message] }),
        _ if only_decides => *outcome == json!({ "decision": "allowed" }),
        Outcome::AsDirectly => Some(outcome) == directly,
        Outcome::Rows(rows) => outcome["rows"].as_array().is_some_and(|given| given.len() == *rows),
    }
}

#[tokio::test]
async fn what_was_prepared_before_a_reload_is_judged_after_it() {
    let world = World::shared();
    let mut gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let token = world.openid.token("alice").await;
    let client = connect(world, gateway.port(), "alice", &token).await.expect("alice signs in");
    let statement = "SELECT name FROM dim_patient";
    let parsed = client.prepare(statement).await.expect("it may run still");
    // A BEGIN takes what stands before it in the same message into its transaction, so it has a message of its own.
    for text in [
        format!("PREPARE p AS {statement}; DECLARE h CURSOR WITH HOLD FOR {statement}"),
        format!("BEGIN; DECLARE c CURSOR FOR {statement}"),
    ] {
        client.batch_execute(&text).await.expect("so may these");
    }
    assert_eq!(client.query(&parsed, &[]).await.expect("a row").len(), 1);

    let Gateway { settings, .. } = &mut gateway;
    *settings = policies(std::mem::replace(settings, Settings::new(world, Mode::SessionAuthorization)));
    gateway.reload();
    let other = connect(world, gateway.port(), "alice", &token).await.expect("alice signs in again");
    while other.batch_execute(statement).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }

    let revoked = ("42501".to_owned(), "the policies that allowed this statement no longer hold".to_owned());
    let refused = ("42501".to_owned(), NO_PATIENTS.to_owned());
    let error = async |text: &str| told(&client.batch_execute(text).await.expect_err(text));
    assert_eq!(error("FETCH c").await, revoked);
    assert_eq!(error("FETCH c").await.0, "25P02");
    client.batch_execute("ROLLBACK").await.expect("the end of the transaction");
    assert_eq!(error("FETCH ALL FROM h").await, revoked);
    for text in
        ["EXECUTE p", "EXPLAIN EXECUTE p", "PREPARE q AS SELECT * FROM dim_patient", "COPY dim_patient TO STDOUT"]
    {
        assert_eq!(error(text).await, refused, "{text}");
    }
    assert_eq!(told(&client.query(&parsed, &[]).await.expect_err("Bind and Execute")), refused);
    let record = gateway.audited("the refused EXECUTE", |record| record["intent"] == "execute").await;
    assert_eq!((&record["query"], &record["status"]), (&json!(statement), &json!("denied")), "{record}");
}

#[tokio::test]
async fn psql_reads_by_cursor_and_copies_to_files() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let statement = "SELECT id, region, seller FROM sales ORDER BY id";
    for person in ["alice", "bob"] {
        let expected = directly(world, person).await.psql(statement).await;
        let login = through(world, &gateway, person).await;
        let by_cursor = login.psql_script(&format!("\\set FETCH_COUNT 7\n{statement};\n")).await;
        assert_eq!(by_cursor.rows(), expected.rows(), "{person}");
        let copied = login.psql_script(&format!("\\copy ({statement}) to stdout with (delimiter '|')\n")).await;
        assert_eq!(copied.rows(), expected.rows(), "{person}");
    }
    let record = gateway.audited("a copy", |record| record["intent"] == "copy" && record["status"] == "ok").await;
    assert_eq!(record["rows_returned"], 100, "{record}");
}

#[tokio::test]
async fn copy_that_reads_or_writes_elsewhere_is_refused() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).start().await;
    let alice = through(world, &gateway, "alice").await;
    for statement in [
        "COPY sales FROM STDIN",
        "COPY sales FROM '/etc/passwd'",
        "COPY sales TO '/tmp/sales.csv'",
        "COPY (SELECT 1) TO PROGRAM 'cat > /tmp/sales.csv' WITH (FORMAT csv)",
        "PREPARE p AS INSERT INTO sales VALUES (0)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM sales FOR UPDATE",
    ] {
        let said = alice.psql(statement).await;
        assert!(!said.ok && said.errors.contains("ERROR:  42501"), "{statement}: {said:?}");
    }
}

#[tokio::test]
async fn a_large_copy_and_a_large_cursor_pass_and_may_be_left_in_the_midst() {
    let world = World::shared();
    let gateway = Settings::new(world, Mode::SessionAuthorization).unlimited().start().await;
    let program = r#"
with connection.cursor() as cursor, cursor.copy("COPY (SELECT id, label FROM million) TO STDOUT") as copy:
    print(sum(1 for row in copy.rows()))
with connection.transaction():
    with connection.cursor("left", scrollable=True) as left, connection.cursor("other") as other:
        left.execute("SELECT id FROM million")
        other.execute("SELECT id, label FROM million")
        left.itersize = other.itersize = 1000
        lefts, others = iter(left), iter(other)
        print([next(lefts)[0] for _ in range(3)], next(others)[0], connection.execute("SELECT 5").fetchone()[0])
        left.scroll(999_999, mode="absolute")
        print(left.fetchall())
# A portal of the protocol with most of its rows unread, in a transaction that is rolled back.
connection.pgconn.exec_(b"BEGIN")
connection.pgconn.send_query(b"DECLARE many CURSOR FOR SELECT * FROM million")
while connection.pgconn.get_result(): pass
print(connection.pgconn.exec_(b"FETCH 500000 FROM many").ntuples)
print(connection.pgconn.exec_(b"ROLLBACK").command_status.decode())
"#;
    let said = through(world, &gateway, "alice").await.psycopg(program).await;
    assert_eq!(said.rows(), ["1000000", "[1, 2, 3] 1 5", "[(1000000,)]", "500000", "ROLLBACK"]);
}
