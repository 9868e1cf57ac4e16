//! Which statement is which: reads, session statements, and everything else by its name.

use passgate_connectors::{Control, Isolation};
use passgate_policy::{Place, Write};
use sqlparser::ast::{self as sql, Spanned};
use std::sync::Arc;

use super::lower::{self, Lowering, place};
use super::{Error, ExplainOptions, Kind};

type Result<T> = std::result::Result<T, Error>;

pub(super) fn classify(statement: &sql::Statement, lowering: &mut Lowering) -> Result<Kind> {
    let at = place(statement.span());
    match statement {
        sql::Statement::Query(query) => query_kind(query, lowering),
        sql::Statement::Explain {
            describe_alias,
            analyze,
            verbose,
            query_plan,
            estimate,
            statement,
            format,
            options,
        } => {
            if *describe_alias != sql::DescribeAlias::Explain || *query_plan || *estimate {
                return Err(Error::unsupported("this form of EXPLAIN", at));
            }
            let options = explain_options(*analyze, *verbose, format.as_ref(), options.as_deref(), at)?;
            match classify(statement, lowering)? {
                Kind::Query(query) => Ok(Kind::Explain(query, options)),
                Kind::Write => Ok(Kind::Write),
                _ => Err(Error::unsupported("EXPLAIN of anything but a query", at)),
            }
        }
        sql::Statement::Set(set) => set_kind(set, at),
        sql::Statement::Reset(sql::ResetStatement { reset }) => match reset {
            sql::Reset::ALL => Ok(Kind::Reset(None)),
            sql::Reset::ConfigurationParameter(name) => Ok(Kind::Reset(Some(setting_name(name)?))),
        },
        sql::Statement::ShowVariable { variable } => {
            let words = variable.iter().map(lower::name).collect::<Result<Vec<_>>>()?;
            Ok(Kind::Show(show_name(&words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>())))
        }
        sql::Statement::StartTransaction {
            modes,
            begin: _,
            transaction: _,
            modifier,
            statements,
            exception,
            has_end_keyword,
        } => {
            if modifier.is_some() || !statements.is_empty() || exception.is_some() || *has_end_keyword {
                return Err(Error::unsupported("this form of BEGIN", at));
            }
            transaction_modes(modes, at).map(|isolation| Kind::Transaction(Control::Begin { isolation }))
        }
        sql::Statement::Commit { chain: false, end: _, modifier: None } => Ok(Kind::Transaction(Control::Commit)),
        sql::Statement::Rollback { chain: false, savepoint: None } => Ok(Kind::Transaction(Control::Rollback)),
        sql::Statement::Rollback { chain: false, savepoint: Some(name) } => {
            Ok(Kind::Transaction(Control::RollbackTo(lower::name(name)?.text)))
        }
        sql::Statement::Commit { .. } | sql::Statement::Rollback { .. } => Err(Error::unsupported("AND CHAIN", at)),
        sql::Statement::Savepoint { name } => Ok(Kind::Transaction(Control::Savepoint(lower::name(name)?.text))),
        sql::Statement::ReleaseSavepoint { name } => Ok(Kind::Transaction(Control::Release(lower::name(name)?.text))),
        sql::Statement::Deallocate { name, prepare: _ } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Ok(Kind::Deallocate(if all { None } else { Some(lower::name(name)?.text) }))
        }
        sql::Statement::Discard { object_type: sql::DiscardObject::ALL } => Ok(Kind::DiscardAll),
        other => other_kind(other, lowering, at),
    }
}

fn query_kind(query: &sql::Query, lowering: &mut Lowering) -> Result<Kind> {
    Ok(Kind::Query(Arc::new(lowering.query(query)?)))
}

