//! What rewriting keeps from one statement to the next: the secret that hashes are made with, and what policies' SQL
//! was read to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::hmac;
use passgate_connectors::{Gap, Gives, Query, Secret};
use passgate_policy::{
    DischargeError, EstimatePermit, Obligation, Permit, Permitted, Place, StatementKind, TableName, Tenant,
};

use super::policy_sql::PolicySqlReader;
use super::{Error, Model, Plan, SessionValues, Unreadable, govern, introspect, parameter_types, rewrite};
use crate::statement::{self, Delivery, tree};

/// What is written down in the place of a salt.
const SALT_SHOWN: &str = "'<salt>'";

/// Rewrites statements under their permits.
#[derive(Debug)]
pub struct Rewriter {
    key: Option<hmac::Key>,
    sql: PolicySqlReader,
}

/// For whom and against what a statement is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct Rewriting<'a> {
    /// The model that the plan was resolved against.
    pub model: &'a Model,
    /// The tenant of the person who asks.
    pub tenant: &'a Tenant,
    /// Parameter types that the client declared.
    pub parameter_types: &'a [u32],
    /// What the session is, for a statement of the catalog; none where nobody runs it.
    pub session: Option<&'a SessionValues>,
    /// Whether it is a template, to be filled with constants.
    pub is_template: bool,
}

impl<'a> Rewriting<'a> {
    /// Of a statement without declared types, which nobody runs in a session.
    pub fn of(model: &'a Model, tenant: &'a Tenant) -> Self {
        Self { model, tenant, parameter_types: &[], session: None, is_template: false }
    }
}

