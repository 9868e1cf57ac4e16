//! The owner of a shadow in what it answers, under the name of the person who asks.
//!
//! Separate from the shadows because it is about their answers. Everything there is the shadow's reader's, so the rights
//! that `relacl` and its like tell are the reader's, and the name of that login is nobody's business. No function can
//! write another name into a value of type `aclitem`, for the server has no role of the person's name: it is done here, in
//! the text of rows, where a right stands as `reader=r/reader`.
//! Source: `aclitemout` in PostgreSQL's `src/backend/utils/adt/acl.c`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What stands for what.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    reader: String,
    person: String,
}

impl Owner {
    /// The person in place of the reader; none where a name would have to be quoted, in ways that depend on where it
    /// stands.
    pub(super) fn new(reader: &str, person: &str) -> Option<Self> {
        let plain = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'+');
            !name.is_empty() && name.bytes().all(is_plain)
        };
        (plain(reader) && plain(person)).then(|| Self { reader: reader.to_owned(), person: person.to_owned() })
    }

    /// The same rows with the person's rights.
    pub(super) fn rows(&self, frames: Bytes) -> Bytes {
        let granted = format!("/{}", self.reader);
        if !frames.windows(granted.len()).any(|part| part == granted.as_bytes()) {
            return frames;
        }
        self.renamed(frames.clone()).unwrap_or(frames)
    }

    /// `None` where the rows cannot be read.
    /// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, DataRow.
    fn renamed(&self, mut frames: Bytes) -> Option<Bytes> {
        let mut renamed = BytesMut::with_capacity(frames.len());
        while !frames.is_empty() {
            let (kind, _length) = (frames.try_get_u8().ok()?, frames.try_get_u32().ok()?);
            let columns = frames.try_get_u16().ok()?;
            let mut row = BytesMut::new();
            row.put_u16(columns);
            for _ in 0..columns {
                let length = frames.try_get_i32().ok()?;
                let Ok(length) = usize::try_from(length) else {
                    row.put_i32(length);
                    continue;
                };
                if frames.len() < length {
                    return None;
                }
                let value = self.value(&frames.split_to(length));
                row.put_i32(i32::try_from(value.len()).ok()?);
                row.extend_from_slice(&value);
            }
            renamed.put_u8(kind);
            renamed.put_u32(u32::try_from(row.len()).ok()?.checked_add(4)?);
            renamed.extend_from_slice(&row);
        }
        Some(renamed.freeze())
    }

    fn value(&self, value: &Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(value) else { return value.clone() };
        let granted = format!("/{}", self.reader);
        if !text.contains(&granted) {
            return value.clone();
        }
        let is_end = |letter: char| matches!(letter, ',' | '}' | '\n' | '"' | ')' | ' ');
        let mut renamed = String::with_capacity(text.len());
        // Each part of the text that one right may be, with what ends it.
        for part in text.split_inclusive(is_end) {
            let right = part.trim_end_matches(is_end);
            let (_, end) = part.split_at(right.len());
            let (before, right) = right.rfind('{').map_or(("", right), |place| right.split_at(place.saturating_add(1)));
            renamed.push_str(before);
            match self.right(right) {
                Some(right) => renamed.push_str(&right),
                None => renamed.push_str(right),
            }
            renamed.push_str(end);
        }
        renamed.into()
    }

    /// `grantee=letters/grantor`, where the grantor is the reader; a grantee of no name is everybody.
    fn right(&self, right: &str) -> Option<String> {
        let (grantee, rest) = right.split_once('=')?;
        let (letters, grantor) = rest.split_once('/')?;
        let is_right = grantor == self.reader && letters.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'*');
        let grantee = if grantee == self.reader { &self.person } else { grantee };
        is_right.then(|| format!("{grantee}={letters}/{}", self.person))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            body.put_i32(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()));
            body.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        let mut frame = BytesMut::from(&b"D"[..]);
        frame.put_u32(u32::try_from(body.len()).unwrap() + 4);
        frame.extend_from_slice(&body);
        frame.freeze()
    }

    #[test]
    fn rights_are_the_persons_and_nothing_else_changes() {
        let owner = Owner::new("keeper", "ana@acme.example").unwrap();
        let pairs = [
            ("{keeper=r/keeper}", "{ana@acme.example=r/ana@acme.example}"),
            ("{=UC/keeper,keeper=r*x/keeper}", "{=UC/ana@acme.example,ana@acme.example=r*x/ana@acme.example}"),
            ("=U/keeper\nkeeper=r/keeper", "=U/ana@acme.example\nana@acme.example=r/ana@acme.example"),
            ("keeper", "keeper"),
            ("a/keeper, b", "a/keeper, b"),
            ("{keeper=r/postgres}", "{keeper=r/postgres}"),
            ("x=r/keepers", "x=r/keepers"),
            ("/keeper=1/keeper", "/keeper=1/keeper"),
        ];
        let rows = |place: fn(&(&'static str, &'static str)) -> &'static str| {
            let rows = pairs.iter().map(|pair| row(&[None, Some(place(pair)), Some("")]));
            Bytes::from(rows.collect::<Vec<_>>().concat())
        };
        assert_eq!(owner.rows(rows(|pair| pair.0)), rows(|pair| pair.1));
    }

    #[test]
    fn what_cannot_be_read_or_named_stays_as_it_is() {
        let owner = Owner::new("keeper", "ana").unwrap();
        for broken in [&b"D/keeper"[..], b"D\0\0\0\x20\0\x01\0\0\x7f\xffkeeper=r/keeper"] {
            assert_eq!(owner.rows(Bytes::copy_from_slice(broken)), broken);
        }
        assert!(Owner::new("keeper", "o'hara").is_none() && Owner::new("the keeper", "ana").is_none());
    }
}
