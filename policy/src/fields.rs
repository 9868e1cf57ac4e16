//! What an object in a policy file may hold, as tables: [`Field`]s.
//!
//! One table serves three readers: [`Object::check`] finds every key that is unknown, repeated, missing or of the wrong
//! shape; the JSON Schema and the manual are printed from it. So a field cannot be accepted and undocumented.

use std::collections::BTreeSet;

use jsonc_parser::ast::{self, Value};
use jsonc_parser::common::{Range, Ranged};

use crate::document::{Source, kind_of};
use crate::problem::{Problem, Problems, did_you_mean};

/// Characters of one text. A message travels in one protocol message, beside others.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// Digits of one number: more than any amount needs.
const DIGITS_MAX: usize = 30;

/// One key that an object may have.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    /// The key.
    pub(crate) name: &'static str,
    /// What may stand there.
    pub(crate) shape: Shape,
    /// Whether it must be there.
    pub(crate) required: bool,
    /// What it does, in a sentence.
    pub(crate) manual: &'static str,
}

/// What may stand at a key.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// A text that is not empty.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number from 1.
    Count,
    /// A number, whole or not.
    Number,
    /// Two numbers.
    Range,
    /// A text, a number, or one of true and false.
    Literal,
    /// A list of these, not empty.
    Literals,
    /// A whole number, which may be below 0.
    Integer,
    /// A number above 0, in digits.
    Amount,
    /// One of these words.
    Word(&'static [Word]),
    /// A list of these words, not empty.
    Words(&'static [Word]),
    /// A list of texts, not empty.
    Names,
    /// A list of objects with these keys, not empty.
    Objects(&'static [Field]),
    /// One of these words, or an object with these keys.
    WordOrObject(&'static [Word], &'static [Field]),
    /// An object with these keys, at least one of them.
    Object(&'static [Field]),
    /// An object with any keys, at least one, and at each an object with these keys.
    Keyed(&'static [Field]),
    /// A condition: an object with the keys of [`crate::condition::FIELDS`].
    Condition,
    /// A list of conditions, not empty.
    Conditions,
}

/// A word that may stand at a key, and what it means.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) manual: &'static str,
}

impl Shape {
    /// For a sentence: what is expected.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count => "a whole number from 1, in digits".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Range => "a list of two numbers".to_owned(),
            Self::Literal => "a text, a number, or true or false".to_owned(),
            Self::Literals => "a list of texts or numbers".to_owned(),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.name)).collect();
                format!("a list of {}", quoted.join(", "))
            }
            Self::Integer => "a whole number, in digits".to_owned(),
            Self::Amount => "a number above 0, in digits".to_owned(),
            Self::Word(words) => quoted(words),
            Self::Objects(fields) => format!("a list of objects with {}", keys(fields)),
            Self::WordOrObject(words, fields) => format!("{}, or an object with {}", quoted(words), keys(fields)),
            Self::Names => "a list of texts".to_owned(),
            Self::Object(fields) => format!("an object with {}", keys(fields)),
            Self::Keyed(fields) => format!("an object of names, each with {}", keys(fields)),
            Self::Condition => "a condition".to_owned(),
            Self::Conditions => "a list of conditions".to_owned(),
        }
    }
}

fn quoted(words: &[Word]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.name)).collect();
    quoted.join(" or ")
}

/// The keys of a table, for a sentence.
fn keys(fields: &[Field]) -> String {
    fields.iter().map(|field| format!("\"{}\"", field.name)).collect::<Vec<_>>().join(", ")
}

/// A text, a number, or one of true and false, as a policy file gives it to be compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(Box<str>),
    Number(f64),
    Flag(bool),
}

/// An object of a policy file, read by key. What [`Object::check`] has refused reads as absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'d> {
    pub(crate) source: &'d Source<'d>,
    node: &'d ast::Object<'d>,
}

/// A text in a policy file, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'d> {
    pub(crate) source: &'d Source<'d>,
    pub(crate) value: &'d str,
    range: Range,
}

impl<'d> Text<'d> {
    /// A text that stands inside this one, from a byte of its value on. `value` is what it says there.
    pub(crate) fn part<'p>(&self, at: usize, value: &'p str) -> Text<'p>
    where
        'd: 'p,
    {
        let start = self.source.offset_in_string(self.range, at);
        Text { source: self.source, value, range: Range { start, end: self.range.end } }
    }

    /// A problem with this text.
    pub(crate) fn problem(&self, message: String, suggestion: Option<String>) -> Problem {
        self.source.problem(self.range, message, suggestion)
    }
}

impl<'d> Object<'d> {
    pub(crate) fn new(source: &'d Source<'d>, node: &'d ast::Object<'d>) -> Self {
        Self { source, node }
    }

