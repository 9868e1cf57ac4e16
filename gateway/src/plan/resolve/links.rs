//! Which relations of a FROM clause a predicate links: the facts behind `no_cross_join`.

use std::collections::{BTreeSet, HashMap};

/// A set of relations of one FROM clause, by their position in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Relations(u128);

impl Relations {
    /// As many relations as one FROM clause may have.
    pub(super) const MAX: usize = 128;

    pub(super) fn of(relation: usize) -> Self {
        let mut relations = Self::default();
        relations.add(relation);
        relations
    }

    pub(super) fn add(&mut self, relation: usize) {
        self.0 |= 1_u128.checked_shl(u32::try_from(relation).unwrap_or(u32::MAX)).unwrap_or(0);
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn includes(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX).filter(move |relation| self.0 & (1 << relation) != 0)
    }
}

/// What columns of keys equal, by relation and name: the relations that the other sides read, none for a constant.
#[derive(Debug, Default)]
pub(super) struct Equations<'m>(HashMap<(usize, &'m str), Vec<Relations>>);

impl<'m> Equations<'m> {
    /// Notes that a column equals something. What reads no less than another says nothing more.
    pub(super) fn add(&mut self, relation: usize, column: &'m str, reads: Relations) {
        let known = self.0.entry((relation, column)).or_default();
        if !known.iter().any(|known| reads.includes(*known)) {
            known.retain(|known| !known.includes(reads));
            known.push(reads);
        }
    }

    /// What a column equals.
    pub(super) fn of(&self, relation: usize, column: &'m str) -> Option<&[Relations]> {
        self.0.get(&(relation, column)).map(Vec::as_slice)
    }
}

/// Pairs of linked relations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links(BTreeSet<(usize, usize)>);

impl Links {
    /// Links all of these to each other.
    pub(super) fn all(relations: Relations) -> Self {
        let mut links = Self::default();
        let list: Vec<usize> = relations.iter().collect();
        for (index, left) in list.iter().enumerate() {
            links.0.extend(list.iter().skip(index + 1).map(|right| (*left, *right)));
        }
        links
    }

    /// Links each of one side to each of the other. A comparison of things that overlap compares nothing for sure.
    pub(super) fn between(left: Relations, right: Relations) -> Self {
        if left.0 & right.0 != 0 {
            return Self::default();
        }
        Self(left.iter().flat_map(|a| right.iter().map(move |b| (a.min(b), a.max(b)))).collect())
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What both link, directly or through others: OR links only what each of its branches links.
    pub(super) fn common(&self, other: &Self, relations: usize) -> Self {
        let (left, right) = (self.components(relations), other.components(relations));
        let same = |of: &[usize], a: usize, b: usize| of.get(a) == of.get(b);
        let mut links = Self::default();
        for a in 0..relations {
            links.0.extend((a + 1..relations).filter(|b| same(&left, a, *b) && same(&right, a, *b)).map(|b| (a, b)));
        }
        links
    }

    /// For each relation, the first relation it is linked to, directly or through others.
    pub(super) fn components(&self, relations: usize) -> Vec<usize> {
        let mut first: Vec<usize> = (0..relations).collect();
        for (a, b) in &self.0 {
            let (Some(low), Some(high)) = (first.get(*a).copied(), first.get(*b).copied()) else { continue };
            let (low, high) = (low.min(high), low.max(high));
            first.iter_mut().filter(|of| **of == high).for_each(|of| *of = low);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(pairs: &[(usize, usize)]) -> Links {
        Links(pairs.iter().copied().collect())
    }

    #[test]
    fn links_carry_over() {
        assert_eq!(links(&[(0, 1), (2, 3), (1, 2)]).components(5), [0, 0, 0, 0, 4]);
    }

    #[test]
    fn or_links_what_each_branch_links() {
        let common = links(&[(0, 1), (1, 2)]).common(&links(&[(0, 2)]), 3);
        assert_eq!(common, links(&[(0, 2)]));
    }
}
