//! From a person to the name of their role in a source. Separate from the clients, because every backend maps people
//! the same way and the mistakes here are the dangerous ones.

use std::collections::BTreeMap;

use passgate_policy::Identity;

/// PostgreSQL keeps 63 bytes of a name and silently drops the rest (`NAMEDATALEN`), so two people could share a role.
const ROLE_BYTES_MAX: usize = 63;

/// How a person's role in the source is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// How the gateway becomes the person after the service login (auth_mode `impersonate`).
    /// Default: session_authorization.
    pub statement: Impersonation,
    /// What a person's role is made from when `roles` does not list them: `name` (the name they signed in with),
    /// `email_local_part` (what stands before the `@`; use it only when one organisation hands out the addresses),
    /// `claim:NAME` (a text claim of their token), or `listed` (nothing: who is not in `roles` is refused).
    /// Default: name.
    pub role: RoleRule,
    /// Roles by person, before any rule. Default: none.
    pub roles: BTreeMap<String, String>,
    /// Text put before a role that `role` made; roles listed in `roles` are taken as they are. Default: empty.
    pub role_prefix: String,
}

/// The statement that makes a session the person's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impersonation {
    /// `SET SESSION AUTHORIZATION`: both `session_user` and `current_user` are the person; the service login has to be
    /// a superuser.
    #[default]
    SessionAuthorization,
    /// `SET ROLE`: `current_user` is the person, `session_user` stays the service login, which has to be a member of
    /// every person's role.
    Role,
}

/// What a person's role is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RoleRule {
    /// The name they signed in with.
    #[default]
    Name,
    /// The part of their e-mail address before the `@`.
    EmailLocalPart,
    /// A claim of their token.
    Claim(String),
    /// Nothing: only listed people have a role.
    Listed,
}

impl RoleRule {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "name" => Some(Self::Name),
            "email_local_part" => Some(Self::EmailLocalPart),
            "listed" => Some(Self::Listed),
            _ => {
                text.strip_prefix("claim:").filter(|claim| !claim.is_empty()).map(|claim| Self::Claim(claim.to_owned()))
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for RoleRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "unknown role rule \"{text}\": write name, email_local_part, claim:NAME or listed"
            ))
        })
    }
}

impl schemars::JsonSchema for RoleRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RoleRule".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(name|email_local_part|claim:.+|listed)$" })
    }
}

impl Mapping {
    /// The person's role, or why they have none. Fails closed: nothing is trimmed, folded or cut to fit.
    pub(crate) fn role_of(&self, identity: &Identity) -> Result<String, String> {
        let role = match self.roles.get(identity.person.as_str()) {
            Some(role) => role.clone(),
            None => format!("{}{}", self.role_prefix, self.by_rule(identity)?),
        };
        check(&role)?;
        Ok(role)
    }

    fn by_rule<'a>(&self, identity: &'a Identity) -> Result<&'a str, String> {
        let found = match &self.role {
            RoleRule::Name => identity.person.as_str(),
            RoleRule::EmailLocalPart => {
                let email = identity.email.as_deref().ok_or("no e-mail address is known of them")?;
                email.rsplit_once('@').ok_or("their e-mail address has no \"@\"")?.0
            }
            RoleRule::Claim(claim) => identity
                .claims
                .get(claim)
                .and_then(serde_json::Value::as_str)
                .ok_or_else(|| format!("their token has no text claim \"{claim}\""))?,
            RoleRule::Listed => return Err("they are not listed in \"impersonation.roles\"".to_owned()),
        };
        // Checked before the prefix is put on: an empty name must not become a role that is called like the prefix.
        if found.is_empty() { Err("the name their role is made from is empty".to_owned()) } else { Ok(found) }
    }
}

/// Refuses what PostgreSQL would take for something else than a role of that very name.
fn check(role: &str) -> Result<(), String> {
    if role.is_empty() {
        return Err("their role is empty".to_owned());
    }
    if role.len() > ROLE_BYTES_MAX {
        return Err(format!("their role has {} bytes, and PostgreSQL keeps {ROLE_BYTES_MAX}", role.len()));
    }
    if role.contains('\0') {
        return Err("their role contains a zero byte".to_owned());
    }
    // `SET ROLE "none"`, quoted or not, goes back to the service login (check_role in PostgreSQL's variable.c), and
    // `public`, `default` and `pg_...` are words of the server's own.
    let folded = role.to_ascii_lowercase();
    if matches!(folded.as_str(), "none" | "public" | "default") || folded.starts_with("pg_") {
        return Err(format!("\"{role}\" is a reserved name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use passgate_policy::{PersonName, Proof, Tenant};

    use super::*;

    fn person(name: &str) -> Identity {
        Identity {
            person: PersonName::new(name),
            subject: name.to_owned(),
            email: Some("ann.lee@example.com".to_owned()),
            tenant: Tenant::new("t"),
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            claims: serde_json::Map::from_iter([("db".to_owned(), "west".into()), ("n".to_owned(), 1.into())]),
            proof: Proof { method: "oidc", issuer: "i".to_owned(), expires_at: None },
        }
    }

    fn mapping(role: &str) -> Mapping {
        Mapping {
            role: RoleRule::parse(role).unwrap(),
            roles: BTreeMap::from([("alice".to_owned(), "analyst_a".to_owned())]),
            role_prefix: "p_".to_owned(),
            ..Mapping::default()
        }
    }

    #[test]
    fn a_listed_person_has_the_listed_role_and_others_the_rule() {
        assert_eq!(mapping("name").role_of(&person("alice")).unwrap(), "analyst_a");
        assert_eq!(mapping("name").role_of(&person("Bob \"x\"")).unwrap(), "p_Bob \"x\"");
        assert_eq!(mapping("email_local_part").role_of(&person("bob")).unwrap(), "p_ann.lee");
        assert_eq!(mapping("claim:db").role_of(&person("bob")).unwrap(), "p_west");
    }

    #[test]
    fn who_has_no_role_is_refused_with_the_reason() {
        assert!(mapping("listed").role_of(&person("bob")).unwrap_err().contains("not listed"));
        assert!(mapping("claim:n").role_of(&person("bob")).unwrap_err().contains("no text claim"));
        assert!(mapping("name").role_of(&person("")).unwrap_err().contains("empty"));
        let long = "ä".repeat(31);
        assert!(mapping("name").role_of(&person(&long)).unwrap_err().contains("64 bytes"));
        assert!(mapping("name").role_of(&person("a\0b")).unwrap_err().contains("zero byte"));
        for reserved in ["none", "None", "public", "pg_monitor", "default"] {
            let error = Mapping::default().role_of(&person(reserved)).unwrap_err();
            assert!(error.contains("reserved"), "{error}");
        }
    }

    #[test]
    fn an_unknown_rule_says_which_there_are() {
        let error = serde_json::from_str::<Mapping>(r#"{"role": "mail"}"#).unwrap_err().to_string();
        assert!(error.contains("email_local_part"), "{error}");
    }
}
