//! Leases on shadows: databases in which statements of the catalog run. Separate because what runs there never reaches a
//! source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use passgate_connectors::{Error, Names, Script, SessionSettings, Shadows};
use passgate_policy::SourceName;

use super::{Lease, Numbers, Owner, Sources};
use crate::catalog::Snapshot;
use crate::catalog::shadow::{self, Visibility};

/// Scripts that are kept beside their databases: making one of a large catalog takes a while.
const SCRIPTS_MAX: usize = 32;

/// How long an answer of the source waits for a shadow that is being made, before it does without its numbers.
const NUMBERS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Whose shadow is wanted, and how its session is to be set.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the source holds: that of the model that was decided on.
    pub snapshot: &'a Arc<Snapshot>,
    /// What the person may see of it.
    pub visibility: &'a Arc<Visibility>,
    /// The person, whose everything in it is to them.
    pub person: &'a str,
    /// The session's `search_path`, as `SHOW` tells it.
    pub search_path: &'a str,
    /// The session's other settings.
    pub settings: &'a SessionSettings,
}

/// What differs between a source and its shadow: names of the server, and numbers.
///
/// Numbers are those of what the person sees. What they do not see has none, and answers must not show the source's: 0
/// says, as PostgreSQL does for an expression, that a column is of no table.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// The name that the shadow's database has on its server. Clients know it by the source's name.
    pub database: String,
    /// The server's version, as it names itself: what clients are told.
    pub server_version: String,
    /// Relations by their oid at the source: the oid in the shadow, and columns by their number at the source.
    relations: HashMap<u32, (u32, HashMap<i16, i16>)>,
    /// Types that are not built in, by their oid at the source.
    types: HashMap<u32, u32>,
    /// The same, the other way round.
    types_back: HashMap<u32, u32>,
    /// What they were read from: a database that is made again has others.
    names: Weak<Names>,
}

impl Differences {
    /// The shadow's oid of a relation of the source, and the number that its column of this number has there; zeros where
    /// it is not seen.
    pub fn column(&self, relation: u32, column: i16) -> (u32, i16) {
        let found = self.relations.get(&relation);
        let column = |columns: &HashMap<i16, i16>| columns.get(&column).copied();
        found.and_then(|(oid, columns)| Some((*oid, column(columns)?))).unwrap_or_default()
    }

    /// The shadow's oid of a type of the source. Types that are built in have the same everywhere.
    pub fn type_of(&self, at_source: u32) -> u32 {
        self.types.get(&at_source).copied().unwrap_or(at_source)
    }

    /// The source's oid of a type of the shadow.
    pub fn type_at_source(&self, in_shadow: u32) -> u32 {
        self.types_back.get(&in_shadow).copied().unwrap_or(in_shadow)
    }

    /// Whether they are those of this database.
    pub(super) fn are_of(&self, names: &Arc<Names>) -> bool {
        self.names.ptr_eq(&Arc::downgrade(names))
    }

    fn new(snapshot: &Snapshot, names: &Arc<Names>) -> Self {
        let mut differences = Self {
            database: names.database.clone(),
            server_version: names.server_version.clone(),
            names: Arc::downgrade(names),
            ..Self::default()
        };
        let row_types = snapshot.relations().map(|entry| {
            let relation = &entry.relation;
            (relation.schema.as_str(), relation.name.as_str(), relation.details.oids)
        });
        let made = snapshot.types().iter().map(|of| (of.schema.as_str(), of.name.as_str(), of.oids));
        for (schema, name, at_source) in row_types.chain(made) {
            let Some(there) = names.types.get(&(schema.to_owned(), name.to_owned())) else { continue };
            for (from, to) in [(at_source.row, there.row), (at_source.array, there.array)] {
                if from != 0 && to != 0 {
                    differences.types.insert(from, to);
                    differences.types_back.insert(to, from);
                }
            }
        }
        for relation in snapshot.relations().map(|entry| &entry.relation) {
            let Some((oid, columns)) = names.relations.get(&(relation.schema.clone(), relation.name.clone())) else {
                continue;
            };
            let columns =
                relation.columns.iter().filter_map(|column| Some((column.number, *columns.get(&column.name)?)));
            differences.relations.insert(relation.details.oids.relation, (*oid, columns.collect()));
        }
        differences
    }
}

/// The shadows, where there are any, and the scripts that were made for them.
#[derive(Default)]
pub(super) struct Room {
    shadows: Option<Arc<Shadows>>,
    /// The least recently used first.
    scripts: Mutex<Vec<Kept>>,
}

#[derive(Clone)]
struct Kept {
    snapshot: Arc<Snapshot>,
    visibility: Arc<Visibility>,
    script: Arc<Script>,
    differences: Arc<Mutex<Option<Arc<Differences>>>>,
}

impl Sources {
    /// The same, with somewhere for statements of the catalog to run.
    pub fn with_shadows(self, shadows: Option<Shadows>) -> Self {
        Self { shadows: Room { shadows: shadows.map(Arc::new), scripts: Mutex::default() }, ..self }
    }

