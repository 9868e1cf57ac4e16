//! A held statement in its session: what its ticket is bound to, what the person is told, and the wait for a decision.
//!
//! What a ticket means and who may decide is `approvals`' business; here is what only the session knows: the values, the
//! client that may go away, and the transaction that cannot wait for ever.

use std::sync::Arc;
use std::time::Duration;

use passgate_connectors::{Bind, Format, ServerMessage, SessionSettings};
use passgate_policy::{Approver, Estimate, Grant, Hold, Request, TicketId};
use time::OffsetDateTime;
use time::macros::format_description;

use super::Session;
use super::deciding::{Sought, now};
use super::error::{Error, Failure, Telling};
use super::ready::{Ready, draining, silence};
use crate::approvals::{self, Held, Settled};
use crate::audit::{Record, RecordedEstimate};
use crate::store::{Binding, State, Ticket};

/// What there is of the approvals that a statement needs.
pub(super) enum Approved {
    /// Grants to ask the policy again with.
    By(Vec<Grant>),
    /// Nothing, or not all.
    Not(Box<Waiting>),
}

/// A statement that is held, and what its ticket will be bound to.
pub(super) struct Waiting {
    pub(super) binding: Binding,
    pub(super) hold: Hold,
    pub(super) statement: Arc<str>,
    pub(super) estimate: Option<String>,
}

/// Why a wait ended.
enum Woken {
    Settled(Settled),
    /// The policies are others now; they may not even ask any more.
    OtherPolicies,
    /// The transaction keeps a connection to the source, and cannot do so any longer.
    Impatient,
}

impl Session<Ready> {
    /// Looks for the approvals of a held statement. One that is only foreseen is asked about as if it had them; the
    /// grants it is given exist nowhere, and cannot be used.
    pub(super) async fn approved(
        &mut self,
        sought: Sought<'_>,
        request: &Request,
        hold: &Hold,
        record: &Record,
    ) -> Result<Approved, Failure> {
        let Some(bind) = sought.bind else {
            let assume = |policy: &Arc<str>| Grant { ticket: TicketId::new(""), policy: policy.clone() };
            return Ok(Approved::By(hold.iter().map(|approval| assume(&approval.rule.policy)).collect()));
        };
        let parameters = parameters(sought.parameter_types, bind, &self.state.settings.meaning());
        let binding = binding(request, parameters, record);
        if request.facts.grants.is_empty() {
            let grants = self.services.approvals.grants(&binding).await.map_err(failed)?;
            if !grants.is_empty() {
                return Ok(Approved::By(grants));
            }
        }
        let (statement, hold) = (sought.statement.text.clone(), hold.clone());
        let estimate = estimate_in_words(&request.facts.estimate);
        Ok(Approved::Not(Box::new(Waiting { binding, hold, statement, estimate })))
    }

    /// Holds a statement: refuses it with its ticket, or, where the session says so, waits until it is worth asking the
    /// policy again.
    pub(super) async fn hold(&mut self, waiting: &Waiting, record: &mut Record) -> Result<(), Failure> {
        record.validation = "held".into();
        record.rewritten = None;
        record.rules = waiting.hold.iter().map(|approval| approval.rule.to_string()).collect();
        let services = self.services.clone();
        let held = Held {
            binding: waiting.binding.clone(),
            asker: &self.state.caller.identity,
            statement: &waiting.statement,
            estimate: waiting.estimate.clone(),
            hold: &waiting.hold,
            record,
        };
        let tickets = services.approvals.hold(&held).await.map_err(failed)?;
        record.tickets = tickets.iter().map(approvals::note_of).collect();
        let waits = self.state.settings.waits_when_held();
        let telling = telling(&tickets, waits);
        if !waits {
            return Err(Error::Held(Box::new(telling)).into());
        }
        self.channel.notice(&telling.notice());
        match self.wait_for(&tickets).await? {
            Woken::Settled(Settled::Granted) | Woken::OtherPolicies => Ok(()),
            Woken::Settled(Settled::Over(ticket)) => {
                record.tickets = vec![approvals::note_of(&ticket)];
                Err(Error::Held(Box::new(over(&ticket))).into())
            }
            Woken::Impatient => Err(Error::Held(Box::new(impatient(telling))).into()),
        }
    }

