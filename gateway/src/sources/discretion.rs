//! What a source may say of a statement that policies govern.
//!
//! A server's message quotes values: `invalid input syntax for type integer: "secret"`. While a statement runs whose
//! rows or columns are governed, errors and notices keep their severity and code, and the words are ours: the name that
//! PostgreSQL gives the condition. Only what names things of the statement itself, or the state of the server, passes.
//!
//! Separate because it stands at the one door to the sources, and so before every path that a message may take: to the
//! client, to the audit log, to the log. The words that are withheld go nowhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use passgate_connectors::{Batch, Error, ServerMessage};

/// PostgreSQL's conditions by code. Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
static CONDITIONS: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| include_str!("conditions.txt").lines().filter_map(|line| line.split_once(' ')).collect());

const DETAIL: &str =
    "The source's own words are withheld, because policies govern rows or columns that the statement reads.";

/// Conditions of the statement's own text, known before it runs; their messages name tables, columns, functions and types.
/// Not those with 42601 or 42704: a value that is cast to a `tsquery` or a `regconfig` comes back in them.
const OF_THE_TEXT: [&str; 22] = [
    "42501", "42701", "42702", "42703", "42712", "42725", "42803", "42804", "42809", "42846", "42883", "42P01",
    "42P02", "42P08", "42P09", "42P10", "42P18", "42P19", "42P20", "42P21", "42P22", "42P11",
];

/// Classes that speak of the server and the transaction: connection, transaction state, rollback, resources, operator.
const OF_THE_SERVER: [&str; 5] = ["08", "25", "40", "53", "57"];

/// A batch, with the words of a notice replaced.
pub(super) fn batch(batch: Batch) -> Batch {
    match batch {
        Batch::Notice(notice) => Batch::Notice(withheld(notice)),
        Batch::Fields(_) | Batch::Rows { .. } | Batch::Copied(_) | Batch::Done { .. } => batch,
    }
}

/// An error, with the server's words replaced.
pub(super) fn error(error: Error) -> Error {
    match error {
        Error::Server(message) => Error::Server(withheld(message)),
        other => other,
    }
}

fn withheld(message: ServerMessage) -> ServerMessage {
    let ServerMessage { severity, code, message, detail: _, hint: _, position } = message;
    let class = code.get(..2).unwrap_or_default();
    if OF_THE_TEXT.contains(&code.as_str()) || OF_THE_SERVER.contains(&class) {
        return ServerMessage { severity, code, message, position, ..ServerMessage::default() };
    }
    let message = match CONDITIONS.get(code.as_str()) {
        Some(condition) => (*condition).to_owned(),
        None if class.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("the source reported a condition of class {class}")
        }
        None => "the source reported a condition".to_owned(),
    };
    ServerMessage { severity, code, message, detail: Some(DETAIL.to_owned()), ..ServerMessage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> ServerMessage {
        withheld(ServerMessage {
            severity: "ERROR".to_owned(),
            code: code.to_owned(),
            message: "invalid input syntax for type integer: \"CANARY\"".to_owned(),
            detail: Some("CANARY".to_owned()),
            hint: Some("CANARY".to_owned()),
            position: Some(7),
        })
    }

    #[test]
    fn no_word_of_the_source_gets_through() {
        for (code, message) in [
            ("22P02", "invalid text representation"),
            ("22012", "division by zero"),
            ("23514", "check violation"),
            ("42601", "syntax error"),
            ("P0001", "raise exception"),
            ("XX000", "internal error"),
            ("22ZZZ", "the source reported a condition of class 22"),
            ("", "the source reported a condition of class "),
            ("00000", "the source reported a condition of class 00"),
        ] {
            let said = said(code);
            assert!(!format!("{said:?}").contains("CANARY"), "{code}");
            assert_eq!(
                (said.code.as_str(), said.message.as_str(), said.hint, said.position),
                (code, message, None, None)
            );
        }
    }

    #[test]
    fn what_a_person_needs_to_mend_their_statement_stays() {
        for code in ["42703", "42P01", "57014", "40001"] {
            let said = said(code);
            assert!(said.message.contains("invalid input") && said.detail.is_none() && said.hint.is_none(), "{code}");
        }
    }
}
