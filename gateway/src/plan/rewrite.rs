//! Meeting a permit's obligations, and printing what may run.

use passgate_policy::Obligation;

use super::{Error, Plan};
use crate::statement::tree::{
    Alias, Arguments, Body, Call, Expression, Limit, Literal, Name, Path, Query, Relation, Select, Spot, Type,
};
use crate::statement::{self, ExplainOptions, Kind, Limits};

/// Meets one obligation. A new kind of obligation does not compile until it is met here.
pub(super) fn meet(mut plan: Plan, obligation: &Obligation) -> Result<Plan, Error> {
    match obligation {
        Obligation::LimitRows { rows, rule: _ } => {
            plan.query = plan.query.map(|query| limit_rows(query, *rows));
            Ok(plan)
        }
        // Met together, once all are known: a table is replaced once.
        Obligation::FilterRows { .. } | Obligation::MaskColumn { .. } | Obligation::HideColumn { .. } => {
            plan.governance.add(obligation);
            Ok(plan)
        }
    }
}

/// The text of a plan; refused unless it reads back as the very same tree.
pub(super) fn text(query: &Query, explain: Option<ExplainOptions>) -> Result<String, Error> {
    let text = statement::print(query);
    match statement::parse(&text, &Limits::for_printed_text()).as_deref() {
        Ok([again]) if matches!(&again.kind, Kind::Query(tree) if **tree == *query) && again.writes.is_empty() => {}
        Err(error) if error.sqlstate.starts_with("54") => return Err(Error::too_much_governed()),
        _ => return Err(Error::not_faithful()),
    }
    Ok(match explain {
        None => text,
        Some(ExplainOptions { verbose, format }) => {
            let verbose = if verbose { "VERBOSE TRUE, " } else { "" };
            format!("EXPLAIN ({verbose}FORMAT {}) {text}", format.unwrap_or("TEXT"))
        }
    })
}

/// At most `rows` rows, whatever the query says. Exact for every form: the limit is put where the rows come out.
fn limit_rows(mut query: Query, rows: u64) -> Query {
    if gives_ties(&query) {
        return limited_around(query, number(rows));
    }
    lower_limit(&mut query, rows);
    query
}

/// Whether a limit gives more rows than it names.
fn gives_ties(query: &Query) -> bool {
    match (&query.limit, &query.body) {
        (Some(limit), _) => limit.with_ties,
        (None, Body::Query(inner)) => gives_ties(inner),
        (None, Body::Select(_) | Body::Values(_) | Body::Combination { .. }) => false,
    }
}

/// A query in parentheses is one with them: PostgreSQL takes the clauses of both together, and each of them once.
fn lower_limit(query: &mut Query, rows: u64) {
    let lowered = match (query.limit.take(), &mut query.body) {
        (None, Body::Query(inner)) => return lower_limit(inner, rows),
        (None, Body::Select(_) | Body::Values(_) | Body::Combination { .. }) => number(rows),
        (Some(Limit { rows: Expression::Literal(Literal::Number(digits)), .. }), _) => match digits.parse::<u64>() {
            Ok(asked) => number(asked.min(rows)),
            Err(_) => least(Expression::Literal(Literal::Number(digits)), number(rows)),
        },
        // NULL means all, and least() passes over it.
        (Some(Limit { rows: asked, .. }), _) => least(asked, number(rows)),
    };
    query.limit = Some(Limit { rows: lowered, with_ties: false });
}

fn number(rows: u64) -> Expression {
    Expression::Literal(Literal::Number(rows.to_string()))
}

fn least(asked: Expression, most: Expression) -> Expression {
    let bigint = Type { name: "int8".to_owned(), modifiers: Vec::new(), dimensions: 0 };
    let asked = Expression::Cast { of: Box::new(asked), to: bigint };
    let arguments = Arguments::List(vec![(None, asked), (None, most)]);
    Expression::Call(Box::new(Call::plain(Path(vec![Name::invented("least")]), arguments)))
}

/// WITH TIES may answer more rows than it names, so the limit goes around it. The order of a subquery that is only
/// passed through is kept.
fn limited_around(query: Query, most: Expression) -> Query {
    let at = Spot(passgate_policy::Place { line: 1, column: 1 });
    let alias = Alias { name: Name::invented("limited"), columns: Vec::new() };
    let relation = Relation::Query { lateral: false, query: Box::new(query), alias: Some(alias), at };
    let select = Select::everything_from(relation, at);
    Query {
        with: None,
        body: Body::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: Some(Limit { rows: most, with_ties: false }),
        offset: None,
    }
}
