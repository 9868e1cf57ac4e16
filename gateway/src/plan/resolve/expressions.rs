//! The walk through expressions: every node is visited, and there is no wildcard in its matches.

use super::columns::{List, value};
use super::flow::Edge;
use super::mentions::Locally;
use super::{Resolver, Result};
use crate::statement::tree::{Arguments, Bound, Call, Expression, Frame, Grouping, Literal, Order, Over, Window, Xml};

impl<'m> Resolver<'m> {
    pub(super) fn expressions(&mut self, list: &mut [Expression]) -> Result<()> {
        list.iter_mut().try_for_each(|of| self.expression(of))
    }

    pub(super) fn optional(&mut self, of: Option<&mut Box<Expression>>) -> Result<()> {
        of.map_or(Ok(()), |of| self.expression(of))
    }

    pub(super) fn orders(&mut self, orders: &mut [Order]) -> Result<()> {
        orders.iter_mut().try_for_each(|order| self.expression(&mut order.by))
    }

    pub(super) fn expression(&mut self, of: &mut Expression) -> Result<()> {
        self.must_be_whole()?;
        self.session_constant(of);
        if let Expression::Call(call) = of
            && let Some(path) = self.column_by_call(call)
        {
            *of = Expression::Column(path);
        }
        match of {
            Expression::Column(path) => {
                self.column(path);
                Ok(())
            }
            Expression::EverythingOf(path) => {
                self.unqualify_redirected(path, 2);
                self.whole_row(path);
                Ok(())
            }
            Expression::Literal(_)
            | Expression::Parameter(_)
            | Expression::Interval { .. }
            | Expression::Keyword { .. } => Ok(()),
            Expression::Infix { operator: _, left, right } | Expression::Distinct { left, right, negated: _ } => {
                self.expression(left)?;
                self.expression(right)
            }
            Expression::Quantified { left, operator: _, all: _, right } => {
                let from = self.edges.len();
                self.expression(left)?;
                self.expression(right)?;
                if matches!(**right, Expression::Query(_)) {
                    self.also_conditions(from);
                }
                Ok(())
            }
            Expression::And(list) | Expression::Or(list) | Expression::Row(list) | Expression::Array(list) => {
                self.expressions(list)
            }
            Expression::Prefix { operator: _, of }
            | Expression::Not(of)
            | Expression::Is { of, .. }
            | Expression::Cast { of, to: _ }
            | Expression::Extract { field: _, of }
            | Expression::Collate { of, collation: _ }
            | Expression::Normalized { of, .. } => self.expression(of),
            Expression::InList { of, list, negated: _ } => {
                self.expression(of)?;
                self.expressions(list)
            }
            Expression::InQuery { of, query, negated: _ } => {
                let from = self.edges.len();
                self.expression(of)?;
                let shape = self.query(query)?;
                self.edges.extend(shape.columns.nodes().map(value));
                self.also_conditions(from);
                Ok(())
            }
            Expression::Between { of, low, high, .. } => {
                self.expression(of)?;
                self.expression(low)?;
                self.expression(high)
            }
            Expression::Like { of, pattern, .. } => {
                self.expression(of)?;
                self.expression(pattern)
            }
            Expression::Exists(query) => self.existence(query),
            Expression::Query(query) | Expression::ArrayQuery(query) => {
                let shape = self.query(query)?;
                self.whole_values += usize::from(shape.whole);
                self.edges.extend(shape.columns.nodes().map(value));
                Ok(())
            }
            Expression::Case { operand, arms, otherwise } => {
                self.condition(|this| this.optional(operand.as_mut()))?;
                for (when, then) in arms {
                    self.condition(|this| this.expression(when))?;
                    self.expression(then)?;
                }
                self.optional(otherwise.as_mut())
            }
            Expression::Call(call) => self.call(call).map(|_| ()),
            Expression::Xml(xml) => {
                let Xml { function: _, named, arguments } = &mut **xml;
                named.iter_mut().try_for_each(|(of, _)| self.expression(of))?;
                self.expressions(arguments)
            }
            Expression::Position { what, within } => {
                self.expression(what)?;
                self.expression(within)
            }
            Expression::Substring { of, from, length } => {
                self.expression(of)?;
                self.optional(from.as_mut())?;
                self.optional(length.as_mut())
            }
            Expression::Trim { side: _, what, of } => {
                self.optional(what.as_mut())?;
                self.expression(of)
            }
            Expression::Overlay { of, what, from, length } => {
                self.expression(of)?;
                self.expression(what)?;
                self.expression(from)?;
                self.optional(length.as_mut())
            }
            Expression::AtTimeZone { of, zone } => {
                self.expression(of)?;
                self.expression(zone)
            }
            Expression::Element { of, index } => {
                self.expression(of)?;
                self.expression(index)
            }
            Expression::Slice { of, low, high } => {
                self.expression(of)?;
                self.optional(low.as_mut())?;
                self.optional(high.as_mut())
            }
            Expression::Field { of, name } => {
                self.field(&name.clone());
                self.expression(of)
            }
        }
    }

