//! What columns a relation or query has, as far as that is known, and what they are made of.

use std::borrow::Cow;
use std::rc::Rc;

use super::flow::{Edge, Flow, Node, Reference};
use super::{Resolver, Result};
use crate::plan::Error;
use crate::statement::tree::{Alias, Expression, Literal, Name};

/// PostgreSQL's limit on the entries of a SELECT list.
/// Source: `MaxTupleAttributeNumber`,
/// <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/access/htup_details.h>.
const COLUMNS_MAX: usize = 1664;

/// A column of a query.
#[derive(Clone, Debug)]
pub(super) struct Column<'m> {
    pub(super) name: Cow<'m, str>,
    pub(super) node: Node,
    /// Whether the name is only what PostgreSQL probably calls it.
    guessed: bool,
}

impl<'m> Column<'m> {
    pub(super) fn new(name: impl Into<Cow<'m, str>>, node: Node) -> Self {
        Self { name: name.into(), node, guessed: false }
    }
}

/// Columns in order, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct List<'m> {
    pub(super) columns: Vec<Column<'m>>,
    /// After this many, columns that are not known may stand between the known ones.
    known_places: usize,
    /// What columns that are not known may be made of; none where all are known.
    pub(super) others: Option<Node>,
}

impl<'m> List<'m> {
    /// Columns that are all known.
    pub(super) fn of(columns: Vec<Column<'m>>) -> Self {
        Self::with_others(columns, None)
    }

    /// Known columns, and after them others.
    pub(super) fn with_others(columns: Vec<Column<'m>>, others: Option<Node>) -> Self {
        Self { known_places: columns.len(), columns, others }
    }

    /// Nothing is known but what they may be made of.
    pub(super) fn unknown(others: Node) -> Self {
        Self { columns: Vec::new(), known_places: 0, others: Some(others) }
    }

    /// Whether every column is known, by name and place.
    pub(super) fn is_certain(&self) -> bool {
        self.others.is_none() && !self.columns.iter().any(|column| column.guessed)
    }

    /// Names the first columns anew, as an alias with a list does.
    pub(super) fn rename<'n>(&mut self, names: impl Iterator<Item = &'n Name>, flow: &mut Flow<'m>) {
        for (place, name) in names.enumerate() {
            let name = Cow::Owned(name.text.clone());
            if place < self.known_places
                && let Some(column) = self.columns.get_mut(place)
            {
                (column.name, column.guessed) = (name, false);
                continue;
            }
            let node = self.by_place(place, flow);
            self.columns.truncate(place);
            self.others = Some(node);
            self.known_places = place + 1;
            self.columns.push(Column { name, node, guessed: false });
        }
    }

    /// What the column at a place, from 0, may be made of.
    pub(super) fn by_place(&self, place: usize, flow: &mut Flow<'m>) -> Node {
        match self.columns.get(place) {
            Some(column) if place < self.known_places => column.node,
            _ => {
                let uncertain = self.columns.iter().skip(self.known_places).map(|column| column.node);
                let edges: Vec<Edge> = uncertain.chain(self.others).map(value).collect();
                flow.made_of(&edges)
            }
        }
    }

    /// Notes as predicates what a name among them may mean. Tells whether that is certain.
    pub(super) fn note_named(&self, name: &str, flow: &mut Flow<'m>) -> bool {
        self.meant_by(name).for_each(|node| flow.predicate(node));
        self.certainly(name).next().is_some()
    }

    /// What a name among them may mean.
    pub(super) fn meant_by(&self, name: &str) -> impl Iterator<Item = Node> {
        let certain = self.certainly(name).next().is_some();
        let named = self.columns.iter().filter(move |column| column.guessed || column.name == name);
        named.map(|column| column.node).chain(self.others.filter(|_| !certain))
    }

    /// The columns that certainly have this name.
    pub(super) fn certainly(&self, name: &str) -> impl Iterator<Item = Node> {
        self.columns.iter().filter(move |column| !column.guessed && column.name == name).map(|column| column.node)
    }

    /// Every column at once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.columns.iter().map(|column| column.node).chain(self.others)
    }

    pub(super) fn whole(&self, flow: &mut Flow<'m>) -> Node {
        let edges: Vec<Edge> = self.nodes().map(value).collect();
        flow.made_of(&edges)
    }

    fn push(&mut self, column: Column<'m>) {
        self.known_places += usize::from(self.known_places == self.columns.len() && self.others.is_none());
        self.columns.push(column);
    }

    /// Adds what is not known.
    fn push_unknown(&mut self, node: Node, flow: &mut Flow<'m>) {
        let edges: Vec<Edge> = self.others.into_iter().chain([node]).map(value).collect();
        self.others = Some(flow.made_of(&edges));
    }

    pub(super) fn append(&mut self, list: &List<'m>, flow: &mut Flow<'m>) {
        let start = self.columns.len();
        let certain = self.known_places == start && self.others.is_none();
        self.columns.extend(list.columns.iter().cloned());
        if certain {
            self.known_places = start + list.known_places;
        }
        if let Some(others) = list.others {
            self.push_unknown(others, flow);
        }
    }
}

