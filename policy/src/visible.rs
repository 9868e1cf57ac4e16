//! What of a source a person may know of: the tables that a statement may name, and the columns that they have for it.
//!
//! Separate from deciding because nothing is asked for yet: a catalog that shows what is visible shows neither more nor
//! less than what [`decide`](crate::decide) would let a statement name. It depends on who asks, and when, and on no
//! statement.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::decide::Verdict;
use crate::{
    ColumnUse, Facts, Identity, Obligation, PolicySet, Request, RuleReference, SourceName, StatementDigest,
    StatementKind, TableUse,
};

/// What a person sees of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Nothing: for them it does not exist.
    No,
    /// The table, with these of its columns.
    Columns {
        /// By name.
        names: BTreeSet<String>,
        /// Whether rows of it or of what it is built on are filtered, or columns masked or hidden, or another table
        /// answers in its place: what is known of all its rows then tells more than what is shown of them.
        governed: bool,
    },
}

/// What a table is to a person, now. Pure.
///
/// A table is hidden if every statement that names it is refused for that, whichever of its columns it reads. What is
/// refused whatever it names, is held for an approval, or reads another table in its place hides nothing.
pub fn visible(policies: &PolicySet, identity: &Arc<Identity>, facts: &Facts, table: &TableUse) -> Visible {
    let question = Question { policies, identity, facts, source: &table.name().source };
    let bare = question.asked(Some(table), Vec::new());
    let of_table = |hidden: &Obligation| match hidden {
        Obligation::HideColumn { table: of, column, rule: _ } if of == table.name() => Some(column.clone()),
        _ => None,
    };
    let hidden: BTreeSet<String> = bare.obligations().iter().filter_map(of_table).collect();
    let columns = table.table.columns.iter().map(|column| column.name.clone());
    let names: BTreeSet<String> = columns.filter(|column| !hidden.contains(column)).collect();
    // Another table answers under its name, if the person may read that one.
    let is_redirected = bare.is_redirected();
    if bare.is_refused() && !is_redirected {
        let anyway = question.asked(None, Vec::new());
        let because_of_it =
            |verdict: &Verdict| verdict.refusing().any(|rule| anyway.refusing().all(|other| other != rule));
        if because_of_it(&bare) && because_of_it(&question.asked(Some(table), used(table, &names))) {
            return Visible::No;
        }
    }
    let governs = |obligation: &Obligation| match obligation {
        Obligation::LimitRows { .. } => false,
        Obligation::FilterRows { .. } | Obligation::MaskColumn { .. } | Obligation::HideColumn { .. } => true,
    };
    Visible::Columns { names, governed: is_redirected || bare.obligations().iter().any(governs) }
}

/// Who asks, and when.
struct Question<'a> {
    policies: &'a PolicySet,
    identity: &'a Arc<Identity>,
    facts: &'a Facts,
    source: &'a SourceName,
}

impl Question<'_> {
    /// What the policies say of a statement that reads nothing but this.
    fn asked(&self, table: Option<&TableUse>, columns: Vec<ColumnUse>) -> Verdict {
        let nothing = StatementDigest([0; 32]);
        let request = Request {
            tables: table.into_iter().cloned().collect(),
            columns,
            facts: self.facts.clone(),
            ..Request::new(nothing, StatementKind::Query, self.source.clone(), Arc::clone(self.identity))
        };
        Verdict::of(self.policies.judges.iter(), &request)
    }
}

fn used(table: &TableUse, columns: &BTreeSet<String>) -> Vec<ColumnUse> {
    let used = |column: &String| ColumnUse {
        table: Arc::clone(&table.table),
        column: column.clone(),
        in_answer: true,
        in_predicate: false,
        at: table.at,
    };
    columns.iter().map(used).collect()
}

impl Verdict {
    fn is_refused(&self) -> bool {
        self.refusing().next().is_some()
    }

    fn refusing(&self) -> impl Iterator<Item = &RuleReference> {
        self.reasons().map(|reason| &reason.rule)
    }
}
