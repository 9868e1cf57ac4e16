//! The keeping of snapshots, with a connector that counts how often it is read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, join_all};
use passgate_connectors::Metadata;
use passgate_policy::{Identity, PersonName, Proof, Tenant};

use super::*;
use crate::error::ClientError;

struct Counting {
    name: SourceName,
    crawls: AtomicUsize,
    probes: AtomicUsize,
    down: AtomicBool,
}

impl Counting {
    fn fails(&self) -> Result<(), Error> {
        if !self.down.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::Connection { source_name: self.name.to_string(), cause: "down".to_owned() })
    }
}

impl Connector for Counting {
    fn name(&self) -> &SourceName {
        &self.name
    }

    fn checkout<'a>(
        &'a self,
        _: &'a Caller,
        _: &'a SessionSettings,
    ) -> BoxFuture<'a, Result<Box<dyn passgate_connectors::Lease>, Error>> {
        Box::pin(async { Err(Error::NoCrawlLogin { source_name: self.name.to_string() }) })
    }

    fn crawl<'a>(&'a self, _: Option<&'a Caller>) -> BoxFuture<'a, Result<Metadata, Error>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let crawl = self.crawls.fetch_add(1, Ordering::SeqCst) + 1;
            self.fails().map(|()| Metadata { server_version: crawl.to_string(), ..Metadata::default() })
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.probes.fetch_add(1, Ordering::SeqCst);
            self.fails()
        })
    }
}

fn counting(config: &Config) -> (Arc<Counting>, Sources) {
    let connector = Arc::new(Counting {
        name: SourceName::new("warehouse"),
        crawls: AtomicUsize::new(0),
        probes: AtomicUsize::new(0),
        down: AtomicBool::new(false),
    });
    let shared = Arc::clone(&connector) as Arc<dyn Connector>;
    let sources = Sources::new(config, vec![Source { connector: shared, default_schema: "public".to_owned() }]);
    (connector, sources)
}

fn caller() -> Caller {
    let identity = Identity {
        person: PersonName::new("alice"),
        subject: "alice".to_owned(),
        email: None,
        tenant: Tenant::new("t"),
        groups: BTreeSet::new(),
        roles: BTreeSet::new(),
        claims: serde_json::Map::new(),
        proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
    };
    Caller { identity: Arc::new(identity), token: None }
}

async fn version(sources: &Sources) -> Result<String, Error> {
    let snapshot = sources.snapshot(&SourceName::new("warehouse"), &caller()).await?;
    Ok(snapshot.server_version().to_owned())
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

#[tokio::test]
async fn a_source_is_read_once_for_everybody() {
    let (connector, sources) = counting(&Config::default());
    let versions = join_all((0..20).map(|_| version(&sources))).await;
    assert!(versions.into_iter().all(|version| version.unwrap() == "1"));
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_source_that_is_down_is_tried_once_for_everybody() {
    let (connector, sources) = counting(&Config::default());
    connector.down.store(true, Ordering::SeqCst);
    let versions = join_all((0..20).map(|_| version(&sources))).await;
    assert!(versions.into_iter().all(|version| version.unwrap_err().sqlstate() == "08006"));
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 1);
    connector.down.store(false, Ordering::SeqCst);
    assert_eq!(version(&sources).await.unwrap(), "2");
}

#[tokio::test]
async fn what_was_read_stays_in_use_while_it_is_read_again() {
    let (connector, sources) = counting(&Config { catalog_refresh_seconds: 0, ..Config::default() });
    assert_eq!(version(&sources).await.unwrap(), "1");
    assert_eq!(version(&sources).await.unwrap(), "1");
    settle().await;
    connector.down.store(true, Ordering::SeqCst);
    assert_eq!(version(&sources).await.unwrap(), "2");
    settle().await;
    assert_eq!(version(&sources).await.unwrap(), "2", "the last one, although the source is down");
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 3, "and not tried again at once");
}

#[tokio::test]
async fn a_missing_name_and_a_reload_have_it_read_again_but_not_without_end() {
    let (connector, sources) = counting(&Config { catalog_retry_seconds: 1, ..Config::default() });
    let name = SourceName::new("warehouse");
    version(&sources).await.unwrap();
    sources.note_missing(&name, &caller());
    settle().await;
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 1, "it was read a moment ago");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        sources.note_missing(&name, &caller());
        settle().await;
    }
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 2);
    sources.reload();
    version(&sources).await.unwrap();
    settle().await;
    assert_eq!(version(&sources).await.unwrap(), "3");
}

#[tokio::test]
async fn an_unknown_source_is_an_error() {
    let (_, sources) = counting(&Config::default());
    let nowhere = SourceName::new("nowhere");
    assert!(!sources.contains(&nowhere));
    assert!(sources.snapshot(&nowhere, &caller()).await.is_err());
    assert!(sources.checkout(&nowhere, &caller(), &SessionSettings::default()).await.is_err());
}

#[tokio::test]
async fn readiness_is_believed_for_a_while() {
    let (connector, sources) = counting(&Config { reachable_seconds: 1, ..Config::default() });
    assert!(sources.any_reachable().await);
    connector.down.store(true, Ordering::SeqCst);
    assert!(sources.any_reachable().await);
    assert_eq!(connector.probes.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert!(!sources.any_reachable().await);
    assert!(!Sources::new(&Config::default(), Vec::new()).any_reachable().await);
}

#[tokio::test]
async fn asking_has_it_read_now_but_not_without_end() {
    let (connector, sources) = counting(&Config { catalog_retry_seconds: 1, ..Config::default() });
    let name = SourceName::new("warehouse");
    assert_eq!(sources.freshness(&name), Freshness::default());
    let sync = async || sources.sync(&name, &caller()).await.map(|snapshot| snapshot.server_version().to_owned());
    assert_eq!(sync().await.unwrap(), "1");
    assert_eq!(sync().await.unwrap(), "1", "it was read a moment ago");
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(sync().await.unwrap(), "2");
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let before = sources.freshness(&name);
    connector.down.store(true, Ordering::SeqCst);
    assert!(sync().await.is_err());
    let after = sources.freshness(&name);
    assert_eq!(after.read_at, before.read_at);
    assert!(after.failed.unwrap().contains("down"));
    assert_eq!(version(&sources).await.unwrap(), "2", "what was known stays in use");
}

#[tokio::test]
async fn a_source_is_read_on_schedule_without_anybody() {
    let (connector, sources) = counting(&Config::default());
    let sources = Arc::new(sources);
    sources.keep_fresh();
    settle().await;
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 1);
    sources.reload();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 2);
    drop(sources);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(connector.crawls.load(Ordering::SeqCst), 2, "and no longer than the sources are there");
}
