//! Fuzzing that runs anywhere: seeds, mutations, and a bounded time for each target.
//!
//! Whatever a stranger sends must end in an answer: no panic, no hang, and the properties each target asserts. The
//! time is short here and longer by hand: `FUZZ_SECONDS=3600 cargo test -p passgate-tests --test fuzz`. A failure
//! prints the input that caused it; so does one that never comes to its end, or takes the machine's memory first.

mod governed;
mod nests;
mod policies;
mod templates;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use passgate::catalog::Snapshot;
use passgate::plan::{self, Model};
use passgate::statement::{self, Kind, Limits};
use passgate_connectors::{Column, Metadata, Relation};
use passgate_policy::SourceName;

/// Seconds for each target where `FUZZ_SECONDS` does not say otherwise.
const SECONDS: u64 = 10;
/// One input may take this long before it counts as a hang. Generous: the machine may be busy.
const HANG: Duration = Duration::from_secs(20);
/// So many bytes of memory, of all inputs under way, are more than any input may take.
const MEMORY_MAX: u64 = 3 << 30;

#[test]
fn statements_end_in_a_tree_or_an_error() {
    let seeds: Vec<Vec<u8>> = include_str!("../../gateway/src/statement/queries.sql")
        .split(";\n")
        .chain(include_str!("../seeds/statements.sql").split(";\n"))
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let model = model();
    fuzz(&seeds, &WORDS_OF_SQL, |input| {
        let text = String::from_utf8_lossy(input);
        let Ok(statements) = statement::parse(&text, &Limits::default()) else { return };
        for statement in statements {
            if let Kind::Query(tree) = &statement.kind
                && statement.writes.is_empty()
            {
                let printed = statement::print(tree);
                let again = statement::parse(&printed, &Limits::for_printed_text()).expect("what is printed is read");
                let [again] = again.as_slice() else { panic!("one statement became {}", again.len()) };
                assert!(
                    matches!(&again.kind, Kind::Query(other) if other == tree),
                    "read back as another tree: {printed}"
                );
            }
            let _ = plan::resolve(&statement, &model);
        }
    });
}

#[test]
fn frames_end_in_a_message_or_a_violation() {
    let frame = |kind: u8, body: &[u8]| {
        let mut frame = vec![kind];
        frame.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        frame.extend(body);
        frame
    };
    let startup = |version: u32, body: &[u8]| {
        let mut frame = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        frame.extend(version.to_be_bytes());
        frame.extend(body);
        frame
    };
    let parameters: &[u8] = b"user\0ana\0database\0shop\0_pq_.x\0y\0\0";
    let seeds: Vec<Vec<u8>> = vec![
        startup(196_608, parameters),
        startup(196_610, parameters),
        startup(80_877_103, b""),
        startup(80_877_104, b""),
        startup(80_877_102, &[0, 0, 0, 1, 0, 0, 0, 2]),
        [startup(196_608, parameters), frame(b'p', b"secret\0"), frame(b'Q', b"SELECT 1\0")].concat(),
        [
            startup(196_608, parameters),
            frame(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            frame(b'B', b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01"),
            frame(b'D', b"Pp\0"),
            frame(b'E', b"p\0\0\0\0\x05"),
            frame(b'C', b"Ss\0"),
            frame(b'H', b""),
            frame(b'S', b""),
            frame(b'X', b""),
        ]
        .concat(),
    ];
    fuzz(&seeds, &WORDS_OF_SQL, |input| {
        let (cuts, stream) = input.split_at(input.len() / 4);
        let whole = passgate_wire::decode_anything(stream, &[]);
        let cut = passgate_wire::decode_anything(stream, cuts);
        assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "the cuts between reads change what is read");
        let _ = passgate_wire::decode_anything(input, &[]);
    });
}

fn model() -> Model {
    let column =
        |name: &str| Column { name: name.to_owned(), type_name: "text".to_owned(), type_oid: 25, ..Column::default() };
    let relation = |name: &str| Relation {
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: ["a", "b", "id"].into_iter().map(column).collect(),
        unique_keys: vec![vec!["id".to_owned()]],
        ..Relation::default()
    };
    let relations = ["a", "b", "t", "f"].into_iter().map(relation).collect();
    let metadata = Metadata { server_version: "15".to_owned(), relations, ..Metadata::default() };
    let snapshot = Snapshot::new(SourceName::new("fuzz"), "public".to_owned(), metadata);
    Model::new(Arc::new(snapshot), &passgate_policy::compile(&[], None, &passgate_policy::NoSql).unwrap())
}

/// Runs `target` on mutations of the seeds until the time is up, on a stack as a statement has in the gateway.
fn fuzz(seeds: &[Vec<u8>], words: &[&str], target: impl Fn(&[u8]) + Sync) {
    fuzz_with(&|random| mutate(seeds, words, random), &target);
}

/// The same on inputs made otherwise.
fn fuzz_with(input: &(dyn Fn(&mut Random) -> Vec<u8> + Sync), target: &(dyn Fn(&[u8]) + Sync)) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(statement::STACK_BYTES);
        let fuzzing = thread.spawn_scoped(scope, || fuzz_here(input, target)).expect("a thread can be started");
        fuzzing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn fuzz_here(input: &dyn Fn(&mut Random) -> Vec<u8>, target: &dyn Fn(&[u8])) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let end = Instant::now() + Duration::from_secs(seconds);
    let start_state = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs())
    });
    let mut random = Random(start_state | 1);
    let mut runs = 0_u64;
    let watched = Watched::start(start_state);
    while Instant::now() < end {
        let input = input(&mut random);
        let start = Instant::now();
        watched.now(Some(&input));
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let shown = || format!("{:?} (FUZZ_SEED={start_state})", String::from_utf8_lossy(&input));
        assert!(outcome.is_ok(), "this input failed: {}", shown());
        assert!(start.elapsed() < HANG, "this input hangs: {}", shown());
        runs += 1;
    }
    watched.now(None);
    println!("{runs} inputs in {seconds} s, FUZZ_SEED={start_state}");
    assert!(runs > 0, "nothing ran");
}

