//! Statements, and the work found in them.

use super::*;
use crate::statement::{Kind, Limits, parse};

fn work(text: &str) -> Vec<(WorkKind, f64)> {
    let statement = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}")).remove(0);
    let Kind::Query(query) = statement.kind else { panic!("{text}") };
    measure(&query).into_iter().map(|work| (work.kind, work.amount.round())).collect()
}

#[test]
fn series_are_counted_wherever_they_stand() {
    use WorkKind::GeneratedRows;
    for (text, rows) in [
        ("SELECT * FROM generate_series(1, 5000)", 5_000.0),
        ("SELECT count(*) FROM pg_catalog.generate_series(1, 3000000000::bigint)", 3e9),
        ("SELECT generate_series(0, 1e6)", 1_000_001.0),
        ("SELECT * FROM generate_series(0, 100000, 10)", 10_001.0),
        ("SELECT * FROM generate_series(1, 2000) a, generate_series(1, 2000) b", 4e6),
        ("SELECT * FROM generate_series(1, 2000) a, generate_series(1, a) b", 4e6),
        ("SELECT * FROM generate_series(1, 2000) a, generate_series(1, 2000) b WHERE a = $1", 4e6),
        ("SELECT * FROM (SELECT * FROM generate_series(1, 3000) g) q CROSS JOIN generate_series(1, 10) h", 30_000.0),
        ("WITH g AS (SELECT * FROM generate_series(1, 3000)) SELECT 1 FROM g CROSS JOIN g h", 9e6),
        ("SELECT * FROM generate_series(1, 3000) a JOIN generate_series(1, 2000) b ON a = b", 3_000.0),
        ("SELECT (SELECT sum(x) FROM generate_series(1, 4000) x) FROM generate_series(1, 500)", 2e6),
        ("SELECT 1 FROM generate_series(1, 100 * 1000)", 100_000.0),
        ("SELECT 1 FROM t, generate_series(1, 5000 + 0 * t.n)", 5e6),
        ("SELECT 1 FROM generate_series(1, (SELECT 70000))", 70_000.0),
        ("SELECT q FROM unnest((SELECT array_agg(g) FROM generate_series(1, 5000) g)) q", 5_000.0),
    ] {
        let found = work(text);
        let largest = found.iter().find(|(kind, _)| *kind == GeneratedRows).map(|(_, amount)| *amount);
        assert_eq!(largest, Some(rows), "{text}: {found:?}");
    }
}

#[test]
fn series_of_time_are_counted() {
    for (text, least, most) in [
        ("SELECT * FROM generate_series('2020-01-01'::timestamp, '2021-01-01', '1 hour')", 8_700.0, 8_900.0),
        ("SELECT * FROM generate_series(date '2020-01-01', now(), interval '1 day')", 36_000.0, 37_000.0),
        ("SELECT * FROM generate_series('1990-01-01'::timestamptz, '2020-01-01', '1 sec')", 9e8, 1e9),
        ("SELECT * FROM generate_series('2020-01-01'::date, '2020-02-01', '1 second' * 60)", 43_000.0, 46_000.0),
    ] {
        let found = work(text);
        let amount = found.first().map_or(0.0, |(_, amount)| *amount);
        assert!((least..=most).contains(&amount), "{text}: {found:?}");
    }
}

