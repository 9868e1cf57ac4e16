//! What a client has prepared: statements and portals, both bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use passgate_connectors::{Bind, Description};
use passgate_policy::Revision;

use super::error::Error;
use super::relay::Running;
use crate::statement::{Execute, Statement};

/// A prepared statement.
pub(super) struct Prepared {
    /// The statement; none for an empty text.
    pub(super) statement: Option<Arc<Statement>>,
    /// Parameter types the client declared.
    pub(super) parameter_types: Arc<[u32]>,
    description: Mutex<Option<(Revision, Arc<Description>)>>,
}

impl Prepared {
    pub(super) fn new(statement: Option<Arc<Statement>>, parameter_types: Arc<[u32]>) -> Self {
        Self { statement, parameter_types, description: Mutex::new(None) }
    }

    /// How many values it needs.
    pub(super) fn parameters(&self) -> usize {
        let named = self.statement.as_ref().map_or(0, |statement| usize::from(statement.parameters));
        named.max(self.parameter_types.len())
    }

    /// Whether it takes as many arguments. Where there are no parameters PostgreSQL does not look at the arguments.
    pub(super) fn takes(&self, execute: &Execute) -> bool {
        let required = self.parameters();
        required == 0 || required == execute.arguments.len()
    }

    /// Its types, if they were asked for under these policies before.
    pub(super) fn description(&self, revision: &Revision) -> Option<Arc<Description>> {
        let kept = self.description.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(of, _)| of == revision).map(|(_, description)| description.clone())
    }

    /// Keeps its types.
    pub(super) fn describe(&self, revision: Revision, description: Arc<Description>) {
        *self.description.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, description));
    }

    /// What it takes up: its text and what the client declared.
    fn bytes(&self) -> usize {
        self.statement.as_ref().map_or(0, |statement| statement.text.len()) + size_of_val(&*self.parameter_types)
    }
}

/// A session's prepared statements, by name; the unnamed one has the empty name.
#[derive(Default)]
pub(super) struct Statements {
    by_name: HashMap<String, Arc<Prepared>>,
    bytes: usize,
}

impl Statements {
    /// Those that have a name, with their texts and declared parameter types.
    pub(super) fn named(&self) -> Vec<(String, Arc<str>, Arc<[u32]>)> {
        let named = self.by_name.iter().filter(|(name, _)| !name.is_empty());
        let mut named: Vec<_> = named
            .filter_map(|(name, prepared)| {
                let text = Arc::clone(&prepared.statement.as_ref()?.text);
                Some((name.clone(), text, Arc::clone(&prepared.parameter_types)))
            })
            .collect();
        named.sort();
        named
    }

    /// Keeps a statement. Only the unnamed one is replaced.
    pub(super) fn insert(&mut self, name: String, prepared: Prepared, limits: &super::Config) -> Result<(), Error> {
        self.check_free(&name)?;
        self.remove(&name);
        let bytes = self.bytes.saturating_add(prepared.bytes());
        if self.by_name.len() >= limits.prepared_statements_max || bytes > limits.prepared_bytes_max {
            return Err(Error::TooManyStatements);
        }
        self.bytes = bytes;
        self.by_name.insert(name, Arc::new(prepared));
        Ok(())
    }

    /// Whether a name can be given.
    pub(super) fn check_free(&self, name: &str) -> Result<(), Error> {
        if !name.is_empty() && self.by_name.contains_key(name) {
            return Err(Error::StatementExists(name.to_owned()));
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<Prepared>, Error> {
        self.by_name.get(name).cloned().ok_or_else(|| Error::NoStatement(name.to_owned()))
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let removed = self.by_name.remove(name);
        self.bytes -= removed.as_ref().map_or(0, |prepared| prepared.bytes());
        removed.is_some()
    }

    /// Forgets those that have a name.
    pub(super) fn clear(&mut self) {
        self.by_name.retain(|name, _| name.is_empty());
        self.bytes = self.by_name.values().map(|prepared| prepared.bytes()).sum();
    }
}

/// A statement with its values.
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) bind: Bind,
    pub(super) state: PortalState,
}

impl Portal {
    /// Its values, to run it with. The formats stay: they say how its rows are written.
    pub(super) fn take_bind(&mut self) -> Bind {
        let bind = std::mem::take(&mut self.bind);
        self.bind.result_formats.clone_from(&bind.result_formats);
        bind
    }

