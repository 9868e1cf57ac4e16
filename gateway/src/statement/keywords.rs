//! PostgreSQL's keywords, and where each may be a name.
//!
//! The parser's own list serves every dialect: it takes words for keywords that PostgreSQL does not have, and reserves
//! others where PostgreSQL does not. `keywords.txt` is what `pg_get_keywords()` of PostgreSQL 15 says (`U` unreserved,
//! `C` not for functions and types, `T` for functions and types only, `R` reserved; `as` where a column's alias needs
//! AS), with the words of versions 16 to 18 added.
//! Source: <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlparser::ast::Ident;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

/// Where a keyword may be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Anywhere.
    Unreserved,
    /// For columns and tables.
    Column,
    /// For functions and types.
    Function,
    /// Nowhere without quotes.
    Reserved,
}

struct Meaning {
    category: Category,
    alias_needs_as: bool,
}

static MEANINGS: LazyLock<HashMap<&'static str, Meaning>> = LazyLock::new(|| {
    include_str!("keywords.txt")
        .lines()
        .filter_map(|line| {
            let mut parts = line.split(' ');
            let word = parts.next()?;
            let category = match parts.next()? {
                "U" => Category::Unreserved,
                "C" => Category::Column,
                "T" => Category::Function,
                _ => Category::Reserved,
            };
            Some((word, Meaning { category, alias_needs_as: parts.next().is_some() }))
        })
        .collect()
});

/// The keywords of the parser that PostgreSQL has, by what they are to PostgreSQL.
static KEYWORDS: LazyLock<HashMap<Keyword, &'static Meaning>> = LazyLock::new(|| {
    MEANINGS
        .iter()
        .filter_map(|(word, meaning)| match Token::make_word(word, None) {
            Token::Word(Word { keyword: Keyword::NoKeyword, .. }) => None,
            Token::Word(word) => Some((word.keyword, meaning)),
            _ => None,
        })
        .collect()
});

/// What a word is to PostgreSQL; nothing where it is no keyword.
pub(super) fn category(word: &Word) -> Option<Category> {
    match word.quote_style {
        Some(_) => None,
        None => MEANINGS.get(word.value.to_ascii_lowercase().as_str()).map(|meaning| meaning.category),
    }
}

/// Whether a name stands without the quotes it needs.
pub(super) fn is_reserved(ident: &Ident) -> bool {
    let meaning = MEANINGS.get(ident.value.to_ascii_lowercase().as_str());
    ident.quote_style.is_none() && meaning.is_some_and(|meaning| meaning.category == Category::Reserved)
}

/// Whether a word may name a column or a table without quotes.
pub(super) fn may_be_name(word: &Word) -> bool {
    matches!(category(word), None | Some(Category::Unreserved | Category::Column))
}

/// Whether a column's alias may be this without AS.
pub(super) fn may_be_bare_alias(keyword: Keyword) -> bool {
    KEYWORDS.get(&keyword).is_none_or(|meaning| !meaning.alias_needs_as)
}

/// Whether a table's alias may be this without AS.
pub(super) fn may_be_table_alias(keyword: Keyword) -> bool {
    // SET and VALUES follow the table in UPDATE and INSERT.
    !matches!(keyword, Keyword::SET | Keyword::VALUES)
        && KEYWORDS
            .get(&keyword)
            .is_none_or(|meaning| matches!(meaning.category, Category::Unreserved | Category::Column))
}

/// Takes from a word what only the parser takes for a keyword. `BERNOULLI` is a name to PostgreSQL, too, but the
/// parser must see it after TABLESAMPLE.
pub(super) fn forget_foreign(word: &mut Word) {
    if word.keyword != Keyword::BERNOULLI && !KEYWORDS.contains_key(&word.keyword) {
        word.keyword = Keyword::NoKeyword;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        match Token::make_word(text, None) {
            Token::Word(mut word) => {
                forget_foreign(&mut word);
                word
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_are_what_postgresql_says() {
        assert_eq!(word("top").keyword, Keyword::NoKeyword);
        assert_eq!(word("qualify").keyword, Keyword::NoKeyword);
        assert_eq!(word("Select").keyword, Keyword::SELECT);
        assert_eq!(category(&word("values")), Some(Category::Column));
        assert!(may_be_name(&word("view")) && !may_be_name(&word("left")) && may_be_name(&word("pivot")));
        assert!(may_be_table_alias(Keyword::VIEW) && !may_be_table_alias(Keyword::LEFT));
        assert!(may_be_bare_alias(Keyword::LEFT) && !may_be_bare_alias(Keyword::UNION));
    }
}
