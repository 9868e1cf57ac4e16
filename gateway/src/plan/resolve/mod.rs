//! Names to tables and functions, and facts about how they are joined.
//!
//! One walk over the tree. It looks every name up in the gateway's snapshot (never by a server's search_path), writes
//! the full name back into the tree, and collects what a policy may ask about. It visits every node: there is no
//! wildcard in its matches, so a new kind of node does not compile until it is visited here.

mod columns;
mod expressions;
mod links;
mod names;
mod predicates;
mod scope;

use std::collections::HashSet;
use std::sync::Arc;

use passgate_policy::{FunctionUse, Place, TableUse, Unlinked};

use self::columns::{columns_of, has_set, one_row};
use self::links::{Links, Relations};
use self::names::texts;
use self::scope::rename;
use super::Error;
use super::model::{Model, Unreadable};
use crate::statement::tree::{Body, Distinct, Expression, Limit, Literal, Order, Query, Select, SetOperator, With};

type Result<T> = std::result::Result<T, Error>;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tables: Vec<TableUse>,
    pub(super) functions: Vec<FunctionUse>,
    pub(super) unlinked: Vec<Unlinked>,
    /// Views that are read and whose definitions cannot be, with the place of whatever reads them.
    pub(super) unreadable: Vec<(Arc<Unreadable>, Place)>,
    /// The first name that does not exist. Told only once the policy has allowed the rest, so that a refusal does not
    /// show what exists.
    pub(super) missing: Option<Error>,
}

/// Where a name without a schema is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// In the source's default schema, as people write.
    Default,
    /// Nowhere: all names are qualified but those of `pg_catalog`, as a source prints the definition of a view.
    Qualified,
}

/// Resolves a query in place.
pub(super) fn resolve(query: &mut Query, model: &Model, names: Names) -> Result<Found> {
    let schema = match names {
        Names::Default => model.snapshot().default_schema(),
        Names::Qualified => "pg_catalog",
    };
    let mut resolver =
        Resolver { model, schema, found: Found::default(), common_tables: Vec::new(), frames: Vec::new() };
    resolver.query(query)?;
    Ok(resolver.found)
}

/// What a query or relation gives: its column names where known, and whether it gives at most one row.
#[derive(Clone, Debug, Default)]
struct Shape {
    columns: Option<Vec<String>>,
    one_row: bool,
}

/// A query of a WITH, in scope.
#[derive(Debug)]
struct CommonTable {
    name: String,
    shape: Shape,
}

/// One relation of a FROM clause.
#[derive(Debug)]
struct Leaf {
    name: String,
    schema: Option<String>,
    shape: Shape,
    unique_keys: Vec<Vec<String>>,
    pinned: HashSet<String>,
    at: Place,
}

/// A FROM clause in scope, and which of its relations have been named since `touched` was last taken.
#[derive(Debug, Default)]
struct FromScope {
    leaves: Vec<Leaf>,
    links: Links,
    touched: Relations,
    hidden: bool,
}

struct Resolver<'a> {
    model: &'a Model,
    /// The schema of names without one.
    schema: &'a str,
    found: Found,
    common_tables: Vec<CommonTable>,
    frames: Vec<FromScope>,
}

impl Resolver<'_> {
    fn query(&mut self, query: &mut Query) -> Result<Shape> {
        let Query { with, body, order_by, limit, offset } = query;
        let scope = self.common_tables.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        let mut shape = match body {
            Body::Select(select) => self.select(select, order_by)?,
            other => {
                let shape = self.body(other)?;
                self.orders(order_by)?;
                shape
            }
        };
        if let Some(Limit { rows, with_ties }) = limit {
            let one = matches!(rows, Expression::Literal(Literal::Number(digits)) if digits == "1" || digits == "0");
            shape.one_row |= one && !*with_ties;
            self.expression(rows)?;
        }
        if let Some(offset) = offset {
            self.expression(offset)?;
        }
        self.common_tables.truncate(scope);
        Ok(shape)
    }

    fn with(&mut self, with: &mut With) -> Result<()> {
        if with.recursive {
            for table in &with.tables {
                let columns = (!table.columns.is_empty()).then(|| texts(&table.columns));
                let shape = Shape { columns, one_row: false };
                self.common_tables.push(CommonTable { name: table.name.text.clone(), shape });
            }
        }
        for table in &mut with.tables {
            // A name that PostgreSQL itself uses would fall through to its catalog wherever the WITH is not in scope.
            if table.name.text.starts_with("pg_") {
                return Err(Error::new("42939", format!("WITH query name \"{}\" is reserved", table.name.text))
                    .at(table.name.at));
            }
            let mut shape = self.query(&mut table.query)?;
            rename(&mut shape, &texts(&table.columns));
            if let Some(columns) = &mut shape.columns {
                let search = table.search.iter().map(|search| &search.column);
                let cycle = table.cycle.iter().flat_map(|cycle| [&cycle.mark, &cycle.path]);
                columns.extend(search.chain(cycle).map(|name| name.text.clone()));
            }
            shape.one_row &= !with.recursive;
            self.common_tables.push(CommonTable { name: table.name.text.clone(), shape });
        }
        Ok(())
    }

    fn body(&mut self, body: &mut Body) -> Result<Shape> {
        match body {
            Body::Select(select) => self.select(select, &mut []),
            Body::Query(query) => self.query(query),
            Body::Values(rows) => {
                for value in rows.iter_mut().flatten() {
                    self.expression(value)?;
                }
                let columns = rows.first().map(|row| (1..=row.len()).map(|index| format!("column{index}")).collect());
                let sets = rows.iter().flatten().any(has_set);
                Ok(Shape { columns, one_row: rows.len() == 1 && !sets })
            }
            Body::Combination { operator, all: _, left, right } => {
                let left = self.body(left)?;
                let right = self.body(right)?;
                let one_row = match operator {
                    SetOperator::Union => false,
                    SetOperator::Except => left.one_row,
                    SetOperator::Intersect => left.one_row || right.one_row,
                };
                Ok(Shape { columns: left.columns, one_row })
            }
        }
    }

    fn select(&mut self, select: &mut Select, order_by: &mut [Order]) -> Result<Shape> {
        let Select { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = select;
        self.frames.push(FromScope::default());
        for relation in from.iter_mut() {
            self.relation(relation)?;
        }
        if let Some(filter) = filter {
            let links = self.predicate(filter)?;
            self.link(links);
        }
        for item in items.iter_mut() {
            self.item(item)?;
        }
        match distinct {
            None | Some(Distinct::Rows) => {}
            Some(Distinct::On(by)) => self.expressions(by)?,
        }
        for grouping in group_by.iter_mut() {
            self.grouping(grouping)?;
        }
        if let Some(having) = having {
            self.expression(having)?;
        }
        for (_, window) in windows.iter_mut() {
            self.window(window)?;
        }
        self.orders(order_by)?;
        let frame = self.frames.pop().unwrap_or_default();
        let shape = Shape { columns: columns_of(items, &frame), one_row: one_row(items, group_by, from, &frame) };
        self.note_unlinked(&frame);
        Ok(shape)
    }
}
