//! What tables, columns and functions there are: an immutable snapshot per source.

mod lineage;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use passgate_connectors::{Metadata, Relation};
use passgate_policy::{SourceName, TableName};

/// What one source held when it was last read. Names resolve here and nowhere else.
#[derive(Debug)]
pub struct Snapshot {
    source: SourceName,
    default_schema: String,
    relations: HashMap<String, HashMap<String, Entry>>,
    functions: HashMap<String, HashSet<String>>,
    server_version: String,
}

#[derive(Debug)]
struct Entry {
    relation: Relation,
    built_on: Arc<[TableName]>,
}

impl Snapshot {
    /// Arranges a crawl for looking names up. Unqualified names resolve in `default_schema` only.
    pub fn new(source: SourceName, default_schema: String, metadata: Metadata) -> Self {
        let built_on = lineage::closures(&source, &metadata.relations);
        let mut relations: HashMap<String, HashMap<String, Entry>> = HashMap::new();
        for (relation, built_on) in metadata.relations.into_iter().zip(built_on) {
            let names = relations.entry(relation.schema.clone()).or_default();
            names.insert(relation.name.clone(), Entry { relation, built_on });
        }
        let mut functions: HashMap<String, HashSet<String>> = HashMap::new();
        for function in metadata.functions {
            functions.entry(function.schema).or_default().insert(function.name);
        }
        Self { source, default_schema, relations, functions, server_version: metadata.server_version }
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

    /// A relation by its exact names, and the tables it is built on through every layer: what a view reads, the
    /// children that answer with a table, and the parents that a child's rows also appear in.
    pub fn relation(&self, schema: &str, name: &str) -> Option<(&Relation, &Arc<[TableName]>)> {
        let entry = self.relations.get(schema)?.get(name)?;
        Some((&entry.relation, &entry.built_on))
    }

    /// Whether there is a schema of this name that holds a relation.
    pub fn has_schema(&self, schema: &str) -> bool {
        self.relations.contains_key(schema)
    }

    /// Every relation, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values().flat_map(HashMap::values).map(|entry| &entry.relation)
    }

    /// Every function that is not built in, as schema and name, in no order.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().flat_map(|(schema, names)| names.iter().map(|name| (schema.as_str(), name.as_str())))
    }

    /// Whether there is a function of this name that is not built in.
    pub fn has_function(&self, schema: &str, name: &str) -> bool {
        self.functions.get(schema).is_some_and(|names| names.contains(name))
    }
}