#[test]
fn what_tables_bound_is_not_work_of_its_own() {
    for text in [
        "SELECT * FROM t",
        "SELECT * FROM a JOIN b ON a.x = b.x",
        "SELECT * FROM t, generate_series(1, t.n)",
        "SELECT * FROM t, generate_series(1, least(t.n, 366))",
        "SELECT * FROM t, unnest(t.tags)",
        "SELECT generate_series(1, $1)",
        "SELECT lpad(name, 20), repeat('-', 10) FROM t",
        "SELECT name ~ '^(a|b)+$', regexp_replace(name, '(.)\\1', '') FROM t",
        "SELECT factorial(20) FROM t WHERE FALSE LIMIT 0",
        "WITH RECURSIVE r AS (SELECT id, boss FROM e UNION ALL SELECT e.id, e.boss FROM e JOIN r ON e.boss = r.id) TABLE r",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT sum(n) FROM r",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r LIMIT 10",
    ] {
        let found: Vec<_> = match parse(text, &Limits::default()) {
            Ok(_) => work(text),
            Err(_) => continue,
        };
        let found: Vec<_> = found.into_iter().filter(|work| *work != (WorkKind::Factorial, 20.0)).collect();
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn recursion_needs_something_that_ends_it() {
    for text in [
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE 1 < 2) SELECT max(n) FROM r",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r LIMIT 1 OFFSET 900000",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r ORDER BY n LIMIT 1",
    ] {
        assert_eq!(work(text).first(), Some(&(WorkKind::EndlessRecursion, f64::INFINITY)), "{text}");
    }
    let far = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1e9) SELECT max(n) FROM r";
    assert_eq!(work(far), [(WorkKind::GeneratedRows, 1e9)]);
}

#[test]
fn what_grows_in_every_round_is_measured() {
    let recursive = |item: &str, from: &str| {
        format!(
            "WITH RECURSIVE r(n, s) AS (SELECT 1, 'a' UNION ALL SELECT n + 1, {item} FROM {from} WHERE n < 40) TABLE r"
        )
    };
    for item in ["s || s", "r.s || s", "concat(s, '-', s)", "replace(s, 'a', s)", "lower(s || '/' || s)"] {
        assert_eq!(work(&recursive(item, "r")), [(WorkKind::GeneratedBytes, 40.0_f64.exp2())], "{item}");
    }
    for item in ["s || '/' || n", "r.name || e.name", "n * 2", "CASE WHEN n > 5 THEN s ELSE s END"] {
        assert_eq!(work(&recursive(item, "r JOIN e ON e.id = r.n")), [], "{item}");
    }
    for item in ["unnest(ARRAY[s, s])", "generate_series(1, 2)"] {
        assert!(work(&recursive(item, "r")).contains(&(WorkKind::GeneratedRows, f64::INFINITY)), "{item}");
    }
}

#[test]
fn grouping_sets_multiply_the_rows_of_a_table() {
    let cube = "SELECT count(*) FROM t GROUP BY CUBE (a, b, c, d, e, f, g, h, i, j)";
    assert_eq!(work(cube), [(WorkKind::GeneratedRows, 1_024_000.0)]);
    let product = "SELECT count(*) FROM t GROUP BY CUBE (a, b, c, d, e), CUBE (f, g, h, i, j)";
    assert_eq!(work(product), [(WorkKind::GeneratedRows, 1_024_000.0)]);
    for few in ["SELECT 1 FROM t GROUP BY CUBE (a, b, c), ROLLUP (d, e, f)", "SELECT 1 FROM t GROUP BY a, b, c, d"] {
        assert_eq!(work(few), [], "{few}");
    }
}

#[test]
fn texts_and_patterns_are_measured() {
    use WorkKind::{Backtracking, Factorial, GeneratedBytes};
    for (text, kind, amount) in [
        ("SELECT repeat('ab', 1000000)", GeneratedBytes, 2e6),
        ("SELECT repeat(repeat('x', 10000), 10000)", GeneratedBytes, 1e8),
        ("SELECT lpad('', 1000000, 'x') FROM generate_series(1, 500)", GeneratedBytes, 5e8),
        ("SELECT lpad('', 100000, 'x') FROM t", GeneratedBytes, 1e8),
        ("SELECT x ~ '^(a*)(b*)\\1\\2$' FROM t", Backtracking, f64::INFINITY),
        ("SELECT regexp_match(x, '(a+)(a+)' || '\\1') FROM t", Backtracking, f64::INFINITY),
        ("SELECT factorial(20000)", Factorial, 20_000.0),
        ("SELECT factorial(n) FROM t", Factorial, f64::INFINITY),
    ] {
        let found = work(text);
        assert!(found.contains(&(kind, amount)), "{text}: {found:?}");
    }
}
