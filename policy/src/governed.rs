//! What filters, masks and hidden columns come to for the tables of one statement, and where they cannot be kept.
//!
//! A rule about a table is met wherever the statement reaches the table: under a view, as a part of a parent, as the
//! parent of a part. Every kind of rule says here what it asks of each table, and [`Governed::settle`] makes obligations
//! of it: one for a column, the strongest; and refuses where rows could come out past a rule. Separate from the kinds
//! because that needs to know what all of them said.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::names::ObjectName;
use crate::{
    ColumnFacts, Mask, Obligation, Place, PolicySql, Reason, Request, RuleReference, TableFacts, TableKind, TableName,
    TableUse, Tag,
};

/// Every table that a statement reaches, each once.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    entries: Vec<Reached>,
    /// Indices of `entries`, in the order of the names.
    by_name: Vec<usize>,
}

/// A table that a statement reaches.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) facts: Arc<TableFacts>,
    /// Where the statement names it, or what is built on it, first.
    pub(crate) at: Place,
}

impl Tables {
    /// The tables of a request and everything they are built on.
    pub(crate) fn of(request: &Request) -> Self {
        let mut entries: Vec<Reached> = Vec::new();
        let mut same: HashSet<*const TableFacts> = HashSet::new();
        let mut names: HashSet<&TableName> = HashSet::new();
        for used in &request.tables {
            for facts in used.closure() {
                if same.insert(Arc::as_ptr(facts)) && names.insert(&facts.name) {
                    entries.push(Reached { facts: Arc::clone(facts), at: used.at });
                }
            }
        }
        let mut by_name: Vec<usize> = (0..entries.len()).collect();
        by_name.sort_by_key(|index| entries.get(*index).map(|reached| &reached.facts.name));
        Self { entries, by_name }
    }

    /// Each table, with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Reached)> {
        self.entries.iter().enumerate()
    }

    fn number(&self, name: &TableName) -> Option<usize> {
        let found = self
            .by_name
            .binary_search_by_key(&Some(name), |index| self.entries.get(*index).map(|reached| &reached.facts.name));
        found.ok().and_then(|position| self.by_name.get(position)).copied()
    }

    fn facts(&self, name: &TableName) -> Option<&TableFacts> {
        self.number(name).and_then(|number| self.entries.get(number)).map(|reached| &*reached.facts)
    }

    /// A column's tags, with those that the same column of a parent has: what is said of a parent is said of its parts.
    pub(crate) fn tags_of<'t>(
        &'t self,
        table: &'t TableFacts,
        column: &'t ColumnFacts,
    ) -> impl Iterator<Item = &'t Tag> {
        let of_parents = table.parents.iter().filter_map(|parent| self.facts(parent)?.column(&column.name));
        std::iter::once(column).chain(of_parents).flat_map(|column| &column.tags)
    }

    /// A table's own tags, with those of its parents.
    pub(crate) fn own_tags<'t>(&'t self, table: &'t TableFacts) -> impl Iterator<Item = &'t Tag> {
        let parents = table.parents.iter().filter_map(|parent| self.facts(parent));
        std::iter::once(table).chain(parents).flat_map(|table| table.tags.difference(&table.inherited_tags))
    }
}

/// A table's own name and those of its parents: a rule about any of them is a rule about it.
pub(crate) fn names_of(table: &TableFacts) -> impl Iterator<Item = &TableName> {
    std::iter::once(&table.name).chain(&table.parents)
}

/// Which tables come out where one is read. A parent may be reached only because one of its parts is read; below a view
/// that cannot be told apart unless one of its parts is not reached.
pub(crate) struct Reading<'r> {
    used: &'r TableUse,
    children: HashSet<&'r TableName>,
    below_view: HashSet<&'r TableName>,
}

impl<'r> Reading<'r> {
    pub(crate) fn new(used: &'r TableUse) -> Self {
        let below = match used.table.kind {
            TableKind::Table => HashSet::new(),
            TableKind::View | TableKind::MaterializedView => used.closure().map(|facts| &facts.name).collect(),
        };
        Self { used, children: used.table.children.iter().collect(), below_view: below }
    }

