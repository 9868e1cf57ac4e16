//! Whom a policy is for: `applies_to`.

use std::collections::BTreeSet;

use crate::compile::Context;
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

fn set<T: Ord>(applies_to: Object<'_>, key: &str, new: impl Fn(String) -> T) -> Option<BTreeSet<T>> {
    applies_to.has(key).then(|| applies_to.names(key).map(|text| new(text.value.to_owned())).collect())
}
