//! `catalog.json`: what a source holds, written down, so that policies can be tested where no source is.
//!
//! `passgate policy catalog` writes it from a source; people shorten it or write it by hand. It says what rules may look
//! at and nothing else: no row of the source is in it.

use std::collections::BTreeMap;

use passgate_connectors::{Column, Function, Metadata, Relation, RelationKind};
use passgate_policy::SourceName;
use serde::{Deserialize, Serialize};

use crate::catalog::Snapshot;

/// A catalog, as a file says it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Where an editor finds the schema; ignored otherwise.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The source's name in the settings.
    pub source: String,
    /// The schema that unqualified names mean.
    pub default_schema: String,
    /// Tables and views, by `schema.table`.
    pub tables: BTreeMap<String, Table>,
    /// Functions that are not built in, as `schema.function(type, ...)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
}

/// A table or view.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// What it is.
    #[serde(skip_serializing_if = "Kind::is_table")]
    pub kind: Kind,
    /// Columns in order, each with its type, as `"name": "integer"`, or with its comment too.
    pub columns: serde_json::Map<String, serde_json::Value>,
    /// The comment on it; `tag:` words in it are tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The keys under which there is at most one row: lists of columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Vec<String>>,
    /// For a view: the query it stands for, with every name qualified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// What a view reads, or what a table is a partition or child of, as `schema.table`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub built_on: Vec<String>,
    /// Functions that a view calls and that are not built in, as `schema.function`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A table.
    #[default]
    Table,
    /// A view.
    View,
    /// A materialised view.
    MaterializedView,
}

impl Kind {
    fn is_table(&self) -> bool {
        *self == Self::Table
    }
}

/// A column that has more than a type.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LongColumn {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Document {
    /// The snapshot that a source holding this would give; or what is wrong with it.
    pub fn snapshot(&self) -> Result<Snapshot, String> {
        let relations = self.tables.iter().map(|(name, table)| relation(name, table)).collect::<Result<_, _>>()?;
        let functions = self.functions.iter().map(|written| function(written)).collect::<Result<_, _>>()?;
        let metadata = Metadata { server_version: "15.0".to_owned(), relations, functions, ..Metadata::default() };
        Ok(Snapshot::new(SourceName::new(&self.source), self.default_schema.clone(), metadata))
    }

    /// What a snapshot holds, to be written down.
    pub fn of(snapshot: &Snapshot) -> Self {
        let table = |relation: &Relation| Table {
            kind: match relation.kind {
                RelationKind::Table => Kind::Table,
                RelationKind::View => Kind::View,
                RelationKind::MaterializedView => Kind::MaterializedView,
            },
            columns: relation.columns.iter().map(|column| (column.name.clone(), written_column(column))).collect(),
            comment: relation.comment.clone(),
            keys: relation.unique_keys.clone(),
            definition: relation.definition.clone(),
            built_on: relation.built_on.iter().map(|(schema, name)| joined(schema, name)).collect(),
            calls: relation.calls.iter().map(|(schema, name)| joined(schema, name)).collect(),
        };
        let written = |function: &Function| {
            format!("{}({})", joined(&function.schema, &function.name), function.arguments.join(", "))
        };
        let mut functions: Vec<String> = snapshot.functions().map(written).collect();
        functions.sort();
        Self {
            schema: None,
            source: snapshot.source().to_string(),
            default_schema: snapshot.default_schema().to_owned(),
            tables: snapshot
                .relations()
                .map(|entry| (joined(&entry.relation.schema, &entry.relation.name), table(&entry.relation)))
                .collect(),
            functions,
        }
    }
}

