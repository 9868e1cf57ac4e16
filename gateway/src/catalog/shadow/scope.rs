//! What is shown, found once: relations with their visible columns, and from them schemas, types and sequences.
//!
//! Everything else of the shadow is made from this, so that nothing can be shown that was not found to be visible.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use passgate_connectors::{Column, Filled, Relation, RelationKind, Sequence, Type, TypeForm};

use super::words::qualified;
use super::{Visibility, VisibleRelation};
use crate::catalog::Snapshot;

/// What one person is shown of a source.
pub(super) struct Scope<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// By oid, the oldest first, which is the order in which they were made.
    pub(super) relations: Vec<Shown<'a>>,
    by_name: HashMap<(&'a str, &'a str), usize>,
    /// Names of what is not shown, by which it can be known wherever they stand.
    hidden: HashSet<String>,
    /// Schemas, by name.
    pub(super) schemas: BTreeSet<&'a str>,
    /// Types, each after those that it is made of.
    pub(super) types: Vec<&'a Type>,
    /// Types of tables' rows, and of arrays of them.
    pub(super) row_types: BTreeSet<u32>,
    /// Sequences of visible columns.
    pub(super) sequences: Vec<&'a Sequence>,
}

/// A relation that is shown.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) relation: &'a Relation,
    pub(super) seen: &'a VisibleRelation,
}

impl<'a> Scope<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, visibility: &'a Visibility) -> Self {
        let mut relations: Vec<Shown<'a>> = snapshot
            .relations()
            .filter_map(|entry| {
                let relation = &*entry.relation;
                let seen = visibility.relation(&relation.schema, &relation.name)?;
                Some(Shown { relation, seen })
            })
            .collect();
        relations.sort_by_key(|shown| (shown.relation.details.oids.relation, shown.name()));
        let by_name = relations.iter().enumerate().map(|(place, shown)| (shown.name(), place)).collect();
        let row_types = relations.iter().flat_map(|shown| {
            let oids = shown.relation.details.oids;
            [oids.row, oids.array]
        });
        let mut scope = Self {
            snapshot,
            row_types: row_types.filter(|oid| *oid != 0).collect(),
            by_name,
            hidden: HashSet::new(),
            schemas: BTreeSet::new(),
            types: Vec::new(),
            sequences: Vec::new(),
            relations,
        };
        scope.schemas = scope.shown_schemas(visibility);
        scope.types = scope.shown_types();
        scope.schemas.extend(scope.types.iter().map(|of| of.schema.as_str()));
        scope.hidden = scope.hidden_names();
        scope.sequences = snapshot.sequences().iter().filter(|sequence| scope.shows_sequence(sequence)).collect();
        scope
    }

    /// A relation, where it is shown.
    pub(super) fn relation(&self, schema: &str, name: &str) -> Option<Shown<'a>> {
        self.by_name.get(&(schema, name)).and_then(|place| self.relations.get(*place)).copied()
    }

    /// Tables, the oldest first.
    pub(super) fn tables(&self) -> impl Iterator<Item = Shown<'a>> {
        self.relations.iter().filter(|shown| shown.relation.kind == RelationKind::Table).copied()
    }

    /// A schema is hidden by all of its relations being hidden: its name may say as much as theirs.
    fn shown_schemas(&self, visibility: &Visibility) -> BTreeSet<&'a str> {
        let snapshot = self.snapshot;
        let ordinary = ["public", snapshot.default_schema()];
        let named = snapshot
            .schemas()
            .iter()
            .map(|schema| schema.name.as_str())
            .filter(|name| visibility.shows_schema(name) || ordinary.contains(name) || !snapshot.has_schema(name));
        named.chain(self.relations.iter().map(|shown| shown.relation.schema.as_str())).collect()
    }

    /// Types of shown schemas, and those that visible columns have, wherever they are. One that only hidden columns have
    /// says what they hold.
    fn shown_types(&self) -> Vec<&'a Type> {
        let columns = self.snapshot.relations().flat_map(|entry| &entry.relation.columns);
        let used: HashSet<u32> = columns.map(|column| column.type_oid).collect();
        let is_used = |of: &Type| used.contains(&of.oids.row) || used.contains(&of.oids.array);
        let types = self.snapshot.types();
        let by_oid: BTreeMap<u32, &'a Type> =
            types.iter().flat_map(|of| [(of.oids.row, of), (of.oids.array, of)]).filter(|(oid, _)| *oid != 0).collect();
        let mut order = Order { by_oid, done: BTreeSet::new(), types: Vec::new() };
        let is_shown = |of: &&Type| self.schemas.contains(of.schema.as_str()) && of.extension.is_none() && !is_used(of);
        types.iter().filter(is_shown).for_each(|of| order.add(of.oids.row));
        for column in self.relations.iter().flat_map(Shown::columns) {
            order.add(column.type_oid);
        }
        order.types
    }

    /// Hidden relations in their schemas, and hidden relations and columns that are called what is no word of a language
    /// and what nothing that is shown is called.
    fn hidden_names(&self) -> HashSet<String> {
        let is_a_word = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut hidden = HashSet::new();
        let mut shown = HashSet::new();
        for relation in self.snapshot.relations().map(|entry| &*entry.relation) {
            let seen = self.relation(&relation.schema, &relation.name);
            match seen {
                Some(_) => drop(shown.insert(relation.name.to_lowercase())),
                None => {
                    hidden.insert(format!("{}.{}", relation.schema, relation.name).to_lowercase());
                    hidden.extend((!is_a_word(&relation.name)).then(|| relation.name.to_lowercase()));
                }
            }
            for column in &relation.columns {
                match seen.is_some_and(|shown| shown.seen.columns.contains(&column.name)) {
                    true => drop(shown.insert(column.name.to_lowercase())),
                    false => hidden.extend((!is_a_word(&column.name)).then(|| column.name.to_lowercase())),
                }
            }
        }
        &hidden - &shown
    }

    /// Whether a text names something that is not shown.
    pub(super) fn is_told_by(&self, text: &str) -> bool {
        if self.hidden.is_empty() {
            return false;
        }
        let text = text.to_lowercase();
        let named = |of: &str| self.hidden.contains(of);
        let mut words = text.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '$' | '.')));
        words.any(|word| {
            let parts: Vec<&str> = word.split('.').collect();
            let pairs = parts.windows(2).map(|pair| pair.join("."));
            parts.iter().any(|part| named(part)) || pairs.into_iter().any(|pair| named(&pair))
        })
    }

    fn shows_sequence(&self, sequence: &Sequence) -> bool {
        if let Some((schema, table, column)) = &sequence.owned_by {
            let shown = self.relation(schema, table);
            return !sequence.is_identity && shown.is_some_and(|shown| shown.seen.columns.contains(column));
        }
        let called = format!("nextval('{}.", sequence.schema);
        let plain = format!("{called}{}'::", sequence.name);
        let quoted = format!("nextval('{}'::", qualified(&sequence.schema, &sequence.name));
        let defaults = self.relations.iter().flat_map(Shown::columns).filter_map(|column| column.default.as_deref());
        let mut defaults = defaults.filter(|default| default.starts_with("nextval("));
        defaults.any(|default| default.starts_with(&plain) || default.starts_with(&quoted))
    }
}

