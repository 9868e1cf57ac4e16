//! Which columns of tables can reach what: a graph that the walk draws and that is read once, at its end.
//!
//! ```text
//! column of a table ◄── column of a subquery ◄── column of the answer        an edge: is made of
//!        ▲                                        ▲ CASE WHEN
//!        └──────────── WHERE, ON, GROUP BY ...    └ a condition: shapes the value, and is not part of it
//! ```
//!
//! Drawing is linear in the text (a mention is an edge) and never looks ahead, so a recursive query is a circle in the
//! graph and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use passgate_policy::{ColumnUse, Place, TableFacts};

use crate::plan::model::{Entry, ViewBody};

/// More nodes and edges than any statement that people write has; a statement with more is refused.
const PARTS_MAX: usize = 2_000_000;
/// More columns than the names of any statement that people write are compared with; one that takes more is refused.
const STEPS_MAX: usize = 20_000_000;

/// Something that values come from: a column, or several together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(u32);

/// What something is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// Of what.
    pub(super) node: Node,
    /// Whether that only decides between values, and is not one.
    pub(super) is_condition: bool,
}

/// A reference to a table, by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference(usize);

/// More columns than the SELECT lists of any statement that people write have together, `*` and `t.*` among them.
const LISTED_MAX: usize = 2_000_000;

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Flow<'m> {
    nodes: Vec<Made>,
    edges: Vec<Edge>,
    tables: Vec<Read<'m>>,
    predicates: Vec<Node>,
    steps: usize,
    listed: usize,
    is_full: bool,
}

/// What a node is made of, as a part of all edges, and where the statement first names it.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    from: u32,
    to: u32,
    at: Option<Place>,
}

/// One reference to a table. Its columns are nodes in a row.
#[derive(Debug)]
struct Read<'m> {
    facts: Arc<TableFacts>,
    entry: Option<&'m Entry>,
    first: Node,
    at: Place,
    whole: Option<Node>,
    /// Columns that the catalog does not know: the server's own, and those newer than the catalog.
    others: BTreeMap<String, Node>,
}

/// How a column is used, as bits.
type Use = u8;
const ANSWER: Use = 1;
const PREDICATE: Use = 2;

impl<'m> Flow<'m> {
    /// A reference to a table.
    pub(super) fn table(&mut self, facts: Arc<TableFacts>, entry: Option<&'m Entry>, at: Place) -> Reference {
        let first = self.next();
        self.is_full |= self.nodes.len() + facts.columns.len() > PARTS_MAX;
        if !self.is_full {
            self.nodes.resize(self.nodes.len() + facts.columns.len(), Made::default());
        }
        self.tables.push(Read { facts, entry, first, at, whole: None, others: BTreeMap::new() });
        Reference(self.tables.len() - 1)
    }

