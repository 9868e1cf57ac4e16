//! Who a connection should be, and the comparison with whom the server says it serves.

use std::sync::Arc;
use std::time::Instant;

use passgate_policy::{PersonName, Tenant};

use crate::login::Impersonation;
use crate::{Error, SessionSettings, Witness};

/// Who a connection should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persona {
    /// The source's name, for errors.
    pub(crate) source_name: Arc<str>,
    /// The login's name.
    pub(crate) user: Arc<str>,
    /// The role to take on after the login, and how.
    pub(crate) impersonated: Option<(Impersonation, Arc<str>)>,
    /// Whether that role may be a superuser.
    pub(crate) superuser_allowed: bool,
}

/// Whose connection it is. Nothing is ever handed from one key to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The person's tenant.
    pub(crate) tenant: Tenant,
    /// The person.
    pub(crate) person: PersonName,
    /// The role the person has here.
    pub(crate) role: Arc<str>,
    /// The SHA-256 of the secret that the login was made with.
    pub(crate) credential: [u8; 32],
}

/// Who a connection is, as witnessed, and what is set on it.
pub(crate) struct Assumed {
    /// The server's answer.
    pub(crate) witness: Arc<Witness>,
    /// When it was given.
    pub(crate) witnessed_at: Instant,
    /// What the session asked for.
    pub(crate) asked: SessionSettings,
    /// What of that is set.
    pub(crate) settings: SessionSettings,
    /// Whether a roll-back may have undone them.
    pub(crate) uncertain: bool,
}

impl Persona {
    /// The statement that makes a session the person's.
    pub(crate) fn statement(&self) -> Option<String> {
        let (how, role) = self.impersonated.as_ref()?;
        let command = match how {
            Impersonation::SessionAuthorization => "SET SESSION AUTHORIZATION",
            Impersonation::Role => "SET ROLE",
        };
        Some(format!("{command} {}", quoted(role)))
    }

    /// Whether the server reports every change of who it serves: it does so for the session user, not for the role.
    pub(crate) fn is_reported(&self) -> bool {
        !matches!(self.impersonated, Some((Impersonation::Role, _)))
    }

    /// Takes the server's answer if it is the right one.
    pub(crate) fn compare(&self, source_name: &str, answer: &[String]) -> Result<Witness, Error> {
        let [session_user, current_user, is_superuser] = answer else {
            let cause = "it did not say whom it serves".to_owned();
            return Err(Error::Protocol { source_name: source_name.to_owned(), cause });
        };
        let witness = Witness { session_user: session_user.clone(), current_user: current_user.clone() };
        let expected = self.expected();
        if witness != expected {
            return Err(Error::Witness {
                source_name: source_name.to_owned(),
                expected: described(&expected),
                found: described(&witness),
            });
        }
        if self.impersonated.is_some() && !self.superuser_allowed && is_superuser != "off" {
            let cause = format!("\"{}\" is a superuser there, for whom no rule of the source holds", current_user);
            return Err(Error::NoRole { source_name: source_name.to_owned(), cause });
        }
        Ok(witness)
    }

    /// The server does not let us be the person.
    pub(crate) fn refused(&self, cause: String) -> Error {
        Error::SignIn { source_name: self.source_name.to_string(), role: self.role().to_owned(), cause }
    }

    /// The role whose rights hold in the end.
    pub(crate) fn role(&self) -> &str {
        self.impersonated.as_ref().map_or(&self.user, |(_, role)| role)
    }

    fn expected(&self) -> Witness {
        let (session_user, current_user) = match &self.impersonated {
            None => (&self.user, &self.user),
            Some((Impersonation::SessionAuthorization, role)) => (role, role),
            Some((Impersonation::Role, role)) => (&self.user, role),
        };
        Witness { session_user: session_user.to_string(), current_user: current_user.to_string() }
    }
}

fn described(witness: &Witness) -> String {
    if witness.session_user == witness.current_user {
        witness.current_user.clone()
    } else {
        format!("{} (session user {})", witness.current_user, witness.session_user)
    }
}

/// A quoted identifier. <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persona(how: Impersonation) -> Persona {
        Persona {
            source_name: "w".into(),
            user: "svc".into(),
            impersonated: Some((how, "al\"ice".into())),
            superuser_allowed: false,
        }
    }

    fn answer(session: &str, current: &str, superuser: &str) -> Vec<String> {
        [session, current, superuser].map(str::to_owned).to_vec()
    }

    #[test]
    fn names_are_quoted() {
        let statement = persona(Impersonation::SessionAuthorization).statement().unwrap();
        assert_eq!(statement, "SET SESSION AUTHORIZATION \"al\"\"ice\"");
    }

    #[test]
    fn only_the_right_answer_is_taken() {
        let compare = |how, answer: Vec<String>| persona(how).compare("w", &answer).map(drop);
        assert!(compare(Impersonation::SessionAuthorization, answer("al\"ice", "al\"ice", "off")).is_ok());
        assert!(compare(Impersonation::Role, answer("svc", "al\"ice", "off")).is_ok());
        let still = compare(Impersonation::Role, answer("svc", "svc", "off")).unwrap_err();
        assert_eq!(still.to_string(), "source \"w\" serves \"svc\", not \"al\"ice (session user svc)\"");
        let half = compare(Impersonation::SessionAuthorization, answer("svc", "al\"ice", "off"));
        assert!(matches!(half, Err(Error::Witness { .. })));
        let superuser = compare(Impersonation::SessionAuthorization, answer("al\"ice", "al\"ice", "on"));
        assert!(matches!(superuser, Err(Error::NoRole { .. })));
        assert!(matches!(compare(Impersonation::Role, Vec::new()), Err(Error::Protocol { .. })));
    }
}
