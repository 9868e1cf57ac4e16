//! From the tree to values, by the rooms' own schemas, with every mistake at once.
//!
//! Serde stops at its first error and does not know where it was. The schemas that the settings reference is made of
//! say the same things (which keys there are, which are needed, what they hold), so the tree is held against them
//! first: each mismatch is reported where it stands, and what is left for serde are the checks a type makes itself.
//! The schema also decides what a scalar is: `port: 5432` is a number because the port is one, and `password: 0123`
//! stays text.
//!
//! Schemas come with their subschemas inlined (see `Settings::schema`), so there are no references to follow.

use serde_json::{Map, Number, Value};

use super::document::{Content, Node, Scalar};
use super::problem::{Findings, did_you_mean, nearest};

/// Reads `node` as `schema` has it, reporting whatever does not fit. What is returned after a report is of no use.
pub(super) fn read(schema: &Value, node: &Node, path: &str, findings: &mut Findings) -> Value {
    let alternatives = alternatives(schema);
    let words = words(&alternatives);
    if !words.is_empty() {
        return read_word(&words, &alternatives, node, path, findings);
    }
    let fitting: Vec<&Value> = alternatives.iter().copied().filter(|schema| takes(schema, node)).collect();
    match fitting.as_slice() {
        [] => {
            mismatch(&alternatives, node, path, findings);
            Value::Null
        }
        [only] => read_one(only, node, path, findings),
        several => read_tagged(several, node, path, findings),
    }
}

/// The key that says which of several forms a mapping has.
const TAG: &str = "type";

/// The schemas of which one must fit.
fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        Some(options) => options.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}

/// The words to choose from, where the schemas name any.
fn words<'a>(alternatives: &[&'a Value]) -> Vec<&'a str> {
    let named = |schema: &'a Value| match (schema.get("const"), schema.get("enum")) {
        (Some(word), _) => vec![word],
        (None, Some(words)) => words.as_array().map(|words| words.iter().collect()).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    alternatives.iter().copied().flat_map(named).filter_map(Value::as_str).collect()
}

fn read_word(words: &[&str], alternatives: &[&Value], node: &Node, path: &str, findings: &mut Findings) -> Value {
    match &node.content {
        Content::Scalar(scalar) if scalar.is_null() && alternatives.iter().any(|schema| has_type(schema, "null")) => {
            return Value::Null;
        }
        Content::Scalar(scalar) if words.contains(&scalar.text.as_str()) => return scalar.text.clone().into(),
        Content::Scalar(scalar) if !scalar.is_null() && !scalar.computed => {
            let message = format!("{path}: unknown value {}", node.describe());
            findings.error(node.at, message, did_you_mean(&scalar.text, words, "the values here are"));
        }
        _ => expected(&format!("one of: {}", words.join(", ")), None, node, path, findings),
    }
    Value::Null
}

/// Reads a mapping that has several forms, told apart by its `type`.
fn read_tagged(forms: &[&Value], node: &Node, path: &str, findings: &mut Findings) -> Value {
    let tags: Vec<&str> = forms.iter().filter_map(|form| tag(form)).collect();
    if tags.is_empty() {
        return forms.first().map_or(Value::Null, |form| read_one(form, node, path, findings));
    }
    let choice = format!("write `{TAG}: ` and one of: {}", tags.join(", "));
    let Some(found) = node.get(TAG) else {
        findings.error(node.at, format!("{path}: the key {TAG:?} is missing"), Some(choice));
        return Value::Null;
    };
    match forms.iter().find(|form| tag(form).is_some() && tag(form) == found.text()) {
        Some(form) => read_one(form, node, path, findings),
        None => {
            let message = format!("{}: unknown value {}", join(path, TAG), found.describe());
            let suggestion = did_you_mean(found.text().unwrap_or_default(), &tags, "the values here are");
            findings.error(found.at, message, suggestion);
            Value::Null
        }
    }
}

fn tag(form: &Value) -> Option<&str> {
    form.get("properties")?.get(TAG)?.get("const")?.as_str()
}