    /// The columns of a table, as its model has them.
    pub(super) fn columns(&self, table: Reference) -> impl Iterator<Item = (&'m str, Node)> + use<'m> {
        let read = self.tables.get(table.0);
        let first = read.map_or(0, |read| read.first.0);
        let columns = read.and_then(|read| read.entry).map_or(&[][..], |entry| entry.facts.columns.as_slice());
        columns.iter().zip(first..).map(|(column, node)| (column.name.as_str(), Node(node)))
    }

    /// A column that the catalog does not know.
    pub(super) fn other_column(&mut self, table: Reference, name: &str) -> Node {
        let known = self.tables.get(table.0).and_then(|read| read.others.get(name));
        if let Some(node) = known {
            return *node;
        }
        let node = self.made_of(&[]);
        if let Some(read) = self.tables.get_mut(table.0)
            && !self.is_full
        {
            read.others.insert(name.to_owned(), node);
        }
        node
    }

    /// All of a table's columns.
    pub(super) fn whole(&mut self, table: Reference) -> Node {
        let Some(read) = self.tables.get(table.0) else { return self.made_of(&[]) };
        if let Some(whole) = read.whole {
            return whole;
        }
        let columns: Vec<Edge> = self.columns(table).map(|(_, node)| Edge { node, is_condition: false }).collect();
        let whole = self.made_of(&columns);
        if let Some(read) = self.tables.get_mut(table.0) {
            read.whole = Some(whole);
        }
        whole
    }

    /// Something made of others. What is made of one thing only is that thing.
    pub(super) fn made_of(&mut self, edges: &[Edge]) -> Node {
        if let [Edge { node, is_condition: false }] = edges {
            return *node;
        }
        let node = self.reserve();
        self.define(node, edges);
        node
    }

    /// Something of which is not known yet what it is made of.
    pub(super) fn reserve(&mut self) -> Node {
        let node = self.next();
        self.is_full |= self.nodes.len() >= PARTS_MAX;
        if !self.is_full {
            self.nodes.push(Made::default());
        }
        node
    }

    /// Says what a reserved node is made of.
    pub(super) fn define(&mut self, node: Node, edges: &[Edge]) {
        self.is_full |= self.nodes.len() + self.edges.len() + edges.len() > PARTS_MAX;
        if self.is_full {
            return;
        }
        let from = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        self.edges.extend_from_slice(edges);
        if let Some(made) = self.nodes.get_mut(node.0 as usize) {
            made.from = from;
            made.to = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        }
    }

    /// Notes that rows are chosen, joined, grouped or ordered by it.
    pub(super) fn predicate(&mut self, node: Node) {
        self.is_full |= self.predicates.len() >= PARTS_MAX;
        if !self.is_full {
            self.predicates.push(node);
        }
    }

    /// Notes that a name is about to be compared with so many columns, beside so many edges that are not drawn yet.
    pub(super) fn step(&mut self, columns: usize, edges: usize) {
        self.steps = self.steps.saturating_add(columns);
        self.is_full |= self.steps > STEPS_MAX || edges > PARTS_MAX;
    }

    /// Notes that so many columns were added to a SELECT list.
    pub(super) fn list(&mut self, columns: usize) {
        self.listed += columns;
        self.is_full |= self.listed > LISTED_MAX;
    }

    /// How many predicates were noted.
    pub(super) fn predicates(&self) -> usize {
        self.predicates.len()
    }

    /// Notes where the statement names a column.
    pub(super) fn named(&mut self, node: Node, at: Place) {
        if let Some(made) = self.nodes.get_mut(node.0 as usize) {
            made.at.get_or_insert(at);
        }
    }

    /// Whether the statement was too large to be drawn whole.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Every column that can reach an answer made of `answer`, or a predicate.
    pub(super) fn uses(&self, answer: &[Node]) -> Vec<ColumnUse> {
        self.collect(answer, &self.predicates, true)
    }

    /// Every column that a value is made of.
    pub(super) fn uses_of_value(&self, value: Node) -> Vec<ColumnUse> {
        self.collect(&[value], &[], false)
    }

    fn collect(&self, answer: &[Node], predicates: &[Node], rows: bool) -> Vec<ColumnUse> {
        let marks = self.marks(answer, predicates);
        let marked = |node: Node| marks.get(node.0 as usize).copied().unwrap_or(0);
        let mut collected = Collected::default();
        for read in &self.tables {
            let table = collected.table(&read.facts);
            let count = u32::try_from(read.facts.columns.len()).unwrap_or(0);
            for (index, node) in (read.first.0..read.first.0 + count).map(Node).enumerate() {
                collected.mark(table, index, marked(node), self.place(node, read.at));
            }
            for (name, node) in &read.others {
                collected.mark_other(table, name, marked(*node), self.place(*node, read.at));
            }
            let used = |index: usize| u32::try_from(index).map_or(0, |index| marked(Node(read.first.0 + index)));
            match read.entry.and_then(|entry| entry.view.as_ref()) {
                None => {}
                Some(Ok(body)) => collected.below(body, used, rows, read.at),
                Some(Err(unreadable)) => {
                    let any = rows || (0..read.facts.columns.len()).any(|index| used(index) != 0);
                    collected.everything(if any { &unreadable.built_on } else { &[] }, read.at);
                }
            }
        }
        collected.uses()
    }

    fn place(&self, node: Node, table: Place) -> Place {
        self.nodes.get(node.0 as usize).and_then(|made| made.at).unwrap_or(table)
    }

    /// How each node is used. What an answer is made of is in the answer; what decides about it, and whatever a
    /// predicate is made of, is in a predicate.
    fn marks(&self, answer: &[Node], predicates: &[Node]) -> Vec<Use> {
        let mut marks = vec![0; self.nodes.len()];
        let answer = answer.iter().map(|node| (*node, ANSWER));
        let mut waiting: Vec<(Node, Use)> = answer.chain(predicates.iter().map(|node| (*node, PREDICATE))).collect();
        while let Some((node, how)) = waiting.pop() {
            let (Some(mark), Some(made)) = (marks.get_mut(node.0 as usize), self.nodes.get(node.0 as usize)) else {
                continue;
            };
            if *mark & how != 0 {
                continue;
            }
            *mark |= how;
            for edge in self.edges.get(made.from as usize..made.to as usize).unwrap_or_default() {
                waiting.push((edge.node, if edge.is_condition { PREDICATE } else { how }));
            }
        }
        marks
    }

    fn next(&self) -> Node {
        Node(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }
}

/// Columns of tables with their uses, each once.
#[derive(Default)]
struct Collected {
    tables: Vec<Used>,
    by_table: HashMap<*const TableFacts, usize>,
}

struct Used {
    facts: Arc<TableFacts>,
    columns: Vec<(Use, Option<Place>)>,
    others: BTreeMap<String, (Use, Place)>,
}

impl Collected {
    fn table(&mut self, facts: &Arc<TableFacts>) -> usize {
        let next = self.tables.len();
        let table = *self.by_table.entry(Arc::as_ptr(facts)).or_insert(next);
        if table == next {
            let columns = vec![(0, None); facts.columns.len()];
            self.tables.push(Used { facts: Arc::clone(facts), columns, others: BTreeMap::new() });
        }
        table
    }

    fn mark(&mut self, table: usize, column: usize, how: Use, at: Place) {
        if how != 0
            && let Some((uses, place)) = self.tables.get_mut(table).and_then(|table| table.columns.get_mut(column))
        {
            *uses |= how;
            *place = Some(place.map_or(at, |place| place.min(at)));
        }
    }

    fn mark_other(&mut self, table: usize, name: &str, how: Use, at: Place) {
        let Some(used) = self.tables.get_mut(table).filter(|_| how != 0) else { return };
        match used.others.get_mut(name) {
            Some((uses, _)) => *uses |= how,
            None => drop(used.others.insert(name.to_owned(), (how, at))),
        }
    }

    /// What the columns of a view are made of, and, where its rows matter, what decides about them.
    fn below(&mut self, body: &ViewBody, used: impl Fn(usize) -> Use, rows: bool, at: Place) {
        for (index, made_of) in body.columns.iter().enumerate() {
            let how = used(index);
            if how != 0 {
                made_of.iter().for_each(|below| self.add(below, how, at));
            }
        }
        if rows {
            body.predicates.iter().for_each(|below| self.add(below, PREDICATE, at));
        }
    }

    /// A column below a view, of which `how` is used.
    fn add(&mut self, below: &ColumnUse, how: Use, at: Place) {
        let table = self.table(&below.table);
        let answer = if below.in_answer { how } else { 0 };
        let how = answer | if below.in_predicate { PREDICATE } else { 0 };
        match below.table.columns.iter().position(|column| column.name == below.column) {
            Some(column) => self.mark(table, column, how, at),
            None => self.mark_other(table, &below.column, how, at),
        }
    }

    fn everything(&mut self, tables: &[Arc<TableFacts>], at: Place) {
        for facts in tables {
            let table = self.table(facts);
            (0..facts.columns.len()).for_each(|column| self.mark(table, column, ANSWER | PREDICATE, at));
        }
    }

    fn uses(self) -> Vec<ColumnUse> {
        let mut uses = Vec::new();
        for Used { facts, columns, others } in self.tables {
            let known = facts.columns.iter().zip(columns);
            let known = known.filter_map(|(column, (how, at))| at.map(|at| (column.name.clone(), how, at)));
            let others = others.into_iter().map(|(name, (how, at))| (name, how, at));
            uses.extend(known.chain(others).map(|(column, how, at)| ColumnUse {
                table: Arc::clone(&facts),
                column,
                in_answer: how & ANSWER != 0,
                in_predicate: how & PREDICATE != 0,
                at,
            }));
        }
        uses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_takes_no_more_memory() {
        let mut flow = Flow::default();
        for _ in 0..PARTS_MAX + 10 {
            let node = flow.made_of(&[]);
            flow.predicate(node);
        }
        assert!(flow.is_full());
        assert_eq!(flow.nodes.len(), PARTS_MAX);
        assert!(flow.predicates() <= PARTS_MAX);
    }
}
