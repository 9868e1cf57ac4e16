//! `when`: a condition written in CEL, the Common Expression Language (<https://cel.dev>).
//!
//! ```text
//! text ── scan, parse ──► Expr ── check ──► Node ── lower ──► Condition
//!         (bounds, places)       (types)           (tests of names as JSON has them, and the rest evaluated)
//! ```
//!
//! The crate `cel` parses.
//!
//! What an expression shares with a JSON condition becomes the same tests, so that both have the same logic, the same
//! evidence, and the same index of what they cannot hold without. The rest is evaluated straight over the request: no
//! context is built, and an evaluation is bounded in steps and in what it makes.
//!
//! It departs from CEL where CEL would let something pass silently: values of different kinds are not merely unequal,
//! they cannot be compared, and the condition cannot be known.

mod check;
mod evaluate;
mod functions;
mod lower;
mod parse;
mod scan;
#[cfg(test)]
mod tests;
mod value;
mod variables;

use crate::condition::{Condition, Reading};
use crate::fields::Text;

/// Compiles an expression, or reports every problem in it.
pub(crate) fn compile(written: Text<'_>, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    // Everything that tells the time begins with this word: where it stands for something else, nothing is lost.
    reading.context.tells_time |= written.value.contains(variables::TIME);
    let expression = match parse::parse(written.value) {
        Ok(expression) => expression,
        Err(fault) => {
            let problem = written.part(fault.at, "").problem(fault.message, fault.suggestion);
            reading.context.problems.push(problem);
            return None;
        }
    };
    check::Checker::new(written, reading).condition(&expression).map(lower::lower)
}

/// The variables and functions, for the manual: name and what it is.
pub(crate) fn manual() -> String {
    let mut page = String::from("| Variable | Is | What it is |\n|---|---|---|\n");
    for variable in &variables::VARIABLES {
        page.push_str(&format!("| `{}` | {} | {} |\n", variable.name, variable.type_of(), variable.manual));
    }
    page.push_str("\n| Function | What it gives |\n|---|---|\n");
    for function in &functions::FUNCTIONS {
        page.push_str(&format!("| {} | {} |\n", function.written, function.manual));
    }
    for (_, written, manual) in functions::SPECIAL {
        page.push_str(&format!("| {written} | {manual} |\n"));
    }
    page
}
