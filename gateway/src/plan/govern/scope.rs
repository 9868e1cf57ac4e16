//! Which relation a name means, as far as governing changes what it must be written as.
//!
//! A derived table has no schema: `analytics.t.c` becomes `t.c`, unless a nearer relation is called `t` too.

use std::collections::BTreeSet;

use super::{Error, Governor, Stop, Walked};
use crate::statement::tree::{Alias, Expression, JoinKind, Name, Path, Query, Relation};

/// The relations of one FROM clause, in order.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) leaves: Vec<Leaf>,
}

/// One relation.
#[derive(Debug)]
pub(super) struct Leaf {
    /// What the statement calls it, once it is governed.
    pub(super) name: String,
    /// Schema and name, for a table without an alias: they name it too.
    full: Option<(String, String)>,
    /// What is left of it where it is governed.
    pub(super) shown: Option<Shown>,
    /// Which join with a name of its own it stands in, by number; 0 for none. Its name clashes with none outside.
    join: usize,
    /// Whether an outer join puts NULL in the place of its rows.
    pub(super) nullable: bool,
    /// Conditions that may stand beside its filter.
    pub(super) beside: Vec<Expression>,
}

/// What a governed table shows.
#[derive(Debug)]
pub(super) struct Shown {
    /// Columns as the statement names them: after an alias with column names.
    pub(super) columns: Vec<ShownColumn>,
    /// Keys of which every column is shown as it is, by the same names.
    pub(super) keys: Vec<Vec<String>>,
    /// Columns that are not shown.
    pub(super) hidden: BTreeSet<String>,
    /// For a view that is replaced by its definition: that, governed.
    pub(super) definition: Option<Query>,
}

/// A column that is shown.
#[derive(Debug)]
pub(super) struct ShownColumn {
    pub(super) name: String,
    pub(super) type_name: String,
    /// The table's own name, and the column's.
    pub(super) table: String,
    pub(super) inside: String,
    /// Whether something else is shown in its place.
    pub(super) masked: bool,
}

/// Where in a FROM clause a relation stands.
#[derive(Clone, Copy)]
struct Place {
    join: usize,
    nullable: bool,
}

impl Leaf {
    /// Whether the statement may call it so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.full.as_ref().is_some_and(|(_, table)| table == name)
    }
}

