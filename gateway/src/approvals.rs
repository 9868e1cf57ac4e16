//! Held statements: who may approve them, what a ticket is bound to, and who is told when something happened to one.
//!
//! Nothing is run here. A grant is a fact of the asker's next request, and the whole decision is made again; so an
//! approval opens no way around anything. Every change is recorded with both people in it, and what cannot be recorded
//! does not happen.
//!
//! ```text
//! Hold ── hold ──► open ─┬─ approve ──► granted ── use ──► used
//!                        ├─ refuse ───► refused
//!                        ├─ cancel ───► cancelled
//!                        └─ time ─────► expired
//! ```
//!
//! One ticket is one decision by one group of people: rules that name the same approvers share it. It is bound to
//! person, source, statement, parameters, policy revision and estimate; change one and it is not for that statement.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use passgate_policy::{Approval, Approver, Grant, Hold, Identity, Revision, TicketId};
use tokio::sync::watch;

use crate::audit::{self, Asker, Audit, Event, Outcome, Record, Status, TicketNote, Who};
use crate::error::ClientError;
use crate::store::{self, Ask, Binding, Opened, State, Store, Ticket, Verdict};

/// How many held statements there may be, and how long they are remembered. Section `limits.approvals`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ApprovalLimits")]
pub struct Config {
    /// Open tickets of one person. Default: 100.
    pub open_tickets_max: u32,
    /// Bytes of a statement that can be held: whoever decides must see all of it. A longer one that needs an approval is
    /// refused. Default: 65536.
    pub statement_bytes_max: usize,
    /// Rows of `passgate.approvals` for one reader. Default: 1000.
    pub listed_max: usize,
    /// How long tickets that have ended are listed, in days; the audit log keeps them. Default: 30.
    pub keep_days: u32,
    /// How often a waiting session looks for a decision made at another gateway, in seconds, where the store is shared.
    /// Default: 2.
    pub poll_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { open_tickets_max: 100, statement_bytes_max: 64 << 10, listed_max: 1_000, keep_days: 30, poll_seconds: 2 }
    }
}

/// How often tickets are looked through for those whose time is over.
const SWEEP: Duration = Duration::from_secs(30);
/// Where nobody else writes to the store, waiting looks again this often all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Bytes of a reason that somebody gives.
const REASON_BYTES_MAX: usize = 1_000;

/// Everything about held statements. A handle to share.
#[derive(Debug)]
pub struct Approvals {
    config: Config,
    store: Arc<Store>,
    audit: Audit,
    /// Counts the changes made at this gateway.
    changed: watch::Sender<u64>,
}

/// A statement that the policy holds.
pub struct Held<'a> {
    /// What its ticket is bound to.
    pub binding: Binding,
    /// Who asks.
    pub asker: &'a Identity,
    /// Its text.
    pub statement: &'a str,
    /// The estimate in words.
    pub estimate: Option<String>,
    /// The approvals it needs.
    pub hold: &'a Hold,
    /// What is recorded of it.
    pub record: &'a Record,
}

/// What somebody decides about a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It may run.
    Approve,
    /// It may not, and why.
    Refuse(Option<String>),
    /// The person who asked does not want it any more.
    Cancel,
}

/// A ticket as one reader sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The ticket.
    pub ticket: Ticket,
    /// Whether the reader may decide about it now.
    pub may_decide: bool,
}

/// What waiting came to.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Every ticket is granted.
    Granted,
    /// This one will not be.
    Over(Box<Ticket>),
}

