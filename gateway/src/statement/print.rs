//! The printer: from the checked tree to the text that is sent.
//!
//! It is ours, not the parser's, because it is the last hand on the text. Three rules make it hard to talk out of
//! anything: every identifier is quoted, every string is quoted from its value, and every operand that is not a single
//! token or already enclosed gets parentheses. Operators always stand between blanks, so no two can make a comment.

use std::fmt::Write as _;

use super::tree::{
    Alias, Arguments, Body, Bound, Call, CommonTable, Cycle, Distinct, Expression, Frame, Grouping, Item,
    JoinCondition, JoinKind, Limit, Literal, Name, Order, Over, Path, Query, Relation, Sample, Search, Select,
    SetOperator, Type, Window, With, Xml, XmlFunction,
};

/// The query as text.
pub fn print(query: &Query) -> String {
    let mut printer = Printer { text: String::with_capacity(256) };
    printer.query(query);
    printer.text
}

/// An identifier, quoted.
pub fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Functions that are syntax: they cannot carry a schema.
/// Source: PostgreSQL's `gram.y`, `func_expr_common_subexpr`.
pub const SYNTAX_FUNCTIONS: [&str; 6] = ["coalesce", "greatest", "grouping", "least", "nullif", "xmlconcat"];

struct Printer {
    text: String,
}

impl Printer {
    fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    fn name(&mut self, name: &Name) {
        self.quoted(&name.text);
    }

    fn quoted(&mut self, name: &str) {
        self.text.push('"');
        for character in name.chars() {
            if character == '"' {
                self.text.push('"');
            }
            self.text.push(character);
        }
        self.text.push('"');
    }

    fn path(&mut self, path: &Path) {
        self.list_by(&path.0, ".", Self::name);
    }

