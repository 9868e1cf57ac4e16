//! Relations that are joined, but on none of their keys: the facts behind the joins of `bounded_work`.
//!
//! A relation is determined by others where the columns of one of its keys all equal something of theirs. From one
//! relation on, everything that it determines, directly or through others, adds no rows to its own. Where no relation
//! determines all others, rows may multiply; how many come of it, only an estimate tells.

use passgate_policy::Multiplied;

use super::links::Relations;
use super::scope::gives_one_row;
use super::{FromScope, Resolver};

/// One way in which a relation is determined: what each column of a key of it equals.
struct Way<'f> {
    relation: usize,
    columns: Vec<&'f [Relations]>,
}

impl Way<'_> {
    /// Whether it is determined in this way by these.
    fn leads_from(&self, known: Relations) -> bool {
        self.columns.iter().all(|equal| equal.iter().any(|reads| known.includes(*reads)))
    }
}

impl FromScope<'_> {
    /// Whether constants alone determine a relation.
    pub(super) fn is_constant(&self, relation: usize) -> bool {
        self.ways(relation).any(|way| way.leads_from(Relations::default()))
    }

    fn ways(&self, relation: usize) -> impl Iterator<Item = Way<'_>> {
        let keys = self.leaves.get(relation).map_or(&[][..], |leaf| leaf.unique_keys);
        keys.iter().filter(|key| !key.is_empty()).filter_map(move |key| {
            let columns = key.iter().map(|column| self.equations.of(relation, column)).collect::<Option<_>>()?;
            Some(Way { relation, columns })
        })
    }
}

/// Everything that some relations determine in one of these ways, with themselves.
fn determined(ways: &[Way<'_>], mut known: Relations) -> Relations {
    loop {
        let before = known;
        for way in ways {
            if !known.includes(Relations::of(way.relation)) && way.leads_from(known) {
                known.add(way.relation);
            }
        }
        if known == before {
            return known;
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
        let ways: Vec<Way<'_>> = (0..frame.leaves.len()).flat_map(|relation| frame.ways(relation)).collect();
        let mut fewest: Option<Vec<usize>> = None;
        for root in &many {
            let known = determined(&ways, others.union(Relations::of(*root)));
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
