//! Conditions.

use std::sync::Arc;

use super::super::catalog::Kind;
use super::{DEPTH, Grammar, trapped};

/// Kinds with an order.
const COMPARED: [Kind; 7] =
    [Kind::Text, Kind::Integer, Kind::Number, Kind::Date, Kind::Class, Kind::Moment, Kind::Truth];

impl Grammar<'_> {
    /// A condition on what can be named.
    pub(super) fn predicate(&mut self, deep: usize) -> String {
        let nested = deep < 2;
        match self.below(if nested { 25 } else { 14 }) {
            0..5 => self.comparison(deep),
            5 => {
                let test = self.pick(&["IS NULL", "IS NOT NULL"]);
                match self.any_column() {
                    Some((column, _)) => format!("{column} {test}"),
                    None => format!("NULL {test}"),
                }
            }
            6 => self.among(),
            7 => self.pattern(),
            8 => {
                let (column, values) = self.known(Kind::Date);
                let (low, high) = (self.literal(Kind::Date, &values), self.literal(Kind::Date, &values));
                format!("{column} BETWEEN {low} AND {high}")
            }
            9 => self.of_lists(),
            10 => self.of_documents(),
            11 => self.of_truth(),
            12 => self.trap(),
            13 => self.of_rows(),
            14 | 15 => {
                let word = self.pick(&["AND", "OR"]);
                format!("({} {word} {})", self.predicate(deep + 1), self.predicate(deep + 1))
            }
            16 => format!("NOT ({})", self.predicate(deep + 1)),
            17 | 18 if self.depth < DEPTH => self.exists(),
            19 | 20 if self.depth < DEPTH => self.among_answers(),
            21 if self.depth < DEPTH => self.quantified(),
            22 => {
                let (first, second) = (self.predicate(deep + 1), self.predicate(deep + 1));
                format!("CASE WHEN {first} THEN {second} ELSE false END")
            }
            23 => self.run_of_conditions(),
            _ => self.comparison(deep),
        }
    }

    /// Conditions and words without parentheses: who reads them must know what binds how strongly.
    fn run_of_conditions(&mut self) -> String {
        let mut text = String::new();
        for index in 0..=1 + self.below(3) {
            if index > 0 {
                text.push_str(self.pick(&[" AND ", " OR ", " AND NOT ", " OR NOT "]));
            }
            let (number, _) = self.known(Kind::Integer);
            let (words, _) = self.known(Kind::Text);
            let (date, _) = self.known(Kind::Date);
            text.push_str(&match self.below(12) {
                0 => format!("{number} + 1 * 2 < 9 - 3"),
                1 => format!("{number} IS NOT DISTINCT FROM 3"),
                2 => format!("{number} = 4 IS NOT TRUE"),
                3 => format!("true = {words} ~ 'a'"),
                4 => format!("{words} || 'x' LIKE '%a' || 'x'"),
                5 => format!("{date} - 3 BETWEEN '2025-01-01'::date - 2 AND '2025-01-01'::date + 60"),
                6 => format!("{words} ~~ 'C%' IS DISTINCT FROM {number} > 5"),
                7 => format!("- {number} ^ 2 > - 3 * 4 ^ 2"),
                8 => format!("{words} || 'a' IN ('HAMa', 'b' || 'c') = true"),
                9 => format!("NOT {date} + 1 > '2025-02-01' IS TRUE"),
                10 => format!("{words} IS NULL = false"),
                _ => format!("{number} % 3 * 2 = - 2 + 4 OR {words} COLLATE \"C\" > 'a' || 'b'"),
            });
        }
        format!("({text})")
    }

    /// A condition on aggregates.
    pub(super) fn aggregate_condition(&mut self) -> String {
        let kind = self.pick(&COMPARED);
        let operator = self.pick(&["=", "<>", "<", ">=", "IS DISTINCT FROM"]);
        let (left, right) = (self.aggregate(kind), self.literal(kind, &Arc::from([])));
        match self.below(4) {
            0 => "count(*) > 1".to_owned(),
            1 => format!("{left} IS NOT NULL"),
            _ => format!("{left} {operator} {right}"),
        }
    }

    /// A column of a kind and the values it has; something else of the kind where there is no column.
    fn known(&mut self, kind: Kind) -> (String, Arc<[String]>) {
        match self.column(kind) {
            Some((written, column)) => (written, column.values),
            None => (self.expression(kind, 2), Arc::from([])),
        }
    }

    fn comparison(&mut self, deep: usize) -> String {
        let kind = self.pick(&COMPARED);
        let operator = self.pick(&["=", "=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
        let (column, values) = self.known(kind);
        let other = match self.below(4) {
            // A class without a column beside it is no class but a text.
            3 if kind != Kind::Class => self.expression(kind, deep + 1),
            2 => self.column(kind).map_or_else(|| self.literal(kind, &values), |(written, _)| written),
            _ => self.literal(kind, &values),
        };
        if self.chance(15) { format!("{other} {operator} {column}") } else { format!("{column} {operator} {other}") }
    }

    fn among(&mut self) -> String {
        let kind = self.pick(&COMPARED);
        let (column, values) = self.known(kind);
        let list: Vec<String> = (0..=self.below(3)).map(|_| self.literal(kind, &values)).collect();
        match (kind.type_name(), self.below(4)) {
            (Some(of_type), 2) => format!("{column} = ANY (ARRAY[{}]::{of_type}[])", list.join(", ")),
            (_, 3) => format!("{column} NOT IN ({})", list.join(", ")),
            _ => format!("{column} IN ({})", list.join(", ")),
        }
    }

    fn pattern(&mut self) -> String {
        let (column, _) = self.known(Kind::Text);
        let test = self.pick(&[
            "LIKE 'CNRY%'",
            "LIKE '%1%'",
            "NOT LIKE '*%'",
            "ILIKE '%cnry%'",
            "~ '^CNRY'",
            "!~* 'cnry-.*-[0-9]$'",
            "SIMILAR TO '(CNRY|driver)%'",
            "LIKE '%!%' ESCAPE '!'",
            "^@ 'CN'",
        ]);
        format!("{column} {test}")
    }

    fn of_lists(&mut self) -> String {
        let (column, values) = self.known(Kind::Texts);
        let list = self.literal(Kind::Texts, &values);
        let operator = self.pick(&["&&", "@>", "<@", "="]);
        match self.below(3) {
            0 => format!("{column} {operator} {list}"),
            1 => format!("'night' = ANY (({column})::text[])"),
            _ => format!("({column})[1] = 'night'"),
        }
    }

    fn of_documents(&mut self) -> String {
        let (column, _) = self.known(Kind::Document);
        let test = self.pick(&[
            "? 'age'",
            "->> 'home' = 'city 1'",
            "@> '{\"langs\": [\"de\"]}'",
            "-> 'age' > '30'",
            "#>> '{langs,0}' = 'de'",
            "@? '$.age ? (@ > 30)'",
            "?| ARRAY['age', 'CNRY']",
        ]);
        format!("{column} {test}")
    }

    fn of_truth(&mut self) -> String {
        let (column, _) = self.known(Kind::Truth);
        let test = self.pick(&["", " IS TRUE", " IS NOT FALSE", " IS UNKNOWN", " = true"]);
        format!("{column}{test}")
    }

    /// What raises an error for a value that the person must not learn of.
    fn trap(&mut self) -> String {
        let kind = self.pick(&[Kind::Number, Kind::Text, Kind::Integer]);
        match self.column(kind) {
            Some((written, column)) => match &column.trap {
                Some(trap) => format!("{} <> 1", trapped(&written, trap)),
                None => format!("{written} IS NOT NULL"),
            },
            None => "true".to_owned(),
        }
    }

    fn of_rows(&mut self) -> String {
        match (self.row(), self.below(5)) {
            (Some(row), 1) => format!("{} IS NOT NULL", row.qualifiers[0]),
            (Some(row), 2) => format!("{0} = {0}", row.qualifiers[0]),
            (Some(row), 3) => format!("{}::text LIKE '%CNRY%'", row.qualifiers[0]),
            (Some(row), 4) => format!("to_jsonb({}) ? 'secret'", row.qualifiers[0]),
            _ => {
                let (left, values) = self.known(Kind::Text);
                let (right, numbers) = self.known(Kind::Integer);
                let pair = (self.literal(Kind::Text, &values), self.literal(Kind::Integer, &numbers));
                let operator = self.pick(&["=", "<", "<>"]);
                format!("({left}, {right}) {operator} ({}, {})", pair.0, pair.1)
            }
        }
    }

    fn exists(&mut self) -> String {
        let not = self.pick(&["", "NOT "]);
        self.depth += 1;
        let kind = self.pick(&Kind::PLAIN);
        let made = self.select(Some(&[kind]));
        self.depth -= 1;
        format!("{not}EXISTS ({})", made.text)
    }

    fn among_answers(&mut self) -> String {
        let kind = self.pick(&COMPARED);
        let (column, _) = self.known(kind);
        let not = self.pick(&["", "", "NOT "]);
        if self.chance(20) {
            let (other, _) = self.known(Kind::Integer);
            let made = self.query(Some(&[kind, Kind::Integer]));
            return format!("({column}, {other}) {not}IN ({})", made.text);
        }
        let made = self.query(Some(&[kind]));
        format!("{column} {not}IN ({})", made.text)
    }

    fn quantified(&mut self) -> String {
        let kind = self.pick(&COMPARED);
        let (column, _) = self.known(kind);
        let (operator, all) = (self.pick(&["=", "<", ">=", "<>"]), self.pick(&["ANY", "ALL", "SOME"]));
        let made = self.query(Some(&[kind]));
        format!("{column} {operator} {all} ({})", made.text)
    }
}
