//! The SQL around the gateway's own relations: what is selected, compared, ordered and limited.
//!
//! Little on purpose: a select list of columns, comparisons of columns and constants joined by AND, ORDER BY columns, LIMIT
//! and OFFSET, or one call of a function. Everything else is refused by name, so nothing is answered half. Understanding
//! touches nothing outside; values come in with [`Question::known`].

use std::cmp::Ordering;

use passgate_connectors::{Bind, Format};

use super::value::{Type, Value};
use super::{Column, Error, Form, ROWS, Row, taken};
use crate::plan::OWN_SCHEMA;
use crate::statement::tree::{
    Arguments, Body, Call, Expression, Item, Limit, Literal, Order, Path, Query, Relation, Select,
};

type Result<T> = std::result::Result<T, Error>;

/// Bytes of a LIKE pattern.
const PATTERN_BYTES_MAX: usize = 1_000;

/// A query of the gateway's own, understood.
pub(super) struct Question {
    /// What is read or called.
    pub(super) row: &'static Row,
    arguments: Vec<Term>,
    output: Output,
    tests: Vec<Test>,
    order: Vec<Sort>,
    limit: Option<Term>,
    offset: Option<Term>,
    parameters: Vec<Option<Type>>,
}

/// What is selected.
enum Output {
    /// Columns by their place, each with its name.
    Columns(Vec<(String, usize)>),
    /// `count(*)`.
    Count(String),
}

/// A constant, now or later.
enum Term {
    Constant(Value),
    Parameter(u16, Type),
}

/// A condition on one column.
struct Test {
    column: usize,
    how: How,
    negated: bool,
}

enum How {
    /// `column operator constant`.
    Compare(fn(Ordering) -> bool, Term),
    /// IN.
    In(Vec<Term>),
    /// LIKE, or ILIKE.
    Like { pattern: Term, any_case: bool },
    /// IS NULL.
    Null,
    /// A boolean column by itself, or IS TRUE.
    True,
}

struct Sort {
    column: usize,
    descending: bool,
    nulls_first: bool,
}

/// Understands a query, or says what in it is not supported.
pub(super) fn understand(query: &Query) -> Result<Question> {
    let Query { with, body, order_by, limit, offset } = query;
    if with.is_some() {
        return Err(Error::unsupported("WITH"));
    }
    let Body::Select(select) = body else { return Err(Error::unsupported("a combination of queries")) };
    check_plain(select)?;
    let mut reader = Reader { row: ROWS.first().copied().ok_or_else(nothing)?, alias: None, parameters: Vec::new() };
    let (arguments, called) = reader.source(select)?;
    let output = match called {
        Some(output) => output,
        None => reader.output(&select.items)?,
    };
    let tests = match &select.filter {
        Some(filter) => reader.tests(filter)?,
        None => Vec::new(),
    };
    let order = order_by.iter().map(|order| reader.sort(order, &output)).collect::<Result<_>>()?;
    let limit = match limit {
        Some(Limit { with_ties: true, .. }) => return Err(Error::unsupported("WITH TIES")),
        Some(Limit { rows, with_ties: false }) => Some(reader.term(rows, Type::Integer)?),
        None => None,
    };
    let offset = offset.as_ref().map(|offset| reader.term(offset, Type::Integer)).transpose()?;
    let Reader { row, parameters, .. } = reader;
    Ok(Question { row, arguments, output, tests, order, limit, offset, parameters })
}

fn nothing() -> Error {
    Error::new("42P01", "the gateway has no relations of its own")
}

fn check_plain(select: &Select) -> Result<()> {
    let Select { distinct, items: _, from: _, filter: _, group_by, group_by_distinct: _, having, windows, at: _ } =
        select;
    match () {
        () if distinct.is_some() => Err(Error::unsupported("DISTINCT")),
        () if !group_by.is_empty() => Err(Error::unsupported("GROUP BY")),
        () if having.is_some() => Err(Error::unsupported("HAVING")),
        () if !windows.is_empty() => Err(Error::unsupported("WINDOW")),
        () => Ok(()),
    }
}

