//! Which tables a relation is built on, through every layer. Separate from the snapshot because it is an algorithm on a
//! graph, and the one that governs views and partitions.
//!
//! ```text
//!          parent ◄── a governed parent governs its child's rows          view
//!          ▲    ▲                                                          │ reads
//!      child    child ◄── reading the parent answers with these          table ── ▲ parents, ▼ children
//! ```
//! Going up stays up: one child is not built on its siblings.

use std::collections::{BTreeSet, HashMap};

use passgate_connectors::{Relation, RelationKind};
use passgate_policy::{SourceName, TableName};

type Name<'a> = (&'a str, &'a str);

/// What a relation has to do with others, itself left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// Tables whose rows its own rows belong to.
    pub(super) parents: Vec<TableName>,
    /// Tables whose rows are answered with its own.
    pub(super) children: Vec<TableName>,
    /// What a view reads, with the parents and children of that.
    pub(super) reads: Vec<TableName>,
}

impl Lineage {
    /// Everything it is built on, each once, in order.
    pub(super) fn closure(&self) -> BTreeSet<&TableName> {
        self.parents.iter().chain(&self.children).chain(&self.reads).collect()
    }
}

/// The lineage of each relation, in order.
pub(super) fn closures(source: &SourceName, relations: &[Relation]) -> Vec<Lineage> {
    let graph = Graph::new(relations);
    relations.iter().map(|relation| graph.lineage(source, relation)).collect()
}

#[derive(Default)]
struct Graph<'a> {
    /// Whose rows come when a relation is read: a view's own tables, a table's children.
    reads: HashMap<Name<'a>, Vec<Name<'a>>>,
    /// The tables in which a table's rows appear too.
    parents: HashMap<Name<'a>, Vec<Name<'a>>>,
}

impl<'a> Graph<'a> {
    fn new(relations: &'a [Relation]) -> Self {
        let mut graph = Self::default();
        for relation in relations {
            let own = (relation.schema.as_str(), relation.name.as_str());
            for (schema, name) in &relation.built_on {
                let other = (schema.as_str(), name.as_str());
                match relation.kind {
                    // A table reads nothing: what it is built on are its parents.
                    RelationKind::Table => {
                        graph.parents.entry(own).or_default().push(other);
                        graph.reads.entry(other).or_default().push(own);
                    }
                    RelationKind::View | RelationKind::MaterializedView => {
                        graph.reads.entry(own).or_default().push(other);
                    }
                }
            }
        }
        graph
    }

    fn lineage(&self, source: &SourceName, relation: &'a Relation) -> Lineage {
        let own = (relation.schema.as_str(), relation.name.as_str());
        let rows_of = reachable(BTreeSet::from([own]), &self.reads);
        let all = reachable(rows_of.clone(), &self.parents);
        let named = |names: &BTreeSet<Name<'a>>| -> Vec<TableName> {
            let others = names.iter().filter(|name| **name != own);
            others
                .map(|(schema, table)| TableName {
                    source: source.clone(),
                    schema: (*schema).to_owned(),
                    table: (*table).to_owned(),
                })
                .collect()
        };
        match relation.kind {
            RelationKind::Table => Lineage {
                parents: named(&reachable(BTreeSet::from([own]), &self.parents)),
                children: named(&rows_of),
                reads: Vec::new(),
            },
            RelationKind::View | RelationKind::MaterializedView => Lineage { reads: named(&all), ..Lineage::default() },
        }
    }
}

/// Everything that the edges lead to, with where they started. Ends on any graph, circles included.
fn reachable<'a>(start: BTreeSet<Name<'a>>, edges: &HashMap<Name<'a>, Vec<Name<'a>>>) -> BTreeSet<Name<'a>> {
    let mut waiting: Vec<Name<'a>> = start.iter().copied().collect();
    let mut found = start;
    while let Some(name) = waiting.pop() {
        for next in edges.get(&name).into_iter().flatten() {
            if found.insert(*next) {
                waiting.push(*next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(kind: RelationKind, name: &str, on: &[&str]) -> Relation {
        Relation {
            schema: "s".to_owned(),
            name: name.to_owned(),
            kind,
            built_on: on.iter().map(|name| ("s".to_owned(), (*name).to_owned())).collect(),
            ..Relation::default()
        }
    }

    fn built_on(relations: &[Relation], name: &str) -> Vec<String> {
        let place = relations.iter().position(|relation| relation.name == name).unwrap();
        let closures = closures(&SourceName::new("w"), relations);
        closures[place].closure().into_iter().map(|table| table.table.clone()).collect()
    }

    #[test]
    fn views_on_views_are_built_on_their_tables() {
        use RelationKind::{MaterializedView, Table, View};
        let relations = [
            relation(Table, "patients", &[]),
            relation(View, "anonymous", &["patients"]),
            relation(MaterializedView, "counts", &["anonymous"]),
            relation(View, "ages", &["counts", "elsewhere"]),
        ];
        assert_eq!(built_on(&relations, "ages"), ["anonymous", "counts", "elsewhere", "patients"]);
        assert_eq!(built_on(&relations, "patients"), Vec::<String>::new());
    }

    #[test]
    fn children_answer_with_their_parent_and_parents_govern_their_children() {
        use RelationKind::{Table, View};
        let relations = [
            relation(Table, "visits", &[]),
            relation(Table, "visits_2026", &["visits"]),
            relation(Table, "visits_2026_01", &["visits_2026"]),
            relation(Table, "visits_2025", &["visits"]),
            relation(View, "january", &["visits_2026_01"]),
        ];
        assert_eq!(built_on(&relations, "visits"), ["visits_2025", "visits_2026", "visits_2026_01"]);
        assert_eq!(built_on(&relations, "visits_2026_01"), ["visits", "visits_2026"], "and no sibling");
        assert_eq!(built_on(&relations, "january"), ["visits", "visits_2026", "visits_2026_01"]);
    }

    #[test]
    fn a_circle_ends() {
        use RelationKind::View;
        let relations = [relation(View, "a", &["b"]), relation(View, "b", &["a"])];
        assert_eq!(built_on(&relations, "a"), ["b"]);
    }
}
