//! The checked tree: the only SQL this gateway understands, and the only SQL it sends.
//!
//! The parser's tree can hold every construct of every dialect. This one holds what PostgreSQL reads as a query and
//! nothing else, so a construct that was never thought about cannot be represented, let alone sent. Names are already
//! folded as PostgreSQL folds them, parentheses are gone (the printer puts them back), and every literal is its value.

use passgate_policy::Place;

/// An identifier, exact: unquoted ones are already in lower case.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where the client wrote it. Not part of equality.
    pub at: Place,
}

impl Name {
    /// A name of our own making, which stands nowhere in the client's text.
    pub fn invented(text: impl Into<String>) -> Self {
        Self { text: text.into(), at: Place { line: 1, column: 1 } }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Name {}

/// A name with the schemas before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Vec<Name>);

/// A query with everything that may surround its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// WITH.
    pub with: Option<With>,
    /// SELECT, VALUES, or a combination.
    pub body: Body,
    /// ORDER BY.
    pub order_by: Vec<Order>,
    /// LIMIT or FETCH FIRST.
    pub limit: Option<Limit>,
    /// OFFSET.
    pub offset: Option<Expression>,
}

/// WITH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct With {
    /// RECURSIVE.
    pub recursive: bool,
    /// The queries it names.
    pub tables: Vec<CommonTable>,
}

/// One query of a WITH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonTable {
    /// Its name.
    pub name: Name,
    /// Names for its columns.
    pub columns: Vec<Name>,
    /// MATERIALIZED or NOT MATERIALIZED.
    pub materialized: Option<bool>,
    /// The query.
    pub query: Query,
    /// SEARCH.
    pub search: Option<Search>,
    /// CYCLE.
    pub cycle: Option<Cycle>,
}

/// SEARCH of a recursive query: a column to order its rows by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// BREADTH FIRST, otherwise DEPTH FIRST.
    pub breadth: bool,
    /// The columns that tell rows apart.
    pub by: Vec<Name>,
    /// The column it adds.
    pub column: Name,
}

/// CYCLE of a recursive query: it ends where these columns come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The columns.
    pub columns: Vec<Name>,
    /// The column it adds that tells whether the row closes a cycle.
    pub mark: Name,
    /// The column it adds that holds the way.
    pub path: Name,
}

/// The body of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// VALUES.
    Values(Vec<Vec<Expression>>),
    /// A query in parentheses.
    Query(Box<Query>),
    /// UNION, EXCEPT or INTERSECT.
    Combination {
        /// Which.
        operator: SetOperator,
        /// ALL.
        all: bool,
        /// The left side.
        left: Box<Body>,
        /// The right side.
        right: Box<Body>,
    },
}

/// How two bodies are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    /// UNION.
    Union,
    /// EXCEPT.
    Except,
    /// INTERSECT.
    Intersect,
}

/// SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// DISTINCT, or DISTINCT ON.
    pub distinct: Option<Distinct>,
    /// What is selected.
    pub items: Vec<Item>,
    /// FROM, separated by commas.
    pub from: Vec<Relation>,
    /// WHERE.
    pub filter: Option<Expression>,
    /// GROUP BY.
    pub group_by: Vec<Grouping>,
    /// GROUP BY DISTINCT: grouping sets that come up twice count once.
    pub group_by_distinct: bool,
    /// HAVING.
    pub having: Option<Expression>,
    /// WINDOW.
    pub windows: Vec<(Name, Window)>,
    /// Where the SELECT stands. Not part of equality.
    pub at: Spot,
}

impl Select {
    /// `SELECT * FROM` one relation.
    pub fn everything_from(relation: Relation, at: Spot) -> Self {
        Self {
            distinct: None,
            items: vec![Item::Everything],
            from: vec![relation],
            filter: None,
            group_by: Vec::new(),
            group_by_distinct: false,
            having: None,
            windows: Vec::new(),
            at,
        }
    }
}

/// A place that two equal trees may differ in.
#[derive(Clone, Copy, Debug)]
pub struct Spot(pub Place);

impl PartialEq for Spot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spot {}

/// DISTINCT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// Whole rows.
    Rows,
    /// DISTINCT ON these.
    On(Vec<Expression>),
}

/// One entry of a select list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An expression.
    Expression {
        /// What.
        of: Expression,
        /// AS.
        alias: Option<Name>,
    },
    /// `*`.
    Everything,
    /// `t.*`.
    EverythingOf(Path),
    /// `(value).*`.
    FieldsOf(Expression),
}

