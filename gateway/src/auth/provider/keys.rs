//! A provider's keys: fetched when first needed, cached, fetched again when a token names one we do not have.
//!
//! Separate because its questions are of time and concurrency, not of tokens: one fetch at a time, not too often, and
//! what was fetched stays in use for a while when the provider is down.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::fetch::{self, Fetcher};
use super::{Algorithm, Config, Refusal, discovery_address};

/// More keys than this of one provider are not kept.
const KEYS_MAX: usize = 100;
/// After a fetch has failed the next may follow this soon: a provider that restarts should not cost half a minute.
const RETRY_SECONDS: u64 = 5;

/// The cache.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    fetcher: Fetcher,
    fresh_for: Duration,
    kept_for: Duration,
    refreshed_at_most_every: Duration,
    current: RwLock<Option<Arc<KeySet>>>,
    /// Held while fetching, so that there is one fetch at a time.
    last: Mutex<Option<Attempt>>,
}

/// The last fetch.
#[derive(Debug)]
struct Attempt {
    at: Instant,
    error: Option<String>,
}

/// The keys of one fetch.
#[derive(Debug)]
pub(super) struct KeySet {
    fetched_at: Instant,
    keys: Vec<PublishedKey>,
}

/// A key that may check signatures.
#[derive(Clone, Debug)]
pub(super) struct PublishedKey {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    sort: Sort,
    pub(super) key: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Keys {
    pub(super) fn new(config: &Config, fetcher: Fetcher) -> Self {
        Self {
            issuer: config.issuer.clone(),
            fetcher,
            fresh_for: Duration::from_secs(config.jwks_refresh_seconds_max),
            kept_for: Duration::from_secs(config.jwks_keep_seconds_max),
            refreshed_at_most_every: Duration::from_secs(config.jwks_refresh_seconds_min),
            current: RwLock::new(None),
            last: Mutex::new(None),
        }
    }

    /// The key that a token names and that fits its algorithm. May wait for the provider, no longer than two requests.
    /// Safe to drop: a fetch that has begun goes on for those who come after.
    pub(super) async fn find(self: &Arc<Self>, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Refusal> {
        let known = self.current().and_then(|set| Some((set.fetched_at.elapsed(), set.find(id, algorithm)?)));
        match known {
            Some((age, key)) if age < self.fresh_for => Ok(key),
            // Good enough while somebody else is asking: only the first waits for a provider that may be down.
            Some((age, key)) if age < self.kept_for && self.last.try_lock().is_err() => Ok(key),
            _ => self.refresh_and_find(id, algorithm).await,
        }
    }

    async fn refresh_and_find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refusal> {
        let before = self.current().map(|set| set.fetched_at);
        let keys = Arc::clone(self);
        // A task of its own: if this client leaves, the others still get their answer.
        let refreshed = tokio::spawn(async move { keys.refresh(before).await }).await;
        let error = refreshed.unwrap_or_else(|error| Some(error.to_string()));
        match self.current().filter(|set| set.fetched_at.elapsed() < self.kept_for) {
            Some(set) => set.find(id, algorithm).ok_or(Refusal::Key),
            None => Err(Refusal::Unavailable(error.unwrap_or_else(|| "its keys are too old".to_owned()))),
        }
    }

    /// Fetches, unless somebody has since `before`, or just tried. Returns the last error.
    async fn refresh(&self, before: Option<Instant>) -> Option<String> {
        let mut last = self.last.lock().await;
        let current = self.current().map(|set| set.fetched_at);
        if current != before || self.too_soon(&last) {
            return last.as_ref().and_then(|attempt| attempt.error.clone());
        }
        let error = match self.fetch().await {
            Ok(set) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
                None
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, error = %error, "the keys of an identity provider cannot be fetched");
                Some(error.to_string())
            }
        };
        *last = Some(Attempt { at: Instant::now(), error: error.clone() });
        error
    }

    fn too_soon(&self, last: &MutexGuard<'_, Option<Attempt>>) -> bool {
        last.as_ref().is_some_and(|attempt| {
            let wait = match attempt.error {
                None => self.refreshed_at_most_every,
                Some(_) => self.refreshed_at_most_every.min(Duration::from_secs(RETRY_SECONDS)),
            };
            attempt.at.elapsed() < wait
        })
    }

    async fn fetch(&self) -> Result<KeySet, fetch::Error> {
        let address = discovery_address(&self.issuer);
        let discovery: Discovery = self.fetcher.json(&address).await?;
        if discovery.issuer != self.issuer {
            let reason = format!("it is the document of {}", discovery.issuer);
            return Err(fetch::Error::Content { address, reason });
        }
        let published: Published = self.fetcher.json(&discovery.jwks_uri).await?;
        let keys = published.keys.into_iter().filter_map(PublishedKey::read).take(KEYS_MAX).collect();
        Ok(KeySet { fetched_at: Instant::now(), keys })
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is used of a discovery document.
#[derive(serde::Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A JSON Web Key Set (RFC 7517, section 5). Keys that are not understood are to be ignored.
#[derive(serde::Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// The key with this id that fits the algorithm. A token without an id is taken only if a single key fits.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)).map(|key| key.key.clone()),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then(|| only.key.clone())
            }
        }
    }
}

impl PublishedKey {
    /// Reads a key, unless it is of another sort or for another use. A symmetric key is never read: it has no place in a
    /// public document.
    fn read(value: serde_json::Value) -> Option<Self> {
        let published: Jwk = serde_json::from_value(value).ok()?;
        let sort = match &published.algorithm {
            AlgorithmParameters::RSA(_) => Sort::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Sort::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Sort::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Sort::Ed25519,
            _ => return None,
        };
        let common = &published.common;
        let for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let for_checking =
            common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures || !for_checking {
            return None;
        }
        let key = DecodingKey::from_jwk(&published).ok()?;
        Some(Self { id: published.common.key_id, algorithm: published.common.key_algorithm, sort, key })
    }

    /// The key's sort, and its own `alg` where it has one, must agree with the token's algorithm.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let (named, sort) = match algorithm {
            Algorithm::RS256 => (KeyAlgorithm::RS256, Sort::Rsa),
            Algorithm::RS384 => (KeyAlgorithm::RS384, Sort::Rsa),
            Algorithm::RS512 => (KeyAlgorithm::RS512, Sort::Rsa),
            Algorithm::PS256 => (KeyAlgorithm::PS256, Sort::Rsa),
            Algorithm::PS384 => (KeyAlgorithm::PS384, Sort::Rsa),
            Algorithm::PS512 => (KeyAlgorithm::PS512, Sort::Rsa),
            Algorithm::ES256 => (KeyAlgorithm::ES256, Sort::P256),
            Algorithm::ES384 => (KeyAlgorithm::ES384, Sort::P384),
            Algorithm::EdDSA => (KeyAlgorithm::EdDSA, Sort::Ed25519),
        };
        self.sort == sort && self.algorithm.is_none_or(|own| own == named)
    }
}
