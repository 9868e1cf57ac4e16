//! The part of the road where a statement gets its permission: names resolved, the policy asked, and asked again with
//! what it wanted to know, until it allows or refuses. Nothing of the statement has run by then.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use passgate_connectors::{Batch, Bind, Query};
use passgate_policy::{
    Costs, Decision, Estimate, EstimatePermit, Facts, Identity, Permit, Permitted, Place, PolicySet, Reasons, Request,
    Shadow, StatementDigest, StatementKind, TableUse, Tenant, TicketId, Visible, decide, shadow, visible,
};
use sha2::{Digest, Sha256};

use super::error::{Error, Failure};
use super::hold::{Approved, Waiting};
use super::ready::Ready;
use super::relay::{Running, Standing};
use super::road::{Location, Permission};
use super::settings::Settings;
use super::{Session, measure};
use crate::audit::{Event, Record, RecordedEstimate};
use crate::plan::{
    self, Allowed, Context, Entry, Model, OfTemplate, Plan, Question, Reading, Rewriting, SearchPath, SessionValues,
    Shadowed, Terms,
};
use crate::sources::{EstimateKey, Lease, Numbers};
use crate::statement::{Filled, Kind, Statement};

/// Times that a policy may want to know more. It asks for an estimate once, for a redirect once and for approvals once.
const ROUNDS_MAX: usize = 8;

/// Bytes of a plan that are read.
const PLAN_BYTES_MAX: usize = 4 << 20;

/// A statement for which permission is sought.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// The statement.
    pub(super) statement: &'a Arc<Statement>,
    /// Parameter types that the client declared.
    pub(super) parameter_types: &'a Arc<[u32]>,
    /// Values; none where the statement is only described. An approval is bound to values, so without them nothing is
    /// held: it is when it runs.
    pub(super) bind: Option<&'a Bind>,
    /// Whether it is a template, which never runs: what the source or somebody would have to be asked is left open.
    pub(super) is_template: bool,
}

impl<'a> Sought<'a> {
    fn rewriting(&self, model: &'a Model, tenant: &'a Tenant) -> Rewriting<'a> {
        let (parameter_types, is_template) = (self.parameter_types, self.is_template);
        Rewriting { parameter_types, is_template, ..Rewriting::of(model, tenant) }
    }
}

/// A statement that may be prepared: it can be described, and not run.
pub(super) struct Foreseen {
    query: Arc<Permitted<Query>>,
    shadowed: Option<Shadowed>,
    numbers: Option<Arc<Numbers>>,
}

impl Foreseen {
    pub(super) fn query(&self) -> &Permitted<Query> {
        &self.query
    }

    /// Where it is described.
    pub(super) fn location(&self) -> Location<'_> {
        match &self.shadowed {
            Some(shadowed) => Location::Shadow(shadowed),
            None => Location::Source(self.numbers.as_ref()),
        }
    }
}

/// A fingerprint, and what of the session it was made of.
pub(super) struct Known {
    settings: Settings,
    first_access: Option<bool>,
    context: Context,
}

/// What the policy says in the end.
enum Answer {
    /// It may run, as the same question was answered before.
    Known(Arc<Allowed>),
    /// It may run, as the template that it is made of.
    Filled(Arc<Allowed>, Arc<Permitted<Query>>),
    /// It may run, as planned and as asked.
    Allowed(Box<Granted>),
    /// It may run once somebody has approved it.
    Held(Box<Waiting>),
}

/// What the policy has allowed just now, to be rewritten.
struct Granted {
    plan: Plan,
    request: Request,
    permit: Permit,
    question: Question,
    /// Whether the same question will have the same answer.
    lasting: bool,
    /// The question of the template that the statement is made of, and by which policies it should be answered too.
    template: Option<(Question, Arc<PolicySet>)>,
}

