//! What a FROM clause brings into scope, and what joins it. Separate because it is all about relations.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use passgate_policy::{Place, Unlinked};

use super::columns::{Column, Columns, List, value};
use super::flow::{Edge, Node};
use super::links::{Links, Relations};
use super::names::texts;
use super::{FromScope, Leaf, Resolver, Result, Shape};
use crate::plan::{Error, functions};
use crate::statement::tree::{Alias, Arguments, Call, JoinCondition, JoinKind, Path, Relation};

/// Noting the name of a column takes as long as comparing so many.
const STEPS_TO_FIND: usize = 8;

/// What one entry of FROM gives.
#[derive(Debug)]
pub(super) struct Given<'m> {
    star: Star<'m>,
    /// Whether every row of a table or view is there.
    pub(super) whole: bool,
}

/// What `*` means for one entry of FROM.
#[derive(Debug)]
enum Star<'m> {
    /// The columns of these relations, one after the other.
    Leaves(Range<usize>),
    /// These, which a join has merged or an alias named, and whether there may be others.
    List(Rc<List<'m>>, bool),
}

/// One side of a join by columns: which relation has what.
#[derive(Default)]
struct Side {
    /// The first that has a column, by the column's name.
    known: HashMap<String, usize>,
    /// The first that may have others.
    open: Option<usize>,
}

impl Side {
    fn holder(&self, column: &str) -> Option<usize> {
        self.known.get(column).copied().or(self.open)
    }
}