/// Reads the parts of a query against the columns of what it reads.
struct Reader<'q> {
    row: &'static Row,
    alias: Option<&'q str>,
    parameters: Vec<Option<Type>>,
}

impl<'q> Reader<'q> {
    /// What is read or called; for a call in the select list also what that answers.
    fn source(&mut self, select: &'q Select) -> Result<(Vec<Term>, Option<Output>)> {
        match select.from.as_slice() {
            [Relation::Table { only: false, name, alias, sample: None }] => {
                self.row = find(name)?;
                if matches!(self.row.form, Form::Function { .. }) {
                    let hint = format!("Call it: SELECT * FROM {OWN_SCHEMA}.{}(...)", self.row.name);
                    return Err(Error::new("42809", format!("\"{}\" is a function", self.row.name)).hint(hint));
                }
                self.name_as(alias.as_ref())?;
                Ok((Vec::new(), None))
            }
            [Relation::Function { lateral: _, call, ordinality: false, alias }] => {
                let arguments = self.call(call)?;
                self.name_as(alias.as_ref())?;
                Ok((arguments, None))
            }
            [] => {
                let [Item::Expression { of: Expression::Call(call), alias }] = select.items.as_slice() else {
                    return Err(Error::unsupported("more than one call in a SELECT list"));
                };
                let arguments = self.call(call)?;
                if self.row.columns.len() != 1 {
                    let hint = format!("SELECT * FROM {OWN_SCHEMA}.{}(...)", self.row.name);
                    return Err(Error::unsupported("a function of several columns in a SELECT list").hint(hint));
                }
                let name = alias.as_ref().map_or(self.row.name, |alias| alias.text.as_str());
                Ok((arguments, Some(Output::Columns(vec![(name.to_owned(), 0)]))))
            }
            _ => Err(Error::unsupported("more than one relation")),
        }
    }

