//! Whether a statement needs a fence between a filter and the rest of it.
//!
//! PostgreSQL may evaluate a predicate of the asker before the filter beside it, on rows that the filter takes away. That
//! tells nothing as long as it cannot fail, cannot be slow and writes no message. A statement of such predicates only is
//! called quiet here; any other gets `OFFSET 0` beside each filter, which the optimiser does not reach through.
//!
//! The planner reaches through all the same, to statistics: to guess how many rows a condition keeps, it evaluates some
//! conditions on values that it has sampled, those of rows that the filter takes away among them, and their errors are the
//! statement's. In a statement with such a condition, columns also stand behind a [`Fence::Opaque`], as expressions of which
//! there are no statistics. PostgreSQL's own row security does without such statistics: CVE-2017-7484.
//!
//! What is quiet is what `pg_proc.proleakproof` says and a little more, each with its reason. It errs on one side: what
//! is not known to be quiet is fenced, which costs time and changes no answer.
//! Source: <https://www.postgresql.org/docs/current/rules-privileges.html>.

use std::collections::BTreeSet;

use passgate_policy::ColumnFacts;

use crate::plan::functions;
use crate::statement::tree::{
    Arguments, Body, COMPARISONS, Call, Distinct, Expression, Item, JoinCondition, Limit, Literal, Path, Query,
    Relation, Select,
};
use crate::statement::{Part, catalog_type};

/// Operators that the planner evaluates on no value it has sampled, besides comparisons: none of them is a condition.
/// Source: `oprrest` of `pg_operator`.
const VALUES: [&str; 11] = ["+", "-", "*", "/", "%", "^", "||", "->", "->>", "#>", "#>>"];

/// Functions that fail for no value. All but the last three are syntax, evaluated as comparisons are.
const FUNCTIONS: [&str; 7] = ["coalesce", "greatest", "least", "nullif", "lower", "upper", "now"];

/// Types, with their OIDs, that values of others are cast to without being told to, and do not all fit: a bigint beside an
/// oid, a numeric beside a double. Source: `castcontext` of `pg_cast`.
const NARROW: [(&str, u32); 4] = [("oid", 26), ("float4", 700), ("float8", 701), ("macaddr", 829)];

/// Wildcards of a LIKE pattern: matching takes as many nested loops.
const WILDCARDS_MAX: usize = 3;

/// Spans of which 999 do not lead beyond the first timestamp.
const SPANS: [&str; 9] = ["day", "hour", "min", "minute", "mon", "month", "second", "week", "year"];

/// Element types whose arrays can be compared: those of others fail at the first row, which tells that there is one.
const COMPARABLE: [&str; 24] = [
    "bool",
    "bpchar",
    "bytea",
    "char",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "jsonb",
    "macaddr",
    "money",
    "name",
    "numeric",
    "oid",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
];

/// What stands between a filter and the rest of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// Nothing.
    Open,
    /// No condition of the statement is evaluated before the filter.
    Closed,
    /// The same, nor on what the planner has sampled.
    Opaque,
}

impl Fence {
    /// The fence that a statement needs which is not quiet.
    pub(super) fn around(query: &Query) -> Self {
        if may_be_sampled(Part::Query(query)) { Self::Opaque } else { Self::Closed }
    }
}

/// Whether the planner may evaluate a condition in it, other than a comparison, on values that it has sampled.
fn may_be_sampled(part: Part<'_>) -> bool {
    let mut found = false;
    let mut inside = |part: Part<'_>| found = found || may_be_sampled(part);
    match part {
        Part::Query(query) => query.each_part(&mut inside),
        Part::Expression(of) => match of {
            Expression::Infix { operator, .. } if !is_unsampled(operator) => return true,
            Expression::Quantified { operator, .. } if !is_unsampled(operator) => return true,
            Expression::Like { operator, pattern, escape, .. }
                if *operator == "SIMILAR TO" || escape.is_some() || !is_plain_pattern(pattern) =>
            {
                return true;
            }
            // Other spellings of LIKE and of regular expressions. Source: `prosupport` of `pg_proc`.
            Expression::Call(call)
                if call.name.0.last().is_some_and(|name| {
                    name.text.contains("like") || name.text.contains("regex") || name.text == "starts_with"
                }) =>
            {
                return true;
            }
            of => of.each_part(&mut inside),
        },
    }
    found
}

