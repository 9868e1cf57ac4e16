//! The parts of SELECT: its list, GROUP BY, ORDER BY, LIMIT and windows. Separate because they share nothing with FROM.

use sqlparser::ast::{self as sql, Spanned};
use sqlparser::tokenizer::Span;

use super::marked::plain_arguments;
use super::{Error, Lowering, Result, marked_name, name, own_row, path, place, refuse_some};
use crate::statement::tree::{
    Bound, Distinct, Expression, Frame, Grouping, Item, Limit, Literal, Name, Order, Select, Spot, Window,
};

use crate::statement::{mark, rephrase};

impl Lowering {
    pub(super) fn select(&mut self, select: &sql::Select) -> Result<Select> {
        let sql::Select {
            select_token,
            optimizer_hints: _,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        refuse_some("a SELECT modifier", select_modifiers.is_some(), select)?;
        refuse_some("TOP", top.is_some(), select)?;
        refuse_some("EXCLUDE", exclude.is_some(), select)?;
        refuse_some("LATERAL VIEW", !lateral_views.is_empty(), select)?;
        refuse_some("PREWHERE", prewhere.is_some(), select)?;
        refuse_some("CONNECT BY", !connect_by.is_empty(), select)?;
        refuse_some("CLUSTER BY", !cluster_by.is_empty(), select)?;
        refuse_some("DISTRIBUTE BY", !distribute_by.is_empty(), select)?;
        refuse_some("SORT BY", !sort_by.is_empty(), select)?;
        refuse_some("QUALIFY", qualify.is_some(), select)?;
        refuse_some("SELECT AS VALUE or STRUCT", value_table_mode.is_some(), select)?;
        refuse_some("FROM before SELECT", *flavor != sql::SelectFlavor::Standard, select)?;
        let at = place(select_token.0.span);
        if into.is_some() {
            self.write("SELECT INTO", at);
        }
        self.tables.push(own_row::tables(from));
        let distinct = distinct.as_ref().map_or(Ok(None), |distinct| self.distinct(distinct))?;
        let (group_by_distinct, group_by) = self.group_by(group_by)?;
        let select = Select {
            distinct,
            items: match projection.as_slice() {
                [sql::SelectItem::UnnamedExpr(sql::Expr::Identifier(nothing))]
                    if mark::is(nothing, rephrase::NOTHING) =>
                {
                    Vec::new()
                }
                items => items.iter().map(|item| self.item(item)).collect::<Result<_>>()?,
            },
            from: from.iter().map(|relation| self.joined(relation)).collect::<Result<_>>()?,
            filter: self.optional(selection.as_ref())?,
            group_by,
            group_by_distinct,
            having: self.optional(having.as_ref())?,
            windows: named_window.iter().map(|window| self.named_window(window)).collect::<Result<_>>()?,
            at: Spot(at),
        };
        self.tables.pop();
        Ok(select)
    }

    pub(super) fn distinct(&mut self, distinct: &sql::Distinct) -> Result<Option<Distinct>> {
        match distinct {
            sql::Distinct::All => Ok(None),
            sql::Distinct::Distinct => Ok(Some(Distinct::Rows)),
            sql::Distinct::On(by) => Ok(Some(Distinct::On(self.expressions(by)?))),
        }
    }

    pub(super) fn item(&mut self, item: &sql::SelectItem) -> Result<Item> {
        match item {
            sql::SelectItem::UnnamedExpr(of) => self.star_or_expression(of, None),
            sql::SelectItem::ExprWithAlias { expr, alias } => {
                let alias = name(alias)?;
                self.star_or_expression(expr, Some(alias))
            }
            sql::SelectItem::ExprWithAliases { .. } => {
                Err(Error::unsupported("more than one alias for a column", place(item.span())))
            }
            sql::SelectItem::Wildcard(options) => {
                plain_wildcard(options)?;
                Ok(Item::Everything)
            }
            sql::SelectItem::QualifiedWildcard(of, options) => {
                plain_wildcard(options)?;
                match of {
                    sql::SelectItemQualifiedWildcardKind::ObjectName(table) => Ok(Item::EverythingOf(path(table)?)),
                    sql::SelectItemQualifiedWildcardKind::Expr(of) => Ok(Item::FieldsOf(self.expression(of)?)),
                }
            }
        }
    }

    pub(super) fn star_or_expression(&mut self, of: &sql::Expr, alias: Option<Name>) -> Result<Item> {
        match of {
            sql::Expr::CompoundFieldAccess { root, access_chain } if alias.is_none() => match access_chain.split_last()
            {
                Some((sql::AccessExpr::Dot(sql::Expr::Identifier(last)), chain))
                    if mark::is(last, rephrase::EVERYTHING) =>
                {
                    self.accesses(root, chain).map(Item::FieldsOf)
                }
                _ => Ok(Item::Expression { of: self.expression(of)?, alias }),
            },
            sql::Expr::Wildcard(_) if alias.is_none() => Ok(Item::Everything),
            sql::Expr::QualifiedWildcard(table, _) if alias.is_none() => Ok(Item::EverythingOf(path(table)?)),
            _ => Ok(Item::Expression { of: self.expression(of)?, alias }),
        }
    }

    /// Whether it is GROUP BY DISTINCT, and by what.
    pub(super) fn group_by(&mut self, group_by: &sql::GroupByExpr) -> Result<(bool, Vec<Grouping>)> {
        match group_by {
            sql::GroupByExpr::All(_) => Err(Error::unsupported("GROUP BY ALL", place(group_by.span()))),
            sql::GroupByExpr::Expressions(by, modifiers) => {
                refuse_some("a modifier of GROUP BY", !modifiers.is_empty(), group_by)?;
                let (distinct, by) = match by.split_first() {
                    Some((sql::Expr::Identifier(first), rest)) if mark::is(first, rephrase::DISTINCT) => (true, rest),
                    _ => (false, by.as_slice()),
                };
                Ok((distinct, by.iter().map(|by| self.grouping(by)).collect::<Result<_>>()?))
            }
        }
    }

    pub(super) fn grouping(&mut self, by: &sql::Expr) -> Result<Grouping> {
        let sets = |this: &mut Self, sets: &[Vec<sql::Expr>]| {
            sets.iter().map(|set| this.expressions(set)).collect::<Result<Vec<_>>>()
        };
        match by {
            sql::Expr::Rollup(of) => Ok(Grouping::Rollup(sets(self, of)?)),
            sql::Expr::Cube(of) => Ok(Grouping::Cube(sets(self, of)?)),
            sql::Expr::GroupingSets(of) => {
                of.iter().map(|set| self.grouping_set(set)).collect::<Result<_>>().map(Grouping::Sets)
            }
            // PostgreSQL takes a list in parentheses apart here; ROW(...) it does not.
            sql::Expr::Tuple(of) => Ok(Grouping::Set(self.expressions(of)?)),
            _ => Ok(Grouping::Expression(self.expression(by)?)),
        }
    }

    /// One entry of GROUPING SETS, which may itself be made of sets. The parser reads those as calls.
    fn grouping_set(&mut self, set: &[sql::Expr]) -> Result<Grouping> {
        let [sql::Expr::Function(call)] = set else { return self.expressions(set).map(Grouping::Set) };
        let nested = |this: &mut Self, sets: Vec<&sql::Expr>| {
            sets.into_iter().map(|set| this.expressions(set_members(set))).collect::<Result<Vec<_>>>()
        };
        match (call_name(call), call_arguments(call)) {
            (Some("rollup"), Some(sets)) => nested(self, sets).map(Grouping::Rollup),
            (Some("cube"), Some(sets)) => nested(self, sets).map(Grouping::Cube),
            _ => self.expressions(set).map(Grouping::Set),
        }
    }

    pub(super) fn order_by(&mut self, order_by: &sql::OrderBy) -> Result<Vec<Order>> {
        let sql::OrderBy { kind, interpolate } = order_by;
        refuse_some("INTERPOLATE", interpolate.is_some(), order_by)?;
        match kind {
            sql::OrderByKind::All(_) => Err(Error::unsupported("ORDER BY ALL", place(order_by.span()))),
            sql::OrderByKind::Expressions(by) => self.orders(by),
        }
    }

    pub(super) fn orders(&mut self, orders: &[sql::OrderByExpr]) -> Result<Vec<Order>> {
        orders
            .iter()
            .map(|sql::OrderByExpr { expr, options, with_fill }| {
                refuse_some("WITH FILL", with_fill.is_some(), expr)?;
                let sql::OrderByOptions { asc, nulls_first } = options;
                Ok(Order { by: self.expression(expr)?, descending: asc.map(|asc| !asc), nulls_first: *nulls_first })
            })
            .collect()
    }

    pub(super) fn limit(
        &mut self,
        clause: Option<&sql::LimitClause>,
        fetch: Option<&sql::Fetch>,
        query: &sql::Query,
    ) -> Result<(Option<Limit>, Option<Expression>)> {
        let (limit, offset) = match clause {
            None => (None, None),
            Some(sql::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                refuse_some("LIMIT BY", !limit_by.is_empty(), query)?;
                let rows = self.optional(limit.as_ref())?;
                let offset =
                    offset.as_ref().map(|sql::Offset { value, rows: _ }| self.expression(value)).transpose()?;
                (rows.map(|rows| Limit { rows, with_ties: false }), offset)
            }
            Some(sql::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::unsupported("LIMIT with a comma", place(query.span())));
            }
        };
        let Some(sql::Fetch { with_ties, percent, quantity }) = fetch else { return Ok((limit, offset)) };
        refuse_some("FETCH FIRST ... PERCENT", *percent, query)?;
        if limit.is_some() {
            return Err(Error::syntax("both LIMIT and FETCH FIRST", place(query.span())));
        }
        let rows = match quantity {
            Some(quantity) => self.expression(quantity)?,
            None => Expression::Literal(Literal::Number("1".to_owned())),
        };
        Ok((Some(Limit { rows, with_ties: *with_ties }), offset))
    }

