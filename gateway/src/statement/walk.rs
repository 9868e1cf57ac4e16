//! What stands directly inside an expression. Separate so that every reader of the tree that only wants to pass on to
//! the parts does so in one place, which does not compile until a new kind of node is passed on to.
//!
//! [`PartMut`] is the same for those that change the tree.

use super::tree::{
    Arguments, Body, Bound, Call, CommonTable, Distinct, Expression, Frame, Grouping, Item, JoinCondition, Limit,
    Order, Over, Query, Relation, Select, Window, Xml,
};

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
    /// Whether it calls a function of this name, in whatever schema.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.0.last().is_some_and(|last| last.text == name)
    }

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

impl Query {
    /// Calls `visit` with every expression and query that stands directly inside this one, wherever it stands.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        let Self { with, body, order_by, limit, offset } = self;
        for table in with.iter().flat_map(|with| &with.tables) {
            let CommonTable { name: _, columns: _, materialized: _, query, search: _, cycle: _ } = table;
            visit(Part::Query(query));
        }
        body.each_part(visit);
        orders(order_by, visit);
        let limit = limit.iter().map(|Limit { rows, with_ties: _ }| rows);
        limit.chain(offset).for_each(|of| visit(Part::Expression(of)));
    }
}

impl Body {
    fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        match self {
            Self::Select(select) => select.each_part(visit),
            Self::Values(rows) => rows.iter().flatten().for_each(|of| visit(Part::Expression(of))),
            Self::Query(query) => visit(Part::Query(query)),
            Self::Combination { left, right, operator: _, all: _ } => {
                left.each_part(visit);
                right.each_part(visit);
            }
        }
    }
}

impl Select {
    /// Calls `visit` with every expression and query that stands directly inside this one, wherever it stands.
    pub fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        let Self { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = self;
        for item in items {
            match item {
                Item::Expression { of, alias: _ } | Item::FieldsOf(of) => visit(Part::Expression(of)),
                Item::Everything | Item::EverythingOf(_) => {}
            }
        }
        from.iter().for_each(|relation| relation.each_part(visit));
        match distinct {
            Some(Distinct::On(by)) => by.iter().for_each(|of| visit(Part::Expression(of))),
            Some(Distinct::Rows) | None => {}
        }
        filter.iter().chain(having).for_each(|of| visit(Part::Expression(of)));
        group_by.iter().for_each(|grouping| grouping.each_part(visit));
        windows.iter().for_each(|(_, window)| window.each_part(visit));
    }
}

impl Relation {
    fn each_part<'t>(&'t self, visit: &mut dyn FnMut(Part<'t>)) {
        match self {
            Self::Table { name: _, only: _, alias: _, sample } => {
                sample.iter().for_each(|sample| visit(Part::Expression(&sample.percent)));
            }
            Self::Query { lateral: _, query, alias: _, at: _ } => visit(Part::Query(query)),
            Self::Function { lateral: _, call, ordinality: _, alias: _ } => call.each_part(visit),
            Self::Functions { lateral: _, calls, ordinality: _, alias: _ } => {
                calls.iter().for_each(|call| call.each_part(visit));
            }
            Self::Join { left, right, kind: _, on, alias: _ } => {
                left.each_part(visit);
                right.each_part(visit);
                match on {
                    JoinCondition::On(on) => visit(Part::Expression(on)),
                    JoinCondition::Using(_) | JoinCondition::Natural | JoinCondition::None => {}
                }
            }
        }
    }
}

fn orders<'t>(list: &'t [Order], visit: &mut dyn FnMut(Part<'t>)) {
    list.iter().for_each(|order| visit(Part::Expression(&order.by)));
}