/// Statements that write, define, call or lock are denied by the policy, by their name; the rest is refused here.
fn other_kind(statement: &sql::Statement, lowering: &mut Lowering, at: Place) -> Result<Kind> {
    use sql::Statement as S;
    let command = match statement {
        S::Insert(_) => "INSERT",
        S::Update(_) => "UPDATE",
        S::Delete(_) => "DELETE",
        S::Merge(_) => "MERGE",
        S::Truncate(_) => "TRUNCATE",
        S::Call(_) => "CALL",
        S::Copy { to: false, .. } => "COPY FROM",
        S::CreateView(_) => "CREATE VIEW",
        S::CreateTable(_) => "CREATE TABLE",
        S::CreateIndex(_) => "CREATE INDEX",
        S::CreateRole(_) => "CREATE ROLE",
        S::CreateServer(_) => "CREATE SERVER",
        S::CreatePolicy(_) => "CREATE POLICY",
        S::CreateOperator(_) => "CREATE OPERATOR",
        S::CreateExtension(_) => "CREATE EXTENSION",
        S::CreateSchema { .. } => "CREATE SCHEMA",
        S::CreateDatabase { .. } => "CREATE DATABASE",
        S::CreateFunction(_) => "CREATE FUNCTION",
        S::CreateProcedure { .. } => "CREATE PROCEDURE",
        S::CreateTrigger(_) => "CREATE TRIGGER",
        S::CreateSequence { .. } => "CREATE SEQUENCE",
        S::CreateDomain(_) => "CREATE DOMAIN",
        S::CreateType { .. } => "CREATE TYPE",
        S::CreateUser(_) => "CREATE USER",
        S::AlterTable(_) => "ALTER TABLE",
        S::AlterSchema(_) => "ALTER SCHEMA",
        S::AlterIndex { .. } => "ALTER INDEX",
        S::AlterView { .. } => "ALTER VIEW",
        S::AlterFunction(_) => "ALTER FUNCTION",
        S::AlterType(_) => "ALTER TYPE",
        S::AlterRole { .. } => "ALTER ROLE",
        S::AlterPolicy(_) => "ALTER POLICY",
        S::AlterUser(_) => "ALTER USER",
        S::Drop { .. } => "DROP",
        S::DropFunction(_) => "DROP FUNCTION",
        S::DropProcedure { .. } => "DROP PROCEDURE",
        S::DropPolicy(_) => "DROP POLICY",
        S::DropTrigger(_) => "DROP TRIGGER",
        S::DropDomain(_) => "DROP DOMAIN",
        S::DropExtension(_) => "DROP EXTENSION",
        S::DropOperator(_) => "DROP OPERATOR",
        S::Comment { .. } => "COMMENT",
        S::Grant(_) => "GRANT",
        S::Revoke(_) => "REVOKE",
        S::Lock(_) | S::LockTables { .. } => "LOCK",
        S::Vacuum(_) => "VACUUM",
        S::Analyze(_) => "ANALYZE",
        S::NOTIFY { .. } => "NOTIFY",
        S::Load { .. } => "LOAD",
        _ => return Err(unsupported_statement(statement, at)),
    };
    lowering.writes.push(Write { command, at });
    Ok(Kind::Write)
}

fn unsupported_statement(statement: &sql::Statement, at: Place) -> Error {
    let text = statement.to_string();
    let words = text.split_whitespace().take(1).collect::<Vec<_>>().join(" ");
    let word: String = words.chars().filter(char::is_ascii_alphabetic).take(30).collect();
    Error::unsupported(&word.to_ascii_uppercase(), at)
}

fn explain_options(
    analyze: bool,
    verbose: bool,
    format: Option<&sql::AnalyzeFormatKind>,
    options: Option<&[sql::UtilityOption]>,
    at: Place,
) -> Result<ExplainOptions> {
    if analyze {
        return Err(Error::unsupported("EXPLAIN ANALYZE", at));
    }
    let mut chosen = ExplainOptions { verbose, format: None };
    if let Some(format) = format {
        let (sql::AnalyzeFormatKind::Keyword(format) | sql::AnalyzeFormatKind::Assignment(format)) = format;
        chosen.format = Some(explain_format(&format.to_string(), at)?);
    }
    for sql::UtilityOption { name, arg } in options.unwrap_or_default() {
        let name = lower::name(name)?.text;
        let value = arg.as_ref().map(|arg| arg.to_string().trim_matches('\'').to_ascii_lowercase());
        let on = match value.as_deref() {
            None | Some("true" | "on" | "1") => Some(true),
            Some("false" | "off" | "0") => Some(false),
            Some(_) => None,
        };
        match (name.as_str(), on) {
            ("format", _) => chosen.format = Some(explain_format(value.as_deref().unwrap_or_default(), at)?),
            ("verbose", Some(on)) => chosen.verbose = on,
            ("costs", Some(true)) | ("analyze", Some(false)) => {}
            _ => return Err(Error::unsupported(&format!("EXPLAIN with option \"{name}\""), at)),
        }
    }
    Ok(chosen)
}

fn explain_format(format: &str, at: Place) -> Result<&'static str> {
    ["TEXT", "JSON", "XML", "YAML"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(format))
        .ok_or_else(|| Error::unsupported("this EXPLAIN format", at))
}

fn transaction_modes(modes: &[sql::TransactionMode], at: Place) -> Result<Option<Isolation>> {
    let mut isolation = None;
    for mode in modes {
        match mode {
            sql::TransactionMode::AccessMode(sql::TransactionAccessMode::ReadOnly) => {}
            sql::TransactionMode::AccessMode(sql::TransactionAccessMode::ReadWrite) => {
                return Err(Error::unsupported("READ WRITE", at)
                    .hint("The gateway reads only: leave the mode out, or say READ ONLY."));
            }
            sql::TransactionMode::IsolationLevel(level) => {
                isolation = Some(match level {
                    sql::TransactionIsolationLevel::ReadUncommitted | sql::TransactionIsolationLevel::ReadCommitted => {
                        Isolation::ReadCommitted
                    }
                    sql::TransactionIsolationLevel::RepeatableRead => Isolation::RepeatableRead,
                    sql::TransactionIsolationLevel::Serializable => Isolation::Serializable,
                    sql::TransactionIsolationLevel::Snapshot => {
                        return Err(Error::unsupported("ISOLATION LEVEL SNAPSHOT", at));
                    }
                });
            }
        }
    }
    Ok(isolation)
}

