//! Something wrong with the settings: what, where, and what to write instead.
//!
//! A problem never quotes a line of the file, because a line may hold a password; it names the file, the place and
//! the key instead.

use std::fmt;

/// A place in the settings file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The gateway does not start with it.
    Error,
    /// It starts, and somebody should know.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the gateway starts all the same.
    pub severity: Severity,
    /// The file, as it was named on the command line or in the settings.
    pub file: String,
    /// Where in the file.
    pub at: Place,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.at.line > 0 {
            write!(formatter, ":{}:{}", self.at.line, self.at.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(formatter, ": {severity}: {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "\n  hint: {suggestion}"),
            None => Ok(()),
        }
    }
}

impl From<passgate_policy::Problem> for Problem {
    fn from(problem: passgate_policy::Problem) -> Self {
        Self {
            severity: Severity::Error,
            file: problem.file,
            at: Place { line: problem.line, column: problem.column },
            message: problem.message,
            suggestion: problem.suggestion,
        }
    }
}

/// The findings in one file, in the order they are found.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    found: Vec<Problem>,
}

/// More problems than this are not listed: a file with so many is the wrong file.
const PROBLEMS_MAX: usize = 100;

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub(super) fn error(&mut self, at: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.push(Severity::Error, at, message.into(), suggestion);
    }

    pub(super) fn warning(&mut self, at: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.push(Severity::Warning, at, message.into(), suggestion);
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    pub(super) fn errors(&self) -> usize {
        self.found.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Everything found, by place.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by(|a, b| (a.file != self.file, &a.file, a.at).cmp(&(b.file != self.file, &b.file, b.at)));
        self.found
    }

    fn push(&mut self, severity: Severity, at: Place, message: String, suggestion: Option<String>) {
        if !self.is_full() {
            self.found.push(Problem { severity, file: self.file.clone(), at, message, suggestion });
        }
    }
}

/// Further apart, two words have nothing to do with each other.
const SLIPS_MAX: usize = 3;

/// The candidate a person most likely meant, if one is near enough to be worth naming.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Long foreign text is no misspelling, and the distance costs the product of both lengths.
    if word.chars().count() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3).min(SLIPS_MAX))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in which swapping two neighbours counts as one slip.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut previous: Option<char> = None;
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let substitute = at(&above, column) + usize::from(letter != *other);
            let mut best = substitute.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = column > 0 && previous == Some(*other) && right.get(column - 1) == Some(&letter);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        previous = Some(letter);
    }
    above.last().copied().unwrap_or(0)
}

/// `did you mean "x"?`, or the list to choose from.
pub(super) fn did_you_mean(word: &str, candidates: &[&str], what: &str) -> Option<String> {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => Some(format!("did you mean \"{near}\"?")),
        None if candidates.is_empty() => None,
        None => Some(format!("{what}: {}", candidates.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_slip_of_the_fingers_costs_one() {
        assert_eq!(distance("adress", "address"), 1);
        assert_eq!(distance("tpye", "type"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(nearest("listner", ["listeners", "limits"]), Some("listeners"));
        assert_eq!(nearest("Impersonate", ["password", "impersonate"]), Some("impersonate"));
        assert_eq!(nearest("zebra", ["host", "port"]), None);
        assert_eq!(nearest("WAREHOUSE_USER", ["WAREHOUSE_PASSWORD"]), None);
    }
}
