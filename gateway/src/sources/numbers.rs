//! What a source's answers call tables and types by number, in the numbers of the shadow: a client looks them up there.
//!
//! Separate from the shadows because it is about answers of the source. What a client is told is never a number that the
//! shadow does not have: it would find nothing by it, or something else.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use passgate_connectors::{Description, Names};

use super::Differences;

/// The numbers of one shadow, for the answers to one statement.
#[derive(Debug, Default)]
pub struct Numbers {
    /// None where the shadow is not known: then no column is of a table.
    differences: Option<Arc<Differences>>,
    /// The last description of rows that was translated, and what it became: a statement's is always the same.
    last: Mutex<Option<(Bytes, Bytes)>>,
}

impl Numbers {
    pub(super) fn new(differences: Option<Arc<Differences>>) -> Self {
        Self { differences, last: Mutex::default() }
    }

    /// Whether they are those of this database.
    pub(super) fn are_of(&self, names: &Arc<Names>) -> bool {
        self.differences.as_ref().is_some_and(|known| known.are_of(names))
    }

    /// Translates a RowDescription.
    pub(super) fn fields(&self, frame: Bytes) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, translated)) = last.as_ref().filter(|(before, _)| *before == frame) {
            return translated.clone();
        }
        let column = |table, number| self.differences.as_ref().map_or((0, 0), |known| known.column(table, number));
        let translated = renumbered(&frame, column, |of| self.type_of(of)).unwrap_or_else(|| frame.clone());
        *last = Some((frame, translated.clone()));
        translated
    }

    /// Translates the types of parameters and rows.
    pub(super) fn description(&self, description: Description) -> Description {
        let parameters = description.parameters.into_iter().map(|of| self.type_of(of)).collect();
        Description { parameters, fields: description.fields.map(|frame| self.fields(frame)) }
    }

    fn type_of(&self, at_source: u32) -> u32 {
        self.differences.as_ref().map_or(at_source, |known| known.type_of(at_source))
    }
}

/// The same RowDescription with other numbers; `None` where it cannot be read.
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, RowDescription.
fn renumbered(frame: &Bytes, column: impl Fn(u32, i16) -> (u32, i16), type_of: impl Fn(u32) -> u32) -> Option<Bytes> {
    /// Before the first field: a byte that says what the message is, its length, the number of fields.
    const HEAD: usize = 7;
    /// Of a field, after its name: table, column, type; the type's length, modifier, format.
    const NUMBERS: usize = 10;
    const REST: usize = 8;
    let mut left = frame.get(HEAD..)?;
    let mut translated = BytesMut::with_capacity(frame.len());
    translated.extend_from_slice(frame.get(..HEAD)?);
    while !left.is_empty() {
        let name = left.iter().position(|byte| *byte == 0)?.checked_add(1)?;
        translated.extend_from_slice(left.get(..name)?);
        left.advance(name);
        if left.len() < NUMBERS + REST {
            return None;
        }
        let (table, number, of) = (left.get_u32(), left.get_i16(), left.get_u32());
        let (table, number) = if table == 0 { (0, number) } else { column(table, number) };
        translated.put_u32(table);
        translated.put_i16(number);
        translated.put_u32(type_of(of));
        translated.extend_from_slice(left.get(..REST)?);
        left.advance(REST);
    }
    Some(translated.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(fields: &[(&str, u32, i16, u32)]) -> Bytes {
        let mut frame = BytesMut::from(&b"T\0\0\0\0"[..]);
        frame.put_i16(i16::try_from(fields.len()).unwrap());
        for (name, table, number, of) in fields {
            frame.extend_from_slice(name.as_bytes());
            frame.put_u8(0);
            frame.put_u32(*table);
            frame.put_i16(*number);
            frame.put_u32(*of);
            frame.extend_from_slice(&[0, 4, 255, 255, 255, 255, 0, 1]);
        }
        frame.freeze()
    }

    #[test]
    fn tables_and_types_get_other_numbers_and_nothing_else_changes() {
        let frame = described(&[("id", 20_000, 3, 23), ("mood", 20_000, 4, 30_000), ("?column?", 0, 0, 25)]);
        let translated = renumbered(&frame, |table, number| (table + 1, number - 1), |of| of % 29_000).unwrap();
        let expected = described(&[("id", 20_001, 2, 23), ("mood", 20_001, 3, 1_000), ("?column?", 0, 0, 25)]);
        assert_eq!(translated, expected);
    }

    #[test]
    fn without_a_shadow_no_column_is_of_a_table() {
        let numbers = Numbers::default();
        let frame = described(&[("id", 20_000, 3, 23)]);
        let translated = numbers.fields(frame.clone());
        assert_eq!(translated, described(&[("id", 0, 0, 23)]));
        assert_eq!(numbers.fields(frame), translated);
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_is() {
        for broken in [&b""[..], b"T\0\0\0\x06\0\x01", b"T\0\0\0\x08\0\x01ab", b"T\0\0\0\x08\0\x01a\0\0\0"] {
            let frame = Bytes::copy_from_slice(broken);
            assert_eq!(Numbers::default().fields(frame.clone()), frame);
        }
    }
}
