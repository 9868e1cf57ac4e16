//! Types, operators and fields, by the names PostgreSQL's own catalog gives them.
//!
//! Only what is built into PostgreSQL is known here: a cast to a user's type can run that user's code, and so can a
//! user's operator. What is not listed is refused.

use passgate_policy::Place;
use sqlparser::ast as sql;

use super::tree::{Path, Type};
use super::{Error, lower};

type Result<T> = std::result::Result<T, Error>;

/// Built-in types whose input functions only read their text, by their names in `pg_catalog`.
///
/// `xml` entities are harmless (no external access) and in. What looks names up is in [`CATALOG_TYPES`].
/// Source: <https://www.postgresql.org/docs/current/datatype.html>.
const TYPES: [&str; 66] = [
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cid",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int2vector",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "oidvector",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "point",
    "polygon",
    "text",
    "tid",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "txid_snapshot",
    "unknown",
    "uuid",
    "varbit",
    "varchar",
    "xid",
    "xid8",
    "xml",
    "record",
    "cstring",
    "void",
];

/// Built-in types whose values are things of the catalog: reading one looks a name up, and so tells what exists. A
/// statement that uses one asks the catalog, and goes where that is answered.
const CATALOG_TYPES: [&str; 17] = [
    "aclitem",
    "anyarray",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

impl Type {
    /// Whether its values are things of the catalog.
    pub fn is_of_catalog(&self) -> bool {
        CATALOG_TYPES.contains(&self.name.as_str())
    }
}

/// Names SQL has for built-in types beside their own.
const SYNONYMS: [(&str, &str); 12] = [
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("dec", "numeric"),
    ("decimal", "numeric"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("serial", ""),
    ("bigserial", ""),
    ("smallserial", ""),
    ("void", ""),
];

/// The modifier of an interval that keeps all fields.
const INTERVAL_WHOLE: i64 = 0x7FFF;

/// What IS may ask of a value beside NULL and truth.
pub(super) const TESTS: [&str; 11] = [
    "DOCUMENT",
    "JSON",
    "JSON ARRAY",
    "JSON ARRAY WITH UNIQUE KEYS",
    "JSON OBJECT",
    "JSON OBJECT WITH UNIQUE KEYS",
    "JSON SCALAR",
    "JSON SCALAR WITH UNIQUE KEYS",
    "JSON VALUE",
    "JSON VALUE WITH UNIQUE KEYS",
    "JSON WITH UNIQUE KEYS",
];

/// A type, or a refusal that names it.
pub(super) fn lower(to: &sql::DataType, at: Place) -> Result<Type> {
    use sql::DataType as D;
    let plain = |name: &str| Ok(Type { name: name.to_owned(), modifiers: Vec::new(), dimensions: 0 });
    let sized = |name: &str, size: Option<u64>| {
        let modifiers = size.map(|size| modifier(size, at)).transpose()?.into_iter().collect();
        Ok(Type { name: name.to_owned(), modifiers, dimensions: 0 })
    };
    match to {
        D::Array(element) => {
            let sql::ArrayElemTypeDef::SquareBracket(element, _) = element else {
                return Err(Error::unsupported("this kind of array type", at));
            };
            let mut of = lower(element, at)?;
            of.dimensions += 1;
            if of.dimensions > 6 {
                return Err(Error::unsupported("an array of more than six dimensions", at));
            }
            Ok(of)
        }
        D::Custom(name, modifiers) => custom(&lower::path(name)?, modifiers, at),
        D::Character(length) | D::Char(length) => sized("bpchar", Some(characters(length.as_ref(), at)?.unwrap_or(1))),
        D::CharacterVarying(length) | D::CharVarying(length) | D::Varchar(length) => {
            sized("varchar", characters(length.as_ref(), at)?)
        }
        D::Text => plain("text"),
        D::Uuid => plain("uuid"),
        D::Bytea => plain("bytea"),
        D::Numeric(size) | D::Decimal(size) | D::Dec(size) => exact(size, at),
        D::Float(sql::ExactNumberInfo::None) | D::Float8 | D::DoublePrecision => plain("float8"),
        D::Float(sql::ExactNumberInfo::Precision(bits)) => match bits {
            1..=24 => plain("float4"),
            25..=53 => plain("float8"),
            _ => Err(Error::syntax("precision of float must be between 1 and 53", at)),
        },
        D::Float4 | D::Real => plain("float4"),
        D::Int2(None) | D::SmallInt(None) => plain("int2"),
        D::Int(None) | D::Int4(None) | D::Integer(None) => plain("int4"),
        D::Int8(None) | D::BigInt(None) => plain("int8"),
        D::Bool | D::Boolean => plain("bool"),
        D::Date => plain("date"),
        D::Time(precision, zone) => sized(zoned("time", "timetz", zone), *precision),
        D::Timestamp(precision, zone) => sized(zoned("timestamp", "timestamptz", zone), *precision),
        D::Interval { fields, precision } => interval(fields.as_ref(), *precision, at),
        D::JSON => plain("json"),
        D::JSONB => plain("jsonb"),
        D::Bit(size) => sized("bit", Some(size.unwrap_or(1))),
        D::BitVarying(size) | D::VarBit(size) => sized("varbit", *size),
        D::TsVector => plain("tsvector"),
        D::TsQuery => plain("tsquery"),
        D::GeometricType(kind) => plain(match kind {
            sql::GeometricTypeKind::Point => "point",
            sql::GeometricTypeKind::Line => "line",
            sql::GeometricTypeKind::LineSegment => "lseg",
            sql::GeometricTypeKind::GeometricBox => "box",
            sql::GeometricTypeKind::GeometricPath => "path",
            sql::GeometricTypeKind::Polygon => "polygon",
            sql::GeometricTypeKind::Circle => "circle",
        }),
        D::Regclass => plain("regclass"),
        _ => Err(Error::unsupported(&format!("the type {}", shortened(&to.to_string())), at)),
    }
}

/// A type as PostgreSQL's `format_type` writes it; none where it is not built in.
/// Source: <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/utils/adt/format_type.c>.
pub fn catalog_type(text: &str) -> Option<Type> {
    // It writes one pair of brackets, whatever the number of dimensions.
    let (element, dimensions) = text.strip_suffix("[]").map_or((text, 0), |element| (element, 1));
    let (name, modifiers) = match element.split_once('(') {
        None => (element.to_owned(), Vec::new()),
        Some((before, rest)) => {
            let (inside, after) = rest.split_once(')')?;
            let modifiers = inside.split(',').map(|modifier| modifier.trim().parse().ok());
            (format!("{before}{after}"), modifiers.collect::<Option<_>>()?)
        }
    };
    let known = match name.as_str() {
        "bigint" => "int8",
        "bit varying" => "varbit",
        "boolean" => "bool",
        "character" => "bpchar",
        "character varying" => "varchar",
        "\"bit\"" => "bit",
        "\"char\"" => "char",
        "double precision" => "float8",
        "integer" => "int4",
        "real" => "float4",
        "smallint" => "int2",
        "time with time zone" => "timetz",
        "time without time zone" => "time",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    };
    TYPES.contains(&known).then(|| Type { name: known.to_owned(), modifiers, dimensions })
}

fn custom(path: &Path, modifiers: &[String], at: Place) -> Result<Type> {
    let written = || path.0.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(".");
    let name = match path.0.as_slice() {
        [name] => SYNONYMS.iter().find(|(synonym, _)| *synonym == name.text).map_or(&*name.text, |(_, known)| known),
        [schema, name] if schema.text == "pg_catalog" => &name.text,
        _ => return Err(Error::foreign_type(&written(), at)),
    };
    if !TYPES.contains(&name) && !CATALOG_TYPES.contains(&name) {
        return Err(Error::foreign_type(&written(), at));
    }
    let modifiers = modifiers
        .iter()
        .map(|text| text.trim().parse().map_err(|_| Error::syntax("a type modifier that is not a number", at)))
        .collect::<Result<_>>()?;
    Ok(Type { name: name.to_owned(), modifiers, dimensions: 0 })
}

/// An interval's modifiers, as its type takes them: which fields it keeps, and how many digits of a second.
/// Source: PostgreSQL's `intervaltypmodin` and `datatype/timestamp.h`.
fn interval(fields: Option<&sql::IntervalFields>, precision: Option<u64>, at: Place) -> Result<Type> {
    use sql::IntervalFields as F;
    let (month, year, day, hour, minute, second) = (1 << 1, 1 << 2, 1 << 3, 1 << 10, 1 << 11, 1 << 12);
    let kept = fields.map(|fields| match fields {
        F::Year => year,
        F::Month => month,
        F::Day => day,
        F::Hour => hour,
        F::Minute => minute,
        F::Second => second,
        F::YearToMonth => year | month,
        F::DayToHour => day | hour,
        F::DayToMinute => day | hour | minute,
        F::DayToSecond => day | hour | minute | second,
        F::HourToMinute => hour | minute,
        F::HourToSecond => hour | minute | second,
        F::MinuteToSecond => minute | second,
    });
    let modifiers = match (kept, precision) {
        (None, None) => Vec::new(),
        (Some(kept), None) => vec![kept],
        (kept, Some(digits)) => vec![kept.unwrap_or(INTERVAL_WHOLE), modifier(digits, at)?],
    };
    Ok(Type { name: "interval".to_owned(), modifiers, dimensions: 0 })
}

fn characters(length: Option<&sql::CharacterLength>, at: Place) -> Result<Option<u64>> {
    match length {
        None => Ok(None),
        Some(sql::CharacterLength::IntegerLength { length, unit: None }) => Ok(Some(*length)),
        Some(_) => Err(Error::unsupported("this length of a character type", at)),
    }
}

fn exact(size: &sql::ExactNumberInfo, at: Place) -> Result<Type> {
    let modifiers = match size {
        sql::ExactNumberInfo::None => Vec::new(),
        sql::ExactNumberInfo::Precision(precision) => vec![modifier(*precision, at)?],
        sql::ExactNumberInfo::PrecisionAndScale(precision, scale) => vec![modifier(*precision, at)?, *scale],
    };
    Ok(Type { name: "numeric".to_owned(), modifiers, dimensions: 0 })
}

fn modifier(size: u64, at: Place) -> Result<i64> {
    i64::try_from(size).map_err(|_| Error::syntax("a type modifier out of range", at))
}

fn zoned(without: &'static str, with: &'static str, zone: &sql::TimezoneInfo) -> &'static str {
    match zone {
        sql::TimezoneInfo::None | sql::TimezoneInfo::WithoutTimeZone => without,
        sql::TimezoneInfo::WithTimeZone | sql::TimezoneInfo::Tz => with,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The operator as PostgreSQL spells it.
pub(super) fn infix_operator(op: &sql::BinaryOperator, at: Place) -> Result<String> {
    use sql::BinaryOperator as B;
    let known = match op {
        B::Plus => "+",
        B::Minus => "-",
        B::Multiply => "*",
        B::Divide => "/",
        B::Modulo => "%",
        B::StringConcat => "||",
        B::Gt => ">",
        B::Lt => "<",
        B::GtEq => ">=",
        B::LtEq => "<=",
        B::Eq => "=",
        B::NotEq => "<>",
        B::BitwiseOr => "|",
        B::BitwiseAnd => "&",
        B::PGBitwiseXor => "#",
        B::PGBitwiseShiftLeft => "<<",
        B::PGBitwiseShiftRight => ">>",
        B::PGExp => "^",
        B::PGOverlap => "&&",
        B::PGRegexMatch => "~",
        B::PGRegexIMatch => "~*",
        B::PGRegexNotMatch => "!~",
        B::PGRegexNotIMatch => "!~*",
        B::PGLikeMatch => "~~",
        B::PGILikeMatch => "~~*",
        B::PGNotLikeMatch => "!~~",
        B::PGNotILikeMatch => "!~~*",
        B::PGStartsWith => "^@",
        B::Arrow => "->",
        B::LongArrow => "->>",
        B::HashArrow => "#>",
        B::HashLongArrow => "#>>",
        B::AtAt => "@@",
        B::AtArrow => "@>",
        B::ArrowAt => "<@",
        B::HashMinus => "#-",
        B::AtQuestion => "@?",
        B::Question => "?",
        B::QuestionAnd => "?&",
        B::QuestionPipe => "?|",
        B::DoubleHash => "##",
        B::LtDashGt => "<->",
        B::AndLt => "&<",
        B::AndGt => "&>",
        B::LtLtPipe => "<<|",
        B::PipeGtGt => "|>>",
        B::AndLtPipe => "&<|",
        B::PipeAndGt => "|&>",
        B::LtCaret => "<^",
        B::GtCaret => ">^",
        B::QuestionHash => "?#",
        B::QuestionDash => "?-",
        B::QuestionDashPipe => "?-|",
        B::QuestionDoublePipe => "?||",
        B::At => "@",
        B::TildeEq => "~=",
        B::Overlaps => "OVERLAPS",
        B::Custom(symbols) => return custom_operator(symbols, at),
        B::PGCustomBinaryOperator(path) => return qualified_operator(path, at),
        B::And
        | B::Or
        | B::Xor
        | B::Spaceship
        | B::BitwiseXor
        | B::DuckIntegerDivide
        | B::MyIntegerDivide
        | B::Match
        | B::Regexp
        | B::Assignment => {
            return Err(Error::unsupported(&format!("the operator {op}"), at));
        }
    };
    Ok(known.to_owned())
}

/// `OPERATOR(pg_catalog.=)`: only built-in operators can be meant, since no other schema is on the session's path.
fn qualified_operator(path: &[String], at: Place) -> Result<String> {
    match path {
        [symbols] => custom_operator(symbols, at),
        [schema, symbols] if schema.eq_ignore_ascii_case("pg_catalog") => custom_operator(symbols, at),
        _ => Err(Error::unsupported("an operator outside pg_catalog", at)),
    }
}

/// An operator the parser has no name for. It may hold nothing but operator characters and no comment.
/// Source: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-OPERATORS>.
fn custom_operator(symbols: &str, at: Place) -> Result<String> {
    let valid = !symbols.is_empty()
        && symbols.len() <= 63
        && symbols.chars().all(|symbol| "+-*/<>=~!@#%^&|`?".contains(symbol))
        && !symbols.contains("--")
        && !symbols.contains("/*");
    if valid { Ok(symbols.to_owned()) } else { Err(Error::syntax("this operator", at)) }
}

/// The operator as PostgreSQL spells it.
pub(super) fn prefix_operator(op: sql::UnaryOperator, at: Place) -> Result<&'static str> {
    use sql::UnaryOperator as U;
    match op {
        U::Plus => Ok("+"),
        U::Minus => Ok("-"),
        U::BitwiseNot
        | U::PGAbs
        | U::PGSquareRoot
        | U::PGCubeRoot
        | U::AtDashAt
        | U::DoubleAt
        | U::Hash
        | U::QuestionDash
        | U::QuestionPipe => Ok(match op {
            U::BitwiseNot => "~",
            U::PGAbs => "@",
            U::PGSquareRoot => "|/",
            U::PGCubeRoot => "||/",
            U::AtDashAt => "@-@",
            U::DoubleAt => "@@",
            U::Hash => "#",
            U::QuestionDash => "?-",
            _ => "?|",
        }),
        U::PGPrefixFactorial => Ok("!!"),
        U::Not | U::BangNot | U::PGPostfixFactorial => Err(Error::unsupported("this prefix or postfix operator", at)),
    }
}

/// A field of EXTRACT, in lower case. Which there are is for PostgreSQL to say, which also knows many abbreviations.
/// Source: <https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-EXTRACT>.
pub(super) fn date_field(field: &sql::DateTimeField, at: Place) -> Result<String> {
    let text = match field {
        sql::DateTimeField::Custom(ident) => ident.value.clone(),
        other => other.to_string(),
    };
    let text = text.trim_matches('\'').to_ascii_lowercase();
    let is_word =
        !text.is_empty() && text.len() <= 63 && text.chars().all(|part| part.is_ascii_alphanumeric() || part == '_');
    if is_word { Ok(text) } else { Err(Error::unsupported(&format!("EXTRACT of \"{}\"", shortened(&text)), at)) }
}

/// The type before a string: without a length, it takes the string as long as it is.
/// Source: PostgreSQL's `gram.y`, `ConstBit` and `ConstCharacter`.
pub(super) fn lower_constant(to: &sql::DataType, at: Place) -> Result<Type> {
    use sql::DataType as D;
    let mut lowered = lower(to, at)?;
    if matches!(to, D::Character(None) | D::Char(None) | D::Bit(None)) {
        lowered.modifiers.clear();
    }
    Ok(lowered)
}

/// The fields of an interval, as PostgreSQL writes them.
pub(super) fn interval_fields(
    first: Option<&sql::DateTimeField>,
    last: Option<&sql::DateTimeField>,
    at: Place,
) -> Result<Option<&'static str>> {
    use sql::DateTimeField as F;
    Ok(match (first, last) {
        (None, None) => None,
        (Some(F::Year), None) => Some("YEAR"),
        (Some(F::Month), None) => Some("MONTH"),
        (Some(F::Day), None) => Some("DAY"),
        (Some(F::Hour), None) => Some("HOUR"),
        (Some(F::Minute), None) => Some("MINUTE"),
        (Some(F::Second), None) => Some("SECOND"),
        (Some(F::Year), Some(F::Month)) => Some("YEAR TO MONTH"),
        (Some(F::Day), Some(F::Hour)) => Some("DAY TO HOUR"),
        (Some(F::Day), Some(F::Minute)) => Some("DAY TO MINUTE"),
        (Some(F::Day), Some(F::Second)) => Some("DAY TO SECOND"),
        (Some(F::Hour), Some(F::Minute)) => Some("HOUR TO MINUTE"),
        (Some(F::Hour), Some(F::Second)) => Some("HOUR TO SECOND"),
        (Some(F::Minute), Some(F::Second)) => Some("MINUTE TO SECOND"),
        _ => return Err(Error::unsupported("these fields of an INTERVAL", at)),
    })
}

/// A collation of `pg_catalog`.
pub(super) fn collation(path: &Path) -> Result<String> {
    match path.0.as_slice() {
        [name] => Ok(name.text.clone()),
        [schema, name] if schema.text == "pg_catalog" => Ok(name.text.clone()),
        [first, ..] => Err(Error::unsupported("a collation outside pg_catalog", first.at)),
        [] => Err(Error::syntax("an empty collation", Place { line: 1, column: 1 })),
    }
}

/// A number without a sign, checked to hold nothing else.
pub(super) fn number(digits: &str, at: Place) -> Result<String> {
    let plain = digits.replace('_', "");
    let mut exponent = false;
    let mut point = false;
    let mut previous = ' ';
    let valid = plain.chars().enumerate().all(|(index, character)| {
        let fits = match character {
            '0'..='9' => true,
            '.' => !exponent && !std::mem::replace(&mut point, true),
            'e' | 'E' => index > 0 && !std::mem::replace(&mut exponent, true),
            '+' | '-' => matches!(previous, 'e' | 'E'),
            _ => false,
        };
        previous = character;
        fits
    });
    let ends = plain.ends_with(|character: char| character.is_ascii_digit() || character == '.');
    let has_digit = plain.contains(|character: char| character.is_ascii_digit());
    if valid && ends && has_digit {
        Ok(plain)
    } else {
        Err(Error::syntax(&format!("the number {}", shortened(digits)), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogs_spelling_of_types_is_understood() {
        let read = |text: &str| catalog_type(text).map(|to| (to.name, to.modifiers, to.dimensions));
        let known = |name: &str, modifiers: &[i64], dimensions| Some((name.to_owned(), modifiers.to_vec(), dimensions));
        assert_eq!(read("text"), known("text", &[], 0));
        assert_eq!(read("character varying(20)[]"), known("varchar", &[20], 1));
        assert_eq!(read("numeric(12,2)"), known("numeric", &[12, 2], 0));
        assert_eq!(read("timestamp(3) with time zone"), known("timestamptz", &[3], 0));
        assert_eq!(read("\"char\""), known("char", &[], 0));
        assert_eq!(read("bpchar"), known("bpchar", &[], 0));
        for foreign in ["analytics.mood", "interval day to second(3)", "regclass", "numeric(a)", "numeric(1"] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
