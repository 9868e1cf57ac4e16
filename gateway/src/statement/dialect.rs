//! PostgreSQL's dialect, with a budget.
//!
//! Its hooks hand expressions to [`grammar`](super::grammar), and say what may be a name as
//! [`keywords`](super::keywords) does.
//!
//! The parser tries some constructs twice: it reads an argument as a named one and, where that fails, reads it again
//! as a plain one, at every level of nesting. Nested calls then cost two to the power of their depth. So this dialect
//! wraps the parser's own PostgreSQL dialect, leaves out the worst of these, and counts how often an expression is
//! begun: a text that takes many times its own length is refused. Where a text nests without any expression,
//! [`attempts`](super::attempts) refuses it before.

use std::any::TypeId;
use std::cell::Cell;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, visit_expressions};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

use super::{grammar, keywords};

const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// Expressions that may be begun whatever the text's length.
const EXPRESSIONS_MIN: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct BoundedPostgreSql {
    left: Cell<usize>,
}

impl BoundedPostgreSql {
    /// With so many times the usual budget.
    pub(super) fn for_text(text: &str, effort: usize) -> Self {
        let usual = EXPRESSIONS_MIN.saturating_add(text.len().saturating_mul(4));
        Self { left: Cell::new(usual.saturating_mul(effort)) }
    }

    /// Whether the budget was used up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
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
        grammar::prefix(parser)
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if grammar::chains(left, precedence) {
            let message = "two predicates in a row need parentheses".to_owned();
            return Some(Err(ParserError::ParserError(message)));
        }
        if !grammar::reads_infix(parser, precedence) {
            return None;
        }
        // The operand has to be copied, which costs what it is large.
        let _ = visit_expressions(left, |_| {
            self.left.set(self.left.get().saturating_sub(1));
            if self.is_exhausted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if self.is_exhausted() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        Some(grammar::infix(parser, left.clone(), precedence))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        Some(Ok(grammar::precedence(parser)))
    }

    fn is_column_alias(&self, keyword: &Keyword, _: &mut Parser) -> bool {
        keywords::may_be_bare_alias(*keyword)
    }

    fn is_table_alias(&self, keyword: &Keyword, _: &mut Parser) -> bool {
        keywords::may_be_table_alias(*keyword)
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

    /// `f(name := value)` is an old spelling of `f(name => value)`.
    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
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
