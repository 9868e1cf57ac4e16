//! What a person may see of a source: the policies asked about each of its relations.

use std::sync::Arc;

use passgate_policy::{Facts, Identity, Place, PolicySet, TableUse, Visible, visible};

use super::model::Model;
use crate::catalog::Snapshot;
use crate::catalog::shadow::{Visibility, VisibleColumns, VisibleRelation};

/// Whose shadow answers a statement: what the source held when it was decided, and what of it the person may see.
#[derive(Clone, Debug)]
pub struct Shadowed {
    /// What the source held.
    pub snapshot: Arc<Snapshot>,
    /// What the person may see of it.
    pub visibility: Arc<Visibility>,
}

impl Shadowed {
    /// Whether it is the very same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.visibility, &other.visibility) && Arc::ptr_eq(&self.snapshot, &other.snapshot)
    }
}

/// Everything that a person may see of a source now. Pure; takes a while for a source of many relations.
pub fn visibility(model: &Model, policies: &PolicySet, identity: &Arc<Identity>, facts: &Facts) -> Visibility {
    let mut seen = Visibility::default();
    for entry in model.relations() {
        let (at, table, built_on) =
            (Place { line: 1, column: 1 }, Arc::clone(&entry.facts), Arc::clone(&entry.built_on));
        match visible(policies, identity, facts, &TableUse { table, at, built_on }) {
            Visible::No => {}
            Visible::Columns { names, governed } => {
                let is_whole = names.len() == entry.relation.columns.len();
                let columns = if is_whole { VisibleColumns::All } else { VisibleColumns::Only(names) };
                let (schema, name) = (&entry.relation.schema, &entry.relation.name);
                seen.show(schema, name, VisibleRelation { columns, governed, statistics: !governed });
            }
        }
    }
    seen
}
