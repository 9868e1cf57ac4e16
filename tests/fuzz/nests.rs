//! Texts that nest: a few words of SQL again and again. Whatever the parser tries twice shows here as time that doubles
//! with each repetition.

use passgate::statement::{self, Limits};

use super::{Random, fuzz_with};

const WORDS: [&str; 72] = [
    "SELECT",
    "*",
    "FROM",
    "(",
    "(",
    "(",
    "((",
    ")",
    "a",
    "b",
    "t.*",
    "1",
    "'x'",
    ",",
    ".",
    "=",
    "+",
    "-",
    "NOT",
    "AND",
    "JOIN",
    "LEFT JOIN",
    "CROSS JOIN",
    "NATURAL JOIN",
    "ON true",
    "ON",
    "USING (",
    "LATERAL",
    "WITH a AS (",
    "AS",
    "VALUES",
    "TABLE",
    "UNION",
    "EXCEPT ALL",
    "INTERSECT",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "IN (",
    "EXISTS (",
    "ARRAY[",
    "ARRAY(",
    "ROW(",
    "CAST(",
    "::int",
    "[",
    "]",
    "f(",
    "count(*)",
    "OVER (",
    "FILTER (WHERE",
    "WITHIN GROUP (ORDER BY",
    "PARTITION BY",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "IS DISTINCT FROM",
    "= ANY (",
    "INTERVAL '1'",
    "EXTRACT(",
    "COALESCE(",
    "DISTINCT ON (",
    "ROWS FROM (",
    "COLLATE",
    "AT TIME ZONE",
];

#[test]
fn what_nests_ends() {
    let input = |random: &mut Random| {
        let few = |random: &mut Random, most: usize| -> String {
            (0..=random.below(most)).map(|_| WORDS[random.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
        };
        let (before, unit, inside, after) = (few(random, 3), few(random, 8), few(random, 4), few(random, 5));
        let times = 1 + random.below(120);
        let begin = if random.below(2) == 0 { "SELECT" } else { "SELECT * FROM" };
        let units = vec![unit.as_str(); times].join(" ");
        let ends = if random.below(2) == 0 { String::new() } else { vec![after.as_str(); times].join(" ") };
        format!("{begin} {before} {units} {inside} {ends}").into_bytes()
    };
    fuzz_with(&input, &|input| {
        let _ = statement::parse(&String::from_utf8_lossy(input), &Limits::default());
    });
}