fn is_unsampled(operator: &str) -> bool {
    COMPARISONS.contains(&operator) || VALUES.contains(&operator)
}

/// What is known of the tables that have filters.
#[derive(Debug, Default)]
pub(super) struct Filtered {
    /// Columns whose comparison may fail.
    fragile: BTreeSet<String>,
    /// Columns of dates: beside a timestamp in a COALESCE or CASE they become one, and some lie beyond the last.
    dates: BTreeSet<String>,
}

impl Filtered {
    /// Takes note of a table's columns.
    pub(super) fn add(&mut self, columns: &[ColumnFacts]) {
        let named = |test: fn(&ColumnFacts) -> bool| {
            columns.iter().filter(move |column| test(column)).map(|column| column.name.clone())
        };
        self.fragile.extend(named(is_fragile));
        self.dates.extend(named(|column| column.type_name == "date"));
    }
}

/// Whether comparing values of a column may fail: of an array of what has no order, or of a type that we know nothing of.
fn is_fragile(column: &ColumnFacts) -> bool {
    match catalog_type(&column.type_name) {
        None => true,
        Some(of) => of.dimensions > 0 && !COMPARABLE.contains(&of.name.as_str()),
    }
}

/// Whether a statement is quiet. What a query at the top answers with is evaluated after every filter.
pub(super) fn is_quiet(query: &Query, filtered: &Filtered, parameter_types: &[u32]) -> bool {
    Listener { filtered, parameter_types, names: BTreeSet::new() }.query(query, true)
}

/// Whether a query inside a statement is quiet: what it answers with may become a predicate.
pub(super) fn is_quiet_inside(query: &Query, filtered: &Filtered) -> bool {
    Listener { filtered, parameter_types: &[], names: BTreeSet::new() }.query(query, false)
}

/// Whether one condition is quiet, among relations of these names.
pub(super) fn is_quiet_condition(
    of: &Expression,
    filtered: &Filtered,
    parameter_types: &[u32],
    names: &BTreeSet<String>,
) -> bool {
    Listener { filtered, parameter_types, names: names.clone() }.quiet(of)
}

/// Whether an expression of a policy is quiet.
pub(super) fn is_quiet_expression(of: &Expression) -> bool {
    Listener { filtered: &Filtered::default(), parameter_types: &[], names: BTreeSet::new() }.quiet(of)
}

struct Listener<'a> {
    filtered: &'a Filtered,
    parameter_types: &'a [u32],
    /// Names of relations: as a column, one is a whole row, and comparing rows may fail.
    names: BTreeSet<String>,
}

