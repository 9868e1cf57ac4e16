//! What is known of a person, as SQL in a policy names it: `user.tenant`, `user.claims.region`.

use serde_json::Value;

use crate::problem::did_you_mean;
use crate::{Attribute, Identity};

/// The attributes that everybody has, or may have.
const NAMES: [&str; 6] = ["user.name", "user.email", "user.subject", "user.tenant", "user.groups", "user.roles"];

/// Where the identity provider's claims are.
const CLAIMS: &str = "user.claims.";

/// Why a person has no value for an attribute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What is missing, to follow "because".
    pub(crate) why: String,
    /// What to ask for.
    pub(crate) hint: String,
}

/// Whether there can be such an attribute, or what may be meant.
pub(crate) fn check(path: &str) -> Result<(), Option<String>> {
    let is_claim = path.strip_prefix(CLAIMS).is_some_and(|claim| !claim.is_empty());
    match NAMES.contains(&path) || is_claim {
        true => Ok(()),
        false => Err(did_you_mean(path, NAMES.into_iter().chain(["user.claims"]))),
    }
}

/// The value of an attribute. One that is absent is not a value: nothing can be compared with it.
pub(crate) fn value(identity: &Identity, path: &str) -> Result<Attribute, Missing> {
    let text = |text: &str| Attribute::Text(text.to_owned());
    match path {
        "user.name" => Ok(text(identity.person.as_str())),
        "user.subject" => Ok(text(&identity.subject)),
        "user.tenant" => Ok(text(identity.tenant.as_str())),
        "user.groups" => Ok(Attribute::Texts(identity.groups.iter().cloned().collect())),
        "user.roles" => Ok(Attribute::Texts(identity.roles.iter().map(ToString::to_string).collect())),
        "user.email" => identity.email.as_deref().map(text).ok_or_else(|| Missing {
            why: "no e-mail address is known of you".to_owned(),
            hint: "Ask whoever keeps the accounts to give yours an e-mail address, and sign in again.".to_owned(),
        }),
        path => claim(identity, path.strip_prefix(CLAIMS).unwrap_or(path)),
    }
}

fn claim(identity: &Identity, name: &str) -> Result<Attribute, Missing> {
    let found = identity.claims.get(name).or_else(|| nested(&identity.claims, name));
    let missing = |what: &str| Missing {
        why: format!("your sign-in {what} the claim \"{name}\""),
        hint: format!("Ask whoever keeps the accounts to give yours the claim \"{name}\", and sign in again."),
    };
    match found {
        None | Some(Value::Null) => Err(missing("does not bring")),
        Some(value) => attribute(value).ok_or_else(|| Missing {
            hint: format!(
                "Ask whoever keeps the accounts to make the claim \"{name}\" a text, a number, true or false, or a \
                 list of texts."
            ),
            ..missing("brings something else than a value in")
        }),
    }
}

/// A claim inside others: `address.country`.
fn nested<'c>(claims: &'c serde_json::Map<String, Value>, name: &str) -> Option<&'c Value> {
    let (first, rest) = name.split_once('.')?;
    let inner = claims.get(first)?.as_object()?;
    inner.get(rest).or_else(|| nested(inner, rest))
}

fn attribute(value: &Value) -> Option<Attribute> {
    Some(match value {
        Value::String(text) => Attribute::Text(text.clone()),
        Value::Bool(flag) => Attribute::Boolean(*flag),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Attribute::Number(number.to_string()), Attribute::Integer)
        }
        Value::Array(list) => {
            let texts: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
            Attribute::Texts(texts?)
        }
        Value::Null | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PersonName, Proof, Role, Tenant};
    use serde_json::json;

    fn ana() -> Identity {
        Identity {
            person: PersonName::new("ana"),
            subject: "1".to_owned(),
            email: None,
            tenant: Tenant::new("acme"),
            groups: ["finance".to_owned()].into(),
            roles: [Role::new("analyst")].into(),
            claims: json!({
                "region": "WEST", "level": 3, "share": 0.5, "lead": true, "regions": ["EAST", "WEST"], "none": null,
                "mixed": [1, "a"], "large": u64::MAX, "address": { "country": { "code": "es" } }, "a.b": "dotted",
            })
            .as_object()
            .cloned()
            .unwrap_or_default(),
            proof: Proof { method: "scram", issuer: "people".to_owned(), expires_at: None },
        }
    }

    #[test]
    fn every_kind_of_value_is_taken_as_it_is() {
        let ana = ana();
        let of = |path: &str| value(&ana, path).unwrap();
        assert_eq!(of("user.name"), Attribute::Text("ana".to_owned()));
        assert_eq!(of("user.groups"), Attribute::Texts(vec!["finance".to_owned()]));
        assert_eq!(of("user.claims.region"), Attribute::Text("WEST".to_owned()));
        assert_eq!(of("user.claims.level"), Attribute::Integer(3));
        assert_eq!(of("user.claims.share"), Attribute::Number("0.5".to_owned()));
        assert_eq!(of("user.claims.large"), Attribute::Number(u64::MAX.to_string()));
        assert_eq!(of("user.claims.lead"), Attribute::Boolean(true));
        assert_eq!(of("user.claims.regions"), Attribute::Texts(vec!["EAST".to_owned(), "WEST".to_owned()]));
        assert_eq!(of("user.claims.address.country.code"), Attribute::Text("es".to_owned()));
        assert_eq!(of("user.claims.a.b"), Attribute::Text("dotted".to_owned()));
    }

    #[test]
    fn what_is_absent_or_no_value_is_missing() {
        let ana = ana();
        for path in ["user.email", "user.claims.none", "user.claims.absent", "user.claims.mixed", "user.claims.address"]
        {
            assert!(value(&ana, path).is_err(), "{path}");
        }
        let missing = value(&ana, "user.claims.absent").unwrap_err();
        assert_eq!(missing.why, "your sign-in does not bring the claim \"absent\"");
    }

    #[test]
    fn paths_are_checked() {
        assert_eq!(check("user.claims.x"), Ok(()));
        assert_eq!(check("user.email"), Ok(()));
        assert_eq!(check("user.mail"), Err(Some("did you mean \"user.email\"?".to_owned())));
        assert_eq!(check("user.claims."), Err(Some("did you mean \"user.claims\"?".to_owned())));
        assert_eq!(check("user.password"), Err(None));
    }
}
