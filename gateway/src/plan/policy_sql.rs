//! The SQL that policies hold: read once with the grammar that people's statements are held to, then filled in with a
//! person's attributes.
//!
//! Separate from `statement` because a policy's expression may do far less than a statement, and from `policy` because
//! that package knows no SQL. A value of a person is never text that is parsed: it is put into the tree as a typed
//! constant.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use passgate_policy::{Attribute, PolicySql, Sql, SqlFault, SqlUse};

use super::{Error, functions};
use crate::statement::tree::{Arguments, Body, Call, Expression, Item, Literal, Name, Path, Query, Select, Type};
use crate::statement::{self, Kind, Limits, PartMut, SYNTAX_FUNCTIONS};

/// Expressions kept. Policies hold fewer; the bound is for those that were replaced by others.
const PARSED_MAX: usize = 10_000;

/// The first word of an attribute's path.
const PERSON: &str = "user";

/// Functions whose answer differs from one call to the next: a filter or mask made of them means nothing.
const VOLATILE: [&str; 8] =
    ["clock_timestamp", "gen_random_uuid", "random", "random_normal", "setseed", "timeofday", "uuidv4", "uuidv7"];

/// Reads policies' expressions, and keeps what it read.
#[derive(Debug)]
pub struct PolicySqlReader {
    hashes: bool,
    parsed: RwLock<HashMap<Arc<str>, Arc<Parsed>>>,
}

/// An expression with functions named in full, and columns and attributes as written.
#[derive(Debug)]
struct Parsed {
    expression: Expression,
    uses: SqlUse,
}

impl Sql for PolicySqlReader {
    fn read(&self, text: &str) -> Result<SqlUse, SqlFault> {
        self.parsed(text).map(|parsed| parsed.uses.clone())
    }

    fn hashes(&self) -> bool {
        self.hashes
    }
}

impl PolicySqlReader {
    /// A reader that has read nothing; `hashes` says whether there is a secret to make them with.
    pub fn new(hashes: bool) -> Self {
        Self { hashes, parsed: RwLock::default() }
    }

    /// The expression over columns of `table`, with the person's attributes as typed constants.
    pub(super) fn expression(&self, sql: &PolicySql, table: &str) -> Result<Expression, Error> {
        // What compiled cannot fail to be read again.
        let parsed = self.parsed(&sql.text).map_err(|_| Error::internal())?;
        let mut expression = parsed.expression.clone();
        substitute(&mut expression, sql, table)?;
        Ok(expression)
    }

    fn parsed(&self, text: &str) -> Result<Arc<Parsed>, SqlFault> {
        let known = self.parsed.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(parsed) = known {
            return Ok(parsed);
        }
        let parsed = Arc::new(parse(text)?);
        let mut all = self.parsed.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PARSED_MAX {
            all.clear();
        }
        all.insert(text.into(), Arc::clone(&parsed));
        Ok(parsed)
    }
}

fn fault(message: impl Into<String>, suggestion: Option<&str>) -> SqlFault {
    SqlFault { message: message.into(), suggestion: suggestion.map(str::to_owned) }
}

fn parse(text: &str) -> Result<Parsed, SqlFault> {
    let select = format!("SELECT {}", with_attributes_quoted(text)?);
    let statements =
        statement::parse(&select, &Limits::default()).map_err(|error| fault(error.message, error.hint.as_deref()))?;
    let not_one = || fault("this is not one SQL expression", Some("write one expression, without SELECT or ;"));
    let [only] = statements.as_slice() else { return Err(not_one()) };
    if only.parameters > 0 {
        return Err(fault("an expression of a policy takes no parameters", Some("name an attribute, as user.tenant")));
    }
    let Kind::Query(query) = &only.kind else { return Err(not_one()) };
    let mut expression = sole_expression(query).cloned().ok_or_else(not_one)?;
    let mut uses = SqlUse::default();
    check(&mut expression, &mut uses)?;
    Ok(Parsed { expression, uses })
}

/// The expression of a SELECT that is nothing but one.
fn sole_expression(query: &Query) -> Option<&Expression> {
    let Query { with: None, body: Body::Select(select), order_by, limit: None, offset: None } = query else {
        return None;
    };
    let Select {
        distinct: None,
        items,
        from,
        filter: None,
        group_by,
        group_by_distinct: _,
        having: None,
        windows,
        at: _,
    } = &**select
    else {
        return None;
    };
    let bare = order_by.is_empty() && from.is_empty() && group_by.is_empty() && windows.is_empty();
    match items.as_slice() {
        [Item::Expression { of, alias: None }] if bare => Some(of),
        _ => None,
    }
}