    fn name_as(&mut self, alias: Option<&'q crate::statement::tree::Alias>) -> Result<()> {
        let Some(alias) = alias else { return Ok(()) };
        if !alias.columns.is_empty() {
            return Err(Error::unsupported("an alias with column names"));
        }
        self.alias = Some(&alias.name.text);
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<Vec<Term>> {
        self.row = find(&call.name)?;
        let Form::Function { arguments, required } = &self.row.form else {
            return Err(Error::new("42809", format!("\"{}\" is not a function", self.row.name)));
        };
        let Arguments::List(given) = &call.arguments else { return Err(Error::unsupported("* as an argument")) };
        let plain = !call.distinct
            && call.order_by.is_empty()
            && call.within_group.is_empty()
            && call.filter.is_none()
            && call.over.is_none();
        if !plain || given.iter().any(|(name, _)| name.is_some()) {
            return Err(Error::unsupported("this form of a call"));
        }
        if given.len() < *required || given.len() > arguments.len() {
            let name = self.row.name;
            let hint = format!("It is called as {OWN_SCHEMA}.{name}({}).", taken(arguments, *required));
            let message = format!("function {OWN_SCHEMA}.{name} does not take {} arguments", given.len());
            return Err(Error::new("42883", message).hint(hint));
        }
        given.iter().zip(*arguments).map(|((_, value), argument)| self.term(value, argument.of)).collect()
    }

    fn output(&mut self, items: &[Item]) -> Result<Output> {
        if let [Item::Expression { of: Expression::Call(call), alias }] = items
            && is_count(call)
        {
            return Ok(Output::Count(alias.as_ref().map_or("count", |alias| alias.text.as_str()).to_owned()));
        }
        let mut columns = Vec::new();
        for item in items {
            match item {
                Item::Everything => columns.extend(self.every_column()),
                Item::EverythingOf(path) if self.is_own_name(&path.0) => columns.extend(self.every_column()),
                Item::Expression { of: Expression::Column(path), alias } => {
                    let at = self.column(path)?;
                    let own = self.row.columns.get(at).map_or("", |column| column.name);
                    columns.push((alias.as_ref().map_or(own, |alias| alias.text.as_str()).to_owned(), at));
                }
                _ => return Err(Error::unsupported("anything but columns in a SELECT list")),
            }
        }
        Ok(Output::Columns(columns))
    }

    fn every_column(&self) -> Vec<(String, usize)> {
        self.row.columns.iter().enumerate().map(|(at, column)| (column.name.to_owned(), at)).collect()
    }

    /// `approvals`, `passgate.approvals`, or the alias in their place.
    fn is_own_name(&self, parts: &[crate::statement::tree::Name]) -> bool {
        match (parts, self.alias) {
            ([name], Some(alias)) => name.text == alias,
            ([name], None) => name.text == self.row.name,
            ([schema, name], None) => schema.text == OWN_SCHEMA && name.text == self.row.name,
            _ => false,
        }
    }

    fn column(&self, path: &Path) -> Result<usize> {
        let Some((last, before)) = path.0.split_last() else { return Err(nothing()) };
        let at = self.row.columns.iter().position(|column| column.name == last.text);
        match at {
            Some(at) if before.is_empty() || self.is_own_name(before) => Ok(at),
            _ => {
                let names: Vec<_> = self.row.columns.iter().map(|column| column.name).collect();
                Err(Error::new("42703", format!("column \"{}\" does not exist", last.text))
                    .hint(format!("There are {}.", names.join(", "))))
            }
        }
    }

    fn tests(&mut self, filter: &Expression) -> Result<Vec<Test>> {
        match filter {
            Expression::And(all) => {
                let tests: Vec<Vec<Test>> = all.iter().map(|one| self.tests(one)).collect::<Result<_>>()?;
                Ok(tests.into_iter().flatten().collect())
            }
            one => Ok(vec![self.test(one)?]),
        }
    }

    fn test(&mut self, of: &Expression) -> Result<Test> {
        match of {
            Expression::Not(of) => {
                let test = self.test(of)?;
                Ok(Test { negated: !test.negated, ..test })
            }
            Expression::Column(_) => self.boolean(of, false),
            Expression::Infix { operator, left, right } => self.comparison(operator, left, right),
            Expression::InList { of, list, negated } => {
                let (column, of) = self.tested(of)?;
                let list = list.iter().map(|value| self.term(value, of)).collect::<Result<_>>()?;
                Ok(Test { column, how: How::In(list), negated: *negated })
            }
            Expression::Like { operator: operator @ ("LIKE" | "ILIKE"), of, pattern, escape: None, negated } => {
                let (column, of) = self.tested(of)?;
                if of != Type::Text {
                    return Err(Error::unsupported("LIKE on anything but a text"));
                }
                let pattern = self.term(pattern, Type::Text)?;
                Ok(Test { column, how: How::Like { pattern, any_case: *operator == "ILIKE" }, negated: *negated })
            }
            Expression::Is { of, test: "NULL", negated } => {
                let (column, _) = self.tested(of)?;
                Ok(Test { column, how: How::Null, negated: *negated })
            }
            Expression::Is { of, test: "TRUE", negated: false } => self.boolean(of, false),
            _ => Err(Error::unsupported("this condition")),
        }
    }

    fn boolean(&self, of: &Expression, negated: bool) -> Result<Test> {
        match self.tested(of)? {
            (column, Type::Boolean) => Ok(Test { column, how: How::True, negated }),
            _ => Err(Error::new("42804", "argument of WHERE must be type boolean")),
        }
    }

    fn comparison(&mut self, operator: &str, left: &Expression, right: &Expression) -> Result<Test> {
        let (column, constant, operator) = match (self.tested(left), self.tested(right)) {
            (Ok(column), Err(_)) => (column, right, operator),
            (Err(_), Ok(column)) => (column, left, flipped(operator)),
            (Ok(_), Ok(_)) => return Err(Error::unsupported("a comparison of two columns")),
            // A name that is no column is worth telling.
            (Err(error), Err(_)) => return Err(error),
        };
        let holds: fn(Ordering) -> bool = match operator {
            "=" => Ordering::is_eq,
            "<>" | "!=" => Ordering::is_ne,
            "<" => Ordering::is_lt,
            "<=" => Ordering::is_le,
            ">" => Ordering::is_gt,
            ">=" => Ordering::is_ge,
            _ => return Err(Error::unsupported("this operator")),
        };
        let term = self.term(constant, column.1)?;
        Ok(Test { column: column.0, how: How::Compare(holds, term), negated: false })
    }

    /// The column that is tested, and its type.
    fn tested(&self, of: &Expression) -> Result<(usize, Type)> {
        match of {
            Expression::Column(path) => {
                let at = self.column(path)?;
                let column = self.row.columns.get(at).ok_or_else(nothing)?;
                Ok((at, column.of))
            }
            // As BI tools write it: `column::text`.
            Expression::Cast { of, to } if to.dimensions == 0 => match self.tested(of)? {
                (at, own) if Type::named(&to.name) == Some(own) => Ok((at, own)),
                _ => Err(Error::unsupported("a cast of a column")),
            },
            _ => Err(Error::unsupported("a condition on anything but a column")),
        }
    }

    /// A constant that is to be of a type.
    fn term(&mut self, of: &Expression, wanted: Type) -> Result<Term> {
        match of {
            Expression::Parameter(number) => {
                self.infer(*number, wanted);
                Ok(Term::Parameter(*number, wanted))
            }
            Expression::Cast { of, to } if to.dimensions == 0 && Type::named(&to.name).is_some() => {
                self.term(of, wanted)
            }
            _ => wanted.cast(constant(of)?).map(Term::Constant),
        }
    }

    fn infer(&mut self, number: u16, wanted: Type) {
        let at = usize::from(number).saturating_sub(1);
        if self.parameters.len() <= at {
            self.parameters.resize(at + 1, None);
        }
        if let Some(inferred) = self.parameters.get_mut(at) {
            inferred.get_or_insert(wanted);
        }
    }

    fn sort(&self, order: &Order, output: &Output) -> Result<Sort> {
        let column = match (&order.by, output) {
            (Expression::Literal(Literal::Number(place)), Output::Columns(columns)) => {
                let place = place.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
                let found = place.and_then(|place| columns.get(place)).map(|(_, at)| *at);
                found.ok_or_else(|| Error::new("42P10", "ORDER BY position is not in select list"))?
            }
            (Expression::Column(path), Output::Columns(columns)) => {
                let alias = |name: &str| columns.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
                match path.0.as_slice() {
                    [single] => alias(&single.text).map_or_else(|| self.column(path), Ok)?,
                    _ => self.column(path)?,
                }
            }
            _ => return Err(Error::unsupported("ORDER BY of anything but a column")),
        };
        let descending = order.descending.unwrap_or(false);
        Ok(Sort { column, descending, nulls_first: order.nulls_first.unwrap_or(descending) })
    }
}

fn find(path: &Path) -> Result<&'static Row> {
    let name = path.0.last().map_or("", |name| name.text.as_str());
    ROWS.iter().copied().find(|row| row.name == name).ok_or_else(|| {
        let names: Vec<String> = ROWS.iter().map(|row| format!("{OWN_SCHEMA}.{}", row.name)).collect();
        Error::new("42P01", format!("the gateway has nothing called \"{OWN_SCHEMA}.{name}\""))
            .hint(format!("There are {}.", names.join(", ")))
    })
}

