//! Governed tables: each reference to one becomes a derived table that already has its filters and masks.
//!
//! ```text
//! FROM analytics.fct AS f  ──►  FROM (SELECT fct.id, '***'::text AS ssn FROM analytics.fct WHERE region = 'WEST') AS f
//! ```
//!
//! So `*`, whole rows, NATURAL JOIN, predicates, ordering and aggregates all see governed values, whatever the shape of
//! the statement, and nothing else of the table can be reached. A view over a governed table is replaced by its
//! definition, governed in the same way; a materialised view holds a copy, and only its own rules govern it.
//!
//! Inside a derived table every column has the table's name before it: a column that the source no longer has is then
//! an error, and never one of the statement around it.

mod beside;
mod derived;
mod fence;
mod grouping;
mod masks;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use passgate_policy::{Mask, Obligation, PolicySql, SourceName, TableFacts, TableKind, TableName};

use super::policy_sql::{self, PolicySqlReader};
use super::{Entry, Error, Model, Salt};
use crate::statement::PartMut;
use crate::statement::tree::{
    Body, Distinct, Expression, Item, JoinCondition, Limit, Literal, Order, Path, Query, Relation, Select,
};
use fence::{Fence, Filtered};
use masks::Masking;
use scope::{Leaf, Scope};

/// Views inside views.
const VIEW_DEPTH_MAX: usize = 16;
/// Views that one statement may be made of.
const VIEWS_MAX: usize = 256;

/// What the obligations of a permit ask of tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Governance {
    tables: BTreeMap<TableName, Rules>,
}

/// What is asked of one table.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rules {
    filters: Vec<PolicySql>,
    masks: BTreeMap<String, Mask>,
    hidden: BTreeSet<String>,
}

impl Governance {
    /// Takes an obligation in; one that is not about a table changes nothing.
    pub(super) fn add(&mut self, obligation: &Obligation) {
        match obligation {
            Obligation::LimitRows { .. } => {}
            Obligation::FilterRows { table, predicate, rule: _ } => {
                let filters = &mut self.rules(table).filters;
                if !filters.contains(predicate) {
                    filters.push(predicate.clone());
                }
            }
            Obligation::MaskColumn { table, column, mask, rule: _ } => {
                self.rules(table).masks.insert(column.clone(), mask.clone());
            }
            Obligation::HideColumn { table, column, rule: _ } => {
                self.rules(table).hidden.insert(column.clone());
            }
        }
    }

    /// Whether nothing is asked of any table.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn rules(&mut self, table: &TableName) -> &mut Rules {
        self.tables.entry(table.clone()).or_default()
    }

    fn any(&self, tables: &[TableName]) -> bool {
        tables.iter().any(|table| self.tables.contains_key(table))
    }
}

impl Rules {
    /// Whether whoever keeps to `self` keeps to `other`.
    fn include(&self, other: &Self) -> bool {
        let masked = |(column, mask): (&String, &Mask)| {
            self.hidden.contains(column) || self.masks.get(column).is_some_and(|own| own == mask)
        };
        other.filters.iter().all(|filter| self.filters.contains(filter))
            && other.masks.iter().all(masked)
            && other.hidden.is_subset(&self.hidden)
    }
}

/// What governing needs beside the statement.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) source: &'a SourceName,
    pub(super) model: &'a Model,
    pub(super) sql: &'a PolicySqlReader,
    pub(super) salt: Option<&'a Salt>,
    pub(super) parameter_types: &'a [u32],
}

/// Governs every table of a query, in place.
pub(super) fn govern(query: &mut Query, governance: &Governance, context: Context<'_>) -> Result<(), Error> {
    if governance.is_empty() {
        return Ok(());
    }
    let original = query.clone();
    let mut governor = Governor::new(governance, context, Fence::Open);
    governor.statement(query)?;
    let Governor { quiet, filtered, definitions, .. } = &governor;
    let quiet = *quiet
        && fence::is_quiet(&original, filtered, context.parameter_types)
        && definitions.iter().all(|definition| fence::is_quiet_inside(definition, filtered));
    if governor.filters && !quiet {
        let filtered = governor.filtered;
        let fence = Fence::around(&original);
        *query = original;
        Governor { filtered, ..Governor::new(governance, context, fence) }.statement(query)?;
    }
    Ok(())
}