    /// The tables whose rows come out.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &'r Arc<TableFacts>> {
        self.used.closure().filter(|table| match self.used.table.kind {
            _ if self.used.table.name == table.name => true,
            TableKind::Table => self.children.contains(&table.name),
            TableKind::View | TableKind::MaterializedView => {
                table.children.iter().all(|child| self.below_view.contains(child))
            }
        })
    }
}

/// Which rules, by number, are about a table: for every name that a policy file may call it by.
#[derive(Debug)]
pub(crate) struct ByTable<T>(HashMap<Box<str>, Vec<About<T>>>);

#[derive(Debug)]
struct About<T> {
    schema: Option<Box<str>>,
    what: T,
}

impl<T> Default for ByTable<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> ByTable<T> {
    pub(crate) fn add(&mut self, name: ObjectName, what: T) {
        self.0.entry(name.name).or_default().push(About { schema: name.schema, what });
    }

    /// Everything said of the table or of one of its parents.
    pub(crate) fn about<'s>(&'s self, table: &'s TableFacts) -> impl Iterator<Item = &'s T> {
        names_of(table).flat_map(|name| self.named(name))
    }

    /// Everything said of exactly this name.
    pub(crate) fn named<'s>(&'s self, name: &'s TableName) -> impl Iterator<Item = &'s T> {
        let same_name = self.0.get(name.table.as_str()).into_iter().flatten();
        same_name
            .filter(|about| about.schema.as_deref().is_none_or(|schema| schema == name.schema))
            .map(|about| &about.what)
    }
}

/// Which rules, by number, are about what has a tag.
#[derive(Debug, Default)]
pub(crate) struct ByTag(HashMap<Box<str>, Vec<usize>>);

impl ByTag {
    pub(crate) fn add(&mut self, tag: &Tag, rule: usize) {
        self.0.entry(tag.as_str().into()).or_default().push(rule);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules whose tag covers this one: `pii` and `pii.ssn` for `pii.ssn`.
    pub(crate) fn about<'s>(&'s self, tag: &'s Tag) -> impl Iterator<Item = usize> + 's {
        let tag = tag.as_str();
        let ends = tag.match_indices('.').map(|(end, _)| end).chain([tag.len()]);
        ends.filter_map(|end| self.0.get(tag.get(..end)?)).flatten().copied()
    }
}

/// What one rule asks of one table.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// The table's number.
    pub(crate) table: usize,
    pub(crate) what: Asked,
    /// The rule's number among those of its kind.
    pub(crate) number: usize,
    pub(crate) rule: RuleReference,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Filter(PolicySql),
    Mask { column: Arc<str>, mask: Mask },
    Hide { column: Arc<str> },
}

impl Demand {
    /// Whether one rule asks both, of two tables.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.what, &other.what) {
            (Asked::Filter(_), Asked::Filter(_)) => self.number == other.number,
            (Asked::Mask { column, mask: _ }, Asked::Mask { column: others, mask: _ }) => {
                self.number == other.number && column == others
            }
            // Which of several reserving rules is told makes no difference.
            (Asked::Hide { column }, Asked::Hide { column: others }) => column == others,
            (Asked::Filter(_) | Asked::Mask { .. } | Asked::Hide { .. }, _) => false,
        }
    }

    fn described(&self) -> String {
        match &self.what {
            Asked::Filter(_) => "filters its rows".to_owned(),
            Asked::Mask { column, mask: _ } => format!("masks its column {column}"),
            Asked::Hide { column } => format!("hides its column {column}"),
        }
    }
}

/// What all rules ask of the tables of one statement.
#[derive(Debug, Default)]
pub(crate) struct Governed {
    demands: Vec<Demand>,
    /// Refusals that speak of a column: they are told where the column is not hidden.
    of_columns: Vec<(usize, Arc<str>, Reason)>,
    /// Materialised views whose copies some rule lets out.
    released: BTreeSet<usize>,
}

