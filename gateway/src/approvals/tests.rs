//! Who may approve what, and what is left of it afterwards. The store has tests of its own.

use std::path::Path;

use passgate_policy::{PersonName, Proof, Role, RuleReference, SourceName, Tenant};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct World {
    approvals: Arc<Approvals>,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { approvals: open(config, folder.path()).await, folder }
    }

    /// The gateway after a restart.
    async fn again(self) -> Self {
        let Self { approvals, folder } = self;
        drop(approvals);
        Self { approvals: open(Config::default(), folder.path()).await, folder }
    }

    async fn held(&self, hold: &Hold) -> Result<Vec<Ticket>, Error> {
        self.held_as(hold, "SELECT 1", "r1").await
    }

    async fn held_as(&self, hold: &Hold, statement: &str, revision: &str) -> Result<Vec<Ticket>, Error> {
        let (asker, record) = (alice(), record("held", "alice"));
        let binding = binding(statement, revision);
        let held = Held { binding, asker: &asker, statement, estimate: None, hold, record: &record };
        self.approvals.hold(&held).await
    }

    async fn decide(&self, who: &Identity, ticket: &Ticket, choice: Choice) -> Result<Ticket, String> {
        let record = record("decision", who.person.as_str());
        let decided = self.approvals.decide(who, ticket.id.as_str(), choice, "r1", &record).await;
        decided.map_err(|error| format!("{} {}", error.sqlstate(), error.message()))
    }

    /// What the log says of tickets: event, user, statement, asker, statement that was held, decider.
    fn recorded(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_tickets = lines.filter(|line| line["event"].as_str().unwrap().starts_with("ticket"));
        of_tickets
            .map(|line| {
                let (note, text) = (&line["tickets"][0], |value: &Value| value.as_str().unwrap_or("-").to_owned());
                let parts = [&line["event"], &line["user"], &line["statement_id"]].map(text);
                let ticket = [&note["asker"], &note["held_statement_id"], &note["decided_by"]].map(text);
                format!("{} of {}", parts.join(" "), ticket.join(" "))
            })
            .collect()
    }
}

async fn open(config: Config, folder: &Path) -> Arc<Approvals> {
    let sinks = serde_json::from_value(json!([{ "type": "file", "path": "audit.jsonl" }])).unwrap();
    let store = Store::open(&store::Config::default(), folder).await.unwrap();
    Approvals::new(&config, Arc::new(store), Audit::start(&sinks, folder).unwrap())
}

fn binding(statement: &str, revision: &str) -> Binding {
    Binding {
        tenant: "acme".to_owned(),
        person: "alice".to_owned(),
        source: SourceName::new("warehouse"),
        statement: store::digest(&[statement]),
        parameters: String::new(),
        revision: revision.to_owned(),
        estimate: String::new(),
    }
}

fn person(name: &str, tenant: &str, roles: &[&str]) -> Identity {
    Identity {
        person: PersonName::new(name),
        subject: format!("sub-{name}"),
        email: None,
        tenant: Tenant::new(tenant),
        groups: BTreeSet::new(),
        roles: roles.iter().map(|role| Role::new(*role)).collect(),
        claims: Default::default(),
        proof: Proof { method: "oidc", issuer: "corporate".to_owned(), expires_at: None },
    }
}

fn alice() -> Identity {
    person("alice", "acme", &["owner"])
}

fn record(statement_id: &str, user: &str) -> Record {
    let nobody = ticket(
        &Held {
            binding: binding("", ""),
            asker: &alice(),
            statement: "",
            estimate: None,
            hold: &by_owner(),
            record: &empty(),
        },
        &[],
    );
    Record {
        statement_id: statement_id.to_owned(),
        asker: Asker::new(&Who { user, tenant: "acme", ..Who::default() }),
        ..of_nobody(&nobody)
    }
}

fn empty() -> Record {
    of_nobody(&Ticket {
        id: TicketId::new("T"),
        binding: binding("", ""),
        subject: String::new(),
        statement_id: String::new(),
        statement: String::new(),
        parameters: None,
        estimate: None,
        asks: Vec::new(),
        by: Approver::Asker,
        good_for: 0,
        uses_left: 0,
        state: State::Open,
        opened_at: 0,
        expires_at: 0,
        decided_by: None,
        decided_at: None,
        reason: None,
    })
}

fn approval(policy: &str, by: Approver) -> Approval {
    Approval {
        rule: RuleReference { policy: policy.into(), file: "p.json".into(), line: 1 },
        message: format!("{policy} asks"),
        detail: String::new(),
        by,
        expires_in_seconds: 60,
        uses: 1,
    }
}

