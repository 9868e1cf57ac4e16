//! Leases on shadows: databases in which statements of the catalog run. Separate because what runs there never reaches a
//! source.

use std::sync::Arc;

use passgate_connectors::{Error, SessionSettings};
use passgate_policy::SourceName;

use super::{Lease, Sources};
use crate::catalog::Snapshot;
use crate::catalog::shadow::Visibility;

/// Whose shadow is wanted, and how its session is to be set.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the source holds: that of the model that was decided on.
    pub snapshot: &'a Arc<Snapshot>,
    /// What the person may see of it.
    pub visibility: &'a Arc<Visibility>,
    /// The session's `search_path`, as `SHOW` tells it.
    pub search_path: &'a str,
    /// The session's other settings.
    pub settings: &'a SessionSettings,
}

/// What differs between a source and its shadow.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// The name of the database.
    pub database: String,
    /// The server's version, as it names itself: what clients are told.
    pub server_version: String,
}

impl Sources {
    /// A connection to the database that holds what the person may see of the source. Safe to drop at any point.
    pub async fn shadow(&self, name: &SourceName, wanted: Wanted<'_>) -> Result<Lease, Error> {
        let _ = wanted;
        let cause = "there is no shadow of it".to_owned();
        Err(Error::Connection { source_name: name.to_string(), cause })
    }

    /// How the names and numbers of that database differ from the source's.
    pub async fn shadow_differences(&self, name: &SourceName, wanted: Wanted<'_>) -> Result<Arc<Differences>, Error> {
        let _ = wanted;
        let cause = "there is no shadow of it".to_owned();
        Err(Error::Connection { source_name: name.to_string(), cause })
    }
}
