//! Tables as statements: columns and defaults, parents and parts, keys, references, indexes, comments.
//!
//! In the order of pg_dump, which knows what has to be there before what: tables, then parts to their wholes, then keys
//! and indexes of each by itself, then those of parts to those of wholes, then references.

use std::collections::BTreeSet;

use passgate_connectors::{Column, Constraint, ConstraintKind, Filled, Index, RelationKind, Sequence, Statement};

use super::scope::{Scope, Shown};
use super::words::{comment, options, qualified, quoted, without_modifier};

/// Sequences that defaults count on.
pub(super) fn sequences(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    for sequence in &scope.sequences {
        let name = qualified(&sequence.schema, &sequence.name);
        statements.push(format!("CREATE SEQUENCE {name} AS {} {}", sequence.type_name, counting(sequence)).into());
        let on = || format!("SEQUENCE {name}");
        statements.extend(comment(on, sequence.comment.as_deref()).map(Statement::from));
    }
}

/// Says which column each goes with.
pub(super) fn owners_of_sequences(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    for sequence in &scope.sequences {
        let Some((schema, table, column)) = &sequence.owned_by else { continue };
        let name = qualified(&sequence.schema, &sequence.name);
        let owner = format!("{}.{}", qualified(schema, table), quoted(column));
        statements.push(format!("ALTER SEQUENCE {name} OWNED BY {owner}").into());
    }
}

fn counting(sequence: &Sequence) -> String {
    let Sequence { start, increment, minimum, maximum, cache, cycles, .. } = sequence;
    let cycle = if *cycles { " CYCLE" } else { "" };
    format!("START WITH {start} INCREMENT BY {increment} MINVALUE {minimum} MAXVALUE {maximum} CACHE {cache}{cycle}")
}

/// Tables, parents before their children.
pub(super) fn tables(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    let mut done = BTreeSet::new();
    for table in scope.tables() {
        let mut waiting = vec![(table, false)];
        while let Some((table, parents_are_done)) = waiting.pop() {
            if parents_are_done {
                created(scope, table, statements);
            } else if done.insert(table.name()) {
                waiting.push((table, true));
                let parents = &table.relation.details.parents;
                waiting
                    .extend(parents.iter().filter_map(|(schema, name)| Some((scope.relation(schema, name)?, false))));
            }
        }
    }
}

fn created(scope: &Scope<'_>, table: Shown<'_>, statements: &mut Vec<Statement>) {
    let details = &table.relation.details;
    let name = table.qualified();
    let unlogged = if details.unlogged { "UNLOGGED " } else { "" };
    let parents = if details.partition_bound.is_none() { inherited_from(scope, table) } else { None };
    let mut rest = String::new();
    if let Some(parents) = &parents {
        rest.push_str(&format!(" INHERITS ({})", parents.join(", ")));
    }
    rest.extend(details.partition_key.iter().map(|key| format!(" PARTITION BY {key}")));
    let with = options(&details.options);
    let (columns, dropped) = places(table, parents.is_some());
    let text = |whole: bool, with: &str| {
        let columns: Vec<String> = columns.iter().map(|place| place.text(scope, table, whole)).collect();
        format!("CREATE {unlogged}TABLE {name} ({}){rest}{with}", columns.join(", "))
    };
    statements.push(Statement::or(text(true, &with), [text(false, &with), text(false, "")]));
    statements.extend(dropped.iter().map(|column| format!("ALTER TABLE {name} DROP COLUMN {}", quoted(column)).into()));
    if let (Some(bound), [(schema, parent)]) = (&details.partition_bound, details.parents.as_slice())
        && scope.relation(schema, parent).is_some()
    {
        let parent = qualified(schema, parent);
        statements.push(format!("ALTER TABLE ONLY {parent} ATTACH PARTITION {name} {bound}").into());
    }
    statements.extend(comments(table, "TABLE"));
}

