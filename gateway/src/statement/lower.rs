//! From the parser's tree to the checked one.
//!
//! Every node kind is matched by name and every field of a node is taken apart, so a parser upgrade that adds a
//! construct either fails to compile here or is refused at run time. There is no wildcard that lets anything through:
//! the wildcards there are end in a refusal.

use passgate_policy::{Place, Write};
use sqlparser::ast::{self as sql, Spanned};

use super::tree::{
    Alias, Arguments, Body, Bound, Call, CommonTable, Distinct, Expression, Frame, Grouping, Item, JoinCondition,
    JoinKind, Limit, Literal, Name, Order, Over, Path, Query, Relation, Sample, Select, SetOperator, Spot, Type,
    Window, With,
};
use super::{Error, types};

type Result<T> = std::result::Result<T, Error>;

/// PostgreSQL's limit on identifiers (NAMEDATALEN - 1); it cuts longer ones, we refuse them.
const NAME_BYTES_MAX: usize = 63;

/// Lowers queries, and notes on the way everything in them that is not a read.
#[derive(Debug)]
pub(super) struct Lowering {
    depth: usize,
    depth_max: usize,
    parameters_max: usize,
    /// The highest `$n` seen.
    pub(super) parameters: u16,
    /// Writing parts found inside queries: data-modifying WITH, SELECT INTO, FOR UPDATE.
    pub(super) writes: Vec<Write>,
}

impl Lowering {
    pub(super) fn new(depth_max: usize, parameters_max: usize) -> Self {
        Self { depth: 0, depth_max, parameters_max, parameters: 0, writes: Vec::new() }
    }