    /// What it holds for later: values not sent yet, or rows not asked for yet.
    fn bytes(&self) -> usize {
        match &self.state {
            PortalState::Fresh => {
                let Bind { parameters, parameter_formats, result_formats, kept: _ } = &self.bind;
                let formats = size_of_val(parameter_formats.as_slice()) + size_of_val(result_formats.as_slice());
                let values: usize = parameters.iter().flatten().map(Bytes::len).sum();
                values + size_of_val(parameters.as_slice()) + formats
            }
            PortalState::Suspended(running) => running.kept_bytes(),
            PortalState::Active | PortalState::Spent => 0,
        }
    }
}

/// How far a portal has come.
pub(super) enum PortalState {
    /// Not run yet.
    Fresh,
    /// Running now, so that it may be the one that closes the others.
    Active,
    /// It has rows left.
    Suspended(Box<Running>),
    /// Read to its end, or failed.
    Spent,
}

/// A session's portals, by name; the unnamed one has the empty name.
#[derive(Default)]
pub(super) struct Portals(HashMap<String, Portal>);

impl Portals {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What a named portal runs.
    pub(super) fn prepared(&self, name: &str) -> Option<Arc<Prepared>> {
        self.0.get(name).filter(|_| !name.is_empty()).map(|portal| portal.prepared.clone())
    }

    /// Whether a name can be given, and one more portal beside `others`.
    pub(super) fn check_free(&self, name: &str, others: usize, limits: &super::Config) -> Result<(), Error> {
        if !name.is_empty() && self.0.contains_key(name) {
            return Err(Error::PortalExists(name.to_owned()));
        }
        if self.0.len().saturating_add(others) >= limits.portals_max {
            return Err(Error::TooManyPortals);
        }
        Ok(())
    }

    /// Keeps a portal under a name that is free.
    pub(super) fn insert(&mut self, name: String, portal: Portal, limits: &super::Config) -> Result<(), Error> {
        if self.bytes().saturating_add(portal.bytes()) > limits.portal_bytes_max {
            return Err(Error::PortalTooLarge);
        }
        self.0.insert(name, portal);
        Ok(())
    }

    /// What all of them hold.
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(Portal::bytes).sum()
    }

    pub(super) fn find(&mut self, name: &str) -> Result<&mut Portal, Error> {
        self.0.get_mut(name).ok_or_else(|| Error::NoPortal(name.to_owned()))
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Portal> {
        self.0.remove(name)
    }

    /// Empties the list.
    pub(super) fn take_all(&mut self) -> Vec<Portal> {
        std::mem::take(&mut self.0).into_values().collect()
    }

    /// The transaction has failed: what has not run by now never will.
    pub(super) fn fail(&mut self) {
        for portal in self.0.values_mut().filter(|portal| matches!(portal.state, PortalState::Fresh)) {
            portal.bind.parameters = Vec::new();
            portal.state = PortalState::Spent;
        }
    }

    /// Takes out all but the one that is running.
    pub(super) fn take_idle(&mut self) -> Vec<Portal> {
        let idle = |_: &String, portal: &mut Portal| !matches!(portal.state, PortalState::Active);
        self.0.extract_if(idle).map(|(_, portal)| portal).collect()
    }

    /// Whether this one is running.
    pub(super) fn is_active(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|portal| matches!(portal.state, PortalState::Active))
    }

    /// Says that a portal has run as far as it will, unless it waits or is gone.
    pub(super) fn rest(&mut self, name: &str) {
        if let Some(portal) = self.0.get_mut(name)
            && matches!(portal.state, PortalState::Active)
        {
            portal.state = PortalState::Spent;
        }
    }

    /// Takes out the statement whose rows still stand on the transaction's own connection, and its portal's name.
    pub(super) fn take_pinned(&mut self) -> Option<(String, Box<Running>)> {
        let pinned = |portal: &Portal| match &portal.state {
            PortalState::Suspended(running) => running.reads_pinned_lease(),
            PortalState::Fresh | PortalState::Active | PortalState::Spent => false,
        };
        let (name, portal) = self.0.iter_mut().find(|(_, portal)| pinned(portal))?;
        match std::mem::replace(&mut portal.state, PortalState::Spent) {
            PortalState::Suspended(running) => Some((name.clone(), running)),
            PortalState::Fresh | PortalState::Active | PortalState::Spent => None,
        }
    }

    /// Puts a statement back that has rows left. Its portal may be gone by now, and the statement ends with it.
    pub(super) fn put_back(&mut self, name: &str, running: Box<Running>) {
        match self.0.get_mut(name) {
            Some(portal) => portal.state = PortalState::Suspended(running),
            None => running.finish(),
        }
    }
}
