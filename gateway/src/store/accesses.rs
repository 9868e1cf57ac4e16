//! Who has read which source before: what `first_access_to_source` is answered from.

use passgate_policy::{Identity, SourceName};

use super::database::{Value, bounded};
use super::{Error, Store};

impl Store {
    /// Whether a person has read a source before.
    pub async fn has_accessed(&self, person: &Identity, source: &SourceName) -> Result<bool, Error> {
        const FIND: &str = "SELECT first_at FROM passgate_accesses WHERE tenant = $1 AND person = $2 AND source = $3";
        bounded(async {
            let mut transaction = self.database.read().await?;
            let found = transaction.rows(FIND, &key(person, source), |row| row.integer("first_at")).await?;
            Ok(!found.is_empty())
        })
        .await
    }

    /// Remembers that a person has read a source. The first time stays.
    pub async fn note_access(&self, person: &Identity, source: &SourceName, now: i64) -> Result<(), Error> {
        const NOTE: &str = "INSERT INTO passgate_accesses (tenant, person, source, first_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        bounded(async {
            let mut transaction = self.database.write().await?;
            let [tenant, person, source] = key(person, source);
            transaction.run(NOTE, &[tenant, person, source, now.into()]).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

fn key(person: &Identity, source: &SourceName) -> [Value; 3] {
    [person.tenant.as_str().into(), person.person.as_str().into(), source.as_str().into()]
}
