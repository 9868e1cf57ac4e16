//! An expression asked of a request.
//!
//! It ends: a [`Budget`] bounds the steps and what is made of texts, whatever the lists hold. Nothing is fetched or
//! built before it is needed: a variable is read where the expression comes to it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use chrono_tz::Tz;
use ipnet::IpNet;
use regex::Regex;

use super::functions::Function;
use super::parse::Operator;
use super::value::{Failure, Value};
use super::variables::{Of, TimeField, Variable};
use crate::condition::{Truth, address_is_in};
use crate::{Identity, Request};

/// Steps of one evaluation: nodes visited and elements met.
const STEPS_MAX: u32 = 20_000;

/// Bytes of texts, and elements of lists, that one evaluation joins.
const JOINED_MAX: usize = 65_536;

/// An expression whose types were checked.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    List(Vec<Node>),
    Variable(&'static Variable),
    Time(TimeField, Tz),
    /// The variable of a macro, by how many others are around it.
    Local(usize),
    Field(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(&'static Function, Vec<Node>),
    Matches(Box<Node>, Regex),
    InNetwork(IpNet),
    Each(Quantifier, Box<Node>, Box<Node>),
}

/// What is made of a list's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Exists,
    All,
    ExistsOne,
    Filter,
    Map,
}

/// Whether an expression holds.
pub(crate) fn truth(node: &Node, request: &Request) -> Truth {
    Evaluation { request, locals: Vec::new(), steps: STEPS_MAX, joined: 0 }.truth(node)
}

struct Evaluation<'r> {
    request: &'r Request,
    locals: Vec<Value<'r>>,
    /// How many steps are left.
    steps: u32,
    /// What was joined so far, of [`JOINED_MAX`].
    joined: usize,
}

type Outcome<'r> = Result<Value<'r>, Failure>;

impl<'r> Evaluation<'r> {
    fn truth(&mut self, node: &Node) -> Truth {
        match self.value(node) {
            Ok(Value::Bool(holds)) => Truth::from(holds),
            Ok(other) => Truth::Unknown(format!("{} is neither true nor false", other.kind())),
            Err(Failure::Unknown(why)) => Truth::Unknown(why),
            Err(Failure::NeedsEstimate) => Truth::NeedsEstimate,
        }
    }

