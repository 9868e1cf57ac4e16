//! How much work a statement makes out of nothing: the facts behind `bounded_work`.
//!
//! Separate because it looks at constants, which nothing else here does. It never says less than what a constant shows;
//! what depends on a table's values counts as one row, because the table bounds it.
//!
//! A series that ends at a column of another series is bounded by that other's end, so that nesting hides nothing.

mod constants;
mod recursion;
#[cfg(test)]
mod tests;

use constants::{bound, number, product_of_numbers, series_end, series_rows, text_bytes};
use passgate_policy::{Place, Work, WorkKind};

use recursion::{Brakes, recursive_part, stopped_after};

use super::functions;
use crate::statement::Part;
use crate::statement::tree::{
    Arguments, Body, Call, CommonTable, Distinct, Expression, Grouping, Item, JoinCondition, Literal, Name, Query,
    Relation, Select, With,
};

/// Rows that a table of unknown size is taken to have where each makes a text.
const TABLE_ROWS: f64 = 1_000.0;

/// Each set of GROUPING SETS, ROLLUP and CUBE goes through all rows; so many may do so whatever the table.
const GROUPING_SETS_FEW: f64 = 64.0;

/// Less than this is never reported: no rule could care.
const ROWS_REPORTED: f64 = 1_000.0;
const BYTES_REPORTED: f64 = 1_000_000.0;

/// Measures a resolved query. Reports each kind once, at its largest.
pub(super) fn measure(query: &Query) -> Vec<Work> {
    let mut gauge = Gauge::default();
    gauge.query(query);
    gauge.found
}

#[derive(Default)]
struct Gauge {
    found: Vec<Work>,
    /// Rows that the queries of a WITH make, in scope.
    common: Vec<(String, f64)>,
    /// The largest value of a column that is a series, by the names it has.
    series: Vec<(String, f64)>,
    /// WITH queries that would not end by themselves, and whether somebody stops them.
    endless: Vec<(String, Place)>,
}

impl Gauge {
    fn report(&mut self, kind: WorkKind, amount: f64, at: Place) {
        let least = match kind {
            WorkKind::GeneratedRows => ROWS_REPORTED,
            WorkKind::GeneratedBytes => BYTES_REPORTED,
            WorkKind::EndlessRecursion | WorkKind::Backtracking | WorkKind::Factorial => 0.0,
        };
        if amount <= least {
            return;
        }
        match self.found.iter_mut().find(|work| work.kind == kind) {
            Some(work) if work.amount >= amount => {}
            Some(work) => *work = Work { kind, amount, at },
            None => self.found.push(Work { kind, amount, at }),
        }
    }

    /// The rows that a query makes out of nothing; 1 where it only reads.
    fn query(&mut self, query: &Query) -> f64 {
        let (scope, endless) = (self.common.len(), self.endless.len());
        if let Some(with) = &query.with {
            self.with(with);
        }
        let mut rows = self.body(&query.body);
        query.order_by.iter().for_each(|order| {
            self.expression(&order.by, rows);
        });
        if let Some(limit) = &query.limit {
            rows = rows.min(number(&limit.rows).unwrap_or(rows));
        }
        let stopped = stopped_after(query);
        for (name, at) in self.endless.split_off(endless) {
            if stopped.as_ref().is_none_or(|stopped| *stopped != name) {
                self.report(WorkKind::EndlessRecursion, f64::INFINITY, at);
            }
        }
        self.common.truncate(scope);
        rows
    }

    fn with(&mut self, with: &With) {
        for table in &with.tables {
            let recursion = if with.recursive { recursive_part(table) } else { None };
            let rows = match recursion {
                Some((start, again)) => self.recursion(table, start, again),
                None => self.query(&table.query),
            };
            self.common.push((table.name.text.clone(), rows));
        }
    }

