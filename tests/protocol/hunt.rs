//! Plays conversations until one is answered differently, and makes that one shorter.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use passgate_tests::World;
use passgate_tests::wire::Server;

use super::PERSON;
use super::answers::{Answer, code, compared, play, shown, suspends};
use super::sequence::{Random, Step, sequence};

/// The seed of the conversations that every run plays.
const SEED: u64 = 4;

/// Differences that are enough for one run.
const FOUND_MAX: usize = 30;

/// Where to look, and for how long.
pub(super) struct Hunt {
    pub(super) world: &'static World,
    /// The gateway's port.
    pub(super) gateway: u16,
    /// The person's token, which both servers take.
    pub(super) secret: String,
    /// Conversations of each seed.
    pub(super) conversations: u64,
}

impl Hunt {
    /// Fails with every difference it has found.
    pub(super) async fn run(&self) {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let end = number("PROTOCOL_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let seeds = match (number("PROTOCOL_SEED"), end) {
            (Some(seed), _) => vec![seed],
            (None, Some(_)) => vec![fresh],
            (None, None) => vec![SEED],
        };
        let (mut played, mut found) = (0_u64, Vec::new());
        for seed in seeds {
            let mut random = Random::new(seed);
            let mut of_seed = 0;
            while end.map_or(of_seed < self.conversations, |end| Instant::now() < end) && found.len() < FOUND_MAX {
                let steps = sequence(&mut random);
                if let Some(difference) = self.difference(&steps).await {
                    let shortest = self.shortened(steps, difference).await;
                    if !found.iter().any(|(_, _, known)| *known == shortest) {
                        found.push((seed, of_seed, shortest));
                    }
                }
                of_seed += 1;
            }
            played += of_seed;
            println!("PROTOCOL_SEED={seed}: {of_seed} conversations");
        }
        assert!(played > 0, "nothing was played");
        let found: Vec<_> = found
            .into_iter()
            .map(|(seed, of_seed, shortest)| format!("PROTOCOL_SEED={seed}, conversation {of_seed}:\n{shortest}"))
            .collect();
        assert!(found.is_empty(), "{} conversations are answered differently:\n\n{}", found.len(), found.join("\n"));
    }

    /// Where the servers part, in words.
    async fn difference(&self, steps: &[Step]) -> Option<String> {
        let server = |port| Server { port, user: PERSON.to_owned(), secret: self.secret.clone() };
        let postgres = server(self.world.postgres.port());
        // On a busy machine a connection may be lost once.
        let truth = match play(self.world, &postgres, steps).await {
            Err(_) => play(self.world, &postgres, steps).await,
            truth => truth,
        };
        let truth = match truth {
            Ok(truth) => truth,
            Err(problem) => return Some(format!("PostgreSQL itself: {problem}\n{}", listed(steps))),
        };
        let ours = match play(self.world, &server(self.gateway), steps).await {
            Ok(ours) => ours,
            Err(problem) => return Some(format!("{}the gateway: {problem}\n", listed(steps))),
        };
        let place = parted(steps, &truth, &ours)?;
        Some(format!(
            "{}  PostgreSQL: {}\n  the gateway: {}\n",
            listed(steps.get(..=place)?),
            shown(&truth[place]),
            shown(&ours[place])
        ))
    }

    /// Leaves out whatever is not needed to see a difference.
    async fn shortened(&self, mut steps: Vec<Step>, mut difference: String) -> String {
        let mut size = steps.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at + size < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(at..at + size);
                match self.difference(&fewer).await {
                    Some(smaller) if !smaller.starts_with("PostgreSQL") => (steps, difference) = (fewer, smaller),
                    _ => at += size,
                }
            }
            size /= 2;
        }
        difference
    }
}

/// The first step that was answered differently. After a difference that is known the two conversations go their own
/// ways, and nothing more is compared.
fn parted(steps: &[Step], truth: &[Answer], ours: &[Answer]) -> Option<usize> {
    let place = truth.iter().zip(ours).position(|(truth, ours)| compared(truth) != compared(ours))?;
    let (truth_there, ours_there) = (code(&truth[place]), code(&ours[place]));
    let is_known = match (truth_there.as_deref(), ours_there.as_deref()) {
        // The gateway does not do that, and says so; or it is over a limit.
        (_, Some("0A000" | "54000")) => true,
        // What a statement fails with after the rows that were asked for: while its portal waits, the rest is read when
        // another statement needs the connection.
        (_, Some("22012" | "25P02")) if truth[..place].iter().any(suspends) => true,
        // Describe before Execute is answered by running: what the source's planner finds is said one message early.
        (None, Some("22012")) => steps[place].is("DescribePortal"),
        // PostgreSQL runs EXECUTE and FETCH whole before it answers the first row; the gateway lets none wait.
        (Some("22012"), Some("22012")) => names_either(&steps[place]),
        // PostgreSQL keeps the portal of a simple query that failed, up to the transaction's end; it cannot be run.
        (_, Some("34000")) => steps[place].line.arguments.first().is_some_and(|name| name == ""),
        // A query is to PostgreSQL what takes a snapshot, as CLOSE does; to the gateway what reaches the source.
        (Some("25001"), _) => shown(&truth[place]).contains("before any query"),
        _ => false,
    };
    (!is_known).then_some(place)
}

fn names_either(step: &Step) -> bool {
    let text = step.line.arguments.first().and_then(|text| text.as_str()).unwrap_or_default();
    step.is("Query") && ["EXECUTE", "FETCH"].iter().any(|word| text.contains(word))
}

fn listed(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "  {step}");
        text
    })
}
