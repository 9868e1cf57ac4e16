//! All configured methods, and which of them a name on a listener is asked for.
//!
//! Separate from the methods because the choice is between them. A start-up name gets one way of signing in, since the
//! protocol has the server choose before the client has said anything but the name:
//!
//! 1. the first method of the listener that names it: a people file that holds it, or a `users` pattern that matches;
//! 2. else the first token method that is for all names;
//! 3. else the first `scram` method, with a verifier that nobody can satisfy;
//! 4. else the first method of the list.
//!
//! All methods of the chosen kind then work together: a token is checked by the provider it is from, a name is looked for
//! in every people file. OAUTHBEARER and SCRAM are never offered side by side: libpq takes SCRAM whenever it is offered
//! (`pg_SASL_init`), so a psql 18 with a token would be asked for a password.
//!
//! What this gives away: on a listener that mixes people and tokens, a stranger sees by what they are asked whether a name
//! is in the people file. Give each a listener of its own, or patterns in `users`, where that matters.

use std::path::Path;
use std::sync::Arc;

use passgate_policy::Identity;

use super::attempts::Attempts;
use super::door::Door;
use super::problem::nearest;
use super::provider::Provider;
use super::scram::Roll;
use super::{Candidate, Config, Exchange, METHODS, MethodConfig, MethodRow, Problem};

/// A configured method.
#[derive(Debug)]
pub(super) struct Method {
    name: String,
    row: &'static MethodRow,
    users: Users,
    voucher: Voucher,
}

/// Who vouches for the people of a method.
#[derive(Debug)]
pub(super) enum Voucher {
    Provider(Arc<Provider>),
    People(Box<Roll>),
}

/// Patterns of start-up names.
#[derive(Debug)]
pub(super) struct Users(Vec<String>);

