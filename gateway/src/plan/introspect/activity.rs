//! Views of how tables and indexes are used, which clients join to the list of these for estimates and comments.
//!
//! Beside such a list they are answered: they name what may be seen, and count nothing, but for the estimate of rows that
//! `pg_class` shows, too. Alone they are asked for what they count, and refused. Separate because it looks at what is
//! read together.

use crate::statement::tree::{Relation, Select};

const JOINED: [&str; 8] = [
    "pg_stat_all_indexes",
    "pg_stat_all_tables",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_statio_all_indexes",
    "pg_statio_all_tables",
    "pg_statio_user_indexes",
    "pg_statio_user_tables",
];

/// What lists what there is.
const LISTS: [&str; 3] = ["pg_class", "pg_description", "pg_index"];

/// Whether it is one of these views.
pub(super) fn is_joined(table: &str) -> bool {
    JOINED.contains(&table)
}

/// Whether a SELECT reads a list of what there is.
pub(super) fn is_beside(select: &Select) -> bool {
    let mut leaves = select.from.iter().flat_map(Relation::leaves);
    leaves.any(|relation| match relation {
        Relation::Table { name, .. } => name.0.last().is_some_and(|name| LISTS.contains(&name.text.as_str())),
        _ => false,
    })
}
