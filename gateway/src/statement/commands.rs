//! Commands that the parser does not read, or not all of: PREPARE, DECLARE, FETCH, MOVE, CLOSE and COPY.
//!
//! They are read here as PostgreSQL's grammar has them; what they are about (queries, statements, types, names) is left
//! to the parser. Separate from the parser's dialect because these end in a tree of our own. It also divides a text into
//! its statements, and so knows the text of each.
//! Source: <https://www.postgresql.org/docs/current/sql-commands.html>, PostgreSQL's `gram.y`.

use sqlparser::ast as sql;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, Word};

use super::definitions::definition;
use super::session_words::{SessionCommand, session_command};

type Result<T> = std::result::Result<T, ParserError>;

/// A statement as read, and where it stands.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) command: Command,
    /// Where its first word starts.
    pub(super) from: Location,
    /// Where its last word ends.
    pub(super) to: Location,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Command {
    /// By the parser.
    Parsed(Box<sql::Statement>),
    /// About the session itself.
    Session(SessionCommand),
    Prepare {
        name: sql::Ident,
        types: Vec<sql::DataType>,
        statement: Box<Written>,
    },
    Declare {
        name: sql::Ident,
        options: CursorOptions,
        hold: bool,
        query: Box<sql::Query>,
    },
    Fetch {
        cursor: sql::Ident,
        direction: Direction,
        moves: bool,
    },
    /// CLOSE; all without a name.
    Close(Option<sql::Ident>),
    /// COPY to the client.
    Copy {
        source: sql::CopySource,
        options: Vec<CopyOption>,
        at: Span,
    },
    /// What is refused as a write, by this name.
    Refused(&'static str),
}

/// What may stand before CURSOR.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CursorOptions {
    pub(super) binary: bool,
    pub(super) insensitive: bool,
    pub(super) scroll: Option<bool>,
}

/// How far FETCH and MOVE go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// So many rows forward; `None` is all that are left.
    Forward(Option<u32>),
    /// So many rows backward; `None` is all before.
    Backward(Option<u32>),
    /// To the row of this number; from the end where negative.
    Absolute(i32),
    /// So many rows from here.
    Relative(i32),
}

/// One option of COPY, its name in lower case.
#[derive(Debug)]
pub(super) struct CopyOption {
    pub(super) name: String,
    pub(super) value: CopyValue,
    pub(super) at: Span,
}

/// What an option of COPY is set to.
#[derive(Debug)]
pub(super) enum CopyValue {
    /// Nothing: the same as true.
    Bare,
    /// A word, a string or a number: its text.
    Text(String),
    /// `*`.
    Everything,
    Columns(Vec<sql::Ident>),
}

/// Divides a text into statements and reads each, up to the first of too many.
pub(super) fn statements(parser: &mut Parser, most: usize) -> Result<Vec<Written>> {
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if is_end(parser) || statements.len() > most {
            return Ok(statements);
        }
        statements.push(written(parser)?);
        if !is_end(parser) {
            return parser.expected_ref("end of statement", parser.peek_token_ref());
        }
    }
}

pub(super) fn is_end(parser: &Parser) -> bool {
    matches!(parser.peek_token_ref().token, Token::EOF | Token::SemiColon)
}

fn written(parser: &mut Parser) -> Result<Written> {
    let from = parser.peek_token_ref().span.start;
    let command = command(parser)?;
    Ok(Written { command, from, to: parser.get_current_token().span.end })
}

fn command(parser: &mut Parser) -> Result<Command> {
    if let Some(command) = session_command(parser)? {
        return Ok(Command::Session(command));
    }
    if takes(parser, "PREPARE") {
        prepare(parser)
    } else if takes(parser, "DECLARE") {
        declare(parser)
    } else if takes(parser, "FETCH") {
        fetch(parser, false)
    } else if takes(parser, "MOVE") {
        fetch(parser, true)
    } else if takes(parser, "CLOSE") {
        let all = takes(parser, "ALL");
        Ok(Command::Close(if all { None } else { Some(parser.parse_identifier()?) }))
    } else if takes(parser, "COPY") {
        copy(parser)
    } else {
        other(parser)
    }
}

/// A command that is read elsewhere.
fn other(parser: &mut Parser) -> Result<Command> {
    match definition(parser) {
        Some(name) => Ok(Command::Refused(name)),
        None => parser.parse_statement().map(|statement| Command::Parsed(Box::new(statement))),
    }
}

