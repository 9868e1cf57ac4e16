//! Where a cursor of the source's stands among its rows, and how many there may be: what FETCH and MOVE tell of it.
//!
//! A row limit stands inside the cursor's query, so nobody but the gateway can say that it, and not the data, ended the
//! rows. Separate from `cursor` because it is arithmetic alone. Source: `DoPortalRunFetch` in PostgreSQL's
//! `src/backend/tcop/pquery.c`; each of its commands tells how many rows it passed.

use crate::statement::Direction;

/// Where a cursor stands, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// On the row of this number, from 1; at 0 before the first.
    Row(u64),
    /// Behind the last.
    Behind,
    /// Somewhere.
    Unknown,
}

/// Where a cursor stands, and what is known of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    at: At,
    /// How many rows there are at least.
    least: u64,
    /// How many there are at most.
    most: u64,
    /// Whether the client has been told of the limit.
    told: bool,
}

/// What a client is to be told of a row limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The rows end at it.
    AtLimit,
    /// They end, and whether that is at it, the source alone knows.
    PerhapsAtLimit,
}

impl Default for Whereabouts {
    /// Before the first row.
    fn default() -> Self {
        Self { at: At::Row(0), least: 0, most: u64::MAX, told: false }
    }
}

impl Whereabouts {
    /// A command is on its way, and may never tell how far it came.
    pub(super) fn leave(&mut self) {
        self.at = At::Unknown;
    }

    /// A command passed so many rows. What is to be told of the limit is told once.
    pub(super) fn go(&mut self, direction: Direction, rows: u64, limit: Option<u64>) -> Option<Ended> {
        let end_met = self.moved(direction, rows);
        let limit = limit.filter(|_| !self.told)?;
        let ended = if self.least >= limit {
            Ended::AtLimit
        } else if end_met && self.most >= limit {
            Ended::PerhapsAtLimit
        } else {
            return None;
        };
        self.told = true;
        Some(ended)
    }

    /// Whether it met the end of the rows.
    fn moved(&mut self, direction: Direction, rows: u64) -> bool {
        match direction {
            Direction::Forward(wanted) => self.forward(rows, wanted.is_none_or(|wanted| rows < u64::from(wanted))),
            Direction::Backward(wanted) => {
                self.backward(rows, wanted.is_none_or(|wanted| rows < u64::from(wanted)));
                false
            }
            Direction::Absolute(row) => match u64::try_from(row) {
                Ok(row) => self.onto_row(row, rows > 0),
                Err(_) => {
                    self.back_from_end(u64::from(row.unsigned_abs()), rows > 0);
                    true
                }
            },
            Direction::Relative(0) => false,
            Direction::Relative(by) => self.by(by, rows > 0),
        }
    }

    /// So many rows forward, and to the end where that is `short` of what was wanted.
    fn forward(&mut self, rows: u64, short: bool) -> bool {
        let passed = match self.at {
            At::Row(row) => row.saturating_add(rows),
            At::Behind => return true,
            At::Unknown => rows,
        };
        self.are_at_least(passed);
        match self.at {
            At::Row(_) if !short => self.at = At::Row(passed),
            At::Row(_) => self.are(passed),
            _ => {}
        }
        if short {
            self.at = At::Behind;
        }
        short
    }

    /// So many rows backward, and before the first where that is `short` of what was wanted.
    fn backward(&mut self, rows: u64, short: bool) {
        if short && self.at == At::Behind {
            self.are(rows);
        }
        self.at = match self.number() {
            _ if short => At::Row(0),
            Some(number) => At::Row(number.saturating_sub(rows)),
            None => At::Unknown,
        };
    }

    /// To the row of this number, if it is there.
    fn onto_row(&mut self, row: u64, found: bool) -> bool {
        if found || row == 0 {
            self.are_at_least(row);
            self.at = At::Row(row);
            return false;
        }
        self.most = self.most.min(row - 1);
        self.at = At::Behind;
        true
    }

    /// To the row of this number from the end, if it is there.
    fn back_from_end(&mut self, row: u64, found: bool) {
        if !found {
            self.most = self.most.min(row.saturating_sub(1));
            self.at = At::Row(0);
            return;
        }
        self.are_at_least(row);
        self.at = At::Behind;
        self.backward(row, false);
    }

