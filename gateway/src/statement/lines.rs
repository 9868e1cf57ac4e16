//! Where in a text the parser's lines and columns stand.
//!
//! Separate because some texts ask for many places: the text is read once, not each time.

use std::ops::Range;

use sqlparser::tokenizer::Location;

/// How many characters lie between places that are known.
const STEP: usize = 64;

/// A text, and where its lines begin.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// How many characters stand before each line.
    before: Vec<usize>,
    /// Where each [`STEP`]th character begins; empty where every character is a byte.
    steps: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Of this text.
    pub(super) fn of(text: &'a str) -> Self {
        let (mut before, mut steps) = (vec![0], Vec::new());
        if text.is_ascii() {
            before.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        } else {
            for (character, (at, value)) in text.char_indices().enumerate() {
                if character % STEP == 0 {
                    steps.push(at);
                }
                if value == '\n' {
                    before.push(character + 1);
                }
            }
        }
        Self { text, before, steps }
    }

    /// The whole of it.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// What stands from one place to another.
    pub(super) fn between(&self, from: Location, to: Location) -> Option<&'a str> {
        self.text.get(self.bytes(from, to))
    }

    /// Which bytes stand from one place to another.
    pub(super) fn bytes(&self, from: Location, to: Location) -> Range<usize> {
        self.offset(from)..self.offset(to)
    }

    /// How many characters stand before a place.
    pub(super) fn characters_before(&self, at: Location) -> usize {
        let from_zero = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let before = self.before.get(from_zero(at.line)).copied();
        before.map_or(usize::MAX, |before| before.saturating_add(from_zero(at.column)))
    }

    fn offset(&self, at: Location) -> usize {
        let character = self.characters_before(at);
        if self.steps.is_empty() {
            return character.min(self.text.len());
        }
        let Some(step) = self.steps.get(character / STEP).copied() else { return self.text.len() };
        let rest = self.text.get(step..).unwrap_or_default();
        step + rest.char_indices().nth(character % STEP).map_or(rest.len(), |(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        for (text, expected) in [("a;\nbcd e", "cd"), ("é;\nbçd e", "çd")] {
            let found = Lines::of(text).between(Location { line: 2, column: 2 }, Location { line: 2, column: 4 });
            assert_eq!(found, Some(expected));
        }
        let long = format!("{}\n{}bçd", "é".repeat(STEP), "é".repeat(3 * STEP - 2));
        let column = 3 * STEP as u64;
        let found = Lines::of(&long).between(Location { line: 2, column }, Location { line: 2, column: column + 2 });
        assert_eq!(found, Some("çd"));
        let beyond = Location { line: 9, column: 9 };
        for (text, expected) in [("ab", "b"), ("aç", "ç")] {
            assert_eq!(Lines::of(text).between(Location { line: 1, column: 2 }, beyond), Some(expected));
        }
    }
}
