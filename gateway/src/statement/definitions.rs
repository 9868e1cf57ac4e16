//! Commands that define, grant or maintain: known by their first words, and read no further.
//!
//! Each is a write whatever the rest says, and never runs; the parser knows some of them in part and many not at all, and
//! a syntax error would be no answer to what PostgreSQL takes. Separate from `commands`, which reads what may run.
//! Source: `src/include/tcop/cmdtaglist.h` of PostgreSQL, and <https://www.postgresql.org/docs/current/sql-commands.html>.

use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::commands::{is_end, word_ahead};

/// Commands that begin with the same word.
struct Family {
    verb: &'static str,
    /// Words that may stand between it and what it is about.
    between: &'static [&'static str],
    /// Their names.
    commands: &'static [&'static str],
}

impl Family {
    const fn of_one(verb: &'static str, command: &'static [&'static str]) -> Self {
        Self { verb, between: &[], commands: command }
    }
}

const FAMILIES: [Family; 17] = [
    Family {
        verb: "ALTER",
        between: &["PROCEDURAL"],
        commands: &[
            "ALTER AGGREGATE",
            "ALTER COLLATION",
            "ALTER CONVERSION",
            "ALTER DATABASE",
            "ALTER DEFAULT PRIVILEGES",
            "ALTER DOMAIN",
            "ALTER EVENT TRIGGER",
            "ALTER EXTENSION",
            "ALTER FOREIGN DATA WRAPPER",
            "ALTER FOREIGN TABLE",
            "ALTER FUNCTION",
            "ALTER GROUP",
            "ALTER INDEX",
            "ALTER LANGUAGE",
            "ALTER LARGE OBJECT",
            "ALTER MATERIALIZED VIEW",
            "ALTER OPERATOR",
            "ALTER OPERATOR CLASS",
            "ALTER OPERATOR FAMILY",
            "ALTER POLICY",
            "ALTER PROCEDURE",
            "ALTER PUBLICATION",
            "ALTER ROLE",
            "ALTER ROUTINE",
            "ALTER RULE",
            "ALTER SCHEMA",
            "ALTER SEQUENCE",
            "ALTER SERVER",
            "ALTER STATISTICS",
            "ALTER SUBSCRIPTION",
            "ALTER SYSTEM",
            "ALTER TABLE",
            "ALTER TABLESPACE",
            "ALTER TEXT SEARCH CONFIGURATION",
            "ALTER TEXT SEARCH DICTIONARY",
            "ALTER TEXT SEARCH PARSER",
            "ALTER TEXT SEARCH TEMPLATE",
            "ALTER TRIGGER",
            "ALTER TYPE",
            "ALTER USER",
            "ALTER USER MAPPING",
            "ALTER VIEW",
        ],
    },
    Family {
        verb: "CREATE",
        between: &[
            "OR",
            "REPLACE",
            "CONSTRAINT",
            "DEFAULT",
            "GLOBAL",
            "LOCAL",
            "PROCEDURAL",
            "RECURSIVE",
            "TEMP",
            "TEMPORARY",
            "TRUSTED",
            "UNIQUE",
            "UNLOGGED",
        ],
        commands: &[
            "CREATE ACCESS METHOD",
            "CREATE AGGREGATE",
            "CREATE CAST",
            "CREATE COLLATION",
            "CREATE CONVERSION",
            "CREATE DATABASE",
            "CREATE DOMAIN",
            "CREATE EVENT TRIGGER",
            "CREATE EXTENSION",
            "CREATE FOREIGN DATA WRAPPER",
            "CREATE FOREIGN TABLE",
            "CREATE FUNCTION",
            "CREATE GROUP",
            "CREATE INDEX",
            "CREATE LANGUAGE",
            "CREATE MATERIALIZED VIEW",
            "CREATE OPERATOR",
            "CREATE OPERATOR CLASS",
            "CREATE OPERATOR FAMILY",
            "CREATE POLICY",
            "CREATE PROCEDURE",
            "CREATE PUBLICATION",
            "CREATE ROLE",
            "CREATE RULE",
            "CREATE SCHEMA",
            "CREATE SEQUENCE",
            "CREATE SERVER",
            "CREATE STATISTICS",
            "CREATE SUBSCRIPTION",
            "CREATE TABLE",
            "CREATE TABLESPACE",
            "CREATE TEXT SEARCH CONFIGURATION",
            "CREATE TEXT SEARCH DICTIONARY",
            "CREATE TEXT SEARCH PARSER",
            "CREATE TEXT SEARCH TEMPLATE",
            "CREATE TRANSFORM",
            "CREATE TRIGGER",
            "CREATE TYPE",
            "CREATE USER",
            "CREATE USER MAPPING",
            "CREATE VIEW",
        ],
    },
    Family {
        verb: "DROP",
        between: &["PROCEDURAL"],
        commands: &[
            "DROP ACCESS METHOD",
            "DROP AGGREGATE",
            "DROP CAST",
            "DROP COLLATION",
            "DROP CONVERSION",
            "DROP DATABASE",
            "DROP DOMAIN",
            "DROP EVENT TRIGGER",
            "DROP EXTENSION",
            "DROP FOREIGN DATA WRAPPER",
            "DROP FOREIGN TABLE",
            "DROP FUNCTION",
            "DROP GROUP",
            "DROP INDEX",
            "DROP LANGUAGE",
            "DROP MATERIALIZED VIEW",
            "DROP OPERATOR",
            "DROP OPERATOR CLASS",
            "DROP OPERATOR FAMILY",
            "DROP OWNED",
            "DROP POLICY",
            "DROP PROCEDURE",
            "DROP PUBLICATION",
            "DROP ROLE",
            "DROP ROUTINE",
            "DROP RULE",
            "DROP SCHEMA",
            "DROP SEQUENCE",
            "DROP SERVER",
            "DROP STATISTICS",
            "DROP SUBSCRIPTION",
            "DROP TABLE",
            "DROP TABLESPACE",
            "DROP TEXT SEARCH CONFIGURATION",
            "DROP TEXT SEARCH DICTIONARY",
            "DROP TEXT SEARCH PARSER",
            "DROP TEXT SEARCH TEMPLATE",
            "DROP TRANSFORM",
            "DROP TRIGGER",
            "DROP TYPE",
            "DROP USER",
            "DROP USER MAPPING",
            "DROP VIEW",
        ],
    },
    Family::of_one("ANALYSE", &["ANALYSE"]),
    Family::of_one("ANALYZE", &["ANALYZE"]),
    Family::of_one("CHECKPOINT", &["CHECKPOINT"]),
    Family::of_one("CLUSTER", &["CLUSTER"]),
    Family::of_one("COMMENT", &["COMMENT"]),
    Family::of_one("DO", &["DO"]),
    Family::of_one("GRANT", &["GRANT"]),
    Family::of_one("IMPORT", &["IMPORT FOREIGN SCHEMA"]),
    Family::of_one("REASSIGN", &["REASSIGN OWNED"]),
    Family::of_one("REFRESH", &["REFRESH MATERIALIZED VIEW"]),
    Family::of_one("REINDEX", &["REINDEX"]),
    Family::of_one("REVOKE", &["REVOKE"]),
    Family::of_one("SECURITY", &["SECURITY LABEL"]),
    Family::of_one("VACUUM", &["VACUUM"]),
];

/// Takes such a command, up to its end, and tells its name.
pub(super) fn definition(parser: &mut Parser) -> Option<&'static str> {
    let name = name(parser)?;
    skip(parser);
    Some(name)
}