/// Why the walk stops.
enum Stop {
    /// A column of a view's definition is hidden from this person.
    Hidden,
    /// The statement cannot be governed.
    Refused(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

type Walked<T> = Result<T, Stop>;

/// Walks a statement, and replaces what is governed.
struct Governor<'a> {
    governance: &'a Governance,
    context: Context<'a>,
    /// What filters stand behind.
    fence: Fence,
    /// Whether there is a filter.
    filters: bool,
    filtered: Filtered,
    /// Whether every expression of a policy is quiet that was put in the place of a column.
    quiet: bool,
    /// Views that were replaced, as they are defined.
    definitions: Vec<&'a Query>,
    scopes: Vec<Scope>,
    /// Views around the one that is being walked, and how many there were in all.
    view_depth: usize,
    views: usize,
    /// While the outermost SELECT of a view is walked: which of its columns turned out to be hidden.
    view_items: Option<BTreeSet<usize>>,
}

impl<'a> Governor<'a> {
    fn new(governance: &'a Governance, context: Context<'a>, fence: Fence) -> Self {
        Self {
            governance,
            context,
            fence,
            filters: false,
            filtered: Filtered::default(),
            quiet: true,
            definitions: Vec::new(),
            scopes: Vec::new(),
            view_depth: 0,
            views: 0,
            view_items: None,
        }
    }

    fn statement(&mut self, query: &mut Query) -> Result<(), Error> {
        self.query(query).map_err(|stop| match stop {
            Stop::Refused(error) => error,
            // Only a view's definition may name what is hidden, and it says so itself.
            Stop::Hidden => Error::internal(),
        })
    }

    fn query(&mut self, query: &mut Query) -> Walked<()> {
        let outermost = self.view_items.take();
        let Query { with, body, order_by, limit, offset } = query;
        for table in with.iter_mut().flat_map(|with| &mut with.tables) {
            self.query(&mut table.query)?;
        }
        match body {
            Body::Select(select) => {
                self.view_items = outermost;
                self.select(select, order_by)?;
            }
            other => {
                self.body(other)?;
                self.orders(order_by)?;
            }
        }
        let outermost = self.view_items.take();
        let limit = limit.iter_mut().map(|Limit { rows, with_ties: _ }| rows);
        limit.chain(offset).try_for_each(|of| self.expression(of))?;
        self.view_items = outermost;
        Ok(())
    }

    fn body(&mut self, body: &mut Body) -> Walked<()> {
        match body {
            Body::Select(select) => self.select(select, &mut []),
            Body::Query(query) => self.query(query),
            Body::Values(rows) => rows.iter_mut().flatten().try_for_each(|value| self.expression(value)),
            Body::Combination { operator: _, all: _, left, right } => {
                self.body(left)?;
                self.body(right)
            }
        }
    }

