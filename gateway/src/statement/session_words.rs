//! Commands about the session itself: transactions and their modes, LISTEN, DISCARD and SHOW ALL.
//!
//! Read here, and not by the parser, because it knows them in part only (no DEFERRABLE, no AND CHAIN, no UNLISTEN).
//! Separate from `commands`, which reads those that hold a query.
//! Source: `TransactionStmt`, `VariableSetStmt` and `DiscardStmt` in PostgreSQL's `src/backend/parser/gram.y`.

use passgate_connectors::Isolation;
use sqlparser::ast as sql;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Word};

use super::commands::{needs, takes, word_ahead};

type Result<T> = std::result::Result<T, ParserError>;

/// What was read.
#[derive(Debug)]
pub(super) enum SessionCommand {
    /// BEGIN, or START TRANSACTION.
    Begin {
        modes: Modes,
        start: bool,
    },
    /// COMMIT or END.
    Commit {
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        chain: bool,
    },
    Savepoint(sql::Ident),
    Release(sql::Ident),
    RollbackTo(sql::Ident),
    /// SET TRANSACTION; `lasting` is SET SESSION CHARACTERISTICS.
    Modes {
        modes: Modes,
        lasting: bool,
    },
    /// LISTEN.
    Listen,
    /// UNLISTEN.
    Unlisten,
    Discard(Discard),
    ShowAll,
    /// RESET of a setting whose name is several words.
    Reset(&'static str),
    /// Commands that are refused as writes, by their names.
    Refused(&'static str),
}

/// Modes of a transaction, where they are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// ISOLATION LEVEL.
    pub isolation: Option<Isolation>,
    /// READ ONLY, or READ WRITE.
    pub read_only: Option<bool>,
    /// DEFERRABLE, or NOT DEFERRABLE.
    pub deferrable: Option<bool>,
}

/// What DISCARD throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Everything.
    All,
    /// Cached plans, of which a client sees nothing.
    Plans,
    /// Cached values of sequences.
    Sequences,
    /// Temporary tables, of which there are none.
    Temporary,
}

/// Reads a command if it is one of these.
pub(super) fn session_command(parser: &mut Parser) -> Result<Option<SessionCommand>> {
    let command = if takes(parser, "BEGIN") {
        skip_noise(parser);
        SessionCommand::Begin { modes: modes(parser)?, start: false }
    } else if word_ahead(parser, 0, "START") && word_ahead(parser, 1, "TRANSACTION") {
        advance(parser, 2);
        SessionCommand::Begin { modes: modes(parser)?, start: true }
    } else if takes(parser, "COMMIT") || takes(parser, "END") {
        if takes(parser, "PREPARED") {
            parser.advance_token();
            return Ok(Some(SessionCommand::Refused("COMMIT PREPARED")));
        }
        skip_noise(parser);
        SessionCommand::Commit { chain: chain(parser)? }
    } else if takes(parser, "ROLLBACK") || takes(parser, "ABORT") {
        roll_back(parser)?
    } else if takes(parser, "SAVEPOINT") {
        SessionCommand::Savepoint(parser.parse_identifier()?)
    } else if takes(parser, "RELEASE") {
        let _ = !is_last_word(parser) && takes(parser, "SAVEPOINT");
        SessionCommand::Release(parser.parse_identifier()?)
    } else if takes(parser, "LISTEN") {
        parser.parse_identifier()?;
        SessionCommand::Listen
    } else if takes(parser, "UNLISTEN") {
        if !parser.consume_token(&Token::Mul) {
            parser.parse_identifier()?;
        }
        SessionCommand::Unlisten
    } else if takes(parser, "DISCARD") {
        SessionCommand::Discard(discard(parser)?)
    } else if word_ahead(parser, 0, "SHOW") && word_ahead(parser, 1, "ALL") {
        advance(parser, 2);
        SessionCommand::ShowAll
    } else if word_ahead(parser, 0, "RESET") && parser.peek_nth_token_ref(2).token != Token::EOF {
        return reset(parser);
    } else if word_ahead(parser, 0, "PREPARE") && word_ahead(parser, 1, "TRANSACTION") && !word_ahead(parser, 2, "AS") {
        advance(parser, 3);
        SessionCommand::Refused("PREPARE TRANSACTION")
    } else {
        return set_modes(parser);
    };
    Ok(Some(command))
}

