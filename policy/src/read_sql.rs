//! The SQL of one policy: read when the policy is loaded, with a person's values put beside it when it is used.
//!
//! Separate from `sql`, which is what whoever reads SQL has to offer.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attributes::{self, Missing};
use crate::compile::Context;
use crate::decide::{Header, listed};
use crate::fields::Text;
use crate::problem::did_you_mean;
use crate::{Identity, PolicySql, Reason, SqlUse, TableFacts, TableName};

/// Columns spelled out in one sentence.
const COLUMNS_SHOWN_MAX: usize = 3;

/// An expression over the columns of a table and the attributes of a person.
#[derive(Debug)]
pub(crate) struct ReadSql {
    text: Arc<str>,
    columns: BTreeSet<String>,
    attributes: Vec<Arc<str>>,
}

impl ReadSql {
    /// Reads a text of a policy file, or reports why it cannot be used.
    pub(crate) fn compile(written: &Text<'_>, context: &mut Context<'_>) -> Option<Self> {
        let SqlUse { columns, attributes } = match context.sql.read(written.value) {
            Ok(used) => used,
            Err(fault) => {
                context.problems.push(written.problem(fault.message, fault.suggestion));
                return None;
            }
        };
        for path in &attributes {
            if let Err(meant) = attributes::check(path) {
                let suggestion = meant.unwrap_or_else(|| {
                    "known: user.name, user.email, user.subject, user.tenant, user.groups, user.roles, user.claims.x"
                        .to_owned()
                });
                context.problems.push(written.problem(format!("nobody has an attribute \"{path}\""), Some(suggestion)));
            }
        }
        let attributes = attributes.iter().map(|path| path.as_str().into()).collect();
        Some(Self { text: written.value.into(), columns, attributes })
    }

    /// Reports the columns that one of the tables does not have, where that is known.
    pub(crate) fn check_columns<'t>(
        &self,
        written: &Text<'_>,
        tables: impl Iterator<Item = &'t TableName>,
        unknown_ok: bool,
        context: &mut Context<'_>,
    ) {
        let Some(known) = context.known else { return };
        for table in tables {
            let Some(columns) = known.columns(table) else { continue };
            for column in self.columns.iter().filter(|column| !columns.contains_key(*column)) {
                let meant = did_you_mean(column, columns.keys().map(String::as_str));
                let problem = written.problem(format!("table {table} has no column \"{column}\""), meant);
                context.report_unknown(problem, unknown_ok);
            }
        }
    }

    /// Whether both say the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// The columns that it needs and a table does not have. Of a table that is not known nothing can be said.
    fn absent<'s>(&'s self, table: &TableFacts) -> Vec<&'s str> {
        let absent = |column: &&String| !table.columns.is_empty() && table.column(column).is_none();
        self.columns.iter().filter(absent).map(String::as_str).collect()
    }

    /// Why it cannot be used on a table.
    pub(crate) fn misfit(&self, table: &TableFacts) -> Option<String> {
        let absent = self.absent(table);
        (!absent.is_empty()).then(|| {
            format!("its SQL names {}, which {} does not have", listed(&absent, COLUMNS_SHOWN_MAX), table.name)
        })
    }

    /// It, with the person's values.
    pub(crate) fn of(&self, identity: &Identity) -> Result<PolicySql, Missing> {
        let value = |path: &Arc<str>| Ok((Arc::clone(path), attributes::value(identity, path)?));
        let attributes = self.attributes.iter().map(value).collect::<Result<_, Missing>>()?;
        Ok(PolicySql { text: Arc::clone(&self.text), attributes })
    }
}

/// A statement is refused that a policy governs by something which is not known of the person.
pub(crate) fn missing(header: &Header, missing: Missing, table: &TableFacts, at: crate::Place) -> Reason {
    Reason {
        rule: header.rule.clone(),
        message: header.message_or(|| format!("permission denied for table {}", table.name)),
        detail: format!(
            "policy \"{}\" governs {} by what is known of you, and {}",
            header.rule.policy, table.name, missing.why
        ),
        hint: missing.hint,
        at: Some(at),
    }
}