/// What is refused about tickets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It could not be recorded.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The person has too many open tickets (54000).
    #[error("too many statements wait for an approval (the limit is {0} for one person)")]
    TooMany(u32),
    /// Whoever decides could not see all of it (54000).
    #[error("the statement needs an approval and is too long to be held (the limit is {0} bytes)")]
    TooLong(usize),
    /// There is no such ticket, or it is none of the reader's business (42704).
    #[error("ticket \"{0}\" does not exist")]
    NoTicket(String),
    /// Somebody else decides (42501).
    #[error("ticket \"{ticket}\" is not yours to decide")]
    NotYours {
        /// The ticket.
        ticket: String,
        /// Who may.
        who: String,
    },
    /// It is decided already (55000).
    #[error("ticket \"{ticket}\" is {state} already")]
    Ended {
        /// The ticket.
        ticket: String,
        /// What it is.
        state: &'static str,
    },
    /// The policies are others than those that asked (55000).
    #[error("ticket \"{0}\" is void: the policies have changed since it was opened")]
    Void(String),
}

impl ClientError for Error {
    fn sqlstate(&self) -> &str {
        match self {
            Self::Store(error) => error.sqlstate(),
            Self::Audit(error) => error.sqlstate(),
            Self::TooMany(_) | Self::TooLong(_) => "54000",
            Self::NoTicket(_) => "42704",
            Self::NotYours { .. } => "42501",
            Self::Ended { .. } | Self::Void(_) => "55000",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Audit(error) => error.detail(),
            Self::NotYours { who, .. } => Some(format!("It is decided by {who}.")),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Audit(error) => return error.hint(),
            Self::TooMany(_) => {
                "Take some back with SELECT passgate.cancel(ticket); SELECT * FROM passgate.approvals lists them."
            }
            Self::TooLong(_) => "Shorten it, or raise limits.approvals.statement_bytes_max.",
            Self::NoTicket(_) => "SELECT * FROM passgate.approvals shows those you may decide and those you asked for.",
            Self::Void(_) => {
                "The person who asked runs the statement again, and gets a new ticket if it still needs one."
            }
            Self::NotYours { .. } | Self::Ended { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl Approvals {
    /// Held statements in this store, recorded in this log.
    pub fn new(config: &Config, store: Arc<Store>, audit: Audit) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), store, audit, changed: watch::Sender::new(0) })
    }