    fn list_by<T>(&mut self, list: &[T], separator: &str, mut print: impl FnMut(&mut Self, &T)) {
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                self.word(separator);
            }
            print(self, item);
        }
    }

    fn list<T>(&mut self, list: &[T], print: impl FnMut(&mut Self, &T)) {
        self.list_by(list, ", ", print);
    }

    fn list_with_last<T>(&mut self, list: &[T], mut print: impl FnMut(&mut Self, &T, bool)) {
        let mut left = list.len();
        self.list(list, |this, item| {
            left -= 1;
            print(this, item, left == 0);
        });
    }

    fn enclosed(&mut self, print: impl FnOnce(&mut Self)) {
        self.word("(");
        print(self);
        self.word(")");
    }

    fn query(&mut self, query: &Query) {
        let Query { with, body, order_by, limit, offset } = query;
        if let Some(With { recursive, tables }) = with {
            self.word(if *recursive { "WITH RECURSIVE " } else { "WITH " });
            self.list(tables, Self::common_table);
            self.word(" ");
        }
        self.body(body);
        if !order_by.is_empty() {
            self.word(" ORDER BY ");
            self.list(order_by, Self::order);
        }
        if let Some(limit) = limit
            && !limit.with_ties
        {
            self.limit(limit);
        }
        if let Some(offset) = offset {
            self.word(" OFFSET ");
            self.operand(offset);
        }
        if let Some(limit) = limit
            && limit.with_ties
        {
            self.limit(limit);
        }
    }

    /// FETCH FIRST must follow OFFSET, LIMIT may stand before it.
    fn limit(&mut self, limit: &Limit) {
        let Limit { rows, with_ties } = limit;
        if *with_ties {
            self.word(" FETCH FIRST ");
            self.operand(rows);
            self.word(" ROWS WITH TIES");
        } else {
            self.word(" LIMIT ");
            self.operand(rows);
        }
    }

    fn common_table(&mut self, table: &CommonTable) {
        let CommonTable { name, columns, materialized, query, search, cycle } = table;
        self.name(name);
        if !columns.is_empty() {
            self.enclosed(|this| this.list(columns, Self::name));
        }
        self.word(match materialized {
            None => " AS ",
            Some(true) => " AS MATERIALIZED ",
            Some(false) => " AS NOT MATERIALIZED ",
        });
        self.enclosed(|this| this.query(query));
        if let Some(Search { breadth, by, column }) = search {
            self.word(if *breadth { " SEARCH BREADTH FIRST BY " } else { " SEARCH DEPTH FIRST BY " });
            self.list(by, Self::name);
            self.word(" SET ");
            self.name(column);
        }
        if let Some(Cycle { columns, mark, path }) = cycle {
            self.word(" CYCLE ");
            self.list(columns, Self::name);
            self.word(" SET ");
            self.name(mark);
            self.word(" USING ");
            self.name(path);
        }
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Select(select) => self.select(select),
            Body::Values(rows) => {
                self.word("VALUES ");
                self.list(rows, |this, row| this.enclosed(|this| this.list(row, Self::expression)));
            }
            Body::Query(query) => self.enclosed(|this| this.query(query)),
            Body::Combination { operator, all, left, right } => {
                self.side(left, *operator, true);
                self.word(match operator {
                    SetOperator::Union => " UNION ",
                    SetOperator::Except => " EXCEPT ",
                    SetOperator::Intersect => " INTERSECT ",
                });
                if *all {
                    self.word("ALL ");
                }
                self.side(right, *operator, false);
            }
        }
    }

    /// Set operators associate to the left, and INTERSECT binds tighter than the others.
    fn side(&mut self, side: &Body, within: SetOperator, left: bool) {
        let tightness = |operator: SetOperator| usize::from(operator == SetOperator::Intersect);
        let bare = match side {
            Body::Combination { operator, .. } => {
                let (inner, outer) = (tightness(*operator), tightness(within));
                inner > outer || (left && inner == outer)
            }
            Body::Select(_) | Body::Values(_) | Body::Query(_) => true,
        };
        if bare { self.body(side) } else { self.enclosed(|this| this.body(side)) }
    }

    fn select(&mut self, select: &Select) {
        let Select { distinct, items, from, filter, group_by, group_by_distinct, having, windows, at: _ } = select;
        self.word("SELECT");
        match distinct {
            None => {}
            Some(Distinct::Rows) => self.word(" DISTINCT"),
            Some(Distinct::On(by)) => {
                self.word(" DISTINCT ON ");
                self.enclosed(|this| this.list(by, Self::expression));
            }
        }
        if !items.is_empty() {
            self.word(" ");
            self.list(items, Self::item);
        }
        if !from.is_empty() {
            self.word(" FROM ");
            self.list(from, Self::relation);
        }
        if let Some(filter) = filter {
            self.word(" WHERE ");
            self.expression(filter);
        }
        if !group_by.is_empty() {
            self.word(if *group_by_distinct { " GROUP BY DISTINCT " } else { " GROUP BY " });
            self.list(group_by, Self::grouping);
        }
        if let Some(having) = having {
            self.word(" HAVING ");
            self.expression(having);
        }
        if !windows.is_empty() {
            self.word(" WINDOW ");
            self.list(windows, |this, (name, window)| {
                this.name(name);
                this.word(" AS ");
                this.window(window);
            });
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Everything => self.word("*"),
            Item::EverythingOf(table) => {
                self.path(table);
                self.word(".*");
            }
            Item::FieldsOf(of) => {
                self.enclosed(|this| this.expression(of));
                self.word(".*");
            }
            Item::Expression { of, alias } => {
                self.expression(of);
                if let Some(alias) = alias {
                    self.word(" AS ");
                    self.name(alias);
                }
            }
        }
    }

    fn relation(&mut self, relation: &Relation) {
        match relation {
            Relation::Table { name, only, alias, sample } => {
                if *only {
                    self.word("ONLY ");
                }
                self.path(name);
                self.alias(alias.as_ref());
                if let Some(Sample { bernoulli, percent, seed }) = sample {
                    self.word(if *bernoulli { " TABLESAMPLE BERNOULLI " } else { " TABLESAMPLE SYSTEM " });
                    self.enclosed(|this| this.expression(percent));
                    if let Some(seed) = seed {
                        self.word(" REPEATABLE ");
                        self.enclosed(|this| this.literal(seed));
                    }
                }
            }
            Relation::Query { lateral, query, alias, at: _ } => {
                self.lateral(*lateral);
                self.enclosed(|this| this.query(query));
                self.alias(alias.as_ref());
            }
            Relation::Function { lateral, call, ordinality, alias } => {
                self.lateral(*lateral);
                self.call(call);
                if *ordinality {
                    self.word(" WITH ORDINALITY");
                }
                self.alias(alias.as_ref());
            }
            Relation::Functions { lateral, calls, ordinality, alias } => {
                self.lateral(*lateral);
                self.word("ROWS FROM ");
                self.enclosed(|this| this.list(calls, Self::call));
                if *ordinality {
                    self.word(" WITH ORDINALITY");
                }
                self.alias(alias.as_ref());
            }
            Relation::Join { left, right, kind, on, alias } => {
                self.join_or_enclosed(alias.as_ref(), |this| this.join(left, right, *kind, on));
            }
        }
    }

    fn join_or_enclosed(&mut self, alias: Option<&Alias>, print: impl FnOnce(&mut Self)) {
        match alias {
            None => print(self),
            Some(_) => {
                self.enclosed(print);
                self.alias(alias);
            }
        }
    }

    fn join(&mut self, left: &Relation, right: &Relation, kind: JoinKind, on: &JoinCondition) {
        self.relation(left);
        if matches!(on, JoinCondition::Natural) {
            self.word(" NATURAL");
        }
        self.word(match kind {
            JoinKind::Inner => " INNER JOIN ",
            JoinKind::Left => " LEFT JOIN ",
            JoinKind::Right => " RIGHT JOIN ",
            JoinKind::Full => " FULL JOIN ",
            JoinKind::Cross => " CROSS JOIN ",
        });
        match right {
            Relation::Join { alias: None, .. } => self.enclosed(|this| this.relation(right)),
            _ => self.relation(right),
        }
        match on {
            JoinCondition::On(on) => {
                self.word(" ON ");
                self.expression(on);
            }
            JoinCondition::Using(columns) => {
                self.word(" USING ");
                self.enclosed(|this| this.list(columns, Self::name));
            }
            JoinCondition::Natural | JoinCondition::None => {}
        }
    }

    fn lateral(&mut self, lateral: bool) {
        if lateral {
            self.word("LATERAL ");
        }
    }

    fn alias(&mut self, alias: Option<&Alias>) {
        let Some(Alias { name, columns }) = alias else { return };
        self.word(" AS ");
        self.name(name);
        if !columns.is_empty() {
            self.enclosed(|this| {
                this.list(columns, |this, (column, to)| {
                    this.name(column);
                    if let Some(to) = to {
                        this.word(" ");
                        this.data_type(to);
                    }
                });
            });
        }
    }

    fn grouping(&mut self, grouping: &Grouping) {
        let (word, sets) = match grouping {
            Grouping::Expression(by) => return self.expression(by),
            Grouping::Set(by) => return self.enclosed(|this| this.list(by, Self::expression)),
            Grouping::Sets(sets) => {
                self.word("GROUPING SETS ");
                return self.enclosed(|this| this.list(sets, Self::grouping));
            }
            Grouping::Rollup(sets) => ("ROLLUP ", sets),
            Grouping::Cube(sets) => ("CUBE ", sets),
        };
        self.word(word);
        self.enclosed(|this| {
            this.list(sets, |this, set| this.enclosed(|this| this.list(set, Self::expression)));
        });
    }

    fn order(&mut self, order: &Order) {
        let Order { by, descending, nulls_first } = order;
        self.expression(by);
        self.word(match descending {
            None => "",
            Some(true) => " DESC",
            Some(false) => " ASC",
        });
        self.word(match nulls_first {
            None => "",
            Some(true) => " NULLS FIRST",
            Some(false) => " NULLS LAST",
        });
    }

    fn window(&mut self, window: &Window) {
        let Window { base, partition_by, order_by, frame } = window;
        self.enclosed(|this| {
            if let Some(base) = base {
                this.name(base);
            }
            if !partition_by.is_empty() {
                this.word(" PARTITION BY ");
                this.list(partition_by, Self::expression);
            }
            if !order_by.is_empty() {
                this.word(" ORDER BY ");
                this.list(order_by, Self::order);
            }
            if let Some(frame) = frame {
                this.frame(frame);
            }
        });
    }

    fn frame(&mut self, frame: &Frame) {
        let Frame { unit, start, end, exclude } = frame;
        self.word(" ");
        self.word(unit);
        match end {
            None => {
                self.word(" ");
                self.bound(start);
            }
            Some(end) => {
                self.word(" BETWEEN ");
                self.bound(start);
                self.word(" AND ");
                self.bound(end);
            }
        }
        if let Some(exclude) = exclude {
            self.word(" EXCLUDE ");
            self.word(exclude);
        }
    }

    fn bound(&mut self, bound: &Bound) {
        let (by, direction) = match bound {
            Bound::CurrentRow => return self.word("CURRENT ROW"),
            Bound::Preceding(by) => (by, " PRECEDING"),
            Bound::Following(by) => (by, " FOLLOWING"),
        };
        match by {
            None => self.word("UNBOUNDED"),
            Some(by) => self.operand(by),
        }
        self.word(direction);
    }

    fn data_type(&mut self, to: &Type) {
        let Type { name, modifiers, dimensions } = to;
        self.word("pg_catalog.");
        self.quoted(name);
        if !modifiers.is_empty() {
            self.enclosed(|this| {
                this.list(modifiers, |this, modifier| {
                    let _ = write!(this.text, "{modifier}");
                });
            });
        }
        for _ in 0..*dimensions {
            self.word("[]");
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.word("NULL"),
            Literal::Boolean(true) => self.word("TRUE"),
            Literal::Boolean(false) => self.word("FALSE"),
            Literal::Number(digits) => self.word(digits),
            Literal::String(text) => self.string(text),
            Literal::Bits(digits) => {
                self.word("B'");
                self.word(digits);
                self.word("'");
            }
            Literal::Hexadecimal(digits) => {
                self.word("X'");
                self.word(digits);
                self.word("'");
            }
        }
    }

    /// A string from its value. One with a backslash is written as `E'...'`, which means the same whatever
    /// `standard_conforming_strings` says.
    fn string(&mut self, text: &str) {
        let backslashes = text.contains('\\');
        self.word(if backslashes { "E'" } else { "'" });
        for character in text.chars() {
            if character == '\'' || character == '\\' {
                self.text.push(character);
            }
            self.text.push(character);
        }
        self.word("'");
    }

    /// An expression where an operator or keyword follows or precedes it.
    fn operand(&mut self, of: &Expression) {
        if is_closed(of) { self.expression(of) } else { self.enclosed(|this| this.expression(of)) }
    }

    fn operator(&mut self, operator: &str) {
        self.word(" ");
        self.word(operator);
        self.word(" ");
    }

    fn expression(&mut self, of: &Expression) {
        match of {
            Expression::Column(path) => self.path(path),
            Expression::EverythingOf(path) => {
                self.path(path);
                self.word(".*");
            }
            Expression::Literal(literal) => self.literal(literal),
            Expression::Parameter(number) => {
                let _ = write!(self.text, "${number}");
            }
            Expression::Interval { text, fields, precision } => {
                self.word("INTERVAL ");
                self.string(text);
                self.word(" ");
                self.word(fields);
                if let Some(precision) = precision {
                    let _ = write!(self.text, "({precision})");
                }
            }
            Expression::Prefix { operator, of } => {
                self.word(operator);
                self.word(" ");
                self.operand(of);
            }
            Expression::Infix { operator, left, right } => {
                self.operand(left);
                self.operator(operator);
                self.operand(right);
            }
            Expression::And(list) => self.list_by(list, " AND ", Self::operand),
            Expression::Or(list) => self.list_by(list, " OR ", Self::operand),
            Expression::Not(of) => {
                self.word("NOT ");
                self.operand(of);
            }
            Expression::Is { of, test, negated } => {
                self.operand(of);
                self.word(if *negated { " IS NOT " } else { " IS " });
                self.word(test);
            }
            Expression::Distinct { left, right, negated } => {
                self.operand(left);
                self.word(if *negated { " IS NOT DISTINCT FROM " } else { " IS DISTINCT FROM " });
                self.operand(right);
            }
            Expression::InList { of, list, negated } => {
                self.operand(of);
                self.word(if *negated { " NOT IN " } else { " IN " });
                self.enclosed(|this| this.list(list, Self::expression));
            }
            Expression::InQuery { of, query, negated } => {
                self.operand(of);
                self.word(if *negated { " NOT IN " } else { " IN " });
                self.enclosed(|this| this.query(query));
            }
            Expression::Between { of, low, high, symmetric, negated } => {
                self.operand(of);
                self.word(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.word(if *symmetric { "SYMMETRIC " } else { "" });
                self.operand(low);
                self.word(" AND ");
                self.operand(high);
            }
            Expression::Like { operator, of, pattern, escape, negated } => {
                self.operand(of);
                self.word(if *negated { " NOT " } else { " " });
                self.word(operator);
                self.word(" ");
                self.operand(pattern);
                if let Some(escape) = escape {
                    self.word(" ESCAPE ");
                    self.string(escape);
                }
            }
            Expression::Quantified { left, operator, all, right } => {
                self.operand(left);
                self.operator(operator);
                self.word(if *all { "ALL " } else { "ANY " });
                match &**right {
                    Expression::Query(query) => self.enclosed(|this| this.query(query)),
                    right => self.enclosed(|this| this.expression(right)),
                }
            }
            Expression::Exists(query) => {
                self.word("EXISTS ");
                self.enclosed(|this| this.query(query));
            }
            Expression::Query(query) => self.enclosed(|this| this.query(query)),
            Expression::ArrayQuery(query) => {
                self.word("ARRAY");
                self.enclosed(|this| this.query(query));
            }
            Expression::Case { operand, arms, otherwise } => self.case(operand.as_deref(), arms, otherwise.as_deref()),
            Expression::Cast { of, to } => {
                match &**of {
                    Expression::EverythingOf(_) => self.enclosed(|this| this.expression(of)),
                    of => self.operand(of),
                }
                self.word("::");
                self.data_type(to);
            }
            Expression::Call(call) => self.call(call),
            Expression::Keyword { keyword, precision } => {
                self.word(keyword);
                if let Some(precision) = precision {
                    let _ = write!(self.text, "({precision})");
                }
            }
            Expression::Extract { field, of } => {
                self.word("EXTRACT(");
                self.quoted(field);
                self.word(" FROM ");
                self.expression(of);
                self.word(")");
            }
            Expression::Position { what, within } => {
                self.word("POSITION(");
                self.operand(what);
                self.word(" IN ");
                self.operand(within);
                self.word(")");
            }
            Expression::Substring { of, from, length } => {
                self.word("SUBSTRING(");
                self.operand(of);
                self.clause(" FROM ", from.as_deref());
                self.clause(" FOR ", length.as_deref());
                self.word(")");
            }
            Expression::Trim { side, what, of } => {
                self.word("TRIM(");
                self.word(side);
                self.word(" ");
                if let Some(what) = what {
                    self.operand(what);
                    self.word(" FROM ");
                }
                self.operand(of);
                self.word(")");
            }
            Expression::Overlay { of, what, from, length } => {
                self.word("OVERLAY(");
                self.operand(of);
                self.clause(" PLACING ", Some(what));
                self.clause(" FROM ", Some(from));
                self.clause(" FOR ", length.as_deref());
                self.word(")");
            }
            Expression::AtTimeZone { of, zone } => {
                self.operand(of);
                self.word(" AT TIME ZONE ");
                self.operand(zone);
            }
            Expression::Collate { of, collation } => {
                match &**of {
                    // The parser does not read a collation right after the call of a function with a schema.
                    Expression::Call(_) => self.enclosed(|this| this.expression(of)),
                    of => self.operand(of),
                }
                self.word(" COLLATE pg_catalog.");
                self.quoted(collation);
            }
            Expression::Row(list) => {
                self.word("ROW");
                self.enclosed(|this| this.list(list, Self::expression));
            }
            Expression::Array(list) => {
                self.word("ARRAY[");
                self.list(list, Self::expression);
                self.word("]");
            }
            Expression::Element { of, index } => {
                self.subscripted(of);
                self.word("[");
                self.expression(index);
                self.word("]");
            }
            Expression::Slice { of, low, high } => {
                self.subscripted(of);
                self.word("[");
                self.clause("", low.as_deref());
                self.word(":");
                self.clause("", high.as_deref());
                self.word("]");
            }
            Expression::Field { of, name } => {
                self.enclosed(|this| this.expression(of));
                self.word(".");
                self.name(name);
            }
            Expression::Xml(xml) => self.xml(xml),
            Expression::Normalized { of, form, negated } => {
                self.operand(of);
                self.word(if *negated { " IS NOT" } else { " IS" });
                if let Some(form) = form {
                    self.word(" ");
                    self.word(form);
                }
                self.word(" NORMALIZED");
            }
        }
    }

    /// `a[1][2]` is one access of two dimensions and `(a[1])[2]` is two accesses: a chain stays a chain.
    fn subscripted(&mut self, of: &Expression) {
        match of {
            Expression::Column(_)
            | Expression::Parameter(_)
            | Expression::Element { .. }
            | Expression::Slice { .. }
            | Expression::Field { .. } => self.expression(of),
            _ => self.enclosed(|this| this.expression(of)),
        }
    }

    fn clause(&mut self, word: &str, of: Option<&Expression>) {
        if let Some(of) = of {
            self.word(word);
            self.operand(of);
        }
    }

    fn case(
        &mut self,
        operand: Option<&Expression>,
        arms: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
    ) {
        self.word("CASE");
        self.clause(" ", operand);
        for (when, then) in arms {
            self.clause(" WHEN ", Some(when));
            self.clause(" THEN ", Some(then));
        }
        self.clause(" ELSE ", otherwise);
        self.word(" END");
    }

    fn xml(&mut self, xml: &Xml) {
        let Xml { function, named, arguments } = xml;
        let content = |document: bool| if document { "DOCUMENT " } else { "CONTENT " };
        match function {
            XmlFunction::Element(name) => {
                self.word("XMLELEMENT(NAME ");
                self.name(name);
                if !named.is_empty() {
                    self.word(", XMLATTRIBUTES");
                    self.enclosed(|this| this.list(named, Self::named));
                }
                self.further(arguments);
            }
            XmlFunction::Forest => {
                self.word("XMLFOREST(");
                self.list(named, Self::named);
            }
            XmlFunction::Instruction(name) => {
                self.word("XMLPI(NAME ");
                self.name(name);
                self.further(arguments);
            }
            XmlFunction::Parse { document } => {
                self.word("XMLPARSE(");
                self.word(content(*document));
                self.list(arguments, Self::expression);
            }
            XmlFunction::Root { standalone } => {
                self.word("XMLROOT(");
                self.list_by(arguments, ", VERSION ", Self::expression);
                if arguments.len() < 2 {
                    self.word(", VERSION NO VALUE");
                }
                if let Some(standalone) = standalone {
                    self.word(", STANDALONE ");
                    self.word(standalone);
                }
            }
            XmlFunction::Serialize { document, to } => {
                self.word("XMLSERIALIZE(");
                self.word(content(*document));
                self.list(arguments, Self::expression);
                self.word(" AS ");
                self.data_type(to);
            }
            XmlFunction::Exists => {
                self.word("XMLEXISTS(");
                self.list_by(arguments, " PASSING ", Self::operand);
            }
        }
        self.word(")");
    }

    fn further(&mut self, arguments: &[Expression]) {
        for argument in arguments {
            self.word(", ");
            self.expression(argument);
        }
    }

    fn named(&mut self, (of, name): &(Expression, Option<Name>)) {
        self.expression(of);
        if let Some(name) = name {
            self.word(" AS ");
            self.name(name);
        }
    }

    fn call(&mut self, call: &Call) {
        let Call { name, arguments, variadic, distinct, order_by, within_group, filter, over } = call;
        match name.0.as_slice() {
            [syntax] if SYNTAX_FUNCTIONS.contains(&syntax.text.as_str()) => self.word(&syntax.text.to_uppercase()),
            _ => self.path(name),
        }
        self.word("(");
        if *distinct {
            self.word("DISTINCT ");
        }
        match arguments {
            Arguments::Everything => self.word("*"),
            Arguments::List(list) => self.list_with_last(list, |this, (name, value), last| {
                if *variadic && last {
                    this.word("VARIADIC ");
                }
                if let Some(name) = name {
                    this.name(name);
                    this.word(" => ");
                }
                this.expression(value);
            }),
        }
        if !order_by.is_empty() {
            self.word(" ORDER BY ");
            self.list(order_by, Self::order);
        }
        self.word(")");
        if !within_group.is_empty() {
            self.word(" WITHIN GROUP (ORDER BY ");
            self.list(within_group, Self::order);
            self.word(")");
        }
        if let Some(filter) = filter {
            self.word(" FILTER (WHERE ");
            self.expression(filter);
            self.word(")");
        }
        match over {
            None => {}
            Some(Over::Named(window)) => {
                self.word(" OVER ");
                self.name(window);
            }
            Some(Over::Window(window)) => {
                self.word(" OVER ");
                self.window(window);
            }
        }
    }
}

/// Whether an expression stands by itself wherever it is put.
fn is_closed(of: &Expression) -> bool {
    match of {
        Expression::Column(_)
        | Expression::EverythingOf(_)
        | Expression::Literal(_)
        | Expression::Parameter(_)
        | Expression::Exists(_)
        | Expression::Query(_)
        | Expression::ArrayQuery(_)
        | Expression::Case { .. }
        | Expression::Keyword { .. }
        | Expression::Extract { .. }
        | Expression::Position { .. }
        | Expression::Substring { .. }
        | Expression::Trim { .. }
        | Expression::Overlay { .. }
        | Expression::Row(_)
        | Expression::Array(_)
        | Expression::Xml(_)
        | Expression::Field { .. } => true,
        Expression::Call(call) => call.over.is_none() && call.filter.is_none() && call.within_group.is_empty(),
        Expression::Element { .. } | Expression::Slice { .. } => true,
        Expression::Interval { .. }
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
        | Expression::Quantified { .. }
        | Expression::Cast { .. }
        | Expression::AtTimeZone { .. }
        | Expression::Collate { .. }
        | Expression::Normalized { .. } => false,
    }
}
