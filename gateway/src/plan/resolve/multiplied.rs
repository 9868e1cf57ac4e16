//! Relations that are joined, but on none of their keys: the facts behind the joins of `bounded_work`.
//!
//! A relation is determined by others where the columns of one of its keys all equal something of theirs. From one
//! relation on, everything that it determines, directly or through others, adds no rows to its own. Where no relation
//! determines all others, rows may multiply; how many come of it, only an estimate tells.

use passgate_policy::Multiplied;

use super::links::Relations;
use super::scope::gives_one_row;
use super::{FromScope, Resolver};

impl FromScope<'_> {
    /// Whether there is at most one row of a relation for each row of others.
    pub(super) fn is_determined(&self, relation: usize, by: Relations) -> bool {
        let keys = self.leaves.get(relation).map_or(&[][..], |leaf| leaf.unique_keys);
        let equals = |column: &String| {
            let of_it = |of: &&super::Equation| of.relation == relation && of.column == *column;
            self.equations.iter().filter(of_it).any(|equation| by.includes(equation.reads))
        };
        keys.iter().any(|key| !key.is_empty() && key.iter().all(equals))
    }

    /// Everything that some relations determine, with themselves.
    fn determined_by(&self, mut known: Relations) -> Relations {
        loop {
            let before = known;
            for relation in 0..self.leaves.len() {
                if !known.includes(Relations::of(relation)) && self.is_determined(relation, known) {
                    known.add(relation);
                }
            }
            if known == before {
                return known;
            }
        }
    }
}

impl Resolver<'_> {
    /// Relations that multiply each other, unless few rows come of it.
    pub(super) fn note_multiplied(&mut self, frame: &FromScope<'_>) {
        let leaves = frame.leaves.iter().enumerate();
        let multiplies = |(index, leaf): &(usize, &super::Leaf<'_>)| leaf.stored && !gives_one_row(frame, *index);
        let many: Vec<usize> = leaves.filter(multiplies).map(|(index, _)| index).collect();
        if many.len() < 2 {
            return;
        }
        let mut others = Relations::default();
        (0..frame.leaves.len()).filter(|index| !many.contains(index)).for_each(|index| others.add(index));
        let mut fewest: Option<Vec<usize>> = None;
        for root in &many {
            let known = frame.determined_by(others.union(Relations::of(*root)));
            let free = many.iter().copied().filter(|index| !known.includes(Relations::of(*index)));
            let free: Vec<usize> = free.collect();
            if free.is_empty() {
                return;
            }
            if fewest.as_ref().is_none_or(|fewest| free.len() + 1 < fewest.len()) {
                fewest = Some(std::iter::once(*root).chain(free).collect());
            }
        }
        let leaves: Vec<_> = fewest.iter().flatten().filter_map(|index| frame.leaves.get(*index)).collect();
        let Some(at) = leaves.last().map(|leaf| leaf.at) else { return };
        let relations = leaves.into_iter().map(|leaf| leaf.name.clone()).collect();
        self.found.multiplied.push(Multiplied { relations, at });
    }
}