/// Something in FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table, view or WITH query.
    Table {
        /// Its name.
        name: Path,
        /// ONLY: without the tables that inherit from it.
        only: bool,
        /// AS.
        alias: Option<Alias>,
        /// TABLESAMPLE.
        sample: Option<Sample>,
    },
    /// A query.
    Query {
        /// LATERAL.
        lateral: bool,
        /// The query.
        query: Box<Query>,
        /// AS.
        alias: Option<Alias>,
        /// Where it stands.
        at: Spot,
    },
    /// A function.
    Function {
        /// LATERAL.
        lateral: bool,
        /// The call.
        call: Box<Call>,
        /// WITH ORDINALITY.
        ordinality: bool,
        /// AS.
        alias: Option<Alias>,
    },
    /// ROWS FROM: several functions side by side.
    Functions {
        /// LATERAL.
        lateral: bool,
        /// The calls.
        calls: Vec<Call>,
        /// WITH ORDINALITY.
        ordinality: bool,
        /// AS.
        alias: Option<Alias>,
    },
    /// Two relations joined.
    Join {
        /// The left side.
        left: Box<Relation>,
        /// The right side.
        right: Box<Relation>,
        /// INNER, LEFT, ...
        kind: JoinKind,
        /// ON, USING, NATURAL, or nothing for CROSS JOIN.
        on: JoinCondition,
        /// An alias over the whole join, `(a JOIN b ...) AS j`.
        alias: Option<Alias>,
    },
}

/// AS, with column names and, for functions that return records, types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: Name,
    /// Names, and types, of columns.
    pub columns: Vec<(Name, Option<Type>)>,
}

/// TABLESAMPLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// BERNOULLI, otherwise SYSTEM.
    pub bernoulli: bool,
    /// The percentage.
    pub percent: Expression,
    /// REPEATABLE.
    pub seed: Option<Literal>,
}

/// How relations are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// INNER.
    Inner,
    /// LEFT.
    Left,
    /// RIGHT.
    Right,
    /// FULL.
    Full,
    /// CROSS.
    Cross,
}

/// What joins relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinCondition {
    /// ON.
    On(Expression),
    /// USING.
    Using(Vec<Name>),
    /// NATURAL.
    Natural,
    /// CROSS JOIN has none.
    None,
}

/// One entry of GROUP BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// An expression.
    Expression(Expression),
    /// ROLLUP.
    Rollup(Vec<Vec<Expression>>),
    /// CUBE.
    Cube(Vec<Vec<Expression>>),
    /// GROUPING SETS; what stands in them may nest.
    Sets(Vec<Grouping>),
    /// A list in parentheses, possibly empty: one grouping set.
    Set(Vec<Expression>),
}

/// One entry of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: Expression,
    /// DESC, or ASC, where written.
    pub descending: Option<bool>,
    /// NULLS FIRST, or LAST, where written.
    pub nulls_first: Option<bool>,
}

/// LIMIT or FETCH FIRST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub rows: Expression,
    /// WITH TIES.
    pub with_ties: bool,
}

/// A window definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The window it starts from.
    pub base: Option<Name>,
    /// PARTITION BY.
    pub partition_by: Vec<Expression>,
    /// ORDER BY.
    pub order_by: Vec<Order>,
    /// The frame.
    pub frame: Option<Frame>,
}

/// A window frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// ROWS, RANGE or GROUPS.
    pub unit: &'static str,
    /// Where it starts.
    pub start: Bound,
    /// Where it ends.
    pub end: Option<Bound>,
    /// What EXCLUDE leaves out: `CURRENT ROW`, `GROUP` or `TIES`.
    pub exclude: Option<&'static str>,
}

/// An end of a window frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// CURRENT ROW.
    CurrentRow,
    /// PRECEDING; `None` is UNBOUNDED.
    Preceding(Option<Expression>),
    /// FOLLOWING; `None` is UNBOUNDED.
    Following(Option<Expression>),
}

/// A type, named as PostgreSQL's catalog does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// The name in `pg_catalog`: `int4`, `varchar`, `timestamptz`.
    pub name: String,
    /// Its modifiers: `(10,2)`.
    pub modifiers: Vec<i64>,
    /// How many times it is an array.
    pub dimensions: usize,
}