    /// Ends tickets when their time is over, until nobody holds the approvals any more.
    pub fn sweep_in_background(self: &Arc<Self>) {
        let approvals = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(approvals) = Weak::upgrade(&approvals) else { return };
                if let Err(error) = approvals.sweep().await {
                    log(&error, "tickets cannot be looked through; those whose time is over are not used all the same");
                }
            }
        });
    }

    /// Ends every ticket whose time is over.
    pub async fn sweep(&self) -> Result<(), Error> {
        let forget_before = now() - i64::from(self.config.keep_days) * 86_400;
        let record = |tickets: &[Ticket]| tickets.iter().try_for_each(|ticket| self.note(of_nobody(ticket), ticket));
        let expired = self.store.expire(now(), forget_before, record).await?;
        if !expired.is_empty() {
            self.told("expired", expired.len());
        }
        Ok(())
    }

    /// The grants for a statement that are good now.
    pub async fn grants(&self, binding: &Binding) -> Result<Vec<Grant>, Error> {
        let tickets = self.store.grants(binding, now()).await?;
        let grant =
            |ticket: &Ticket, ask: &Ask| Grant { ticket: ticket.id.clone(), policy: ask.policy.as_str().into() };
        Ok(tickets
            .iter()
            .flat_map(|ticket| ticket.asks.iter().map(|ask| grant(ticket, ask)).collect::<Vec<_>>())
            .collect())
    }

    /// Opens a ticket for each group of people whose approval is missing, or finds it if the same statement waits
    /// already.
    pub async fn hold(&self, held: &Held<'_>) -> Result<Vec<Ticket>, Error> {
        if held.statement.len() > self.config.statement_bytes_max {
            return Err(Error::TooLong(self.config.statement_bytes_max));
        }
        // One whose time is over must not stand in the way of a new one.
        self.sweep().await?;
        let mut tickets = Vec::new();
        for approvals in by_approver(held.hold) {
            let ticket = ticket(held, &approvals);
            let record =
                |ticket: &Ticket| self.note(Record { event: Event::TicketOpened, ..held.record.clone() }, ticket);
            match self.store.open_ticket(ticket, self.config.open_tickets_max.into(), record).await? {
                Opened::New(ticket) => {
                    self.told("opened", 1);
                    tickets.push(ticket);
                }
                Opened::Known(ticket) => tickets.push(ticket),
                Opened::TooMany => return Err(Error::TooMany(self.config.open_tickets_max)),
            }
        }
        Ok(tickets)
    }

    /// Uses each of these grants once, for the statement of this record. None where one of them is not good any more.
    pub async fn use_grants(&self, ids: &[TicketId], record: &Record) -> Result<Option<Vec<Ticket>>, Error> {
        let event = || Record { event: Event::TicketUsed, ..record.clone() };
        let note = |tickets: &[Ticket]| tickets.iter().try_for_each(|ticket| self.note(event(), ticket));
        let used = self.store.use_grants(ids, now(), note).await?;
        if let Some(used) = &used {
            self.told("used", used.len());
        }
        Ok(used)
    }

    /// Gives back what a statement has used that was never sent to its source.
    pub async fn give_back(&self, tickets: &[Ticket], record: &Record) -> Result<(), Error> {
        let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
        let event = || Record { event: Event::TicketReturned, ..record.clone() };
        self.store.give_back(&ids, || tickets.iter().try_for_each(|ticket| self.note(event(), ticket))).await?;
        self.told("returned", tickets.len());
        Ok(())
    }

    /// Somebody decides about a ticket, under the policies of this revision. `record` is the statement they decide with.
    pub async fn decide(
        &self,
        who: &Identity,
        id: &str,
        choice: Choice,
        revision: &str,
        record: &Record,
    ) -> Result<Ticket, Error> {
        let id = TicketId::new(id);
        let none = || Error::NoTicket(id.to_string());
        let ticket = self.store.ticket(&id).await?.filter(|ticket| concerns(ticket, who)).ok_or_else(none)?;
        self.check(who, &ticket, &choice, revision)?;
        let (state, reason, event) = match choice {
            Choice::Approve => (State::Granted, None, Event::TicketGranted),
            Choice::Refuse(reason) => (State::Refused, reason.map(bounded_reason), Event::TicketRefused),
            Choice::Cancel => (State::Cancelled, None, Event::TicketCancelled),
        };
        let verdict = Verdict { state, by: who.person.to_string(), reason, now: now() };
        let note = |ticket: &Ticket| self.note(Record { event, ..record.clone() }, ticket);
        let decided = self.store.decide(&id, &verdict, note).await?;
        // Somebody else was faster, or its time was over just now.
        let Some(decided) = decided else {
            let state = self.store.ticket(&id).await?.map_or(State::Expired, |ticket| ticket.state);
            let state = if state == State::Open { State::Expired } else { state };
            return Err(Error::Ended { ticket: id.to_string(), state: state.as_str() });
        };
        self.told(state.as_str(), 1);
        Ok(decided)
    }

    fn check(&self, who: &Identity, ticket: &Ticket, choice: &Choice, revision: &str) -> Result<(), Error> {
        let (allowed, by) = match choice {
            Choice::Approve | Choice::Refuse(_) => (may_decide(ticket, who), deciders(&ticket.by)),
            Choice::Cancel => (is_asker(ticket, who), "the person who asked".to_owned()),
        };
        if !allowed {
            return Err(Error::NotYours { ticket: ticket.id.to_string(), who: by });
        }
        let endable = ticket.state == State::Open || (*choice == Choice::Cancel && ticket.state == State::Granted);
        if !endable {
            return Err(Error::Ended { ticket: ticket.id.to_string(), state: ticket.state.as_str() });
        }
        if *choice == Choice::Approve && ticket.binding.revision != revision {
            return Err(Error::Void(ticket.id.to_string()));
        }
        Ok(())
    }

    /// The tickets that a person may decide about or has asked for, the open ones first.
    pub async fn list(&self, who: &Identity) -> Result<Vec<Listed>, Error> {
        let tenant = who.tenant.as_str();
        let tickets = self.store.tickets(tenant, self.config.listed_max, |ticket| concerns(ticket, who)).await?;
        let open = |ticket: &Ticket| ticket.state == State::Open && ticket.expires_at > now();
        Ok(tickets
            .into_iter()
            .map(|ticket| Listed { may_decide: open(&ticket) && may_decide(&ticket, who), ticket })
            .collect())
    }

    /// Waits until every ticket is granted, or one of them will not be. Safe to drop and call again.
    pub async fn wait(&self, ids: &[TicketId]) -> Result<Settled, Error> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let mut all_granted = true;
            let mut look_again = match self.store.is_shared() {
                true => Duration::from_secs(self.config.poll_seconds.max(1)),
                false => LOOK_AGAIN,
            };
            for id in ids {
                let ticket = self.store.ticket(id).await?.ok_or_else(|| Error::NoTicket(id.to_string()))?;
                let left = ticket.expires_at - now();
                match ticket.state {
                    State::Granted if left > 0 => {}
                    State::Open if left > 0 => all_granted = false,
                    State::Open | State::Granted => {
                        return Ok(Settled::Over(Box::new(Ticket { state: State::Expired, ..ticket })));
                    }
                    State::Refused | State::Cancelled | State::Expired | State::Used => {
                        return Ok(Settled::Over(Box::new(ticket)));
                    }
                }
                look_again = look_again.min(Duration::from_secs(u64::try_from(left).unwrap_or_default()));
            }
            if all_granted {
                return Ok(Settled::Granted);
            }
            // Whoever could tell is this very value, so an end of the channel cannot happen.
            let _ = tokio::time::timeout(look_again, changed.changed()).await;
        }
    }

    fn note(&self, record: Record, ticket: &Ticket) -> Result<(), Error> {
        let outcome = Outcome { status: Some(Status::Ok), ..Outcome::default() };
        Ok(self.audit.note(Record { tickets: vec![note_of(ticket)], ..record }, outcome)?)
    }

    /// Counts something that happened, and wakes those who wait.
    fn told(&self, what: &'static str, tickets: usize) {
        metrics::counter!("passgate_tickets_total", "what" => what).increment(tickets as u64);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What is recorded of a ticket.
pub fn note_of(ticket: &Ticket) -> TicketNote {
    TicketNote {
        ticket: ticket.id.to_string(),
        asker: ticket.binding.person.clone(),
        held_statement_id: ticket.statement_id.clone(),
        decided_by: ticket.decided_by.clone(),
        reason: ticket.reason.clone(),
    }
}

/// Who decides, to end a sentence.
pub fn deciders(by: &Approver) -> String {
    match by {
        Approver::Asker => "the person who asked".to_owned(),
        Approver::Roles(roles) => {
            let names: Vec<String> = roles.iter().map(|role| format!("\"{role}\"")).collect();
            match names.as_slice() {
                [one] => format!("somebody else who holds the role {one}"),
                names => format!("somebody else who holds one of the roles {}", names.join(", ")),
            }
        }
    }
}

/// Logs an error where it stops.
pub fn log(error: &Error, what: &str) {
    match error {
        Error::Store(error) => tracing::error!(error = %error.cause(), "{what}"),
        error => tracing::error!(%error, "{what}"),
    }
}

/// Whether the ticket is the reader's business at all. To everybody else it does not exist.
fn concerns(ticket: &Ticket, who: &Identity) -> bool {
    is_asker(ticket, who) || (same_tenant(ticket, who) && holds_a_role(ticket, who))
}

fn may_decide(ticket: &Ticket, who: &Identity) -> bool {
    match ticket.by {
        Approver::Asker => is_asker(ticket, who),
        // Nobody approves their own statement for others, whatever roles they hold, and under whatever name.
        Approver::Roles(_) => {
            same_tenant(ticket, who)
                && holds_a_role(ticket, who)
                && !is_asker(ticket, who)
                && ticket.subject != who.subject
        }
    }
}

fn is_asker(ticket: &Ticket, who: &Identity) -> bool {
    same_tenant(ticket, who) && ticket.binding.person == who.person.as_str()
}

fn same_tenant(ticket: &Ticket, who: &Identity) -> bool {
    ticket.binding.tenant == who.tenant.as_str()
}

fn holds_a_role(ticket: &Ticket, who: &Identity) -> bool {
    match &ticket.by {
        Approver::Asker => false,
        Approver::Roles(roles) => !roles.is_disjoint(&who.roles),
    }
}

/// Approvals that the same people may give, together.
fn by_approver(hold: &Hold) -> Vec<Vec<&Approval>> {
    let mut groups: Vec<Vec<&Approval>> = Vec::new();
    for approval in hold.iter() {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.by == approval.by)) {
            Some(group) => group.push(approval),
            None => groups.push(vec![approval]),
        }
    }
    groups
}