impl<'m> Resolver<'m> {
    /// Adds the relations of one entry of FROM to the scope.
    pub(super) fn relation(&mut self, relation: &mut Relation) -> Result<Given<'m>> {
        let start = self.leaf_count();
        match relation {
            Relation::Table { name, only: _, alias, sample } => {
                if let Some(sample) = sample {
                    self.shaping(|this| this.expression(&mut sample.percent))?;
                }
                self.redirect(name, alias)?;
                let leaf = self.table(name, alias.as_ref())?;
                let whole = leaf.whole && sample.is_none();
                self.add_leaf(leaf)?;
                Ok(Given { star: Star::Leaves(start..start + 1), whole })
            }
            Relation::Query { lateral, query, alias, at } => {
                let outer = self.take_touched();
                self.hide(!*lateral);
                let shape = self.query(query)?;
                self.hide(false);
                let reached = self.take_touched();
                self.touch(outer);
                let whole = shape.whole;
                let leaf = self.derived_leaf(shape, alias.as_ref(), "subquery", at.0);
                self.add_linked_leaf(leaf, reached)?;
                Ok(Given { star: Star::Leaves(start..start + 1), whole })
            }
            Relation::Function { lateral: _, call, ordinality, alias } => {
                self.function(call, *ordinality, alias.as_ref())?;
                Ok(Given { star: Star::Leaves(start..start + 1), whole: false })
            }
            Relation::Functions { lateral: _, calls, ordinality: _, alias } => {
                self.functions(calls, alias.as_ref())?;
                Ok(Given { star: Star::Leaves(start..start + 1), whole: false })
            }
            Relation::Join { left, right, kind, on, alias } => {
                let left = self.relation(left)?;
                let middle = self.leaf_count();
                let right = self.relation(right)?;
                let given = self.join(on, *kind, (start, left), (middle, right))?;
                match alias {
                    Some(alias) => self.rename_join(alias, start, given),
                    None => Ok(given),
                }
            }
        }
    }

    /// A function: its rows depend on its arguments, and its columns may show any of them.
    fn function(&mut self, call: &mut Call, ordinality: bool, alias: Option<&Alias>) -> Result<()> {
        let outer = self.take_touched();
        let from = self.edges.len();
        let returns_a_set = self.call(call)?;
        let node = self.taken(from);
        self.flow.predicate(node);
        let reached = self.take_touched();
        self.touch(outer);
        let name = call.name.0.last().map_or_else(|| "function".to_owned(), |name| name.text.clone());
        let at = call.name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at);
        let own_name = alias.map_or(name.as_str(), |alias| &alias.name.text);
        let columns = Rc::new(function_columns(call, ordinality, own_name, node));
        let shape = Shape { columns, open: true, one_row: !returns_a_set, whole: false };
        let leaf = self.derived_leaf(shape, alias, &name, at);
        // What depends on a row makes its rows of what that row holds; other functions are short but for series.
        let stored = name == "generate_series" && reached.is_empty();
        self.add_linked_leaf(Leaf { stored, ..leaf }, reached)
    }

    /// ROWS FROM: several functions side by side.
    fn functions(&mut self, calls: &mut [Call], alias: Option<&Alias>) -> Result<()> {
        let outer = self.take_touched();
        let from = self.edges.len();
        let mut returns_a_set = false;
        for call in calls.iter_mut() {
            returns_a_set |= self.call(call)?;
        }
        let node = self.taken(from);
        self.flow.predicate(node);
        let reached = self.take_touched();
        self.touch(outer);
        let first = calls.first().and_then(|call| call.name.0.first());
        let at = first.map_or(Place { line: 1, column: 1 }, |name| name.at);
        let shape = Shape { columns: Rc::new(List::unknown(node)), open: true, one_row: !returns_a_set, whole: false };
        let leaf = self.derived_leaf(shape, alias, "rows from", at);
        self.add_linked_leaf(Leaf { stored: false, ..leaf }, reached)
    }

    pub(super) fn leaf_count(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.leaves.len())
    }

    fn add_leaf(&mut self, leaf: Leaf<'m>) -> Result<usize> {
        let frame = self.frames.last_mut().ok_or_else(Error::internal)?;
        if frame.leaves.len() >= Relations::MAX {
            return Err(Error::too_many_relations(Relations::MAX));
        }
        frame.leaves.push(leaf);
        Ok(frame.leaves.len() - 1)
    }

    /// A lateral query or function is linked to the relations it reads columns of.
    fn add_linked_leaf(&mut self, leaf: Leaf<'m>, reached: Relations) -> Result<()> {
        let index = self.add_leaf(leaf)?;
        if !reached.is_empty() {
            let mut relations = reached;
            relations.add(index);
            self.link(Links::all(relations));
        }
        Ok(())
    }

    fn join(
        &mut self,
        on: &mut JoinCondition,
        kind: JoinKind,
        (start, left): (usize, Given<'m>),
        (middle, right): (usize, Given<'m>),
    ) -> Result<Given<'m>> {
        let (mut chooses, outer) = (true, (left.whole, right.whole));
        let star = match on {
            JoinCondition::On(on) => {
                let before = self.see_from(start);
                let around = self.restrict(kind, start, middle);
                let mut links = Links::default();
                chooses = self.shaping(|this| {
                    links = this.predicate(on)?;
                    Ok(())
                })?;
                self.see_from(before);
                if let Some(frame) = self.frames.last_mut() {
                    frame.restricted = around;
                }
                self.link(links);
                self.beside(left.star, right.star)
            }
            JoinCondition::Using(columns) => {
                let columns = texts(columns);
                let (from, to) = (self.side(start..middle)?, self.side(middle..self.leaf_count())?);
                columns.iter().for_each(|column| self.link_by_column(column, &from, &to));
                self.merged(Some(columns), &left.star, &right.star)?
            }
            JoinCondition::Natural => {
                let (from, to) = (self.side(start..middle)?, self.side(middle..self.leaf_count())?);
                let shared = from.known.keys().filter(|column| to.known.contains_key(*column));
                shared.for_each(|column| self.link_by_column(column, &from, &to));
                self.merged(None, &left.star, &right.star)?
            }
            JoinCondition::None => {
                chooses = false;
                self.beside(left.star, right.star)
            }
        };
        let whole = match (chooses, kind) {
            (false, _) | (true, JoinKind::Full) => outer.0 || outer.1,
            (true, JoinKind::Left) => outer.0,
            (true, JoinKind::Right) => outer.1,
            (true, JoinKind::Inner | JoinKind::Cross) => false,
        };
        self.must_be_whole()?;
        Ok(Given { star, whole })
    }

    /// Says which relations the condition of a join restricts; tells which it was before. The rows of an outer side are
    /// there whatever the condition says.
    fn restrict(&mut self, kind: JoinKind, start: usize, middle: usize) -> Option<Range<usize>> {
        let end = self.leaf_count();
        let frame = self.frames.last_mut()?;
        let around = frame.restricted.clone();
        match kind {
            JoinKind::Inner | JoinKind::Cross => {}
            JoinKind::Left => frame.restricted = Some(middle..end),
            JoinKind::Right => frame.restricted = Some(start..middle),
            JoinKind::Full => frame.restricted = Some(end..end),
        }
        around
    }

    /// Has names see the relations from this one on only, and tells from where they did before.
    fn see_from(&mut self, start: usize) -> usize {
        self.frames.last_mut().map_or(0, |frame| std::mem::replace(&mut frame.visible_from, start))
    }

    /// The columns of both sides, one after the other.
    fn beside(&mut self, left: Star<'m>, right: Star<'m>) -> Star<'m> {
        match (left, right) {
            (Star::Leaves(left), Star::Leaves(right)) if left.end == right.start => Star::Leaves(left.start..right.end),
            (left, right) => {
                let ((mut list, open), (more, also)) = (self.list(&left), self.list(&right));
                list.append(&more, &mut self.flow);
                Star::List(Rc::new(list), open || also)
            }
        }
    }

    /// The columns of a join by columns, which come first, and once. None named: all that both sides have.
    fn merged(&mut self, by: Option<Vec<String>>, left: &Star<'m>, right: &Star<'m>) -> Result<Star<'m>> {
        let ((left, open), (right, also)) = (self.list(left), self.list(right));
        if !left.is_certain() || !right.is_certain() {
            let all: Vec<Node> = left.nodes().chain(right.nodes()).collect();
            self.flow.step(by.as_ref().map_or(0, |names| names.len().saturating_mul(all.len())), 0);
            self.must_be_whole()?;
            match by {
                Some(names) => names.iter().for_each(|name| {
                    left.note_named(name, &mut self.flow);
                    right.note_named(name, &mut self.flow);
                }),
                None => all.iter().for_each(|node| self.flow.predicate(*node)),
            }
            let edges: Vec<Edge> = all.into_iter().map(value).collect();
            return Ok(Star::List(Rc::new(List::unknown(self.flow.made_of(&edges))), open || also));
        }
        let mut by = by.unwrap_or_else(|| {
            let names: HashSet<&str> = right.columns.iter().map(|column| &*column.name).collect();
            let both = left.columns.iter().filter(|column| names.contains(&*column.name));
            both.map(|column| column.name.clone().into_owned()).collect()
        });
        let mut seen = HashSet::new();
        by.retain(|name| seen.insert(name.clone()));
        let mut named: HashMap<&str, Vec<Edge>> = by.iter().map(|name| (name.as_str(), Vec::new())).collect();
        for column in left.columns.iter().chain(&right.columns) {
            if let Some(edges) = named.get_mut(&*column.name) {
                edges.push(value(column.node));
            }
        }
        let mut columns = Vec::with_capacity(left.columns.len() + right.columns.len());
        for name in &by {
            let edges = named.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            edges.iter().for_each(|edge| self.flow.predicate(edge.node));
            columns.push(Column::new(name.clone(), self.flow.made_of(edges)));
        }
        let rest = left.columns.iter().chain(&right.columns);
        columns.extend(rest.filter(|column| !named.contains_key(&*column.name)).cloned());
        Ok(Star::List(Rc::new(List::of(columns)), open || also))
    }

    fn list(&mut self, star: &Star<'m>) -> (List<'m>, bool) {
        let (list, open) = match star {
            Star::List(list, open) => ((**list).clone(), *open),
            Star::Leaves(leaves) => {
                let (mut list, mut open) = (List::default(), false);
                let frame = self.frames.last();
                let leaves = frame.and_then(|frame| frame.leaves.get(leaves.clone())).unwrap_or_default();
                for leaf in leaves {
                    list.append(&leaf.columns.list(&self.flow), &mut self.flow);
                    open |= leaf.open;
                }
                (list, open)
            }
        };
        self.flow.step(list.columns.len(), 0);
        (list, open)
    }

    /// Adds what `*` means for one entry of FROM to a SELECT list. Tells whether there may be more columns.
    pub(super) fn add_given(&mut self, list: &mut List<'m>, given: &Given<'m>) -> Result<bool> {
        let (more, open) = self.list(&given.star);
        self.push_columns(list, &more)?;
        Ok(open)
    }

    /// Adds what `t.*` means to a SELECT list. Tells whether there may be more columns.
    pub(super) fn add_everything_of(&mut self, list: &mut List<'m>, path: &mut Path) -> Result<bool> {
        self.touch_table(path);
        let found = self.relation_named(path);
        match found {
            Some((more, open)) => {
                self.push_columns(list, &more)?;
                Ok(open)
            }
            None => {
                let from = self.edges.len();
                self.anything();
                let node = self.taken(from);
                self.push_unknown(list, node);
                Ok(true)
            }
        }
    }

    /// One side of a join by columns.
    fn side(&mut self, leaves: Range<usize>) -> Result<Side> {
        let mut side = Side::default();
        let Some(frame) = self.frames.last() else { return Ok(side) };
        let of_it = || leaves.clone().filter_map(|index| frame.leaves.get(index).map(|leaf| (index, leaf)));
        let columns: usize = of_it().map(|(_, leaf)| leaf.columns.count(&self.flow)).sum();
        self.flow.step(columns.saturating_mul(STEPS_TO_FIND), 0);
        self.must_be_whole()?;
        for (index, leaf) in of_it() {
            if leaf.open {
                side.open.get_or_insert(index);
                continue;
            }
            for name in leaf.columns.names(&self.flow) {
                side.known.entry(name).or_insert(index);
            }
        }
        Ok(side)
    }

    /// Links a relation of one side of a join to one of the other by a column both have, or may have.
    fn link_by_column(&mut self, column: &str, left: &Side, right: &Side) {
        let (left, right) = (left.holder(column), right.holder(column));
        if let (Some(left), Some(right)) = (left, right) {
            let mut relations = Relations::default();
            relations.add(left);
            relations.add(right);
            self.link(Links::all(relations));
            self.equate(left, column, Relations::of(right));
            self.equate(right, column, Relations::of(left));
        }
    }

    /// `(a JOIN b ...) AS j`: outside, only `j` has a name, and it stands for all of them.
    fn rename_join(&mut self, alias: &Alias, start: usize, given: Given<'m>) -> Result<Given<'m>> {
        let (mut list, mut open) = self.list(&given.star);
        list.rename(alias.columns.iter().map(|(name, _)| name), &mut self.flow);
        let renamed = !alias.columns.is_empty();
        open &= !renamed;
        let list = Rc::new(list);
        let unknown = renamed.then(|| Rc::new(List::unknown(list.whole(&mut self.flow))));
        let frame = self.frames.last_mut().ok_or_else(Error::internal)?;
        for leaf in frame.leaves.iter_mut().skip(start) {
            leaf.name.clone_from(&alias.name.text);
            leaf.schema = None;
            if let Some(unknown) = &unknown {
                (leaf.columns, leaf.open) = (Columns::List(Rc::clone(unknown)), true);
                leaf.unique_keys = &[];
            }
        }
        frame.joins.push((alias.name.text.clone(), Rc::clone(&list)));
        Ok(Given { star: Star::List(list, open), whole: given.whole })
    }

    pub(super) fn link(&mut self, links: Links) {
        if let Some(frame) = self.frames.last_mut() {
            frame.links.extend(links);
        }
    }

    /// Relations that belong together neither directly nor through others. One that gives at most one row does not
    /// multiply anything.
    pub(super) fn note_unlinked(&mut self, frame: &FromScope<'m>) {
        let components = frame.links.components(frame.leaves.len());
        let mut groups: Vec<(usize, &Leaf<'m>)> = Vec::new();
        for ((index, leaf), group) in frame.leaves.iter().enumerate().zip(&components) {
            if !gives_one_row(frame, index) && groups.iter().all(|(known, _)| known != group) {
                groups.push((*group, leaf));
            }
        }
        let Some(((_, first), rest)) = groups.split_first() else { return };
        for (_, leaf) in rest {
            let others = std::iter::once(first.name.clone()).collect();
            self.found.unlinked.push(Unlinked { relation: leaf.name.clone(), others, at: leaf.at });
        }
    }

    pub(super) fn derived_leaf(&mut self, shape: Shape<'m>, alias: Option<&Alias>, name: &str, at: Place) -> Leaf<'m> {
        let mut columns = Columns::List(shape.columns);
        let (mut name, mut open) = (name.to_owned(), shape.open);
        if let Some(alias) = alias {
            name.clone_from(&alias.name.text);
            columns = columns.renamed(alias, &mut self.flow);
            open &= alias.columns.is_empty();
        }
        Leaf {
            name,
            schema: None,
            columns,
            table: None,
            open,
            one_row: shape.one_row,
            whole: shape.whole,
            unique_keys: &[],
            stored: true,
            at,
        }
    }
}

/// The columns of a function in FROM. A built-in one that gives a single value names its column after itself or its
/// alias; of others, nothing is known but what the statement names.
fn function_columns<'m>(call: &Call, ordinality: bool, own_name: &str, node: Node) -> List<'m> {
    let arguments = match &call.arguments {
        Arguments::Everything => 0,
        Arguments::List(list) => list.len(),
    };
    let named = match call.name.0.as_slice() {
        // unnest() of several arrays has a column for each.
        [schema, name] if schema.text == "pg_catalog" && (name.text != "unnest" || arguments == 1) => {
            functions::columns(&name.text)
        }
        _ => None,
    };
    let Some(named) = named else { return List::unknown(node) };
    let mut columns: Vec<Column<'m>> = named.iter().map(|name| Column::new(*name, node)).collect();
    if columns.is_empty() {
        columns.push(Column::new(own_name.to_owned(), node));
    }
    if ordinality {
        columns.push(Column::new("ordinality", node));
    }
    List::of(columns)
}

/// Whether a relation of a FROM clause gives at most one row: by itself, or because a key of it is a constant.
pub(super) fn gives_one_row(frame: &FromScope<'_>, index: usize) -> bool {
    frame.leaves.get(index).is_some_and(|leaf| leaf.one_row) || frame.is_constant(index)
}
