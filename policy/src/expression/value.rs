//! What an expression computes with: types known when a policy is loaded, values when it is asked.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use serde_json::Map;

use crate::condition::NameSubject;

/// What can be said of a value before it is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Null,
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Double,
    Text(Domain),
    List(Box<Type>),
    /// A claim, or what is computed from one: it turns out when asked.
    Dynamic,
}

/// The texts that a text can be, so that a comparison with another is found when the policy is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Domain {
    Any,
    /// A name that a statement uses.
    Name(NameSubject),
    Group,
    Role,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A day, as `2026-11-21`: written otherwise, a text compares with it and means nothing.
    Date,
    /// An address, in its shortest form.
    Address,
}

impl Type {
    /// Whether a value of this type may be one of the other.
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dynamic, _) | (_, Self::Dynamic) => true,
            (Self::Int | Self::Double, Self::Int | Self::Double) => true,
            (Self::Text(_), Self::Text(_)) => true,
            (Self::List(one), Self::List(other)) => one.is_comparable(other),
            (one, other) => one == other,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dynamic)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Dynamic)
    }

    pub(crate) fn is_condition(&self) -> bool {
        matches!(self, Self::Bool | Self::Dynamic)
    }

    /// The type that values of both have; what turns out when asked, where they have none.
    pub(crate) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Text(_), Self::Text(_)) => Self::Text(Domain::Any),
            (Self::Int | Self::Double, Self::Int | Self::Double) => Self::Double,
            (Self::List(one), Self::List(other)) => Self::List(Box::new(one.joined(*other))),
            _ => Self::Dynamic,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Text(_) => "a text",
            Self::List(element) => match **element {
                Self::Text(_) => "a list of texts",
                Self::Int | Self::Double => "a list of numbers",
                _ => "a list",
            },
            Self::Dynamic => "a claim",
        })
    }
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value<'r> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'r, str>),
    List(Rc<[Value<'r>]>),
    /// An object in a claim, or all claims.
    Object(&'r Map<String, serde_json::Value>),
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// It cannot be known.
    Unknown(String),
    /// It depends on an estimate that was not made.
    NeedsEstimate,
}

impl Failure {
    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }
}

impl<'r> Value<'r> {
    /// A claim.
    pub(crate) fn of(claim: &'r serde_json::Value) -> Self {
        match claim {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::Text(Cow::Borrowed(text)),
            serde_json::Value::Array(elements) => Self::List(elements.iter().map(Self::of).collect()),
            serde_json::Value::Object(object) => Self::Object(object),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(texts: impl IntoIterator<Item = impl Into<Cow<'r, str>>>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    /// What it is, for a sentence.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Whether two are the same. What is of different kinds cannot be compared, but with null.
    pub(crate) fn equals(&self, other: &Self) -> Result<bool, Failure> {
        Ok(match (self, other) {
            (Self::Null, other) | (other, Self::Null) => matches!(other, Self::Null),
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                self.compare(other)? == Some(Ordering::Equal)
            }
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => {
                let mut same = one.len() == other.len();
                for (one, other) in one.iter().zip(other.iter()) {
                    same = same && one.equals(other)?;
                }
                same
            }
            (Self::Object(one), Self::Object(other)) => one == other,
            (one, other) => return Err(incomparable(one, other)),
        })
    }

    /// How two numbers or texts stand to each other; `None` where one is no number at all.
    pub(crate) fn compare(&self, other: &Self) -> Result<Option<Ordering>, Failure> {
        Ok(match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(other),
            (Self::Int(one), Self::Double(other)) => compare_exactly(*one, *other),
            (Self::Double(one), Self::Int(other)) => compare_exactly(*other, *one).map(Ordering::reverse),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (one, other) => return Err(incomparable(one, other)),
        })
    }
}

fn incomparable(one: &Value<'_>, other: &Value<'_>) -> Failure {
    Failure::Unknown(format!("{} cannot be compared with {}", one.kind(), other.kind()))
}

/// How a whole number stands to another number, without rounding it.
fn compare_exactly(whole: i64, number: f64) -> Option<Ordering> {
    /// 2 to the power of 63: the first whole number that does not fit.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return None;
    }
    if number >= BEYOND {
        return Some(Ordering::Less);
    }
    if number < -BEYOND {
        return Some(Ordering::Greater);
    }
    let truncated = number.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "it was just found to fit, and to be whole")]
    let as_whole = truncated as i64;
    Some(whole.cmp(&as_whole).then_with(|| truncated.partial_cmp(&number).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_compared_with_others_exactly() {
        let compare = |whole, number| compare_exactly(whole, number).unwrap();
        assert_eq!(compare(1, 1.0), Ordering::Equal);
        assert_eq!(compare(1, 1.5), Ordering::Less);
        assert_eq!(compare(-1, -1.5), Ordering::Greater);
        assert_eq!(compare(i64::MAX, 9_223_372_036_854_775_807.0), Ordering::Less);
        assert_eq!(compare(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
        assert_eq!(compare(9_007_199_254_740_993, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(compare_exactly(0, f64::NAN), None);
    }
}