/// Whether a node has the right shape for a schema, whatever is in it.
fn takes(schema: &Value, node: &Node) -> bool {
    let named = schema.get("type").is_some();
    match &node.content {
        _ if !named => true,
        Content::Scalar(scalar) if scalar.is_null() => has_type(schema, "null"),
        Content::Scalar(_) => SCALARS.iter().any(|kind| has_type(schema, kind)),
        Content::List(_) => has_type(schema, "array"),
        Content::Map(_) => has_type(schema, "object"),
    }
}

const SCALARS: [&str; 4] = ["string", "integer", "number", "boolean"];

fn has_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn read_one(schema: &Value, node: &Node, path: &str, findings: &mut Findings) -> Value {
    match &node.content {
        Content::Scalar(scalar) => read_scalar(schema, scalar, node, path, findings),
        Content::List(items) => {
            let anything = Value::Bool(true);
            let schema = schema.get("items").unwrap_or(&anything);
            let read = |(index, item)| read(schema, item, &format!("{path}[{index}]"), findings);
            items.iter().enumerate().map(read).collect()
        }
        Content::Map(_) => read_map(schema, node, path, findings),
    }
}

fn read_map(schema: &Value, node: &Node, path: &str, findings: &mut Findings) -> Value {
    let nothing = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    let mut values = Map::new();
    // Keys that are there, though misspelt: to call them missing too would be saying it twice.
    let mut meant = Vec::new();
    for (key, value) in node.entries() {
        let schema = known.get(&key.text).or_else(|| schema.get("additionalProperties"));
        match schema {
            Some(Value::Bool(false)) => {
                let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                let inside = if path.is_empty() { String::new() } else { format!(" in {path}") };
                let suggestion = did_you_mean(&key.text, &keys, "the keys here are");
                meant.extend(nearest(&key.text, keys));
                findings.error(key.at, format!("unknown key {:?}{inside}", key.text), suggestion);
            }
            schema => {
                let schema = schema.unwrap_or(&Value::Bool(true));
                values.insert(key.text.clone(), read(schema, value, &join(path, &key.text), findings));
            }
        }
    }
    report_missing(schema, node, &meant, path, findings);
    Value::Object(values)
}

fn report_missing(schema: &Value, node: &Node, meant: &[&str], path: &str, findings: &mut Findings) {
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let missing = |key: &&str| node.get(key).is_none() && !meant.contains(key);
    for key in required.iter().filter_map(Value::as_str).filter(missing) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}: ") };
        let about = schema.get("properties").and_then(|known| known.get(key)?.get("description")?.as_str());
        let about = about.and_then(|about| about.split_once(". ").map_or(Some(about), |(first, _)| Some(first)));
        let suggestion = about.map(|about| format!("{key}: {}", about.replace('\n', " ")));
        findings.error(node.at, format!("{prefix}the key {key:?} is missing"), suggestion);
    }
}

fn read_scalar(schema: &Value, scalar: &Scalar, node: &Node, path: &str, findings: &mut Findings) -> Value {
    let value = match schema.get("type") {
        None => Some(plain_value(scalar)),
        Some(_) => typed_value(schema, scalar),
    };
    match value {
        Some(value) if in_range(schema, &value) => value,
        _ => {
            mismatch(&[schema], node, path, findings);
            Value::Null
        }
    }
}

fn typed_value(schema: &Value, scalar: &Scalar) -> Option<Value> {
    if scalar.is_null() {
        return has_type(schema, "null").then_some(Value::Null);
    }
    if scalar.is_typed() {
        let number = |integers| number(&scalar.text, integers).map(Value::Number);
        let integer = if has_type(schema, "integer") { number(true) } else { None };
        let number = if has_type(schema, "number") { number(false) } else { None };
        let boolean = if has_type(schema, "boolean") { boolean(&scalar.text).map(Value::Bool) } else { None };
        if let Some(value) = integer.or(number).or(boolean) {
            return Some(value);
        }
    }
    has_type(schema, "string").then(|| Value::String(scalar.text.clone()))
}

