//! What a change of policies would do: recorded statements, decided under the old and under the new.
//!
//! Who asked is taken from the sign-in that the log holds for the session, with the groups, roles and claims of then;
//! the moment, the client and its name are the statement's own. What cannot be decided again honestly (a statement
//! recorded in part only, a session whose sign-in is not in the log) is counted, and never taken for unchanged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use passgate_policy::{Facts, Identity, PersonName, Proof, Role, Tenant};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Rehearsed, Stage, Verdict, rehearse};
use crate::audit::RecordedIdentity;

/// Statements that are decided again; more, and only the first of each text and person count on.
const STATEMENTS_MAX: usize = 1_000_000;

/// Characters of a statement that a line shows.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// One line of the log, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    event: String,
    timestamp: String,
    session_id: String,
    user: String,
    tenant: String,
    authentication_method: String,
    client_address: String,
    application_name: String,
    #[serde(default)]
    intent: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    query_sha256: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    identity: Option<RecordedIdentity>,
}

/// What changes.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Statements of people that would be decided otherwise, each once.
    pub changes: Vec<Change>,
    /// How many of them stay as they are.
    pub same: usize,
    /// How many cannot be told, by why.
    pub unknown: BTreeMap<&'static str, usize>,
}

/// One statement of one person.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who loses, who gains.
    pub direction: Direction,
    /// Who.
    pub person: String,
    /// The statement.
    pub statement: String,
    /// How many times it is in the log.
    pub times: usize,
    /// What changes, a line each.
    pub what: Vec<String>,
}

/// Whether somebody sees more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// What ran is refused or held, or shows less.
    Loses,
    /// What was refused or held runs, or shows more.
    Gains,
    /// Some of both.
    Changes,
}

impl Difference {
    /// Decides every statement of a log under both sets of policies, on one source.
    pub fn replay(log: &str, source: &str, old: Stage<'_>, new: Stage<'_>) -> Self {
        let mut difference = Self::default();
        let read = log.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str::<Line>);
        let lines: Vec<Line> = read
            .filter_map(|line| line.map_err(|_| difference.cannot_tell("the line is none of an audit log")).ok())
            .collect();
        let signed_in: HashMap<&str, &RecordedIdentity> = lines
            .iter()
            .filter(|line| line.event == "sign_in")
            .filter_map(|line| Some((line.session_id.as_str(), line.identity.as_ref()?)))
            .collect();
        let mut seen: HashMap<(&str, &str), Option<usize>> = HashMap::new();
        // A statement that ran has two lines; the first has all that is decided on, and ends with `started`.
        let asked = lines.iter().filter(|line| line.event == "statement" && line.source.as_deref() == Some(source));
        let decided = asked.filter(|line| matches!(line.status.as_str(), "started" | "denied" | "held"));
        for line in decided.take(STATEMENTS_MAX) {
            let Some(query) = line.query.as_deref() else { continue };
            if !["query", "explain", "write", "copy", "declare", "execute", "describe"].contains(&line.intent.as_str())
            {
                continue;
            }
            if line.query_sha256.is_some() {
                difference.cannot_tell("only the beginning of the statement is recorded");
                continue;
            }
            let Some(recorded) = signed_in.get(line.session_id.as_str()) else {
                difference.cannot_tell("the sign-in of its session is not in the log");
                continue;
            };
            if !recorded.complete {
                difference.cannot_tell("the person has more groups, roles or claims than are recorded");
                continue;
            }
            match seen.get(&(line.user.as_str(), query)) {
                Some(Some(change)) => {
                    if let Some(change) = difference.changes.get_mut(*change) {
                        change.times += 1;
                    }
                    continue;
                }
                Some(None) => continue,
                None => {}
            }
            let Ok(change) = one(line, query, recorded, old, new) else {
                difference.cannot_tell("a policy asks what the statement would cost, which nobody can tell any more");
                continue;
            };
            let place = change.map(|change| {
                difference.changes.push(change);
                difference.changes.len() - 1
            });
            difference.same += usize::from(place.is_none());
            seen.insert((&line.user, query), place);
        }
        difference.changes.sort_by(|a, b| (a.direction, &a.person).cmp(&(b.direction, &b.person)));
        difference
    }

    /// Whether no statement was decided again: there is nothing to conclude from that.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.same == 0 && self.unknown.is_empty()
    }

    /// Whether nothing changes, and all could be told.
    pub fn is_none(&self) -> bool {
        self.changes.is_empty() && self.unknown.is_empty()
    }

    fn cannot_tell(&mut self, why: &'static str) {
        *self.unknown.entry(why).or_default() += 1;
    }
}

/// A policy asked for an estimate.
struct NoEstimate;

