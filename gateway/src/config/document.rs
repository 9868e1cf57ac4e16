//! YAML text to a tree that remembers where everything stood.
//!
//! Built on the parser's events rather than on its own tree: the events still know quoting and place, and what a
//! settings file has no use for (aliases, tags, several documents, keys that are not text) can be refused where it
//! stands, before it grows. What a scalar means is left to whoever reads it: `port: 5432` is a number because the
//! port is one, and `password: 0123` stays the text it is.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::problem::{Findings, Place};

/// A settings file larger than this is refused unread.
pub(super) const BYTES_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 20_000;

/// A value, and where it stands. Deliberately without `Debug`: it may hold a secret.
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) content: Content,
}

pub(super) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

pub(super) struct Key {
    pub(super) at: Place,
    pub(super) text: String,
}

pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so `5`, `true` and `~` are more than text.
    pub(super) plain: bool,
    /// Came out of a `{{ ... }}`: typed like a plain scalar, and never shown in a message.
    pub(super) computed: bool,
}

impl Scalar {
    /// Whether it stands for "nothing": `~`, `null`, or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Whether numbers and booleans may be read from it.
    pub(super) fn is_typed(&self) -> bool {
        self.plain || self.computed
    }
}

impl Node {
    /// The value under a key, when this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(candidate, _)| candidate.text == key).map(|(_, value)| value)
    }

    /// The keys and values, when this is a mapping.
    pub(super) fn entries(&self) -> &[(Key, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(_) | Content::List(_) => &[],
        }
    }

    /// The items, when this is a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            Content::Scalar(_) | Content::Map(_) => &[],
        }
    }

    /// Whether this is a list with nothing in it.
    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.content, Content::List(items) if items.is_empty())
    }

    /// The text, when this is a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// What it is, for a message; quotes the value only where it cannot be a secret fetched from elsewhere.
    pub(super) fn describe(&self) -> String {
        match &self.content {
            Content::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Content::Scalar(scalar) if scalar.computed => "the result of an expression".to_owned(),
            Content::Scalar(scalar) if scalar.text.chars().count() > 60 => "a long text".to_owned(),
            Content::Scalar(scalar) => format!("{:?}", scalar.text),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "keys and values".to_owned(),
        }
    }
}

/// Reads one document; an empty file is an empty mapping. `None` when something was wrong with the YAML itself.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut builder = Builder { findings, open: Vec::new(), root: None, nodes: 0, documents: 0, sound: true };
    for event in Parser::new_from_str(text).keep_tags(false) {
        let going_on = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => builder.broken(&error),
        };
        if !going_on {
            return None;
        }
    }
    let sound = builder.sound;
    let root = builder.root.unwrap_or(Node { at: Place { line: 1, column: 1 }, content: Content::Map(Vec::new()) });
    sound.then_some(root)
}

struct Builder<'a> {
    findings: &'a mut Findings,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    sound: bool,
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: Place,
    content: Content,
    key: Option<Key>,
}

impl Builder<'_> {
    /// Takes one event; false when there is no use in going on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let at = place(&span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
            Event::DocumentStart(_) => {
                self.documents += 1;
                self.documents == 1 || self.refuse(at, "a second document", "keep one document, without `---`")
            }
            Event::Alias(_) => self.refuse(at, "an alias", "write the value out"),
            Event::Scalar(_, _, anchor, tag) if anchor > 0 || tag.is_some() => self.refuse_decoration(at),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) if anchor > 0 || tag.is_some() => {
                self.refuse_decoration(at)
            }
            Event::Scalar(text, style, _, _) => self.scalar(at, text.into_owned(), style),
            Event::SequenceStart(..) => self.start(at, Content::List(Vec::new())),
            Event::MappingStart(..) => self.start(at, Content::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn scalar(&mut self, at: Place, text: String, style: ScalarStyle) -> bool {
        if !self.has_room(at) {
            return false;
        }
        if let Some(Open { content: Content::Map(entries), key: key @ None, .. }) = self.open.last_mut() {
            if let Some((earlier, _)) = entries.iter().find(|(earlier, _)| earlier.text == text) {
                let message = format!("the key {text:?} is given twice");
                let first = format!("the first one is on line {}; keep one of them", earlier.at.line);
                self.findings.error(at, message, Some(first));
                self.sound = false;
            }
            *key = Some(Key { at, text });
            return true;
        }
        let plain = style == ScalarStyle::Plain;
        self.place(Node { at, content: Content::Scalar(Scalar { text, plain, computed: false }) });
        true
    }

    fn start(&mut self, at: Place, content: Content) -> bool {
        if let Some(Open { content: Content::Map(_), key: None, .. }) = self.open.last() {
            return self.refuse(at, "a key that is a list or a mapping", "write a plain word as the key");
        }
        if self.open.len() >= DEPTH_MAX {
            return self.refuse(
                at,
                &format!("nesting deeper than {DEPTH_MAX}"),
                "no setting needs it: flatten the file",
            );
        }
        if !self.has_room(at) {
            return false;
        }
        self.open.push(Open { at, content, key: None });
        true
    }

    fn end(&mut self) -> bool {
        if let Some(Open { at, content, .. }) = self.open.pop() {
            self.place(Node { at, content });
        }
        true
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open { content: Content::List(items), .. }) => items.push(node),
            Some(Open { content: Content::Map(entries), key, .. }) => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                }
            }
            Some(Open { content: Content::Scalar(_), .. }) => {}
            None if node.is_empty_scalar() => {}
            None => self.root = Some(node),
        }
    }

    fn has_room(&mut self, at: Place) -> bool {
        self.nodes += 1;
        self.nodes <= NODES_MAX
            || self.refuse(at, &format!("more than {NODES_MAX} values"), "this is not a settings file")
    }

    fn refuse_decoration(&mut self, at: Place) -> bool {
        self.refuse(at, "a tag or an anchor", "write the plain value")
    }

    fn refuse(&mut self, at: Place, what: &str, instead: &str) -> bool {
        self.findings.error(at, format!("{what} is not allowed in a settings file"), Some(instead.to_owned()));
        false
    }

    fn broken(&mut self, error: &ScanError) -> bool {
        self.findings.error(place(error.marker()), format!("this is not YAML: {}", error.info()), None);
        false
    }
}

impl Node {
    /// The root of a file with nothing but comments.
    fn is_empty_scalar(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.is_null())
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}
