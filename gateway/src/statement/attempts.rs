//! How often the parser may read the same tokens, told before it begins.
//!
//! A parenthesis in FROM begins a subquery or a join. The parser tries the one, and where that fails it goes back and
//! tries the other: of `((SELECT ...` everything inside is read twice, and what stands in there in the same way four
//! times. The budget of [`dialect`](super::dialect) counts expressions, of which `SELECT * FROM ((SELECT * FROM ((` has
//! none, so this is bounded by itself: a count of the most that could be read, which is more than what is read of a
//! text that is right.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Tokens that may be read whatever the text's length: well below a second.
const TOKENS_MIN: usize = 1_000_000;

/// The most tokens that may be read of these, with so many times the usual effort.
pub(super) fn most(tokens: &[TokenWithSpan], effort: usize) -> usize {
    tokens.len().saturating_mul(4).saturating_add(TOKENS_MIN).saturating_mul(effort)
}

/// How many tokens the parser reads at most, counting each as often as it comes by.
pub(super) fn tokens_read(tokens: &[TokenWithSpan]) -> usize {
    let mut read = 0_usize;
    // How often what stands in each open parenthesis is read.
    let mut open: Vec<usize> = Vec::new();
    let mut rest = tokens;
    while let [token, after @ ..] = rest {
        let times = open.last().copied().unwrap_or(1);
        read = read.saturating_add(times);
        rest = after;
        match &token.token {
            Token::LParen => {
                let run = after.iter().take_while(|token| token.token == Token::LParen).count();
                rest = after.split_at(run).1;
                let begins_query = rest.first().is_some_and(begins_query);
                // The parser begins anew at each parenthesis of the run: the second is read twice, and so on.
                let again = |place| if begins_query { times.saturating_mul(place) } else { times };
                open.extend((1..=run + 1).map(again));
                read = read.saturating_add(times.saturating_mul(run));
            }
            Token::RParen => drop(open.pop()),
            _ => {}
        }
    }
    read
}

fn begins_query(token: &TokenWithSpan) -> bool {
    let Token::Word(word) = &token.token else { return false };
    matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::{Limits, parse};

    #[test]
    fn what_nests_without_an_expression_is_read_in_bounded_time() {
        for select in ["SELECT *", "SELECT t.*", "SELECT", "WITH a AS (SELECT) SELECT *", "TABLE t UNION SELECT *"] {
            for parentheses in ["((", "(((", "((((("] {
                let text = format!("{select} FROM {parentheses}").repeat(190 / parentheses.len());
                let error = parse(&text, &Limits::default()).expect_err("it never ends");
                assert_eq!(error.sqlstate, "54001", "{text}");
            }
        }
    }

    #[test]
    fn what_people_write_is_read() {
        let mut joins = "a".to_owned();
        let mut unions = "SELECT 1".to_owned();
        for place in 0..60 {
            joins = format!("({joins} JOIN b{place} ON a.x = b{place}.x)");
            unions = format!("({unions}) UNION ALL (SELECT {place})");
        }
        let mut nested = "t".to_owned();
        for place in 0..12 {
            let _ = write!(nested, " AS a{place}");
            nested = format!("((SELECT x FROM {nested}) UNION (SELECT y FROM u))");
        }
        for text in [
            format!("SELECT * FROM {joins}"),
            format!("SELECT * FROM ({unions}) AS u"),
            format!("SELECT * FROM {nested} AS n"),
            format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150)),
        ] {
            assert!(parse(&text, &Limits::default()).is_ok(), "{text}");
        }
    }
}
