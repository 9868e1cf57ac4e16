//! Resolve names, ask the policy, rewrite under its permit.
//!
//! ```text
//! Snapshot + PolicySet ── Model::new ──► Model
//! Statement + Model ── resolve ──► Plan ── request ──► policy::Request ── decide ──► Permit
//!                                   └─── Rewriter::rewrite(Plan, Permit) ──► Permitted<Query>
//! ```
//!
//! All of it is pure: whatever has to be waited for was fetched before.

#[cfg(test)]
mod columns_tests;
mod definition;
mod estimate;
mod fetch;
mod functions;
mod govern;
mod introspect;
mod model;
mod parameter_types;
mod policy_sql;
mod resolve;
mod rewrite;
mod rewriter;
mod seen;
#[cfg(test)]
mod tests;
mod visibility;
mod work;

use std::sync::Arc;

use passgate_policy::{
    ColumnUse, Costs, Estimate, Facts, FunctionUse, Governed, Identity, Multiplied, Place, Redirect, Request,
    SourceName, StatementDigest, StatementKind, TableName, TableUse, Unlinked, Work, Write,
};
use sha2::{Digest, Sha256};

use crate::error::ClientError;
use crate::statement::{self, Delivery, ExplainOptions, Kind, Statement, tree};

pub use estimate::{Reading, read as read_estimate};
pub use fetch::fetch;
pub use functions::describe as describe_built_in;
pub use introspect::SessionValues;
pub use model::{Entry, Model, Unreadable, ViewBody};
pub use policy_sql::PolicySqlReader;
use rewriter::Salt;
pub use rewriter::{Rewriter, Rewriting};
pub use seen::{Allowed, Context, OfTemplate, Question, Seen, Terms};
pub use visibility::{Shadowed, visibility};

/// The schema of the gateway's own relations and functions. What a source has under this name cannot be reached.
pub const OWN_SCHEMA: &str = "passgate";

/// A statement whose every name is resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    digest: StatementDigest,
    source: SourceName,
    kind: StatementKind,
    explain: Option<ExplainOptions>,
    /// How its rows are handed over. No part of what is decided: the same query is the same, whatever its path.
    delivery: Delivery,
    /// The resolved tree; none for a statement that only writes.
    query: Option<tree::Query>,
    tables: Vec<TableUse>,
    columns: Vec<ColumnUse>,
    functions: Vec<FunctionUse>,
    unlinked: Vec<Unlinked>,
    multiplied: Vec<Multiplied>,
    writes: Vec<Write>,
    work: Vec<Work>,
    full_export: bool,
    /// Whether it asks the catalog, and so is answered by the shadow of the source.
    of_catalog: bool,
    /// Views that are read and whose definitions the gateway cannot read.
    unreadable: Vec<(Arc<Unreadable>, Place)>,
    missing: Option<Error>,
    /// What obligations have asked of its tables so far.
    governance: govern::Governance,
    /// Tables that a redirect has put others in place of.
    redirected: Vec<TableName>,
}

impl Governed for Plan {
    fn digest(&self) -> StatementDigest {
        self.digest
    }
}

impl Plan {
    /// The tables referenced.
    pub fn tables(&self) -> &[TableUse] {
        &self.tables
    }

    /// The columns that can reach the answer or a predicate.
    pub fn columns(&self) -> &[ColumnUse] {
        &self.columns
    }

    /// Whether it asks the catalog: it is answered by the shadow of the source, and reads none of its rows.
    pub fn is_of_catalog(&self) -> bool {
        self.of_catalog
    }

    /// Whether a redirect has put other tables in place of some.
    pub fn is_redirected(&self) -> bool {
        !self.redirected.is_empty()
    }

    /// The name that does not exist, if any: a reason to read the catalog again.
    pub fn missing(&self) -> Option<&Error> {
        self.missing.as_ref()
    }
}

/// Resolves every name of a query, an EXPLAIN or a write against the model. Pure.
///
/// A name that does not exist is no error yet: [`Rewriter::rewrite`] tells it, after the policy has allowed the rest, so
/// that nobody learns from a refusal what exists.
pub fn resolve(statement: &Statement, model: &Model) -> Result<Plan, Error> {
    redirect(statement, model, &[])
}

