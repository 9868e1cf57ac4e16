//! An OpenID Connect provider whose tokens are taken, and the check of one token.
//!
//! Separate from the two methods that carry tokens, so that they cannot differ in what they accept. The pieces:
//! [`fetch`] speaks HTTPS with bounds, [`keys`] caches the provider's keys, [`token`] is pure.

mod fetch;
mod keys;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use passgate_policy::Identity;

use super::{Block, DEFAULT_TENANT, Method, MethodRow, Problem, Users, Voucher};
use fetch::Fetcher;
use keys::Keys;
use token::Unverified;

pub(super) use token::TOKEN_BYTES_MAX;

/// Settings of an `oidc` or `oauthbearer` method.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The provider, exactly as its tokens name it in `iss`. Its keys are found by OpenID Connect discovery below this
    /// address.
    pub issuer: String,
    /// The values of `aud` that mean us; a token needs one of them.
    pub audience: Vec<String>,
    /// The signature algorithms taken. Default: RS256 and ES256. There is no `none` and no HMAC.
    #[serde(default = "Config::algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Certificates (PEM) of the authorities that the provider's TLS certificate must come from, relative to the settings
    /// file; no others are trusted then. Default: those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Which claims say what.
    #[serde(default)]
    pub claims: ClaimNames,
    /// How the person is made of the name claim: `exact` takes it as it is, `before_at` the part before the first `@`.
    /// The start-up user must equal the person. Default: `exact`.
    #[serde(default)]
    pub person: PersonMapping,
    /// With `before_at`: the parts after the `@` that are taken. Set this whenever the provider has people of more than
    /// one domain, or guests: otherwise alice@elsewhere.example is alice too. Default: any.
    #[serde(default)]
    pub domains: Vec<String>,
    /// `lower` makes the person's name lower case before it is compared; the start-up user must then be lower case too.
    /// Default: `exact`.
    #[serde(default)]
    pub person_case: PersonCase,
    /// The tenant of everybody, where `claims.tenant` is not set. Default: `default`.
    #[serde(default = "Config::tenant")]
    pub tenant: String,
    /// Start-up names that this method is for, and no others; `*` stands for any characters. Default: all.
    #[serde(default)]
    pub users: Vec<String>,
    /// What an OAUTHBEARER client is told to ask for, separated by spaces. Default: `openid`.
    #[serde(default = "Config::scope")]
    pub scope: String,
    /// How far the provider's clock may be from ours, in seconds, at most 300. Default: 60.
    #[serde(default = "Config::clock_skew_seconds")]
    pub clock_skew_seconds: u64,
    /// Keys older than this are fetched again at the next sign-in, in seconds. Default: 3600.
    #[serde(default = "Config::jwks_refresh_seconds_max")]
    pub jwks_refresh_seconds_max: u64,
    /// A token that names an unknown key has the keys fetched again, but not more often than this, in seconds.
    /// Default: 30.
    #[serde(default = "Config::jwks_refresh_seconds_min")]
    pub jwks_refresh_seconds_min: u64,
    /// While the provider cannot be reached, its keys are trusted until they are this old, in seconds. Default: 21600.
    #[serde(default = "Config::jwks_keep_seconds_max")]
    pub jwks_keep_seconds_max: u64,
    /// How long one request to the provider may take, in seconds, 1 to 60. Default: 5.
    #[serde(default = "Config::request_seconds_max")]
    pub request_seconds_max: u64,
    /// Lets the provider be reached by `http://` at a loopback address, for development. Default: false.
    #[serde(default)]
    pub dangerously_allow_http: bool,
}

impl Config {
    fn algorithms() -> Vec<Algorithm> {
        vec![Algorithm::RS256, Algorithm::ES256]
    }
    fn tenant() -> String {
        DEFAULT_TENANT.to_owned()
    }
    fn scope() -> String {
        "openid".to_owned()
    }
    fn clock_skew_seconds() -> u64 {
        60
    }
    fn jwks_refresh_seconds_max() -> u64 {
        3600
    }
    fn jwks_refresh_seconds_min() -> u64 {
        30
    }
    fn jwks_keep_seconds_max() -> u64 {
        21_600
    }
    fn request_seconds_max() -> u64 {
        5
    }
}

/// Which claims say what. A name is looked up as it stands first, then as a path: `realm_access.roles`.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// The person's name. Default: `preferred_username`.
    pub name: String,
    /// Groups, a list or one text; `null` for none. Default: `groups`.
    pub groups: Option<String>,
    /// Roles, a list or one text; `null` for none. Default: `roles`.
    pub roles: Option<String>,
    /// The tenant; a token without it is refused. Default: none, see `tenant`.
    pub tenant: Option<String>,
    /// The e-mail address; `null` for none. Default: `email`.
    pub email: Option<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            name: "preferred_username".to_owned(),
            groups: Some("groups".to_owned()),
            roles: Some("roles".to_owned()),
            tenant: None,
            email: Some("email".to_owned()),
        }
    }
}

/// A signature algorithm (RFC 7518, section 3.1, and RFC 8037). Asymmetric ones only: with HMAC, whoever can check a token
/// can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// How the person is made of the name claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonMapping {
    /// As it is.
    #[default]
    Exact,
    /// The part before the first `@`.
    BeforeAt,
}

/// Whether letter case counts in a person's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonCase {
    /// It does.
    #[default]
    Exact,
    /// The claim is made lower case first.
    Lower,
}

/// A provider in use.
#[derive(Debug)]
pub(super) struct Provider {
    config: Config,
    keys: Arc<Keys>,
}

