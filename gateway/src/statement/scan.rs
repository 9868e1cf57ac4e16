//! Caps that hold before the parser sees the text.
//!
//! PostgreSQL itself can be kept busy for minutes by nested comments alone, and a parser that recurses can be made to
//! overflow its stack. One pass over the bytes, without recursion, bounds what comes after it. It reads quotes and
//! comments as PostgreSQL does (`standard_conforming_strings` on), and where it is in doubt it counts more, not less.
//! Source: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.

use super::{Error, Limits};

/// What one pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Symbols and words that can each add a level to the parser's tree.
    pub(super) operators: usize,
    /// Words: names and keywords.
    pub(super) words: usize,
    /// How deep parentheses, brackets and CASE nest.
    pub(super) depth: usize,
    /// Everything between blanks that is read by itself.
    tokens: usize,
}

/// Checks the caps.
pub(super) fn scan(text: &str, limits: &Limits) -> Result<Shape, Error> {
    if text.len() > limits.statement_bytes_max {
        return Err(Error::too_long(limits.statement_bytes_max));
    }
    if text.contains('\0') {
        return Err(Error::zero_byte());
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, depth: 0, shape: Shape::default() };
    scanner.run(limits)?;
    Ok(scanner.shape)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    shape: Shape,
}

impl Scanner<'_> {
    fn run(&mut self, limits: &Limits) -> Result<(), Error> {
        while let Some(byte) = self.peek(0) {
            self.token(byte, limits)?;
            match byte {
                b'\'' => self.quoted(b'\'', self.follows_escape_prefix()),
                b'"' => self.quoted(b'"', false),
                b'-' if self.peek(1) == Some(b'-') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.comment(limits)?,
                b'$' if self.dollar_quoted() => {}
                b'(' | b'[' => {
                    self.at += 1;
                    self.depth += 1;
                    self.check_depth(limits)?;
                    // `a[1][1]` nests as `a + 1 + 1` does: the parser tries it as the name of a type, an array of arrays.
                    if byte == b'[' {
                        self.operator(limits)?;
                    }
                }
                b')' | b']' => {
                    self.at += 1;
                    self.depth = self.depth.saturating_sub(1);
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word(limits)?,
                b'0'..=b'9' => self.number(),
                b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&'
                | b'|' | b'`' | b'?' | b':' | b'.' => {
                    self.at += 1;
                    self.operator(limits)?;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Each takes memory many times its length once it is parsed.
    fn token(&mut self, first: u8, limits: &Limits) -> Result<(), Error> {
        self.shape.tokens += usize::from(!first.is_ascii_whitespace());
        if self.shape.tokens > limits.tokens_max { Err(Error::too_many_tokens(limits.tokens_max)) } else { Ok(()) }
    }

    fn number(&mut self) {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn operator(&mut self, limits: &Limits) -> Result<(), Error> {
        self.shape.operators += 1;
        if self.shape.operators > limits.operators_max { Err(Error::too_complex(limits.operators_max)) } else { Ok(()) }
    }

    fn check_depth(&mut self, limits: &Limits) -> Result<(), Error> {
        self.shape.depth = self.shape.depth.max(self.depth);
        if self.depth > limits.depth_max { Err(Error::too_deep(limits.depth_max)) } else { Ok(()) }
    }

    /// Whether the quote here belongs to `E'...'`, where a backslash hides the next character.
    fn follows_escape_prefix(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.bytes.get(at)).copied();
        let prefixed = matches!(before(1), Some(b'e' | b'E'));
        prefixed && !before(2).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80)
    }

    fn quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if escapes && byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    fn line_comment(&mut self) {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if matches!(byte, b'\n' | b'\r') {
                return;
            }
        }
    }

    fn comment(&mut self, limits: &Limits) -> Result<(), Error> {
        let mut level = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    level += 1;
                    if level > limits.comment_depth_max {
                        return Err(Error::comments_too_deep(limits.comment_depth_max));
                    }
                }
                (b'*', Some(b'/')) => {
                    self.at += 2;
                    level -= 1;
                    if level == 0 {
                        return Ok(());
                    }
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    /// Skips `$tag$...$tag$`; false (and nothing skipped) where the dollar is something else.
    fn dollar_quoted(&mut self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let tag = rest.iter().skip(1).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let starts_with_digit = rest.get(1).is_some_and(u8::is_ascii_digit);
        if starts_with_digit || rest.get(tag + 1) != Some(&b'$') {
            return false;
        }
        let (delimiter, body) = rest.split_at((tag + 2).min(rest.len()));
        let end = body.windows(delimiter.len()).position(|window| window == delimiter);
        self.at += delimiter.len() + end.map_or(body.len(), |end| end + delimiter.len());
        true
    }

    /// CASE nests; AND, OR, NOT and the set operators add a level each.
    fn word(&mut self, limits: &Limits) -> Result<(), Error> {
        let start = self.at;
        self.shape.words += 1;
        while self
            .peek(0)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80)
        {
            self.at += 1;
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        if is("case") {
            self.depth += 1;
            self.check_depth(limits)?;
        } else if is("end") {
            self.depth = self.depth.saturating_sub(1);
        }
        // Set operators and joins, and every word that `grammar` reads as an operator: what is missing nests for ever.
        const LEVELS: [&str; 19] = [
            "and",
            "or",
            "not",
            "union",
            "except",
            "intersect",
            "join",
            "is",
            "between",
            "like",
            "ilike",
            "at",
            "collate",
            "in",
            "similar",
            "overlaps",
            "isnull",
            "notnull",
            "operator",
        ];
        if LEVELS.iter().any(|level| is(level)) { self.operator(limits) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<String> {
        scan(text, &Limits::default()).err().map(|error| error.message)
    }

    #[test]
    fn what_stands_in_quotes_and_comments_does_not_nest() {
        let open = "(".repeat(1000);
        for text in
            [format!("SELECT '{open}'"), format!("SELECT \"{open}\""), format!("-- {open}"), format!("/* {open} */")]
        {
            assert_eq!(refusal(&text), None);
        }
        assert_eq!(refusal(&format!("SELECT $a$ {open} $a$, $${open}$$")), None);
        assert_eq!(refusal(&format!("SELECT E'\\'{open}'")), None);
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(refusal(&"(".repeat(1000)).is_some());
        assert!(refusal(&"CASE ".repeat(1000)).is_some());
        assert!(refusal(&"/*".repeat(1000)).is_some());
        for chained in
            ["+1", "[1]", "[]", " overlaps b", " notnull", " isnull", " operator(+)b", " at local", " collate b"]
        {
            assert!(refusal(&format!("SELECT a{}", chained.repeat(100_000))).is_some(), "{chained}");
        }
        assert!(refusal("SELECT '\0'").is_some());
    }

    #[test]
    fn what_is_read_by_itself_is_counted() {
        let list = |length: usize| format!("SELECT a IN (1{}) /* a, b */ FROM t", ", 22".repeat(length));
        assert_eq!(scan(&list(0), &Limits::default()).unwrap().tokens, 9);
        assert_eq!(scan(&list(100), &Limits::default()).unwrap().tokens, 209);
        assert_eq!(refusal(&list(100_000)), None);
        let most = "statement is too long (the limit is 250000 words, constants and signs)";
        assert_eq!(refusal(&list(130_000)).as_deref(), Some(most));
        assert_eq!(refusal(&format!("VALUES (1){}", ",(1)".repeat(100_000))).as_deref(), Some(most));
    }
}
