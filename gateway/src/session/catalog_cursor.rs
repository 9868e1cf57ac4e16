//! Cursors over the catalog: their rows are read when they are declared, and kept by the session.
//!
//! Separate from `cursor`, whose cursors are the source's own. A shadow has no transactions that a cursor could live in,
//! and what it answers is small: clients that declare a cursor for everything they ask declare one for this, too.
//! Source: `DoPortalRunFetch` in PostgreSQL's `src/backend/tcop/pquery.c`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use passgate_connectors::{Batch, Bind, Description, Format};
use passgate_wire as wire;

use super::Session;
use super::error::{Error, Failure};
use super::ready::Ready;
use super::relay::{Running, Standing};
use super::road::Permission;
use crate::audit::Record;
use crate::statement::{Cursor as Declared, Direction, Fetch};

/// The rows of a cursor.
pub(super) struct Answer {
    fields: Bytes,
    /// A message each.
    rows: Vec<Bytes>,
    /// The row it stands on, from 1; 0 before the first, one more than there are behind the last.
    position: usize,
    format: Format,
    scrolls: bool,
}

impl Answer {
    fn new(batches: VecDeque<Batch>, declared: &Declared) -> Result<Self, wire::BrokenFrame> {
        let (format, scrolls) = (format(declared), declared.scroll != Some(false));
        let mut answer = Self { fields: Bytes::new(), rows: Vec::new(), position: 0, format, scrolls };
        for batch in batches {
            match batch {
                Batch::Fields(fields) => answer.fields = fields,
                Batch::Rows { mut frames, .. } => {
                    while !frames.is_empty() {
                        let divided = wire::split_rows(frames, 1)?;
                        answer.rows.push(divided.head);
                        frames = divided.tail;
                    }
                }
                Batch::Copied(_) | Batch::Notice(_) | Batch::Done { .. } => {}
            }
        }
        Ok(answer)
    }

    /// What it is described as.
    pub(super) fn description(&self) -> Arc<Description> {
        Arc::new(Description { parameters: Vec::new(), fields: Some(self.fields.clone()) })
    }

    /// How many bytes of rows it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(Bytes::len).sum()
    }

    /// What FETCH or MOVE answers.
    fn fetch(&mut self, fetch: &Fetch, formats: &[Format]) -> Result<VecDeque<Batch>, Error> {
        let is_text = formats.is_empty() && self.format == Format::Text;
        if !(fetch.moves || is_text || !formats.is_empty() && formats.iter().all(|format| *format == self.format)) {
            return Err(Error::FetchFromPortal(fetch.cursor.clone()));
        }
        let places = self.go(fetch.direction)?;
        let command = if fetch.moves { "MOVE" } else { "FETCH" };
        let done = Batch::Done { tag: format!("{command} {}", places.len()) };
        if fetch.moves {
            return Ok([done].into());
        }
        let mut frames = BytesMut::new();
        let rows = places.iter().filter_map(|place| self.rows.get(place.checked_sub(1)?));
        rows.for_each(|row| frames.extend_from_slice(row));
        let rows = u64::try_from(places.len()).unwrap_or(u64::MAX);
        Ok([Batch::Fields(self.fields.clone()), Batch::Rows { frames: frames.freeze(), rows }, done].into())
    }

    /// Moves, and says which rows lie on the way.
    fn go(&mut self, direction: Direction) -> Result<Vec<usize>, Error> {
        let (from, last) = (self.position, self.rows.len());
        let end = last.saturating_add(1);
        let many = |rows: Option<u32>| rows.map_or(end, |rows| usize::try_from(rows).unwrap_or(end));
        let there = |to: usize| if (1..=last).contains(&to) { vec![to] } else { Vec::new() };
        let by = |rows: i32, from: usize| match usize::try_from(rows) {
            Ok(forward) => from.saturating_add(forward).min(end),
            Err(_) => from.saturating_sub(usize::try_from(rows.unsigned_abs()).unwrap_or(from)),
        };
        let (to, places) = match direction {
            Direction::Forward(Some(0)) | Direction::Backward(Some(0)) => (from, there(from)),
            Direction::Forward(rows) => {
                let to = from.saturating_add(many(rows)).min(end);
                (to, (from.saturating_add(1)..=to.min(last)).collect())
            }
            Direction::Backward(rows) => {
                let to = from.saturating_sub(many(rows));
                (to, (to.max(1)..from).rev().collect())
            }
            Direction::Relative(rows) => (by(rows, from), there(by(rows, from))),
            Direction::Absolute(row) => {
                let to = by(row, if row < 0 { end } else { 0 });
                (to, there(to))
            }
        };
        if to < from && !self.scrolls {
            return Err(Error::ForwardOnly);
        }
        self.position = to;
        Ok(places)
    }
}

/// What the rows are read in: FETCH by the extended protocol may ask for either, but what asks so mostly asks for text.
fn format(declared: &Declared) -> Format {
    if declared.binary { Format::Binary } else { Format::Text }
}

