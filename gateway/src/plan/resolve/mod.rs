//! Names to tables and functions, columns to what they are made of, and facts about how relations are joined.
//!
//! One walk over the tree. It looks every name up in the gateway's model (never by a server's search_path), writes the
//! full name back into the tree, and collects what a policy may ask about. It visits every node: there is no wildcard
//! in its matches, so a new kind of node does not compile until it is visited here.

mod columns;
mod expressions;
mod flow;
mod links;
mod mentions;
mod multiplied;
mod names;
mod predicates;
mod rows;
mod scope;

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use passgate_policy::{ColumnUse, FunctionUse, Multiplied, Place, Redirect, TableUse, Unlinked};

pub(super) use self::columns::implied_name;
use self::columns::{Column, Columns, List, implied, value};
use self::flow::{Edge, Flow, Node, Reference};
use self::links::{Equations, Links, Relations};
use self::rows::{condenses, has_set, one_row};
use self::scope::Given;
use super::introspect::Introspection;
use super::model::{Model, Unreadable};
use super::{Error, SearchPath};
use crate::statement::tree::{
    Body, CommonTable as Common, Distinct, Expression, Item, Limit, Literal, Order, Query, Select, SetOperator, With,
};

type Result<T> = std::result::Result<T, Error>;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tables: Vec<TableUse>,
    pub(super) columns: Vec<ColumnUse>,
    pub(super) functions: Vec<FunctionUse>,
    pub(super) unlinked: Vec<Unlinked>,
    pub(super) multiplied: Vec<Multiplied>,
    /// Views that are read and whose definitions cannot be, with the place of whatever reads them.
    pub(super) unreadable: Vec<(Arc<Unreadable>, Place)>,
    /// Whether the answer has all rows of a table: see [`Shape::whole`].
    pub(super) full_export: bool,
    /// The first name that does not exist. Told only once the policy has allowed the rest, so that a refusal does not
    /// show what exists.
    pub(super) missing: Option<Error>,
}

impl Found {
    /// What a statement of the catalog comes to: it reads no table.
    pub(super) fn of_catalog(introspection: Introspection) -> Self {
        let Introspection { functions, missing, privileges: _ } = introspection;
        Self { functions, missing, ..Self::default() }
    }
}

/// What the walk found in the definition of a view.
#[derive(Debug)]
pub(super) struct FoundView {
    pub(super) found: Found,
    /// What each of its columns is made of.
    pub(super) columns: Vec<Vec<ColumnUse>>,
    /// Columns by which it chooses, joins, groups or orders rows.
    pub(super) predicates: Vec<ColumnUse>,
}

/// Resolves a query in place.
pub(super) fn resolve(query: &mut Query, model: &Model, path: SearchPath<'_>, redirects: &[Redirect]) -> Result<Found> {
    let mut resolver = Resolver { redirects, ..Resolver::new(model, path) };
    let shape = resolver.query(query)?;
    resolver.must_be_whole()?;
    let answer: Vec<Node> = shape.columns.nodes().collect();
    let columns = resolver.flow.uses(&answer);
    let full_export = shape.whole && columns.iter().any(|column| column.in_answer);
    Ok(Found { columns, full_export, ..resolver.found })
}

/// Resolves the definition of a view that has so many columns. Every name in it is qualified but those of `pg_catalog`,
/// as a source prints it.
pub(super) fn resolve_view(query: &mut Query, model: &Model, columns: usize) -> Result<FoundView> {
    let schemas = ["pg_catalog".to_owned()];
    let mut resolver = Resolver::new(model, SearchPath { schemas: &schemas, sees: &|_| true, hides: false });
    let shape = resolver.query(query)?;
    let nodes: Vec<Node> = (0..columns).map(|place| shape.columns.by_place(place, &mut resolver.flow)).collect();
    resolver.must_be_whole()?;
    let columns = nodes.into_iter().map(|node| resolver.flow.uses_of_value(node)).collect();
    let predicates = resolver.flow.uses(&[]);
    Ok(FoundView { found: resolver.found, columns, predicates })
}