    fn nested<T>(&mut self, lower: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(Error::too_deep(self.depth_max));
        }
        let lowered = stacker::maybe_grow(super::STACK_LEFT_MIN, super::STACK_STEP, || lower(self));
        self.depth -= 1;
        lowered
    }

    fn write(&mut self, command: &'static str, at: Place) {
        self.writes.push(Write { command, at });
    }

    pub(super) fn query(&mut self, query: &sql::Query) -> Result<Query> {
        self.nested(|this| this.query_within(query))
    }

    fn query_within(&mut self, query: &sql::Query) -> Result<Query> {
        let sql::Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        refuse_some("FOR XML, JSON or BROWSE", for_clause.is_some(), query)?;
        refuse_some("SETTINGS", settings.is_some(), query)?;
        refuse_some("FORMAT", format_clause.is_some(), query)?;
        refuse_some("the pipe operator", !pipe_operators.is_empty(), query)?;
        for lock in locks {
            let command = match lock.lock_type {
                sql::LockType::Share => "FOR SHARE",
                sql::LockType::Update => "FOR UPDATE",
            };
            self.write(command, place(body.span()));
        }
        let with = with.as_ref().map(|with| self.with(with)).transpose()?;
        let body = self.body(body)?;
        let order_by = order_by.as_ref().map_or(Ok(Vec::new()), |order| self.order_by(order))?;
        let (limit, offset) = self.limit(limit_clause.as_ref(), fetch.as_ref(), query)?;
        Ok(Query { with, body, order_by, limit, offset })
    }

    fn with(&mut self, with: &sql::With) -> Result<With> {
        let sql::With { with_token: _, recursive, cte_tables } = with;
        let tables = cte_tables.iter().map(|table| self.common_table(table)).collect::<Result<_>>()?;
        Ok(With { recursive: *recursive, tables })
    }

    fn common_table(&mut self, table: &sql::Cte) -> Result<CommonTable> {
        let sql::Cte { alias, query, from, materialized, closing_paren_token: _ } = table;
        refuse_some("FROM after WITH", from.is_some(), table)?;
        let alias = self.alias(alias)?;
        let columns = alias
            .columns
            .into_iter()
            .map(|(name, to)| match to {
                None => Ok(name),
                Some(_) => Err(Error::unsupported("a type in the column list of WITH", name.at)),
            })
            .collect::<Result<_>>()?;
        let materialized = materialized.as_ref().map(|kind| match kind {
            sql::CteAsMaterialized::Materialized => true,
            sql::CteAsMaterialized::NotMaterialized => false,
        });
        Ok(CommonTable { name: alias.name, columns, materialized, query: self.query(query)? })
    }

    fn body(&mut self, body: &sql::SetExpr) -> Result<Body> {
        self.nested(|this| match body {
            sql::SetExpr::Select(select) => Ok(Body::Select(Box::new(this.select(select)?))),
            sql::SetExpr::Query(query) => Ok(Body::Query(Box::new(this.query(query)?))),
            sql::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let operator = match op {
                    sql::SetOperator::Union => SetOperator::Union,
                    sql::SetOperator::Except => SetOperator::Except,
                    sql::SetOperator::Intersect => SetOperator::Intersect,
                    sql::SetOperator::Minus => return Err(Error::unsupported("MINUS", place(body.span()))),
                };
                let all = match set_quantifier {
                    sql::SetQuantifier::All => true,
                    sql::SetQuantifier::Distinct | sql::SetQuantifier::None => false,
                    sql::SetQuantifier::ByName | sql::SetQuantifier::AllByName | sql::SetQuantifier::DistinctByName => {
                        return Err(Error::unsupported("BY NAME", place(body.span())));
                    }
                };
                let left = Box::new(this.body(left)?);
                Ok(Body::Combination { operator, all, left, right: Box::new(this.body(right)?) })
            }
            sql::SetExpr::Values(values) => this.values(values, place(body.span())),
            sql::SetExpr::Table(table) => table_command(table, place(body.span())),
            sql::SetExpr::Insert(_) => Ok(this.modifying("INSERT", place(body.span()))),
            sql::SetExpr::Update(_) => Ok(this.modifying("UPDATE", place(body.span()))),
            sql::SetExpr::Delete(_) => Ok(this.modifying("DELETE", place(body.span()))),
            sql::SetExpr::Merge(_) => Ok(this.modifying("MERGE", place(body.span()))),
        })
    }

    /// A writing statement inside a query: noted, so that the policy can deny it by name. The empty body that stands
    /// for it is never sent, because a request with a write in it is never allowed to run.
    fn modifying(&mut self, command: &'static str, at: Place) -> Body {
        self.write(command, at);
        Body::Values(Vec::new())
    }

    fn values(&mut self, values: &sql::Values, at: Place) -> Result<Body> {
        let sql::Values { explicit_row, value_keyword, rows } = values;
        if *explicit_row || *value_keyword {
            return Err(Error::unsupported("VALUE and VALUES ROW", at));
        }
        let rows = rows.iter().map(|row| self.expressions(row)).collect::<Result<_>>()?;
        Ok(Body::Values(rows))
    }

    fn select(&mut self, select: &sql::Select) -> Result<Select> {
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
        let distinct = distinct.as_ref().map_or(Ok(None), |distinct| self.distinct(distinct))?;
        let group_by = self.group_by(group_by)?;
        Ok(Select {
            distinct,
            items: projection.iter().map(|item| self.item(item)).collect::<Result<_>>()?,
            from: from.iter().map(|relation| self.joined(relation)).collect::<Result<_>>()?,
            filter: self.optional(selection.as_ref())?,
            group_by,
            having: self.optional(having.as_ref())?,
            windows: named_window.iter().map(|window| self.named_window(window)).collect::<Result<_>>()?,
            at: Spot(at),
        })
    }

    fn distinct(&mut self, distinct: &sql::Distinct) -> Result<Option<Distinct>> {
        match distinct {
            sql::Distinct::All => Ok(None),
            sql::Distinct::Distinct => Ok(Some(Distinct::Rows)),
            sql::Distinct::On(by) => Ok(Some(Distinct::On(self.expressions(by)?))),
        }
    }

    fn item(&mut self, item: &sql::SelectItem) -> Result<Item> {
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

    fn star_or_expression(&mut self, of: &sql::Expr, alias: Option<Name>) -> Result<Item> {
        match of {
            sql::Expr::Wildcard(_) if alias.is_none() => Ok(Item::Everything),
            sql::Expr::QualifiedWildcard(table, _) if alias.is_none() => Ok(Item::EverythingOf(path(table)?)),
            _ => Ok(Item::Expression { of: self.expression(of)?, alias }),
        }
    }

    fn joined(&mut self, relation: &sql::TableWithJoins) -> Result<Relation> {
        let sql::TableWithJoins { relation: first, joins } = relation;
        let mut left = self.relation(first)?;
        for join in joins {
            if self.depth + joins.len() > self.depth_max {
                return Err(Error::too_deep(self.depth_max));
            }
            left = self.join(left, join)?;
        }
        Ok(left)
    }

    fn join(&mut self, left: Relation, join: &sql::Join) -> Result<Relation> {
        let sql::Join { relation, global, join_operator } = join;
        refuse_some("GLOBAL JOIN", *global, join)?;
        let (kind, constraint) = match join_operator {
            sql::JoinOperator::Join(on) | sql::JoinOperator::Inner(on) => (JoinKind::Inner, on),
            sql::JoinOperator::Left(on) | sql::JoinOperator::LeftOuter(on) => (JoinKind::Left, on),
            sql::JoinOperator::Right(on) | sql::JoinOperator::RightOuter(on) => (JoinKind::Right, on),
            sql::JoinOperator::FullOuter(on) => (JoinKind::Full, on),
            sql::JoinOperator::CrossJoin(on) => (JoinKind::Cross, on),
            sql::JoinOperator::Semi(_)
            | sql::JoinOperator::LeftSemi(_)
            | sql::JoinOperator::RightSemi(_)
            | sql::JoinOperator::Anti(_)
            | sql::JoinOperator::LeftAnti(_)
            | sql::JoinOperator::RightAnti(_)
            | sql::JoinOperator::CrossApply
            | sql::JoinOperator::OuterApply
            | sql::JoinOperator::AsOf { .. }
            | sql::JoinOperator::StraightJoin(_)
            | sql::JoinOperator::ArrayJoin
            | sql::JoinOperator::LeftArrayJoin
            | sql::JoinOperator::InnerArrayJoin => {
                return Err(Error::unsupported("this kind of join", place(relation.span())));
            }
        };
        let right = self.relation(relation)?;
        let on = match (constraint, kind) {
            (sql::JoinConstraint::None, JoinKind::Cross) => JoinCondition::None,
            (_, JoinKind::Cross) => {
                return Err(Error::syntax("CROSS JOIN takes no condition", place(relation.span())));
            }
            (sql::JoinConstraint::None, _) => {
                return Err(Error::syntax("a join without ON or USING", place(relation.span())));
            }
            (sql::JoinConstraint::On(on), _) => JoinCondition::On(self.expression(on)?),
            (sql::JoinConstraint::Using(columns), _) => {
                JoinCondition::Using(columns.iter().map(single).collect::<Result<_>>()?)
            }
            (sql::JoinConstraint::Natural, _) => JoinCondition::Natural,
        };
        Ok(Relation::Join { left: Box::new(left), right: Box::new(right), kind, on, alias: None })
    }

    fn relation(&mut self, relation: &sql::TableFactor) -> Result<Relation> {
        self.nested(|this| this.relation_within(relation))
    }

    fn relation_within(&mut self, relation: &sql::TableFactor) -> Result<Relation> {
        let at = place(relation.span());
        match relation {
            sql::TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                refuse_some("a table hint", !with_hints.is_empty() || !index_hints.is_empty(), relation)?;
                refuse_some("a table version", version.is_some(), relation)?;
                refuse_some("PARTITION", !partitions.is_empty(), relation)?;
                refuse_some("a path into a table", json_path.is_some(), relation)?;
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                match args {
                    None => {
                        refuse_some("WITH ORDINALITY on a table", *with_ordinality, relation)?;
                        let sample = sample.as_ref().map(|sample| self.sample(sample, at)).transpose()?;
                        Ok(Relation::Table { name: table_path(name)?, alias, sample })
                    }
                    Some(sql::TableFunctionArgs { args, settings }) => {
                        refuse_some("SETTINGS", settings.is_some(), relation)?;
                        refuse_some("TABLESAMPLE on a function", sample.is_some(), relation)?;
                        let call = Box::new(Call::plain(path(name)?, self.arguments(args)?));
                        Ok(Relation::Function { lateral: false, call, ordinality: *with_ordinality, alias })
                    }
                }
            }
            sql::TableFactor::Derived { lateral, subquery, alias, sample } => {
                refuse_some("TABLESAMPLE on a query", sample.is_some(), relation)?;
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                let query = Box::new(self.query(subquery)?);
                Ok(Relation::Query { lateral: *lateral, query, alias, at: Spot(at) })
            }
            sql::TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                let call = Box::new(Call::plain(path(name)?, self.arguments(args)?));
                Ok(Relation::Function { lateral: *lateral, call, ordinality: *with_ordinality, alias })
            }
            sql::TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                refuse_some("WITH OFFSET", *with_offset || with_offset_alias.is_some(), relation)?;
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                let list = self.expressions(array_exprs)?.into_iter().map(|of| (None, of)).collect();
                let unnest = Name { text: "unnest".to_owned(), at };
                let call = Box::new(Call::plain(Path(vec![unnest]), Arguments::List(list)));
                Ok(Relation::Function { lateral: false, call, ordinality: *with_ordinality, alias })
            }
            sql::TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = self.joined(table_with_joins)?;
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                match (inner, alias) {
                    (Relation::Join { left, right, kind, on, alias: None }, alias) => {
                        Ok(Relation::Join { left, right, kind, on, alias })
                    }
                    (inner, None) => Ok(inner),
                    (_, Some(_)) => Err(Error::unsupported("an alias outside the parentheses of one table", at)),
                }
            }
            sql::TableFactor::TableFunction { .. } => Err(Error::unsupported("TABLE(...)", at)),
            sql::TableFactor::JsonTable { .. } => Err(Error::unsupported("JSON_TABLE", at)),
            sql::TableFactor::OpenJsonTable { .. } => Err(Error::unsupported("OPENJSON", at)),
            sql::TableFactor::Pivot { .. } => Err(Error::unsupported("PIVOT", at)),
            sql::TableFactor::Unpivot { .. } => Err(Error::unsupported("UNPIVOT", at)),
            sql::TableFactor::MatchRecognize { .. } => Err(Error::unsupported("MATCH_RECOGNIZE", at)),
            sql::TableFactor::XmlTable { .. } => Err(Error::unsupported("XMLTABLE", at)),
            sql::TableFactor::SemanticView { .. } => Err(Error::unsupported("SEMANTIC_VIEW", at)),
        }
    }

    fn alias(&mut self, alias: &sql::TableAlias) -> Result<Alias> {
        let sql::TableAlias { explicit: _, name: alias_name, columns, at } = alias;
        let alias_name = name(alias_name)?;
        if at.is_some() {
            return Err(Error::unsupported("AT after an alias", alias_name.at));
        }
        let columns = columns
            .iter()
            .map(|sql::TableAliasColumnDef { name: column, data_type }| {
                let to = data_type.as_ref().map(|to| types::lower(to, alias_name.at)).transpose()?;
                Ok((name(column)?, to))
            })
            .collect::<Result<_>>()?;
        Ok(Alias { name: alias_name, columns })
    }

    fn sample(&mut self, sample: &sql::TableSampleKind, at: Place) -> Result<Sample> {
        let (sql::TableSampleKind::BeforeTableAlias(sample) | sql::TableSampleKind::AfterTableAlias(sample)) = sample;
        let sql::TableSample { modifier, name, quantity, seed, bucket, offset } = &**sample;
        let refused = || Error::unsupported("this form of TABLESAMPLE", at);
        let plain = *modifier == sql::TableSampleModifier::TableSample && bucket.is_none() && offset.is_none();
        let bernoulli = match name {
            Some(sql::TableSampleMethod::Bernoulli) => true,
            Some(sql::TableSampleMethod::System) => false,
            Some(sql::TableSampleMethod::Row | sql::TableSampleMethod::Block) | None => return Err(refused()),
        };
        let Some(sql::TableSampleQuantity { parenthesized: true, value, unit: None }) = quantity else {
            return Err(refused());
        };
        let percent = self.expression(value)?;
        let seed = match seed {
            None => None,
            Some(sql::TableSampleSeed { modifier: sql::TableSampleSeedModifier::Repeatable, value }) => {
                match literal(&value.value, at)? {
                    Some(seed) => Some(seed),
                    None => return Err(refused()),
                }
            }
            Some(sql::TableSampleSeed { modifier: sql::TableSampleSeedModifier::Seed, .. }) => return Err(refused()),
        };
        if plain { Ok(Sample { bernoulli, percent, seed }) } else { Err(refused()) }
    }

    fn group_by(&mut self, group_by: &sql::GroupByExpr) -> Result<Vec<Grouping>> {
        match group_by {
            sql::GroupByExpr::All(_) => Err(Error::unsupported("GROUP BY ALL", place(group_by.span()))),
            sql::GroupByExpr::Expressions(by, modifiers) => {
                refuse_some("a modifier of GROUP BY", !modifiers.is_empty(), group_by)?;
                by.iter().map(|by| self.grouping(by)).collect()
            }
        }
    }

    fn grouping(&mut self, by: &sql::Expr) -> Result<Grouping> {
        let sets = |this: &mut Self, sets: &[Vec<sql::Expr>]| {
            sets.iter().map(|set| this.expressions(set)).collect::<Result<Vec<_>>>()
        };
        match by {
            sql::Expr::Rollup(of) => Ok(Grouping::Rollup(sets(self, of)?)),
            sql::Expr::Cube(of) => Ok(Grouping::Cube(sets(self, of)?)),
            sql::Expr::GroupingSets(of) => Ok(Grouping::Sets(sets(self, of)?)),
            sql::Expr::Tuple(of) if of.is_empty() => Ok(Grouping::Sets(vec![Vec::new()])),
            _ => Ok(Grouping::Expression(self.expression(by)?)),
        }
    }

    fn order_by(&mut self, order_by: &sql::OrderBy) -> Result<Vec<Order>> {
        let sql::OrderBy { kind, interpolate } = order_by;
        refuse_some("INTERPOLATE", interpolate.is_some(), order_by)?;
        match kind {
            sql::OrderByKind::All(_) => Err(Error::unsupported("ORDER BY ALL", place(order_by.span()))),
            sql::OrderByKind::Expressions(by) => self.orders(by),
        }
    }

    fn orders(&mut self, orders: &[sql::OrderByExpr]) -> Result<Vec<Order>> {
        orders
            .iter()
            .map(|sql::OrderByExpr { expr, options, with_fill }| {
                refuse_some("WITH FILL", with_fill.is_some(), expr)?;
                let sql::OrderByOptions { asc, nulls_first } = options;
                Ok(Order { by: self.expression(expr)?, descending: asc.map(|asc| !asc), nulls_first: *nulls_first })
            })
            .collect()
    }

    fn limit(
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

    fn named_window(&mut self, window: &sql::NamedWindowDefinition) -> Result<(Name, Window)> {
        let sql::NamedWindowDefinition(window_name, definition) = window;
        let window_name = name(window_name)?;
        match definition {
            sql::NamedWindowExpr::NamedWindow(_) => {
                Err(Error::unsupported("a window that is another's name", window_name.at))
            }
            sql::NamedWindowExpr::WindowSpec(window) => Ok((window_name, self.window(window)?)),
        }
    }

    fn window(&mut self, window: &sql::WindowSpec) -> Result<Window> {
        let sql::WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        Ok(Window {
            base: window_name.as_ref().map(name).transpose()?,
            partition_by: self.expressions(partition_by)?,
            order_by: self.orders(order_by)?,
            frame: window_frame.as_ref().map(|frame| self.frame(frame)).transpose()?,
        })
    }

    fn frame(&mut self, frame: &sql::WindowFrame) -> Result<Frame> {
        let sql::WindowFrame { units, start_bound, end_bound } = frame;
        let unit = match units {
            sql::WindowFrameUnits::Rows => "ROWS",
            sql::WindowFrameUnits::Range => "RANGE",
            sql::WindowFrameUnits::Groups => "GROUPS",
        };
        let end = end_bound.as_ref().map(|bound| self.bound(bound)).transpose()?;
        Ok(Frame { unit, start: self.bound(start_bound)?, end })
    }

    fn bound(&mut self, bound: &sql::WindowFrameBound) -> Result<Bound> {
        match bound {
            sql::WindowFrameBound::CurrentRow => Ok(Bound::CurrentRow),
            sql::WindowFrameBound::Preceding(by) => Ok(Bound::Preceding(self.optional(by.as_deref())?)),
            sql::WindowFrameBound::Following(by) => Ok(Bound::Following(self.optional(by.as_deref())?)),
        }
    }

    fn optional(&mut self, of: Option<&sql::Expr>) -> Result<Option<Expression>> {
        of.map(|of| self.expression(of)).transpose()
    }

    fn boxed(&mut self, of: &sql::Expr) -> Result<Box<Expression>> {
        self.expression(of).map(Box::new)
    }

    fn expressions(&mut self, list: &[sql::Expr]) -> Result<Vec<Expression>> {
        list.iter().map(|of| self.expression(of)).collect()
    }

    pub(super) fn expression(&mut self, of: &sql::Expr) -> Result<Expression> {
        self.nested(|this| this.expression_within(of))
    }

    fn expression_within(&mut self, of: &sql::Expr) -> Result<Expression> {
        let at = || place(of.span());
        let unsupported = |what: &str| Err(Error::unsupported(what, place(of.span())));
        Ok(match of {
            sql::Expr::Identifier(ident) => column_or_keyword(ident)?,
            sql::Expr::CompoundIdentifier(parts) => {
                Expression::Column(Path(parts.iter().map(name).collect::<Result<_>>()?))
            }
            sql::Expr::CompoundFieldAccess { root, access_chain } => self.accesses(root, access_chain)?,
            sql::Expr::IsFalse(of) => self.is(of, "FALSE", false)?,
            sql::Expr::IsNotFalse(of) => self.is(of, "FALSE", true)?,
            sql::Expr::IsTrue(of) => self.is(of, "TRUE", false)?,
            sql::Expr::IsNotTrue(of) => self.is(of, "TRUE", true)?,
            sql::Expr::IsNull(of) => self.is(of, "NULL", false)?,
            sql::Expr::IsNotNull(of) => self.is(of, "NULL", true)?,
            sql::Expr::IsUnknown(of) => self.is(of, "UNKNOWN", false)?,
            sql::Expr::IsNotUnknown(of) => self.is(of, "UNKNOWN", true)?,
            sql::Expr::IsDistinctFrom(left, right) => {
                Expression::Distinct { left: self.boxed(left)?, right: self.boxed(right)?, negated: false }
            }
            sql::Expr::IsNotDistinctFrom(left, right) => {
                Expression::Distinct { left: self.boxed(left)?, right: self.boxed(right)?, negated: true }
            }
            sql::Expr::IsNormalized { expr, form, negated } => {
                let form = form.as_ref().map(|form| match form {
                    sql::NormalizationForm::NFC => "NFC",
                    sql::NormalizationForm::NFD => "NFD",
                    sql::NormalizationForm::NFKC => "NFKC",
                    sql::NormalizationForm::NFKD => "NFKD",
                });
                Expression::Normalized { of: self.boxed(expr)?, form, negated: *negated }
            }
            sql::Expr::InList { expr, list, negated } => {
                Expression::InList { of: self.boxed(expr)?, list: self.expressions(list)?, negated: *negated }
            }
            sql::Expr::InSubquery { expr, subquery, negated } => {
                Expression::InQuery { of: self.boxed(expr)?, query: Box::new(self.query(subquery)?), negated: *negated }
            }
            sql::Expr::Between { expr, negated, low, high } => Expression::Between {
                of: self.boxed(expr)?,
                low: self.boxed(low)?,
                high: self.boxed(high)?,
                negated: *negated,
            },
            sql::Expr::BinaryOp { left, op, right } => self.infix(left, op, right)?,
            sql::Expr::Like { negated, any, expr, pattern, escape_char } => {
                refuse_some("LIKE ANY", *any, of)?;
                self.like("LIKE", *negated, expr, pattern, escape_char.as_ref())?
            }
            sql::Expr::ILike { negated, any, expr, pattern, escape_char } => {
                refuse_some("ILIKE ANY", *any, of)?;
                self.like("ILIKE", *negated, expr, pattern, escape_char.as_ref())?
            }
            sql::Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.like("SIMILAR TO", *negated, expr, pattern, escape_char.as_ref())?
            }
            sql::Expr::AnyOp { left, compare_op, right, is_some: _ } => {
                self.quantified(left, compare_op, right, false)?
            }
            sql::Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true)?,
            sql::Expr::UnaryOp { op, expr } => self.prefix(*op, expr, at())?,
            sql::Expr::Cast { kind, expr, data_type, array, format } => {
                refuse_some("CAST ... FORMAT", format.is_some(), of)?;
                refuse_some("CAST ... ARRAY", *array, of)?;
                match kind {
                    sql::CastKind::Cast | sql::CastKind::DoubleColon => {}
                    sql::CastKind::TryCast | sql::CastKind::SafeCast => return unsupported("TRY_CAST"),
                }
                Expression::Cast { of: self.boxed(expr)?, to: types::lower(data_type, at())? }
            }
            sql::Expr::AtTimeZone { timestamp, time_zone } => {
                Expression::AtTimeZone { of: self.boxed(timestamp)?, zone: self.boxed(time_zone)? }
            }
            sql::Expr::Extract { field, syntax, expr } => {
                refuse_some("EXTRACT with a comma", *syntax != sql::ExtractSyntax::From, of)?;
                Expression::Extract { field: types::date_field(field, at())?, of: self.boxed(expr)? }
            }
            sql::Expr::Ceil { expr, field } => self.rounding("ceil", expr, field, at())?,
            sql::Expr::Floor { expr, field } => self.rounding("floor", expr, field, at())?,
            sql::Expr::Position { expr, r#in } => {
                Expression::Position { what: self.boxed(expr)?, within: self.boxed(r#in)? }
            }
            sql::Expr::Substring { expr, substring_from, substring_for, special, shorthand } => {
                let from = self.optional(substring_from.as_deref())?;
                let length = self.optional(substring_for.as_deref())?;
                let of = self.expression(expr)?;
                if *special {
                    let name = if *shorthand { "substr" } else { "substring" };
                    let list = [Some(of), from, length].into_iter().flatten().map(|of| (None, of)).collect();
                    let name = Path(vec![Name { text: name.to_owned(), at: at() }]);
                    Expression::Call(Box::new(Call::plain(name, Arguments::List(list))))
                } else {
                    Expression::Substring { of: Box::new(of), from: from.map(Box::new), length: length.map(Box::new) }
                }
            }
            sql::Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                self.trim(trim_where.as_ref(), trim_what.as_deref(), expr, trim_characters.as_deref())?
            }
            sql::Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => Expression::Overlay {
                of: self.boxed(expr)?,
                what: self.boxed(overlay_what)?,
                from: self.boxed(overlay_from)?,
                length: self.optional(overlay_for.as_deref())?.map(Box::new),
            },
            sql::Expr::Collate { expr, collation } => {
                Expression::Collate { of: self.boxed(expr)?, collation: types::collation(&path(collation)?)? }
            }
            sql::Expr::Nested(inner) => self.expression(inner)?,
            sql::Expr::Value(value) => match &value.value {
                sql::Value::Placeholder(text) => self.parameter(text, place(value.span))?,
                other => match literal(other, place(value.span))? {
                    Some(literal) => Expression::Literal(literal),
                    None => return unsupported("this kind of literal"),
                },
            },
            sql::Expr::TypedString(sql::TypedString { data_type, value, uses_odbc_syntax: _ }) => {
                match literal(&value.value, at())? {
                    Some(text @ Literal::String(_)) => {
                        let of = Box::new(Expression::Literal(text));
                        Expression::Cast { of, to: types::lower(data_type, at())? }
                    }
                    _ => return unsupported("a type before something that is not a string"),
                }
            }
            sql::Expr::Interval(interval) => self.interval(interval, at())?,
            sql::Expr::Function(function) => self.call(function, at())?,
            sql::Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => Expression::Case {
                operand: self.optional(operand.as_deref())?.map(Box::new),
                arms: conditions
                    .iter()
                    .map(|sql::CaseWhen { condition, result }| {
                        Ok((self.expression(condition)?, self.expression(result)?))
                    })
                    .collect::<Result<_>>()?,
                otherwise: self.optional(else_result.as_deref())?.map(Box::new),
            },
            sql::Expr::Exists { subquery, negated } => {
                let exists = Expression::Exists(Box::new(self.query(subquery)?));
                if *negated { Expression::Not(Box::new(exists)) } else { exists }
            }
            sql::Expr::Subquery(query) => Expression::Query(Box::new(self.query(query)?)),
            sql::Expr::Tuple(list) => Expression::Row(self.expressions(list)?),
            sql::Expr::Array(sql::Array { elem, named: _ }) => Expression::Array(self.expressions(elem)?),
            sql::Expr::GroupingSets(_) | sql::Expr::Cube(_) | sql::Expr::Rollup(_) => {
                return unsupported("a grouping set outside GROUP BY");
            }
            sql::Expr::Wildcard(_) | sql::Expr::QualifiedWildcard(..) => return unsupported("* here"),
            sql::Expr::JsonAccess { .. } => return unsupported("a path with colons"),
            sql::Expr::InUnnest { .. } => return unsupported("IN UNNEST"),
            sql::Expr::RLike { .. } => return unsupported("RLIKE"),
            sql::Expr::Convert { .. } => return unsupported("CONVERT"),
            sql::Expr::Prefixed { .. } => return unsupported("a literal with this prefix"),
            sql::Expr::Struct { .. } => return unsupported("STRUCT"),
            sql::Expr::Named { .. } => return unsupported("a named field"),
            sql::Expr::Dictionary(_) => return unsupported("a dictionary"),
            sql::Expr::Map(_) => return unsupported("MAP"),
            sql::Expr::MatchAgainst { .. } => return unsupported("MATCH AGAINST"),
            sql::Expr::OuterJoin(_) => return unsupported("(+)"),
            sql::Expr::Prior(_) => return unsupported("PRIOR"),
            sql::Expr::Lambda(_) => return unsupported("a lambda"),
            sql::Expr::MemberOf(_) => return unsupported("MEMBER OF"),
        })
    }

    fn is(&mut self, of: &sql::Expr, test: &'static str, negated: bool) -> Result<Expression> {
        Ok(Expression::Is { of: self.boxed(of)?, test, negated })
    }

    /// AND and OR become flat lists: BI tools write them by the hundred.
    fn infix(&mut self, left: &sql::Expr, op: &sql::BinaryOperator, right: &sql::Expr) -> Result<Expression> {
        let flat = matches!(op, sql::BinaryOperator::And | sql::BinaryOperator::Or);
        if !flat {
            let operator = types::infix_operator(op, place(left.span()))?;
            return Ok(Expression::Infix { operator, left: self.boxed(left)?, right: self.boxed(right)? });
        }
        let mut operands = vec![right];
        let mut rest = left;
        while let sql::Expr::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        let mut list = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().rev() {
            list.push(self.expression(operand)?);
        }
        Ok(flat_logic(matches!(op, sql::BinaryOperator::And), list))
    }

    fn like(
        &mut self,
        operator: &'static str,
        negated: bool,
        of: &sql::Expr,
        pattern: &sql::Expr,
        escape: Option<&sql::ValueWithSpan>,
    ) -> Result<Expression> {
        let escape = match escape {
            None => None,
            Some(value) => match literal(&value.value, place(value.span))? {
                Some(Literal::String(text)) => Some(text),
                _ => return Err(Error::unsupported("this kind of ESCAPE", place(value.span))),
            },
        };
        Ok(Expression::Like { operator, of: self.boxed(of)?, pattern: self.boxed(pattern)?, escape, negated })
    }

    fn quantified(
        &mut self,
        left: &sql::Expr,
        op: &sql::BinaryOperator,
        right: &sql::Expr,
        all: bool,
    ) -> Result<Expression> {
        let operator = types::infix_operator(op, place(left.span()))?;
        Ok(Expression::Quantified { left: self.boxed(left)?, operator, all, right: self.boxed(right)? })
    }

    fn prefix(&mut self, op: sql::UnaryOperator, of: &sql::Expr, at: Place) -> Result<Expression> {
        if op == sql::UnaryOperator::Not {
            return Ok(Expression::Not(self.boxed(of)?));
        }
        let operator = types::prefix_operator(op, at)?.to_owned();
        Ok(Expression::Prefix { operator, of: self.boxed(of)? })
    }

    fn accesses(&mut self, root: &sql::Expr, chain: &[sql::AccessExpr]) -> Result<Expression> {
        let mut of = self.expression(root)?;
        let mut is_name = matches!(root, sql::Expr::Identifier(_) | sql::Expr::CompoundIdentifier(_));
        if self.depth + chain.len() > self.depth_max {
            return Err(Error::too_deep(self.depth_max));
        }
        for access in chain {
            of = match access {
                sql::AccessExpr::Dot(sql::Expr::Identifier(field)) => match of {
                    Expression::Column(mut path) if is_name => {
                        path.0.push(name(field)?);
                        Expression::Column(path)
                    }
                    of => Expression::Field { of: Box::new(of), name: name(field)? },
                },
                sql::AccessExpr::Dot(other) => {
                    return Err(Error::unsupported("this kind of field access", place(other.span())));
                }
                sql::AccessExpr::Subscript(sql::Subscript::Index { index }) => {
                    Expression::Element { of: Box::new(of), index: self.boxed(index)? }
                }
                sql::AccessExpr::Subscript(sql::Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    Expression::Slice {
                        of: Box::new(of),
                        low: self.optional(lower_bound.as_ref())?.map(Box::new),
                        high: self.optional(upper_bound.as_ref())?.map(Box::new),
                    }
                }
                sql::AccessExpr::Subscript(sql::Subscript::Slice { stride: Some(stride), .. }) => {
                    return Err(Error::unsupported("a slice with a stride", place(stride.span())));
                }
            };
            is_name &= matches!(of, Expression::Column(_));
        }
        Ok(of)
    }

    fn rounding(
        &mut self,
        function: &str,
        of: &sql::Expr,
        field: &sql::CeilFloorKind,
        at: Place,
    ) -> Result<Expression> {
        match field {
            sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime) => {
                let list = vec![(None, self.expression(of)?)];
                let name = Path(vec![Name { text: function.to_owned(), at }]);
                Ok(Expression::Call(Box::new(Call::plain(name, Arguments::List(list)))))
            }
            sql::CeilFloorKind::DateTimeField(_) | sql::CeilFloorKind::Scale(_) => {
                Err(Error::unsupported("rounding to a field or scale", at))
            }
        }
    }

    fn trim(
        &mut self,
        side: Option<&sql::TrimWhereField>,
        what: Option<&sql::Expr>,
        of: &sql::Expr,
        characters: Option<&[sql::Expr]>,
    ) -> Result<Expression> {
        let side = match side {
            None | Some(sql::TrimWhereField::Both) => "BOTH",
            Some(sql::TrimWhereField::Leading) => "LEADING",
            Some(sql::TrimWhereField::Trailing) => "TRAILING",
        };
        // `trim(x, chars)` and `trim(chars from x)` mean the same to PostgreSQL.
        let what = match (what, characters) {
            (None, Some([characters])) => Some(self.boxed(characters)?),
            (Some(what), None) => Some(self.boxed(what)?),
            (None, None) => None,
            _ => return Err(Error::unsupported("this form of TRIM", place(of.span()))),
        };
        Ok(Expression::Trim { side, what, of: self.boxed(of)? })
    }

    fn interval(&mut self, interval: &sql::Interval, at: Place) -> Result<Expression> {
        let sql::Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        let sql::Expr::Value(value) = &**value else {
            return Err(Error::unsupported("INTERVAL before something that is not a string", at));
        };
        let Some(Literal::String(text)) = literal(&value.value, at)? else {
            return Err(Error::unsupported("INTERVAL before something that is not a string", at));
        };
        let precision = match (leading_precision, fractional_seconds_precision) {
            (None, precision) | (precision, None) => *precision,
            (Some(_), Some(_)) => return Err(Error::unsupported("two precisions of an INTERVAL", at)),
        };
        match (types::interval_fields(leading_field.as_ref(), last_field.as_ref(), at)?, precision) {
            (Some(fields), precision) => Ok(Expression::Interval { text, fields, precision }),
            (None, None) => {
                let to = Type { name: "interval".to_owned(), modifiers: Vec::new(), dimensions: 0 };
                Ok(Expression::Cast { of: Box::new(Expression::Literal(Literal::String(text))), to })
            }
            (None, Some(_)) => Err(Error::unsupported("a precision of an INTERVAL without fields", at)),
        }
    }

    fn parameter(&mut self, text: &str, at: Place) -> Result<Expression> {
        let number = text.strip_prefix('$').and_then(|digits| digits.parse::<u16>().ok()).filter(|number| *number > 0);
        let Some(number) = number else {
            return Err(Error::syntax(&format!("\"{text}\" is not a parameter"), at));
        };
        if usize::from(number) > self.parameters_max {
            return Err(Error::too_many_parameters(self.parameters_max));
        }
        self.parameters = self.parameters.max(number);
        Ok(Expression::Parameter(number))
    }

    fn call(&mut self, function: &sql::Function, at: Place) -> Result<Expression> {
        let sql::Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } =
            function;
        let name = path(name)?;
        if !matches!(parameters, sql::FunctionArguments::None) {
            return Err(Error::unsupported("a function with two lists of arguments", at));
        }
        if null_treatment.is_some() {
            return Err(Error::unsupported("IGNORE NULLS and RESPECT NULLS", at));
        }
        let sql::FunctionArgumentList { duplicate_treatment, args, clauses } = match args {
            sql::FunctionArguments::None => return keyword(&name, None, at),
            sql::FunctionArguments::Subquery(query) => return self.query_call(&name, query, at),
            sql::FunctionArguments::List(list) => list,
        };
        if let Some(precision) = keyword_precision(&name, args) {
            return keyword(&name, Some(precision), at);
        }
        let mut order_by = Vec::new();
        for clause in clauses {
            match clause {
                sql::FunctionArgumentClause::OrderBy(by) => order_by = self.orders(by)?,
                _ => return Err(Error::unsupported("this clause of a function call", at)),
            }
        }
        if let [row] = name.0.as_slice()
            && row.text == "row"
        {
            return self.row(args, at);
        }
        let over = match over {
            None => None,
            Some(sql::WindowType::NamedWindow(window)) => Some(Over::Named(self::name(window)?)),
            Some(sql::WindowType::WindowSpec(window)) => Some(Over::Window(Box::new(self.window(window)?))),
        };
        Ok(Expression::Call(Box::new(Call {
            name,
            arguments: self.arguments(args)?,
            distinct: matches!(duplicate_treatment, Some(sql::DuplicateTreatment::Distinct)),
            order_by,
            within_group: self.orders(within_group)?,
            filter: self.optional(filter.as_deref())?,
            over,
        })))
    }

    /// `ARRAY(SELECT ...)` reaches us as a call of a function named "array".
    fn query_call(&mut self, name: &Path, query: &sql::Query, at: Place) -> Result<Expression> {
        match name.0.as_slice() {
            [array] if array.text == "array" => Ok(Expression::ArrayQuery(Box::new(self.query(query)?))),
            _ => Err(Error::unsupported("a query without parentheses of its own as an argument", at)),
        }
    }

    /// `ROW(...)` reaches us as a call of a function named "row".
    fn row(&mut self, args: &[sql::FunctionArg], at: Place) -> Result<Expression> {
        let values = args.iter().map(|arg| match self.argument(arg)? {
            (None, value) => Ok(value),
            (Some(_), _) => Err(Error::syntax("a named argument of ROW", at)),
        });
        values.collect::<Result<_>>().map(Expression::Row)
    }

    fn arguments(&mut self, args: &[sql::FunctionArg]) -> Result<Arguments> {
        if let [sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Wildcard)] = args {
            return Ok(Arguments::Everything);
        }
        args.iter().map(|arg| self.argument(arg)).collect::<Result<_>>().map(Arguments::List)
    }

    fn argument(&mut self, arg: &sql::FunctionArg) -> Result<(Option<Name>, Expression)> {
        let (argument_name, of) = match arg {
            sql::FunctionArg::Unnamed(of) => (None, of),
            sql::FunctionArg::Named { name: argument, arg: of, operator } => {
                match operator {
                    sql::FunctionArgOperator::RightArrow | sql::FunctionArgOperator::Assignment => {}
                    sql::FunctionArgOperator::Equals
                    | sql::FunctionArgOperator::Colon
                    | sql::FunctionArgOperator::Value => {
                        return Err(Error::unsupported("this way to name an argument", place(argument.span)));
                    }
                }
                (Some(name(argument)?), of)
            }
            sql::FunctionArg::ExprNamed {
                name: sql::Expr::Identifier(argument),
                arg: of,
                operator: sql::FunctionArgOperator::RightArrow | sql::FunctionArgOperator::Assignment,
            } => (Some(name(argument)?), of),
            sql::FunctionArg::ExprNamed { name: argument, .. } => {
                return Err(Error::unsupported("this way to name an argument", place(argument.span())));
            }
        };
        match of {
            sql::FunctionArgExpr::Expr(of) => Ok((argument_name, self.expression(of)?)),
            // `f(t.*)` passes the whole row, as `f(t)` does.
            sql::FunctionArgExpr::QualifiedWildcard(table) => {
                Ok((argument_name, Expression::EverythingOf(path(table)?)))
            }
            sql::FunctionArgExpr::Wildcard | sql::FunctionArgExpr::WildcardWithOptions(_) => {
                Err(Error::unsupported("* as one of several arguments", place(arg.span())))
            }
        }
    }
}

