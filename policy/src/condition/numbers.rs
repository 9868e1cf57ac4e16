//! Numbers that a statement has: what it is estimated to cost, and how sure its translation is.

use super::evidence::Evidence;
use super::{Condition, Reading, Test, Truth};
use crate::fields::{Field, Object, Shape};
use crate::{Costs, Estimate, Request};

/// How a number is compared. Several must all hold.
pub(crate) const OPERATORS: &[Field] = &[
    Field { name: "above", shape: Shape::Number, required: false, manual: "It is more than this number." },
    Field { name: "below", shape: Shape::Number, required: false, manual: "It is less than this number." },
    Field {
        name: "between",
        shape: Shape::Range,
        required: false,
        manual: "It is one of these two numbers, the smaller first, or between them.",
    },
];

/// The keys of `estimated`.
pub(crate) const ESTIMATED: &[Field] = &[
    Field {
        name: "cost_usd",
        shape: Shape::Object(OPERATORS),
        required: false,
        manual: "United States dollars, by the source's price in the settings.",
    },
    Field { name: "bytes", shape: Shape::Object(OPERATORS), required: false, manual: "Bytes read." },
    Field { name: "rows", shape: Shape::Object(OPERATORS), required: false, manual: "Rows answered." },
];

/// A number that a request has.
#[derive(Debug)]
pub(crate) struct Quantity {
    pub(crate) key: &'static str,
    /// What it is, to begin a clause of evidence.
    noun: &'static str,
    /// The number, or what is known instead. NaN is a number that every threshold lets alone.
    pub(crate) read: fn(&Request) -> Result<f64, Truth>,
    show: fn(f64) -> String,
    /// The most that it can be.
    pub(crate) most: f64,
}

/// `estimated.cost_usd`.
pub(crate) static COST: Quantity = Quantity {
    key: "cost_usd",
    noun: "the estimated cost",
    read: |request| estimated(request, |costs| costs.cost_usd, "the source has no price"),
    show: shown_dollars,
    most: f64::INFINITY,
};

/// `estimated.bytes`.
pub(crate) static BYTES: Quantity = Quantity {
    key: "bytes",
    noun: "the estimate of what is read",
    read: |request| estimated(request, |costs| costs.bytes, "the source cannot tell how many bytes are read"),
    show: shown_bytes,
    most: f64::INFINITY,
};

/// `estimated.rows`.
pub(crate) static ROWS: Quantity = Quantity {
    key: "rows",
    noun: "the estimate of rows answered",
    read: |request| estimated(request, |costs| costs.rows, "the source cannot tell how many rows are answered"),
    show: shown_count,
    most: f64::INFINITY,
};

/// `confidence`. A statement that a person wrote has none, and so is neither above nor below anything.
pub(crate) static CONFIDENCE: Quantity = Quantity {
    key: "confidence",
    noun: "the confidence of the translation",
    read: |request| Ok(request.facts.confidence.unwrap_or(f64::NAN)),
    show: |number| format!("{number}"),
    most: 1.0,
};

fn estimated(request: &Request, of: fn(&Costs) -> Option<f64>, why_not: &str) -> Result<f64, Truth> {
    match &request.facts.estimate {
        Estimate::NotMade => Err(Truth::NeedsEstimate),
        Estimate::Unknown => Err(Truth::Unknown("the source cannot tell what the statement would cost".to_owned())),
        Estimate::Known(costs) => of(costs)
            .filter(|number| !number.is_nan())
            .ok_or_else(|| Truth::Unknown(format!("the estimate is not complete: {why_not}"))),
    }
}

/// A threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    Above(f64),
    Below(f64),
    Between(f64, f64),
}

#[derive(Debug)]
struct NumberTest {
    quantity: &'static Quantity,
    bound: Bound,
}

/// Compiles what stands at `estimated`.
pub(super) fn compile_estimated(
    object: Object<'_>,
    key: &'static str,
    reading: &mut Reading<'_, '_>,
) -> Option<Condition> {
    let estimated = object.object(key)?;
    let quantities = [&COST, &BYTES, &ROWS].into_iter().filter(|quantity| estimated.has(quantity.key));
    let parts: Vec<_> =
        quantities.map(|quantity| compile_for(quantity, estimated.object(quantity.key)?, reading)).collect();
    Condition::all_of(parts.into_iter().collect::<Option<_>>()?)
}

/// Compiles what stands at `confidence`.
pub(super) fn compile_confidence(
    object: Object<'_>,
    key: &'static str,
    reading: &mut Reading<'_, '_>,
) -> Option<Condition> {
    compile_for(&CONFIDENCE, object.object(key)?, reading)
}

fn compile_for(quantity: &'static Quantity, tests: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    let bounds = bounds(tests, reading)?;
    for (key, bound) in &bounds {
        let (low, high) = bound.ends();
        let outside = [low, high].into_iter().flatten().find(|number| !(0.0..=quantity.most).contains(number));
        if let Some(number) = outside {
            let message = format!("{} is never {number}", quantity.noun);
            let suggestion = match quantity.most.is_finite() {
                true => format!("write a number from 0 to {}", quantity.most),
                false => "write a number from 0".to_owned(),
            };
            reading.context.problems.push(tests.problem_at(key, message, Some(suggestion)));
        }
    }
    let tests = bounds.into_iter().map(|(_, bound)| Condition::test(NumberTest { quantity, bound }));
    Condition::all_of(tests.collect())
}