impl Session<Ready> {
    /// Seeks a permission to run, and waits for approvals where the session says so. Whatever happened during a wait,
    /// the whole question is put again.
    pub(super) async fn permit(&mut self, sought: Sought<'_>, record: &mut Record) -> Result<Permission, Failure> {
        loop {
            let mut filled = None;
            let (allowed, grants) = match self.decide(sought, record).await? {
                Answer::Known(allowed) => (allowed, Vec::new()),
                Answer::Filled(allowed, query) => {
                    filled = Some(query);
                    (allowed, Vec::new())
                }
                Answer::Allowed(granted) => Box::pin(self.allowed(*granted, sought, record)).await?,
                Answer::Held(waiting) => {
                    Box::pin(self.hold(&waiting, record)).await?;
                    continue;
                }
            };
            note_allowed(&allowed, record);
            if let Some(filled) = &filled {
                record.rewritten = Some(filled.query().shown().into());
            }
            // What is only foreseen uses nothing.
            let grants = if sought.bind.is_some() { grants } else { Vec::new() };
            // None where somebody else has used one of the grants since.
            let Some(used) = self.use_grants(&grants, record).await? else { continue };
            let rows_estimated = record.estimate.map(|estimate| estimate.rows);
            let standing = Standing { terms: Arc::clone(&allowed.terms), rows_estimated };
            let (shadowed, numbers) = match allowed.shadowed.clone() {
                Some(shadowed) if allowed.of_catalog => (Some(shadowed), None),
                Some(shadowed) => (None, Some(self.numbers(&shadowed).await?)),
                None => (None, None),
            };
            let query = filled.unwrap_or_else(|| Arc::clone(&allowed.query));
            let warnings = Arc::clone(&allowed.warnings);
            return Ok(Permission { query, standing, warnings, used, on_kept_connection: false, shadowed, numbers });
        }
    }

    /// Rewrites what the policy has allowed, and remembers it where the same question will have the same answer. Says
    /// which grants it takes.
    async fn allowed(
        &mut self,
        mut granted: Granted,
        sought: Sought<'_>,
        record: &Record,
    ) -> Result<(Arc<Allowed>, Vec<TicketId>), Failure> {
        let (question, template) = (granted.question.clone(), granted.template.take());
        let grants = granted.permit.grants_used().to_vec();
        let (allowed, lasting) = self.rewritten(granted, sought, record).await?;
        if lasting {
            match template {
                Some(template) => Box::pin(self.learn(template, sought, &allowed, record)).await,
                None => self.services.seen.remember(question, Arc::clone(&allowed)),
            }
        }
        Ok((allowed, grants))
    }

    /// Rewrites what the policy has allowed. Says too whether the same question will have the same answer.
    async fn rewritten(
        &mut self,
        granted: Granted,
        sought: Sought<'_>,
        record: &Record,
    ) -> Result<(Arc<Allowed>, bool), Failure> {
        let Granted { plan, request, permit, question, lasting, template: _ } = granted;
        let (obligations, revision) = (permit.obligations().to_vec(), permit.revision().clone());
        let warnings = permit.warnings().into();
        let rules = permit.fired().iter().map(ToString::to_string).collect();
        let of_catalog = plan.is_of_catalog();
        let (shadowed, values) = self.shadow_of(&plan, &question.model, &request).await?;
        let under = sought.rewriting(&question.model, &request.identity.tenant);
        let under = Rewriting { session: values.as_ref(), ..under };
        let query = self.services.rewriter.rewrite(plan, permit, under).map_err(Failure::statement)?;
        // Another session of the same person has other values.
        let lasting = lasting && values.is_none_or(|values| !values.were_asked());
        let allowed = Allowed {
            rewritten: query.query().shown().into(),
            query: Arc::new(query),
            warnings,
            tables: Arc::clone(&record.tables),
            rules,
            shadow: Arc::clone(&record.shadow),
            terms: Arc::new(Terms { request, obligations, revision }),
            shadowed,
            of_catalog,
        };
        Ok((Arc::new(allowed), lasting))
    }

    /// Finds out what the policy says of the template that a statement is made of, asked as if it was to be prepared.
    /// It is believed of other constants where, with those of this statement, it is what `whole` says of it.
    async fn learn(
        &mut self,
        (question, policies): (Question, Arc<PolicySet>),
        sought: Sought<'_>,
        whole: &Allowed,
        record: &Record,
    ) {
        let Some(filled) = &sought.statement.filled else { return };
        let sought = Sought { statement: &filled.template, bind: None, is_template: true, ..sought };
        let (mut record, mut allowed) = (record.clone(), None);
        // What is refused, held or estimated as a template may still run with constants, one by one.
        if let Ok(Answer::Allowed(granted)) = self.decide_anew(question.clone(), policies, sought, &mut record).await
            && let Ok((template, true)) = self.rewritten(*granted, sought, &record).await
        {
            allowed = Some(template).filter(|template| template.is_with(filled, whole));
        }
        self.services.seen.remember_template(question, allowed);
    }

