//! The client against a real PostgreSQL 15, and against a scripted server for what a real one does not do.

mod cluster;
mod fake;
mod live;
mod oddities;
mod shadow;

use std::collections::BTreeSet;
use std::sync::Arc;

use passgate_policy::{Identity, PersonName, Proof, SourceName, Tenant};

use super::lease::PostgresLease;
use super::{Config, Postgres};
use crate::{Batch, Bind, Caller, Error, Gives, Lease, Query, Secret, SessionSettings};

/// Somebody who signed in, with this token.
fn caller(person: &str, token: Option<&str>, expires_at: Option<i64>) -> Caller {
    let identity = Identity {
        person: PersonName::new(person),
        subject: person.to_owned(),
        email: None,
        tenant: Tenant::new("acme"),
        groups: BTreeSet::new(),
        roles: BTreeSet::new(),
        claims: serde_json::Map::new(),
        proof: Proof { method: "oidc", issuer: "test".to_owned(), expires_at },
    };
    Caller { identity: Arc::new(identity), token: token.map(|token| Arc::new(Secret::new(token))) }
}

fn source() -> SourceName {
    SourceName::new("warehouse")
}

fn query(text: &str) -> Query {
    Query { text: text.to_owned(), ..Query::default() }
}

async fn checkout(source: &Postgres, person: &str) -> Result<PostgresLease, Error> {
    source.lease(&caller(person, None, None), &SessionSettings::default()).await
}

/// The rows of a query, as text, and its tag.
async fn rows(lease: &mut PostgresLease, text: &str) -> Result<(Vec<Vec<Option<String>>>, String), Error> {
    lease.start_query(&query(text), &Bind::default()).await?;
    let mut found = Vec::new();
    loop {
        match lease.next().await? {
            Batch::Rows { frames, rows } => {
                let before = found.len();
                decode(&frames, &mut found);
                assert_eq!(found.len() - before, usize::try_from(rows).unwrap());
            }
            Batch::Done { tag } => return Ok((found, tag)),
            Batch::Fields(frame) => assert_eq!(frame[0], b'T'),
            Batch::Notice(_) | Batch::Copied(_) => {}
        }
    }
}

/// The one value of a query.
async fn value(lease: &mut PostgresLease, text: &str) -> String {
    rows(lease, text).await.unwrap().0[0][0].clone().unwrap()
}

fn decode(frames: &[u8], into: &mut Vec<Vec<Option<String>>>) {
    let mut rest = frames;
    while !rest.is_empty() {
        assert_eq!(rest[0], b'D');
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let mut body = &rest[7..length + 1];
        let mut row = Vec::new();
        while !body.is_empty() {
            let size = i32::from_be_bytes(body[..4].try_into().unwrap());
            body = &body[4..];
            row.push(usize::try_from(size).ok().map(|size| {
                let text = String::from_utf8(body[..size].to_vec()).unwrap();
                body = &body[size..];
                text
            }));
        }
        into.push(row);
        rest = &rest[length + 1..];
    }
}
