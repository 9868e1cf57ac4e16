//! `SELECT set_config('name', 'value', local)`: SET, in the words of clients that set things where they can only ask.
//!
//! Separate from the other statements of a session because this one is written as a query. Only a query that does nothing
//! else is one of these, and only settings of how answers look: a query that sets more stays a query, whose function is
//! refused.

use super::Kind;
use super::tree::{Arguments, Body, Call, Expression, Item, Literal, Path, Query, Relation, Select};

pub(super) const FUNCTION: &str = "set_config";

/// How answers look, and what a session is called.
const SETTINGS: [&str; 7] = [
    "application_name",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "timezone",
];

/// What a query sets, if that is all it does.
pub(super) fn set_config(query: &Query) -> Option<Kind> {
    let Query { with: None, body: Body::Select(select), order_by, limit: None, offset: None } = query else {
        return None;
    };
    let Select { distinct: None, items, from, filter, group_by, having: None, windows, .. } = &**select else {
        return None;
    };
    if !(order_by.is_empty() && group_by.is_empty() && windows.is_empty()) {
        return None;
    }
    let [Item::Expression { of: Expression::Call(call), alias }] = items.as_slice() else { return None };
    let (name, value, local) = arguments(call)?;
    let asks_for_one = match (from.as_slice(), filter) {
        ([], None) => true,
        ([relation], Some(filter)) => is_of_settings(relation) && names(filter, name),
        _ => false,
    };
    let lower = name.to_ascii_lowercase();
    let column = alias.as_ref().map_or(FUNCTION, |alias| &alias.text).to_owned();
    (asks_for_one && SETTINGS.contains(&lower.as_str())).then(|| Kind::SetConfig {
        name: lower,
        value: value.to_owned(),
        local,
        column,
    })
}

fn arguments(call: &Call) -> Option<(&str, &str, bool)> {
    let Arguments::List(list) = &call.arguments else { return None };
    let [(None, name), (None, value), (None, Expression::Literal(Literal::Boolean(local)))] = list.as_slice() else {
        return None;
    };
    let plain = *call == Call::plain(call.name.clone(), call.arguments.clone());
    (plain && is_of_server(&call.name, FUNCTION)).then_some((text(name)?, text(value)?, *local))
}

/// All settings, of which the condition leaves one: clients write it so for servers that may not have the setting.
fn is_of_settings(relation: &Relation) -> bool {
    match relation {
        Relation::Table { name, only: false, sample: None, .. } => is_of_server(name, "pg_settings"),
        Relation::Function { call, ordinality: false, .. } => {
            let all = Call::plain(call.name.clone(), Arguments::List(Vec::new()));
            **call == all && is_of_server(&call.name, "pg_show_all_settings")
        }
        _ => false,
    }
}

fn names(filter: &Expression, setting: &str) -> bool {
    match filter {
        Expression::Infix { operator, left, right } if operator == "=" => {
            matches!(&**left, Expression::Column(Path(path)) if path.last().is_some_and(|last| last.text == "name"))
                && text(right) == Some(setting)
        }
        _ => false,
    }
}

fn is_of_server(name: &Path, function: &str) -> bool {
    match name.0.as_slice() {
        [name] => name.text == function,
        [schema, name] => schema.text == "pg_catalog" && name.text == function,
        _ => false,
    }
}

fn text(of: &Expression) -> Option<&str> {
    match of {
        Expression::Literal(Literal::String(text)) => Some(text),
        Expression::Cast { of, to } if to.name == "text" && to.dimensions == 0 => text(of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Limits, parse};

    fn sets(text: &str) -> Option<(String, String, bool, String)> {
        match parse(text, &Limits::default()).unwrap().remove(0).kind {
            Kind::SetConfig { name, value, local, column } => Some((name, value, local, column)),
            Kind::Query(_) => None,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_query_that_only_sets_is_a_set() {
        let of = |name: &str, value: &str, local, column: &str| {
            Some((name.to_owned(), value.to_owned(), local, column.to_owned()))
        };
        let hex = of("bytea_output", "hex", false, "set_config");
        for text in [
            "SELECT set_config('bytea_output', 'hex', false)",
            "SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
            "SELECT pg_catalog.set_config('bytea_output', 'hex', false) FROM pg_settings s WHERE s.name = 'bytea_output'",
        ] {
            assert_eq!(sets(text), hex, "{text}");
        }
        assert_eq!(sets("SELECT set_config('TimeZone', 'UTC', true) AS zone"), of("timezone", "UTC", true, "zone"));
    }

    #[test]
    fn a_query_that_does_more_or_sets_more_stays_one() {
        for text in [
            "SELECT set_config('search_path', '', false)",
            "SELECT set_config('statement_timeout', '0', false)",
            "SELECT set_config('role', 'postgres', false)",
            "SELECT set_config('timezone', 'UTC', false), 1",
            "SELECT set_config('timezone', name, false) FROM pg_settings WHERE name = 'timezone'",
            "SELECT set_config('timezone', 'UTC', false) FROM orders WHERE name = 'timezone'",
            "SELECT set_config('timezone', 'UTC', false) FROM pg_settings",
            "SELECT set_config('timezone', 'UTC', false) FROM pg_settings WHERE name = 'port'",
            "SELECT set_config('timezone', 'UTC', false) LIMIT 0",
            "SELECT other.set_config('timezone', 'UTC', false)",
            "SELECT set_config('timezone', $1, false)",
        ] {
            assert_eq!(sets(text), None, "{text}");
        }
    }
}
