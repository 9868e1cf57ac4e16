//! What a FROM clause brings into scope, and what joins it. Separate because it is all about relations.

use std::collections::HashSet;

use passgate_policy::{Place, Unlinked};

use super::links::{Links, Relations};
use super::names::texts;
use super::{FromScope, Leaf, Resolver, Result, Shape};
use crate::plan::Error;
use crate::statement::tree::{Alias, JoinCondition, JoinKind, Relation};

impl Resolver<'_> {
    /// Adds the relations of one entry of FROM to the scope.
    pub(super) fn relation(&mut self, relation: &mut Relation) -> Result<()> {
        match relation {
            Relation::Table { name, only: _, alias, sample } => {
                if let Some(sample) = sample {
                    self.expression(&mut sample.percent)?;
                }
                let leaf = self.table(name, alias.as_ref())?;
                self.add_leaf(leaf).map(|_| ())
            }
            Relation::Query { lateral, query, alias, at } => {
                let outer = self.take_touched();
                self.hide(!*lateral);
                let shape = self.query(query)?;
                self.hide(false);
                let reached = self.take_touched();
                self.touch(outer);
                let leaf = derived_leaf(shape, alias.as_ref(), "subquery", at.0);
                self.add_linked_leaf(leaf, reached)
            }
            Relation::Function { lateral: _, call, ordinality, alias } => {
                let outer = self.take_touched();
                let returns_a_set = self.call(call)?;
                let reached = self.take_touched();
                self.touch(outer);
                let name = call.name.0.last().map_or_else(|| "function".to_owned(), |name| name.text.clone());
                let at = call.name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at);
                let shape = Shape { columns: function_columns(alias.as_ref(), *ordinality), one_row: !returns_a_set };
                self.add_linked_leaf(derived_leaf(shape, alias.as_ref(), &name, at), reached)
            }
            Relation::Functions { lateral: _, calls, ordinality, alias } => {
                let outer = self.take_touched();
                let mut returns_a_set = false;
                for call in calls.iter_mut() {
                    returns_a_set |= self.call(call)?;
                }
                let reached = self.take_touched();
                self.touch(outer);
                let first = calls.first().and_then(|call| call.name.0.first());
                let at = first.map_or(Place { line: 1, column: 1 }, |name| name.at);
                let shape = Shape { columns: function_columns(alias.as_ref(), *ordinality), one_row: !returns_a_set };
                self.add_linked_leaf(derived_leaf(shape, alias.as_ref(), "rows from", at), reached)
            }
            Relation::Join { left, right, kind, on, alias } => {
                let start = self.leaf_count();
                self.relation(left)?;
                let middle = self.leaf_count();
                self.relation(right)?;
                self.join_condition(on, *kind, start, middle)?;
                if let Some(alias) = alias {
                    self.rename_join(alias, start)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn leaf_count(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.leaves.len())
    }

    pub(super) fn add_leaf(&mut self, leaf: Leaf) -> Result<usize> {
        let frame = self.frames.last_mut().ok_or_else(Error::internal)?;
        if frame.leaves.len() >= Relations::MAX {
            return Err(Error::too_many_relations(Relations::MAX));
        }
        frame.leaves.push(leaf);
        Ok(frame.leaves.len() - 1)
    }

    /// A lateral query or function is linked to the relations it reads columns of.
    pub(super) fn add_linked_leaf(&mut self, leaf: Leaf, reached: Relations) -> Result<()> {
        let index = self.add_leaf(leaf)?;
        if !reached.is_empty() {
            let mut relations = reached;
            relations.add(index);
            self.link(Links::all(relations));
        }
        Ok(())
    }

    pub(super) fn join_condition(
        &mut self,
        on: &mut JoinCondition,
        kind: JoinKind,
        start: usize,
        middle: usize,
    ) -> Result<()> {
        match on {
            JoinCondition::On(on) => {
                let links = self.predicate(on)?;
                self.link(links);
            }
            JoinCondition::Using(columns) => {
                for column in texts(columns) {
                    self.link_by_column(&column, start, middle);
                }
            }
            JoinCondition::Natural => {
                for column in self.shared_columns(start, middle) {
                    self.link_by_column(&column, start, middle);
                }
            }
            JoinCondition::None => debug_assert_eq!(kind, JoinKind::Cross),
        }
        Ok(())
    }

    /// Columns that a natural join compares, as far as they are known.
    pub(super) fn shared_columns(&self, start: usize, middle: usize) -> Vec<String> {
        let Some(frame) = self.frames.last() else { return Vec::new() };
        let names = |leaves: &[Leaf]| -> HashSet<String> {
            leaves.iter().filter_map(|leaf| leaf.shape.columns.clone()).flatten().collect()
        };
        let left = names(frame.leaves.get(start..middle).unwrap_or_default());
        let right = names(frame.leaves.get(middle..).unwrap_or_default());
        left.intersection(&right).cloned().collect()
    }

    /// Links a relation left of `middle` to one right of it by a column both have, or may have.
    pub(super) fn link_by_column(&mut self, column: &str, start: usize, middle: usize) {
        let Some(frame) = self.frames.last() else { return };
        let holder = |from: usize, to: usize| {
            let side = || (from..to).filter_map(|index| frame.leaves.get(index).map(|leaf| (index, leaf)));
            let knows = |leaf: &Leaf| leaf.shape.columns.as_ref().is_some_and(|all| all.iter().any(|of| of == column));
            side()
                .find(|(_, leaf)| knows(leaf))
                .or_else(|| side().find(|(_, leaf)| leaf.shape.columns.is_none()))
                .map(|(index, _)| index)
        };
        let (left, right) = (holder(start, middle), holder(middle, frame.leaves.len()));
        if let (Some(left), Some(right)) = (left, right) {
            let mut relations = Relations::default();
            relations.add(left);
            relations.add(right);
            self.link(Links::all(relations));
        }
    }

    /// `(a JOIN b ...) AS j`: outside, only `j` has a name, and it stands for all of them.
    pub(super) fn rename_join(&mut self, alias: &Alias, start: usize) -> Result<()> {
        let frame = self.frames.last_mut().ok_or_else(Error::internal)?;
        for leaf in frame.leaves.iter_mut().skip(start) {
            leaf.name.clone_from(&alias.name.text);
            leaf.schema = None;
            if !alias.columns.is_empty() {
                leaf.shape.columns = None;
            }
        }
        Ok(())
    }

    pub(super) fn link(&mut self, links: Links) {
        if let Some(frame) = self.frames.last_mut() {
            frame.links.extend(links);
        }
    }

    /// Relations that belong together neither directly nor through others. One that gives at most one row does not
    /// multiply anything.
    pub(super) fn note_unlinked(&mut self, frame: &FromScope) {
        let components = frame.links.components(frame.leaves.len());
        let mut groups: Vec<(usize, &Leaf)> = Vec::new();
        for (leaf, group) in frame.leaves.iter().zip(&components) {
            if !gives_one_row(leaf) && groups.iter().all(|(known, _)| known != group) {
                groups.push((*group, leaf));
            }
        }
        let Some(((_, first), rest)) = groups.split_first() else { return };
        for (_, leaf) in rest {
            let others = std::iter::once(first.name.clone()).collect();
            self.found.unlinked.push(Unlinked { relation: leaf.name.clone(), others, at: leaf.at });
        }
    }
}

pub(super) fn rename(shape: &mut Shape, names: &[String]) {
    match &mut shape.columns {
        Some(columns) => columns.iter_mut().zip(names).for_each(|(column, name)| column.clone_from(name)),
        None if names.is_empty() => {}
        None => shape.columns = Some(names.to_vec()),
    }
}

pub(super) fn derived_leaf(mut shape: Shape, alias: Option<&Alias>, name: &str, at: Place) -> Leaf {
    let mut name = name.to_owned();
    if let Some(alias) = alias {
        name.clone_from(&alias.name.text);
        let columns: Vec<String> = alias.columns.iter().map(|(column, _)| column.text.clone()).collect();
        rename(&mut shape, &columns);
    }
    Leaf { name, schema: None, shape, unique_keys: Vec::new(), pinned: HashSet::new(), at }
}

/// A function's columns are known only where the statement names them.
pub(super) fn function_columns(alias: Option<&Alias>, ordinality: bool) -> Option<Vec<String>> {
    let columns: Vec<String> = alias?.columns.iter().map(|(column, _)| column.text.clone()).collect();
    (!columns.is_empty() && !ordinality).then_some(columns)
}

pub(super) fn gives_one_row(leaf: &Leaf) -> bool {
    let pinned = |key: &Vec<String>| !key.is_empty() && key.iter().all(|column| leaf.pinned.contains(column));
    leaf.shape.one_row || leaf.unique_keys.iter().any(pinned)
}
