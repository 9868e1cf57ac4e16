//! Tags that a source's own comments give: `tag:pii.ssn` anywhere in the comment on a table or a column.

use std::collections::BTreeSet;

use passgate_policy::Tag;

/// Every tag that a comment names.
pub(super) fn in_comment(comment: Option<&str>) -> BTreeSet<Tag> {
    let words = comment.into_iter().flat_map(str::split_whitespace);
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '.' | '_' | '-');
    words
        .filter_map(|word| word.strip_prefix("tag:"))
        .map(|tag| tag.trim_end_matches(|character| !is_part(character)).trim_end_matches('.'))
        .filter(|tag| !tag.is_empty() && tag.chars().all(is_part))
        .map(Tag::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_anywhere_in_a_comment() {
        let tags = |comment| in_comment(Some(comment)).into_iter().map(|tag| tag.to_string()).collect::<Vec<_>>();
        assert_eq!(tags("Social security number. tag:pii.ssn, tag:phi."), ["phi", "pii.ssn"]);
        assert_eq!(tags("no tags: here, nor tag: here"), Vec::<String>::new());
        assert!(in_comment(None).is_empty());
    }
}
