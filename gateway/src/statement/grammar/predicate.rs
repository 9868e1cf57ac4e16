//! Predicates made of words that the parser does not know, or reads differently; AT LOCAL, and COLLATE behind a cast.

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{IS, LIKE, Result, call, expect, is_word, marked, operator, take};

/// The mark of `IS test`, before the test.
pub(in crate::statement) const IS_TEST: &str = "is ";
/// The mark of `IS NOT test`, before the test.
pub(in crate::statement) const IS_NOT_TEST: &str = "is not ";
/// The mark of BETWEEN SYMMETRIC.
pub(in crate::statement) const SYMMETRIC: &str = "between symmetric";
/// The mark of NOT BETWEEN SYMMETRIC.
pub(in crate::statement) const NOT_SYMMETRIC: &str = "not between symmetric";

/// Whether the predicate that comes next is read here.
pub(super) fn is_own(parser: &Parser) -> bool {
    let word = |at: usize| &parser.peek_nth_token_ref(at).token;
    let negated = |at: usize| usize::from(is_word(word(at), "not"));
    match word(negated(0)) {
        token if is_word(token, "isnull") => true,
        Token::Word(first) => match first.keyword {
            Keyword::IS => ["distinct", "document", "json"].iter().any(|test| is_word(word(1 + negated(1)), test)),
            Keyword::BETWEEN => ["symmetric", "asymmetric"].iter().any(|kind| is_word(word(1 + negated(0)), kind)),
            Keyword::LIKE | Keyword::ILIKE => operator::quantifier_at(parser, 1 + negated(0)).is_some(),
            Keyword::AT => is_word(word(1), "local"),
            _ => false,
        },
        _ => false,
    }
}

/// `IS [NOT] DISTINCT FROM`, `IS [NOT] DOCUMENT`, `IS [NOT] JSON`, and ISNULL.
pub(super) fn is(parser: &mut Parser, left: Expr) -> Result<Expr> {
    let first = parser.next_token();
    if is_word(&first.token, "isnull") {
        return Ok(Expr::IsNull(Box::new(left)));
    }
    let negated = parser.parse_keyword(Keyword::NOT);
    if parser.parse_keyword(Keyword::DISTINCT) {
        parser.expect_keyword(Keyword::FROM)?;
        let (left, right) = (Box::new(left), Box::new(parser.parse_subexpr(IS)?));
        return Ok(if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) });
    }
    let mark = format!("{}{}", if negated { IS_NOT_TEST } else { IS_TEST }, test(parser)?);
    Ok(marked(&mark, vec![left], first.span))
}

/// DOCUMENT, or JSON with what it is asked for.
fn test(parser: &mut Parser) -> Result<String> {
    if take(parser, "document") {
        return Ok("DOCUMENT".to_owned());
    }
    expect(parser, "json")?;
    let kind = ["value", "array", "object", "scalar"].into_iter().find(|kind| take(parser, kind));
    let test = kind.map_or_else(|| "JSON".to_owned(), |kind| format!("JSON {}", kind.to_ascii_uppercase()));
    let keys = |parser: &mut Parser| -> Result<()> {
        expect(parser, "unique")?;
        take(parser, "keys");
        Ok(())
    };
    if take(parser, "with") {
        keys(parser)?;
        return Ok(format!("{test} WITH UNIQUE KEYS"));
    }
    if take(parser, "without") {
        keys(parser)?;
    }
    Ok(test)
}

/// BETWEEN SYMMETRIC; LIKE and ILIKE with ANY or ALL.
pub(super) fn like(parser: &mut Parser, left: Expr) -> Result<Expr> {
    let negated = parser.parse_keyword(Keyword::NOT);
    if parser.parse_keyword(Keyword::BETWEEN) {
        return between(parser, left, negated);
    }
    let any_case = parser.parse_keyword(Keyword::ILIKE);
    if !any_case {
        parser.expect_keyword(Keyword::LIKE)?;
    }
    let symbols = match (any_case, negated) {
        (false, false) => "~~",
        (false, true) => "!~~",
        (true, false) => "~~*",
        (true, true) => "!~~*",
    };
    match operator::quantifier(parser) {
        Some(all) => operator::quantified(parser, left, BinaryOperator::Custom(symbols.to_owned()), all),
        None => parser.expected("ANY or ALL", parser.peek_token()),
    }
}

fn between(parser: &mut Parser, left: Expr, negated: bool) -> Result<Expr> {
    let span = parser.peek_token_ref().span;
    let symmetric = take(parser, "symmetric");
    if !symmetric {
        take(parser, "asymmetric");
    }
    let low = parser.parse_subexpr(LIKE)?;
    parser.expect_keyword(Keyword::AND)?;
    let high = parser.parse_subexpr(LIKE)?;
    Ok(match (symmetric, negated) {
        (true, true) => marked(NOT_SYMMETRIC, vec![left, low, high], span),
        (true, false) => marked(SYMMETRIC, vec![left, low, high], span),
        (false, negated) => Expr::Between { expr: Box::new(left), negated, low: Box::new(low), high: Box::new(high) },
    })
}

/// `AT LOCAL` is a call of timezone() with one argument.
pub(super) fn at_local(parser: &mut Parser, left: Expr) -> Result<Expr> {
    parser.advance_token();
    let local = parser.next_token();
    Ok(call(sqlparser::ast::Ident::with_span(local.span, "timezone"), vec![left]))
}

/// `COLLATE name` behind a cast; behind anything else the parser reads it itself.
pub(super) fn collate(parser: &mut Parser, left: Expr) -> Result<Expr> {
    parser.advance_token();
    Ok(Expr::Collate { expr: Box::new(left), collation: parser.parse_object_name(false)? })
}