/// What a query gives.
#[derive(Clone, Debug, Default)]
struct Shape<'m> {
    columns: Rc<List<'m>>,
    /// Whether it may have columns that nothing is known of.
    open: bool,
    /// Whether it gives at most one row.
    one_row: bool,
    /// Whether it gives every row of a table or view: nothing that reads a column chooses or joins rows (an outer join
    /// keeps those of its outer side), and there is no GROUP BY, DISTINCT, LIMIT, or aggregate that makes one value of
    /// many. Aggregates that only collect (`array_agg`) leave everything there.
    whole: bool,
}

/// A query of a WITH, in scope.
#[derive(Debug)]
struct CommonTable<'m> {
    name: String,
    shape: Shape<'m>,
}

/// One relation of a FROM clause.
#[derive(Debug)]
struct Leaf<'m> {
    name: String,
    schema: Option<String>,
    columns: Columns<'m>,
    /// The table, where it is one.
    table: Option<Reference>,
    /// Whether it may have columns that nothing is known of.
    open: bool,
    one_row: bool,
    whole: bool,
    unique_keys: &'m [Vec<String>],
    /// Whether its rows are a table's or a series', and not made by a function of what another row holds.
    stored: bool,
    at: Place,
}

impl<'m> Leaf<'m> {
    /// Whether it is known to have a column.
    fn knows(&self, column: &str, flow: &Flow<'m>) -> bool {
        !self.open && self.columns.knows(column, flow)
    }

    /// A column of one of its keys, by its name.
    fn key_column(&self, name: &str) -> Option<&'m str> {
        self.unique_keys.iter().flatten().map(String::as_str).find(|column| *column == name)
    }
}

/// A FROM clause in scope, and which of its relations have been named since `touched` was last taken.
#[derive(Debug, Default)]
struct FromScope<'m> {
    leaves: Vec<Leaf<'m>>,
    /// The columns of joins that have a name of their own.
    joins: Vec<(String, Rc<List<'m>>)>,
    /// ON sees the relations of its join only: those from this one on.
    visible_from: usize,
    links: Links,
    /// Columns of keys that equal something, wherever a row of the FROM clause has a row of their relation in it.
    equations: Equations<'m>,
    /// Conditions around the one that is walked of which only one has to hold.
    alternatives: usize,
    /// The relations that the condition that is walked keeps from or to, where it is an outer join's.
    restricted: Option<Range<usize>>,
    touched: Relations,
    hidden: bool,
}

impl<'m> FromScope<'m> {
    fn visible(&self) -> impl Iterator<Item = &Leaf<'m>> {
        self.leaves.iter().skip(self.visible_from)
    }
}

struct Resolver<'m> {
    model: &'m Model,
    /// Where names without a schema are looked for.
    path: SearchPath<'m>,
    /// Tables to put in place of others.
    redirects: &'m [Redirect],
    found: Found,
    common_tables: Vec<CommonTable<'m>>,
    frames: Vec<FromScope<'m>>,
    flow: Flow<'m>,
    /// What the expression that is walked is made of, so far.
    edges: Vec<Edge>,
    /// How many queries that give a whole table have been met as values.
    whole_values: usize,
}

impl<'m> Resolver<'m> {
    fn new(model: &'m Model, path: SearchPath<'m>) -> Self {
        Self {
            model,
            path,
            redirects: &[],
            found: Found::default(),
            common_tables: Vec::new(),
            frames: Vec::new(),
            flow: Flow::default(),
            edges: Vec::new(),
            whole_values: 0,
        }
    }

    fn must_be_whole(&self) -> Result<()> {
        if self.flow.is_full() { Err(Error::too_many_columns()) } else { Ok(()) }
    }

