//! Works on frames that a source sent and that we relay: whole messages, read only as far as needed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// DataRow frames, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The first rows, as many as were asked for.
    pub head: Bytes,
    /// The rows after them.
    pub tail: Bytes,
}

/// A source's frame does not hold what its length says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row frame is broken")]
pub struct BrokenFrame;

/// Divides whole DataRow frames after the first `count` of them.
pub fn split_rows(mut frames: Bytes, count: u64) -> Result<Rows, BrokenFrame> {
    let mut end = 0_usize;
    for _ in 0..count {
        if end == frames.len() {
            break;
        }
        end = end.checked_add(1 + frame_length(&frames, end + 1)?).ok_or(BrokenFrame)?;
        if end > frames.len() {
            return Err(BrokenFrame);
        }
    }
    let tail = frames.split_off(end);
    Ok(Rows { head: frames, tail })
}

/// A RowDescription frame with its columns' formats as a Bind asked for them: none for all text, one for all, or one
/// each.
pub fn with_formats(description: &Bytes, formats: &[i16]) -> Result<Bytes, BrokenFrame> {
    if formats.iter().all(|&format| format == 0) {
        return Ok(description.clone());
    }
    let mut rest = description.clone();
    let mut patched = BytesMut::with_capacity(description.len());
    patched.put(take(&mut rest, 5)?);
    let columns = rest.try_get_u16().map_err(|_| BrokenFrame)?;
    patched.put_u16(columns);
    for column in 0..usize::from(columns) {
        let name_bytes = rest.iter().position(|&byte| byte == 0).ok_or(BrokenFrame)?;
        // Name and its zero, table oid, column number, type oid, type size, type modifier.
        patched.put(take(&mut rest, name_bytes + 1 + 4 + 2 + 4 + 2 + 4)?);
        let own = rest.try_get_i16().map_err(|_| BrokenFrame)?;
        patched.put_i16(match formats {
            [all] => *all,
            each => each.get(column).copied().unwrap_or(own),
        });
    }
    Ok(patched.freeze())
}

fn frame_length(frames: &Bytes, at: usize) -> Result<usize, BrokenFrame> {
    let mut word = frames.get(at..).ok_or(BrokenFrame)?;
    let length = word.try_get_u32().map_err(|_| BrokenFrame)?;
    usize::try_from(length).map_err(|_| BrokenFrame)
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, BrokenFrame> {
    if length > rest.len() {
        return Err(BrokenFrame);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[&str]) -> Bytes {
        let mut out = BytesMut::new();
        for value in values {
            out.put_u8(b'D');
            out.put_u32(u32::try_from(4 + 2 + 4 + value.len()).unwrap());
            out.put_u16(1);
            out.put_u32(u32::try_from(value.len()).unwrap());
            out.put(value.as_bytes());
        }
        out.freeze()
    }

    #[test]
    fn rows_divide_at_any_count() {
        let all = rows(&["a", "bb", "", "dddd"]);
        for count in 0..6 {
            let divided = split_rows(all.clone(), count).unwrap();
            let mut joined = BytesMut::from(&divided.head[..]);
            joined.put(divided.tail.clone());
            assert_eq!(joined.freeze(), all);
        }
        assert_eq!(split_rows(all.clone(), 2).unwrap().head, rows(&["a", "bb"]));
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        let all = rows(&["hello"]);
        for end in 1..all.len() {
            assert_eq!(split_rows(all.slice(..end), 1), Err(BrokenFrame));
        }
        assert_eq!(split_rows(Bytes::from_static(b"D\xff\xff\xff\xff"), 1), Err(BrokenFrame));
    }

    #[test]
    fn formats_are_written_over_the_sources() {
        let mut frame = BytesMut::new();
        frame.put(&b"T\0\0\0\0\0\x02"[..]);
        for name in ["id", "name"] {
            frame.put(name.as_bytes());
            frame.put(&[0_u8; 1 + 4 + 2 + 4 + 2 + 4 + 2][..]);
        }
        let frame = frame.freeze();
        assert_eq!(with_formats(&frame, &[]).unwrap(), frame);
        let both = with_formats(&frame, &[1]).unwrap();
        assert_eq!(both.iter().filter(|&&byte| byte == 1).count(), 2);
        let second = with_formats(&frame, &[0, 1]).unwrap();
        assert_eq!(second.last(), Some(&1));
        assert_eq!(with_formats(&frame.slice(..frame.len() - 1), &[1]), Err(BrokenFrame));
    }
}