    /// So many rows forward or backward, to that one alone.
    fn by(&mut self, by: i32, found: bool) -> bool {
        let far = u64::from(by.unsigned_abs());
        if by < 0 {
            if found {
                self.backward(far, false)
            } else {
                self.at = At::Row(0)
            }
            return false;
        }
        match self.at {
            At::Row(row) => self.onto_row(row.saturating_add(far), found),
            At::Unknown if found => false,
            At::Behind | At::Unknown => {
                self.at = At::Behind;
                true
            }
        }
    }

    /// Its row's number; behind the last, one more than there are.
    fn number(&self) -> Option<u64> {
        match self.at {
            At::Row(row) => Some(row),
            At::Behind if self.least == self.most => self.most.checked_add(1),
            At::Behind | At::Unknown => None,
        }
    }

    fn are_at_least(&mut self, rows: u64) {
        self.least = self.least.max(rows);
    }

    fn are(&mut self, rows: u64) {
        (self.least, self.most) = (rows, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Absolute, Backward, Forward, Relative};
    use super::*;

    /// What is told of a limit of 5 by each of the steps: a direction, and how many rows it passed.
    fn told(steps: &[(Direction, u64)]) -> Vec<Option<Ended>> {
        let mut cursor = Whereabouts::default();
        steps.iter().map(|(direction, rows)| cursor.go(*direction, *rows, Some(5))).collect()
    }

    const SURE: Option<Ended> = Some(Ended::AtLimit);
    const PERHAPS: Option<Ended> = Some(Ended::PerhapsAtLimit);

    #[test]
    fn whoever_meets_the_limit_is_told_once() {
        assert_eq!(told(&[(Forward(Some(3)), 3), (Forward(Some(3)), 2), (Forward(Some(3)), 0)]), [None, SURE, None]);
        // To the row, and beyond.
        assert_eq!(told(&[(Forward(Some(5)), 5), (Forward(Some(5)), 0)]), [SURE, None]);
        assert_eq!(told(&[(Forward(None), 5), (Backward(None), 5), (Forward(None), 5)]), [SURE, None, None]);
        assert_eq!(told(&[(Absolute(5), 1), (Relative(1), 0)]), [SURE, None]);
        assert_eq!(told(&[(Relative(3), 1), (Relative(2), 1)]), [None, SURE]);
        assert_eq!(told(&[(Forward(Some(4)), 4), (Backward(Some(2)), 2), (Forward(Some(3)), 3)]), [None, None, SURE]);
        assert_eq!(told(&[(Absolute(-5), 1), (Forward(None), 4)]), [SURE, None]);
        // All of them, read from the end.
        assert_eq!(told(&[(Absolute(9), 0), (Backward(None), 5)]), [PERHAPS, None]);
    }

    #[test]
    fn rows_that_end_before_the_limit_are_all() {
        assert_eq!(told(&[(Forward(None), 4), (Forward(None), 0), (Absolute(-1), 1)]), [None, None, None]);
        assert_eq!(told(&[(Absolute(5), 0), (Forward(Some(1)), 0), (Absolute(-1), 1)]), [None, None, None]);
        assert_eq!(told(&[(Absolute(-5), 0), (Forward(None), 4)]), [None, None]);
        assert_eq!(told(&[(Absolute(3), 1), (Relative(2), 0), (Backward(Some(4)), 4)]), [None, None, None]);
        assert_eq!(told(&[(Forward(None), 3), (Backward(Some(1)), 1), (Forward(Some(9)), 0)]), [None, None, None]);
        assert_eq!(told(&[(Backward(Some(1)), 0), (Relative(0), 0), (Absolute(0), 0)]), [None, None, None]);
        assert_eq!(Whereabouts::default().go(Forward(None), 9, None), None);
    }

    #[test]
    fn in_doubt_it_is_told() {
        assert_eq!(told(&[(Absolute(-1), 1), (Backward(Some(2)), 2), (Absolute(-2), 1)]), [PERHAPS, None, None]);
        assert_eq!(told(&[(Absolute(6), 0), (Forward(None), 0)]), [PERHAPS, None]);
        let mut lost = Whereabouts::default();
        lost.leave();
        assert_eq!(lost.go(Forward(Some(2)), 2, Some(5)), None);
        assert_eq!(lost.go(Forward(Some(2)), 1, Some(5)), PERHAPS);
    }
}