/// `SET TRANSACTION ...` and `SET SESSION CHARACTERISTICS AS TRANSACTION ...`; other forms of SET are left to the parser.
fn set_modes(parser: &mut Parser) -> Result<Option<SessionCommand>> {
    if !word_ahead(parser, 0, "SET") {
        return Ok(None);
    }
    let scoped = word_ahead(parser, 1, "LOCAL") || word_ahead(parser, 1, "SESSION");
    let at = if scoped { 2 } else { 1 };
    if word_ahead(parser, at, "TRANSACTION") {
        // `SET TRANSACTION SNAPSHOT` is left to the parser as well, and refused after it.
        if word_ahead(parser, at + 1, "SNAPSHOT") {
            return Ok(None);
        }
        advance(parser, at + 1);
        return Ok(Some(SessionCommand::Modes { modes: needed_modes(parser)?, lasting: false }));
    }
    if word_ahead(parser, 1, "SESSION") && word_ahead(parser, 2, "CHARACTERISTICS") {
        advance(parser, 3);
        needs(parser, "AS")?;
        needs(parser, "TRANSACTION")?;
        return Ok(Some(SessionCommand::Modes { modes: needed_modes(parser)?, lasting: true }));
    }
    Ok(None)
}

/// `RESET TIME ZONE` and its like; other forms of RESET are left to the parser.
fn reset(parser: &mut Parser) -> Result<Option<SessionCommand>> {
    let known: [(&[&str], &str); 3] = [
        (&["SESSION", "AUTHORIZATION"], "session_authorization"),
        (&["TIME", "ZONE"], "timezone"),
        (&["TRANSACTION", "ISOLATION", "LEVEL"], "transaction_isolation"),
    ];
    let is_next = |words: &[&str]| words.iter().enumerate().all(|(place, word)| word_ahead(parser, 1 + place, word));
    let Some((words, name)) = known.into_iter().find(|(words, _)| is_next(words)) else { return Ok(None) };
    advance(parser, 1 + words.len());
    Ok(Some(SessionCommand::Reset(name)))
}

fn roll_back(parser: &mut Parser) -> Result<SessionCommand> {
    if takes(parser, "PREPARED") {
        parser.advance_token();
        return Ok(SessionCommand::Refused("ROLLBACK PREPARED"));
    }
    skip_noise(parser);
    if takes(parser, "TO") {
        let _ = !is_last_word(parser) && takes(parser, "SAVEPOINT");
        return Ok(SessionCommand::RollbackTo(parser.parse_identifier()?));
    }
    Ok(SessionCommand::Rollback { chain: chain(parser)? })
}

fn discard(parser: &mut Parser) -> Result<Discard> {
    let known = [
        ("ALL", Discard::All),
        ("PLANS", Discard::Plans),
        ("SEQUENCES", Discard::Sequences),
        ("TEMP", Discard::Temporary),
        ("TEMPORARY", Discard::Temporary),
    ];
    match known.into_iter().find(|(word, _)| takes(parser, word)) {
        Some((_, what)) => Ok(what),
        None => parser.expected_ref("ALL, PLANS, SEQUENCES or TEMP", parser.peek_token_ref()),
    }
}

fn skip_noise(parser: &mut Parser) {
    let _ = takes(parser, "WORK") || takes(parser, "TRANSACTION");
}

/// AND CHAIN, or AND NO CHAIN.
fn chain(parser: &mut Parser) -> Result<bool> {
    if !takes(parser, "AND") {
        return Ok(false);
    }
    let chain = !takes(parser, "NO");
    needs(parser, "CHAIN")?;
    Ok(chain)
}

fn needed_modes(parser: &mut Parser) -> Result<Modes> {
    let modes = modes(parser)?;
    if modes == Modes::default() {
        return parser.expected_ref("a transaction mode", parser.peek_token_ref());
    }
    Ok(modes)
}

/// Any number of modes, with commas between them or without; the last of a kind holds.
fn modes(parser: &mut Parser) -> Result<Modes> {
    let mut modes = Modes::default();
    while one_mode(parser, &mut modes)? {
        if parser.consume_token(&Token::Comma) && !mode_ahead(parser) {
            return parser.expected_ref("a transaction mode", parser.peek_token_ref());
        }
    }
    Ok(modes)
}

fn mode_ahead(parser: &Parser) -> bool {
    ["ISOLATION", "READ", "DEFERRABLE", "NOT"].into_iter().any(|word| word_ahead(parser, 0, word))
}

