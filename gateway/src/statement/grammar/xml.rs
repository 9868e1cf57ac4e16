//! The functions of XML whose arguments are syntax. They pass the parser as calls of marks, which `lower` takes apart.
//! Source: <https://www.postgresql.org/docs/current/functions-xml.html>.

use sqlparser::ast::{DataType, Expr, TypedString, Value};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token};

use super::{COMPARISON, Result, expect, marked, take};

/// The marks of XML's functions begin with this.
pub(in crate::statement) const XML: &str = "xml ";
/// The mark of a value that gets a name: the second of two arguments, where AS gives one.
pub(in crate::statement) const NAMED: &str = "xml named";

/// Reads what stands behind the opening parenthesis.
type Reader = fn(&mut Parser, Span) -> Result<Expr>;

/// Who reads a function; nothing where the function is none of these.
pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "xmlelement" => element,
        "xmlforest" => forest,
        "xmlpi" => instruction,
        "xmlparse" => parse,
        "xmlroot" => root,
        "xmlserialize" => serialize,
        "xmlexists" => exists,
        _ => return None,
    })
}

fn element(parser: &mut Parser, span: Span) -> Result<Expr> {
    expect(parser, "name")?;
    let mut arguments = vec![label(parser)?];
    if parser.consume_token(&Token::Comma) {
        if take(parser, "xmlattributes") {
            parser.expect_token(&Token::LParen)?;
            arguments.extend(parser.parse_comma_separated(named)?);
            parser.expect_token(&Token::RParen)?;
            if parser.consume_token(&Token::Comma) {
                arguments.extend(parser.parse_comma_separated(Parser::parse_expr)?);
            }
        } else {
            arguments.extend(parser.parse_comma_separated(Parser::parse_expr)?);
        }
    }
    close(parser, "xml element", arguments, span)
}

fn forest(parser: &mut Parser, span: Span) -> Result<Expr> {
    let arguments = parser.parse_comma_separated(named)?;
    close(parser, "xml forest", arguments, span)
}

fn instruction(parser: &mut Parser, span: Span) -> Result<Expr> {
    expect(parser, "name")?;
    let mut arguments = vec![label(parser)?];
    if parser.consume_token(&Token::Comma) {
        arguments.push(parser.parse_expr()?);
    }
    close(parser, "xml instruction", arguments, span)
}

fn parse(parser: &mut Parser, span: Span) -> Result<Expr> {
    let kind = if document(parser)? { "xml parse document" } else { "xml parse content" };
    let of = parser.parse_expr()?;
    // What is said of blanks is what happens anyway.
    if take(parser, "strip") || take(parser, "preserve") {
        expect(parser, "whitespace")?;
    }
    close(parser, kind, vec![of], span)
}

fn root(parser: &mut Parser, span: Span) -> Result<Expr> {
    let mut arguments = vec![parser.parse_expr()?];
    parser.expect_token(&Token::Comma)?;
    expect(parser, "version")?;
    if take(parser, "no") {
        expect(parser, "value")?;
    } else {
        arguments.push(parser.parse_expr()?);
    }
    let mut kind = "xml root";
    if parser.consume_token(&Token::Comma) {
        expect(parser, "standalone")?;
        kind = if take(parser, "yes") {
            "xml root standalone"
        } else {
            expect(parser, "no")?;
            if take(parser, "value") { "xml root standalone unknown" } else { "xml root dependent" }
        };
    }
    close(parser, kind, arguments, span)
}

fn serialize(parser: &mut Parser, span: Span) -> Result<Expr> {
    let kind = if document(parser)? { "xml serialize document" } else { "xml serialize content" };
    let of = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let data_type = parser.parse_data_type()?;
    close(parser, kind, vec![of, of_type(data_type, span)], span)
}

fn exists(parser: &mut Parser, span: Span) -> Result<Expr> {
    let path = parser.parse_subexpr(COMPARISON)?;
    expect(parser, "passing")?;
    by_reference(parser)?;
    let document = parser.parse_subexpr(COMPARISON)?;
    by_reference(parser)?;
    close(parser, "xml exists", vec![path, document], span)
}

/// `BY REF` and `BY VALUE` mean nothing to PostgreSQL.
fn by_reference(parser: &mut Parser) -> Result<()> {
    if take(parser, "by") && !take(parser, "ref") {
        expect(parser, "value")?;
    }
    Ok(())
}

fn close(parser: &mut Parser, kind: &str, arguments: Vec<Expr>, span: Span) -> Result<Expr> {
    parser.expect_token(&Token::RParen)?;
    Ok(marked(kind, arguments, span))
}

/// Whether it is DOCUMENT, not CONTENT.
fn document(parser: &mut Parser) -> Result<bool> {
    let document = take(parser, "document");
    if !document {
        expect(parser, "content")?;
    }
    Ok(document)
}

/// A value, with the name that AS gives it, if it does.
fn named(parser: &mut Parser) -> Result<Expr> {
    let span = parser.peek_token_ref().span;
    let of = parser.parse_expr()?;
    let mut parts = vec![of];
    if parser.parse_keyword(Keyword::AS) {
        parts.push(label(parser)?);
    }
    Ok(marked(NAMED, parts, span))
}

/// A name as an argument.
fn label(parser: &mut Parser) -> Result<Expr> {
    parser.parse_identifier().map(Expr::Identifier)
}

/// A type as an argument: that of an empty string.
fn of_type(data_type: DataType, span: Span) -> Expr {
    let value = Value::SingleQuotedString(String::new()).with_span(span);
    Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
}
