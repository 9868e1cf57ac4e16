//! Conditions of the statement that may stand beside a filter, behind its fence.
//!
//! A fence keeps the optimiser from using any condition of the statement where a table is read: not for an index, not to
//! leave partitions out. A condition that is quiet may be evaluated on rows that the filter takes away, so it is put there
//! too, where it is about nothing but that table's columns as they are. It also stays where it was: what is answered is
//! the same with it and without.

use std::collections::BTreeSet;

use super::scope::{Leaf, ShownColumn};
use super::{Governor, fence};
use crate::statement::tree::{Expression, Name, Path};
use crate::statement::{Part, PartMut};

impl Governor<'_> {
    /// Notes, for each relation, the conditions of a WHERE that may stand beside its filter.
    pub(super) fn note_conditions(&self, filter: Option<&Expression>, leaves: &mut [Leaf]) {
        let conditions = match filter {
            Some(Expression::And(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => return,
        };
        let scopes = self.scopes.iter().flat_map(|scope| &scope.leaves);
        let names: BTreeSet<String> = scopes.chain(&*leaves).map(|leaf| leaf.name.clone()).collect();
        for condition in conditions {
            let Some(index) = sole_leaf(condition, leaves) else { continue };
            let Some(leaf) = leaves.get_mut(index).filter(|leaf| !leaf.nullable) else { continue };
            let quiet = fence::is_quiet_condition(condition, &self.filtered, self.context.parameter_types, &names);
            if let (true, Some(inside)) = (quiet, inside(condition, leaf)) {
                leaf.beside.push(inside);
            }
        }
    }
}

/// The one governed relation that every column of a condition belongs to.
fn sole_leaf(condition: &Expression, leaves: &[Leaf]) -> Option<usize> {
    let mut found: Vec<Option<usize>> = Vec::new();
    columns(condition, &mut |path| found.push(path.and_then(|path| leaf_of(path, leaves))));
    let (first, rest) = found.split_first()?;
    let index = (*first)?;
    rest.iter().all(|other| *other == Some(index)).then_some(index)
}

/// Calls `note` with every column, and with nothing for what may be more than columns.
fn columns(of: &Expression, note: &mut dyn FnMut(Option<&Path>)) {
    match of {
        Expression::Column(path) => note(Some(path)),
        Expression::EverythingOf(_) => note(None),
        other => other.each_part(&mut |part| match part {
            Part::Expression(of) => columns(of, note),
            Part::Query(_) => note(None),
        }),
    }
}

fn leaf_of(path: &Path, leaves: &[Leaf]) -> Option<usize> {
    let mut meant = leaves.iter().enumerate().filter(|(_, leaf)| column(path, leaf).is_some());
    match (meant.next(), meant.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// The column of a governed relation that a path names.
fn column<'l>(path: &Path, leaf: &'l Leaf) -> Option<&'l ShownColumn> {
    let name = match path.0.as_slice() {
        [column] => column,
        [table, column] if table.text == leaf.name => column,
        _ => return None,
    };
    leaf.shown.as_ref()?.columns.iter().find(|column| column.name == name.text)
}

/// The condition by the names inside the derived table; none where it is about a column that is shown otherwise.
fn inside(condition: &Expression, leaf: &Leaf) -> Option<Expression> {
    let mut condition = condition.clone();
    rename(&mut condition, leaf).ok()?;
    Some(condition)
}

fn rename(of: &mut Expression, leaf: &Leaf) -> Result<(), ()> {
    if let Expression::Column(path) = of {
        let ShownColumn { table, inside, masked, .. } = column(path, leaf).ok_or(())?;
        if *masked {
            return Err(());
        }
        path.0 = vec![Name::invented(table), Name::invented(inside)];
        return Ok(());
    }
    of.each_part_mut(&mut |part| match part {
        PartMut::Expression(of) => rename(of, leaf),
        PartMut::Query(_) => Err(()),
    })
}
