//! Tickets: statements that wait for somebody's approval, and what became of them.
//!
//! Each change is one transaction, and takes effect only if the caller could record it: the `record` that a change is
//! given runs last, and what it refuses did not happen.

use passgate_policy::{Approver, Role, RuleReference, SourceName, TicketId};

use super::database::{Cells, Transaction, Value, bounded};
use super::{Error, Store};

/// How far a ticket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// Approved, and not used up.
    Granted,
    /// Refused by somebody who may decide.
    Refused,
    /// Withdrawn by the person who asked.
    Cancelled,
    /// Its time is over.
    Expired,
    /// Approved, and used as often as it may be.
    Used,
}

impl State {
    const ALL: [Self; 6] = [Self::Open, Self::Granted, Self::Refused, Self::Cancelled, Self::Expired, Self::Used];

    /// The state as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a ticket is bound to. Where any of it is different, the ticket is not for this statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The tenant of the person who asked.
    pub tenant: String,
    /// Who asked.
    pub person: String,
    /// The source.
    pub source: SourceName,
    /// The resolved statement's fingerprint, in hexadecimal digits.
    pub statement: String,
    /// The fingerprint of its parameters.
    pub parameters: String,
    /// The policies in force.
    pub revision: String,
    /// What it was estimated to cost, as coarse as estimates are.
    pub estimate: String,
}

/// Why a rule asks, for whoever decides.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ask {
    /// The policy.
    pub policy: String,
    /// The rule as people are shown it, with its file and line.
    pub rule: String,
    /// The policy's message.
    pub message: String,
    /// What in the statement made it ask.
    pub detail: String,
}

impl Ask {
    /// A rule that asks.
    pub fn new(rule: &RuleReference, message: &str, detail: &str) -> Self {
        Self {
            policy: rule.policy.to_string(),
            rule: rule.to_string(),
            message: message.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// A statement that waits, or waited, for an approval.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its name.
    pub id: TicketId,
    /// What it is bound to.
    pub binding: Binding,
    /// The provider's own id of the person who asked.
    pub subject: String,
    /// The statement that was held, as the audit log names it.
    pub statement_id: String,
    /// The statement's text. It may hold values: shown to whoever may decide, and never logged.
    pub statement: String,
    /// Its parameters, as the settings let them be recorded.
    pub parameters: Option<String>,
    /// The estimate in words.
    pub estimate: Option<String>,
    /// The rules that ask.
    pub asks: Vec<Ask>,
    /// Who may decide.
    pub by: Approver,
    /// How long a grant is good, in seconds.
    pub good_for: i64,
    /// How often a grant may still be used.
    pub uses_left: i64,
    /// How far it has come.
    pub state: State,
    /// When it was opened, in seconds since 1970-01-01 UTC.
    pub opened_at: i64,
    /// When its time is over.
    pub expires_at: i64,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<i64>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// A decision about a ticket.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Granted, refused or cancelled.
    pub state: State,
    /// Who decides.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub now: i64,
}

/// What came of opening a ticket.
#[derive(Debug)]
pub enum Opened {
    /// A new one.
    New(Ticket),
    /// The very same statement waits already.
    Known(Ticket),
    /// The person has as many open tickets as one may have.
    TooMany,
}

/// Columns in the order of the table. A macro, since statements are constants.
macro_rules! columns {
    () => {
        "id, tenant, person, subject, source, statement_id, statement_digest, parameters_digest, revision, estimate_key,
         estimate, asks, statement, parameters, rules, roles, good_for, uses_left, state, opened_at, expires_at,
         decided_by, decided_at, reason"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO passgate_tickets (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
        $23, $24) ON CONFLICT DO NOTHING"
);
const FIND: &str = concat!("SELECT ", columns!(), " FROM passgate_tickets WHERE id = $1");
const FIND_BOUND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM passgate_tickets WHERE tenant = $1 AND person = $2 AND source = $3 AND statement_digest = $4
        AND parameters_digest = $5 AND revision = $6 AND estimate_key = $7 AND state = $8 AND expires_at > $9
        AND uses_left > 0 ORDER BY opened_at, id"
);
const COUNT_OPEN: &str = "SELECT count(*) AS open FROM passgate_tickets
    WHERE tenant = $1 AND person = $2 AND state = 'open'";
const DECIDE: &str = concat!(
    "UPDATE passgate_tickets SET state = $2, decided_by = $3, decided_at = $4, reason = $5,
        expires_at = CASE WHEN $2 = 'granted' THEN $4 + good_for ELSE expires_at END
        WHERE id = $1 AND state = 'open' AND expires_at > $4 RETURNING ",
    columns!()
);
const CANCEL: &str = concat!(
    "UPDATE passgate_tickets SET state = $2, decided_by = $3, decided_at = $4, reason = $5
        WHERE id = $1 AND state IN ('open', 'granted') RETURNING ",
    columns!()
);
const USE: &str = concat!(
    "UPDATE passgate_tickets SET uses_left = uses_left - 1,
        state = CASE WHEN uses_left = 1 THEN 'used' ELSE state END
        WHERE id = $1 AND state = 'granted' AND uses_left > 0 AND expires_at > $2 RETURNING ",
    columns!()
);
const GIVE_BACK: &str = "UPDATE passgate_tickets SET uses_left = uses_left + 1, state = 'granted'
    WHERE id = $1 AND state IN ('granted', 'used')";
const EXPIRE: &str = concat!(
    "UPDATE passgate_tickets SET state = 'expired' WHERE state IN ('open', 'granted') AND expires_at <= $1 RETURNING ",
    columns!()
);
const FORGET: &str = "DELETE FROM passgate_tickets WHERE state NOT IN ('open', 'granted') AND expires_at <= $1";
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM passgate_tickets WHERE tenant = $1 ORDER BY CASE WHEN state = 'open' THEN 0 ELSE 1 END, opened_at DESC, id
        LIMIT $2 OFFSET $3"
);

