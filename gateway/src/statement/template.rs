//! Texts that differ in constants only: read once, and filled.
//!
//! A dashboard asks the same question for another day, another customer. What it sends is a new text each time, and to
//! the policies it is the same: whether `day = '2026-11-20'` may run does not depend on the day. So the constants that
//! a condition compares a column with are taken out of a text, and what is left, its [`Shape`], leads to a
//! [`Template`]: the statement that was read with a parameter in the place of each constant.
//!
//! ```text
//! SELECT a FROM t WHERE b = 5 AND c IN ('x', 'y') LIMIT 10          the text
//! SELECT a FROM t WHERE b = ␁n AND c IN (␁s, ␁s) LIMIT 10           the key of its shape
//! SELECT a FROM t WHERE b = $1 AND c IN ($2, $3) LIMIT 10           the template
//! ```
//!
//! Nothing here says what may run. The template is decided about as a prepared statement of this text is, so whatever
//! it is allowed, anybody could have run by preparing it.
//!
//! A shape is found by a reader that knows little of SQL. It may take a constant where there is none, in a comment say;
//! then its parameter is missing from the template, and there is no template. Where every parameter is found again, as
//! an operand of a comparison, the text before each of them ends outside of strings, names and comments; so whatever
//! constant of the same kind stands there instead is read as one constant, and nothing else of the text is read in
//! another way.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use passgate_connectors::Constant;

use super::tree::{COMPARISONS, Expression, JoinCondition, Query, Relation};
use super::{Kind, Limits, Part, Statement, parse, set_config};

/// The longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// The most constants that are taken out of a text. One with more has no shape.
const GAPS_MAX: usize = 64;

/// A text, and which constants are taken out.
#[derive(Debug)]
pub struct Shape<'t> {
    text: &'t str,
    gaps: Vec<Range<usize>>,
    /// What was taken out of each gap.
    constants: Vec<Constant>,
}

/// A statement with parameters where texts of one shape have constants.
#[derive(Clone, Debug)]
pub struct Template(Arc<Statement>);

/// What a statement was made of that is a template with constants.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The statement with parameters.
    pub template: Arc<Statement>,
    /// What stands in their place, in order.
    pub constants: Arc<[Constant]>,
}

impl<'t> Shape<'t> {
    /// The shape of a text; none where no constant can be taken out of it.
    pub fn of(text: &'t str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX || text.bytes().any(is_dubious) {
            return None;
        }
        let shape = Self { text, gaps: Vec::new(), constants: Vec::new() };
        let shape = Reader { shape, at: 0, expects: Expects::Nothing }.read()?;
        (!shape.gaps.is_empty()).then_some(shape)
    }

    /// What texts of the same shape have in common: the text, with the kind of each constant in its place. No text that
    /// has a shape holds a control character of its own.
    pub fn key(&self) -> String {
        self.with(|_, constant, key| {
            key.push_str(if constant.as_sql().starts_with('\'') { "\u{1}s" } else { "\u{1}n" });
        })
    }

    /// Reads the template. None where a constant that was taken out is something else than what a condition compares a
    /// column with, or where the statement is not a query whatever its constants are.
    pub fn template(&self, limits: &Limits) -> Option<Template> {
        let text = self.with(|number, _, text| {
            // Into a string nothing fails to be written.
            let _ = write!(text, "${number}");
        });
        let mut statements = parse(&text, limits).ok()?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else { return None };
        let Kind::Query(query) = &statement.kind else { return None };
        let compared = statement.writes.is_empty() && Compared::by(query).are_all(self.gaps.len());
        compared.then(|| Template(Arc::new(statement)))
    }

    /// The text with something else in the place of each constant, which are counted from 1.
    fn with(&self, mut put: impl FnMut(usize, &Constant, &mut String)) -> String {
        let mut text = String::with_capacity(self.text.len() + 8);
        let mut end = 0;
        for (number, (gap, constant)) in (1..).zip(self.gaps.iter().zip(&self.constants)) {
            text.push_str(self.text.get(end..gap.start).unwrap_or_default());
            put(number, constant, &mut text);
            end = gap.end;
        }
        text.push_str(self.text.get(end..).unwrap_or_default());
        text
    }
}

