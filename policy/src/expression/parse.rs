//! CEL text to a tree, with the place of everything in it: parsed by the crate `cel`, and every node of its tree that a
//! policy can use made one of ours.
//!
//! Maps, messages, byte strings and unsigned numbers are refused by name; so is every kind of node not known here.

use std::fmt;
use std::panic;

use cel::Env;
use cel::common::ast::{CallExpr, Expr as Parsed, IdedExpr, LiteralValue, SourceInfo, operators};

use super::scan::{Fault, NESTING_MAX, Pieces};

/// Bytes of stack on which an expression is parsed: enough for what [`Pieces`] lets pass, brackets of which an unoptimised
/// build takes 70 kB each, and for as many operators or fields in a row as one text of a policy file has room for. The
/// tests go to both ends. What is not used is not taken from the system.
const STACK_BYTES: usize = 128 << 20;

/// An expression.
#[derive(Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    /// The byte of the text at which it stands: of an operator, where the operator does.
    pub(crate) at: usize,
    /// Expressions inside one another, with this one.
    depth: usize,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Expr>),
    Name(String),
    Select(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    /// A function, and what it is called on, where that stands before it.
    Call(String, Option<Box<Expr>>, Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    If(Box<[Expr; 3]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// What the crate `cel` calls it.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            operators::EQUALS => Self::Equal,
            operators::NOT_EQUALS => Self::NotEqual,
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            operators::IN => Self::In,
            operators::ADD => Self::Add,
            operators::SUBSTRACT => Self::Subtract,
            operators::MULTIPLY => Self::Multiply,
            operators::DIVIDE => Self::Divide,
            operators::MODULO => Self::Remainder,
            _ => return None,
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}

/// Parses an expression.
///
/// On a stack of its own; and a parser that was generated is not trusted not to panic.
pub(crate) fn parse(text: &str) -> Result<Expr, Fault> {
    let pieces = Pieces::of(text)?;
    let unread = |_| Fault::new(0, "the expression cannot be read".to_owned()).with("make several policies of it");
    stacker::grow(STACK_BYTES, || panic::catch_unwind(|| read(text, &pieces))).map_err(unread)?
}

fn read(text: &str, pieces: &Pieces<'_>) -> Result<Expr, Fault> {
    // Without macros: has(), exists() and the others stay calls, as they are written.
    let parsed = Env::default().with_optional_support(false).parser().parse_with_source_info(text);
    match parsed {
        Ok((expression, places)) => Reader { pieces, places: &places }.expression(&expression),
        Err(errors) => {
            // What was built of a text that does not parse is told of too, at the place where it begins.
            let told = errors.errors.iter();
            let first =
                told.clone().find(|error| error.msg.starts_with("Syntax error")).or_else(|| told.clone().next());
            Err(first.map_or_else(
                || pieces.fault(text, 1, 1),
                |error| worded(&error.msg, pieces.fault(text, error.pos.0, error.pos.1)),
            ))
        }
    }
}

/// What the parser says where the pieces alone would not.
fn worded(message: &str, fault: Fault) -> Fault {
    if let Some(word) = message.strip_prefix("reserved identifier: ") {
        return Fault::new(fault.at, format!("\"{word}\" is a reserved word"));
    }
    match message {
        "invalid int literal" | "invalid double literal" => Fault::new(fault.at, "the number is too large".to_owned()),
        _ => fault,
    }
}

fn unsupported(at: usize, what: &str) -> Fault {
    Fault::new(at, format!("{what} cannot be written here")).with("use texts, numbers, true, false and lists of them")
}

/// Makes the parser's tree ours.
struct Reader<'t> {
    pieces: &'t Pieces<'t>,
    places: &'t SourceInfo,
}

impl Reader<'_> {
    /// Where the piece stands that a node was made of.
    fn at(&self, id: u64) -> usize {
        self.places.offset_for(id).map_or(0, |(start, _)| usize::try_from(start).unwrap_or(usize::MAX))
    }

    fn expression(&self, parsed: &IdedExpr) -> Result<Expr, Fault> {
        let at = self.at(parsed.id);
        match &parsed.expr {
            Parsed::Literal(literal) => self.literal(literal, at),
            Parsed::Ident(name) => Expr::new(Kind::Name(plain(name, at)?), at),
            Parsed::List(list) if list.optional_indices.is_empty() => {
                Expr::new(Kind::List(self.expressions(&list.elements)?), at)
            }
            // The dot is what it was made of.
            Parsed::Select(select) if !select.test => {
                let of = self.expression(&select.operand)?;
                Expr::new(Kind::Select(Box::new(of), select.field.clone()), self.pieces.beside(at, 1))
            }
            Parsed::Call(call) => self.call(call, at),
            Parsed::Map(_) => Err(unsupported(at, "a map")),
            Parsed::Struct(_) => Err(unsupported(at, "a message")),
            Parsed::List(_) | Parsed::Select(_) | Parsed::Comprehension(_) | Parsed::Unspecified => {
                Err(unsupported(at, "this"))
            }
        }
    }

    fn expressions(&self, parsed: &[IdedExpr]) -> Result<Vec<Expr>, Fault> {
        parsed.iter().map(|expression| self.expression(expression)).collect()
    }

    fn literal(&self, literal: &LiteralValue, at: usize) -> Result<Expr, Fault> {
        // The sign of a number is the piece before its digits.
        let (kind, steps) = match literal {
            LiteralValue::Null => (Kind::Null, 0),
            LiteralValue::Boolean(flag) => (Kind::Bool(*flag.inner()), 0),
            LiteralValue::Int(number) => (Kind::Int(*number.inner()), if *number.inner() < 0 { -1 } else { 0 }),
            LiteralValue::Double(number) => {
                (Kind::Double(*number.inner()), if number.inner().is_sign_negative() { -1 } else { 0 })
            }
            LiteralValue::String(text) => (Kind::Text(text.inner().to_owned()), 0),
            LiteralValue::Bytes(_) => return Err(unsupported(at, "a byte string")),
            LiteralValue::UInt(_) => return Err(unsupported(at, "an unsigned number")),
        };
        Expr::new(kind, self.pieces.beside(at, steps))
    }

    fn call(&self, call: &CallExpr, at: usize) -> Result<Expr, Fault> {
        let name = call.func_name.as_str();
        let kind = match (&call.target, call.args.as_slice()) {
            (None, [_, _]) if name == operators::LOGICAL_AND || name == operators::LOGICAL_OR => {
                let kind = if name == operators::LOGICAL_AND { Kind::And } else { Kind::Or };
                let (mut parts, mut first) = (Vec::new(), at);
                self.collect_parts(name, call, &mut parts, &mut first)?;
                return Expr::new(kind(parts), first);
            }
            (None, [condition, then, otherwise]) if name == operators::CONDITIONAL => {
                let parts = [self.expression(condition)?, self.expression(then)?, self.expression(otherwise)?];
                Kind::If(Box::new(parts))
            }
            (None, [inner]) if name == operators::LOGICAL_NOT => Kind::Not(Box::new(self.expression(inner)?)),
            (None, [inner]) if name == operators::NEGATE => Kind::Negate(Box::new(self.expression(inner)?)),
            (None, [of, index]) if name == operators::INDEX => {
                Kind::Index(Box::new(self.expression(of)?), Box::new(self.expression(index)?))
            }
            (None, [left, right]) if Operator::named(name).is_some() => {
                let operator = Operator::named(name).ok_or_else(|| unsupported(at, "this"))?;
                Kind::Binary(operator, Box::new(self.expression(left)?), Box::new(self.expression(right)?))
            }
            // A call is made of the bracket behind its name.
            (target, arguments) => {
                let at = self.pieces.beside(at, -1);
                let target = target.as_deref().map(|target| self.expression(target)).transpose()?;
                let call = Kind::Call(plain(name, at)?, target.map(Box::new), self.expressions(arguments)?);
                return Expr::new(call, at);
            }
        };
        Expr::new(kind, at)
    }

    /// The parts of `a && b && c`, of which the parser makes a balanced tree, and where the first operator stands.
    fn collect_parts(
        &self,
        name: &str,
        call: &CallExpr,
        parts: &mut Vec<Expr>,
        first: &mut usize,
    ) -> Result<(), Fault> {
        for part in &call.args {
            match &part.expr {
                Parsed::Call(inner) if inner.func_name == name && inner.target.is_none() => {
                    *first = (*first).min(self.at(part.id));
                    self.collect_parts(name, inner, parts, first)?;
                }
                _ => parts.push(self.expression(part)?),
            }
        }
        Ok(())
    }
}

