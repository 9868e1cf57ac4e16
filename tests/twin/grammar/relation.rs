//! What stands in FROM, and how it is joined.

use super::super::catalog::{Column, Kind, Table};
use super::{DEPTH, Grammar, Scope, Source, quoted};

/// Kinds that a join compares.
const JOINED: [Kind; 6] = [Kind::Text, Kind::Integer, Kind::Class, Kind::Date, Kind::Number, Kind::Moment];

impl Grammar<'_> {
    /// ` FROM ...` for the innermost query.
    pub(super) fn from(&mut self) -> String {
        let chains = if self.chance(8) { 2 } else { 1 };
        let mut texts = Vec::new();
        for _ in 0..chains {
            let start = self.scope().sources.len();
            let (text, source) = self.operand();
            if start > 0 {
                let Some(link) = self.equality(0, &source) else { continue };
                self.scope().links.push(link);
            }
            let mut star = source.columns.clone();
            self.scope().sources.push(source);
            let text = self.joins(text, start, &mut star);
            self.scope().star.extend(star);
            texts.push(text);
        }
        format!(" FROM {}", texts.join(", "))
    }

    fn joins(&mut self, mut text: String, start: usize, star: &mut Vec<Column>) -> String {
        let joins = self.pick(&[0, 0, 0, 1, 1, 2]);
        for _ in 0..joins {
            // What a condition of this chain may name.
            self.scope().first = start;
            text = match self.below(10) {
                7 => self.join_with_one_row(text, star),
                8 => self.join_laterally(text, star),
                9 => self.join_with_elements(text, star),
                _ => self.join(text, start, star),
            };
            self.scope().first = 0;
        }
        text
    }

    fn join(&mut self, text: String, start: usize, star: &mut Vec<Column>) -> String {
        let first = std::mem::replace(&mut self.scope().first, 0);
        let (written, source) = self.operand();
        self.scope().first = first;
        let kind = self.pick(&["JOIN", "LEFT JOIN", "INNER JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT OUTER JOIN"]);
        let shared = shared(star, &source.columns);
        let unambiguous = |name: &str| {
            let once = |columns: &[Column]| columns.iter().filter(|column| column.name == name).count() == 1;
            once(star) && once(&source.columns)
        };
        let usable: Vec<Column> = shared
            .iter()
            .filter(|column| unambiguous(&column.name) && JOINED.contains(&column.kind))
            .cloned()
            .collect();
        let natural = !shared.is_empty() && usable.len() == shared_names(star, &source.columns);
        let joined = match self.below(6) {
            4 if !usable.is_empty() => {
                let using = self.pick(&usable);
                let text = format!("{text} {kind} {written} USING ({})", quoted(&using.name));
                merge(star, &source.columns, std::slice::from_ref(&using));
                Some(text)
            }
            5 if natural => {
                let text = format!("{text} NATURAL {kind} {written}");
                merge(star, &source.columns, &usable);
                Some(text)
            }
            _ => None,
        };
        if let Some(joined) = joined {
            self.scope().sources.push(source);
            return joined;
        }
        let Some(mut condition) = self.equality(start, &source) else { return text };
        star.extend(source.columns.clone());
        self.scope().sources.push(source);
        if self.chance(20) && kind != "FULL JOIN" {
            condition.push_str(&format!(" AND {}", self.predicate(2)));
        }
        format!("{text} {kind} {written} ON {condition}")
    }

    /// A cross join is allowed with what gives one row.
    fn join_with_one_row(&mut self, text: String, star: &mut Vec<Column>) -> String {
        if self.depth >= DEPTH {
            return text;
        }
        let first = self.hide_siblings();
        self.depth += 1;
        let kinds = [self.pick(&Kind::PLAIN), Kind::Integer];
        let made = self.aggregated(&kinds);
        self.depth -= 1;
        self.scope().first = first;
        if made.columns.iter().any(|column| column.name.is_empty()) {
            return text;
        }
        let name = self.fresh("o");
        let source = Source { single: true, ..derived(&name, made.columns) };
        star.extend(source.columns.clone());
        self.scope().sources.push(source);
        format!("{text} CROSS JOIN ({}) AS {name}", made.text)
    }

    /// A query that looks at what stands before it.
    fn join_laterally(&mut self, text: String, star: &mut Vec<Column>) -> String {
        if self.depth >= DEPTH {
            return text;
        }
        self.depth += 1;
        self.scopes.push(Scope::default());
        let (written, source) = self.operand();
        let scope = self.scopes.pop().expect("it was pushed");
        debug_assert!(scope.sources.is_empty(), "nothing was added");
        let own = source.clone();
        let link = self.equality(0, &source);
        self.depth -= 1;
        if self.scope().sources.iter().any(|other| other.name == own.name) {
            return text;
        }
        let Some(link) = link else { return text };
        let name = self.fresh("l");
        let columns: Vec<Column> = once_named(&own.columns);
        if columns.is_empty() {
            return text;
        }
        let list: Vec<String> =
            columns.iter().map(|column| format!("{}.{}", own.qualifiers[0], quoted(&column.name))).collect();
        let by: Vec<String> = (1..=columns.len()).map(|at| at.to_string()).collect();
        let cut = if self.chance(40) { format!(" ORDER BY {} LIMIT 2", by.join(", ")) } else { String::new() };
        let kind = self.pick(&["JOIN", "LEFT JOIN"]);
        star.extend(columns.clone());
        self.scope().sources.push(derived(&name, columns));
        format!("{text} {kind} LATERAL (SELECT {} FROM {written} WHERE {link}{cut}) AS {name} ON true", list.join(", "))
    }

    /// The elements of a list or document of what stands before it.
    fn join_with_elements(&mut self, text: String, star: &mut Vec<Column>) -> String {
        // The elements of what is one row belong to no other row.
        if self.scope().sources.iter().any(|source| source.single) {
            return text;
        }
        let scopes = std::mem::replace(&mut self.first_scope, self.scopes.len() - 1);
        let (texts, document) = (self.column(Kind::Texts), self.column(Kind::Document));
        self.first_scope = scopes;
        let name = self.fresh("e");
        let text_column = |column: &str| Column::computed(column, Kind::Text);
        let (written, columns) = match (texts, document, self.below(3)) {
            (Some((list, _)), _, 0) => (format!("unnest({list}) AS {name} (tag)"), vec![text_column("tag")]),
            (Some((list, _)), _, 1) => (
                format!("unnest({list}) WITH ORDINALITY AS {name} (tag, place)"),
                vec![text_column("tag"), Column::computed("place", Kind::Integer)],
            ),
            (_, Some((document, _)), _) => (
                // Of what is no object, nothing.
                format!(
                    "jsonb_each_text(CASE WHEN jsonb_typeof({document}) = 'object' THEN {document} END) AS {name} (key, value)"
                ),
                vec![text_column("key"), text_column("value")],
            ),
            _ => return text,
        };
        star.extend(columns.clone());
        let source = Source { row: false, ..derived(&name, columns) };
        self.scope().sources.push(source);
        let lateral = self.pick(&["", "LATERAL "]);
        match self.below(2) {
            0 => format!("{text} CROSS JOIN {lateral}{written}"),
            _ => format!("{text} LEFT JOIN {lateral}{written} ON true"),
        }
    }

    /// A table, view, common table, subquery, list of values, or join in parentheses.
    fn operand(&mut self) -> (String, Source) {
        match self.below(14) {
            9 if !self.common_tables.is_empty() => self.common_table_use(),
            10 | 11 if self.depth < DEPTH => self.subquery(),
            12 if self.depth < DEPTH => self.joined_operand(),
            13 => self.forbidden_table(),
            _ => self.table_use(),
        }
    }

    fn table_use(&mut self) -> (String, Source) {
        let tables = &self.catalog.tables;
        let table = &tables[self.choices.below(tables.len())];
        self.named_table(table.clone())
    }

    fn named_table(&mut self, table: Table) -> (String, Source) {
        let hidden = self.common_tables.iter().any(|common| common.name == table.name);
        let bare = !hidden && table.schema == "fleet" && self.chance(40);
        let full = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        let only = if table.stored && self.chance(5) { "ONLY " } else { "" };
        let written = format!("{only}{}", if bare { quoted(&table.name) } else { full.clone() });
        let sample = if table.stored && self.chance(5) {
            self.pick(&[" TABLESAMPLE SYSTEM (100)", " TABLESAMPLE BERNOULLI (100) REPEATABLE (7)"])
        } else {
            ""
        };
        let taken = self.scope().sources.iter().any(|source| source.name == table.name);
        if !taken && self.chance(35) {
            let mut source = derived(&table.name, table.columns);
            source.key = source.columns.iter().find(|column| Some(&column.name) == table.key.as_ref()).cloned();
            source.hidden = table.hidden;
            source.qualifiers.push(full);
            return (format!("{written}{sample}"), source);
        }
        let name = self.alias();
        let key = table.columns.iter().position(|column| Some(&column.name) == table.key.as_ref());
        let (list, columns) = self.renamed(table.columns);
        let mut source = derived(&name, columns);
        source.key = key.and_then(|at| source.columns.get(at).cloned());
        // The fields of a table's row keep the names of its columns, those of a query's row get the new ones: the
        // gateway, which makes a query of a governed table, cannot but show the new ones.
        source.row = list.is_empty();
        source.hidden = table.hidden;
        (format!("{written} AS {}{list}{sample}", quoted(&name)), source)
    }

    /// A name of its own, or one that some table or column has too.
    fn alias(&mut self) -> String {
        const CONFUSING: [&str; 6] = ["driver", "Fuel Card", "licence", "depot", "trip", "T 1"];
        if self.chance(15) {
            let name = self.pick(&CONFUSING);
            if self.scope().sources.iter().all(|source| source.name != name) {
                return name.to_owned();
            }
        }
        self.fresh("t")
    }

    fn common_table_use(&mut self) -> (String, Source) {
        let index = self.below(self.common_tables.len());
        let (name, columns) = (self.common_tables[index].name.clone(), self.common_tables[index].columns.clone());
        // The innermost of a name is meant.
        let hidden = self.common_tables[index + 1..].iter().any(|other| other.name == name);
        if hidden {
            return self.table_use();
        }
        let taken = self.scope().sources.iter().any(|source| source.name == name);
        if !taken && self.chance(50) {
            let source = derived(&name, columns);
            return (quoted(&name), source);
        }
        let alias = self.alias();
        let (list, columns) = self.renamed(columns);
        (format!("{} AS {}{list}", quoted(&name), quoted(&alias)), derived(&alias, columns))
    }

    fn subquery(&mut self) -> (String, Source) {
        let first = self.hide_siblings();
        let made = self.query_for_columns();
        self.scope().first = first;
        let name = self.alias();
        let (list, columns) = self.renamed(made.columns);
        (format!("({}) AS {}{list}", made.text, quoted(&name)), derived(&name, columns))
    }

    /// `(a JOIN b ON ...) AS j`, or without a name.
    fn joined_operand(&mut self) -> (String, Source) {
        let first = self.hide_siblings();
        self.depth += 1;
        self.scopes.push(Scope::default());
        let (text, source) = self.operand();
        let mut star = source.columns.clone();
        self.scope().sources.push(source);
        let text = self.join(text, 0, &mut star);
        let scope = self.scopes.pop().expect("it was pushed");
        self.depth -= 1;
        self.scope().first = first;
        let name = self.fresh("j");
        if scope.sources.len() < 2 {
            return self.table_use();
        }
        (format!("({text}) AS {name}"), Source { row: false, ..derived(&name, star) })
    }

    /// Seldom something the twin does not have: both must fail.
    fn forbidden_table(&mut self) -> (String, Source) {
        if self.catalog.forbidden.is_empty() || !self.chance(3) {
            return self.table_use();
        }
        let forbidden = &self.catalog.forbidden;
        let table = &forbidden[self.choices.below(forbidden.len())];
        self.named_table(table.clone())
    }

    /// What a subquery of FROM cannot name: the relations beside it.
    fn hide_siblings(&mut self) -> usize {
        let scope = self.scope();
        std::mem::replace(&mut scope.first, usize::MAX)
    }

    /// A condition that links a new relation to those of the innermost query from `start` on.
    fn equality(&mut self, start: usize, new: &Source) -> Option<String> {
        let new_columns = once_named(&new.columns);
        let mut pairs = Vec::new();
        for source in self.scope().sources[start..].iter().filter(|source| !source.single) {
            for left in once_named(&source.columns) {
                for right in &new_columns {
                    if left.kind == right.kind && JOINED.contains(&left.kind) {
                        let pair = [(source, &left), (new, right)]
                            .map(|(source, column)| format!("{}.{}", source.qualifiers[0], quoted(&column.name)));
                        let at = if left.name == right.name { 0 } else { pairs.len() };
                        pairs.insert(at, pair);
                    }
                }
            }
        }
        if pairs.is_empty() {
            return None;
        }
        let [left, right] = self.pick(&pairs);
        Some(if self.chance(20) { format!("{right} = {left}") } else { format!("{left} = {right}") })
    }
}

