//! Writes the full name of everything of the server's own into the tree of a statement of the catalog, so that nothing
//! else can be meant, and notes what it calls.

use passgate_policy::{FunctionUse, Place};

use super::{Introspection, activity, functions, relations, settings, survey};
use crate::plan::functions as built_in;
use crate::plan::model::Model;
use crate::plan::{Error, OWN_SCHEMA};
use crate::statement::tree::{Body, Call, Expression, Item, Name, Path, Query, Relation};
use crate::statement::{PartMut, SYNTAX_FUNCTIONS};

type Result<T> = std::result::Result<T, Error>;

/// Settles the names of a statement that is about the catalog.
pub(super) fn settle(query: &mut Query, model: &Model) -> Result<Introspection> {
    let mut settler = Settler { model, common: Vec::new(), beside: false, found: Introspection::default() };
    settler.query(query)?;
    Ok(settler.found)
}

struct Settler<'m> {
    model: &'m Model,
    /// Names of WITH queries in scope.
    common: Vec<String>,
    /// Whether what is read stands beside a list of what there is.
    beside: bool,
    found: Introspection,
}

impl Settler<'_> {
    fn query(&mut self, query: &mut Query) -> Result<()> {
        let scope = self.common.len();
        if let Some(with) = &mut query.with {
            if with.recursive {
                self.common.extend(with.tables.iter().map(|table| table.name.text.clone()));
            }
            for table in &mut with.tables {
                self.query(&mut table.query)?;
                self.common.push(table.name.text.clone());
            }
        }
        self.body(&mut query.body)?;
        let limit = query.limit.iter_mut().map(|limit| &mut limit.rows);
        let orders = query.order_by.iter_mut().map(|order| &mut order.by);
        orders.chain(limit).chain(&mut query.offset).try_for_each(|of| self.expression(of))?;
        self.common.truncate(scope);
        Ok(())
    }

    fn body(&mut self, body: &mut Body) -> Result<()> {
        match body {
            Body::Select(select) => {
                settings::check(select)?;
                for item in &mut select.items {
                    if let Item::EverythingOf(path) = item {
                        self.unqualify(path, 2);
                    }
                }
                self.beside = activity::is_beside(select);
                let mut leaves = select.from.iter_mut().flat_map(Relation::leaves_mut);
                leaves.try_for_each(|relation| self.relation(relation))?;
                select.each_part_mut(&mut |part| self.part(part))
            }
            Body::Values(rows) => rows.iter_mut().flatten().try_for_each(|of| self.expression(of)),
            Body::Query(query) => self.query(query),
            Body::Combination { left, right, operator: _, all: _ } => {
                self.body(left)?;
                self.body(right)
            }
        }
    }

    fn relation(&mut self, relation: &mut Relation) -> Result<()> {
        match relation {
            Relation::Table { name, .. } => self.table(name),
            Relation::Function { call, .. } => self.call(call),
            Relation::Functions { calls, .. } => calls.iter_mut().try_for_each(|call| self.call(call)),
            Relation::Query { .. } | Relation::Join { .. } => Ok(()),
        }
    }

    fn table(&mut self, name: &mut Path) -> Result<()> {
        if matches!(name.0.as_slice(), [single] if self.common.contains(&single.text)) {
            return Ok(());
        }
        let at = survey::place(name);
        let Some((schema, table)) = survey::system_relation(name, Some(self.model)) else {
            let written = name.0.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".");
            self.missing(Error::no_relation(&written, at));
            return Ok(());
        };
        if relations::is_refused(&schema, &table) && !(self.beside && activity::is_joined(&table)) {
            return Err(Error::new("42501", format!("permission denied for table {table}")).at(at));
        }
        name.0 = vec![Name { text: schema, at }, Name { text: table, at }];
        Ok(())
    }

    fn part(&mut self, part: PartMut<'_>) -> Result<()> {
        match part {
            PartMut::Expression(of) => self.expression(of),
            PartMut::Query(query) => self.query(query),
        }
    }

    fn expression(&mut self, of: &mut Expression) -> Result<()> {
        match of {
            Expression::Column(path) => {
                self.unqualify(path, 3);
                if let Some(private) = path.0.last().filter(|name| relations::is_private(&name.text)) {
                    let message = format!("permission denied for column {}", private.text);
                    return Err(Error::new("42501", message).at(private.at));
                }
                self.found.privileges |= path.0.last().is_some_and(|name| relations::is_of_privileges(&name.text));
                // `t.f` is `f(t)` to PostgreSQL where t has no column f.
                if let [_, .., last] = path.0.as_slice() {
                    self.field(&last.clone());
                }
            }
            Expression::EverythingOf(path) => self.unqualify(path, 2),
            Expression::Field { name, .. } => self.field(&name.clone()),
            Expression::Call(call) => self.call(call)?,
            _ => {}
        }
        of.each_part_mut(&mut |part| self.part(part))
    }

    /// Takes the schema, and the database, from before a relation of the server's own: what it is called by is unique
    /// without them.
    fn unqualify(&self, path: &mut Path, parts: usize) {
        let source = self.model.snapshot().source().as_str();
        if path.0.len() == parts + 1 && path.0.first().is_some_and(|name| name.text == source) {
            path.0.remove(0);
        }
        let of_server = |name: &Name| ["pg_catalog", functions::STANDARD].contains(&name.text.as_str());
        if path.0.len() == parts && path.0.first().is_some_and(of_server) {
            path.0.remove(0);
        }
    }

    fn field(&mut self, name: &Name) {
        if built_in::is_impure(&name.text) && !functions::only_asks("pg_catalog", &name.text, 1) {
            self.note("pg_catalog", &name.text, 1, name.at);
        }
    }

    fn call(&mut self, call: &mut Call) -> Result<()> {
        let arguments = survey::arguments(call);
        let (schema, name, at) = match call.name.0.as_slice() {
            [name] if SYNTAX_FUNCTIONS.contains(&name.text.as_str()) => return Ok(()),
            [name] => ("pg_catalog".to_owned(), name.text.clone(), name.at),
            [schema, name] => (schema.text.clone(), name.text.clone(), schema.at),
            [first, ..] => {
                let message = "a function of another database is not supported by the gateway";
                return Err(Error::new("0A000", message).at(first.at));
            }
            [] => return Err(Error::internal()),
        };
        if schema == OWN_SCHEMA {
            return Err(Error::own_schema(&name, at));
        }
        let known = match schema.as_str() {
            "pg_catalog" => built_in::is_built_in(&name) || functions::is_listed(&schema, &name),
            _ => functions::is_listed(&schema, &name),
        };
        if !known {
            self.missing(Error::new("42883", format!("function {name} does not exist")).at(at));
        }
        if functions::idle_setting(call).is_none() {
            self.note(&schema, &name, arguments, at);
        }
        call.name.0 = vec![Name { text: schema, at }, Name { text: name, at }];
        Ok(())
    }

    fn note(&mut self, schema: &str, name: &str, arguments: usize, at: Place) {
        let pure = functions::only_asks(schema, name, arguments)
            || (schema == "pg_catalog" && built_in::is_pure(name, arguments));
        // What stands in `information_schema` is the server's own, and one of the built-in functions to a policy.
        let schema = if schema == functions::STANDARD && pure { "pg_catalog" } else { schema };
        let (schema, name) = (schema.to_owned(), name.to_owned());
        self.found.functions.push(FunctionUse { schema, name, forms: Vec::new(), pure, at });
    }

    fn missing(&mut self, error: Error) {
        self.found.missing.get_or_insert(error);
    }
}
