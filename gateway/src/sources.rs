//! The only door to the sources: the connectors are private here, and nothing runs without a receipt.
//!
//! (The catalog is read anew for every caller until the crawl arrives with the first connector.)

use std::collections::HashMap;
use std::sync::Arc;

use passgate_connectors::{
    Batch, Bind, Caller, Cancel, Connector, Control, Description, Error, Query, SessionSettings, Witness,
};
use passgate_policy::{Permitted, SourceName};

use crate::audit::Receipt;
use crate::catalog::Snapshot;

/// Every source of the settings.
pub struct Sources(HashMap<SourceName, (Arc<dyn Connector>, String)>);

impl Sources {
    /// Takes connectors in, each with the schema of its unqualified names.
    pub fn new(connectors: Vec<(Arc<dyn Connector>, String)>) -> Self {
        Self(connectors.into_iter().map(|source| (source.0.name().clone(), source)).collect())
    }

    /// Whether there is a source of this name.
    pub fn contains(&self, source: &SourceName) -> bool {
        self.0.contains_key(source)
    }

    /// A connection that runs as `caller`, with `settings` applied and the identity witnessed.
    pub async fn checkout(
        &self,
        source: &SourceName,
        caller: &Caller,
        settings: &SessionSettings,
    ) -> Result<Lease, Error> {
        let (connector, _) = self.find(source)?;
        connector.checkout(caller, settings).await.map(Lease)
    }

    /// What the source holds.
    pub async fn snapshot(&self, source: &SourceName, caller: &Caller) -> Result<Arc<Snapshot>, Error> {
        let (connector, default_schema) = self.find(source)?;
        let metadata = connector.crawl(Some(caller)).await?;
        Ok(Arc::new(Snapshot::new(source.clone(), default_schema.clone(), metadata)))
    }

    fn find(&self, source: &SourceName) -> Result<&(Arc<dyn Connector>, String), Error> {
        let missing =
            || Error::Connection { source_name: source.to_string(), cause: "there is no such source".to_owned() };
        self.0.get(source).ok_or_else(missing)
    }
}

/// A connection in the hands of one session.
pub struct Lease(Box<dyn passgate_connectors::Lease>);

impl Lease {
    /// Whom the source says it serves.
    pub fn witness(&self) -> &Witness {
        self.0.witness()
    }

    /// Parameter and result types, without running the query.
    pub async fn describe(&mut self, _: &Receipt, query: &Permitted<Query>) -> Result<Description, Error> {
        self.0.describe(query).await
    }

    /// Starts a recorded query.
    pub async fn start(&mut self, _: &Receipt, query: &Permitted<Query>, bind: &Bind) -> Result<(), Error> {
        self.0.start(query, bind).await
    }

    /// The next part of the answer. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        self.0.next().await
    }

    /// Begins, ends or marks a transaction.
    pub async fn control(&mut self, control: &Control) -> Result<(), Error> {
        self.0.control(control).await
    }

    /// Applies changed settings.
    pub async fn apply(&mut self, settings: &SessionSettings) -> Result<(), Error> {
        self.0.apply(settings).await
    }

    /// A handle that cancels what runs.
    pub fn canceller(&self) -> Arc<dyn Cancel> {
        self.0.canceller()
    }
}