impl Rewriter {
    /// Rewrites with this secret; without one, a hash mask refuses.
    pub fn new(hash_secret: Option<&Secret>) -> Self {
        let key = hash_secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()));
        Self { sql: PolicySqlReader::new(key.is_some()), key }
    }

    /// Reads the SQL that policies hold, for compiling them. What it reads here is not read again for a statement.
    pub fn sql(&self) -> &PolicySqlReader {
        &self.sql
    }

    /// Meets every obligation and prints the text for the source.
    pub fn rewrite(&self, plan: Plan, permit: Permit, under: Rewriting<'_>) -> Result<Permitted<Query>, Error> {
        if plan.kind == StatementKind::Write || !plan.writes.is_empty() {
            return Err(Error::new("0A000", "writing is not supported by the gateway"));
        }
        check(&plan, permit.obligations(), under)?;
        permit.discharge(plan, rewrite::meet, |plan| self.finish(plan, under)).map_err(undischarged)
    }

    /// The text that asks a source what a plan would take, with every obligation met; the plan itself is not run.
    pub fn rewrite_for_estimate(
        &self,
        plan: Plan,
        permit: EstimatePermit,
        under: Rewriting<'_>,
    ) -> Result<Permitted<Query>, Error> {
        check(&plan, permit.obligations(), under)?;
        let finish = |plan| self.finish_for_estimate(plan, under);
        permit.discharge(plan, rewrite::meet, finish).map_err(undischarged)
    }

    fn finish(&self, plan: Plan, under: Rewriting<'_>) -> Result<Query, Error> {
        if plan.explain.is_some() && !plan.governance.is_empty() {
            // The kinds of its steps tell too: a filter that contradicts a condition leaves no scan, and whether an index
            // is used follows from statistics, which count the rows that a filter takes away.
            return Err(Error::new("42501", "EXPLAIN would tell more than the policies of this statement show")
                .hint("SELECT * FROM passgate.explain($$ ... $$) tells what they do to it."));
        }
        let (explain, delivery) = (plan.explain, plan.delivery.clone());
        let print = |query: &_| Ok(delivery.around(&rewrite::text(query, explain)?));
        Ok(Query { gives: gives(&delivery), ..self.printed(plan, under, print)? })
    }

    fn finish_for_estimate(&self, plan: Plan, under: Rewriting<'_>) -> Result<Query, Error> {
        self.printed(plan, under, |query| {
            Ok(format!("EXPLAIN (VERBOSE TRUE, FORMAT JSON) {}", rewrite::text(query, None)?))
        })
    }

    /// Governs the tables of a plan whose obligations are all known, and prints it.
    fn printed(
        &self,
        plan: Plan,
        under: Rewriting<'_>,
        print: impl FnOnce(&tree::Query) -> Result<String, Error>,
    ) -> Result<Query, Error> {
        let mut query = plan.query.ok_or_else(Error::internal)?;
        let salt = self.salt(under.tenant);
        let context = govern::Context {
            source: &plan.source,
            model: under.model,
            sql: &self.sql,
            salt: salt.as_ref(),
            parameter_types: under.parameter_types,
        };
        govern::govern(&mut query, &plan.governance, context)?;
        if let (true, Some(values)) = (plan.of_catalog, under.session) {
            introspect::fill(&mut query, values)?;
        }
        let text = print(&query)?;
        let shown = salt.map(|salt| format!("'{}'", salt.expose())).filter(|salt| text.contains(salt));
        let shown = shown.map(|salt| text.replace(&salt, SALT_SHOWN));
        let discreet = !plan.governance.is_empty();
        let gaps = if under.is_template { gaps(&text)? } else { Vec::new() };
        Ok(Query { text, shown, parameter_types: under.parameter_types.to_vec(), discreet, gaps, ..Query::default() })
    }

    /// A tenant's salt: nobody learns one from another.
    fn salt(&self, tenant: &Tenant) -> Option<Salt> {
        let key = self.key.as_ref()?;
        let tag = hmac::sign(key, tenant.as_str().as_bytes());
        Some(Salt(Secret::new(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
    }
}

/// Where the parameters of a template stand. Each is there; what is governed may repeat a condition.
fn gaps(text: &str) -> Result<Vec<Gap>, Error> {
    let found = statement::parameters(text).ok_or_else(Error::not_faithful)?;
    let numbers: BTreeSet<u16> = found.iter().map(|(_, number)| *number).collect();
    if !numbers.iter().copied().eq((1..=u16::MAX).take(numbers.len())) {
        return Err(Error::not_faithful());
    }
    let gap = |(bytes, number): (_, u16)| Gap { bytes, parameter: usize::from(number).saturating_sub(1) };
    Ok(found.into_iter().map(gap).collect())
}

fn gives(delivery: &Delivery) -> Gives {
    match delivery {
        Delivery::Rows => Gives::Rows,
        Delivery::Copy(_) => Gives::Copy,
        Delivery::Cursor(cursor) if cursor.hold => Gives::HeldCursor,
        Delivery::Cursor(_) => Gives::Cursor,
    }
}

/// What is put before a value before it is hashed.
pub(super) struct Salt(pub(super) Secret);

impl Salt {
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn check(plan: &Plan, obligations: &[Obligation], under: Rewriting<'_>) -> Result<(), Error> {
    // In a shadow, a value of any type can do no harm.
    if !plan.of_catalog {
        parameter_types::check(under.parameter_types)?;
    }
    if let Some(missing) = &plan.missing {
        return Err(missing.clone());
    }
    must_be_readable(&plan.unreadable, obligations)
}

/// A view that cannot be read could call anything that the server came with, and nothing below it can be governed.
pub(super) fn must_be_readable(views: &[(Arc<Unreadable>, Place)], obligations: &[Obligation]) -> Result<(), Error> {
    let governed = |table: &TableName| {
        obligations.iter().any(|obligation| match obligation {
            Obligation::LimitRows { .. } => false,
            Obligation::FilterRows { table: other, .. }
            | Obligation::MaskColumn { table: other, .. }
            | Obligation::HideColumn { table: other, .. } => other == table,
        })
    };
    let refused = views.iter().find(|(unreadable, _)| {
        !unreadable.only_computes || unreadable.built_on.iter().any(|facts| governed(&facts.name))
    });
    let Some((unreadable, at)) = refused else { return Ok(()) };
    Err(Error::unreadable_view(unreadable).at(*at))
}

fn undischarged(error: DischargeError<Error>) -> Error {
    match error {
        DischargeError::OtherStatement => Error::internal(),
        DischargeError::Unmet(error) => error,
    }
}
