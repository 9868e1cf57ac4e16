//! What an expression can begin with that the parser does not know, or reads differently.

use sqlparser::ast::{DataType, Expr, Ident, ObjectName, TrimWhereField, TypedString, UnaryOperator};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::{LIKE, Result, SIGN, call, expect, is_word, operator, take, xml};
use crate::statement::keywords::{Category, category};

/// Reads what an expression begins with; nothing where the parser's own reading is PostgreSQL's.
pub(in crate::statement) fn prefix(parser: &mut Parser) -> Option<Result<Expr>> {
    let sign = match &parser.peek_token_ref().token {
        Token::Plus => UnaryOperator::Plus,
        Token::Minus => UnaryOperator::Minus,
        Token::Word(word) => {
            let word = word.clone();
            return self::word(parser, &word);
        }
        Token::LParen | Token::SingleQuotedString(_) | Token::Number(..) | Token::Placeholder(_) => return None,
        _ => return operator::prefix(parser),
    };
    parser.advance_token();
    Some(parser.parse_subexpr(SIGN).map(|of| Expr::UnaryOp { op: sign, expr: Box::new(of) }))
}

fn word(parser: &mut Parser, word: &Word) -> Option<Result<Expr>> {
    if word.quote_style.is_none() && parser.peek_nth_token_ref(1).token == Token::LParen {
        let read = match word.value.to_ascii_lowercase().as_str() {
            "operator" => return operator::prefix(parser),
            "position" => return Some(position(parser)),
            "overlay" => return Some(overlay(parser)),
            "substring" => return Some(substring(parser)),
            "normalize" => return Some(normalize(parser)),
            "trim" => return Some(trim(parser)),
            "interval" => return interval(parser),
            name => xml::reader(name),
        };
        if let Some(read) = read {
            let first = parser.next_token();
            return Some(parser.expect_token(&Token::LParen).and_then(|_| read(parser, first.span)));
        }
    }
    if is_plain_name(parser, word) {
        let name = parser.next_token();
        return Some(Ok(Expr::Identifier(word.to_ident(name.span))));
    }
    if is_word(&parser.peek_token_ref().token, "collation") && is_word(&parser.peek_nth_token_ref(1).token, "for") {
        return Some(collation_for(parser));
    }
    typed_literal(parser, word)
}

/// Whether a word that the parser takes for syntax is a name, since nothing of that syntax follows.
fn is_plain_name(parser: &Parser, word: &Word) -> bool {
    let next = &parser.peek_nth_token_ref(1).token;
    match word.keyword {
        Keyword::EXISTS | Keyword::TRIM => *next != Token::LParen,
        Keyword::INTERVAL => !matches!(
            next,
            Token::LParen
                | Token::SingleQuotedString(_)
                | Token::EscapedStringLiteral(_)
                | Token::UnicodeStringLiteral(_)
                | Token::DollarQuotedString(_)
        ),
        _ => false,
    }
}

/// `type 'text'`, for every type that is named like a function; the parser knows the others.
fn typed_literal(parser: &mut Parser, first: &Word) -> Option<Result<Expr>> {
    let names_type = match category(first) {
        None | Some(Category::Unreserved | Category::Function) => true,
        Some(Category::Column | Category::Reserved) => first.value.eq_ignore_ascii_case("json"),
    };
    let token = |at: usize| &parser.peek_nth_token_ref(at).token;
    let qualified = *token(1) == Token::Period && matches!(token(2), Token::Word(_));
    let mut after = if qualified { 3 } else { 1 };
    let mut modifiers = Vec::new();
    if *token(after) == Token::LParen {
        after += 1;
        while let (Token::Number(digits, false), 0..2) = (token(after), modifiers.len()) {
            modifiers.push(digits.clone());
            after += 1;
            if *token(after) == Token::Comma {
                after += 1;
            }
        }
        if modifiers.is_empty() || *token(after) != Token::RParen {
            return None;
        }
        after += 1;
    }
    let text = matches!(
        token(after),
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::DollarQuotedString(_)
    );
    if !names_type || !text {
        return None;
    }
    let mut parts = vec![first.to_ident(parser.peek_token_ref().span)];
    if let (true, TokenWithSpan { token: Token::Word(word), span }) = (qualified, parser.peek_nth_token_ref(2)) {
        parts.push(word.to_ident(*span));
    }
    for _ in 0..after {
        parser.advance_token();
    }
    let data_type = DataType::Custom(ObjectName::from(parts), modifiers);
    Some(parser.parse_value().map(|value| Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })))
}

