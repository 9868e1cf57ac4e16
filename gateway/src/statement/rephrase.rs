//! What PostgreSQL writes and the parser cannot read, said in words that it can.
//!
//! One pass over the tokens, before the parser. Where there is no other way to say it, a [`mark`] stands for it, which
//! `lower` reads. Nothing is decided here: what comes out is parsed, matched node by node and printed from our own
//! tree like everything else, so a mistake of this pass can end in an error, or in a statement that is checked as it
//! is sent.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::keywords::{Category, category, may_be_name};
use super::mark;

/// `ONLY t`.
pub(super) const ONLY: &str = "only";
/// `ROWS FROM (...)`.
pub(super) const ROWS_FROM: &str = "rows from";
/// `GROUP BY DISTINCT`.
pub(super) const DISTINCT: &str = "distinct";
/// `VARIADIC argument`.
pub(super) const VARIADIC: &str = "variadic";
/// `(value).*`.
pub(super) const EVERYTHING: &str = "everything";
/// A window's EXCLUDE: what is left out, and the window it starts from, if any.
pub(super) const EXCLUDE: &str = "exclude";
/// SEARCH: `breadth` or `depth`, the column it adds, the columns it goes by.
pub(super) const SEARCH: &str = "search";
/// CYCLE: the columns it adds for the mark and for the way, and the columns it goes by.
pub(super) const CYCLE: &str = "cycle";

/// SELECT of nothing.
pub(super) const NOTHING: &str = "nothing";

/// Functions that have FROM between their arguments.
const WITH_FROM_INSIDE: [&str; 5] = ["extract", "overlay", "position", "substring", "trim"];
/// Words that end a FROM clause, or begin a query.
const ENDS_FROM: [&str; 14] = [
    "select",
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "except",
    "intersect",
    "values",
];

/// Rephrases the tokens of a text; blanks and comments are gone already.
pub(super) fn rephrase(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let said = Vec::with_capacity(tokens.len());
    let mut pass = Pass { tokens, at: 0, said, inserted: Vec::new(), frame: Frame::default(), outer: Vec::new() };
    pass.run();
    pass.into_tokens()
}

/// What a pair of parentheses holds.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// Where it opens, in what was said.
    open: usize,
    /// Whether this is inside a FROM clause, where commas separate relations.
    from: bool,
    /// Whether a relation is expected next.
    relation: bool,
    /// Whether FROM is part of a function's own syntax here, as in EXTRACT.
    syntax: bool,
    /// Whether this is inside GROUPING SETS.
    sets: bool,
    /// Whether the parenthesis that opens it was left out.
    dropped: bool,
    /// Whether this is inside GROUPING SETS, ROLLUP or CUBE, where the parser takes a parenthesis for a whole element.
    elements: bool,
    /// Whether a parenthesis was put before the element that is being read.
    enclosed: bool,
}

struct Pass {
    tokens: Vec<TokenWithSpan>,
    at: usize,
    said: Vec<TokenWithSpan>,
    /// Tokens to be put before the token that was said at this place.
    inserted: Vec<(usize, Vec<TokenWithSpan>)>,
    frame: Frame,
    outer: Vec<Frame>,
}

impl Pass {
    fn run(&mut self) {
        while let Some(token) = self.ahead(0) {
            match token {
                Token::LParen => self.open(),
                Token::RParen => self.close(),
                Token::Period if self.ahead(1) == Some(&Token::Mul) && self.follows_value() => self.fields_of_value(),
                Token::Comma => {
                    self.end_element();
                    self.take(1);
                    self.frame.relation = self.frame.from;
                }
                Token::SemiColon => {
                    self.take(1);
                    self.outer.clear();
                    self.frame = Frame::default();
                }
                Token::Word(word) => {
                    let word = word.clone();
                    self.word(&word);
                }
                _ => self.take(1),
            }
        }
    }

    /// What was said, with what belongs between.
    fn into_tokens(mut self) -> Vec<TokenWithSpan> {
        if self.inserted.is_empty() {
            return self.said;
        }
        self.inserted.sort_by_key(|(place, _)| *place);
        let mut inserted = self.inserted.into_iter().peekable();
        let mut tokens = Vec::with_capacity(self.said.len());
        for (place, token) in self.said.into_iter().enumerate() {
            while let Some((_, between)) = inserted.next_if(|(before, _)| *before == place) {
                tokens.extend(between);
            }
            tokens.push(token);
        }
        tokens
    }

