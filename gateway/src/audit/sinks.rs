//! Where lines go: one row per kind of sink.
//!
//! A sink is handed whole lines but for their place in the chain, because each sink keeps a chain of its own: a file
//! continues where it ended last year, a pipe begins anew. To add a kind: a file with its `Config` and its row here;
//! the suite in `suite.rs` then runs over it.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;

use super::record::Body;
use super::{StartError, file, standard_output};

/// A place that keeps lines.
///
/// The journal holds one sink in one thread's hands at a time, and calls it in the order lines are to appear.
pub(super) trait Sink: Send {
    /// Appends every line in order, as durably as the settings ask, or none: after an error, what was partly written
    /// is not part of the log, and the same lines may be handed over again. (A sink that cannot take back what got out
    /// keeps its chain whole around it.)
    ///
    /// Waits no longer than the sink's own limit.
    fn append(&mut self, bodies: &[Body]) -> io::Result<()>;

    /// Whether `append` may wait for longer than a write to memory takes.
    fn may_wait(&self) -> bool;
}

/// Settings of a sink that were read and make sense; nothing outside has been touched.
pub(super) trait Settings: Debug + Send + Sync {
    /// Opens the sink. `folder` is where relative paths begin.
    fn open(&self, folder: &Path) -> Result<Box<dyn Sink>, StartError>;

    /// The file that this sink's records can be read back from, if any.
    fn history(&self, _: &Path) -> Option<PathBuf> {
        None
    }
}

/// A kind of sink.
#[derive(Debug)]
pub struct Row {
    /// Its name in the settings.
    pub kind: &'static str,
    /// Its settings, for the reference.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    read: fn(serde_json::Value) -> Result<Arc<dyn Settings>, serde_json::Error>,
}

impl Row {
    const fn new<C: Settings + JsonSchema + serde::de::DeserializeOwned + 'static>(kind: &'static str) -> Self {
        Self { kind, schema: C::json_schema, read: |settings| Ok(Arc::new(serde_json::from_value::<C>(settings)?)) }
    }
}

/// Every kind of sink.
pub static SINKS: &[Row] = &[Row::new::<file::Config>("file"), Row::new::<standard_output::Config>("stdout")];

/// One entry of `sinks`: the kind, whether it must take every record, and the kind's own settings.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    pub(super) kind: &'static str,
    pub(super) required: bool,
    pub(super) settings: Arc<dyn Settings>,
}

impl<'de> serde::Deserialize<'de> for SinkConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut block = serde_json::Map::deserialize(deserializer)?;
        let kind = block.remove("type").ok_or_else(|| D::Error::missing_field("type"))?;
        let kinds = SINKS.iter().map(|row| row.kind).collect::<Vec<_>>().join(", ");
        let row = SINKS
            .iter()
            .find(|row| Some(row.kind) == kind.as_str())
            .ok_or_else(|| D::Error::custom(format!("unknown sink type {kind}; there are: {kinds}")))?;
        let required = match block.remove("required") {
            None => true,
            Some(value) => serde_json::from_value(value).map_err(D::Error::custom)?,
        };
        let settings = (row.read)(block.into()).map_err(D::Error::custom)?;
        Ok(Self { kind: row.kind, required, settings })
    }
}

impl JsonSchema for SinkConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AuditSink".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rows: Vec<Schema> = SINKS.iter().map(|row| row_schema(row, generator)).collect();
        schemars::json_schema!({ "oneOf": rows })
    }
}

/// A row's own schema, with the two keys every sink has.
fn row_schema(row: &Row, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = (row.schema)(generator);
    let object = schema.ensure_object();
    let properties = object.entry("properties").or_insert_with(|| serde_json::json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties
            .insert("type".to_owned(), serde_json::json!({ "const": row.kind, "description": "The kind of sink." }));
        properties.insert(
            "required".to_owned(),
            serde_json::json!({
                "type": "boolean",
                "default": true,
                "description": "Whether a statement is refused (58030) when this sink cannot take its record. Where \
                                false, records wait in memory until the sink is back, and the oldest are dropped, \
                                and counted in the log, when there are too many. Default: true.",
            }),
        );
    }
    let required = object.entry("required").or_insert_with(|| serde_json::json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, "type".into());
    }
    schema
}
