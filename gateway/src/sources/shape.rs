//! A plan's shape: what EXPLAIN shows of a statement that policies govern.
//!
//! Conditions, estimates and the names of what a view hides stay here; what passes is the kind of each step and the
//! names of the tables that the statement itself names. The source is asked for JSON, whatever the client wants, and
//! what the client gets is built anew from what is known to be harmless.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use passgate_connectors::{Batch, PlanShape};
use passgate_wire::Backend;
use serde_json::{Map, Value, json};

/// Bytes of a plan that are read, and levels of it.
const BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 500;

/// An answer that is being read, until there is one to give.
#[derive(Debug)]
pub(super) struct Shaping {
    shape: PlanShape,
    /// The plan as far as it has come.
    json: Vec<u8>,
    fields: Option<Bytes>,
    answer: VecDeque<Batch>,
}

impl Shaping {
    pub(super) fn new(shape: PlanShape) -> Self {
        Self { shape, json: Vec::new(), fields: None, answer: VecDeque::new() }
    }

    /// What is left of the answer, once it is made.
    pub(super) fn next(&mut self) -> Option<Batch> {
        self.answer.pop_front()
    }

    /// Takes a part of the source's answer in; a notice goes on as it is. An error says what is wrong with the answer.
    pub(super) fn take(&mut self, batch: Batch) -> Result<Option<Batch>, &'static str> {
        match batch {
            Batch::Fields(frame) => self.fields = Some(frame),
            Batch::Rows { frames, rows: _ } => {
                self.json.extend_from_slice(first_value(&frames));
                if self.json.len() > BYTES_MAX {
                    return Err("its plan is too large");
                }
            }
            Batch::Done { tag } => self.answer = self.answered(tag).ok_or("its plan cannot be read")?,
            notice @ (Batch::Notice(_) | Batch::Copied(_)) => return Ok(Some(notice)),
        }
        Ok(None)
    }

    fn answered(&mut self, tag: String) -> Option<VecDeque<Batch>> {
        let plan: Value = serde_json::from_slice(&self.json).ok()?;
        let lines = shown(plan.get(0)?.get("Plan")?, &self.shape)?;
        let mut answer = VecDeque::with_capacity(lines.len() + 2);
        answer.extend(fields(&self.shape, self.fields.take()).map(Batch::Fields));
        for line in &lines {
            answer.push_back(Batch::Rows { frames: encoded(&Backend::TextRow(&[line]))?, rows: 1 });
        }
        answer.push_back(Batch::Done { tag });
        Some(answer)
    }
}

/// The description of the rows: as the source gives it for JSON, and of one text otherwise.
pub(super) fn fields(shape: &PlanShape, of_json: Option<Bytes>) -> Option<Bytes> {
    if shape.json { of_json } else { encoded(&Backend::TextColumns(&["QUERY PLAN"])) }
}

fn encoded(message: &Backend<'_>) -> Option<Bytes> {
    let mut frame = BytesMut::new();
    message.encode(&mut frame).ok()?;
    Some(frame.freeze())
}

/// The first column of a DataRow: a byte, the length, the number of columns, the value's length, the value.
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, DataRow.
fn first_value(frame: &[u8]) -> &[u8] {
    let length = frame.get(7..11).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
    let value = frame.get(11..).and_then(|rest| rest.get(..usize::try_from(length).unwrap_or(0)));
    value.unwrap_or_default()
}

fn shown(plan: &Value, shape: &PlanShape) -> Option<Vec<String>> {
    if shape.json {
        let plan = json!([{ "Plan": reduced(plan, shape, DEPTH_MAX)? }]);
        return serde_json::to_string_pretty(&plan).ok().map(|text| vec![text]);
    }
    let mut lines = Vec::new();
    indented(plan, shape, 0, &mut lines)?;
    Some(lines)
}

fn reduced(node: &Value, shape: &PlanShape, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut shown = Map::new();
    shown.insert("Node Type".to_owned(), kind(node)?.into());
    if let Some(table) = table(node, shape) {
        shown.insert("Relation Name".to_owned(), table.into());
    }
    let below: Vec<Value> = below(node).map(|node| reduced(node, shape, depth)).collect::<Option<_>>()?;
    if !below.is_empty() {
        shown.insert("Plans".to_owned(), below.into());
    }
    Some(shown.into())
}

fn indented(node: &Value, shape: &PlanShape, level: usize, lines: &mut Vec<String>) -> Option<()> {
    if level > DEPTH_MAX {
        return None;
    }
    let arrow = if level == 0 { String::new() } else { format!("{}->  ", " ".repeat(level * 6 - 4)) };
    let table = table(node, shape).map(|table| format!(" on {table}")).unwrap_or_default();
    lines.push(format!("{arrow}{}{table}", kind(node)?));
    below(node).try_for_each(|node| indented(node, shape, level + 1, lines))
}

/// What kind of step it is: words of PostgreSQL's own.
fn kind(node: &Value) -> Option<&str> {
    let kind = node.get("Node Type")?.as_str()?;
    kind.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ').then_some(kind)
}

/// The table of a step, if the statement names it.
fn table<'p>(node: &'p Value, shape: &PlanShape) -> Option<&'p str> {
    let (schema, table) = (node.get("Schema")?.as_str()?, node.get("Relation Name")?.as_str()?);
    shape.tables.iter().any(|(named, name)| named == schema && name == table).then_some(table)
}

fn below(node: &Value) -> impl Iterator<Item = &Value> {
    node.get("Plans").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{"Node Type": "Hash Join", "Hash Cond": "(f.ssn = 'CANARY')", "Plan Rows": 77, "Plans": [
        {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "facts", "Alias": "f", "Filter": "(region = 'CANARY')"},
        {"Node Type": "Hash", "Plans": [
            {"Node Type": "Index Scan", "Schema": "s", "Relation Name": "CANARY", "Index Name": "CANARY"}]}]}"#;

    fn lines(json: bool) -> Vec<String> {
        let shape = PlanShape { json, tables: vec![("s".to_owned(), "facts".to_owned())] };
        shown(&serde_json::from_str(PLAN).unwrap(), &shape).unwrap()
    }

    #[test]
    fn only_the_shape_passes() {
        assert_eq!(lines(false), ["Hash Join", "  ->  Seq Scan on facts", "  ->  Hash", "        ->  Index Scan"]);
        let json: Value = serde_json::from_str(&lines(true)[0]).unwrap();
        let expected = json!([{ "Plan": { "Node Type": "Hash Join", "Plans": [
            { "Node Type": "Seq Scan", "Relation Name": "facts" },
            { "Node Type": "Hash", "Plans": [{ "Node Type": "Index Scan" }] } ] } }]);
        assert_eq!(json, expected);
    }
}
