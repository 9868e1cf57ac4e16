//! Which statement is which: reads, session statements, and everything else by its name.

use passgate_policy::{Place, Write};
use sqlparser::ast::{self as sql, Spanned};
use std::sync::Arc;

use super::commands::{Command, CopyOption, CopyValue, CursorOptions};
use super::lower::{self, Lowering, place};
use super::session_words::SessionCommand;
use super::set_config;
use super::tree::{Body, Expression, Item, Literal, Path, Query, Relation, Select, Spot};
use super::{
    Argument, ArgumentForm, CopyFormat, CopyOptions, Cursor, Error, Execute, ExplainOptions, Fetch, ForceQuote, Kind,
    Prepare, Statement, Transaction, oids, quoted_name, types,
};

type Result<T> = std::result::Result<T, Error>;

/// What a command is; `at` is where it starts.
pub(super) fn classify(command: &Command, lowering: &mut Lowering, at: Place) -> Result<Kind> {
    match command {
        Command::Parsed(statement) => classify_parsed(statement, lowering),
        Command::Session(command) => session_kind(command, lowering, at),
        Command::Declare { name, options, hold, query } => {
            let CursorOptions { binary, insensitive, scroll } = *options;
            let name = lower::name(name)?.text;
            let cursor = Cursor { name, binary, insensitive, scroll, hold: *hold };
            Ok(Kind::Declare(Arc::new(lowering.query(query)?), cursor))
        }
        Command::Fetch { cursor, direction, moves } => {
            let cursor = lower::name(cursor)?.text;
            Ok(Kind::Fetch(Fetch { cursor, direction: *direction, moves: *moves }))
        }
        Command::Close(name) => Ok(Kind::Close(name.as_ref().map(|name| Ok(lower::name(name)?.text)).transpose()?)),
        Command::Copy { source, options, at } => copy_kind(source, options, lowering, lower::place(*at)),
        Command::Refused(what) => {
            lowering.writes.push(Write { command: what, at });
            Ok(Kind::Write)
        }
        Command::Prepare { .. } => Err(Error::syntax("PREPARE inside another statement", at)),
    }
}

/// PREPARE, whose statement is understood already.
pub(super) fn prepare(name: &sql::Ident, types: &[sql::DataType], statement: Statement, at: Place) -> Result<Kind> {
    if !matches!(statement.kind, Kind::Query(_) | Kind::Write) {
        return Err(Error::syntax("PREPARE takes a query", at));
    }
    let oid = |declared: &sql::DataType| {
        let known = types::lower(declared, at)?;
        oids::oid(&known).ok_or_else(|| Error::unsupported(&format!("a parameter of type {}", known.name), at))
    };
    let parameter_types = types.iter().map(oid).collect::<Result<_>>()?;
    Ok(Kind::Prepare(Prepare { name: lower::name(name)?.text, parameter_types, statement: Arc::new(statement) }))
}

fn session_kind(command: &SessionCommand, lowering: &mut Lowering, at: Place) -> Result<Kind> {
    let text = |name: &sql::Ident| Ok::<_, Error>(lower::name(name)?.text);
    Ok(match command {
        SessionCommand::Begin { modes, start } => {
            Kind::Transaction(Transaction::Begin { modes: *modes, start: *start })
        }
        SessionCommand::Commit { chain } => Kind::Transaction(Transaction::Commit { chain: *chain }),
        SessionCommand::Rollback { chain } => Kind::Transaction(Transaction::Rollback { chain: *chain }),
        SessionCommand::Savepoint(name) => Kind::Transaction(Transaction::Savepoint(text(name)?)),
        SessionCommand::Release(name) => Kind::Transaction(Transaction::Release(text(name)?)),
        SessionCommand::RollbackTo(name) => Kind::Transaction(Transaction::RollbackTo(text(name)?)),
        SessionCommand::Modes { modes, lasting } => {
            Kind::Transaction(Transaction::Modes { modes: *modes, lasting: *lasting })
        }
        SessionCommand::Listen => Kind::Listen,
        SessionCommand::Unlisten => Kind::Unlisten,
        SessionCommand::Discard(what) => Kind::Discard(*what),
        SessionCommand::ShowAll => Kind::ShowAll,
        SessionCommand::Reset(name) => Kind::Reset(Some((*name).to_owned())),
        SessionCommand::Refused(command) => {
            lowering.writes.push(Write { command, at });
            Kind::Write
        }
    })
}

