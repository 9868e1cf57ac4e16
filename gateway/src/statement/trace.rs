//! Where in a client's text stands what a source points at in ours.
//!
//! A source reports an error at a character of the text it was sent, which is not the text that the client wrote: names
//! are qualified, operands enclosed, limits and filters added. The word that it points at is looked up in the client's
//! text, where most words around it are the same; a word that the client did not write has no place there.
//!
//! Separate from the printer, which would otherwise have to keep places for every statement, for the few that fail.

use sqlparser::tokenizer::Token;

use super::dialect::BoundedPostgreSql;
use super::lexical;
use super::lines::Lines;

/// Words on either side that are compared.
const AROUND: usize = 32;

/// A word of a text: a token, or a whole path of names, which both texts end alike however far it is qualified.
struct Word {
    key: String,
    /// Which character of the text it begins with, from 1.
    at: u32,
}

/// Which character of the text that a client `sent` is meant by character `at` of the text that `ran`, both from 1.
pub fn trace_back(ran: &str, at: u32, sent: &str) -> Option<u32> {
    let (ran, sent) = (words(ran)?, words(sent)?);
    let index = ran.binary_search_by_key(&at, |word| word.at).ok()?;
    let (before, rest) = ran.split_at_checked(index)?;
    let (word, after) = rest.split_first()?;
    let mut best: Option<(usize, u32)> = None;
    for (index, candidate) in sent.iter().enumerate().filter(|(_, candidate)| candidate.key == word.key) {
        let (left, right) = (sent.get(..index)?, sent.get(index + 1..)?);
        let likeness = alike(before.iter().rev(), left.iter().rev()) + alike(after.iter(), right.iter());
        // Of equals the first: that is where a source stops.
        if likeness > best.map_or(0, |(likeness, _)| likeness) {
            best = Some((likeness, candidate.at));
        }
    }
    best.map(|(_, at)| at)
}

/// How many words are the same, up to the first that is not.
fn alike<'w>(ran: impl Iterator<Item = &'w Word>, sent: impl Iterator<Item = &'w Word>) -> usize {
    ran.zip(sent).take(AROUND).take_while(|(ran, sent)| ran.key == sent.key).count()
}

/// The words of a text in order, without parentheses: the printer adds some.
fn words(text: &str) -> Option<Vec<Word>> {
    let lines = Lines::of(text);
    let tokens = lexical::tokens(&lines, &BoundedPostgreSql::for_text(text, 1)).ok()?;
    let mut words: Vec<Word> = Vec::with_capacity(tokens.len());
    let (mut after_name, mut in_path) = (false, false);
    for token in tokens {
        let key = match &token.token {
            Token::LParen | Token::RParen => None,
            Token::Period if after_name => {
                in_path = true;
                continue;
            }
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
            Token::Word(word) => Some(word.value.clone()),
            other => Some(other.to_string()),
        };
        after_name = matches!(token.token, Token::Word(_));
        let continues = std::mem::take(&mut in_path);
        match (key, words.last_mut()) {
            (Some(key), Some(path)) if continues => path.key = key,
            (Some(key), _) => {
                let before = u32::try_from(lines.characters_before(token.span.start)).ok()?;
                words.push(Word { key, at: before.checked_add(1)? });
            }
            (None, _) => {}
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest of the client's text at the place that a word of ours stands for, the first or the n-th of its kind.
    fn traced<'s>(ran: &str, word: &str, nth: usize, sent: &'s str) -> Option<&'s str> {
        let (byte, _) = ran.match_indices(word).nth(nth).unwrap();
        let at = u32::try_from(ran.get(..byte).unwrap().chars().count() + 1).unwrap();
        let found = usize::try_from(trace_back(ran, at, sent)?).unwrap();
        sent.get(sent.char_indices().nth(found - 1).unwrap().0..)
    }

    #[test]
    fn a_name_is_found_however_it_is_printed() {
        let ran = r#"SELECT "nope" FROM "s"."t" LIMIT 10001"#;
        assert_eq!(traced(ran, "\"nope\"", 0, "select nope from t"), Some("nope from t"));
        assert_eq!(traced(ran, "\"s\"", 0, "select nope from t"), Some("t"));
        assert_eq!(traced(ran, "\"nope\"", 0, "-- é\nselect\n  NOPE\nfrom s.t"), Some("NOPE\nfrom s.t"));
        let ran = r#"SELECT "a"."x", ("pg_catalog"."abs"("a"."nope")) = (1) FROM "t" AS "a""#;
        assert_eq!(
            traced(ran, "\"pg_catalog\"", 0, "SELECT 'é', abs(a.nope) = 1 FROM t a"),
            Some("abs(a.nope) = 1 FROM t a")
        );
        assert_eq!(
            traced(ran, "\"a\".\"nope\"", 0, "SELECT a.x, abs(a.nope) = 1 FROM t a"),
            Some("a.nope) = 1 FROM t a")
        );
        assert_eq!(traced(ran, "=", 0, "SELECT a.x, abs(a.nope)=1 FROM t a"), Some("=1 FROM t a"));
    }

    #[test]
    fn of_equal_words_that_with_the_same_around_it_is_meant() {
        let ran = r#"SELECT "x" + 1, "x" || 'a' FROM "t""#;
        assert_eq!(traced(ran, "\"x\"", 1, "select x + 1, x || 'a' from t"), Some("x || 'a' from t"));
        // Several statements in a message.
        assert_eq!(traced(ran, "\"x\"", 1, "select x from t; select x + 1, x || 'a' from t"), Some("x || 'a' from t"));
    }

    #[test]
    fn what_the_client_did_not_write_has_no_place() {
        let ran = r#"SELECT "a" FROM (SELECT * FROM "t" WHERE ("hidden" = 'x')) AS "t" LIMIT 10001"#;
        for word in ["\"hidden\"", "'x'", "10001", "WHERE", "("] {
            assert_eq!(traced(ran, word, 0, "select a from t"), None, "{word}");
        }
        // Nor has a word elsewhere whose surroundings are others, or a place between words.
        assert_eq!(traced(ran, "\"hidden\"", 0, "select 1 as hidden union all select 2"), None);
        assert_eq!(trace_back(ran, 2, "select a from t"), None);
        assert_eq!(trace_back(ran, 0, "select a from t"), None);
        assert_eq!(trace_back(ran, u32::MAX, "select 'a"), None);
    }
}
