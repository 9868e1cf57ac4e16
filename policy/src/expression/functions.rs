//! The functions of an expression: what they take, what they give, and what they do.
//!
//! A row of [`FUNCTIONS`] is checked when a policy is loaded and called when it is asked. What needs more than values
//! (a regular expression, a network, the macros over lists) is in [`SPECIAL`] and compiled by the checker.

use std::borrow::Cow;

use super::value::{Domain, Failure, Type, Value};

/// Which types a value may be of, and how to say so.
type Taken = (fn(&Type) -> bool, &'static str);

/// A function of values.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// How it is written.
    pub(crate) written: &'static str,
    /// The values it takes, with the one it is called on, and what is expected of each.
    pub(crate) takes: &'static [Taken],
    pub(crate) gives: fn() -> Type,
    pub(crate) call: for<'r> fn(&[Value<'r>]) -> Result<Value<'r>, Failure>,
    pub(crate) manual: &'static str,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const TEXT: Taken = (Type::is_text, "a text");
const SIZED: Taken = (|of| matches!(of, Type::Text(_) | Type::List(_) | Type::Dynamic), "a text or a list");
const PLAIN: Taken =
    (|of| matches!(of, Type::Text(_) | Type::Int | Type::Double | Type::Bool | Type::Dynamic), "a text or a number");

/// Every function of values.
pub(crate) static FUNCTIONS: [Function; 9] = [
    Function {
        name: "size",
        written: "`size(x)`, `x.size()`",
        takes: &[SIZED],
        gives: || Type::Int,
        call: |values| match values {
            [Value::Text(text)] => count(text.chars().count()),
            [Value::List(list)] => count(list.len()),
            other => Err(unfit("size", other)),
        },
        manual: "How many characters a text has, or elements a list.",
    },
    Function {
        name: "startsWith",
        written: "`x.startsWith(y)`",
        takes: &[TEXT, TEXT],
        gives: || Type::Bool,
        call: |values| texts("startsWith", values, |text, other| text.starts_with(other)),
        manual: "Whether a text starts with another.",
    },
    Function {
        name: "endsWith",
        written: "`x.endsWith(y)`",
        takes: &[TEXT, TEXT],
        gives: || Type::Bool,
        call: |values| texts("endsWith", values, |text, other| text.ends_with(other)),
        manual: "Whether a text ends with another.",
    },
    Function {
        name: "contains",
        written: "`x.contains(y)`",
        takes: &[TEXT, TEXT],
        gives: || Type::Bool,
        call: |values| texts("contains", values, |text, other| text.contains(other)),
        manual: "Whether a text holds another. Whether a list does is `y in x`.",
    },
    Function {
        name: "lowerAscii",
        written: "`x.lowerAscii()`",
        takes: &[TEXT],
        gives: || Type::Text(Domain::Any),
        call: |values| match values {
            [Value::Text(text)] => Ok(Value::Text(Cow::Owned(text.to_ascii_lowercase()))),
            other => Err(unfit("lowerAscii", other)),
        },
        manual: "A text with A to Z made small.",
    },
    Function {
        name: "upperAscii",
        written: "`x.upperAscii()`",
        takes: &[TEXT],
        gives: || Type::Text(Domain::Any),
        call: |values| match values {
            [Value::Text(text)] => Ok(Value::Text(Cow::Owned(text.to_ascii_uppercase()))),
            other => Err(unfit("upperAscii", other)),
        },
        manual: "A text with a to z made large.",
    },
    Function {
        name: "int",
        written: "`int(x)`",
        takes: &[PLAIN],
        gives: || Type::Int,
        call: |values| match values {
            [Value::Int(number)] => Ok(Value::Int(*number)),
            [Value::Double(number)] => whole(*number),
            [Value::Text(text)] => {
                text.parse().map(Value::Int).map_err(|_| Failure::unknown("int() of a text that is no whole number"))
            }
            other => Err(unfit("int", other)),
        },
        manual: "The whole number of a text or a number.",
    },
    Function {
        name: "double",
        written: "`double(x)`",
        takes: &[PLAIN],
        gives: || Type::Double,
        call: |values| match values {
            #[expect(clippy::cast_precision_loss, reason = "that is what is asked for")]
            [Value::Int(number)] => Ok(Value::Double(*number as f64)),
            [Value::Double(number)] => Ok(Value::Double(*number)),
            [Value::Text(text)] => {
                text.parse().map(Value::Double).map_err(|_| Failure::unknown("double() of a text that is no number"))
            }
            other => Err(unfit("double", other)),
        },
        manual: "The number of a text or a number.",
    },
    Function {
        name: "string",
        written: "`string(x)`",
        takes: &[PLAIN],
        gives: || Type::Text(Domain::Any),
        call: |values| match values {
            [Value::Text(text)] => Ok(Value::Text(text.clone())),
            [Value::Int(number)] => Ok(Value::Text(Cow::Owned(number.to_string()))),
            [Value::Double(number)] => Ok(Value::Text(Cow::Owned(number.to_string()))),
            [Value::Bool(flag)] => Ok(Value::Text(Cow::Owned(flag.to_string()))),
            other => Err(unfit("string", other)),
        },
        manual: "The text of a number, or of true or false.",
    },
];

/// What the checker compiles itself: how it is written, and what it does.
pub(crate) const SPECIAL: &[(&str, &str, &str)] = &[
    (
        "has",
        "`has(x.y)`",
        "Whether there is such a field: a claim, an e-mail address, an estimate that the source can tell.",
    ),
    ("matches", "`x.matches('...')`", "Whether a regular expression, given as a text in quotes, is found in a text."),
    ("inNetwork", "`client_address.inNetwork('10.0.0.0/8')`", "Whether the client is in a network."),
    ("inZone", "`time.inZone('Europe/Berlin').hour`", "The moment in a time zone of the IANA data base."),
    ("exists", "`x.exists(v, ...)`", "Whether what stands after the comma holds for any element `v` of a list."),
    ("all", "`x.all(v, ...)`", "Whether it holds for all of them."),
    ("exists_one", "`x.exists_one(v, ...)`", "Whether it holds for exactly one."),
    ("filter", "`x.filter(v, ...)`", "The elements for which it holds."),
    ("map", "`x.map(v, ...)`", "What stands after the comma, for each element."),
];

/// Every name of a function.
pub(crate) fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name).chain(SPECIAL.iter().map(|(name, _, _)| *name))
}

fn count<'r>(number: usize) -> Result<Value<'r>, Failure> {
    i64::try_from(number).map(Value::Int).map_err(|_| Failure::unknown("a size is too large"))
}

fn texts<'r>(name: &str, values: &[Value<'r>], test: fn(&str, &str) -> bool) -> Result<Value<'r>, Failure> {
    match values {
        [Value::Text(text), Value::Text(other)] => Ok(Value::Bool(test(text, other))),
        other => Err(unfit(name, other)),
    }
}

/// A number without what comes after the point.
fn whole<'r>(number: f64) -> Result<Value<'r>, Failure> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number > -BEYOND && number < BEYOND {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it was just found to fit, and that is what is asked for"
        )]
        return Ok(Value::Int(number as i64));
    }
    Err(Failure::unknown("int() of a number that is too large"))
}

/// A claim turned out to be of a type that a function does not take.
fn unfit(name: &str, values: &[Value<'_>]) -> Failure {
    let kinds: Vec<&str> = values.iter().map(Value::kind).collect();
    Failure::Unknown(format!("{name}() does not take {}", kinds.join(" and ")))
}