fn classify_parsed(statement: &sql::Statement, lowering: &mut Lowering) -> Result<Kind> {
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
            match classify_parsed(statement, lowering)? {
                Kind::Query(query) => Ok(Kind::Explain(query, options)),
                Kind::Execute(execute) => Ok(Kind::Execute(Execute { explain: Some(options), ..execute })),
                Kind::Write => Ok(Kind::Write),
                _ => Err(Error::unsupported("EXPLAIN of anything but a query", at)),
            }
        }
        sql::Statement::Execute {
            name: Some(name),
            parameters,
            has_parentheses,
            immediate: false,
            into,
            using,
            output: false,
            default: false,
        } if into.is_empty() && using.is_empty() && (*has_parentheses || parameters.is_empty()) => {
            let [name] = lower::path(name)?.0.try_into().map_err(|_| Error::syntax("a qualified name", at))?;
            let arguments =
                parameters.iter().map(|of| argument(lowering.expression(of)?, at)).collect::<Result<_>>()?;
            Ok(Kind::Execute(Execute { name: name.text, arguments, explain: None }))
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
        sql::Statement::Deallocate { name, prepare: _ } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Ok(Kind::Deallocate(if all { None } else { Some(lower::name(name)?.text) }))
        }
        other => other_kind(other, lowering, at),
    }
}

fn query_kind(query: &sql::Query, lowering: &mut Lowering) -> Result<Kind> {
    let query = lowering.query(query)?;
    Ok(set_config::set_config(&query).unwrap_or_else(|| Kind::Query(Arc::new(query))))
}

/// `COPY table` is `COPY (SELECT ... FROM table)`: what is asked of a table has one form.
fn copy_kind(source: &sql::CopySource, options: &[CopyOption], lowering: &mut Lowering, at: Place) -> Result<Kind> {
    let query = match source {
        sql::CopySource::Query(query) => lowering.query(query)?,
        sql::CopySource::Table { table_name, columns } => {
            let relation = Relation::Table { name: lower::path(table_name)?, only: false, alias: None, sample: None };
            let mut select = Select::everything_from(relation, Spot(at));
            let item = |column: &sql::Ident| {
                Ok(Item::Expression { of: Expression::Column(Path(vec![lower::name(column)?])), alias: None })
            };
            if !columns.is_empty() {
                select.items = columns.iter().map(item).collect::<Result<_>>()?;
            }
            Query { with: None, body: Body::Select(Box::new(select)), order_by: Vec::new(), limit: None, offset: None }
        }
    };
    if lowering.parameters > 0 {
        // PostgreSQL's own words: COPY takes none.
        return Err(Error::new("42P02", "there is no parameter $1").at(at));
    }
    Ok(Kind::Copy(Arc::new(query), copy_options(options)?))
}

fn copy_options(written: &[CopyOption]) -> Result<CopyOptions> {
    let mut options = CopyOptions::default();
    let mut seen: Vec<&str> = Vec::new();
    for CopyOption { name, value, at } in written {
        let at = lower::place(*at);
        if seen.contains(&name.as_str()) {
            return Err(Error::syntax("conflicting or redundant options", at));
        }
        seen.push(name);
        let other = || Error::unsupported(&format!("COPY TO with this option \"{name}\""), at);
        match (name.as_str(), value) {
            ("format", CopyValue::Text(format)) => {
                options.format = match format.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => return Err(Error::new("22023", format!("COPY format \"{format}\" not recognized")).at(at)),
                }
            }
            ("header", CopyValue::Bare) => options.header = true,
            ("header", CopyValue::Text(on)) => {
                options.header = switched(on).ok_or_else(other)?;
            }
            ("delimiter", CopyValue::Text(text)) => options.delimiter = Some(text.clone()),
            ("null", CopyValue::Text(text)) => options.null = Some(text.clone()),
            ("quote", CopyValue::Text(text)) => options.quote = Some(text.clone()),
            ("escape", CopyValue::Text(text)) => options.escape = Some(text.clone()),
            ("force_quote", CopyValue::Everything) => options.force_quote = Some(ForceQuote::Everything),
            ("force_quote", CopyValue::Columns(columns)) => {
                let columns = columns.iter().map(|column| Ok(lower::name(column)?.text)).collect::<Result<_>>()?;
                options.force_quote = Some(ForceQuote::Columns(columns));
            }
            // There is one encoding between a client and us.
            ("encoding", CopyValue::Text(name)) if ["utf8", "utf-8"].contains(&&*name.to_ascii_lowercase()) => {}
            _ => return Err(other()),
        }
    }
    Ok(options)
}