/// Tickets read at once.
const PAGE: usize = 500;
/// Pages read for one list.
const PAGES_MAX: usize = 40;

impl Store {
    /// Opens a ticket, unless the very same statement waits for the very same approval already.
    pub async fn open_ticket<E: From<Error>>(
        &self,
        ticket: Ticket,
        open_max: i64,
        record: impl FnOnce(&Ticket) -> Result<(), E>,
    ) -> Result<Opened, E> {
        bounded(async {
            let mut transaction = self.database.write().await.map_err(Error::from)?;
            let now = ticket.opened_at;
            if let Some(known) = known(&mut transaction, &ticket, now).await? {
                return Ok(Opened::Known(known));
            }
            let person = [ticket.binding.tenant.as_str().into(), ticket.binding.person.as_str().into()];
            let open = transaction.rows(COUNT_OPEN, &person, |row| row.integer("open")).await.map_err(Error::from)?;
            if open.first().copied().flatten().unwrap_or_default() >= open_max {
                return Ok(Opened::TooMany);
            }
            if transaction.run(INSERT, &values(&ticket)).await.map_err(Error::from)? == 0 {
                // Another gateway was faster.
                let known = known(&mut transaction, &ticket, now).await?;
                return known.map(Opened::Known).ok_or_else(|| Error::Unreadable("passgate_tickets").into());
            }
            record(&ticket)?;
            transaction.commit().await.map_err(Error::from)?;
            Ok(Opened::New(ticket))
        })
        .await
    }

    /// A ticket by its name.
    pub async fn ticket(&self, id: &TicketId) -> Result<Option<Ticket>, Error> {
        bounded(async {
            let mut transaction = self.database.read().await?;
            Ok(transaction.rows(FIND, &[id.as_str().into()], read).await?.into_iter().next())
        })
        .await
    }

    /// Grants for a statement that are good now.
    pub async fn grants(&self, binding: &Binding, now: i64) -> Result<Vec<Ticket>, Error> {
        bounded(async {
            let mut transaction = self.database.read().await?;
            Ok(transaction.rows(FIND_BOUND, &bound(binding, State::Granted, now), read).await?)
        })
        .await
    }

