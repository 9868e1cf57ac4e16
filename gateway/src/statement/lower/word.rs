//! Names and literals: the leaves of the tree, where a client's characters become values.

use passgate_policy::Place;
use sqlparser::ast as sql;

use super::{Error, Result, place};
use crate::statement::tree::{Literal, Name, Path};
use crate::statement::{keywords, types};

/// PostgreSQL's limit on identifiers (NAMEDATALEN - 1); it cuts longer ones, we refuse them.
const NAME_BYTES_MAX: usize = 63;

/// The value of a literal; `None` for kinds PostgreSQL does not have.
pub(super) fn literal(value: &sql::Value, at: Place) -> Result<Option<Literal>> {
    Ok(Some(match value {
        sql::Value::Null => Literal::Null,
        sql::Value::Boolean(value) => Literal::Boolean(*value),
        sql::Value::Number(digits, false) => Literal::Number(types::number(digits, at)?),
        sql::Value::SingleQuotedString(text)
        | sql::Value::EscapedStringLiteral(text)
        | sql::Value::UnicodeStringLiteral(text) => string(text, at)?,
        sql::Value::DollarQuotedString(sql::DollarQuotedString { value, tag: _ }) => string(value, at)?,
        sql::Value::SingleQuotedByteStringLiteral(digits) => {
            if !digits.chars().all(|digit| matches!(digit, '0' | '1')) {
                return Err(Error::syntax("a bit string with digits other than 0 and 1", at));
            }
            Literal::Bits(digits.clone())
        }
        sql::Value::HexStringLiteral(digits) => {
            if !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(Error::syntax("a hexadecimal string with other digits", at));
            }
            Literal::Hexadecimal(digits.clone())
        }
        sql::Value::Number(_, true)
        | sql::Value::TripleSingleQuotedString(_)
        | sql::Value::TripleDoubleQuotedString(_)
        | sql::Value::DoubleQuotedByteStringLiteral(_)
        | sql::Value::TripleSingleQuotedByteStringLiteral(_)
        | sql::Value::TripleDoubleQuotedByteStringLiteral(_)
        | sql::Value::SingleQuotedRawStringLiteral(_)
        | sql::Value::DoubleQuotedRawStringLiteral(_)
        | sql::Value::TripleSingleQuotedRawStringLiteral(_)
        | sql::Value::TripleDoubleQuotedRawStringLiteral(_)
        | sql::Value::NationalStringLiteral(_)
        | sql::Value::QuoteDelimitedStringLiteral(_)
        | sql::Value::NationalQuoteDelimitedStringLiteral(_)
        | sql::Value::DoubleQuotedString(_)
        | sql::Value::Placeholder(_) => return Ok(None),
    }))
}

pub(super) fn string(text: &str, at: Place) -> Result<Literal> {
    if text.contains('\0') {
        return Err(Error::syntax("a string with a zero byte", at));
    }
    Ok(Literal::String(text.to_owned()))
}

/// Folds an identifier as PostgreSQL does: unquoted ones lose their upper case, in ASCII only.
pub(in crate::statement) fn name(ident: &sql::Ident) -> Result<Name> {
    let sql::Ident { value, quote_style, span } = ident;
    let at = place(*span);
    let text = match quote_style {
        None => value.to_ascii_lowercase(),
        Some('"') => value.clone(),
        Some(_) => return Err(Error::syntax("a name in quotes other than \"", at)),
    };
    if text.is_empty() {
        return Err(Error::syntax("an empty name", at));
    }
    if text.contains('\0') {
        return Err(Error::syntax("a name with a zero byte", at));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::name_too_long(NAME_BYTES_MAX, at));
    }
    Ok(Name { text, at })
}

pub(in crate::statement) fn path(object: &sql::ObjectName) -> Result<Path> {
    object
        .0
        .iter()
        .map(|part| match part {
            sql::ObjectNamePart::Identifier(ident) => name(ident),
            sql::ObjectNamePart::Function(function) => {
                Err(Error::unsupported("a name that is a call", place(function.name.span)))
            }
        })
        .collect::<Result<_>>()
        .map(Path)
}

/// Refuses a word that PostgreSQL takes for a name in quotes only.
pub(super) fn unreserved(ident: &sql::Ident) -> Result<()> {
    match keywords::is_reserved(ident) {
        true => Err(Error::syntax(&format!("\"{}\" is a reserved word", ident.value), place(ident.span))),
        false => Ok(()),
    }
}
