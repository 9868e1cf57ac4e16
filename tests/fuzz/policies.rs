//! Policy files, mutated as text and rearranged as documents.

use std::path::Path;
use std::time::{Duration, Instant};

use passgate_policy::{PolicyFile, compile};
use serde_json::{Value, json};

use super::{Random, fuzz};

/// A policy file is compiled within this.
const COMPILED: Duration = Duration::from_secs(1);

/// Words that matter to a reader of policy files.
const WORDS_OF_POLICIES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "//",
    "/*",
    "*/",
    "null",
    "true",
    "-1",
    "1e999",
    "0",
    "é",
    "\"action\":",
    "\"check\":",
    "\"block\"",
    "\"allow\"",
    "\"filter\"",
    "\"mask\"",
    "\"limit\"",
    "\"redirect\"",
    "\"warn\"",
    "\"require_approval\"",
    "\"when\":",
    "\"condition\":",
    "\"not\":",
    "\"any\":",
    "\"all\":",
    "\"rows\":",
    "\"columns\":",
    "\"tags\":",
    "\"with\":",
    "\"expression\"",
    "user.claims.",
    " && (",
    "x.map(y, y)",
];

#[test]
fn policy_files_end_in_a_set_or_in_problems() {
    let seeds = files_under(&["../policy/examples", "../policy/cases", "twin"], &["json", "jsonc"]);
    let documents: Vec<Value> = seeds.iter().filter_map(|text| serde_json::from_slice(text).ok()).collect();
    fuzz(&seeds, &WORDS_OF_POLICIES, |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        // Every other time, well-formed: what was mutated only says how.
        let text = if input.len() % 2 == 0 { text } else { rearranged(&documents, input).to_string() };
        let files = [PolicyFile { path: "fuzz.json".to_owned(), text }];
        let took = || {
            let start = Instant::now();
            let _ = compile(&files, None, &passgate_policy::NoSql);
            start.elapsed()
        };
        // The machine may be busy; a file that is slow by itself is slow every time.
        assert!((0..5).any(|_| took() < COMPILED), "it takes too long to compile");
    });
}

/// A document with parts of others in it, by the numbers in `by`.
fn rearranged(documents: &[Value], by: &[u8]) -> Value {
    let mut random = Random(by.iter().fold(0x9E37_79B9, |seed: u64, byte| seed.rotate_left(5) ^ u64::from(*byte)) | 1);
    let mut document = documents[random.below(documents.len())].clone();
    for _ in 0..=random.below(4) {
        let other = documents[random.below(documents.len())].clone();
        let part = match random.below(8) {
            0 => Value::Null,
            1 => json!([part_of(&other, &mut random)]),
            2 => json!({ "not": part_of(&other, &mut random) }),
            3 => json!(i64::try_from(random.below(100_000)).unwrap_or(0) - 50_000),
            _ => part_of(&other, &mut random),
        };
        replace_part(&mut document, part, &mut random);
    }
    document
}

/// Something inside a document.
fn part_of(document: &Value, random: &mut Random) -> Value {
    let inside = match document {
        Value::Array(list) => list.get(random.below(list.len())),
        Value::Object(fields) => fields.values().nth(random.below(fields.len())),
        _ => None,
    };
    match inside {
        Some(inside) if random.below(4) > 0 => part_of(inside, random),
        _ => document.clone(),
    }
}

/// Puts `part` in the place of something inside a document, or under a key of its own.
fn replace_part(document: &mut Value, part: Value, random: &mut Random) {
    let (many, deeper) = (random.below(6), random.below(5) > 0);
    match document {
        Value::Array(list) if many == 0 => list.push(part),
        Value::Object(fields) if many == 0 => {
            let word = WORDS_OF_POLICIES[random.below(WORDS_OF_POLICIES.len())].trim_matches(|at| "\":".contains(at));
            fields.insert(word.to_owned(), part);
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let at = random.below(list.len());
            replace_part(&mut list[at], part, random);
        }
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = random.below(fields.len());
            replace_part(fields.values_mut().nth(at).expect("it is there"), part, random);
        }
        other => *other = part,
    }
}

/// The text of every file under these folders that ends in one of these ways.
fn files_under(folders: &[&str], kinds: &[&str]) -> Vec<Vec<u8>> {
    let mut folders: Vec<_> = folders.iter().map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kinds.iter().any(|known| kind == *known)) {
                texts.push(std::fs::read(&path).expect("a file is read"));
            }
        }
    }
    assert!(texts.len() > 10, "the seeds are there");
    texts
}