/// `TABLE t`. The parser forgets whether the name was quoted, so one that folding would change could mean two tables.
fn table_command(table: &sql::Table, at: Place) -> Result<Body> {
    let sql::Table { table_name, schema_name } = table;
    let part = |text: &String| match text.chars().any(|character| character.is_ascii_uppercase()) {
        true => Err(Error::unsupported("TABLE with a name in upper case", at)),
        false => name(&sql::Ident::with_quote('"', text)),
    };
    let path = [schema_name, table_name].into_iter().flatten().map(part).collect::<Result<_>>()?;
    let relation = Relation::Table { name: Path(path), alias: None, sample: None };
    Ok(Body::Select(Box::new(Select::everything_from(relation, Spot(at)))))
}

/// AND or OR of a list, with inner lists of the same kind taken in, so that the tree has one shape for one meaning.
fn flat_logic(and: bool, list: Vec<Expression>) -> Expression {
    let mut flat = Vec::with_capacity(list.len());
    for operand in list {
        match (and, operand) {
            (true, Expression::And(inner)) | (false, Expression::Or(inner)) => flat.extend(inner),
            (_, operand) => flat.push(operand),
        }
    }
    if and { Expression::And(flat) } else { Expression::Or(flat) }
}

/// Words PostgreSQL reads as functions without parentheses.
/// Source: <https://www.postgresql.org/docs/current/functions-info.html> and `functions-datetime.html`.
const KEYWORDS: [&str; 11] = [
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_SCHEMA",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "SESSION_USER",
    "USER",
];

