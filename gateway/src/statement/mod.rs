//! SQL text to a [`Statement`]: parsed, every node kind matched by name, classified, bounded.
//!
//! ```text
//! text ── scan (caps) ── lexical, rephrase, attempts (tokens) ── sqlparser, grammar ── lower (every node by name) ──► tree ── print ──► text for a source
//! ```
//!
//! The parser is a library; the tree and the printer are ours. What a client wrote is never sent: only what this room
//! understood is.

mod attempts;
mod commands;
mod definitions;
mod delivery;
mod dialect;
mod grammar;
mod keywords;
mod lexical;
mod lines;
mod lower;
mod mark;
mod oids;
mod print;
mod rephrase;
mod scan;
mod session;
mod session_words;
mod set_config;
mod template;
#[cfg(test)]
mod tests;
mod trace;
pub mod tree;
mod types;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use passgate_policy::{Place, Write};
use serde::Deserialize;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token};

use crate::error::ClientError;
use commands::{Command, Written};
use dialect::BoundedPostgreSql;
use lines::Lines;
use lower::Lowering;

pub use commands::Direction;
pub use delivery::{CopyFormat, CopyOptions, Cursor, Delivery, Fetch, ForceQuote};
pub use print::{SYNTAX_FUNCTIONS, print, quoted_name};
pub use session::listed_name;
pub use session_words::{Discard, Modes};
pub use template::{Filled, Shape, Template};
pub use trace::trace_back;
pub use types::catalog_type;
pub use walk::{Part, PartMut};

/// The most that [`Limits::depth_max`] may be: what [`STACK_BYTES`] is enough for.
pub const DEPTH_MAX: usize = 200;
/// The stack of a thread that works on statements: their trees are walked by recursion.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

/// With less stack than this left, the next level gets a new one.
const STACK_LEFT_MIN: usize = 256 * 1024;
/// How large a new stack is.
const STACK_STEP: usize = 8 * 1024 * 1024;
/// The stack for parsing (and dropping) a tree of many levels. Only what is touched of it takes memory.
const STACK_FOR_MANY: usize = 256 * 1024 * 1024;
/// More words and operators than this are many: each can be a level of recursion, and each level several large frames.
const LEVELS_MANY: usize = 40;

/// Caps that hold before anything else sees the text.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest SQL text of one message, in bytes. Longer ones are refused (54000). Default 1048576.
    pub statement_bytes_max: usize,
    /// Deepest nesting of parentheses, brackets and CASE. Deeper ones are refused (54001). 200 at most. Default 200.
    pub depth_max: usize,
    /// Deepest nesting of comments. Deeper ones are refused (54001). Default 32.
    pub comment_depth_max: usize,
    /// Most words, constants and signs in one message: a list of 100000 numbers has twice as many. More are refused
    /// (54000). Default 250000.
    pub tokens_max: usize,
    /// Most operators in one message. More are refused (54001). Default 10000.
    pub operators_max: usize,
    /// Most parameters of one statement. More are refused (54000). Default 32767.
    pub parameters_max: usize,
    /// Most statements in one simple query. More are refused (54000). Default 100.
    pub statements_max: usize,
    /// How many times the usual effort the parser may take: see [`attempts`] and [`dialect`].
    #[serde(skip)]
    effort: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement_bytes_max: 1024 * 1024,
            depth_max: DEPTH_MAX,
            comment_depth_max: 32,
            tokens_max: 250_000,
            operators_max: 10_000,
            parameters_max: 32_767,
            statements_max: 100,
            effort: 1,
        }
    }
}

impl Limits {
    /// For text of our own printing: the printer's parentheses make it longer and deeper than what a client wrote.
    pub fn for_printed_text() -> Self {
        let own = Self::default();
        Self {
            statement_bytes_max: usize::MAX,
            depth_max: DEPTH_MAX * 6,
            tokens_max: own.tokens_max * 8,
            operators_max: own.operators_max * 4,
            effort: 16,
            ..own
        }
    }
}