impl Users {
    pub(super) fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn match_name(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `*` in the pattern can stand for something that makes it the name. Each part between stars is found as early
/// as it can be, so the time is bounded by the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match name.split_once(part) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

impl Method {
    pub(super) fn new(name: &str, row: &'static MethodRow, users: Users, voucher: Voucher) -> Self {
        Self { name: name.to_owned(), row, users, voucher }
    }

    pub(super) fn provider(&self) -> Option<Arc<Provider>> {
        match &self.voucher {
            Voucher::Provider(provider) => Some(Arc::clone(provider)),
            Voucher::People(_) => None,
        }
    }

    pub(super) fn people(&self) -> Option<&Roll> {
        match &self.voucher {
            Voucher::People(roll) => Some(roll),
            Voucher::Provider(_) => None,
        }
    }

    /// Whether it is meant for this name in particular.
    fn names(&self, user: &str) -> bool {
        self.users.match_name(user) || self.people().is_some_and(|roll| roll.file.current().find(user).is_some())
    }

    /// Whether it may sign this name in. A people file knows itself whom it has.
    fn admits(&self, user: &str) -> bool {
        self.people().is_some() || self.users.is_empty() || self.users.match_name(user)
    }
}

/// Every configured method, shared by all listeners.
#[derive(Debug)]
pub struct Methods {
    methods: Vec<Arc<Method>>,
    attempts: Arc<Attempts>,
    config: Config,
}

impl Methods {
    /// Builds the methods, or says everything that is wrong. Reads the files they name, relative to `folder`; opens no
    /// connection.
    pub fn new(config: &Config, blocks: &[MethodConfig], folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut methods: Vec<Arc<Method>> = Vec::new();
        let mut problems = validate(config);
        for block in blocks {
            if methods.iter().any(|method| method.name == block.name) {
                problems.push(Problem::new(&block.name, "two methods have this name").key("name"));
            }
            match build(block, folder) {
                Ok(method) => methods.push(Arc::new(method)),
                Err(more) => problems.extend(more),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { methods, attempts: Arc::new(Attempts::new(config)), config: config.clone() })
    }

    /// The sign-in of a listener, by the names of its methods. Order matters: see the head of this file.
    pub fn sign_in(&self, names: &[String]) -> Result<SignIn, Vec<Problem>> {
        let find = |name: &String| self.methods.iter().find(|method| method.name == *name);
        let mut problems: Vec<Problem> =
            names.iter().filter(|name| find(name).is_none()).map(|name| self.unknown(name)).collect();
        if names.is_empty() {
            problems.push(Problem::new("", "a listener needs at least one sign-in method").key("sign_in"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let methods = names.iter().filter_map(find).cloned().collect();
        Ok(SignIn { methods, attempts: Arc::clone(&self.attempts), config: self.config.clone() })
    }

    /// Reads every people file again. One that cannot be read stays as it was; sessions are not touched.
    pub fn reload(&self) -> Result<(), Vec<Problem>> {
        reload(&self.methods)
    }

    /// Everybody who can sign in, as the people files were last read; `None` where an identity provider says who may.
    pub fn everybody(&self) -> Option<Vec<Arc<Identity>>> {
        let mut everybody = Vec::new();
        for method in &self.methods {
            everybody.extend(method.people()?.file.current().identities().cloned());
        }
        Some(everybody)
    }

    fn unknown(&self, name: &str) -> Problem {
        let names: Vec<&str> = self.methods.iter().map(|method| method.name.as_str()).collect();
        let problem = Problem::new(name, "no sign-in method has this name").key("sign_in");
        match nearest(name, &names) {
            Some(near) => problem.suggest(format!("did you mean \"{near}\"?")),
            None => problem.suggest(format!("there are {}", names.join(", "))),
        }
    }
}

/// The sign-in of one listener.
#[derive(Debug)]
pub struct SignIn {
    methods: Vec<Arc<Method>>,
    attempts: Arc<Attempts>,
    config: Config,
}

impl SignIn {
    /// Begins an exchange with somebody who has said nothing but a name.
    pub fn begin(&self, candidate: Candidate) -> Box<dyn Exchange> {
        let row = self.choose(&candidate.user);
        let group: Vec<Arc<Method>> = self
            .methods
            .iter()
            .filter(|method| method.row.kind == row.kind && method.admits(&candidate.user))
            .cloned()
            .collect();
        let conversation = (row.open)(&group, &candidate);
        Box::new(Door::new(row, conversation, Arc::clone(&self.attempts), self.config.refusal_ms, candidate))
    }

    /// Reads the people files of this listener again. One that cannot be read stays as it was; sessions are not touched.
    pub fn reload(&self) -> Result<(), Vec<Problem>> {
        reload(&self.methods)
    }

    fn choose(&self, user: &str) -> &'static MethodRow {
        let first = |wanted: &dyn Fn(&Method) -> bool| self.methods.iter().find(|method| wanted(method));
        first(&|method| method.names(user))
            .or_else(|| first(&|method| method.provider().is_some() && method.users.is_empty()))
            .or_else(|| first(&|method| method.people().is_some()))
            .or_else(|| self.methods.first())
            .map_or(&super::scram::ROW, |method| method.row)
    }
}

fn build(block: &MethodConfig, folder: &Path) -> Result<Method, Vec<Problem>> {
    match METHODS.iter().find(|row| row.kind == block.kind) {
        Some(row) => (row.build)(&super::Block { name: &block.name, settings: &block.settings, folder }),
        None => {
            let kinds: Vec<&str> = METHODS.iter().map(|row| row.kind).collect();
            let problem =
                Problem::new(&block.name, format!("there is no method of type \"{}\"", block.kind)).key("type");
            Err(vec![match nearest(&block.kind, &kinds) {
                Some(near) => problem.suggest(format!("did you mean `{near}`?")),
                None => problem.suggest(format!("types are {}", kinds.join(", "))),
            }])
        }
    }
}

fn validate(config: &Config) -> Vec<Problem> {
    let limits = [
        ("attempts_per_address", config.attempts_per_address as u64, 1_000_000),
        ("attempts_per_person", config.attempts_per_person as u64, 1_000_000),
        ("window_seconds", config.window_seconds, 86_400),
        ("tracked_max", config.tracked_max as u64, 1_000_000),
        ("refusal_ms", config.refusal_ms, 10_000),
    ];
    limits
        .into_iter()
        .filter(|(_, value, most)| !(1..=*most).contains(value))
        .map(|(key, _, most)| Problem::new("", format!("must be 1 to {most}")).key(key))
        .collect()
}

fn reload(methods: &[Arc<Method>]) -> Result<(), Vec<Problem>> {
    let rolls = methods.iter().filter_map(|method| method.people());
    let problems: Vec<Problem> = rolls.filter_map(|roll| roll.file.reload().err()).flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "alice"),
            ("svc_*", "svc_"),
            ("svc_*", "svc_a"),
            ("*_a", "svc_a"),
            ("a*b*c", "aXbXbc"),
            ("é*", "éa"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("svc", "svc_a"), ("svc_*", "svc"), ("a*b*c", "acb"), ("ab*ba", "aba"), ("A*", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
