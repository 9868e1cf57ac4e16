//! Messages with placeholders: `This query will scan ~{estimated.bytes}. Estimated cost: {estimated.cost_usd}.`
//!
//! A placeholder is a name in braces, without spaces; any other brace is text. What is not known is said to be so, never
//! left out, so that nobody takes a missing number for a small one.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::compile::{Context, Policy};
use crate::problem::did_you_mean;
use crate::{Costs, Estimate, Request};

/// What may stand in braces.
const PLACEHOLDERS: [(&str, Placeholder); 5] = [
    ("estimated.bytes", Placeholder::Bytes),
    ("estimated.cost_usd", Placeholder::Cost),
    ("estimated.rows", Placeholder::Rows),
    ("confidence", Placeholder::Confidence),
    ("user.name", Placeholder::Person),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Bytes,
    Cost,
    Rows,
    Confidence,
    Person,
}

#[derive(Debug)]
enum Part {
    Text(Arc<str>),
    Value(Placeholder),
}

/// A message, ready to be filled.
#[derive(Debug)]
pub(crate) struct Wording(Vec<Part>);

impl Wording {
    /// The message of a policy, where it has one; placeholders that nothing fills are reported.
    pub(crate) fn of(policy: &Policy<'_>, context: &mut Context<'_>) -> Option<Self> {
        let written = policy.body.text("message")?;
        let mut parts = Vec::new();
        let mut rest = written.value;
        while let Some((before, name, after)) = next_placeholder(rest) {
            parts.push(Part::Text(before.into()));
            rest = after;
            match PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
                Some((_, placeholder)) => parts.push(Part::Value(*placeholder)),
                None => {
                    let names = || PLACEHOLDERS.iter().map(|(known, _)| *known);
                    let suggestion = did_you_mean(name, names())
                        .unwrap_or_else(|| format!("known: {}", names().collect::<Vec<_>>().join(", ")));
                    let message = format!("nothing fills \"{{{name}}}\"");
                    context.problems.push(written.problem(message, Some(suggestion)));
                }
            }
        }
        parts.push(Part::Text(rest.into()));
        Some(Self(parts))
    }

    /// Whether it tells of an estimate that was not made yet.
    pub(crate) fn awaits_estimate(&self, request: &Request) -> bool {
        let of_estimate = |part: &Part| match part {
            Part::Text(_) => false,
            Part::Value(placeholder) => {
                matches!(placeholder, Placeholder::Bytes | Placeholder::Cost | Placeholder::Rows)
            }
        };
        request.facts.estimate == Estimate::NotMade && self.0.iter().any(of_estimate)
    }

    /// The message for one request.
    pub(crate) fn fill(&self, request: &Request) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(placeholder) => filled.push_str(&placeholder.value(request)),
            }
        }
        filled
    }
}

/// What stands before the first placeholder, its name, and what follows it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    text.match_indices('{').find_map(|(start, _)| {
        let (before, from) = text.split_at(start);
        let (name, after) = from.strip_prefix('{')?.split_once('}')?;
        is_name(name).then_some((before, name, after))
    })
}

impl Placeholder {
    fn value(self, request: &Request) -> String {
        let known = |of: fn(&Costs) -> Option<f64>| match &request.facts.estimate {
            Estimate::Known(costs) => of(costs),
            Estimate::NotMade | Estimate::Unknown => None,
        };
        let value = match self {
            Self::Bytes => known(|costs| costs.bytes).map(bytes),
            Self::Cost => known(|costs| costs.cost_usd).map(dollars),
            Self::Rows => known(|costs| costs.rows).map(|rows| grouped(&format!("{rows:.0}"))),
            Self::Confidence => request.facts.confidence.map(|confidence| format!("{:.0} %", confidence * 100.0)),
            Self::Person => Some(request.identity.person.to_string()),
        };
        value.unwrap_or_else(|| "unknown".to_owned())
    }
}

/// What a statement costs, as far as that is known.
pub(crate) fn costs(estimate: Estimate) -> Option<String> {
    let Estimate::Known(Costs { cost_usd, bytes: scanned, .. }) = estimate else { return None };
    let mut text = String::new();
    if let Some(scanned) = scanned {
        let _ = write!(text, "This query will scan ~{}.", bytes(scanned));
    }
    if let Some(cost) = cost_usd {
        let _ = write!(text, "{}Estimated cost: {}.", if text.is_empty() { "" } else { " " }, dollars(cost));
    }
    (!text.is_empty()).then_some(text)
}

/// `2.4 TB`: in steps of a thousand, as prices are.
pub(crate) fn bytes(amount: f64) -> String {
    let mut amount = amount;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if amount < 999.95 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{amount:.0} B"),
        unit => format!("{amount:.1} {unit}"),
    }
}

/// `$1,234.50`; an amount that would round to nothing is not said to be nothing.
pub(crate) fn dollars(amount: f64) -> String {
    if amount > 0.0 && amount < 0.01 {
        return "less than $0.01".to_owned();
    }
    let written = format!("{amount:.2}");
    let (whole, cents) = written.split_once('.').unwrap_or((&written, "00"));
    format!("${}.{cents}", grouped(whole))
}

/// `1,234,567`.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(bytes(2.4e12), "2.4 TB");
        assert_eq!([bytes(0.0), bytes(999.0), bytes(999_990.0), bytes(5e20)], ["0 B", "999 B", "1.0 MB", "500.0 EB"]);
        assert_eq!(
            [dollars(1.2), dollars(0.0), dollars(0.004), dollars(1_234_567.891)],
            ["$1.20", "$0.00", "less than $0.01", "$1,234,567.89"]
        );
        assert_eq!(grouped("1000"), "1,000");
    }

    #[test]
    fn a_placeholder_is_a_name_in_braces() {
        assert_eq!(next_placeholder("a {b.c} d"), Some(("a ", "b.c", " d")));
        assert_eq!(next_placeholder("{ \"a\": 1 } {x}"), Some(("{ \"a\": 1 } ", "x", "")));
        for text in ["", "{", "{}", "}{", "{a b}"] {
            assert_eq!(next_placeholder(text), None, "{text}");
        }
    }
}
