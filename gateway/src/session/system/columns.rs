//! `passgate.columns`: the columns that the caller may see, and what is known of them.

use std::sync::Arc;
use std::time::SystemTime;

use passgate_connectors::{Column, Relation, RelationKind};
use passgate_policy::{ColumnFacts, Tag};

use super::tables::is_described;
use super::value::{Type, Value};
use super::{Form, Row, Rows, Session, column};
use crate::plan::{Entry, Model, Shadowed};
use crate::session::error::Failure;
use crate::session::ready::Ready;
use crate::sources::Freshness;

pub(super) const ROW: Row = Row {
    name: "columns",
    form: Form::Relation,
    manual: "The columns of `passgate.tables` that the caller may see, with their types, comments and tags. \
             `is_described` says whether the comment says anything beside tags.",
    columns: &[
        column("schema", Type::Text),
        column("table", Type::Text),
        column("name", Type::Text),
        column("position", Type::Integer),
        column("type", Type::Text),
        column("comment", Type::Text),
        column("tags", Type::Text),
        column("is_described", Type::Boolean),
        column("read_at", Type::Moment),
    ],
    produce: |session, _, _| Box::pin(rows(session)),
};

async fn rows(session: &mut Session<Ready>) -> Rows {
    let seen = overview(session).await?;
    let mut rows = Vec::new();
    for (entry, columns) in seen.relations() {
        for (position, (column, facts)) in (1..).zip(columns) {
            let tags: Vec<&Tag> = facts.iter().flat_map(|facts| &facts.tags).collect();
            rows.push(vec![
                Value::Text(entry.relation.schema.clone()),
                Value::Text(entry.relation.name.clone()),
                Value::Text(column.name.clone()),
                Value::Integer(position),
                Value::Text(column.type_name.clone()),
                Value::text(column.comment.clone()),
                listed(&tags),
                Value::Boolean(is_described(column.comment.as_deref())),
                read_at(&seen.freshness),
            ]);
        }
    }
    Ok(rows)
}

/// What a person sees of a source, and how old it is.
pub(super) struct Overview {
    model: Arc<Model>,
    shadowed: Shadowed,
    pub(super) freshness: Freshness,
}

/// The source of the session, as its person sees it now.
pub(super) async fn overview(session: &mut Session<Ready>) -> Result<Overview, Failure> {
    let services = session.services.clone();
    let policies = services.policies.borrow().clone();
    let (source, caller) = (session.state.source.clone(), session.state.caller.clone());
    let model = session.attended(services.sources.model(&source, &caller, &policies)).await?;
    let facts = session.facts().await;
    let shadowed = session.shadowed(&model, &policies, &facts).await?;
    Ok(Overview { model, shadowed, freshness: services.sources.freshness(&source) })
}

/// A column that is seen, and what policies know of it.
pub(super) type SeenColumn<'a> = (&'a Column, Option<&'a ColumnFacts>);

impl Overview {
    /// What is seen, by schema and name: relations, and of each the columns.
    pub(super) fn relations(&self) -> Vec<(&Entry, Vec<SeenColumn<'_>>)> {
        let visibility = &self.shadowed.visibility;
        let mut seen: Vec<_> = self
            .model
            .relations()
            .filter_map(|entry| {
                let visible = visibility.relation(&entry.relation.schema, &entry.relation.name)?;
                let columns = entry.relation.columns.iter().filter(|column| visible.columns.contains(&column.name));
                Some((entry, columns.map(|column| (column, entry.facts.column(&column.name))).collect()))
            })
            .collect();
        seen.sort_by_key(|(entry, _): &(&Entry, Vec<_>)| (&entry.relation.schema, &entry.relation.name));
        seen
    }
}

/// Names in a list; nothing where there is none.
pub(super) fn listed(tags: &[&Tag]) -> Value {
    let names: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
    if names.is_empty() { Value::Null } else { Value::Text(names.join(", ")) }
}

/// What a relation is.
pub(super) fn kind(relation: &Relation) -> &'static str {
    match relation.kind {
        RelationKind::Table => "table",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
    }
}

/// When a source was read.
pub(super) fn read_at(freshness: &Freshness) -> Value {
    let since = freshness.read_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(Value::Null, |since| Value::seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
}
