//! A grammar of queries: from choices to a statement that PostgreSQL takes, and whose answer does not depend on the plan.
//!
//! Rows come in no order, so where a query cuts rows off (`LIMIT`, `DISTINCT ON`, a window of rows) its order is total;
//! aggregates of lists are ordered; floating point is left out. What raises an error does so for values that the safe
//! twin does not have (see [`super::catalog::Trap`]), so no order of evaluation makes the twin fail.
//!
//! | file | what |
//! |---|---|
//! | `query` | WITH, sets of queries, ORDER BY and LIMIT, SELECT with its kinds of lists |
//! | `relation` | what stands in FROM, and how it is joined |
//! | `expression` | values of a kind |
//! | `predicate` | conditions |

mod expression;
mod predicate;
mod query;
mod relation;

use std::sync::Arc;

use super::catalog::{Catalog, Column, Kind, Trap};
use super::choices::Choices;

/// Stands before and after a parameter in a text: its position and its type.
const MARK: char = '\u{1}';
/// Queries are not nested deeper.
const DEPTH: usize = 3;

/// A generated statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    marked: String,
    /// The values of its parameters.
    pub(crate) values: Vec<String>,
    /// Whether it says in which order all of its rows come.
    pub(crate) ordered: bool,
}

impl Statement {
    /// The statement with its values in place.
    pub(crate) fn simple(&self) -> String {
        self.written(|index, of_type| format!("CAST({} AS {of_type})", quoted_text(&self.values[index])))
    }

    /// The statement with parameters.
    pub(crate) fn extended(&self) -> String {
        self.written(|index, of_type| format!("CAST(${} AS {of_type})", index + 1))
    }

    fn written(&self, parameter: impl Fn(usize, &str) -> String) -> String {
        let mut text = String::new();
        for (part, piece) in self.marked.split(MARK).enumerate() {
            match piece.split_once(':') {
                Some((index, of_type)) if part % 2 == 1 => {
                    text.push_str(&parameter(index.parse().expect("a position"), of_type));
                }
                _ => text.push_str(piece),
            }
        }
        text
    }
}

/// The statement that these choices make.
pub(crate) fn statement(choices: &mut Choices, catalog: &Catalog) -> Statement {
    let mut grammar = Grammar {
        choices,
        catalog,
        scopes: Vec::new(),
        first_scope: 0,
        common_tables: Vec::new(),
        values: Vec::new(),
        names: 0,
        depth: 0,
    };
    let made = grammar.query(None);
    let (values, ordered) = (grammar.values, made.ordered);
    used_only(&made.text, &values, ordered)
}

/// Without the values of what was thrown away while it was written.
fn used_only(text: &str, values: &[String], ordered: bool) -> Statement {
    let mut used = Vec::new();
    let mut marked = String::new();
    for (part, piece) in text.split(MARK).enumerate() {
        match piece.split_once(':') {
            Some((index, of_type)) if part % 2 == 1 => {
                let value = &values[index.parse::<usize>().expect("a position")];
                marked.push_str(&format!("{MARK}{}:{of_type}{MARK}", used.len()));
                used.push(value.clone());
            }
            _ => marked.push_str(piece),
        }
    }
    Statement { marked, values: used, ordered }
}

/// A query and what it gives.
struct Made {
    text: String,
    columns: Vec<Column>,
    ordered: bool,
}

/// One relation of a FROM clause.
#[derive(Clone)]
struct Source {
    /// What may stand before its columns, as written; the first is always right.
    qualifiers: Vec<String>,
    /// The name that nothing else in the FROM clause may have.
    name: String,
    columns: Vec<Column>,
    /// Whether its name stands for a row.
    row: bool,
    /// Whether it gives one row, so that what is joined to it alone is joined to nothing.
    single: bool,
    /// The column that is its primary key, where it is a table.
    key: Option<Column>,
    /// Columns the twin does not have.
    hidden: Vec<String>,
}

/// The FROM clause of a query that is being written.
#[derive(Default)]
struct Scope {
    sources: Vec<Source>,
    /// Those before it cannot be named now.
    first: usize,
    /// What `*` stands for.
    star: Vec<Column>,
    /// Conditions that link what only commas join.
    links: Vec<String>,
}

impl Scope {
    fn visible(&self) -> &[Source] {
        &self.sources[self.first.min(self.sources.len())..]
    }
}

struct CommonTable {
    name: String,
    columns: Vec<Column>,
}

struct Grammar<'a> {
    choices: &'a mut Choices,
    catalog: &'a Catalog,
    scopes: Vec<Scope>,
    /// Those before it cannot be named now.
    first_scope: usize,
    common_tables: Vec<CommonTable>,
    values: Vec<String>,
    names: usize,
    depth: usize,
}

