//! Statements seen before: their trees, and what the policies said of them.
//!
//! A dashboard sends the same few texts all day. Once a text is known, finding it costs one look-up, and finding the
//! permission for it another: nothing is parsed, resolved, decided or printed again.
//!
//! What is asked once and never again takes no memory and no time to be kept: something is remembered when it is asked
//! for the second time.
//!
//! ```text
//! text ──────────────► Arc<Statement> ─┐
//! text ─► shape ─► Template, filled ───┤
//! person, session, moment ─────────────┼─ Question ──► Arc<Allowed>
//! model (source, policies) ────────────┘
//! ```
//!
//! Texts that differ in constants only ask one question, that of their [`Template`]; it is asked as a prepared statement
//! would be, and believed where the answer, filled with the constants of a text, was that to the text itself.
//!
//! What is found is what the same question was answered with, because everything that an answer may depend on is in the
//! [`Question`]. A new thing that shapes an answer must become part of it, or must not be remembered: estimates and
//! approvals are not.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use passgate_connectors::Query;
use passgate_policy::{Facts, Identity, Obligation, Permitted, Proof, Request, Revision, Warning};
use sha2::{Digest, Sha256};

use super::{Model, Shadowed};
use crate::statement::{self, Filled, Limits, Shape, Statement, Template};

/// What a remembered statement takes in memory for each byte of its text, about.
const TREE_BYTES_PER_BYTE: usize = 24;

/// What a remembered answer takes for each byte of its text and of what is sent to the source, about.
const ANSWER_BYTES_PER_BYTE: usize = 16;

/// What either takes beside that, about.
const ENTRY_BYTES: usize = 2_048;

/// What takes more than this part of the room is not remembered: it would put out too much else.
const LARGEST_PART: u64 = 16;

/// So many things are known to have been asked once: one more takes the place of another.
const ASKED_ONCE: usize = 8_192;

/// What is remembered.
pub struct Seen {
    /// The heaviest that is.
    weight_max: u64,
    texts_asked: Asked,
    shapes_asked: Asked,
    questions_asked: Asked,
    statements: Cache<Arc<str>, Arc<[Arc<Statement>]>>,
    /// By the keys of shapes; none where a shape makes no template.
    templates: Cache<Arc<str>, Option<Template>>,
    /// None where a template is not to be believed.
    answers: Cache<Question, Option<Arc<Allowed>>>,
}

/// What is known of the answer to a template.
pub enum OfTemplate {
    /// It is this, whatever the constants are.
    Known(Arc<Allowed>),
    /// It is not known, and was not asked for lately either.
    Unknown,
    /// It is not known and asked for again: it should be found out.
    Wanted,
}

/// What has been asked once, by its hash. Two that share a hash are taken for the same, and one of them remembered early.
struct Asked {
    hasher: RandomState,
    hashes: Box<[AtomicU64]>,
}

impl Asked {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            hashes: std::iter::repeat_with(AtomicU64::default).take(ASKED_ONCE).collect(),
        }
    }

    /// Whether it has been asked before, lately.
    fn again(&self, what: impl Hash) -> bool {
        let hash = self.hasher.hash_one(what);
        let place = usize::try_from(hash % ASKED_ONCE as u64).unwrap_or_default();
        self.hashes.get(place).is_some_and(|place| place.swap(hash, Ordering::Relaxed) == hash)
    }
}

/// A statement that may run, and everything that is known of it by then.
#[derive(Debug)]
pub struct Allowed {
    /// What runs.
    pub query: Arc<Permitted<Query>>,
    /// Under which terms.
    pub terms: Arc<Terms>,
    /// What the person is told beside the answer.
    pub warnings: Arc<[Warning]>,
    /// The tables it reads, as they are recorded.
    pub tables: Arc<[String]>,
    /// The rules that shaped it, as they are recorded.
    pub rules: Arc<[String]>,
    /// What rules in shadow mode would have done, as it is recorded.
    pub shadow: Arc<[String]>,
    /// What is sent to the source, as it is recorded.
    pub rewritten: Arc<str>,
    /// The shadow of the person who asks, where they have one.
    pub shadowed: Option<Shadowed>,
    /// Whether it asks the catalog, so that the shadow answers it.
    pub of_catalog: bool,
}

