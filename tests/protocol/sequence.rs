//! What a client sends, made from a seed.

use std::fmt;

use passgate_tests::wire::Line;
use serde_json::{Value, json};

use super::statements;

/// A small generator (xorshift64*): sequences need variety, not secrecy.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `most`.
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(mixed).expect("31 bits") % most.max(1)
    }

    pub(super) fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == 0
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// A message, and whether the client reads all answers so far before it goes on.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) line: Line,
    pub(super) reads: bool,
}

impl Step {
    fn new(message: &str, arguments: Vec<Value>) -> Self {
        let line = Line { number: 0, is_sent: true, message: message.to_owned(), arguments };
        Self { line, reads: false }
    }

    pub(super) fn is(&self, message: &str) -> bool {
        self.line.message == message
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "> {}", self.line.message)?;
        self.line.arguments.iter().try_for_each(|argument| write!(formatter, " {argument}"))?;
        if self.reads { formatter.write_str("   (and reads)") } else { Ok(()) }
    }
}

const STATEMENTS: &[&str] = &["", "", "", "s", "t"];
const PORTALS: &[&str] = &["", "", "", "p", "q"];
/// Row limits of Execute; 0 is none.
const LIMITS: &[i32] = &[0, 0, 0, 1, 2, 3, 5, 100];

/// The messages of one conversation. It ends with Sync, so that there is an end to read to.
pub(super) fn sequence(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    let rounds = 2 + random.below(8);
    for _ in 0..rounds {
        match random.below(10) {
            0..4 => steps.push(Step::new("Query", vec![json!(statements::message(random))])),
            4..8 => whole(&mut steps, random),
            _ => scattered(&mut steps, random),
        }
        if let Some(last) = steps.last_mut() {
            last.reads = ["Query", "Sync", "Flush"].contains(&last.line.message.as_str()) && !random.one_in(4);
        }
    }
    let mut last = Step::new("Sync", vec![]);
    last.reads = true;
    steps.push(last);
    steps
}

/// Statements as drivers send them, one or several up to a Sync.
fn whole(steps: &mut Vec<Step>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let (text, parameters) = statements::statement(random);
        let (statement, portal) = (*random.of(STATEMENTS), *random.of(PORTALS));
        steps.push(Step::new("Parse", vec![json!(statement), json!(text)]));
        if random.one_in(4) {
            steps.push(Step::new("DescribeStatement", vec![json!(statement)]));
        }
        steps.push(bind(portal, statement, parameters, random));
        if random.one_in(2) {
            steps.push(Step::new("DescribePortal", vec![json!(portal)]));
        }
        for _ in 0..=random.below(2) {
            steps.push(Step::new("Execute", vec![json!(portal), json!(random.of(LIMITS))]));
        }
        match random.below(8) {
            0 => steps.push(Step::new("ClosePortal", vec![json!(portal)])),
            1 => steps.push(Step::new("CloseStatement", vec![json!(statement)])),
            2 => steps.push(Step::new("Flush", vec![])),
            _ => {}
        }
        if let Some(last) = steps.last_mut() {
            last.reads = last.is("Flush") && random.one_in(2);
        }
    }
    steps.push(Step::new("Sync", vec![]));
}

/// Messages in no sensible order.
fn scattered(steps: &mut Vec<Step>, random: &mut Random) {
    let name =
        |names: &[&str], random: &mut Random| json!(if random.one_in(10) { "missing" } else { *random.of(names) });
    for _ in 0..=random.below(6) {
        let (statement, portal) = (name(STATEMENTS, random), name(PORTALS, random));
        steps.push(match random.below(16) {
            0..3 => {
                let text =
                    if random.one_in(8) { statements::two(random) } else { statements::statement(random).0.to_owned() };
                Step::new("Parse", vec![statement, json!(text)])
            }
            3..6 => {
                let count = random.below(3);
                bind(portal.as_str().unwrap_or(""), statement.as_str().unwrap_or(""), count, random)
            }
            6..9 => Step::new("Execute", vec![portal, json!(random.of(LIMITS))]),
            9 => Step::new("DescribeStatement", vec![statement]),
            10 => Step::new("DescribePortal", vec![if random.one_in(3) { json!("c") } else { portal }]),
            11 => Step::new("CloseStatement", vec![statement]),
            12 => Step::new("ClosePortal", vec![if random.one_in(3) { json!("c") } else { portal }]),
            13 => Step::new("Flush", vec![]),
            14 => random
                .of(&[
                    Step::new("CopyDone", vec![]),
                    Step::new("CopyFail", vec![json!("enough")]),
                    Step::new("Raw", vec![json!("64 00000006 6869")]),
                ])
                .clone(),
            _ => Step::new("Query", vec![json!(statements::message(random))]),
        });
    }
    if !random.one_in(3) {
        steps.push(Step::new("Sync", vec![]));
    }
}

/// As many values as there are parameters, mostly.
fn bind(portal: &str, statement: &str, parameters: usize, random: &mut Random) -> Step {
    let count = if random.one_in(15) { random.below(4) } else { parameters };
    let values: Vec<&str> = (0..count).map(|_| *random.of(&["1", "2", "4", "0"])).collect();
    let mut arguments = vec![json!(portal), json!(statement), json!(values)];
    if random.one_in(4) {
        arguments.push(json!({ "results": [random.below(2)] }));
    }
    Step::new("Bind", arguments)
}
