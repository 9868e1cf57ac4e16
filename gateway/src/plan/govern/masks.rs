//! What stands in the place of a masked column: an expression of the column's own type.
//!
//! Every mask is total and immutable. Total, because an error that one row's value raises would tell that value;
//! immutable, because a mask that follows a setting, such as the time zone, could be moved about until it tells more.

use passgate_policy::{ColumnFacts, Mask};

use crate::plan::policy_sql::{self, PolicySqlReader};
use crate::plan::{Error, Salt};
use crate::statement::catalog_type;
use crate::statement::tree::{Arguments, Call, Expression, Literal, Name, Path, Type};

/// Dates whose year begins at a date and a timestamp too.
/// Source: <https://www.postgresql.org/docs/current/datatype-datetime.html>.
const FIRST_YEAR: &str = "4713-01-01 BC";
const LAST_DATE: &str = "294275-12-31";

/// More characters than a value has, and few enough for an integer.
const LAST_MAX: u32 = 1_000_000_000;

/// What masks need beside the column.
pub(super) struct Masking<'a> {
    pub(super) sql: &'a PolicySqlReader,
    pub(super) salt: Option<&'a Salt>,
}

impl Masking<'_> {
    /// The mask of a column of `table`, as the statement names the table inside.
    pub(super) fn expression(&self, mask: &Mask, table: &str, column: &ColumnFacts) -> Result<Expression, Error> {
        let value = || Expression::Column(Path(vec![Name::invented(table), Name::invented(&column.name)]));
        let known = catalog_type(&column.type_name);
        let shown = match mask {
            Mask::Null => Expression::Literal(Literal::Null),
            Mask::Fixed(text) => string(text),
            Mask::Expression(sql) => self.sql.expression(sql, table)?,
            Mask::Hash | Mask::Partial { .. } | Mask::Year | Mask::Round { .. } => {
                let scalar = known.as_ref().filter(|to| to.dimensions == 0);
                let made = scalar.map_or(Ok(None), |of| self.computed(mask, of, &value))?;
                made.ok_or_else(|| cannot(mask, table, column))?
            }
        };
        Ok(match known {
            Some(to) => cast(shown, to),
            // A type of the warehouse's own cannot be named, but CASE takes the type of the column it could give.
            None => when(Expression::Literal(Literal::Boolean(true)), shown, Some(value())),
        })
    }

    /// A mask that is made of the value; none where the type has no such mask.
    fn computed(&self, mask: &Mask, of: &Type, value: &dyn Fn() -> Expression) -> Result<Option<Expression>, Error> {
        let is_text = matches!(of.name.as_str(), "text" | "varchar" | "bpchar");
        let name = of.name.as_str();
        Ok(match mask {
            Mask::Hash if is_text => Some(digest(self.salt()?, value())),
            // A digest has twice the digits that an identifier takes.
            Mask::Hash if name == "uuid" => Some(call("left", [digest(self.salt()?, value()), number("32")])),
            Mask::Partial { last } if is_text => Some(last_characters(*last, value)),
            Mask::Year => year(name, value),
            Mask::Round { to } => rounded(of, to, value)?,
            Mask::Null | Mask::Fixed(_) | Mask::Hash | Mask::Partial { .. } | Mask::Expression(_) => None,
        })
    }

    fn salt(&self) -> Result<&str, Error> {
        self.salt.map(Salt::expose).ok_or_else(|| {
            Error::new("42501", "a column that a policy masks with a hash cannot be shown")
                .hint("The gateway has no secret to make hashes with: its operator sets policies.hash_secret.")
        })
    }
}

/// The value itself, as an expression of which the planner has no statistics, and which it cannot simplify.
pub(super) fn opaque(of: Expression) -> Expression {
    let never = Expression::Is { of: Box::new(call("now", [])), test: "NULL", negated: false };
    when(never, of.clone(), Some(of))
}

fn cannot(mask: &Mask, table: &str, column: &ColumnFacts) -> Error {
    let what = match mask {
        Mask::Null => "null",
        Mask::Fixed(_) => "fixed",
        Mask::Hash => "hash",
        Mask::Partial { .. } => "partial",
        Mask::Year => "year",
        Mask::Round { .. } => "round",
        Mask::Expression(_) => "expression",
    };
    let ColumnFacts { name, type_name, .. } = column;
    let message = format!("column \"{table}.{name}\" cannot be shown: no mask \"{what}\" exists for {type_name}");
    Error::new("42501", message).hint("Ask the policy's owner to mask it with null or fixed.")
}

/// `encode(sha256(convert_to(salt || value::text, 'UTF8')), 'hex')`; NULL stays NULL.
fn digest(salt: &str, value: Expression) -> Expression {
    let salted = infix(string(salt), "||", cast(value, plain("text")));
    let bytes = call("convert_to", [salted, string("UTF8")]);
    call("encode", [call("sha256", [bytes]), string("hex")])
}

/// Stars for every character but the last few; for all of them, where there are no more than those few.
fn last_characters(last: u32, value: &dyn Fn() -> Expression) -> Expression {
    let text = || cast(value(), plain("text"));
    let length = || call("length", [text()]);
    let stars = |count| call("repeat", [string("*"), count]);
    let shown = || number(&last.min(LAST_MAX).to_string());
    let long = infix(stars(infix(length(), "-", shown())), "||", call("right", [text(), shown()]));
    when(infix(length(), ">", shown()), long, Some(stars(length())))
}