/// What was asked of the policies, and what they demanded.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What was asked.
    pub request: Request,
    /// What was demanded.
    pub obligations: Vec<Obligation>,
    /// By which policies.
    pub revision: Revision,
}

impl Terms {
    /// Whether what is demanded elsewhere is what was met here.
    pub fn demand_the_same(&self, others: &[Obligation]) -> bool {
        let own = &self.obligations;
        own.len() == others.len() && own.iter().zip(others).all(|(own, other)| other.has_same_effect(own))
    }
}

/// Everything that an answer may depend on.
#[derive(Clone, Debug)]
pub struct Question {
    /// The statement.
    pub statement: Arc<Statement>,
    /// Parameter types that the client declared.
    pub parameter_types: Arc<[u32]>,
    /// What the source holds, and the policies.
    pub model: Arc<Model>,
    /// Where names without a schema are looked for.
    pub schemas: Arc<[String]>,
    /// Who asks, and from what session.
    pub context: Context,
    /// What of the moment the policies ask for.
    pub moment: Option<i64>,
}

/// A fingerprint of everything that policies may ask of a person and of their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context([u8; 32]);

impl Context {
    /// Of this person and session. The moment is not part of it.
    pub fn of(identity: &Identity, facts: &Facts) -> Self {
        // Named one by one, so that a new field is thought of here.
        let Identity { person, subject, email, tenant, groups, roles, claims, proof } = identity;
        // A token's end is the session's business, and no policy's.
        let Proof { method, issuer, expires_at: _ } = proof;
        let Facts {
            now: _,
            application_name,
            client_address,
            declared,
            estimate,
            confidence,
            first_access_to_source,
            grants,
        } = facts;
        let who = format!(
            "{person:?} {subject:?} {email:?} {tenant:?} {groups:?} {roles:?} {claims:?} {method:?} {issuer:?}"
        );
        let session = format!("{application_name:?} {client_address:?} {declared:?} {first_access_to_source:?}");
        let rest = format!("{estimate:?} {confidence:?} {grants:?}");
        let mut hasher = Sha256::new();
        for part in [who, session, rest] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

// Statements and models are compared by where they are: a question that is kept keeps them there.
impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.statement, &other.statement)
            && Arc::ptr_eq(&self.model, &other.model)
            && self.moment == other.moment
            && self.context == other.context
            && self.schemas == other.schemas
            && self.parameter_types == other.parameter_types
    }
}

impl Eq for Question {}

impl Question {
    /// What it asks, whether or not its statement is kept: another may come to stand where one stood that was not.
    fn words(&self) -> impl Hash {
        let Self { statement, parameter_types, model, schemas, context, moment } = self;
        (&statement.text, parameter_types, Arc::as_ptr(model).addr(), schemas, context, moment)
    }

    /// What it takes up with its answer: its statement too, which nothing else may hold.
    fn weight(&self, allowed: Option<&Arc<Allowed>>) -> u32 {
        let texts = |allowed: &Arc<Allowed>| allowed.query.query().text.len().saturating_add(allowed.rewritten.len());
        let answer = weight(allowed.map_or(0, texts), ANSWER_BYTES_PER_BYTE);
        answer.saturating_add(weight(self.statement.text.len(), TREE_BYTES_PER_BYTE))
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.statement).hash(state);
        Arc::as_ptr(&self.model).hash(state);
        self.context.hash(state);
        self.moment.hash(state);
        self.schemas.hash(state);
        self.parameter_types.hash(state);
    }
}

