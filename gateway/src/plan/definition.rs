//! The text of a view's definition. Separate from the model because it knows text only.

use crate::statement::{self, Kind, Limits, tree};

use super::functions;

/// The query that a view is defined as, or why it cannot be read.
pub(super) fn parse(text: &str) -> Result<tree::Query, String> {
    let mut statements = statement::parse(text, &Limits::for_printed_text()).map_err(|error| error.to_string())?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) if statement.writes.is_empty() && statement.parameters == 0 => match statement.kind {
            Kind::Query(tree) => Ok(std::sync::Arc::unwrap_or_clone(tree)),
            _ => Err("it is no query".to_owned()),
        },
        _ => Err("it is no query".to_owned()),
    }
}

/// Words that PostgreSQL prints right before a parenthesis although they are no functions.
const NO_FUNCTIONS: [&str; 14] = [
    "bit",
    "bpchar",
    "char",
    "character",
    "grouping",
    "interval",
    "numeric",
    "row",
    "time",
    "timestamp",
    "varbit",
    "varchar",
    "varying",
    "xmlforest",
];

/// Whether a definition that was not understood can still be seen to call nothing but pure functions and those of
/// `calls`, and to name nothing of the server's own.
///
/// PostgreSQL prints every call as a name with a parenthesis right after it, and every relation of its own by a name
/// that starts with `pg_` or by its schema. What stands in a string may look like one: that only refuses more.
pub(super) fn only_computes(text: &str, calls: &[(String, String)]) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
    let of_the_server = |word: &str| word.starts_with("pg_") || word == "information_schema" || word.starts_with("reg");
    if text.split(|character: char| !is_part(character)).any(of_the_server) {
        return false;
    }
    text.match_indices('(').filter_map(|(place, _)| text.get(..place)).all(|before| {
        let name = match before.strip_suffix('"') {
            Some(quoted) => quoted.rsplit('"').next().unwrap_or_default(),
            None => before.rsplit(|character: char| !is_part(character)).next().unwrap_or_default(),
        };
        let is_known = || {
            let lower = name.to_ascii_lowercase();
            functions::is_pure_in_every_form(name)
                || NO_FUNCTIONS.contains(&lower.as_str())
                || statement::SYNTAX_FUNCTIONS.contains(&lower.as_str())
                || calls.iter().any(|(_, called)| called == name)
        };
        name.is_empty() && !before.ends_with('"') || is_known()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_must_name_what_it_calls() {
        let calls = [("sales".to_owned(), "quarter".to_owned())];
        for (text, expected) in [
            ("SELECT a FROM sales.t WHERE status = 'open'::sales.status", true),
            ("SELECT lower(a), COALESCE(b, (1)::numeric(10,2)), sales.quarter(c) FROM sales.t", true),
            ("SELECT a FROM sales.t WHERE (a IN (SELECT 1)) AND (b = ANY (ARRAY['x'::text]))", true),
            ("SELECT pg_sleep(1), 'open'::sales.status", false),
            ("SELECT set_config('a'::text, b, true) FROM sales.t", false),
            ("SELECT \"set_config\"('a'::text, b, true) FROM sales.t", false),
            ("SELECT nobody_knows(a) FROM sales.t", false),
            ("SELECT rolpassword FROM pg_authid", false),
            ("SELECT nextval('s'::regclass)", false),
            ("SELECT table_name FROM information_schema.tables", false),
        ] {
            assert_eq!(only_computes(text, &calls), expected, "{text}");
        }
    }

    #[test]
    fn a_definition_is_one_query() {
        assert!(parse(" SELECT sales.id,\n    sales.region\n   FROM public.sales;").is_ok());
        for text in ["DELETE FROM t", "SELECT 1; SELECT 2", "", "SHOW x", "SELECT $1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