/// Comparisons: they fail for no value of a type that has an order. Most are leakproof; those of `text` and `numeric`
/// are not, since `texteq` and `numeric_cmp` may run out of memory, which tells nothing of a value.
pub const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];

/// A constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Boolean(bool),
    /// A number without a sign, as written: digits, point, exponent.
    Number(String),
    /// A string: its value.
    String(String),
    /// `B'...'`: its digits.
    Bits(String),
    /// `X'...'`: its digits.
    Hexadecimal(String),
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A column, possibly with its table and schema; or a whole row.
    Column(Path),
    /// A constant.
    Literal(Literal),
    /// `$n`.
    Parameter(u16),
    /// `INTERVAL '1' DAY`.
    Interval {
        /// The text.
        text: String,
        /// The fields, as PostgreSQL writes them: `DAY TO SECOND`.
        fields: &'static str,
        /// Digits of the seconds' fraction.
        precision: Option<u64>,
    },
    /// A prefix operator.
    Prefix {
        /// The operator.
        operator: String,
        /// Its operand.
        of: Box<Expression>,
    },
    /// An operator between two operands.
    Infix {
        /// The operator.
        operator: String,
        /// The left operand.
        left: Box<Expression>,
        /// The right operand.
        right: Box<Expression>,
    },
    /// AND, flat.
    And(Vec<Expression>),
    /// OR, flat.
    Or(Vec<Expression>),
    /// NOT.
    Not(Box<Expression>),
    /// IS [NOT] NULL, TRUE, FALSE, UNKNOWN, DOCUMENT, JSON.
    Is {
        /// What is tested.
        of: Box<Expression>,
        /// For what.
        test: &'static str,
        /// NOT.
        negated: bool,
    },
    /// IS [NOT] DISTINCT FROM.
    Distinct {
        /// The left side.
        left: Box<Expression>,
        /// The right side.
        right: Box<Expression>,
        /// NOT.
        negated: bool,
    },
    /// [NOT] IN a list.
    InList {
        /// What.
        of: Box<Expression>,
        /// The list.
        list: Vec<Expression>,
        /// NOT.
        negated: bool,
    },
    /// [NOT] IN a query.
    InQuery {
        /// What.
        of: Box<Expression>,
        /// The query.
        query: Box<Query>,
        /// NOT.
        negated: bool,
    },
    /// [NOT] BETWEEN.
    Between {
        /// What.
        of: Box<Expression>,
        /// The lower bound.
        low: Box<Expression>,
        /// The upper bound.
        high: Box<Expression>,
        /// SYMMETRIC: whichever bound is the lower one.
        symmetric: bool,
        /// NOT.
        negated: bool,
    },
    /// [NOT] LIKE, ILIKE, SIMILAR TO.
    Like {
        /// Which: `LIKE`, `ILIKE`, `SIMILAR TO`.
        operator: &'static str,
        /// What.
        of: Box<Expression>,
        /// The pattern.
        pattern: Box<Expression>,
        /// ESCAPE.
        escape: Option<String>,
        /// NOT.
        negated: bool,
    },
    /// `left operator ANY (...)`, or ALL.
    Quantified {
        /// The left side.
        left: Box<Expression>,
        /// The operator.
        operator: String,
        /// ALL, otherwise ANY.
        all: bool,
        /// An array, or a query.
        right: Box<Expression>,
    },
    /// EXISTS.
    Exists(Box<Query>),
    /// A query as a value.
    Query(Box<Query>),
    /// `ARRAY(query)`.
    ArrayQuery(Box<Query>),
    /// CASE.
    Case {
        /// What is compared.
        operand: Option<Box<Expression>>,
        /// WHEN, THEN.
        arms: Vec<(Expression, Expression)>,
        /// ELSE.
        otherwise: Option<Box<Expression>>,
    },
    /// A cast.
    Cast {
        /// What.
        of: Box<Expression>,
        /// To what.
        to: Type,
    },
    /// A function call.
    Call(Box<Call>),
    /// `CURRENT_DATE` and the like, with a precision where written.
    Keyword {
        /// Which, in upper case.
        keyword: &'static str,
        /// Its precision.
        precision: Option<u64>,
    },
    /// EXTRACT.
    Extract {
        /// The field, in lower case.
        field: String,
        /// From what.
        of: Box<Expression>,
    },
    /// POSITION.
    Position {
        /// What is sought.
        what: Box<Expression>,
        /// In what.
        within: Box<Expression>,
    },
    /// SUBSTRING.
    Substring {
        /// Of what.
        of: Box<Expression>,
        /// FROM.
        from: Option<Box<Expression>>,
        /// FOR.
        length: Option<Box<Expression>>,
    },
    /// TRIM.
    Trim {
        /// BOTH, LEADING or TRAILING.
        side: &'static str,
        /// Which characters.
        what: Option<Box<Expression>>,
        /// From what.
        of: Box<Expression>,
    },
    /// OVERLAY.
    Overlay {
        /// Of what.
        of: Box<Expression>,
        /// PLACING.
        what: Box<Expression>,
        /// FROM.
        from: Box<Expression>,
        /// FOR.
        length: Option<Box<Expression>>,
    },
    /// AT TIME ZONE.
    AtTimeZone {
        /// What.
        of: Box<Expression>,
        /// The zone.
        zone: Box<Expression>,
    },
    /// COLLATE.
    Collate {
        /// What.
        of: Box<Expression>,
        /// The collation in `pg_catalog`.
        collation: String,
    },
    /// `ROW(...)`, or a list in parentheses.
    Row(Vec<Expression>),
    /// `t.*` as an argument or inside a row.
    EverythingOf(Path),
    /// `ARRAY[...]`.
    Array(Vec<Expression>),
    /// `a[1]`.
    Element {
        /// Of what.
        of: Box<Expression>,
        /// The index.
        index: Box<Expression>,
    },
    /// `a[1:2]`.
    Slice {
        /// Of what.
        of: Box<Expression>,
        /// The lower bound.
        low: Option<Box<Expression>>,
        /// The upper bound.
        high: Option<Box<Expression>>,
    },
    /// `(value).field`.
    Field {
        /// Of what.
        of: Box<Expression>,
        /// The field.
        name: Name,
    },
    /// One of the functions of XML whose arguments are syntax.
    Xml(Box<Xml>),
    /// `value IS [NOT] form NORMALIZED`.
    Normalized {
        /// What.
        of: Box<Expression>,
        /// The form.
        form: Option<&'static str>,
        /// NOT.
        negated: bool,
    },
}