fn prepare(parser: &mut Parser) -> Result<Command> {
    let name = parser.parse_identifier()?;
    let mut types = Vec::new();
    if parser.consume_token(&Token::LParen) {
        types = parser.parse_comma_separated(Parser::parse_data_type)?;
        parser.expect_token(&Token::RParen)?;
    }
    needs(parser, "AS")?;
    let from = parser.peek_token_ref().span.start;
    // Nothing that is read here can be prepared, so one prepared statement cannot hold another.
    if session_command(parser)?.is_some() {
        return parser.expected_ref("a query", parser.get_current_token());
    }
    let command = other(parser)?;
    let statement = Box::new(Written { command, from, to: parser.get_current_token().span.end });
    Ok(Command::Prepare { name, types, statement })
}

fn declare(parser: &mut Parser) -> Result<Command> {
    let name = parser.parse_identifier()?;
    let mut options = CursorOptions::default();
    loop {
        if takes(parser, "BINARY") {
            options.binary = true;
        } else if takes(parser, "INSENSITIVE") {
            options.insensitive = true;
        } else if takes(parser, "ASENSITIVE") {
            options.insensitive = false;
        } else if options.scroll != Some(false) && takes(parser, "SCROLL") {
            options.scroll = Some(true);
        } else if options.scroll != Some(true) && takes(parser, "NO") {
            needs(parser, "SCROLL")?;
            options.scroll = Some(false);
        } else {
            break;
        }
    }
    needs(parser, "CURSOR")?;
    let with = takes(parser, "WITH");
    if with || takes(parser, "WITHOUT") {
        needs(parser, "HOLD")?;
    }
    needs(parser, "FOR")?;
    Ok(Command::Declare { name, options, hold: with, query: parser.parse_query()? })
}

fn fetch(parser: &mut Parser, moves: bool) -> Result<Command> {
    let direction = direction(parser)?;
    let _ = takes(parser, "FROM") || takes(parser, "IN");
    Ok(Command::Fetch { cursor: parser.parse_identifier()?, direction, moves })
}

/// What stands before the cursor's name. A word of these that ends the statement is the name itself.
fn direction(parser: &mut Parser) -> Result<Direction> {
    if matches!(parser.peek_nth_token_ref(1).token, Token::EOF | Token::SemiColon) {
        return Ok(Direction::Forward(Some(1)));
    }
    if takes(parser, "NEXT") {
        Ok(Direction::Forward(Some(1)))
    } else if takes(parser, "PRIOR") {
        Ok(Direction::Backward(Some(1)))
    } else if takes(parser, "FIRST") {
        Ok(Direction::Absolute(1))
    } else if takes(parser, "LAST") {
        Ok(Direction::Absolute(-1))
    } else if takes(parser, "ABSOLUTE") {
        needed_count(parser).map(Direction::Absolute)
    } else if takes(parser, "RELATIVE") {
        needed_count(parser).map(Direction::Relative)
    } else if takes(parser, "BACKWARD") {
        Ok(all_or_count(parser)?.map_or(Direction::Backward(None), |rows| Direction::forward(rows.saturating_neg())))
    } else {
        let _ = takes(parser, "FORWARD");
        Ok(all_or_count(parser)?.map_or(Direction::Forward(None), Direction::forward))
    }
}

impl Direction {
    fn forward(rows: i32) -> Self {
        match rows {
            // The row the cursor stands on, once more.
            0 => Self::Relative(0),
            1.. => Self::Forward(Some(rows.unsigned_abs())),
            _ => Self::Backward(Some(rows.unsigned_abs())),
        }
    }
}

/// ALL, which is nothing, or how many; one where neither is written.
fn all_or_count(parser: &mut Parser) -> Result<Option<i32>> {
    if takes(parser, "ALL") {
        return Ok(None);
    }
    Ok(Some(count(parser)?.unwrap_or(1)))
}

/// A whole number with an optional sign, as PostgreSQL's `SignedIconst`; nothing where there is none.
fn count(parser: &mut Parser) -> Result<Option<i32>> {
    let negative = parser.consume_token(&Token::Minus);
    let signed = negative || parser.consume_token(&Token::Plus);
    let Token::Number(digits, false) = &parser.peek_token_ref().token else {
        return if signed { parser.expected_ref("a number", parser.peek_token_ref()) } else { Ok(None) };
    };
    let number = format!("{}{digits}", if negative { "-" } else { "" }).parse();
    let Ok(number) = number else { return parser.expected_ref("a smaller whole number", parser.peek_token_ref()) };
    parser.advance_token();
    Ok(Some(number))
}

fn needed_count(parser: &mut Parser) -> Result<i32> {
    match count(parser)? {
        Some(number) => Ok(number),
        None => parser.expected_ref("a number", parser.peek_token_ref()),
    }
}