    fn open(&mut self) {
        let syntax = self.before().is_some_and(|token| WITH_FROM_INSIDE.iter().any(|word| is(token, word)));
        let elements = self.follows(&["rollup", "cube"]);
        let relation = self.frame.relation;
        self.frame.relation = false;
        self.outer.push(self.frame);
        self.frame = Frame { open: self.said.len(), from: relation, relation, syntax, elements, ..Frame::default() };
        self.take(1);
    }

    fn close(&mut self) {
        self.end_element();
        let closed = self.frame;
        self.frame = self.outer.pop().unwrap_or_default();
        if closed.dropped {
            self.at += 1;
            return;
        }
        self.take(1);
        self.begin_element(closed.open);
        if self.frame.from && self.words(0, &["as"]) && self.ahead(1) == Some(&Token::LParen) {
            self.nameless_alias(closed.open);
        } else if self.words(0, &["search"]) || self.words(0, &["cycle"]) {
            self.search_and_cycle(closed.open);
        }
    }

    /// `ROLLUP ((a + b) * 2)`: what goes on behind the parenthesis that it begins with gets another around all of it.
    fn begin_element(&mut self, open: usize) {
        let first = open.checked_sub(1).and_then(|before| self.said.get(before));
        if self.frame.elements
            && first.is_some_and(|token| matches!(token.token, Token::LParen | Token::Comma))
            && !matches!(self.ahead(0), None | Some(Token::Comma | Token::RParen | Token::SemiColon))
        {
            let token = TokenWithSpan { token: Token::LParen, span: self.span() };
            self.inserted.push((open, vec![token]));
            self.frame.enclosed = true;
        }
    }

    fn end_element(&mut self) {
        if std::mem::take(&mut self.frame.enclosed) {
            self.say(Token::RParen, self.span());
        }
    }

    /// `(value).*`: the parser reads only names before `.*`.
    fn fields_of_value(&mut self) {
        self.take(1);
        self.replace(1, mark::token(EVERYTHING, &[], self.span()));
    }

    /// Whether what was said last is a value, or a field of one, and no name.
    fn follows_value(&self) -> bool {
        let mut said = self.said.iter().rev().map(|token| &token.token);
        loop {
            match said.next() {
                Some(Token::RParen | Token::RBracket) => return true,
                Some(Token::Word(_)) if said.next() == Some(&Token::Period) => {}
                _ => return false,
            }
        }
    }

    /// `f(x) AS (a int)`: PostgreSQL names the relation as its function.
    fn nameless_alias(&mut self, open: usize) {
        self.take(1);
        let function = open.checked_sub(1).and_then(|before| self.said.get(before));
        if let Some(TokenWithSpan { token: token @ Token::Word(_), .. }) = function {
            let named = TokenWithSpan { token: token.clone(), span: self.span() };
            self.said.push(named);
        }
    }