impl Template {
    /// The statement, with parameters.
    pub fn statement(&self) -> &Arc<Statement> {
        &self.0
    }

    /// The statement of a text of this shape.
    pub fn filled(&self, shape: Shape<'_>) -> Statement {
        let filled = Filled { template: Arc::clone(&self.0), constants: shape.constants.into() };
        let (kind, text) = (self.0.kind.clone(), shape.text.into());
        Statement { kind, text, parameters: 0, writes: Vec::new(), filled: Some(filled) }
    }
}

/// What the next word or sign may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// Anything but a constant to be taken out.
    Nothing,
    /// A constant: a comparison stands before it.
    Constant,
    /// The parenthesis of IN.
    List,
    /// A constant of the list of IN, which goes on.
    Element,
    /// What follows such a constant.
    Separator,
    /// The lower end of BETWEEN.
    Low,
    /// AND, and the upper end.
    And,
}

/// Finds constants that are worth being taken out.
struct Reader<'t> {
    shape: Shape<'t>,
    at: usize,
    expects: Expects,
}

impl<'t> Reader<'t> {
    fn read(mut self) -> Option<Shape<'t>> {
        while let Some(first) = self.shape.text.as_bytes().get(self.at).copied() {
            let start = self.at;
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                // Parameters, and strings that end elsewhere than it seems.
                b'$' => return None,
                b'\'' | b'"' => self.skip_quoted(first)?,
                _ if is_of_word(first) => self.skip(is_of_word_or_number),
                _ if is_of_operator(first) => self.skip(is_of_operator),
                _ => self.at += 1,
            }
            self.take(start)?;
        }
        Some(self.shape)
    }

    /// Takes note of what stands from `start` to here.
    fn take(&mut self, start: usize) -> Option<()> {
        use Expects::{And, Constant as Compared, Element, List, Low, Nothing, Separator};
        let token = self.shape.text.get(start..self.at)?;
        let is = |word: &str| token.eq_ignore_ascii_case(word);
        let constant = if matches!(self.expects, Compared | Element | Low) { self.constant(token) } else { None };
        let is_constant = constant.is_some();
        if let Some(constant) = constant {
            self.shape.gaps.push(start..self.at);
            self.shape.constants.push(constant);
        }
        self.expects = match self.expects {
            Compared if is_constant => Nothing,
            Element if is_constant => Separator,
            Low if is_constant => And,
            And if is("and") => Compared,
            List if token == "(" => Element,
            Separator if token == "," => Element,
            _ if COMPARISONS.contains(&token) => Compared,
            _ if is("in") => List,
            _ if is("between") => Low,
            _ => Nothing,
        };
        (self.shape.gaps.len() <= GAPS_MAX).then_some(())
    }

    fn constant(&self, token: &str) -> Option<Constant> {
        let next = self.shape.text.as_bytes().get(self.at);
        let ends = next.is_none_or(|next| matches!(next, b' ' | b'\t' | b'\n' | b'\r' | b')' | b',' | b';'));
        if ends { Constant::read(token) } else { None }
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        let rest = self.shape.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| belongs(**byte)).count();
    }

    /// A string or a name, up to the quote that ends it: two in a row stand for one.
    fn skip_quoted(&mut self, quote: u8) -> Option<()> {
        loop {
            let rest = self.shape.text.as_bytes().get(self.at + 1..)?;
            self.at += 2 + rest.iter().position(|byte| *byte == quote)?;
            if self.shape.text.as_bytes().get(self.at) != Some(&quote) {
                return Some(());
            }
        }
    }
}