fn switched(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// An argument of EXECUTE. PostgreSQL takes any expression; here it has to be a constant, or a cast of one, because
/// nothing evaluates expressions before the source does.
fn argument(of: Expression, at: Place) -> Result<Argument> {
    match of {
        Expression::Parameter(number) => Ok(Argument::Parameter(number)),
        Expression::Cast { of, to } => {
            let oid = oids::oid(&to).filter(|_| to.modifiers.is_empty() && to.dimensions <= 1);
            match (constant(*of), oid) {
                (Some((value, form)), Some(oid)) => Ok(Argument::Constant { value, form, cast: Some(oid) }),
                _ => Err(not_constant(at)),
            }
        }
        of => {
            let (value, form) = constant(of).ok_or_else(|| not_constant(at))?;
            Ok(Argument::Constant { value, form, cast: None })
        }
    }
}

fn constant(of: Expression) -> Option<(Option<String>, ArgumentForm)> {
    match of {
        Expression::Literal(Literal::Null) => Some((None, ArgumentForm::Text)),
        Expression::Literal(Literal::String(text)) => Some((Some(text), ArgumentForm::Text)),
        Expression::Literal(Literal::Boolean(value)) => Some((Some(value.to_string()), ArgumentForm::Boolean)),
        Expression::Literal(Literal::Number(digits)) => {
            let whole = digits.bytes().all(|digit| digit.is_ascii_digit());
            Some((Some(digits), if whole { ArgumentForm::Integer } else { ArgumentForm::Numeric }))
        }
        Expression::Prefix { operator, of } if operator == "-" || operator == "+" => match *of {
            Expression::Literal(number @ Literal::Number(_)) => {
                let (digits, form) = constant(Expression::Literal(number))?;
                Some((digits.map(|digits| if operator == "-" { format!("-{digits}") } else { digits }), form))
            }
            _ => None,
        },
        _ => None,
    }
}

fn not_constant(at: Place) -> Error {
    Error::unsupported("EXECUTE with an argument that is not a constant", at)
        .hint("Write the value itself, such as 5, 'text', DATE '2026-01-31' or NULL.")
}

/// Statements that write, define, call or lock are denied by the policy, by their name; the rest is refused here.
fn other_kind(statement: &sql::Statement, lowering: &mut Lowering, at: Place) -> Result<Kind> {
    use sql::Statement as S;
    let command = match statement {
        S::Insert(_) => "INSERT",
        S::Update(_) => "UPDATE",
        S::Delete(_) => "DELETE",
        S::Merge(_) => "MERGE",
        // Within EXPLAIN; by themselves they are `definitions`.
        S::CreateTable(_) => "CREATE TABLE",
        S::CreateView(_) => "CREATE MATERIALIZED VIEW",
        S::Truncate(_) => "TRUNCATE",
        S::Call(_) => "CALL",
        S::Copy { to: false, .. } => "COPY FROM",
        S::Lock(_) | S::LockTables { .. } => "LOCK",
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

fn set_kind(set: &sql::Set, at: Place) -> Result<Kind> {
    match set {
        sql::Set::SingleAssignment { scope, hivevar: false, variable, values } => {
            let local = match scope {
                None | Some(sql::ContextModifier::Session) => false,
                Some(sql::ContextModifier::Local) => true,
                Some(sql::ContextModifier::Global) => return Err(Error::unsupported("SET GLOBAL", at)),
            };
            let name = setting_name(variable)?;
            let value = if name == "search_path" { path_value(values, at) } else { setting_values(values, at) };
            Ok(Kind::Set { name, value: value?, local })
        }
        sql::Set::SetTimeZone { local, value } => Ok(Kind::Set {
            name: "timezone".to_owned(),
            value: setting_values(std::slice::from_ref(value), at)?.filter(|zone| !zone.eq_ignore_ascii_case("local")),
            local: *local,
        }),
        sql::Set::SetNames { charset_name, collation_name: None } => {
            Ok(Kind::Set { name: "client_encoding".to_owned(), value: Some(charset_name.value.clone()), local: false })
        }
        sql::Set::SetSessionAuthorization(param) => Ok(match &param.kind {
            sql::SetSessionAuthorizationParamKind::Default => whole_set("session_authorization", None),
            sql::SetSessionAuthorizationParamKind::User(name) => whole_set("session_authorization", Some(&name.value)),
        }),
        sql::Set::SetRole { context_modifier: _, role_name } => {
            Ok(whole_set("role", Some(role_name.as_ref().map_or("none", |name| name.value.as_str()))))
        }
        sql::Set::SingleAssignment { .. }
        | sql::Set::ParenthesizedAssignments { .. }
        | sql::Set::MultipleAssignments { .. }
        | sql::Set::SetSessionParam(_)
        | sql::Set::SetNames { .. }
        | sql::Set::SetNamesDefault {}
        | sql::Set::SetTransaction { .. } => Err(Error::unsupported("this form of SET", at)),
    }
}

fn whole_set(name: &str, value: Option<&str>) -> Kind {
    Kind::Set { name: name.to_owned(), value: value.map(str::to_owned), local: false }
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

/// A name as PostgreSQL writes one in a list: in quotes where it has to be.
pub fn listed_name(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit());
    if plain { name.to_owned() } else { quoted_name(name) }
}

/// `SET search_path`: each value is one name, so that `'a, b'` is a schema with a comma in its name.
fn path_value(values: &[sql::Expr], at: Place) -> Result<Option<String>> {
    let folded = |value: &sql::Expr, text: String| match value {
        sql::Expr::Identifier(word) if word.quote_style.is_none() => text.to_lowercase(),
        _ => text,
    };
    let mut names = Vec::with_capacity(values.len());
    for value in values {
        match setting_value(value, at)? {
            None if values.len() == 1 => return Ok(None),
            None => return Err(Error::unsupported("DEFAULT in a list", at)),
            // An empty text is an empty path.
            Some(text) if text.is_empty() && values.len() == 1 => return Ok(Some(String::new())),
            Some(text) => names.push(listed_name(&folded(value, text))),
        }
    }
    Ok(Some(names.join(", ")))
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
