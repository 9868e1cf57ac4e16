//! What columns a SELECT has, by name, and whether it gives at most one row.

use super::FromScope;
use super::scope::gives_one_row;
use crate::plan::functions;
use crate::statement::tree::{Arguments, Call, Expression, Grouping, Item, Relation};

/// Names of a SELECT's columns, where all of them are known.
pub(super) fn columns_of(items: &[Item], frame: &FromScope) -> Option<Vec<String>> {
    let mut columns = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Everything => {
                for leaf in &frame.leaves {
                    columns.extend(leaf.shape.columns.clone()?);
                }
            }
            Item::EverythingOf(path) => {
                let table = path.0.last()?;
                let leaf = frame.leaves.iter().find(|leaf| leaf.name == table.text)?;
                columns.extend(leaf.shape.columns.clone()?);
            }
            Item::FieldsOf(_) => return None,
            Item::Expression { alias: Some(alias), of: _ } => columns.push(alias.text.clone()),
            Item::Expression { alias: None, of } => columns.push(implied_name(of)),
        }
    }
    Some(columns)
}

/// The name PostgreSQL gives a column without an alias, for the kinds a statement can refer to.
pub(super) fn implied_name(of: &Expression) -> String {
    match of {
        Expression::Column(path) => path.0.last().map_or_else(String::new, |name| name.text.clone()),
        Expression::Field { name, .. } => name.text.clone(),
        Expression::Call(call) => call.name.0.last().map_or_else(String::new, |name| name.text.clone()),
        Expression::Cast { of, to } => match implied_name(of) {
            name if name == "?column?" => to.name.clone(),
            name => name,
        },
        Expression::Collate { of, .. } | Expression::Element { of, .. } | Expression::Slice { of, .. } => {
            implied_name(of)
        }
        Expression::Case { otherwise, .. } => match otherwise.as_ref().map(|of| implied_name(of)) {
            Some(name) if name != "?column?" => name,
            _ => "case".to_owned(),
        },
        _ => "?column?".to_owned(),
    }
}

/// Whether a SELECT gives at most one row: it has no FROM, or only aggregates, or all it reads gives one row.
pub(super) fn one_row(items: &[Item], group_by: &[Grouping], from: &[Relation], frame: &FromScope) -> bool {
    let expressions = || {
        items.iter().filter_map(|item| match item {
            Item::Expression { of, .. } | Item::FieldsOf(of) => Some(of),
            Item::Everything | Item::EverythingOf(_) => None,
        })
    };
    if expressions().any(has_set) {
        return false;
    }
    let aggregated = group_by.is_empty() && expressions().any(has_aggregate);
    from.is_empty() || aggregated || (group_by.is_empty() && frame.leaves.iter().all(gives_one_row))
}

/// Whether any call in an expression may return a set; queries inside it are values and give one.
pub(super) fn has_set(of: &Expression) -> bool {
    any_call(of, &|call| {
        call.name.0.last().is_some_and(|name| functions::returns_a_set(&name.text))
            || call.name.0.first().is_some_and(|schema| call.name.0.len() > 1 && schema.text != "pg_catalog")
    })
}

pub(super) fn has_aggregate(of: &Expression) -> bool {
    any_call(of, &|call| {
        call.over.is_none() && call.name.0.last().is_some_and(|name| functions::is_aggregate(&name.text))
    })
}

/// Whether a call outside of inner queries satisfies `test`.
pub(super) fn any_call(of: &Expression, test: &dyn Fn(&Call) -> bool) -> bool {
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
        Expression::Call(call) => {
            test(call)
                || match &call.arguments {
                    Arguments::Everything => false,
                    Arguments::List(list) => list.iter().any(|(_, of)| any_call(of, test)),
                }
        }
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
