//! The `options` of a start-up packet: a command line of PostgreSQL's server.
//!
//! Source: `pg_split_opts` in PostgreSQL's `src/backend/utils/init/postinit.c`.

use super::Error;

/// Reads `-c name=value`, `-cname=value` and `--name=value`, with PostgreSQL's escapes: a backslash keeps a space.
pub(super) fn options(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut words = split_options(text).into_iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match (word.as_str(), word.strip_prefix("-c"), word.strip_prefix("--")) {
            ("-c", _, _) => words.next(),
            (_, Some(assignment), _) | (_, None, Some(assignment)) => Some(assignment.to_owned()),
            _ => None,
        };
        let pair = assignment.as_deref().and_then(|assignment| assignment.split_once('='));
        let (name, value) = pair.ok_or_else(|| Error::Options(word.clone()))?;
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

fn split_options(text: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                word.extend(characters.next());
                begun = true;
            }
            space if space.is_ascii_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}
