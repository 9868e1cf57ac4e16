//! Whether a log is as it was written, and if not, where it was touched.
//!
//! Reads a file once, line by line, in bounded memory. After damage it goes on, so that one changed line does not hide
//! another. What it cannot see: a log without a chain key that was rewritten from some line to its end together with
//! its head, or one put back to an older copy. Against both, keep the end (`SEQUENCE:HASH`, logged at each start and
//! printed by each verification) elsewhere and pass it as expected.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use passgate_connectors::Secret;

use super::chain::{Line, Link, Malformed, Sealer};
use super::head::Head;

/// The longest line that can be one of ours.
pub(super) const LINE_BYTES_MAX: usize = 32 << 20;
/// Findings listed, and statements followed to their outcome, at most; beyond, they are counted.
const LISTED_MAX: usize = 100;
const FOLLOWED_MAX: usize = 100_000;

/// What was done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A line is not what it was.
    Changed,
    /// Lines are missing: at the start, at the end, or between.
    Cut,
    /// A line appears again.
    Duplicated,
    /// A line is not where it was.
    Moved,
    /// A line does not belong to this chain.
    Inserted,
    /// The head is missing or not to be trusted, so a cut at an end could not be ruled out.
    Head,
}

/// Something found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line of the file, from 1; 0 for the head.
    pub line: u64,
    /// The sequence number the line claims.
    pub sequence: Option<u64>,
    /// What kind of damage.
    pub damage: Damage,
    /// What is wrong, in words.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// Whether the chain is keyed.
    pub keyed: bool,
    /// How many lines there are.
    pub lines: u64,
    /// The end of the chain, to be kept elsewhere.
    pub last: Link,
    /// Damage, in the order of the file: the first hundred places.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more_findings: u64,
    /// Statements that were recorded as started and never as ended: the first hundred, as (line, statement).
    pub unfinished: Vec<(u64, String)>,
    /// How many more there are.
    pub more_unfinished: u64,
}

impl Report {
    /// Whether the log is as it was written. Statements without an outcome do not count against it: a crash leaves some.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < LISTED_MAX { self.findings.push(finding) } else { self.more_findings += 1 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_intact() { "intact" } else { "NOT INTACT" };
        let chain = if self.keyed { "chained with a key" } else { "chained without a key" };
        writeln!(formatter, "{}: {verdict}, {}, {chain}", self.file.display(), lines(self.lines))?;
        for finding in &self.findings {
            writeln!(formatter, "  {finding}")?;
        }
        if self.more_findings > 0 {
            writeln!(formatter, "  and {} more", self.more_findings)?;
        }
        for (line, statement) in &self.unfinished {
            writeln!(formatter, "  warning: line {line}: statement {statement} has no outcome")?;
        }
        if self.more_unfinished > 0 {
            writeln!(formatter, "  warning: and {} more statements have no outcome", self.more_unfinished)?;
        }
        write!(formatter, "  end: {}", self.last)
    }
}

fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.sequence) {
            (0, _) => write!(formatter, "head: {}", self.what),
            (line, None) => write!(formatter, "line {line}: {}", self.what),
            (line, Some(sequence)) => write!(formatter, "line {line} (sequence {sequence}): {}", self.what),
        }
    }
}

/// Verifies a log against itself, against the head beside it, and against `expected`, the end as somebody else keeps it.
///
/// A copy without its head can be verified with `expected` alone. Fails only when the file cannot be read.
pub fn verify(path: &Path, key: Option<&Secret>, expected: Option<Link>) -> io::Result<Report> {
    let sealer = Sealer::new(key);
    let head = read_head(path, &sealer);
    let mut check = Check::new(path, sealer, expected);
    check.begin(&head);
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut reader, &mut line)? {
        check.line(&line, whole);
    }
    check.end(&head, || read_head(path, &Sealer::new(key)));
    Ok(check.finish())
}

/// A head as found: absent, unusable, or read.
type FoundHead = Option<Result<Head, Malformed>>;

fn read_head(path: &Path, sealer: &Sealer) -> FoundHead {
    let mut text = String::new();
    // A head is less than 512 bytes; what is longer is not one.
    match File::open(Head::path(path)) {
        Err(_) => None,
        Ok(file) => Some(match file.take(512).read_to_string(&mut text) {
            Ok(_) => Head::read(&text, sealer),
            Err(_) => Err(Malformed("the head cannot be read")),
        }),
    }
}

/// Reads the next line, without its line feed; `Some(false)` for one that has none or is too long.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    if reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let whole = line.last() == Some(&b'\n');
    if whole {
        line.pop();
    } else if line.len() >= LINE_BYTES_MAX {
        line.clear();
        reader.skip_until(b'\n')?;
    }
    Ok(Some(whole))
}

/// The state of a verification: where the chain stands, and what is still expected.
struct Check {
    sealer: Sealer,
    report: Report,
    /// The last line that was in its place; `known` is false where its hash cannot be relied on.
    last: Link,
    known: bool,
    /// Links that must be met on the way: the head's and the expected end, with who says so.
    promised: Vec<(Link, &'static str)>,
    open: HashMap<String, u64>,
    not_followed: u64,
}

impl Check {
    fn new(path: &Path, sealer: Sealer, expected: Option<Link>) -> Self {
        let report = Report {
            file: path.to_owned(),
            keyed: sealer.is_keyed(),
            lines: 0,
            last: Link::default(),
            findings: Vec::new(),
            more_findings: 0,
            unfinished: Vec::new(),
            more_unfinished: 0,
        };
        let promised = expected.into_iter().map(|link| (link, "the expected end")).collect();
        Self { sealer, report, last: Link::default(), known: true, promised, open: HashMap::new(), not_followed: 0 }
    }

