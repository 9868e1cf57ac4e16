//! The statements that a conversation is made of. Few, so that they meet each other often.

use super::sequence::Random;

/// Statements that read, with how many parameters each needs.
const READING: &[(&str, usize)] = &[
    ("SELECT 1 AS one", 0),
    ("SELECT n FROM generate_series(1, 5) AS n", 0),
    ("SELECT n, -n AS other FROM generate_series(1, 9) AS n", 0),
    ("SELECT n FROM generate_series(1, 0) AS n", 0),
    ("SELECT id, region FROM sales WHERE id < 30 ORDER BY id", 0),
    ("SELECT region FROM territories ORDER BY region", 0),
    ("SELECT $1::int4 AS given", 1),
    ("SELECT $1::text || $2::text AS both", 2),
    ("SELECT n FROM generate_series(1, $1::int4) AS n", 1),
    ("VALUES (1, 'a'), (2, 'b'), (3, NULL)", 0),
];

/// Statements that fail: when they are read, or among their rows.
const FAILING: &[(&str, usize)] = &[
    ("SELEC 1", 0),
    ("SELECT 'open", 0),
    ("SELECT 1 FROM missing", 0),
    ("SELECT 1 / n FROM generate_series(0, 0) AS n", 0),
    ("SELECT 6 / (3 - n) FROM generate_series(1, 5) AS n", 0),
    ("SELECT 6 / ($1::int4 - n) FROM generate_series(1, 5) AS n", 1),
];

/// What only PostgreSQL's planner finds out: the gateway, which asks the source nothing before a statement is described or
/// executed, answers Parse and Bind first. In a simple query that makes no difference.
const FOUND_LATE: &[&str] = &[
    "SELECT nothing FROM territories",
    "SELECT 1 / 0",
    "SELECT abs(true)",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
];

const NOTHING: &[&str] = &["", ";", " -- nothing\n", ";;"];

const TRANSACTION: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "COMMIT",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ROLLBACK",
    "ABORT",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT a",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT b",
    "RELEASE a",
    "RELEASE SAVEPOINT b",
    "SET TRANSACTION READ ONLY",
];

const SETTING: &[&str] = &[
    "SET application_name = 'first'",
    "SET application_name TO 'second'",
    "SET LOCAL application_name = 'local'",
    "RESET application_name",
    "SHOW application_name",
    "SHOW transaction_isolation",
    "SET DateStyle = 'German'",
    "SET LOCAL TimeZone = 'Europe/Paris'",
    "SHOW TimeZone",
    "SET extra_float_digits = 9999",
    "SET no_such_thing = 1",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "UNLISTEN *",
];

const CURSOR: &[&str] = &[
    "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 6) AS n",
    "DECLARE c SCROLL CURSOR FOR SELECT id FROM sales WHERE id < 20 ORDER BY id",
    "DECLARE d CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 4) AS n",
    "DECLARE d NO SCROLL CURSOR FOR SELECT 6 / (3 - n) AS sixth FROM generate_series(1, 5) AS n",
    "FETCH c",
    "FETCH 2 FROM c",
    "FETCH ALL FROM c",
    "FETCH FORWARD 2 FROM d",
    "FETCH PRIOR FROM c",
    "FETCH BACKWARD 2 FROM d",
    "FETCH FIRST FROM c",
    "FETCH 0 FROM c",
    "FETCH ABSOLUTE 3 FROM c",
    "MOVE c",
    "MOVE FORWARD ALL IN d",
    "CLOSE c",
    "CLOSE d",
    "CLOSE ALL",
    "CLOSE p",
    "FETCH 2 FROM p",
];

const PREPARED: &[&str] = &[
    "PREPARE s AS SELECT n FROM generate_series(1, 4) AS n",
    "PREPARE t (int4) AS SELECT $1 AS given",
    "PREPARE t (int4) AS SELECT 1 / $1 AS inverse",
    "EXECUTE s",
    "EXECUTE t (7)",
    "EXECUTE t (0)",
    "EXECUTE t (1, 2)",
    "EXECUTE missing",
    "DEALLOCATE s",
    "DEALLOCATE PREPARE t",
    "DEALLOCATE ALL",
    "DEALLOCATE missing",
];

const COPYING: &[&str] = &[
    "COPY (SELECT n, 'row' FROM generate_series(1, 4) AS n) TO STDOUT",
    "COPY (SELECT n FROM generate_series(1, 0) AS n) TO STDOUT (FORMAT csv, HEADER)",
    "COPY (SELECT 6 / (3 - n) FROM generate_series(1, 5) AS n) TO STDOUT",
];

/// One statement, and how many parameters it has.
pub(super) fn statement(random: &mut Random) -> (&'static str, usize) {
    let of = |texts: &[&'static str], random: &mut Random| (texts[random.below(texts.len())], 0);
    match random.below(100) {
        0..28 => READING[random.below(READING.len())],
        28..37 => FAILING[random.below(FAILING.len())],
        37..40 => of(NOTHING, random),
        40..60 => of(TRANSACTION, random),
        60..70 => of(SETTING, random),
        70..85 => of(CURSOR, random),
        85..94 => of(PREPARED, random),
        _ => of(COPYING, random),
    }
}

/// The text of a simple query: one statement, or several.
pub(super) fn message(random: &mut Random) -> String {
    let count = if random.one_in(3) { 2 + random.below(3) } else { 1 };
    let text = |random: &mut Random| match random.below(25) {
        0 => FOUND_LATE[random.below(FOUND_LATE.len())],
        _ => bare(random),
    };
    (0..count).map(|_| text(random)).collect::<Vec<_>>().join("; ")
}

/// Two statements where one is wanted.
pub(super) fn two(random: &mut Random) -> String {
    format!("{}; {}", bare(random), bare(random))
}

/// One without parameters.
fn bare(random: &mut Random) -> &'static str {
    loop {
        if let (text, 0) = statement(random) {
            return text;
        }
    }
}