    /// The line it starts on.
    pub(crate) fn line(&self) -> usize {
        self.source.line(self.node.range.start)
    }

    /// Whether it has a key, whatever stands there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A problem with the object as a whole.
    pub(crate) fn problem(&self, message: String, suggestion: Option<String>) -> Problem {
        self.source.problem(self.node.range, message, suggestion)
    }

    /// A problem with the key `name`, or with the object where it is absent.
    pub(crate) fn problem_at(&self, name: &str, message: String, suggestion: Option<String>) -> Problem {
        let property = self.node.properties.iter().find(|property| property.name.as_str() == name);
        let range = property.map_or(self.node.range, |property| property.name.range());
        self.source.problem(range, message, suggestion)
    }

    /// Reports every key that is not in the tables, is there twice, is missing, or holds something of another shape.
    pub(crate) fn check(&self, tables: &[&'static [Field]], problems: &mut Problems) {
        self.check_present(tables, problems);
        for field in tables.iter().copied().flatten().filter(|field| field.required && !self.has(field.name)) {
            let suggestion = Some(format!("add \"{}\": {}", field.name, field.shape.described()));
            problems.push(self.problem(format!("\"{}\" is missing", field.name), suggestion));
        }
    }

    /// The same, without asking for what is missing.
    pub(crate) fn check_present(&self, tables: &[&'static [Field]], problems: &mut Problems) {
        let fields = || tables.iter().copied().flatten();
        let mut seen = BTreeSet::new();
        for property in &self.node.properties {
            let name = property.name.as_str();
            let at = property.name.range();
            if !seen.insert(name) {
                let message = format!("key \"{name}\" is there twice");
                problems.push(self.source.problem(at, message, Some("keep one of them".to_owned())));
                continue;
            }
            match fields().find(|field| field.name == name) {
                Some(field) => self.check_value(field, &property.value, problems),
                None => {
                    let suggestion = did_you_mean(name, fields().map(|field| field.name))
                        .unwrap_or_else(|| format!("known here: {}", known(fields())));
                    problems.push(self.source.problem(at, format!("unknown key \"{name}\""), Some(suggestion)));
                }
            }
        }
    }

    fn check_value(&self, field: &'static Field, value: &Value<'_>, problems: &mut Problems) {
        let wrong = |message: String, suggestion| self.source.problem(value.range(), message, suggestion);
        match (&field.shape, value) {
            (Shape::Text, Value::StringLit(text)) => {
                problems.extend(fault_of(&text.value).map(|fault| wrong(format!("\"{}\" {fault}", field.name), None)));
            }
            (Shape::Flag, Value::BooleanLit(_)) => {}
            (Shape::Count, Value::NumberLit(number)) if count(number.value).is_some() => {}
            (Shape::Integer, Value::NumberLit(number)) if number.value.parse::<i64>().is_ok() => {}
            (Shape::Amount, Value::NumberLit(number)) if is_decimal(number.value) => {}
            (Shape::Word(words) | Shape::WordOrObject(words, _), Value::StringLit(text)) => {
                let names = || words.iter().map(|word| word.name);
                if !names().any(|name| name == text.value) {
                    let suggestion = did_you_mean(&text.value, names())
                        .unwrap_or_else(|| format!("write {}", field.shape.described()));
                    problems.push(wrong(format!("unknown {} \"{}\"", field.name, text.value), Some(suggestion)));
                }
            }
            (Shape::Number, Value::NumberLit(written)) if number(written.value).is_some() => {}
            (Shape::Range, Value::Array(list)) if range(list).is_some() => {}
            (Shape::Literal, value) if literal(value).is_some() => {}
            (Shape::Literals, Value::Array(list)) => self.check_literals(field, list, problems),
            (Shape::Words(words), Value::Array(list)) => self.check_words(field, words, list, problems),
            (Shape::WordOrObject(_, fields), Value::Object(node)) => {
                Object { source: self.source, node }.check_inner(field.name, fields, problems);
            }
            (Shape::Names, Value::Array(list)) => self.check_names(field, list, problems),
            (Shape::Objects(fields), Value::Array(list)) => self.check_objects(field, fields, list, problems),
            (Shape::Conditions, Value::Array(list)) => self.check_conditions(field, list, problems),
            (Shape::Object(fields), Value::Object(node)) => {
                Object { source: self.source, node }.check_inner(field.name, fields, problems);
            }
            (Shape::Keyed(fields), Value::Object(node)) => {
                Object { source: self.source, node }.check_keyed(field.name, fields, problems);
            }
            (Shape::Condition, Value::Object(node)) => {
                Object { source: self.source, node }.check_inner(field.name, &crate::condition::FIELDS, problems);
            }
            (shape, other) => {
                let written = match other {
                    Value::NumberLit(number) => number.value.to_owned(),
                    other => kind_of(other).to_owned(),
                };
                problems.push(wrong(format!("\"{}\" is {}, not {written}", field.name, shape.described()), None));
            }
        }
    }

    /// Checks an object that stands at a key, and that it is not empty: an empty one says nothing, and so would either
    /// match nothing or everything.
    fn check_inner(&self, name: &str, fields: &'static [Field], problems: &mut Problems) {
        if self.node.properties.is_empty() {
            let suggestion = Some(format!("say one of {}, or leave \"{name}\" out", keys(fields)));
            problems.push(self.problem(format!("\"{name}\" is empty"), suggestion));
        }
        self.check(&[fields], problems);
    }

    /// Checks an object of any keys, and what stands at each.
    fn check_keyed(&self, name: &str, fields: &'static [Field], problems: &mut Problems) {
        if self.node.properties.is_empty() {
            let suggestion = Some(format!("name at least one, or leave \"{name}\" out"));
            problems.push(self.problem(format!("\"{name}\" is empty"), suggestion));
        }
        let mut seen = BTreeSet::new();
        for property in &self.node.properties {
            let key = property.name.as_str();
            if !seen.insert(key) {
                let message = format!("key \"{key}\" is there twice");
                let suggestion = Some("keep one of them".to_owned());
                problems.push(self.source.problem(property.name.range(), message, suggestion));
            }
            match &property.value {
                Value::Object(node) => Object { source: self.source, node }.check_inner(key, fields, problems),
                other => {
                    let message = format!("\"{key}\" is an object with {}, not {}", keys(fields), kind_of(other));
                    problems.push(self.source.problem(other.range(), message, None));
                }
            }
        }
    }

    fn check_literals(&self, field: &Field, list: &ast::Array<'_>, problems: &mut Problems) {
        self.check_not_empty(field, list, problems);
        for element in list.elements.iter().filter(|element| literal(element).is_none()) {
            let message = format!("\"{}\" holds {}, not a text or a number", field.name, kind_of(element));
            problems.push(self.source.problem(element.range(), message, None));
        }
    }

    fn check_words(&self, field: &Field, words: &[Word], list: &ast::Array<'_>, problems: &mut Problems) {
        self.check_names(field, list, problems);
        let names = || words.iter().map(|word| word.name);
        for text in list.elements.iter().filter_map(Value::as_string_lit) {
            if fault_of(&text.value).is_none() && !names().any(|name| name == text.value) {
                let suggestion = did_you_mean(&text.value, names())
                    .unwrap_or_else(|| format!("known: {}", names().collect::<Vec<_>>().join(", ")));
                let message = format!("unknown word \"{}\" in \"{}\"", text.value, field.name);
                problems.push(self.source.problem(text.range, message, Some(suggestion)));
            }
        }
    }

    fn check_names(&self, field: &Field, list: &ast::Array<'_>, problems: &mut Problems) {
        self.check_not_empty(field, list, problems);
        for element in &list.elements {
            let fault = match element {
                Value::StringLit(text) => fault_of(&text.value),
                other => Some(format!("holds {}, not a text", kind_of(other))),
            };
            let problem = |fault| self.source.problem(element.range(), format!("\"{}\" {fault}", field.name), None);
            problems.extend(fault.map(problem));
        }
    }

    fn check_conditions(&self, field: &Field, list: &ast::Array<'_>, problems: &mut Problems) {
        self.check_not_empty(field, list, problems);
        for element in &list.elements {
            match element {
                Value::Object(node) => {
                    Object { source: self.source, node }.check_inner(field.name, &crate::condition::FIELDS, problems);
                }
                other => {
                    let message = format!("\"{}\" holds {}, not a condition", field.name, kind_of(other));
                    problems.push(self.source.problem(other.range(), message, None));
                }
            }
        }
    }

    fn check_objects(&self, field: &Field, fields: &'static [Field], list: &ast::Array<'_>, problems: &mut Problems) {
        self.check_not_empty(field, list, problems);
        for element in &list.elements {
            match element {
                Value::Object(node) => Object { source: self.source, node }.check_inner(field.name, fields, problems),
                other => {
                    let message = format!("\"{}\" holds {}, not an object", field.name, kind_of(other));
                    problems.push(self.source.problem(other.range(), message, None));
                }
            }
        }
    }

    fn check_not_empty(&self, field: &Field, list: &ast::Array<'_>, problems: &mut Problems) {
        if list.elements.is_empty() {
            let suggestion = Some(format!("name at least one, or leave \"{}\" out", field.name));
            problems.push(self.source.problem(list.range, format!("\"{}\" is an empty list", field.name), suggestion));
        }
    }

    /// The keys it has, in the order of the file.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.node.properties.iter().map(|property| property.name.as_str())
    }

    fn value(&self, name: &str) -> Option<&'d Value<'d>> {
        self.node.properties.iter().find(|property| property.name.as_str() == name).map(|property| &property.value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<Text<'d>> {
        self.value(name).and_then(|value| self.text_of(value))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::BooleanLit(flag)) if flag.value)
    }

    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_number_lit().and_then(|number| count(number.value))
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_number_lit().and_then(|written| number(written.value))
    }

    /// Two numbers.
    pub(crate) fn range(&self, name: &str) -> Option<(f64, f64)> {
        self.value(name)?.as_array().and_then(range)
    }

    pub(crate) fn literal(&self, name: &str) -> Option<Literal> {
        self.value(name).and_then(literal)
    }

    /// The literals of a list; nothing where there is none.
    pub(crate) fn literals(&self, name: &str) -> Vec<Literal> {
        let elements = self.value(name).and_then(Value::as_array).map_or(&[][..], |list| &list.elements);
        elements.iter().filter_map(literal).collect()
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_number_lit()?.value.parse().ok()
    }

    /// A number above 0, in digits, without zeros that say nothing.
    pub(crate) fn amount(&self, name: &str) -> Option<String> {
        let written = self.value(name)?.as_number_lit()?.value;
        is_decimal(written).then(|| match written.split_once('.') {
            Some((whole, fraction)) => {
                let fraction = fraction.trim_end_matches('0');
                if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
            }
            None => written.to_owned(),
        })
    }

    /// The texts of a list; nothing where there is none.
    pub(crate) fn names(&self, name: &str) -> impl Iterator<Item = Text<'d>> + use<'d> {
        let object = *self;
        let elements = self.value(name).and_then(Value::as_array).map_or(&[][..], |list| &list.elements);
        elements.iter().filter_map(move |element| object.text_of(element))
    }

    pub(crate) fn object(&self, name: &str) -> Option<Object<'d>> {
        let node = self.value(name)?.as_object()?;
        Some(Object { source: self.source, node })
    }

    /// The objects of a list; nothing where there is none.
    pub(crate) fn objects(&self, name: &str) -> impl Iterator<Item = Object<'d>> + use<'d> {
        let source = self.source;
        let elements = self.value(name).and_then(Value::as_array).map_or(&[][..], |list| &list.elements);
        elements.iter().filter_map(Value::as_object).map(move |node| Object { source, node })
    }

    fn text_of(&self, value: &'d Value<'d>) -> Option<Text<'d>> {
        let text = value.as_string_lit().filter(|text| fault_of(&text.value).is_none())?;
        Some(Text { source: self.source, value: &text.value, range: text.range })
    }
}