/// The first moment of the year, in UTC where there is a time zone. Infinity stays.
fn year(name: &str, value: &dyn Fn() -> Expression) -> Option<Expression> {
    let utc = || string("UTC");
    let at_utc = |of| Expression::AtTimeZone { of: Box::new(of), zone: Box::new(utc()) };
    let moment = match name {
        "date" | "timestamp" => value(),
        "timestamptz" => at_utc(value()),
        _ => return None,
    };
    let kind = if name == "date" { "date" } else { "timestamp" };
    let within = call_syntax("greatest", [moment, cast(string(FIRST_YEAR), plain(kind))]);
    let within = call_syntax("least", [within, cast(string(LAST_DATE), plain(kind))]);
    let start = call("date_trunc", [string("year"), cast(within, plain("timestamp"))]);
    let start = if name == "timestamptz" { at_utc(start) } else { start };
    let start = cast(start, plain(name));
    Some(when(call("isfinite", [value()]), start, Some(value())))
}

/// The nearest multiple. What would not fit into the type is the largest or smallest that does; what is no number, NULL.
fn rounded(of: &Type, to: &str, value: &dyn Fn() -> Expression) -> Result<Option<Expression>, Error> {
    let positive = to.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && to.bytes().any(|b| b.is_ascii_digit() && b != b'0');
    if !positive {
        return Err(Error::internal());
    }
    let multiple = || -> Result<Expression, Error> {
        let step = || Ok::<_, Error>(cast(policy_sql::number(to)?, plain("numeric")));
        let count = call("round", [infix(cast(value(), plain("numeric")), "/", step()?)]);
        Ok(infix(count, "*", step()?))
    };
    let bounded = |low: String, high: String| -> Result<Expression, Error> {
        let within = call_syntax("greatest", [multiple()?, policy_sql::number(&low)?]);
        Ok(call_syntax("least", [within, policy_sql::number(&high)?]))
    };
    let integers = match of.name.as_str() {
        "int2" => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
        "int4" => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        "int8" => Some((i64::MIN, i64::MAX)),
        _ => None,
    };
    let not_null = || Expression::Is { of: Box::new(value()), test: "NULL", negated: true };
    Ok(match (of.name.as_str(), of.modifiers.as_slice()) {
        ("int2" | "int4" | "int8", _) => match integers {
            Some((low, high)) => Some(when(not_null(), bounded(low.to_string(), high.to_string())?, None)),
            None => None,
        },
        // NaN and the infinities go through.
        ("numeric", []) => Some(multiple()?),
        ("numeric", [precision, rest @ ..]) => {
            let largest =
                largest_numeric(*precision, rest.first().copied().unwrap_or(0)).ok_or_else(Error::internal)?;
            let is_number = infix(value(), "<>", cast(string("NaN"), plain("numeric")));
            Some(when(is_number, bounded(format!("-{largest}"), largest)?, None))
        }
        // Everything beyond is NaN, infinite, or too large for its multiple to be sure to fit.
        ("float4", _) => Some(when(between(value(), "1e38")?, multiple()?, None)),
        ("float8", _) => Some(when(between(value(), "1e307")?, multiple()?, None)),
        _ => None,
    })
}

fn between(value: Expression, largest: &str) -> Result<Expression, Error> {
    let bound = |digits: &str| Ok::<_, Error>(Box::new(cast(policy_sql::number(digits)?, plain("float8"))));
    let low = bound(&format!("-{largest}"))?;
    Ok(Expression::Between { of: Box::new(value), low, high: bound(largest)?, symmetric: false, negated: false })
}

/// The largest number of so many digits, so many of them after the point.
fn largest_numeric(precision: i64, scale: i64) -> Option<String> {
    let (precision, scale) = (usize::try_from(precision).ok()?, scale);
    let nines = "9".repeat(precision.min(1_000));
    match usize::try_from(scale) {
        Err(_) => Some(nines + &"0".repeat(usize::try_from(-scale).ok()?.min(1_000))),
        Ok(0) => Some(nines),
        Ok(scale) if scale >= precision => Some(format!("0.{}{nines}", "0".repeat(scale - precision))),
        Ok(scale) => {
            let (whole, fraction) = nines.split_at_checked(precision - scale)?;
            Some(format!("{whole}.{fraction}"))
        }
    }
}

fn plain(name: &str) -> Type {
    Type { name: name.to_owned(), modifiers: Vec::new(), dimensions: 0 }
}

fn cast(of: Expression, to: Type) -> Expression {
    Expression::Cast { of: Box::new(of), to }
}

fn string(text: &str) -> Expression {
    Expression::Literal(Literal::String(text.to_owned()))
}

fn number(digits: &str) -> Expression {
    Expression::Literal(Literal::Number(digits.to_owned()))
}

fn infix(left: Expression, operator: &str, right: Expression) -> Expression {
    Expression::Infix { operator: operator.to_owned(), left: Box::new(left), right: Box::new(right) }
}

fn when(condition: Expression, then: Expression, otherwise: Option<Expression>) -> Expression {
    Expression::Case { operand: None, arms: vec![(condition, then)], otherwise: otherwise.map(Box::new) }
}

fn call<const N: usize>(name: &str, arguments: [Expression; N]) -> Expression {
    call_path(vec![Name::invented("pg_catalog"), Name::invented(name)], arguments)
}

/// A call of what is syntax and has no schema.
fn call_syntax<const N: usize>(name: &str, arguments: [Expression; N]) -> Expression {
    call_path(vec![Name::invented(name)], arguments)
}

fn call_path<const N: usize>(path: Vec<Name>, arguments: [Expression; N]) -> Expression {
    let list = arguments.into_iter().map(|argument| (None, argument)).collect();
    Expression::Call(Box::new(Call::plain(Path(path), Arguments::List(list))))
}