fn one_mode(parser: &mut Parser, modes: &mut Modes) -> Result<bool> {
    if takes(parser, "ISOLATION") {
        needs(parser, "LEVEL")?;
        modes.isolation = Some(level(parser)?);
    } else if takes(parser, "READ") {
        let write = takes(parser, "WRITE");
        if !write {
            needs(parser, "ONLY")?;
        }
        modes.read_only = Some(!write);
    } else if takes(parser, "NOT") {
        needs(parser, "DEFERRABLE")?;
        modes.deferrable = Some(false);
    } else if takes(parser, "DEFERRABLE") {
        modes.deferrable = Some(true);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn level(parser: &mut Parser) -> Result<Isolation> {
    if takes(parser, "SERIALIZABLE") {
        return Ok(Isolation::Serializable);
    }
    if takes(parser, "REPEATABLE") {
        needs(parser, "READ")?;
        return Ok(Isolation::RepeatableRead);
    }
    needs(parser, "READ")?;
    if takes(parser, "UNCOMMITTED") {
        return Ok(Isolation::ReadUncommitted);
    }
    needs(parser, "COMMITTED")?;
    Ok(Isolation::ReadCommitted)
}

fn advance(parser: &mut Parser, words: usize) {
    for _ in 0..words {
        parser.advance_token();
    }
}

/// Whether the next word ends the statement: then it is a name.
fn is_last_word(parser: &Parser) -> bool {
    matches!(parser.peek_nth_token_ref(0).token, Token::Word(Word { .. }))
        && matches!(parser.peek_nth_token_ref(1).token, Token::EOF | Token::SemiColon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Kind, Limits, Transaction, parse};

    fn kind(text: &str) -> std::result::Result<Kind, String> {
        let parsed = parse(text, &Limits::default()).map_err(|error| error.sqlstate.to_owned());
        parsed.map(|mut statements| statements.remove(0).kind)
    }

    fn transaction(text: &str) -> Transaction {
        match kind(text) {
            Ok(Kind::Transaction(transaction)) => transaction,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn modes_are_read_in_any_order() {
        let modes = |isolation, read_only, deferrable| Modes { isolation, read_only, deferrable };
        let begin = |modes| Transaction::Begin { modes, start: false };
        let cases = [
            ("BEGIN", begin(Modes::default())),
            ("begin work read only", begin(modes(None, Some(true), None))),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
                begin(modes(Some(Isolation::Serializable), Some(true), Some(true))),
            ),
            (
                "BEGIN TRANSACTION READ WRITE NOT DEFERRABLE ISOLATION LEVEL READ UNCOMMITTED",
                begin(modes(Some(Isolation::ReadUncommitted), Some(false), Some(false))),
            ),
            (
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                Transaction::Begin { modes: modes(Some(Isolation::RepeatableRead), None, None), start: true },
            ),
            ("SET TRANSACTION READ ONLY", Transaction::Modes { modes: modes(None, Some(true), None), lasting: false }),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
                Transaction::Modes { modes: modes(None, Some(false), None), lasting: true },
            ),
            ("END", Transaction::Commit { chain: false }),
            ("COMMIT AND CHAIN", Transaction::Commit { chain: true }),
            ("ABORT WORK AND NO CHAIN", Transaction::Rollback { chain: false }),
            ("ROLLBACK TRANSACTION TO SAVEPOINT savepoint", Transaction::RollbackTo("savepoint".to_owned())),
            ("ROLLBACK TO \"A b\"", Transaction::RollbackTo("A b".to_owned())),
            ("RELEASE savepoint", Transaction::Release("savepoint".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(transaction(text), expected, "{text}");
        }
    }

    #[test]
    fn half_a_command_is_a_syntax_error() {
        for text in [
            "BEGIN READ",
            "BEGIN ISOLATION",
            "BEGIN READ ONLY,",
            "COMMIT AND",
            "SET TRANSACTION",
            "SET SESSION CHARACTERISTICS AS TRANSACTION",
            "ROLLBACK TO",
            "UNLISTEN",
            "DISCARD",
            "DISCARD EVERYTHING",
        ] {
            assert_eq!(kind(text).unwrap_err(), "42601", "{text}");
        }
    }

    #[test]
    fn what_prepares_for_two_phases_is_a_write() {
        for text in ["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"] {
            assert!(matches!(kind(text), Ok(Kind::Write)), "{text}");
        }
    }
}