impl Seen {
    /// Remembers as much as fits in about so many bytes; nothing where they are none.
    pub fn new(bytes_max: usize) -> Self {
        let half = u64::try_from(bytes_max / 2).unwrap_or(u64::MAX);
        let statements = Cache::builder().max_capacity(half / 2);
        let templates = Cache::builder().max_capacity(half / 2);
        let answers = Cache::builder().max_capacity(half);
        Self {
            weight_max: half / LARGEST_PART,
            texts_asked: Asked::new(),
            shapes_asked: Asked::new(),
            questions_asked: Asked::new(),
            statements: statements.weigher(|text: &Arc<str>, _| weight(text.len(), TREE_BYTES_PER_BYTE)).build(),
            templates: templates.weigher(|key: &Arc<str>, _| weight(key.len(), TREE_BYTES_PER_BYTE)).build(),
            answers: answers
                .weigher(|question: &Question, allowed: &Option<Arc<Allowed>>| question.weight(allowed.as_ref()))
                .build(),
        }
    }

    /// The statements of a text.
    pub fn statements(&self, text: &str, limits: &Limits) -> Result<Arc<[Arc<Statement>]>, statement::Error> {
        match self.statements.get(text) {
            Some(known) => Ok(known),
            None => self.read(text, limits),
        }
    }

    /// Reads a text, and keeps it where it was asked before.
    fn read(&self, text: &str, limits: &Limits) -> Result<Arc<[Arc<Statement>]>, statement::Error> {
        let parsed: Arc<[Arc<Statement>]> = statement::parse(text, limits)?.into_iter().map(Arc::new).collect();
        if self.texts_asked.again(text) {
            let weight = weight(text.len(), TREE_BYTES_PER_BYTE);
            self.keep(&self.statements, weight, || (text.into(), Arc::clone(&parsed)));
        }
        Ok(parsed)
    }

    /// The same for a text that its client does not keep: read as a template that is filled, where its shape is known.
    /// `suits` says of which statements there may be templates.
    pub fn recognised(
        &self,
        text: &str,
        limits: &Limits,
        suits: impl FnOnce(&Statement) -> bool,
    ) -> Result<Arc<[Arc<Statement>]>, statement::Error> {
        if let Some(known) = self.statements.get(text) {
            return Ok(known);
        }
        let within_limits = text.len() <= limits.statement_bytes_max;
        let Some(shape) = Shape::of(text).filter(|_| within_limits) else { return self.read(text, limits) };
        let key = shape.key();
        let weight = weight(key.len(), TREE_BYTES_PER_BYTE);
        let template = match self.templates.get(key.as_str()) {
            Some(known) => known,
            None if u64::from(weight) <= self.weight_max && self.shapes_asked.again(&key) => {
                let template = shape.template(limits).filter(|template| suits(template.statement()));
                self.keep(&self.templates, weight, || (key.into(), template.clone()));
                template
            }
            None => None,
        };
        match template {
            Some(template) => Ok([Arc::new(template.filled(shape))].into()),
            None => self.read(text, limits),
        }
    }

    /// What this question was answered with before.
    pub fn answer(&self, question: &Question) -> Option<Arc<Allowed>> {
        self.answers.get(question).flatten()
    }

    /// The same for the question of a template.
    pub fn answer_to_template(&self, question: &Question) -> OfTemplate {
        match self.answers.get(question) {
            Some(Some(allowed)) => OfTemplate::Known(allowed),
            None if self.questions_asked.again(question.words()) => OfTemplate::Wanted,
            Some(None) | None => OfTemplate::Unknown,
        }
    }

    /// Remembers an answer, if its question is asked again.
    pub fn remember(&self, question: Question, allowed: Arc<Allowed>) {
        if self.questions_asked.again(question.words()) {
            self.keep(&self.answers, question.weight(Some(&allowed)), || (question, Some(allowed)));
        }
    }

