//! What the gateway's answer is worth, seen beside the twin's.

use super::client::{Answer, Refusal, Rows};

/// The word in every protected text.
const CANARY: &str = "CNRY";
/// As many rows as the gateway answers at most.
const ROWS_MAX: usize = 10_000;
/// Types whose values may be written with more or fewer zeros at the end: `numeric`.
const NUMERIC: u32 = 1700;
/// A type of the warehouse's own, such as that of a table's rows.
const FIRST_OF_USERS: u32 = 16_384;
/// `record`, and an array of it.
const RECORDS: [u32; 2] = [2249, 2287];

/// How one query went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The twin's answer, to the letter.
    Same,
    /// The twin answers, the gateway refuses.
    Refused(Refusal),
    /// Neither answers.
    Neither,
    /// It took too long on one of them.
    Slow,
    /// What must not be.
    Fault(Fault),
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The answer of the truth, which is not the twin's.
    Leak,
    /// A canary in an error.
    CanaryInError,
    /// An answer that is neither the twin's nor the truth's.
    Different(String),
    /// The gateway answers what the twin cannot.
    AnswersTooMuch(Refusal),
    /// An error that is no refusal, where the twin answers.
    Fails(Refusal),
}

/// Compares the gateway's answer with the twin's.
pub(crate) fn judge(text: &str, ordered: bool, gateway: &Answer, safe: &Answer, truth: &Answer) -> Verdict {
    let slow = |answer: &Answer| answer.as_ref().is_err_and(|refusal| ["57014", "53200"].contains(&&*refusal.sqlstate));
    // Where nothing is protected, both say the same.
    if let Err(refusal) = gateway
        && truth != safe
        && refusal.everything.contains(CANARY)
        && !text.contains(CANARY)
    {
        return Verdict::Fault(Fault::CanaryInError);
    }
    if slow(gateway) || slow(safe) {
        return Verdict::Slow;
    }
    match (gateway, safe) {
        (Ok(answer), Ok(safe)) => match difference(ordered, answer, safe) {
            None => Verdict::Same,
            Some(what) => match truth {
                Ok(truth) if difference(ordered, answer, truth).is_none() => Verdict::Fault(Fault::Leak),
                _ => Verdict::Fault(Fault::Different(what)),
            },
        },
        (Err(refusal), Ok(_)) if is_refusal(refusal) => Verdict::Refused(refusal.clone()),
        (Err(refusal), Ok(_)) => Verdict::Fault(Fault::Fails(refusal.clone())),
        (Ok(_), Err(refusal)) => Verdict::Fault(Fault::AnswersTooMuch(refusal.clone())),
        (Err(_), Err(_)) => Verdict::Neither,
    }
}

/// Whether an error says that the gateway will not, rather than that it went wrong. Its parser does not read all of
/// PostgreSQL, and says so in words of its own.
fn is_refusal(refusal: &Refusal) -> bool {
    ["42501", "0A000", "54001"].contains(&&*refusal.sqlstate) || refusal.message.starts_with("syntax error: ")
}

/// Where two answers differ, if they do.
fn difference(ordered: bool, answer: &Rows, expected: &Rows) -> Option<String> {
    let names = |rows: &Rows| rows.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if names(answer) != names(expected) {
        return Some(format!("columns {:?} in place of {:?}", names(answer), names(expected)));
    }
    for ((name, own), (_, other)) in answer.columns.iter().zip(&expected.columns) {
        // A row of a table is a record once the table is a query.
        let row = RECORDS.contains(own) && *other >= FIRST_OF_USERS;
        // Users' own types are numbered as the catalog that the gateway shows numbers them.
        let users = *own >= FIRST_OF_USERS && *other >= FIRST_OF_USERS;
        if own != other && !row && !users {
            return Some(format!("column {name} is of type {own} in place of {other}"));
        }
    }
    if expected.rows.len() > ROWS_MAX {
        let many = answer.rows.len();
        return (many != ROWS_MAX).then(|| format!("{many} rows in place of {ROWS_MAX}"));
    }
    let (mut own, mut other) = (comparable(answer), comparable(expected));
    if !ordered {
        own.sort();
        other.sort();
    }
    if own == other {
        return None;
    }
    let only = |these: &[Vec<Option<String>>], those: &[Vec<Option<String>>]| {
        let row = these.iter().find(|row| !those.contains(row));
        row.map_or("nothing".to_owned(), |row| format!("{row:?}").chars().take(300).collect())
    };
    let counts = format!("{} rows in place of {}", own.len(), other.len());
    Some(format!("{counts}; only here {}; only there {}", only(&own, &other), only(&other, &own)))
}

/// The rows, numbers without the zeros that do not matter.
fn comparable(rows: &Rows) -> Vec<Vec<Option<String>>> {
    let value = |(value, (_, of_type)): (&Option<String>, &(String, u32))| match value {
        Some(text) if *of_type == NUMERIC && text.contains('.') => {
            Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
        }
        value => value.clone(),
    };
    rows.rows.iter().map(|row| row.iter().zip(&rows.columns).map(value).collect()).collect()
}
