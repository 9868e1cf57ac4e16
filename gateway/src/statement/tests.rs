//! What is understood, what is refused, and that printing and parsing are each other's inverse.

use super::*;

fn query(text: &str) -> tree::Query {
    let mut statements = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    match statements.remove(0).kind {
        Kind::Query(query) => (*query).clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn round_trip(text: &str) -> String {
    let tree = query(text);
    let printed = print(&tree);
    assert_eq!(query(&printed), tree, "\n{text}\n{printed}");
    printed
}

#[test]
fn printing_and_parsing_are_inverse() {
    let corpus = include_str!("queries.sql").split(";\n").filter(|text| !text.trim().is_empty());
    let failures: Vec<_> =
        corpus.filter_map(|text| std::panic::catch_unwind(|| round_trip(text)).err().map(|_| text)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// `dialect.txt`: a statement on one line, and what is printed for it on the next. `UPDATE=1` writes it anew.
#[test]
fn what_postgresql_reads_is_read_and_printed_in_full() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/statement/dialect.txt");
    let cases = std::fs::read_to_string(path).unwrap();
    let statements = cases.lines().filter(|line| !line.is_empty() && !line.starts_with("  "));
    let printed: String = statements
        .map(|line| match line.strip_prefix('#') {
            Some(_) => format!("\n{line}\n\n"),
            None => format!("{line}\n  {}\n", round_trip(&line.replace("\\n", "\n"))),
        })
        .collect();
    let printed = printed.trim_start();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, printed).unwrap();
    }
    assert_eq!(cases, printed);
}

#[test]
fn what_only_other_dialects_have_is_not_read() {
    for text in [
        "SELECT a FROM t MINUS SELECT 1",
        "SELECT a FROM t QUALIFY rank() OVER () = 1",
        "SELECT TRY_CAST(a AS int) FROM t",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT `a` FROM t",
        "SELECT a FROM t WHERE select",
        "SELECT a FROM where",
        "SELECT * FROM t LIMIT 1, 2",
        "SELECT 'a' 'b'",
        "SELECT E'a'\n'\\n'",
        "SELECT U&'a' UESCAPE '+'",
        "SELECT U&'\\00zz'",
        "SELECT sum(a) OVER (ORDER BY a EXCLUDE TIES) FROM t",
        "TABLE t, u",
        "TABLE t WHERE true",
        "SELECT a FROM t ORDER BY a USING ~<~",
        "SELECT 1 OPERATOR(public.+) 2",
        "SELECT * FROM ROWS FROM (a)",
        "SELECT f(VARIADIC a, b)",
        "SELECT (t).*.a FROM t",
        "SELECT xmlelement(name a, b AS c)",
    ] {
        assert!(parse(text, &Limits::default()).is_err(), "{text}");
    }
}

#[test]
fn a_literal_cannot_talk_its_way_out() {
    assert_eq!(round_trip(r"SELECT 'a\''; DROP TABLE t; --'"), r"SELECT E'a\\''; DROP TABLE t; --'");
    assert_eq!(round_trip("SELECT - -1"), "SELECT - (- 1)");
    assert_eq!(round_trip("SELECT U&'\\005c0027'"), r"SELECT E'\\0027'");
    assert_eq!(round_trip("SELECT $x$ it's $y$ $x$"), "SELECT ' it''s $y$ '");
    assert_eq!(round_trip("SELECT \"a\"\"b\" FROM \"T\"\"; --\""), "SELECT \"a\"\"b\" FROM \"T\"\"; --\"");
}

#[test]
fn operators_bind_as_in_postgresql() {
    for (text, printed) in [
        ("- 2 ^ 2", "(- 2) ^ 2"),
        ("2 ^ - 1 * 3", "(2 ^ (- 1)) * 3"),
        ("- a::int[1]", "- (\"a\"::pg_catalog.\"int4\"[])"),
        ("@ - 1 + 1", "@ ((- 1) + 1)"),
        ("~ a & b", "(~ \"a\") & \"b\""),
        ("a IS DISTINCT FROM b AND c", "(\"a\" IS DISTINCT FROM \"b\") AND \"c\""),
        ("a IS NOT DISTINCT FROM b = c OR d", "(\"a\" IS NOT DISTINCT FROM (\"b\" = \"c\")) OR \"d\""),
        ("NOT a IS DISTINCT FROM b", "NOT (\"a\" IS DISTINCT FROM \"b\")"),
        ("true = a ~ 'x'", "TRUE = (\"a\" ~ 'x')"),
        ("a ~ b || c", "(\"a\" ~ \"b\") || \"c\""),
        ("a OPERATOR(pg_catalog.+) b || c", "(\"a\" + \"b\") || \"c\""),
        ("a LIKE b || c", "\"a\" LIKE (\"b\" || \"c\")"),
        ("a = b IS NULL", "(\"a\" = \"b\") IS NULL"),
    ] {
        let read = round_trip(&format!("SELECT {text}")).replace("OPERATOR(pg_catalog.+)", "+");
        assert_eq!(read, format!("SELECT {printed}"), "{text}");
    }
    assert!(parse("SELECT a IS DISTINCT FROM b IS DISTINCT FROM c", &Limits::default()).is_err());
}

#[test]
fn unquoted_names_are_folded_and_quoted() {
    assert_eq!(round_trip("SELECT Abc, \"Abc\" FROM S.T"), "SELECT \"abc\", \"Abc\" FROM \"s\".\"t\"");
}

#[test]
fn table_reads_the_table_it_names() {
    assert_eq!(round_trip("SELECT 1 UNION ALL TABLE s.t"), "SELECT 1 UNION ALL SELECT * FROM \"s\".\"t\"");
    assert_eq!(round_trip("SELECT 1 UNION ALL TABLE \"T\""), "SELECT 1 UNION ALL SELECT * FROM \"T\"");
}

#[test]
fn writes_are_named() {
    for (text, command) in [
        ("INSERT INTO t VALUES (1)", "INSERT"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "DELETE"),
        ("SELECT * INTO u FROM t", "SELECT INTO"),
        ("SELECT * FROM t FOR UPDATE", "FOR UPDATE"),
        ("DROP TABLE t", "DROP TABLE"),
        ("DO $$ BEGIN END $$", "DO"),
        ("EXPLAIN CREATE TABLE u AS SELECT 1", "CREATE TABLE"),
        ("EXPLAIN DELETE FROM t", "DELETE"),
    ] {
        let statements = parse(text, &Limits::default()).unwrap();
        assert_eq!(statements[0].writes[0].command, command, "{text}");
    }
}

#[test]
fn what_is_not_known_is_refused_with_a_place() {
    let error = parse("SELECT 1,\n  x::public.evil", &Limits::default()).unwrap_err();
    assert_eq!(error.sqlstate, "0A000");
    assert_eq!(error.message, "type \"public.evil\" is not a built-in type the gateway knows");
    assert!(error.detail.unwrap().contains("line 2"));
    for text in ["SELECT * FROM t QUALIFY x", "EXPLAIN ANALYZE SELECT 1", "NOTIFY", "SELECT TOP 1 * FROM t"] {
        assert!(parse(text, &Limits::default()).is_err(), "{text}");
    }
}

#[test]
fn a_row_is_cast_to_the_type_of_its_own_table_alone() {
    let of = |from: &str| parse(&format!("SELECT (r.*)::s.t FROM {from}"), &Limits::default());
    assert!(
        of("s.t r").is_ok() && of("s.u JOIN s.t r ON true").is_ok() && of("(SELECT (r.*)::s.t FROM s.t r) x").is_err()
    );
    for from in [
        "s.u r",
        "t r",
        "s.t",
        "s.t r(a)",
        "s.t r, s.t r",
        "(SELECT 1) r",
        "x.s.t r",
        "s.t r, LATERAL (SELECT (r.*)::s.t) x",
    ] {
        assert_eq!(of(from).unwrap_err().sqlstate, "0A000", "{from}");
    }
    for text in [
        "SELECT r::s.t FROM s.t r",
        "SELECT (r.*)::s.t[] FROM s.t r",
        "SELECT 'x'::s.t FROM s.t r",
        "SELECT (r.a)::s.t FROM s.t r",
    ] {
        assert!(parse(text, &Limits::default()).is_err(), "{text}");
    }
}

#[test]
fn deep_and_long_statements_end_in_an_error_not_a_crash() {
    for text in [
        format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150)),
        format!("SELECT 1{}", "+1".repeat(9_000)),
        format!("SELECT 1 WHERE a=1{}", " OR a=1".repeat(4_000)),
        format!("SELECT {}1", "- ".repeat(5_000)),
        format!("SELECT {}1", "NOT ".repeat(5_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(3_000)),
        format!("SELECT a{}", "[1]".repeat(5_000)),
        format!("SELECT a{}", "::text".repeat(4_000)),
        format!("SELECT * FROM a{}", " JOIN b ON true".repeat(3_000)),
        format!("SELECT {}1{}", "f(".repeat(180), ")".repeat(180)),
        format!("SELECT {}1{}", "x IN ((SELECT ".repeat(60), "), 1)".repeat(60)),
        format!("SELECT * FROM {}a{}", "((SELECT 1) AS a JOIN ".repeat(60), " ON true)".repeat(60)),
        format!("SELECT * FROM {}a{}", "(".repeat(180), ")".repeat(180)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(500)),
        format!("{}SELECT 1", "PREPARE a AS ".repeat(500)),
        format!("SELECT {}1", "EXISTS ".repeat(5_000)),
        format!("SELECT {}'1'", "INTERVAL ".repeat(5_000)),
        format!("SELECT {}1", "PRIOR ".repeat(5_000)),
        format!("SELECT {}1", "CAST(date ".repeat(90)),
        format!("SELECT {}1{}", "ARRAY[".repeat(180), "]".repeat(180)),
        format!("SELECT {}1{}", "CASE WHEN ".repeat(90), " THEN 1 END".repeat(90)),
    ] {
        let _ = parse(&text, &Limits::default());
    }
    assert!(parse(&format!("SELECT 1 WHERE a=1{}", " OR a=1".repeat(2_000)), &Limits::default()).is_ok());
}