/// Reads the thresholds of an object that was checked against [`OPERATORS`].
pub(super) fn bounds<'d>(tests: Object<'d>, reading: &mut Reading<'_, '_>) -> Option<Vec<(&'d str, Bound)>> {
    let mut bounds = Vec::new();
    for key in tests.keys() {
        match key {
            "above" => bounds.push((key, Bound::Above(tests.number(key)?))),
            "below" => bounds.push((key, Bound::Below(tests.number(key)?))),
            "between" => {
                let (low, high) = tests.range(key)?;
                if low > high {
                    let suggestion = Some(format!("write [{high}, {low}]"));
                    let message = "\"between\" begins with the larger number".to_owned();
                    reading.context.problems.push(tests.problem_at(key, message, suggestion));
                }
                bounds.push((key, Bound::Between(low, high)));
            }
            _ => {}
        }
    }
    let both = tests.number("above").zip(tests.number("below"));
    if let Some((above, below)) = both.filter(|(above, below)| above >= below) {
        let message = format!("nothing is above {above} and below {below}");
        let suggestion = Some("write the smaller number under \"above\"".to_owned());
        reading.context.problems.push(tests.problem_at("below", message, suggestion));
    }
    Some(bounds)
}

impl Bound {
    pub(super) fn holds(self, number: f64) -> bool {
        match self {
            Self::Above(bound) => number > bound,
            Self::Below(bound) => number < bound,
            Self::Between(low, high) => (low..=high).contains(&number),
        }
    }

    fn ends(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Above(bound) | Self::Below(bound) => (Some(bound), None),
            Self::Between(low, high) => (Some(low), Some(high)),
        }
    }

    /// How a number stands to it, to end a clause of evidence.
    fn relation(self, number: f64, show: fn(f64) -> String) -> String {
        match self {
            Self::Above(bound) if number > bound => format!("above {}", show(bound)),
            Self::Above(bound) => format!("not above {}", show(bound)),
            Self::Below(bound) if number < bound => format!("below {}", show(bound)),
            Self::Below(bound) => format!("not below {}", show(bound)),
            Self::Between(low, high) if self.holds(number) => format!("between {} and {}", show(low), show(high)),
            Self::Between(low, high) => format!("not between {} and {}", show(low), show(high)),
        }
    }
}

impl Condition {
    /// That a quantity is more than a number.
    pub(crate) fn above(quantity: &'static Quantity, number: f64) -> Self {
        Self::test(NumberTest { quantity, bound: Bound::Above(number) })
    }

    /// That a quantity is less than a number.
    pub(crate) fn below(quantity: &'static Quantity, number: f64) -> Self {
        Self::test(NumberTest { quantity, bound: Bound::Below(number) })
    }
}

impl Test for NumberTest {
    fn truth(&self, request: &Request) -> Truth {
        match (self.quantity.read)(request) {
            Ok(number) => Truth::from(self.bound.holds(number)),
            Err(open) => open,
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        let Quantity { noun, read, show, .. } = self.quantity;
        match read(request) {
            Ok(number) if number.is_nan() => found.fact(format!("there is no {}", noun.trim_start_matches("the "))),
            Ok(number) => {
                found.fact(format!("{noun} is {}, {}", show(number), self.bound.relation(number, *show)));
            }
            Err(_) => {}
        }
    }
}

impl Quantity {
    /// The number as evidence shows it.
    pub(crate) fn fact(&self, request: &Request) -> Option<String> {
        let number = (self.read)(request).ok().filter(|number| !number.is_nan())?;
        Some(format!("{} is {}", self.noun, (self.show)(number)))
    }
}

/// `$1.20`; with more digits where it is less than a cent.
fn shown_dollars(number: f64) -> String {
    match number > 0.0 && number < 0.01 {
        true => format!("${number}"),
        false => format!("${number:.2}"),
    }
}

/// `2.4 TB`.
fn shown_bytes(number: f64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    let mut shown = (number, "bytes");
    for unit in units {
        if shown.0 < 1000.0 {
            break;
        }
        shown = (shown.0 / 1000.0, unit);
    }
    let digits = format!("{:.1}", shown.0);
    format!("{} {}", digits.strip_suffix(".0").unwrap_or(&digits), shown.1)
}

/// `1,200,000`.
fn shown_count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!(shown_dollars(1.2), "$1.20");
        assert_eq!(shown_dollars(0.004), "$0.004");
        assert_eq!(shown_bytes(2.4e12), "2.4 TB");
        assert_eq!(shown_bytes(999.0), "999 bytes");
        assert_eq!(shown_bytes(5.0e9), "5 GB");
        assert_eq!(shown_count(1_200_000.0), "1,200,000");
        assert_eq!(shown_count(100.0), "100");
    }
}
