//! What is wrong with the settings of a sign-in method, or with a file they name.
//!
//! Separate because both the settings and the people file report every problem at once, each with its place.

use std::fmt;
use std::path::PathBuf;

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The sign-in method as the settings name it.
    pub method: String,
    /// The key of its block, where one is to blame.
    pub key: Option<String>,
    /// The file, line and column, where it is not in the settings themselves. Lines and columns count from 1.
    pub place: Option<(PathBuf, usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem with the block of `method`.
    pub(super) fn new(method: &str, message: impl Into<String>) -> Self {
        Self { method: method.to_owned(), key: None, place: None, message: message.into(), suggestion: None }
    }

    /// The key to blame.
    pub(super) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// What to do about it.
    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// A problem that serde found in the block of `method`.
    pub(super) fn from_serde(method: &str, error: &serde_json::Error) -> Self {
        let message = error.to_string();
        let problem = Self::new(method, message.clone());
        match message.split('`').nth(1) {
            Some(key) if message.contains("field") => problem.key(key),
            _ => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = &self.place {
            write!(formatter, "{}:{line}:{column}: ", file.display())?;
        }
        write!(formatter, "sign-in method \"{}\": ", self.method)?;
        if let Some(key) = &self.key {
            write!(formatter, "{key}: ")?;
        }
        formatter.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// The allowed word nearest to what was written, if any is near.
pub(super) fn nearest<'a>(written: &str, allowed: &[&'a str]) -> Option<&'a str> {
    allowed
        .iter()
        .map(|word| (distance(written, word), *word))
        .filter(|(distance, word)| *distance * 3 <= word.len())
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance, on bytes: near enough for keys.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.bytes().enumerate() {
        let mut diagonal = line;
        let mut last = line + 1;
        let mut next = vec![last];
        for (to, above) in right.bytes().zip(row.iter().skip(1)) {
            last = (diagonal + usize::from(from != to)).min(above + 1).min(last + 1);
            diagonal = *above;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let allowed = ["verifier", "groups", "name"];
        assert_eq!(nearest("verifyer", &allowed), Some("verifier"));
        assert_eq!(nearest("group", &allowed), Some("groups"));
        assert_eq!(nearest("password", &allowed), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