fn copy(parser: &mut Parser) -> Result<Command> {
    let at = parser.get_current_token().span;
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        sql::CopySource::Query(query)
    } else {
        let table_name = parser.parse_object_name(false)?;
        let columns = if parser.peek_token_ref().token == Token::LParen { columns(parser)? } else { Vec::new() };
        sql::CopySource::Table { table_name, columns }
    };
    if takes(parser, "FROM") {
        return Ok(elsewhere(parser, "COPY FROM"));
    }
    needs(parser, "TO")?;
    if takes(parser, "PROGRAM") {
        return Ok(elsewhere(parser, "COPY TO PROGRAM"));
    }
    // PostgreSQL takes STDIN here too: "not a good idea, but we have allowed it since day one".
    if !takes(parser, "STDOUT") && !takes(parser, "STDIN") {
        return Ok(elsewhere(parser, "COPY TO a file"));
    }
    let _ = takes(parser, "WITH");
    let options = if parser.consume_token(&Token::LParen) {
        let options = parser.parse_comma_separated(copy_option)?;
        parser.expect_token(&Token::RParen)?;
        options
    } else {
        plain_copy_options(parser)?
    };
    Ok(Command::Copy { source, options, at })
}

/// The rest does not matter: it is refused by its name.
fn elsewhere(parser: &mut Parser, what: &'static str) -> Command {
    while !is_end(parser) {
        parser.advance_token();
    }
    Command::Refused(what)
}

fn copy_option(parser: &mut Parser) -> Result<CopyOption> {
    let at = parser.peek_token_ref().span;
    let name = parser.parse_identifier()?.value.to_ascii_lowercase();
    let value = match &parser.peek_token_ref().token {
        Token::Comma | Token::RParen => CopyValue::Bare,
        Token::Mul => {
            parser.advance_token();
            CopyValue::Everything
        }
        Token::LParen => CopyValue::Columns(columns(parser)?),
        _ => CopyValue::Text(text(parser)?),
    };
    Ok(CopyOption { name, value, at })
}

/// The options as they were written before PostgreSQL 9.0, and still are by many.
fn plain_copy_options(parser: &mut Parser) -> Result<Vec<CopyOption>> {
    let mut options = Vec::new();
    while !is_end(parser) {
        let at = parser.peek_token_ref().span;
        let (name, value) = if takes(parser, "BINARY") || takes(parser, "CSV") {
            ("format", CopyValue::Text(word_of(&parser.get_current_token().token)))
        } else if takes(parser, "HEADER") {
            ("header", CopyValue::Bare)
        } else if takes(parser, "FORCE") {
            needs(parser, "QUOTE")?;
            let everything = parser.consume_token(&Token::Mul);
            ("force_quote", if everything { CopyValue::Everything } else { CopyValue::Columns(names(parser)?) })
        } else {
            let known = ["DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING"];
            let Some(name) = known.into_iter().find(|name| takes(parser, name)) else {
                return parser.expected_ref("an option of COPY", parser.peek_token_ref());
            };
            let _ = takes(parser, "AS");
            (name, CopyValue::Text(text(parser)?))
        };
        options.push(CopyOption { name: name.to_ascii_lowercase(), value, at });
    }
    Ok(options)
}

fn columns(parser: &mut Parser) -> Result<Vec<sql::Ident>> {
    parser.expect_token(&Token::LParen)?;
    let columns = names(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn names(parser: &mut Parser) -> Result<Vec<sql::Ident>> {
    parser.parse_comma_separated(Parser::parse_identifier)
}

/// A word, a string or a number.
fn text(parser: &mut Parser) -> Result<String> {
    let text = match &parser.peek_token_ref().token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
            text.clone()
        }
        Token::DollarQuotedString(quoted) => quoted.value.clone(),
        Token::Number(digits, false) => digits.clone(),
        word @ Token::Word(_) => word_of(word),
        _ => return parser.expected_ref("a value", parser.peek_token_ref()),
    };
    parser.advance_token();
    Ok(text)
}

fn word_of(token: &Token) -> String {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => value.to_ascii_lowercase(),
        Token::Word(Word { value, .. }) => value.clone(),
        _ => String::new(),
    }
}

/// Whether the word that stands so many words ahead is this one, not in quotes.
pub(super) fn word_ahead(parser: &Parser, ahead: usize, word: &str) -> bool {
    let token = &parser.peek_nth_token_ref(ahead).token;
    matches!(token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
}

/// Takes the next word if it is this one, not in quotes.
pub(super) fn takes(parser: &mut Parser, word: &str) -> bool {
    let found = word_ahead(parser, 0, word);
    if found {
        parser.advance_token();
    }
    found
}

pub(super) fn needs(parser: &mut Parser, word: &str) -> Result<()> {
    if takes(parser, word) { Ok(()) } else { parser.expected_ref(word, parser.peek_token_ref()) }
}
