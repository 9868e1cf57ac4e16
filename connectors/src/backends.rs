//! The table of backends: a kind of source is one row here and one module.

use std::path::Path;
use std::sync::Arc;

use passgate_policy::SourceName;
use serde_json::Value;

use crate::{Connector, postgres};

/// Every kind of source there is. The settings file names a row by `type`; the rest of the block goes to the row.
pub const BACKENDS: &[Backend] = &[Backend {
    kind: "postgres",
    summary: "PostgreSQL 12 and newer, and what speaks its protocol",
    schema: |generator| <postgres::Config as schemars::JsonSchema>::json_schema(generator),
    check: |settings| match read::<postgres::Config>(settings) {
        Ok(config) => Checked { problems: config.problems(), advice: config.advice() },
        Err(problem) => Checked { problems: vec![problem], advice: Vec::new() },
    },
    open: |name, settings, folder| {
        let config = read::<postgres::Config>(settings).map_err(|problem| vec![problem])?;
        let default_schema = config.schema_name.clone();
        let connector: Arc<dyn Connector> = Arc::new(postgres::Postgres::open(name, config, folder)?);
        Ok(Source { connector, default_schema })
    },
}];

/// A kind of source.
#[derive(Clone, Copy)]
pub struct Backend {
    /// What `type` says in the settings file.
    pub kind: &'static str,
    /// What it is, in a line, for the settings reference.
    pub summary: &'static str,
    /// The settings it reads, for the settings reference.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Looks a block over (without `name` and `type`) and touches nothing outside it.
    pub check: fn(&Value) -> Checked,
    /// Makes the connector. Reads the files that the block names, relative to the folder, and connects to nothing.
    pub open: fn(SourceName, &Value, &Path) -> Result<Source, Vec<SettingProblem>>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind)
    }
}

/// What looking a block over found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What makes the block unusable.
    pub problems: Vec<SettingProblem>,
    /// What an operator should know although the block can be used.
    pub advice: Vec<String>,
}

/// A source, ready for use.
pub struct Source {
    /// Its connector.
    pub connector: Arc<dyn Connector>,
    /// The schema that unqualified names mean.
    pub default_schema: String,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Source").field("name", self.connector.name()).finish_non_exhaustive()
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting, by its name in the block; empty where the block as a whole is meant.
    pub setting: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl SettingProblem {
    pub(crate) fn new(setting: &str, message: impl Into<String>, suggestion: &str) -> Self {
        Self { setting: setting.to_owned(), message: message.into(), suggestion: Some(suggestion.to_owned()) }
    }
}

fn read<T: serde::de::DeserializeOwned>(settings: &Value) -> Result<T, SettingProblem> {
    T::deserialize(settings).map_err(|error| SettingProblem {
        setting: String::new(),
        message: error.to_string(),
        suggestion: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_describes_its_settings_and_refuses_what_it_does_not_know() {
        for backend in BACKENDS {
            let mut generator = schemars::SchemaGenerator::default();
            let schema = serde_json::to_value((backend.schema)(&mut generator)).unwrap();
            for (name, setting) in schema["properties"].as_object().unwrap() {
                let text = setting["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{}: setting {name} is not described", backend.kind);
            }
            let checked = (backend.check)(&serde_json::json!({ "no_such_setting": 1 }));
            assert!(checked.problems[0].message.contains("no_such_setting"), "{backend:?}");
            let opened = (backend.open)(SourceName::new("x"), &serde_json::json!({}), Path::new("."));
            assert!(!opened.unwrap_err().is_empty(), "{backend:?} opens without any setting");
        }
    }
}