    fn value(&mut self, node: &Node) -> Outcome<'r> {
        self.step()?;
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(flag) => Ok(Value::Bool(*flag)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::Text(text) => Ok(Value::Text(Cow::Owned(text.to_string()))),
            Node::List(nodes) => {
                let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                Ok(Value::List(values?.into()))
            }
            Node::Variable(variable) => variable.read(self.request),
            Node::Time(field, zone) => field.read(self.request, *zone),
            Node::Local(index) => {
                self.locals.get(*index).cloned().ok_or_else(|| Failure::unknown("a variable has no value"))
            }
            Node::Field(of, name) => match &**of {
                Node::Variable(Variable { of: Of::Claims, .. }) => self.claim(name),
                of => field(&self.value(of)?, name),
            },
            Node::Index(of, index) => {
                let (of, index) = (self.value(of)?, self.value(index)?);
                element(&of, &index)
            }
            Node::Has(node) => self.has(node),
            Node::Not(node) => decided(!self.truth(node)),
            Node::And(nodes) => decided(Truth::all(nodes.iter().map(|node| self.truth(node)))),
            Node::Or(nodes) => decided(Truth::any(nodes.iter().map(|node| self.truth(node)))),
            Node::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                match decided(self.truth(condition))? {
                    Value::Bool(true) => self.value(then),
                    _ => self.value(otherwise),
                }
            }
            Node::Negate(node) => negated(&self.value(node)?),
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, &left, &right)
            }
            Node::Call(function, nodes) => {
                let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                (function.call)(&values?)
            }
            Node::Matches(node, pattern) => match self.value(node)? {
                Value::Text(text) => Ok(Value::Bool(pattern.is_match(&text))),
                other => Err(Failure::Unknown(format!("matches() does not take {}", other.kind()))),
            },
            Node::InNetwork(network) => Ok(Value::Bool(address_is_in(self.request.facts.client_address, network))),
            Node::Each(quantifier, list, body) => self.each(*quantifier, list, body),
        }
    }

    fn claim(&self, name: &str) -> Outcome<'r> {
        let Identity { claims, person, .. } = &*self.request.identity;
        let missing = || Failure::Unknown(format!("user.claims.{name} is not known of {person}"));
        claims.get(name).map(Value::of).ok_or_else(missing)
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps = self
            .steps
            .checked_sub(1)
            .ok_or_else(|| Failure::Unknown(format!("the expression takes more than {STEPS_MAX} steps")))?;
        Ok(())
    }

    /// Whether a field is there. What is not known is not there; an estimate that was not made may be.
    fn has(&mut self, node: &Node) -> Outcome<'r> {
        let there = match node {
            Node::Field(of, name) => match self.value(of)? {
                Value::Object(object) => object.get(&**name).is_some_and(|claim| !claim.is_null()),
                other => return Err(Failure::Unknown(format!("{} has no fields", other.kind()))),
            },
            node => match self.value(node) {
                Ok(_) => true,
                Err(Failure::Unknown(_)) => false,
                Err(Failure::NeedsEstimate) => return Err(Failure::NeedsEstimate),
            },
        };
        Ok(Value::Bool(there))
    }

    fn binary(&mut self, operator: Operator, left: &Value<'r>, right: &Value<'r>) -> Outcome<'r> {
        let is = |wanted: &[Ordering]| {
            let ordering = left.compare(right)?;
            Ok(Value::Bool(ordering.is_some_and(|ordering| wanted.contains(&ordering))))
        };
        match operator {
            Operator::Equal => Ok(Value::Bool(left.equals(right)?)),
            Operator::NotEqual => Ok(Value::Bool(!left.equals(right)?)),
            Operator::Less => is(&[Ordering::Less]),
            Operator::LessOrEqual => is(&[Ordering::Less, Ordering::Equal]),
            Operator::Greater => is(&[Ordering::Greater]),
            Operator::GreaterOrEqual => is(&[Ordering::Greater, Ordering::Equal]),
            Operator::In => self.is_in(left, right),
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                self.computed(operator, left, right)
            }
        }
    }

    fn computed(&mut self, operator: Operator, left: &Value<'r>, right: &Value<'r>) -> Outcome<'r> {
        match (left, right) {
            (Value::Int(left), Value::Int(right)) => whole(operator, *left, *right),
            (Value::Double(left), Value::Double(right)) => number(operator, *left, *right),
            (Value::Text(left), Value::Text(right)) if operator == Operator::Add => {
                self.join(left.len() + right.len())?;
                Ok(Value::Text(Cow::Owned(format!("{left}{right}"))))
            }
            (Value::List(left), Value::List(right)) if operator == Operator::Add => {
                self.join(left.len() + right.len())?;
                Ok(Value::List(left.iter().chain(right.iter()).cloned().collect()))
            }
            (left, right) => {
                Err(Failure::Unknown(format!("{operator} does not take {} and {}", left.kind(), right.kind())))
            }
        }
    }

    fn join(&mut self, size: usize) -> Result<(), Failure> {
        self.joined = self.joined.saturating_add(size);
        match self.joined <= JOINED_MAX {
            true => Ok(()),
            false => Err(Failure::Unknown(format!("the expression joins more than {JOINED_MAX} bytes or elements"))),
        }
    }

    fn is_in(&mut self, element: &Value<'r>, of: &Value<'r>) -> Outcome<'r> {
        match of {
            Value::List(list) => {
                for _ in list.iter() {
                    self.step()?;
                }
                let same = list.iter().map(|other| match element.equals(other) {
                    Ok(same) => Truth::from(same),
                    Err(Failure::Unknown(why)) => Truth::Unknown(why),
                    Err(Failure::NeedsEstimate) => Truth::NeedsEstimate,
                });
                decided(Truth::any(same))
            }
            Value::Object(object) => match element {
                Value::Text(name) => Ok(Value::Bool(object.contains_key(&**name))),
                other => Err(Failure::Unknown(format!("{} is never the name of a field", other.kind()))),
            },
            other => Err(Failure::Unknown(format!("{} has no elements", other.kind()))),
        }
    }

    fn each(&mut self, quantifier: Quantifier, list: &Node, body: &Node) -> Outcome<'r> {
        let list = match self.value(list)? {
            Value::List(list) => list,
            other => return Err(Failure::Unknown(format!("{} has no elements", other.kind()))),
        };
        match quantifier {
            Quantifier::Exists => decided(Truth::any(list.iter().map(|element| self.truth_with(element, body)))),
            Quantifier::All => decided(Truth::all(list.iter().map(|element| self.truth_with(element, body)))),
            Quantifier::ExistsOne => Ok(Value::Bool(self.filtered(&list, body)?.len() == 1)),
            Quantifier::Filter => Ok(Value::List(self.filtered(&list, body)?.into())),
            Quantifier::Map => {
                let mapped: Result<Rc<[_]>, _> = list.iter().map(|element| self.with(element, body)).collect();
                Ok(Value::List(mapped?))
            }
        }
    }

    fn filtered(&mut self, list: &[Value<'r>], body: &Node) -> Result<Vec<Value<'r>>, Failure> {
        let mut kept = Vec::new();
        for element in list {
            if let Value::Bool(true) = decided(self.truth_with(element, body))? {
                kept.push(element.clone());
            }
        }
        Ok(kept)
    }

    fn with(&mut self, element: &Value<'r>, body: &Node) -> Outcome<'r> {
        self.locals.push(element.clone());
        let outcome = self.value(body);
        self.locals.pop();
        outcome
    }

    fn truth_with(&mut self, element: &Value<'r>, body: &Node) -> Truth {
        self.locals.push(element.clone());
        let truth = self.truth(body);
        self.locals.pop();
        truth
    }
}

fn decided<'r>(truth: Truth) -> Outcome<'r> {
    match truth {
        Truth::True => Ok(Value::Bool(true)),
        Truth::False => Ok(Value::Bool(false)),
        Truth::Unknown(why) => Err(Failure::Unknown(why)),
        Truth::NeedsEstimate => Err(Failure::NeedsEstimate),
    }
}

fn field<'r>(of: &Value<'r>, name: &str) -> Outcome<'r> {
    match of {
        Value::Object(object) => {
            let missing = || Failure::Unknown(format!("a claim has no field \"{name}\""));
            object.get(name).map(Value::of).ok_or_else(missing)
        }
        other => Err(Failure::Unknown(format!("{} has no field \"{name}\"", other.kind()))),
    }
}