/// The input under way, seen by a thread that ends the process where the input would not.
struct Watched(Arc<Mutex<UnderWay>>);

/// An input, and when it began.
type UnderWay = Option<(Instant, Vec<u8>)>;

impl Watched {
    fn start(start_state: u64) -> Self {
        let watched = Arc::new(Mutex::new(UnderWay::None));
        let weak = Arc::downgrade(&watched);
        std::thread::spawn(move || {
            while let Some(watched) = weak.upgrade() {
                if let Some((start, input)) = &*watched.lock().expect("not poisoned")
                    && (start.elapsed() > 2 * HANG || memory() > MEMORY_MAX)
                {
                    let input = String::from_utf8_lossy(input);
                    let said = format!("this input takes all time or memory: {input:?} (FUZZ_SEED={start_state})");
                    // Not by eprintln!: what the test harness captures is lost with the process.
                    let _ = writeln!(std::io::stderr(), "{said}");
                    std::process::exit(1);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self(watched)
    }

    fn now(&self, input: Option<&[u8]>) {
        *self.0.lock().expect("not poisoned") = input.map(|input| (Instant::now(), input.to_vec()));
    }
}

/// The process's memory in bytes; nothing where the system does not tell.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// A small generator (xorshift64*): mutations need variety, not secrecy.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(mixed).unwrap_or(0) % most.max(1)
    }
}

/// Words that matter to a lexer of SQL.
const WORDS_OF_SQL: [&str; 24] = [
    "'", "\"", "\\", "/*", "*/", "--", "$$", "$1", "(", ")", ";", "::", "E'", "U&'", "\0", "\n", "[", "]", ".", ",",
    "é", "SELECT ", " FROM ", " UNION ",
];

/// One to eight changes to a seed: bytes, pieces of other seeds, repetitions, and words.
fn mutate(seeds: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            0 | 1 => {
                let word = words[random.below(words.len())];
                input.splice(at..at, word.bytes());
            }
            2 => {
                let end = at + random.below(input.len() - at + 1);
                input.drain(at..end);
            }
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                input.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let end = (at + random.below(40)).min(input.len());
                let piece = input[at..end].to_vec();
                (0..random.below(60)).for_each(|_| drop(input.splice(at..at, piece.iter().copied())));
            }
            _ => input.extend_from_within(at..),
        }
        input.truncate(64 * 1024);
    }
    input
}
