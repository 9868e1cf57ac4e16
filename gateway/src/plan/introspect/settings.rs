//! Who reads `pg_settings` names the settings, as SHOW does, or asks for no values: a list of all would show how a server
//! is set up.
//!
//! Separate from settling names, because it looks at values.

use std::collections::HashSet;
use std::sync::LazyLock;

use passgate_policy::Place;

use super::survey;
use crate::plan::Error;
use crate::statement::Part;
use crate::statement::tree::{Arguments, Expression, Item, Literal, Path, Relation, Select};

const RELATION: &str = "pg_settings";

/// Settings that nobody is shown: what stands in for the relation has none of them either.
static HIDDEN: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let rows = include_str!("stand_ins.txt").lines().find_map(|line| line.strip_prefix("  rows own.name NOT IN "));
    rows.unwrap_or_default().split('\'').skip(1).step_by(2).collect()
});

/// Refuses to read settings that are not named, or are not for everybody.
pub(super) fn check(select: &Select) -> Result<(), Error> {
    let mut leaves = select.from.iter().flat_map(Relation::leaves);
    let Some(at) = leaves.find_map(settings) else { return Ok(()) };
    let conditions = match &select.filter {
        Some(Expression::And(list)) => list.as_slice(),
        Some(other) => std::slice::from_ref(other),
        None => &[],
    };
    match conditions.iter().find_map(named) {
        None if asks_for_no_value(select) => Ok(()),
        Some(names) if !names.iter().any(|name| HIDDEN.contains(name.to_ascii_lowercase().as_str())) => Ok(()),
        _ => Err(Error::new("42501", format!("permission denied for view {RELATION}"))
            .at(at)
            .hint("Name the settings, such as WHERE name = 'max_index_keys'; those that tell how the server is set up are not shown.")),
    }
}

/// Columns that tell what settings there are, as psql asks when it completes SET, and nothing of their values.
const WITHOUT_VALUES: [&str; 5] = ["name", "context", "vartype", "category", "short_desc"];

fn asks_for_no_value(select: &Select) -> bool {
    let mut plain = !select.items.iter().any(|item| !matches!(item, Item::Expression { .. }));
    select.each_part(&mut |part| plain &= is_without_value(part));
    plain
}

fn is_without_value(part: Part<'_>) -> bool {
    let Part::Expression(of) = part else { return false };
    let mut plain = match of {
        Expression::Column(Path(path)) => path.last().is_some_and(|last| WITHOUT_VALUES.contains(&last.text.as_str())),
        Expression::EverythingOf(_) => false,
        // It would show the value of whatever is named.
        Expression::Call(call) => call.is_named("lower"),
        _ => true,
    };
    of.each_part(&mut |part| plain &= is_without_value(part));
    plain
}

fn settings(relation: &Relation) -> Option<Place> {
    let Relation::Table { name, .. } = relation else { return None };
    name.0.last().filter(|last| last.text == RELATION).map(|_| survey::place(name))
}

/// The names that a condition lets pass. A parameter names one, too; of one that is hidden there is no row.
fn named(condition: &Expression) -> Option<Vec<&str>> {
    match condition {
        Expression::Infix { operator, left, right } if is_name(left) => match operator.as_str() {
            "=" => Some(vec![text(right)?]),
            "~" | "OPERATOR(pg_catalog.~)" => Some(vec![whole_word(text(right)?)?]),
            _ => None,
        },
        Expression::InList { of, list, negated: false } if is_name(of) => list.iter().map(text).collect(),
        _ => None,
    }
}

fn is_name(of: &Expression) -> bool {
    match of {
        Expression::Column(Path(path)) => path.last().is_some_and(|last| last.text == "name"),
        Expression::Call(call) => match &call.arguments {
            Arguments::List(list) => call.is_named("lower") && matches!(list.as_slice(), [(None, of)] if is_name(of)),
            _ => false,
        },
        _ => false,
    }
}

fn text(of: &Expression) -> Option<&str> {
    match of {
        Expression::Literal(Literal::String(text)) => Some(text),
        Expression::Parameter(_) => Some(""),
        Expression::Cast { of, .. } | Expression::Collate { of, .. } => text(of),
        _ => None,
    }
}

/// The word that a pattern of psql's matches alone, such as `^(server_version)$`.
fn whole_word(pattern: &str) -> Option<&str> {
    let word = pattern.strip_prefix("^(")?.strip_suffix(")$")?;
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(word)
}
