//! Whole queries: WITH, sets of queries, SELECT with its kinds of lists, and what comes after it.

use super::super::catalog::{Column, Kind};
use super::{CommonTable, DEPTH, Grammar, Made, Scope, Source, quoted};

impl Grammar<'_> {
    /// A query that gives columns of these kinds, or any.
    pub(super) fn query(&mut self, wanted: Option<&[Kind]>) -> Made {
        self.depth += 1;
        let known = self.common_tables.len();
        let with = if self.chance(if self.depth == 1 { 20 } else { 6 }) { self.with() } else { String::new() };
        let made = match self.below(20) {
            18 if self.depth < DEPTH => self.combination(wanted),
            19 => self.values_list(wanted),
            _ => self.select(wanted),
        };
        let mut made = self.tail(made);
        made.text.insert_str(0, &with);
        self.common_tables.truncate(known);
        self.depth -= 1;
        made
    }

    /// A query of one column that gives one row at most.
    pub(super) fn scalar(&mut self, kind: Kind) -> String {
        self.depth += 1;
        let text = match self.below(3) {
            0 => self.aggregated(&[kind]).text,
            _ => {
                let made = self.select(Some(&[kind]));
                format!("{} ORDER BY 1 LIMIT 1", made.text)
            }
        };
        self.depth -= 1;
        text
    }

    // ---- around a SELECT

    fn with(&mut self) -> String {
        let mut tables = Vec::new();
        let recursive = self.chance(25);
        for _ in 0..=self.below(2) {
            tables.push(if recursive { self.recursive_table() } else { self.common_table() });
        }
        format!("WITH {}{} ", if recursive { "RECURSIVE " } else { "" }, tables.join(", "))
    }

    fn common_table(&mut self) -> String {
        let made = self.query_for_columns();
        let name = self.common_name();
        let (list, columns) = self.renamed(made.columns);
        let materialized = self.pick(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
        self.common_tables.push(CommonTable { name: name.clone(), columns });
        format!("{}{list} AS {materialized}({})", quoted(&name), made.text)
    }

    /// A name of its own, or one that hides a table's.
    fn common_name(&mut self) -> String {
        let tables: Vec<String> = self.catalog.tables.iter().map(|table| table.name.clone()).collect();
        if self.chance(25) {
            let name = self.pick(&tables);
            if self.common_tables.iter().all(|table| table.name != name) {
                return name;
            }
        }
        self.fresh("c")
    }

    /// Counts up from what a query gives, or goes from drivers up to their bosses.
    fn recursive_table(&mut self) -> String {
        let name = self.fresh("r");
        let written = quoted(&name);
        self.depth += 1;
        let (text, kinds) = if self.chance(50) {
            let first = self.select(Some(&[Kind::Integer, Kind::Text]));
            let union = self.pick(&["UNION ALL", "UNION"]);
            let next = format!("SELECT up.n + 1, up.of FROM {written} AS up WHERE up.n < 4");
            (
                format!("SELECT 1 AS n, f.of FROM ({}) AS f (n, of) {union} {next}", first.text),
                vec![Kind::Integer, Kind::Text],
            )
        } else {
            let condition = self.pick(&["licence = '***'", "points IS NULL", "id > 20", "insured", "depot = 'RIG'"]);
            let first = format!("SELECT id AS n, depot AS of, 0 FROM fleet.driver WHERE {condition}");
            let next = format!(
                "SELECT d.boss, d.depot, {written}.far + 1 FROM fleet.driver AS d JOIN {written} ON d.id = {written}.n \
                 WHERE {written}.far < 4"
            );
            (format!("{first} UNION {next}"), vec![Kind::Integer, Kind::Text, Kind::Integer])
        };
        self.depth -= 1;
        let names: &[&str] = if kinds.len() == 3 { &["n", "of", "far"] } else { &["n", "of"] };
        let list = format!("({})", names.join(", "));
        let columns = names.iter().zip(kinds).map(|(name, kind)| Column::computed(*name, kind)).collect();
        self.common_tables.push(CommonTable { name, columns });
        format!("{written} {list} AS ({text})")
    }

    /// A query whose columns can be named from outside.
    pub(super) fn query_for_columns(&mut self) -> Made {
        let kinds: Vec<Kind> = (0..=self.below(4)).map(|_| self.pick(&Kind::PLAIN)).collect();
        let wanted = self.chance(60).then_some(kinds);
        self.query(wanted.as_deref())
    }

    /// Sometimes new names for the first columns of something.
    pub(super) fn renamed(&mut self, mut columns: Vec<Column>) -> (String, Vec<Column>) {
        if columns.is_empty() || !self.chance(25) {
            return (String::new(), columns);
        }
        let many = 1 + self.below(columns.len());
        let names: Vec<String> = (0..many)
            .map(|index| match self.below(6) {
                0..4 => self.fresh("n"),
                4 => format!("licence{index}"),
                _ => format!("N {index}"),
            })
            .collect();
        columns.iter_mut().zip(&names).for_each(|(column, name)| column.name.clone_from(name));
        (format!(" ({})", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")), columns)
    }

    fn combination(&mut self, wanted: Option<&[Kind]>) -> Made {
        let kinds = wanted.map_or_else(|| self.kinds(), <[Kind]>::to_vec);
        let left = self.select(Some(&kinds));
        let operator = self.pick(&["UNION ALL", "UNION", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]);
        let right = self.query(Some(&kinds));
        let columns = left.columns.into_iter().map(|column| Column::computed(column.name, column.kind)).collect();
        let left = if left.text.contains(" ORDER BY ") { format!("({})", left.text) } else { left.text };
        Made { text: format!("{left} {operator} ({})", right.text), columns, ordered: false }
    }

    fn kinds(&mut self) -> Vec<Kind> {
        (0..=self.below(3)).map(|_| self.pick(&Kind::PLAIN)).collect()
    }

    fn values_list(&mut self, wanted: Option<&[Kind]>) -> Made {
        let kinds = wanted.map_or_else(|| self.kinds(), <[Kind]>::to_vec);
        let rows: Vec<String> = (0..=self.below(3))
            .map(|_| {
                let row: Vec<String> = kinds.iter().map(|kind| self.expression(*kind, 2)).collect();
                format!("({})", row.join(", "))
            })
            .collect();
        let named = |(index, kind): (usize, &Kind)| Column::computed(format!("column{}", index + 1), *kind);
        let columns = kinds.iter().enumerate().map(named).collect();
        Made { text: format!("VALUES {}", rows.join(", ")), columns, ordered: false }
    }

    /// ORDER BY of every column, which is a total order; only then LIMIT and OFFSET.
    fn tail(&mut self, mut made: Made) -> Made {
        let sortable = !made.columns.is_empty() && made.columns.iter().all(|column| column.kind != Kind::Opaque);
        if made.ordered || !sortable || !self.chance(30) {
            return made;
        }
        let direction = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        let by: Vec<String> = (1..=made.columns.len()).map(|at| format!("{at}{direction}")).collect();
        let cut = match self.below(6) {
            0 | 1 => "",
            2 => " LIMIT 5",
            3 => " LIMIT 7 OFFSET 2",
            4 => " OFFSET 3 ROWS FETCH FIRST 4 ROWS ONLY",
            _ => " FETCH FIRST 3 ROWS WITH TIES",
        };
        made.text.push_str(&format!(" ORDER BY {}{cut}", by.join(", ")));
        made.ordered = true;
        made
    }

    // ---- SELECT

    pub(super) fn select(&mut self, wanted: Option<&[Kind]>) -> Made {
        match self.below(10) {
            6 => match wanted {
                Some(kinds) => self.aggregated(kinds),
                None => {
                    let kinds = self.kinds();
                    self.aggregated(&kinds)
                }
            },
            7 if self.chance(25) => match self.grouped_by_key(wanted) {
                Some(made) => made,
                None => self.grouped(wanted),
            },
            7 => self.grouped(wanted),
            8 => self.windowed(wanted),
            9 => self.distinct(wanted),
            _ => self.plain(wanted),
        }
    }

    fn plain(&mut self, wanted: Option<&[Kind]>) -> Made {
        self.scopes.push(Scope::default());
        let from = self.from();
        let (items, columns) = match wanted {
            Some(kinds) => self.items(kinds),
            None => self.any_items(),
        };
        let mut text = format!("SELECT {}{from}{}", items.join(", "), self.filter());
        if self.depth == 1 && self.chance(8) {
            // An order that may not be total, by something that is not in the list.
            let by = self
                .any_column()
                .map_or_else(|| "1".to_owned(), |(column, _)| format!("{column}, length({column}::text)"));
            text.push_str(&format!(" ORDER BY {by}"));
            self.scopes.pop();
            return Made { text, columns: columns.into_iter().map(opaque).collect(), ordered: false };
        }
        self.scopes.pop();
        Made { text, columns, ordered: false }
    }

    fn filter(&mut self) -> String {
        let mut conditions = std::mem::take(&mut self.scope().links);
        if self.chance(55) && !self.scope().sources.is_empty() {
            conditions.push(self.predicate(0));
        }
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
    }

    fn items(&mut self, kinds: &[Kind]) -> (Vec<String>, Vec<Column>) {
        let mut items = Vec::new();
        let mut columns = Vec::new();
        for kind in kinds {
            let (written, column) = match self.column(*kind) {
                Some(found) if self.chance(50) => found,
                _ => {
                    let written = self.expression(*kind, 0);
                    (written, Column::computed("", *kind))
                }
            };
            self.item(written, column, &mut items, &mut columns);
        }
        (items, columns)
    }

    /// With an alias, always where its name would not be known.
    fn item(&mut self, written: String, mut column: Column, items: &mut Vec<String>, columns: &mut Vec<Column>) {
        let taken = columns.iter().any(|other| other.name == column.name);
        if column.name.is_empty() || taken || self.chance(20) {
            if column.name.is_empty() && self.depth == 1 && self.chance(30) {
                items.push(written);
            } else {
                column.name = self.fresh("x");
                items.push(format!("{written} AS {}", column.name));
            }
        } else {
            items.push(written);
        }
        columns.push(column);
    }

    fn any_items(&mut self) -> (Vec<String>, Vec<Column>) {
        let sources = self.scope().sources.clone();
        if sources.is_empty() {
            let kinds = self.kinds();
            return self.items(&kinds);
        }
        match self.below(10) {
            0..4 => {
                let kinds = self.kinds();
                self.items(&kinds)
            }
            4 | 5 => (vec!["*".to_owned()], self.scope().star.clone()),
            6 => {
                let source = self.pick(&sources);
                let star = format!("{}.*", source.qualifiers[0]);
                let (mut items, mut columns) = (vec![star], source.columns);
                if self.chance(40) {
                    let kind = self.pick(&Kind::PLAIN);
                    let (more, more_columns) = self.items(&[kind]);
                    items.extend(more);
                    columns.extend(more_columns);
                }
                (items, columns)
            }
            7 => self.forbidden_items(&sources),
            _ => self.row_items(),
        }
    }

    /// Seldom a column that the twin does not have: both must fail.
    fn forbidden_items(&mut self, sources: &[Source]) -> (Vec<String>, Vec<Column>) {
        let hidden: Vec<(Source, String)> = sources
            .iter()
            .flat_map(|source| source.hidden.iter().map(|column| (source.clone(), column.clone())))
            .collect();
        if hidden.is_empty() || !self.chance(25) {
            let kinds = self.kinds();
            return self.items(&kinds);
        }
        let (source, column) = self.pick(&hidden);
        let (qualifier, column) = (source.qualifiers[0].clone(), quoted(&column));
        let written = match self.below(4) {
            0 => column,
            1 => format!("{qualifier}.{column}"),
            2 => format!("({qualifier}).{column}"),
            _ => format!("{column}({qualifier})"),
        };
        (vec![written], vec![Column::computed("", Kind::Opaque)])
    }

    /// A row as one value, in one of the many ways there are.
    fn row_items(&mut self) -> (Vec<String>, Vec<Column>) {
        let Some(source) = self.row() else {
            let kinds = self.kinds();
            return self.items(&kinds);
        };
        let row = source.qualifiers[0].clone();
        let (written, kind) = match self.below(10) {
            0 => (row, Kind::Record),
            1 => (format!("{row}::text"), Kind::Text),
            2 => (format!("row_to_json({row})"), Kind::Opaque),
            3 => (format!("to_jsonb({row})"), Kind::Document),
            4 => (format!("ROW({row}.*)"), Kind::Record),
            5 => (format!("CAST({row} AS text)"), Kind::Text),
            6 => (format!("to_jsonb({row}.*) - 'id'"), Kind::Document),
            7 => (format!("({row}).*"), Kind::Opaque),
            8 => (format!("ARRAY[{row}]"), Kind::Record),
            _ => (format!("concat_ws('/', {row}, {row}::text)"), Kind::Text),
        };
        if written.ends_with(").*") {
            return (vec![written], source.columns);
        }
        let name = self.fresh("x");
        (vec![format!("{written} AS {name}")], vec![Column::computed(name, kind)])
    }

    fn distinct(&mut self, wanted: Option<&[Kind]>) -> Made {
        self.scopes.push(Scope::default());
        let from = self.from();
        let kinds = wanted.map_or_else(|| self.kinds(), <[Kind]>::to_vec);
        let (items, columns) = self.items(&kinds);
        let filter = self.filter();
        self.scopes.pop();
        let list = items.join(", ");
        if self.chance(50) {
            return Made { text: format!("SELECT DISTINCT {list}{from}{filter}"), columns, ordered: false };
        }
        // The first column decides which rows are alike, all of them which of those is kept.
        let by: Vec<String> = (1..=items.len()).map(|at| at.to_string()).collect();
        let text = format!("SELECT DISTINCT ON (1) {list}{from}{filter} ORDER BY {}", by.join(", "));
        if self.depth == 1 {
            return Made { text, columns, ordered: true };
        }
        let name = self.fresh("d");
        Made { text: format!("SELECT * FROM ({text}) AS {name}"), columns, ordered: false }
    }

    /// Aggregates of all rows.
    pub(super) fn aggregated(&mut self, kinds: &[Kind]) -> Made {
        self.scopes.push(Scope::default());
        let from = self.from();
        let mut items = Vec::new();
        let mut columns = Vec::new();
        for kind in kinds {
            let written = self.aggregate(*kind);
            self.item(written, Column::computed("", *kind), &mut items, &mut columns);
        }
        let having = if self.chance(10) { format!(" HAVING {}", self.aggregate_condition()) } else { String::new() };
        let text = format!("SELECT {}{from}{}{having}", items.join(", "), self.filter());
        self.scopes.pop();
        Made { text, columns, ordered: false }
    }

    fn grouped(&mut self, wanted: Option<&[Kind]>) -> Made {
        self.scopes.push(Scope::default());
        let from = self.from();
        let own = std::mem::replace(&mut self.first_scope, self.scopes.len() - 1);
        let keys: Vec<(String, Column)> = (0..=self.below(2)).filter_map(|_| self.any_column()).collect();
        self.first_scope = own;
        let mut items = Vec::new();
        let mut columns = Vec::new();
        match wanted {
            Some(kinds) => {
                for kind in kinds {
                    let key = keys.iter().find(|(_, column)| column.kind == *kind).cloned();
                    let (written, column) = match key {
                        Some(key) if self.chance(60) => key,
                        _ => (self.aggregate(*kind), Column::computed("", *kind)),
                    };
                    self.item(written, column, &mut items, &mut columns);
                }
            }
            None => {
                for (written, column) in keys.clone() {
                    self.item(written, column, &mut items, &mut columns);
                }
                for kind in self.kinds() {
                    let written = self.aggregate(kind);
                    self.item(written, Column::computed("", kind), &mut items, &mut columns);
                }
            }
        }
        let written: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let filter = self.filter();
        let by = match (written.as_slice(), self.below(7)) {
            ([], _) => String::new(),
            (_, 4) => format!(" GROUP BY ROLLUP ({})", written.join(", ")),
            (_, 5) => format!(" GROUP BY CUBE ({})", written.join(", ")),
            (_, 6) => format!(" GROUP BY GROUPING SETS (({}), ({}), ())", written.join(", "), written[0]),
            _ => format!(" GROUP BY {}", written.join(", ")),
        };
        let having = if self.chance(25) { format!(" HAVING {}", self.aggregate_condition()) } else { String::new() };
        self.scopes.pop();
        Made { text: format!("SELECT {}{from}{filter}{by}{having}", items.join(", ")), columns, ordered: false }
    }

    /// Groups by a table's key, so that all of its columns may be shown as they are.
    fn grouped_by_key(&mut self, wanted: Option<&[Kind]>) -> Option<Made> {
        self.scopes.push(Scope::default());
        let from = self.from();
        let keyed: Vec<Source> = self.scope().sources.iter().filter(|source| source.key.is_some()).cloned().collect();
        if keyed.is_empty() {
            self.scopes.pop();
            return None;
        }
        let source = self.pick(&keyed);
        let named = |column: &Column| format!("{}.{}", source.qualifiers[0], quoted(&column.name));
        let kinds = wanted.map_or_else(|| self.kinds(), <[Kind]>::to_vec);
        let (mut items, mut columns) = (Vec::new(), Vec::new());
        for kind in kinds {
            let own: Vec<Column> = source.columns.iter().filter(|column| column.kind == kind).cloned().collect();
            let (written, column) = if own.is_empty() || self.chance(25) {
                (self.aggregate(kind), Column::computed("", kind))
            } else {
                let column = self.pick(&own);
                (named(&column), column)
            };
            self.item(written, column, &mut items, &mut columns);
        }
        let by = named(source.key.as_ref()?);
        let text = format!("SELECT {}{from}{} GROUP BY {by}", items.join(", "), self.filter());
        self.scopes.pop();
        Some(Made { text, columns, ordered: false })
    }

    fn windowed(&mut self, wanted: Option<&[Kind]>) -> Made {
        self.scopes.push(Scope::default());
        let from = self.from();
        let (mut items, mut columns) = match wanted {
            Some(kinds) => {
                let (_, others) = kinds.split_first().unwrap_or((&Kind::Integer, &[]));
                self.items(others)
            }
            None => self.any_items(),
        };
        let kind = wanted.and_then(|kinds| kinds.first().copied()).unwrap_or(Kind::Integer);
        let over = self.window_call(kind);
        let name = self.fresh("w");
        items.insert(0, format!("{over} AS {name}"));
        columns.insert(0, Column::computed(name, kind));
        let named = if self.chance(20) && items[0].contains(" OVER (") {
            let (call, window) = items[0].split_once(" OVER (").expect("it is there");
            let (window, rest) = window.rsplit_once(')').expect("it is closed");
            let text = format!(" WINDOW \"W\" AS ({window})");
            items[0] = format!("{call} OVER \"W\"{rest}");
            text
        } else {
            String::new()
        };
        let text = format!("SELECT {}{from}{}{named}", items.join(", "), self.filter());
        self.scopes.pop();
        Made { text, columns, ordered: false }
    }
}

/// So that nothing orders by it once more.
fn opaque(column: Column) -> Column {
    Column { kind: Kind::Opaque, ..column }
}