fn roles(roles: &[&str]) -> Approver {
    Approver::Roles(roles.iter().map(|role| Role::new(*role)).collect())
}

fn by_owner() -> Hold {
    Hold::new(approval("costly", roles(&["owner"])), Vec::new())
}

#[tokio::test]
async fn somebody_else_of_the_tenant_who_holds_the_role_decides_and_nobody_else() {
    let world = World::new().await;
    let ticket = world.held(&by_owner()).await.unwrap().remove(0);
    let id = &ticket.id;
    for (who, expected) in [
        // Her own, whatever she holds; and under another name the same person of the identity provider.
        (alice(), format!("42501 ticket \"{id}\" is not yours to decide")),
        (
            Identity { subject: "sub-alice".to_owned(), ..person("alice2", "acme", &["owner"]) },
            format!("42501 ticket \"{id}\" is not yours to decide"),
        ),
        // To those it does not concern it does not exist.
        (person("bob", "acme", &["clerk"]), format!("42704 ticket \"{id}\" does not exist")),
        (person("carol", "other", &["owner"]), format!("42704 ticket \"{id}\" does not exist")),
    ] {
        for choice in [Choice::Approve, Choice::Refuse(None)] {
            assert_eq!(world.decide(&who, &ticket, choice).await.unwrap_err(), expected, "{}", who.person);
        }
    }
    let carol = person("carol", "acme", &["owner"]);
    assert_eq!(world.decide(&carol, &ticket, Choice::Approve).await.unwrap().state, State::Granted);
    let again = world.decide(&carol, &ticket, Choice::Refuse(None)).await.unwrap_err();
    assert_eq!(again, format!("55000 ticket \"{id}\" is granted already"));
    let grants = world.approvals.grants(&binding("SELECT 1", "r1")).await.unwrap();
    assert_eq!(grants, [Grant { ticket: ticket.id, policy: "costly".into() }]);
    assert_eq!(
        world.recorded(),
        ["ticket_opened alice held of alice held -", "ticket_granted carol decision of alice held carol"]
    );
}

#[tokio::test]
async fn the_asker_confirms_what_is_theirs_to_confirm_and_takes_back_what_they_asked() {
    let world = World::new().await;
    let hold = Hold::new(approval("sure", Approver::Asker), vec![approval("costly", roles(&["owner"]))]);
    let tickets = world.held(&hold).await.unwrap();
    assert_eq!(tickets.len(), 2, "one for each group of people");
    let carol = person("carol", "acme", &["owner"]);
    let refused = world.decide(&carol, &tickets[0], Choice::Approve).await.unwrap_err();
    assert!(refused.starts_with("42704"), "{refused}");
    world.decide(&alice(), &tickets[0], Choice::Approve).await.unwrap();
    let refused = world.decide(&carol, &tickets[1], Choice::Cancel).await.unwrap_err();
    assert!(refused.starts_with("42501"), "{refused}");
    assert_eq!(world.decide(&alice(), &tickets[1], Choice::Cancel).await.unwrap().state, State::Cancelled);
    // A grant can be taken back too.
    assert_eq!(world.decide(&alice(), &tickets[0], Choice::Cancel).await.unwrap().state, State::Cancelled);
    assert!(world.approvals.grants(&binding("SELECT 1", "r1")).await.unwrap().is_empty());
}

#[tokio::test]
async fn rules_with_the_same_approvers_share_a_ticket_and_the_strictest_of_them_counts() {
    let world = World::new().await;
    let lasting = Approval { expires_in_seconds: 1_000, uses: 5, ..approval("a", roles(&["x", "y"])) };
    let hold = Hold::new(lasting, vec![approval("b", roles(&["y", "x"])), approval("c", roles(&["x"]))]);
    let tickets = world.held(&hold).await.unwrap();
    let policies = |ticket: &Ticket| ticket.asks.iter().map(|ask| ask.policy.clone()).collect::<Vec<_>>();
    assert_eq!(tickets.iter().map(policies).collect::<Vec<_>>(), [vec!["a", "b"], vec!["c"]]);
    assert_eq!((tickets[0].uses_left, tickets[0].good_for), (1, 60));
    assert_eq!(world.held(&hold).await.unwrap()[0].id, tickets[0].id, "asked again, the same tickets wait");
}

#[tokio::test]
async fn a_ticket_of_other_policies_cannot_be_approved_any_more() {
    let world = World::new().await;
    let ticket = world.held_as(&by_owner(), "SELECT 1", "r0").await.unwrap().remove(0);
    let carol = person("carol", "acme", &["owner"]);
    let refused = world.decide(&carol, &ticket, Choice::Approve).await.unwrap_err();
    assert!(refused.starts_with("55000") && refused.contains("void"), "{refused}");
    assert!(world.approvals.grants(&binding("SELECT 1", "r1")).await.unwrap().is_empty());
}

