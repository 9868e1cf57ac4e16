//! The settings file: every room's `Config`, read from one YAML file with every mistake at once.
//!
//! Imported by what starts the gateway and by nothing else; each room gets its own part. A start has three steps, and
//! a mistake in one does not hide those of another entry:
//!
//! ```text
//! text ── document ──► tree with places ── template ──► env() and file() put in
//!      ── read ──► values that fit the rooms' schemas ── check ──► Settings that make sense together
//! ```
//!
//! `reference` prints the same schemas as the settings reference, so that what it says is what is checked.

mod check;
mod document;
mod problem;
mod read;
mod reference;
mod template;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

use passgate_connectors::{BACKENDS, Backend, Secret};
use passgate_policy::SourceName;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{approvals, audit, auth, catalog, http, log, server, session, sources, statement, store};
use document::{BYTES_MAX, Node};
use problem::Findings;

pub use problem::{Place, Problem, Severity};
pub use reference::reference;
pub use template::Surroundings;

/// A settings file to start from.
pub const EXAMPLE: &str = include_str!("../../passgate.example.yaml");

/// Everything the settings file says.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Settings {
    /// The name of this installation, in every log line as `env`. Default: development.
    #[schemars(default = "environment")]
    pub environment: String,
    /// Where clients connect. At least one.
    pub listeners: Vec<server::ListenerConfig>,
    /// The ways to sign in, by name; each listener chooses among them. At least one.
    #[schemars(schema_with = "sign_in_schema")]
    pub sign_in: Vec<auth::MethodConfig>,
    /// The sources of rows, by name. A client connects with the name as its `dbname`. At least one.
    #[schemars(schema_with = "databases_schema")]
    pub databases: Vec<DatabaseConfig>,
    /// The rules that statements are held against.
    pub policies: PoliciesConfig,
    /// What is recorded of each sign-in and statement, and where: a list of sinks, or a mapping with `sinks` and the
    /// rest. At least one sink: what is not recorded does not run.
    #[schemars(default)]
    pub audit: audit::Config,
    /// How much one client, one session and one statement may use.
    #[schemars(default)]
    pub limits: Limits,
    /// Where the gateway keeps its own state: tickets of held statements, and who has read which source before.
    #[schemars(default)]
    pub store: store::Config,
    /// How what clients ask about the sources' catalogs is answered.
    #[schemars(default)]
    pub catalog: catalog::Config,
    /// The listener for health and metrics. Default: none.
    #[schemars(default)]
    pub http: Option<http::Config>,
    /// What is logged, and how.
    #[schemars(default)]
    pub log: log::Config,
}

/// One entry of `databases`.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// What clients call it.
    pub name: SourceName,
    /// Its row of the table of backends.
    pub backend: &'static Backend,
    /// What that row makes of the rest of the block.
    pub settings: Value,
}

/// Where the rules are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesConfig {
    /// The folder whose `*.json` files are the policies, relative to the settings file. Read again on SIGHUP.
    pub folder: PathBuf,
    /// What masks that show a hash are made with, at least 32 characters: whoever knows it can find out what was
    /// hashed. Each tenant gets another salt from it. Changing it changes every hash. Without it, a column that a
    /// policy masks with a hash cannot be read. Default none.
    #[serde(default)]
    pub hash_secret: Option<Secret>,
    /// Roles whose holders may ask `passgate.explain` what policies would do for somebody else, and have sources read
    /// again with `passgate.sync`. Default none.
    #[serde(default)]
    pub security_roles: Vec<String>,
}

/// How much may be used, and by what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of a listener.
    pub server: server::Limits,
    /// Of one session.
    pub session: session::Config,
    /// Of signing in.
    pub sign_in: auth::Config,
    /// Of one statement.
    pub statement: statement::Limits,
    /// Of reading what the sources hold.
    pub sources: sources::Config,
    /// Of held statements.
    pub approvals: approvals::Config,
}

/// Settings that make sense, and where they came from.
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The folder that relative paths begin in: the settings file's own.
    pub folder: PathBuf,
    /// What the operator should know although the settings can be used.
    pub warnings: Vec<Problem>,
    /// The settings file, as it was named.
    file: String,
    tree: Node,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loaded").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reads a settings file, or says everything that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let file = path.display().to_string();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let text = read_text(path).map_err(|message| {
        let hint = "name the file with --config; `passgate settings --example` prints one to start from";
        let suggestion = Some(hint.to_owned());
        vec![Problem { severity: Severity::Error, file: file.clone(), at: Place::default(), message, suggestion }]
    })?;
    parse(&file, &text, &Surroundings::of_process(&folder))
}

