//! The derived table that stands in the place of a governed one.

use std::collections::BTreeSet;

use passgate_policy::TableFacts;

use super::scope::{Leaf, Shown, ShownColumn};
use super::{
    Entry, Error, Fence, Governed, Governor, Masking, Rules, Stop, VIEW_DEPTH_MAX, VIEWS_MAX, Walked, fence, masks,
    unknown_column,
};
use crate::plan::policy_sql;
use crate::statement::tree::{
    Alias, Body, Expression, Item, Literal, Name, Path, Query, Relation, Sample, Select, Spot,
};

/// With less stack than this left, the next view gets a new one.
const STACK_LEFT_MIN: usize = 256 * 1024;
const STACK_STEP: usize = 4 * 1024 * 1024;

impl<'a> Governor<'a> {
    /// What a governed table shows, under the names that an alias gives.
    pub(super) fn shown(&mut self, governed: &Governed<'a>, alias: Option<&Alias>) -> Walked<Shown> {
        let Governed { entry, rules, expanded } = governed;
        let facts = &entry.facts;
        let mut hidden = rules.map(|rules| rules.hidden.clone()).unwrap_or_default();
        let mut definition = None;
        if *expanded {
            let (query, hidden_in_it) = self.definition(entry)?;
            hidden.extend(hidden_in_it);
            definition = Some(query);
        }
        let visible: Vec<_> = facts.columns.iter().filter(|column| !hidden.contains(&column.name)).collect();
        let renamed = |index: usize, name: &str| {
            let name_given = alias.and_then(|alias| alias.columns.get(index)).map(|(name, _)| name.text.clone());
            name_given.unwrap_or_else(|| name.to_owned())
        };
        let keys = entry.relation.unique_keys.iter().filter_map(|key| {
            let as_it_is = |column: &String| {
                let place = visible.iter().position(|visible| visible.name == *column)?;
                let masked = rules.is_some_and(|rules| rules.masks.contains_key(column));
                (!masked).then(|| renamed(place, column))
            };
            key.iter().map(as_it_is).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
        });
        let keys = keys.collect();
        let columns = visible.iter().enumerate().map(|(index, column)| ShownColumn {
            name: renamed(index, &column.name),
            type_name: column.type_name.clone(),
            table: facts.name.table.clone(),
            inside: column.name.clone(),
            masked: rules.is_some_and(|rules| rules.masks.contains_key(&column.name)),
        });
        let columns = columns.collect();
        Ok(Shown { columns, keys, hidden, definition })
    }

    /// The relation that stands in the place of a governed table.
    pub(super) fn derived(&mut self, relation: &mut Relation, leaf: Leaf) -> Walked<Relation> {
        let Relation::Table { name, only, alias, sample } = relation else { return Err(Error::internal().into()) };
        let (Some(Governed { entry, rules, expanded: _ }), Some(mut shown)) = (self.governed(name, *only)?, leaf.shown)
        else {
            return Err(Error::internal().into());
        };
        let facts = &entry.facts;
        let at = Spot(name.0.first().map_or(passgate_policy::Place { line: 1, column: 1 }, |name| name.at));
        let mut outer = alias.take().unwrap_or(Alias { name: Name::invented(&leaf.name), columns: Vec::new() });
        let inner = match shown.definition.take() {
            Some(definition) => self.view(facts, definition, sample.as_ref(), at)?,
            None => Relation::Table { name: name.clone(), only: *only, alias: None, sample: sample.take() },
        };
        if let (true, true, Relation::Query { query, .. }) = (rules.is_none(), shown.hidden.is_empty(), &inner) {
            // The view's own names, where the alias does not give others.
            let given = outer.columns.len();
            outer.columns.extend(facts.columns.iter().skip(given).map(|column| (Name::invented(&column.name), None)));
            return Ok(Relation::Query { lateral: false, query: query.clone(), alias: Some(outer), at });
        }
        let none = Rules::default();
        let query = self.select_from(inner, facts, rules.unwrap_or(&none), &shown.hidden, leaf.beside)?;
        Ok(Relation::Query { lateral: false, query: Box::new(query), alias: Some(outer), at })
    }

