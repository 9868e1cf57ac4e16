//! What a constant expression can be at most: numbers, texts, moments and intervals. Separate from the walk because it
//! knows nothing of statements.

use super::TABLE_ROWS;
use crate::statement::Part;
use crate::statement::tree::{Arguments, Body, Call, Expression, Item, Literal, Name};

/// A series of no more is made for every row of a table without a word.
const ROWS_OF_ONE_FEW: f64 = 1_000.0;

/// Seconds between two times of which one is not a constant: a century.
const SPAN_UNKNOWN: f64 = 100.0 * 366.0 * 86_400.0;

/// The value of a constant.
pub(super) fn number(of: &Expression) -> Option<f64> {
    match of {
        Expression::Literal(Literal::Number(digits) | Literal::String(digits)) => digits.trim().parse().ok(),
        Expression::Cast { of, to: _ } => number(of),
        Expression::Prefix { operator, of } => match operator.as_str() {
            "-" => Some(-number(of)?),
            "+" => number(of),
            _ => None,
        },
        Expression::Infix { operator, left, right } => {
            let (left, right) = (number(left)?, number(right)?);
            match operator.as_str() {
                "+" => Some(left + right),
                "-" => Some(left - right),
                "*" => Some(left * right),
                "/" if right != 0.0 => Some(left / right),
                "^" => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The most that an expression can be: a constant, a column of a series, or a computation of those. `None` where it
/// depends on something else.
pub(super) fn bound(of: &Expression, series: &[(String, f64)]) -> Option<f64> {
    if let Some(number) = number(of) {
        return Some(number);
    }
    match of {
        Expression::Column(path) => {
            let name = path.0.last()?;
            series.iter().rev().find(|(known, _)| *known == name.text).map(|(_, end)| *end)
        }
        Expression::Parameter(_) | Expression::EverythingOf(_) | Expression::Exists(_) => None,
        Expression::Query(query) => match &query.body {
            Body::Select(select) if select.from.is_empty() => match select.items.as_slice() {
                [Item::Expression { of, alias: _ }] => bound(of, series),
                _ => None,
            },
            _ => None,
        },
        Expression::Cast { of, to: _ } => bound(of, series),
        // Of a computation, no more is known than that its numbers can at most be multiplied.
        other => {
            let mut product = Some(1.0_f64);
            let mut any = false;
            other.each_part(&mut |part| {
                any = true;
                product = match part {
                    Part::Expression(of) => product.zip(bound(of, series)).map(|(all, one)| all * one.abs().max(1.0)),
                    Part::Query(_) => None,
                };
            });
            product.filter(|_| any)
        }
    }
}

pub(super) fn product_of_numbers(of: &Expression, series: &[(String, f64)]) -> f64 {
    match of {
        Expression::Array(list) => list.iter().map(|of| bound(of, series).unwrap_or(1.0).max(1.0)).product(),
        other => bound(other, series).unwrap_or(1.0).max(1.0),
    }
}

/// How long a text can become that `repeat`, `lpad` and `rpad` make of constants.
pub(super) fn text_bytes(of: &Expression, series: &[(String, f64)]) -> f64 {
    match of {
        Expression::Literal(Literal::String(text)) => text.chars().map(char::len_utf8).map(count).sum(),
        Expression::Call(call) => {
            let Arguments::List(list) = &call.arguments else { return 1.0 };
            let argument = |index: usize| list.get(index).map(|(_, of)| of);
            let most = argument(1).and_then(|of| bound(of, series)).unwrap_or(1.0).max(0.0);
            let text = argument(0).map_or(1.0, |of| text_bytes(of, series));
            match call.name.0.last().map(|name| name.text.as_str()) {
                Some("repeat") => text.max(1.0) * most,
                Some("lpad" | "rpad") => most,
                _ => list.iter().map(|(_, of)| text_bytes(of, series)).sum(),
            }
        }
        other => {
            let mut sum = 0.0;
            other.each_part(&mut |part| {
                if let Part::Expression(of) = part {
                    sum += text_bytes(of, series);
                }
            });
            sum
        }
    }
}

pub(super) fn count(bytes: usize) -> f64 {
    u32::try_from(bytes).map_or(f64::INFINITY, f64::from)
}

/// The largest value of a series of numbers.
pub(super) fn series_end(call: &Call, series: &[(String, f64)]) -> Option<f64> {
    let is_series = call.is_named("generate_series");
    let Arguments::List(list) = &call.arguments else { return None };
    let ends = list.iter().take(2).map(|(_, of)| bound(of, series));
    is_series.then(|| ends.flatten().fold(1.0, f64::max))
}

/// How many rows `generate_series` gives, as far as constants tell.
pub(super) fn series_rows(list: &[(Option<Name>, Expression)], series: &[(String, f64)]) -> f64 {
    let argument = |index: usize| list.get(index).map(|(_, of)| of);
    let (Some(first), Some(last)) = (argument(0), argument(1)) else { return 1.0 };
    let step = argument(2);
    if let Some(seconds) = step.and_then(interval_seconds) {
        let span = match (moment(first), moment(last)) {
            (Some(first), Some(last)) => (last - first).abs(),
            _ => SPAN_UNKNOWN,
        };
        return span / seconds.max(1e-6) + 1.0;
    }
    let Some(last) = bound(last, series) else { return for_every_row(largest_number(last)) };
    let first = number(first).unwrap_or(0.0);
    let step = step.map_or(Some(1.0), number).unwrap_or(1.0).abs();
    let rows = if step == 0.0 { f64::INFINITY } else { (last - first).abs() / step + 1.0 };
    rows.max(1.0)
}

/// Rows that a series makes for all rows of a table, where its end is a column's value moved by a constant.
fn for_every_row(constant: f64) -> f64 {
    if constant > ROWS_OF_ONE_FEW { constant * TABLE_ROWS } else { 1.0 }
}

/// The largest number written in an expression.
fn largest_number(of: &Expression) -> f64 {
    let mut largest = number(of).unwrap_or(0.0);
    of.each_part(&mut |part| {
        if let Part::Expression(of) = part {
            largest = largest.max(largest_number(of));
        }
    });
    largest
}

/// Seconds since some day, of a constant that starts with a date.
pub(super) fn moment(of: &Expression) -> Option<f64> {
    let text = constant_text(of)?;
    let mut parts = text.trim().split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || parts.next().and_then(|part| part.parse::<f64>().ok());
    let (year, month, day) = (next()?, next()?, next()?);
    let clock = next().unwrap_or(0.0) * 3_600.0 + next().unwrap_or(0.0) * 60.0 + next().unwrap_or(0.0);
    Some((year * 365.25 + month * 30.44 + day) * 86_400.0 + clock)
}

/// The length of a constant interval in seconds; `None` where it is none.
pub(super) fn interval_seconds(of: &Expression) -> Option<f64> {
    match of {
        Expression::Interval { text, fields, .. } => Some(seconds(&format!("{text} {fields}"))),
        Expression::Cast { of, to } if to.name == "interval" => constant_text(of).map(seconds),
        Expression::Literal(Literal::String(text)) if text.trim().parse::<f64>().is_err() => Some(seconds(text)),
        Expression::Infix { operator, left, right } => {
            let (left_seconds, right_seconds) = (interval_seconds(left), interval_seconds(right));
            match (operator.as_str(), left_seconds, right_seconds) {
                ("*", Some(seconds), None) => Some(seconds * number(right)?),
                ("*", None, Some(seconds)) => Some(seconds * number(left)?),
                ("/", Some(seconds), None) => Some(seconds / number(right)?),
                ("+", Some(one), Some(two)) => Some(one + two),
                // Some computation of an interval: as short as can be.
                (_, Some(_), _) | (_, _, Some(_)) => Some(0.0),
                (_, None, None) => None,
            }
        }
        _ => None,
    }
    .map(f64::abs)
}

/// `1 day 2 hours`, `15 min`, `00:00:01`: what cannot be read is as short as can be.
pub(super) fn seconds(text: &str) -> f64 {
    let mut sum = 0.0;
    let mut amount = None;
    for word in text.split_whitespace() {
        if word.contains(':') {
            let parts = word.split(':').map(|part| part.parse::<f64>().unwrap_or(0.0));
            sum += parts.zip([3_600.0, 60.0, 1.0]).map(|(part, unit)| part * unit).sum::<f64>();
            continue;
        }
        let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
        let unit = word.get(digits.len()..).unwrap_or_default();
        if !digits.is_empty() {
            amount = digits.parse::<f64>().ok();
        }
        if !unit.is_empty() {
            sum += amount.take().unwrap_or(1.0) * unit_seconds(unit);
        }
    }
    sum + amount.unwrap_or(0.0)
}

pub(super) fn unit_seconds(unit: &str) -> f64 {
    let unit = unit.to_ascii_lowercase();
    let known = [
        ("millis", 0.001),
        ("ms", 0.001),
        ("micros", 1e-6),
        ("us", 1e-6),
        ("sec", 1.0),
        ("min", 60.0),
        ("hour", 3_600.0),
        ("hr", 3_600.0),
        ("day", 86_400.0),
        ("week", 604_800.0),
        ("mon", 2_592_000.0),
        ("quarter", 7_776_000.0),
        ("year", 31_557_600.0),
        ("decade", 315_576_000.0),
        ("cent", 3_155_760_000.0),
    ];
    let found = known.iter().find(|(start, _)| unit.starts_with(start)).map(|(_, seconds)| *seconds);
    let letter = match unit.as_str() {
        "h" => Some(3_600.0),
        "m" => Some(60.0),
        "d" => Some(86_400.0),
        "w" => Some(604_800.0),
        "y" => Some(31_557_600.0),
        _ => None,
    };
    found.or(letter).unwrap_or(0.0)
}

pub(super) fn constant_text(of: &Expression) -> Option<&str> {
    match of {
        Expression::Literal(Literal::String(text)) => Some(text),
        Expression::Cast { of, to: _ } => constant_text(of),
        _ => None,
    }
}