    /// A recursive query ends by a condition, or because what it joins runs out.
    fn recursion(&mut self, table: &CommonTable, start: &Body, again: &Body) -> f64 {
        self.common.push((table.name.text.clone(), 1.0));
        let first = self.body(start);
        let each = self.body(again);
        self.common.pop();
        // CYCLE ends where the rows come back.
        let mut brakes = Brakes { own: &table.name.text, any: table.cycle.is_some(), ..Brakes::default() };
        brakes.body(again);
        if !brakes.any {
            self.endless.push((table.name.text.clone(), table.name.at));
        }
        let rounds = brakes.bound.unwrap_or(1.0).max(1.0);
        let doubled = self.doubled(again, brakes.bound);
        if let Some(bytes) = doubled {
            self.report(WorkKind::GeneratedBytes, bytes, table.name.at);
        }
        // Rows that multiply in every round grow without a measure.
        let rows = if each > 1.0 { f64::INFINITY } else { first * rounds };
        self.report(WorkKind::GeneratedRows, rows, table.name.at);
        rows
    }

    /// How long a value becomes that a recursive query joins to itself in every round.
    fn doubled(&self, again: &Body, rounds: Option<f64>) -> Option<f64> {
        let Body::Select(select) = again else { return None };
        let joins = |item: &Item| matches!(item, Item::Expression { of, alias: _ } if recursion::joins_to_itself(of));
        select.items.iter().any(joins).then(|| rounds.map_or(f64::INFINITY, |rounds| rounds.max(0.0).exp2()))
    }

    fn body(&mut self, body: &Body) -> f64 {
        match body {
            Body::Select(select) => self.select(select),
            Body::Query(query) => self.query(query),
            Body::Values(rows) => {
                rows.iter().flatten().for_each(|value| {
                    self.expression(value, 1.0);
                });
                1.0
            }
            Body::Combination { left, right, .. } => self.body(left) + self.body(right),
        }
    }

    fn select(&mut self, select: &Select) -> f64 {
        let scope = self.series.len();
        let mut rows = 1.0_f64;
        let equalities = select.filter.as_ref().map_or(0, equalities);
        for (index, relation) in select.from.iter().enumerate() {
            let more = self.relation(relation);
            // As many equalities as commas: joined, not multiplied.
            rows = if index > 0 && equalities >= index { rows.max(more) } else { rows * more };
        }
        let reads = select.from.iter().any(reads_a_table);
        let sets = self.parts(select, if reads { rows * TABLE_ROWS } else { rows });
        let rows = rows * sets;
        let groupings = grouping_sets(&select.group_by);
        if reads && groupings > GROUPING_SETS_FEW {
            self.report(WorkKind::GeneratedRows, groupings * TABLE_ROWS, select.at.0);
        }
        self.report(WorkKind::GeneratedRows, rows, select.at.0);
        self.series.truncate(scope);
        let aggregated = select.group_by.is_empty() && select.items.iter().any(is_aggregate);
        if aggregated { 1.0 } else { rows }
    }

    /// Measures everything of a SELECT but its FROM; tells how many rows functions in its list make of one.
    fn parts(&mut self, select: &Select, rows: f64) -> f64 {
        let mut sets = 1.0_f64;
        for item in &select.items {
            if let Item::Expression { of, alias: _ } | Item::FieldsOf(of) = item {
                sets = sets.max(self.expression(of, rows));
            }
        }
        let on = match &select.distinct {
            Some(Distinct::On(by)) => by.as_slice(),
            Some(Distinct::Rows) | None => &[],
        };
        let others = on.iter().chain(&select.filter).chain(&select.having);
        others.for_each(|of| {
            self.expression(of, rows);
        });
        for grouping in &select.group_by {
            grouping.each_part(&mut |part| {
                self.part(part, rows);
            });
        }
        for (_, window) in &select.windows {
            window.each_part(&mut |part| {
                self.part(part, rows);
            });
        }
        sets
    }

    fn relation(&mut self, relation: &Relation) -> f64 {
        match relation {
            Relation::Table { name, .. } => match name.0.as_slice() {
                [single] => {
                    let known = self.common.iter().rev().find(|(name, _)| *name == single.text);
                    known.map_or(1.0, |(_, rows)| *rows)
                }
                _ => 1.0,
            },
            Relation::Query { query, .. } => self.query(query),
            Relation::Function { call, alias, .. } => {
                let rows = self.call(call, 1.0);
                if let Some(end) = series_end(call, &self.series) {
                    let own = call.name.0.last().map(|name| name.text.clone());
                    let named = alias.iter().flat_map(|alias| {
                        std::iter::once(&alias.name).chain(alias.columns.iter().map(|(column, _)| column))
                    });
                    let names = own.into_iter().chain(named.map(|name: &Name| name.text.clone()));
                    self.series.extend(names.map(|name| (name, end)));
                }
                rows
            }
            Relation::Functions { calls, .. } => calls.iter().map(|call| self.call(call, 1.0)).fold(1.0, f64::max),
            Relation::Join { left, right, on, .. } => {
                let (left, right) = (self.relation(left), self.relation(right));
                let joined = match on {
                    JoinCondition::On(on) => {
                        self.expression(on, 1.0);
                        equalities(on) > 0
                    }
                    JoinCondition::Using(_) | JoinCondition::Natural => true,
                    JoinCondition::None => false,
                };
                if joined { left.max(right) } else { left * right }
            }
        }
    }