fn is_count(call: &Call) -> bool {
    let name = match call.name.0.as_slice() {
        [name] => name,
        [schema, name] if schema.text == "pg_catalog" => name,
        _ => return false,
    };
    name.text == "count" && *call == Call::plain(call.name.clone(), Arguments::Everything)
}

fn flipped(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn constant(of: &Expression) -> Result<Value> {
    let number = |digits: &str| match digits.parse::<i64>() {
        Ok(number) => Ok(Value::Integer(number)),
        Err(_) => digits.parse().map(Value::Float).map_err(|_| Error::new("22003", "number out of range")),
    };
    match of {
        Expression::Literal(Literal::Null) => Ok(Value::Null),
        Expression::Literal(Literal::Boolean(on)) => Ok(Value::Boolean(*on)),
        Expression::Literal(Literal::String(text)) => Ok(Value::Text(text.clone())),
        Expression::Literal(Literal::Number(digits)) => number(digits),
        Expression::Prefix { operator, of } if operator == "-" => match &**of {
            Expression::Literal(Literal::Number(digits)) => number(&format!("-{digits}")),
            _ => Err(Error::unsupported("an expression")),
        },
        _ => Err(Error::unsupported("an expression")),
    }
}

impl Question {
    /// Types of parameters, where something in the query tells them.
    pub(super) fn parameters(&self) -> &[Option<Type>] {
        &self.parameters
    }

    /// Names and types of what is answered.
    pub(super) fn columns(&self) -> Vec<(&str, Type)> {
        match &self.output {
            Output::Count(name) => vec![(name, Type::Integer)],
            Output::Columns(columns) => {
                let of = |at: &usize| self.row.columns.get(*at).map_or(Type::Text, |column: &Column| column.of);
                columns.iter().map(|(name, at)| (name.as_str(), of(at))).collect()
            }
        }
    }

    /// The question with the values of its parameters.
    pub(super) fn known(&self, types: &[u32], bind: &Bind) -> Result<Known<'_>> {
        let value = |term: &Term| match term {
            Term::Constant(value) => Ok(value.clone()),
            Term::Parameter(number, wanted) => parameter(*number, *wanted, types, bind),
        };
        let many = |terms: &[Term]| terms.iter().map(value).collect::<Result<Vec<_>>>();
        let tests = self.tests.iter().map(|test| {
            let values = match &test.how {
                How::Compare(_, term) | How::Like { pattern: term, .. } => vec![value(term)?],
                How::In(terms) => many(terms)?,
                How::Null | How::True => Vec::new(),
            };
            check_pattern(test, &values)?;
            Ok((test, values))
        });
        let tests = tests.collect::<Result<_>>()?;
        let rows = |term: &Option<Term>| -> Result<Option<usize>> {
            match term.as_ref().map(value).transpose()? {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Integer(rows)) => usize::try_from(rows).map(Some).map_err(|_| negative()),
                Some(_) => Err(negative()),
            }
        };
        let (limit, offset) = (rows(&self.limit)?, rows(&self.offset)?);
        Ok(Known { question: self, arguments: many(&self.arguments)?, tests, limit, offset })
    }
}

