//! Calls of marks: what PostgreSQL has as an expression, and the parser's tree has no node for.

use passgate_policy::Place;
use sqlparser::ast as sql;

use super::{Error, Lowering, Result, name};
use crate::statement::tree::{Expression, Name, Xml, XmlFunction};
use crate::statement::{grammar, mark, types};

impl Lowering {
    pub(super) fn marked(&mut self, kind: &str, args: &sql::FunctionArguments, at: Place) -> Result<Expression> {
        let arguments = plain_arguments(args).ok_or_else(|| unknown(at))?;
        if let Some(function) = kind.strip_prefix(grammar::XML) {
            return self.xml(function, &arguments, at);
        }
        let negated = [grammar::IS_NOT_TEST, grammar::NOT_SYMMETRIC].iter().any(|mark| kind.starts_with(mark));
        match arguments.as_slice() {
            [of] => {
                let test = kind.strip_prefix(grammar::IS_NOT_TEST).or_else(|| kind.strip_prefix(grammar::IS_TEST));
                let test = test.and_then(|test| types::TESTS.into_iter().find(|known| *known == test));
                Ok(Expression::Is { of: self.boxed(of)?, test: test.ok_or_else(|| unknown(at))?, negated })
            }
            [of, low, high] if [grammar::SYMMETRIC, grammar::NOT_SYMMETRIC].contains(&kind) => {
                Ok(Expression::Between {
                    of: self.boxed(of)?,
                    low: self.boxed(low)?,
                    high: self.boxed(high)?,
                    symmetric: true,
                    negated,
                })
            }
            _ => Err(unknown(at)),
        }
    }

    fn xml(&mut self, function: &str, arguments: &[&sql::Expr], at: Place) -> Result<Expression> {
        let (function, arguments) = match (function, arguments) {
            ("element", [label, rest @ ..]) => (XmlFunction::Element(label_name(label, at)?), rest),
            ("forest", rest) => (XmlFunction::Forest, rest),
            ("instruction", [label, rest @ ..]) => (XmlFunction::Instruction(label_name(label, at)?), rest),
            ("parse document", rest) => (XmlFunction::Parse { document: true }, rest),
            ("parse content", rest) => (XmlFunction::Parse { document: false }, rest),
            ("root", rest) => (XmlFunction::Root { standalone: None }, rest),
            ("root standalone", rest) => (XmlFunction::Root { standalone: Some("YES") }, rest),
            ("root dependent", rest) => (XmlFunction::Root { standalone: Some("NO") }, rest),
            ("root standalone unknown", rest) => (XmlFunction::Root { standalone: Some("NO VALUE") }, rest),
            ("serialize document", [of @ .., to]) => (serialize(true, to, at)?, of),
            ("serialize content", [of @ .., to]) => (serialize(false, to, at)?, of),
            ("exists", rest) => (XmlFunction::Exists, rest),
            _ => return Err(unknown(at)),
        };
        let mut xml = Xml { function, named: Vec::new(), arguments: Vec::new() };
        for argument in arguments {
            match named(argument) {
                Some((of, label)) => {
                    let label = label.map(|label| label_name(label, at)).transpose()?;
                    xml.named.push((self.expression(of)?, label));
                }
                None => xml.arguments.push(self.expression(argument)?),
            }
        }
        Ok(Expression::Xml(Box::new(xml)))
    }
}

fn unknown(at: Place) -> Error {
    Error::unsupported("this expression", at)
}

/// The arguments of a call, where they are nothing but expressions.
pub(super) fn plain_arguments(args: &sql::FunctionArguments) -> Option<Vec<&sql::Expr>> {
    let sql::FunctionArguments::List(list) = args else { return None };
    list.args
        .iter()
        .map(|arg| match arg {
            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(of)) => Some(of),
            _ => None,
        })
        .collect()
}

/// A value that gets a name, and the name where there is one.
fn named(of: &sql::Expr) -> Option<(&sql::Expr, Option<&sql::Expr>)> {
    let sql::Expr::Function(call) = of else { return None };
    let [sql::ObjectNamePart::Identifier(first)] = call.name.0.as_slice() else { return None };
    match plain_arguments(&call.args)?.as_slice() {
        [of] if mark::is(first, grammar::NAMED) => Some((of, None)),
        [of, label] if mark::is(first, grammar::NAMED) => Some((of, Some(label))),
        _ => None,
    }
}

fn label_name(label: &sql::Expr, at: Place) -> Result<Name> {
    match label {
        sql::Expr::Identifier(label) => name(label),
        _ => Err(unknown(at)),
    }
}

fn serialize(document: bool, to: &sql::Expr, at: Place) -> Result<XmlFunction> {
    match to {
        sql::Expr::TypedString(sql::TypedString { data_type, .. }) => {
            Ok(XmlFunction::Serialize { document, to: types::lower(data_type, at)? })
        }
        _ => Err(unknown(at)),
    }
}
