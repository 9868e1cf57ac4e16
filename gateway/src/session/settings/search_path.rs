//! `search_path`: which schemas a name without one is looked for in.
//!
//! It is honoured by the gateway's own name resolution and never told to a source, so the two cannot disagree.
//! Source: `SplitIdentifierString` in PostgreSQL's `src/backend/utils/adt/varlena.c`.

use std::sync::Arc;

/// The names of a list, folded and unquoted as PostgreSQL does; none if it is no list of names.
pub(super) fn names(value: &str) -> Option<Vec<String>> {
    let mut rest = value.trim();
    let mut names = Vec::new();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = name(rest)?;
        names.push(name);
        match after.trim_start() {
            "" => return Some(names),
            after => rest = after.strip_prefix(',')?.trim_start(),
        }
    }
}

/// The first name, and what stands after it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t', '\n', '\r']).unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        return if name.is_empty() { None } else { Some((name.to_lowercase(), after)) };
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return if name.is_empty() { None } else { Some((name, after)) },
        }
    }
}

/// Where a person's names are looked for: `"$user"` is the schema of their own name. `pg_catalog` is always looked in,
/// first unless it is named, and there are no temporary tables.
pub(super) fn schemas(value: &str, person: &str) -> Arc<[String]> {
    let own = |name: String| if name == "$user" { person.to_owned() } else { name };
    let names = names(value).unwrap_or_default();
    names.into_iter().filter(|name| name != "pg_temp").map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_postgresql_reads_it() {
        for (value, expected) in [
            ("", Some(vec![])),
            ("public", Some(vec!["public"])),
            (" \"$user\" , Public", Some(vec!["$user", "public"])),
            ("\"A \"\"b\"\", c\",d", Some(vec!["A \"b\", c", "d"])),
            ("a,", None),
            ("a b", None),
            ("\"a", None),
            ("\"\"", None),
        ] {
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(names(value), expected, "{value}");
        }
    }

    #[test]
    fn the_persons_own_schema_has_their_name() {
        assert_eq!(*schemas("\"$user\", pg_temp, public", "alice"), ["alice".to_owned(), "public".to_owned()]);
    }
}