    fn part(&mut self, part: Part<'_>, rows: f64) -> f64 {
        match part {
            Part::Expression(of) => self.expression(of, rows),
            Part::Query(query) => {
                let inner = self.query_within(query, rows);
                inner.max(1.0)
            }
        }
    }

    /// A query inside an expression may run for each row around it.
    fn query_within(&mut self, query: &Query, rows: f64) -> f64 {
        let largest = |gauge: &Self| {
            let found = gauge.found.iter().find(|work| work.kind == WorkKind::GeneratedRows);
            found.map_or(1.0, |work| work.amount)
        };
        let mut inner = Gauge { common: self.common.clone(), series: self.series.clone(), ..Gauge::default() };
        inner.query(query);
        let made = largest(&inner);
        let around = rows / if rows >= TABLE_ROWS { TABLE_ROWS } else { 1.0 };
        for work in inner.found {
            let amount = if work.kind == WorkKind::GeneratedRows { work.amount * around.max(1.0) } else { work.amount };
            self.report(work.kind, amount, work.at);
        }
        made
    }

    /// Measures an expression that is computed for so many rows. Tells how many rows it makes of one.
    fn expression(&mut self, of: &Expression, rows: f64) -> f64 {
        match of {
            Expression::Call(call) => return self.call(call, rows),
            Expression::Infix { operator, left: _, right } if operator.contains('~') && !operator.contains('<') => {
                self.pattern(right);
            }
            Expression::Substring { from: Some(pattern), .. } => self.pattern(pattern),
            _ => {}
        }
        let mut made = 1.0_f64;
        of.each_part(&mut |part| made = made.max(self.part(part, rows)));
        made
    }

    fn call(&mut self, call: &Call, rows: f64) -> f64 {
        let mut made = 1.0_f64;
        call.each_part(&mut |part| made = made.max(self.part(part, rows)));
        let Some(name) = call.name.0.last() else { return made };
        let list = match &call.arguments {
            Arguments::List(list) => list.as_slice(),
            Arguments::Everything => &[],
        };
        let argument = |index: usize| list.get(index).map(|(_, of)| of);
        match name.text.as_str() {
            "generate_series" => {
                let own = series_rows(list, &self.series);
                self.report(WorkKind::GeneratedRows, own, name.at);
                return own * made;
            }
            "repeat" | "lpad" | "rpad" => {
                let bytes = text_bytes(&Expression::Call(Box::new(call.clone())), &self.series);
                self.report(WorkKind::GeneratedBytes, bytes * rows.max(1.0), name.at);
            }
            "array_fill" => {
                let size = argument(1).map_or(1.0, |sizes| product_of_numbers(sizes, &self.series));
                self.report(WorkKind::GeneratedBytes, size * 8.0 * rows.max(1.0), name.at);
            }
            "factorial" => {
                let of = argument(0).map_or(0.0, |of| bound(of, &self.series).unwrap_or(f64::INFINITY));
                self.report(WorkKind::Factorial, of, name.at);
            }
            called if called.starts_with("regexp_") || called == "substring" => {
                list.iter().skip(1).take(1).for_each(|(_, pattern)| self.pattern(pattern));
            }
            _ => {}
        }
        // Other functions that return sets make as many rows as what they are given holds: a list of so many, or what a
        // query inside makes.
        match argument(0) {
            Some(Expression::Array(list)) if name.text == "unnest" => made.max(constants::count(list.len())),
            _ if functions::returns_a_set(&name.text) => made,
            _ => 1.0,
        }
    }

