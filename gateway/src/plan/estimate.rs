//! Reading a source's own estimate: PostgreSQL's `EXPLAIN (FORMAT JSON)`. Pure: text in, numbers out.
//!
//! What stands in the plan is taken at its word; how far it can be trusted is `sources`' business, which compares it
//! with what came of earlier statements. Source: <https://www.postgresql.org/docs/current/sql-explain.html>.

use serde_json::Value;

/// Levels of a plan that are read; PostgreSQL's own stay far below.
const DEPTH_MAX: usize = 500;

/// The size of a page, where nobody built the server otherwise.
const PAGE_BYTES: f64 = 8_192.0;

/// What a source says a statement would take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// In the planner's own units: 1.0 is a page read in order.
    pub cost_units: f64,
    /// Rows answered.
    pub rows: f64,
    /// Bytes read from tables.
    pub bytes: f64,
    /// Rows of the step that handles the most.
    pub rows_of_largest_step: f64,
    /// Rows that all scans of tables give together.
    pub rows_read: f64,
}

/// Reads the value that `EXPLAIN (FORMAT JSON)` gives. `None` for anything but a plan.
///
/// `bytes_of` knows how large a table is, by schema and name.
pub fn read(json: &str, bytes_of: &dyn Fn(&str, &str) -> Option<f64>) -> Option<Reading> {
    let value: Value = serde_json::from_str(json).ok()?;
    let plan = value.get(0)?.get("Plan")?;
    let mut reading =
        Reading { cost_units: number(plan, "Total Cost")?, rows: number(plan, "Plan Rows")?, ..Reading::default() };
    add(plan, &mut reading, bytes_of, DEPTH_MAX)?;
    Some(reading)
}

fn add(node: &Value, reading: &mut Reading, bytes_of: &dyn Fn(&str, &str) -> Option<f64>, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let rows = number(node, "Plan Rows")?;
    reading.rows_of_largest_step = reading.rows_of_largest_step.max(rows).max(pairs(node));
    if let Some(table) = node.get("Relation Name").and_then(Value::as_str) {
        reading.rows_read += rows;
        reading.bytes += bytes_read(node, table, rows, bytes_of);
    }
    let below = node.get("Plans").and_then(Value::as_array);
    below.into_iter().flatten().try_for_each(|node| add(node, reading, bytes_of, depth))
}

/// The pairs of rows that a nested loop looks at, however few of them its condition lets through.
fn pairs(node: &Value) -> f64 {
    if node.get("Node Type").and_then(Value::as_str) != Some("Nested Loop") {
        return 0.0;
    }
    let sides = node.get("Plans").and_then(Value::as_array).into_iter().flatten();
    let within =
        |side: &&Value| matches!(side.get("Parent Relationship").and_then(Value::as_str), Some("Outer" | "Inner"));
    sides.filter(within).filter_map(|side| number(side, "Plan Rows")).product()
}

/// A scan of the whole table reads all of it; one through an index reads about what it gives, but never more than that.
fn bytes_read(node: &Value, table: &str, rows: f64, bytes_of: &dyn Fn(&str, &str) -> Option<f64>) -> f64 {
    let schema = node.get("Schema").and_then(Value::as_str).unwrap_or_default();
    let whole = bytes_of(schema, table);
    // Without the table's size: what the cost would be if all of it were pages read in order.
    let all = whole.unwrap_or_else(|| number(node, "Total Cost").unwrap_or(0.0) * PAGE_BYTES);
    match node.get("Node Type").and_then(Value::as_str) {
        Some("Index Scan" | "Index Only Scan" | "Bitmap Heap Scan" | "Tid Scan" | "Tid Range Scan" | "Sample Scan") => {
            let width = number(node, "Plan Width").unwrap_or(0.0).max(1.0);
            // A row that is found through an index costs a page at worst, and its width at best.
            (rows * width.max(PAGE_BYTES / 8.0)).min(all)
        }
        _ => all,
    }
}

fn number(node: &Value, key: &str) -> Option<f64> {
    node.get(key)?.as_f64().filter(|number| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: &str = r#"[{"Plan": {"Node Type": "Limit", "Total Cost": 900.5, "Plan Rows": 100, "Plan Width": 40, "Plans": [
        {"Node Type": "Hash Join", "Total Cost": 20000.0, "Plan Rows": 5000000, "Plan Width": 40, "Plans": [
            {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "facts", "Total Cost": 700.0, "Plan Rows": 30000, "Plan Width": 20},
            {"Node Type": "Hash", "Total Cost": 8.0, "Plan Rows": 10, "Plan Width": 20, "Plans": [
                {"Node Type": "Index Scan", "Schema": "s", "Relation Name": "dims", "Total Cost": 8.0, "Plan Rows": 10, "Plan Width": 20}]}]}]}}]"#;

    #[test]
    fn a_plan_is_added_up() {
        let sizes = |_: &str, table: &str| (table == "facts").then_some(4_000_000.0);
        let reading = read(JOIN, &sizes).unwrap();
        assert_eq!(reading.cost_units, 900.5);
        assert_eq!(reading.rows, 100.0);
        assert_eq!(reading.rows_of_largest_step, 5e6);
        assert_eq!(reading.rows_read, 30_010.0);
        assert_eq!(reading.bytes, 4_000_000.0 + 10.0 * 1_024.0);
    }

    #[test]
    fn a_nested_loop_handles_every_pair() {
        let json = r#"[{"Plan": {"Node Type": "Nested Loop", "Total Cost": 9000.0, "Plan Rows": 30, "Plans": [
            {"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Total Cost": 70.0, "Plan Rows": 3000},
            {"Node Type": "Materialize", "Parent Relationship": "Inner", "Total Cost": 80.0, "Plan Rows": 2000},
            {"Node Type": "Result", "Parent Relationship": "SubPlan", "Total Cost": 1.0, "Plan Rows": 10}]}}]"#;
        assert_eq!(read(json, &|_, _| None).unwrap().rows_of_largest_step, 6e6);
    }

    #[test]
    fn anything_else_is_no_plan() {
        for json in ["", "{}", "[]", r#"[{"Plan": {}}]"#, r#"[{"Plan": {"Total Cost": -1, "Plan Rows": 1}}]"#, "[[[["] {
            assert_eq!(read(json, &|_, _| None), None, "{json}");
        }
    }
}