    /// A connection to the database that holds what the person may see of the source. Safe to drop at any point.
    pub async fn shadow(&self, name: &SourceName, wanted: Wanted<'_>) -> Result<Lease, Error> {
        let kept = self.shadows.script(wanted).await;
        let mut settings = wanted.settings.clone();
        Arc::make_mut(&mut settings.0).insert("search_path".to_owned(), wanted.search_path.to_owned());
        let shadows = self.shadows.there(name)?;
        let inner = shadows.lease(name, &kept.script, &settings).await?;
        let names = shadows.names_if_made(&kept.script);
        let owner = names.and_then(|names| Owner::new(&names.reader, wanted.person));
        Ok(Lease { inner, discreet: false, numbers: None, owner })
    }

    /// How many shadows were made so far, where statements of the catalog are answered.
    pub fn shadows_made(&self) -> Option<u64> {
        self.shadows.shadows.as_deref().map(Shadows::times_made)
    }

    /// The numbers of that database for an answer of the source. Where it cannot be had, an answer of the source has to do
    /// without. What was known `before` stands where that database has not been made again: for nobody can have looked
    /// up other numbers.
    pub async fn numbers(&self, name: &SourceName, wanted: Wanted<'_>, before: Option<Arc<Numbers>>) -> Arc<Numbers> {
        if let (Some(before), Some(shadows)) = (before, &self.shadows.shadows) {
            let kept = self.shadows.script(wanted).await;
            let now = shadows.names_if_made(&kept.script);
            if now.is_none_or(|now| before.are_of(&now)) {
                return before;
            }
        }
        let known = tokio::time::timeout(NUMBERS_WAIT_MAX, self.shadow_differences(name, wanted)).await;
        Arc::new(Numbers::new(known.ok().and_then(Result::ok)))
    }

    /// How the names and numbers of that database differ from the source's.
    pub async fn shadow_differences(&self, name: &SourceName, wanted: Wanted<'_>) -> Result<Arc<Differences>, Error> {
        let kept = self.shadows.script(wanted).await;
        let names = self.shadows.names(name, &kept.script).await?;
        let known = || kept.differences.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().as_ref().filter(|known| known.are_of(&names)) {
            return Ok(Arc::clone(known));
        }
        let differences = Arc::new(Differences::new(&kept.snapshot, &names));
        *known() = Some(Arc::clone(&differences));
        Ok(differences)
    }
}

impl Room {
    /// The numbers in the database of a script, which is made if need be, also if whoever wants it no longer waits: others
    /// will.
    async fn names(&self, name: &SourceName, script: &Arc<Script>) -> Result<Arc<Names>, Error> {
        let shadows = self.there(name)?;
        if let Some(names) = shadows.names_if_made(script) {
            return Ok(names);
        }
        let (shadows, script, source) = (Arc::clone(shadows), Arc::clone(script), name.clone());
        let made = tokio::spawn(async move { shadows.names(&source, &script).await }).await;
        let cause = || "making the shadow of its catalog broke off".to_owned();
        made.unwrap_or_else(|_| Err(Error::Connection { source_name: name.to_string(), cause: cause() }))
    }

    fn there(&self, name: &SourceName) -> Result<&Arc<Shadows>, Error> {
        let cause = "there is nowhere to show its catalog: name a server under catalog.shadow".to_owned();
        self.shadows.as_ref().ok_or_else(|| Error::Connection { source_name: name.to_string(), cause })
    }

    async fn script(&self, wanted: Wanted<'_>) -> Kept {
        if let Some(kept) = self.kept(wanted) {
            return kept;
        }
        let (snapshot, visibility) = (Arc::clone(wanted.snapshot), Arc::clone(wanted.visibility));
        let made = tokio::task::spawn_blocking(move || shadow::script(&snapshot, &visibility)).await;
        let script = made.unwrap_or_else(|_| shadow::script(wanted.snapshot, wanted.visibility));
        let kept = Kept {
            snapshot: Arc::clone(wanted.snapshot),
            visibility: Arc::clone(wanted.visibility),
            script: Arc::new(script),
            differences: Arc::default(),
        };
        let mut scripts = self.lock();
        scripts.push(kept.clone());
        if scripts.len() > SCRIPTS_MAX {
            scripts.remove(0);
        }
        kept
    }

    fn kept(&self, wanted: Wanted<'_>) -> Option<Kept> {
        let mut scripts = self.lock();
        let of_snapshot = |kept: &&Kept| Arc::ptr_eq(&kept.snapshot, wanted.snapshot);
        let place = scripts.iter().rposition(|kept| {
            of_snapshot(&kept)
                && (Arc::ptr_eq(&kept.visibility, wanted.visibility) || kept.visibility == *wanted.visibility)
        })?;
        let kept = scripts.remove(place);
        scripts.push(kept.clone());
        Some(kept)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Room").field("shadows", &self.shadows).finish_non_exhaustive()
    }
}