impl Listener<'_> {
    fn query(&mut self, query: &Query, answers: bool) -> bool {
        let Query { with, body, order_by, limit, offset } = query;
        let with = with.iter().flat_map(|with| &with.tables);
        let limit = limit.iter().map(|Limit { rows, with_ties: _ }| rows);
        // The body first: ORDER BY may name its relations.
        with.into_iter().all(|table| {
            self.names.insert(table.name.text.clone());
            self.query(&table.query, false)
        }) && self.body(body, answers)
            && order_by.iter().map(|order| &order.by).chain(limit).chain(offset).all(|of| self.quiet_queries(of))
    }

    fn body(&mut self, body: &Body, answers: bool) -> bool {
        match body {
            Body::Select(select) => self.select(select, answers),
            Body::Query(query) => self.query(query, answers),
            Body::Values(rows) => rows.iter().flatten().all(|value| self.answered(value, answers)),
            Body::Combination { left, right, operator: _, all: _ } => {
                self.body(left, answers) && self.body(right, answers)
            }
        }
    }

    fn select(&mut self, select: &Select, answers: bool) -> bool {
        let Select { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = select;
        let on = match distinct {
            Some(Distinct::On(by)) => by.as_slice(),
            Some(Distinct::Rows) | None => &[],
        };
        let mut groupings = Vec::new();
        group_by.iter().for_each(|grouping| grouping.each_part(&mut |part| groupings.push(part)));
        let groupings = groupings.into_iter().filter_map(|part| match part {
            Part::Expression(by) => Some(by),
            Part::Query(_) => None,
        });
        let items = items.iter().filter_map(|item| match item {
            Item::Expression { of, alias: _ } | Item::FieldsOf(of) => Some(of),
            Item::Everything | Item::EverythingOf(_) => None,
        });
        let mut windows_quiet = true;
        from.iter().all(|relation| self.relation(relation))
            && filter.iter().chain(having).all(|of| self.quiet(of))
            && items.chain(groupings).chain(on).all(|of| self.answered(of, answers))
            && {
                for (_, window) in windows {
                    window.each_part(&mut |part| windows_quiet &= self.part_queries(part));
                }
                windows_quiet
            }
    }

    fn relation(&mut self, relation: &Relation) -> bool {
        let mut named = |name: Option<&crate::statement::tree::Name>| {
            self.names.extend(name.map(|name| name.text.clone()));
        };
        match relation {
            Relation::Table { name, only: _, alias, sample } => {
                named(alias.as_ref().map(|alias| &alias.name).or(name.0.last()));
                sample.iter().all(|sample| self.quiet_queries(&sample.percent))
            }
            Relation::Query { query, alias, lateral: _, at: _ } => {
                named(alias.as_ref().map(|alias| &alias.name));
                self.query(query, false)
            }
            Relation::Function { call, alias, lateral: _, ordinality: _ } => {
                named(alias.as_ref().map(|alias| &alias.name).or(call.name.0.last()));
                let mut quiet = true;
                call.each_part(&mut |part| quiet &= self.part_queries(part) && !names_a_column(part));
                quiet
            }
            Relation::Functions { calls, alias, lateral: _, ordinality: _ } => {
                named(alias.as_ref().map(|alias| &alias.name));
                let mut quiet = true;
                for call in calls {
                    call.each_part(&mut |part| quiet &= self.part_queries(part) && !names_a_column(part));
                }
                quiet
            }
            Relation::Join { left, right, on, alias, kind: _ } => {
                named(alias.as_ref().map(|alias| &alias.name));
                let sides = self.relation(left) && self.relation(right);
                sides
                    && match on {
                        JoinCondition::On(on) => self.quiet(on),
                        JoinCondition::Using(columns) => {
                            columns.iter().all(|column| !self.filtered.fragile.contains(&column.text))
                        }
                        JoinCondition::Natural => self.filtered.fragile.is_empty(),
                        JoinCondition::None => true,
                    }
            }
        }
    }

    fn answered(&mut self, of: &Expression, answers: bool) -> bool {
        if answers { self.quiet_queries(of) } else { self.quiet(of) }
    }

    /// Whether the queries inside an expression are quiet, whatever the expression itself is.
    fn quiet_queries(&mut self, of: &Expression) -> bool {
        let mut quiet = true;
        of.each_part(&mut |part| quiet &= self.part_queries(part));
        quiet
    }

    fn part_queries(&mut self, part: Part<'_>) -> bool {
        match part {
            Part::Expression(of) => self.quiet_queries(of),
            Part::Query(query) => self.query(query, false),
        }
    }

    /// Whether an expression is quiet. Every kind of node by name.
    fn quiet(&mut self, of: &Expression) -> bool {
        match of {
            Expression::Column(path) => self.column(path),
            Expression::Parameter(number) => {
                let declared = self.declared(*number);
                NARROW.iter().all(|(_, oid)| declared != Some(*oid))
            }
            Expression::Literal(_) | Expression::Interval { .. } | Expression::Keyword { .. } => true,
            Expression::Prefix { operator, of } => (operator == "-" || operator == "+") && is_number(of),
            Expression::Infix { operator, left, right } => match COMPARISONS.contains(&operator.as_str()) {
                true => self.quiet(left) && self.quiet(right),
                false => is_near_now(operator, left, right),
            },
            Expression::And(list) | Expression::Or(list) => list.iter().all(|of| self.quiet(of)),
            // Compared column by column, as the parser has taken them apart; an array is not.
            Expression::Row(list) => list.iter().all(|of| self.quiet(of)),
            Expression::Array(list) => list.iter().all(|of| self.quiet(of) && !names_a_column(Part::Expression(of))),
            Expression::Not(of) | Expression::Is { of, .. } => self.quiet(of),
            Expression::Distinct { left, right, negated: _ } => self.quiet(left) && self.quiet(right),
            Expression::InList { of, list, negated: _ } => self.quiet(of) && list.iter().all(|of| self.quiet(of)),
            Expression::InQuery { of, query, negated: _ } => self.quiet(of) && self.query(query, false),
            Expression::Between { of, low, high, symmetric: _, negated: _ } => {
                self.quiet(of) && self.quiet(low) && self.quiet(high)
            }
            Expression::Like { operator, of, pattern, escape, negated: _ } => {
                *operator != "SIMILAR TO" && escape.is_none() && is_plain_pattern(pattern) && self.quiet(of)
            }
            Expression::Quantified { left, operator, all: _, right } => {
                let right_quiet = match &**right {
                    Expression::Query(query) => self.query(query, false),
                    right => self.quiet(right),
                };
                right_quiet && COMPARISONS.contains(&operator.as_str()) && self.quiet(left)
            }
            Expression::Exists(query) | Expression::ArrayQuery(query) => self.query(query, false),
            // More than one row of it is an error.
            Expression::Query(query) => gives_one_row(query) && self.query(query, false),
            Expression::Case { operand, arms, otherwise } => {
                let arms = arms.iter().flat_map(|(when, then)| [when, then]);
                let ends = operand.iter().chain(otherwise).map(|of| &**of);
                arms.chain(ends).all(|of| self.quiet(of) && !self.is_date(of))
            }
            // A constant is read before anything runs, and an untyped parameter when its value comes.
            Expression::Cast { of, to } => {
                NARROW.iter().all(|(narrow, _)| to.name != *narrow) && self.is_read_first(of)
            }
            Expression::Call(call) => self.call(call),
            Expression::EverythingOf(_)
            | Expression::Extract { .. }
            | Expression::Position { .. }
            | Expression::Substring { .. }
            | Expression::Trim { .. }
            | Expression::Overlay { .. }
            | Expression::AtTimeZone { .. }
            | Expression::Collate { .. }
            | Expression::Element { .. }
            | Expression::Slice { .. }
            | Expression::Field { .. }
            | Expression::Xml(_)
            | Expression::Normalized { .. } => false,
        }
    }

    fn column(&self, path: &Path) -> bool {
        let whole_row = matches!(path.0.as_slice(), [name] if self.names.contains(&name.text));
        !whole_row && path.0.last().is_some_and(|column| !self.filtered.fragile.contains(&column.text))
    }

    fn is_read_first(&self, of: &Expression) -> bool {
        match of {
            Expression::Literal(_) => true,
            Expression::Prefix { of, .. } => is_number(of),
            Expression::Parameter(number) => self.declared(*number).is_none(),
            Expression::Array(list) => list.iter().all(|of| matches!(of, Expression::Literal(_))),
            _ => false,
        }
    }

    /// An aggregate or window function is evaluated above every filter, and a condition on it too.
    fn call(&mut self, call: &Call) -> bool {
        let Some(name) = call.name.0.last() else { return false };
        let built_in = call.name.0.len() == 1 || call.name.0.first().is_some_and(|schema| schema.text == "pg_catalog");
        if built_in && (call.over.is_some() || functions::is_aggregate(&name.text)) {
            let mut quiet = true;
            call.each_part(&mut |part| quiet &= self.part_queries(part));
            return quiet;
        }
        let Arguments::List(list) = &call.arguments else { return false };
        let quiet = |of: &Expression, this: &mut Self| this.quiet(of) && !this.is_date(of);
        built_in && FUNCTIONS.contains(&name.text.as_str()) && list.iter().all(|(_, of)| quiet(of, self))
    }

    /// The type that the client declared for a parameter, if it did.
    fn declared(&self, number: u16) -> Option<u32> {
        let declared = self.parameter_types.get(usize::from(number).saturating_sub(1));
        declared.copied().filter(|declared| *declared != 0)
    }

    fn is_date(&self, of: &Expression) -> bool {
        let Expression::Column(path) = of else { return false };
        path.0.last().is_some_and(|column| self.filtered.dates.contains(&column.text))
    }
}