impl Governed {
    pub(crate) fn demand(&mut self, demand: Demand) {
        self.demands.push(demand);
    }

    pub(crate) fn refuse_column(&mut self, table: usize, column: &str, reason: Reason) {
        self.of_columns.push((table, column.into(), reason));
    }

    pub(crate) fn release(&mut self, table: usize) {
        self.released.insert(table);
    }

    /// The obligations, and the reasons for which they would not be enough.
    pub(crate) fn settle(self, request: &Request, tables: &Tables) -> (Vec<Obligation>, Vec<Reason>) {
        if self.demands.is_empty() && self.of_columns.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut of_tables: BTreeMap<usize, Vec<&Demand>> = BTreeMap::new();
        for demand in &self.demands {
            of_tables.entry(demand.table).or_default().push(demand);
        }
        let is_hidden = |table: &usize, column: &str| {
            let hides =
                |demand: &&Demand| matches!(&demand.what, Asked::Hide { column: hidden } if **hidden == *column);
            of_tables.get(table).is_some_and(|demands| demands.iter().any(hides))
        };
        let shown = self.of_columns.iter().filter(|(table, column, _)| !is_hidden(table, column));
        let mut reasons: Vec<Reason> = shown.map(|(_, _, reason)| reason.clone()).collect();
        for used in &request.tables {
            reasons.extend(inseparable(used, tables, &of_tables));
            reasons.extend(self.copies(used, tables, &of_tables));
        }
        let mut obligations = Vec::new();
        for (number, demands) in &of_tables {
            if let Some(reached) = tables.entries.get(*number) {
                let first = obligations.len();
                filters(reached, demands, &mut obligations, first);
                reasons.extend(columns(reached, demands, &mut obligations));
            }
        }
        (obligations, reasons)
    }

    /// Materialised views below `used` that hold a copy of what is filtered, masked or hidden.
    fn copies(&self, used: &TableUse, tables: &Tables, of_tables: &BTreeMap<usize, Vec<&Demand>>) -> Option<Reason> {
        let mut copies = used
            .closure()
            .filter(|facts| facts.kind == TableKind::MaterializedView)
            .filter(|facts| tables.number(&facts.name).is_none_or(|number| !self.released.contains(&number)));
        copies.find_map(|copy| {
            let governed = |name| of_tables.get(&tables.number(name)?)?.first().map(|demand| (name, *demand));
            let (name, demand) = copy.reads.iter().find_map(governed)?;
            let rule = &demand.rule;
            Some(Reason {
                rule: rule.clone(),
                message: format!("permission denied for table {}", used.name()),
                detail: format!(
                    "{} holds a copy of {name}, which policy \"{}\" governs: it {}",
                    named(used, &copy.name),
                    rule.policy,
                    demand.described(),
                ),
                hint: format!(
                    "Read what it is made of, or ask for a policy with \"action\": \"allow\" that names {}.",
                    copy.name
                ),
                at: Some(used.at),
            })
        })
    }
}

/// A parent that is read, of which a rule governs a part and not the whole: no predicate on the parent tells them apart.
fn inseparable(used: &TableUse, tables: &Tables, of_tables: &BTreeMap<usize, Vec<&Demand>>) -> Option<Reason> {
    let no_demands = Vec::new();
    let reading = Reading::new(used);
    reading.tables().filter(|parent| !parent.children.is_empty()).find_map(|parent| {
        let of_parent = tables.number(&parent.name).and_then(|number| of_tables.get(&number)).unwrap_or(&no_demands);
        let alone = |child| {
            let demands = of_tables.get(&tables.number(child)?)?;
            let demand = demands.iter().find(|demand| !of_parent.iter().any(|other| other.is_same(demand)))?;
            Some((child, *demand))
        };
        let (child, demand) = parent.children.iter().find_map(alone)?;
        let rule = &demand.rule;
        Some(Reason {
            rule: rule.clone(),
            message: format!("permission denied for table {}", used.name()),
            detail: format!(
                "rows of {} come out with those of {}, and policy \"{}\" governs {child} alone: it {}",
                child,
                named(used, &parent.name),
                rule.policy,
                demand.described(),
            ),
            hint: format!(
                "Name the parts that you need, or ask the owner of {} to govern {} as a whole.",
                rule.file, parent.name
            ),
            at: Some(used.at),
        })
    })
}