    /// Remembers the answer to a template, or that there is none to be believed. One that takes too much is none.
    pub fn remember_template(&self, question: Question, allowed: Option<Arc<Allowed>>) {
        let allowed = allowed.filter(|allowed| u64::from(question.weight(Some(allowed))) <= self.weight_max);
        self.keep(&self.answers, question.weight(allowed.as_ref()), || (question, allowed));
    }

    /// Puts something in, and what it puts out at once: the cache would let that wait for hundreds of others, and they may
    /// be large.
    fn keep<K, V>(&self, cache: &Cache<K, V>, weight: u32, entry: impl FnOnce() -> (K, V))
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        if u64::from(weight) > self.weight_max {
            return;
        }
        let (key, value) = entry();
        cache.insert(key, value);
        cache.run_pending_tasks();
        // The cache's table frees what it dropped two epochs later.
        (0..3).for_each(|_| crossbeam_epoch::pin().flush());
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seen")
    }
}

impl Allowed {
    /// This answer, to a template, with the constants of a text; none where they do not fit.
    pub fn filled(&self, filled: &Filled) -> Option<Arc<Permitted<Query>>> {
        self.query.filled(&filled.constants).map(Arc::new)
    }

    /// Whether this answer, to a template, says with the constants of a text what the other says of the text.
    pub fn is_with(&self, filled: &Filled, other: &Self) -> bool {
        let same_query = |query: Arc<Permitted<Query>>| {
            let (ours, others) = (query.query(), other.query.query());
            ours.text == others.text && ours.gives == others.gives && ours.discreet == others.discreet
        };
        !self.of_catalog
            && !other.of_catalog
            && other.query.query().shown.is_none()
            && self.filled(filled).is_some_and(same_query)
            && self.terms.demand_the_same(&other.terms.obligations)
            && (&self.tables, &self.rules, &self.shadow) == (&other.tables, &other.rules, &other.shadow)
            && self.warnings == other.warnings
    }
}