fn element<'r>(of: &Value<'r>, index: &Value<'r>) -> Outcome<'r> {
    match (of, index) {
        (Value::List(list), Value::Int(index)) => {
            let element = usize::try_from(*index).ok().and_then(|index| list.get(index));
            element.cloned().ok_or_else(|| Failure::Unknown(format!("a list has no element {index}")))
        }
        (Value::Object(_), Value::Text(name)) => field(of, name),
        (of, index) => Err(Failure::Unknown(format!("{} has no element by {}", of.kind(), index.kind()))),
    }
}

fn negated<'r>(value: &Value<'r>) -> Outcome<'r> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(too_large),
        Value::Double(number) => Ok(Value::Double(-number)),
        other => Err(Failure::Unknown(format!("- does not take {}", other.kind()))),
    }
}

fn too_large() -> Failure {
    Failure::unknown("a number is too large")
}

fn whole<'r>(operator: Operator, left: i64, right: i64) -> Outcome<'r> {
    if right == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(Failure::unknown("a number is divided by zero"));
    }
    let number = match operator {
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
        _ => left.checked_add(right),
    };
    number.map(Value::Int).ok_or_else(too_large)
}

fn number<'r>(operator: Operator, left: f64, right: f64) -> Outcome<'r> {
    Ok(Value::Double(match operator {
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Remainder => return Err(Failure::unknown("% takes whole numbers")),
        _ => left + right,
    }))
}