    fn word(&mut self, word: &Word) {
        if self.before() == Some(&Token::Period) && category(word) == Some(Category::Reserved) {
            // Behind a point any word is a name.
            let named = Token::make_word(&folded(word), Some('"'));
            return self.replace(1, TokenWithSpan { token: named, span: self.span() });
        }
        let relation = std::mem::take(&mut self.frame.relation);
        let folded = if word.quote_style.is_none() { word.value.to_ascii_lowercase() } else { String::new() };
        match folded.as_str() {
            "from" if self.compares() => self.take(1),
            "from" => {
                self.frame.from = !self.frame.syntax;
                self.frame.relation = self.frame.from;
                self.take(1);
            }
            "join" => {
                self.frame.relation = self.frame.from;
                self.take(1);
            }
            "lateral" => {
                self.frame.relation = relation;
                self.take(1);
            }
            "table" if self.begins_query() && self.reads_table() => self.table(),
            "only" if relation => self.only(),
            "rows" if relation && self.words(1, &["from"]) && self.ahead(2) == Some(&Token::LParen) => {
                self.replace(2, mark::token(ROWS_FROM, &[], self.span()));
            }
            "group" if self.words(1, &["by", "distinct"]) => self.group_by(true),
            "group" if self.words(1, &["by", "all"]) => self.group_by(false),
            "using" => self.ordering(),
            "variadic" => {
                let span = self.span();
                self.replace(1, mark::token(VARIADIC, &[], span));
                self.say(Token::RArrow, span);
            }
            "exclude" => self.exclude(),
            "with" if relation => {
                self.frame.from = false;
                self.take(1);
            }
            "grouping" if self.words(1, &["sets"]) && self.ahead(2) == Some(&Token::LParen) => self.grouping_sets(),
            // To the parser, both are char; without a length, neither has one before a string.
            "national" if self.words(1, &["char"]) || self.words(1, &["character"]) => self.at += 1,
            "nchar" if self.before() == Some(&Token::DoubleColon) || self.types_what_follows() => {
                self.replace(1, TokenWithSpan { token: Token::make_word("char", None), span: self.span() })
            }
            word if ENDS_FROM.contains(&word) => {
                self.frame.from = false;
                self.take(1);
                if word == "select" {
                    self.select();
                }
            }
            _ if relation && may_be_name(word) => self.relation_name(),
            _ => self.take(1),
        }
    }

    /// Whether `IS DISTINCT` or `IS NOT DISTINCT` was said last.
    fn compares(&self) -> bool {
        let before = self.said.len().checked_sub(2).and_then(|place| self.said.get(place));
        self.follows(&["distinct"]) && before.is_some_and(|before| is(&before.token, "is") || is(&before.token, "not"))
    }

    /// Whether a string, or a length and a string, comes behind the next word.
    fn types_what_follows(&self) -> bool {
        let length = self.ahead(1) == Some(&Token::LParen) && self.ahead(3) == Some(&Token::RParen);
        matches!(self.ahead(if length { 4 } else { 1 }), Some(Token::SingleQuotedString(_)))
    }

    /// A table's or function's name in FROM. A star behind it says that children are read too, which is so anyway.
    fn relation_name(&mut self) {
        self.take(1);
        while self.ahead(0) == Some(&Token::Period) && matches!(self.ahead(1), Some(Token::Word(_))) {
            self.take(2);
        }
        if self.ahead(0) == Some(&Token::Mul) {
            self.at += 1;
        }
    }

    /// `ONLY t`, `ONLY (t)`.
    fn only(&mut self) {
        let span = self.span();
        self.replace(1, mark::token(ONLY, &[], span));
        self.say(Token::Period, span);
        let enclosed = self.ahead(0) == Some(&Token::LParen);
        self.at += usize::from(enclosed);
        self.relation_name();
        if enclosed {
            match self.ahead(0) {
                Some(Token::RParen) => self.at += 1,
                _ => self.say(Token::RParen, span),
            }
        }
    }

    fn begins_query(&self) -> bool {
        match self.before() {
            None | Some(Token::SemiColon | Token::LParen | Token::RParen) => true,
            Some(_) => {
                self.follows(&["union", "except", "intersect", "all", "distinct", "explain", "verbose", "for", "as"])
            }
        }
    }

    /// Whether TABLE is followed by a name and by nothing that a query could not be followed by.
    fn reads_table(&self) -> bool {
        let mut next = 1;
        if self.words(next, &["only"]) {
            next += 1;
        }
        let name = |at: usize| matches!(self.ahead(at), Some(Token::Word(word)) if may_be_name(word));
        if !name(next) {
            return false;
        }
        next += 1;
        while self.ahead(next) == Some(&Token::Period) && matches!(self.ahead(next + 1), Some(Token::Word(_))) {
            next += 2;
        }
        if self.ahead(next) == Some(&Token::Mul) {
            next += 1;
        }
        match self.ahead(next) {
            None | Some(Token::SemiColon | Token::RParen) => true,
            Some(token) => ["order", "limit", "offset", "fetch", "for", "union", "except", "intersect"]
                .iter()
                .any(|word| is(token, word)),
        }
    }