    /// A back-reference makes matching exponential where several groups of any length may give way to each other. See
    /// the caution in <https://www.postgresql.org/docs/current/functions-matching.html#POSIX-MATCHING-RULES>.
    fn pattern(&mut self, of: &Expression) {
        let mut text = String::new();
        texts(of, &mut text);
        let bytes = text.as_bytes();
        let pairs = || bytes.iter().zip(bytes.iter().skip(1));
        let refers = pairs().any(|(one, two)| *one == b'\\' && two.is_ascii_digit() && *two != b'0');
        let groups = bytes.iter().filter(|byte| **byte == b'(').count();
        let open_ended = bytes.iter().filter(|byte| matches!(byte, b'*' | b'+')).count() + text.matches(",}").count();
        if refers && groups > 1 && open_ended > 1 {
            self.report(WorkKind::Backtracking, f64::INFINITY, place_of(of));
        }
    }
}

/// How many groupings a GROUP BY is: those of its entries, multiplied.
fn grouping_sets(group_by: &[Grouping]) -> f64 {
    let sets = |grouping: &Grouping| match grouping {
        Grouping::Expression(_) | Grouping::Set(_) => 1.0,
        Grouping::Rollup(of) => constants::count(of.len()) + 1.0,
        Grouping::Cube(of) => constants::count(of.len()).exp2(),
        Grouping::Sets(of) => of.iter().map(|one| grouping_sets(std::slice::from_ref(one))).sum(),
    };
    group_by.iter().map(sets).product()
}

fn is_aggregate(item: &Item) -> bool {
    any_call(item, &|call| {
        call.over.is_none() && call.name.0.last().is_some_and(|name| functions::is_aggregate(&name.text))
    })
}

fn has_window(item: &Item) -> bool {
    any_call(item, &|call| call.over.is_some())
}

fn any_call(item: &Item, test: &dyn Fn(&Call) -> bool) -> bool {
    let (Item::Expression { of, alias: _ } | Item::FieldsOf(of)) = item else { return false };
    let mut found = false;
    each_below(of, &mut |part| found |= matches!(part, Expression::Call(call) if test(call)));
    found
}

/// Calls `visit` with an expression and everything below it, but not with what stands in queries.
fn each_below<'t>(of: &'t Expression, visit: &mut dyn FnMut(&'t Expression)) {
    visit(of);
    let mut parts = Vec::new();
    of.each_part(&mut |part| {
        if let Part::Expression(of) = part {
            parts.push(of);
        }
    });
    parts.into_iter().for_each(|of| each_below(of, visit));
}

fn names_something(of: &Expression) -> bool {
    let mut found = false;
    each_below(of, &mut |part| {
        found |= matches!(
            part,
            Expression::Column(_)
                | Expression::EverythingOf(_)
                | Expression::Query(_)
                | Expression::Exists(_)
                | Expression::InQuery { .. }
        );
    });
    found
}

fn reads_a_table(relation: &Relation) -> bool {
    match relation {
        Relation::Table { .. } => true,
        Relation::Query { query, .. } => match &query.body {
            Body::Select(select) => select.from.iter().any(reads_a_table),
            Body::Query(_) | Body::Combination { .. } => true,
            Body::Values(_) => false,
        },
        Relation::Function { .. } | Relation::Functions { .. } => false,
        Relation::Join { left, right, .. } => reads_a_table(left) || reads_a_table(right),
    }
}

/// How many equalities of two columns a condition demands.
fn equalities(of: &Expression) -> usize {
    match of {
        Expression::And(list) => list.iter().map(equalities).sum(),
        Expression::Infix { operator, left, right } if operator == "=" => {
            usize::from(names_something(left) && names_something(right))
        }
        _ => 0,
    }
}

/// Every string in an expression, one after the other.
fn texts(of: &Expression, all: &mut String) {
    each_below(of, &mut |part| {
        if let Expression::Literal(Literal::String(text)) = part {
            all.push_str(text);
        }
    });
}

/// Where an expression stands, as far as names in it tell.
fn place_of(of: &Expression) -> Place {
    let mut at = Place { line: 1, column: 1 };
    let mut found = false;
    each_below(of, &mut |part| {
        let name = match part {
            Expression::Column(path) => path.0.first(),
            Expression::Call(call) => call.name.0.first(),
            _ => None,
        };
        if let (Some(name), false) = (name, found) {
            (at, found) = (name.at, true);
        }
    });
    at
}
