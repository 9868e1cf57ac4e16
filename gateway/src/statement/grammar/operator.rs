//! Operators between operands, and before them.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::{OPERATOR, Result};

/// An operator's characters, as PostgreSQL spells it; nothing where the token is no operator.
pub(super) fn symbols(token: &Token) -> Option<String> {
    match token {
        Token::DoubleEq
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Spaceship
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::Ampersand
        | Token::Pipe
        | Token::Caret
        | Token::Sharp
        | Token::DoubleSharp
        | Token::Tilde
        | Token::TildeAsterisk
        | Token::ExclamationMarkTilde
        | Token::ExclamationMarkTildeAsterisk
        | Token::DoubleTilde
        | Token::DoubleTildeAsterisk
        | Token::ExclamationMarkDoubleTilde
        | Token::ExclamationMarkDoubleTildeAsterisk
        | Token::ShiftLeft
        | Token::ShiftRight
        | Token::Overlap
        | Token::ExclamationMark
        | Token::DoubleExclamationMark
        | Token::AtSign
        | Token::CaretAt
        | Token::PGSquareRoot
        | Token::PGCubeRoot
        | Token::Arrow
        | Token::LongArrow
        | Token::HashArrow
        | Token::AtDashAt
        | Token::QuestionMarkDash
        | Token::AmpersandLeftAngleBracket
        | Token::AmpersandRightAngleBracket
        | Token::AmpersandLeftAngleBracketVerticalBar
        | Token::VerticalBarAmpersandRightAngleBracket
        | Token::TwoWayArrow
        | Token::LeftAngleBracketCaret
        | Token::RightAngleBracketCaret
        | Token::QuestionMarkSharp
        | Token::QuestionMarkDashVerticalBar
        | Token::QuestionMarkDoubleVerticalBar
        | Token::TildeEqual
        | Token::ShiftLeftVerticalBar
        | Token::VerticalBarShiftRight
        | Token::VerticalBarRightAngleBracket
        | Token::HashLongArrow
        | Token::AtArrow
        | Token::ArrowAt
        | Token::HashMinus
        | Token::AtQuestion
        | Token::AtAt
        | Token::Question
        | Token::QuestionAnd
        | Token::QuestionPipe
        | Token::CustomBinaryOperator(_) => Some(token.to_string()),
        _ => None,
    }
}

/// Whether ANY, SOME or ALL follows the next operator.
pub(super) fn is_quantified(parser: &Parser) -> bool {
    let after = match &parser.peek_token_ref().token {
        Token::Word(_) => {
            let closing = (3..=5).find(|at| parser.peek_nth_token_ref(*at).token == Token::RParen);
            closing.map_or(usize::MAX, |closing| closing + 1)
        }
        _ => 1,
    };
    after != usize::MAX && quantifier_at(parser, after).is_some()
}

/// `left operator ANY (...)`.
pub(super) fn infix(parser: &mut Parser, left: Expr) -> Result<Expr> {
    let op = BinaryOperator::Custom(operator(parser)?);
    match quantifier(parser) {
        Some(all) => quantified(parser, left, op, all),
        None => parser.expected("ANY or ALL", parser.peek_token()),
    }
}

/// ANY, SOME or ALL, where a parenthesis follows: whether it is ALL.
pub(super) fn quantifier_at(parser: &Parser, at: usize) -> Option<bool> {
    let Token::Word(word) = &parser.peek_nth_token_ref(at).token else { return None };
    let all = match word.keyword {
        Keyword::ANY | Keyword::SOME => false,
        Keyword::ALL => true,
        _ => return None,
    };
    (parser.peek_nth_token_ref(at + 1).token == Token::LParen).then_some(all)
}

/// Takes ANY, SOME or ALL.
pub(super) fn quantifier(parser: &mut Parser) -> Option<bool> {
    let all = quantifier_at(parser, 0)?;
    parser.advance_token();
    Some(all)
}

/// `ANY (query)` or `ANY (array)`, after the word.
pub(super) fn quantified(parser: &mut Parser, left: Expr, compare_op: BinaryOperator, all: bool) -> Result<Expr> {
    parser.expect_token(&Token::LParen)?;
    let query = parser.maybe_parse(|parser| {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Ok(query)
    })?;
    let right = match query {
        Some(query) => Expr::Subquery(query),
        None => {
            let array = parser.parse_expr()?;
            parser.expect_token(&Token::RParen)?;
            array
        }
    };
    let (left, right) = (Box::new(left), Box::new(right));
    Ok(match all {
        true => Expr::AllOp { left, compare_op, right },
        false => Expr::AnyOp { left, compare_op, right, is_some: false },
    })
}

/// An operator before its operand. The sign of a number is not one of these: it binds tighter.
pub(super) fn prefix(parser: &mut Parser) -> Option<Result<Expr>> {
    let token = &parser.peek_token_ref().token;
    let qualified = matches!(token, Token::Word(word) if word.keyword == Keyword::OPERATOR)
        && parser.peek_nth_token_ref(1).token == Token::LParen;
    if !qualified && symbols(token).is_none() {
        return None;
    }
    Some(operator(parser).and_then(|symbols| {
        let op = prefix_operator(&symbols)
            .ok_or_else(|| ParserError::ParserError(format!("{symbols} stands before no operand")))?;
        Ok(Expr::UnaryOp { op, expr: Box::new(parser.parse_subexpr(OPERATOR)?) })
    }))
}

fn prefix_operator(symbols: &str) -> Option<UnaryOperator> {
    Some(match symbols {
        "+" => UnaryOperator::Plus,
        "-" => UnaryOperator::Minus,
        "~" => UnaryOperator::BitwiseNot,
        "@" => UnaryOperator::PGAbs,
        "|/" => UnaryOperator::PGSquareRoot,
        "||/" => UnaryOperator::PGCubeRoot,
        "@-@" => UnaryOperator::AtDashAt,
        "@@" => UnaryOperator::DoubleAt,
        "#" => UnaryOperator::Hash,
        "?-" => UnaryOperator::QuestionDash,
        "?|" => UnaryOperator::QuestionPipe,
        "!!" => UnaryOperator::PGPrefixFactorial,
        _ => return None,
    })
}

/// Takes an operator, by its symbols or as `OPERATOR(pg_catalog.symbols)`. No other schema's can be meant.
fn operator(parser: &mut Parser) -> Result<String> {
    let token = parser.next_token();
    if let Some(symbols) = symbols(&token.token) {
        return Ok(symbols);
    }
    parser.expect_token(&Token::LParen)?;
    if super::take(parser, "pg_catalog") {
        parser.expect_token(&Token::Period)?;
    }
    let named = parser.next_token();
    let Some(symbols) = symbols(&named.token) else {
        return parser.expected("an operator of pg_catalog", named);
    };
    parser.expect_token(&Token::RParen)?;
    Ok(symbols)
}