/// Reads the text of a settings file. Opens no file but those named by `file()` expressions.
pub fn parse(file: &str, text: &str, surroundings: &Surroundings) -> Result<Loaded, Vec<Problem>> {
    let mut findings = Findings::new(file);
    let Some(mut tree) = document::parse(text, &mut findings) else { return Err(findings.into_problems()) };
    template::expand(&mut tree, surroundings, &mut findings);
    let value = read::read(&Settings::schema(), &tree, "", &mut findings);
    check::names(&tree, &mut findings);
    let settings = Settings::from_value(value, &tree, &mut findings);
    if let Some(settings) = &settings {
        check::together(settings, &tree, &mut findings);
    }
    match settings {
        Some(settings) if findings.errors() == 0 => {
            let folder = surroundings.folder.clone();
            Ok(Loaded { settings, folder, warnings: findings.into_problems(), file: file.to_owned(), tree })
        }
        _ => Err(findings.into_problems()),
    }
}

impl Loaded {
    /// The settings file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A problem that showed only when the settings were used, at the value they lead to: `["databases", "0", "host"]`.
    /// Where there is no such value, the nearest one around it is meant.
    pub fn problem(&self, path: &[&str], message: impl Into<String>, suggestion: Option<String>) -> Problem {
        let at = place_of(&self.tree, path);
        Problem { severity: Severity::Error, file: self.file.clone(), at, message: message.into(), suggestion }
    }
}

/// The place of a value, or of the innermost one around it that is there.
fn place_of(tree: &Node, path: &[&str]) -> Place {
    let mut node = tree;
    for step in path {
        let next = node.get(step).or_else(|| node.items().get(step.parse::<usize>().ok()?));
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.at
}

fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read the settings file: {error}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > BYTES_MAX {
        return Err(format!("the settings file is larger than {BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "the settings file is not UTF-8 text".to_owned())
}

impl Settings {
    /// The schema of the whole file, without references.
    pub(crate) fn schema() -> Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        settings.into_generator().into_root_schema_for::<Self>().to_value()
    }

    /// Makes each room's `Config`. What fits the schema can still fail a check that a type makes itself; that is
    /// reported at the section or the entry of a list.
    fn from_value(value: Value, tree: &Node, findings: &mut Findings) -> Option<Self> {
        let Value::Object(mut sections) = value else { return None };
        // What the schema refused, serde would refuse too, in other words and without a place.
        if findings.errors() > 0 {
            return None;
        }
        let sections = &mut Sections { values: &mut sections, tree, findings };
        let environment = sections.one("environment", Some(environment));
        let listeners = sections.list("listeners", from_value);
        let sign_in = sections.list("sign_in", from_value);
        let databases = sections.list("databases", DatabaseConfig::from_value);
        let policies = sections.one("policies", None);
        let audit = sections.one("audit", Some(audit::Config::default));
        let limits = sections.one("limits", Some(Limits::default));
        let store = sections.one("store", Some(store::Config::default));
        let catalog = sections.one("catalog", Some(catalog::Config::default));
        let http = sections.one("http", Some(Option::default));
        let log = sections.one("log", Some(log::Config::default));
        Some(Self {
            environment: environment?,
            listeners: listeners?,
            sign_in: sign_in?,
            databases: databases?,
            policies: policies?,
            audit: audit?,
            limits: limits?,
            store: store?,
            catalog: catalog?,
            http: http?,
            log: log?,
        })
    }
}

struct Sections<'a> {
    values: &'a mut Map<String, Value>,
    tree: &'a Node,
    findings: &'a mut Findings,
}

impl Sections<'_> {
    fn one<T: DeserializeOwned>(&mut self, key: &str, default: Option<fn() -> T>) -> Option<T> {
        match (self.values.remove(key), default) {
            (Some(value), _) => self.make(value, from_value, vec![key.to_owned()]),
            (None, Some(default)) => Some(default()),
            (None, None) => None,
        }
    }

    fn list<T>(&mut self, key: &str, make: fn(Value) -> Result<T, String>) -> Option<Vec<T>> {
        let Some(Value::Array(items)) = self.values.remove(key) else { return None };
        let mut entries = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            entries.push(self.make(item, make, vec![key.to_owned(), index.to_string()]));
        }
        entries.into_iter().collect()
    }

    fn make<T>(&mut self, value: Value, make: fn(Value) -> Result<T, String>, mut path: Vec<String>) -> Option<T> {
        let message = match make(value.clone()) {
            Ok(made) => return Some(made),
            Err(message) => message,
        };
        path.extend(blame(&value, &|value| make(value).err().as_ref() != Some(&message)));
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let at = place_of(self.tree, &steps);
        self.findings.error(at, format!("{}: {message}", written(&path)), None);
        None
    }
}