/// The columns of one relation of a FROM.
#[derive(Clone, Debug)]
pub(super) enum Columns<'m> {
    /// A table's own.
    Table(Reference),
    /// Those of a query or a function.
    List(Rc<List<'m>>),
}

impl<'m> Columns<'m> {
    /// Whether there is a column of this name.
    pub(super) fn knows(&self, name: &str, flow: &Flow<'m>) -> bool {
        match self {
            Self::Table(table) => flow.columns(*table).any(|(column, _)| column == name),
            Self::List(list) => list.columns.iter().any(|column| column.name == name),
        }
    }

    /// How many places a name is looked for at: a relation is one, and so is each of its columns.
    pub(super) fn count(&self, flow: &Flow<'m>) -> usize {
        1 + match self {
            Self::Table(table) => flow.columns(*table).size_hint().0,
            Self::List(list) => list.columns.len(),
        }
    }

    /// What is certainly meant by a name; nothing where that is not certain.
    pub(super) fn named(&self, name: &str, flow: &Flow<'m>, found: &mut dyn FnMut(Node)) {
        match self {
            Self::Table(table) => {
                flow.columns(*table).filter(|(column, _)| *column == name).for_each(|(_, node)| found(node))
            }
            Self::List(list) => list.certainly(name).for_each(found),
        }
    }

    /// What may be meant by a name that is none of the certain ones.
    pub(super) fn others(&self, found: &mut dyn FnMut(Node)) {
        match self {
            Self::Table(_) => {}
            Self::List(list) => {
                list.columns.iter().filter(|column| column.guessed).for_each(|column| found(column.node));
                list.others.into_iter().for_each(found);
            }
        }
    }

    /// The columns in order.
    pub(super) fn list(&self, flow: &Flow<'m>) -> Rc<List<'m>> {
        match self {
            Self::Table(table) => {
                Rc::new(List::of(flow.columns(*table).map(|(name, node)| Column::new(name, node)).collect()))
            }
            Self::List(list) => Rc::clone(list),
        }
    }

    /// Every name.
    pub(super) fn names(&self, flow: &Flow<'m>) -> Vec<String> {
        self.list(flow).columns.iter().map(|column| column.name.clone().into_owned()).collect()
    }

    /// All columns at once.
    pub(super) fn whole(&self, flow: &mut Flow<'m>) -> Node {
        match self {
            Self::Table(table) => flow.whole(*table),
            Self::List(list) => list.whole(flow),
        }
    }

    /// As an alias names them.
    pub(super) fn renamed(self, alias: &Alias, flow: &mut Flow<'m>) -> Self {
        if alias.columns.is_empty() {
            return self;
        }
        let mut list = Rc::unwrap_or_clone(self.list(flow));
        list.rename(alias.columns.iter().map(|(name, _)| name), flow);
        Self::List(Rc::new(list))
    }
}

/// What a value is made of, as an edge.
pub(super) fn value(node: Node) -> Edge {
    Edge { node, is_condition: false }
}

impl<'m> Resolver<'m> {
    /// Adds a column to a SELECT list.
    pub(super) fn push_column(&self, list: &mut List<'m>, column: Column<'m>) -> Result<()> {
        list.push(column);
        within_limit(list)
    }