/// Where names without a schema are looked for.
#[derive(Clone, Copy)]
pub struct SearchPath<'a> {
    /// Schemas, in this order.
    pub schemas: &'a [String],
    /// Whether the person may know of a relation. One that they may not is passed over, so that it makes no difference
    /// to them whether there is one.
    pub sees: &'a (dyn Fn(&Entry) -> bool + Send + Sync),
    /// Whether one that they may not know of is not there by its full name either.
    pub hides: bool,
}

/// The same with other tables in place of some, as the policy asks: each keeps the name by which the statement knows it.
pub fn redirect(statement: &Statement, model: &Model, redirects: &[Redirect]) -> Result<Plan, Error> {
    let schemas = [model.snapshot().default_schema().to_owned()];
    resolve_along(statement, model, SearchPath { schemas: &schemas, sees: &|_| true, hides: false }, redirects)
}

/// The same, with names without a schema looked for along a path.
pub fn resolve_along(
    statement: &Statement,
    model: &Model,
    path: SearchPath<'_>,
    redirects: &[Redirect],
) -> Result<Plan, Error> {
    let (kind, explain, tree) = match &statement.kind {
        Kind::Query(tree) | Kind::Copy(tree, _) | Kind::Declare(tree, _) => (StatementKind::Query, None, Some(tree)),
        Kind::Explain(tree, options) => (StatementKind::Explain, Some(*options), Some(tree)),
        Kind::Write => (StatementKind::Write, None, None),
        Kind::Set { .. }
        | Kind::SetConfig { .. }
        | Kind::Reset(_)
        | Kind::Show(_)
        | Kind::ShowAll
        | Kind::Transaction(_)
        | Kind::Fetch(_)
        | Kind::Close(_)
        | Kind::Prepare(_)
        | Kind::Execute(_)
        | Kind::Deallocate(_)
        | Kind::Discard(_)
        | Kind::Listen
        | Kind::Unlisten => return Err(Error::internal()),
    };
    let mut query = tree.map(|tree| (**tree).clone());
    let introspection = query.as_mut().map(|query| introspect::introspect(query, model)).transpose()?.flatten();
    let of_catalog = introspection.is_some();
    let of_privileges = introspection.as_ref().is_some_and(|introspection| introspection.privileges);
    let delivery = match &statement.kind {
        Kind::Copy(_, options) => Delivery::Copy(options.clone()),
        // A shadow has no cursors: the session keeps the rows.
        Kind::Declare(_, cursor) if !of_catalog => Delivery::Cursor(cursor.clone()),
        _ => Delivery::Rows,
    };
    let found = match (introspection, &mut query) {
        (Some(of_catalog), _) => resolve::Found::of_catalog(of_catalog),
        (None, Some(query)) => resolve::resolve(query, model, path, redirects)?,
        (None, None) => resolve::Found::default(),
    };
    let measured = query.as_ref().filter(|_| !of_catalog);
    let work = measured.map(work::measure).unwrap_or_default();
    let kind = match kind {
        _ if !statement.writes.is_empty() => StatementKind::Write,
        StatementKind::Query if of_privileges => StatementKind::ShowPrivileges,
        kind => kind,
    };
    let source = model.snapshot().source();
    let digest = digest(source, explain, query.as_ref(), &statement.text);
    Ok(Plan {
        digest,
        source: source.clone(),
        kind,
        explain,
        delivery,
        query,
        tables: found.tables,
        columns: found.columns,
        functions: found.functions,
        unlinked: found.unlinked,
        multiplied: found.multiplied,
        writes: statement.writes.clone(),
        work,
        full_export: found.full_export,
        of_catalog,
        unreadable: found.unreadable,
        missing: found.missing,
        governance: govern::Governance::default(),
        redirected: redirects.iter().map(|redirect| redirect.from.clone()).collect(),
    })
}