    pub(super) fn named_window(&mut self, window: &sql::NamedWindowDefinition) -> Result<(Name, Window)> {
        let sql::NamedWindowDefinition(window_name, definition) = window;
        let window_name = name(window_name)?;
        match definition {
            sql::NamedWindowExpr::NamedWindow(_) => {
                Err(Error::unsupported("a window that is another's name", window_name.at))
            }
            sql::NamedWindowExpr::WindowSpec(window) => Ok((window_name, self.window(window)?)),
        }
    }

    pub(super) fn window(&mut self, window: &sql::WindowSpec) -> Result<Window> {
        let sql::WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        let (exclude, base) = match window_name.as_ref().map(|base| (mark::read(base), base)) {
            None => (None, None),
            Some((Some((rephrase::EXCLUDE, parts)), base)) => exclusion(&parts, base.span)?,
            Some((_, base)) => (None, Some(name(base)?)),
        };
        let mut window = Window {
            base,
            partition_by: self.expressions(partition_by)?,
            order_by: self.orders(order_by)?,
            frame: window_frame.as_ref().map(|frame| self.frame(frame)).transpose()?,
        };
        match (&mut window.frame, exclude) {
            (_, None) => {}
            (Some(frame), exclude) => frame.exclude = exclude,
            (None, Some(_)) => {
                let span = window_name.as_ref().map_or_else(Span::empty, |base| base.span);
                return Err(Error::syntax("EXCLUDE without a frame", place(span)));
            }
        }
        Ok(window)
    }

