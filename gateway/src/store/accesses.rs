//! Who has read which source before: what `first_access_to_source` is answered from.
//!
//! Every session asks it, and once it is so it stays so: what was found is kept in memory, so that a sign-in of somebody
//! who was here before does not wait for the store.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use passgate_policy::{Identity, SourceName};

use super::database::{Value, bounded};
use super::{Error, Store};

/// So many are kept in memory; one more, and it begins anew.
const KEPT_MAX: usize = 10_000;

/// Tenant, person and source.
type Key = [String; 3];

/// Who is known to have read what.
#[derive(Debug, Default)]
pub(super) struct Accesses(Mutex<HashSet<Key>>);

impl Accesses {
    fn has(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn keep(&self, key: Key) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(key);
    }
}

impl Store {
    /// Whether a person has read a source before.
    pub async fn has_accessed(&self, person: &Identity, source: &SourceName) -> Result<bool, Error> {
        const FIND: &str = "SELECT first_at FROM passgate_accesses WHERE tenant = $1 AND person = $2 AND source = $3";
        let key = key(person, source);
        if self.accesses.has(&key) {
            return Ok(true);
        }
        let read = async {
            let mut transaction = self.database.read().await?;
            let found = transaction.rows(FIND, &values(&key), |row| row.integer("first_at")).await?;
            Ok::<_, Error>(!found.is_empty())
        };
        let found = bounded(read).await?;
        if found {
            self.accesses.keep(key);
        }
        Ok(found)
    }

    /// Remembers that a person has read a source. The first time stays.
    pub async fn note_access(&self, person: &Identity, source: &SourceName, now: i64) -> Result<(), Error> {
        const NOTE: &str = "INSERT INTO passgate_accesses (tenant, person, source, first_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let key = key(person, source);
        let write = async {
            let mut transaction = self.database.write().await?;
            let [tenant, person, source] = values(&key);
            transaction.run(NOTE, &[tenant, person, source, now.into()]).await?;
            Ok::<_, Error>(transaction.commit().await?)
        };
        bounded(write).await?;
        self.accesses.keep(key);
        Ok(())
    }
}

fn key(person: &Identity, source: &SourceName) -> Key {
    [person.tenant.as_str(), person.person.as_str(), source.as_str()].map(str::to_owned)
}

fn values(key: &Key) -> [Value; 3] {
    key.each_ref().map(|part| part.as_str().into())
}
