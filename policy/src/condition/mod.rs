//! Conditions: what must be true of a statement, of who asks and of the moment for a policy to act.
//!
//! A condition is compiled to a tree of tests over the request. Each test says whether it holds, where not everything
//! is known; what made it so, for the refusal's detail; and which names it cannot hold without, so that only
//! conditions that can hold are evaluated at all. What can be asked about is one table, [`SUBJECTS`], and one file for
//! each family of subjects.

mod address;
mod evidence;
mod flags;
mod names;
mod numbers;
mod texts;
mod time;
mod triggers;
mod truth;
mod user;

use std::fmt;

pub(crate) use address::{fact as address_fact, is_in as address_is_in, network};
pub(crate) use evidence::Evidence;
pub(crate) use flags::{FIRST_ACCESS, FULL_EXPORT, Flag};
pub(crate) use names::{Name, Names, Operator as NameOperator, Subject as NameSubject};
pub(crate) use numbers::{BYTES, CONFIDENCE, COST, Quantity, ROWS};
pub(crate) use texts::{APPLICATION_NAME, AUTHENTICATION_METHOD, PURPOSE, STATEMENT_KIND, TextSubject};
pub(crate) use time::{Moment, date, time_zone};
pub(crate) use triggers::{Index, Key, Trigger, rarest};
pub(crate) use truth::Truth;
pub(crate) use user::{EMAIL, NAME, SUBJECT, TENANT, claim_fact, fact as membership_fact, groups, roles};

use crate::Request;
use crate::compile::Context;
use crate::fields::{Field, Object, Shape, Text};
use crate::names::Sources;
use crate::problem::Problem;

/// The ways to combine conditions.
const COMBINATIONS: [Field; 3] = [
    Field { name: "all", shape: Shape::Conditions, required: false, manual: "Every one of these conditions holds." },
    Field { name: "any", shape: Shape::Conditions, required: false, manual: "At least one of these conditions holds." },
    Field { name: "not", shape: Shape::Condition, required: false, manual: "This condition does not hold." },
];

/// Something that can be asked about: a key of a condition.
struct Subject {
    field: Field,
    /// Compiles what stands at the key of an object; `None` where it had a problem.
    compile: fn(Object<'_>, &'static str, &mut Reading<'_, '_>) -> Option<Condition>,
}

/// Everything that can be asked about.
const SUBJECTS: [Subject; 17] = [
    subject(
        "tables_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The tables and views that the statement names anywhere, by `table` in any schema or `schema.table`. What a \
         view is built on counts for all operators except `only`.",
    ),
    subject(
        "schemas_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The schemas of the tables and views that the statement names, and of what those are built on (except for \
         `only`).",
    ),
    subject(
        "columns_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The columns that can reach the answer or shape it, by `table.column` in any schema or `schema.table.column`. \
         A column of a table that a view reads, and the same column of the parents and parts of a table, counts for all \
         operators except `only`.",
    ),
    subject(
        "functions_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The functions that the statement calls, by `function` in any schema or `schema.function`; built-in ones are \
         in `pg_catalog`.",
    ),
    subject(
        "sources_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The sources that the statement touches, as the settings file names them.",
    ),
    subject(
        "classifications_referenced",
        Shape::Object(names::OPERATORS),
        names::compile,
        "The tags of the tables that the statement names, of what those are built on, and of the columns it uses. \
         `pii` means `pii.ssn` too.",
    ),
    subject("user", Shape::Object(user::FIELDS), user::compile, "Who asks."),
    subject("time", Shape::Object(time::FIELDS), time::compile, "The moment of the decision."),
    subject(
        "estimated",
        Shape::Object(numbers::ESTIMATED),
        numbers::compile_estimated,
        "What the source estimates that the statement takes, by the upper end of the estimate. The estimate is made \
         when a policy that may matter asks. Where the source cannot tell, no threshold is passed silently: a policy \
         that restricts acts, and one that allows does not.",
    ),
    subject(
        "confidence",
        Shape::Object(numbers::OPERATORS),
        numbers::compile_confidence,
        "How sure the translation of a question is, from 0 to 1. A statement that a person wrote has none: no \
         threshold holds for it.",
    ),
    subject(
        "full_export",
        Shape::Flag,
        flags::compile,
        "Whether the statement takes a whole table: no limit, no aggregate, no predicate.",
    ),
    subject(
        "first_access_to_source",
        Shape::Flag,
        flags::compile,
        "Whether the person never ran a statement on the source before.",
    ),
    subject(
        "statement_kind",
        Shape::Object(texts::OPERATORS),
        texts::compile,
        "What the statement does: `query`, `explain`, `show_all` (every setting of the session), `show_privileges` (asks the catalog for `relacl` or another list of privileges; only one's own are told), or `write` for everything that is not a read.",
    ),
    subject(
        "application_name",
        Shape::Object(texts::OPERATORS),
        texts::compile,
        "The program, as the session's `application_name` says; empty where it says nothing. A person can set it to \
         anything: keep nothing safe with it.",
    ),
    subject(
        "authentication_method",
        Shape::Object(texts::OPERATORS),
        texts::compile,
        "How the person signed in: `oidc`, `oauthbearer`, `scram`.",
    ),
    subject(
        "purpose",
        Shape::Object(texts::OPERATORS),
        texts::compile,
        "What the session declares with `SET passgate.purpose = '...'`; empty where it declares nothing.",
    ),
    subject("client_address", Shape::Object(address::OPERATORS), address::compile, "Where the client is."),
];