/// One statement, understood.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it is.
    pub kind: Kind,
    /// Its own text, as the client wrote it.
    pub text: Arc<str>,
    /// How many parameters it names: the highest `$n`.
    pub parameters: u16,
    /// Everything in it that is not a read; the policy denies these by name.
    pub writes: Vec<Write>,
    /// The template that it was made of. What is said of a statement here is then said of the template, but for its
    /// text; [`parse`] says what it is in full.
    pub filled: Option<Filled>,
}

/// What a statement is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Reads rows.
    Query(Arc<tree::Query>),
    /// Shows how a query would run.
    Explain(Arc<tree::Query>, ExplainOptions),
    /// `COPY ... TO STDOUT`: reads rows, delivered as a copy.
    Copy(Arc<tree::Query>, CopyOptions),
    /// `DECLARE ... CURSOR`: reads rows, delivered through a cursor.
    Declare(Arc<tree::Query>, Cursor),
    /// FETCH or MOVE.
    Fetch(Fetch),
    /// `CLOSE name`, or all.
    Close(Option<String>),
    /// `PREPARE name AS query`.
    Prepare(Prepare),
    /// `EXECUTE name`, or EXPLAIN of it.
    Execute(Execute),
    /// `SET name = value`; names in lower case.
    Set {
        /// The setting.
        name: String,
        /// Its value as text; `None` for DEFAULT.
        value: Option<String>,
        /// Whether it ends with the transaction.
        local: bool,
    },
    /// `SELECT set_config('name', 'value', local)`; names in lower case.
    SetConfig {
        /// The setting.
        name: String,
        /// Its value as text.
        value: String,
        /// Whether it ends with the transaction.
        local: bool,
        /// What the column of the answer is called.
        column: String,
    },
    /// `RESET name`, or all.
    Reset(Option<String>),
    /// `SHOW name`.
    Show(String),
    /// `SHOW ALL`.
    ShowAll,
    /// Transaction control.
    Transaction(Transaction),
    /// `DEALLOCATE name`, or all.
    Deallocate(Option<String>),
    /// DISCARD.
    Discard(Discard),
    /// LISTEN, which is refused: nobody notifies here.
    Listen,
    /// UNLISTEN.
    Unlisten,
    /// Not a read at all: `writes` names it.
    Write,
}

/// Transaction control, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN.
    Begin {
        /// Its modes.
        modes: Modes,
        /// Whether it was written START TRANSACTION.
        start: bool,
    },
    /// COMMIT.
    Commit {
        /// Whether another begins with the same modes.
        chain: bool,
    },
    /// ROLLBACK.
    Rollback {
        /// Whether another begins with the same modes.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE.
    Release(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// SET TRANSACTION.
    Modes {
        /// What is set.
        modes: Modes,
        /// Whether it is for the transactions to come: SET SESSION CHARACTERISTICS.
        lasting: bool,
    },
}

/// PREPARE.
#[derive(Clone, Debug)]
pub struct Prepare {
    /// The name.
    pub name: String,
    /// Declared types of the parameters, by oid; 0 where left open.
    pub parameter_types: Vec<u32>,
    /// What is prepared: a query, or a write that the policy will deny.
    pub statement: Arc<Statement>,
}

/// EXECUTE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute {
    /// The prepared statement's name.
    pub name: String,
    /// Values for its parameters.
    pub arguments: Vec<Argument>,
    /// EXPLAIN around it.
    pub explain: Option<ExplainOptions>,
}

/// A value that EXECUTE hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A constant.
    Constant {
        /// Its text; `None` is NULL.
        value: Option<String>,
        /// What it is without a cast.
        form: ArgumentForm,
        /// The oid of the type it is cast to.
        cast: Option<u32>,
    },
    /// `$n` of the EXECUTE itself.
    Parameter(u16),
}

/// How a constant is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentForm {
    /// A string, or NULL: read by whatever type it is for.
    Text,
    /// A whole number.
    Integer,
    /// A number with a point or an exponent.
    Numeric,
    /// TRUE or FALSE.
    Boolean,
}

/// Options of EXPLAIN that do not run the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainOptions {
    /// VERBOSE.
    pub verbose: bool,
    /// FORMAT, in upper case.
    pub format: Option<&'static str>,
}

