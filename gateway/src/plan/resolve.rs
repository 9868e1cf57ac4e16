//! Names to tables and functions, and facts about how they are joined.
//!
//! One walk over the tree. It looks every name up in the gateway's snapshot (never by a server's search_path), writes
//! the full name back into the tree, and collects what a policy may ask about. It visits every node: there is no
//! wildcard in its matches, so a new kind of node does not compile until it is visited here.

use std::collections::HashSet;
use std::sync::Arc;

use passgate_policy::{FunctionUse, Place, TableFacts, TableName, TableUse, Unlinked};

use super::links::{Links, Relations};
use super::{Error, functions};
use crate::catalog::Snapshot;
use crate::statement::SYNTAX_FUNCTIONS;
use crate::statement::tree::{
    Alias, Arguments, Body, Bound, Call, Distinct, Expression, Frame, Grouping, Item, JoinCondition, JoinKind, Limit,
    Literal, Name, Order, Over, Path, Query, Relation, Select, SetOperator, Type, Window,
};

type Result<T> = std::result::Result<T, Error>;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tables: Vec<TableUse>,
    pub(super) functions: Vec<FunctionUse>,
    pub(super) unlinked: Vec<Unlinked>,
    /// The first name that does not exist. Told only once the policy has allowed the rest, so that a refusal does not
    /// show what exists.
    pub(super) missing: Option<Error>,
}

