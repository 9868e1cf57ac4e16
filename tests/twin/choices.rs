//! Where the generator's decisions come from, so that a query is a list of numbers, and a smaller list a smaller query.
//!
//! The generator asks for one number after another, and 0 always means the plainest thing. Random numbers make a new
//! query; written-down ones make the same query again; fewer and smaller ones make a simpler query that is still
//! well-formed, whatever was taken out. So shrinking knows nothing of SQL. The idea is Hypothesis's: see MacIver and
//! Donaldson, "Test-Case Reduction via Test-Case Generation" (ECOOP 2020).

/// As many decisions as one query may take; from there on, everything is the plainest.
const MOST: usize = 600;

/// A list of decisions, read from the start or made up on the way.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    made: Vec<u32>,
    next: usize,
    random: Option<Random>,
}

impl Choices {
    /// New ones, of this seed.
    pub(crate) fn random(seed: u64) -> Self {
        Self { made: Vec::new(), next: 0, random: Some(Random(seed)) }
    }

    /// These; past their end, 0.
    pub(crate) fn replayed(made: Vec<u32>) -> Self {
        Self { made, next: 0, random: None }
    }

    /// What has been decided.
    pub(crate) fn made(&self) -> &[u32] {
        &self.made[..self.next.min(self.made.len())]
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound.max(1)).expect("few options");
        let chosen = match &mut self.random {
            Some(random) if self.next < MOST => {
                let chosen = random.below(bound);
                self.made.push(chosen);
                chosen
            }
            _ => self.made.get(self.next).map_or(0, |made| made.min(&(bound - 1)).to_owned()),
        };
        self.next += 1;
        chosen as usize
    }

    /// Whether something that happens `percent` times in a hundred happens now. What is plainest is that it does not.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    /// One of these; the first is the plainest.
    pub(crate) fn pick<'a, T>(&mut self, options: &'a [T]) -> &'a T {
        &options[self.below(options.len())]
    }
}

/// A smaller list for which `fails` still holds, found in `attempts`.
pub(crate) async fn shrunk(
    made: Vec<u32>,
    attempts: usize,
    mut fails: impl AsyncFnMut(&[u32]) -> Option<Vec<u32>>,
) -> Vec<u32> {
    let (mut best, mut left) = (made, attempts);
    loop {
        let before = best.clone();
        for size in [128, 64, 32, 16, 8, 4, 2, 1] {
            let mut end = best.len();
            while end > 0 && left > 0 {
                let start = end.saturating_sub(size);
                for candidate in smaller(&best, start, end.min(best.len())) {
                    left = left.saturating_sub(1);
                    if let Some(found) = fails(&candidate).await {
                        best = found;
                        break;
                    }
                }
                end = start.min(best.len());
            }
        }
        if left == 0 || best == before {
            return best;
        }
    }
}

/// Without the part from `start` to `end`; with nothing but zeros there; with smaller numbers there.
fn smaller(made: &[u32], start: usize, end: usize) -> Vec<Vec<u32>> {
    let part = &made[start..end];
    let with = |new: Vec<u32>| [&made[..start], &new, &made[end..]].concat();
    let mut all = vec![with(Vec::new())];
    if part.iter().any(|number| *number != 0) {
        all.push(with(vec![0; part.len()]));
        if let [number @ 2..=u32::MAX] = part {
            all.push(with(vec![number / 2]));
            all.push(with(vec![number - 1]));
        }
    }
    all
}

/// SplitMix64: variety, not secrecy.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % u64::from(bound)).expect("it is below a u32")
    }
}