impl Kind {
    /// Whether a statement of this kind goes to the policy and a source; the others are the session's own business.
    pub fn is_governed(&self) -> bool {
        match self {
            Self::Query(_) | Self::Explain(..) | Self::Copy(..) | Self::Declare(..) | Self::Write => true,
            Self::Fetch(_)
            | Self::Close(_)
            | Self::Prepare(_)
            | Self::Execute(_)
            | Self::Set { .. }
            | Self::SetConfig { .. }
            | Self::Reset(_)
            | Self::Show(_)
            | Self::ShowAll
            | Self::Transaction(_)
            | Self::Deallocate(_)
            | Self::Discard(_)
            | Self::Listen
            | Self::Unlisten => false,
        }
    }

    /// What the statement is for, as the audit log calls it.
    pub fn intent(&self) -> &'static str {
        match self {
            Self::Query(_) => "query",
            Self::Explain(..) => "explain",
            Self::Copy(..) => "copy",
            Self::Declare(..) => "declare",
            Self::Fetch(fetch) if fetch.moves => "move",
            Self::Fetch(_) => "fetch",
            Self::Close(_) => "close",
            Self::Prepare(_) => "prepare",
            Self::Execute(Execute { explain: Some(_), .. }) => "explain",
            Self::Execute(_) => "execute",
            Self::Set { .. } | Self::SetConfig { .. } => "set",
            Self::Reset(_) => "reset",
            Self::Show(_) | Self::ShowAll => "show",
            Self::Transaction(Transaction::Modes { .. }) => "set",
            Self::Transaction(_) => "transaction",
            Self::Deallocate(_) => "deallocate",
            Self::Discard(_) => "discard",
            Self::Listen => "listen",
            Self::Unlisten => "unlisten",
            Self::Write => "write",
        }
    }
}

/// Reads a text of any number of statements; none is returned unless all are understood.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Statement>, Error> {
    let shape = scan::scan(text, limits)?;
    if shape.words + shape.operators + shape.depth > LEVELS_MANY {
        stacker::grow(STACK_FOR_MANY, || parse_bounded(text, limits))
    } else {
        stacker::maybe_grow(STACK_STEP / 2, STACK_STEP, || parse_bounded(text, limits))
    }
}

fn parse_bounded(text: &str, limits: &Limits) -> Result<Vec<Statement>, Error> {
    let dialect = BoundedPostgreSql::for_text(text, limits.effort);
    let refused = |error| match dialect.is_exhausted() {
        true => Error::too_tangled(),
        false => Error::from_parser(error, limits),
    };
    let lines = Lines::of(text);
    let tokens = rephrase::rephrase(lexical::tokens(&lines, &dialect).map_err(refused)?);
    if attempts::tokens_read(&tokens) > attempts::most(&tokens, limits.effort) {
        return Err(Error::too_tangled());
    }
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(limits.depth_max * 2).with_tokens_with_locations(tokens);
    let written = commands::statements(&mut parser, limits.statements_max).map_err(refused)?;
    if written.len() > limits.statements_max {
        return Err(Error::too_many_statements(limits.statements_max));
    }
    match written.as_slice() {
        [single] => Ok(vec![understand(single, text, &lines, limits)?]),
        several => several.iter().map(|each| understand(each, own_text(each, &lines), &lines, limits)).collect(),
    }
}

/// Where parameters stand in a text: their bytes, and their numbers.
pub fn parameters(text: &str) -> Option<Vec<(Range<usize>, u16)>> {
    let lines = Lines::of(text);
    let tokens = lexical::tokens(&lines, &BoundedPostgreSql::for_text(text, 1)).ok()?;
    let parameters = tokens.iter().filter_map(|token| match &token.token {
        Token::Placeholder(name) => Some((name, token.span)),
        _ => None,
    });
    let place = |(name, span): (&String, Span)| {
        Some((lines.bytes(span.start, span.end), name.strip_prefix('$')?.parse().ok()?))
    };
    parameters.map(place).collect()
}

/// The part of a text that a statement takes up.
fn own_text<'a>(written: &Written, lines: &Lines<'a>) -> &'a str {
    lines.between(written.from, written.to).map_or(lines.text(), str::trim_end)
}