/// Puts the parts of `user.claims.costCenter` in quotation marks: `user` is a reserved word to PostgreSQL, and what an
/// identity provider calls a claim is not folded.
fn with_attributes_quoted(text: &str) -> Result<String, SqlFault> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut in_attribute = false;
    let mut before = "";
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' if before.eq_ignore_ascii_case("e") || before == "&" => {
                return Err(fault("E'' and U&'' strings cannot be used here", Some("use a plain string, '...'")));
            }
            '\'' | '"' => rest.char_indices().skip(1).find(|(_, c)| *c == first).map_or(rest.len(), |(at, _)| at + 1),
            _ if first.is_alphabetic() || first == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len())
            }
            _ if first.is_ascii_digit() => rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()),
            '$' => return Err(fault("$ cannot be used here", Some("name an attribute, as user.tenant"))),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let is_word = first.is_alphabetic() || first == '_';
        let starts = is_word && token.eq_ignore_ascii_case(PERSON) && after.trim_start().starts_with('.');
        match (is_word, starts && !out.trim_end().ends_with('.'), in_attribute) {
            (true, true, _) => {
                in_attribute = true;
                out.push_str(&statement::quoted_name(PERSON));
            }
            (true, false, true) => {
                out.push_str(&statement::quoted_name(token));
                in_attribute = after.trim_start().starts_with('.');
            }
            _ => {
                out.push_str(token);
                in_attribute &= first == '.' || first.is_whitespace() || (first == '"' && after.starts_with('.'));
            }
        }
        (before, rest) = (token, after);
    }
    Ok(out)
}

/// Checks one node and what is in it, names functions in full, and notes what is used. Every kind of node by name.
fn check(of: &mut Expression, uses: &mut SqlUse) -> Result<(), SqlFault> {
    match of {
        Expression::Column(path) => return column(path, uses),
        Expression::Call(call) => function(call)?,
        Expression::Keyword { keyword, .. } => return Err(keyword_fault(keyword)),
        Expression::Parameter(_) => return Err(fault("an expression of a policy takes no parameters", None)),
        Expression::InQuery { .. } | Expression::Exists(_) | Expression::Query(_) | Expression::ArrayQuery(_) => {
            return Err(fault("a subquery cannot be used here", Some("use the columns of the table itself")));
        }
        Expression::EverythingOf(_) => return Err(fault("a whole row cannot be used here", Some("name columns"))),
        Expression::Xml(_) => return Err(fault("a function of XML cannot be used here", None)),
        // To PostgreSQL, it may be a call.
        Expression::Field { .. } => return Err(fault("a field of a value cannot be used here", None)),
        Expression::Cast { to, .. } if to.is_of_catalog() => {
            return Err(fault("a type of the catalog cannot be used here", None));
        }
        Expression::Literal(_)
        | Expression::Interval { .. }
        | Expression::Prefix { .. }
        | Expression::Infix { .. }
        | Expression::And(_)
        | Expression::Or(_)
        | Expression::Not(_)
        | Expression::Is { .. }
        | Expression::Distinct { .. }
        | Expression::InList { .. }
        | Expression::Between { .. }
        | Expression::Like { .. }
        | Expression::Quantified { .. }
        | Expression::Case { .. }
        | Expression::Cast { .. }
        | Expression::Extract { .. }
        | Expression::Position { .. }
        | Expression::Substring { .. }
        | Expression::Trim { .. }
        | Expression::Overlay { .. }
        | Expression::AtTimeZone { .. }
        | Expression::Collate { .. }
        | Expression::Row(_)
        | Expression::Array(_)
        | Expression::Element { .. }
        | Expression::Slice { .. }
        | Expression::Normalized { .. } => {}
    }
    of.each_part_mut(&mut |part| match part {
        PartMut::Expression(of) => check(of, uses),
        PartMut::Query(_) => Err(fault("a subquery cannot be used here", None)),
    })
}

fn column(path: &Path, uses: &mut SqlUse) -> Result<(), SqlFault> {
    match path.0.as_slice() {
        [column] => uses.columns.insert(column.text.clone()),
        [person, _, ..] if person.text == PERSON => uses.attributes.insert(attribute_path(path)),
        _ => {
            let message = format!("\"{}\" names a table", attribute_path(path));
            return Err(fault(message, Some("name the column alone: it is always one of the table itself")));
        }
    };
    Ok(())
}

fn attribute_path(path: &Path) -> String {
    path.0.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(".")
}