/// A new ticket for rules with the same approvers: as short-lived and as seldom used as the strictest of them says.
fn ticket(held: &Held<'_>, approvals: &[&Approval]) -> Ticket {
    let good_for = approvals.iter().map(|approval| approval.expires_in_seconds).min().unwrap_or_default();
    let good_for = i64::try_from(good_for).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    let uses = approvals.iter().map(|approval| approval.uses).min().unwrap_or(1);
    let ask = |approval: &&Approval| Ask::new(&approval.rule, &approval.message, &approval.detail);
    let opened_at = now();
    Ticket {
        id: new_id(),
        binding: held.binding.clone(),
        subject: held.asker.subject.clone(),
        statement_id: held.record.statement_id.clone(),
        statement: held.statement.to_owned(),
        parameters: held.record.parameters.as_ref().map(|values| serde_json::json!(values).to_string()),
        estimate: held.estimate.clone(),
        asks: approvals.iter().map(ask).collect(),
        by: approvals.first().map_or(Approver::Roles(BTreeSet::new()), |approval| approval.by.clone()),
        good_for,
        uses_left: uses.max(1).into(),
        state: State::Open,
        opened_at,
        expires_at: opened_at + good_for,
        decided_by: None,
        decided_at: None,
        reason: None,
    }
}