impl<'a> Shown<'a> {
    pub(super) fn name(&self) -> (&'a str, &'a str) {
        (&self.relation.schema, &self.relation.name)
    }

    /// Its name, as SQL writes it.
    pub(super) fn qualified(&self) -> String {
        qualified(&self.relation.schema, &self.relation.name)
    }

    /// Its visible columns, in order.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'a Column> + use<'a> {
        let seen = self.seen;
        self.relation.columns.iter().filter(|column| seen.columns.contains(&column.name))
    }

    /// Whether every one of these columns is visible.
    pub(super) fn shows<'n>(&self, columns: impl IntoIterator<Item = &'n String>) -> bool {
        columns.into_iter().all(|column| self.seen.columns.contains(column))
    }

    /// Whether every column there is is visible.
    pub(super) fn shows_all(&self) -> bool {
        self.relation.columns.iter().all(|column| self.seen.columns.contains(&column.name))
    }

    /// The default of a column, where it may be shown: where a policy governs the table, only that it counts on.
    pub(super) fn default(&self, column: &'a Column) -> Option<&'a str> {
        let default = column.default.as_deref()?;
        let counts = default.starts_with("nextval(") && column.filled == Filled::ByDefault;
        (counts || !self.seen.governed).then_some(default)
    }
}

/// Types, each after those that it is made of. Ends on any, circles included.
struct Order<'a> {
    by_oid: BTreeMap<u32, &'a Type>,
    done: BTreeSet<u32>,
    types: Vec<&'a Type>,
}

impl Order<'_> {
    fn add(&mut self, oid: u32) {
        // Not by recursion: how deep types are made of each other is the source's choice.
        let mut waiting = vec![(oid, false)];
        while let Some((oid, below_is_done)) = waiting.pop() {
            let Some(of) = self.by_oid.get(&oid).copied() else { continue };
            if below_is_done {
                self.types.push(of);
            } else if self.done.insert(of.oids.row) {
                waiting.push((oid, true));
                waiting.extend(made_of(of).into_iter().map(|below| (below, false)));
            }
        }
    }
}

fn made_of(of: &Type) -> Vec<u32> {
    match &of.form {
        TypeForm::Base | TypeForm::Enum { .. } => Vec::new(),
        TypeForm::Domain { base_oid, .. } => vec![*base_oid],
        TypeForm::Composite { columns } => columns.iter().map(|column| column.type_oid).collect(),
        TypeForm::Range { of_oid, .. } => vec![*of_oid],
    }
}