    /// Waits for a decision, as long as there is anybody to tell it.
    async fn wait_for(&mut self, tickets: &[Ticket]) -> Result<Woken, Failure> {
        let services = self.services.clone();
        let mut policies = services.policies.clone();
        if policies.borrow_and_update().revision().as_str() != revision_of(tickets) {
            return Ok(Woken::OtherPolicies);
        }
        let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
        let keeps_connection = self.pinned().is_some();
        let patience = if keeps_connection { services.config.idle_in_transaction_seconds } else { 0 };
        let patience = Some(Duration::from_secs(patience)).filter(|limit| !limit.is_zero());
        self.channel.flush().await?;
        tokio::select! {
            settled = services.approvals.wait(&ids) => Ok(Woken::Settled(settled.map_err(failed)?)),
            end = self.channel.departure() => Err(end.into()),
            _ = self.state.registration.slot.asked() => Err(Error::Cancelled.into()),
            () = draining(&mut self.client.shutdown) => Err(Error::ShuttingDown.into()),
            Ok(()) = policies.changed() => Ok(Woken::OtherPolicies),
            () = silence(patience) => Ok(Woken::Impatient),
        }
    }

    /// Uses the grants that a permit rests on. None where somebody else has used one of them since.
    pub(super) async fn use_grants(
        &mut self,
        grants: &[TicketId],
        record: &mut Record,
    ) -> Result<Option<Vec<Ticket>>, Failure> {
        if grants.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let used = Box::pin(self.services.approvals.use_grants(grants, record)).await.map_err(failed)?;
        if let Some(used) = &used {
            record.tickets = used.iter().map(approvals::note_of).collect();
        }
        Ok(used)
    }

    /// Gives back what a statement has used that was not sent to its source. Where that fails, the approval is lost, and
    /// nothing else.
    pub(super) async fn give_back(&mut self, used: &[Ticket], record: &Record) {
        if used.is_empty() {
            return;
        }
        if let Err(error) = Box::pin(self.services.approvals.give_back(used, record)).await {
            approvals::log(&error, "the use of a grant cannot be given back");
        }
    }

    /// Whether the person never read this source before; asked of the store once in a session.
    pub(super) async fn is_first_access(&mut self) -> Option<bool> {
        if self.state.accessed.is_none() {
            let found = self.services.store.has_accessed(&self.state.caller.identity, &self.state.source);
            match Box::pin(found).await {
                Ok(found) => self.state.accessed = Some(found),
                // A rule that asks learns that it is not known.
                Err(error) => tracing::error!(error = %error.cause(), "cannot tell whether this is a first access"),
            }
        }
        self.state.accessed.map(|accessed| !accessed)
    }

    /// A statement has begun to answer: from here on the source is not new to the person.
    pub(super) async fn note_access(&mut self) {
        if self.state.accessed == Some(true) {
            return;
        }
        let (identity, source) = (&self.state.caller.identity, &self.state.source);
        match Box::pin(self.services.store.note_access(identity, source, now())).await {
            Ok(()) => self.state.accessed = Some(true),
            Err(error) => tracing::error!(error = %error.cause(), "a first access cannot be remembered"),
        }
    }
}

/// What a ticket for this question is bound to.
fn binding(request: &Request, parameters: String, record: &Record) -> Binding {
    let identity = &request.identity;
    Binding {
        tenant: identity.tenant.to_string(),
        person: identity.person.to_string(),
        source: request.source.clone(),
        statement: request.statement.0.iter().map(|byte| format!("{byte:02x}")).collect(),
        parameters,
        revision: record.policy_revision.as_ref().map(ToString::to_string).unwrap_or_default(),
        estimate: estimate_key(&request.facts.estimate, record.estimate),
    }
}

