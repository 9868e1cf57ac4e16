//! A policy file as written: JSON with comments and trailing commas, and the place of everything in it.
//!
//! Separate from `compile` because it knows JSON and nothing of policies. Whatever a file holds, reading it ends: its
//! size and its nesting are bounded, and the parser's own recursion is.

use jsonc_parser::ast::{Array, ObjectProp, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::PolicyFile;
use crate::problem::{Problem, Problems};

/// Bytes of one policy file.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Objects and lists inside one another. The parser itself stops at 512.
const NESTING_MAX: usize = 32;

/// Comments and trailing commas, as editors accept them in JSONC; otherwise strict JSON.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The text of a file and where its lines start.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(file: &'a PolicyFile) -> Self {
        let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        Self { path: &file.path, text, line_starts }
    }

    /// The line that holds a byte, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= byte).max(1)
    }

    /// The column of a byte in characters, from 1.
    fn column(&self, byte: usize) -> usize {
        let start = self.line_starts.get(self.line(byte) - 1).copied().unwrap_or(0);
        self.text.get(start..byte).map_or(1, |before| before.chars().count() + 1)
    }

    /// Where a byte of a string's value stands in the text, which may write it with escapes.
    pub(crate) fn offset_in_string(&self, string: Range, value_byte: usize) -> usize {
        let start = string.start + 1;
        let mut characters = self.text.get(start..string.end).unwrap_or_default().char_indices();
        let mut value_bytes = 0;
        while let Some((index, character)) = characters.next() {
            if value_bytes >= value_byte {
                return start + index;
            }
            value_bytes += match character {
                '\\' => escaped_bytes(&mut characters),
                other => other.len_utf8(),
            };
        }
        string.end.saturating_sub(1)
    }

    /// A problem with what stands at `range`.
    pub(crate) fn problem(&self, range: Range, message: String, suggestion: Option<String>) -> Problem {
        Problem {
            file: self.path.to_owned(),
            line: self.line(range.start),
            column: self.column(range.start),
            message,
            suggestion,
        }
    }
}

/// A policy file, parsed.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) source: Source<'a>,
    root: Value<'a>,
}

impl<'a> Document<'a> {
    /// Parses a file, or says why it is not JSON that we read.
    pub(crate) fn parse(file: &'a PolicyFile, problems: &mut Problems) -> Option<Self> {
        let source = Source::new(file);
        match parse(&source) {
            Ok(root) => Some(Self { source, root }),
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    /// What the file holds: the elements of its list, or the one value it is.
    pub(crate) fn entries(&self) -> &[Value<'a>] {
        match &self.root {
            Value::Array(Array { elements, .. }) => elements,
            one => std::slice::from_ref(one),
        }
    }
}

fn parse<'a>(source: &Source<'a>) -> Result<Value<'a>, Problem> {
    let top = Range { start: 0, end: 0 };
    if source.text.len() > FILE_BYTES_MAX {
        let suggestion = Some("split it into several files".to_owned());
        return Err(source.problem(top, format!("the file is larger than {FILE_BYTES_MAX} bytes"), suggestion));
    }
    let parsed = parse_to_ast(source.text, &CollectOptions::default(), &OPTIONS)
        .map_err(|error| source.problem(error.range(), lower_first(&error.kind().to_string()), None))?;
    let Some(root) = parsed.value else {
        let suggestion = Some("write a policy, or a list of policies".to_owned());
        return Err(source.problem(top, "the file is empty".to_owned(), suggestion));
    };
    match too_deep(&root, NESTING_MAX) {
        Some(range) => {
            Err(source.problem(range, format!("objects and lists are nested deeper than {NESTING_MAX}"), None))
        }
        None => Ok(root),
    }
}

/// Reads what follows the backslash of an escape, and says how many bytes it stands for.
fn escaped_bytes(characters: &mut std::str::CharIndices<'_>) -> usize {
    if !matches!(characters.next(), Some((_, 'u'))) {
        return 1;
    }
    let mut code_unit = || {
        let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
        u32::from_str_radix(&digits, 16).unwrap_or(0)
    };
    match code_unit() {
        // The first half of a pair; the second follows as an escape of its own.
        0xd800..=0xdbff => {
            characters.nth(1);
            characters.nth(3);
            4
        }
        code => char::from_u32(code).map_or(1, char::len_utf8),
    }
}

/// The first value that stands deeper than `depth`. Recursion is bounded by `depth`.
fn too_deep(value: &Value<'_>, depth: usize) -> Option<Range> {
    let Some(inner) = depth.checked_sub(1) else { return Some(value.range()) };
    match value {
        Value::Array(array) => array.elements.iter().find_map(|element| too_deep(element, inner)),
        Value::Object(object) => object.properties.iter().find_map(|ObjectProp { value, .. }| too_deep(value, inner)),
        _ => None,
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// What kind of JSON value it is, for a sentence.
pub(crate) fn kind_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a text",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(text: &str) -> String {
        let file = PolicyFile { path: "p.json".to_owned(), text: text.to_owned() };
        let mut problems = Problems::default();
        assert!(Document::parse(&file, &mut problems).is_none(), "parsed: {text}");
        problems.sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn comments_trailing_commas_and_a_byte_order_mark_are_read() {
        let text = "\u{feff}// who may read\n[ /* one */ { \"name\": \"é\", }, ]";
        let file = PolicyFile { path: "p.json".to_owned(), text: text.to_owned() };
        let document = Document::parse(&file, &mut Problems::default()).expect("parses");
        assert_eq!(document.entries().len(), 1);
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert_eq!(problem_of(""), "p.json:1:1: the file is empty; write a policy, or a list of policies");
        assert_eq!(problem_of("{\n  name: 1 }"), "p.json:2:3: expected string for object property");
        assert_eq!(problem_of("{'a': 1}"), "p.json:1:2: single-quoted strings are not allowed");
        assert_eq!(problem_of("{\"é\": 0x1}"), "p.json:1:7: hexadecimal numbers are not allowed");
        assert_eq!(problem_of("{} {}"), "p.json:1:4: text cannot contain more than one JSON value");
    }

    #[test]
    fn size_and_nesting_are_bounded() {
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        assert_eq!(problem_of(&deep), "p.json:1:33: objects and lists are nested deeper than 32");
        let deeper = "[".repeat(100_000);
        assert_eq!(problem_of(&deeper), "p.json:1:513: maximum nesting depth exceeded");
        let large = " ".repeat(FILE_BYTES_MAX + 1);
        assert_eq!(
            problem_of(&large),
            "p.json:1:1: the file is larger than 1048576 bytes; split it into several files"
        );
    }
}