#[test]
fn what_repeats_up_to_the_longest_text_ends_in_an_error_not_a_crash() {
    let longest = Limits::default().statement_bytes_max - 20;
    for piece in
        ["[1]", "[]", "::int[]", " overlaps b", " isnull", " notnull", " operator(+) b", " ->b", ".b", "()", "{"]
    {
        for start in ["SELECT a", "SELECT 1::int", "SELECT (a, b)"] {
            let text = format!("{start}{}", piece.repeat(longest / piece.len()));
            assert!(parse(&text, &Limits::default()).is_err(), "{start}{piece}");
        }
    }
    // Each is looked up in the text, whose characters are not bytes.
    let escaped = format!("SELECT {}1", "U&'é' UESCAPE '!',".repeat(9_000));
    assert_eq!(parse(&escaped, &Limits::default()).err(), None);
    // However many there are, no more are read than are taken.
    let error = parse(&"SELECT 1;".repeat(80_000), &Limits::default()).expect_err("too many");
    assert_eq!(error.message, "too many statements in one message (the limit is 100)");
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text, &Limits::default());
    }

    #[test]
    fn whatever_parses_prints_back_equal(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "SELECT", "1", "a", "t.b", "*", "FROM", "t", "s.t", "AS x", "WHERE", "AND", "OR", "NOT", "=", "<", "-", "+",
            "'s\\'", "E'\\n'", "(", ")", ",", "GROUP BY", "ORDER BY", "LIMIT", "UNION", "ALL", "IN", "EXISTS", "CASE",
            "WHEN", "THEN", "ELSE", "END", "count(*)", "::int", "IS NULL", "BETWEEN", "JOIN", "ON", "LEFT JOIN", "$1",
            "[1]", ".f", "ONLY", "TABLE t", "USING <", "IS JSON", "VARIADIC", "AT LOCAL", ").*", "GROUPING SETS (", "LIKE ANY (", "FETCH",
            "EXCLUDE TIES)", "OVER (ROWS 1 PRECEDING", "CYCLE a SET b USING c", "SEARCH DEPTH FIRST BY a SET s", "ROLLUP (",
            "BETWEEN SYMMETRIC", "ROWS FROM (", "xmlelement(name a,", "U&'x' UESCAPE '!'", "U&\"x\"", "name 'x'", "|/", "!!",
            "trim(", "substring(", "overlay(", "position(", "FOR", "PLACING", "SIMILAR", "ESCAPE 'x'", "=> ", "::interval",
            "'a'\n'b'", "N'x'", "COLLATE \"C\"", "IS DISTINCT FROM", "~", "@-", "-+", "^", "AS (a int)", "f(", "LATERAL",
            "OVER", "LIKE", "date '2020-01-01'", "interval '1' day", "VALUES", "WITH x AS", "DISTINCT",
        ]), 1..40)) {
        if let Ok(statements) = parse(&words.join(" "), &Limits::default()) {
            for statement in statements {
                if let Kind::Query(tree) = statement.kind
                    && statement.writes.is_empty()
                {
                    let printed = print(&tree);
                    let again = parse(&printed, &Limits::for_printed_text());
                    let Ok(again) = again else { panic!("{printed}: {again:?}") };
                    match &again[0].kind {
                        Kind::Query(other) => assert_eq!(&**other, &*tree, "{}", printed),
                        other => panic!("{printed}: {other:?}"),
                    }
                }
            }
        }
    }
}