fn is_number(of: &Expression) -> bool {
    matches!(of, Expression::Literal(Literal::Number(_)))
}

/// Text without an escape, which could be left open, and with few wildcards.
fn is_plain_pattern(pattern: &Expression) -> bool {
    match pattern {
        Expression::Literal(Literal::String(text)) => {
            !text.contains('\\') && text.matches('%').count() <= WILDCARDS_MAX
        }
        _ => false,
    }
}

/// `CURRENT_DATE - INTERVAL '30 days'`: today and a span that leads nowhere near the ends of time.
fn is_near_now(operator: &str, left: &Expression, right: &Expression) -> bool {
    let now = match left {
        Expression::Keyword { keyword, .. } => ["CURRENT_DATE", "CURRENT_TIMESTAMP"].contains(keyword),
        Expression::Call(call) => call.is_named("now"),
        _ => false,
    };
    let short = |text: &str| {
        text.split_whitespace().all(|word| match word.chars().all(|c| c.is_ascii_digit()) {
            true => word.len() <= 3,
            false => SPANS.contains(&word.to_ascii_lowercase().trim_end_matches('s')),
        })
    };
    let span = match right {
        Expression::Interval { text, .. } => short(text),
        Expression::Cast { of, to } => {
            to.name == "interval" && matches!(&**of, Expression::Literal(Literal::String(text)) if short(text))
        }
        Expression::Literal(Literal::Number(digits)) => short(digits),
        _ => false,
    };
    now && span && (operator == "-" || operator == "+")
}

/// Whether a query gives one row: it asks for no more, or has nothing but aggregates.
fn gives_one_row(query: &Query) -> bool {
    if let Some(Limit { rows: Expression::Literal(Literal::Number(digits)), with_ties: false }) = &query.limit
        && (digits == "1" || digits == "0")
    {
        return true;
    }
    let Body::Select(select) = &query.body else { return false };
    let aggregate = |item: &Item| match item {
        Item::Expression { of: Expression::Call(call), alias: _ } => {
            call.over.is_none() && call.name.0.last().is_some_and(|name| functions::is_aggregate(&name.text))
        }
        Item::Expression { .. } | Item::Everything | Item::EverythingOf(_) | Item::FieldsOf(_) => false,
    };
    select.group_by.is_empty() && !select.items.is_empty() && select.items.iter().all(aggregate)
}

fn names_a_column(part: Part<'_>) -> bool {
    match part {
        Part::Query(_) => true,
        Part::Expression(Expression::Column(_) | Expression::EverythingOf(_)) => true,
        Part::Expression(of) => {
            let mut found = false;
            of.each_part(&mut |part| found |= names_a_column(part));
            found
        }
    }
}
