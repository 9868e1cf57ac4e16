//! How many rows a query gives: at most one, or all that a table has.

use super::FromScope;
use super::scope::gives_one_row;
use crate::plan::functions;
use crate::statement::tree::{Arguments, Call, Expression, Grouping, Item, Relation};

/// Whether a SELECT gives at most one row: it has no FROM, or only aggregates, or all it reads gives one row.
pub(super) fn one_row(items: &[Item], group_by: &[Grouping], from: &[Relation], frame: &FromScope<'_>) -> bool {
    if expressions(items).any(has_set) {
        return false;
    }
    let aggregated = group_by.is_empty() && expressions(items).any(has_aggregate);
    from.is_empty()
        || aggregated
        || (group_by.is_empty() && (0..frame.leaves.len()).all(|index| gives_one_row(frame, index)))
}

/// Whether a SELECT list makes one value of many.
pub(super) fn condenses(items: &[Item]) -> bool {
    let any = |test: &dyn Fn(&str) -> bool| {
        let mut all = expressions(items);
        all.any(|of| {
            let named = |call: &Call| call.name.0.last().is_some_and(|name| test(&name.text));
            any_call(of, &|call| (call.over.is_none() && named(call)).then_some(true))
        })
    };
    any(&functions::is_aggregate) && !any(&functions::collects)
}

fn expressions(items: &[Item]) -> impl Iterator<Item = &Expression> {
    items.iter().filter_map(|item| match item {
        Item::Expression { of, .. } | Item::FieldsOf(of) => Some(of),
        Item::Everything | Item::EverythingOf(_) => None,
    })
}

/// Whether any call in an expression may return a set; queries inside it are values and give one, and PostgreSQL takes
/// no set as the argument of an aggregate.
pub(super) fn has_set(of: &Expression) -> bool {
    any_call(of, &|call| {
        let set = call.name.0.last().is_some_and(|name| functions::returns_a_set(&name.text))
            || call.name.0.first().is_some_and(|schema| call.name.0.len() > 1 && schema.text != "pg_catalog");
        if set { Some(true) } else { aggregates(call).then_some(false) }
    })
}

fn has_aggregate(of: &Expression) -> bool {
    any_call(of, &|call| aggregates(call).then_some(true))
}

fn aggregates(call: &Call) -> bool {
    call.over.is_none() && call.name.0.last().is_some_and(|name| functions::is_aggregate(&name.text))
}

/// Whether `test` says so of a call outside of inner queries. Where it says nothing, the call's arguments are looked at.
fn any_call(of: &Expression, test: &dyn Fn(&Call) -> Option<bool>) -> bool {
    let any = |list: &[Expression]| list.iter().any(|of| any_call(of, test));
    let opt = |of: &Option<Box<Expression>>| of.as_ref().is_some_and(|of| any_call(of, test));
    match of {
        Expression::Column(_)
        | Expression::EverythingOf(_)
        | Expression::Literal(_)
        | Expression::Parameter(_)
        | Expression::Interval { .. }
        | Expression::Keyword { .. }
        | Expression::Exists(_)
        | Expression::Query(_)
        | Expression::ArrayQuery(_) => false,
        Expression::Infix { left, right, .. }
        | Expression::Distinct { left, right, .. }
        | Expression::Quantified { left, right, .. } => any_call(left, test) || any_call(right, test),
        Expression::And(list) | Expression::Or(list) | Expression::Row(list) | Expression::Array(list) => any(list),
        Expression::Prefix { of, .. }
        | Expression::Not(of)
        | Expression::Is { of, .. }
        | Expression::Cast { of, .. }
        | Expression::Extract { of, .. }
        | Expression::Collate { of, .. }
        | Expression::Normalized { of, .. }
        | Expression::InQuery { of, .. }
        | Expression::Field { of, .. } => any_call(of, test),
        Expression::InList { of, list, .. } => any_call(of, test) || any(list),
        Expression::Between { of, low, high, .. } => [of, low, high].into_iter().any(|of| any_call(of, test)),
        Expression::Like { of, pattern, .. } => any_call(of, test) || any_call(pattern, test),
        Expression::Case { operand, arms, otherwise } => {
            opt(operand)
                || opt(otherwise)
                || arms.iter().any(|(when, then)| any_call(when, test) || any_call(then, test))
        }
        Expression::Call(call) => test(call).unwrap_or_else(|| match &call.arguments {
            Arguments::Everything => false,
            Arguments::List(list) => list.iter().any(|(_, of)| any_call(of, test)),
        }),
        Expression::Xml(xml) => any(&xml.arguments) || xml.named.iter().any(|(of, _)| any_call(of, test)),
        Expression::Position { what, within } => any_call(what, test) || any_call(within, test),
        Expression::Substring { of, from, length } => any_call(of, test) || opt(from) || opt(length),
        Expression::Trim { what, of, .. } => any_call(of, test) || opt(what),
        Expression::Overlay { of, what, from, length } => {
            [of, what, from].into_iter().any(|of| any_call(of, test)) || opt(length)
        }
        Expression::AtTimeZone { of, zone } => any_call(of, test) || any_call(zone, test),
        Expression::Element { of, index } => any_call(of, test) || any_call(index, test),
        Expression::Slice { of, low, high } => any_call(of, test) || opt(low) || opt(high),
    }
}
