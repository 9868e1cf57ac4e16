//! What a source holds, as the policies in force see it: tags from every place that gives them, and views understood.
//!
//! The catalog knows relations by what the source says of them, and may not know SQL; this is where the definitions of
//! views are parsed and resolved, once for each reading of the source and each revision of the policies, and never for
//! a statement.
//!
//! ```text
//! Snapshot + PolicySet ──► tables: facts, tags ──► views, the lowest first: parsed, resolved, tags by data flow ──► Model
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use passgate_connectors::Relation;
use passgate_policy::{
    ColumnUse, FunctionUse, Place, PolicySet, Revision, TableFacts, TableKind, TableName, TableUse, Tag,
};

use super::definition;
use super::introspect;
use super::resolve::{self, FoundView};
use crate::catalog::{self, Snapshot};
use crate::statement::tree;

/// A snapshot, as the policies in force see it.
#[derive(Debug)]
pub struct Model {
    snapshot: Arc<Snapshot>,
    revision: Revision,
    relations: HashMap<String, HashMap<String, Entry>>,
}

/// A relation, and what follows from it, the others and the policies.
#[derive(Debug)]
pub struct Entry {
    /// As the source describes it.
    pub relation: Arc<Relation>,
    /// As rules know it, with every tag.
    pub facts: Arc<TableFacts>,
    /// The tables it is built on through every layer, with every tag.
    pub built_on: Arc<[Arc<TableFacts>]>,
    /// What a view or materialised view is defined as; none for a table.
    pub view: Option<Result<Arc<ViewBody>, Arc<Unreadable>>>,
}

/// A view, understood.
#[derive(Clone, Debug)]
pub struct ViewBody {
    /// Its query; every name in it is qualified.
    pub tree: tree::Query,
    /// The tables and views that it names itself, in order; the places are in its definition.
    pub tables: Vec<TableUse>,
    /// Every function that reading it calls, in views below it too, each once.
    pub functions: Vec<FunctionUse>,
    /// Views below it that cannot be read.
    pub unreadable: Vec<Arc<Unreadable>>,
    /// What each of its columns, in order, is made of: columns of views and tables below it, through every layer.
    pub columns: Vec<Vec<ColumnUse>>,
    /// Columns below it by which it chooses, joins, groups or orders rows.
    pub predicates: Vec<ColumnUse>,
}

/// A view whose definition the gateway cannot read.
#[derive(Debug)]
pub struct Unreadable {
    /// The view.
    pub view: TableName,
    /// Why.
    pub reason: String,
    /// Whether nothing in it can do more than compute, unless it is one of `functions`.
    pub only_computes: bool,
    /// Functions that the source says it calls.
    pub functions: Vec<FunctionUse>,
    /// Every table below it.
    pub built_on: Arc<[Arc<TableFacts>]>,
}

impl Model {
    /// Understands a snapshot under these policies. Takes a while for a source of many views.
    pub fn new(snapshot: Arc<Snapshot>, policies: &PolicySet) -> Self {
        let revision = policies.revision().clone();
        let mut model = Self { snapshot: Arc::clone(&snapshot), revision, relations: HashMap::new() };
        let mut entries: Vec<&catalog::Entry> = snapshot.relations().collect();
        // What a view reads is a proper part of what the views over it read, so the lowest come first.
        entries.sort_by_key(|entry| entry.facts.reads.len());
        let mut known: HashMap<&TableName, Arc<TableFacts>> = HashMap::new();
        for entry in &entries {
            if entry.facts.kind == TableKind::Table {
                known.insert(&entry.facts.name, Arc::new(tagged(&entry.facts, &snapshot, policies)));
            }
        }
        for entry in entries {
            let built_on: Arc<[Arc<TableFacts>]> =
                entry.built_on.iter().map(|facts| Arc::clone(known.get(&facts.name).unwrap_or(facts))).collect();
            let view = match entry.facts.kind {
                TableKind::Table => None,
                TableKind::View | TableKind::MaterializedView => Some(model.view(entry, &built_on)),
            };
            let facts = match (known.get(&entry.facts.name), &view) {
                (Some(facts), _) => Arc::clone(facts),
                (None, Some(view)) => {
                    let mut facts = tagged(&entry.facts, &snapshot, policies);
                    tag_columns(&mut facts, view);
                    Arc::new(facts)
                }
                (None, None) => Arc::new(tagged(&entry.facts, &snapshot, policies)),
            };
            known.insert(&entry.facts.name, Arc::clone(&facts));
            let entry = Entry { relation: Arc::clone(&entry.relation), facts, built_on, view };
            let names = model.relations.entry(entry.relation.schema.clone()).or_default();
            names.insert(entry.relation.name.clone(), entry);
        }
        model
    }

