//! Calls of functions, and the words that are functions without parentheses.

use passgate_policy::Place;
use sqlparser::ast::{self as sql, Spanned};

use super::word::unreserved;
use super::{Error, Lowering, Result, name, path, place};
use crate::statement::tree::{Arguments, Call, Expression, Name, Over, Path};

use crate::statement::{mark, rephrase};

impl Lowering {
    pub(super) fn call(&mut self, function: &sql::Function, at: Place) -> Result<Expression> {
        let sql::Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } =
            function;
        if let [sql::ObjectNamePart::Identifier(first)] = name.0.as_slice()
            && let Some((kind, _)) = mark::read(first)
        {
            return self.marked(kind, args, at);
        }
        let name = path(name)?;
        if !matches!(parameters, sql::FunctionArguments::None) {
            return Err(Error::unsupported("a function with two lists of arguments", at));
        }
        if null_treatment.is_some() {
            return Err(Error::unsupported("IGNORE NULLS and RESPECT NULLS", at));
        }
        let sql::FunctionArgumentList { duplicate_treatment, args, clauses } = match args {
            sql::FunctionArguments::None => return keyword(&name, None, at),
            sql::FunctionArguments::Subquery(query) => return self.query_call(&name, query, at),
            sql::FunctionArguments::List(list) => list,
        };
        if let Some(precision) = keyword_precision(&name, args) {
            return keyword(&name, Some(precision), at);
        }
        let mut order_by = Vec::new();
        for clause in clauses {
            match clause {
                sql::FunctionArgumentClause::OrderBy(by) => order_by = self.orders(by)?,
                _ => return Err(Error::unsupported("this clause of a function call", at)),
            }
        }
        if let [row] = name.0.as_slice()
            && row.text == "row"
        {
            return self.row(args, at);
        }
        let over = match over {
            None => None,
            Some(sql::WindowType::NamedWindow(window)) => Some(Over::Named(self::name(window)?)),
            Some(sql::WindowType::WindowSpec(window)) => Some(Over::Window(Box::new(self.window(window)?))),
        };
        let (variadic, arguments) = self.arguments(args)?;
        Ok(Expression::Call(Box::new(Call {
            name,
            arguments,
            variadic,
            distinct: matches!(duplicate_treatment, Some(sql::DuplicateTreatment::Distinct)),
            order_by,
            within_group: self.orders(within_group)?,
            filter: self.optional(filter.as_deref())?,
            over,
        })))
    }

    /// `ARRAY(SELECT ...)` reaches us as a call of a function named "array".
    pub(super) fn query_call(&mut self, name: &Path, query: &sql::Query, at: Place) -> Result<Expression> {
        match name.0.as_slice() {
            [array] if array.text == "array" => Ok(Expression::ArrayQuery(Box::new(self.query(query)?))),
            _ => Err(Error::unsupported("a query without parentheses of its own as an argument", at)),
        }
    }

    /// `ROW(...)` reaches us as a call of a function named "row".
    pub(super) fn row(&mut self, args: &[sql::FunctionArg], at: Place) -> Result<Expression> {
        let values = args.iter().map(|arg| match self.argument(arg)? {
            (None, value) => Ok(value),
            (Some(_), _) => Err(Error::syntax("a named argument of ROW", at)),
        });
        values.collect::<Result<_>>().map(Expression::Row)
    }

    /// Whether the last argument is VARIADIC, and the arguments.
    pub(super) fn arguments(&mut self, args: &[sql::FunctionArg]) -> Result<(bool, Arguments)> {
        if let [sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Wildcard)] = args {
            return Ok((false, Arguments::Everything));
        }
        let variadic = match args.split_last() {
            Some((sql::FunctionArg::Named { name, arg, operator: sql::FunctionArgOperator::RightArrow }, rest))
                if mark::is(name, rephrase::VARIADIC) =>
            {
                Some((sql::FunctionArg::Unnamed(arg.clone()), rest))
            }
            _ => None,
        };
        let Some((last, rest)) = variadic else {
            return Ok((false, Arguments::List(args.iter().map(|arg| self.argument(arg)).collect::<Result<_>>()?)));
        };
        let list = rest.iter().chain(std::iter::once(&last)).map(|arg| self.argument(arg)).collect::<Result<_>>()?;
        Ok((true, Arguments::List(list)))
    }

    pub(super) fn argument(&mut self, arg: &sql::FunctionArg) -> Result<(Option<Name>, Expression)> {
        let (argument_name, of) = match arg {
            sql::FunctionArg::Unnamed(of) => (None, of),
            sql::FunctionArg::Named { name: argument, arg: of, operator } => {
                match operator {
                    sql::FunctionArgOperator::RightArrow | sql::FunctionArgOperator::Assignment => {}
                    sql::FunctionArgOperator::Equals
                    | sql::FunctionArgOperator::Colon
                    | sql::FunctionArgOperator::Value => {
                        return Err(Error::unsupported("this way to name an argument", place(argument.span)));
                    }
                }
                (Some(name(argument)?), of)
            }
            sql::FunctionArg::ExprNamed {
                name: sql::Expr::Identifier(argument),
                arg: of,
                operator: sql::FunctionArgOperator::RightArrow | sql::FunctionArgOperator::Assignment,
            } => (Some(name(argument)?), of),
            sql::FunctionArg::ExprNamed { name: argument, .. } => {
                return Err(Error::unsupported("this way to name an argument", place(argument.span())));
            }
        };
        match of {
            sql::FunctionArgExpr::Expr(of) => Ok((argument_name, self.expression(of)?)),
            // `f(t.*)` passes the whole row, as `f(t)` does.
            sql::FunctionArgExpr::QualifiedWildcard(table) => {
                Ok((argument_name, Expression::EverythingOf(path(table)?)))
            }
            sql::FunctionArgExpr::Wildcard | sql::FunctionArgExpr::WildcardWithOptions(_) => {
                Err(Error::unsupported("* as one of several arguments", place(arg.span())))
            }
        }
    }
}

/// Words PostgreSQL reads as functions without parentheses.
/// Source: <https://www.postgresql.org/docs/current/functions-info.html> and `functions-datetime.html`.
const KEYWORDS: [&str; 11] = [
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_SCHEMA",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "SESSION_USER",
    "USER",
];

pub(super) fn column_or_keyword(ident: &sql::Ident) -> Result<Expression> {
    if ident.quote_style.is_none()
        && let Some(keyword) = KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(&ident.value))
    {
        return Ok(Expression::Keyword { keyword, precision: None });
    }
    unreserved(ident)?;
    Ok(Expression::Column(Path(vec![name(ident)?])))
}

pub(super) fn keyword(name: &Path, precision: Option<u64>, at: Place) -> Result<Expression> {
    match name.0.as_slice() {
        [word] => match KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(&word.text)) {
            Some(keyword) => Ok(Expression::Keyword { keyword, precision }),
            None => Err(Error::syntax("a function without parentheses", at)),
        },
        _ => Err(Error::syntax("a function without parentheses", at)),
    }
}

pub(super) fn keyword_precision(name: &Path, args: &[sql::FunctionArg]) -> Option<u64> {
    let [word] = name.0.as_slice() else { return None };
    let timed = ["current_time", "current_timestamp", "localtime", "localtimestamp"].contains(&word.text.as_str());
    match args {
        [
            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(sql::Expr::Value(sql::ValueWithSpan {
                value: sql::Value::Number(digits, false),
                ..
            }))),
        ] if timed => digits.parse().ok(),
        _ => None,
    }
}
