//! From the parser's tree to the checked one.
//!
//! Every node kind is matched by name and every field of a node is taken apart, so a parser upgrade that adds a
//! construct either fails to compile here or is refused at run time. There is no wildcard that lets anything through:
//! the wildcards there are end in a refusal.

mod call;
mod expression;
mod marked;
mod own_row;
mod relation;
mod select;
mod word;

use passgate_policy::{Place, Write};
use sqlparser::ast::{self as sql, Spanned};
use sqlparser::tokenizer::Span;

use super::tree::{Body, CommonTable, Cycle, Name, Query, Search, SetOperator, With};
use super::{Error, mark, rephrase};
use relation::table_command;
use word::literal;

pub(super) use word::{name, path};

type Result<T> = std::result::Result<T, Error>;

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
    /// What each SELECT around reads, the innermost last.
    tables: Vec<own_row::Tables>,
}

impl Lowering {
    pub(super) fn new(depth_max: usize, parameters_max: usize) -> Self {
        Self { depth: 0, depth_max, parameters_max, parameters: 0, writes: Vec::new(), tables: Vec::new() }
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
        let mut alias = alias.clone();
        let (mut search, mut cycle) = (None, None);
        for column in std::mem::take(&mut alias.columns) {
            match mark::read(&column.name) {
                Some((rephrase::SEARCH, parts)) => search = search_of(&parts, column.name.span)?,
                Some((rephrase::CYCLE, parts)) => cycle = cycle_of(&parts, column.name.span)?,
                _ => alias.columns.push(column),
            }
        }
        let alias = self.alias(&alias)?;
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
        Ok(CommonTable { name: alias.name, columns, materialized, query: self.query(query)?, search, cycle })
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
}

fn search_of(parts: &[&str], span: Span) -> Result<Option<Search>> {
    let [order, column, by @ ..] = parts else { return Ok(None) };
    Ok(Some(Search { breadth: *order == "breadth", by: marked_names(by, span)?, column: marked_name(column, span)? }))
}

fn cycle_of(parts: &[&str], span: Span) -> Result<Option<Cycle>> {
    let [mark, path, columns @ ..] = parts else { return Ok(None) };
    let columns = marked_names(columns, span)?;
    Ok(Some(Cycle { columns, mark: marked_name(mark, span)?, path: marked_name(path, span)? }))
}

fn marked_names(texts: &[&str], span: Span) -> Result<Vec<Name>> {
    texts.iter().map(|text| marked_name(text, span)).collect()
}

/// A name that a mark carries: folded already.
fn marked_name(text: &str, span: Span) -> Result<Name> {
    name(&sql::Ident::with_quote_and_span('"', span, text))
}

fn refuse_some(what: &str, present: bool, node: &impl Spanned) -> Result<()> {
    if present { Err(Error::unsupported(what, place(node.span()))) } else { Ok(()) }
}

pub(super) fn place(span: sqlparser::tokenizer::Span) -> Place {
    Place { line: span.start.line.max(1), column: span.start.column.max(1) }
}