    /// Whether this is what `snapshot` is under the policies of `revision`.
    pub fn is_of(&self, snapshot: &Arc<Snapshot>, revision: &Revision) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot) && self.revision == *revision
    }

    /// What the source said of itself.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// A relation by its exact names.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Entry> {
        self.relations.get(schema)?.get(name)
    }

    /// Every relation of a schema, in no order.
    pub fn relations_in(&self, schema: &str) -> impl Iterator<Item = &Entry> {
        self.relations.get(schema).into_iter().flat_map(HashMap::values)
    }

    /// Every relation, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Entry> {
        self.relations.values().flat_map(HashMap::values)
    }

    fn view(
        &self,
        entry: &catalog::Entry,
        built_on: &Arc<[Arc<TableFacts>]>,
    ) -> Result<Arc<ViewBody>, Arc<Unreadable>> {
        let read = entry.relation.definition.as_deref().ok_or_else(|| "the source does not tell it".to_owned());
        let body = read.and_then(|text| self.body(text, &entry.relation));
        body.map(Arc::new).map_err(|reason| {
            let text = entry.relation.definition.as_deref();
            Arc::new(Unreadable {
                view: entry.facts.name.clone(),
                reason,
                only_computes: text.is_some_and(|text| definition::only_computes(text, &entry.relation.calls)),
                functions: calls(&entry.relation.calls, &self.snapshot).collect(),
                built_on: Arc::clone(built_on),
            })
        })
    }

    fn body(&self, text: &str, relation: &Relation) -> Result<ViewBody, String> {
        let mut tree = definition::parse(text)?;
        if introspect::asks_catalog(&tree) {
            return Err("it asks the catalog".to_owned());
        }
        let resolved = resolve::resolve_view(&mut tree, self, relation.columns.len());
        let FoundView { found, columns, predicates } = resolved.map_err(|error| error.to_string())?;
        if let Some(missing) = found.missing {
            return Err(missing.to_string());
        }
        let mut functions: Vec<FunctionUse> = Vec::new();
        for function in found.functions.into_iter().chain(calls(&relation.calls, &self.snapshot)) {
            let same = |known: &FunctionUse| {
                (&known.schema, &known.name, &known.forms) == (&function.schema, &function.name, &function.forms)
            };
            if !functions.iter().any(same) {
                functions.push(function);
            }
        }
        let unreadable = found.unreadable.into_iter().map(|(unreadable, _)| unreadable).collect();
        Ok(ViewBody { tree, tables: found.tables, functions, unreadable, columns, predicates })
    }
}

/// What rules know of a relation, with the tags that the policies give it and those of what its rows belong to or come
/// from.
fn tagged(facts: &TableFacts, snapshot: &Snapshot, policies: &PolicySet) -> TableFacts {
    let mut tagged = facts.clone();
    tagged.tags.extend(policies.tags_of_table(&facts.name));
    for column in &mut tagged.columns {
        column.tags.extend(policies.tags_of_column(&facts.name, &column.name));
    }
    let own = tagged.tags.clone();
    for other in facts.parents.iter().chain(&facts.reads) {
        tagged.tags.extend(policies.tags_of_table(other));
        let Some(entry) = snapshot.relation(&other.schema, &other.table) else { continue };
        tagged.tags.extend(entry.facts.tags.iter().cloned());
        if facts.kind == TableKind::Table {
            for column in &mut tagged.columns {
                let of_parent = entry.facts.column(&column.name).map(|column| &column.tags);
                column.tags.extend(of_parent.into_iter().flatten().cloned());
                column.tags.extend(policies.tags_of_column(other, &column.name));
            }
        }
    }
    // Its rows are those of its parts too.
    for child in &facts.children {
        let entry = snapshot.relation(&child.schema, &child.table);
        for column in &mut tagged.columns {
            let of_child = entry.and_then(|entry| entry.facts.column(&column.name)).map(|column| &column.tags);
            column.tags.extend(of_child.into_iter().flatten().cloned());
            column.tags.extend(policies.tags_of_column(child, &column.name));
        }
    }
    if facts.kind != TableKind::Table {
        tagged.inherited_tags = tagged.tags.difference(&own).cloned().collect();
    }
    tagged
}

/// Gives the columns of a view the tags of what they are made of; where that is not known, those of everything below.
fn tag_columns(facts: &mut TableFacts, view: &Result<Arc<ViewBody>, Arc<Unreadable>>) {
    let own: Vec<BTreeSet<Tag>> = facts.columns.iter().map(|column| column.tags.clone()).collect();
    match view {
        Ok(body) => {
            for (column, made_of) in facts.columns.iter_mut().zip(&body.columns) {
                for below in made_of.iter().filter(|below| below.in_answer) {
                    let tags = below.table.column(&below.column).map(|column| &column.tags);
                    column.tags.extend(tags.into_iter().flatten().cloned());
                }
            }
        }
        Err(unreadable) => {
            let below = unreadable.built_on.iter().flat_map(|facts| &facts.columns);
            let tags: BTreeSet<Tag> = below.flat_map(|column| &column.tags).cloned().collect();
            facts.columns.iter_mut().for_each(|column| column.tags.extend(tags.iter().cloned()));
        }
    }
    for (column, own) in facts.columns.iter_mut().zip(own) {
        column.inherited_tags = column.tags.difference(&own).cloned().collect();
    }
}

/// Functions of the warehouse's own, as the source says a view calls them: which of a name, it does not say.
fn calls(functions: &[(String, String)], snapshot: &Snapshot) -> impl Iterator<Item = FunctionUse> {
    let at = Place { line: 1, column: 1 };
    functions.iter().map(move |(schema, name)| FunctionUse {
        schema: schema.clone(),
        name: name.clone(),
        forms: snapshot.functions_named(schema, name).iter().map(|form| form.arguments.join(", ")).collect(),
        pure: false,
        at,
    })
}
