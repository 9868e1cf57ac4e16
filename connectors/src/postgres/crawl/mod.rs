//! Reads what a PostgreSQL server holds, in one read-only snapshot, row by row.
//!
//! ```text
//! BEGIN ── core: relations, columns, keys, views, functions ── details, objects: what a catalog shows beside ── COMMIT
//! ```
//!
//! Rules need the core, and a part of it would be worse than none. What only clients of the catalog look at may be
//! missing: a server that does not know one of those queries is read without.

mod core;
mod details;
mod objects;

use std::collections::HashMap;

use super::connection::{Connection, Row, Step};
use crate::{Error, Metadata, Progress, Relation};

/// Bytes that a catalog may have: as much as some million columns.
const BYTES_MAX: usize = 512 << 20;

/// A query of the crawl, and what becomes of its rows.
struct Part {
    /// What its rows are.
    what: &'static str,
    text: &'static str,
    /// Whether its parameter is one more than the most that are taken.
    limited: bool,
    take: fn(&mut Reading, &Row) -> Result<(), String>,
}

/// Reads the catalog. The connection is idle before, and after a success.
pub(crate) async fn read(
    connection: &mut Connection,
    source_name: &str,
    relations_max: usize,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Metadata, Error> {
    let limit = (relations_max + 1).to_string();
    let parts = || core::PARTS.iter().chain(details::PARTS).chain(objects::PARTS);
    let mut steps =
        vec![Step::new("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), Step::new("SET LOCAL search_path = ''")];
    let before = steps.len();
    steps.extend(
        parts().map(|part| if part.limited { Step::with(part.text, [limit.clone()]) } else { Step::new(part.text) }),
    );
    steps.push(Step::new("COMMIT"));
    let parts: Vec<&Part> = parts().collect();
    let mut reading = Reading::default();
    let mut telling = Telling { parts: &parts, tell, at: 0, rows: 0 };
    let ran = connection
        .run(&steps, &mut |step, row| match step.checked_sub(before).and_then(|place| Some((place, parts.get(place)?)))
        {
            Some((place, part)) => {
                telling.row(place);
                reading.take(part.take, &row)
            }
            None => Ok(()),
        })
        .await;
    telling.end();
    match ran {
        Ok(()) => {}
        Err(failed) if failed.step >= before + core::PARTS.len() && matches!(failed.error, Error::Server(_)) => {
            let error = failed.error;
            tracing::warn!(source = source_name, %error, "the catalog is read without all that clients would like to see");
        }
        Err(failed) => return Err(failed.error),
    }
    reading.metadata.server_version = connection.parameter_value("server_version").unwrap_or_default().to_owned();
    reading.finish(source_name, relations_max)
}

/// Tells how far it is whenever a part ends.
struct Telling<'a> {
    parts: &'a [&'a Part],
    tell: &'a (dyn Fn(Progress) + Send + Sync),
    at: usize,
    rows: usize,
}

impl Telling<'_> {
    fn row(&mut self, part: usize) {
        self.reach(part);
        self.rows += 1;
    }

    fn end(&mut self) {
        self.reach(self.parts.len());
    }

    fn reach(&mut self, part: usize) {
        while self.at < part {
            let ended = self.parts.get(self.at).map_or("", |part| part.what);
            self.at += 1;
            (self.tell)(Progress { what: ended, rows: self.rows, part: self.at, parts: self.parts.len() });
            self.rows = 0;
        }
    }
}

#[derive(Default)]
struct Reading {
    metadata: Metadata,
    /// Where in `metadata` a relation, function or type stands, by oid.
    relations: HashMap<u32, usize>,
    functions: HashMap<u32, usize>,
    types: HashMap<u32, usize>,
    /// What the last row was about, where several rows are about the same.
    about: Option<u32>,
    bytes: usize,
}

impl Reading {
    fn take(&mut self, take: fn(&mut Self, &Row) -> Result<(), String>, row: &Row) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(row.bytes());
        if self.bytes > BYTES_MAX {
            return Err(format!("its catalog has more than {BYTES_MAX} bytes"));
        }
        take(self, row)
    }

    /// Whether a row is about something else than the one before.
    fn begins(&mut self, about: u32) -> bool {
        self.about.replace(about) != Some(about)
    }

    /// Adds to the relation whose oid stands first; rows about others (past the limit, or the server's own) pass by.
    fn on_relation(&mut self, row: &Row, add: impl FnOnce(&mut Relation) -> Result<(), String>) -> Result<(), String> {
        let place = self.relations.get(&oid(row, 0)?);
        place.and_then(|place| self.metadata.relations.get_mut(*place)).map_or(Ok(()), add)
    }

    /// A part of a catalog would be worse than none: a view over a table that was left out would not be governed by it.
    fn finish(self, source_name: &str, relations_max: usize) -> Result<Metadata, Error> {
        let counts = [
            (self.metadata.relations.len(), "relations"),
            (self.metadata.functions.len(), "functions"),
            (self.metadata.types.len(), "types"),
            (self.metadata.sequences.len(), "sequences"),
        ];
        match counts.into_iter().find(|(count, _)| *count > relations_max) {
            None => Ok(self.metadata),
            Some((_, what)) => Err(Error::CatalogTooLarge { source_name: source_name.to_owned(), what, relations_max }),
        }
    }
}

fn text(row: &Row, column: usize) -> Result<String, String> {
    row.text(column).map(str::to_owned).ok_or_else(|| "a name in its catalog is missing or not UTF-8".to_owned())
}

fn optional(row: &Row, column: usize) -> Option<String> {
    row.text(column).map(str::to_owned)
}

/// Two columns that are a qualified name, where they are not NULL.
fn pair(row: &Row, column: usize) -> Option<(String, String)> {
    optional(row, column).zip(optional(row, column + 1))
}

fn flag(row: &Row, column: usize) -> bool {
    row.text(column) == Some("t")
}

fn number<T: std::str::FromStr>(row: &Row, column: usize) -> Option<T> {
    row.text(column).and_then(|text| text.parse().ok())
}

fn oid(row: &Row, column: usize) -> Result<u32, String> {
    number(row, column).ok_or_else(|| "an oid in its catalog is no number".to_owned())
}