    /// Adds a list of columns to a SELECT list.
    pub(super) fn push_columns(&mut self, list: &mut List<'m>, more: &List<'m>) -> Result<()> {
        self.flow.list(more.columns.len());
        self.must_be_whole()?;
        list.append(more, &mut self.flow);
        within_limit(list)
    }

    /// Adds columns that are not known to a SELECT list.
    pub(super) fn push_unknown(&mut self, list: &mut List<'m>, node: Node) {
        list.push_unknown(node, &mut self.flow);
    }

    /// The columns of a set operation: place by place, those of both sides, by the left side's names.
    pub(super) fn combined(&mut self, left: &List<'m>, right: &List<'m>) -> List<'m> {
        let certain = |list: &List<'m>| list.others.is_none() && list.known_places == list.columns.len();
        if !certain(left) || !certain(right) {
            let edges: Vec<Edge> = left.nodes().chain(right.nodes()).map(value).collect();
            return List::unknown(self.flow.made_of(&edges));
        }
        let mut rest = right.columns.iter();
        let mut columns = Vec::with_capacity(left.columns.len());
        for column in &left.columns {
            let node = match rest.next() {
                Some(other) if other.node != column.node => self.flow.made_of(&[value(column.node), value(other.node)]),
                _ => column.node,
            };
            columns.push(Column { node, ..column.clone() });
        }
        List::of(columns)
    }
}

fn within_limit(list: &List<'_>) -> Result<()> {
    if list.columns.len() > COLUMNS_MAX {
        return Err(Error::new("54011", format!("target lists can have at most {COLUMNS_MAX} entries")));
    }
    Ok(())
}

/// A column that PostgreSQL names by itself.
pub(super) fn implied<'m>(of: &Expression, node: Node) -> Column<'m> {
    let (name, guessed) = implied_name(of);
    Column { name: Cow::Owned(name), node, guessed }
}

/// The name PostgreSQL gives a column without an alias, and whether that is a guess.
/// Source: `FigureColname`, <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/parser/parse_target.c>.
pub(in crate::plan) fn implied_name(of: &Expression) -> (String, bool) {
    match of {
        Expression::Column(path) => (path.0.last().map_or_else(String::new, |name| name.text.clone()), false),
        Expression::Field { name, .. } => (name.text.clone(), false),
        Expression::Literal(Literal::Null | Literal::Number(_) | Literal::String(_))
        | Expression::Parameter(_)
        | Expression::Prefix { .. }
        | Expression::Infix { .. }
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Not(_)
        | Expression::Is { .. }
        | Expression::Distinct { .. }
        | Expression::InList { .. }
        | Expression::InQuery { .. }
        | Expression::Between { .. }
        | Expression::Like { .. }
        | Expression::Quantified { .. } => ("?column?".to_owned(), false),
        Expression::Call(call) => (call.name.0.last().map_or_else(String::new, |name| name.text.clone()), false),
        Expression::Cast { of, to } => match implied_name(of) {
            (name, _) if name == "?column?" => (to.name.clone(), true),
            named => named,
        },
        Expression::Collate { of, .. } | Expression::Element { of, .. } | Expression::Slice { of, .. } => {
            implied_name(of)
        }
        Expression::Case { otherwise, .. } => match otherwise.as_ref().map(|of| implied_name(of)) {
            Some((name, guessed)) if name != "?column?" => (name, guessed),
            _ => ("case".to_owned(), true),
        },
        Expression::Keyword { keyword, .. } => (keyword.to_ascii_lowercase(), false),
        _ => ("?column?".to_owned(), true),
    }
}