fn one(
    line: &Line,
    query: &str,
    recorded: &RecordedIdentity,
    old: Stage<'_>,
    new: Stage<'_>,
) -> Result<Option<Change>, NoEstimate> {
    let identity = Arc::new(Identity {
        person: PersonName::new(&line.user),
        subject: recorded.subject.clone(),
        email: recorded.email.clone(),
        tenant: Tenant::new(&line.tenant),
        groups: recorded.groups.iter().cloned().collect(),
        roles: recorded.roles.iter().map(Role::new).collect(),
        claims: recorded.claims.clone(),
        proof: Proof { method: method(&line.authentication_method), issuer: "log".to_owned(), expires_at: None },
    });
    let facts = Facts {
        now: OffsetDateTime::parse(&line.timestamp, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp),
        application_name: line.application_name.clone(),
        client_address: address(&line.client_address),
        first_access_to_source: Some(false),
        ..Facts::default()
    };
    let before = rehearse(query, old, &identity, &facts);
    let after = rehearse(query, new, &identity, &facts);
    if before.iter().chain(&after).any(|account| account.estimate_wanted) {
        return Err(NoEstimate);
    }
    let mut what = Vec::new();
    let (mut loses, mut gains) = (false, false);
    for (before, after) in before.iter().zip(&after) {
        compare(before, after, &mut what, &mut loses, &mut gains);
    }
    let direction = match (loses, gains) {
        (true, false) => Direction::Loses,
        (false, true) => Direction::Gains,
        _ => Direction::Changes,
    };
    Ok((!what.is_empty()).then(|| Change {
        direction,
        person: line.user.clone(),
        statement: query.to_owned(),
        times: 1,
        what,
    }))
}

fn compare(before: &Rehearsed, after: &Rehearsed, what: &mut Vec<String>, loses: &mut bool, gains: &mut bool) {
    if before.verdict != after.verdict {
        let (telling, of) =
            if after.verdict == Verdict::Allow { (&before.reasons, "was") } else { (&after.reasons, "is") };
        let why = telling.first().map_or_else(String::new, |told| {
            let rule = told.rule.as_ref().map_or_else(String::new, |rule| format!(", by {rule}"));
            format!(" ({of} refused: {}{rule})", told.message)
        });
        what.push(format!("{} -> {}{why}", before.verdict, after.verdict));
        *loses |= before.verdict == Verdict::Allow;
        *gains |= after.verdict == Verdict::Allow;
        return;
    }
    sets("filter", &pairs(&before.filters), &pairs(&after.filters), what, loses, gains);
    sets("mask", &masks(&before.masks), &masks(&after.masks), what, loses, gains);
    let hidden = |account: &Rehearsed| account.hidden.iter().cloned().collect();
    sets("hidden column", &hidden(before), &hidden(after), what, loses, gains);
    if before.limit != after.limit {
        let shown = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), |rows| rows.to_string());
        what.push(format!("limit {} -> {}", shown(before.limit), shown(after.limit)));
        let (before, after) = (before.limit.unwrap_or(u64::MAX), after.limit.unwrap_or(u64::MAX));
        *loses |= after < before;
        *gains |= after > before;
    }
    if before.redirected != after.redirected {
        what.push(format!("redirects {:?} -> {:?}", before.redirected, after.redirected));
    }
}

fn pairs(filters: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    filters.iter().flat_map(|(table, rows)| rows.iter().map(move |rows| format!("{table}: {rows}"))).collect()
}

fn masks(masks: &BTreeMap<String, String>) -> BTreeSet<String> {
    masks.iter().map(|(column, mask)| format!("{column}: {mask}")).collect()
}

/// What restricts: more of it is less to see.
fn sets(
    what: &str,
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
    lines: &mut Vec<String>,
    loses: &mut bool,
    gains: &mut bool,
) {
    for added in after.difference(before) {
        lines.push(format!("+ {what} {added}"));
        *loses = true;
    }
    for removed in before.difference(after) {
        lines.push(format!("- {what} {removed}"));
        *gains = true;
    }
}

fn method(written: &str) -> &'static str {
    ["oidc", "oauthbearer", "scram"].into_iter().find(|known| *known == written).unwrap_or("unknown")
}

/// The address of `127.0.0.1:5432`, or of an address alone; the unspecified one where there is none.
fn address(written: &str) -> IpAddr {
    let socket = written.parse::<SocketAddr>().map(|socket| socket.ip());
    socket.or_else(|_| written.parse()).unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let direction = match change.direction {
                Direction::Loses => "LOSES",
                Direction::Gains => "GAINS",
                Direction::Changes => "CHANGES",
            };
            let one_line: String = change.statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown: String = one_line.chars().take(SHOWN_CHARACTERS_MAX).collect();
            let more = if one_line.chars().nth(SHOWN_CHARACTERS_MAX).is_some() { "..." } else { "" };
            let times = if change.times == 1 { String::new() } else { format!(" ({} times)", change.times) };
            writeln!(formatter, "{direction:8} {}{times}: {shown}{more}", change.person)?;
            change.what.iter().try_for_each(|line| writeln!(formatter, "         {line}"))?;
        }
        let people = |direction| {
            let affected = self.changes.iter().filter(|change| change.direction == direction);
            affected.map(|change| change.person.as_str()).collect::<BTreeSet<_>>().len()
        };
        let (lose, gain) = (people(Direction::Loses), people(Direction::Gains));
        writeln!(
            formatter,
            "{} statements change and {} stay the same; people who lose: {lose}, who gain: {gain}",
            self.changes.len(),
            self.same
        )?;
        self.unknown.iter().try_for_each(|(why, count)| writeln!(formatter, "cannot be told: {count}, because {why}"))
    }
}