    /// Decides about a ticket. None where there is nothing left to decide.
    pub async fn decide<E: From<Error>>(
        &self,
        id: &TicketId,
        verdict: &Verdict,
        record: impl FnOnce(&Ticket) -> Result<(), E>,
    ) -> Result<Option<Ticket>, E> {
        bounded(async {
            let mut transaction = self.database.write().await.map_err(Error::from)?;
            let statement = if verdict.state == State::Cancelled { CANCEL } else { DECIDE };
            let values = [
                id.as_str().into(),
                verdict.state.as_str().into(),
                verdict.by.as_str().into(),
                verdict.now.into(),
                verdict.reason.clone().into(),
            ];
            let decided = transaction.rows(statement, &values, read).await.map_err(Error::from)?;
            let Some(ticket) = decided.into_iter().next() else { return Ok(None) };
            record(&ticket)?;
            transaction.commit().await.map_err(Error::from)?;
            Ok(Some(ticket))
        })
        .await
    }

    /// Uses each of these grants once: all of them, or, where one is not good any more, none.
    pub async fn use_grants<E: From<Error>>(
        &self,
        ids: &[TicketId],
        now: i64,
        record: impl FnOnce(&[Ticket]) -> Result<(), E>,
    ) -> Result<Option<Vec<Ticket>>, E> {
        // In one order everywhere, so that two statements never wait for each other.
        let ids: std::collections::BTreeSet<_> = ids.iter().map(TicketId::as_str).collect();
        bounded(async {
            let mut transaction = self.database.write().await.map_err(Error::from)?;
            let mut used = Vec::with_capacity(ids.len());
            for id in ids {
                let ticket = transaction.rows(USE, &[id.into(), now.into()], read).await.map_err(Error::from)?;
                let Some(ticket) = ticket.into_iter().next() else { return Ok(None) };
                used.push(ticket);
            }
            record(&used)?;
            transaction.commit().await.map_err(Error::from)?;
            Ok(Some(used))
        })
        .await
    }

    /// Gives back what a statement that never ran has used.
    pub async fn give_back<E: From<Error>>(
        &self,
        ids: &[TicketId],
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        bounded(async {
            let mut transaction = self.database.write().await.map_err(Error::from)?;
            for id in ids {
                transaction.run(GIVE_BACK, &[id.as_str().into()]).await.map_err(Error::from)?;
            }
            record()?;
            Ok(transaction.commit().await.map_err(Error::from)?)
        })
        .await
    }

    /// Ends every ticket whose time is over, and forgets those that ended before `forget_before`.
    pub async fn expire<E: From<Error>>(
        &self,
        now: i64,
        forget_before: i64,
        record: impl FnOnce(&[Ticket]) -> Result<(), E>,
    ) -> Result<Vec<Ticket>, E> {
        bounded(async {
            let mut transaction = self.database.write().await.map_err(Error::from)?;
            let expired = transaction.rows(EXPIRE, &[now.into()], read).await.map_err(Error::from)?;
            transaction.run(FORGET, &[forget_before.into()]).await.map_err(Error::from)?;
            record(&expired)?;
            transaction.commit().await.map_err(Error::from)?;
            Ok(expired)
        })
        .await
    }

    /// Tickets of a tenant that `shown` takes, the open ones first, then the newest; at most `most`.
    pub async fn tickets(
        &self,
        tenant: &str,
        most: usize,
        shown: impl Fn(&Ticket) -> bool,
    ) -> Result<Vec<Ticket>, Error> {
        bounded(async {
            let mut transaction = self.database.read().await?;
            let mut tickets = Vec::new();
            for page in 0..PAGES_MAX {
                let (limit, offset) = (integer(PAGE), integer(page * PAGE));
                let rows = transaction.rows(LIST, &[tenant.into(), limit.into(), offset.into()], read).await?;
                let last = rows.len() < PAGE;
                tickets.extend(rows.into_iter().filter(&shown).take(most - tickets.len()));
                if last || tickets.len() >= most {
                    break;
                }
            }
            Ok(tickets)
        })
        .await
    }
}