/// What the core schema of YAML 1.2 makes of a scalar nothing is expected of.
fn plain_value(scalar: &Scalar) -> Value {
    match scalar {
        _ if scalar.is_null() => Value::Null,
        _ if !scalar.is_typed() => Value::String(scalar.text.clone()),
        _ => boolean(&scalar.text)
            .map(Value::Bool)
            .or_else(|| number(&scalar.text, false).map(Value::Number))
            .unwrap_or_else(|| Value::String(scalar.text.clone())),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn number(text: &str, integers_only: bool) -> Option<Number> {
    // Rust also reads `inf` and `nan`, which YAML writes otherwise and JSON cannot hold.
    if !text.chars().any(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let integer = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok();
    match integer {
        None if !integers_only => text.parse().ok().and_then(Number::from_f64),
        integer => integer,
    }
}

fn in_range(schema: &Value, value: &Value) -> bool {
    let Some(number) = value.as_number().and_then(Number::as_f64) else { return true };
    bound(schema, "minimum").is_none_or(|least| number >= least)
        && bound(schema, "maximum").is_none_or(|most| number <= most)
}

fn bound(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key).and_then(Value::as_f64)
}

fn mismatch(schemas: &[&Value], node: &Node, path: &str, findings: &mut Findings) {
    let mut wanted: Vec<String> = schemas.iter().flat_map(|schema| wanted(schema)).collect();
    wanted.dedup();
    expected(&wanted.join(" or "), advice(schemas, node), node, path, findings);
}

fn expected(what: &str, advice: Option<&str>, node: &Node, path: &str, findings: &mut Findings) {
    let place = if path.is_empty() { "the settings".to_owned() } else { path.to_owned() };
    let message = format!("{place}: expected {what}, found {}", node.describe());
    findings.error(node.at, message, advice.map(str::to_owned));
}

/// What a schema wants, in words. That nothing at all would do as well goes without saying.
fn wanted(schema: &Value) -> Vec<String> {
    let integer = || match (bound(schema, "minimum"), bound(schema, "maximum")) {
        (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
        (Some(least), None) => format!("a whole number of at least {least}"),
        _ => "a whole number".to_owned(),
    };
    let name = |kind: &str| match kind {
        "string" => Some("text".to_owned()),
        "integer" => Some(integer()),
        "number" => Some("a number".to_owned()),
        "boolean" => Some("true or false".to_owned()),
        "array" => Some("a list".to_owned()),
        "object" => Some("keys and values".to_owned()),
        _ => None,
    };
    ["string", "integer", "number", "boolean", "array", "object"]
        .into_iter()
        .filter(|kind| has_type(schema, kind))
        .filter_map(name)
        .collect()
}

/// What would turn the value into one that fits, where that is plain to see.
fn advice(schemas: &[&Value], node: &Node) -> Option<&'static str> {
    let wants = |kind| schemas.iter().any(|schema| has_type(schema, kind));
    match &node.content {
        Content::Scalar(scalar) if scalar.is_null() && wants("array") => {
            Some("write [] for an empty list, or remove the key")
        }
        Content::Scalar(scalar) if scalar.is_null() => Some("give it a value, or remove the key"),
        Content::Scalar(_) if wants("array") => Some("put the value in brackets: [ ... ]"),
        Content::Scalar(scalar) if wants("boolean") && matches!(scalar.text.as_str(), "yes" | "on") => {
            Some("write true")
        }
        Content::Scalar(scalar) if wants("boolean") && matches!(scalar.text.as_str(), "no" | "off") => {
            Some("write false")
        }
        Content::Scalar(scalar)
            if !scalar.is_typed() && (boolean(&scalar.text).is_some() || number(&scalar.text, false).is_some()) =>
        {
            Some("remove the quotes")
        }
        Content::Map(_) if wants("array") => Some("begin each entry with \"- \""),
        _ => None,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