    /// Asks whether a statement may be prepared, and what it would be then.
    pub(super) async fn foreseen(
        &mut self,
        statement: &Arc<Statement>,
        parameter_types: &Arc<[u32]>,
        record: &mut Record,
    ) -> Result<Foreseen, Failure> {
        let sought = Sought { statement, parameter_types, bind: None, is_template: false };
        let Permission { query, shadowed, numbers, .. } = self.permit(sought, record).await?;
        Ok(Foreseen { query, shadowed, numbers })
    }

    /// The shadow that answers a statement of the catalog, and what it may ask of the session; or the one in which a client
    /// looks up what an answer of the source names by number.
    async fn shadow_of(
        &mut self,
        plan: &Plan,
        model: &Arc<Model>,
        request: &Request,
    ) -> Result<(Option<Shadowed>, Option<SessionValues>), Failure> {
        let is_numbered = self.services.sources.shadows_made().is_some() && !plan.tables().is_empty();
        if !plan.is_of_catalog() && !is_numbered {
            return Ok((None, None));
        }
        let policies = self.services.policies.borrow().clone();
        let shadowed = self.shadowed(model, &policies, &request.facts).await?;
        if !plan.is_of_catalog() {
            return Ok((Some(shadowed), None));
        }
        let values = self.values(&shadowed).await?;
        Ok((Some(shadowed), Some(values)))
    }

    /// What the policy says, as it said before if the same was asked.
    async fn decide(&mut self, sought: Sought<'_>, record: &mut Record) -> Result<Answer, Failure> {
        let services = self.services.clone();
        let policies = services.policies.borrow().clone();
        record.policy_revision = Some(policies.revision().clone());
        let model = self.model(&policies).await?;
        let (context, now) = (self.context().await, now());
        let filled = sought.statement.filled.as_ref();
        let question = Question {
            statement: Arc::clone(filled.map_or(sought.statement, |filled| &filled.template)),
            parameter_types: Arc::clone(sought.parameter_types),
            model,
            schemas: self.state.settings.search_path().clone(),
            context,
            moment: policies.moment(now),
        };
        if let Some(filled) = filled {
            return self.decide_filled(filled, question, policies, sought, record).await;
        }
        match services.seen.answer(&question) {
            Some(allowed) => Ok(Answer::Known(allowed)),
            None => Box::pin(self.decide_anew(question, policies, sought, record)).await,
        }
    }

    /// The same for a statement that is a template with constants. Where it is not known what the policy says of the
    /// template, the statement is read in full and asked about by itself.
    async fn decide_filled(
        &mut self,
        filled: &Filled,
        question: Question,
        policies: Arc<PolicySet>,
        sought: Sought<'_>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        // A type that the client declared is one of a parameter, which the statement has not.
        let asked = match sought.parameter_types.is_empty() {
            true => self.services.seen.answer_to_template(&question),
            false => OfTemplate::Unknown,
        };
        if let OfTemplate::Known(allowed) = &asked
            && let Some(query) = allowed.filled(filled)
        {
            return Ok(Answer::Filled(Arc::clone(allowed), query));
        }
        let services = self.services.clone();
        let whole = services.seen.statements(&sought.statement.text, &services.statement_limits);
        let whole = whole.map_err(Failure::statement)?;
        let [whole] = &*whole else { return Err(undecided()) };
        if !matches!(whole.kind, Kind::Query(_)) {
            return Err(undecided());
        }
        let asked_whole = Question { statement: Arc::clone(whole), ..question.clone() };
        if let Some(allowed) = services.seen.answer(&asked_whole) {
            return Ok(Answer::Known(allowed));
        }
        let sought = Sought { statement: whole, ..sought };
        let mut answer = Box::pin(self.decide_anew(asked_whole, Arc::clone(&policies), sought, record)).await?;
        if let (Answer::Allowed(granted), OfTemplate::Wanted) = (&mut answer, asked) {
            granted.template = Some((question, policies));
        }
        Ok(answer)
    }