async fn known(transaction: &mut Transaction, ticket: &Ticket, now: i64) -> Result<Option<Ticket>, Error> {
    let open = transaction.rows(FIND_BOUND, &bound(&ticket.binding, State::Open, now), read).await?;
    Ok(open.into_iter().find(|open| asks_key(open) == asks_key(ticket)))
}

fn bound(binding: &Binding, state: State, now: i64) -> [Value; 9] {
    let Binding { tenant, person, source, statement, parameters, revision, estimate } = binding;
    [
        tenant.as_str().into(),
        person.as_str().into(),
        source.as_str().into(),
        statement.as_str().into(),
        parameters.as_str().into(),
        revision.as_str().into(),
        estimate.as_str().into(),
        state.as_str().into(),
        now.into(),
    ]
}

fn values(ticket: &Ticket) -> Vec<Value> {
    let (rules, roles, asks) = (json(&ticket.asks), roles(&ticket.by), asks_key(ticket));
    let Binding { tenant, person, source, statement, parameters, revision, estimate } = &ticket.binding;
    vec![
        ticket.id.as_str().into(),
        tenant.as_str().into(),
        person.as_str().into(),
        ticket.subject.as_str().into(),
        source.as_str().into(),
        ticket.statement_id.as_str().into(),
        statement.as_str().into(),
        parameters.as_str().into(),
        revision.as_str().into(),
        estimate.as_str().into(),
        ticket.estimate.clone().into(),
        asks.as_str().into(),
        ticket.statement.as_str().into(),
        ticket.parameters.clone().into(),
        rules.as_str().into(),
        roles.into(),
        ticket.good_for.into(),
        ticket.uses_left.into(),
        ticket.state.as_str().into(),
        ticket.opened_at.into(),
        ticket.expires_at.into(),
        ticket.decided_by.clone().into(),
        Value::Integer(ticket.decided_at),
        ticket.reason.clone().into(),
    ]
}

fn read(row: &dyn Cells) -> Result<Ticket, sqlx::Error> {
    let text = |column: &str| row.text(column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.to_owned()));
    let number = |column: &str| row.integer(column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.to_owned()));
    let decoded = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    let by = match row.text("roles")? {
        None => Approver::Asker,
        Some(roles) => {
            let roles: Vec<String> = serde_json::from_str(&roles).map_err(decoded)?;
            Approver::Roles(roles.into_iter().map(Role::new).collect())
        }
    };
    Ok(Ticket {
        id: TicketId::new(text("id")?),
        binding: Binding {
            tenant: text("tenant")?,
            person: text("person")?,
            source: SourceName::new(text("source")?),
            statement: text("statement_digest")?,
            parameters: text("parameters_digest")?,
            revision: text("revision")?,
            estimate: text("estimate_key")?,
        },
        subject: text("subject")?,
        statement_id: text("statement_id")?,
        statement: text("statement")?,
        parameters: row.text("parameters")?,
        estimate: row.text("estimate")?,
        asks: serde_json::from_str(&text("rules")?).map_err(decoded)?,
        by,
        good_for: number("good_for")?,
        uses_left: number("uses_left")?,
        state: State::read(&text("state")?).ok_or_else(|| sqlx::Error::ColumnNotFound("state".to_owned()))?,
        opened_at: number("opened_at")?,
        expires_at: number("expires_at")?,
        decided_by: row.text("decided_by")?,
        decided_at: row.integer("decided_at")?,
        reason: row.text("reason")?,
    })
}

/// Who is asked by which rules. What they say may change from one time to the next, as estimates do.
fn asks_key(ticket: &Ticket) -> String {
    let roles = roles(&ticket.by);
    let rules = ticket.asks.iter().map(|ask| ask.rule.as_str());
    super::digest(&rules.chain([roles.as_deref().unwrap_or("self")]).collect::<Vec<_>>())
}

fn json(asks: &[Ask]) -> String {
    // Texts in lists: serialising cannot fail.
    serde_json::to_string(asks).unwrap_or_default()
}

fn roles(by: &Approver) -> Option<String> {
    match by {
        Approver::Asker => None,
        Approver::Roles(roles) => Some(serde_json::json!(roles).to_string()),
    }
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