/// A statement, with the text that is its own.
fn understand(written: &Written, text: &str, lines: &Lines<'_>, limits: &Limits) -> Result<Statement, Error> {
    let mut lowering = Lowering::new(limits.depth_max, limits.parameters_max);
    let kind = match &written.command {
        // What is prepared counts its parameters for itself.
        Command::Prepare { name, types, statement } => {
            let prepared = understand(statement, own_text(statement, lines), lines, limits)?;
            session::prepare(name, types, prepared, place(written.from))?
        }
        command => session::classify(command, &mut lowering, place(written.from))?,
    };
    Ok(Statement { kind, text: text.into(), parameters: lowering.parameters, writes: lowering.writes, filled: None })
}

fn place(at: Location) -> Place {
    Place { line: at.line.max(1), column: at.column.max(1) }
}

/// Why a text is not a statement we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// SQLSTATE: 42601, 0A000, 54000 or 54001.
    pub sqlstate: &'static str,
    /// What.
    pub message: String,
    /// Where, and what else is known.
    pub detail: Option<String>,
    /// Where in the text.
    pub place: Option<Place>,
    /// What to do.
    pub hint: Option<String>,
}

impl Error {
    fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, place: None, hint: None }
    }

    fn at(mut self, at: Place) -> Self {
        self.detail = Some(format!("It stands at {at}."));
        self.place = Some(at);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn unsupported(what: &str, at: Place) -> Self {
        Self::new("0A000", format!("{what} is not supported by the gateway")).at(at)
    }

    fn syntax(what: &str, at: Place) -> Self {
        Self::new("42601", format!("syntax error: {what}")).at(at)
    }

    fn foreign_type(name: &str, at: Place) -> Self {
        Self::new("0A000", format!("type \"{name}\" is not a built-in type the gateway knows"))
            .at(at)
            .hint("Casts to other types can run code of their own. Cast to a built-in type, such as text.")
    }

    fn name_too_long(most: usize, at: Place) -> Self {
        Self::new("42622", format!("identifier too long (the limit is {most} bytes)")).at(at)
    }

    fn too_deep(most: usize) -> Self {
        Self::new("54001", format!("statement is nested too deeply (the limit is {most} levels)"))
            .hint("Simplify the statement.")
    }

    fn comments_too_deep(most: usize) -> Self {
        Self::new("54001", format!("comments are nested too deeply (the limit is {most} levels)"))
    }

    fn too_complex(most: usize) -> Self {
        Self::new("54001", format!("statement is too complex (the limit is {most} operators)"))
            .hint("Use IN or = ANY with an array in place of a long chain of operators.")
    }

    fn too_tangled() -> Self {
        Self::new("54001", "statement takes too long to read").hint("Nest function calls and subqueries less deeply.")
    }

    fn too_long(most: usize) -> Self {
        Self::new("54000", format!("statement is too long (the limit is {most} bytes)"))
    }

    fn too_many_tokens(most: usize) -> Self {
        Self::new("54000", format!("statement is too long (the limit is {most} words, constants and signs)"))
            .hint("Give long lists as one parameter: column = ANY ($1).")
    }

    fn zero_byte() -> Self {
        Self::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")
    }

    fn too_many_parameters(most: usize) -> Self {
        Self::new("54000", format!("too many parameters (the limit is {most})"))
    }

    fn too_many_statements(most: usize) -> Self {
        Self::new("54000", format!("too many statements in one message (the limit is {most})"))
    }

    fn from_parser(error: ParserError, limits: &Limits) -> Self {
        match error {
            ParserError::RecursionLimitExceeded => Self::too_deep(limits.depth_max),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
                let (what, at) = split_position(&text);
                let message = format!("syntax error: {}", what.chars().take(200).collect::<String>());
                match at {
                    Some(at) => Self::new("42601", message).at(at),
                    None => Self::new("42601", message),
                }
            }
        }
    }
}

/// The parser ends its messages with ` at Line: 1, Column: 8`.
fn split_position(text: &str) -> (&str, Option<Place>) {
    let Some((what, position)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let place = position.split_once(", Column: ").and_then(|(line, column)| {
        Some(Place { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    (what, place)
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        self.sqlstate
    }

    fn message(&self) -> String {
        self.message.clone()
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn place(&self) -> Option<Place> {
        self.place
    }
}
