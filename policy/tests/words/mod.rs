//! A reader of the SQL in policies that knows only words: those after `user.` are attributes, those in capitals and those
//! before a bracket belong to SQL, and the others are columns. The gateway's own reader is the real one; this one is for
//! tests of what policies make of what was read.

use std::collections::BTreeSet;

use super::{Sql, SqlFault, SqlUse};

/// Reads words.
#[derive(Debug)]
pub(crate) struct Words;

impl Sql for Words {
    fn read(&self, text: &str) -> Result<SqlUse, SqlFault> {
        let mut used = SqlUse { columns: BTreeSet::new(), attributes: BTreeSet::new() };
        if text.contains(';') {
            return Err(SqlFault { message: "there is more than one expression".to_owned(), suggestion: None });
        }
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || matches!(c, '_' | '\'')) {
            let (_, from) = rest.split_at(start);
            if let Some(literal) = from.strip_prefix('\'') {
                rest = literal.split_once('\'').map_or("", |(_, after)| after);
                continue;
            }
            let end = from.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            rest = after;
            let is_sql = word.chars().all(|c| c.is_uppercase() || c.is_numeric() || c == '.') || after.starts_with('(');
            if word.starts_with("user.") {
                used.attributes.insert(word.to_owned());
            } else if !is_sql {
                used.columns.insert(word.to_owned());
            }
        }
        Ok(used)
    }
}