/// The comments on a relation and its columns.
pub(super) fn comments(shown: Shown<'_>, word: &str) -> impl Iterator<Item = Statement> {
    let name = shown.qualified();
    let own = comment(|| format!("{word} {name}"), shown.relation.comment.as_deref());
    let on = move |column: &Column| format!("COLUMN {name}.{}", quoted(&column.name));
    let of_columns = shown.columns().filter_map(move |column| comment(|| on(column), column.comment.as_deref()));
    own.into_iter().chain(of_columns).map(Statement::from)
}

/// A column, or the place of one that was dropped.
enum ColumnPlace<'a> {
    Column(&'a Column),
    Dropped(String),
}

/// The columns to make, and those of them to drop again, so that numbers are the source's as far as nothing is hidden.
fn places<'a>(table: Shown<'a>, inherits: bool) -> (Vec<ColumnPlace<'a>>, Vec<String>) {
    if inherits {
        return (table.columns().filter(|column| !column.inherited).map(ColumnPlace::Column).collect(), Vec::new());
    }
    let (mut places, mut dropped) = (Vec::new(), Vec::new());
    let mut next = 1;
    for column in &table.relation.columns {
        while next < column.number {
            let name = format!("........pg.dropped.{}........", places.len() + 1);
            dropped.push(name.clone());
            places.push(ColumnPlace::Dropped(name));
            next += 1;
        }
        next = column.number.saturating_add(1);
        if table.seen.columns.contains(&column.name) {
            places.push(ColumnPlace::Column(column));
        }
    }
    (places, dropped)
}

impl ColumnPlace<'_> {
    fn text(&self, scope: &Scope<'_>, table: Shown<'_>, whole: bool) -> String {
        match self {
            Self::Dropped(name) => format!("{} integer", quoted(name)),
            Self::Column(column) => {
                let type_name = if whole { column.type_name.clone() } else { without_modifier(&column.type_name) };
                let mut text = format!("{} {type_name}", quoted(&column.name));
                text.extend(column.collation.iter().map(|collation| format!(" COLLATE {collation}")));
                if whole {
                    text.push_str(&filled(scope, table, column));
                }
                text.push_str(if column.not_null { " NOT NULL" } else { "" });
                text
            }
        }
    }
}

fn filled(scope: &Scope<'_>, table: Shown<'_>, column: &Column) -> String {
    let identity = |when: &str| {
        let owner = |sequence: &&Sequence| {
            let owner =
                sequence.owned_by.as_ref().map(|(schema, table, column)| (schema.as_str(), table.as_str(), column));
            sequence.is_identity
                && owner == Some((table.relation.schema.as_str(), table.relation.name.as_str(), &column.name))
        };
        let sequence = scope.snapshot.sequences().iter().find(owner);
        let options = sequence.map(|sequence| {
            format!(" (SEQUENCE NAME {} {})", qualified(&sequence.schema, &sequence.name), counting(sequence))
        });
        format!(" GENERATED {when} AS IDENTITY{}", options.unwrap_or_default())
    };
    match column.filled {
        Filled::IdentityAlways => identity("ALWAYS"),
        Filled::IdentityByDefault => identity("BY DEFAULT"),
        Filled::Generated => {
            table.default(column).map(|from| format!(" GENERATED ALWAYS AS ({from}) STORED")).unwrap_or_default()
        }
        Filled::ByDefault => table.default(column).map(|default| format!(" DEFAULT {default}")).unwrap_or_default(),
    }
}

/// The parents of a table, where it can be made as their child: a child shows every column that a parent does.
fn inherited_from(scope: &Scope<'_>, table: Shown<'_>) -> Option<Vec<String>> {
    let parents = &table.relation.details.parents;
    let parents: Option<Vec<String>> = parents
        .iter()
        .map(|(schema, name)| {
            let parent = scope.relation(schema, name)?;
            table.shows(parent.columns().map(|column| &column.name)).then(|| parent.qualified())
        })
        .collect();
    parents.filter(|parents| !parents.is_empty())
}