impl Provider {
    /// Where its discovery document is: OpenID Connect Discovery 1.0, section 4.
    pub(super) fn discovery_address(&self) -> String {
        discovery_address(&self.config.issuer)
    }

    /// What a client should ask it for.
    pub(super) fn scope(&self) -> &str {
        &self.config.scope
    }

    async fn check(&self, token: &Unverified<'_>, user: &str, method: &'static str) -> Result<Identity, Refusal> {
        let algorithm = token.algorithm(&self.config.algorithms)?;
        let key = self.keys.find(token.key_id(), algorithm).await?;
        let claims = token.verify(&key, algorithm, &self.config)?;
        token::identity(claims, user, method, &self.config)
    }
}

/// Checks a token against whichever of the providers it says it is from.
pub(super) async fn check(
    providers: &[Arc<Provider>],
    token: &str,
    user: &str,
    method: &'static str,
) -> Result<Identity, Refusal> {
    let token = Unverified::parse(token)?;
    let mut refusal = Refusal::Issuer;
    for provider in providers.iter().filter(|provider| provider.config.issuer == token.issuer()) {
        match provider.check(&token, user, method).await {
            Ok(identity) => return Ok(identity),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Why a token is not taken. For the log and the audit: never shows any of the token but what its signature has covered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the token has {0} bytes; at most {TOKEN_BYTES_MAX} are taken")]
    TooLong(usize),
    #[error("this is not a signed token")]
    Malformed,
    #[error("the token's header is not acceptable: {0}")]
    Header(&'static str),
    #[error("the token is from no provider that is configured here")]
    Issuer,
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    #[error("the token names no key of its provider that fits its algorithm")]
    Key,
    #[error("the provider cannot be reached and no keys are at hand: {0}")]
    Unavailable(String),
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not in force yet")]
    NotYet,
    #[error("the token is not meant for us")]
    Audience,
    #[error("the token lacks a usable \"{0}\"")]
    Claim(String),
    #[error("the token says that its person has too many groups to list, so what they may do is not known")]
    GroupsLeftOut,
    #[error("the token is \"{0}\"'s, not the start-up user's")]
    OtherPerson(String),
}

impl Refusal {
    /// Whether it is the client's doing and counts against them. A provider that is down is nobody's guess.
    pub(super) fn is_the_clients(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// Makes a method of a settings block.
pub(super) fn build(block: &Block<'_>, row: &'static MethodRow) -> Result<Method, Vec<Problem>> {
    let config: Config = block.settings()?;
    let mut problems = validate(block.name, &config);
    let roots = config.ca_file.as_deref().map(|file| read_roots(block, file)).transpose();
    let roots = roots.map_err(|more| problems.extend(more)).unwrap_or_default();
    if !problems.is_empty() {
        return Err(problems);
    }
    let fetcher = Fetcher::new(&config.issuer, roots, config.dangerously_allow_http, request_limit(&config))
        .map_err(|error| vec![Problem::new(block.name, error.to_string())])?;
    let users = Users::new(config.users.clone());
    let keys = Arc::new(Keys::new(&config, fetcher));
    Ok(Method::new(block.name, row, users, Voucher::Provider(Arc::new(Provider { config, keys }))))
}

fn request_limit(config: &Config) -> Duration {
    Duration::from_secs(config.request_seconds_max)
}

fn discovery_address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

fn validate(method: &str, config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |key: &str, message: &str, suggestion: &str| {
        problems.push(Problem::new(method, message).key(key).suggest(suggestion));
    };
    if !fetch::is_allowed(&config.issuer, config.dangerously_allow_http) {
        report(
            "issuer",
            "must be an https:// address without query or fragment",
            "http:// is for loopback addresses only, with `dangerously_allow_http: true`",
        );
    }
    if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
        report("audience", "must name at least one audience", "take the client id or API name registered for Passgate");
    }
    if config.algorithms.is_empty() {
        report("algorithms", "must name at least one algorithm", "leave it out for RS256 and ES256");
    }
    if config.clock_skew_seconds > 300 {
        report("clock_skew_seconds", "must be at most 300", "set the clocks right instead");
    }
    if !(1..=60).contains(&config.request_seconds_max) {
        report("request_seconds_max", "must be 1 to 60", "leave it out for 5");
    }
    if config.jwks_refresh_seconds_min > config.jwks_refresh_seconds_max
        || config.jwks_refresh_seconds_max > config.jwks_keep_seconds_max
    {
        report(
            "jwks_keep_seconds_max",
            "jwks_refresh_seconds_min, jwks_refresh_seconds_max and jwks_keep_seconds_max must not decrease",
            "leave them out for 30, 3600 and 21600",
        );
    }
    if config.person == PersonMapping::Exact && !config.domains.is_empty() {
        report("domains", "is only for `person: before_at`", "set that, or leave `domains` out");
    }
    if config.claims.name.is_empty() {
        report("claims", "`name` must not be empty", "leave it out for preferred_username");
    }
    problems
}

fn read_roots(block: &Block<'_>, file: &Path) -> Result<Vec<reqwest::Certificate>, Vec<Problem>> {
    let path = block.folder.join(file);
    let problem =
        |reason: String| vec![Problem::new(block.name, format!("{}: {reason}", path.display())).key("ca_file")];
    let text = std::fs::read(&path).map_err(|error| problem(error.to_string()))?;
    let roots = reqwest::Certificate::from_pem_bundle(&text).map_err(|error| problem(error.to_string()))?;
    if roots.is_empty() { Err(problem("holds no certificate".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests;
