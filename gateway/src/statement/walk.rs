//! What stands directly inside an expression. Separate so that every reader of the tree that only wants to pass on to
//! the parts does so in one place, which does not compile until a new kind of node is passed on to.

use super::tree::{Arguments, Bound, Call, Expression, Frame, Grouping, Order, Over, Query, Window, Xml};

/// A part of an expression.
#[derive(Clone, Copy, Debug)]
pub enum Part<'t> {
    /// An expression.
    Expression(&'t Expression),
    /// A query.
    Query(&'t Query),
}

impl Expression {
    /// Calls `visit` with every expression and query that stands directly inside this one, in order.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        let mut one = |of: &'t Expression| visit(Part::Expression(of));
        match self {
            Self::Column(_)
            | Self::Literal(_)
            | Self::Parameter(_)
            | Self::Interval { .. }
            | Self::Keyword { .. }
            | Self::EverythingOf(_) => {}
            Self::Prefix { of, operator: _ }
            | Self::Not(of)
            | Self::Is { of, .. }
            | Self::Cast { of, to: _ }
            | Self::Extract { of, field: _ }
            | Self::Collate { of, collation: _ }
            | Self::Field { of, name: _ }
            | Self::Normalized { of, .. } => one(of),
            Self::Infix { left, right, operator: _ }
            | Self::Distinct { left, right, negated: _ }
            | Self::Quantified { left, right, .. } => [left, right].into_iter().for_each(|of| one(of)),
            Self::And(list) | Self::Or(list) | Self::Row(list) | Self::Array(list) => list.iter().for_each(one),
            Self::InList { of, list, negated: _ } => std::iter::once(&**of).chain(list).for_each(one),
            Self::InQuery { of, query, negated: _ } => {
                one(of);
                visit(Part::Query(query));
            }
            Self::Between { of, low, high, symmetric: _, negated: _ } => {
                [of, low, high].into_iter().for_each(|of| one(of))
            }
            Self::Like { of, pattern, .. } => [of, pattern].into_iter().for_each(|of| one(of)),
            Self::Exists(query) | Self::Query(query) | Self::ArrayQuery(query) => visit(Part::Query(query)),
            Self::Case { operand, arms, otherwise } => {
                operand.iter().for_each(|of| one(of));
                arms.iter().flat_map(|(when, then)| [when, then]).for_each(&mut one);
                otherwise.iter().for_each(|of| one(of));
            }
            Self::Call(call) => call.each_part(visit),
            Self::Xml(xml) => {
                let Xml { function: _, named, arguments } = &**xml;
                named.iter().map(|(of, _)| of).chain(arguments).for_each(one);
            }
            Self::Position { what, within } => [what, within].into_iter().for_each(|of| one(of)),
            Self::Substring { of, from, length } => {
                std::iter::once(of).chain(from).chain(length).for_each(|of| one(of));
            }
            Self::Trim { what, of, side: _ } => what.iter().chain([of]).for_each(|of| one(of)),
            Self::Overlay { of, what, from, length } => {
                [of, what, from].into_iter().chain(length).for_each(|of| one(of));
            }
            Self::AtTimeZone { of, zone } => [of, zone].into_iter().for_each(|of| one(of)),
            Self::Element { of, index } => [of, index].into_iter().for_each(|of| one(of)),
            Self::Slice { of, low, high } => std::iter::once(of).chain(low).chain(high).for_each(|of| one(of)),
        }
    }
}

impl Call {
    /// Calls `visit` with every expression that stands directly inside the call: arguments first.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        let Self { name: _, arguments, variadic: _, distinct: _, order_by, within_group, filter, over } = self;
        if let Arguments::List(list) = arguments {
            list.iter().for_each(|(_, of)| visit(Part::Expression(of)));
        }
        orders(order_by, visit);
        orders(within_group, visit);
        filter.iter().for_each(|of| visit(Part::Expression(of)));
        if let Some(Over::Window(window)) = over {
            window.each_part(visit);
        }
    }
}

impl Grouping {
    /// Calls `visit` with every expression of an entry of GROUP BY.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        match self {
            Self::Expression(by) => visit(Part::Expression(by)),
            Self::Set(by) => by.iter().for_each(|by| visit(Part::Expression(by))),
            Self::Sets(sets) => sets.iter().for_each(|set| set.each_part(visit)),
            Self::Rollup(sets) | Self::Cube(sets) => {
                sets.iter().flatten().for_each(|by| visit(Part::Expression(by)));
            }
        }
    }
}

impl Window {
    /// Calls `visit` with every expression of the window.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        let Self { base: _, partition_by, order_by, frame } = self;
        partition_by.iter().for_each(|of| visit(Part::Expression(of)));
        orders(order_by, visit);
        let Some(Frame { start, end, .. }) = frame else { return };
        for bound in std::iter::once(start).chain(end) {
            match bound {
                Bound::Preceding(Some(by)) | Bound::Following(Some(by)) => visit(Part::Expression(by)),
                Bound::CurrentRow | Bound::Preceding(None) | Bound::Following(None) => {}
            }
        }
    }
}

fn orders<'t>(list: &'t [Order], visit: &mut dyn FnMut(Part<'t>)) {
    list.iter().for_each(|order| visit(Part::Expression(&order.by)));
}
