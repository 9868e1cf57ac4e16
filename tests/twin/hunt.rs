//! Runs many queries on several connections at once, makes the failing ones smaller, and says what came of it all.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use passgate_tests::World;

use super::catalog::Catalog;
use super::choices::{self, Choices};
use super::client::{Answer, Client, Refusal};
use super::databases;
use super::grammar::{Statement, statement};
use super::verdict::{Fault, Verdict, judge};

/// The seed of every ordinary run; a fresh one comes after it.
const SEED: u64 = 1;
/// Queries are asked on so many connections at once.
const AT_ONCE: usize = 3;
/// Making one failing query smaller may take so many attempts.
const ATTEMPTS: usize = 1_500;
/// Making one refused query smaller may take so many.
const ATTEMPTS_OF_REFUSED: usize = 300;
/// After so many failures there is enough to look at.
const FAULTS_MAX: usize = 12;

/// What to run, and against what.
pub(crate) struct Hunt<'a> {
    /// The servers.
    pub(crate) world: &'a World,
    /// What queries may name.
    pub(crate) catalog: &'a Catalog,
    /// The gateway's port.
    pub(crate) port: u16,
    /// The database whose answers are right.
    pub(crate) twin: &'static str,
    /// How many queries, where the environment says nothing else.
    pub(crate) queries: u64,
    /// Of a hundred queries that the twin answers, so many must be answered.
    pub(crate) answered_min: u64,
}

/// What came of it.
#[derive(Default)]
struct Score {
    same: u64,
    /// Of those, how many the truth answers otherwise.
    governed: u64,
    neither: u64,
    slow: u64,
    refused: BTreeMap<String, Example>,
    errors: BTreeMap<String, Example>,
    faults: Vec<String>,
}

/// How often something happened, and the choices of one query that it happened to.
struct Example {
    count: u64,
    made: Vec<u32>,
}

/// One connection to each.
struct Trio {
    gateway: Client,
    twin: Client,
    truth: Client,
}

/// The answers to one statement.
struct Asked {
    verdict: Verdict,
    twin: Answer,
    truth: Answer,
}

impl Hunt<'_> {
    /// Asks all of them; fails where an answer is not the twin's, or too few are answered.
    pub(crate) async fn run(&self) {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let begun = Instant::now();
        let seconds = number("TWIN_SECONDS");
        let seeds = match (number("TWIN_SEED"), seconds) {
            (Some(seed), _) => vec![seed],
            (None, Some(_)) => vec![now],
            (None, None) => vec![SEED, now],
        };
        let score = Mutex::new(Score::default());
        for seed in &seeds {
            let next = AtomicU64::new(0);
            let (next, score) = (&next, &score);
            let more = move || {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let go_on = match seconds {
                    Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
                    None => index < self.queries / u64::try_from(seeds_of(seconds)).unwrap_or(1),
                };
                (go_on && score.lock().expect("not poisoned").faults.len() < FAULTS_MAX).then_some(index)
            };
            futures_util::future::join_all((0..AT_ONCE).map(|_| self.ask_on_one(*seed, more, score))).await;
        }
        let score = score.into_inner().expect("not poisoned");
        score.tell(self, &seeds, begun.elapsed());
        self.tell_examples("refused", &score.refused, seconds.is_some()).await;
        self.tell_examples("neither answers", &score.errors, false).await;
        score.check(self.answered_min);
    }

    async fn ask_on_one(&self, seed: u64, more: impl Fn() -> Option<u64>, score: &Mutex<Score>) {
        let mut trio = self.connect().await;
        while let Some(index) = more() {
            let mut choices = Choices::random(seed.wrapping_mul(0x0001_0000_0001).wrapping_add(index));
            let statement = statement(&mut choices, self.catalog);
            let asked = self.ask(&mut trio, &statement).await;
            let fault = score.lock().expect("not poisoned").count(&asked, choices.made());
            if let Some(fault) = fault {
                let told = self.shrunk(&mut trio, choices.made().to_vec(), &fault).await;
                println!("seed {seed}, query {index}: {told}");
                score.lock().expect("not poisoned").faults.push(told);
            }
        }
    }

    async fn connect(&self) -> Trio {
        let to = |port, database| databases::address(self.world, port, database);
        let server = self.world.postgres.port();
        Trio {
            gateway: Client::connect(self.world, &to(self.port, databases::TRUTH)).await,
            twin: Client::connect(self.world, &to(server, self.twin)).await,
            truth: Client::connect(self.world, &to(server, databases::TRUTH)).await,
        }
    }

    /// Every way to ask must say the same.
    async fn ask(&self, trio: &mut Trio, statement: &Statement) -> Asked {
        let text = statement.simple();
        let twin = trio.twin.simple(&text).await;
        let truth = trio.truth.simple(&text).await;
        let simple = trio.gateway.simple(&text).await;
        let mut verdict = judge(&text, statement.ordered, &simple, &twin, &truth);
        if verdict == Verdict::Same {
            let extended = trio.gateway.extended(&statement.extended(), &statement.values).await;
            verdict = judge(&text, statement.ordered, &extended, &twin, &truth);
        }
        if verdict == Verdict::Same {
            verdict = self.ask_in_another_way(trio, statement, &twin, &truth).await;
        }
        Asked { verdict, twin, truth }
    }

    /// As COPY, through a cursor, or prepared by a statement.
    async fn ask_in_another_way(
        &self,
        trio: &mut Trio,
        statement: &Statement,
        twin: &Answer,
        truth: &Answer,
    ) -> Verdict {
        let (text, ordered) = (statement.simple(), statement.ordered);
        match text.len() % 3 {
            0 => {
                let answer = trio.gateway.copy(&text).await;
                let (twin, truth) = (trio.twin.copy(&text).await, trio.truth.copy(&text).await);
                judge(&text, ordered, &answer, &twin, &truth)
            }
            1 => judge(&text, ordered, &trio.gateway.cursor(&text).await, twin, truth),
            _ => judge(&text, ordered, &trio.gateway.prepared(&text).await, twin, truth),
        }
    }

    /// Each kind of refusal or error with a query it happens to; the smallest one where there is time.
    async fn tell_examples(&self, what: &str, examples: &BTreeMap<String, Example>, smallest: bool) {
        let mut trio = self.connect().await;
        let mut examples: Vec<_> = examples.iter().collect();
        examples.sort_by_key(|(_, example)| std::cmp::Reverse(example.count));
        for (kind, example) in examples.into_iter().take(20) {
            let alike = async |candidate: &[u32]| {
                let mut choices = Choices::replayed(candidate.to_vec());
                let statement = statement(&mut choices, self.catalog);
                let asked = self.ask(&mut trio, &statement).await;
                matches!(&asked.verdict, Verdict::Refused(refusal) if general(refusal) == *kind)
                    .then(|| choices.made().to_vec())
            };
            let made = match smallest {
                true => choices::shrunk(example.made.clone(), ATTEMPTS_OF_REFUSED, alike).await,
                false => example.made.clone(),
            };
            let text = statement(&mut Choices::replayed(made), self.catalog).simple();
            let text: String = text.chars().take(3_000).collect();
            println!("  {what} {} times: {kind}\n      {text}", example.count);
        }
    }

    /// The smallest query that fails in the same way, told.
    async fn shrunk(&self, trio: &mut Trio, made: Vec<u32>, fault: &Fault) -> String {
        let mut told = String::new();
        let fails = async |candidate: &[u32]| {
            let mut choices = Choices::replayed(candidate.to_vec());
            let statement = statement(&mut choices, self.catalog);
            let asked = self.ask(trio, &statement).await;
            let Verdict::Fault(other) = &asked.verdict else { return None };
            let same = std::mem::discriminant(other) == std::mem::discriminant(fault);
            same.then(|| {
                told = describe(other, &statement, &asked);
                choices.made().to_vec()
            })
        };
        let smallest = choices::shrunk(made, ATTEMPTS, fails).await;
        if told.is_empty() {
            let statement = statement(&mut Choices::replayed(smallest), self.catalog);
            told = format!("{fault:?}\n  {}", statement.simple());
        }
        told
    }
}

