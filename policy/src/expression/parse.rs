//! CEL text to a tree, with the place of everything in it.
//!
//! The grammar is that of <https://github.com/google/cel-spec/blob/master/doc/langdef.md>, without what no policy
//! needs: maps, messages, byte strings and unsigned numbers are refused by name. A parser of our own, because the crate
//! `cel`'s takes two megabytes of stack for thirty parentheses and would end the process; the tests hold the two
//! against each other.

use std::fmt;

/// Expressions inside one another: a bound on recursion, here and in everything that walks the tree.
const NESTING_MAX: u32 = 48;

/// A faulty place, what is wrong there, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte of the text.
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// An expression.
#[derive(Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    /// The byte of the text at which it stands: of an operator, where the operator does.
    pub(crate) at: usize,
    /// Expressions inside one another, with this one.
    depth: u32,
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

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Int(u64),
    Double(f64),
    Text(String),
    Word(String),
    Symbol(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(_) | Self::Double(_) => formatter.write_str("a number"),
            Self::Text(_) => formatter.write_str("a text"),
            Self::Word(word) => write!(formatter, "\"{word}\""),
            Self::Symbol(symbol) => write!(formatter, "\"{symbol}\""),
            Self::End => formatter.write_str("the end"),
        }
    }
}

/// The longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// Words that name nothing, by the language's grammar.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Parses an expression.
pub(crate) fn parse(text: &str) -> Result<Expr, Fault> {
    let tokens = Lexer { text, at: 0 }.tokens()?;
    let mut parser = Parser { tokens: &tokens, open: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        (Token::End, _) => Ok(expression),
        (Token::Symbol("{"), at) => Err(unsupported(at, "a message")),
        (other, at) => Err(fault(at, format!("{other} does not belong here"), "join conditions with && or ||")),
    }
}

fn fault(at: usize, message: String, suggestion: &str) -> Fault {
    Fault { at, message, suggestion: Some(suggestion.to_owned()) }
}

fn unsupported(at: usize, what: &str) -> Fault {
    fault(at, format!("{what} cannot be written here"), "use texts, numbers, true, false and lists of them")
}

