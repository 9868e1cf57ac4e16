//! Whom a policy is for: `applies_to`.

use std::collections::BTreeSet;

use crate::compile::Context;
use crate::condition::{Key, NameSubject, Trigger, rarest};
use crate::fields::{Field, Object, Shape};
use crate::names::Sources;
use crate::{Identity, PersonName, Request, Role, SourceName, Tenant};

/// The keys of `applies_to`. What is said under several keys must all hold; of one list, one entry is enough.
pub(crate) const FIELDS: &[Field] = &[
    list("sources", "Sources, as the settings file names them; a statement that touches one of them is meant."),
    list("users", "People, by the name they sign in with."),
    list("groups", "Groups, as the identity provider names them; a member of one of them is meant."),
    list("roles", "Roles, as the identity provider or the people file names them; a holder of one of them is meant."),
    list("tenants", "Tenants; a person of one of them is meant."),
];

const fn list(name: &'static str, manual: &'static str) -> Field {
    Field { name, shape: Shape::Names, required: false, manual }
}

/// The people and sources a policy is for; everybody and all where it does not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audience {
    sources: Option<BTreeSet<SourceName>>,
    users: Option<BTreeSet<PersonName>>,
    groups: Option<BTreeSet<String>>,
    roles: Option<BTreeSet<Role>>,
    tenants: Option<BTreeSet<Tenant>>,
}

impl Audience {
    /// Reads `applies_to`, which was checked against [`FIELDS`].
    pub(crate) fn compile(applies_to: Object<'_>, unknown_ok: bool, context: &mut Context<'_>) -> Self {
        for source in applies_to.names("sources") {
            let unknown = context.known.map(|known| known.check_source(&SourceName::new(source.value)));
            if let Some(Err(unknown)) = unknown {
                let problem = source.problem(format!("no source is called \"{}\"", source.value), unknown.0);
                context.report_unknown(problem, unknown_ok);
            }
        }
        check_people(applies_to, unknown_ok, context);
        Self {
            sources: set(applies_to, "sources", SourceName::new),
            users: set(applies_to, "users", PersonName::new),
            groups: set(applies_to, "groups", String::from),
            roles: set(applies_to, "roles", Role::new),
            tenants: set(applies_to, "tenants", Tenant::new),
        }
    }

    /// The sources meant.
    pub(crate) fn sources(&self) -> Sources<'_> {
        self.sources.as_ref()
    }

    /// Names of which a request must have one to be meant; `None` where every request is.
    pub(crate) fn triggers(&self) -> Option<Vec<Trigger>> {
        fn list<T>(key: Key, names: Option<&BTreeSet<T>>, text: impl Fn(&T) -> &str) -> Option<Vec<Trigger>> {
            names.map(|names| names.iter().map(|name| (key, text(name).into())).collect())
        }
        let lists = [
            list(Key::Statement(NameSubject::Sources), self.sources.as_ref(), SourceName::as_str),
            list(Key::Person, self.users.as_ref(), PersonName::as_str),
            list(Key::Group, self.groups.as_ref(), String::as_str),
            list(Key::Role, self.roles.as_ref(), Role::as_str),
            list(Key::Tenant, self.tenants.as_ref(), Tenant::as_str),
        ];
        rarest(lists.into_iter().flatten())
    }

    /// Whether nobody and no source can be meant by both. People are in several groups and hold several roles.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        fn are_apart<T: Ord>(one: Option<&BTreeSet<T>>, other: Option<&BTreeSet<T>>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one.is_disjoint(other))
        }
        are_apart(self.sources.as_ref(), other.sources.as_ref())
            || are_apart(self.users.as_ref(), other.users.as_ref())
            || are_apart(self.tenants.as_ref(), other.tenants.as_ref())
    }

    /// Whether a source is meant.
    pub(crate) fn covers(&self, source: &SourceName) -> bool {
        crate::names::covers(self.sources(), source)
    }

    /// Whether the request's person is meant, on any source that the statement touches.
    pub(crate) fn includes(&self, request: &Request) -> bool {
        let touches = |sources: &BTreeSet<SourceName>| {
            sources.contains(&request.source) || request.tables.iter().any(|used| sources.contains(&used.name().source))
        };
        self.sources.as_ref().is_none_or(touches) && self.includes_person(&request.identity)
    }

    /// Whether a person is meant on one source. What grants asks this, so that a grant for one source says nothing
    /// about another that the same statement touches.
    pub(crate) fn includes_on(&self, identity: &Identity, source: &SourceName) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(source)) && self.includes_person(identity)
    }

    fn includes_person(&self, identity: &Identity) -> bool {
        self.users.as_ref().is_none_or(|users| users.contains(&identity.person))
            && self.tenants.as_ref().is_none_or(|tenants| tenants.contains(&identity.tenant))
            && self.groups.as_ref().is_none_or(|groups| !groups.is_disjoint(&identity.groups))
            && self.roles.as_ref().is_none_or(|roles| !roles.is_disjoint(&identity.roles))
    }
}

/// Reports groups and roles that nobody has, where everybody is known.
fn check_people(applies_to: Object<'_>, unknown_ok: bool, context: &mut Context<'_>) {
    let Some(known) = context.known else { return };
    for group in applies_to.names("groups") {
        if let Err(unknown) = known.check_group(group.value) {
            let problem = group.problem(format!("nobody is in a group called \"{}\"", group.value), unknown.0);
            context.report_unknown(problem, unknown_ok);
        }
    }
    for role in applies_to.names("roles") {
        if let Err(unknown) = known.check_role(role.value) {
            let problem = role.problem(format!("nobody holds a role called \"{}\"", role.value), unknown.0);
            context.report_unknown(problem, unknown_ok);
        }
    }
}

fn set<T: Ord>(applies_to: Object<'_>, key: &str, new: impl Fn(String) -> T) -> Option<BTreeSet<T>> {
    applies_to.has(key).then(|| applies_to.names(key).map(|text| new(text.value.to_owned())).collect())
}