    /// What the source holds, as these policies see it.
    async fn model(&mut self, policies: &Arc<PolicySet>) -> Result<Arc<Model>, Failure> {
        let (services, source, caller) = (self.services.clone(), self.state.source.clone(), self.state.caller.clone());
        if let Some(model) = services.sources.model_at_hand(&source, policies) {
            return Ok(model);
        }
        let model = Box::pin(services.sources.model(&source, &caller, policies));
        Ok(self.attended(model).await?)
    }

    /// Resolves names and asks the policy, as often as it wants to be asked in another way.
    async fn decide_anew(
        &mut self,
        question: Question,
        policies: Arc<PolicySet>,
        sought: Sought<'_>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        let services = self.services.clone();
        let (source, caller) = (self.state.source.clone(), self.state.caller.clone());
        let model = Arc::clone(&question.model);
        let mut facts = self.facts().await;
        let (schemas, known) = (question.schemas.clone(), facts.clone());
        let sees = |entry: &Entry| sees(entry, &policies, &caller.identity, &known);
        let path = SearchPath { schemas: &schemas, sees: &sees, hides: false };
        let unknowing = || {
            let path = SearchPath { hides: true, ..path };
            told_unknowing(sought.statement, &model, path, |plan| {
                decide(&policies, &plan::request(plan, &caller.identity, known.clone()))
            })
        };
        let mut plan = plan::resolve_along(sought.statement, &model, path, &[])
            .map_err(|error| unknowing().unwrap_or_else(|| Failure::statement(error)))?;
        // An estimate is believed for a while only, and an approval is used up.
        let mut lasting = true;
        for _ in 0..ROUNDS_MAX {
            if plan.missing().is_some() {
                // The source may have got it since it was last read.
                services.sources.note_missing(&source, &caller);
            }
            record.tables = plan.tables().iter().map(|used| used.name().to_string()).collect();
            let begun = Instant::now();
            let request = plan::request(&plan, &caller.identity, facts.clone());
            let decision = decide(&policies, &request);
            measure::decision(begun.elapsed());
            let told = |shadow: Shadow| format!("{}: {}", shadow.rule, shadow.effect);
            record.shadow = shadow(&policies, &request).into_iter().map(told).collect();
            match decision {
                Decision::Allow(permit) => {
                    let lasting = lasting && permit.grants_used().is_empty();
                    let granted = Granted { plan, request, permit, question, lasting, template: None };
                    return Ok(Answer::Allowed(Box::new(granted)));
                }
                Decision::Deny(reasons) => {
                    let hidden = |used: &TableUse| visible(&policies, &caller.identity, &known, used) == Visible::No;
                    let told = plan.tables().iter().any(hidden).then(unknowing).flatten();
                    let denied = deny(reasons, record);
                    return Err(told.unwrap_or(denied));
                }
                Decision::Redirect(redirects) => {
                    plan =
                        plan::resolve_along(sought.statement, &model, path, &redirects).map_err(Failure::statement)?;
                }
                // What it would cost or who would allow it is no question for a statement that cannot run.
                Decision::Estimate(_) | Decision::Hold(_) if plan.missing().is_some() => {
                    return Err(plan.missing().cloned().map_or_else(undecided, Failure::statement));
                }
                Decision::Estimate(_) | Decision::Hold(_) if sought.is_template => return Err(undecided()),
                Decision::Estimate(permit) => {
                    lasting = false;
                    facts.estimate = self.estimate(&plan, &model, permit, sought, record).await?;
                }
                Decision::Hold(hold) => match self.approved(sought, &request, &hold, record).await? {
                    // What is approved so far may not be all that is asked for.
                    Approved::By(grants) if facts.grants.is_empty() => {
                        lasting = false;
                        facts.grants = grants;
                    }
                    Approved::By(_) => break,
                    Approved::Not(waiting) => return Ok(Answer::Held(waiting)),
                },
            }
        }
        Err(undecided())
    }

