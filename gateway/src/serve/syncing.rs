//! `passgate sync`: reads what the sources hold, as the gateway would, and says how that goes and what is there.

use std::time::Instant;

use passgate_connectors::{Metadata, Progress, RelationKind, Source};

use super::parts;
use crate::config::{Loaded, Problem};

/// Reads the source of this name, or all of them; `tell` is given a line whenever there is another to show. Gives a line
/// for each source.
pub async fn sync(
    loaded: &Loaded,
    name: Option<&str>,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<String>, Vec<Problem>> {
    let (mut lines, mut problems, mut found) = (Vec::new(), Vec::new(), false);
    for (index, Source { connector, .. }) in parts::sources(loaded)?.into_iter().enumerate() {
        let source = connector.name().clone();
        if name.is_some_and(|name| name != source.as_str()) {
            continue;
        }
        found = true;
        let started = Instant::now();
        let progress = |Progress { what, rows, part, parts }: Progress| {
            tell(&format!("{source}: {part} of {parts}, {rows} {what}"));
        };
        match connector.crawl_telling(None, &progress).await {
            Ok(metadata) => {
                lines.push(format!("{source}: {} in {} ms", held(&metadata), started.elapsed().as_millis()))
            }
            Err(error) => {
                problems.push(loaded.problem(&["databases", &index.to_string()], error.to_string(), None));
            }
        }
    }
    if !found {
        let message = format!("there is no source \"{}\"", name.unwrap_or_default());
        problems.push(loaded.problem(&["databases"], message, None));
    }
    if problems.is_empty() { Ok(lines) } else { Err(problems) }
}

/// What a source holds, in a line.
fn held(metadata: &Metadata) -> String {
    let relations = &metadata.relations;
    let tables = relations.iter().filter(|relation| relation.kind == RelationKind::Table).count();
    let columns = || relations.iter().flat_map(|relation| &relation.columns);
    let not_described = columns().filter(|column| column.comment.is_none()).count();
    format!(
        "{tables} tables, {} views, {} columns ({not_described} without a comment), {} functions, {} types",
        relations.len() - tables,
        columns().count(),
        metadata.functions.len(),
        metadata.types.len(),
    )
}

#[cfg(test)]
mod tests {
    use passgate_connectors::{Column, Relation};

    use super::*;

    #[test]
    fn what_a_source_holds_is_said_in_a_line() {
        let column = |comment: Option<&str>| Column { comment: comment.map(str::to_owned), ..Column::default() };
        let table = Relation { columns: vec![column(None), column(Some("what"))], ..Relation::default() };
        let view = Relation { kind: RelationKind::View, ..Relation::default() };
        let metadata = Metadata { relations: vec![table, view], ..Metadata::default() };
        let expected = "1 tables, 1 views, 2 columns (1 without a comment), 0 functions, 0 types";
        assert_eq!(held(&metadata), expected);
    }
}
