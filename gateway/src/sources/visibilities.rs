//! What people may see of a source, remembered: working it out asks the policies about every relation there is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use passgate_policy::{Facts, Identity, PolicySet};
use sha2::{Digest, Sha256};

use crate::catalog::shadow::Visibility;
use crate::plan::{self, Model};

/// People and circumstances that are remembered.
const REMEMBERED_MAX: usize = 256;

/// What one person may see under some circumstances, the latest last.
#[derive(Debug, Default)]
pub(super) struct Visibilities(Mutex<VecDeque<Seen>>);

#[derive(Debug)]
struct Seen {
    model: Arc<Model>,
    by: [u8; 32],
    visibility: Arc<Visibility>,
}

impl Visibilities {
    /// What a person may see of a source under these circumstances.
    pub(super) async fn of(
        &self,
        model: &Arc<Model>,
        policies: &Arc<PolicySet>,
        identity: &Arc<Identity>,
        facts: &Facts,
    ) -> Arc<Visibility> {
        let by = digest(policies, identity, facts);
        if let Some(known) = self.remembered(model, &by) {
            return known;
        }
        // Many relations take a while, and nobody else should wait for them.
        let (shared, wanted, who, when) =
            (Arc::clone(model), Arc::clone(policies), Arc::clone(identity), facts.clone());
        let made = tokio::task::spawn_blocking(move || plan::visibility(&shared, &wanted, &who, &when)).await;
        let made = made.unwrap_or_else(|_| plan::visibility(model, policies, identity, facts));
        self.remember(model, by, made)
    }

    fn remembered(&self, model: &Arc<Model>, by: &[u8; 32]) -> Option<Arc<Visibility>> {
        let known = self.lock();
        let seen = known.iter().rev().find(|seen| seen.by == *by && Arc::ptr_eq(&seen.model, model))?;
        Some(Arc::clone(&seen.visibility))
    }

    /// People who see the same share one value.
    fn remember(&self, model: &Arc<Model>, by: [u8; 32], made: Visibility) -> Arc<Visibility> {
        let mut known = self.lock();
        let same = known.iter().find(|seen| *seen.visibility == made).map(|seen| Arc::clone(&seen.visibility));
        let visibility = same.unwrap_or_else(|| Arc::new(made));
        if known.len() >= REMEMBERED_MAX {
            known.pop_front();
        }
        known.push_back(Seen { model: Arc::clone(model), by, visibility: Arc::clone(&visibility) });
        visibility
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that a policy may ask of who asks and when.
fn digest(policies: &PolicySet, identity: &Identity, facts: &Facts) -> [u8; 32] {
    let Facts { now, application_name, client_address, declared, first_access_to_source, .. } = facts;
    let circumstances = (policies.moment(*now), application_name, client_address, declared, first_access_to_source);
    let mut hasher = Sha256::new();
    hasher.update(format!("{}\0{identity:?}\0{circumstances:?}", policies.revision()));
    hasher.finalize().into()
}