/// The keys that lead to the value a type refuses: the one without which the complaint is another. Serde does not say
/// where it was, and stops at the first value it refuses, so leaving out any other key changes nothing.
fn blame(value: &Value, changes: &dyn Fn(Value) -> bool) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let without = |key: &str| {
        let mut object = object.clone();
        object.shift_remove(key);
        Value::Object(object)
    };
    let Some((key, inner)) = object.iter().find(|(key, _)| changes(without(key))) else { return Vec::new() };
    let with = |inner: Value| {
        let mut object = object.clone();
        object.insert(key.clone(), inner);
        changes(Value::Object(object))
    };
    let mut path = vec![key.clone()];
    path.extend(blame(inner, &with));
    path
}

/// A path as messages show it: `listeners[0].address`.
fn written(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        match step.parse::<usize>() {
            Ok(index) => out.push_str(&format!("[{index}]")),
            Err(_) if out.is_empty() => out.push_str(step),
            Err(_) => out.push_str(&format!(".{step}")),
        }
    }
    out
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl DatabaseConfig {
    fn from_value(value: Value) -> Result<Self, String> {
        let Value::Object(mut settings) = value else { return Err("expected keys and values".to_owned()) };
        let name: String = settings.remove("name").map_or(Err("the key \"name\" is missing".to_owned()), from_value)?;
        let kind: String = settings.remove("type").map_or(Err("the key \"type\" is missing".to_owned()), from_value)?;
        let backend = BACKENDS.iter().find(|row| row.kind == kind).ok_or("there is no such type")?;
        Ok(Self { name: SourceName::new(name), backend, settings: Value::Object(settings) })
    }
}

fn environment() -> String {
    "development".to_owned()
}

fn sign_in_schema(_: &mut SchemaGenerator) -> Schema {
    let rows = auth::METHODS.iter().map(|row| (row.kind, row.manual, (row.schema)().to_value()));
    table_schema(rows, "What listeners call it.")
}

fn databases_schema(generator: &mut SchemaGenerator) -> Schema {
    let rows = BACKENDS.iter().map(|row| (row.kind, row.summary, (row.schema)(generator).to_value()));
    table_schema(rows, "What clients give as `dbname`, and what policies call it.")
}

/// A list whose entries are rows of a table, each with the schema of its own settings.
fn table_schema(rows: impl Iterator<Item = (&'static str, &'static str, Value)>, name: &str) -> Schema {
    let forms: Vec<Value> = rows
        .map(|(kind, about, mut schema)| {
            let definitions = schema.get("$defs").cloned().unwrap_or_default();
            inline(&mut schema, &definitions, 0);
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), about.into());
            }
            add_key(&mut schema, "type", json!({ "const": kind, "description": "The kind of entry." }));
            add_key(&mut schema, "name", json!({ "type": "string", "description": name }));
            schema
        })
        .collect();
    schemars::json_schema!({ "type": "array", "items": { "oneOf": forms } })
}

/// Adds a required key in front of the others.
fn add_key(schema: &mut Value, key: &str, property: Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(properties) = schema.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.shift_insert(0, key.to_owned(), property);
    }
    if let Some(required) = schema.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.insert(0, key.into());
    }
}

/// Puts definitions in place of references to them. A schema that contains itself is cut off; none does.
fn inline(schema: &mut Value, definitions: &Value, depth: usize) {
    const DEPTH_MAX: usize = 32;
    match schema {
        _ if depth > DEPTH_MAX => *schema = Value::Bool(true),
        Value::Object(object) => {
            object.remove("$defs");
            let name = object.remove("$ref");
            let name = name.as_ref().and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
            if let Some(Value::Object(definition)) = name.and_then(|name| definitions.get(name)) {
                for (key, value) in definition {
                    // What stands beside the reference (a field's own description) is nearer the point.
                    object.entry(key).or_insert_with(|| value.clone());
                }
            }
            object.values_mut().for_each(|value| inline(value, definitions, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, definitions, depth + 1)),
        _ => {}
    }
}
