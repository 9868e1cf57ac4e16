//! Tokens as PostgreSQL reads them, where the parser's tokenizer does not: adjacent strings, Unicode escapes with
//! UESCAPE, and words that only other dialects have for keywords.
//! Source: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.

use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::dialect::BoundedPostgreSql;
use super::keywords::forget_foreign;
use super::lines::Lines;

type Result<T> = std::result::Result<T, ParserError>;

/// The tokens of a text, without blanks and comments.
pub(super) fn tokens(lines: &Lines<'_>, dialect: &BoundedPostgreSql) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(dialect, lines.text()).tokenize_with_location()?;
    let mut reader = Reader { lines, read: Vec::with_capacity(tokens.len()), gap: Gap::None };
    for token in tokens {
        reader.token(token)?;
    }
    Ok(reader.read)
}

/// What stands between two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    Blank,
    /// Blanks, or comments of one line, with the end of a line among them: strings on both sides are one.
    Line,
    /// A comment of several lines.
    Comment,
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    read: Vec<TokenWithSpan>,
    gap: Gap,
}

impl Reader<'_> {
    fn token(&mut self, mut token: TokenWithSpan) -> Result<()> {
        if let Token::Whitespace(blank) = &token.token {
            self.gap = match (self.gap, blank) {
                (Gap::Comment, _) | (_, Whitespace::MultiLineComment(_)) => Gap::Comment,
                (Gap::Line, _) | (_, Whitespace::Newline | Whitespace::SingleLineComment { .. }) => Gap::Line,
                (_, Whitespace::Space | Whitespace::Tab) => Gap::Blank,
            };
            return Ok(());
        }
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        match &mut token.token {
            Token::Word(word) => forget_foreign(word),
            Token::CustomBinaryOperator(symbols) => return self.operator(&symbols.clone(), token.span),
            Token::HexStringLiteral(digits) if is_number(digits, token.span) => {
                let number =
                    u128::from_str_radix(digits, 16).map_err(|_| refusal("invalid hexadecimal number", token.span))?;
                token.token = Token::Number(number.to_string(), false);
            }
            _ => {}
        }
        if self.continues_string(gap, &token)? || self.is_unicode_name(gap, &token)? || self.escapes(&token)? {
            return Ok(());
        }
        self.read.push(token);
        Ok(())
    }

    /// `-+` is two operators: one of several characters ends in a sign only if it holds one of the rarer characters.
    fn operator(&mut self, symbols: &str, span: Span) -> Result<()> {
        let rare = symbols.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']);
        let operator = if rare { symbols } else { symbols.trim_end_matches(['+', '-']) };
        // At least its first character belongs to it.
        let first = symbols.chars().next().map_or(0, char::len_utf8);
        let (operator, signs) = symbols.split_at_checked(operator.len().max(first)).unwrap_or((symbols, ""));
        let dialect = BoundedPostgreSql::for_text(operator, 1);
        for token in Tokenizer::new(&dialect, operator).tokenize()? {
            self.read.push(TokenWithSpan { token, span });
        }
        for sign in signs.chars() {
            self.read.push(TokenWithSpan { token: if sign == '+' { Token::Plus } else { Token::Minus }, span });
        }
        Ok(())
    }

    /// `'a'` and `'b'` on the next line are `'ab'`.
    fn continues_string(&mut self, gap: Gap, token: &TokenWithSpan) -> Result<bool> {
        let (Gap::Line, Token::SingleQuotedString(more)) = (gap, &token.token) else { return Ok(false) };
        let Some(last) = self.read.last_mut() else { return Ok(false) };
        match &mut last.token {
            Token::SingleQuotedString(text)
            | Token::SingleQuotedByteStringLiteral(text)
            | Token::HexStringLiteral(text) => text.push_str(more),
            // A backslash would be an escape here, which the tokenizer did not know.
            Token::EscapedStringLiteral(_) | Token::UnicodeStringLiteral(_) if more.contains('\\') => {
                return Err(refusal("an escape in the continuation of a string", token.span));
            }
            Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => text.push_str(more),
            _ => return Ok(false),
        }
        last.span.end = token.span.end;
        Ok(true)
    }

    /// `U&"name"` reaches us as a word, an operator and a name.
    fn is_unicode_name(&mut self, gap: Gap, token: &TokenWithSpan) -> Result<bool> {
        let Token::Word(Word { quote_style: Some('"'), value, .. }) = &token.token else { return Ok(false) };
        let [.., first, sign] = self.read.as_slice() else { return Ok(false) };
        let prefix = matches!(&first.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("u"));
        let adjacent = gap == Gap::None && first.span.end == sign.span.start && sign.token == Token::Ampersand;
        if !prefix || !adjacent {
            return Ok(false);
        }
        let span = Span::new(first.span.start, token.span.end);
        let name = unescaped(value, '\\').ok_or_else(|| refusal("invalid Unicode escape", span))?;
        self.read.truncate(self.read.len() - 2);
        self.read.push(TokenWithSpan { token: Token::make_word(&name, Some('"')), span });
        Ok(true)
    }

    /// `UESCAPE '!'` changes how the string or name before it is read.
    fn escapes(&mut self, token: &TokenWithSpan) -> Result<bool> {
        let Token::SingleQuotedString(escape) = &token.token else { return Ok(false) };
        let [.., literal, keyword] = self.read.as_slice() else { return Ok(false) };
        let is_keyword = matches!(&keyword.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("uescape"));
        if !is_keyword {
            return Ok(false);
        }
        let is_string = matches!(literal.token, Token::UnicodeStringLiteral(_));
        let written = self.lines.between(literal.span.start, literal.span.end).unwrap_or_default();
        let Some(body) = written.strip_prefix(['u', 'U']).and_then(|body| body.strip_prefix('&')) else {
            return Ok(false);
        };
        let refused = || refusal("invalid Unicode escape", token.span);
        let mut characters = escape.chars();
        let (Some(escape), None) = (characters.next(), characters.next()) else { return Err(refused()) };
        if escape.is_ascii_hexdigit() || escape.is_whitespace() || ['+', '\'', '"'].contains(&escape) {
            return Err(refused());
        }
        let quote = if is_string { '\'' } else { '"' };
        let inner = body.strip_prefix(quote).and_then(|body| body.strip_suffix(quote)).ok_or_else(refused)?;
        // A continuation over several lines has quotes in its middle.
        let plain = inner.replace(&format!("{quote}{quote}"), "");
        if plain.contains(quote) {
            return Err(refused());
        }
        let value = inner.replace(&format!("{quote}{quote}"), &quote.to_string());
        let value = unescaped(&value, escape).ok_or_else(refused)?;
        let span = Span::new(literal.span.start, token.span.end);
        let read = if is_string { Token::UnicodeStringLiteral(value) } else { Token::make_word(&value, Some('"')) };
        self.read.truncate(self.read.len() - 2);
        self.read.push(TokenWithSpan { token: read, span });
        Ok(true)
    }
}

