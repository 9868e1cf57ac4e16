//! `user`: who asks.
//!
//! A claim may be of any type, and may be missing. What is compared with a claim that is not there, or is of another
//! type than the comparison, cannot be known: so a rule that forbids acts, and a rule that allows does not.

use regex::Regex;
use serde_json::Value;

use super::evidence::Evidence;
use super::numbers::{self, Bound};
use super::texts::{self, Comparison, TextSubject, shown};
use super::{Condition, Key, Reading, Test, Trigger, Truth, names};
use crate::decide::listed;
use crate::fields::{Field, Literal, Object, Shape};
use crate::names::Unknown;
use crate::{Identity, Known, Request, Role};

/// The keys of `user`.
pub(crate) const FIELDS: &[Field] = &[
    text("name", "The name they sign in with."),
    text("email", "Their e-mail address."),
    text("tenant", "The organisation they belong to."),
    text("subject", "The identity provider's own, unchanging id of the person."),
    Field {
        name: "groups",
        shape: Shape::Object(names::OPERATORS),
        required: false,
        manual: "Their groups, as the identity provider names them.",
    },
    Field {
        name: "roles",
        shape: Shape::Object(names::OPERATORS),
        required: false,
        manual: "Their roles, as the identity provider or the people file names them.",
    },
    Field {
        name: "claims",
        shape: Shape::Keyed(CLAIM),
        required: false,
        manual: "Anything else the identity provider says of them, by the name of the claim. A comparison of a claim \
                 that is missing or of another type cannot be known: the policy then acts where it restricts, and \
                 does not where it allows.",
    },
];

const fn text(name: &'static str, manual: &'static str) -> Field {
    Field { name, shape: Shape::Object(texts::OPERATORS), required: false, manual }
}

/// How a claim is compared. Several must all hold.
const CLAIM: &[Field] = &[
    Field {
        name: "eq",
        shape: Shape::Literal,
        required: false,
        manual: "It is this text, this number, or this one of true and false.",
    },
    Field { name: "in", shape: Shape::Literals, required: false, manual: "It is one of these texts or numbers." },
    claim("matches", Shape::Text, "It is a text in which this regular expression is found."),
    claim("above", Shape::Number, "It is a number above this one."),
    claim("below", Shape::Number, "It is a number below this one."),
    claim("between", Shape::Range, "It is a number from the first to the second of these two."),
    claim("contains_any", Shape::Names, "It is a list that has at least one of these texts."),
    claim("contains_all", Shape::Names, "It is a list that has all of these texts."),
    claim("contains_none", Shape::Names, "It is a list that has none of these texts."),
    claim("only", Shape::Names, "It is a list that has nothing but these texts."),
];

const fn claim(name: &'static str, shape: Shape, manual: &'static str) -> Field {
    Field { name, shape, required: false, manual }
}

/// `user.name`.
pub(crate) static NAME: TextSubject = TextSubject {
    key: "name",
    noun: "the person",
    read: |request| Ok(request.identity.person.as_str()),
    words: &[],
    trigger: Some(Key::Person),
};
/// `user.email`.
pub(crate) static EMAIL: TextSubject = TextSubject {
    key: "email",
    noun: "the person's e-mail address",
    read: |request| email(&request.identity),
    words: &[],
    trigger: None,
};
/// `user.tenant`.
pub(crate) static TENANT: TextSubject = TextSubject {
    key: "tenant",
    noun: "the person's tenant",
    read: |request| Ok(request.identity.tenant.as_str()),
    words: &[],
    trigger: Some(Key::Tenant),
};
/// `user.subject`.
pub(crate) static SUBJECT: TextSubject = TextSubject {
    key: "subject",
    noun: "the person's id",
    read: |request| Ok(&request.identity.subject),
    words: &[],
    trigger: None,
};

/// The person's e-mail address, or why there is none.
pub(crate) fn email(identity: &Identity) -> Result<&str, String> {
    identity.email.as_deref().ok_or_else(|| format!("user.email is not known of {}", identity.person))
}

/// A claim, or why there is none.
pub(crate) fn claim_of<'r>(identity: &'r Identity, name: &str) -> Result<&'r Value, String> {
    identity
        .claims
        .get(name)
        .filter(|claim| !claim.is_null())
        .ok_or_else(|| format!("user.claims.{name} is not known of {}", identity.person))
}

