//! Where in a text the parser's lines and columns stand.
//!
//! Separate because a message of a hundred statements asks for two places of each: the text is read once, not each time.

use sqlparser::tokenizer::Location;

/// A text, and where its lines begin.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Whether a character is a byte.
    plain: bool,
}

impl<'a> Lines<'a> {
    /// Of this text.
    pub(super) fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect(), plain: text.is_ascii() }
    }

    /// What stands from one place to another.
    pub(super) fn between(&self, from: Location, to: Location) -> Option<&'a str> {
        self.text.get(self.offset(from)..self.offset(to))
    }

    fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(1).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let column = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
        if self.plain {
            return start.saturating_add(column).min(self.text.len());
        }
        let rest = self.text.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(index, _)| index)
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
        let beyond = Location { line: 9, column: 9 };
        assert_eq!(Lines::of("ab").between(Location { line: 1, column: 2 }, beyond), Some("b"));
    }
}
