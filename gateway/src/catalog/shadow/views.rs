//! Views as statements: as they are where everything in them may be seen, otherwise as columns of the same types.

use std::collections::BTreeSet;

use passgate_connectors::{Column, RelationKind, Statement};

use super::scope::{Scope, Shown};
use super::tables::{comments, indexes};
use super::words::{list, options, quoted, without_modifier};

/// Views and materialised views, each after those that it reads.
pub(super) fn views(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    let mut done = BTreeSet::new();
    for view in scope.relations.iter().filter(|shown| shown.relation.kind != RelationKind::Table) {
        let mut waiting = vec![(*view, false)];
        while let Some((view, below_is_done)) = waiting.pop() {
            if view.relation.kind == RelationKind::Table {
                continue;
            }
            if below_is_done {
                statements.push(created(scope, view));
                let word = if is_materialized(view) { "MATERIALIZED VIEW" } else { "VIEW" };
                statements.extend(comments(view, word));
                indexes(view, statements);
            } else if done.insert(view.name()) {
                waiting.push((view, true));
                let below = &view.relation.built_on;
                waiting.extend(below.iter().filter_map(|(schema, name)| Some((scope.relation(schema, name)?, false))));
            }
        }
    }
}

fn created(scope: &Scope<'_>, view: Shown<'_>) -> Statement {
    let details = &view.relation.details;
    let name = view.qualified();
    let with = options(&details.options);
    let (word, end) = if is_materialized(view) { ("MATERIALIZED VIEW", " WITH NO DATA") } else { ("VIEW", "") };
    let stand_in = |whole: bool| {
        let names = list(view.columns().map(|column| &column.name));
        let columns: Vec<String> = view.columns().map(|column| nothing(column, whole)).collect();
        format!("CREATE {word} {name} ({names}) AS SELECT {}{end}", columns.join(", "))
    };
    match definition(scope, view) {
        Some(definition) => {
            let made = |with: &str| format!("CREATE {word} {name}{with} AS {definition}{end}");
            Statement::or(made(&with), [made(""), stand_in(true), stand_in(false)])
        }
        None => Statement::or(stand_in(true), [stand_in(false)]),
    }
}

/// The definition, where nothing it names is hidden and nothing governs its rows. A column that is hidden below it is
/// not there, so that the definition fails and the columns alone are shown.
fn definition<'a>(scope: &Scope<'_>, view: Shown<'a>) -> Option<&'a str> {
    let is_shown = |(schema, name): &(String, String)| {
        let is_the_servers = matches!(schema.as_str(), "pg_catalog" | "information_schema");
        is_the_servers || scope.relation(schema, name).is_some()
    };
    let is_open = !view.seen.governed && view.shows_all() && view.relation.built_on.iter().all(is_shown);
    let definition = view.relation.definition.as_deref().filter(|_| is_open)?;
    Some(definition.trim().trim_end_matches(';'))
}

fn nothing(column: &Column, whole: bool) -> String {
    let type_name = if whole { column.type_name.clone() } else { without_modifier(&column.type_name) };
    let collation = column.collation.as_ref().map(|collation| format!(" COLLATE {collation}"));
    format!("NULL::{type_name}{} AS {}", collation.unwrap_or_default(), quoted(&column.name))
}

fn is_materialized(view: Shown<'_>) -> bool {
    view.relation.kind == RelationKind::MaterializedView
}