/// Resolves a query in place.
pub(super) fn resolve(query: &mut Query, snapshot: &Snapshot) -> Result<Found> {
    let mut resolver = Resolver { snapshot, found: Found::default(), common_tables: Vec::new(), frames: Vec::new() };
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
    snapshot: &'a Snapshot,
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

    fn with(&mut self, with: &mut crate::statement::tree::With) -> Result<()> {
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
        let Select { distinct, items, from, filter, group_by, having, windows, at: _ } = select;
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

    /// Relations that belong together neither directly nor through others. One that gives at most one row does not
    /// multiply anything.
    fn note_unlinked(&mut self, frame: &FromScope) {
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

    fn link(&mut self, links: Links) {
        if let Some(frame) = self.frames.last_mut() {
            frame.links.extend(links);
        }
    }

    /// Adds the relations of one entry of FROM to the scope.
    fn relation(&mut self, relation: &mut Relation) -> Result<()> {
        match relation {
            Relation::Table { name, alias, sample } => {
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

    fn leaf_count(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.leaves.len())
    }

    fn add_leaf(&mut self, leaf: Leaf) -> Result<usize> {
        let frame = self.frames.last_mut().ok_or_else(Error::internal)?;
        if frame.leaves.len() >= Relations::MAX {
            return Err(Error::too_many_relations(Relations::MAX));
        }
        frame.leaves.push(leaf);
        Ok(frame.leaves.len() - 1)
    }

    /// A lateral query or function is linked to the relations it reads columns of.
    fn add_linked_leaf(&mut self, leaf: Leaf, reached: Relations) -> Result<()> {
        let index = self.add_leaf(leaf)?;
        if !reached.is_empty() {
            let mut relations = reached;
            relations.add(index);
            self.link(Links::all(relations));
        }
        Ok(())
    }

    fn join_condition(&mut self, on: &mut JoinCondition, kind: JoinKind, start: usize, middle: usize) -> Result<()> {
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
    fn shared_columns(&self, start: usize, middle: usize) -> Vec<String> {
        let Some(frame) = self.frames.last() else { return Vec::new() };
        let names = |leaves: &[Leaf]| -> HashSet<String> {
            leaves.iter().filter_map(|leaf| leaf.shape.columns.clone()).flatten().collect()
        };
        let left = names(frame.leaves.get(start..middle).unwrap_or_default());
        let right = names(frame.leaves.get(middle..).unwrap_or_default());
        left.intersection(&right).cloned().collect()
    }

    /// Links a relation left of `middle` to one right of it by a column both have, or may have.
    fn link_by_column(&mut self, column: &str, start: usize, middle: usize) {
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
    fn rename_join(&mut self, alias: &Alias, start: usize) -> Result<()> {
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

    fn table(&mut self, name: &mut Path, alias: Option<&Alias>) -> Result<Leaf> {
        let at = name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at);
        if let [single] = name.0.as_slice()
            && let Some(common) = self.common_tables.iter().rev().find(|common| common.name == single.text)
        {
            return Ok(derived_leaf(common.shape.clone(), alias, &single.text, at));
        }
        let (schema, table) = self.table_name(name)?;
        if ["pg_catalog", "information_schema", "pg_toast"].contains(&schema.as_str()) {
            return Err(Error::new("0A000", format!("system catalog \"{table}\" is not served by the gateway"))
                .at(at)
                .hint("psql's \\d and the like read it. Name tables directly; SHOW tells settings."));
        }
        let known = self.snapshot.relation(&schema, &table);
        let built_on = known.map_or_else(|| Arc::from([]), |entry| Arc::clone(&entry.built_on));
        let unique_keys = known.map_or_else(Vec::new, |entry| entry.relation.unique_keys.clone());
        let columns = known.map(|entry| entry.facts.columns.iter().map(|column| column.name.clone()).collect());
        if known.is_none() {
            self.missing(|| {
                let written = name.0.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".");
                Error::new("42P01", format!("relation \"{written}\" does not exist")).at(at)
            });
        }
        let facts = known.map(|entry| Arc::clone(&entry.facts)).unwrap_or_else(|| {
            let source = self.snapshot.source().clone();
            let name = TableName { source, schema: schema.clone(), table: table.clone() };
            Arc::new(TableFacts::named(name))
        });
        self.found.tables.push(TableUse { table: facts, at, built_on });
        name.0 = vec![Name { text: schema.clone(), at }, Name { text: table.clone(), at }];
        let mut leaf = derived_leaf(Shape { columns, one_row: false }, alias, &table, at);
        leaf.schema = alias.is_none().then_some(schema);
        leaf.unique_keys = unique_keys;
        Ok(leaf)
    }

    /// Schema and table of a name. What PostgreSQL's own catalog would answer is named as such, never as the user's.
    fn table_name(&self, name: &Path) -> Result<(String, String)> {
        match name.0.as_slice() {
            [table] => {
                let own = self.snapshot.relation(self.snapshot.default_schema(), &table.text).is_some();
                let catalog = !own && table.text.starts_with("pg_");
                let schema = if catalog { "pg_catalog" } else { self.snapshot.default_schema() };
                Ok((schema.to_owned(), table.text.clone()))
            }
            [schema, table] => Ok((schema.text.clone(), table.text.clone())),
            [database, schema, table] if database.text == self.snapshot.source().as_str() => {
                Ok((schema.text.clone(), table.text.clone()))
            }
            [database, ..] => {
                Err(Error::new("0A000", "references to another database are not supported by the gateway")
                    .at(database.at))
            }
            [] => Err(Error::internal()),
        }
    }

    fn missing(&mut self, error: impl FnOnce() -> Error) {
        if self.found.missing.is_none() {
            self.found.missing = Some(error());
        }
    }

    fn hide(&mut self, hidden: bool) {
        if let Some(frame) = self.frames.last_mut() {
            frame.hidden = hidden;
        }
    }

    fn take_touched(&mut self) -> Relations {
        self.frames.last_mut().map(|frame| std::mem::take(&mut frame.touched)).unwrap_or_default()
    }

    fn touch(&mut self, relations: Relations) {
        if let Some(frame) = self.frames.last_mut() {
            frame.touched = frame.touched.union(relations);
        }
    }

    /// Walks an expression and tells which relations of the innermost FROM it reads.
    fn reach(&mut self, of: &mut Expression) -> Result<Relations> {
        let outer = self.take_touched();
        self.expression(of)?;
        let reached = self.take_touched();
        self.touch(outer.union(reached));
        Ok(reached)
    }

    /// Walks a condition and tells which relations it links.
    ///
    /// A link is a comparison with columns of one relation on one side and of another on the other. `<>` and other
    /// negations exclude next to nothing, so they link nothing; neither does a comparison of a thing with itself, or
    /// of what was mixed from both sides with a constant.
    fn predicate(&mut self, of: &mut Expression) -> Result<Links> {
        match of {
            Expression::And(list) => {
                let mut links = Links::default();
                for operand in list {
                    links.extend(self.predicate(operand)?);
                }
                Ok(links)
            }
            Expression::Or(list) => {
                let relations = self.leaf_count();
                let mut common: Option<Links> = None;
                for operand in list {
                    let links = self.predicate(operand)?;
                    common = Some(common.map_or_else(|| links.clone(), |common| common.common(&links, relations)));
                }
                Ok(common.unwrap_or_default())
            }
            Expression::Infix { operator, left, right } => {
                let (left_reached, right_reached) = (self.reach(left)?, self.reach(right)?);
                if operator == "=" {
                    self.pin(left, right_reached);
                    self.pin(right, left_reached);
                }
                let excludes_little = operator == "<>" || operator.starts_with('!');
                Ok(if excludes_little { Links::default() } else { Links::between(left_reached, right_reached) })
            }
            Expression::Distinct { left, right, negated: true } | Expression::Quantified { left, right, .. } => {
                let (left, right) = (self.reach(left)?, self.reach(right)?);
                Ok(Links::between(left, right))
            }
            Expression::InList { of, list, negated: false } => {
                let left = self.reach(of)?;
                let right = self.reach_all(list.iter_mut())?;
                Ok(Links::between(left, right))
            }
            Expression::InQuery { of, query, negated: false } => {
                let left = self.reach(of)?;
                let outer = self.take_touched();
                self.query(query)?;
                let right = self.take_touched();
                self.touch(outer.union(right));
                Ok(Links::between(left, right))
            }
            Expression::Between { of, low, high, negated: false, .. } => {
                let left = self.reach(of)?;
                let right = self.reach_all([&mut **low, &mut **high].into_iter())?;
                Ok(Links::between(left, right))
            }
            Expression::Like { of, pattern, negated: false, .. } => {
                let (left, right) = (self.reach(of)?, self.reach(pattern)?);
                Ok(Links::between(left, right))
            }
            // A function that says whether its arguments belong together, such as one of geometry.
            Expression::Call(call) => self.call_predicate(call),
            // A subquery that looks for both.
            Expression::Exists(_) => Ok(Links::all(self.reach(of)?)),
            _ => {
                self.expression(of)?;
                Ok(Links::default())
            }
        }
    }

    fn call_predicate(&mut self, call: &mut Call) -> Result<Links> {
        let mut reached = Vec::new();
        if let Arguments::List(list) = &mut call.arguments {
            for (_, argument) in list {
                reached.push(self.reach(argument)?);
            }
        }
        // The arguments are resolved: what is left is the function's name.
        let arguments = std::mem::replace(&mut call.arguments, Arguments::Everything);
        let resolved = self.call(call);
        call.arguments = arguments;
        resolved?;
        let mut links = Links::default();
        for (index, left) in reached.iter().enumerate() {
            for right in reached.iter().skip(index + 1) {
                links.extend(Links::between(*left, *right));
            }
        }
        Ok(links)
    }

    fn reach_all<'e>(&mut self, list: impl Iterator<Item = &'e mut Expression>) -> Result<Relations> {
        let mut all = Relations::default();
        for of in list {
            all = all.union(self.reach(of)?);
        }
        Ok(all)
    }

    /// Notes that a column equals something that does not depend on this FROM.
    fn pin(&mut self, column: &Expression, other: Relations) {
        let Expression::Column(path) = column else { return };
        let Some(name) = path.0.last().map(|name| name.text.clone()) else { return };
        let Some((depth, index)) = self.find(path) else { return };
        if depth + 1 == self.frames.len()
            && other.is_empty()
            && let Some(leaf) = self.frames.last_mut().and_then(|frame| frame.leaves.get_mut(index))
        {
            leaf.pinned.insert(name);
        }
    }

    /// The FROM (by depth) and the relation in it that a column belongs to.
    fn find(&self, path: &Path) -> Option<(usize, usize)> {
        let frames = self.frames.iter().enumerate().rev().filter(|(_, frame)| !frame.hidden);
        for (depth, frame) in frames {
            let leaves = || frame.leaves.iter().enumerate();
            let knows = |leaf: &Leaf, column: &str| {
                leaf.shape.columns.as_ref().is_some_and(|all| all.iter().any(|of| of == column))
            };
            let found = match path.0.as_slice() {
                [column] => leaves()
                    .find(|(_, leaf)| knows(leaf, &column.text))
                    .or_else(|| leaves().find(|(_, leaf)| leaf.name == column.text))
                    .or_else(|| leaves().find(|(_, leaf)| leaf.shape.columns.is_none())),
                [table, column] => leaves()
                    .find(|(_, leaf)| leaf.name == table.text && knows(leaf, &column.text))
                    .or_else(|| leaves().find(|(_, leaf)| leaf.name == table.text)),
                [schema, table, _] => {
                    leaves().find(|(_, leaf)| leaf.name == table.text && leaf.schema.as_ref() == Some(&schema.text))
                }
                _ => None,
            };
            if let Some((index, _)) = found {
                return Some((depth, index));
            }
        }
        None
    }

    fn column(&mut self, path: &mut Path) {
        if path.0.len() == 4 && path.0.first().is_some_and(|name| name.text == self.snapshot.source().as_str()) {
            path.0.remove(0);
        }
        let found = self.find(path);
        if let Some((depth, index)) = found
            && let Some(frame) = self.frames.get_mut(depth)
        {
            frame.touched.add(index);
        }
        // `t.f` is `f(t)` to PostgreSQL where t has no column f.
        if let [_, .., last] = path.0.as_slice() {
            let column = found
                .and_then(|(depth, index)| self.frames.get(depth)?.leaves.get(index)?.shape.columns.as_ref())
                .is_some_and(|columns| columns.contains(&last.text));
            if !column {
                let last = last.clone();
                self.field(&last);
            }
        }
    }

    /// A field that PostgreSQL may take for a call. Only functions of `pg_catalog` can be meant: no other schema is on
    /// the session's path.
    fn field(&mut self, name: &Name) {
        if functions::is_impure(&name.text) {
            self.use_function("pg_catalog", &name.text, name.at);
        }
    }

    fn use_function(&mut self, schema: &str, name: &str, at: Place) {
        let pure = schema == "pg_catalog" && functions::is_pure(name);
        self.found.functions.push(FunctionUse { schema: schema.to_owned(), name: name.to_owned(), pure, at });
    }

    fn item(&mut self, item: &mut Item) -> Result<()> {
        match item {
            Item::Everything => Ok(()),
            Item::EverythingOf(path) => {
                self.touch_table(path);
                Ok(())
            }
            Item::FieldsOf(of) => self.expression(of),
            Item::Expression { of, alias } => {
                if let (Some(name), None) = (self.session_constant(of), &alias) {
                    *alias = Some(Name::invented(name));
                }
                self.expression(of)
            }
        }
    }

    fn touch_table(&mut self, path: &Path) {
        let Some(table) = path.0.last() else { return };
        if let Some((depth, index)) = self.find(&Path(vec![table.clone()]))
            && let Some(frame) = self.frames.get_mut(depth)
        {
            frame.touched.add(index);
        }
    }

    /// `current_schema` and `current_database`: the gateway's answer, not the source's. Tells the column's name.
    fn session_constant(&self, of: &mut Expression) -> Option<&'static str> {
        let name = match of {
            Expression::Keyword { keyword: "CURRENT_SCHEMA", .. } => "current_schema",
            Expression::Keyword { keyword: "CURRENT_CATALOG", .. } => "current_catalog",
            Expression::Call(call) if call.arguments == Arguments::List(Vec::new()) => match call.name.0.as_slice() {
                [name] => constant_function(&name.text)?,
                [schema, name] if schema.text == "pg_catalog" => constant_function(&name.text)?,
                _ => return None,
            },
            _ => return None,
        };
        let text = match name {
            "current_schema" => self.snapshot.default_schema(),
            _ => self.snapshot.source().as_str(),
        };
        let literal = Expression::Literal(Literal::String(text.to_owned()));
        let to = Type { name: "name".to_owned(), modifiers: Vec::new(), dimensions: 0 };
        *of = Expression::Cast { of: Box::new(literal), to };
        Some(name)
    }

    fn expressions(&mut self, list: &mut [Expression]) -> Result<()> {
        list.iter_mut().try_for_each(|of| self.expression(of))
    }

    fn optional(&mut self, of: Option<&mut Box<Expression>>) -> Result<()> {
        of.map_or(Ok(()), |of| self.expression(of))
    }

    fn orders(&mut self, orders: &mut [Order]) -> Result<()> {
        orders.iter_mut().try_for_each(|order| self.expression(&mut order.by))
    }

    fn expression(&mut self, of: &mut Expression) -> Result<()> {
        self.session_constant(of);
        match of {
            Expression::Column(path) => {
                self.column(path);
                Ok(())
            }
            Expression::EverythingOf(path) => {
                self.touch_table(path);
                Ok(())
            }
            Expression::Literal(_)
            | Expression::Parameter(_)
            | Expression::Interval { .. }
            | Expression::Keyword { .. } => Ok(()),
            Expression::Infix { operator: _, left, right }
            | Expression::Distinct { left, right, negated: _ }
            | Expression::Quantified { left, operator: _, all: _, right } => {
                self.expression(left)?;
                self.expression(right)
            }
            Expression::And(list) | Expression::Or(list) | Expression::Row(list) | Expression::Array(list) => {
                self.expressions(list)
            }
            Expression::Prefix { operator: _, of }
            | Expression::Not(of)
            | Expression::Is { of, .. }
            | Expression::Cast { of, to: _ }
            | Expression::Extract { field: _, of }
            | Expression::Collate { of, collation: _ }
            | Expression::Normalized { of, .. } => self.expression(of),
            Expression::InList { of, list, negated: _ } => {
                self.expression(of)?;
                self.expressions(list)
            }
            Expression::InQuery { of, query, negated: _ } => {
                self.expression(of)?;
                self.query(query).map(|_| ())
            }
            Expression::Between { of, low, high, .. } => {
                self.expression(of)?;
                self.expression(low)?;
                self.expression(high)
            }
            Expression::Like { of, pattern, .. } => {
                self.expression(of)?;
                self.expression(pattern)
            }
            Expression::Exists(query) | Expression::Query(query) | Expression::ArrayQuery(query) => {
                self.query(query).map(|_| ())
            }
            Expression::Case { operand, arms, otherwise } => {
                self.optional(operand.as_mut())?;
                for (when, then) in arms {
                    self.expression(when)?;
                    self.expression(then)?;
                }
                self.optional(otherwise.as_mut())
            }
            Expression::Call(call) => self.call(call).map(|_| ()),
            Expression::Position { what, within } => {
                self.expression(what)?;
                self.expression(within)
            }
            Expression::Substring { of, from, length } => {
                self.expression(of)?;
                self.optional(from.as_mut())?;
                self.optional(length.as_mut())
            }
            Expression::Trim { side: _, what, of } => {
                self.optional(what.as_mut())?;
                self.expression(of)
            }
            Expression::Overlay { of, what, from, length } => {
                self.expression(of)?;
                self.expression(what)?;
                self.expression(from)?;
                self.optional(length.as_mut())
            }
            Expression::AtTimeZone { of, zone } => {
                self.expression(of)?;
                self.expression(zone)
            }
            Expression::Element { of, index } => {
                self.expression(of)?;
                self.expression(index)
            }
            Expression::Slice { of, low, high } => {
                self.expression(of)?;
                self.optional(low.as_mut())?;
                self.optional(high.as_mut())
            }
            Expression::Field { of, name } => {
                self.field(&name.clone());
                self.expression(of)
            }
        }
    }

    /// Resolves a call; tells whether it may give more than one row.
    fn call(&mut self, call: &mut Call) -> Result<bool> {
        let Call { name, arguments, distinct: _, order_by, within_group, filter, over } = call;
        let returns_a_set = self.function_name(name)?;
        match arguments {
            Arguments::Everything => {}
            Arguments::List(list) => list.iter_mut().try_for_each(|(_, of)| self.expression(of))?,
        }
        self.orders(order_by)?;
        self.orders(within_group)?;
        if let Some(filter) = filter {
            self.expression(filter)?;
        }
        match over {
            None | Some(Over::Named(_)) => {}
            Some(Over::Window(window)) => self.window(window)?,
        }
        Ok(returns_a_set)
    }

    /// Writes a function's full name into the tree. `pg_catalog` comes first, as in PostgreSQL.
    fn function_name(&mut self, path: &mut Path) -> Result<bool> {
        let (schema, name, at) = match path.0.as_slice() {
            [name] if SYNTAX_FUNCTIONS.contains(&name.text.as_str()) => return Ok(false),
            [name] => {
                let own = self.snapshot.default_schema();
                let built_in = functions::is_built_in(&name.text) || !self.snapshot.has_function(own, &name.text);
                (if built_in { "pg_catalog" } else { own }.to_owned(), name.text.clone(), name.at)
            }
            [schema, name] => (schema.text.clone(), name.text.clone(), schema.at),
            [database, ..] => {
                return Err(Error::new("0A000", "a function of another database is not supported by the gateway")
                    .at(database.at));
            }
            [] => return Err(Error::internal()),
        };
        let known = if schema == "pg_catalog" {
            functions::is_built_in(&name)
        } else {
            self.snapshot.has_function(&schema, &name)
        };
        if !known {
            self.missing(|| Error::new("42883", format!("function {name} does not exist")).at(at));
        }
        self.use_function(&schema, &name, at);
        let returns_a_set = schema != "pg_catalog" || functions::returns_a_set(&name);
        path.0 = vec![Name { text: schema, at }, Name { text: name, at }];
        Ok(returns_a_set)
    }

    fn grouping(&mut self, grouping: &mut Grouping) -> Result<()> {
        match grouping {
            Grouping::Expression(by) => self.expression(by),
            Grouping::Rollup(sets) | Grouping::Cube(sets) | Grouping::Sets(sets) => {
                sets.iter_mut().try_for_each(|set| self.expressions(set))
            }
        }
    }

    fn window(&mut self, window: &mut Window) -> Result<()> {
        let Window { base: _, partition_by, order_by, frame } = window;
        self.expressions(partition_by)?;
        self.orders(order_by)?;
        if let Some(Frame { unit: _, start, end }) = frame {
            self.bound(start)?;
            if let Some(end) = end {
                self.bound(end)?;
            }
        }
        Ok(())
    }

    fn bound(&mut self, bound: &mut Bound) -> Result<()> {
        match bound {
            Bound::CurrentRow | Bound::Preceding(None) | Bound::Following(None) => Ok(()),
            Bound::Preceding(Some(by)) | Bound::Following(Some(by)) => self.expression(by),
        }
    }
}

fn constant_function(name: &str) -> Option<&'static str> {
    ["current_schema", "current_database"].into_iter().find(|known| *known == name)
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| name.text.clone()).collect()
}

fn rename(shape: &mut Shape, names: &[String]) {
    match &mut shape.columns {
        Some(columns) => columns.iter_mut().zip(names).for_each(|(column, name)| column.clone_from(name)),
        None if names.is_empty() => {}
        None => shape.columns = Some(names.to_vec()),
    }
}

fn derived_leaf(mut shape: Shape, alias: Option<&Alias>, name: &str, at: Place) -> Leaf {
    let mut name = name.to_owned();
    if let Some(alias) = alias {
        name.clone_from(&alias.name.text);
        let columns: Vec<String> = alias.columns.iter().map(|(column, _)| column.text.clone()).collect();
        rename(&mut shape, &columns);
    }
    Leaf { name, schema: None, shape, unique_keys: Vec::new(), pinned: HashSet::new(), at }
}

/// A function's columns are known only where the statement names them.
fn function_columns(alias: Option<&Alias>, ordinality: bool) -> Option<Vec<String>> {
    let columns: Vec<String> = alias?.columns.iter().map(|(column, _)| column.text.clone()).collect();
    (!columns.is_empty() && !ordinality).then_some(columns)
}

fn gives_one_row(leaf: &Leaf) -> bool {
    let pinned = |key: &Vec<String>| !key.is_empty() && key.iter().all(|column| leaf.pinned.contains(column));
    leaf.shape.one_row || leaf.unique_keys.iter().any(pinned)
}

/// Names of a SELECT's columns, where all of them are known.
fn columns_of(items: &[Item], frame: &FromScope) -> Option<Vec<String>> {
    let mut columns = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Everything => {
                for leaf in &frame.leaves {
                    columns.extend(leaf.shape.columns.clone()?);
                }
            }
            Item::EverythingOf(path) => {
                let table = path.0.last()?;
                let leaf = frame.leaves.iter().find(|leaf| leaf.name == table.text)?;
                columns.extend(leaf.shape.columns.clone()?);
            }
            Item::FieldsOf(_) => return None,
            Item::Expression { alias: Some(alias), of: _ } => columns.push(alias.text.clone()),
            Item::Expression { alias: None, of } => columns.push(implied_name(of)),
        }
    }
    Some(columns)
}