fn set_kind(set: &sql::Set, at: Place) -> Result<Kind> {
    match set {
        sql::Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            let local = match scope {
                None | Some(sql::ContextModifier::Session) => false,
                Some(sql::ContextModifier::Local) => true,
                Some(sql::ContextModifier::Global) => return Err(Error::unsupported("SET GLOBAL", at)),
            };
            Ok(Kind::Set { name: setting_name(variable)?, value: setting_values(values, at)?, local })
        }
        sql::Set::SetTimeZone { local, value } => Ok(Kind::Set {
            name: "timezone".to_owned(),
            value: setting_values(std::slice::from_ref(value), at)?.filter(|zone| !zone.eq_ignore_ascii_case("local")),
            local: *local,
        }),
        sql::Set::SetNames { charset_name, collation_name: None } => {
            Ok(Kind::Set { name: "client_encoding".to_owned(), value: Some(charset_name.value.clone()), local: false })
        }
        sql::Set::SetTransaction { modes, snapshot: None, session } => {
            let isolation = transaction_modes(modes, at)?;
            let name = if *session { "default_transaction_isolation" } else { "transaction_isolation" };
            let level = isolation.map(|level| match level {
                Isolation::ReadCommitted => "read committed",
                Isolation::RepeatableRead => "repeatable read",
                Isolation::Serializable => "serializable",
            });
            match level {
                None => Ok(Kind::Set {
                    name: if *session { "default_transaction_read_only" } else { "transaction_read_only" }.to_owned(),
                    value: Some("on".to_owned()),
                    local: !*session,
                }),
                Some(level) => Ok(Kind::Set { name: name.to_owned(), value: Some(level.to_owned()), local: !*session }),
            }
        }
        sql::Set::SetSessionAuthorization(_) => Ok(refused_set("session_authorization")),
        sql::Set::SetRole { .. } => Ok(refused_set("role")),
        sql::Set::SingleAssignment { .. }
        | sql::Set::ParenthesizedAssignments { .. }
        | sql::Set::MultipleAssignments { .. }
        | sql::Set::SetSessionParam(_)
        | sql::Set::SetNames { .. }
        | sql::Set::SetNamesDefault {}
        | sql::Set::SetTransaction { .. } => Err(Error::unsupported("this form of SET", at)),
    }
}

/// A setting nobody may change: the session refuses it by its name.
fn refused_set(name: &str) -> Kind {
    Kind::Set { name: name.to_owned(), value: None, local: false }
}

fn setting_name(name: &sql::ObjectName) -> Result<String> {
    let parts = lower::path(name)?.0.into_iter().map(|part| part.text.to_ascii_lowercase()).collect::<Vec<_>>();
    let joined = parts.join(".");
    Ok(if joined == "time zone" { "timezone".to_owned() } else { joined })
}

/// `SHOW TIME ZONE` and `SHOW TRANSACTION ISOLATION LEVEL` are PostgreSQL's own spellings.
fn show_name(words: &[&str]) -> String {
    match words {
        ["time", "zone"] => "timezone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        words => words.join("."),
    }
}

/// The value as text; `None` for DEFAULT.
fn setting_values(values: &[sql::Expr], at: Place) -> Result<Option<String>> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        match setting_value(value, at)? {
            None if values.len() == 1 => return Ok(None),
            None => return Err(Error::unsupported("DEFAULT in a list", at)),
            Some(text) => texts.push(text),
        }
    }
    Ok(Some(texts.join(", ")))
}

fn setting_value(value: &sql::Expr, at: Place) -> Result<Option<String>> {
    match value {
        sql::Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") => {
            Ok(None)
        }
        sql::Expr::Identifier(word) => Ok(Some(word.value.clone())),
        sql::Expr::Value(value) => match &value.value {
            sql::Value::SingleQuotedString(text) | sql::Value::EscapedStringLiteral(text) => Ok(Some(text.clone())),
            sql::Value::Number(digits, false) => Ok(Some(digits.clone())),
            sql::Value::Boolean(on) => Ok(Some(if *on { "on" } else { "off" }.to_owned())),
            _ => Err(Error::unsupported("this value of a setting", at)),
        },
        sql::Expr::UnaryOp { op: sql::UnaryOperator::Minus, expr } => match setting_value(expr, at)? {
            Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => Ok(Some(format!("-{digits}"))),
            _ => Err(Error::unsupported("this value of a setting", at)),
        },
        _ => Err(Error::unsupported("this value of a setting", at)),
    }
}
