//! `passgate.tables`: the tables of the source that the caller may see, and what is known of them.

use passgate_policy::Tag;

use super::columns::{listed, overview, read_at};
use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::session::ready::Ready;

pub(super) const ROW: Row = Row {
    name: "tables",
    form: Form::Relation,
    manual: "The tables and views of this session's source that the caller may see: what the source says of them, their \
             tags from every place that gives them, and whether a description is missing, of the table or of any of its \
             columns. `read_at` is when the source was read last; `refresh_failed` says why it could not be read again \
             since.",
    columns: &[
        column("schema", Type::Text),
        column("name", Type::Text),
        column("kind", Type::Text),
        column("comment", Type::Text),
        column("tags", Type::Text),
        column("columns", Type::Integer),
        column("is_described", Type::Boolean),
        column("columns_not_described", Type::Integer),
        column("read_at", Type::Moment),
        column("refresh_failed", Type::Text),
    ],
    produce: |session, _, _| Box::pin(rows(session)),
};

async fn rows(session: &mut Session<Ready>) -> Rows {
    let seen = overview(session).await?;
    let count = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let rows = seen.relations().into_iter().map(|(entry, columns)| {
        let relation = &entry.relation;
        let described = columns.iter().filter(|(column, _)| is_described(column.comment.as_deref())).count();
        let tags: Vec<&Tag> = entry.facts.tags.iter().collect();
        vec![
            Value::Text(relation.schema.clone()),
            Value::Text(relation.name.clone()),
            Value::Text(super::columns::kind(relation).to_owned()),
            Value::text(relation.comment.clone()),
            listed(&tags),
            count(columns.len()),
            Value::Boolean(is_described(relation.comment.as_deref())),
            count(columns.len() - described),
            read_at(&seen.freshness),
            Value::text(seen.freshness.failed.clone()),
        ]
    });
    Ok(rows.collect())
}

/// Whether a comment says anything beside tags.
pub(super) fn is_described(comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| comment.split_whitespace().any(|word| !word.starts_with("tag:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_describe_nothing() {
        assert!(is_described(Some("social security number tag:pii.ssn")));
        for nothing in [None, Some(""), Some(" tag:pii tag:phi")] {
            assert!(!is_described(nothing), "{nothing:?}");
        }
    }
}