/// The name PostgreSQL gives a column without an alias, for the kinds a statement can refer to.
fn implied_name(of: &Expression) -> String {
    match of {
        Expression::Column(path) => path.0.last().map_or_else(String::new, |name| name.text.clone()),
        Expression::Field { name, .. } => name.text.clone(),
        Expression::Call(call) => call.name.0.last().map_or_else(String::new, |name| name.text.clone()),
        Expression::Cast { of, to } => match implied_name(of) {
            name if name == "?column?" => to.name.clone(),
            name => name,
        },
        Expression::Collate { of, .. } | Expression::Element { of, .. } | Expression::Slice { of, .. } => {
            implied_name(of)
        }
        Expression::Case { otherwise, .. } => match otherwise.as_ref().map(|of| implied_name(of)) {
            Some(name) if name != "?column?" => name,
            _ => "case".to_owned(),
        },
        _ => "?column?".to_owned(),
    }
}

/// Whether a SELECT gives at most one row: it has no FROM, or only aggregates, or all it reads gives one row.
fn one_row(items: &[Item], group_by: &[Grouping], from: &[Relation], frame: &FromScope) -> bool {
    let expressions = || {
        items.iter().filter_map(|item| match item {
            Item::Expression { of, .. } | Item::FieldsOf(of) => Some(of),
            Item::Everything | Item::EverythingOf(_) => None,
        })
    };
    if expressions().any(has_set) {
        return false;
    }
    let aggregated = group_by.is_empty() && expressions().any(has_aggregate);
    from.is_empty() || aggregated || (group_by.is_empty() && frame.leaves.iter().all(gives_one_row))
}