/// What the statement names, and what is meant below it.
fn named(used: &TableUse, below: &TableName) -> String {
    match used.name() == below {
        true => below.to_string(),
        false => format!("{}, which is built on {below}: that", used.name()),
    }
}

/// The filters of one table, each predicate once.
fn filters(reached: &Reached, demands: &[&Demand], obligations: &mut Vec<Obligation>, first: usize) {
    for demand in demands {
        let Asked::Filter(predicate) = &demand.what else { continue };
        let table = reached.facts.name.clone();
        let filter = Obligation::FilterRows { table, predicate: predicate.clone(), rule: demand.rule.clone() };
        if !obligations.iter().skip(first).any(|other| other.has_same_effect(&filter)) {
            obligations.push(filter);
        }
    }
}

/// What becomes of the columns of one table: hidden, or else masked as strongly as any rule asks.
fn columns(reached: &Reached, demands: &[&Demand], obligations: &mut Vec<Obligation>) -> Vec<Reason> {
    let table = || reached.facts.name.clone();
    let mut hidden: BTreeMap<&str, &RuleReference> = BTreeMap::new();
    let mut masked: BTreeMap<&str, (&Mask, &RuleReference)> = BTreeMap::new();
    let mut reasons = Vec::new();
    for demand in demands {
        match &demand.what {
            Asked::Filter(_) => {}
            Asked::Hide { column } => {
                hidden.entry(column).or_insert(&demand.rule);
            }
            Asked::Mask { column, mask } => {
                let strongest = masked.entry(column).or_insert((mask, &demand.rule));
                match compare(mask, strongest.0) {
                    Ordering::Greater => *strongest = (mask, &demand.rule),
                    Ordering::Equal if *mask != *strongest.0 => {
                        reasons.push(unordered(reached, column, strongest.1, &demand.rule));
                    }
                    Ordering::Equal | Ordering::Less => {}
                }
            }
        }
    }
    for (column, rule) in &hidden {
        obligations.push(Obligation::HideColumn {
            table: table(),
            column: (*column).to_owned(),
            rule: (*rule).clone(),
        });
    }
    for (column, (mask, rule)) in masked.into_iter().filter(|(column, _)| !hidden.contains_key(column)) {
        let (column, mask, rule) = (column.to_owned(), mask.clone(), rule.clone());
        obligations.push(Obligation::MaskColumn { table: table(), column, mask, rule });
    }
    reasons
}

/// Which of two masks hides more; neither does where they are equal.
fn compare(one: &Mask, other: &Mask) -> Ordering {
    let (one, other) = (strength(one), strength(other));
    one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
}

/// How much a mask hides: its kind, and how much of its kind.
fn strength(mask: &Mask) -> (u8, f64) {
    match mask {
        Mask::Null => (7, 0.0),
        Mask::Fixed(_) => (6, 0.0),
        Mask::Hash => (5, 0.0),
        Mask::Partial { last } => (4, -f64::from(*last)),
        Mask::Year => (3, 0.0),
        // A number in digits always reads.
        Mask::Round { to } => (2, to.parse().unwrap_or(0.0)),
        Mask::Expression(_) => (1, 0.0),
    }
}

/// Two masks of which neither is stronger. Found when policies are loaded, where it can be foreseen.
fn unordered(reached: &Reached, column: &str, one: &RuleReference, other: &RuleReference) -> Reason {
    let name = &reached.facts.name;
    Reason {
        rule: other.clone(),
        message: format!("permission denied for column {column} of table {name}"),
        detail: format!(
            "policies \"{}\" and \"{}\" mask it differently, and neither mask is stronger",
            one.policy, other.policy
        ),
        hint: format!(
            "Leave the column out, or ask the owners of {} and {} to agree on one mask.",
            one.file, other.file
        ),
        at: Some(reached.at),
    }
}
