//! What stands in FROM: tables, queries, functions and joins. Separate because here names become relations.

use passgate_policy::Place;
use sqlparser::ast::{self as sql, Spanned};

use super::word::unreserved;
use super::{Error, Lowering, Result, literal, name, path, place, refuse_some};
use crate::statement::tree::{
    Alias, Arguments, Body, Call, Expression, JoinCondition, JoinKind, Name, Path, Relation, Sample, Select, Spot,
};
use crate::statement::{mark, rephrase, types};

impl Lowering {
    pub(super) fn joined(&mut self, relation: &sql::TableWithJoins) -> Result<Relation> {
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

    pub(super) fn join(&mut self, left: Relation, join: &sql::Join) -> Result<Relation> {
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

    pub(super) fn relation(&mut self, relation: &sql::TableFactor) -> Result<Relation> {
        self.nested(|this| this.relation_within(relation))
    }

    pub(super) fn relation_within(&mut self, relation: &sql::TableFactor) -> Result<Relation> {
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
                        let (only, name) = table_path(name)?;
                        Ok(Relation::Table { name, only, alias, sample })
                    }
                    Some(sql::TableFunctionArgs { args, settings }) => {
                        refuse_some("SETTINGS", settings.is_some(), relation)?;
                        refuse_some("TABLESAMPLE on a function", sample.is_some(), relation)?;
                        self.function(false, name, args, *with_ordinality, alias)
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
                self.function(*lateral, name, args, *with_ordinality, alias)
            }
            sql::TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                refuse_some("WITH OFFSET", *with_offset || with_offset_alias.is_some(), relation)?;
                let alias = alias.as_ref().map(|alias| self.alias(alias)).transpose()?;
                let list = self.expressions(array_exprs)?.into_iter().map(|of| (None, of)).collect();
                let unnest = Name { text: "unnest".to_owned(), at };
                let call = Call::plain(Path(vec![unnest]), Arguments::List(list));
                Ok(one_function(false, call, *with_ordinality, alias))
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

    fn function(
        &mut self,
        lateral: bool,
        name: &sql::ObjectName,
        args: &[sql::FunctionArg],
        ordinality: bool,
        alias: Option<Alias>,
    ) -> Result<Relation> {
        if let [sql::ObjectNamePart::Identifier(first)] = name.0.as_slice()
            && mark::is(first, rephrase::ROWS_FROM)
        {
            let calls = args.iter().map(|arg| self.one_of_rows_from(arg)).collect::<Result<_>>()?;
            return Ok(Relation::Functions { lateral, calls, ordinality, alias });
        }
        let (variadic, arguments) = self.arguments(args)?;
        Ok(one_function(lateral, Call { variadic, ..Call::plain(path(name)?, arguments) }, ordinality, alias))
    }

    fn one_of_rows_from(&mut self, arg: &sql::FunctionArg) -> Result<Call> {
        let at = place(arg.span());
        let sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(of)) = arg else {
            return Err(Error::syntax("something other than a function in ROWS FROM", at));
        };
        match self.expression(of)? {
            Expression::Call(call) => Ok(*call),
            _ => Err(Error::syntax("something other than a function in ROWS FROM", at)),
        }
    }

    pub(super) fn alias(&mut self, alias: &sql::TableAlias) -> Result<Alias> {
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

    pub(super) fn sample(&mut self, sample: &sql::TableSampleKind, at: Place) -> Result<Sample> {
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
}

/// `TABLE t`. The parser forgets whether the name was quoted, so one that folding would change could mean two tables.
pub(super) fn table_command(table: &sql::Table, at: Place) -> Result<Body> {
    let sql::Table { table_name, schema_name } = table;
    let part = |text: &String| match text.chars().any(|character| character.is_ascii_uppercase()) {
        true => Err(Error::unsupported("TABLE with a name in upper case", at)),
        false => name(&sql::Ident::with_quote('"', text)),
    };
    let path = [schema_name, table_name].into_iter().flatten().map(part).collect::<Result<_>>()?;
    let relation = Relation::Table { name: Path(path), only: false, alias: None, sample: None };
    Ok(Body::Select(Box::new(Select::everything_from(relation, Spot(at)))))
}

/// Whether ONLY stands before a table's name, and the name.
fn table_path(object: &sql::ObjectName) -> Result<(bool, Path)> {
    match object.0.as_slice() {
        [sql::ObjectNamePart::Identifier(only), rest @ ..] if mark::is(only, rephrase::ONLY) => {
            Ok((true, path(&sql::ObjectName(rest.to_vec()))?))
        }
        [sql::ObjectNamePart::Identifier(first), ..] => {
            unreserved(first)?;
            Ok((false, path(object)?))
        }
        _ => Ok((false, path(object)?)),
    }
}

fn single(object: &sql::ObjectName) -> Result<Name> {
    let mut parts = path(object)?.0;
    match (parts.pop(), parts.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(Error::syntax("a qualified name in USING", place(object.span()))),
    }
}

/// A function in FROM. `unnest` of several arrays is syntax and can have no schema, but means the same as ROWS FROM of
/// one for each. Source: <https://www.postgresql.org/docs/current/queries-table-expressions.html#QUERIES-TABLEFUNCTIONS>.
fn one_function(lateral: bool, call: Call, ordinality: bool, alias: Option<Alias>) -> Relation {
    match (call.name.0.as_slice(), &call.arguments) {
        ([name], Arguments::List(list)) if name.text == "unnest" && list.len() > 1 && !call.variadic => {
            let one = |argument: &_| Call::plain(call.name.clone(), Arguments::List(vec![Clone::clone(argument)]));
            Relation::Functions { lateral, calls: list.iter().map(one).collect(), ordinality, alias }
        }
        _ => Relation::Function { lateral, call: Box::new(call), ordinality, alias },
    }
}
