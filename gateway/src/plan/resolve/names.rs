//! Names to tables, columns and functions: what each means in the gateway's catalog, never by a server's search_path.

use std::sync::Arc;

use passgate_policy::{FunctionUse, Place, Redirect, TableFacts, TableKind, TableName, TableUse};

use super::columns::Columns;
use super::{Leaf, Resolver, Result};
use crate::catalog::Snapshot;
use crate::plan::model::{Entry, Unreadable, ViewBody};
use crate::plan::{Error, OWN_SCHEMA, functions};
use crate::statement::SYNTAX_FUNCTIONS;
use crate::statement::tree::{Alias, Arguments, Expression, Literal, Name, Path, Type};

impl<'m> Resolver<'m> {
    pub(super) fn table(&mut self, name: &mut Path, alias: Option<&Alias>) -> Result<Leaf<'m>> {
        let at = name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at);
        if let [single] = name.0.as_slice()
            && let Some(common) = self.common_tables.iter().rev().find(|common| common.name == single.text)
        {
            let shape = common.shape.clone();
            return Ok(self.derived_leaf(shape, alias, &single.text, at));
        }
        let (schema, table) = self.table_name(name)?;
        if schema == OWN_SCHEMA {
            return Err(Error::own_schema(&table, at));
        }
        let nowhere = name.0.len() == 1 && self.leads_nowhere(&table);
        let exists = |entry: &&Entry| !nowhere && (!self.path.hides || (self.path.sees)(entry));
        let known = self.model.relation(&schema, &table).filter(exists);
        let built_on = known.map_or_else(|| Arc::from([]), |entry| Arc::clone(&entry.built_on));
        let unique_keys = known.map_or(&[][..], |entry| entry.relation.unique_keys.as_slice());
        if known.is_none() {
            self.missing(|| {
                let written = name.0.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".");
                Error::no_relation(&written, at)
            });
        }
        if let Some(Entry { facts, view: Some(view), .. }) = known
            && facts.kind == TableKind::View
        {
            self.view(view, at);
        }
        let facts = known.map(|entry| Arc::clone(&entry.facts)).unwrap_or_else(|| {
            let source = self.snapshot().source().clone();
            let name = TableName { source, schema: schema.clone(), table: table.clone() };
            Arc::new(TableFacts::named(name))
        });
        if !nowhere {
            self.found.tables.push(TableUse { table: Arc::clone(&facts), at, built_on });
        }
        name.0 = vec![Name { text: schema.clone(), at }, Name { text: table.clone(), at }];
        let reference = self.flow.table(facts, known, at);
        let mut columns = Columns::Table(reference);
        if let Some(alias) = alias {
            columns = columns.renamed(alias, &mut self.flow);
        }
        Ok(Leaf {
            name: alias.map_or(table, |alias| alias.name.text.clone()),
            schema: alias.is_none().then_some(schema),
            columns,
            table: Some(reference),
            open: known.is_none() && alias.is_none_or(|alias| alias.columns.is_empty()),
            one_row: false,
            whole: true,
            // Under other names its columns are not those of its keys.
            unique_keys: if alias.is_none_or(|alias| alias.columns.is_empty()) { unique_keys } else { &[] },
            stored: true,
            at,
        })
    }

    /// Reading a view calls what it calls. A materialised view was filled by others, and calls nothing.
    fn view(&mut self, view: &std::result::Result<Arc<ViewBody>, Arc<Unreadable>>, at: Place) {
        let (functions, unreadable) = match view {
            Ok(body) => (&body.functions, body.unreadable.as_slice()),
            Err(unreadable) => (&unreadable.functions, std::slice::from_ref(unreadable)),
        };
        self.found.functions.extend(functions.iter().map(|function| FunctionUse { at, ..function.clone() }));
        self.found.unreadable.extend(unreadable.iter().map(|unreadable| (Arc::clone(unreadable), at)));
    }

    /// Puts another table in place of one, under the name by which the statement knows it.
    pub(super) fn redirect(&mut self, name: &mut Path, alias: &mut Option<Alias>) -> Result<()> {
        let is_common = |single: &Name| self.common_tables.iter().any(|common| common.name == single.text);
        if self.redirects.is_empty() || matches!(name.0.as_slice(), [single] if is_common(single)) {
            return Ok(());
        }
        let (schema, table) = self.table_name(name)?;
        let Some(redirect) = self.redirected_from(&schema, &table) else { return Ok(()) };
        let at = name.0.first().map_or(Place { line: 1, column: 1 }, |name| name.at);
        let to = [&redirect.to.schema, &redirect.to.table];
        *name = Path(to.map(|text| Name { text: text.clone(), at }).into());
        alias.get_or_insert_with(|| Alias { name: Name { text: table, at }, columns: Vec::new() });
        Ok(())
    }

    fn redirected_from(&self, schema: &str, table: &str) -> Option<&Redirect> {
        let source = self.snapshot().source();
        let is_meant = |from: &TableName| from.schema == schema && from.table == table && from.source == *source;
        self.redirects.iter().find(|redirect| is_meant(&redirect.from))
    }

    /// `schema.table` before a column or `.*`: a redirected table goes by its own name only.
    pub(super) fn unqualify_redirected(&self, path: &mut Path, parts: usize) {
        let redirected = |schema: &Name, table: &Name| self.redirected_from(&schema.text, &table.text).is_some();
        if path.0.len() == parts && matches!(path.0.as_slice(), [schema, table, ..] if redirected(schema, table)) {
            path.0.remove(0);
        }
    }

    /// Schema and table of a name. What PostgreSQL's own catalog would answer is named as such, never as the user's.
    pub(super) fn table_name(&self, name: &Path) -> Result<(String, String)> {
        match name.0.as_slice() {
            [table] => {
                let own = self.schema_that_holds(&table.text);
                let catalog = own.is_none() && table.text.starts_with("pg_");
                let schema = if catalog { "pg_catalog" } else { own.unwrap_or(self.schema_of_the_unknown()) };
                Ok((schema.to_owned(), table.text.clone()))
            }
            [schema, table] => Ok((schema.text.clone(), table.text.clone())),
            [database, schema, table] if database.text == self.snapshot().source().as_str() => {
                Ok((schema.text.clone(), table.text.clone()))
            }
            [database, ..] => {
                Err(Error::new("0A000", "references to another database are not supported by the gateway")
                    .at(database.at))
            }
            [] => Err(Error::internal()),
        }
    }

    /// The first schema of the path with a relation of this name that the person may know of.
    fn schema_that_holds(&self, table: &str) -> Option<&'m str> {
        let default = self.model.snapshot().default_schema();
        let holds = |schema: &&String| {
            self.model.relation(schema, table).is_some_and(|entry| *schema == default || (self.path.sees)(entry))
        };
        self.path.schemas.iter().find(holds).map(String::as_str)
    }

    /// The first schema of the path that the person knows something in.
    fn current_schema(&self) -> &str {
        let default = self.model.snapshot().default_schema();
        let mut schemas = self.path.schemas.iter().map(String::as_str);
        let known = |schema: &&str| *schema == default || self.model.relations_in(schema).any(self.path.sees);
        schemas.find(known).unwrap_or(default)
    }

    /// Where a name is said to be that the path does not lead to: in the schema where it would be without a path.
    fn schema_of_the_unknown(&self) -> &'m str {
        self.model.snapshot().default_schema()
    }

    /// Whether the path leads to no such relation, nor by the default schema: whether there is a hidden one makes no
    /// difference then.
    fn leads_nowhere(&self, table: &str) -> bool {
        let default = self.model.snapshot().default_schema();
        self.schema_that_holds(table).is_none() && !self.path.schemas.iter().any(|schema| schema == default)
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        self.model.snapshot()
    }

    pub(super) fn missing(&mut self, error: impl FnOnce() -> Error) {
        if self.found.missing.is_none() {
            self.found.missing = Some(error());
        }
    }

    /// The FROM (by depth) and the relation in it that a column belongs to.
    pub(super) fn find(&self, path: &Path) -> Option<(usize, usize)> {
        let frames = self.frames.iter().enumerate().rev().filter(|(_, frame)| !frame.hidden);
        for (depth, frame) in frames {
            let leaves = || frame.leaves.iter().enumerate().skip(frame.visible_from);
            let knows = |leaf: &Leaf<'m>, column: &str| leaf.knows(column, &self.flow);
            let found = match path.0.as_slice() {
                [column] => leaves()
                    .find(|(_, leaf)| knows(leaf, &column.text))
                    .or_else(|| leaves().find(|(_, leaf)| leaf.name == column.text))
                    .or_else(|| leaves().find(|(_, leaf)| leaf.open)),
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

    pub(super) fn column(&mut self, path: &mut Path) {
        if path.0.len() == 4 && path.0.first().is_some_and(|name| name.text == self.snapshot().source().as_str()) {
            path.0.remove(0);
        }
        self.unqualify_redirected(path, 3);
        let found = self.find(path);
        let leaf = found.and_then(|(depth, index)| self.frames.get(depth)?.leaves.get(index));
        // `t.f` is `f(t)` to PostgreSQL where t has no column f.
        if let [_, .., last] = path.0.as_slice()
            && !leaf.is_some_and(|leaf| leaf.knows(&last.text, &self.flow))
        {
            let last = last.clone();
            self.field(&last);
        }
        if let Some((depth, index)) = found
            && let Some(frame) = self.frames.get_mut(depth)
        {
            frame.touched.add(index);
        }
        self.mention(path);
        if let [_, table, _] = path.0.as_slice()
            && found.is_some()
            && self.only_one_named(&table.text) == found
        {
            path.0.remove(0);
        }
    }

    /// The innermost relation of this name, where its FROM has no other: then it needs no schema. A table that is
    /// replaced by a query of the same name has none any more.
    fn only_one_named(&self, name: &str) -> Option<(usize, usize)> {
        let mut frames = self.frames.iter().enumerate().rev().filter(|(_, frame)| !frame.hidden);
        frames.find_map(|(depth, frame)| {
            let mut leaves = frame.leaves.iter().enumerate().filter(|(_, leaf)| leaf.name == name);
            leaves.next().map(|(index, _)| leaves.next().is_none().then_some((depth, index)))
        })?
    }

    /// Notes that a relation is named in `t.*`, and takes away a schema that it does not need.
    pub(super) fn touch_table(&mut self, path: &mut Path) {
        if path.0.len() == 3 && path.0.first().is_some_and(|name| name.text == self.snapshot().source().as_str()) {
            path.0.remove(0);
        }
        let Some(table) = path.0.last() else { return };
        let found = self.find(&Path(vec![table.clone()]));
        if let Some((depth, index)) = found
            && let Some(frame) = self.frames.get_mut(depth)
        {
            frame.touched.add(index);
        }
    }

    /// A field that PostgreSQL may take for a call. Only functions of `pg_catalog` can be meant: no other schema is on
    /// the session's path.
    pub(super) fn field(&mut self, name: &Name) {
        if functions::is_impure(&name.text) {
            self.use_function("pg_catalog", &name.text, 1, name.at);
        }
    }

    /// Writes the full name of a function that is called with so many arguments into the tree. `pg_catalog` comes
    /// first, as in PostgreSQL.
    pub(super) fn function_name(&mut self, path: &mut Path, arguments: usize) -> Result<bool> {
        let (schema, name, at) = match path.0.as_slice() {
            [name] if SYNTAX_FUNCTIONS.contains(&name.text.as_str()) => return Ok(false),
            [name] => {
                let holds = |schema: &&String| self.snapshot().has_function(schema, &name.text);
                let own = self.path.schemas.iter().find(holds).filter(|_| !functions::is_built_in(&name.text));
                (own.map_or("pg_catalog", String::as_str).to_owned(), name.text.clone(), name.at)
            }
            [schema, name] => (schema.text.clone(), name.text.clone(), schema.at),
            [database, ..] => {
                return Err(Error::new("0A000", "a function of another database is not supported by the gateway")
                    .at(database.at));
            }
            [] => return Err(Error::internal()),
        };
        if schema == OWN_SCHEMA {
            return Err(Error::own_schema(&name, at));
        }
        let known = if schema == "pg_catalog" {
            functions::is_built_in(&name)
        } else {
            self.snapshot().has_function(&schema, &name)
        };
        if !known {
            self.missing(|| Error::new("42883", format!("function {name} does not exist")).at(at));
        }
        self.use_function(&schema, &name, arguments, at);
        let returns_a_set = schema != "pg_catalog" || functions::returns_a_set(&name);
        path.0 = vec![Name { text: schema, at }, Name { text: name, at }];
        Ok(returns_a_set)
    }

    pub(super) fn use_function(&mut self, schema: &str, name: &str, arguments: usize, at: Place) {
        let pure = schema == "pg_catalog" && functions::is_pure(name, arguments);
        let forms = self.snapshot().functions_named(schema, name).iter().filter(|form| form.takes(arguments));
        let forms = forms.map(|form| form.arguments.join(", ")).collect();
        self.found.functions.push(FunctionUse { schema: schema.to_owned(), name: name.to_owned(), forms, pure, at });
    }

    /// `current_schema` and `current_database`: the gateway's answer, not the source's. Tells the column's name.
    pub(super) fn session_constant(&self, of: &mut Expression) -> Option<&'static str> {
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
            "current_schema" => self.current_schema(),
            _ => self.snapshot().source().as_str(),
        };
        let literal = Expression::Literal(Literal::String(text.to_owned()));
        let to = Type { name: "name".to_owned(), modifiers: Vec::new(), dimensions: 0 };
        *of = Expression::Cast { of: Box::new(literal), to };
        Some(name)
    }
}

pub(super) fn constant_function(name: &str) -> Option<&'static str> {
    ["current_schema", "current_database"].into_iter().find(|known| *known == name)
}

pub(super) fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| name.text.clone()).collect()
}
