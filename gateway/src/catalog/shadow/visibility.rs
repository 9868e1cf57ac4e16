//! What one person may see of a source: the half of a shadow that depends on who asks.
//!
//! Plain data, so that whoever decides it (policies) and whoever makes a database of it need not know each other. Two
//! people who see the same have equal values, and so the same shadow.

use std::collections::{BTreeMap, BTreeSet};

/// What one person may see of a source. What is not in here does not exist for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Visibility {
    relations: BTreeMap<String, BTreeMap<String, VisibleRelation>>,
}

/// What one person may see of a table, view or materialised view that they may see at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VisibleRelation {
    /// The columns they may see, by name; a masked column is one of them.
    pub columns: VisibleColumns,
    /// Whether a policy filters or masks what they read of it, or of something that it is built on. Then nothing is
    /// shown of it that its rows or a view's definition could tell.
    pub governed: bool,
    /// Whether the source's estimates of its rows and bytes may be shown.
    pub statistics: bool,
}

/// Which columns of a relation are seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum VisibleColumns {
    /// All there are.
    #[default]
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Visibility {
    /// Lets a relation be seen.
    pub fn show(&mut self, schema: &str, name: &str, seen: VisibleRelation) {
        self.relations.entry(schema.to_owned()).or_default().insert(name.to_owned(), seen);
    }

    /// What is seen of a relation; nothing where it is not seen at all.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&VisibleRelation> {
        self.relations.get(schema)?.get(name)
    }

    /// Whether anything of a schema is seen.
    pub fn shows_schema(&self, schema: &str) -> bool {
        self.relations.contains_key(schema)
    }
}

impl VisibleColumns {
    /// Whether a column is seen.
    pub fn contains(&self, column: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(columns) => columns.contains(column),
        }
    }
}