fn column_or_keyword(ident: &sql::Ident) -> Result<Expression> {
    if ident.quote_style.is_none()
        && let Some(keyword) = KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(&ident.value))
    {
        return Ok(Expression::Keyword { keyword, precision: None });
    }
    Ok(Expression::Column(Path(vec![name(ident)?])))
}

fn keyword(name: &Path, precision: Option<u64>, at: Place) -> Result<Expression> {
    match name.0.as_slice() {
        [word] => match KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(&word.text)) {
            Some(keyword) => Ok(Expression::Keyword { keyword, precision }),
            None => Err(Error::syntax("a function without parentheses", at)),
        },
        _ => Err(Error::syntax("a function without parentheses", at)),
    }
}

fn keyword_precision(name: &Path, args: &[sql::FunctionArg]) -> Option<u64> {
    let [word] = name.0.as_slice() else { return None };
    let timed = ["current_time", "current_timestamp", "localtime", "localtimestamp"].contains(&word.text.as_str());
    match args {
        [
            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(sql::Expr::Value(sql::ValueWithSpan {
                value: sql::Value::Number(digits, false),
                ..
            }))),
        ] if timed => digits.parse().ok(),
        _ => None,
    }
}

/// The value of a literal; `None` for kinds PostgreSQL does not have.
fn literal(value: &sql::Value, at: Place) -> Result<Option<Literal>> {
    Ok(Some(match value {
        sql::Value::Null => Literal::Null,
        sql::Value::Boolean(value) => Literal::Boolean(*value),
        sql::Value::Number(digits, false) => Literal::Number(types::number(digits, at)?),
        sql::Value::SingleQuotedString(text)
        | sql::Value::EscapedStringLiteral(text)
        | sql::Value::UnicodeStringLiteral(text) => string(text, at)?,
        sql::Value::DollarQuotedString(sql::DollarQuotedString { value, tag: _ }) => string(value, at)?,
        sql::Value::SingleQuotedByteStringLiteral(digits) => {
            if !digits.chars().all(|digit| matches!(digit, '0' | '1')) {
                return Err(Error::syntax("a bit string with digits other than 0 and 1", at));
            }
            Literal::Bits(digits.clone())
        }
        sql::Value::HexStringLiteral(digits) => {
            if !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(Error::syntax("a hexadecimal string with other digits", at));
            }
            Literal::Hexadecimal(digits.clone())
        }
        sql::Value::Number(_, true)
        | sql::Value::TripleSingleQuotedString(_)
        | sql::Value::TripleDoubleQuotedString(_)
        | sql::Value::DoubleQuotedByteStringLiteral(_)
        | sql::Value::TripleSingleQuotedByteStringLiteral(_)
        | sql::Value::TripleDoubleQuotedByteStringLiteral(_)
        | sql::Value::SingleQuotedRawStringLiteral(_)
        | sql::Value::DoubleQuotedRawStringLiteral(_)
        | sql::Value::TripleSingleQuotedRawStringLiteral(_)
        | sql::Value::TripleDoubleQuotedRawStringLiteral(_)
        | sql::Value::NationalStringLiteral(_)
        | sql::Value::QuoteDelimitedStringLiteral(_)
        | sql::Value::NationalQuoteDelimitedStringLiteral(_)
        | sql::Value::DoubleQuotedString(_)
        | sql::Value::Placeholder(_) => return Ok(None),
    }))
}

