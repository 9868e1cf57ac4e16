//! CEL text to pieces with their places, before the crate `cel` parses it.
//!
//! Its parser recurses as deep as a text says, and its messages name its grammar's tokens. So what makes it recurse is
//! bounded here, texts and brackets that are not closed are told here, and what it says of the rest is put in words by
//! the pieces at its place. Nothing is read twice: what a piece means is the parser's to say.

use std::fmt;

/// Expressions inside one another: a bound on recursion, in the parser and in everything that walks the tree.
pub(super) const NESTING_MAX: usize = 48;

/// A faulty place, what is wrong there, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte of the text.
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl Fault {
    pub(super) fn new(at: usize, message: String) -> Self {
        Self { at, message, suggestion: None }
    }

    pub(super) fn with(self, suggestion: &str) -> Self {
        Self { suggestion: Some(suggestion.to_owned()), ..self }
    }

    pub(super) fn too_deep(at: usize) -> Self {
        Self::new(at, format!("expressions are nested deeper than {NESTING_MAX}")).with("make several policies of it")
    }
}

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Number,
    Text,
    Word(&'t str),
    Symbol(&'static str),
    End,
}

impl fmt::Display for Piece<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => formatter.write_str("a number"),
            Self::Text => formatter.write_str("a text"),
            Self::Word(word) => write!(formatter, "\"{word}\""),
            Self::Symbol(symbol) => write!(formatter, "\"{symbol}\""),
            Self::End => formatter.write_str("the end"),
        }
    }
}

impl Piece<'_> {
    /// Whether an expression may end with it.
    fn ends_expression(self) -> bool {
        match self {
            Self::Number | Self::Text => true,
            Self::Word(word) => word != "in",
            Self::Symbol(symbol) => [")", "]", "}"].contains(&symbol),
            Self::End => false,
        }
    }
}

/// The longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// A text's pieces, in order, the end last.
#[derive(Debug)]
pub(super) struct Pieces<'t>(Vec<(Piece<'t>, usize)>);

impl<'t> Pieces<'t> {
    /// The pieces of a text whose brackets and quotes are closed, and which is not nested too deep.
    pub(super) fn of(text: &'t str) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut scanner = Scanner { text, at: 0 };
        loop {
            scanner.skip();
            let at = scanner.at;
            let piece = scanner.piece()?;
            pieces.push((piece, at));
            if piece == Piece::End {
                break;
            }
        }
        check_nesting(&pieces)?;
        Ok(Self(pieces))
    }

    /// The place of the piece that is so many before or after the one at `at`.
    pub(super) fn beside(&self, at: usize, steps: isize) -> usize {
        let index = self.0.partition_point(|(_, own)| *own < at);
        let found = index.checked_add_signed(steps).and_then(|index| self.0.get(index));
        found.map_or(at, |(_, at)| *at)
    }

    /// What is wrong where a parser stopped at a line and a character of it, both counted from one.
    pub(super) fn fault(&self, text: &str, line: isize, column: isize) -> Fault {
        let at = byte(text, line, column);
        let index = self.0.partition_point(|(_, own)| *own < at).min(self.0.len().saturating_sub(1));
        let Some((piece, at)) = self.0.get(index).copied() else { return missing(Piece::End, at) };
        let before = index.checked_sub(1).and_then(|index| self.0.get(index));
        match (before, piece) {
            (None, _) => missing(piece, at),
            (Some((Piece::Symbol("."), _)), _) => Fault::new(at, format!("a field's name is missing before {piece}")),
            (Some((Piece::Symbol(","), comma)), Piece::Symbol(")")) => {
                Fault::new(*comma, "an argument is missing after the comma".to_owned())
            }
            (Some((before, _)), _) if !before.ends_expression() => missing(piece, at),
            (Some(_), Piece::Word("and" | "AND")) => stray(piece, at).with("write && for \"and\""),
            (Some(_), Piece::Word("or" | "OR")) => stray(piece, at).with("write || for \"or\""),
            (Some(_), Piece::End) => Fault::new(at, "the expression is not complete".to_owned()),
            (Some(_), _) => stray(piece, at).with("join conditions with && or ||"),
        }
    }
}

fn missing(before: Piece<'_>, at: usize) -> Fault {
    Fault::new(at, format!("an expression is missing before {before}"))
}

fn stray(piece: Piece<'_>, at: usize) -> Fault {
    Fault::new(at, format!("{piece} does not belong here"))
}

/// The byte of a character of a line.
fn byte(text: &str, line: isize, column: isize) -> usize {
    let from_one = |number: isize| usize::try_from(number).unwrap_or(0).saturating_sub(1);
    let mut start = 0;
    for (index, own) in text.split_inclusive('\n').enumerate() {
        if index == from_one(line) {
            return start + own.char_indices().nth(from_one(column)).map_or(own.len(), |(at, _)| at);
        }
        start += own.len();
    }
    text.len()
}