    /// Walks what decides about a value and is none.
    fn condition(&mut self, walk: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let from = self.edges.len();
        walk(self)?;
        self.edges.iter_mut().skip(from).for_each(|edge| edge.is_condition = true);
        Ok(())
    }

    /// What was walked since there were `from` edges decides, too.
    fn also_conditions(&mut self, from: usize) {
        let conditions: Vec<Edge> =
            self.edges.iter().skip(from).map(|edge| Edge { is_condition: true, ..*edge }).collect();
        self.edges.extend(conditions);
    }

    /// Resolves a call; tells whether it may give more than one row.
    pub(super) fn call(&mut self, call: &mut Call) -> Result<bool> {
        let passed = match &call.arguments {
            Arguments::Everything => 0,
            Arguments::List(list) => list.len(),
        };
        self.call_with(call, passed)
    }

    /// A call of so many arguments, of which those are walked that are still there.
    pub(super) fn call_with(&mut self, call: &mut Call, passed: usize) -> Result<bool> {
        let Call { name, arguments, variadic: _, distinct, order_by, within_group, filter, over } = call;
        // What an ordered-set aggregate sorts by is an argument, too.
        let returns_a_set = self.function_name(name, passed + within_group.len())?;
        let from = self.edges.len();
        match arguments {
            Arguments::Everything => {}
            Arguments::List(list) => list.iter_mut().try_for_each(|(_, of)| self.expression(of))?,
        }
        if *distinct {
            self.also_conditions(from);
        }
        self.condition(|this| this.orders(order_by))?;
        // percentile_cont(0.5) WITHIN GROUP (ORDER BY x) is an x.
        let from = self.edges.len();
        self.orders(within_group)?;
        self.also_conditions(from);
        if let Some(filter) = filter {
            self.condition(|this| this.expression(filter))?;
        }
        match over {
            // The windows of a WINDOW clause are walked there.
            None | Some(Over::Named(_)) => {}
            Some(Over::Window(window)) => self.condition(|this| this.window(window))?,
        }
        Ok(returns_a_set)
    }

    /// An entry of GROUP BY.
    pub(super) fn grouping(&mut self, grouping: &mut Grouping, list: &List<'m>) -> Result<()> {
        match grouping {
            Grouping::Expression(by) => self.by_output(by, list, true),
            Grouping::Set(by) => by.iter_mut().try_for_each(|by| self.by_output(by, list, true)),
            Grouping::Sets(sets) => sets.iter_mut().try_for_each(|set| self.grouping(set, list)),
            Grouping::Rollup(sets) | Grouping::Cube(sets) => {
                sets.iter_mut().flatten().try_for_each(|by| self.by_output(by, list, true))
            }
        }
    }

    /// An entry of ORDER BY, DISTINCT ON or GROUP BY: a place in the SELECT list, a name of one of its columns, or an
    /// expression. Where both a column of the list and one of a relation may be meant, both are.
    /// Source: `findTargetlistEntrySQL92`,
    /// <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/parser/parse_clause.c>.
    pub(super) fn by_output(&mut self, by: &mut Expression, list: &List<'m>, grouping: bool) -> Result<()> {
        let mut input_too = true;
        match by {
            Expression::Row(of) if grouping => {
                return of.iter_mut().try_for_each(|by| self.by_output(by, list, grouping));
            }
            Expression::Literal(Literal::Number(digits)) => {
                if let Some(place) = digits.parse::<usize>().ok().and_then(|place| place.checked_sub(1)) {
                    let node = list.by_place(place, &mut self.flow);
                    self.flow.predicate(node);
                }
            }
            Expression::Column(path) => {
                if let [name] = path.0.as_slice() {
                    // GROUP BY prefers a column of the relations, the others one of the list.
                    let input = if grouping { self.locally(&name.text) } else { Locally::Unknown };
                    if input != Locally::Known {
                        let certain = list.note_named(&name.text, &mut self.flow);
                        input_too = !certain || (grouping && input == Locally::Perhaps);
                    }
                }
            }
            _ => {}
        }
        let from = self.edges.len();
        self.expression(by)?;
        if !input_too {
            self.edges.truncate(from);
        }
        for edge in self.edges.drain(from..) {
            self.flow.predicate(edge.node);
        }
        Ok(())
    }

    pub(super) fn window(&mut self, window: &mut Window) -> Result<()> {
        let Window { base: _, partition_by, order_by, frame } = window;
        self.expressions(partition_by)?;
        self.orders(order_by)?;
        if let Some(Frame { unit: _, start, end, exclude: _ }) = frame {
            self.bound(start)?;
            if let Some(end) = end {
                self.bound(end)?;
            }
        }
        Ok(())
    }

    pub(super) fn bound(&mut self, bound: &mut Bound) -> Result<()> {
        match bound {
            Bound::CurrentRow | Bound::Preceding(None) | Bound::Following(None) => Ok(()),
            Bound::Preceding(Some(by)) | Bound::Following(Some(by)) => self.expression(by),
        }
    }
}
