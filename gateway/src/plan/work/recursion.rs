//! What ends a recursive query. Separate because it is a question of its own: not how much, but whether ever.

use super::constants::number;
use super::{each_below, has_window, is_aggregate, names_something};
use crate::statement::tree::{Arguments, Body, CommonTable, Expression, JoinCondition, Limit, Path, Query, Relation};

/// A recursive query that its reader stops after as many rows may do without a condition.
const STOPPED_AFTER_MAX: f64 = 10_000.0;

/// Functions whose result is as long as their arguments together.
const JOINING: &[&str] = &["array_cat", "concat", "concat_ws", "format", "power", "replace"];

/// What may end the recursive part of a query.
#[derive(Default)]
pub(super) struct Brakes<'t> {
    pub(super) own: &'t str,
    pub(super) any: bool,
    /// The largest number that the recursive part compares with.
    pub(super) bound: Option<f64>,
}

impl Brakes<'_> {
    pub(super) fn body(&mut self, body: &Body) {
        match body {
            Body::Select(select) => {
                select.from.iter().for_each(|relation| self.relation(relation));
                select.filter.iter().chain(&select.having).for_each(|of| self.condition(of));
            }
            Body::Query(query) => {
                self.any |= query.limit.is_some();
                self.body(&query.body);
            }
            Body::Values(_) => self.any = true,
            Body::Combination { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
        }
    }

    fn relation(&mut self, relation: &Relation) {
        match relation {
            // Any other relation runs out, or matches nothing at some point.
            Relation::Table { name, .. } => self.any |= name.0.len() != 1 || name.0.iter().any(|n| n.text != self.own),
            Relation::Query { query, .. } => self.body(&query.body),
            Relation::Function { .. } | Relation::Functions { .. } => {}
            Relation::Join { left, right, on, .. } => {
                self.relation(left);
                self.relation(right);
                if let JoinCondition::On(on) = on {
                    self.condition(on);
                }
            }
        }
    }

    /// A condition that names anything at all may end it; one of constants never does.
    fn condition(&mut self, of: &Expression) {
        self.any |= names_something(of);
        let mut largest = self.bound;
        each_below(of, &mut |part| {
            if let Some(number) = number(part) {
                largest = Some(largest.unwrap_or(0.0).max(number));
            }
        });
        self.bound = largest;
    }
}

/// Whether an expression puts a column beside itself in what grows by it: `s || s`, `n * n`, `concat(s, s)`.
pub(super) fn joins_to_itself(of: &Expression) -> bool {
    let mut found = false;
    each_below(of, &mut |part| {
        found |= match part {
            Expression::Infix { operator, left, right } if ["||", "*", "^"].contains(&operator.as_str()) => {
                share_a_column(&[left, right])
            }
            Expression::Call(call) => match (&call.arguments, call.name.0.last()) {
                (Arguments::List(list), Some(name)) if JOINING.contains(&name.text.as_str()) => {
                    share_a_column(&list.iter().map(|(_, of)| of).collect::<Vec<_>>())
                }
                _ => false,
            },
            Expression::Array(list) => share_a_column(&list.iter().collect::<Vec<_>>()),
            _ => false,
        };
    });
    found
}

fn share_a_column(parts: &[&Expression]) -> bool {
    let mut seen: Vec<&Path> = Vec::new();
    parts.iter().any(|part| {
        let before = seen.len();
        each_below(part, &mut |of| {
            if let Expression::Column(path) = of {
                seen.push(path);
            }
        });
        let (others, own) = seen.split_at(before);
        own.iter().any(|path| others.iter().any(|other| may_be_one(path, other)))
    })
}

/// Whether two names can mean one column: the same, or one of them without its relation.
fn may_be_one(one: &Path, other: &Path) -> bool {
    let text = |path: &Path| path.0.last().map(|name| name.text.clone());
    text(one) == text(other) && (one.0.len() == 1 || other.0.len() == 1 || one == other)
}

/// The start and the recursive part of a query that reads itself.
pub(super) fn recursive_part(table: &CommonTable) -> Option<(&Body, &Body)> {
    match &table.query.body {
        Body::Combination { left, right, .. } if body_reads(right, &table.name.text) => Some((left, right)),
        _ => None,
    }
}

pub(super) fn body_reads(body: &Body, name: &str) -> bool {
    match body {
        Body::Select(select) => select.from.iter().any(|relation| relation_reads(relation, name)),
        Body::Query(query) => body_reads(&query.body, name),
        Body::Values(_) => false,
        Body::Combination { left, right, .. } => body_reads(left, name) || body_reads(right, name),
    }
}

pub(super) fn relation_reads(relation: &Relation, name: &str) -> bool {
    match relation {
        Relation::Table { name: path, .. } => matches!(path.0.as_slice(), [single] if single.text == name),
        Relation::Query { query, .. } => body_reads(&query.body, name),
        Relation::Function { .. } | Relation::Functions { .. } => false,
        Relation::Join { left, right, .. } => relation_reads(left, name) || relation_reads(right, name),
    }
}

/// The WITH query that a plain `SELECT ... FROM it LIMIT n` stops after a few rows: PostgreSQL computes no more of it
/// than is read. Source: <https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-RECURSIVE>.
pub(super) fn stopped_after(query: &Query) -> Option<String> {
    let Limit { rows, with_ties: false } = query.limit.as_ref()? else { return None };
    let skipped = query.offset.as_ref().map_or(Some(0.0), number)?;
    if number(rows)? + skipped > STOPPED_AFTER_MAX || !query.order_by.is_empty() {
        return None;
    }
    let Body::Select(select) = &query.body else { return None };
    let [Relation::Table { name, .. }] = select.from.as_slice() else { return None };
    let plain = select.distinct.is_none()
        && select.filter.is_none()
        && select.group_by.is_empty()
        && select.having.is_none()
        && !select.items.iter().any(|item| is_aggregate(item) || has_window(item));
    plain.then(|| name.0.last().map(|name| name.text.clone()))?
}