/// Whether the parser read `0x1F`, a number, and not `X'1F'`, a string: it is shorter by a character.
fn is_number(digits: &str, span: Span) -> bool {
    let length = u64::try_from(digits.len()).unwrap_or(u64::MAX);
    span.start.line == span.end.line && span.end.column.saturating_sub(span.start.column) == length.saturating_add(2)
}

/// Reads `\XXXX`, `\+XXXXXX` and `\\`, with surrogate pairs.
fn unescaped(text: &str, escape: char) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let push = |units: &mut Vec<u16>, character: char| units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != escape {
            push(&mut units, character);
            continue;
        }
        let mut ahead = rest.clone();
        match ahead.next()? {
            same if same == escape => {
                push(&mut units, escape);
                rest = ahead;
            }
            '+' => {
                let code = u32::from_str_radix(&digits(&mut ahead, 6)?, 16).ok()?;
                match char::from_u32(code) {
                    Some(character) => push(&mut units, character),
                    None => units.push(u16::try_from(code).ok()?),
                }
                rest = ahead;
            }
            _ => {
                units.push(u16::from_str_radix(&digits(&mut rest, 4)?, 16).ok()?);
            }
        }
    }
    String::from_utf16(&units).ok().filter(|text| !text.contains('\0'))
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize) -> Option<String> {
    let digits: String = rest.by_ref().take(count).collect();
    (digits.len() == count && digits.chars().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

fn refusal(what: &str, span: Span) -> ParserError {
    ParserError::TokenizerError(format!("{what} at Line: {}, Column: {}", span.start.line, span.start.column))
}
