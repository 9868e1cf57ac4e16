//! A whole row cast to the type of its own table: `(t.*)::sales.orders FROM sales.orders t`, as drivers of Python write it
//! to have a composite value.
//!
//! Separate because it is the one cast to a type of somebody's own that is read. It changes nothing: the row is of that
//! type. `record` stands for it, which PostgreSQL lets any row keep its type as, so that a row which policies made
//! another is that row.
//! Source: `coerce_type` in PostgreSQL's `src/backend/parser/parse_coerce.c`.

use sqlparser::ast as sql;

use super::{Lowering, Result, name, path};
use crate::statement::tree::{Path, Type};

/// The tables of a FROM that are named with their schemas, by the name that their rows have.
pub(super) type Tables = Vec<(String, Path)>;

pub(super) fn tables(from: &[sql::TableWithJoins]) -> Tables {
    let joined = |with: &sql::TableWithJoins| {
        let joins = with.joins.iter().map(|join| table(&join.relation)).collect::<Vec<_>>();
        std::iter::once(table(&with.relation)).chain(joins).flatten().collect::<Tables>()
    };
    from.iter().flat_map(joined).collect()
}

/// Without a schema a name may be that of a WITH query.
fn table(factor: &sql::TableFactor) -> Option<(String, Path)> {
    let sql::TableFactor::Table { name: table, alias, args: None, .. } = factor else { return None };
    let table = path(table).ok().filter(|path| path.0.len() == 2)?;
    let row = match alias {
        // Other names for the columns make no other row, but what is not needed is not read.
        Some(alias) if alias.columns.is_empty() => name(&alias.name).ok()?.text,
        Some(_) => return None,
        None => table.0.last()?.text.clone(),
    };
    Some((row, table))
}

impl Lowering {
    /// The type that stands for a table's own, where a row of it is cast to that.
    pub(super) fn own_row(&self, row: &sql::Expr, to: &sql::DataType) -> Result<Option<Type>> {
        let sql::DataType::Custom(written, modifiers) = to else { return Ok(None) };
        let mut row = row;
        while let sql::Expr::Nested(inner) = row {
            row = inner;
        }
        let sql::Expr::QualifiedWildcard(of, _) = row else { return Ok(None) };
        let (of, written) = (path(of)?, path(written)?);
        let [of] = of.0.as_slice() else { return Ok(None) };
        let of_select = self.tables.last().into_iter().flatten();
        let mut rows = of_select.filter(|(row, _)| *row == of.text);
        let is_own = matches!((rows.next(), rows.next()), (Some((_, table)), None) if texts(table).eq(texts(&written)));
        let record = || Type { name: "record".to_owned(), modifiers: Vec::new(), dimensions: 0 };
        Ok((is_own && modifiers.is_empty()).then(record))
    }
}

fn texts(path: &Path) -> impl Iterator<Item = &str> {
    path.0.iter().map(|name| name.text.as_str())
}