fn negative() -> Error {
    Error::new("2201W", "LIMIT and OFFSET must not be negative")
}

fn check_pattern(test: &Test, values: &[Value]) -> Result<()> {
    match (&test.how, values) {
        (How::Like { .. }, [Value::Text(pattern)]) if pattern.len() > PATTERN_BYTES_MAX => {
            Err(Error::new("54000", format!("the pattern is too long (the limit is {PATTERN_BYTES_MAX} bytes)")))
        }
        _ => Ok(()),
    }
}

fn parameter(number: u16, wanted: Type, types: &[u32], bind: &Bind) -> Result<Value> {
    let at = usize::from(number).saturating_sub(1);
    let format = match bind.parameter_formats.as_slice() {
        [one] => *one,
        formats => formats.get(at).copied().unwrap_or(Format::Text),
    };
    let declared = types.get(at).copied().unwrap_or(0);
    match bind.parameters.get(at) {
        Some(Some(bytes)) => Value::decode(bytes, format, declared, wanted),
        Some(None) => Ok(Value::Null),
        None => Err(Error::new("42P02", format!("there is no parameter ${number}"))),
    }
}

/// A question whose every value is known.
pub(super) struct Known<'q> {
    question: &'q Question,
    arguments: Vec<Value>,
    tests: Vec<(&'q Test, Vec<Value>)>,
    limit: Option<usize>,
    offset: Option<usize>,
}

