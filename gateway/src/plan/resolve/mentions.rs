//! What a name in an expression may mean: a column, a whole row, a call. Separate from the other names because more
//! than one answer is possible here, and all of them count.

use std::rc::Rc;

use super::columns::{List, value};
use super::flow::{Edge, Flow, Node};
use super::{FromScope, Resolver};
use crate::plan::functions;
use crate::statement::SYNTAX_FUNCTIONS;
use crate::statement::tree::{Arguments, Call, Expression, Path};

/// Columns that every table has and no catalog lists.
/// Source: <https://www.postgresql.org/docs/current/ddl-system-columns.html>.
const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// Whether the innermost FROM has a column of some name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locally {
    Known,
    /// It has columns that are not known.
    Perhaps,
    Unknown,
}

impl<'m> Resolver<'m> {
    /// Takes a name into the expression that is walked: everything that it may mean.
    pub(super) fn mention(&mut self, path: &Path) {
        let Some(last) = path.0.last() else { return };
        let compared =
            visible(&self.frames).flat_map(FromScope::visible).map(|leaf| leaf.columns.count(&self.flow)).sum();
        self.flow.step(compared, self.edges.len());
        if self.flow.is_full() {
            return;
        }
        let from = self.edges.len();
        match path.0.as_slice() {
            [column] => self.unqualified(&column.text),
            [table, column] => self.qualified(None, &table.text, &column.text),
            [schema, table, column] => self.qualified(Some(&schema.text), &table.text, &column.text),
            _ => self.anything(),
        }
        for edge in self.edges.get(from..).unwrap_or_default() {
            self.flow.named(edge.node, last.at);
        }
    }

    /// `t.*` as a value.
    pub(super) fn whole_row(&mut self, path: &mut Path) {
        self.touch_table(path);
        match self.relation_named(path) {
            Some((list, _)) => self.edges.extend(list.nodes().map(value)),
            None => self.anything(),
        }
    }

    /// `t.f` where `f(t)` means that: t is a relation with a column f, and no function f takes a row.
    /// Source: `ParseFuncOrColumn`,
    /// <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/parser/parse_func.c>.
    pub(super) fn column_by_call(&self, call: &Call) -> Option<Path> {
        let ([name], Arguments::List(arguments)) = (call.name.0.as_slice(), &call.arguments) else { return None };
        let mut path = match arguments.as_slice() {
            [(None, Expression::Column(path))] if path.0.len() == 1 && !self.may_be_a_column(path) => path.clone(),
            [(None, Expression::EverythingOf(path))] => path.clone(),
            _ => return None,
        };
        let called = SYNTAX_FUNCTIONS.contains(&name.text.as_str())
            || functions::takes_a_row(&name.text)
            || self.path.schemas.iter().any(|schema| self.snapshot().has_function(schema, &name.text));
        if called || *call != Call::plain(call.name.clone(), call.arguments.clone()) {
            return None;
        }
        let (list, _) = self.relation_named(&path)?;
        if list.certainly(&name.text).count() != 1 {
            return None;
        }
        path.0.push(name.clone());
        Some(path)
    }

    /// Whether a name alone may mean a column.
    fn may_be_a_column(&self, path: &Path) -> bool {
        let Some(name) = path.0.first() else { return false };
        visible(&self.frames).any(|frame| {
            let mut may = frame.joins.iter().any(|(_, list)| list.meant_by(&name.text).next().is_some());
            for leaf in frame.visible() {
                leaf.columns.named(&name.text, &self.flow, &mut |_| may = true);
                leaf.columns.others(&mut |_| may = true);
            }
            may
        })
    }

    /// Everything in sight: for a name that means nothing here, so that the source will refuse it.
    pub(super) fn anything(&mut self) {
        let Self { frames, flow, edges, .. } = self;
        for leaf in visible(frames).flat_map(FromScope::visible) {
            edges.push(value(leaf.columns.whole(flow)));
        }
    }

    /// What `t.*` means, and whether it may have other columns; none where there is no such relation, or several.
    pub(super) fn relation_named(&self, path: &Path) -> Option<(Rc<List<'m>>, bool)> {
        let (schema, table) = match path.0.as_slice() {
            [table] => (None, table),
            [schema, table] | [_, schema, table] => (Some(schema), table),
            _ => return None,
        };
        for frame in visible(&self.frames) {
            if schema.is_none()
                && let Some((_, list)) = frame.joins.iter().find(|(join, _)| *join == table.text)
            {
                return Some((Rc::clone(list), false));
            }
            let is_meant = |schema_of: &Option<String>, name: &str| {
                name == table.text && schema.is_none_or(|schema| schema_of.as_ref() == Some(&schema.text))
            };
            let mut leaves = frame.visible().filter(|leaf| is_meant(&leaf.schema, &leaf.name));
            match (leaves.next(), leaves.next()) {
                (None, _) => {}
                (Some(leaf), None) => return Some((leaf.columns.list(&self.flow), leaf.open)),
                (Some(_), Some(_)) => return None,
            }
        }
        None
    }