/// Whether any call in an expression may return a set; queries inside it are values and give one.
fn has_set(of: &Expression) -> bool {
    any_call(of, &|call| {
        call.name.0.last().is_some_and(|name| functions::returns_a_set(&name.text))
            || call.name.0.first().is_some_and(|schema| call.name.0.len() > 1 && schema.text != "pg_catalog")
    })
}

fn has_aggregate(of: &Expression) -> bool {
    any_call(of, &|call| {
        call.over.is_none() && call.name.0.last().is_some_and(|name| functions::is_aggregate(&name.text))
    })
}

/// Whether a call outside of inner queries satisfies `test`.
fn any_call(of: &Expression, test: &dyn Fn(&Call) -> bool) -> bool {
    let any = |list: &[Expression]| list.iter().any(|of| any_call(of, test));
    let opt = |of: &Option<Box<Expression>>| of.as_ref().is_some_and(|of| any_call(of, test));
    match of {
        Expression::Column(_)
        | Expression::EverythingOf(_)
        | Expression::Literal(_)
        | Expression::Parameter(_)
        | Expression::Interval { .. }
        | Expression::Keyword { .. }
        | Expression::Exists(_)
        | Expression::Query(_)
        | Expression::ArrayQuery(_) => false,
        Expression::Infix { left, right, .. }
        | Expression::Distinct { left, right, .. }
        | Expression::Quantified { left, right, .. } => any_call(left, test) || any_call(right, test),
        Expression::And(list) | Expression::Or(list) | Expression::Row(list) | Expression::Array(list) => any(list),
        Expression::Prefix { of, .. }
        | Expression::Not(of)
        | Expression::Is { of, .. }
        | Expression::Cast { of, .. }
        | Expression::Extract { of, .. }
        | Expression::Collate { of, .. }
        | Expression::Normalized { of, .. }
        | Expression::InQuery { of, .. }
        | Expression::Field { of, .. } => any_call(of, test),
        Expression::InList { of, list, .. } => any_call(of, test) || any(list),
        Expression::Between { of, low, high, .. } => [of, low, high].into_iter().any(|of| any_call(of, test)),
        Expression::Like { of, pattern, .. } => any_call(of, test) || any_call(pattern, test),
        Expression::Case { operand, arms, otherwise } => {
            opt(operand)
                || opt(otherwise)
                || arms.iter().any(|(when, then)| any_call(when, test) || any_call(then, test))
        }
        Expression::Call(call) => {
            test(call)
                || match &call.arguments {
                    Arguments::Everything => false,
                    Arguments::List(list) => list.iter().any(|(_, of)| any_call(of, test)),
                }
        }
        Expression::Position { what, within } => any_call(what, test) || any_call(within, test),
        Expression::Substring { of, from, length } => any_call(of, test) || opt(from) || opt(length),
        Expression::Trim { what, of, .. } => any_call(of, test) || opt(what),
        Expression::Overlay { of, what, from, length } => {
            [of, what, from].into_iter().any(|of| any_call(of, test)) || opt(length)
        }
        Expression::AtTimeZone { of, zone } => any_call(of, test) || any_call(zone, test),
        Expression::Element { of, index } => any_call(of, test) || any_call(index, test),
        Expression::Slice { of, low, high } => any_call(of, test) || opt(low) || opt(high),
    }
}
