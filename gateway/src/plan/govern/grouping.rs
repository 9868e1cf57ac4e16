//! GROUP BY a key: PostgreSQL lets a table's other columns stand ungrouped where its primary key is grouped, and a
//! derived table has no key. They are added to the GROUP BY, which makes no other groups.
//! Source: <https://www.postgresql.org/docs/current/sql-select.html#SQL-GROUPBY>.

use std::collections::BTreeSet;

use super::Governor;
use super::scope::{Leaf, Scope, Shown};
use crate::statement::tree::{Distinct, Expression, Grouping, Item, Literal, Name, Order, Path, Query, Select};
use crate::statement::{Part, catalog_type};

/// Types that cannot be grouped by.
const UNGROUPABLE: [&str; 11] =
    ["box", "circle", "json", "line", "lseg", "path", "pg_snapshot", "point", "polygon", "txid_snapshot", "xml"];

impl Governor<'_> {
    /// Adds the columns that depend on a grouped key and are used. Sees the statement as it was written.
    pub(super) fn complete_grouping(&self, select: &mut Select, order_by: &[Order]) {
        let Some(scope) = self.scopes.last() else { return };
        let Some(grouped) = grouped_columns(select) else { return };
        let mut used = Used::default();
        used.select(select, order_by);
        let mut added = Vec::new();
        for leaf in &scope.leaves {
            let Some(shown) = &leaf.shown else { continue };
            let is_grouped = |column: &String| {
                let named = |path: &&Path| names(path, leaf, scope).is_some_and(|name| name == column);
                grouped.iter().any(|path| named(&path))
            };
            if shown.keys.iter().any(|key| key.iter().all(is_grouped)) {
                let wanted = shown.columns.iter().filter(|column| {
                    can_be_grouped(&column.type_name)
                        && !is_grouped(&column.name)
                        && used.has(leaf, shown, &column.name)
                });
                added.extend(wanted.map(|column| {
                    let path = vec![Name::invented(&leaf.name), Name::invented(&column.name)];
                    Grouping::Expression(Expression::Column(Path(path)))
                }));
            }
        }
        select.group_by.extend(added);
    }
}

/// The columns of a plain GROUP BY; none where there is no such.
fn grouped_columns(select: &Select) -> Option<Vec<Path>> {
    let mut columns = Vec::new();
    for grouping in &select.group_by {
        let Grouping::Expression(by) = grouping else { return None };
        let of = match by {
            // `GROUP BY 2` is the second of the list.
            Expression::Literal(Literal::Number(place)) => {
                let item = place.parse::<usize>().ok().and_then(|place| select.items.get(place.checked_sub(1)?));
                match item {
                    Some(Item::Expression { of, alias: _ }) => of,
                    _ => continue,
                }
            }
            by => by,
        };
        if let Expression::Column(path) = of {
            columns.push(path.clone());
        }
    }
    (!columns.is_empty()).then_some(columns)
}

fn can_be_grouped(type_name: &str) -> bool {
    catalog_type(type_name).is_none_or(|of| !UNGROUPABLE.contains(&of.name.as_str()))
}

/// The column of `leaf` that a path names, if it names one.
fn names<'p>(path: &'p Path, leaf: &Leaf, scope: &Scope) -> Option<&'p str> {
    let alone = || scope.leaves.iter().filter(|other| other.name == leaf.name).count() == 1;
    match path.0.as_slice() {
        [column] => Some(&column.text),
        [table, column] | [_, table, column] if leaf.is_called(&table.text) && alone() => Some(&column.text),
        _ => None,
    }
}

/// Every column and table that the parts of a SELECT after its FROM name, those of inner queries included. One too many
/// does no harm: it depends on the key.
#[derive(Default)]
struct Used {
    columns: BTreeSet<String>,
    whole_rows: BTreeSet<String>,
    everything: bool,
}

impl Used {
    fn has(&self, leaf: &Leaf, shown: &Shown, column: &str) -> bool {
        let is_column = |name: &String| shown.columns.iter().any(|column| column.name == *name);
        let row = self.whole_rows.iter().any(|table| leaf.is_called(table) && !is_column(table));
        self.everything || row || self.columns.contains(column)
    }

    fn select(&mut self, select: &Select, order_by: &[Order]) {
        let Select { distinct, items, from: _, filter: _, group_by: _, group_by_distinct: _, having, windows, at: _ } =
            select;
        for item in items {
            match item {
                Item::Everything => self.everything = true,
                Item::EverythingOf(path) => self.whole_rows.extend(path.0.last().map(|table| table.text.clone())),
                Item::FieldsOf(of) | Item::Expression { of, alias: _ } => self.expression(of),
            }
        }
        if let Some(Distinct::On(by)) = distinct {
            by.iter().for_each(|of| self.expression(of));
        }
        having.iter().chain(order_by.iter().map(|order| &order.by)).for_each(|of| self.expression(of));
        for (_, window) in windows {
            window.each_part(&mut |part| self.part(part));
        }
    }

    fn part(&mut self, part: Part<'_>) {
        match part {
            Part::Expression(of) => self.expression(of),
            Part::Query(query) => self.query(query),
        }
    }

    fn expression(&mut self, of: &Expression) {
        match of {
            Expression::Column(path) => {
                self.columns.extend(path.0.last().map(|column| column.text.clone()));
                if let [table] = path.0.as_slice() {
                    self.whole_rows.insert(table.text.clone());
                }
            }
            Expression::EverythingOf(path) => {
                self.whole_rows.extend(path.0.last().map(|table| table.text.clone()));
            }
            other => other.each_part(&mut |part| self.part(part)),
        }
    }

    /// An inner query may name columns from around it anywhere: in its FROM and WHERE too.
    fn query(&mut self, query: &Query) {
        query.each_part(&mut |part| self.part(part));
    }
}
