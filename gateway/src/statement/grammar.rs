//! Expressions as PostgreSQL's grammar reads them.
//!
//! The parser's own reading differs from PostgreSQL's in places where both accept a text: `- 2 ^ 2`, `@ a + b`,
//! `a ~ b || c` and `a IS DISTINCT FROM b AND c` would each compute something else. So operators, their precedence and
//! the predicates are read here, by the table of `gram.y`; the parser keeps the operands.
//! Source: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-PRECEDENCE> and PostgreSQL's `gram.y`.

mod operator;
mod predicate;
mod prefix;
mod xml;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, Word};

use super::mark;

pub(super) use predicate::{IS_NOT_TEST, IS_TEST, NOT_SYMMETRIC, SYMMETRIC};
pub(super) use prefix::prefix;
pub(super) use xml::{NAMED, XML};

type Result<T> = std::result::Result<T, ParserError>;

/// What cannot follow an operand.
const NOTHING: u8 = 0;
const OR: u8 = 10;
const AND: u8 = 20;
const IS: u8 = 40;
const COMPARISON: u8 = 50;
const LIKE: u8 = 60;
const OPERATOR: u8 = 70;
const ADDITION: u8 = 80;
const MULTIPLICATION: u8 = 90;
const POWER: u8 = 100;
const AT: u8 = 110;
const COLLATE: u8 = 120;
const SIGN: u8 = 125;
const SUBSCRIPT: u8 = 130;
const CAST: u8 = 140;
const PERIOD: u8 = 200;

/// How tightly the next token binds what stands before it.
pub(super) fn precedence(parser: &Parser) -> u8 {
    match &parser.peek_token_ref().token {
        Token::Word(word) => word_precedence(word, parser),
        Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => COMPARISON,
        Token::Plus | Token::Minus => ADDITION,
        Token::Mul | Token::Div | Token::Mod => MULTIPLICATION,
        Token::Caret => POWER,
        Token::LBracket => SUBSCRIPT,
        Token::DoubleColon => CAST,
        Token::Period => PERIOD,
        token if operator::symbols(token).is_some() => OPERATOR,
        _ => NOTHING,
    }
}

fn word_precedence(word: &Word, parser: &Parser) -> u8 {
    let next = |at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    match word.keyword {
        Keyword::OR => OR,
        Keyword::AND => AND,
        Keyword::IS | Keyword::NOTNULL => IS,
        Keyword::BETWEEN | Keyword::IN | Keyword::LIKE | Keyword::ILIKE | Keyword::OVERLAPS => LIKE,
        Keyword::SIMILAR if next(1) == Keyword::TO => LIKE,
        Keyword::NOT => match next(1) {
            Keyword::BETWEEN | Keyword::IN | Keyword::LIKE | Keyword::ILIKE | Keyword::SIMILAR => LIKE,
            _ => NOTHING,
        },
        Keyword::AT if next(1) == Keyword::TIME && next(2) == Keyword::ZONE => AT,
        Keyword::AT if next(1) == Keyword::LOCAL => AT,
        Keyword::COLLATE => COLLATE,
        Keyword::OPERATOR if parser.peek_nth_token_ref(1).token == Token::LParen => OPERATOR,
        Keyword::NoKeyword if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull") => IS,
        _ => NOTHING,
    }
}

/// Whether what follows an operand is read here. The parser's own reading is PostgreSQL's for the rest, and cheaper:
/// it need not copy the operand.
pub(super) fn reads_infix(parser: &Parser, precedence: u8) -> bool {
    match precedence {
        COMPARISON | OPERATOR | ADDITION | MULTIPLICATION | POWER => operator::is_quantified(parser),
        IS | LIKE | AT => predicate::is_own(parser),
        COLLATE => true,
        _ => false,
    }
}

/// Whether what stands before an operator ends in one that may not be followed by another of its kind: `a < b < c`.
/// Parentheses around the first make it an operand.
pub(super) fn chains(left: &Expr, precedence: u8) -> bool {
    use sqlparser::ast::BinaryOperator as B;
    let kind = match left {
        Expr::BinaryOp { op: B::Eq | B::NotEq | B::Lt | B::Gt | B::LtEq | B::GtEq, .. } => COMPARISON,
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsNormalized { .. } => IS,
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. } => LIKE,
        _ => return false,
    };
    kind == precedence
}

/// Reads what follows an operand.
pub(super) fn infix(parser: &mut Parser, left: Expr, precedence: u8) -> Result<Expr> {
    match precedence {
        IS => predicate::is(parser, left),
        LIKE => predicate::like(parser, left),
        AT => predicate::at_local(parser, left),
        COLLATE => predicate::collate(parser, left),
        _ => operator::infix(parser, left),
    }
}

/// A call with nothing but arguments.
fn call(name: Ident, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|of| FunctionArg::Unnamed(FunctionArgExpr::Expr(of))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// An expression that the parser's tree has no node for: a call of a mark.
fn marked(kind: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    call(mark::ident(kind, span), arguments)
}

/// Takes the next token where it is this word.
fn take(parser: &mut Parser, word: &str) -> bool {
    let found = is_word(&parser.peek_token_ref().token, word);
    if found {
        parser.advance_token();
    }
    found
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

fn expect(parser: &mut Parser, word: &str) -> Result<()> {
    if take(parser, word) { Ok(()) } else { parser.expected(word, parser.peek_token()) }
}