/// Text to tokens.
struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn tokens(mut self) -> Result<Vec<(Token, usize)>, Fault> {
        let mut tokens = Vec::new();
        loop {
            self.skip();
            let at = self.at;
            let token = self.token()?;
            let is_last = token == Token::End;
            tokens.push((token, at));
            if is_last {
                return Ok(tokens);
            }
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let dot_number = rest.strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if first.is_ascii_digit() || dot_number {
            return self.number();
        }
        if let Some((quoted, raw)) = self.quoted()? {
            return self.string(quoted, raw);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            self.at += end;
            return Ok(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
        }
        match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err(self.stray(first)),
        }
    }

    fn stray(&self, first: char) -> Fault {
        match first {
            '=' => fault(self.at, "= is not an operator".to_owned(), "compare with =="),
            '&' => fault(self.at, "& is not an operator".to_owned(), "write && for \"and\""),
            '|' => fault(self.at, "| is not an operator".to_owned(), "write || for \"or\""),
            other => Fault { at: self.at, message: format!("{other:?} does not belong here"), suggestion: None },
        }
    }

    fn digits(&mut self, is_digit: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let is_digit = |c: char| c.is_ascii_digit();
        let wrong = |message: &str| Fault { at: start, message: message.to_owned(), suggestion: None };
        let hexadecimal =
            self.rest().strip_prefix("0x").is_some_and(|after| after.starts_with(|c: char| c.is_ascii_hexdigit()));
        let token = if hexadecimal {
            self.at += 2;
            let digits = self.digits(|c| c.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).map(Token::Int).map_err(|_| wrong("the number is too large"))?
        } else {
            self.digits(is_digit);
            let mut is_whole = true;
            let fraction = self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(is_digit));
            if fraction {
                is_whole = false;
                self.at += 1;
                self.digits(is_digit);
            }
            let exponent = self.rest().strip_prefix(['e', 'E']).map(|after| after.trim_start_matches(['+', '-']));
            if let Some(digits) = exponent.filter(|digits| digits.starts_with(is_digit)) {
                let signs = self.rest().len() - digits.len() - 1;
                if signs <= 1 {
                    is_whole = false;
                    self.at = self.text.len() - digits.len();
                    self.digits(is_digit);
                }
            }
            let written = self.text.get(start..self.at).unwrap_or_default();
            match is_whole {
                true => written.parse().map(Token::Int).map_err(|_| wrong("the number is too large"))?,
                false => {
                    let number = written.parse().ok().filter(|number: &f64| number.is_finite());
                    Token::Double(number.ok_or_else(|| wrong("the number is too large"))?)
                }
            }
        };
        match self.rest().chars().next() {
            Some('u' | 'U') => Err(fault(start, "unsigned numbers are not needed here".to_owned(), "leave out the u")),
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => Err(wrong("a number ends in letters")),
            _ => Ok(token),
        }
    }

    /// The quotes that open a string here, and whether its escapes are not read.
    fn quoted(&mut self) -> Result<Option<(&'static str, bool)>, Fault> {
        let rest = self.rest();
        let prefix = rest.get(..rest.find(['\'', '"']).unwrap_or(0)).unwrap_or_default();
        let raw = match prefix {
            "" => false,
            "r" | "R" => true,
            "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB" => {
                return Err(unsupported(self.at, "a byte string"));
            }
            _ => return Ok(None),
        };
        let quotes = rest.get(prefix.len()..).unwrap_or_default();
        let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| quotes.starts_with(quote)) else {
            return Ok(None);
        };
        self.at += prefix.len() + quote.len();
        Ok(Some((quote, raw)))
    }

    fn string(&mut self, quote: &'static str, raw: bool) -> Result<Token, Fault> {
        let start = self.at - quote.len();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                return Ok(Token::Text(text));
            }
            let Some(next) = rest.chars().next().filter(|next| quote.len() == 3 || !matches!(next, '\n' | '\r')) else {
                return Err(fault(start, "a text is not closed".to_owned(), "close it with the quote that opens it"));
            };
            self.at += next.len_utf8();
            match next {
                '\\' if !raw => text.push(self.escape()?),
                other => text.push(other),
            }
        }
    }

    /// The character that an escape means, of which the backslash is read.
    fn escape(&mut self) -> Result<char, Fault> {
        let at = self.at - 1;
        let wrong = || {
            fault(at, "not an escape".to_owned(), "write \\\\ for a backslash, or r'...' for a text without escapes")
        };
        let letter = self.rest().chars().next().ok_or_else(wrong)?;
        self.at += letter.len_utf8();
        let (digits, radix) = match letter {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '\'' | '"' | '`' | '?' => return Ok(letter),
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => {
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(wrong()),
        };
        let written = self.rest().get(..digits).ok_or_else(wrong)?;
        let all_digits = written.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(written, radix).ok().filter(|_| all_digits).ok_or_else(wrong)?;
        self.at += digits;
        char::from_u32(code).ok_or_else(wrong)
    }
}

/// Tokens to a tree.
struct Parser<'t> {
    tokens: &'t [(Token, usize)],
    /// Expressions that are open: a bound on recursion.
    open: u32,
}

