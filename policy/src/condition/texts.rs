//! Texts that a session has one of: the kind of statement, the program, the sign-in method, the purpose.
//!
//! The operators stand here too: the same compare a person's name and e-mail.

use regex::{Regex, RegexBuilder};

use super::evidence::Evidence;
use super::{Condition, Key, Reading, Test, Trigger, Truth};
use crate::fields::{Field, Object, Shape, Text};
use crate::problem::did_you_mean;
use crate::{AUTHENTICATION_METHODS, Request, StatementKind};

/// Bytes that a compiled pattern may take. The time to match is linear in the text whatever the pattern.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// How a text is compared. Several must all hold.
pub(crate) const OPERATORS: &[Field] = &[
    Field { name: "eq", shape: Shape::Text, required: false, manual: "It is this text; case matters." },
    Field { name: "in", shape: Shape::Names, required: false, manual: "It is one of these texts; case matters." },
    Field {
        name: "matches",
        shape: Shape::Text,
        required: false,
        manual: "This regular expression is found in it, anywhere: write `^...$` to mean all of it, and `(?i)` before \
                 it where case does not matter.",
    },
];

/// A text that a request has one of.
#[derive(Debug)]
pub(crate) struct TextSubject {
    /// The key of a condition.
    pub(crate) key: &'static str,
    /// What it is, to begin a clause of evidence.
    pub(crate) noun: &'static str,
    /// The text, or why it is not known.
    pub(crate) read: fn(&Request) -> Result<&str, String>,
    /// The only texts that it can be; any, where there are none.
    pub(crate) words: &'static [&'static str],
    /// By what policies that ask for one text are found.
    pub(crate) trigger: Option<Key>,
}

/// `statement_kind`.
pub(crate) static STATEMENT_KIND: TextSubject = TextSubject {
    key: "statement_kind",
    noun: "the kind of statement",
    read: |request| Ok(request.kind.as_str()),
    words: &[
        StatementKind::Query.as_str(),
        StatementKind::Explain.as_str(),
        StatementKind::Write.as_str(),
        StatementKind::ShowAll.as_str(),
        StatementKind::ShowPrivileges.as_str(),
    ],
    trigger: None,
};

/// `application_name`.
pub(crate) static APPLICATION_NAME: TextSubject = TextSubject {
    key: "application_name",
    noun: "application_name",
    read: |request| Ok(&request.facts.application_name),
    words: &[],
    trigger: None,
};

/// `authentication_method`.
pub(crate) static AUTHENTICATION_METHOD: TextSubject = TextSubject {
    key: "authentication_method",
    noun: "the sign-in method",
    read: |request| Ok(request.identity.proof.method),
    words: AUTHENTICATION_METHODS,
    trigger: None,
};

/// `purpose`: what the session declares, empty where it declares none.
pub(crate) static PURPOSE: TextSubject = TextSubject {
    key: "purpose",
    noun: "the declared purpose",
    read: |request| Ok(request.facts.declared.get("passgate.purpose").map_or("", String::as_str)),
    words: &[],
    trigger: None,
};

const SUBJECTS: [&TextSubject; 4] = [&STATEMENT_KIND, &APPLICATION_NAME, &AUTHENTICATION_METHOD, &PURPOSE];

/// How a text is compared.
#[derive(Debug)]
pub(crate) enum Comparison {
    Is(Box<str>),
    IsOneOf(Vec<Box<str>>),
    Matches(Regex),
}

#[derive(Debug)]
struct TextTest {
    subject: &'static TextSubject,
    comparison: Comparison,
}

/// Compiles what stands at the key of one of [`SUBJECTS`].
pub(super) fn compile(object: Object<'_>, key: &'static str, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let subject = SUBJECTS.into_iter().find(|subject| subject.key == key)?;
    compile_for(subject, object.object(key)?, reading)
}