impl Grammar<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.choices.below(bound)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.choices.chance(percent)
    }

    fn pick<T: Clone>(&mut self, options: &[T]) -> T {
        self.choices.pick(options).clone()
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("a query is being written")
    }

    fn visible(&self) -> impl Iterator<Item = &Source> {
        self.scopes[self.first_scope.min(self.scopes.len())..].iter().flat_map(Scope::visible)
    }

    /// A column of this kind, as written, with what is known of it; mostly of the innermost query.
    fn column(&mut self, kind: Kind) -> Option<(String, Column)> {
        let of_scope = |scope: &Scope| -> Vec<(Source, Column)> {
            let usable = scope.visible().iter().flat_map(|source| {
                let once =
                    |column: &&Column| source.columns.iter().filter(|other| other.name == column.name).count() == 1;
                source.columns.iter().filter(once).map(move |column| (source.clone(), column.clone()))
            });
            usable.filter(|(_, column)| column.kind == kind).collect()
        };
        let mut scopes: Vec<Vec<(Source, Column)>> =
            self.scopes[self.first_scope.min(self.scopes.len())..].iter().rev().map(of_scope).collect();
        scopes.retain(|columns| !columns.is_empty());
        let from = if scopes.len() > 1 && self.chance(20) { 1 } else { 0 };
        let columns = scopes.get(from)?;
        let (source, column) = self.pick(columns);
        Some((self.reference(&source, &column), column))
    }

    /// A column of any kind of the innermost query.
    fn any_column(&mut self) -> Option<(String, Column)> {
        let start = self.below(Kind::PLAIN.len());
        let kinds = Kind::PLAIN.iter().cycle().skip(start).take(Kind::PLAIN.len());
        kinds.copied().find_map(|kind| self.column(kind))
    }

    /// With its relation's name before it, or without where only one relation has such a column.
    fn reference(&mut self, source: &Source, column: &Column) -> String {
        let holders =
            self.visible().flat_map(|source| &source.columns).filter(|other| other.name == column.name).count();
        let name = quoted(&column.name);
        if holders == 1 && self.chance(40) {
            return name;
        }
        let row =
            source.row && self.visible().flat_map(|source| &source.columns).all(|column| column.name != source.name);
        if row && self.chance(5) {
            return format!("({}).{name}", source.qualifiers[0]);
        }
        // Not what is also a function that takes a row, or is one of the warehouse's own.
        if row && !["band", "rank"].contains(&column.name.as_str()) && self.chance(1) {
            return format!("{name}({})", source.qualifiers[0]);
        }
        let qualifier = self.pick(&source.qualifiers);
        format!("{qualifier}.{name}")
    }

    /// A relation of the innermost query whose name stands for a row, and which can be named so.
    fn row(&mut self) -> Option<Source> {
        let columns: Vec<String> =
            self.visible().flat_map(|source| &source.columns).map(|column| column.name.clone()).collect();
        let scope = self.scopes[self.first_scope.min(self.scopes.len())..].last()?;
        let named = |source: &&Source| source.row && !columns.contains(&source.name);
        let rows: Vec<Source> = scope.visible().iter().filter(named).cloned().collect();
        (!rows.is_empty()).then(|| self.pick(&rows))
    }

    /// A constant of a kind; `values` are ones that make a difference.
    fn literal(&mut self, kind: Kind, values: &Arc<[String]>) -> String {
        const INTEGERS: [&str; 6] = ["1", "0", "3", "7", "770", "77"];
        const NUMBERS: [&str; 4] = ["0.5", "2", "77.77", "20000"];
        const TEXTS: [&str; 6] = ["HAM", "", "***", "a", "CNRY-licence-4", "withheld"];
        const DATES: [&str; 3] = ["2025-01-01", "1970-01-01", "1976-12-04"];
        const MOMENTS: [&str; 2] = ["2025-03-01 00:00:00+00", "2016-02-05 08:00:00+00"];
        const TRUTHS: [&str; 2] = ["true", "false"];
        const CLASSES: [&str; 3] = ["basic", "plus", "closed"];
        const LISTS: [&str; 3] = ["{night}", "{}", "{A1,B}"];
        const DOCUMENTS: [&str; 4] = ["{}", r#"{"age": 30}"#, r#"["de"]"#, "null"];
        let general: &[&str] = match kind {
            Kind::Integer => &INTEGERS,
            Kind::Number => &NUMBERS,
            Kind::Text => &TEXTS,
            Kind::Date => &DATES,
            Kind::Moment => &MOMENTS,
            Kind::Truth => &TRUTHS,
            Kind::Class => &CLASSES,
            Kind::Texts => &LISTS,
            Kind::Document | Kind::Record | Kind::Opaque => &DOCUMENTS,
        };
        let value = if !values.is_empty() && self.chance(70) {
            self.pick(values)
        } else {
            (*self.choices.pick(general)).to_owned()
        };
        let Some(of_type) = kind.type_name() else { return quoted_text(&value) };
        if self.chance(12) {
            self.values.push(value);
            return format!("{MARK}{}:{of_type}{MARK}", self.values.len() - 1);
        }
        match kind {
            Kind::Integer | Kind::Number if !value.starts_with('-') => value,
            Kind::Truth => value,
            Kind::Text if self.chance(80) => quoted_text(&value),
            Kind::Date | Kind::Moment if self.chance(30) => format!("{of_type} {}", quoted_text(&value)),
            _ if self.chance(50) => format!("{}::{of_type}", quoted_text(&value)),
            _ => format!("CAST({} AS {of_type})", quoted_text(&value)),
        }
    }
}

fn trapped(written: &str, trap: &Trap) -> String {
    match trap {
        Trap::Number(value) => format!("round(1000 / ({written} - {value}), 2)"),
        Trap::Cast => format!("{written}::int"),
    }
}

/// An identifier, in quotes where it needs them.
fn quoted(name: &str) -> String {
    const RESERVED: [&str; 2] = ["select", "limit"];
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && !RESERVED.contains(&name) { name.to_owned() } else { format!("\"{name}\"") }
}

fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