fn relation(written: &str, table: &Table) -> Result<Relation, String> {
    let (schema, name) = split(written)?;
    let columns = table.columns.iter().map(|(name, value)| column(written, name, value)).collect::<Result<_, _>>()?;
    let pairs = |names: &[String]| names.iter().map(|name| split(name)).collect::<Result<Vec<_>, _>>();
    Ok(Relation {
        schema,
        name,
        kind: match table.kind {
            Kind::Table => RelationKind::Table,
            Kind::View => RelationKind::View,
            Kind::MaterializedView => RelationKind::MaterializedView,
        },
        columns,
        comment: table.comment.clone(),
        built_on: pairs(&table.built_on)?,
        unique_keys: table.keys.clone(),
        definition: table.definition.clone(),
        calls: pairs(&table.calls)?,
        ..Relation::default()
    })
}

fn column(table: &str, name: &str, value: &serde_json::Value) -> Result<Column, String> {
    let long = match value {
        serde_json::Value::String(type_name) => LongColumn { type_name: type_name.clone(), comment: None },
        value => LongColumn::deserialize(value).map_err(|error| format!("column {table}.{name}: {error}"))?,
    };
    Ok(Column { name: name.to_owned(), type_name: long.type_name, comment: long.comment, ..Column::default() })
}

fn written_column(column: &Column) -> serde_json::Value {
    match &column.comment {
        None => column.type_name.clone().into(),
        Some(comment) => serde_json::json!({ "type": column.type_name, "comment": comment }),
    }
}

/// `schema.function(type, type)`.
fn function(written: &str) -> Result<Function, String> {
    let (name, arguments) = written.split_once('(').unwrap_or((written, ")"));
    let (schema, name) = split(name)?;
    let arguments = arguments.trim_end_matches(')').split(',').map(str::trim).filter(|argument| !argument.is_empty());
    Ok(Function { schema, name, arguments: arguments.map(str::to_owned).collect(), ..Function::default() })
}

/// `schema.name`; a part that holds a dot stands in double quotes.
fn split(written: &str) -> Result<(String, String), String> {
    let fault = || format!("\"{written}\" is not \"schema.name\"; put a part that holds a dot in double quotes");
    let (schema, rest) = part(written).ok_or_else(fault)?;
    let (name, rest) = rest.strip_prefix('.').and_then(part).ok_or_else(fault)?;
    if rest.is_empty() { Ok((schema, name)) } else { Err(fault()) }
}

fn part(written: &str) -> Option<(String, &str)> {
    let Some(mut rest) = written.strip_prefix('"') else {
        let end = written.find('.').unwrap_or(written.len());
        let (part, rest) = written.split_at_checked(end)?;
        return (!part.is_empty()).then(|| (part.to_owned(), rest));
    };
    let mut part = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, after)),
        }
    }
}

fn joined(schema: &str, name: &str) -> String {
    let quoted = |part: &str| match part.contains(['.', '"']) {
        true => format!("\"{}\"", part.replace('"', "\"\"")),
        false => part.to_owned(),
    };
    format!("{}.{}", quoted(schema), quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_reads_back() {
        let text = r#"{
            "source": "warehouse", "default_schema": "a",
            "tables": {
                "a.members": { "columns": { "id": "integer", "ssn": { "type": "text", "comment": "tag:pii.ssn" } }, "keys": [["id"]] },
                "a.\"odd.name\"": { "kind": "view", "columns": { "id": "integer" }, "definition": "SELECT members.id FROM a.members", "built_on": ["a.members"] }
            },
            "functions": ["a.f(date, text)"]
        }"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let snapshot = document.snapshot().unwrap();
        let view = snapshot.relation("a", "odd.name").unwrap();
        assert_eq!(view.built_on.iter().map(|facts| facts.name.to_string()).collect::<Vec<_>>(), ["a.members"]);
        assert!(snapshot.has_function("a", "f"));
        let again = Document::of(&snapshot);
        assert_eq!(serde_json::to_value(&again.tables).unwrap(), serde_json::to_value(&document.tables).unwrap());
    }

    #[test]
    fn a_name_of_one_part_is_refused() {
        let document: Document =
            serde_json::from_str(r#"{ "source": "s", "default_schema": "a", "tables": { "members": {} } }"#).unwrap();
        assert!(document.snapshot().unwrap_err().starts_with("\"members\" is not \"schema.name\""));
    }
}