fn name(parser: &Parser) -> Option<&'static str> {
    let family = FAMILIES.iter().find(|family| word_ahead(parser, 0, family.verb))?;
    let is_between = |ahead: usize| family.between.iter().any(|word| word_ahead(parser, ahead, word));
    let about = (1..).find(|ahead| !is_between(*ahead))?;
    let is_next = |command: &&&str| {
        let words = command.split(' ').skip(1);
        words.zip(about..).all(|(word, ahead)| word_ahead(parser, ahead, word))
    };
    // `CREATE USER MAPPING` is no CREATE USER.
    family.commands.iter().filter(is_next).max_by_key(|command| command.len()).copied()
}

/// Passes over the rest. A semicolon in parentheses or in the body of a function does not end it, as psql has it.
fn skip(parser: &mut Parser) {
    let (mut parentheses, mut blocks) = (0_usize, 0_usize);
    while parser.peek_token_ref().token != Token::EOF && !(is_end(parser) && parentheses == 0 && blocks == 0) {
        let is = |word| word_ahead(parser, 0, word);
        match parser.peek_token_ref().token {
            Token::LParen => parentheses += 1,
            Token::RParen => parentheses = parentheses.saturating_sub(1),
            _ if is("BEGIN") && word_ahead(parser, 1, "ATOMIC") || blocks > 0 && is("CASE") => blocks += 1,
            _ if is("END") => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        parser.advance_token();
    }
}

#[cfg(test)]
mod tests {
    use super::FAMILIES;
    use crate::statement::{Kind, Limits, parse};

    #[test]
    fn each_is_a_write_by_its_name_whatever_follows() {
        for command in FAMILIES.iter().flat_map(|family| family.commands) {
            let text = format!("{} x ON (a; b) $$;$$ ';'; SELECT 1", command.to_lowercase());
            let statements = parse(&text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(statements.len(), 2, "{text}");
            assert!(matches!(statements[0].kind, Kind::Write), "{text}");
            assert_eq!(statements[0].writes[0].command, *command, "{text}");
            assert!(matches!(statements[1].kind, Kind::Query(_)), "{text}");
        }
    }

    #[test]
    fn words_between_are_passed_over() {
        for (text, command) in [
            ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "CREATE VIEW"),
            ("CREATE UNLOGGED TABLE t (a int)", "CREATE TABLE"),
            ("CREATE TRUSTED PROCEDURAL LANGUAGE l", "CREATE LANGUAGE"),
            ("DROP PROCEDURAL LANGUAGE l", "DROP LANGUAGE"),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "ALTER DEFAULT PRIVILEGES"),
        ] {
            let statements = parse(text, &Limits::default()).unwrap();
            assert_eq!(statements[0].writes[0].command, command, "{text}");
        }
    }

    #[test]
    fn the_body_of_a_function_is_part_of_it() {
        let text =
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3";
        let statements = parse(text, &Limits::default()).unwrap();
        assert_eq!(statements.len(), 2);
        assert_eq!(&*statements[1].text, "SELECT 3");
    }

    #[test]
    fn what_postgresql_does_not_know_either_is_a_syntax_error() {
        for text in
            ["CREATE TABEL t (a int)", "DROP TABEL t", "REFRESH VIEW v", "SECURITY", "DOO $$ $$", "\"do\" $$ $$"]
        {
            assert_eq!(parse(text, &Limits::default()).unwrap_err().sqlstate, "42601", "{text}");
        }
    }
}