    /// `SELECT columns FROM table WHERE filters`.
    fn select_from(
        &mut self,
        from: Relation,
        facts: &TableFacts,
        rules: &Rules,
        hidden: &BTreeSet<String>,
        beside: Vec<Expression>,
    ) -> Walked<Query> {
        let sql = self.context.sql;
        let masking = Masking { sql, salt: self.context.salt };
        let table = &facts.name.table;
        let mut select = Select::everything_from(from, Spot(passgate_policy::Place { line: 1, column: 1 }));
        select.items.clear();
        let opaque = self.fence == Fence::Opaque && !rules.filters.is_empty();
        for column in facts.columns.iter().filter(|column| !hidden.contains(&column.name)) {
            let name = Name::invented(&column.name);
            select.items.push(match rules.masks.get(&column.name) {
                None => {
                    let of = Expression::Column(Path(vec![Name::invented(table), name]));
                    match opaque {
                        true => Item::Expression { of: masks::opaque(of), alias: Some(Name::invented(&column.name)) },
                        false => Item::Expression { of, alias: None },
                    }
                }
                Some(mask) => {
                    if let passgate_policy::Mask::Expression(of) = mask {
                        self.known(of, facts)?;
                    }
                    let of = masking.expression(mask, table, column)?;
                    if let passgate_policy::Mask::Expression(_) = mask {
                        self.quiet &= fence::is_quiet_expression(&of);
                    }
                    Item::Expression { of, alias: Some(name) }
                }
            });
        }
        let mut filters = Vec::new();
        for filter in &rules.filters {
            self.known(filter, facts)?;
            match sql.expression(filter, table)? {
                Expression::And(list) => filters.extend(list),
                other => filters.push(other),
            }
        }
        let mut query =
            Query { with: None, body: Body::Values(Vec::new()), order_by: Vec::new(), limit: None, offset: None };
        if !filters.is_empty() {
            self.filters = true;
            self.filtered.add(&facts.columns);
            query.offset = (self.fence != Fence::Open).then(nothing);
            filters.extend(beside);
            select.filter = if filters.len() == 1 { filters.pop() } else { Some(Expression::And(filters)) };
        }
        query.body = Body::Select(Box::new(select));
        Ok(query)
    }

    fn known(&self, sql: &passgate_policy::PolicySql, facts: &TableFacts) -> Walked<()> {
        if unknown_column(self.context.sql, sql, facts)? {
            let message = format!("permission denied for table {}", facts.name.table);
            let hint = "A policy about it names a column that it does not have; tell the policy's owner.";
            return Err(Error::new("42501", message).hint(hint).into());
        }
        Ok(())
    }

    /// A view as its governed definition, under the view's own name and column names.
    fn view(&self, facts: &TableFacts, mut query: Query, sample: Option<&Sample>, at: Spot) -> Walked<Relation> {
        if sample.is_some() {
            let message = "TABLESAMPLE clause can only be applied to tables and materialized views";
            return Err(Error::new("42809", message).into());
        }
        // A view may be a barrier of its own.
        if self.fence != Fence::Open && query.limit.is_none() {
            query.offset.get_or_insert_with(nothing);
        }
        let columns = facts.columns.iter().map(|column| (Name::invented(&column.name), None)).collect();
        let alias = Alias { name: Name::invented(&facts.name.table), columns };
        Ok(Relation::Query { lateral: false, query: Box::new(query), alias: Some(alias), at })
    }

    /// A view's governed definition, and which of its columns show what is hidden.
    fn definition(&mut self, entry: &'a Entry) -> Walked<(Query, BTreeSet<String>)> {
        self.views += 1;
        if self.views > VIEWS_MAX || self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Error::new("54001", "statement is built on too many views").into());
        }
        let facts = &entry.facts;
        let denied = || Error::new("42501", format!("permission denied for view {}", facts.name.table));
        let definition = match &entry.view {
            Some(Ok(body)) => &body.tree,
            Some(Err(unreadable)) => return Err(Error::unreadable_view(unreadable).into()),
            None => return Err(Error::internal().into()),
        };
        let mut query = definition.clone();
        self.definitions.push(definition);
        let around = (std::mem::take(&mut self.scopes), self.view_items.replace(BTreeSet::new()));
        self.view_depth += 1;
        let walked = stacker::maybe_grow(STACK_LEFT_MIN, STACK_STEP, || self.query(&mut query));
        self.view_depth -= 1;
        self.scopes = around.0;
        let hidden = std::mem::replace(&mut self.view_items, around.1).unwrap_or_default();
        walked.map_err(|stop| match stop {
            Stop::Hidden => Stop::from(denied().hint("It chooses its rows by a column that is not visible to you.")),
            refused @ Stop::Refused(_) => refused,
        })?;
        let hidden = hidden.into_iter().filter_map(|place| facts.columns.get(place)).map(|column| column.name.clone());
        Ok((query, hidden.collect()))
    }
}

/// `0`, as in `OFFSET 0`.
fn nothing() -> Expression {
    policy_sql::number("0").unwrap_or(Expression::Literal(Literal::Null))
}