/// A part of an expression, to be changed.
#[derive(Debug)]
pub enum PartMut<'t> {
    /// An expression.
    Expression(&'t mut Expression),
    /// A query.
    Query(&'t mut Query),
}

/// Whether a walk goes on: it ends with the first error.
type Walked<E> = Result<(), E>;

impl Expression {
    /// Calls `visit` with every expression and query that stands directly inside this one, in order.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        let mut one = |of: &mut Self| visit(PartMut::Expression(of));
        match self {
            Self::Column(_)
            | Self::Literal(_)
            | Self::Parameter(_)
            | Self::Interval { .. }
            | Self::Keyword { .. }
            | Self::EverythingOf(_) => Ok(()),
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
            | Self::Quantified { left, right, .. } => [left, right].into_iter().try_for_each(|of| one(of)),
            Self::And(list) | Self::Or(list) | Self::Row(list) | Self::Array(list) => list.iter_mut().try_for_each(one),
            Self::InList { of, list, negated: _ } => std::iter::once(&mut **of).chain(list).try_for_each(one),
            Self::InQuery { of, query, negated: _ } => {
                one(of)?;
                visit(PartMut::Query(query))
            }
            Self::Between { of, low, high, symmetric: _, negated: _ } => {
                [of, low, high].into_iter().try_for_each(|of| one(of))
            }
            Self::Like { of, pattern, .. } => [of, pattern].into_iter().try_for_each(|of| one(of)),
            Self::Exists(query) | Self::Query(query) | Self::ArrayQuery(query) => visit(PartMut::Query(query)),
            Self::Case { operand, arms, otherwise } => {
                operand.iter_mut().try_for_each(|of| one(of))?;
                arms.iter_mut().flat_map(|(when, then)| [when, then]).try_for_each(&mut one)?;
                otherwise.iter_mut().try_for_each(|of| one(of))
            }
            Self::Call(call) => call.each_part_mut(visit),
            Self::Xml(xml) => {
                let Xml { function: _, named, arguments } = &mut **xml;
                named.iter_mut().map(|(of, _)| of).chain(arguments).try_for_each(one)
            }
            Self::Position { what, within } => [what, within].into_iter().try_for_each(|of| one(of)),
            Self::Substring { of, from, length } => {
                std::iter::once(of).chain(from).chain(length).try_for_each(|of| one(of))
            }
            Self::Trim { what, of, side: _ } => what.iter_mut().chain([of]).try_for_each(|of| one(of)),
            Self::Overlay { of, what, from, length } => {
                [of, what, from].into_iter().chain(length).try_for_each(|of| one(of))
            }
            Self::AtTimeZone { of, zone } => [of, zone].into_iter().try_for_each(|of| one(of)),
            Self::Element { of, index } => [of, index].into_iter().try_for_each(|of| one(of)),
            Self::Slice { of, low, high } => std::iter::once(of).chain(low).chain(high).try_for_each(|of| one(of)),
        }
    }
}

impl Call {
    /// Calls `visit` with every expression that stands directly inside the call: arguments first.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        let Self { name: _, arguments, variadic: _, distinct: _, order_by, within_group, filter, over } = self;
        if let Arguments::List(list) = arguments {
            list.iter_mut().try_for_each(|(_, of)| visit(PartMut::Expression(of)))?;
        }
        let orders = order_by.iter_mut().chain(within_group);
        orders.map(|order| &mut order.by).chain(filter).try_for_each(|of| visit(PartMut::Expression(of)))?;
        match over {
            Some(Over::Window(window)) => window.each_part_mut(visit),
            Some(Over::Named(_)) | None => Ok(()),
        }
    }
}

impl Grouping {
    /// Calls `visit` with every expression of an entry of GROUP BY.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        match self {
            Self::Expression(by) => visit(PartMut::Expression(by)),
            Self::Set(by) => by.iter_mut().try_for_each(|by| visit(PartMut::Expression(by))),
            Self::Sets(sets) => sets.iter_mut().try_for_each(|set| set.each_part_mut(visit)),
            Self::Rollup(sets) | Self::Cube(sets) => {
                sets.iter_mut().flatten().try_for_each(|by| visit(PartMut::Expression(by)))
            }
        }
    }
}

impl Window {
    /// Calls `visit` with every expression of the window.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        let Self { base: _, partition_by, order_by, frame } = self;
        let orders = order_by.iter_mut().map(|order| &mut order.by);
        partition_by.iter_mut().chain(orders).try_for_each(|of| visit(PartMut::Expression(of)))?;
        let Some(Frame { unit: _, start, end, exclude: _ }) = frame else { return Ok(()) };
        std::iter::once(start).chain(end).try_for_each(|bound| match bound {
            Bound::Preceding(Some(by)) | Bound::Following(Some(by)) => visit(PartMut::Expression(by)),
            Bound::CurrentRow | Bound::Preceding(None) | Bound::Following(None) => Ok(()),
        })
    }
}

impl Query {
    /// Calls `visit` with every expression and query that stands directly inside this one, wherever it stands.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        let Self { with, body, order_by, limit, offset } = self;
        for table in with.iter_mut().flat_map(|with| &mut with.tables) {
            visit(PartMut::Query(&mut table.query))?;
        }
        body.each_part_mut(visit)?;
        let limit = limit.iter_mut().map(|Limit { rows, with_ties: _ }| rows);
        let rest = order_by.iter_mut().map(|order| &mut order.by).chain(limit).chain(offset);
        rest.into_iter().try_for_each(|of| visit(PartMut::Expression(of)))
    }
}