    fn query(&mut self, query: &mut Query) -> Result<Shape<'m>> {
        self.query_within(query, Vec::new(), false)
    }

    /// A query as the operand of EXISTS: its columns are not looked at, only whether there is a row.
    fn existence(&mut self, query: &mut Query) -> Result<()> {
        self.query_within(query, Vec::new(), true).map(|_| ())
    }

    /// A query that may stand in parentheses with an ORDER BY after them, which is then its own.
    fn query_within<'q>(&mut self, query: &'q mut Query, after: Vec<&'q mut Order>, exists: bool) -> Result<Shape<'m>> {
        let Query { with, body, order_by, limit, offset } = query;
        let scope = self.common_tables.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        let orders = order_by.iter_mut().chain(after).collect();
        let mut shape = self.body(body, orders, exists)?;
        if let Some(Limit { rows, with_ties }) = limit {
            let unlimited = matches!(rows, Expression::Literal(Literal::Null));
            shape.whole &= shape.one_row || unlimited;
            let one = matches!(rows, Expression::Literal(Literal::Number(digits)) if digits == "1" || digits == "0");
            shape.one_row |= one && !*with_ties;
            self.shaping(|this| this.expression(rows))?;
        }
        if let Some(offset) = offset {
            self.shaping(|this| this.expression(offset))?;
        }
        self.common_tables.truncate(scope);
        Ok(shape)
    }

    fn with(&mut self, with: &mut With) -> Result<()> {
        let mut circles = Vec::new();
        if with.recursive {
            for table in &with.tables {
                circles.push(self.circle(table));
            }
        }
        let mut circles = circles.into_iter();
        for table in &mut with.tables {
            // A name that PostgreSQL itself uses would fall through to its catalog wherever the WITH is not in scope.
            if table.name.text.starts_with("pg_") {
                return Err(Error::new("42939", format!("WITH query name \"{}\" is reserved", table.name.text))
                    .at(table.name.at));
            }
            let mut shape = self.query(&mut table.query)?;
            if !table.columns.is_empty() {
                let mut list = Rc::unwrap_or_clone(shape.columns);
                list.rename(table.columns.iter(), &mut self.flow);
                (shape.columns, shape.open) = (Rc::new(list), false);
            }
            self.search_and_cycle(table, &mut shape)?;
            shape.one_row &= !with.recursive;
            if let Some(circle) = circles.next() {
                self.close(&circle, &shape.columns);
            }
            self.common_tables.push(CommonTable { name: table.name.text.clone(), shape });
        }
        Ok(())
    }

    /// Puts a recursive query in scope before it is walked: its columns by the names that its first SELECT gives them,
    /// each made of what is known only afterwards.
    fn circle(&mut self, table: &Common) -> Rc<List<'m>> {
        let first = first_names(&table.query.body);
        let renamed = table.columns.iter().map(|name| name.text.clone());
        let rest = first.iter().skip(table.columns.len()).cloned();
        let columns = renamed.chain(rest).map(|name| Column::new(name, self.flow.reserve())).collect();
        let further = table.search.is_some() || table.cycle.is_some();
        let others = (first.is_empty() || further).then(|| self.flow.reserve());
        let list = Rc::new(List::with_others(columns, others));
        let shape = Shape { columns: Rc::clone(&list), open: table.columns.is_empty(), ..Shape::default() };
        self.common_tables.push(CommonTable { name: table.name.text.clone(), shape });
        list
    }

    /// Adds the columns that SEARCH and CYCLE make of others, by which rows are ordered and left out.
    fn search_and_cycle(&mut self, table: &Common, shape: &mut Shape<'m>) -> Result<()> {
        let search = table.search.iter().flat_map(|search| [(&search.column, &search.by)]);
        let cycle = table.cycle.iter().flat_map(|cycle| [(&cycle.mark, &cycle.columns), (&cycle.path, &cycle.columns)]);
        for (added, by) in search.chain(cycle) {
            let from = self.edges.len();
            for name in by {
                shape.columns.note_named(&name.text, &mut self.flow);
                self.edges.extend(shape.columns.meant_by(&name.text).map(value));
            }
            let node = self.taken(from);
            self.push_column(Rc::make_mut(&mut shape.columns), Column::new(added.text.clone(), node))?;
        }
        Ok(())
    }

    /// Says what the columns of a recursive query are made of.
    fn close(&mut self, circle: &List<'m>, columns: &List<'m>) {
        for (place, column) in circle.columns.iter().enumerate() {
            let node = columns.by_place(place, &mut self.flow);
            self.flow.define(column.node, &[value(node)]);
        }
        if let Some(others) = circle.others {
            let all: Vec<Edge> = columns.nodes().map(value).collect();
            self.flow.define(others, &all);
        }
    }

    fn body(&mut self, body: &mut Body, orders: Vec<&mut Order>, exists: bool) -> Result<Shape<'m>> {
        let shape = match body {
            Body::Select(select) => return self.select(select, orders, exists),
            Body::Query(query) => return self.query_within(query, orders, exists),
            Body::Values(rows) => self.values(rows)?,
            Body::Combination { operator, all, left, right } => {
                let left = self.body(left, Vec::new(), false)?;
                let right = self.body(right, Vec::new(), false)?;
                self.combination(*operator, *all, &left, &right)
            }
        };
        for order in orders {
            self.by_output(&mut order.by, &shape.columns, false)?;
        }
        if exists {
            shape.columns.nodes().for_each(|node| self.flow.predicate(node));
        }
        Ok(shape)
    }

    fn combination(&mut self, operator: SetOperator, all: bool, left: &Shape<'m>, right: &Shape<'m>) -> Shape<'m> {
        // All but UNION ALL compare whole rows.
        if operator != SetOperator::Union || !all {
            left.columns.nodes().chain(right.columns.nodes()).for_each(|node| self.flow.predicate(node));
        }
        let (one_row, whole) = match operator {
            SetOperator::Union => (false, left.whole || right.whole),
            SetOperator::Except => (left.one_row, left.whole),
            SetOperator::Intersect => (left.one_row || right.one_row, false),
        };
        let columns = Rc::new(self.combined(&left.columns, &right.columns));
        Shape { columns, open: left.open, one_row, whole }
    }

    fn values(&mut self, rows: &mut [Vec<Expression>]) -> Result<Shape<'m>> {
        let mut places: Vec<Vec<Edge>> = Vec::new();
        for row in rows.iter_mut() {
            places.resize_with(places.len().max(row.len()), Vec::new);
            for (of, place) in row.iter_mut().zip(&mut places) {
                let from = self.edges.len();
                self.expression(of)?;
                place.extend(self.edges.drain(from..));
            }
        }
        let mut list = List::default();
        for (place, edges) in places.iter().enumerate() {
            let node = self.flow.made_of(edges);
            self.push_column(&mut list, Column::new(format!("column{}", place + 1), node))?;
        }
        let sets = rows.iter().flatten().any(has_set);
        Ok(Shape { columns: Rc::new(list), open: false, one_row: rows.len() == 1 && !sets, whole: false })
    }

    fn select(&mut self, select: &mut Select, orders: Vec<&mut Order>, exists: bool) -> Result<Shape<'m>> {
        let Select { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = select;
        self.frames.push(FromScope::default());
        let mut given = Vec::with_capacity(from.len());
        for relation in from.iter_mut() {
            given.push(self.relation(relation)?);
        }
        let mut whole = given.iter().any(|given| given.whole);
        if let Some(filter) = filter {
            let mut links = Links::default();
            let chooses = self.shaping(|this| {
                links = this.predicate(filter)?;
                Ok(())
            })?;
            self.link(links);
            whole &= !chooses;
        }
        let values = self.whole_values;
        let (list, open) = self.items(items, &given, exists)?;
        let shows_whole = self.whole_values > values;
        match distinct {
            None => {}
            Some(Distinct::Rows) => list.nodes().for_each(|node| self.flow.predicate(node)),
            Some(Distinct::On(by)) => by.iter_mut().try_for_each(|by| self.by_output(by, &list, false))?,
        }
        for grouping in group_by.iter_mut() {
            self.grouping(grouping, &list)?;
        }
        if let Some(having) = having {
            whole &= !self.shaping(|this| this.expression(having))?;
        }
        for (_, window) in windows.iter_mut() {
            self.shaping(|this| this.window(window))?;
        }
        for order in orders {
            self.by_output(&mut order.by, &list, false)?;
        }
        let frame = self.frames.pop().unwrap_or_default();
        self.note_unlinked(&frame);
        self.note_multiplied(&frame);
        whole &= group_by.is_empty() && distinct.is_none() && !condenses(items);
        Ok(Shape {
            columns: Rc::new(list),
            open,
            one_row: one_row(items, group_by, from, &frame),
            whole: whole || shows_whole,
        })
    }

    /// The columns of a SELECT list, and whether it may have others.
    fn items(&mut self, items: &mut [Item], given: &[Given<'m>], exists: bool) -> Result<(List<'m>, bool)> {
        let (mut list, mut open) = (List::default(), false);
        for item in items.iter_mut() {
            match item {
                Item::Everything => {
                    for given in given {
                        open |= self.add_given(&mut list, given)?;
                    }
                }
                Item::EverythingOf(path) => {
                    self.unqualify_redirected(path, 2);
                    open |= self.add_everything_of(&mut list, path)?;
                }
                Item::FieldsOf(of) => {
                    let from = self.edges.len();
                    self.expression(of)?;
                    let node = self.taken(from);
                    self.push_unknown(&mut list, node);
                    open = true;
                    if exists {
                        self.flow.predicate(node);
                    }
                }
                Item::Expression { of, alias } => {
                    let constant = self.session_constant(of);
                    if alias.is_none() {
                        *alias = constant.map(crate::statement::tree::Name::invented);
                    }
                    let from = self.edges.len();
                    self.expression(of)?;
                    let node = self.taken(from);
                    // Whether there is a row does not depend on a column that is only named.
                    if exists && !matches!(of, Expression::Column(_)) {
                        self.flow.predicate(node);
                    }
                    let column = match alias {
                        Some(alias) => Column::new(alias.text.clone(), node),
                        None => implied(of, node),
                    };
                    self.push_column(&mut list, column)?;
                }
            }
        }
        Ok((list, open))
    }

    /// Walks something by which rows are chosen, joined, grouped or ordered. Tells whether it reads any column.
    fn shaping(&mut self, walk: impl FnOnce(&mut Self) -> Result<()>) -> Result<bool> {
        let from = self.edges.len();
        let before = self.flow.predicates();
        walk(self)?;
        for edge in self.edges.drain(from..) {
            self.flow.predicate(edge.node);
        }
        Ok(self.flow.predicates() > before)
    }

    /// What was walked since there were `from` edges.
    fn taken(&mut self, from: usize) -> Node {
        let node = self.flow.made_of(self.edges.get(from..).unwrap_or_default());
        self.edges.truncate(from);
        node
    }
}

/// The names of the columns of a query's first SELECT, where all of them are certain.
fn first_names(body: &Body) -> Vec<String> {
    match body {
        Body::Query(query) => first_names(&query.body),
        Body::Combination { left, .. } => first_names(left),
        Body::Values(rows) => {
            rows.first().map_or(0..0, |row| 0..row.len()).map(|place| format!("column{}", place + 1)).collect()
        }
        Body::Select(select) => {
            let names = select.items.iter().map(|item| match item {
                Item::Expression { alias: Some(alias), .. } => Some(alias.text.clone()),
                Item::Expression { of, alias: None } => {
                    Some(implied_name(of)).filter(|(_, guessed)| !guessed).map(|(name, _)| name)
                }
                Item::Everything | Item::EverythingOf(_) | Item::FieldsOf(_) => None,
            });
            names.collect::<Option<_>>().unwrap_or_default()
        }
    }
}