    pub(super) fn frame(&mut self, frame: &sql::WindowFrame) -> Result<Frame> {
        let sql::WindowFrame { units, start_bound, end_bound } = frame;
        let unit = match units {
            sql::WindowFrameUnits::Rows => "ROWS",
            sql::WindowFrameUnits::Range => "RANGE",
            sql::WindowFrameUnits::Groups => "GROUPS",
        };
        let end = end_bound.as_ref().map(|bound| self.bound(bound)).transpose()?;
        Ok(Frame { unit, start: self.bound(start_bound)?, end, exclude: None })
    }

    pub(super) fn bound(&mut self, bound: &sql::WindowFrameBound) -> Result<Bound> {
        match bound {
            sql::WindowFrameBound::CurrentRow => Ok(Bound::CurrentRow),
            sql::WindowFrameBound::Preceding(by) => Ok(Bound::Preceding(self.optional(by.as_deref())?)),
            sql::WindowFrameBound::Following(by) => Ok(Bound::Following(self.optional(by.as_deref())?)),
        }
    }
}

fn plain_wildcard(options: &sql::WildcardAdditionalOptions) -> Result<()> {
    let sql::WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if plain { Ok(()) } else { Err(Error::unsupported("an option after *", place(wildcard_token.0.span))) }
}

/// What a window's EXCLUDE leaves out, and the window it starts from.
fn exclusion(parts: &[&str], span: Span) -> Result<(Option<&'static str>, Option<Name>)> {
    let what = parts.first().and_then(|what| ["CURRENT ROW", "GROUP", "TIES"].into_iter().find(|known| known == what));
    let base = parts.get(1).map(|base| marked_name(base, span)).transpose()?;
    Ok((what, base))
}

/// The name of an unquoted call without a schema, where it is one that makes grouping sets.
fn call_name(call: &sql::Function) -> Option<&'static str> {
    let [sql::ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    let known = ["rollup", "cube"].into_iter().find(|known| known.eq_ignore_ascii_case(&name.value));
    known.filter(|_| name.quote_style.is_none())
}

/// The arguments of a call that has nothing else.
fn call_arguments(call: &sql::Function) -> Option<Vec<&sql::Expr>> {
    let plain = call.filter.is_none() && call.over.is_none() && call.within_group.is_empty();
    let sql::FunctionArguments::List(sql::FunctionArgumentList { duplicate_treatment: None, args: _, clauses }) =
        &call.args
    else {
        return None;
    };
    if plain && clauses.is_empty() { plain_arguments(&call.args) } else { None }
}

/// `(a, b)` is a set of two, and `a` or `(a)` of one.
fn set_members(set: &sql::Expr) -> &[sql::Expr] {
    match set {
        sql::Expr::Tuple(members) => members,
        one => std::slice::from_ref(one),
    }
}