/// A fingerprint of values, with their types and formats: the same bytes mean something else as another type. And with
/// the settings that say what constants mean: `'01/02/2024'` is another day under another `DateStyle`.
fn parameters(types: &[u32], bind: &Bind, meaning: &SessionSettings) -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    // Debug quotes both, so no two settings read as one.
    hasher.update(format!("{:?}\0", meaning.0));
    let given = types.iter().rposition(|declared| *declared != 0).map_or(0, |last| last + 1);
    for declared in types.iter().take(given) {
        hasher.update(declared.to_be_bytes());
    }
    let format = |at: usize| match bind.parameter_formats.as_slice() {
        [one] => *one,
        formats => formats.get(at).copied().unwrap_or_default(),
    };
    for (at, value) in bind.parameters.iter().enumerate() {
        hasher.update([0xff, u8::from(format(at) == Format::Binary), u8::from(value.is_some())]);
        if let Some(value) = value {
            hasher.update((value.len() as u64).to_be_bytes());
            hasher.update(value);
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An estimate as coarse as estimates are, two digits, so that statistics that moved a little leave a ticket as it is. It
/// is the source's own, before it was widened by what came of other statements: those are not this one.
fn estimate_key(estimate: &Estimate, read: Option<RecordedEstimate>) -> String {
    match (estimate, read) {
        (Estimate::NotMade, _) => String::new(),
        (_, Some(RecordedEstimate { rows, bytes, cost_units })) => format!("{rows:.1e} {bytes:.1e} {cost_units:.1e}"),
        (Estimate::Unknown | Estimate::Known(_), None) => "unknown".to_owned(),
    }
}

/// An estimate for whoever decides.
fn estimate_in_words(estimate: &Estimate) -> Option<String> {
    let costs = match estimate {
        Estimate::NotMade => return None,
        Estimate::Unknown => return Some("unknown".to_owned()),
        Estimate::Known(costs) => costs,
    };
    let parts = [
        costs.cost_usd.map(|cost| format!("${cost:.2}")),
        costs.bytes.map(|bytes| format!("{} to be read", in_bytes(bytes))),
        costs.rows.map(|rows| format!("{rows:.0} rows")),
    ];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn in_bytes(bytes: f64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut amount, mut unit) = (bytes, 0);
    while amount >= 1_000.0 && unit + 1 < units.len() {
        amount /= 1_000.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{amount:.0} {name}") } else { format!("{amount:.1} {name}") }
}

/// What the person is told of tickets: why, which, and how to go on.
fn telling(tickets: &[Ticket], waits: bool) -> Telling {
    let message = tickets.iter().flat_map(|ticket| &ticket.asks).next().map(|ask| ask.message.clone());
    let details: Vec<String> = tickets
        .iter()
        .map(|ticket| {
            let asks: Vec<String> = ticket
                .asks
                .iter()
                .map(|ask| match ask.detail.trim_end_matches('.') {
                    "" => ask.rule.clone(),
                    detail => format!("{}: {detail}", ask.rule),
                })
                .collect();
            format!(
                "Held by {}. Ticket {}, open until {}.",
                asks.join("; and by "),
                ticket.id,
                moment(ticket.expires_at)
            )
        })
        .collect();
    let mut hints: Vec<String> = tickets.iter().map(|ticket| how_to_go_on(ticket, waits)).collect();
    hints.push(match waits {
        true => "Cancel the statement to stop waiting; the ticket stays open.".to_owned(),
        false => "SET passgate.on_hold = 'wait' waits for a decision instead.".to_owned(),
    });
    Telling {
        message: message.unwrap_or_else(|| "the statement needs an approval".to_owned()),
        detail: details.join(" "),
        hint: hints.join(" "),
    }
}

fn how_to_go_on(ticket: &Ticket, waits: bool) -> String {
    let approve = format!("SELECT passgate.approve('{}')", ticket.id);
    match (&ticket.by, waits) {
        (Approver::Asker, false) => format!("Run {approve} and run it again."),
        (Approver::Asker, true) => format!("Run {approve} in another session of yours."),
        (by @ Approver::Roles(_), false) => {
            let who = approvals::deciders(by);
            format!("Once {who} has run {approve}, run it again.")
        }
        (by @ Approver::Roles(_), true) => format!("It goes on once {} has run {approve}.", approvals::deciders(by)),
    }
}

/// A ticket that will not be granted any more.
fn over(ticket: &Ticket) -> Telling {
    let what = match ticket.state {
        State::Refused => "the statement was refused",
        State::Cancelled => "the request for an approval was taken back",
        State::Used => "the approval has been used",
        State::Open | State::Granted | State::Expired => "nobody has approved the statement in time",
    };
    let detail = match (ticket.state, &ticket.decided_by, &ticket.reason) {
        (State::Refused, Some(by), Some(reason)) => format!("{by} refused ticket {}: {reason}", ticket.id),
        (State::Refused, Some(by), None) => format!("{by} refused ticket {}.", ticket.id),
        _ => format!("It was ticket {}.", ticket.id),
    };
    let hint = match ticket.state {
        State::Refused => "Ask whoever refused it.".to_owned(),
        _ => "Run the statement again to ask again.".to_owned(),
    };
    Telling { message: what.to_owned(), detail, hint }
}

fn impatient(telling: Telling) -> Telling {
    let hint = "A transaction keeps a connection to the source and cannot wait for longer. Roll back, and run the \
        statement again once it is approved.";
    Telling { hint: hint.to_owned(), ..telling }
}

impl Telling {
    /// The same beside a statement that goes on.
    fn notice(&self) -> ServerMessage {
        ServerMessage {
            severity: "NOTICE".to_owned(),
            code: "00000".to_owned(),
            message: format!("waiting for an approval: {}", self.message),
            detail: Some(self.detail.clone()),
            hint: Some(self.hint.clone()),
            position: None,
        }
    }
}

/// An error about tickets, logged where an operator needs more than a client may see.
pub(super) fn failed(error: approvals::Error) -> Failure {
    if matches!(error, approvals::Error::Store(_)) {
        approvals::log(&error, "tickets cannot be read or written");
    }
    Failure::statement(error)
}

fn revision_of(tickets: &[Ticket]) -> &str {
    tickets.first().map_or("", |ticket| ticket.binding.revision.as_str())
}

fn moment(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    // Only a year beyond 9999 does not format.
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_else(|| "the end of time".to_owned())
}

#[cfg(test)]
mod tests {
    use passgate_policy::Costs;

    use super::*;

    fn costs(cost_usd: Option<f64>, bytes: Option<f64>, rows: Option<f64>) -> Costs {
        Costs { cost_usd, bytes, rows, rows_of_largest_step: None, rows_read: None }
    }

    fn bound(types: &[u32], formats: &[Format], values: &[Option<&str>]) -> String {
        let parameters: Vec<_> = values.iter().map(|value| value.map(|value| value.to_owned().into())).collect();
        let bind = Bind { parameter_formats: formats.to_vec(), parameters, ..Bind::default() };
        super::parameters(types, &bind, &SessionSettings::default())
    }

    #[test]
    fn other_values_types_and_formats_are_other_parameters() {
        let all = [
            bound(&[], &[], &[]),
            bound(&[], &[], &[None]),
            bound(&[], &[], &[Some("")]),
            bound(&[], &[], &[Some("1")]),
            bound(&[23], &[], &[Some("1")]),
            bound(&[], &[Format::Binary], &[Some("1")]),
            bound(&[], &[], &[Some("1"), None]),
            bound(&[], &[], &[Some("12")]),
            bound(&[], &[], &[Some("1"), Some("2")]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(bound(&[0, 0], &[], &[Some("1")]), bound(&[], &[], &[Some("1")]), "nothing was declared");
        assert_eq!(bound(&[], &[Format::Text], &[Some("1")]), bound(&[], &[], &[Some("1")]));
    }

    #[test]
    fn an_estimate_that_moved_a_little_is_the_same() {
        let read = |rows: f64| Some(RecordedEstimate { rows, bytes: 0.0, cost_units: 0.0 });
        let key = |rows: f64| estimate_key(&Estimate::Known(costs(None, None, None)), read(rows));
        assert_eq!(key(12_000.0), key(12_100.0));
        assert_ne!(key(12_000.0), key(13_200.0));
        assert_ne!(estimate_key(&Estimate::Unknown, None), estimate_key(&Estimate::NotMade, None));
    }

    #[test]
    fn an_estimate_is_told_in_units_people_use() {
        let costs = costs(Some(1.2), Some(2.4e12), Some(1e6));
        let told = estimate_in_words(&Estimate::Known(costs)).unwrap();
        assert_eq!(told, "$1.20, 2.4 TB to be read, 1000000 rows");
    }
}