impl Known<'_> {
    /// What the function is called with.
    pub(super) fn arguments(&self) -> Vec<Value> {
        self.arguments.clone()
    }

    /// Picks, orders and cuts rows as asked.
    pub(super) fn select(&self, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        let holds = |row: &Vec<Value>| self.tests.iter().all(|(test, values)| test.holds(row, values) == Some(true));
        let mut rows: Vec<Vec<Value>> = rows.into_iter().filter(holds).collect();
        let columns = match &self.question.output {
            Output::Columns(columns) => columns,
            Output::Count(_) => {
                let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                return self.cut(vec![vec![Value::Integer(count)]]);
            }
        };
        rows.sort_by(|left, right| self.order(left, right));
        let pick =
            |row: Vec<Value>| columns.iter().map(|(_, at)| row.get(*at).cloned().unwrap_or(Value::Null)).collect();
        self.cut(rows).into_iter().map(pick).collect()
    }

    fn cut(&self, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        rows.into_iter().skip(self.offset.unwrap_or(0)).take(self.limit.unwrap_or(usize::MAX)).collect()
    }

    fn order(&self, left: &[Value], right: &[Value]) -> Ordering {
        let by = |sort: &Sort| {
            let null = if sort.nulls_first { Ordering::Less } else { Ordering::Greater };
            match (left.get(sort.column), right.get(sort.column)) {
                (Some(Value::Null), Some(Value::Null)) | (None, _) | (_, None) => Ordering::Equal,
                (Some(Value::Null), _) => null,
                (_, Some(Value::Null)) => null.reverse(),
                (Some(left), Some(right)) => {
                    let order = left.compare(right).unwrap_or(Ordering::Equal);
                    if sort.descending { order.reverse() } else { order }
                }
            }
        };
        self.question.order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Test {
    /// As SQL has it: none is unknown, because of a NULL.
    fn holds(&self, row: &[Value], values: &[Value]) -> Option<bool> {
        let value = row.get(self.column)?;
        let holds = match (&self.how, values) {
            (How::Null, _) => Some(matches!(value, Value::Null)),
            (How::True, _) => match value {
                Value::Boolean(on) => Some(*on),
                _ => None,
            },
            (How::Compare(operator, _), [constant]) => value.compare(constant).map(operator),
            (How::In(_), list) => match list.iter().any(|constant| value.compare(constant) == Some(Ordering::Equal)) {
                true => Some(true),
                false if matches!(value, Value::Null) || list.contains(&Value::Null) => None,
                false => Some(false),
            },
            (How::Like { any_case, .. }, [Value::Text(pattern)]) => match value {
                Value::Text(text) if *any_case => Some(is_like(&text.to_lowercase(), &pattern.to_lowercase())),
                Value::Text(text) => Some(is_like(text, pattern)),
                _ => None,
            },
            _ => None,
        };
        holds.map(|holds| holds != self.negated)
    }
}

/// LIKE with `%`, `_` and the backslash. Goes back to the last `%` only, which is enough and keeps the work bounded by
/// the product of both lengths.
fn is_like(text: &str, pattern: &str) -> bool {
    let pattern = pattern_of(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut of) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match (pattern.get(of), text.get(at)) {
            (Some(Piece::Any), _) => {
                back = Some((at, of));
                of += 1;
            }
            (Some(Piece::One), _) => (at, of) = (at + 1, of + 1),
            (Some(Piece::Character(wanted)), Some(character)) if wanted == character => (at, of) = (at + 1, of + 1),
            _ => match back {
                Some((from, any)) => {
                    back = Some((from + 1, any));
                    (at, of) = (from + 1, any + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(of).all(|piece| matches!(piece, Piece::Any))
}

enum Piece {
    Any,
    One,
    Character(char),
}

fn pattern_of(pattern: &str) -> Vec<Piece> {
    let mut characters = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Character(characters.next().unwrap_or('\\')),
            other => Piece::Character(other),
        });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_postgresql() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("", "%", true),
            ("", "_", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aaab", "%a%ab", true),
            ("mississippi", "%iss%ip_i", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }
}