/// Checks that every bracket is closed by its own, and how much is open at once: brackets, and what follows a `?`, in
/// which another may follow.
fn check_nesting(pieces: &[(Piece<'_>, usize)]) -> Result<(), Fault> {
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut choices = vec![0_usize];
    for (piece, at) in pieces {
        let Piece::Symbol(symbol) = *piece else { continue };
        match symbol {
            "(" | "[" | "{" => {
                open.push((symbol, *at));
                choices.push(0);
            }
            ")" | "]" | "}" => {
                let closes = |(opening, _): (&str, usize)| ["()", "[]", "{}"].contains(&&*format!("{opening}{symbol}"));
                if !open.pop().is_some_and(closes) {
                    return Err(stray(*piece, *at).with("close each bracket with its own"));
                }
                choices.pop();
            }
            "?" => choices.iter_mut().next_back().into_iter().for_each(|choices| *choices += 1),
            "," => choices.iter_mut().next_back().into_iter().for_each(|choices| *choices = 0),
            _ => continue,
        }
        if open.len() + choices.iter().sum::<usize>() >= NESTING_MAX {
            return Err(Fault::too_deep(*at));
        }
    }
    match open.pop() {
        Some((symbol, at)) => Err(Fault::new(at, format!("\"{symbol}\" is not closed")).with("close it")),
        None => Ok(()),
    }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn piece(&mut self) -> Result<Piece<'t>, Fault> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Piece::End) };
        if let Some((quote, raw)) = self.quote() {
            return self.quoted(quote, raw);
        }
        let dot_number = rest.strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if first.is_ascii_digit() || dot_number {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Piece::Word(self.take(|c| c.is_ascii_alphanumeric() || c == '_')));
        }
        match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Piece::Symbol(symbol))
            }
            None => Err(no_symbol(first, self.at)),
        }
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Digits, a fraction and an exponent.
    fn number(&mut self) -> Result<Piece<'t>, Fault> {
        let start = self.at;
        if self.rest().starts_with("0x") {
            self.at += 2;
            self.take(|c| c.is_ascii_hexdigit());
        } else {
            self.take(|c| c.is_ascii_digit());
            if self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
                self.at += 1;
                self.take(|c| c.is_ascii_digit());
            }
            let exponent = self.rest().strip_prefix(['e', 'E']);
            let digits = exponent.map(|after| after.strip_prefix(['+', '-']).unwrap_or(after));
            if let Some(digits) = digits.filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) {
                self.at = self.text.len() - digits.len();
                self.take(|c| c.is_ascii_digit());
            }
        }
        match self.take(|c| c.is_ascii_alphanumeric() || c == '_') {
            "" => Ok(Piece::Number),
            "u" | "U" => {
                Err(Fault::new(start, "unsigned numbers are not needed here".to_owned()).with("leave out the u"))
            }
            _ => Err(Fault::new(start, "a number ends in letters".to_owned())),
        }
    }

    /// The quotes that open a text here, and whether its escapes are not read.
    fn quote(&self) -> Option<(&'static str, bool)> {
        let rest = self.rest();
        let prefix = rest.get(..rest.find(['\'', '"'])?)?;
        let is_prefix = prefix.len() <= 2 && ["", "r", "b", "rb", "br"].contains(&&*prefix.to_ascii_lowercase());
        let quotes = rest.get(prefix.len()..).filter(|_| is_prefix)?;
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| quotes.starts_with(quote))?;
        Some((quote, prefix.contains(['r', 'R'])))
    }

    fn quoted(&mut self, quote: &'static str, raw: bool) -> Result<Piece<'t>, Fault> {
        let start = self.at + self.rest().find(quote).unwrap_or(0);
        self.at = start + quote.len();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                return Ok(Piece::Text);
            }
            let Some(next) = rest.chars().next().filter(|next| quote.len() == 3 || !matches!(next, '\n' | '\r')) else {
                let fault = Fault::new(start, "a text is not closed".to_owned());
                return Err(fault.with("close it with the quote that opens it"));
            };
            match next {
                '\\' if !raw => self.escape()?,
                other => self.at += other.len_utf8(),
            }
        }
    }

    /// Passes over a backslash and what it makes of what follows.
    fn escape(&mut self) -> Result<(), Fault> {
        let wrong = |at| {
            Fault::new(at, "not an escape".to_owned())
                .with("write \\\\ for a backslash, or r'...' for a text without escapes")
        };
        let after = self.rest().get(1..).unwrap_or_default();
        let (skipped, digits, radix) = match after.chars().next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '\'' | '"' | '`' | '?') => (1, 0, 10),
            Some('x' | 'X') => (1, 2, 16),
            Some('u') => (1, 4, 16),
            Some('U') => (1, 8, 16),
            Some('0'..='3') => (0, 3, 8),
            _ => return Err(wrong(self.at)),
        };
        let written = after.get(skipped..skipped + digits).ok_or_else(|| wrong(self.at))?;
        let is_character =
            digits == 0 || u32::from_str_radix(written, radix).is_ok_and(|code| char::from_u32(code).is_some());
        if !is_character || !written.chars().all(|c| c.is_digit(radix)) {
            return Err(wrong(self.at));
        }
        self.at += 1 + skipped + digits;
        Ok(())
    }
}

fn no_symbol(first: char, at: usize) -> Fault {
    match first {
        '=' => Fault::new(at, "= is not an operator".to_owned()).with("compare with =="),
        '&' => Fault::new(at, "& is not an operator".to_owned()).with("write && for \"and\""),
        '|' => Fault::new(at, "| is not an operator".to_owned()).with("write || for \"or\""),
        other => Fault::new(at, format!("{other:?} does not belong here")),
    }
}