/// `T` and twelve digits and letters that are not taken for each other: short enough to be read out.
fn new_id() -> TicketId {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut number = uuid::Uuid::new_v4().as_u128();
    let digit = |_| {
        let digit = DIGITS.get((number % 32) as usize).copied().unwrap_or(b'0');
        number >>= 5;
        char::from(digit)
    };
    // The bits of the version and the variant lie above these.
    TicketId::new(std::iter::once('T').chain((0..12).map(digit)).collect::<String>())
}

fn bounded_reason(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

/// What is recorded of something that nobody did.
fn of_nobody(ticket: &Ticket) -> Record {
    Record {
        event: Event::TicketExpired,
        statement_id: ticket.statement_id.clone(),
        asker: Asker::new(&Who { user: &ticket.binding.person, tenant: &ticket.binding.tenant, ..Who::default() }),
        application_name: String::new(),
        question: None,
        intent: "ticket".into(),
        source: Some(ticket.binding.source.clone()),
        query: None,
        parameters: None,
        validation: "not_checked: the ticket's time was over".into(),
        rewritten: None,
        tables: Arc::default(),
        policy_revision: Some(Revision::new(&ticket.binding.revision)),
        rules: ticket.asks.iter().map(|ask| ask.rule.clone()).collect(),
        estimate: None,
        identity: None,
        shadow: Arc::default(),
        tickets: Vec::new(),
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