    /// Asks whether a statement may be answered that reads nothing of a source.
    pub(super) async fn may(&mut self, kind: StatementKind, record: &mut Record) -> Result<(), Failure> {
        let policies = self.services.policies.borrow().clone();
        record.policy_revision = Some(policies.revision().clone());
        let facts = Facts { estimate: Estimate::Known(Costs::NOTHING), ..self.facts().await };
        let (source, identity) = (self.state.source.clone(), Arc::clone(&self.state.caller.identity));
        let digest = StatementDigest(Sha256::digest(kind.as_str()).into());
        let request = Request { of_catalog: true, facts, ..Request::new(digest, kind, source, identity) };
        match decide(&policies, &request) {
            Decision::Deny(reasons) => Err(deny(reasons, record)),
            _ => {
                record.validation = "allowed".into();
                Ok(())
            }
        }
    }

    /// What the moment and the session are.
    pub(super) async fn facts(&mut self) -> Facts {
        Facts {
            now: now(),
            application_name: self.state.settings.application_name().to_owned(),
            client_address: self.client.address.ip(),
            declared: self.state.settings.declared(),
            first_access_to_source: self.is_first_access().await,
            ..Facts::default()
        }
    }

    /// A fingerprint of the person and the session, made again only where something of it has changed.
    async fn context(&mut self) -> Context {
        let first_access = self.is_first_access().await;
        let settings = &self.state.settings;
        match &self.state.context {
            Some(known) if known.settings.is(settings) && known.first_access == first_access => known.context,
            _ => {
                let facts = self.facts().await;
                let context = Context::of(&self.state.caller.identity, &facts);
                let settings = self.state.settings.clone();
                self.state.context = Some(Known { settings, first_access, context });
                context
            }
        }
    }

    /// What the source says the statement would take, asked as the person, or as it was said before.
    async fn estimate(
        &mut self,
        plan: &Plan,
        model: &Model,
        permit: EstimatePermit,
        sought: Sought<'_>,
        held: &mut Record,
    ) -> Result<Estimate, Failure> {
        let under = sought.rewriting(model, &self.state.caller.identity.tenant);
        let query = self.services.rewriter.rewrite_for_estimate(plan.clone(), permit, under);
        let query = query.map_err(Failure::statement)?;
        let key = self.estimate_key(query.query(), sought.bind);
        let (services, source) = (self.services.clone(), self.state.source.clone());
        let estimates = services.sources.estimates();
        if let Some(made) = estimates.made(&key) {
            held.estimate = made.map(recorded);
            return Ok(estimates.judged(&source, made));
        }
        let unknown = Bind { parameters: vec![None; usize::from(sought.statement.parameters)], ..Bind::default() };
        let bind = Bind { result_formats: Vec::new(), ..sought.bind.cloned().unwrap_or(unknown) };
        let record = Record {
            event: Event::Estimate,
            rewritten: Some(query.query().shown().into()),
            validation: "allowed".into(),
            ..held.clone()
        };
        let receipt = services.audit.open_together(&record).await.map_err(Failure::statement)?;
        let mut running = Running::recorded(receipt, None);
        let snapshot = model.snapshot();
        let bytes_of =
            |schema: &str, table: &str| snapshot.relation(schema, table).and_then(|entry| entry.relation.bytes);
        match self.explained(&query, &bind, &mut running).await {
            Ok(json) => {
                running.finish();
                let reading = json.and_then(|json| plan::read_estimate(&json, &bytes_of));
                estimates.keep(key, reading);
                held.estimate = reading.map(recorded);
                Ok(estimates.judged(&source, reading))
            }
            Err(failure) => {
                running.fail(&failure);
                Err(failure)
            }
        }
    }

    /// The plan of a statement, on a connection of its own, so that what fails here fails no transaction. `None` where
    /// the source takes too long to make one.
    async fn explained(
        &mut self,
        query: &Permitted<Query>,
        bind: &Bind,
        running: &mut Running,
    ) -> Result<Option<String>, Failure> {
        let mut lease = self.checkout(running).await?;
        let receipt = running.receipt().ok_or(Error::TransactionLost)?;
        let wait = self.services.sources.estimate_wait();
        let asked = async {
            lease.start(receipt, query, bind).await?;
            read_plan(&mut lease).await
        };
        let timed = async {
            match tokio::time::timeout(wait, asked).await {
                Ok(read) => read.map(Some),
                Err(_) => Ok(None),
            }
        };
        Ok(self.attended(timed).await?)
    }