#[tokio::test]
async fn tickets_survive_a_restart_and_are_used_up() {
    let world = World::new().await;
    let ticket = world.held(&by_owner()).await.unwrap().remove(0);
    let world = world.again().await;
    world.decide(&person("carol", "acme", &["owner"]), &ticket, Choice::Approve).await.unwrap();
    let world = world.again().await;
    let (ids, record) = ([ticket.id.clone()], record("run", "alice"));
    let used = world.approvals.use_grants(&ids, &record).await.unwrap().unwrap();
    assert!(world.approvals.use_grants(&ids, &record).await.unwrap().is_none());
    world.approvals.give_back(&used, &record).await.unwrap();
    assert!(world.approvals.use_grants(&ids, &record).await.unwrap().is_some());
    let recorded = world.recorded();
    assert_eq!(
        recorded[2..4],
        ["ticket_used alice run of alice held carol", "ticket_returned alice run of alice held carol"]
    );
}

#[tokio::test]
async fn a_ticket_ends_when_its_time_is_over_and_that_is_recorded_once() {
    let world = World::new().await;
    let short = Approval { expires_in_seconds: 0, ..approval("costly", roles(&["owner"])) };
    let ticket = world.held(&Hold::new(short, Vec::new())).await.unwrap().remove(0);
    let settled = world.approvals.wait(std::slice::from_ref(&ticket.id)).await.unwrap();
    assert!(matches!(&settled, Settled::Over(ticket) if ticket.state == State::Expired), "{settled:?}");
    let refused = world.decide(&person("carol", "acme", &["owner"]), &ticket, Choice::Approve).await.unwrap_err();
    assert!(refused.starts_with("55000"), "{refused}");
    world.approvals.sweep().await.unwrap();
    world.approvals.sweep().await.unwrap();
    assert_eq!(world.recorded()[1..], ["ticket_expired alice held of alice held -"]);
}

#[tokio::test]
async fn whoever_waits_is_told_of_a_grant_and_of_a_refusal() {
    let world = World::new().await;
    let carol = person("carol", "acme", &["owner"]);
    for (choice, statement) in [(Choice::Approve, "SELECT 1"), (Choice::Refuse(Some("no".to_owned())), "SELECT 2")] {
        let ticket = world.held_as(&by_owner(), statement, "r1").await.unwrap().remove(0);
        let ids = [ticket.id.clone()];
        let deciding = async {
            tokio::task::yield_now().await;
            world.decide(&carol, &ticket, choice.clone()).await.unwrap()
        };
        let (settled, decided) = tokio::join!(world.approvals.wait(&ids), deciding);
        match settled.unwrap() {
            Settled::Granted => assert_eq!(decided.state, State::Granted),
            Settled::Over(ticket) => assert_eq!((ticket.state, ticket.reason.as_deref()), (State::Refused, Some("no"))),
        }
    }
}

#[tokio::test]
async fn tickets_of_one_person_and_their_texts_have_an_end() {
    let world = World::with(Config { open_tickets_max: 1, statement_bytes_max: 20, ..Config::default() }).await;
    world.held(&by_owner()).await.unwrap();
    let refused = world.held_as(&by_owner(), "SELECT 2", "r1").await.unwrap_err();
    assert!(matches!(refused, Error::TooMany(1)), "{refused}");
    let refused = world.held_as(&by_owner(), "SELECT 'a longer text'", "r1").await.unwrap_err();
    assert!(matches!(refused, Error::TooLong(20)), "{refused}");
}

#[tokio::test]
async fn a_list_shows_what_one_asked_and_what_one_may_decide() {
    let world = World::new().await;
    world.held(&by_owner()).await.unwrap();
    let listed = async |who: Identity| {
        let listed = world.approvals.list(&who).await.unwrap();
        listed.iter().map(|listed| listed.may_decide).collect::<Vec<_>>()
    };
    assert_eq!(listed(alice()).await, [false]);
    assert_eq!(listed(person("carol", "acme", &["owner"])).await, [true]);
    assert_eq!(listed(person("bob", "acme", &[])).await, [false; 0]);
    assert_eq!(listed(person("carol", "other", &["owner"])).await, [false; 0]);
}

#[test]
fn names_of_tickets_can_be_read_out() {
    let ids: BTreeSet<String> = (0..1_000).map(|_| new_id().to_string()).collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|id| id.len() == 13 && id.starts_with('T') && !id.contains(['I', 'L', 'O', 'U'])));
}