impl Governor<'_> {
    /// The scope that a FROM clause makes.
    pub(super) fn scope(&mut self, from: &[Relation]) -> Walked<Scope> {
        let mut leaves = Vec::new();
        let mut joins = 0;
        let place = Place { join: 0, nullable: false };
        from.iter().try_for_each(|relation| self.leaves(relation, &mut leaves, place, &mut joins))?;
        // PostgreSQL lets tables of one name and two schemas stand side by side; derived tables it does not.
        for index in 0..leaves.len() {
            let Some(Leaf { name, full: Some((schema, table)), shown: Some(_), join, .. }) = leaves.get(index) else {
                continue;
            };
            let same = leaves.iter().filter(|leaf| leaf.name == *name && leaf.join == *join).count();
            let long = format!("{schema}.{table}");
            if let Some(leaf) = leaves.get_mut(index).filter(|_| same > 1) {
                leaf.name = long;
            }
        }
        Ok(Scope { leaves })
    }

    /// Adds the relations of one entry of FROM, of which `joins` with a name of their own are known.
    fn leaves(&mut self, relation: &Relation, leaves: &mut Vec<Leaf>, place: Place, joins: &mut usize) -> Walked<()> {
        let Place { join, nullable } = place;
        let named = |alias: &Option<Alias>| alias.as_ref().map(|alias| alias.name.text.clone());
        let (name, full, shown) = match relation {
            Relation::Table { name, only, alias, sample: _ } => {
                let last = name.0.last().map(|name| name.text.clone()).unwrap_or_default();
                let full = match (name.0.as_slice(), alias) {
                    ([schema, table], None) => Some((schema.text.clone(), table.text.clone())),
                    _ => None,
                };
                let shown =
                    self.governed(name, *only)?.map(|governed| self.shown(&governed, alias.as_ref())).transpose()?;
                (named(alias).unwrap_or(last), full, shown)
            }
            Relation::Query { alias, .. } => (named(alias).unwrap_or_default(), None, None),
            Relation::Function { alias, call, .. } => {
                let last = call.name.0.last().map(|name| name.text.clone()).unwrap_or_default();
                (named(alias).unwrap_or(last), None, None)
            }
            Relation::Functions { alias, .. } => (named(alias).unwrap_or_default(), None, None),
            Relation::Join { left, right, kind, alias, on: _ } => {
                let inside = match alias {
                    Some(_) => {
                        *joins += 1;
                        *joins
                    }
                    None => join,
                };
                let side = |nulled: &[JoinKind]| Place { join: inside, nullable: nullable || nulled.contains(kind) };
                self.leaves(left, leaves, side(&[JoinKind::Right, JoinKind::Full]), joins)?;
                return self.leaves(right, leaves, side(&[JoinKind::Left, JoinKind::Full]), joins);
            }
        };
        leaves.push(Leaf { name, full, shown, join, nullable, beside: Vec::new() });
        Ok(())
    }

    /// Rewrites a column of a governed table that is named with its schema.
    pub(super) fn column(&mut self, path: &mut Path) -> Walked<()> {
        match path.0.as_slice() {
            [column] => self.not_hidden(None, &column.text),
            [table, column] => self.not_hidden(Some(&table.text), &column.text),
            [schema, table, column] => {
                let column = column.clone();
                if let Some(name) = self.derived_name(schema, table)? {
                    path.0 = vec![name, column];
                }
                match path.0.as_slice() {
                    [table, column] => self.not_hidden(Some(&table.text), &column.text),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Rewrites `schema.table.*` of a governed table.
    pub(super) fn table_path(&mut self, path: &mut Path) -> Walked<()> {
        if let [.., schema, table] = path.0.as_slice()
            && let Some(name) = self.derived_name(schema, table)?
        {
            path.0 = vec![name];
        }
        Ok(())
    }

    /// What `schema.table` is called where it is governed.
    fn derived_name(&self, schema: &Name, table: &Name) -> Walked<Option<Name>> {
        let means =
            |leaf: &&Leaf| leaf.full.as_ref().is_some_and(|(own, name)| *own == schema.text && *name == table.text);
        for (depth, scope) in self.scopes.iter().enumerate().rev() {
            let Some(leaf) = scope.leaves.iter().find(means) else { continue };
            if leaf.shown.is_none() {
                return Ok(None);
            }
            let nearer = self.scopes.iter().skip(depth + 1).flat_map(|scope| &scope.leaves);
            if nearer.into_iter().any(|other| other.name == leaf.name) {
                let message = format!("table name \"{}\" is ambiguous", table.text);
                return Err(Error::new("42P09", message).at(schema.at).hint("Give each table an alias.").into());
            }
            return Ok(Some(Name { text: leaf.name.clone(), at: table.at }));
        }
        Ok(None)
    }

    /// Stops where a view's definition names a column that is hidden from this person. Elsewhere such a column does not
    /// exist, and the source says so.
    pub(super) fn not_hidden(&self, table: Option<&str>, column: &str) -> Walked<()> {
        if self.view_depth == 0 {
            return Ok(());
        }
        let hides = |leaf: &Leaf| leaf.shown.as_ref().is_some_and(|shown| shown.hidden.contains(column));
        for scope in self.scopes.iter().rev() {
            let mut meant = scope.leaves.iter().filter(|leaf| table.is_none_or(|table| leaf.name == table)).peekable();
            if table.is_some() && meant.peek().is_none() {
                continue;
            }
            if meant.any(hides) {
                return Err(Stop::Hidden);
            }
            if table.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }
}
