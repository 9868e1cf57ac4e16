//! Which functions of the catalog a statement may call.
//!
//! `functions.txt` lists the functions of PostgreSQL that tell something of the catalog, of the session or of the server
//! and change nothing, with the numbers of arguments they take; drawn from PostgreSQL 15's `pg_proc`, with those of
//! versions 16 to 18 added by hand. Not in it, and so refused: what reads files, other sessions or SQL in text, what
//! waits, locks, signals, sets or advances, and what counts activity of whole databases.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::statement::tree::{Arguments, Call, Expression, Literal};

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let counts = |text: &str| text.split(' ').filter_map(|count| count.parse().ok()).collect();
    let lines = include_str!("functions.txt").lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, text)| (name, counts(text))).collect()
});

/// The schema in which `information_schema` keeps what it is made of.
pub(super) const STANDARD: &str = "information_schema";

/// Whether a function only asks, called with so many arguments.
pub(super) fn only_asks(schema: &str, name: &str, arguments: usize) -> bool {
    let takes = |counts: &Vec<usize>| counts.contains(&arguments);
    match schema {
        "pg_catalog" => FUNCTIONS.get(name).is_some_and(takes),
        STANDARD => FUNCTIONS.get(format!("{STANDARD}.{name}").as_str()).is_some_and(takes),
        _ => false,
    }
}

/// Whether there is a function of this name in the list.
pub(super) fn is_listed(schema: &str, name: &str) -> bool {
    match schema {
        "pg_catalog" => FUNCTIONS.contains_key(name),
        STANDARD => FUNCTIONS.contains_key(format!("{STANDARD}.{name}").as_str()),
        _ => false,
    }
}

/// The value that `set_config` is given for a setting that means nothing where a statement of the catalog runs. Clients
/// set it around such statements, and read it back.
pub(super) fn idle_setting(call: &Call) -> Option<&Expression> {
    const IDLE: [&str; 1] = ["jit"];
    let is_meant = match call.name.0.as_slice() {
        [name] => name.text == "set_config",
        [schema, name] => schema.text == "pg_catalog" && name.text == "set_config",
        _ => false,
    };
    match &call.arguments {
        Arguments::List(list) if is_meant => match list.as_slice() {
            [(None, Expression::Literal(Literal::String(setting))), (None, value), (None, _)]
                if IDLE.contains(&setting.to_ascii_lowercase().as_str()) =>
            {
                Some(value)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Functions that a source could answer as well: they make a statement one of the catalog, but not one of both.
pub(super) fn is_answered_anywhere(name: &str) -> bool {
    [
        "getdatabaseencoding",
        "pg_char_to_encoding",
        "pg_client_encoding",
        "pg_column_size",
        "pg_encoding_to_char",
        "version",
    ]
    .contains(&name)
}