fn weight(text: usize, each: usize) -> u32 {
    u32::try_from(text.saturating_mul(each).saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use passgate_connectors::Metadata;
    use passgate_policy::{
        Costs, Estimate, Grant, PersonName, PolicyFile, PolicySet, Role, SourceName, Tenant, TicketId, compile,
    };

    use super::*;
    use crate::catalog::Snapshot;
    use crate::plan::{self, PolicySqlReader, Rewriter, Rewriting};

    fn identity() -> Identity {
        Identity {
            person: PersonName::new("ana"),
            subject: "1".to_owned(),
            email: None,
            tenant: Tenant::new("acme"),
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            claims: serde_json::Map::new(),
            proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
        }
    }

    #[test]
    fn whatever_a_policy_may_ask_makes_another_context() {
        type Change = fn(&mut Identity, &mut Facts);
        let changes: [Change; 17] = [
            |who, _| who.person = PersonName::new("bo"),
            |who, _| who.subject.push('2'),
            |who, _| who.email = Some("ana@acme.example".to_owned()),
            |who, _| who.tenant = Tenant::new("other"),
            |who, _| who.groups = ["g".to_owned()].into(),
            |who, _| who.roles = [Role::new("g")].into(),
            |who, _| drop(who.claims.insert("region".to_owned(), "WEST".into())),
            |who, _| drop(who.claims.insert("region".to_owned(), serde_json::Value::Null)),
            |who, _| who.proof.method = "oidc",
            |who, _| who.proof.issuer.push('2'),
            |_, facts| facts.application_name.push('x'),
            |_, facts| facts.client_address = [10, 0, 0, 1].into(),
            |_, facts| facts.declared = BTreeMap::from([("passgate.purpose".to_owned(), "audit".to_owned())]),
            |_, facts| facts.first_access_to_source = Some(true),
            |_, facts| facts.confidence = Some(0.5),
            |_, facts| {
                let none =
                    Costs { cost_usd: None, bytes: None, rows: None, rows_of_largest_step: None, rows_read: None };
                facts.estimate = Estimate::Known(none);
            },
            |_, facts| facts.grants = vec![Grant { ticket: TicketId::new("T1"), policy: "p".into() }],
        ];
        let mut contexts = std::collections::HashSet::from([Context::of(&identity(), &Facts::default())]);
        for (number, change) in changes.iter().enumerate() {
            let (mut who, mut facts) = (identity(), Facts::default());
            change(&mut who, &mut facts);
            assert!(contexts.insert(Context::of(&who, &facts)), "change {number} is not seen");
        }
    }

    #[test]
    fn neither_the_moment_nor_the_end_of_a_token_makes_another_context() {
        let mut later = identity();
        later.proof.expires_at = Some(1);
        let facts = Facts { now: 1, ..Facts::default() };
        assert_eq!(Context::of(&later, &facts), Context::of(&identity(), &Facts::default()));
    }

    fn model() -> (Arc<Model>, PolicySet) {
        let file = PolicyFile { path: "none.json".to_owned(), text: "[]".to_owned() };
        let policies = compile(&[file], None, &PolicySqlReader::new(false)).unwrap();
        let snapshot = Snapshot::new(SourceName::new("w"), "public".to_owned(), Metadata::default());
        (Arc::new(Model::new(Arc::new(snapshot), &policies)), policies)
    }

    /// A text that is asked often.
    fn known(seen: &Seen, text: &str) -> Arc<[Arc<Statement>]> {
        let read = || seen.statements(text, &Limits::default()).unwrap();
        let _ = (read(), read());
        read()
    }

    fn question(seen: &Seen, model: &Arc<Model>) -> Question {
        Question {
            statement: Arc::clone(&known(seen, "SELECT 1")[0]),
            parameter_types: Arc::default(),
            model: Arc::clone(model),
            schemas: Arc::default(),
            context: Context::of(&identity(), &Facts::default()),
            moment: Some(7),
        }
    }

    fn allowed(question: &Question, policies: &PolicySet) -> Arc<Allowed> {
        let plan = plan::resolve(&question.statement, &question.model).unwrap();
        let request = plan::request(&plan, &Arc::new(identity()), Facts::default());
        let passgate_policy::Decision::Allow(permit) = passgate_policy::decide(policies, &request) else { panic!() };
        let revision = permit.revision().clone();
        let under = Rewriting::of(&question.model, &request.identity.tenant);
        let query = Rewriter::new(None).rewrite(plan, permit, under).unwrap();
        Arc::new(Allowed {
            rewritten: query.query().shown().into(),
            query: Arc::new(query),
            terms: Arc::new(Terms { request, obligations: Vec::new(), revision }),
            warnings: Arc::default(),
            tables: Arc::default(),
            rules: Arc::default(),
            shadow: Arc::default(),
            shadowed: None,
            of_catalog: false,
        })
    }

    #[test]
    fn only_the_same_question_finds_the_answer() {
        let seen = Seen::new(1 << 20);
        let (model, policies) = model();
        let asked = question(&seen, &model);
        let answer = allowed(&asked, &policies);
        seen.remember(asked.clone(), Arc::clone(&answer));
        assert!(seen.answer(&asked).is_none(), "it may never be asked again");
        seen.remember(asked.clone(), Arc::clone(&answer));
        assert!(Arc::ptr_eq(&seen.answer(&question(&seen, &model)).unwrap(), &answer));
        let mut other = identity();
        other.person = PersonName::new("bo");
        let reparsed = statement::parse("SELECT 1", &Limits::default()).unwrap().remove(0);
        for different in [
            Question { statement: Arc::new(reparsed), ..asked.clone() },
            Question { parameter_types: [23].into(), ..asked.clone() },
            Question { model: self::model().0, ..asked.clone() },
            Question { context: Context::of(&other, &Facts::default()), ..asked.clone() },
            Question { moment: Some(8), ..asked },
        ] {
            assert!(seen.answer(&different).is_none(), "{different:?}");
        }
    }

    #[test]
    fn a_text_that_is_asked_again_is_kept_and_one_that_cannot_be_read_is_not() {
        let seen = Seen::new(1 << 20);
        let read = |text: &str| seen.statements(text, &Limits::default());
        let (first, second) = (read("SELECT 1; SELECT 2").unwrap(), read("SELECT 1; SELECT 2").unwrap());
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &read("SELECT 1; SELECT 2").unwrap()));
        assert!(!Arc::ptr_eq(&known(&seen, "SELECT 1"), &known(&seen, "SELECT  1")));
        assert!(read("SELEC").is_err());
        assert!(read("SELEC").is_err());
    }

    #[test]
    fn nothing_is_remembered_where_there_is_no_room() {
        let seen = Seen::new(0);
        let (model, policies) = model();
        let asked = question(&seen, &model);
        let answer = allowed(&asked, &policies);
        seen.remember(asked.clone(), Arc::clone(&answer));
        seen.remember(asked.clone(), answer);
        seen.answers.run_pending_tasks();
        assert!(seen.answer(&asked).is_none());
    }

    /// The template that a text is read as, if it is.
    fn recognised(seen: &Seen, text: &str, suits: bool) -> Option<Filled> {
        let recognised = seen.recognised(text, &Limits::default(), |_| suits).unwrap();
        assert_eq!(&*recognised[0].text, text);
        recognised[0].filled.clone()
    }

    #[test]
    fn texts_of_one_shape_are_one_template_from_the_second_on() {
        let seen = Seen::new(1 << 20);
        let text = |constant: &str| format!("SELECT a FROM t WHERE b = {constant}");
        assert!(recognised(&seen, &text("1"), true).is_none());
        let (second, third) = (recognised(&seen, &text("2"), true), recognised(&seen, &text("3"), true));
        let (second, third) = (second.unwrap(), third.unwrap());
        assert!(Arc::ptr_eq(&second.template, &third.template));
        assert_eq!(third.constants[0].as_sql(), "3");
        assert!(recognised(&seen, &text("'3'"), true).is_none());
        assert!(seen.statements(&text("4"), &Limits::default()).unwrap()[0].filled.is_none());
    }

    #[test]
    fn what_does_not_suit_or_fit_is_no_template() {
        let text = |constant: usize| format!("SELECT a FROM t WHERE b = {constant}");
        for (seen, suits) in [(Seen::new(1 << 20), false), (Seen::new(0), true), (Seen::new(1 << 10), true)] {
            assert!((0..4).all(|constant| recognised(&seen, &text(constant), suits).is_none()));
        }
        let seen = Seen::new(1 << 20);
        assert!((0..3).any(|constant| recognised(&seen, &text(constant), true).is_some()));
        let mut short = Limits::default();
        short.statement_bytes_max = 20;
        assert!(seen.recognised(&text(4), &short, |_| true).is_err());
    }

    #[test]
    fn a_template_that_is_not_to_be_believed_is_not_asked_about_again() {
        let seen = Seen::new(1 << 20);
        let (model, policies) = model();
        let asked = question(&seen, &model);
        let said = || match seen.answer_to_template(&asked) {
            OfTemplate::Known(_) => "known",
            OfTemplate::Unknown => "unknown",
            OfTemplate::Wanted => "wanted",
        };
        assert_eq!([said(), said(), said()], ["unknown", "wanted", "wanted"]);
        seen.remember_template(asked.clone(), None);
        assert_eq!([said(), said()], ["unknown", "unknown"]);
        assert!(seen.answer(&asked).is_none());
        seen.remember_template(asked.clone(), Some(allowed(&asked, &policies)));
        assert_eq!(said(), "known");
    }
}