    /// `TABLE t` is `SELECT * FROM t`.
    fn table(&mut self) {
        let span = self.span();
        self.at += 1;
        self.say(Token::make_word("SELECT", None), span);
        self.say(Token::Mul, span);
        self.say(Token::make_word("FROM", None), span);
        self.frame.from = true;
        self.frame.relation = true;
    }

    /// `GROUP BY DISTINCT a` becomes `GROUP BY mark, a`; ALL is what it is anyway.
    fn group_by(&mut self, distinct: bool) {
        self.frame.from = false;
        self.take(2);
        let span = self.span();
        if distinct {
            self.replace(1, mark::token(DISTINCT, &[], span));
            self.say(Token::Comma, span);
        } else {
            self.at += 1;
        }
    }

    /// GROUPING SETS inside of GROUPING SETS add their sets to the outer ones.
    fn grouping_sets(&mut self) {
        let inner = self.frame.sets;
        if inner {
            self.at += 3;
        } else {
            self.take(2);
        }
        self.outer.push(self.frame);
        self.frame = Frame { open: self.said.len(), sets: true, elements: true, dropped: inner, ..Frame::default() };
        if !inner {
            self.take(1);
        }
    }

    /// SELECT may select nothing, which the parser takes only before FROM.
    fn select(&mut self) {
        if self.words(0, &["all"]) {
            self.at += 1;
        }
        let nothing = match self.ahead(0) {
            None | Some(Token::RParen | Token::SemiColon) => true,
            Some(token) => ENDS_FROM.iter().any(|word| *word != "values" && is(token, word)),
        };
        if nothing {
            self.said.push(mark::token(NOTHING, &[], self.span()));
        }
    }

    /// `ORDER BY x USING <`: the operator of an ascending order, or of a descending one.
    fn ordering(&mut self) {
        let schema = ["operator"];
        let (operator, length) = if self.words(1, &schema) && self.words(3, &["pg_catalog"]) {
            (self.ahead(5), 7)
        } else if self.words(1, &schema) {
            (self.ahead(3), 5)
        } else {
            (self.ahead(1), 2)
        };
        let direction = match operator {
            Some(Token::Lt) => "ASC",
            Some(Token::Gt) => "DESC",
            _ => return self.take(1),
        };
        self.replace(length, TokenWithSpan { token: Token::make_word(direction, None), span: self.span() });
    }

    /// A window frame's EXCLUDE goes to the front, where the parser reads the name of another window.
    fn exclude(&mut self) {
        let what: &[(&str, &[&str])] = &[
            ("CURRENT ROW", &["current", "row"]),
            ("GROUP", &["group"]),
            ("TIES", &["ties"]),
            ("", &["no", "others"]),
        ];
        let found = what.iter().find(|(_, words)| {
            self.words(1, words) && self.ahead(1 + words.len()) == Some(&Token::RParen) && !self.outer.is_empty()
        });
        let Some((what, words)) = found else { return self.take(1) };
        let span = self.span();
        self.at += 1 + words.len();
        if what.is_empty() {
            return;
        }
        let first = self.frame.open + 1;
        let base = match self.said.get(first).map(|token| &token.token) {
            Some(Token::Word(word)) if !begins_window(word) => Some(folded(word)),
            _ => None,
        };
        match base {
            Some(base) => {
                if let Some(token) = self.said.get_mut(first) {
                    *token = mark::token(EXCLUDE, &[what, &base], token.span);
                }
            }
            None => self.inserted.push((first, vec![mark::token(EXCLUDE, &[what], span)])),
        }
    }

    /// SEARCH and CYCLE stand behind the query of a WITH; their marks go among the names of its columns.
    fn search_and_cycle(&mut self, open: usize) {
        let start = self.at;
        let mut marks = Vec::new();
        if let Some(search) = self.search() {
            marks.push(search);
        }
        if let Some(cycle) = self.cycle() {
            marks.push(cycle);
        }
        match self.as_before(open).filter(|_| !marks.is_empty()) {
            Some(place) => {
                let between = self.column_marks(place, marks);
                self.inserted.push((place, between));
            }
            None => self.at = start,
        }
    }

