//! Names and texts as SQL writes them.

use passgate_connectors::Type;

/// A quoted identifier. <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name in a schema.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// Names in a list.
pub(super) fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A text, with `standard_conforming_strings` on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A COMMENT, where there is one to make.
pub(super) fn comment(on: impl FnOnce() -> String, text: Option<&str>) -> Option<String> {
    text.map(|text| format!("COMMENT ON {} IS {}", on(), literal(text)))
}

/// The options of a relation, such as `fillfactor=70`.
pub(super) fn options(options: &[String]) -> String {
    let options: Vec<String> = options
        .iter()
        .filter_map(|option| option.split_once('='))
        .map(|(name, value)| format!("{} = {}", quoted(name), literal(value)))
        .collect();
    if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
}

/// The name of a type.
pub(super) fn type_name(of: &Type) -> String {
    qualified(&of.schema, &of.name)
}

/// A type that is not built in without its modifier: `public.geometry(Point,4326)` is `public.geometry`. Types that are
/// built in have no schema in front of them.
pub(super) fn without_modifier(type_name: &str) -> String {
    let is_ours = type_name.split('(').next().is_some_and(|name| name.contains('.'));
    match (is_ours, type_name.split_once('('), type_name.rsplit_once(')')) {
        (true, Some((name, _)), Some((_, rest))) => format!("{name}{rest}"),
        _ => type_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_end_early() {
        assert_eq!(qualified("a\"b", "c"), "\"a\"\"b\".\"c\"");
        assert_eq!(comment(|| "TABLE t".to_owned(), Some("it's")).unwrap(), "COMMENT ON TABLE t IS 'it''s'");
        assert_eq!(comment(|| "TABLE t".to_owned(), None), None);
    }

    #[test]
    fn only_types_of_somebodys_own_lose_their_modifier() {
        assert_eq!(without_modifier("public.geometry(Point,4326)[]"), "public.geometry[]");
        assert_eq!(without_modifier("numeric(9,2)"), "numeric(9,2)");
        assert_eq!(without_modifier("shop.mood"), "shop.mood");
    }
}
