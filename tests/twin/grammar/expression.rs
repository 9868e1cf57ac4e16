//! Values of a kind: columns, constants, what is computed of them, aggregates and windows.

use std::sync::Arc;

use super::super::catalog::Kind;
use super::{DEPTH, Grammar, trapped};

impl Grammar<'_> {
    /// A value of a kind; the deeper, the plainer.
    pub(super) fn expression(&mut self, kind: Kind, deep: usize) -> String {
        if deep >= 3 || !self.chance(70) {
            return self.leaf(kind);
        }
        match self.below(12) {
            8 => {
                let condition = self.predicate(2);
                let (first, second) = (self.expression(kind, deep + 1), self.expression(kind, deep + 1));
                format!("CASE WHEN {condition} THEN {first} ELSE {second} END")
            }
            9 => {
                let function = self.pick(&["coalesce", "coalesce", "greatest", "least", "nullif"]);
                let (first, second) = (self.expression(kind, deep + 1), self.expression(kind, deep + 1));
                format!("{function}({first}, {second})")
            }
            10 if self.depth < DEPTH => format!("({})", self.scalar(kind)),
            _ => self.computed(kind, deep),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let constant = self.chance(20);
        match self.column(kind) {
            Some((written, column)) => {
                if kind == Kind::Class || !constant {
                    return written;
                }
                self.literal(kind, &column.values)
            }
            // The gateway takes no cast to a type of the warehouse's own.
            None if kind == Kind::Class => "(SELECT max(c.rank) FROM fleet.driver AS c)".to_owned(),
            None => self.literal(kind, &Arc::from([])),
        }
    }

    fn computed(&mut self, kind: Kind, deep: usize) -> String {
        match kind {
            Kind::Integer => self.integer(deep),
            Kind::Number => self.number(deep),
            Kind::Text => self.text(deep),
            Kind::Date => self.date(deep),
            Kind::Moment => self.moment(deep),
            Kind::Truth => format!("({})", self.predicate(deep + 1)),
            Kind::Texts => self.texts(deep),
            Kind::Document => self.document(deep),
            Kind::Class | Kind::Record | Kind::Opaque => self.leaf(kind),
        }
    }

    fn integer(&mut self, deep: usize) -> String {
        let next = deep + 1;
        match self.below(13) {
            12 => self.run_of_operators(),
            0 => format!("{} + {}", self.expression(Kind::Integer, next), self.expression(Kind::Integer, next)),
            1 => format!("({} - {})", self.expression(Kind::Integer, next), self.expression(Kind::Integer, next)),
            2 => format!("length({})", self.expression(Kind::Text, next)),
            3 => format!("extract(year FROM {})::int", self.expression(Kind::Date, next)),
            4 => format!("cardinality({})", self.expression(Kind::Texts, next)),
            5 => format!("({} % 7)", self.leaf(Kind::Integer)),
            6 => format!("abs(-{})", self.leaf(Kind::Integer)),
            7 => format!("position('1' IN ({}))", self.expression(Kind::Text, next)),
            8 => self.trapped(Kind::Integer),
            9 => format!("round({})::int", self.leaf(Kind::Number)),
            10 => format!("({} - {})", self.expression(Kind::Date, next), self.expression(Kind::Date, next)),
            _ => format!("num_nulls({}, {})", self.leaf(Kind::Text), self.leaf(Kind::Integer)),
        }
    }

    /// Numbers and operators without parentheses: who reads them must know what binds how strongly.
    fn run_of_operators(&mut self) -> String {
        let mut text = String::new();
        for index in 0..=1 + self.below(4) {
            if index > 0 {
                text.push_str(self.pick(&[" + ", " * ", " - ", " % 5 + ", " & 7 # ", " << 1 - "]));
            }
            text.push_str(self.pick(&["", "", "- ", "+ ", "~ ", "@ "]));
            text.push_str(&match self.below(3) {
                0 => "3".to_owned(),
                1 => "2::int4".to_owned(),
                _ => self
                    .column(Kind::Integer)
                    .map_or_else(|| "5".to_owned(), |(column, _)| format!("{column}::int % 9")),
            });
        }
        format!("({text})")
    }

    fn number(&mut self, deep: usize) -> String {
        let next = deep + 1;
        match self.below(6) {
            0 => format!("({} + {})", self.expression(Kind::Number, next), self.expression(Kind::Number, next)),
            1 => format!("round({}, 1)", self.expression(Kind::Number, next)),
            2 => format!("{} * 1.5", self.leaf(Kind::Number)),
            3 => format!("{}::numeric", self.leaf(Kind::Integer)),
            4 => self.trapped(Kind::Number),
            _ => format!("trunc(extract(epoch FROM {}))", self.leaf(Kind::Moment)),
        }
    }

    /// What raises an error for a value that the person must not learn of, where there is such a column.
    fn trapped(&mut self, kind: Kind) -> String {
        let of = if kind == Kind::Integer && self.chance(50) { Kind::Text } else { kind };
        match self.column(of) {
            Some((written, column)) => match &column.trap {
                Some(trap) => match kind {
                    Kind::Integer => format!("round({})::int", trapped(&written, trap)),
                    _ => trapped(&written, trap),
                },
                None => self.leaf(kind),
            },
            None => self.leaf(kind),
        }
    }

    fn text(&mut self, deep: usize) -> String {
        let next = deep + 1;
        match self.below(20) {
            0 => format!("{} || {}", self.expression(Kind::Text, next), self.expression(Kind::Text, next)),
            1 => format!("upper({})", self.expression(Kind::Text, next)),
            2 => format!("left({}, 6)", self.expression(Kind::Text, next)),
            3 => format!("substring({} FROM 2 FOR 5)", self.expression(Kind::Text, next)),
            4 => format!("replace({}, 'CNRY', 'x')", self.leaf(Kind::Text)),
            5 => format!("{}::text", self.leaf(Kind::Class)),
            6 => format!("CAST({} AS text)", self.leaf(Kind::Date)),
            7 => format!("CAST({} AS varchar(20))", self.leaf(Kind::Integer)),
            8 => format!("({} ->> 'home')", self.leaf(Kind::Document)),
            9 => format!("md5({})", self.leaf(Kind::Text)),
            10 => format!("to_char({}, 'YYYY-MM')", self.leaf(Kind::Date)),
            11 => format!("array_to_string({}, '+', '-')", self.expression(Kind::Texts, next)),
            12 => format!("concat_ws('/', {}, {})", self.leaf(Kind::Text), self.leaf(Kind::Integer)),
            13 => format!("split_part({}, '-', 2)", self.leaf(Kind::Text)),
            14 => format!("format('%s|%s', {}, {})", self.leaf(Kind::Number), self.leaf(Kind::Text)),
            15 => format!("fleet.band(CAST({} AS int))", self.leaf(Kind::Integer)),
            16 => format!("trim(both '*' from {})", self.leaf(Kind::Text)),
            17 => format!("{} COLLATE \"C\"", self.leaf(Kind::Text)),
            18 => match self.row() {
                Some(row) => self.pick(&[
                    format!("{}::text", row.qualifiers[0]),
                    format!("row_to_json({})::text", row.qualifiers[0]),
                    format!("md5(CAST({} AS text))", row.qualifiers[0]),
                    format!("(to_jsonb({}) ->> 'licence')", row.qualifiers[0]),
                ]),
                None => self.leaf(Kind::Text),
            },
            _ => format!("{}[1]", self.column(Kind::Texts).map_or_else(|| "(ARRAY['a'])".to_owned(), |found| found.0)),
        }
    }

    fn date(&mut self, deep: usize) -> String {
        match self.below(4) {
            0 => format!("({} + 30)", self.expression(Kind::Date, deep + 1)),
            1 => format!("CAST({} AS date)", self.leaf(Kind::Moment)),
            2 => format!("date_trunc('month', {})::date", self.leaf(Kind::Date)),
            _ => self.leaf(Kind::Date),
        }
    }

    fn moment(&mut self, deep: usize) -> String {
        match self.below(4) {
            0 => format!("({} + interval '3 days')", self.expression(Kind::Moment, deep + 1)),
            1 => format!("date_trunc('month', {})", self.leaf(Kind::Moment)),
            2 => format!("CAST({} AS timestamptz)", self.leaf(Kind::Date)),
            _ => self.leaf(Kind::Moment),
        }
    }

    fn texts(&mut self, deep: usize) -> String {
        let next = deep + 1;
        match self.below(6) {
            0 => format!("ARRAY[{}, {}]", self.expression(Kind::Text, next), self.expression(Kind::Text, next)),
            1 => format!("({} || {})", self.leaf(Kind::Texts), self.leaf(Kind::Texts)),
            2 => format!("string_to_array({}, '-')", self.leaf(Kind::Text)),
            3 => format!("array_remove({}, 'night')", self.leaf(Kind::Texts)),
            4 if self.depth < DEPTH => {
                self.depth += 1;
                let made = self.select(Some(&[Kind::Text]));
                self.depth -= 1;
                format!("ARRAY({} ORDER BY 1)", made.text)
            }
            _ => self.leaf(Kind::Texts),
        }
    }

    fn document(&mut self, deep: usize) -> String {
        let next = deep + 1;
        match self.below(7) {
            0 => format!("jsonb_build_object('a', {}, 'b', {})", self.leaf(Kind::Text), self.leaf(Kind::Integer)),
            1 => format!("({} -> 'langs')", self.leaf(Kind::Document)),
            2 => format!("to_jsonb(({})::text)", self.expression(Kind::Text, next)),
            3 => format!("to_jsonb({})", self.leaf(Kind::Number)),
            4 => format!("jsonb_build_array({}, {})", self.leaf(Kind::Truth), self.leaf(Kind::Date)),
            5 => match self.row() {
                Some(row) => format!("to_jsonb({})", row.qualifiers[0]),
                None => self.leaf(Kind::Document),
            },
            _ => self.leaf(Kind::Document),
        }
    }

    /// An aggregate of the innermost query's rows.
    pub(super) fn aggregate(&mut self, kind: Kind) -> String {
        // Of outer columns only, it would be an aggregate of the outer query.
        let own = std::mem::replace(&mut self.first_scope, self.scopes.len().saturating_sub(1));
        let written = self.aggregate_of_own(kind);
        self.first_scope = own;
        match self.chance(8) && !written.starts_with("round(") && !written.starts_with("to_jsonb(") {
            true => {
                let own = std::mem::replace(&mut self.first_scope, self.scopes.len().saturating_sub(1));
                let condition = self.predicate(2);
                self.first_scope = own;
                format!("{written} FILTER (WHERE {condition})")
            }
            false => written,
        }
    }

    fn aggregate_of_own(&mut self, kind: Kind) -> String {
        let distinct = self.pick(&["", "", "DISTINCT "]);
        match (kind, self.below(6)) {
            (Kind::Integer, 0) => "count(*)".to_owned(),
            (Kind::Integer, 1) => match self.any_column() {
                Some((column, _)) => format!("count({distinct}{column})"),
                None => "count(*)".to_owned(),
            },
            (Kind::Integer, 2) => match self.row() {
                Some(row) => format!("count({distinct}{})", row.qualifiers[0]),
                None => "count(*)".to_owned(),
            },
            (Kind::Integer, 3) => format!("sum({})", self.leaf(Kind::Integer)),
            (Kind::Number, 0) => format!("sum({distinct}{})", self.expression(Kind::Number, 1)),
            (Kind::Number, 1) => format!("round(avg({}), 4)", self.leaf(Kind::Number)),
            (Kind::Number, 2) => format!("round(stddev_pop({}), 2)", self.leaf(Kind::Number)),
            (Kind::Truth, 0..3) => format!("bool_or({})", self.predicate(2)),
            (Kind::Truth, _) => format!("every({})", self.predicate(2)),
            (Kind::Text, 0 | 1) => {
                let of = self.expression(Kind::Text, 1);
                format!("string_agg({of}, ',' ORDER BY {of})")
            }
            (Kind::Texts, _) => {
                let of = self.expression(Kind::Text, 1);
                format!("array_agg(({of})::text ORDER BY ({of})::text)")
            }
            (Kind::Document, 0) => match self.row() {
                Some(row) => format!("jsonb_agg({0} ORDER BY {0})", row.qualifiers[0]),
                None => "to_jsonb(count(*))".to_owned(),
            },
            (Kind::Document, _) => {
                let of = self.leaf(Kind::Text);
                format!("jsonb_agg(CAST({of} AS text) ORDER BY CAST({of} AS text) DESC)")
            }
            (Kind::Integer | Kind::Number | Kind::Date, 5) => {
                let of = self.leaf(kind);
                format!("percentile_disc(0.5) WITHIN GROUP (ORDER BY {of})")
            }
            _ => {
                let function = self.pick(&["max", "min"]);
                let of = if kind == Kind::Class { self.leaf(kind) } else { self.expression(kind, 1) };
                format!("{function}({of})")
            }
        }
    }

    /// A call over a window of the innermost query's rows whose value does not depend on how equals are ordered.
    pub(super) fn window_call(&mut self, kind: Kind) -> String {
        let own = std::mem::replace(&mut self.first_scope, self.scopes.len().saturating_sub(1));
        let written = self.window_call_of_own(kind);
        self.first_scope = own;
        written
    }

    fn window_call_of_own(&mut self, kind: Kind) -> String {
        let partition = match self.any_column() {
            Some((column, _)) if self.chance(50) => format!("PARTITION BY {column} "),
            _ => String::new(),
        };
        let by = match self.any_column() {
            Some((column, _)) => format!("ORDER BY {column}{}", self.pick(&["", " DESC", " NULLS FIRST"])),
            None => "ORDER BY 1".to_owned(),
        };
        // Equal rows of the only relation are equal in everything.
        let single = self.scope().sources.len() == 1;
        let row = self.row().filter(|_| single);
        match (kind, self.below(6)) {
            (Kind::Integer, 0) => format!("rank() OVER ({partition}{by})"),
            (Kind::Integer, 1) => format!("dense_rank() OVER ({partition}{by})"),
            (Kind::Integer, 2) => format!("count(*) OVER ({partition}{by})"),
            (Kind::Integer, 3) => match row {
                Some(row) => format!("row_number() OVER ({partition}ORDER BY {})", row.qualifiers[0]),
                None => format!("count(*) OVER ({partition})"),
            },
            (Kind::Integer | Kind::Number, 4) => {
                format!("sum({}) OVER ({partition}{by})", self.leaf(kind))
            }
            (Kind::Texts | Kind::Document, _) => self.leaf(kind),
            (Kind::Truth, _) => format!("bool_or({}) OVER ({partition}{by})", self.leaf(kind)),
            (_, 5) => match row {
                Some(row) => format!("lag({}) OVER ({partition}ORDER BY {})", self.leaf(kind), row.qualifiers[0]),
                None => format!("max({}) OVER ({partition})", self.leaf(kind)),
            },
            _ => format!("max({}) OVER ({partition}{by})", self.leaf(kind)),
        }
    }
}