/// The keys of a condition: ways to combine conditions, and what can be asked about. Several must all hold.
#[expect(clippy::indexing_slicing, reason = "it is done when the program is built, and would fail there")]
pub(crate) static FIELDS: [Field; COMBINATIONS.len() + SUBJECTS.len()] = {
    let mut fields = [COMBINATIONS[0]; COMBINATIONS.len() + SUBJECTS.len()];
    let mut index = 0;
    while index < fields.len() {
        fields[index] = match index < COMBINATIONS.len() {
            true => COMBINATIONS[index],
            false => SUBJECTS[index - COMBINATIONS.len()].field,
        };
        index += 1;
    }
    fields
};

const fn subject(
    name: &'static str,
    shape: Shape,
    compile: fn(Object<'_>, &'static str, &mut Reading<'_, '_>) -> Option<Condition>,
    manual: &'static str,
) -> Subject {
    Subject { field: Field { name, shape, required: false, manual }, compile }
}

/// What reading a condition has at hand.
pub(crate) struct Reading<'r, 'k> {
    /// The sources that the policy is for.
    pub(crate) sources: Sources<'r>,
    /// Whether names that nothing has are accepted.
    pub(crate) unknown_ok: bool,
    pub(crate) context: &'r mut Context<'k>,
}

impl Reading<'_, '_> {
    /// Reports a name that nothing has.
    pub(crate) fn report_unknown(&mut self, problem: Problem) {
        self.context.report_unknown(problem, self.unknown_ok);
    }

    /// Reads a text with `read`, or reports what is wrong with it and what to write instead.
    pub(crate) fn read<T>(
        &mut self,
        written: &Text<'_>,
        read: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        match read(written.value) {
            Ok(value) => Some(value),
            Err((message, suggestion)) => {
                self.context.problems.push(written.problem(message, suggestion));
                None
            }
        }
    }
}

/// A condition, ready to be asked.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test(Box<dyn Test>),
}

/// One thing that is asked of a request.
pub(crate) trait Test: fmt::Debug + Send + Sync {
    /// Whether it holds. Allocates only to say what is not known.
    fn truth(&self, request: &Request) -> Truth;

    /// Says what made it `outcome`. Called only where it was.
    fn evidence(&self, request: &Request, outcome: bool, found: &mut Evidence);

    /// Names of which the request must have one for it to hold; `None` where it may hold without any.
    fn triggers(&self) -> Option<Vec<Trigger>> {
        None
    }
}

impl Condition {
    /// Compiles an object that was checked against [`FIELDS`]; `None` where it had a problem.
    pub(crate) fn compile(object: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<Self> {
        let mut parts = Vec::new();
        for key in object.keys() {
            parts.push(match key {
                "all" => compile_list(object, key, reading).map(Self::All),
                "any" => compile_list(object, key, reading).map(Self::Any),
                "not" => object
                    .object(key)
                    .and_then(|inner| Self::compile(inner, reading))
                    .map(|inner| Self::Not(Box::new(inner))),
                key => SUBJECTS
                    .iter()
                    .find(|subject| subject.field.name == key)
                    .and_then(|subject| (subject.compile)(object, subject.field.name, reading)),
            });
        }
        Self::all_of(parts.into_iter().collect::<Option<Vec<_>>>()?)
    }

    /// A condition of one test.
    pub(crate) fn test(test: impl Test + 'static) -> Self {
        Self::Test(Box::new(test))
    }

    /// All of several conditions; the condition itself where there is one. `None` where there is none.
    pub(crate) fn all_of(mut parts: Vec<Self>) -> Option<Self> {
        match parts.len() {
            0 | 1 => parts.pop(),
            _ => Some(Self::All(parts)),
        }
    }

    /// Whether it holds.
    pub(crate) fn truth(&self, request: &Request) -> Truth {
        match self {
            Self::All(parts) => Truth::all(parts.iter().map(|part| part.truth(request))),
            Self::Any(parts) => Truth::any(parts.iter().map(|part| part.truth(request))),
            Self::Not(part) => !part.truth(request),
            Self::Test(test) => test.truth(request),
        }
    }

    /// What made it hold. Asked only of a condition that does.
    pub(crate) fn evidence(&self, request: &Request) -> Evidence {
        let mut found = Evidence::default();
        self.find_evidence(request, true, &mut found);
        found.sorted()
    }

    fn find_evidence(&self, request: &Request, outcome: bool, found: &mut Evidence) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let wanted = Truth::from(outcome);
                let relevant = parts.iter().filter(|part| part.truth(request) == wanted);
                relevant.for_each(|part| part.find_evidence(request, outcome, found));
            }
            Self::Not(part) => part.find_evidence(request, !outcome, found),
            Self::Test(test) => test.evidence(request, outcome, found),
        }
    }

    /// Names of which the request must have one for this to hold; `None` where it may hold without any.
    pub(crate) fn triggers(&self) -> Option<Vec<Trigger>> {
        match self {
            Self::All(parts) => rarest(parts.iter().filter_map(Self::triggers)),
            Self::Any(parts) => {
                parts.iter().map(Self::triggers).collect::<Option<Vec<_>>>().map(|triggers| triggers.concat())
            }
            Self::Not(_) => None,
            Self::Test(test) => test.triggers(),
        }
    }
}

fn compile_list(object: Object<'_>, key: &str, reading: &mut Reading<'_, '_>) -> Option<Vec<Condition>> {
    let parts: Vec<_> = object.objects(key).map(|part| Condition::compile(part, reading)).collect();
    parts.into_iter().collect::<Option<Vec<_>>>().filter(|parts| !parts.is_empty())
}