/// XMLELEMENT and its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xml {
    /// Which.
    pub function: XmlFunction,
    /// XMLATTRIBUTES of an element, or what a forest is made of, with their names where written.
    pub named: Vec<(Expression, Option<Name>)>,
    /// The other arguments.
    pub arguments: Vec<Expression>,
}

/// Which function of XML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlFunction {
    /// `XMLELEMENT(NAME ...)`.
    Element(Name),
    /// `XMLFOREST(...)`.
    Forest,
    /// `XMLPI(NAME ...)`.
    Instruction(Name),
    /// `XMLPARSE(DOCUMENT ...)`, or CONTENT.
    Parse {
        /// DOCUMENT, otherwise CONTENT.
        document: bool,
    },
    /// `XMLROOT(..., VERSION ...)`.
    Root {
        /// STANDALONE, as PostgreSQL writes it: `YES`, `NO` or `NO VALUE`.
        standalone: Option<&'static str>,
    },
    /// `XMLSERIALIZE(DOCUMENT ... AS type)`, or CONTENT.
    Serialize {
        /// DOCUMENT, otherwise CONTENT.
        document: bool,
        /// AS.
        to: Type,
    },
    /// `XMLEXISTS(path PASSING document)`.
    Exists,
}

/// A function call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub name: Path,
    /// What stands in the parentheses.
    pub arguments: Arguments,
    /// VARIADIC before the last argument: it is an array of the function's last arguments.
    pub variadic: bool,
    /// DISTINCT.
    pub distinct: bool,
    /// ORDER BY within the parentheses.
    pub order_by: Vec<Order>,
    /// WITHIN GROUP (ORDER BY ...).
    pub within_group: Vec<Order>,
    /// FILTER (WHERE ...).
    pub filter: Option<Expression>,
    /// OVER.
    pub over: Option<Over>,
}

impl Call {
    /// A call with nothing but arguments.
    pub fn plain(name: Path, arguments: Arguments) -> Self {
        Self {
            name,
            arguments,
            variadic: false,
            distinct: false,
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            over: None,
        }
    }
}

/// What a call passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `*`.
    Everything,
    /// A list; named arguments have their name.
    List(Vec<(Option<Name>, Expression)>),
}

/// OVER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// A window of the WINDOW clause.
    Named(Name),
    /// A definition.
    Window(Box<Window>),
}