/// A name, unless it is one of a kind that no policy needs.
fn plain(name: &str, at: usize) -> Result<String, Fault> {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match (is_word, name.starts_with('.')) {
        (true, _) => Ok(name.to_owned()),
        (false, true) => {
            Err(Fault::new(at, "names are not written with a dot before them".to_owned()).with("leave out the dot"))
        }
        (false, false) => Err(unsupported(at, "this")),
    }
}

impl Expr {
    fn new(kind: Kind, at: usize) -> Result<Self, Fault> {
        let depth = 1 + kind.inner().map(|inner| inner.depth).max().unwrap_or(0);
        if depth > NESTING_MAX { Err(Fault::too_deep(at)) } else { Ok(Self { kind, at, depth }) }
    }
}

impl Kind {
    /// The expressions directly inside.
    pub(super) fn inner(&self) -> impl Iterator<Item = &Expr> {
        let (single, list): (Vec<&Expr>, &[Expr]) = match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Text(_) | Self::Name(_) => {
                (Vec::new(), &[])
            }
            Self::List(parts) | Self::And(parts) | Self::Or(parts) => (Vec::new(), parts),
            Self::Select(one, _) | Self::Not(one) | Self::Negate(one) => (vec![one], &[]),
            Self::Index(one, other) | Self::Binary(_, one, other) => (vec![one, other], &[]),
            Self::Call(_, target, arguments) => (target.iter().map(|target| &**target).collect(), arguments),
            Self::If(parts) => (Vec::new(), parts.as_slice()),
        };
        single.into_iter().chain(list)
    }
}