fn string(text: &str, at: Place) -> Result<Literal> {
    if text.contains('\0') {
        return Err(Error::syntax("a string with a zero byte", at));
    }
    Ok(Literal::String(text.to_owned()))
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

/// Folds an identifier as PostgreSQL does: unquoted ones lose their upper case, in ASCII only.
pub(super) fn name(ident: &sql::Ident) -> Result<Name> {
    let sql::Ident { value, quote_style, span } = ident;
    let at = place(*span);
    let text = match quote_style {
        None => value.to_ascii_lowercase(),
        Some('"') => value.clone(),
        Some(_) => return Err(Error::syntax("a name in quotes other than \"", at)),
    };
    if text.is_empty() {
        return Err(Error::syntax("an empty name", at));
    }
    if text.contains('\0') {
        return Err(Error::syntax("a name with a zero byte", at));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::name_too_long(NAME_BYTES_MAX, at));
    }
    Ok(Name { text, at })
}

pub(super) fn path(object: &sql::ObjectName) -> Result<Path> {
    object
        .0
        .iter()
        .map(|part| match part {
            sql::ObjectNamePart::Identifier(ident) => name(ident),
            sql::ObjectNamePart::Function(function) => {
                Err(Error::unsupported("a name that is a call", place(function.name.span)))
            }
        })
        .collect::<Result<_>>()
        .map(Path)
}

/// A table's name. ONLY is a reserved word that the parser takes for one.
fn table_path(object: &sql::ObjectName) -> Result<Path> {
    match object.0.as_slice() {
        [sql::ObjectNamePart::Identifier(only)]
            if only.quote_style.is_none() && only.value.eq_ignore_ascii_case("only") =>
        {
            Err(Error::unsupported("ONLY", place(only.span)))
        }
        _ => path(object),
    }
}

fn single(object: &sql::ObjectName) -> Result<Name> {
    let mut parts = path(object)?.0;
    match (parts.pop(), parts.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(Error::syntax("a qualified name in USING", place(object.span()))),
    }
}

fn refuse_some(what: &str, present: bool, node: &impl Spanned) -> Result<()> {
    if present { Err(Error::unsupported(what, place(node.span()))) } else { Ok(()) }
}

pub(super) fn place(span: sqlparser::tokenizer::Span) -> Place {
    Place { line: span.start.line.max(1), column: span.start.column.max(1) }
}
