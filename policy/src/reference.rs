//! The manual and the JSON Schema of policy files, printed from the tables that also check them.
//!
//! Both are committed, as `RULES.md` and `schema.json`; a test compares them with what is printed here. With
//! `UPDATE=1` in the environment the test writes them.

use serde_json::{Map, Value, json};

use crate::classification;
use crate::condition;
use crate::fields::{Field, Shape, Word};
use crate::rules::{ACTION_FIELDS, COMMON_FIELDS, NamedBy, RULES, RuleKind};

/// What comes before the tables of variables and functions.
const EXPRESSIONS: &str = "
### Expressions

`when` holds an expression in [CEL](https://cel.dev) in place of a `condition`:

```jsonc
{ \"name\": \"not at night\", \"action\": \"block\", \"when\": \"time.hour < 6 && 'finance' in user.groups\" }
```

It is checked when the file is loaded: unknown variables, functions and names, and comparisons that can never hold, are
problems with their place in the expression. What cannot be known when it is asked (a claim that is missing or of another
type, an estimate that the source cannot make, a number divided by zero) makes it neither true nor false, unless the rest
of the expression decides: a policy that restricts then acts, and one that allows does not.

Texts stand in single or double quotes; `r'...'` has no escapes. There are `&&`, `||`, `!`, `==`, `!=`, `<`, `<=`, `>`, `>=`,
`in`, `+`, `-`, `*`, `/`, `%`, `a ? b : c`, lists in brackets, and `// comments`. Values of different kinds cannot be
compared, where CEL would call them unequal.

";

/// The manual of every kind of rule, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "<!-- Printed from src/rules; run `UPDATE=1 cargo test -p passgate-policy` after a change. -->\n\n\
         # Rules\n\n\
         A policy file holds one policy or a list of policies, in JSON; comments and trailing commas are allowed. \
         Unknown keys are refused. Start a file with `\"$schema\"`, or point your editor at \
         [schema.json](schema.json), to have it checked as you type.\n\n\
         When several rules refuse a statement, all of them are recorded and they are told in the order of this \
         page. Deny wins.\n\n\
         ## Every policy\n\n",
    );
    page.push_str(&field_table(COMMON_FIELDS));
    page.push_str(
        "\n### applies_to\n\nWhat is said under several keys must all hold; of one list, one entry is enough.\n\n",
    );
    page.push_str(&field_table(crate::audience::FIELDS));
    page.push_str(&format!("\n## Policies with an action\n\n{}", field_table(ACTION_FIELDS)));
    page.push_str(&condition_section());
    page.push_str(EXPRESSIONS);
    page.push_str(&crate::expression::manual());
    for kind in RULES {
        page.push_str(&section(kind));
    }
    page.push_str(&classification_section());
    page
}

fn classification_section() -> String {
    let (file, entry) = (field_table(classification::FIELDS), field_table(classification::TAG_FIELDS));
    let example = include_str!("../examples/tags.json").trim();
    format!(
        "\n## tags.json\n\nThe file of this name beside the policies is no policy: it says which tables and columns have which \
         tags. So do the comments of the source: the word `tag:pii.ssn` anywhere in the comment on a table or a column. \
         Tags flow through views. A rule that names `pii` means `pii.ssn` too.\n\n{file}\n### tags\n\n{entry}\n\
         Accepted:\n\n```jsonc\n{example}\n```\n"
    )
}

/// The JSON Schema of `tags.json` (draft 7), as text.
pub fn tags_schema() -> String {
    let mut schema = object_schema(classification::FIELDS.iter(), false);
    if let Value::Object(parts) = &mut schema {
        parts.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        parts.insert("title".to_owned(), "Passgate classification: tags.json".into());
    }
    format!("{schema:#}\n")
}

fn section(kind: &RuleKind) -> String {
    let manual: Vec<&str> = kind.manual.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let mut section = format!("\n## {}\n\n{}\n", kind.name, manual.join("\n").trim());
    if !kind.fields.is_empty() {
        section.push_str(&format!("\n{}", field_table(kind.fields)));
    }
    for field in kind.fields {
        match &field.shape {
            Shape::Word(words) => section.push_str(&format!("\n### {}\n\n{}", field.name, word_table(words))),
            Shape::WordOrObject(words, fields) => {
                let (words, fields) = (word_table(words), field_table(fields));
                section.push_str(&format!("\n### {}\n\n{words}\n{fields}", field.name));
            }
            _ => {}
        }
    }
    section.push_str(&format!("\nAccepted:\n\n```jsonc\n{}\n```\n", kind.accepted.trim()));
    section.push_str(&format!(
        "\nRefused:\n\n```jsonc\n{}\n```\n\n```text\n{}\n```\n",
        kind.refused.file, kind.refused.problem
    ));
    section
}

fn word_table(words: &[Word]) -> String {
    let rows: String = words.iter().map(|word| format!("| `{}` | {} |\n", word.name, word.manual)).collect();
    format!("| Word | What it means |\n|---|---|\n{rows}")
}

/// The keys of a condition, then the tables of what stands at them: each once, under all keys that have it.
fn condition_section() -> String {
    let mut section = format!("\n### Keys of a condition\n\n{}", field_table(&condition::FIELDS));
    let mut tables: Vec<(&'static [Field], Vec<String>)> = Vec::new();
    collect_tables("", &condition::FIELDS, &mut tables);
    for (fields, paths) in tables {
        section.push_str(&format!("\n### {}\n\n{}", paths.join(", "), field_table(fields)));
    }
    section
}

fn collect_tables(above: &str, fields: &'static [Field], tables: &mut Vec<(&'static [Field], Vec<String>)>) {
    for field in fields {
        let (Shape::Object(inner) | Shape::Keyed(inner)) = field.shape else { continue };
        let path = if above.is_empty() { field.name.to_owned() } else { format!("{above}.{}", field.name) };
        match tables.iter_mut().find(|(other, _)| std::ptr::eq(*other, inner)) {
            Some((_, paths)) => paths.push(path),
            None => {
                tables.push((inner, vec![path.clone()]));
                collect_tables(&path, inner, tables);
            }
        }
    }
}