/// Compiles comparisons of one text.
pub(super) fn compile_for(
    subject: &'static TextSubject,
    tests: Object<'_>,
    reading: &mut Reading<'_, '_>,
) -> Option<Condition> {
    for written in ["eq", "in"].into_iter().flat_map(|key| tests.text(key).into_iter().chain(tests.names(key))) {
        if !subject.words.is_empty() && !subject.words.contains(&written.value) {
            let words = || subject.words.iter().copied();
            let suggestion = did_you_mean(written.value, words())
                .unwrap_or_else(|| format!("known: {}", words().collect::<Vec<_>>().join(", ")));
            let message = format!("{} is never \"{}\"", subject.noun, written.value);
            reading.context.problems.push(written.problem(message, Some(suggestion)));
        }
    }
    let comparisons = comparisons(tests, reading)?.into_iter();
    Condition::all_of(comparisons.map(|comparison| Condition::test(TextTest { subject, comparison })).collect())
}

/// Reads the comparisons of an object that was checked against [`OPERATORS`].
pub(super) fn comparisons(tests: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<Vec<Comparison>> {
    let is = tests.text("eq");
    let one_of: Vec<Text<'_>> = tests.names("in").collect();
    if let Some(is) = is.filter(|is| !one_of.is_empty() && !one_of.iter().any(|other| other.value == is.value)) {
        let message = format!("\"{}\" is not one of those under \"in\", so both can never hold", is.value);
        reading.context.problems.push(is.problem(message, Some("leave one of the two out".to_owned())));
    }
    let mut comparisons = Vec::new();
    for key in tests.keys() {
        comparisons.push(match key {
            "eq" => Comparison::Is(is?.value.into()),
            "in" => Comparison::IsOneOf(one_of.iter().map(|text| text.value.into()).collect()),
            _ => Comparison::Matches(reading.pattern(&tests.text(key)?)?),
        });
    }
    Some(comparisons)
}

impl Reading<'_, '_> {
    /// Reads a regular expression, or reports why it is none.
    pub(crate) fn pattern(&mut self, written: &Text<'_>) -> Option<Regex> {
        match pattern(written.value) {
            Ok(pattern) => Some(pattern),
            Err(message) => {
                self.context.problems.push(written.problem(message, None));
                None
            }
        }
    }
}

/// Reads a regular expression, or says why it is none.
pub(crate) fn pattern(written: &str) -> Result<Regex, String> {
    RegexBuilder::new(written).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("the regular expression takes more than {PATTERN_BYTES_MAX} bytes"),
        // Its own rendering draws the expression over several lines; the last says what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    })
}

impl Comparison {
    pub(super) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(other) => **other == *text,
            Self::IsOneOf(others) => others.iter().any(|other| **other == *text),
            Self::Matches(pattern) => pattern.is_match(text),
        }
    }
}

impl TextSubject {
    /// What it is, as a clause of evidence.
    pub(crate) fn fact(&self, request: &Request) -> Option<String> {
        (self.read)(request).ok().map(|text| format!("{} is {}", self.noun, shown(text)))
    }
}

impl Test for TextTest {
    fn truth(&self, request: &Request) -> Truth {
        match (self.subject.read)(request) {
            Ok(text) => Truth::from(self.comparison.holds(text)),
            Err(why) => Truth::Unknown(why),
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        self.subject.fact(request).into_iter().for_each(|fact| found.fact(fact));
    }

    fn triggers(&self) -> Option<Vec<Trigger>> {
        let key = self.subject.trigger?;
        match &self.comparison {
            Comparison::Is(text) => Some(vec![(key, text.clone())]),
            Comparison::IsOneOf(texts) => Some(texts.iter().map(|text| (key, text.clone())).collect()),
            Comparison::Matches(_) => None,
        }
    }
}

/// A text as evidence shows it.
pub(super) fn shown(text: &str) -> String {
    match text.is_empty() {
        true => "empty".to_owned(),
        false => format!("\"{text}\""),
    }
}
