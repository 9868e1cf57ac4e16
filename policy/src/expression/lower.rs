//! A checked expression to a tree of tests: what JSON conditions can say too becomes the same tests.

use super::evaluate::{self, Node, Quantifier};
use super::parse::Operator;
use super::variables::{Of, Variable};
use crate::Request;
use crate::condition::{
    Condition, Evidence, Moment, Name, NameOperator, NameSubject, Names, Test, Trigger, Truth, claim_fact,
};

/// Claims spelled out where something cannot be known.
const CLAIMS_SHOWN_MAX: usize = 3;

/// The tests that an expression asks for.
pub(super) fn lower(node: Node) -> Condition {
    match node {
        Node::And(nodes) => Condition::All(nodes.into_iter().map(lower).collect()),
        Node::Or(nodes) => Condition::Any(nodes.into_iter().map(lower).collect()),
        Node::Not(node) => Condition::Not(Box::new(lower(*node))),
        node => {
            let test = names(&node)
                .map(|(subject, names)| Condition::test(Names { subject, operator: NameOperator::ContainsAny, names }));
            let test = test.or_else(|| threshold(&node));
            test.unwrap_or_else(|| Condition::test(Evaluated { facts: facts(&node), node }))
        }
    }
}

/// A threshold, where an expression asks no more: `estimated.cost_usd > 1.0`.
fn threshold(node: &Node) -> Option<Condition> {
    let Node::Binary(operator, left, right) = node else { return None };
    let (Node::Variable(Variable { of: Of::Number(quantity), .. }), Some(number)) = (&**left, number(right)) else {
        return None;
    };
    match operator {
        Operator::Greater => Some(Condition::above(quantity, number)),
        Operator::Less => Some(Condition::below(quantity, number)),
        _ => None,
    }
}

/// A number that is exactly one of the numbers that thresholds are compared with.
fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Double(number) => Some(*number),
        Node::Int(number) => i32::try_from(*number).ok().map(f64::from),
        _ => None,
    }
}

/// The names of which a list must have one, where an expression asks no more: `'a.b' in tables_referenced`,
/// `tables_referenced.exists(t, t == 'a.b' || t in ['a.c'])`.
fn names(node: &Node) -> Option<(NameSubject, Vec<Name>)> {
    match node {
        Node::Binary(Operator::In, name, of) => {
            let subject = subject(of)?;
            Some((subject, vec![subject.read(text(name)?).ok()?]))
        }
        Node::Each(Quantifier::Exists, of, body) => {
            let subject = subject(of)?;
            let mut texts = Vec::new();
            collect_alternatives(body, &mut texts)?;
            let names: Option<Vec<Name>> = texts.into_iter().map(|text| subject.read(text).ok()).collect();
            Some((subject, names?))
        }
        _ => None,
    }
}

fn subject(node: &Node) -> Option<NameSubject> {
    match node {
        Node::Variable(Variable { of: Of::Names(subject), .. }) => Some(*subject),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text) => Some(text),
        _ => None,
    }
}

/// The texts of which the variable of a macro is to be one; `None` where that is not all that is asked.
fn collect_alternatives<'n>(node: &'n Node, texts: &mut Vec<&'n str>) -> Option<()> {
    match node {
        Node::Or(nodes) => nodes.iter().try_for_each(|node| collect_alternatives(node, texts)),
        Node::Binary(Operator::Equal, one, other) => match (&**one, &**other) {
            (Node::Local(0), Node::Text(text)) | (Node::Text(text), Node::Local(0)) => {
                texts.push(text);
                Some(())
            }
            _ => None,
        },
        Node::Binary(Operator::In, one, other) => match (&**one, &**other) {
            (Node::Local(0), Node::List(nodes)) => nodes.iter().try_for_each(|node| {
                texts.push(text(node)?);
                Some(())
            }),
            _ => None,
        },
        _ => None,
    }
}

/// A part of an expression that no other test can ask.
#[derive(Debug)]
struct Evaluated {
    node: Node,
    facts: Vec<Fact>,
}

/// Something that an expression looks at.
#[derive(Clone, Debug)]
enum Fact {
    Variable(&'static Variable),
    Claim(Box<str>),
    Moment(chrono_tz::Tz),
}

impl Test for Evaluated {
    fn truth(&self, request: &Request) -> Truth {
        match evaluate::truth(&self.node, request) {
            Truth::Unknown(why) => Truth::Unknown(self.explained(why, request)),
            known => known,
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        let told = self.facts.iter().filter_map(|fact| match fact {
            Fact::Variable(variable) => variable.fact(request),
            Fact::Claim(name) => request.identity.claims.get(&**name).map(|claim| claim_fact(name, claim)),
            Fact::Moment(zone) => Moment::of(request, *zone).ok().map(Moment::fact),
        });
        told.for_each(|fact| found.fact(fact));
    }

    fn triggers(&self) -> Option<Vec<Trigger>> {
        let Node::Binary(operator, left, right) = &self.node else { return None };
        match (operator, &**left, &**right) {
            (Operator::In, Node::Text(name), Node::Variable(list)) => Some(vec![(list.trigger()?, name.clone())]),
            (Operator::Equal, Node::Text(text), Node::Variable(variable))
            | (Operator::Equal, Node::Variable(variable), Node::Text(text)) => {
                Some(vec![(variable.trigger()?, text.clone())])
            }
            (Operator::In, Node::Variable(variable), Node::List(nodes)) => {
                let key = variable.trigger()?;
                nodes.iter().map(|node| Some((key, text(node)?.into()))).collect()
            }
            _ => None,
        }
    }
}

impl Evaluated {
    /// Why it is not known, with the claims that may be of another type than was meant.
    fn explained(&self, why: String, request: &Request) -> String {
        let claims = self.facts.iter().filter_map(|fact| match fact {
            Fact::Claim(name) => request.identity.claims.get(&**name).map(|claim| claim_fact(name, claim)),
            Fact::Variable(_) | Fact::Moment(_) => None,
        });
        let claims: Vec<String> = claims.take(CLAIMS_SHOWN_MAX).collect();
        match claims.is_empty() || why.starts_with("user.") {
            true => why,
            false => format!("{why}: {}", claims.join("; ")),
        }
    }
}

/// What an expression looks at, in its order.
fn facts(node: &Node) -> Vec<Fact> {
    let mut facts = Vec::new();
    collect_facts(node, &mut facts);
    facts
}

fn collect_facts(node: &Node, facts: &mut Vec<Fact>) {
    match node {
        Node::Variable(variable) => facts.push(Fact::Variable(variable)),
        Node::Time(_, zone) => facts.push(Fact::Moment(*zone)),
        Node::Field(of, name) => match **of {
            Node::Variable(Variable { of: Of::Claims, .. }) => facts.push(Fact::Claim(name.clone())),
            ref of => collect_facts(of, facts),
        },
        Node::InNetwork(_) => facts.extend(Variable::named("client_address").map(Fact::Variable)),
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Double(_) | Node::Text(_) | Node::Local(_) => {}
        Node::List(nodes) | Node::And(nodes) | Node::Or(nodes) | Node::Call(_, nodes) => {
            nodes.iter().for_each(|node| collect_facts(node, facts));
        }
        Node::Has(node) | Node::Not(node) | Node::Negate(node) | Node::Matches(node, _) => collect_facts(node, facts),
        Node::Index(one, other) | Node::Binary(_, one, other) | Node::Each(_, one, other) => {
            collect_facts(one, facts);
            collect_facts(other, facts);
        }
        Node::If(nodes) => nodes.iter().for_each(|node| collect_facts(node, facts)),
    }
}