/// An ordinary run has two seeds, which share the queries.
fn seeds_of(seconds: Option<u64>) -> usize {
    if seconds.is_some() || std::env::var_os("TWIN_SEED").is_some() { 1 } else { 2 }
}

fn describe(fault: &Fault, statement: &Statement, asked: &Asked) -> String {
    let short = |answer: &Answer| match answer {
        Ok(rows) => format!("{:?}", rows.rows).chars().take(400).collect(),
        Err(refusal) => refusal.to_string(),
    };
    format!(
        "{fault:?}\n  {}\n  parameters {:?}\n  the twin: {}\n  the truth: {}",
        statement.simple(),
        statement.values,
        short(&asked.twin),
        short(&asked.truth)
    )
}

impl Score {
    fn count(&mut self, asked: &Asked, made: &[u32]) -> Option<Fault> {
        let example = || Example { count: 0, made: made.to_vec() };
        match &asked.verdict {
            Verdict::Same => {
                self.same += 1;
                self.governed += u64::from(asked.truth != asked.twin);
            }
            Verdict::Refused(refusal) => {
                self.refused.entry(general(refusal)).or_insert_with(example).count += 1;
            }
            Verdict::Neither => {
                self.neither += 1;
                if let Err(refusal) = &asked.twin {
                    self.errors.entry(general(refusal)).or_insert_with(example).count += 1;
                }
            }
            Verdict::Slow => self.slow += 1,
            Verdict::Fault(fault) => return Some(fault.clone()),
        }
        None
    }

    fn refused(&self) -> u64 {
        self.refused.values().map(|example| example.count).sum()
    }

    fn tell(&self, hunt: &Hunt<'_>, seeds: &[u64], took: Duration) {
        let refused = self.refused();
        println!(
            "{} against {}: {} answered as by the twin ({} of them otherwise by the truth), {refused} refused, {} that \
             neither answers, {} too slow, {} faults; seeds {seeds:?}, {} s",
            hunt.port,
            hunt.twin,
            self.same,
            self.governed,
            self.neither,
            self.slow,
            self.faults.len(),
            took.as_secs()
        );
    }

    fn check(&self, answered_min: u64) {
        assert!(self.faults.is_empty(), "{} faults:\n\n{}", self.faults.len(), self.faults.join("\n\n"));
        assert!(self.same > 0, "nothing was answered");
        let percent = self.same * 100 / (self.same + self.refused());
        assert!(percent >= answered_min, "only {percent} of a hundred queries are answered");
        assert!(self.slow * 10 < self.same, "too many queries take too long to say anything");
    }
}

/// An error without the names of one query.
fn general(refusal: &Refusal) -> String {
    let told = refusal.to_string();
    let mut text = String::new();
    for (index, part) in told.split('"').enumerate() {
        text.push_str(if index % 2 == 0 { part } else { "\"..\"" });
    }
    for word in ["permission denied for function", "is not joined to"] {
        if text.contains(word) {
            return format!("{}: {word} ..", refusal.sqlstate);
        }
    }
    text
}