/// Groups or roles.
#[derive(Debug)]
struct Membership {
    key: &'static str,
    trigger: Key,
    read: for<'r> fn(&'r Identity) -> Vec<&'r str>,
    check: fn(&Known, &str) -> Result<(), Unknown>,
}

static GROUPS: Membership = Membership { key: "groups", trigger: Key::Group, read: groups, check: Known::check_group };
static ROLES: Membership = Membership { key: "roles", trigger: Key::Role, read: roles, check: Known::check_role };

/// The person's groups.
pub(crate) fn groups(identity: &Identity) -> Vec<&str> {
    identity.groups.iter().map(String::as_str).collect()
}

/// The person's roles.
pub(crate) fn roles(identity: &Identity) -> Vec<&str> {
    identity.roles.iter().map(Role::as_str).collect()
}

/// Compiles what stands at `user`.
pub(super) fn compile(object: Object<'_>, key: &'static str, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let user = object.object(key)?;
    let mut parts = Vec::new();
    for key in user.keys() {
        let inner = user.object(key);
        parts.push(inner.and_then(|inner| match key {
            "name" => texts::compile_for(&NAME, inner, reading),
            "email" => texts::compile_for(&EMAIL, inner, reading),
            "tenant" => texts::compile_for(&TENANT, inner, reading),
            "subject" => texts::compile_for(&SUBJECT, inner, reading),
            "groups" => compile_membership(&GROUPS, inner, reading),
            "roles" => compile_membership(&ROLES, inner, reading),
            _ => compile_claims(inner, reading),
        }));
    }
    Condition::all_of(parts.into_iter().collect::<Option<_>>()?)
}

/// A list, and how it is compared.
#[derive(Debug)]
struct Listed {
    operator: names::Operator,
    texts: Vec<Box<str>>,
}

impl Listed {
    fn read(tests: Object<'_>, key: &str) -> Option<Self> {
        let operator = names::Operator::of_key(key)?;
        Some(Self { operator, texts: tests.names(key).map(|text| text.value.into()).collect() })
    }

    fn holds(&self, having: &[&str]) -> bool {
        let mut has = self.texts.iter().map(|text| having.contains(&&**text));
        match self.operator {
            names::Operator::ContainsAny => has.any(|has| has),
            names::Operator::ContainsAll => has.all(|has| has),
            names::Operator::ContainsNone => !has.any(|has| has),
            names::Operator::Only => having.iter().all(|one| self.texts.iter().any(|text| **text == **one)),
        }
    }
}

#[derive(Debug)]
struct MembershipTest {
    membership: &'static Membership,
    listed: Listed,
}

fn compile_membership(
    membership: &'static Membership,
    tests: Object<'_>,
    reading: &mut Reading<'_, '_>,
) -> Option<Condition> {
    let mut parts = Vec::new();
    for key in tests.keys() {
        for written in tests.names(key) {
            reading.check_member(membership.key, &written, membership.check);
        }
        let listed = Listed::read(tests, key)?;
        parts.push(Condition::test(MembershipTest { membership, listed }));
    }
    Condition::all_of(parts)
}

impl Reading<'_, '_> {
    /// Reports a group or a role that nobody has.
    pub(crate) fn check_member(
        &mut self,
        key: &str,
        written: &crate::fields::Text<'_>,
        check: fn(&Known, &str) -> Result<(), Unknown>,
    ) {
        if let Some(Err(unknown)) = self.context.known.map(|known| check(known, written.value)) {
            let message = format!("no {} is called \"{}\"", key.trim_end_matches('s'), written.value);
            self.report_unknown(written.problem(message, unknown.0));
        }
    }
}

impl Test for MembershipTest {
    fn truth(&self, request: &Request) -> Truth {
        Truth::from(self.listed.holds(&(self.membership.read)(&request.identity)))
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        found.fact(fact(request, self.membership.key, &(self.membership.read)(&request.identity)));
    }

    fn triggers(&self) -> Option<Vec<Trigger>> {
        let triggers = self.listed.texts.iter().map(|text| (self.membership.trigger, text.clone()));
        match self.listed.operator {
            names::Operator::ContainsAny => Some(triggers.collect()),
            names::Operator::ContainsAll => Some(triggers.take(1).collect()),
            names::Operator::ContainsNone | names::Operator::Only => None,
        }
    }
}

/// What groups or roles a person has, as a clause.
pub(crate) fn fact(request: &Request, key: &str, having: &[&str]) -> String {
    let person = &request.identity.person;
    match having.is_empty() {
        true => format!("{person} has no {key}"),
        false => format!("the {key} of {person} are {}", listed(having, 5)),
    }
}

