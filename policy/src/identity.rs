//! Who is asking: a name, where they belong, and how that was proven.
//!
//! An [`Identity`] carries no secret. Tokens and passwords stay in the room that checked them.

use std::collections::BTreeSet;
use std::fmt;

/// Defines a string newtype, so that names of different things cannot be swapped. Clones share the text.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Wraps a name as it was given.
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(name.as_ref().into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}
pub(crate) use name_type;

name_type!(
    /// The name a person signs in with: the `user` of the PostgreSQL start-up packet.
    PersonName
);
name_type!(
    /// The organisation a person belongs to. Nothing is shared between tenants.
    Tenant
);
name_type!(
    /// A role that the identity provider or the people file gives a person.
    Role
);

/// A person, as proven at sign-in.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name they signed in with.
    pub person: PersonName,
    /// The identity provider's own, unchanging id of the person (claim `sub`), or the name where there is none.
    pub subject: String,
    /// E-mail address, where known.
    pub email: Option<String>,
    /// The organisation.
    pub tenant: Tenant,
    /// Groups, as the provider names them.
    pub groups: BTreeSet<String>,
    /// Roles, as the provider or the people file names them.
    pub roles: BTreeSet<Role>,
    /// Everything else the provider said, by claim name.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// How the identity was proven.
    pub proof: Proof,
}

/// The kinds of sign-in method: every [`Proof::method`] is one of them. A policy that names another can match nothing.
pub const AUTHENTICATION_METHODS: &[&str] = &["oidc", "oauthbearer", "scram"];

/// How an identity was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The kind of sign-in method: one of [`AUTHENTICATION_METHODS`].
    pub method: &'static str,
    /// Who vouched: the token's issuer, or the name of the configured method.
    pub issuer: String,
    /// When the proof ends, in seconds since 1970-01-01 UTC; `None` where it does not.
    pub expires_at: Option<i64>,
}