    /// Where AS stands before the parenthesis of a WITH query.
    fn as_before(&self, open: usize) -> Option<usize> {
        let said = |place: usize, word: &str| self.said.get(place).is_some_and(|token| is(&token.token, word));
        let mut place = open.checked_sub(1)?;
        if said(place, "materialized") {
            place = place.checked_sub(1)?;
            if said(place, "not") {
                place = place.checked_sub(1)?;
            }
        }
        said(place, "as").then_some(place)
    }

    fn column_marks(&mut self, place: usize, marks: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
        let span = self.span();
        let with = |token: Token| TokenWithSpan { token, span };
        let closing = place.checked_sub(1).and_then(|before| self.said.get_mut(before));
        let mut between = match closing {
            // `x (a, b) AS`: the parenthesis gives way to a comma, and comes again at the end.
            Some(token) if token.token == Token::RParen => {
                token.token = Token::Comma;
                Vec::new()
            }
            _ => vec![with(Token::LParen)],
        };
        for (index, mark) in marks.into_iter().enumerate() {
            if index > 0 {
                between.push(with(Token::Comma));
            }
            between.push(mark);
        }
        between.push(with(Token::RParen));
        between
    }

    fn search(&mut self) -> Option<TokenWithSpan> {
        let span = self.span();
        let order = ["breadth", "depth"].into_iter().find(|order| self.words(0, &["search", order, "first", "by"]))?;
        let mut at = 4;
        let by = self.names(&mut at)?;
        let column = self.name_after("set", &mut at)?;
        self.at += at;
        let parts: Vec<&str> = [order, &column].into_iter().chain(by.iter().map(String::as_str)).collect();
        Some(mark::token(SEARCH, &parts, span))
    }

    fn cycle(&mut self) -> Option<TokenWithSpan> {
        let span = self.span();
        if !self.words(0, &["cycle"]) {
            return None;
        }
        let mut at = 1;
        let columns = self.names(&mut at)?;
        let column = self.name_after("set", &mut at)?;
        let way = self.name_after("using", &mut at)?;
        self.at += at;
        let parts: Vec<&str> = [&column, &way].into_iter().chain(&columns).map(String::as_str).collect();
        Some(mark::token(CYCLE, &parts, span))
    }

    fn names(&self, at: &mut usize) -> Option<Vec<String>> {
        let mut names = vec![self.name(at)?];
        while self.ahead(*at) == Some(&Token::Comma) {
            *at += 1;
            names.push(self.name(at)?);
        }
        Some(names)
    }

    fn name_after(&self, word: &str, at: &mut usize) -> Option<String> {
        if !self.words(*at, &[word]) {
            return None;
        }
        *at += 1;
        self.name(at)
    }

    fn name(&self, at: &mut usize) -> Option<String> {
        let name = match self.ahead(*at) {
            Some(Token::Word(word)) if may_be_name(word) => folded(word),
            _ => return None,
        };
        *at += 1;
        Some(name)
    }

    /// Says the next tokens as they are.
    fn take(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(token) = self.tokens.get(self.at) {
                self.said.push(token.clone());
                self.at += 1;
            }
        }
    }

    fn say(&mut self, token: Token, span: Span) {
        self.said.push(TokenWithSpan { token, span });
    }

    fn replace(&mut self, count: usize, by: TokenWithSpan) {
        self.said.push(by);
        self.at += count;
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or_else(Span::empty, |token| token.span)
    }

    fn ahead(&self, by: usize) -> Option<&Token> {
        self.tokens.get(self.at + by).map(|token| &token.token)
    }

    /// Whether these words follow from `by` on.
    fn words(&self, by: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(index, word)| self.ahead(by + index).is_some_and(|token| is(token, word)))
    }

    fn before(&self) -> Option<&Token> {
        self.said.last().map(|token| &token.token)
    }

    fn follows(&self, words: &[&str]) -> bool {
        self.before().is_some_and(|token| words.iter().any(|word| is(token, word)))
    }
}

fn is(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

fn folded(word: &Word) -> String {
    if word.quote_style.is_none() { word.value.to_ascii_lowercase() } else { word.value.clone() }
}

fn begins_window(word: &Word) -> bool {
    matches!(word.keyword, Keyword::PARTITION | Keyword::ORDER | Keyword::RANGE | Keyword::ROWS | Keyword::GROUPS)
}
