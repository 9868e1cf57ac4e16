//! Statements of the catalog: whose shadow answers them, and what they may ask of the session.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use passgate_connectors::SessionSettings;
use passgate_policy::{Estimate, Facts, PersonName, PolicySet, SourceName};

use super::Session;
use super::error::Failure;
use super::ready::Ready;
use super::relay::Running;
use crate::plan::{Model, SessionValues, Shadowed};
use crate::sources::{Lease, Numbers, Wanted};
use crate::statement::listed_name;

/// The numbers of a shadow, kept by the session that needed them last.
pub(super) struct KnownNumbers {
    of: Shadowed,
    /// How many shadows had been made by then.
    made: Option<u64>,
    pub(super) numbers: Arc<Numbers>,
}

impl Session<Ready> {
    /// The numbers of tables and types in a shadow, for an answer of the source.
    pub(super) async fn numbers(&mut self, shadowed: &Shadowed) -> Result<Arc<Numbers>, Failure> {
        let made = self.services.sources.shadows_made();
        let known = self.state.numbers.as_ref().filter(|known| known.of.is(shadowed));
        match known {
            Some(known) if known.made == made => Ok(Arc::clone(&known.numbers)),
            known => {
                let before = known.map(|known| Arc::clone(&known.numbers));
                Box::pin(self.numbers_anew(shadowed, before)).await
            }
        }
    }

    async fn numbers_anew(
        &mut self,
        shadowed: &Shadowed,
        before: Option<Arc<Numbers>>,
    ) -> Result<Arc<Numbers>, Failure> {
        let services = self.services.clone();
        // Before: what is made in the meantime is looked at next time.
        let made = services.sources.shadows_made();
        let (source, settings, search_path) = self.shadow_settings();
        let person = self.state.caller.identity.person.clone();
        let numbers = services.sources.numbers(&source, wanted(shadowed, &person, &search_path, &settings), before);
        let numbers = self.attended(async { Ok(numbers.await) }).await?;
        self.state.numbers = Some(KnownNumbers { of: shadowed.clone(), made, numbers: Arc::clone(&numbers) });
        Ok(numbers)
    }

    /// The shadow for this person now.
    pub(super) async fn shadowed(
        &mut self,
        model: &Arc<Model>,
        policies: &Arc<PolicySet>,
        facts: &Facts,
    ) -> Result<Shadowed, Failure> {
        let (services, identity) = (self.services.clone(), self.state.caller.identity.clone());
        // What a statement costs says nothing of what there is.
        let facts = Facts { estimate: Estimate::NotMade, ..facts.clone() };
        let source = self.state.source.clone();
        let seen = services.sources.visibility(&source, model, policies, &identity, &facts);
        let visibility = self.attended(seen).await?;
        Ok(Shadowed { snapshot: Arc::clone(model.snapshot()), visibility })
    }

    /// What this session is, as the catalog is asked it.
    pub(super) async fn values(&mut self, shadowed: &Shadowed) -> Result<SessionValues, Failure> {
        let services = self.services.clone();
        let (source, settings, search_path) = self.shadow_settings();
        let person = self.state.caller.identity.person.clone();
        let wanted = wanted(shadowed, &person, &search_path, &settings);
        let differences = self.attended(services.sources.shadow_differences(&source, wanted)).await?;
        Ok(SessionValues {
            person: self.state.caller.identity.person.to_string(),
            source: source.to_string(),
            pid: self.state.registration.process_id,
            client: self.client.address,
            settings: self.shown(),
            server_version: differences.server_version.clone(),
            prepared: self.state.statements.named(),
            asked: AtomicBool::new(false),
        })
    }

    /// A connection to the shadow, ready to be cancelled. It is given back after every statement, also in a transaction:
    /// nothing changes there.
    pub(super) async fn checkout_shadow(
        &mut self,
        shadowed: &Shadowed,
        running: &mut Running,
    ) -> Result<Lease, Failure> {
        let services = self.services.clone();
        let (source, settings, search_path) = self.shadow_settings();
        let person = self.state.caller.identity.person.clone();
        let lease = services.sources.shadow(&source, wanted(shadowed, &person, &search_path, &settings));
        let lease = self.attended(lease).await?;
        running.witnessed(lease.witness());
        self.arm(&lease)?;
        Ok(lease)
    }

    fn shadow_settings(&self) -> (SourceName, SessionSettings, String) {
        let settings = &self.state.settings;
        // `"$user"` would be the shadow's own login there.
        let schemas: Vec<_> = settings.search_path().iter().map(|schema| listed_name(schema)).collect();
        let search_path = schemas.join(", ");
        (self.state.source.clone(), settings.for_source().clone(), search_path)
    }
}

fn wanted<'a>(
    of: &'a Shadowed,
    person: &'a PersonName,
    search_path: &'a str,
    settings: &'a SessionSettings,
) -> Wanted<'a> {
    Wanted { snapshot: &of.snapshot, visibility: &of.visibility, person: person.as_str(), search_path, settings }
}