    fn begin(&mut self, head: &FoundHead) {
        match head {
            Some(Ok(head)) => {
                self.last = head.after;
                self.promised.push((head.last, "the head"));
            }
            Some(Err(problem)) => self.find(0, None, Damage::Head, problem.to_string()),
            None if self.promised.is_empty() => {
                let what = "it is missing, so lines cut from the end would go unnoticed; verify with the expected end";
                self.find(0, None, Damage::Head, what.to_owned());
            }
            None => {}
        }
        self.keep_promises();
    }

    fn line(&mut self, bytes: &[u8], whole: bool) {
        self.report.lines += 1;
        match Line::read(bytes) {
            Err(problem) => self.unreadable(problem.to_string()),
            Ok(_) if !whole => self.unreadable("it has no end".to_owned()),
            Ok(line) => self.place(&line, bytes),
        }
    }

    /// A line that is none of ours: the chain goes on behind it as if it had been the next.
    fn unreadable(&mut self, what: String) {
        self.find(self.report.lines, None, Damage::Changed, format!("this is not a line of the log: {what}"));
        self.last.sequence = self.last.sequence.saturating_add(1);
        self.known = false;
    }

    fn place(&mut self, line: &Line<'_>, bytes: &[u8]) {
        let sequence = line.link.sequence;
        if !line.holds(&self.sealer) {
            let key = if self.report.keyed { ", or the key is another" } else { "" };
            self.find_at(
                sequence,
                Damage::Changed,
                format!("its bytes do not have the hash it ends in: it was changed{key}"),
            );
        }
        if sequence <= self.last.sequence {
            let (damage, what) = match line.link == self.last {
                true => (Damage::Duplicated, "the line before it, again".to_owned()),
                false => {
                    (Damage::Moved, format!("it comes after sequence {}: moved or copied here", self.last.sequence))
                }
            };
            return self.find_at(sequence, damage, what);
        }
        let missing = sequence - self.last.sequence - 1;
        if missing > 0 {
            let what = match self.last.sequence {
                0 => {
                    format!("the log should begin at sequence 1: {} missing before it, or moved", lines(missing))
                }
                last => format!("it follows sequence {last}: {} missing between them, or moved", lines(missing)),
            };
            self.find_at(sequence, Damage::Cut, what);
        } else if self.known && line.previous != self.last.hash {
            let what = "it does not follow the line before it: one of them was replaced".to_owned();
            self.find_at(sequence, Damage::Inserted, what);
        }
        self.last = line.link;
        self.known = true;
        self.keep_promises();
        self.follow(bytes);
    }

    /// Compares with the head and the expected end where the chain passes them.
    fn keep_promises(&mut self) {
        let last = self.last;
        let (met, ahead): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.promised).into_iter().partition(|(link, _)| link.sequence <= last.sequence);
        self.promised = ahead;
        for (link, who) in met {
            if link != last {
                let what = format!("{who} has another hash for sequence {}, or lies before this file", link.sequence);
                self.find_at(last.sequence, Damage::Changed, what);
            }
        }
    }

    fn end(&mut self, head: &FoundHead, head_again: impl Fn() -> FoundHead) {
        let end = self.last.sequence;
        for (link, who) in std::mem::take(&mut self.promised) {
            let missing = link.sequence.saturating_sub(end);
            let what =
                format!("the log ends here, and {who} is sequence {}: {} cut off", link.sequence, lines(missing));
            self.find_at(end, Damage::Cut, what);
        }
        // A gateway at work writes the line first and the head a moment later.
        let behind = |head: &FoundHead| matches!(head, Some(Ok(head)) if head.last.sequence < end);
        if behind(head) && behind(&head_again()) {
            std::thread::sleep(Duration::from_millis(100));
            if let Some(Ok(head)) = head_again().filter(|head| head.as_ref().is_ok_and(|head| head.last.sequence < end))
            {
                let what = format!(
                    "the head knows only of sequence {}: what follows was added, or a crash kept the head from learning \
                     of it, which the gateway's next start will settle",
                    head.last.sequence
                );
                self.find_at(end, Damage::Inserted, what);
            }
        }
    }

    /// Remembers statements that have started, until they end.
    fn follow(&mut self, bytes: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Step<'a> {
            #[serde(borrow)]
            statement_id: Option<std::borrow::Cow<'a, str>>,
            #[serde(borrow)]
            status: Option<std::borrow::Cow<'a, str>>,
        }
        let Ok(Step { statement_id: Some(statement), status: Some(status) }) = serde_json::from_slice(bytes) else {
            return;
        };
        if status != "started" {
            self.open.remove(statement.as_ref());
        } else if self.open.len() < FOLLOWED_MAX {
            self.open.insert(statement.into_owned(), self.report.lines);
        } else {
            self.not_followed += 1;
        }
    }

    fn finish(mut self) -> Report {
        let mut open: Vec<_> = self.open.into_iter().map(|(statement, line)| (line, statement)).collect();
        open.sort();
        let more = open.len().saturating_sub(LISTED_MAX);
        open.truncate(LISTED_MAX);
        self.report.unfinished = open;
        self.report.more_unfinished = self.not_followed.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        self.report.last = self.last;
        self.report
    }

    fn find_at(&mut self, sequence: u64, damage: Damage, what: String) {
        self.find(self.report.lines, Some(sequence), damage, what);
    }

    fn find(&mut self, line: u64, sequence: Option<u64>, damage: Damage, what: String) {
        self.report.find(Finding { line, sequence, damage, what });
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
