//! A parsed expression to one whose types fit, or every problem in it.
//!
//! What an expression compares is known when it is loaded, all but claims: so an unknown variable, a list compared with
//! a text, and a name that nothing has are told to its author and not to the person whom it would refuse.

use std::sync::Arc;

use super::evaluate::{Node, Quantifier};
use super::functions::{FUNCTIONS, Function, function_names};
use super::parse::{Expr, Kind, Operator};
use super::value::{Domain, Type};
use super::variables::{Of, TIME, TimeField, VARIABLES, Variable};
use crate::Known;
use crate::condition::{Name, NameSubject, Reading, date, network, time_zone};
use crate::fields::Text;
use crate::problem::did_you_mean;

/// Checks one expression of a policy.
pub(super) struct Checker<'c, 'r, 'k> {
    pub(super) written: Text<'c>,
    pub(super) reading: &'c mut Reading<'r, 'k>,
    /// The variables of macros, the innermost last.
    locals: Vec<(Arc<str>, Type)>,
}

/// A checked expression and its type; `None` where it has a problem, which was reported.
type Checked = Option<(Node, Type)>;

impl<'c, 'r, 'k> Checker<'c, 'r, 'k> {
    pub(super) fn new(written: Text<'c>, reading: &'c mut Reading<'r, 'k>) -> Self {
        Self { written, reading, locals: Vec::new() }
    }

    /// Checks an expression that must be true or false.
    pub(super) fn condition(&mut self, expression: &Expr) -> Option<Node> {
        let (node, of) = self.check(expression)?;
        if !of.is_condition() {
            return self.fault(expression.at, format!("a condition is true or false, and this is {of}"), None);
        }
        Some(node)
    }

    fn fault<T>(&mut self, at: usize, message: String, suggestion: Option<String>) -> Option<T> {
        let problem = self.written.part(at, "").problem(message, suggestion);
        self.reading.context.problems.push(problem);
        None
    }