/// Whether a text with this byte may be read in several ways: strings with escapes, and what keys are marked with.
fn is_dubious(byte: u8) -> bool {
    byte == b'\\' || byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_of_word_or_number(byte: u8) -> bool {
    is_of_word(byte) || byte == b'.'
}

fn is_of_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`?".contains(&byte)
}

/// Parameters of a query: how many there are, and which of them a condition compares a column with.
#[derive(Default)]
struct Compared {
    parameters: usize,
    compared: Vec<u16>,
    /// Whether its constants may say what it is, and how much.
    depends: bool,
}

impl Compared {
    fn by(query: &Query) -> Self {
        let mut found = Self::default();
        found.query(query);
        found
    }

    /// Whether these are all parameters from 1 to `count`, each of them once, and no more than compared with.
    fn are_all(mut self, count: usize) -> bool {
        self.compared.sort_unstable();
        let in_order = self.compared.iter().zip(1..).all(|(number, place): (&u16, u16)| *number == place);
        in_order && self.compared.len() == count && self.parameters == count && !self.depends
    }

    fn query(&mut self, query: &Query) {
        // How long it goes on.
        self.depends |= query.with.as_ref().is_some_and(|with| with.recursive);
        for select in query.selects() {
            select.filter.iter().for_each(|filter| self.condition(filter));
            select.from.iter().for_each(|relation| self.joined(relation));
        }
        query.each_part(&mut |part| self.part(part));
    }

    fn joined(&mut self, relation: &Relation) {
        let Relation::Join { left, right, on, kind: _, alias: _ } = relation else { return };
        self.joined(left);
        self.joined(right);
        if let JoinCondition::On(on) = on {
            self.condition(on);
        }
    }

    /// Counts every parameter, wherever it stands.
    fn part(&mut self, part: Part<'_>) {
        match part {
            Part::Query(query) => self.query(query),
            Part::Expression(of) => {
                self.parameters += usize::from(matches!(of, Expression::Parameter(_)));
                // Whether it is a query, or sets what its WHERE names.
                self.depends |= matches!(of, Expression::Call(call) if call.is_named(set_config::FUNCTION));
                of.each_part(&mut |part| self.part(part));
            }
        }
    }

    /// Notes the parameters that a column is compared with for a condition.
    fn condition(&mut self, of: &Expression) {
        match of {
            Expression::And(list) | Expression::Or(list) => list.iter().for_each(|of| self.condition(of)),
            Expression::Not(of) => self.condition(of),
            Expression::Infix { operator, left, right } if COMPARISONS.contains(&operator.as_str()) => {
                self.operands(left, [&**right]);
            }
            Expression::InList { of, list, negated: _ } => self.operands(of, list),
            Expression::Between { of, low, high, symmetric: _, negated: _ } => self.operands(of, [&**low, &**high]),
            _ => {}
        }
    }

    fn operands<'t>(&mut self, left: &Expression, right: impl IntoIterator<Item = &'t Expression>) {
        if matches!(left, Expression::Column(_)) {
            self.compared.extend(right.into_iter().filter_map(|of| match of {
                Expression::Parameter(number) => Some(*number),
                _ => None,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        Some(Shape::of(text)?.key().replace('\u{1}', "@"))
    }

    fn template(text: &str) -> Option<String> {
        let template = Shape::of(text)?.template(&Limits::default())?;
        Some(template.statement().text.to_string())
    }

    #[test]
    fn what_a_column_is_compared_with_is_taken_out() {
        for (text, expected) in [
            ("SELECT a FROM t WHERE b = 5", "SELECT a FROM t WHERE b = $1"),
            ("select a from t where b='x' and c<>1.5 limit 10", "select a from t where b=$1 and c<>$2 limit 10"),
            ("SELECT 1 FROM t WHERE b IN (1,2 , 'x')", "SELECT 1 FROM t WHERE b IN ($1,$2 , $3)"),
            ("SELECT 1 FROM t WHERE b BETWEEN 'a' AND 'b';", "SELECT 1 FROM t WHERE b BETWEEN $1 AND $2;"),
            ("SELECT 1 FROM t WHERE NOT (b = 1 OR c >= '')", "SELECT 1 FROM t WHERE NOT (b = $1 OR c >= $2)"),
            ("SELECT 1 FROM t JOIN u ON t.a = u.a AND u.b = 3", "SELECT 1 FROM t JOIN u ON t.a = u.a AND u.b = $1"),
            ("SELECT 1 FROM (SELECT a FROM t WHERE b = 1) x", "SELECT 1 FROM (SELECT a FROM t WHERE b = $1) x"),
            ("SELECT 1 FROM t WHERE \"b = 1\" = 1", "SELECT 1 FROM t WHERE \"b = 1\" = $1"),
            ("SELECT f(x => 5) FROM t WHERE b = 5", "SELECT f(x => 5) FROM t WHERE b = $1"),
            ("SELECT 'b = 1' FROM t WHERE b = 'é'", "SELECT 'b = 1' FROM t WHERE b = $1"),
        ] {
            assert_eq!(template(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_mean_something_else_is_left_where_it_is() {
        for text in [
            "SELECT 1",
            "SELECT a FROM t LIMIT 5",
            "SELECT a FROM t ORDER BY 1",
            "SELECT a FROM t WHERE b = -5",
            "SELECT a FROM t WHERE b = 'it''s'",
            "SELECT a FROM t WHERE b = E'x'",
            "SELECT a FROM t WHERE b = date '2026-11-21'",
            "SELECT a FROM t WHERE b = $1 AND c = 5",
            "SELECT a FROM t WHERE b = $$x$$ AND c = 5",
            "SELECT a FROM t WHERE b = '\\' AND c = 5",
            "SELECT a FROM t WHERE b = 1e5",
            "SELECT a FROM t WHERE b = 0x5",
            "SELECT a FROM t WHERE b = 1_000",
            "SELECT a FROM t WHERE b = 5::int8",
            "SELECT a FROM t WHERE b = '5'::int8",
            "SELECT a FROM t WHERE b = 5||'x'",
        ] {
            assert_eq!(key(text), None, "{text}");
        }
    }

    #[test]
    fn a_constant_that_is_none_or_stands_elsewhere_makes_no_template() {
        for text in [
            "SELECT a FROM t -- b = 5",
            "SELECT a FROM t /* b = 5 */",
            "SELECT a FROM t WHERE c = 1 -- it's '\n AND d = ' b = 5",
            "SELECT a = 5 FROM t",
            "SELECT a FROM t ORDER BY b = 5",
            "SELECT a FROM t GROUP BY a HAVING count(*) > 5",
            "SELECT count(*) FILTER (WHERE b = 5) FROM t",
            "SELECT a FROM t WHERE b = 5 + c",
            "SELECT a FROM t WHERE b + 1 = 5",
            "SELECT a FROM t WHERE abs(b) = 5",
            "SELECT a FROM t WHERE 5 = 5",
            "SELECT a FROM t WHERE (b = 5) IS NULL",
            "SELECT a FROM t WHERE b = 'x'\n'y'",
            "SELECT a FROM t WHERE b -> 'x' = 'y'",
            "SELECT a FROM t WHERE b = 5 AND substring(c FROM 1) IN ('x')",
            "SELECT a FROM t WHERE b = 5; SELECT 1",
            "SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
            "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT a + 1 FROM r WHERE a < 5) SELECT a FROM r",
            "SET a = 5",
            "DELETE FROM t WHERE b = 5",
            "EXPLAIN SELECT a FROM t WHERE b = 5",
            "DECLARE c CURSOR FOR SELECT a FROM t WHERE b = 5",
            "PREPARE p AS SELECT a FROM t WHERE b = 5",
            "WITH d AS (DELETE FROM t WHERE b = 5 RETURNING a) SELECT a FROM d",
        ] {
            assert_eq!(template(text), None, "{text}");
        }
    }

    #[test]
    fn only_constants_of_one_kind_have_one_key() {
        let of = |constant: &str| key(&format!("SELECT a FROM t WHERE b = {constant}"));
        assert_eq!(of("5"), Some("SELECT a FROM t WHERE b = @n".to_owned()));
        assert_eq!(of("5"), of("17.25"));
        assert_eq!(of("'5'"), Some("SELECT a FROM t WHERE b = @s".to_owned()));
        assert_eq!(of("'5'"), of("''"));
        assert_eq!(of("\u{1}n"), None);
    }

    #[test]
    fn too_many_or_too_long_ones_have_no_shape() {
        let list = |count: usize| format!("SELECT a FROM t WHERE b IN (1{})", ",1".repeat(count - 1));
        assert!(Shape::of(&list(GAPS_MAX)).is_some());
        assert!(Shape::of(&list(GAPS_MAX + 1)).is_none());
        assert!(Shape::of(&format!("SELECT a FROM t WHERE b = 1{}", " ".repeat(TEXT_BYTES_MAX))).is_none());
    }

    proptest::proptest! {
        /// A text is read as its template is, with its constants in the place of the parameters.
        #[test]
        fn a_filled_template_is_the_statement_of_the_text(words in proptest::collection::vec(
            proptest::sample::select(vec![
                "SELECT", "a", "t", "*", "FROM t", "FROM", "t.b", "WHERE", "WHERE b =", "AND", "OR", "NOT", "=", "<", "<>",
                ">=", "-", "--", "\n", "/*", "*/", "(", ")", ",", "5", "1.5", "'x'", "''", "'", "\"", "E", "N", "U&", "B",
                "IN (", "IN", "BETWEEN", "AND", "LIMIT", "ORDER BY", "JOIN u ON", "::int", "date", "interval", "=>", ".",
                "b", "c", "UESCAPE '!'", ";", "||", "\u{e9}", "IS NULL", "LIKE", "COLLATE", "5e", "x5", "5 5",
            ]), 1..24), prefix in proptest::bool::ANY) {
            let words = words.join(if prefix { " " } else { "" });
            for text in [format!("SELECT a FROM t WHERE b = 5 {words}"), format!("SELECT a {words}")] {
                let limits = Limits::default();
                let Some(shape) = Shape::of(&text) else { continue };
                let Some(template) = shape.template(&limits) else { continue };
                let Ok(whole) = parse(&text, &limits) else { panic!("{text}") };
                let [Statement { kind: Kind::Query(whole), .. }] = whole.as_slice() else { panic!("{text}") };
                let Kind::Query(tree) = &template.statement().kind else { panic!("{text}") };
                let mut filled = (**tree).clone();
                fill(&mut filled, &shape.constants);
                proptest::prop_assert_eq!(&filled, &**whole, "{}", text);
            }
        }
    }

    fn fill(query: &mut Query, constants: &[Constant]) {
        let walked: Result<(), ()> = query.each_part_mut(&mut |part| {
            fill_part(part, constants);
            Ok(())
        });
        walked.unwrap();
    }

    fn fill_part(part: super::super::PartMut<'_>, constants: &[Constant]) {
        use super::super::PartMut;
        use super::super::tree::Literal;
        match part {
            PartMut::Query(query) => fill(query, constants),
            PartMut::Expression(of) => {
                if let Expression::Parameter(number) = of {
                    let text = constants[usize::from(*number) - 1].as_sql();
                    *of = Expression::Literal(match text.strip_prefix('\'') {
                        Some(text) => Literal::String(text.strip_suffix('\'').unwrap().to_owned()),
                        None => Literal::Number(text.to_owned()),
                    });
                }
                let walked: Result<(), ()> = of.each_part_mut(&mut |part| {
                    fill_part(part, constants);
                    Ok(())
                });
                walked.unwrap();
            }
        }
    }
}