    fn estimate_key(&self, query: &Query, bind: Option<&Bind>) -> EstimateKey {
        let identity = &self.state.caller.identity;
        let mut hasher = Sha256::new();
        let parts = [self.state.source.as_str(), identity.tenant.as_str(), identity.person.as_str(), &query.text];
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.update(format!("{:?}\0", self.state.settings.meaning().0));
        hasher.update(format!("{:?}{:?}", query.parameter_types, bind.map(|bind| &bind.parameter_formats)));
        for value in bind.iter().flat_map(|bind| &bind.parameters) {
            let length = value.as_ref().map_or(u64::MAX, |value| value.len() as u64);
            hasher.update(length.to_be_bytes());
            hasher.update(value.as_deref().unwrap_or_default());
        }
        hasher.finalize().into()
    }
}

/// The moment, in seconds since 1970-01-01 UTC.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn recorded(reading: Reading) -> RecordedEstimate {
    RecordedEstimate { rows: reading.rows, bytes: reading.bytes, cost_units: reading.cost_units }
}

/// Reads the one value that `EXPLAIN (FORMAT JSON)` answers with, up to a size.
async fn read_plan(lease: &mut Lease) -> Result<String, passgate_connectors::Error> {
    let mut json = String::new();
    loop {
        match lease.next().await? {
            Batch::Rows { frames, rows: _ } if json.len() < PLAN_BYTES_MAX => json.push_str(&first_value(&frames)),
            Batch::Done { .. } => return Ok(json),
            Batch::Rows { .. } | Batch::Fields(_) | Batch::Copied(_) | Batch::Notice(_) => {}
        }
    }
}

/// The first column of a DataRow: a byte, the length, the number of columns, the value's length, the value.
/// Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>, DataRow.
fn first_value(frames: &[u8]) -> String {
    let length = frames.get(7..11).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes);
    let value = frames.get(11..).and_then(|rest| rest.get(..usize::try_from(length).unwrap_or(0)));
    value.map_or_else(String::new, |value| String::from_utf8_lossy(value).into_owned())
}

fn note_allowed(allowed: &Allowed, record: &mut Record) {
    record.validation = "allowed".into();
    record.tables = Arc::clone(&allowed.tables);
    record.rules = Arc::clone(&allowed.rules);
    record.shadow = Arc::clone(&allowed.shadow);
    record.rewritten = Some(Arc::clone(&allowed.rewritten));
}

/// Whether a person may know of a relation.
pub(super) fn sees(entry: &Entry, policies: &PolicySet, identity: &Arc<Identity>, facts: &Facts) -> bool {
    let (table, built_on) = (Arc::clone(&entry.facts), Arc::clone(&entry.built_on));
    let table = TableUse { table, at: Place { line: 1, column: 1 }, built_on };
    visible(policies, identity, facts, &table) != Visible::No
}

/// What somebody is told of a statement that names what they may not know of: what they would be told if it was not there.
fn told_unknowing(
    statement: &Statement,
    model: &Model,
    path: SearchPath<'_>,
    decide: impl FnOnce(&Plan) -> Decision,
) -> Option<Failure> {
    let plan = match plan::resolve_along(statement, model, path, &[]) {
        Ok(plan) => plan,
        Err(error) => return Some(Failure::statement(error)),
    };
    let denied = match decide(&plan) {
        Decision::Deny(reasons) => reasons.told().map(|told| Error::Denied(Box::new(told)).into()),
        _ => None,
    };
    denied.or_else(|| plan.missing().cloned().map(Failure::statement))
}

fn undecided() -> Failure {
    Failure::statement(plan::Error::undecided())
}

fn deny(reasons: Reasons, record: &mut Record) -> Failure {
    record.validation = "denied".into();
    record.rules = reasons.iter().map(|reason| reason.rule.to_string()).collect();
    Error::Denied(Box::new(reasons)).into()
}