/// How a claim is compared.
#[derive(Debug)]
enum ClaimComparison {
    IsOneOf(Vec<Literal>),
    Matches(Regex),
    Bound(Bound),
    Listed(Listed),
}

#[derive(Debug)]
struct ClaimTest {
    claim: Box<str>,
    comparison: ClaimComparison,
}

fn compile_claims(claims: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let mut parts = Vec::new();
    for claim in claims.keys() {
        let tests = claims.object(claim)?;
        let mut comparisons = Vec::new();
        for key in tests.keys() {
            match key {
                "eq" => comparisons.push(ClaimComparison::IsOneOf(vec![tests.literal(key)?])),
                "in" => comparisons.push(ClaimComparison::IsOneOf(tests.literals(key))),
                "matches" => comparisons.push(ClaimComparison::Matches(reading.pattern(&tests.text(key)?)?)),
                key => comparisons.extend(Listed::read(tests, key).map(ClaimComparison::Listed)),
            }
        }
        let bounds = numbers::bounds(tests, reading)?;
        comparisons.extend(bounds.into_iter().map(|(_, bound)| ClaimComparison::Bound(bound)));
        let test = |comparison| Condition::test(ClaimTest { claim: claim.into(), comparison });
        parts.extend(comparisons.into_iter().map(test));
    }
    Condition::all_of(parts)
}

impl ClaimTest {
    /// Whether it holds, or what type the claim would have to be of.
    fn holds(&self, claim: &Value) -> Result<bool, &'static str> {
        match (&self.comparison, claim) {
            (ClaimComparison::IsOneOf(literals), claim) => is_one_of(claim, literals),
            (ClaimComparison::Matches(pattern), Value::String(text)) => {
                Ok(Comparison::Matches(pattern.clone()).holds(text))
            }
            (ClaimComparison::Matches(_), _) => Err("a text"),
            (ClaimComparison::Bound(bound), Value::Number(number)) => {
                number.as_f64().map(|number| bound.holds(number)).ok_or("a number")
            }
            (ClaimComparison::Bound(_), _) => Err("a number"),
            (ClaimComparison::Listed(listed), Value::Array(elements)) => {
                let texts: Option<Vec<&str>> = elements.iter().map(Value::as_str).collect();
                texts.map(|texts| listed.holds(&texts)).ok_or("a list of texts")
            }
            (ClaimComparison::Listed(_), _) => Err("a list of texts"),
        }
    }
}

/// Whether a claim is one of some literals. One of another type than every one of them is not compared.
fn is_one_of(claim: &Value, literals: &[Literal]) -> Result<bool, &'static str> {
    let compared = literals.iter().filter_map(|literal| match (literal, claim) {
        (Literal::Text(text), Value::String(claim)) => Some(**text == **claim),
        (Literal::Number(number), Value::Number(claim)) => Some(claim.as_f64() == Some(*number)),
        (Literal::Flag(flag), Value::Bool(claim)) => Some(flag == claim),
        _ => None,
    });
    let mut compared = compared.peekable();
    match (compared.peek().is_some(), literals.first()) {
        (true, _) => Ok(compared.any(|is_it| is_it)),
        (false, Some(Literal::Number(_))) => Err("a number"),
        (false, Some(Literal::Flag(_))) => Err("true or false"),
        (false, _) => Err("a text"),
    }
}

impl Test for ClaimTest {
    fn truth(&self, request: &Request) -> Truth {
        let holds = claim_of(&request.identity, &self.claim).and_then(|claim| {
            self.holds(claim).map_err(|wanted| format!("user.claims.{} is {}, not {wanted}", self.claim, kind(claim)))
        });
        match holds {
            Ok(holds) => Truth::from(holds),
            Err(why) => Truth::Unknown(why),
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        if let Some(claim) = request.identity.claims.get(&*self.claim) {
            found.fact(claim_fact(&self.claim, claim));
        }
    }
}

/// What a claim is, as a clause.
pub(crate) fn claim_fact(name: &str, claim: &Value) -> String {
    let value = match claim {
        Value::String(text) => shown(text),
        Value::Array(_) | Value::Object(_) => kind(claim).to_owned(),
        other => other.to_string(),
    };
    format!("user.claims.{name} is {value}")
}

/// What kind of value a claim is.
pub(crate) fn kind(claim: &Value) -> &'static str {
    match claim {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
