//! One client per backend, each run as the person who asks.
//!
//! A connector takes nothing but a [`Permitted`] query, so SQL that no policy has decided on cannot reach a
//! warehouse. It is a package of its own so that this border is one the compiler keeps.
//!
//! ```text
//! Caller ── checkout ──► Lease (witnessed: the server said who we are)
//!                          │ start(&Permitted<Query>, Bind)
//!                          ▼
//!                        next() ──► Batch::{Fields, Rows, Copied, Notice, Done}
//! ```

mod backends;
pub mod login;
mod metadata;
pub mod postgres;
mod query;
mod rows;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use passgate_policy::{Identity, Permitted, SourceName};

pub use backends::{BACKENDS, Backend, Checked, SettingProblem, Source};
pub use login::Secret;
pub use metadata::{
    Check, Column, CompositeColumn, Constraint, ConstraintKind, Details, Filled, Function, FunctionDetails, Index,
    Metadata, Oids, Progress, Reference, Relation, RelationKind, Schema, Sequence, Type, TypeForm,
};
pub use postgres::shadow::{Names, Programs, Script, Shadows, Statement};
pub use query::{
    Bind, Constant, Control, Description, Format, Gap, Gives, Isolation, Query, SessionSettings, TransactionStatus,
    Witness,
};
pub use rows::{Batch, Error, ServerMessage};

/// The person a connection is for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who they are.
    pub identity: Arc<Identity>,
    /// The token they signed in with, for sources that take it as the password.
    pub token: Option<Arc<Secret>>,
}

/// A source of rows.
///
/// Implementers promise: a connection made for one person is never used for another; every connection is read-only
/// and has a statement timeout; TLS is verified; the server's own word of who it is serving is asked and compared.
pub trait Connector: Send + Sync {
    /// The source's name in the settings.
    fn name(&self) -> &SourceName;

    /// A connection that runs as `caller`, with `settings` applied and the identity witnessed.
    ///
    /// Waits for a free connection up to the source's own limit. Safe to drop at any point.
    fn checkout<'a>(
        &'a self,
        caller: &'a Caller,
        settings: &'a SessionSettings,
    ) -> BoxFuture<'a, Result<Box<dyn Lease>, Error>>;

    /// Reads what tables, columns and functions there are. With the service login where the source has one, otherwise
    /// as `caller`; [`Error::NoCrawlLogin`] when there is neither.
    fn crawl<'a>(&'a self, caller: Option<&'a Caller>) -> BoxFuture<'a, Result<Metadata, Error>>;

    /// The same, telling how far it is.
    fn crawl_telling<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        tell: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Metadata, Error>> {
        let _ = tell;
        self.crawl(caller)
    }

    /// Whether the server answers at all. Opens no session as any person.
    fn probe(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// One connection, in the hands of one session.
///
/// Dropping a lease gives the connection back when it is idle outside a transaction; otherwise what runs is cancelled
/// at once and the connection is closed.
pub trait Lease: Send {
    /// What the server said of who it is serving.
    fn witness(&self) -> &Arc<Witness>;

    /// Parameter and result types, without running the query.
    fn describe<'a>(&'a mut self, query: &'a Permitted<Query>) -> BoxFuture<'a, Result<Description, Error>>;

    /// Starts a query; its rows are then read with [`Lease::next`] until [`Batch::Done`].
    fn start<'a>(&'a mut self, query: &'a Permitted<Query>, bind: &'a Bind) -> BoxFuture<'a, Result<(), Error>>;

    /// The next part of the answer. Safe to drop and call again: nothing is lost.
    ///
    /// After an error that is [`Error::Server`] the lease is still good, in the state `transaction_status` tells.
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, Error>>;

    /// The same, if it has been read from the source already.
    fn at_hand(&mut self) -> Result<Option<Batch>, Error> {
        Ok(None)
    }

    /// Begins, ends or marks a transaction.
    fn control<'a>(&'a mut self, control: &'a Control) -> BoxFuture<'a, Result<(), Error>>;

    /// Applies changed session settings.
    fn apply<'a>(&'a mut self, settings: &'a SessionSettings) -> BoxFuture<'a, Result<(), Error>>;

    /// Where the connection stands.
    fn transaction_status(&self) -> TransactionStatus;

    /// A handle that cancels whatever this lease runs, usable from another task. Does nothing once the lease is gone.
    fn canceller(&self) -> Arc<dyn Cancel>;
}

/// Cancels what a lease runs.
pub trait Cancel: Send + Sync {
    /// Asks the server to stop; the lease then answers with the server's 57014.
    fn cancel(&self) -> BoxFuture<'_, ()>;
}
