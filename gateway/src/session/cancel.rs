//! Who can be cancelled, and by which key.
//!
//! A CancelRequest comes over a connection of its own and carries nothing but a process id and a key. The registry
//! finds the session; the session's slot knows what runs. A wrong key is ignored, as PostgreSQL does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use passgate_connectors::Cancel;
use passgate_wire as wire;
use rustls::crypto::aws_lc_rs;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

/// The key's length since protocol 3.2, as PostgreSQL 18 has it, and before.
const LONG_KEY_BYTES: usize = 32;
const SHORT_KEY_BYTES: usize = 4;
/// How long the connection of a CancelRequest may wait for the source.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// Every session that can be cancelled.
#[derive(Default)]
pub struct Cancels(Mutex<HashMap<i32, Entry>>);

struct Entry {
    key: Bytes,
    slot: Arc<Slot>,
}

impl Cancels {
    /// Cancels what the session runs, if the key is right. Returns when the source has been told.
    pub async fn cancel(&self, request: &wire::Cancel) {
        let slot = lock(&self.0)
            .get(&request.process_id)
            .filter(|entry| bool::from(entry.key.ct_eq(&request.key)))
            .map(|entry| entry.slot.clone());
        match slot {
            Some(slot) => slot.cancel().await,
            None => tracing::info!("a cancel request with an unknown process id or a wrong key was ignored"),
        }
    }

    /// Registers a session until the registration is dropped.
    pub(super) fn register(self: &Arc<Self>, long_key: bool) -> Registration {
        let key_bytes = if long_key { LONG_KEY_BYTES } else { SHORT_KEY_BYTES };
        let (key, number) = random(key_bytes);
        let slot = Arc::new(Slot::default());
        let mut entries = lock(&self.0);
        let mut process_id = number & i32::MAX;
        while process_id == 0 || entries.contains_key(&process_id) {
            process_id = process_id.wrapping_add(1) & i32::MAX;
        }
        if !key.is_empty() {
            entries.insert(process_id, Entry { key: key.clone(), slot: slot.clone() });
        }
        Registration { registry: self.clone(), process_id, key, slot }
    }
}

/// A key and a number. Without randomness there is no key, and nobody can cancel.
fn random(key_bytes: usize) -> (Bytes, i32) {
    let (mut key, mut number) = (vec![0; key_bytes], [0; 4]);
    let source = aws_lc_rs::default_provider().secure_random;
    if source.fill(&mut key).and_then(|()| source.fill(&mut number)).is_err() {
        key.clear();
    }
    (key.into(), i32::from_be_bytes(number))
}

/// A session's place in the registry.
pub(super) struct Registration {
    registry: Arc<Cancels>,
    pub(super) process_id: i32,
    pub(super) key: Bytes,
    pub(super) slot: Arc<Slot>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.registry.0).remove(&self.process_id);
    }
}

/// What a session runs right now, as far as cancelling goes. A request that comes when nothing runs is lost, so that it
/// never hits the next statement.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
enum State {
    #[default]
    Quiet,
    Running(Option<Arc<dyn Cancel>>),
    Asked {
        source_told: bool,
    },
}

impl Slot {
    /// Something begins that can be cancelled.
    pub(super) fn begin(&self) {
        *lock(&self.state) = State::Running(None);
    }

    /// From here on cancelling needs the source's help. False if somebody has asked already.
    #[must_use]
    pub(super) fn arm(&self, canceller: Arc<dyn Cancel>) -> bool {
        match &mut *lock(&self.state) {
            State::Running(armed) => *armed = Some(canceller),
            State::Asked { .. } => return false,
            State::Quiet => {}
        }
        true
    }

    /// It is over.
    pub(super) fn end(&self) {
        *lock(&self.state) = State::Quiet;
    }

    /// Waits until somebody asks to cancel what runs, and says whether the source has been told, so that its answer can
    /// be waited for. Safe to drop and call again.
    pub(super) async fn asked(&self) -> bool {
        loop {
            let asked = self.asked.notified();
            if let State::Asked { source_told } = *lock(&self.state) {
                return source_told;
            }
            asked.await;
        }
    }

    async fn cancel(&self) {
        let canceller = {
            let mut state = lock(&self.state);
            match std::mem::take(&mut *state) {
                State::Running(canceller) => {
                    *state = State::Asked { source_told: canceller.is_some() };
                    canceller
                }
                other => {
                    *state = other;
                    None
                }
            }
        };
        self.asked.notify_waiters();
        if let Some(canceller) = canceller {
            let _ = tokio::time::timeout(CANCEL_WAIT, canceller.cancel()).await;
        }
    }
}

/// No code panics while it holds these locks, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(registration: &Registration, key: &[u8]) -> wire::Cancel {
        wire::Cancel { process_id: registration.process_id, key: Bytes::copy_from_slice(key) }
    }

    #[tokio::test]
    async fn only_the_right_key_cancels_and_only_what_runs() {
        let registry = Arc::new(Cancels::default());
        let registration = registry.register(true);
        assert_eq!(registration.key.len(), 32);
        registry.cancel(&request(&registration, &registration.key)).await;
        registration.slot.begin();
        registry.cancel(&request(&registration, &[0; 32])).await;
        registry.cancel(&request(&registration, &registration.key[..4])).await;
        let quiet = tokio::time::timeout(Duration::from_millis(20), registration.slot.asked()).await;
        assert!(quiet.is_err(), "neither an early request nor a wrong key may cancel");
        registry.cancel(&request(&registration, &registration.key)).await;
        registration.slot.asked().await;
    }

    #[test]
    fn a_session_that_ends_leaves_the_registry() {
        let registry = Arc::new(Cancels::default());
        drop(registry.register(false));
        assert!(lock(&registry.0).is_empty());
    }
}
