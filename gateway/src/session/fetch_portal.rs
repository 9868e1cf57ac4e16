//! FETCH and MOVE from a portal that the protocol made: to a client a portal is a cursor that only goes forward.
//!
//! Separate from `cursor`, whose cursors are the source's own: here the rows of a running statement are divided.
//! Source: `PerformPortalFetch` in PostgreSQL's `src/backend/commands/portalcmds.c`, and `CreatePortal`, which makes
//! portals NO SCROLL.

use std::collections::VecDeque;

use bytes::Bytes;
use passgate_connectors::{Batch, Bind, Format};
use passgate_wire as wire;

use super::Session;
use super::error::{Error, Failure};
use super::prepared::PortalState;
use super::ready::Ready;
use super::relay::Running;
use super::road::{Asked, is_governed};
use crate::audit::{Outcome, Record, Status};
use crate::statement::{Direction, Fetch};

/// What is wanted of a portal.
#[derive(Clone, Copy)]
struct Wanted {
    /// Rows that are passed over first.
    skipped: u64,
    /// Rows that are taken after them; `None` for all.
    taken: Option<u64>,
    /// Whether what is taken is answered, and not only counted.
    answered: bool,
}

impl Session<Ready> {
    /// Answers FETCH or MOVE from a portal, and records that.
    pub(super) async fn fetch_from_portal(
        &mut self,
        fetch: &Fetch,
        asked: Asked<'_>,
        mut record: Record,
    ) -> Result<Running, Failure> {
        record.validation = "not_checked: part of a statement that was".into();
        let (batches, rows) = match self.part_of_portal(fetch, asked).await {
            Ok(part) => part,
            Err(failure) => return Err(self.note(record, failure)),
        };
        let outcome = Outcome { rows, status: Some(Status::Ok), ..Outcome::default() };
        super::measure::statement(Status::Ok);
        self.services.audit.note(record, outcome).map_err(Failure::statement)?;
        Ok(Running::answered(batches))
    }

    async fn part_of_portal(&mut self, fetch: &Fetch, asked: Asked<'_>) -> Result<(VecDeque<Batch>, u64), Failure> {
        let wanted = wanted(fetch).ok_or(Error::ForwardOnly)?;
        let name = fetch.cursor.as_str();
        let portal = self.state.portals.find(name)?;
        let (prepared, formats) = (portal.prepared.clone(), portal.bind.result_formats.clone());
        let statement = prepared.statement.as_ref().filter(|statement| is_governed(&statement.kind));
        let same_format = fetch.moves || are_same(&formats, asked.bind);
        let statement = statement.filter(|_| same_format).ok_or_else(|| Error::FetchFromPortal(name.to_owned()))?;
        let mut batches = VecDeque::new();
        if !fetch.moves && asked.simple {
            let description = self.describe(&prepared, statement).await?;
            let fields = description.fields.clone().ok_or_else(|| Error::FetchFromPortal(name.to_owned()))?;
            batches.push_back(Batch::Fields(fields));
        }
        let portal = self.state.portals.find(name)?;
        let mut running = match std::mem::replace(&mut portal.state, PortalState::Spent) {
            PortalState::Suspended(running) => running,
            PortalState::Active => return Err(Error::PortalSpent(name.to_owned()).into()),
            PortalState::Spent => return Ok((finished(batches, fetch, 0), 0)),
            PortalState::Fresh => {
                let bind = portal.take_bind();
                let parameter_types = &prepared.parameter_types;
                self.start_governed(Asked { statement, parameter_types, bind: &bind, simple: false }).await?
            }
        };
        let divided = self.divide(&mut running, wanted, &mut batches).await;
        if let Err(failure) = &divided {
            running.fail(failure);
            self.stop_pinned(&mut running).await;
        }
        let (rows, more) = divided?;
        match more {
            true => self.state.portals.put_back(name, running),
            false => running.finish(),
        }
        Ok((finished(batches, fetch, rows), rows))
    }

    /// Reads so many rows of a statement, and says how many there were and whether there may be more.
    async fn divide(
        &mut self,
        running: &mut Running,
        wanted: Wanted,
        batches: &mut VecDeque<Batch>,
    ) -> Result<(u64, bool), Failure> {
        let (mut skipped, mut taken, mut bytes) = (0_u64, 0_u64, 0_usize);
        while wanted.taken != Some(taken) {
            self.check_standing(running)?;
            match self.next_batch(running).await? {
                Batch::Rows { frames, rows } => {
                    let passed = rows.min(wanted.skipped - skipped);
                    let frames = cut(frames, passed)?.1;
                    skipped += passed;
                    let room = wanted.taken.map_or(u64::MAX, |most| most - taken).min(rows - passed);
                    let (head, tail) = cut(frames, room)?;
                    taken += room;
                    running.hold_back(tail, rows - passed - room);
                    if room > 0 && wanted.answered {
                        bytes += head.len();
                        if bytes > self.services.config.portal_bytes_max {
                            return Err(Error::PortalTooLarge.into());
                        }
                        batches.push_back(Batch::Rows { frames: head, rows: room });
                    }
                }
                Batch::Done { tag } => {
                    running.count(skipped + taken);
                    self.tell_of_limit(running, &tag);
                    return Ok((taken, false));
                }
                Batch::Notice(notice) => self.pass_on(&notice).await?,
                Batch::Fields(_) | Batch::Copied(_) => {}
            }
        }
        running.count(skipped + taken);
        Ok((taken, true))
    }
}

/// How far a portal is to go; none where that is back.
fn wanted(fetch: &Fetch) -> Option<Wanted> {
    let answered = !fetch.moves;
    match fetch.direction {
        Direction::Forward(rows) => Some(Wanted { skipped: 0, taken: rows.map(u64::from), answered }),
        Direction::Relative(rows) => {
            let skipped = u64::try_from(rows).ok()?.checked_sub(1)?;
            Some(Wanted { skipped, taken: Some(1), answered })
        }
        Direction::Backward(_) | Direction::Absolute(_) => None,
    }
}

/// Whether rows that were asked for in these formats are in those that FETCH asks for.
fn are_same(formats: &[Format], fetch: &Bind) -> bool {
    let is_text = |formats: &[Format]| formats.iter().all(|format| *format == Format::Text);
    formats == fetch.result_formats || (is_text(formats) && is_text(&fetch.result_formats))
}

fn cut(frames: Bytes, rows: u64) -> Result<(Bytes, Bytes), wire::BrokenFrame> {
    let divided = wire::split_rows(frames, rows)?;
    Ok((divided.head, divided.tail))
}

fn finished(mut batches: VecDeque<Batch>, fetch: &Fetch, rows: u64) -> VecDeque<Batch> {
    let command = if fetch.moves { "MOVE" } else { "FETCH" };
    batches.push_back(Batch::Done { tag: format!("{command} {rows}") });
    batches
}