impl Body {
    fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        match self {
            Self::Select(select) => select.each_part_mut(visit),
            Self::Values(rows) => rows.iter_mut().flatten().try_for_each(|of| visit(PartMut::Expression(of))),
            Self::Query(query) => visit(PartMut::Query(query)),
            Self::Combination { left, right, operator: _, all: _ } => {
                left.each_part_mut(visit)?;
                right.each_part_mut(visit)
            }
        }
    }
}

impl Select {
    /// Calls `visit` with every expression and query that stands directly inside this one, wherever it stands.
    pub fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        let Self { distinct, items, from, filter, group_by, group_by_distinct: _, having, windows, at: _ } = self;
        for item in items {
            match item {
                Item::Expression { of, alias: _ } | Item::FieldsOf(of) => visit(PartMut::Expression(of))?,
                Item::Everything | Item::EverythingOf(_) => {}
            }
        }
        from.iter_mut().try_for_each(|relation| relation.each_part_mut(visit))?;
        match distinct {
            Some(Distinct::On(by)) => by.iter_mut().try_for_each(|of| visit(PartMut::Expression(of)))?,
            Some(Distinct::Rows) | None => {}
        }
        filter.iter_mut().chain(having).try_for_each(|of| visit(PartMut::Expression(of)))?;
        group_by.iter_mut().try_for_each(|grouping| grouping.each_part_mut(visit))?;
        windows.iter_mut().try_for_each(|(_, window)| window.each_part_mut(visit))
    }
}

impl Relation {
    fn each_part_mut<E>(&mut self, visit: &mut dyn FnMut(PartMut<'_>) -> Walked<E>) -> Walked<E> {
        match self {
            Self::Table { name: _, only: _, alias: _, sample } => {
                sample.iter_mut().try_for_each(|sample| visit(PartMut::Expression(&mut sample.percent)))
            }
            Self::Query { lateral: _, query, alias: _, at: _ } => visit(PartMut::Query(query)),
            Self::Function { lateral: _, call, ordinality: _, alias: _ } => call.each_part_mut(visit),
            Self::Functions { lateral: _, calls, ordinality: _, alias: _ } => {
                calls.iter_mut().try_for_each(|call| call.each_part_mut(visit))
            }
            Self::Join { left, right, kind: _, on, alias: _ } => {
                left.each_part_mut(visit)?;
                right.each_part_mut(visit)?;
                match on {
                    JoinCondition::On(on) => visit(PartMut::Expression(on)),
                    JoinCondition::Using(_) | JoinCondition::Natural | JoinCondition::None => Ok(()),
                }
            }
        }
    }
}

impl Query {
    /// Every SELECT of the body, those of combinations too, but not those of queries inside it.
    pub fn selects(&self) -> Vec<&Select> {
        let (mut found, mut bodies) = (Vec::new(), vec![&self.body]);
        while let Some(body) = bodies.pop() {
            match body {
                Body::Select(select) => found.push(&**select),
                Body::Combination { left, right, operator: _, all: _ } => bodies.extend([&**left, &**right]),
                Body::Values(_) | Body::Query(_) => {}
            }
        }
        found
    }

    /// The same, to be changed.
    pub fn selects_mut(&mut self) -> Vec<&mut Select> {
        let (mut found, mut bodies) = (Vec::new(), vec![&mut self.body]);
        while let Some(body) = bodies.pop() {
            match body {
                Body::Select(select) => found.push(&mut **select),
                Body::Combination { left, right, operator: _, all: _ } => bodies.extend([&mut **left, &mut **right]),
                Body::Values(_) | Body::Query(_) => {}
            }
        }
        found
    }
}

impl Relation {
    /// This relation, or those that are joined in it: tables, queries and functions.
    pub fn leaves(&self) -> Vec<&Self> {
        let (mut found, mut left_over) = (Vec::new(), vec![self]);
        while let Some(relation) = left_over.pop() {
            match relation {
                Self::Join { left, right, .. } => left_over.extend([&**left, &**right]),
                leaf => found.push(leaf),
            }
        }
        found
    }

    /// The same, to be changed.
    pub fn leaves_mut(&mut self) -> Vec<&mut Self> {
        let (mut found, mut left_over) = (Vec::new(), vec![self]);
        while let Some(relation) = left_over.pop() {
            match relation {
                Self::Join { left, right, .. } => left_over.extend([&mut **left, &mut **right]),
                leaf => found.push(leaf),
            }
        }
        found
    }
}
