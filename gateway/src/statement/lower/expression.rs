//! Expressions but for calls: every kind by its name, so that a new one of the parser's does not compile unseen.

use passgate_policy::Place;
use sqlparser::ast::{self as sql, Spanned};

use super::call::column_or_keyword;
use super::word::{string, unreserved};
use super::{Error, Lowering, Result, literal, name, path, place, refuse_some};
use crate::statement::tree::{Arguments, Call, Expression, Literal, Name, Path, Type};
use crate::statement::types;

impl Lowering {
    pub(super) fn optional(&mut self, of: Option<&sql::Expr>) -> Result<Option<Expression>> {
        of.map(|of| self.expression(of)).transpose()
    }

    pub(super) fn boxed(&mut self, of: &sql::Expr) -> Result<Box<Expression>> {
        self.expression(of).map(Box::new)
    }

    pub(super) fn expressions(&mut self, list: &[sql::Expr]) -> Result<Vec<Expression>> {
        list.iter().map(|of| self.expression(of)).collect()
    }

    pub(in crate::statement) fn expression(&mut self, of: &sql::Expr) -> Result<Expression> {
        self.nested(|this| this.expression_within(of))
    }

    pub(super) fn expression_within(&mut self, of: &sql::Expr) -> Result<Expression> {
        let at = || place(of.span());
        let unsupported = |what: &str| Err(Error::unsupported(what, place(of.span())));
        Ok(match of {
            sql::Expr::Identifier(ident) => column_or_keyword(ident)?,
            sql::Expr::CompoundIdentifier(parts) => {
                parts.first().map_or(Ok(()), unreserved)?;
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
                symmetric: false,
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
                let to = match self.own_row(expr, data_type)? {
                    Some(row) => row,
                    None => types::lower(data_type, at())?,
                };
                Expression::Cast { of: Box::new(self.value_or_row(expr)?), to }
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
                sql::Value::NationalStringLiteral(text) => {
                    let of = Box::new(Expression::Literal(string(text, place(value.span))?));
                    let to = Type { name: "bpchar".to_owned(), modifiers: Vec::new(), dimensions: 0 };
                    Expression::Cast { of, to }
                }
                other => match literal(other, place(value.span))? {
                    Some(literal) => Expression::Literal(literal),
                    None => return unsupported("this kind of literal"),
                },
            },
            sql::Expr::TypedString(sql::TypedString { data_type, value, uses_odbc_syntax: _ }) => {
                match literal(&value.value, at())? {
                    Some(text @ Literal::String(_)) => {
                        let of = Box::new(Expression::Literal(text));
                        Expression::Cast { of, to: types::lower_constant(data_type, at())? }
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

    /// What a cast is of: `(t.*)::type` reads the whole row, as `t::type` does.
    fn value_or_row(&mut self, of: &sql::Expr) -> Result<Expression> {
        match of {
            sql::Expr::Nested(inner) if matches!(**inner, sql::Expr::Nested(_) | sql::Expr::QualifiedWildcard(..)) => {
                self.value_or_row(inner)
            }
            sql::Expr::QualifiedWildcard(table, _) => Ok(Expression::EverythingOf(path(table)?)),
            of => self.expression(of),
        }
    }

    pub(super) fn is(&mut self, of: &sql::Expr, test: &'static str, negated: bool) -> Result<Expression> {
        Ok(Expression::Is { of: self.boxed(of)?, test, negated })
    }

    /// AND and OR become flat lists: BI tools write them by the hundred.
    pub(super) fn infix(
        &mut self,
        left: &sql::Expr,
        op: &sql::BinaryOperator,
        right: &sql::Expr,
    ) -> Result<Expression> {
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

    pub(super) fn like(
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

    pub(super) fn quantified(
        &mut self,
        left: &sql::Expr,
        op: &sql::BinaryOperator,
        right: &sql::Expr,
        all: bool,
    ) -> Result<Expression> {
        let operator = types::infix_operator(op, place(left.span()))?;
        Ok(Expression::Quantified { left: self.boxed(left)?, operator, all, right: self.boxed(right)? })
    }

    pub(super) fn prefix(&mut self, op: sql::UnaryOperator, of: &sql::Expr, at: Place) -> Result<Expression> {
        if op == sql::UnaryOperator::Not {
            return Ok(Expression::Not(self.boxed(of)?));
        }
        let operator = types::prefix_operator(op, at)?.to_owned();
        Ok(Expression::Prefix { operator, of: self.boxed(of)? })
    }

    pub(super) fn accesses(&mut self, root: &sql::Expr, chain: &[sql::AccessExpr]) -> Result<Expression> {
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

    pub(super) fn rounding(
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

    pub(super) fn trim(
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

    pub(super) fn interval(&mut self, interval: &sql::Interval, at: Place) -> Result<Expression> {
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

    pub(super) fn parameter(&mut self, text: &str, at: Place) -> Result<Expression> {
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