/// Keys, checks and indexes; then references, for which the keys have to be there.
pub(super) fn constraints(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    let mut references = Vec::new();
    let mut parts = Vec::new();
    for shown in &scope.relations {
        for constraint in &shown.relation.details.constraints {
            let is_reference = constraint.kind == ConstraintKind::ForeignKey;
            let into = if is_reference { &mut references } else { &mut *statements };
            if shows_constraint(scope, *shown, constraint) {
                into.extend(added(*shown, constraint));
                parts.extend(part(scope, &shown.relation.schema, &constraint.name, constraint.part_of.as_ref()));
            }
        }
        if shown.relation.kind == RelationKind::Table {
            indexes(*shown, statements);
            let of_wholes = shown_indexes(*shown);
            parts.extend(
                of_wholes.filter_map(|index| part(scope, &shown.relation.schema, &index.name, index.part_of.as_ref())),
            );
        }
    }
    statements.append(&mut parts);
    statements.append(&mut references);
}

/// The indexes of a relation that is there.
pub(super) fn indexes(shown: Shown<'_>, statements: &mut Vec<Statement>) {
    for index in shown_indexes(shown) {
        statements.push(index.definition.clone().into());
        let on = || format!("INDEX {}", qualified(&shown.relation.schema, &index.name));
        statements.extend(comment(on, index.comment.as_deref()).map(Statement::from));
    }
}

/// Those over what is seen. A condition or an expression says what rows hold.
fn shown_indexes(shown: Shown<'_>) -> impl Iterator<Item = &Index> {
    let indexes = shown.relation.details.indexes.iter();
    indexes.filter(move |index| {
        shown.shows(&index.columns) && (index.is_plain || !shown.seen.governed) && makes_index(&index.definition)
    })
}

/// What is sent is a server's own words, but it is another server's.
fn makes_index(definition: &str) -> bool {
    definition.starts_with("CREATE INDEX ") || definition.starts_with("CREATE UNIQUE INDEX ")
}

fn shows_constraint(scope: &Scope<'_>, table: Shown<'_>, constraint: &Constraint) -> bool {
    let shows_columns = match &constraint.columns {
        Some(columns) => table.shows(columns),
        None => table.shows_all(),
    };
    // A condition says what rows hold.
    let is_condition = matches!(constraint.kind, ConstraintKind::Check | ConstraintKind::Exclusion);
    let shows_reference = constraint.refers_to.as_ref().is_none_or(|reference| {
        scope.relation(&reference.schema, &reference.table).is_some_and(|target| target.shows(&reference.columns))
    });
    shows_columns && shows_reference && !(is_condition && table.seen.governed)
}

fn added(table: Shown<'_>, constraint: &Constraint) -> impl Iterator<Item = Statement> {
    let only = match constraint.kind {
        ConstraintKind::PrimaryKey | ConstraintKind::Unique | ConstraintKind::Exclusion => "ONLY ",
        // Children have these from their parents.
        ConstraintKind::ForeignKey | ConstraintKind::Check => "",
    };
    let (table, name) = (table.qualified(), quoted(&constraint.name));
    let made = format!("ALTER TABLE {only}{table} ADD CONSTRAINT {name} {}", constraint.definition);
    let commented = comment(|| format!("CONSTRAINT {name} ON {table}"), constraint.comment.as_deref());
    std::iter::once(made).chain(commented).map(Statement::from)
}

/// Makes an index a part of that of the whole table, where that is shown.
fn part(scope: &Scope<'_>, schema: &str, index: &str, whole: Option<&(String, String)>) -> Option<Statement> {
    let (of_schema, of) = whole?;
    scope.schemas.contains(of_schema.as_str()).then(|| {
        format!("ALTER INDEX {} ATTACH PARTITION {}", qualified(of_schema, of), qualified(schema, index)).into()
    })
}