    fn select(&mut self, select: &mut Select, order_by: &mut [Order]) -> Walked<()> {
        let mut hidden = self.view_items.take();
        let scope = self.scope(&select.from)?;
        self.scopes.push(scope);
        self.complete_grouping(select, order_by);
        let Select { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = select;
        for relation in from.iter_mut() {
            self.within(relation)?;
        }
        for (index, item) in items.iter_mut().enumerate() {
            match (self.item(item), &mut hidden) {
                (Err(Stop::Hidden), Some(hidden)) => {
                    hidden.insert(index);
                    *item = Item::Expression { of: Expression::Literal(Literal::Null), alias: None };
                }
                (done, _) => done?,
            }
        }
        filter.iter_mut().chain(having).try_for_each(|of| self.expression(of))?;
        if let Some(Distinct::On(by)) = distinct {
            self.expressions(by)?;
        }
        group_by.iter_mut().try_for_each(|grouping| grouping.each_part_mut(&mut |part| self.part(part)))?;
        for (_, window) in windows {
            window.each_part_mut(&mut |part| self.part(part))?;
        }
        self.orders(order_by)?;
        let mut scope = self.scopes.pop().unwrap_or_default();
        if self.fence != Fence::Open {
            self.note_conditions(filter.as_ref(), &mut scope.leaves);
        }
        let mut leaves = scope.leaves.into_iter();
        for relation in from.iter_mut() {
            self.replace(relation, &mut leaves)?;
        }
        self.view_items = hidden;
        Ok(())
    }

    /// What is inside the relations of a FROM: queries, arguments, join conditions.
    fn within(&mut self, relation: &mut Relation) -> Walked<()> {
        match relation {
            Relation::Table { name: _, only: _, alias: _, sample } => {
                sample.iter_mut().try_for_each(|sample| self.expression(&mut sample.percent))
            }
            Relation::Query { lateral: _, query, alias: _, at: _ } => self.query(query),
            Relation::Function { lateral: _, call, ordinality: _, alias: _ } => {
                call.each_part_mut(&mut |part| self.part(part))
            }
            Relation::Functions { lateral: _, calls, ordinality: _, alias: _ } => {
                calls.iter_mut().try_for_each(|call| call.each_part_mut(&mut |part| self.part(part)))
            }
            Relation::Join { left, right, kind: _, on, alias: _ } => {
                self.within(left)?;
                self.within(right)?;
                match on {
                    JoinCondition::On(on) => self.expression(on),
                    JoinCondition::Using(columns) => {
                        columns.iter().try_for_each(|column| self.not_hidden(None, &column.text))
                    }
                    JoinCondition::Natural | JoinCondition::None => Ok(()),
                }
            }
        }
    }

    /// Puts derived tables in the place of governed ones, in the order in which the scope lists them.
    fn replace(&mut self, relation: &mut Relation, leaves: &mut impl Iterator<Item = Leaf>) -> Walked<()> {
        match relation {
            Relation::Table { .. } => {
                let leaf = leaves.next().ok_or_else(Error::internal)?;
                if leaf.shown.is_some() {
                    *relation = self.derived(relation, leaf)?;
                }
                Ok(())
            }
            Relation::Query { .. } | Relation::Function { .. } | Relation::Functions { .. } => {
                leaves.next();
                Ok(())
            }
            Relation::Join { left, right, .. } => {
                self.replace(left, leaves)?;
                self.replace(right, leaves)
            }
        }
    }

    fn item(&mut self, item: &mut Item) -> Walked<()> {
        match item {
            Item::Everything => Ok(()),
            Item::EverythingOf(path) => self.table_path(path),
            Item::FieldsOf(of) | Item::Expression { of, alias: _ } => self.expression(of),
        }
    }

    fn orders(&mut self, orders: &mut [Order]) -> Walked<()> {
        orders.iter_mut().try_for_each(|order| self.expression(&mut order.by))
    }

    fn expressions(&mut self, list: &mut [Expression]) -> Walked<()> {
        list.iter_mut().try_for_each(|of| self.expression(of))
    }

    fn part(&mut self, part: PartMut<'_>) -> Walked<()> {
        match part {
            PartMut::Expression(of) => self.expression(of),
            PartMut::Query(query) => self.query(query),
        }
    }

    fn expression(&mut self, of: &mut Expression) -> Walked<()> {
        match of {
            Expression::Column(path) => self.column(path),
            Expression::EverythingOf(path) => self.table_path(path),
            other => other.each_part_mut(&mut |part| self.part(part)),
        }
    }

    /// What governs a table, if anything does.
    fn governed(&self, path: &Path, only: bool) -> Walked<Option<Governed<'a>>> {
        let [schema, table] = path.0.as_slice() else { return Ok(None) };
        let governance: &'a Governance = self.governance;
        let name =
            TableName { source: self.context.source.clone(), schema: schema.text.clone(), table: table.text.clone() };
        let rules = governance.tables.get(&name);
        let model: &'a Model = self.context.model;
        let Some(entry) = model.relation(&schema.text, &table.text) else {
            return if rules.is_some() { Err(Error::internal().into()) } else { Ok(None) };
        };
        let facts = &entry.facts;
        let expanded = facts.kind == TableKind::View && governance.any(&facts.reads);
        let apart = |child: &&TableName| {
            let of_child = governance.tables.get(child);
            of_child.is_some_and(|child| rules.is_none_or(|own| !own.include(child)))
        };
        if !only && facts.children.iter().any(|child| apart(&child)) {
            let message = format!("permission denied for table {}", table.text);
            return Err(Error::new("42501", message)
                .hint("A part of it is governed by rules of its own: read that part by its name.")
                .into());
        }
        Ok((rules.is_some() || expanded).then_some(Governed { entry, rules, expanded }))
    }
}

/// A table that is governed, or a view that is built on one.
struct Governed<'a> {
    entry: &'a Entry,
    rules: Option<&'a Rules>,
    expanded: bool,
}

/// The columns of a table that an expression of a policy names and the table does not have.
fn unknown_column(reader: &PolicySqlReader, sql: &PolicySql, facts: &TableFacts) -> Result<bool, Error> {
    Ok(policy_sql::columns(reader, sql)?.iter().any(|column| facts.column(column).is_none()))
}