fn digest(
    source: &SourceName,
    explain: Option<ExplainOptions>,
    query: Option<&tree::Query>,
    text: &str,
) -> StatementDigest {
    let mut hasher = Sha256::new();
    hasher.update(source.as_str());
    hasher.update(format!("\0{explain:?}\0"));
    match query {
        Some(query) => hasher.update(statement::print(query)),
        None => hasher.update(text),
    }
    StatementDigest(hasher.finalize().into())
}

/// What the policy is asked.
pub fn request(plan: &Plan, identity: &Arc<Identity>, mut facts: Facts) -> Request {
    if plan.of_catalog {
        // No source works for it.
        facts.estimate = Estimate::Known(Costs::NOTHING);
    }
    Request {
        tables: plan.tables.clone(),
        columns: plan.columns.clone(),
        functions: plan.functions.clone(),
        unlinked: plan.unlinked.clone(),
        multiplied: plan.multiplied.clone(),
        writes: plan.writes.clone(),
        work: plan.work.clone(),
        full_export: plan.full_export,
        of_catalog: plan.of_catalog,
        redirected: plan.redirected.clone(),
        facts,
        ..Request::new(plan.digest, plan.kind, plan.source.clone(), Arc::clone(identity))
    }
}

/// A name that does not resolve (42P01, 42883) or a form that cannot be planned (0A000).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// What.
    pub message: String,
    /// Where.
    pub detail: Option<String>,
    /// Where in the text.
    pub place: Option<Place>,
    /// What to do.
    pub hint: Option<String>,
}

impl Error {
    fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, place: None, hint: None }
    }

    fn at(mut self, at: Place) -> Self {
        self.detail = Some(format!("It stands at {at}."));
        self.place = Some(at);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn no_relation(written: &str, at: Place) -> Self {
        Self::new("42P01", format!("relation \"{written}\" does not exist")).at(at)
    }

    /// Tables of the source and what only its catalog knows, in one statement.
    fn both_places(at: Place) -> Self {
        Self::new("0A000", "one statement cannot both read tables and ask the catalog").at(at).hint(
            "The catalog (pg_catalog, information_schema, regclass and functions about them) is answered apart from \
                   the tables. Ask it in a statement of its own.",
        )
    }

    fn internal() -> Self {
        Self::new("XX000", "the gateway cannot plan this statement")
    }

    /// Something that a policy may ask for and the gateway cannot do yet.
    pub fn not_built(what: &str) -> Self {
        Self::new("0A000", format!("{what} are not built yet"))
    }

    fn unreadable_view(unreadable: &Unreadable) -> Self {
        let Unreadable { view, reason, .. } = unreadable;
        Self::new("0A000", format!("the definition of view \"{view}\" cannot be read by the gateway: {reason}"))
            .hint("Name the tables it is made of, or ask its owner to write it with what the gateway knows.")
    }

    /// A policy that never comes to an end of what it wants to know.
    pub fn undecided() -> Self {
        Self::new("42501", "the policies come to no decision about this statement")
    }

    /// Something of the gateway's own where it cannot answer.
    fn own_schema(name: &str, at: Place) -> Self {
        Self::new("0A000", format!("{OWN_SCHEMA}.{name} is answered by the gateway, and only by itself"))
            .at(at)
            .hint(format!(
                "Read it in a statement of its own, with nothing else in it: SELECT ... FROM {OWN_SCHEMA}.{name} WHERE ..."
            ))
    }

    fn not_faithful() -> Self {
        Self::new("0A000", "the gateway cannot pass this statement on word for word")
    }

    fn too_much_governed() -> Self {
        Self::new("54001", "statement is too complex with the filters and masks of the tables it names")
            .hint("Name tables fewer times: a WITH query can be named again and again.")
    }

    fn too_many_columns() -> Self {
        Self::new("54001", "too many columns in one statement").hint("Name fewer columns, or in fewer subqueries.")
    }

    fn too_many_relations(most: usize) -> Self {
        Self::new("54001", format!("too many relations in one FROM clause (the limit is {most})"))
    }
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        self.sqlstate
    }

    fn message(&self) -> String {
        self.message.clone()
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn place(&self) -> Option<Place> {
        self.place
    }
}