fn derived(name: &str, columns: Vec<Column>) -> Source {
    Source {
        qualifiers: vec![quoted(name)],
        name: name.to_owned(),
        columns,
        row: true,
        single: false,
        key: None,
        hidden: Vec::new(),
    }
}

fn once_named(columns: &[Column]) -> Vec<Column> {
    let once = |column: &&Column| {
        !column.name.is_empty() && columns.iter().filter(|other| other.name == column.name).count() == 1
    };
    columns.iter().filter(once).cloned().collect()
}

/// Columns of one name and kind.
fn shared(left: &[Column], right: &[Column]) -> Vec<Column> {
    let found = |column: &&Column| right.iter().any(|other| other.name == column.name && other.kind == column.kind);
    left.iter().filter(found).cloned().collect()
}

/// How many names are on both sides.
fn shared_names(left: &[Column], right: &[Column]) -> usize {
    left.iter().filter(|column| right.iter().any(|other| other.name == column.name)).count()
}

/// What `*` gives after a join that merges columns: those first.
fn merge(star: &mut Vec<Column>, right: &[Column], merged: &[Column]) {
    let kept = |column: &&Column| merged.iter().all(|other| other.name != column.name);
    let rest: Vec<Column> = star.iter().filter(kept).chain(right.iter().filter(kept)).cloned().collect();
    *star = merged.iter().cloned().chain(rest).collect();
}