/// `POSITION(a IN b)`: what would bind as loosely as IN needs parentheses.
fn position(parser: &mut Parser) -> Result<Expr> {
    let first = open(parser)?;
    let what = parser.parse_subexpr(LIKE)?;
    if parser.consume_token(&Token::Comma) {
        return further_arguments(parser, "position", vec![what], first);
    }
    parser.expect_keyword(Keyword::IN)?;
    let within = parser.parse_subexpr(LIKE)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Position { expr: Box::new(what), r#in: Box::new(within) })
}

/// `OVERLAY(text PLACING other FROM start FOR length)`, or a plain call.
fn overlay(parser: &mut Parser) -> Result<Expr> {
    let first = open(parser)?;
    let of = parser.parse_expr()?;
    if parser.consume_token(&Token::Comma) {
        return further_arguments(parser, "overlay", vec![of], first);
    }
    expect(parser, "placing")?;
    let what = parser.parse_expr()?;
    parser.expect_keyword(Keyword::FROM)?;
    let from = parser.parse_expr()?;
    let length = if parser.parse_keyword(Keyword::FOR) { Some(Box::new(parser.parse_expr()?)) } else { None };
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Overlay {
        expr: Box::new(of),
        overlay_what: Box::new(what),
        overlay_from: Box::new(from),
        overlay_for: length,
    })
}

/// `SUBSTRING(text FROM start FOR length)`, `SUBSTRING(text SIMILAR pattern ESCAPE escape)`, or a plain call.
fn substring(parser: &mut Parser) -> Result<Expr> {
    let first = open(parser)?;
    let of = parser.parse_expr()?;
    if parser.consume_token(&Token::Comma) {
        return further_arguments(parser, "substring", vec![of], first);
    }
    if take(parser, "similar") {
        let pattern = parser.parse_expr()?;
        expect(parser, "escape")?;
        return further_arguments(parser, "substring", vec![of, pattern], first);
    }
    let (mut from, mut length) = (None, None);
    while let Some(word) = parser.parse_one_of_keywords(&[Keyword::FROM, Keyword::FOR]) {
        let part = if word == Keyword::FROM { &mut from } else { &mut length };
        if part.replace(Box::new(parser.parse_expr()?)).is_some() {
            return parser.expected(")", parser.peek_token());
        }
    }
    parser.expect_token(&Token::RParen)?;
    if from.is_none() && length.is_none() {
        return Ok(call(name("substring", first), vec![of]));
    }
    Ok(Expr::Substring {
        expr: Box::new(of),
        substring_from: from,
        substring_for: length,
        special: false,
        shorthand: false,
    })
}

/// `TRIM(LEADING what FROM text)` with everything but the text left out or not, or a plain call.
fn trim(parser: &mut Parser) -> Result<Expr> {
    open(parser)?;
    let side = match parser.parse_one_of_keywords(&[Keyword::BOTH, Keyword::LEADING, Keyword::TRAILING]) {
        Some(Keyword::LEADING) => Some(TrimWhereField::Leading),
        Some(Keyword::TRAILING) => Some(TrimWhereField::Trailing),
        _ => None,
    };
    let what = if parser.peek_keyword(Keyword::FROM) { None } else { Some(parser.parse_expr()?) };
    let (trim_what, of) = match (parser.parse_keyword(Keyword::FROM), what) {
        (true, what) => (what.map(Box::new), parser.parse_expr()?),
        (false, Some(of)) => (None, of),
        (false, None) => return parser.expected("an expression", parser.peek_token()),
    };
    let characters = match parser.consume_token(&Token::Comma) {
        true => Some(vec![parser.parse_expr()?]),
        false => None,
    };
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim { expr: Box::new(of), trim_where: side, trim_what, trim_characters: characters })
}

/// `INTERVAL(3) 'text'`: the parser would forget the digits.
fn interval(parser: &mut Parser) -> Option<Result<Expr>> {
    let tokens = [2, 3, 4].map(|at| parser.peek_nth_token_ref(at).token.clone());
    let [Token::Number(digits, false), Token::RParen, Token::SingleQuotedString(_)] = tokens else { return None };
    let precision = digits.parse().ok();
    for _ in 0..4 {
        parser.advance_token();
    }
    let data_type = DataType::Interval { fields: None, precision };
    Some(parser.parse_value().map(|value| Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })))
}

/// Takes a word and the parenthesis behind it.
fn open(parser: &mut Parser) -> Result<Span> {
    let first = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    Ok(first.span)
}

fn name(text: &str, span: Span) -> Ident {
    Ident::with_quote_and_span('"', span, text)
}

/// The rest of a plain call.
fn further_arguments(parser: &mut Parser, function: &str, mut arguments: Vec<Expr>, span: Span) -> Result<Expr> {
    arguments.extend(parser.parse_comma_separated(Parser::parse_expr)?);
    parser.expect_token(&Token::RParen)?;
    Ok(call(name(function, span), arguments))
}

/// `NORMALIZE(text, NFC)`: the form is a word, and to the function a string.
fn normalize(parser: &mut Parser) -> Result<Expr> {
    let first = open(parser)?;
    let mut arguments = vec![parser.parse_expr()?];
    if parser.consume_token(&Token::Comma) {
        let form = parser.next_token();
        let known = ["NFC", "NFD", "NFKC", "NFKD"].into_iter().find(|known| is_word(&form.token, known));
        let Some(known) = known else { return parser.expected("a normalization form", form) };
        arguments.push(Expr::Value(sqlparser::ast::Value::SingleQuotedString(known.to_owned()).with_span(form.span)));
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(name("normalize", first), arguments))
}

/// `COLLATION FOR (value)`.
fn collation_for(parser: &mut Parser) -> Result<Expr> {
    let first = parser.next_token();
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let of = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(name("pg_collation_for", first.span), vec![of]))
}
