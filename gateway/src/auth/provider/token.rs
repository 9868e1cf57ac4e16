//! One token: taken apart, its header judged, its signature and claims checked, its person made out.
//!
//! Separate because it is pure. Signatures and the times are left to the `jsonwebtoken` crate; what it does not look at
//! (critical extensions, the type, `aud` or `iss` that are absent or of another shape) is judged here.
//! Sources: RFC 7515, RFC 7519, RFC 8725 (best current practices).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use passgate_policy::{Identity, PersonName, Proof, Role, Tenant};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Algorithm, Config, PersonCase, PersonMapping, Refusal};

/// The longest token taken: 32 kB. Entra's, with many groups, come near.
pub(in crate::auth) const TOKEN_BYTES_MAX: usize = 32 * 1024;

type Claims = Map<String, Value>;

/// A token nobody has checked.
pub(super) struct Unverified<'a> {
    text: &'a str,
    header: Header,
    issuer: String,
}

/// What is judged of a header (RFC 7515, section 4.1). Other members are ignored, as the standard wants.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    cty: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
    enc: Option<Value>,
    zip: Option<Value>,
}

/// What has to be known before the key is: who is said to have signed.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong(text.len()));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let header: Header = decode_part(header)?;
        header.judge()?;
        let claimed: Claimed = decode_part(claims)?;
        Ok(Self { text, header, issuer: claimed.iss })
    }

    /// Who is said to have signed.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Which key is said to have signed.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The algorithm, if it is among those allowed. There is no name here for `none` or HMAC.
    pub(super) fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, Refusal> {
        let algorithm = match self.header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "RS384" => Algorithm::RS384,
            "RS512" => Algorithm::RS512,
            "PS256" => Algorithm::PS256,
            "PS384" => Algorithm::PS384,
            "PS512" => Algorithm::PS512,
            "ES256" => Algorithm::ES256,
            "ES384" => Algorithm::ES384,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(Refusal::Algorithm),
        };
        allowed.contains(&algorithm).then_some(algorithm).ok_or(Refusal::Algorithm)
    }

    /// The claims, once signature, issuer, audience and times have been found good.
    pub(super) fn verify(&self, key: &DecodingKey, algorithm: Algorithm, config: &Config) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(algorithm.into());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&config.audience);
        validation.leeway = config.clock_skew_seconds;
        validation.validate_exp = true;
        validation.validate_nbf = true;
        let data =
            jsonwebtoken::decode::<Claims>(self.text, key, &validation).map_err(|error| refusal(error.kind()))?;
        Ok(data.claims)
    }
}

impl Header {
    fn judge(&self) -> Result<(), Refusal> {
        if self.crit.is_some() {
            return Err(Refusal::Header("it requires extensions (crit), and none are understood"));
        }
        if self.enc.is_some() || self.zip.is_some() {
            return Err(Refusal::Header("it is encrypted or compressed"));
        }
        if self.cty.is_some() {
            return Err(Refusal::Header("it holds another token"));
        }
        // RFC 8725, section 3.11: other kinds of tokens by the same signer (logout tokens, for one) are not for signing in.
        let typ = self.typ.as_deref().map(str::to_ascii_lowercase);
        match typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ)) {
            None | Some("jwt" | "at+jwt") => Ok(()),
            Some(_) => Err(Refusal::Header("it is a token for another purpose (typ)")),
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::RS256,
            Algorithm::RS384 => Self::RS384,
            Algorithm::RS512 => Self::RS512,
            Algorithm::PS256 => Self::PS256,
            Algorithm::PS384 => Self::PS384,
            Algorithm::PS512 => Self::PS512,
            Algorithm::ES256 => Self::ES256,
            Algorithm::ES384 => Self::ES384,
            Algorithm::EdDSA => Self::EdDSA,
        }
    }
}

fn decode_part<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => Refusal::Claim(claim.clone()),
        _ => Refusal::Malformed,
    }
}

/// Who the claims are about, if that is the start-up user.
pub(super) fn identity(claims: Claims, user: &str, method: &'static str, config: &Config) -> Result<Identity, Refusal> {
    let names = &config.claims;
    let person = person(&claims, config)?;
    if person != user {
        return Err(Refusal::OtherPerson(person));
    }
    let tenant = match &names.tenant {
        Some(name) => required(&claims, name)?.to_owned(),
        None => config.tenant.clone(),
    };
    let groups = listed(&claims, names.groups.as_deref())?;
    let roles = listed(&claims, names.roles.as_deref())?.into_iter().map(Role::new).collect();
    let email = names.email.as_deref().and_then(|name| claim(&claims, name)).and_then(Value::as_str).map(str::to_owned);
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or(&person).to_owned();
    let expires_at = claims.get("exp").and_then(seconds).ok_or_else(|| Refusal::Claim("exp".to_owned()))?;
    let proof = Proof { method, issuer: config.issuer.clone(), expires_at: Some(expires_at) };
    let (person, tenant) = (PersonName::new(person), Tenant::new(tenant));
    Ok(Identity { person, subject, email, tenant, groups, roles, claims, proof })
}

fn person(claims: &Claims, config: &Config) -> Result<String, Refusal> {
    let unusable = || Refusal::Claim(config.claims.name.clone());
    let name = required(claims, &config.claims.name)?;
    let person = match config.person {
        PersonMapping::Exact => name,
        PersonMapping::BeforeAt => {
            let (person, domain) = name.split_once('@').ok_or_else(unusable)?;
            let known =
                config.domains.is_empty() || config.domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain));
            if !known || person.is_empty() || domain.contains('@') {
                return Err(unusable());
            }
            person
        }
    };
    Ok(match config.person_case {
        PersonCase::Exact => person.to_owned(),
        PersonCase::Lower => person.to_lowercase(),
    })
}

/// A claim that must be text, not empty, and without control characters.
fn required<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, Refusal> {
    claim(claims, name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty() && !text.contains(char::is_control))
        .ok_or_else(|| Refusal::Claim(name.to_owned()))
}

/// A claim that may be absent, one text, or a list of texts. Anything else is refused rather than left out: a group that
/// is not seen may be one that a rule denies.
fn listed(claims: &Claims, name: Option<&str>) -> Result<BTreeSet<String>, Refusal> {
    let Some(name) = name else { return Ok(BTreeSet::new()) };
    let unusable = || Refusal::Claim(name.to_owned());
    match claim(claims, name) {
        // Entra leaves out long lists and says where to ask ("overage"):
        // https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference#groups-overage-claim
        None | Some(Value::Null) if left_out(claims, name) => Err(Refusal::GroupsLeftOut),
        None | Some(Value::Null) => Ok(BTreeSet::new()),
        Some(Value::String(text)) => Ok(BTreeSet::from([text.clone()])),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(unusable)).collect()
        }
        Some(_) => Err(unusable()),
    }
}

fn left_out(claims: &Claims, name: &str) -> bool {
    let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    elsewhere.is_some_and(|names| names.contains_key(name))
        || (name == "groups" && claims.get("hasgroups") == Some(&Value::Bool(true)))
}

/// A claim by its whole name, or by a path of names with dots between.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        claim(claims.get(first)?.as_object()?, rest)
    })
}

/// A NumericDate (RFC 7519, section 2), rounded down: a token ends no later for us than it says.
fn seconds(value: &Value) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "casting from a float saturates")]
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))
}