fn function(call: &mut Call) -> Result<(), SqlFault> {
    let Call { name, arguments, variadic: _, distinct, order_by, within_group, filter, over } = call;
    let plain = !*distinct && order_by.is_empty() && within_group.is_empty() && filter.is_none() && over.is_none();
    let (short, at) = match name.0.as_slice() {
        [name] => (name.text.clone(), name.at),
        [schema, name] if schema.text == "pg_catalog" => (name.text.clone(), name.at),
        _ => return Err(fault("only built-in functions can be used here", None)),
    };
    let of_many_rows = functions::is_aggregate(&short) || functions::returns_a_set(&short) || short == "grouping";
    let passed = match &*arguments {
        Arguments::Everything => None,
        Arguments::List(list) => Some(list.len()),
    };
    let Some(passed) = passed.filter(|_| plain && !of_many_rows) else {
        let message = format!("{short}() cannot be used here: it is about more than one row");
        return Err(fault(message, Some("use functions of one row's values")));
    };
    if SYNTAX_FUNCTIONS.contains(&short.as_str()) && name.0.len() == 1 {
        return Ok(());
    }
    if VOLATILE.contains(&short.as_str()) {
        return Err(fault(format!("{short}() gives another answer at every call"), None));
    }
    if !functions::is_pure(&short, passed) {
        let message = format!("{short}() is not a built-in function that only computes");
        return Err(fault(message, Some("use built-in functions without side effects")));
    }
    name.0 = vec![Name { text: "pg_catalog".to_owned(), at }, Name { text: short, at }];
    Ok(())
}

/// Words that depend on what the person sets, or on the role that the source knows.
fn keyword_fault(keyword: &str) -> SqlFault {
    let suggestion = match keyword {
        "CURRENT_USER" | "CURRENT_ROLE" | "SESSION_USER" | "USER" => "name the person, as user.name or user.email",
        "CURRENT_DATE" | "LOCALTIMESTAMP" | "LOCALTIME" | "CURRENT_TIME" => {
            "fix the time zone, which people may set: (now() AT TIME ZONE 'UTC')::date"
        }
        "CURRENT_TIMESTAMP" => "write now()",
        _ => "use a constant",
    };
    fault(format!("{keyword} cannot be used here"), Some(suggestion))
}

/// Puts the table's name before every column, and the person's attributes in the place of their paths.
fn substitute(of: &mut Expression, sql: &PolicySql, table: &str) -> Result<(), Error> {
    if let Expression::Column(path) = of {
        if path.0.len() == 1 {
            path.0.insert(0, Name::invented(table));
            return Ok(());
        }
        let wanted = attribute_path(path);
        let value = sql.attributes.iter().find(|(path, _)| **path == *wanted).map(|(_, value)| value);
        *of = constant(value.ok_or_else(Error::internal)?)?;
        return Ok(());
    }
    of.each_part_mut(&mut |part| match part {
        PartMut::Expression(of) => substitute(of, sql, table),
        PartMut::Query(_) => Err(Error::internal()),
    })
}

fn constant(value: &Attribute) -> Result<Expression, Error> {
    let text = |text: &String| Expression::Literal(Literal::String(text.clone()));
    let cast = |of, name: &str, dimensions| Expression::Cast {
        of: Box::new(of),
        to: Type { name: name.to_owned(), modifiers: Vec::new(), dimensions },
    };
    Ok(match value {
        Attribute::Text(value) => cast(text(value), "text", 0),
        Attribute::Integer(value) => number(&value.to_string())?,
        Attribute::Number(digits) => cast(number(digits)?, "numeric", 0),
        Attribute::Boolean(value) => Expression::Literal(Literal::Boolean(*value)),
        Attribute::Texts(values) => cast(Expression::Array(values.iter().map(text).collect()), "text", 1),
    })
}

/// A number from its digits, with the sign as an operator.
pub(super) fn number(digits: &str) -> Result<Expression, Error> {
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.chars().all(|digit| digit.is_ascii_digit() || matches!(digit, '.' | 'e' | 'E' | '+' | '-'));
    if !plain {
        return Err(Error::internal());
    }
    let number = Expression::Literal(Literal::Number(digits.to_owned()));
    Ok(match negative {
        true => Expression::Prefix { operator: "-".to_owned(), of: Box::new(number) },
        false => number,
    })
}