impl Session<Ready> {
    /// Declares a cursor over the catalog: runs its query, and keeps the answer.
    pub(super) async fn declare_over_catalog(
        &mut self,
        declared: &Declared,
        permission: Permission,
        bind: &Bind,
        record: Record,
    ) -> Result<Running, Failure> {
        let bind = Bind { result_formats: vec![format(declared)], ..bind.clone() };
        let tables = Arc::clone(&record.tables);
        let mut running = self.run(permission, &bind, &record).await?;
        self.keep_everything(&mut running).await?;
        let answer = Answer::new(std::mem::take(&mut running.kept), declared).map_err(|error| {
            let failure = Failure::from(error);
            running.fail(&failure);
            failure
        })?;
        self.remember_cursor(declared, tables, &mut running, Some(answer));
        running.kept.push_back(Batch::Done { tag: "DECLARE CURSOR".to_owned() });
        Ok(running)
    }

    /// Takes FETCH or MOVE of such a cursor down the road, once it was decided about.
    pub(super) async fn fetch_kept(
        &mut self,
        fetch: &Fetch,
        formats: &[Format],
        standing: Standing,
        record: Record,
    ) -> Result<Running, Failure> {
        let receipt = self.services.audit.open_together(&record).await.map_err(Failure::statement)?;
        let mut running = Running::recorded(receipt, Some(standing));
        let answer = self.state.cursors.answer(&fetch.cursor);
        let fetched =
            answer.ok_or_else(|| Error::NoCursor(fetch.cursor.clone())).and_then(|of| of.fetch(fetch, formats));
        match fetched {
            Ok(batches) => {
                running.kept = batches;
                running.reads(self.state.cursors.reading(fetch));
            }
            Err(error) => {
                let failure = Failure::from(error);
                running.fail(&failure);
                return Err(failure);
            }
        }
        Ok(running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: u8, scrolls: bool) -> Answer {
        let row = |number| Bytes::from(vec![b'D', 0, 0, 0, 5, number]);
        Answer { fields: Bytes::new(), rows: (1..=rows).map(row).collect(), position: 0, format: Format::Text, scrolls }
    }

    #[test]
    fn it_goes_where_postgresql_goes() {
        use Direction::{Absolute, Backward, Forward, Relative};
        let mut answer = answer(3, true);
        let steps: [(Direction, &[usize], usize); 17] = [
            (Forward(Some(0)), &[], 0),
            (Forward(Some(2)), &[1, 2], 2),
            (Forward(Some(0)), &[2], 2),
            (Forward(None), &[3], 4),
            (Forward(Some(1)), &[], 4),
            (Backward(Some(2)), &[3, 2], 2),
            (Backward(None), &[1], 0),
            (Backward(Some(1)), &[], 0),
            (Relative(3), &[3], 3),
            (Relative(-1), &[2], 2),
            (Relative(0), &[2], 2),
            (Relative(9), &[], 4),
            (Absolute(-1), &[3], 3),
            (Absolute(1), &[1], 1),
            (Absolute(-9), &[], 0),
            (Absolute(4), &[], 4),
            (Absolute(0), &[], 0),
        ];
        for (number, (direction, places, position)) in steps.into_iter().enumerate() {
            assert_eq!(answer.go(direction).unwrap(), places, "step {number}");
            assert_eq!(answer.position, position, "step {number}");
        }
    }

    #[test]
    fn a_cursor_that_does_not_scroll_goes_forward_only() {
        let mut answer = answer(3, false);
        assert_eq!(answer.go(Direction::Absolute(2)).unwrap(), [2]);
        assert!(matches!(answer.go(Direction::Backward(Some(1))), Err(Error::ForwardOnly)));
        assert_eq!(answer.go(Direction::Forward(None)).unwrap(), [3]);
    }

    #[test]
    fn rows_are_divided_and_put_together_again() {
        let declared = Declared { name: "c".to_owned(), binary: false, insensitive: false, scroll: None, hold: false };
        let frames = Bytes::from([[b'D', 0, 0, 0, 5, 1], [b'D', 0, 0, 0, 5, 2]].concat());
        let mut answer = Answer::new([Batch::Rows { frames: frames.clone(), rows: 2 }].into(), &declared).unwrap();
        let fetch = |moves, direction| Fetch { cursor: "c".to_owned(), direction, moves };
        let fetched = answer.fetch(&fetch(false, Direction::Forward(None)), &[]).unwrap();
        assert!(matches!(fetched.get(1), Some(Batch::Rows { frames: all, rows: 2 }) if *all == frames));
        let moved = answer.fetch(&fetch(true, Direction::Absolute(-2)), &[Format::Binary]).unwrap();
        assert!(matches!(moved.front(), Some(Batch::Done { tag }) if tag == "MOVE 1"));
        assert!(answer.fetch(&fetch(false, Direction::Forward(None)), &[Format::Binary]).is_err());
    }
}