    /// Whether the innermost FROM has a column of this name.
    pub(super) fn locally(&self, name: &str) -> Locally {
        let Some(frame) = self.frames.last() else { return Locally::Unknown };
        let (mut known, mut perhaps) = (false, false);
        for leaf in frame.visible() {
            leaf.columns.named(name, &self.flow, &mut |_| known = true);
            leaf.columns.others(&mut |_| perhaps = true);
        }
        let joined = frame.joins.iter().any(|(_, list)| list.certainly(name).next().is_some());
        match (known || joined, perhaps) {
            (true, _) => Locally::Known,
            (false, true) => Locally::Perhaps,
            (false, false) => Locally::Unknown,
        }
    }

    /// A name alone: the innermost column of that name, else a whole row. What is not known to have it may.
    /// Source: `transformColumnRef`,
    /// <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/parser/parse_expr.c>.
    fn unqualified(&mut self, name: &str) {
        let Self { frames, flow, edges, .. } = self;
        for frame in visible(frames) {
            let before = edges.len();
            let mut found = |node: Node| edges.push(value(node));
            frame.joins.iter().flat_map(|(_, list)| list.certainly(name)).for_each(&mut found);
            frame.visible().for_each(|leaf| leaf.columns.named(name, flow, &mut found));
            if edges.len() > before {
                return;
            }
            if SYSTEM_COLUMNS.contains(&name) && further(frame, name, flow, edges) {
                return;
            }
            frame.visible().for_each(|leaf| leaf.columns.others(&mut |node| edges.push(value(node))));
        }
        for frame in visible(frames) {
            let before = edges.len();
            for leaf in frame.visible().filter(|leaf| leaf.name == name) {
                edges.push(value(leaf.columns.whole(flow)));
            }
            if edges.len() > before {
                return;
            }
        }
        // A table may have got it since the catalog was read.
        for frame in visible(frames) {
            further(frame, name, flow, edges);
        }
    }

    /// A column of a relation. Where there is none of that name, `t.f` may be the call `f(t)`.
    fn qualified(&mut self, schema: Option<&str>, table: &str, column: &str) {
        let Self { frames, flow, edges, .. } = self;
        for frame in visible(frames) {
            let before = edges.len();
            let joins = frame.joins.iter().filter(|(join, _)| schema.is_none() && join == table);
            joins.flat_map(|(_, list)| list.certainly(column)).for_each(|node| edges.push(value(node)));
            let meant = || {
                frame.visible().filter(|leaf| {
                    leaf.name == table && schema.is_none_or(|schema| leaf.schema.as_deref() == Some(schema))
                })
            };
            if edges.len() > before {
                return;
            }
            if meant().next().is_none() {
                continue;
            }
            meant().for_each(|leaf| leaf.columns.named(column, flow, &mut |node| edges.push(value(node))));
            if edges.len() > before {
                return;
            }
            meant().for_each(|leaf| leaf.columns.others(&mut |node| edges.push(value(node))));
            let may_be_a_call = functions::is_built_in(column);
            for leaf in meant() {
                if SYSTEM_COLUMNS.contains(&column)
                    && let Some(table) = leaf.table
                {
                    edges.push(value(flow.other_column(table, column)));
                    continue;
                }
                if may_be_a_call || edges.len() == before {
                    edges.push(value(leaf.columns.whole(flow)));
                }
                if let (Some(table), false) = (leaf.table, may_be_a_call) {
                    edges.push(value(flow.other_column(table, column)));
                }
            }
            return;
        }
        self.anything();
    }
}

/// The FROM clauses in sight, the innermost first.
fn visible<'f, 'm>(frames: &'f [FromScope<'m>]) -> impl Iterator<Item = &'f FromScope<'m>> {
    frames.iter().rev().filter(|frame| !frame.hidden)
}

/// Takes a column that the catalog does not know of every table. Tells whether there is one.
fn further<'m>(frame: &FromScope<'m>, name: &str, flow: &mut Flow<'m>, edges: &mut Vec<Edge>) -> bool {
    let before = edges.len();
    for table in frame.visible().filter_map(|leaf| leaf.table) {
        edges.push(value(flow.other_column(table, name)));
    }
    edges.len() > before
}
