//! What is wrong with a policy file, said so that its author can mend it: the place, the fault, and what to write.

use std::fmt;

/// Problems kept from one compilation; more than this and nobody reads them.
const PROBLEMS_MAX: usize = 1_000;

/// Names longer than this are not compared, so that a hostile file cannot make comparing slow.
const COMPARED_CHARACTERS_MAX: usize = 128;

/// Something wrong with a policy file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl Problem {
    /// The line it stands on, with what is meant underlined. `text` is the text of the file.
    ///
    /// Empty when the text has no such line.
    pub fn underlined(&self, text: &str) -> String {
        let Some(line) = text.lines().nth(self.line.saturating_sub(1)) else { return String::new() };
        let line = line.trim_start_matches('\u{feff}');
        let before = self.column.saturating_sub(1);
        let margin: String = line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let marked: String = line.chars().skip(before).collect();
        format!("{line}\n{margin}{}", "^".repeat(token_width(&marked)))
    }
}

/// How many characters the JSON token at the start of `text` takes; 1 where there is none.
fn token_width(text: &str) -> usize {
    let Some(quoted) = text.strip_prefix('"') else {
        let word = text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+')).count();
        return word.max(1);
    };
    let mut escaped = false;
    for (index, character) in quoted.chars().enumerate() {
        match character {
            '"' if !escaped => return index + 2,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.chars().count().max(1)
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(problem);
        }
    }

    pub(crate) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order in which an author reads the files, each once.
    pub(crate) fn sorted(mut self) -> Vec<Problem> {
        self.found
            .sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
        self.found.dedup();
        self.found
    }
}

/// The candidate that `written` was probably meant to be, if any is close: a third of its letters may be wrong.
pub(crate) fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = written.chars().count();
    if length > COMPARED_CHARACTERS_MAX {
        return None;
    }
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= COMPARED_CHARACTERS_MAX)
        .map(|candidate| (strsim::osa_distance(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= (length / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean "..."?` for the nearest candidate.
pub(crate) fn did_you_mean<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(written, candidates).map(|candidate| format!("did you mean \"{candidate}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        assert_eq!(nearest("mesage", ["name", "message"]), Some("message"));
        assert_eq!(nearest("SELECT", ["select"]), Some("select"));
        assert_eq!(nearest("blcok", ["block"]), Some("block"));
        assert_eq!(nearest("colour", ["name", "message"]), None);
        assert_eq!(nearest("", ["ab"]), None);
    }

    #[test]
    fn a_problem_prints_as_compilers_do() {
        let problem = Problem {
            file: "policies/a.json".to_owned(),
            line: 2,
            column: 3,
            message: "unknown key \"mesage\"".to_owned(),
            suggestion: Some("did you mean \"message\"?".to_owned()),
        };
        assert_eq!(problem.to_string(), "policies/a.json:2:3: unknown key \"mesage\"; did you mean \"message\"?");
        assert_eq!(problem.underlined("{\n  \"mesage\": \"no\"\n}"), "  \"mesage\": \"no\"\n  ^^^^^^^^");
    }
}