fn field_table(fields: &[Field]) -> String {
    let row = |field: &Field| {
        let needed = if field.required { " (required)" } else { "" };
        format!("| `{}`{needed} | {} | {} |\n", field.name, field.shape.described(), field.manual)
    };
    let rows: String = fields.iter().map(row).collect();
    format!("| Key | Holds | What it does |\n|---|---|---|\n{rows}")
}

/// The JSON Schema of a policy file (draft 7, which editors read), as text.
pub fn json_schema() -> String {
    let kinds: Vec<Value> = RULES.iter().map(|kind| json!({ "$ref": definition(kind.name) })).collect();
    let mut definitions: Map<String, Value> =
        RULES.iter().map(|kind| (definition_name(kind.name), kind_schema(kind))).collect();
    definitions.insert("a_condition".to_owned(), object_schema(condition::FIELDS.iter(), true));
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Passgate policy file",
        "description": "One policy, or a list of policies.",
        "anyOf": [
            { "$ref": "#/definitions/policy" },
            { "type": "array", "items": { "$ref": "#/definitions/policy" } }
        ],
        "definitions": { "policy": { "anyOf": kinds } },
    });
    if let Some(Value::Object(all)) = schema.get_mut("definitions") {
        all.extend(definitions);
    }
    format!("{schema:#}\n")
}

fn definition(name: &str) -> String {
    format!("#/definitions/{}", definition_name(name))
}

fn definition_name(kind: &str) -> String {
    format!("rule_{kind}")
}

fn kind_schema(kind: &RuleKind) -> Value {
    let named_by = kind.named_by.key();
    let common = COMMON_FIELDS.iter().filter(|field| !["check", "action"].contains(&field.name));
    let for_actions = if kind.named_by == NamedBy::Action { ACTION_FIELDS } else { &[] };
    let mut schema = object_schema(common.chain(for_actions).chain(kind.fields), false);
    let first: Vec<&str> = kind.manual.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    if let Value::Object(parts) = &mut schema {
        parts.insert("description".to_owned(), first.join(" ").into());
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(named_by.to_owned(), json!({ "const": kind.name, "description": first.join(" ") }));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required")
        && !required.contains(&named_by.into())
    {
        required.push(named_by.into());
    }
    schema
}

fn object_schema<'f>(fields: impl Iterator<Item = &'f Field> + Clone, not_empty: bool) -> Value {
    let properties: Map<String, Value> =
        fields.clone().map(|field| (field.name.to_owned(), field_schema(field))).collect();
    let required: Vec<&str> = fields.filter(|field| field.required).map(|field| field.name).collect();
    let mut schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    if let (true, Value::Object(parts)) = (not_empty, &mut schema) {
        parts.insert("minProperties".to_owned(), 1.into());
    }
    schema
}

fn field_schema(field: &Field) -> Value {
    let mut schema = match &field.shape {
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Count => json!({ "type": "integer", "minimum": 1 }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::Amount => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Shape::Word(words) => word_schema(words),
        Shape::WordOrObject(words, fields) => {
            json!({ "anyOf": [word_schema(words), object_schema(fields.iter(), true)] })
        }
        Shape::Objects(fields) => {
            json!({ "type": "array", "minItems": 1, "items": object_schema(fields.iter(), false) })
        }
        Shape::Number => json!({ "type": "number" }),
        Shape::Range => json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": { "type": "number" } }),
        Shape::Literal => json!({ "type": LITERAL_TYPES }),
        Shape::Literals => json!({ "type": "array", "minItems": 1, "items": { "type": LITERAL_TYPES } }),
        Shape::Words(words) => {
            let names: Vec<_> = words.iter().map(|word| word.name).collect();
            json!({ "type": "array", "minItems": 1, "items": { "enum": names } })
        }
        Shape::Names => json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } }),
        Shape::Object(fields) => object_schema(fields.iter(), true),
        Shape::Keyed(fields) => json!({
            "type": "object", "minProperties": 1, "additionalProperties": object_schema(fields.iter(), true)
        }),
        // Keys beside `$ref` are ignored in draft 7, hence `allOf`.
        Shape::Condition => json!({ "allOf": [{ "$ref": "#/definitions/a_condition" }] }),
        Shape::Conditions => {
            json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/definitions/a_condition" } })
        }
    };
    if let Value::Object(parts) = &mut schema {
        parts.insert("description".to_owned(), field.manual.into());
    }
    schema
}

/// What may be compared with a claim.
const LITERAL_TYPES: &[&str] = &["string", "number", "boolean"];

fn word_schema(words: &[Word]) -> Value {
    json!({ "enum": words.iter().map(|word| word.name).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(name: &str, printed: &str) {
        let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, printed).expect("the file is written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == printed, "{name} is out of date: run `UPDATE=1 cargo test -p passgate-policy`");
    }

    #[test]
    fn the_committed_manual_is_the_printed_one() {
        compare("RULES.md", &reference());
    }

    #[test]
    fn the_committed_schema_of_tags_is_the_printed_one() {
        compare("tags.schema.json", &tags_schema());
    }

    #[test]
    fn the_committed_schema_is_the_printed_one() {
        compare("schema.json", &json_schema());
    }
}