impl Parser<'_> {
    fn peek(&self) -> (&Token, usize) {
        self.tokens.first().map_or((&Token::End, 0), |(token, at)| (token, *at))
    }

    fn next(&mut self) -> (Token, usize) {
        let (token, at) = self.peek();
        let next = (token.clone(), at);
        // The end stays, so that whoever asks again gets it again.
        self.tokens = self.tokens.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(self.tokens);
        next
    }

    fn is_at(&self, symbol: &str) -> bool {
        matches!(self.peek().0, Token::Symbol(own) if *own == symbol)
    }

    fn accept(&mut self, symbol: &str) -> Option<usize> {
        self.is_at(symbol).then(|| self.next().1)
    }

    fn expect(&mut self, symbol: &str) -> Result<usize, Fault> {
        self.accept(symbol).ok_or_else(|| {
            let (token, at) = self.peek();
            Fault { at, message: format!("\"{symbol}\" is missing before {token}"), suggestion: None }
        })
    }

    fn expression(&mut self) -> Result<Expr, Fault> {
        self.open += 1;
        if self.open > NESTING_MAX {
            return Err(too_deep(self.peek().1));
        }
        let condition = self.joined("||", Kind::Or, |parser| parser.joined("&&", Kind::And, Self::relation))?;
        let expression = match self.accept("?") {
            None => condition,
            Some(at) => {
                let then = self.joined("||", Kind::Or, |parser| parser.joined("&&", Kind::And, Self::relation))?;
                self.expect(":")?;
                let otherwise = self.expression()?;
                Expr::new(Kind::If(Box::new([condition, then, otherwise])), at)?
            }
        };
        self.open -= 1;
        Ok(expression)
    }

    /// One or several of what `inner` parses, with `symbol` between them.
    fn joined(
        &mut self,
        symbol: &str,
        kind: fn(Vec<Expr>) -> Kind,
        inner: impl Fn(&mut Self) -> Result<Expr, Fault>,
    ) -> Result<Expr, Fault> {
        let first = inner(self)?;
        let Some(at) = self.accept(symbol) else { return Ok(first) };
        let mut parts = vec![first, inner(self)?];
        while self.accept(symbol).is_some() {
            parts.push(inner(self)?);
        }
        Expr::new(kind(parts), at)
    }

    fn relation(&mut self) -> Result<Expr, Fault> {
        use Operator::{Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, NotEqual};
        self.chain(&[Equal, NotEqual, LessOrEqual, GreaterOrEqual, Less, Greater, In], Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        self.chain(&[Operator::Add, Operator::Subtract], Self::product)
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        self.chain(&[Operator::Multiply, Operator::Divide, Operator::Remainder], Self::unary)
    }

    /// One or several of what `inner` parses, joined by operators from left to right.
    fn chain(&mut self, operators: &[Operator], inner: fn(&mut Self) -> Result<Expr, Fault>) -> Result<Expr, Fault> {
        let mut so_far = inner(self)?;
        loop {
            let token = self.peek().0;
            let found = operators.iter().find(|operator| match token {
                Token::Symbol(symbol) => operator.to_string() == **symbol,
                Token::Word(word) => **operator == Operator::In && word == "in",
                _ => false,
            });
            let Some(operator) = found.copied() else { return Ok(so_far) };
            let (_, at) = self.next();
            let right = inner(self)?;
            so_far = Expr::new(Kind::Binary(operator, Box::new(so_far), Box::new(right)), at)?;
        }
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        // The sign of a number is part of it.
        if self.is_negative_number() {
            return self.member();
        }
        for (symbol, kind) in [("!", Kind::Not as fn(Box<Expr>) -> Kind), ("-", Kind::Negate)] {
            let Some(at) = self.accept(symbol) else { continue };
            let mut times = 1_u32;
            while self.is_at(symbol) {
                self.next();
                times += 1;
            }
            let inner = self.member()?;
            // An even number of them takes itself away.
            return if times.is_multiple_of(2) { Ok(inner) } else { Expr::new(kind(Box::new(inner)), at) };
        }
        self.member()
    }

    fn is_negative_number(&self) -> bool {
        matches!(self.tokens, [(Token::Symbol("-"), _), (Token::Int(_) | Token::Double(_), _), ..])
    }

    fn negative_number(&mut self, at: usize) -> Result<Expr, Fault> {
        let kind = match self.next().0 {
            Token::Int(number) => {
                let number = 0_i64.checked_sub_unsigned(number);
                Kind::Int(number.ok_or_else(|| too_large(at))?)
            }
            Token::Double(number) => Kind::Double(-number),
            _ => Kind::Null,
        };
        Expr::new(kind, at)
    }

    fn member(&mut self) -> Result<Expr, Fault> {
        let primary = self.primary()?;
        self.selected(primary)
    }

    /// What is selected from an expression: fields, elements, calls.
    fn selected(&mut self, mut so_far: Expr) -> Result<Expr, Fault> {
        loop {
            if self.accept(".").is_some() {
                let (name, at) = self.field()?;
                so_far = match self.accept("(") {
                    Some(_) => {
                        let arguments = self.list(")")?;
                        Expr::new(Kind::Call(name, Some(Box::new(so_far)), arguments), at)?
                    }
                    None => Expr::new(Kind::Select(Box::new(so_far), name), at)?,
                };
            } else if let Some(at) = self.accept("[") {
                let index = self.expression()?;
                self.expect("]")?;
                so_far = Expr::new(Kind::Index(Box::new(so_far), Box::new(index)), at)?;
            } else {
                return Ok(so_far);
            }
        }
    }

    fn field(&mut self) -> Result<(String, usize), Fault> {
        match self.next() {
            (Token::Word(word), at) if !["in", "true", "false", "null"].contains(&word.as_str()) => Ok((word, at)),
            (other, at) => {
                Err(Fault { at, message: format!("a field's name is missing before {other}"), suggestion: None })
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let is_negative_number = self.is_negative_number();
        let (token, at) = self.next();
        if is_negative_number {
            return self.negative_number(at);
        }
        let kind = match token {
            Token::Int(number) => Kind::Int(i64::try_from(number).map_err(|_| too_large(at))?),
            Token::Double(number) => Kind::Double(number),
            Token::Text(text) => Kind::Text(text),
            Token::Word(word) => return self.word(word, at),
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => Kind::List(self.list("]")?),
            Token::Symbol("{") => return Err(unsupported(at, "a map")),
            Token::Symbol(".") => {
                return Err(fault(at, "names are not written with a dot before them".to_owned(), "leave out the dot"));
            }
            other => {
                return Err(Fault {
                    at,
                    message: format!("an expression is missing before {other}"),
                    suggestion: None,
                });
            }
        };
        Expr::new(kind, at)
    }

    fn word(&mut self, word: String, at: usize) -> Result<Expr, Fault> {
        let kind = match word.as_str() {
            "null" => Kind::Null,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "in" => {
                return Err(Fault {
                    at,
                    message: "an expression is missing before \"in\"".to_owned(),
                    suggestion: None,
                });
            }
            "and" | "AND" => return Err(fault(at, format!("unknown variable \"{word}\""), "write && for \"and\"")),
            reserved if RESERVED.contains(&reserved) => {
                return Err(Fault { at, message: format!("\"{word}\" is a reserved word"), suggestion: None });
            }
            _ if self.accept("(").is_some() => Kind::Call(word, None, self.list(")")?),
            _ => Kind::Name(word),
        };
        Expr::new(kind, at)
    }

    /// Expressions with commas between them, up to what closes them.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Fault> {
        let mut elements = Vec::new();
        while self.accept(close).is_none() {
            elements.push(self.expression()?);
            let comma = self.accept(",");
            if comma.is_none() && !self.is_at(close) {
                return Err(self.expect(close).err().unwrap_or_else(|| too_deep(0)));
            }
            // A comma may end a list, and not arguments.
            if let Some(at) = comma.filter(|_| close == ")" && self.is_at(close)) {
                return Err(Fault {
                    at,
                    message: "an argument is missing after the comma".to_owned(),
                    suggestion: None,
                });
            }
        }
        Ok(elements)
    }
}

fn too_large(at: usize) -> Fault {
    Fault { at, message: "the number is too large".to_owned(), suggestion: None }
}

fn too_deep(at: usize) -> Fault {
    let suggestion = "make several policies of it".to_owned();
    let message = format!("expressions are nested deeper than {NESTING_MAX}");
    Fault { at, message, suggestion: Some(suggestion) }
}

impl Expr {
    fn new(kind: Kind, at: usize) -> Result<Self, Fault> {
        let depth = 1 + kind.inner().map(|inner| inner.depth).max().unwrap_or(0);
        if depth > NESTING_MAX { Err(too_deep(at)) } else { Ok(Self { kind, at, depth }) }
    }
}

impl Kind {
    /// The expressions directly inside.
    fn inner(&self) -> impl Iterator<Item = &Expr> {
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