    fn check(&mut self, expression: &Expr) -> Checked {
        match &expression.kind {
            Kind::Null => Some((Node::Null, Type::Null)),
            Kind::Bool(flag) => Some((Node::Bool(*flag), Type::Bool)),
            Kind::Int(number) => Some((Node::Int(*number), Type::Int)),
            Kind::Double(number) => Some((Node::Double(*number), Type::Double)),
            Kind::Text(text) => Some((Node::Text(text.as_str().into()), Type::Text(Domain::Any))),
            Kind::List(elements) => self.list(elements),
            Kind::Name(name) => self.name(name, expression.at),
            Kind::Select(of, field) => self.select(of, field, expression.at),
            Kind::Index(of, index) => self.index(of, index, expression.at),
            Kind::Call(function, target, arguments) => self.call(function, target.as_deref(), arguments, expression.at),
            Kind::Not(inner) => Some((Node::Not(Box::new(self.condition(inner)?)), Type::Bool)),
            Kind::Negate(inner) => match self.check(inner)? {
                (node, of) if of.is_number() => Some((Node::Negate(Box::new(node)), of)),
                (_, of) => self.fault(expression.at, format!("- takes a number, not {of}"), None),
            },
            Kind::And(parts) => Some((Node::And(self.conditions(parts)?), Type::Bool)),
            Kind::Or(parts) => Some((Node::Or(self.conditions(parts)?), Type::Bool)),
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right, expression.at),
            Kind::If(parts) => self.choice(parts),
        }
    }

    fn conditions(&mut self, parts: &[Expr]) -> Option<Vec<Node>> {
        let nodes: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        nodes.into_iter().collect()
    }

    fn list(&mut self, elements: &[Expr]) -> Checked {
        let checked: Vec<_> = elements.iter().map(|element| self.check(element)).collect();
        let (nodes, types): (Vec<_>, Vec<_>) = checked.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let element = types.into_iter().reduce(Type::joined).unwrap_or(Type::Dynamic);
        Some((Node::List(nodes), Type::List(Box::new(element))))
    }

    fn name(&mut self, name: &str, at: usize) -> Checked {
        if let Some(index) = self.locals.iter().rposition(|(local, _)| **local == *name) {
            return self.locals.get(index).map(|(_, of)| (Node::Local(index), of.clone()));
        }
        if let Some(variable) = Variable::named(name) {
            return Some((Node::Variable(variable), variable.type_of()));
        }
        let fields = fields_of(name);
        if !fields.is_empty() {
            let suggestion = Some(format!("name one of its fields: {}", fields.join(", ")));
            return self.fault(at, format!("\"{name}\" is not a value itself"), suggestion);
        }
        let roots = VARIABLES.iter().map(|variable| variable.name.split('.').next().unwrap_or_default());
        let locals: Vec<Arc<str>> = self.locals.iter().map(|(name, _)| Arc::clone(name)).collect();
        let suggestion = did_you_mean(name, roots.chain(locals.iter().map(|name| &**name)))
            .unwrap_or_else(|| "a text stands in quotes; RULES.md lists the variables".to_owned());
        self.fault(at, format!("unknown variable \"{name}\""), Some(suggestion))
    }

    fn select(&mut self, of: &Expr, field: &str, at: usize) -> Checked {
        if let Some(root) = self.root(of) {
            let name = format!("{root}.{field}");
            if let Some(variable) = Variable::named(&name) {
                return Some((Node::Variable(variable), variable.type_of()));
            }
            return self.no_field(&root, field, &fields_of(&root), at);
        }
        match &of.kind {
            Kind::Call(function, Some(target), arguments)
                if function == "inZone" && self.root(target).as_deref() == Some(TIME) =>
            {
                return self.in_zone(arguments, field, of.at, at);
            }
            _ => {}
        }
        match self.check(of)? {
            (node, Type::Dynamic) => Some((Node::Field(Box::new(node), field.into()), Type::Dynamic)),
            (_, of) => self.fault(at, format!("{of} has no field \"{field}\""), None),
        }
    }

    /// The name before the dot, where it is one like `user`, which is no value itself.
    fn root(&self, of: &Expr) -> Option<String> {
        let Kind::Name(name) = &of.kind else { return None };
        let is_local = self.locals.iter().any(|(local, _)| **local == **name);
        (!is_local && !fields_of(name).is_empty()).then(|| name.clone())
    }

    fn no_field<T>(&mut self, root: &str, field: &str, fields: &[&str], at: usize) -> Option<T> {
        let suggestion = did_you_mean(field, fields.iter().copied()).or_else(|| match root {
            "user" => Some(format!("write user.claims.{field} where it is a claim")),
            _ => Some(format!("known: {}", fields.join(", "))),
        });
        self.fault(at, format!("\"{root}\" has no field \"{field}\""), suggestion)
    }

    fn in_zone(&mut self, arguments: &[Expr], field: &str, call_at: usize, at: usize) -> Checked {
        let zone = self.literal("inZone", arguments, call_at)?;
        let zone = self.reading.read(&self.written.part(zone.1, &zone.0), time_zone);
        let Some(found) = TimeField::named(field) else {
            let names = TimeField::each().map(TimeField::name);
            return self.no_field(TIME, field, &names, at);
        };
        Some((Node::Time(found, zone?), found.type_of()))
    }

    fn index(&mut self, of: &Expr, index: &Expr, at: usize) -> Checked {
        let (of, index) = (self.check(of), self.check(index));
        let ((of, type_of), (index, index_type)) = (of?, index?);
        let element = match (type_of, &index_type) {
            (Type::List(element), Type::Int | Type::Dynamic) => *element,
            (Type::Dynamic, Type::Int | Type::Text(_) | Type::Dynamic) => Type::Dynamic,
            (of, index) => return self.fault(at, format!("{of} has no element by {index}"), None),
        };
        if let (Node::Variable(Variable { of: Of::Claims, .. }), Node::Text(name)) = (&of, &index) {
            return Some((Node::Field(Box::new(of), name.clone()), Type::Dynamic));
        }
        Some((Node::Index(Box::new(of), Box::new(index)), element))
    }

    fn choice(&mut self, parts: &[Expr; 3]) -> Checked {
        let [condition, then, otherwise] = parts;
        let condition = self.condition(condition);
        let (then, otherwise) = (self.check(then), self.check(otherwise));
        let ((then, one), (otherwise, other)) = (then?, otherwise?);
        Some((Node::If(Box::new([condition?, then, otherwise])), one.joined(other)))
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, at: usize) -> Checked {
        let checked = (self.check(left), self.check(right));
        let ((left_node, left_type), (right_node, right_type)) = (checked.0?, checked.1?);
        let given = match operator {
            Operator::Equal | Operator::NotEqual => {
                let null = left_type == Type::Null || right_type == Type::Null;
                let claim = left_type == Type::Dynamic || right_type == Type::Dynamic;
                if !left_type.is_comparable(&right_type) || (null && !claim) {
                    return self.incomparable(operator, &left_type, &right_type, at);
                }
                Type::Bool
            }
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                let ordered = |of: &Type| of.is_number() || of.is_text();
                if !left_type.is_comparable(&right_type) || !ordered(&left_type) || !ordered(&right_type) {
                    return self.incomparable(operator, &left_type, &right_type, at);
                }
                Type::Bool
            }
            Operator::In => match &right_type {
                Type::Dynamic => Type::Bool,
                Type::List(element) if left_type.is_comparable(element) => Type::Bool,
                Type::List(_) => {
                    let suggestion = matches!(left_type, Type::List(_))
                        .then(|| "write a.exists(x, x in b) for lists a and b".to_owned());
                    return self.fault(at, format!("{left_type} is never in {right_type}"), suggestion);
                }
                other => {
                    let suggestion = other.is_text().then(|| "write x.contains(y) for texts".to_owned());
                    return self.fault(at, format!("\"in\" takes a list, not {other}"), suggestion);
                }
            },
            _ => self.computed(operator, &left_type, &right_type, at)?,
        };
        if given == Type::Bool {
            self.check_texts((left, &left_type), (right, &right_type));
        }
        self.check_number(operator, &left_node, (&right_node, right.at));
        self.check_number(operator.turned(), &right_node, (&left_node, left.at));
        Some((Node::Binary(operator, Box::new(left_node), Box::new(right_node)), given))
    }

    fn incomparable<T>(&mut self, operator: Operator, left: &Type, right: &Type, at: usize) -> Option<T> {
        let suggestion = match (left, right) {
            (Type::List(_), Type::Text(_)) => Some("write 'text' in list".to_owned()),
            (Type::Text(_), Type::List(_)) => Some("write in instead".to_owned()),
            _ => None,
        };
        self.fault(at, format!("{operator} does not compare {left} with {right}"), suggestion)
    }

    fn computed(&mut self, operator: Operator, left: &Type, right: &Type, at: usize) -> Option<Type> {
        match (left, right) {
            (Type::Dynamic, other) | (other, Type::Dynamic)
                if other.is_number()
                    || (operator == Operator::Add && (other.is_text() || matches!(other, Type::List(_)))) =>
            {
                Some(other.clone())
            }
            (Type::Int, Type::Int) => Some(Type::Int),
            (Type::Double, Type::Double) if operator != Operator::Remainder => Some(Type::Double),
            (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
                let suggestion = Some("write 1.0 instead of 1, or double(x)".to_owned());
                self.fault(at, format!("{operator} does not take {left} and {right}"), suggestion)
            }
            (Type::Text(_), Type::Text(_)) if operator == Operator::Add => Some(Type::Text(Domain::Any)),
            (Type::List(one), Type::List(other)) if operator == Operator::Add => {
                Some(Type::List(Box::new(one.as_ref().clone().joined(other.as_ref().clone()))))
            }
            _ => self.fault(at, format!("{operator} does not take {left} and {right}"), None),
        }
    }

    /// Reports texts that what they are compared with can never be.
    fn check_texts(&mut self, left: (&Expr, &Type), right: (&Expr, &Type)) {
        let domain_of = |of: &Type| match of {
            Type::Text(domain) => Some(*domain),
            Type::List(element) => match **element {
                Type::Text(domain) => Some(domain),
                _ => None,
            },
            _ => None,
        };
        let compared = [(left, right.1), (right, left.1)];
        for ((expression, _), other) in compared {
            let Some(domain) = domain_of(other).filter(|domain| *domain != Domain::Any) else { continue };
            let literals: &[Expr] = match &expression.kind {
                Kind::List(elements) => elements,
                _ => std::slice::from_ref(expression),
            };
            for literal in literals {
                if let Kind::Text(text) = &literal.kind {
                    self.check_text(domain, text, literal.at);
                }
            }
        }
    }

    fn check_text(&mut self, domain: Domain, text: &str, at: usize) {
        let part = self.written.part(at, text);
        match domain {
            Domain::Any => {}
            Domain::Words(words) => {
                if !words.contains(&text) {
                    let suggestion = did_you_mean(text, words.iter().copied())
                        .unwrap_or_else(|| format!("known: {}", words.join(", ")));
                    self.fault::<()>(at, format!("it is never \"{text}\""), Some(suggestion));
                }
            }
            Domain::Date => {
                self.reading.read(&part, date);
            }
            Domain::Address => self.check_address(text, at),
            Domain::Group => self.reading.check_member("groups", &part, Known::check_group),
            Domain::Role => self.reading.check_member("roles", &part, Known::check_role),
            Domain::Name(subject) => {
                if let Some(name) = self.reading.name(subject, &part) {
                    self.check_name(subject, &name, text, at);
                }
            }
        }
    }

    /// Reports what is no address as `client_address` is written.
    fn check_address(&mut self, text: &str, at: usize) {
        let address = text.parse::<std::net::IpAddr>().map(|address| address.to_canonical().to_string());
        let suggestion = match address {
            Ok(canonical) if canonical == text => return,
            Ok(canonical) => format!("write '{canonical}'"),
            Err(_) => "write client_address.inNetwork('10.0.0.0/8') for a network".to_owned(),
        };
        self.fault::<()>(at, format!("it is never \"{text}\""), Some(suggestion));
    }

    /// Reports a name that is not written as the lists hold it.
    fn check_name(&mut self, subject: NameSubject, name: &Name, text: &str, at: usize) {
        let canonical = name.written();
        if let Some(full) = subject.unqualified(name) {
            let suggestion = Some(format!("write {full}"));
            self.fault::<()>(at, format!("\"{text}\" is never there: names are written {full}"), suggestion);
        } else if canonical != text {
            let suggestion = Some(format!("write {canonical}"));
            self.fault::<()>(at, format!("\"{text}\" is never there"), suggestion);
        }
    }

    /// Reports a number with which a comparison can never hold.
    fn check_number(&mut self, operator: Operator, node: &Node, (number, at): (&Node, usize)) {
        let range = match node {
            Node::Variable(variable) => variable.range(),
            Node::Time(field, _) => field.range(),
            _ => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "the ranges are small")]
        let number = match number {
            Node::Int(number) => *number as f64,
            Node::Double(number) => *number,
            _ => return,
        };
        let Some((low, high)) = range else { return };
        let (never, relation) = match operator {
            Operator::Equal | Operator::NotEqual => (number < low || number > high, ""),
            Operator::Less => (number <= low, "less than "),
            Operator::LessOrEqual => (number < low, "at most "),
            Operator::Greater => (number >= high, "more than "),
            Operator::GreaterOrEqual => (number > high, "at least "),
            _ => return,
        };
        if never {
            let suggestion = match high.is_finite() {
                true => format!("it is from {low} to {high}"),
                false => format!("it is at least {low}"),
            };
            self.fault::<()>(at, format!("it is never {relation}{number}"), Some(suggestion));
        }
    }

    fn call(&mut self, function: &str, target: Option<&Expr>, arguments: &[Expr], at: usize) -> Checked {
        match (function, target) {
            ("has", None) => self.has(arguments, at),
            ("matches", Some(target)) => self.matches(target, arguments, at),
            ("inNetwork", Some(target)) => self.in_network(target, arguments, at),
            ("inZone", Some(_)) => {
                let suggestion = Some("write time.inZone('Europe/Berlin').hour".to_owned());
                self.fault(at, "inZone() belongs between \"time\" and a field".to_owned(), suggestion)
            }
            ("exists", Some(list)) => self.each(Quantifier::Exists, function, list, arguments, at),
            ("all", Some(list)) => self.each(Quantifier::All, function, list, arguments, at),
            ("exists_one", Some(list)) => self.each(Quantifier::ExistsOne, function, list, arguments, at),
            ("filter", Some(list)) => self.each(Quantifier::Filter, function, list, arguments, at),
            ("map", Some(list)) => self.each(Quantifier::Map, function, list, arguments, at),
            _ => match FUNCTIONS.iter().find(|known| known.name == function) {
                Some(known) => self.call_known(known, target, arguments, at),
                None => self.unknown_function(function, target, at),
            },
        }
    }

    fn unknown_function(&mut self, function: &str, target: Option<&Expr>, at: usize) -> Checked {
        let is_special = function_names().any(|name| name == function);
        let message = match (is_special, target) {
            (true, None) => format!("{function}() is called on something"),
            (true, Some(_)) => format!("{function}() is not called on something"),
            (false, _) => format!("unknown function \"{function}\""),
        };
        let written = super::functions::SPECIAL.iter().find(|(name, _, _)| *name == function);
        let suggestion = match function {
            "timestamp" | "duration" => Some("compare time.date, time.hour and time.minute".to_owned()),
            _ => written
                .map(|(_, written, _)| format!("write {}", written.replace('`', "")))
                .or_else(|| did_you_mean(function, function_names())),
        };
        let known = || format!("known: {}", function_names().collect::<Vec<_>>().join(", "));
        self.fault(at, message, Some(suggestion.unwrap_or_else(known)))
    }

    fn call_known(
        &mut self,
        function: &'static Function,
        target: Option<&Expr>,
        arguments: &[Expr],
        at: usize,
    ) -> Checked {
        let given: Vec<&Expr> = target.into_iter().chain(arguments).collect();
        if given.len() != function.takes.len() || !function.is_written(target.is_some()) {
            let suggestion = Some(format!("write {}", function.written.replace('`', "")));
            return self.fault(at, format!("{}() is written another way", function.name), suggestion);
        }
        let checked: Vec<_> = given.iter().map(|expression| self.check(expression)).collect();
        let mut nodes = Vec::new();
        for ((checked, (fits, wanted)), expression) in checked.into_iter().zip(function.takes).zip(given) {
            let (node, of) = checked?;
            if !fits(&of) {
                let suggestion = (function.name == "contains" && matches!(of, Type::List(_)))
                    .then(|| "write y in x for a list".to_owned());
                let message = format!("{}() takes {wanted}, not {of}", function.name);
                return self.fault(expression.at, message, suggestion);
            }
            nodes.push(node);
        }
        Some((Node::Call(function, nodes), (function.gives)()))
    }

    fn has(&mut self, arguments: &[Expr], at: usize) -> Checked {
        let suggestion = || Some("write has(user.claims.region)".to_owned());
        let [field] = arguments else {
            return self.fault(at, "has() takes one field".to_owned(), suggestion());
        };
        if !matches!(field.kind, Kind::Select(..) | Kind::Index(..)) {
            return self.fault(field.at, "has() asks about a field".to_owned(), suggestion());
        }
        match self.check(field)?.0 {
            node @ (Node::Field(..) | Node::Variable(_)) => Some((Node::Has(Box::new(node)), Type::Bool)),
            _ => self.fault(field.at, "has() asks about a field".to_owned(), suggestion()),
        }
    }

    fn matches(&mut self, target: &Expr, arguments: &[Expr], at: usize) -> Checked {
        let target_at = target.at;
        let target = self.check(target);
        let (pattern, pattern_at) = self.literal("matches", arguments, at)?;
        let pattern = self.reading.pattern(&self.written.part(pattern_at, &pattern));
        let (node, of) = target?;
        if !of.is_text() {
            return self.fault(target_at, format!("matches() takes a text, not {of}"), None);
        }
        Some((Node::Matches(Box::new(node), pattern?), Type::Bool))
    }

    fn in_network(&mut self, target: &Expr, arguments: &[Expr], at: usize) -> Checked {
        let (written, written_at) = self.literal("inNetwork", arguments, at)?;
        let network = self.reading.read(&self.written.part(written_at, &written), network);
        match self.check(target)? {
            (Node::Variable(Variable { of: Of::Address, .. }), _) => Some((Node::InNetwork(network?), Type::Bool)),
            _ => {
                let suggestion = Some("write client_address.inNetwork('10.0.0.0/8')".to_owned());
                self.fault(at, "inNetwork() asks about client_address".to_owned(), suggestion)
            }
        }
    }

    /// The one text that a function takes, and where it stands.
    fn literal(&mut self, function: &str, arguments: &[Expr], at: usize) -> Option<(String, usize)> {
        match arguments {
            [Expr { kind: Kind::Text(text), at, .. }] => Some((text.clone(), *at)),
            _ => self.fault(at, format!("{function}() takes one text in quotes"), None),
        }
    }

    fn each(&mut self, quantifier: Quantifier, function: &str, list: &Expr, arguments: &[Expr], at: usize) -> Checked {
        let [Expr { kind: Kind::Name(name), at: name_at, .. }, body] = arguments else {
            let message = format!("{function}() takes a name and an expression");
            return self.fault(at, message, Some(format!("write x.{function}(v, v != '')")));
        };
        if Variable::named(name).is_some() || !fields_of(name).is_empty() {
            return self.fault(
                *name_at,
                format!("\"{name}\" is a variable already"),
                Some("choose another name".to_owned()),
            );
        }
        let (list_node, list_type) = self.check(list)?;
        let element = match list_type {
            Type::List(element) => *element,
            Type::Dynamic => Type::Dynamic,
            other => return self.fault(at, format!("{function}() takes a list, not {other}"), None),
        };
        self.locals.push((name.as_str().into(), element.clone()));
        let body = match quantifier {
            Quantifier::Map => self.check(body),
            _ => self.condition(body).map(|node| (node, Type::Bool)),
        };
        self.locals.pop();
        let (body, body_type) = body?;
        let given = match quantifier {
            Quantifier::Exists | Quantifier::All | Quantifier::ExistsOne => Type::Bool,
            Quantifier::Filter => Type::List(Box::new(element)),
            Quantifier::Map => Type::List(Box::new(body_type)),
        };
        Some((Node::Each(quantifier, Box::new(list_node), Box::new(body)), given))
    }
}

impl Operator {
    /// The same comparison with its sides swapped.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }
}

impl Function {
    /// Whether it may be written with what it is called on before it, or without.
    fn is_written(&self, before: bool) -> bool {
        match self.name {
            "size" => true,
            "int" | "double" | "string" => !before,
            _ => before,
        }
    }
}

/// The fields of a name that begins variables, such as `user`.
fn fields_of(root: &str) -> Vec<&'static str> {
    let field = |variable: &'static Variable| {
        variable.name.split_once('.').filter(|(own, _)| *own == root).map(|(_, field)| field)
    };
    VARIABLES.iter().filter_map(field).collect()
}
