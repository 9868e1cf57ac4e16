//! PostgreSQL's dialect, with a budget, and with PostgreSQL's own order of operators.
//!
//! The parser tries some constructs twice: it reads an argument as a named one and, where that fails, reads it again
//! as a plain one, at every level of nesting. Nested calls then cost two to the power of their depth. So this dialect
//! wraps the parser's own PostgreSQL dialect, leaves out the worst of these, and counts how often an expression is
//! begun: a text that takes many times its own length is refused.
//!
//! It also reads some operators to another extent than PostgreSQL, and what is read otherwise than it was meant is
//! answered wrongly: `- 2 ^ 2` is 4, `@ -1 + 1` is 0, `a IS DISTINCT FROM b AND c` ends before the AND, and `~` is an
//! operator like any other, no comparison. Source:
//! <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/parser/gram.y>, from `%left UNION` on.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::{Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// Expressions that may be begun whatever the text's length.
const EXPRESSIONS_MIN: usize = 10_000;

/// How strongly a sign binds: more than `^`, AT TIME ZONE and COLLATE, less than `[` and `::`. The parser's own scale has
/// COLLATE at 120 and `[` at 130.
const SIGN: u8 = 120;

/// See the module.
#[derive(Debug)]
pub(super) struct BoundedPostgreSql {
    left: Cell<usize>,
}

impl BoundedPostgreSql {
    pub(super) fn for_text(text: &str) -> Self {
        Self { left: Cell::new(EXPRESSIONS_MIN.saturating_add(text.len().saturating_mul(4))) }
    }

    /// Whether the budget was used up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// An operator before its operand, and how strongly it binds.
    fn prefix_operator(&self, token: &Token) -> Option<(UnaryOperator, u8)> {
        let other = self.prec_value(Precedence::PgOther);
        Some(match token {
            Token::Minus => (UnaryOperator::Minus, SIGN),
            Token::Plus => (UnaryOperator::Plus, SIGN),
            Token::Tilde => (UnaryOperator::BitwiseNot, other),
            Token::AtSign => (UnaryOperator::PGAbs, other),
            Token::PGSquareRoot => (UnaryOperator::PGSquareRoot, other),
            Token::PGCubeRoot => (UnaryOperator::PGCubeRoot, other),
            Token::Sharp => (UnaryOperator::Hash, other),
            Token::AtDashAt => (UnaryOperator::AtDashAt, other),
            Token::AtAt => (UnaryOperator::DoubleAt, other),
            Token::QuestionMarkDash => (UnaryOperator::QuestionDash, other),
            Token::QuestionPipe => (UnaryOperator::QuestionPipe, other),
            _ => return None,
        })
    }
}

/// Passes methods on to the parser's PostgreSQL dialect.
macro_rules! as_postgresql {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $answer {
            POSTGRESQL.$name($($argument),*)
        })*
    };
}

impl Dialect for BoundedPostgreSql {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    /// Called where an expression begins. This error is the one kind that the parser does not try again after.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        self.left.set(self.left.get().saturating_sub(1));
        if self.is_exhausted() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        let (op, strength) = self.prefix_operator(&parser.peek_token_ref().token)?;
        parser.advance_token();
        Some(parser.parse_subexpr(strength).map(|of| Expr::UnaryOp { op, expr: Box::new(of) }))
    }

    /// The other side of IS DISTINCT FROM ends where that of any IS would.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        let make = if parser.parse_keywords(&[IS, DISTINCT, FROM]) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            Expr::IsNotDistinctFrom
        } else {
            return None;
        };
        if matches!(left, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)) {
            // Nor does PostgreSQL read a chain of them, and each would copy all that stands before it.
            return Some(Err(ParserError::ParserError("IS DISTINCT FROM after another needs parentheses".to_owned())));
        }
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| make(Box::new(left.clone()), Box::new(right))))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk => Some(Ok(self.prec_value(Precedence::PgOther))),
            Token::Word(word) if word.keyword == Keyword::OPERATOR => Some(Ok(self.prec_value(Precedence::PgOther))),
            _ => POSTGRESQL.get_next_precedence(parser),
        }
    }

    /// An operator with a slash could swallow the comment behind it; PostgreSQL has none but `|/` and `||/`, which the
    /// tokenizer knows by themselves.
    fn is_custom_operator_part(&self, character: char) -> bool {
        character != '/' && POSTGRESQL.is_custom_operator_part(character)
    }

    /// Tries every argument twice: see the module. Names before `=>` are read without it.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    as_postgresql! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(character: char) -> bool;
        is_identifier_start(character: char) -> bool;
        is_identifier_part(character: char) -> bool;
        supports_unicode_string_literal() -> bool;
        is_reserved_for_identifier(keyword: Keyword) -> bool;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        prec_value(precedence: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_empty_projections() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
        supports_comment_optimizer_hint() -> bool;
    }
}
