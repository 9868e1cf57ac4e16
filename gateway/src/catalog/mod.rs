//! What tables, columns and functions there are: an immutable snapshot per source.

mod lineage;
pub mod shadow;
mod tags;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use passgate_connectors::{Function, Metadata, Relation, RelationKind, Schema, Sequence, Type};
use passgate_policy::{ColumnFacts, Known, SourceName, TableFacts, TableKind, TableName};

/// How clients' questions about the catalog are answered. Section `catalog` of the settings.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Catalog")]
pub struct Config {
    /// Where.
    pub shadow: passgate_connectors::postgres::shadow::Config,
}

/// What one source held when it was last read. Names resolve here and nowhere else.
#[derive(Debug)]
pub struct Snapshot {
    source: SourceName,
    default_schema: String,
    relations: HashMap<String, HashMap<String, Entry>>,
    functions: HashMap<String, HashMap<String, Vec<Function>>>,
    schemas: Vec<Schema>,
    types: Vec<Type>,
    sequences: Vec<Sequence>,
    server_version: String,
}

/// A relation, and what follows from it and the others.
#[derive(Debug)]
pub struct Entry {
    /// As the source describes it.
    pub relation: Arc<Relation>,
    /// As rules know it.
    pub facts: Arc<TableFacts>,
    /// The tables it is built on through every layer: what a view reads, the children that answer with a table, and the
    /// parents that a child's rows also appear in.
    pub built_on: Arc<[Arc<TableFacts>]>,
}

impl Snapshot {
    /// Arranges a crawl for looking names up. Unqualified names resolve in `default_schema` only.
    pub fn new(source: SourceName, default_schema: String, metadata: Metadata) -> Self {
        let lineages = lineage::closures(&source, &metadata.relations);
        let facts: Vec<Arc<TableFacts>> = metadata
            .relations
            .iter()
            .zip(&lineages)
            .map(|(relation, lineage)| Arc::new(table_facts(&source, relation, lineage)))
            .collect();
        let by_name: HashMap<&TableName, &Arc<TableFacts>> = facts.iter().map(|facts| (&facts.name, facts)).collect();
        // What a table is built on may be of the server itself, and so not in the crawl: then its name is all there is.
        let known = |name: &TableName| match by_name.get(name) {
            Some(facts) => Arc::clone(facts),
            None => Arc::new(TableFacts::named(name.clone())),
        };
        let closures: Vec<Arc<[Arc<TableFacts>]>> =
            lineages.iter().map(|lineage| lineage.closure().into_iter().map(known).collect()).collect();
        let mut relations: HashMap<String, HashMap<String, Entry>> = HashMap::new();
        for ((relation, built_on), facts) in metadata.relations.into_iter().zip(closures).zip(&facts) {
            let names = relations.entry(relation.schema.clone()).or_default();
            let name = relation.name.clone();
            names.insert(name, Entry { relation: Arc::new(relation), facts: Arc::clone(facts), built_on });
        }
        let mut functions: HashMap<String, HashMap<String, Vec<Function>>> = HashMap::new();
        for function in metadata.functions {
            let names = functions.entry(function.schema.clone()).or_default();
            names.entry(function.name.clone()).or_default().push(function);
        }
        let Metadata { server_version, schemas, types, sequences, .. } = metadata;
        Self { source, default_schema, relations, functions, schemas, types, sequences, server_version }
    }

    /// The source.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// The schema of unqualified names.
    pub fn default_schema(&self) -> &str {
        &self.default_schema
    }

    /// The server's version.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// A relation by its exact names.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Entry> {
        self.relations.get(schema)?.get(name)
    }

    /// Whether there is a schema of this name that holds a relation.
    pub fn has_schema(&self, schema: &str) -> bool {
        self.relations.contains_key(schema)
    }

    /// Every relation, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Entry> {
        self.relations.values().flat_map(HashMap::values)
    }

    /// Every schema, those without a relation too.
    pub fn schemas(&self) -> &[Schema] {
        &self.schemas
    }

    /// Every type that somebody made.
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// Every sequence.
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// Every function that is not built in, in no order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values().flat_map(HashMap::values).flatten()
    }

    /// The functions of this name that are not built in, which differ in their arguments.
    pub fn functions_named(&self, schema: &str, name: &str) -> &[Function] {
        self.functions.get(schema).and_then(|names| names.get(name)).map_or(&[], Vec::as_slice)
    }

    /// Tells policies what there is: the source, its tables with their columns and the tags of its own comments, its
    /// functions.
    pub fn describe(&self, known: &mut Known) {
        known.add_source(self.source.clone());
        for facts in self.relations().map(|entry| &entry.facts) {
            known.add_table(facts.name.clone());
            facts.tags.iter().for_each(|tag| known.add_table_tag(tag.clone()));
            for column in &facts.columns {
                known.add_column(facts.name.clone(), column.name.clone(), column.type_name.clone());
                column.tags.iter().for_each(|tag| known.add_column_tag(tag.clone()));
            }
        }
        for function in self.functions() {
            let Function { schema, name, arguments, .. } = function;
            known.add_function(self.source.clone(), schema.clone(), name.clone(), arguments);
        }
    }

    /// Whether there is a function of this name that is not built in.
    pub fn has_function(&self, schema: &str, name: &str) -> bool {
        !self.functions_named(schema, name).is_empty()
    }
}

fn table_facts(source: &SourceName, relation: &Relation, lineage: &lineage::Lineage) -> TableFacts {
    let column = |column: &passgate_connectors::Column| ColumnFacts {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        tags: tags::in_comment(column.comment.as_deref()),
        inherited_tags: BTreeSet::new(),
    };
    TableFacts {
        name: TableName { source: source.clone(), schema: relation.schema.clone(), table: relation.name.clone() },
        kind: match relation.kind {
            RelationKind::Table => TableKind::Table,
            RelationKind::View => TableKind::View,
            RelationKind::MaterializedView => TableKind::MaterializedView,
        },
        columns: relation.columns.iter().map(column).collect(),
        tags: tags::in_comment(relation.comment.as_deref()),
        inherited_tags: BTreeSet::new(),
        parents: lineage.parents.clone(),
        children: lineage.children.clone(),
        reads: lineage.reads.clone(),
    }
}