/// The keys of a table, for a suggestion.
fn known<'f>(fields: impl Iterator<Item = &'f Field>) -> String {
    // Where the kind of a policy is not known these are the fields of all kinds, which share names.
    let mut names = Vec::new();
    fields.map(|field| field.name).for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names.join(", ")
}

/// A whole number from 1 that PostgreSQL's `bigint` holds.
fn count(written: &str) -> Option<u64> {
    written.parse().ok().filter(|number| (1..=i64::MAX.unsigned_abs()).contains(number))
}

/// A number that is one: `1e999` is none.
fn number(written: &str) -> Option<f64> {
    written.parse().ok().filter(|number: &f64| number.is_finite())
}

fn range(list: &ast::Array<'_>) -> Option<(f64, f64)> {
    let at = |index: usize| list.elements.get(index)?.as_number_lit().and_then(|written| number(written.value));
    at(0).zip(at(1)).filter(|_| list.elements.len() == 2)
}

fn literal(value: &Value<'_>) -> Option<Literal> {
    match value {
        Value::StringLit(text) if fault_of(&text.value).is_none() => Some(Literal::Text((*text.value).into())),
        Value::NumberLit(written) => number(written.value).map(Literal::Number),
        Value::BooleanLit(flag) => Some(Literal::Flag(flag.value)),
        _ => None,
    }
}

/// Digits with at most one point among them, not all of them zero, and not so many that nobody can mean them.
fn is_decimal(written: &str) -> bool {
    let digits = |part: &str| part.chars().all(|digit| digit.is_ascii_digit());
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    written.len() <= DIGITS_MAX
        && !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && written.contains(|digit: char| digit.is_ascii_digit() && digit != '0')
}

/// What is wrong with a text, to follow its key in a sentence.
fn fault_of(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("holds an empty text".to_owned());
    }
    let too_long = text.chars().nth(TEXT_CHARACTERS_MAX).is_some();
    too_long.then(|| format!("holds a text longer than {TEXT_CHARACTERS_MAX} characters"))
}
