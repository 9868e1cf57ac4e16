//! Which relations a condition links: the facts behind `no_cross_join`. A walk of its own because AND, OR and
//! comparisons mean something here that they do not mean elsewhere.

use super::columns::value;
use super::links::{Links, Relations};
use super::{Resolver, Result};
use crate::statement::tree::{Arguments, Call, Expression};

impl Resolver<'_> {
    pub(super) fn hide(&mut self, hidden: bool) {
        if let Some(frame) = self.frames.last_mut() {
            frame.hidden = hidden;
        }
    }

    pub(super) fn take_touched(&mut self) -> Relations {
        self.frames.last_mut().map(|frame| std::mem::take(&mut frame.touched)).unwrap_or_default()
    }

    pub(super) fn touch(&mut self, relations: Relations) {
        if let Some(frame) = self.frames.last_mut() {
            frame.touched = frame.touched.union(relations);
        }
    }

    /// Walks an expression and tells which relations of the innermost FROM it reads.
    pub(super) fn reach(&mut self, of: &mut Expression) -> Result<Relations> {
        let outer = self.take_touched();
        self.expression(of)?;
        let reached = self.take_touched();
        self.touch(outer.union(reached));
        Ok(reached)
    }

    pub(super) fn reach_all<'e>(&mut self, list: impl Iterator<Item = &'e mut Expression>) -> Result<Relations> {
        let mut all = Relations::default();
        for of in list {
            all = all.union(self.reach(of)?);
        }
        Ok(all)
    }

    /// Walks a condition and tells which relations it links.
    ///
    /// A link is a comparison with columns of one relation on one side and of another on the other. `<>` and other
    /// negations exclude next to nothing, so they link nothing; neither does a comparison of a thing with itself, or
    /// of what was mixed from both sides with a constant.
    pub(super) fn predicate(&mut self, of: &mut Expression) -> Result<Links> {
        match of {
            Expression::And(list) => {
                let mut links = Links::default();
                for operand in list {
                    links.extend(self.predicate(operand)?);
                }
                Ok(links)
            }
            Expression::Or(list) => {
                let relations = self.leaf_count();
                let mut common: Option<Links> = None;
                self.alternatives(1);
                for operand in list {
                    let links = self.predicate(operand)?;
                    common = Some(common.map_or_else(|| links.clone(), |common| common.common(&links, relations)));
                }
                self.alternatives(-1);
                Ok(common.unwrap_or_default())
            }
            Expression::Infix { operator, left, right } if operator == "=" => self.equality(left, right),
            Expression::Infix { operator, left, right } => {
                let (left, right) = (self.reach(left)?, self.reach(right)?);
                let excludes_little = operator == "<>" || operator.starts_with('!');
                Ok(if excludes_little { Links::default() } else { Links::between(left, right) })
            }
            Expression::Distinct { left, right, negated: true } | Expression::Quantified { left, right, .. } => {
                let (left, right) = (self.reach(left)?, self.reach(right)?);
                Ok(Links::between(left, right))
            }
            Expression::InList { of, list, negated: false } => {
                let left = self.reach(of)?;
                let right = self.reach_all(list.iter_mut())?;
                Ok(Links::between(left, right))
            }
            Expression::InQuery { of, query, negated: false } => {
                let left = self.reach(of)?;
                let outer = self.take_touched();
                let shape = self.query(query)?;
                self.edges.extend(shape.columns.nodes().map(value));
                let right = self.take_touched();
                self.touch(outer.union(right));
                Ok(Links::between(left, right))
            }
            Expression::Between { of, low, high, negated: false, .. } => {
                let left = self.reach(of)?;
                let right = self.reach_all([&mut **low, &mut **high].into_iter())?;
                Ok(Links::between(left, right))
            }
            Expression::Like { of, pattern, negated: false, .. } => {
                let (left, right) = (self.reach(of)?, self.reach(pattern)?);
                Ok(Links::between(left, right))
            }
            // A function that says whether its arguments belong together, such as one of geometry.
            Expression::Call(call) => self.call_predicate(call),
            // A subquery that looks for both.
            Expression::Exists(_) => Ok(Links::all(self.reach(of)?)),
            _ => {
                self.expression(of)?;
                Ok(Links::default())
            }
        }
    }

    pub(super) fn call_predicate(&mut self, call: &mut Call) -> Result<Links> {
        let mut reached = Vec::new();
        if let Arguments::List(list) = &mut call.arguments {
            for (_, argument) in list {
                reached.push(self.reach(argument)?);
            }
        }
        // The arguments are resolved: what is left is the function's name.
        let arguments = std::mem::replace(&mut call.arguments, Arguments::Everything);
        let resolved = self.call_with(call, reached.len());
        call.arguments = arguments;
        resolved?;
        let mut links = Links::default();
        for (index, left) in reached.iter().enumerate() {
            for right in reached.iter().skip(index + 1) {
                links.extend(Links::between(*left, *right));
            }
        }
        Ok(links)
    }

    /// Notes how many conditions around what comes are one of several.
    fn alternatives(&mut self, more: isize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.alternatives = frame.alternatives.saturating_add_signed(more);
        }
    }

    fn equality(&mut self, left: &mut Expression, right: &mut Expression) -> Result<Links> {
        if let (Expression::Row(left), Expression::Row(right)) = (&mut *left, &mut *right)
            && left.len() == right.len()
        {
            let mut links = Links::default();
            for (left, right) in left.iter_mut().zip(right) {
                links.extend(self.equality(left, right)?);
            }
            return Ok(links);
        }
        let (left_reached, right_reached) = (self.reach(left)?, self.reach(right)?);
        self.equate_column(left, right_reached);
        self.equate_column(right, left_reached);
        Ok(Links::between(left_reached, right_reached))
    }

    fn equate_column(&mut self, column: &Expression, reads: Relations) {
        let Expression::Column(path) = column else { return };
        let Some(name) = path.0.last().map(|name| name.text.clone()) else { return };
        if let Some((depth, index)) = self.find(path)
            && depth + 1 == self.frames.len()
        {
            self.equate(index, &name, reads);
        }
    }

    /// Notes that a column equals something wherever its relation has a row in the FROM clause.
    ///
    /// Beside a constant, that is so for the rows that the condition chooses, and not for those that an outer join
    /// keeps whatever it says. Beside other relations it may be noted for both: a row without a match is kept once.
    pub(super) fn equate(&mut self, relation: usize, column: &str, reads: Relations) {
        let Some(frame) = self.frames.last_mut() else { return };
        let restricted = frame.restricted.as_ref().is_none_or(|restricted| restricted.contains(&relation));
        let own = reads.includes(Relations::of(relation));
        let key = frame.leaves.get(relation).and_then(|leaf| leaf.key_column(column));
        if frame.alternatives == 0
            && !own
            && (restricted || !reads.is_empty())
            && let Some(column) = key
        {
            frame.equations.add(relation, column, reads);
        }
    }
}
