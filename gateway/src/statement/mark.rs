//! Marks: how what PostgreSQL has, and the parser's tree has no node for, passes through the parser.
//!
//! A mark is a word in quotes that no client can write: the tokenizer knows only `"` as a quote of names. Wherever a
//! mark is not expected it is refused like every name in foreign quotes, so one that ends up in the wrong place is an
//! error and never a name.

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

const QUOTE: char = '`';
/// Stands between the parts of a mark. No text with a zero byte comes this far.
const BETWEEN: char = '\0';

/// A mark as a token, with what it carries.
pub(super) fn token(kind: &str, parts: &[&str], span: Span) -> TokenWithSpan {
    let value = std::iter::once(&kind).chain(parts).copied().collect::<Vec<_>>().join(&BETWEEN.to_string());
    TokenWithSpan { token: Token::Word(Word { value, quote_style: Some(QUOTE), keyword: Keyword::NoKeyword }), span }
}

/// A mark as a name in the parser's tree.
pub(super) fn ident(kind: &str, span: Span) -> Ident {
    Ident::with_quote_and_span(QUOTE, span, kind)
}

/// What a mark says, and what it carries; nothing where the name is no mark.
pub(super) fn read(ident: &Ident) -> Option<(&str, Vec<&str>)> {
    if ident.quote_style != Some(QUOTE) {
        return None;
    }
    let mut parts = ident.value.split(BETWEEN);
    parts.next().map(|kind| (kind, parts.collect()))
}

/// Whether a name is the mark of this kind.
pub(super) fn is(ident: &Ident, kind: &str) -> bool {
    read(ident).is_some_and(|(found, _)| found == kind)
}