/// The columns that an expression of a policy names. Only what was compiled is asked for.
pub(super) fn columns(reader: &PolicySqlReader, sql: &PolicySql) -> Result<BTreeSet<String>, Error> {
    reader.parsed(&sql.text).map(|parsed| parsed.uses.columns.clone()).map_err(|_| Error::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SqlUse, String> {
        PolicySqlReader::new(true).read(text).map_err(|fault| fault.message)
    }

    fn filled(text: &str, attributes: &[(&str, Attribute)]) -> String {
        let attributes = attributes.iter().map(|(path, value)| ((*path).into(), value.clone())).collect();
        let sql = PolicySql { text: text.into(), attributes };
        let of = PolicySqlReader::new(true).expression(&sql, "t").unwrap();
        let at = crate::statement::tree::Spot(passgate_policy::Place { line: 1, column: 1 });
        let mut select = Select::everything_from(
            crate::statement::tree::Relation::Table {
                name: Path(vec![Name::invented("t")]),
                only: false,
                alias: None,
                sample: None,
            },
            at,
        );
        select.filter = Some(of);
        let query =
            Query { with: None, body: Body::Select(Box::new(select)), order_by: Vec::new(), limit: None, offset: None };
        let text = statement::print(&query);
        let again = statement::parse(&text, &Limits::for_printed_text()).unwrap();
        assert!(matches!(&again[0].kind, Kind::Query(tree) if **tree == query), "{text}");
        text.split_once("WHERE ").unwrap().1.to_owned()
    }

    #[test]
    fn columns_and_attributes_are_told_apart() {
        let uses =
            read("region = user.claims.costCenter AND \"user\" <> 'user.x' AND id = ANY (USER . groups)").unwrap();
        assert_eq!(uses.columns, ["id", "region", "user"].map(str::to_owned).into());
        assert_eq!(uses.attributes, ["user.claims.costCenter", "user.groups"].map(str::to_owned).into());
        let quoted = read("x = user.claims.\"a b\" OR y = user.name").unwrap();
        assert_eq!(quoted.attributes, ["user.claims.a b", "user.name"].map(str::to_owned).into());
        assert_eq!(quoted.columns, ["x", "y"].map(str::to_owned).into());
    }

    #[test]
    fn values_are_constants_of_their_type_and_never_text_to_be_read() {
        let attack = "x' OR 'a' = 'a".to_owned();
        assert_eq!(
            filled("region = user.claims.r", &[("user.claims.r", Attribute::Text(attack))]),
            "\"t\".\"region\" = ('x'' OR ''a'' = ''a'::pg_catalog.\"text\")"
        );
        let list = Attribute::Texts(vec!["a\\".to_owned(), "b".to_owned()]);
        assert_eq!(
            filled("lower(region) = ANY (user.claims.rs)", &[("user.claims.rs", list)]),
            "\"pg_catalog\".\"lower\"(\"t\".\"region\") = ANY (ARRAY[E'a\\\\', 'b']::pg_catalog.\"text\"[])"
        );
        assert_eq!(
            filled("r = ANY (user.groups)", &[("user.groups", Attribute::Texts(Vec::new()))]),
            "\"t\".\"r\" = ANY (ARRAY[]::pg_catalog.\"text\"[])"
        );
        let numbers = [
            ("user.claims.i", Attribute::Integer(-5)),
            ("user.claims.n", Attribute::Number("1.5e3".to_owned())),
            ("user.claims.b", Attribute::Boolean(true)),
        ];
        assert_eq!(
            filled("a = user.claims.i AND b = user.claims.n AND user.claims.b", &numbers),
            "(\"t\".\"a\" = (- 5)) AND (\"t\".\"b\" = (1.5e3::pg_catalog.\"numeric\")) AND TRUE"
        );
    }

    #[test]
    fn what_is_more_than_one_expression_of_one_row_is_refused() {
        for text in [
            "",
            "a, b",
            "a AS b",
            "*",
            "a FROM x",
            "a; SELECT b",
            "a) OR (true",
            "a UNION SELECT b",
            "a ORDER BY 1",
            "a LIMIT 1",
            "DISTINCT a",
            "(SELECT a)",
            "a IN (SELECT b FROM c)",
            "EXISTS (SELECT 1)",
            "ARRAY(SELECT 1) = b",
            "a = ANY (SELECT 1)",
            "count(*) > 1",
            "sum(a) > 1",
            "sum(a) OVER () > 1",
            "generate_series(1, 2) = a",
            "unnest(a) = 1",
            "$1 = a",
            "t.a = 1",
            "t.*",
            "pg_sleep(1) IS NULL",
            "current_setting('x') = a",
            "random() < 0.5",
            "CURRENT_USER = a",
            "a = CURRENT_DATE",
            "user = a",
            "(a).b = 1",
            "a = E'x'",
            "a = $$x$$",
            "mine.f(a)",
            "analytics.t.a = 1",
        ] {
            assert!(read(text).is_err(), "{text}: {:?}", read(text));
        }
    }

    #[test]
    fn ordinary_predicates_are_read() {
        for text in [
            "region_code = user.claims.region",
            "a = 1 OR a IS NULL",
            "lower(name) LIKE 'a%' AND NOT b",
            "d >= (now() AT TIME ZONE 'UTC')::date - 30",
            "coalesce(a, b) IN ('x', 'y')",
            "extract(year from d) = 2024",
            "data ->> 'k' = user.tenant",
            "CASE WHEN a THEN b ELSE c END",
            "left(name, 1) || '.'",
            "substring(a from 1 for 2) = 'x'",
            "x = 'it''s user.name'",
            "user.claims.level >= 3",
            "true",
        ] {
            assert!(read(text).is_ok(), "{text}: {:?}", read(text));
        }
    }
}
