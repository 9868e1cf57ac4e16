//! What a statement is about: the source, the catalog, or both.
//!
//! A name that a WITH query has is neither. What a source and a catalog answer alike (`lower`, `now`, `current_user`) says
//! nothing of where a statement belongs.

use passgate_policy::Place;

use super::{functions, relations};
use crate::plan::functions as built_in;
use crate::plan::model::Model;
use crate::statement::tree::{Alias, Arguments, Body, Call, Expression, Name, Path, Query, Relation, XmlFunction};
use crate::statement::{Part, SYNTAX_FUNCTIONS};

/// What a statement is about.
#[derive(Debug)]
pub(super) enum About {
    /// The source, or nothing.
    Source,
    /// The catalog alone.
    Catalog,
    /// Both; where the second is named.
    Both(Place),
}

/// Says what a statement is about.
pub(super) fn survey(query: &Query, model: &Model) -> About {
    let mut survey = Survey { model: Some(model), ..Survey::default() };
    survey.query(query);
    match (survey.source, survey.catalog, survey.either) {
        (Some(source), Some(catalog), _) => About::Both(later(source, catalog)),
        (Some(_), None, _) | (None, None, false) => About::Source,
        (None, Some(_), _) | (None, None, true) => About::Catalog,
    }
}

/// Whether something in a query can only be answered by a catalog.
pub(in crate::plan) fn asks_catalog(query: &Query) -> bool {
    let mut survey = Survey::default();
    survey.query(query);
    survey.catalog.is_some()
}

/// Schema and name of a relation of the server's own, where a name means one. As in PostgreSQL, its names come before
/// those of any other schema.
pub(super) fn system_relation(name: &Path, model: Option<&Model>) -> Option<(String, String)> {
    let of = |schema: &Name, name: &Name| (schema.text.clone(), name.text.clone());
    let (schema, name) = match name.0.as_slice() {
        [name] => ("pg_catalog".to_owned(), name.text.clone()),
        [schema, name] => of(schema, name),
        [database, schema, name] if model.is_some_and(|model| database.text == model.snapshot().source().as_str()) => {
            of(schema, name)
        }
        _ => return None,
    };
    relations::is_known(&schema, &name).then_some((schema, name))
}

#[derive(Default)]
struct Survey<'m> {
    model: Option<&'m Model>,
    /// Names of WITH queries in scope.
    common: Vec<String>,
    source: Option<Place>,
    catalog: Option<Place>,
    /// Whether it asks what a catalog is asked rather than a source, though both know.
    either: bool,
}

impl Survey<'_> {
    fn query(&mut self, query: &Query) {
        let scope = self.common.len();
        if let Some(with) = &query.with {
            if with.recursive {
                self.common.extend(with.tables.iter().map(|table| table.name.text.clone()));
            }
            for table in &with.tables {
                self.query(&table.query);
                self.common.push(table.name.text.clone());
            }
        }
        self.body(&query.body);
        let limit = query.limit.iter().map(|limit| &limit.rows);
        let orders = query.order_by.iter().map(|order| &order.by);
        orders.chain(limit).chain(&query.offset).for_each(|of| self.expression(of));
        self.common.truncate(scope);
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Select(select) => {
                let leaves = select.from.iter().flat_map(Relation::leaves);
                leaves.for_each(|relation| self.relation(relation));
                select.each_part(&mut |part| self.part(part));
            }
            Body::Values(rows) => rows.iter().flatten().for_each(|of| self.expression(of)),
            Body::Query(query) => self.query(query),
            Body::Combination { left, right, operator: _, all: _ } => {
                self.body(left);
                self.body(right);
            }
        }
    }

    /// A table or a function; what stands inside them is a part of the SELECT.
    fn relation(&mut self, relation: &Relation) {
        match relation {
            Relation::Table { name, .. } => self.table(name),
            Relation::Function { call, alias, .. } => {
                self.call(call);
                self.columns_of(alias.as_ref());
            }
            Relation::Functions { calls, alias, .. } => {
                calls.iter().for_each(|call| self.call(call));
                self.columns_of(alias.as_ref());
            }
            Relation::Query { .. } | Relation::Join { .. } => {}
        }
    }

    fn table(&mut self, name: &Path) {
        let at = place(name);
        match name.0.as_slice() {
            [single] if self.common.contains(&single.text) => {}
            _ if system_relation(name, self.model).is_some() => self.note_catalog(at),
            [schema, _] if ["pg_catalog", functions::STANDARD].contains(&schema.text.as_str()) => self.note_catalog(at),
            _ => {
                self.source.get_or_insert(at);
            }
        }
    }

    fn columns_of(&mut self, alias: Option<&Alias>) {
        let types = alias.into_iter().flat_map(|alias| &alias.columns);
        for (name, of) in types {
            if of.as_ref().is_some_and(|of| of.is_of_catalog()) {
                self.note_catalog(name.at);
            }
        }
    }

    fn part(&mut self, part: Part<'_>) {
        match part {
            Part::Expression(of) => self.expression(of),
            Part::Query(query) => self.query(query),
        }
    }

    fn expression(&mut self, of: &Expression) {
        match of {
            Expression::Cast { to, .. } if to.is_of_catalog() => self.note_catalog(beginning(of)),
            Expression::Xml(xml) => {
                if let XmlFunction::Serialize { to, .. } = &xml.function
                    && to.is_of_catalog()
                {
                    self.note_catalog(beginning(of));
                }
            }
            Expression::Call(call) => self.call(call),
            _ => {}
        }
        of.each_part(&mut |part| self.part(part));
    }

    fn call(&mut self, call: &Call) {
        let at = place(&call.name);
        if functions::idle_setting(call).is_some() {
            return self.note_catalog(at);
        }
        let (schema, name) = match call.name.0.as_slice() {
            [name] if SYNTAX_FUNCTIONS.contains(&name.text.as_str()) => return,
            [name] => ("pg_catalog", name.text.as_str()),
            [schema, name] => (schema.text.as_str(), name.text.as_str()),
            _ => return,
        };
        if functions::is_listed(schema, name) {
            match functions::is_answered_anywhere(name) {
                true => self.either = true,
                false => self.note_catalog(at),
            }
        } else if schema != "pg_catalog" || !built_in::is_built_in(name) {
            // Whether there is such a function is not told here.
            self.source.get_or_insert(at);
        }
    }

    fn note_catalog(&mut self, at: Place) {
        self.catalog.get_or_insert(at);
    }
}

/// How many arguments a call has; what an ordered-set aggregate sorts by is one, too.
pub(super) fn arguments(call: &Call) -> usize {
    let passed = match &call.arguments {
        Arguments::Everything => 0,
        Arguments::List(list) => list.len(),
    };
    passed + call.within_group.len()
}

pub(super) fn place(name: &Path) -> Place {
    name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at)
}

/// Where an expression begins, as far as that is known.
fn beginning(of: &Expression) -> Place {
    match of {
        Expression::Column(path) | Expression::EverythingOf(path) => place(path),
        Expression::Call(call) => place(&call.name),
        _ => {
            let mut first = None;
            of.each_part(&mut |part| {
                if let (None, Part::Expression(inner)) = (first, part) {
                    first = Some(beginning(inner));
                }
            });
            first.unwrap_or(Place { line: 1, column: 1 })
        }
    }
}

fn later(one: Place, other: Place) -> Place {
    if (one.line, one.column) >= (other.line, other.column) { one } else { other }
}
