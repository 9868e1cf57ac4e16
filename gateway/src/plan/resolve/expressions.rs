//! The walk through expressions: every node is visited, and there is no wildcard in its matches.

use super::{Resolver, Result};
use crate::statement::tree::{
    Arguments, Bound, Call, Expression, Frame, Grouping, Item, Name, Order, Over, Window, Xml,
};

impl Resolver<'_> {
    pub(super) fn item(&mut self, item: &mut Item) -> Result<()> {
        match item {
            Item::Everything => Ok(()),
            Item::EverythingOf(path) => {
                self.touch_table(path);
                Ok(())
            }
            Item::FieldsOf(of) => self.expression(of),
            Item::Expression { of, alias } => {
                if let (Some(name), None) = (self.session_constant(of), &alias) {
                    *alias = Some(Name::invented(name));
                }
                self.expression(of)
            }
        }
    }

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
        self.session_constant(of);
        match of {
            Expression::Column(path) => {
                self.column(path);
                Ok(())
            }
            Expression::EverythingOf(path) => {
                self.touch_table(path);
                Ok(())
            }
            Expression::Literal(_)
            | Expression::Parameter(_)
            | Expression::Interval { .. }
            | Expression::Keyword { .. } => Ok(()),
            Expression::Infix { operator: _, left, right }
            | Expression::Distinct { left, right, negated: _ }
            | Expression::Quantified { left, operator: _, all: _, right } => {
                self.expression(left)?;
                self.expression(right)
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
                self.expression(of)?;
                self.query(query).map(|_| ())
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
            Expression::Exists(query) | Expression::Query(query) | Expression::ArrayQuery(query) => {
                self.query(query).map(|_| ())
            }
            Expression::Case { operand, arms, otherwise } => {
                self.optional(operand.as_mut())?;
                for (when, then) in arms {
                    self.expression(when)?;
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

    /// Resolves a call; tells whether it may give more than one row.
    pub(super) fn call(&mut self, call: &mut Call) -> Result<bool> {
        let Call { name, arguments, variadic: _, distinct: _, order_by, within_group, filter, over } = call;
        let returns_a_set = self.function_name(name)?;
        match arguments {
            Arguments::Everything => {}
            Arguments::List(list) => list.iter_mut().try_for_each(|(_, of)| self.expression(of))?,
        }
        self.orders(order_by)?;
        self.orders(within_group)?;
        if let Some(filter) = filter {
            self.expression(filter)?;
        }
        match over {
            None | Some(Over::Named(_)) => {}
            Some(Over::Window(window)) => self.window(window)?,
        }
        Ok(returns_a_set)
    }

    pub(super) fn grouping(&mut self, grouping: &mut Grouping) -> Result<()> {
        match grouping {
            Grouping::Expression(by) => self.expression(by),
            Grouping::Set(by) => self.expressions(by),
            Grouping::Sets(sets) => sets.iter_mut().try_for_each(|set| self.grouping(set)),
            Grouping::Rollup(sets) | Grouping::Cube(sets) => sets.iter_mut().try_for_each(|set| self.expressions(set)),
        }
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
