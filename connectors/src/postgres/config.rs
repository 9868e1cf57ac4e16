//! The settings of a PostgreSQL source: what may be written, and what of it makes no sense together.

use std::collections::BTreeMap;

use crate::backends::SettingProblem;
use crate::login::{Mapping, Secret};

/// A PostgreSQL database (`type: postgres`).
///
/// ```yaml
/// databases:
///   - name: warehouse_prod
///     type: postgres
///     host: db.example.com
///     port: 5432
///     database: analytics
///     auth_mode: impersonate
///     user: "{{ env('WAREHOUSE_USER') }}"
///     password: "{{ env('WAREHOUSE_PASSWORD') }}"
///     schema_name: public
/// ```
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Host name or address of the server. Its certificate has to be made out for exactly this name. Required.
    pub host: String,
    /// Port of the server. Default: 5432.
    pub port: u16,
    /// Database on the server. Required.
    pub database: String,
    /// As whom statements run. `password`: as the service login, so everyone looks the same to the warehouse.
    /// `impersonate`: as the person's role, which the service login takes on. `token`: as the person's role, signed in
    /// with the person's own token as the password. Default: impersonate.
    pub auth_mode: AuthMode,
    /// Name of the service login. Required for `password` and `impersonate`; with `token` it is used for reading the
    /// catalog only. Default: none.
    pub user: Option<String>,
    /// Password of the service login; not needed where it signs in with a certificate. Default: none.
    pub password: Option<Secret>,
    /// The schema that unqualified names of a statement mean. Default: public.
    pub schema_name: String,
    /// PEM file of the certificate authorities that may have signed the server's certificate. Default: those the
    /// operating system trusts.
    pub ca_file: Option<String>,
    /// PEM file of a client certificate, with its chain, to sign in with. Needs `client_key_file`. Default: none.
    pub client_certificate_file: Option<String>,
    /// PEM file of the client certificate's private key. Default: none.
    pub client_key_file: Option<String>,
    /// Talks to the server without encryption, for tests: rows, and on a hostile machine identities, are open to
    /// others. Taken for loopback hosts only; passwords and tokens are then not sent in the clear. Default: false.
    pub dangerously_disable_tls: bool,
    /// How a person's role is found (`impersonate` and `token`).
    pub impersonation: Mapping,
    /// Lets people be impersonated whose role is a superuser: nothing in the warehouse holds for them. Default: false.
    pub dangerously_allow_superuser: bool,
    /// Connections to the source at the same time, of all people together. A transaction keeps one to its end, so count
    /// open transactions, not running statements; PostgreSQL itself takes 100 where nobody set more. Default: 80.
    pub connections_max: u32,
    /// Connections to the source at the same time for one person. A tool that signs in once for everybody is one
    /// person. Default: 60.
    pub connections_per_person_max: u32,
    /// How long a statement waits for a free connection, in milliseconds, before it fails with 53300. Default: 5000.
    pub checkout_ms_max: u64,
    /// How long connecting and signing in to the server may take, in milliseconds. Default: 10000.
    pub connect_ms_max: u64,
    /// How long an unused connection is kept, in seconds. Default: 60.
    pub idle_seconds_max: u64,
    /// How old a connection may become, in seconds, before it is replaced. Default: 3600.
    pub lifetime_seconds_max: u64,
    /// How old the server's word of who it serves may be, in seconds, when an unused connection is given to the same
    /// person again; older, and it is asked anew. 0 asks every time. Default: 60.
    pub witness_seconds_max: u64,
    /// How long one statement may run on the server, in milliseconds; a shorter `statement_timeout` of the person's role,
    /// the database or the server holds. Default: 300000.
    pub statement_timeout_ms: u64,
    /// How long a statement waits for a lock, in milliseconds; a shorter `lock_timeout` of the source's own holds.
    /// Default: 10000.
    pub lock_timeout_ms: u64,
    /// How long a transaction may stand idle, in milliseconds, before the server ends the connection; a
    /// shorter `idle_in_transaction_session_timeout` of the source's own holds. Default: 300000.
    pub idle_in_transaction_timeout_ms: u64,
    /// Size of one row, in bytes, above which the connection is closed. Default: 67108864 (64 MiB).
    pub row_bytes_max: usize,
    /// Tables and views, and likewise functions, that are read into the catalog; a source with more is refused.
    /// Default: 50000.
    pub relations_max: usize,
    /// Starts this program in place of connecting: it speaks the PostgreSQL protocol on its standard input and output,
    /// beginning with the start-up message, one session per process. `host` and TLS settings are then unused.
    /// Default: none.
    #[cfg(feature = "embedded-postgres")]
    pub child: Option<Child>,
}

/// As whom statements run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// As the service login.
    Password,
    /// As the person's role, after the service login.
    #[default]
    Impersonate,
    /// As the person's role, with the person's token as the password.
    Token,
}

/// A program that speaks the PostgreSQL protocol on its standard input and output.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Child {
    /// Path of the program. Required.
    pub program: String,
    /// Its arguments. Default: none.
    pub arguments: Vec<String>,
    /// Environment variables it gets, beside the gateway's own. Default: none.
    pub environment: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 5432,
            database: String::new(),
            auth_mode: AuthMode::default(),
            user: None,
            password: None,
            schema_name: "public".to_owned(),
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            dangerously_disable_tls: false,
            impersonation: Mapping::default(),
            dangerously_allow_superuser: false,
            connections_max: 80,
            connections_per_person_max: 60,
            checkout_ms_max: 5_000,
            connect_ms_max: 10_000,
            idle_seconds_max: 60,
            lifetime_seconds_max: 3_600,
            witness_seconds_max: 60,
            statement_timeout_ms: 300_000,
            lock_timeout_ms: 10_000,
            idle_in_transaction_timeout_ms: 300_000,
            row_bytes_max: 64 << 20,
            relations_max: 50_000,
            #[cfg(feature = "embedded-postgres")]
            child: None,
        }
    }
}

impl Config {
    /// Every value that cannot be used. Opens nothing.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let mut refuse = |setting: &'static str, wrong: bool, message: &str, suggestion: &str| {
            if wrong {
                problems.push(SettingProblem::new(setting, message, suggestion));
            }
        };
        let network = self.child().is_none();
        refuse("host", network && self.host.is_empty(), "no host is named", "add: host: db.example.com");
        refuse("database", self.database.is_empty(), "no database is named", "add: database: analytics");
        refuse(
            "user",
            self.auth_mode != AuthMode::Token && self.user.as_deref().unwrap_or("").is_empty(),
            "this auth_mode needs a service login",
            "add: user: \"{{ env('WAREHOUSE_USER') }}\"",
        );
        refuse(
            "client_key_file",
            self.client_certificate_file.is_some() != self.client_key_file.is_some(),
            "client_certificate_file and client_key_file go together",
            "name both, or neither",
        );
        refuse(
            "dangerously_disable_tls",
            network && self.dangerously_disable_tls && !is_loopback(&self.host),
            "connections without encryption are for loopback hosts only",
            "remove it, or set host to 127.0.0.1",
        );
        for (setting, value) in self.must_be_positive() {
            // PostgreSQL's own timeouts are 32-bit, and 0 would turn them off.
            let wrong = value == 0 || value > i32::MAX as u64;
            refuse(setting, wrong, "this has to lie between 1 and 2147483647", "remove it to have the default");
        }
        problems
    }

    /// What an operator should know of these settings although they can be used.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if self.auth_mode == AuthMode::Password {
            advice.push(format!(
                "auth_mode is password: everyone looks like \"{}\" to the warehouse, so its own row-level security and \
                 audit cannot tell people apart; use impersonate or token",
                self.user.as_deref().unwrap_or("")
            ));
        }
        if self.auth_mode == AuthMode::Impersonate {
            advice.push(
                "auth_mode is impersonate: whoever may create functions in the warehouse could use the service login's \
                 rights through them; give that right to nobody the gateway serves, or use token"
                    .to_owned(),
            );
        }
        if self.dangerously_disable_tls {
            advice.push("dangerously_disable_tls is set: rows travel without encryption".to_owned());
        }
        if self.dangerously_allow_superuser {
            advice
                .push("dangerously_allow_superuser is set: nothing in the warehouse holds for such people".to_owned());
        }
        advice
    }

    /// The program to start in place of connecting.
    pub(crate) fn child(&self) -> Option<&Child> {
        #[cfg(feature = "embedded-postgres")]
        return self.child.as_ref();
        #[cfg(not(feature = "embedded-postgres"))]
        None
    }

    fn must_be_positive(&self) -> [(&'static str, u64); 11] {
        [
            ("port", self.port.into()),
            ("connections_max", self.connections_max.into()),
            ("connections_per_person_max", self.connections_per_person_max.into()),
            ("checkout_ms_max", self.checkout_ms_max),
            ("connect_ms_max", self.connect_ms_max),
            ("lifetime_seconds_max", self.lifetime_seconds_max),
            ("statement_timeout_ms", self.statement_timeout_ms),
            ("lock_timeout_ms", self.lock_timeout_ms),
            ("idle_in_transaction_timeout_ms", self.idle_in_transaction_timeout_ms),
            ("row_bytes_max", self.row_bytes_max as u64),
            ("relations_max", self.relations_max as u64),
        ]
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<Config, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_block_people_have_already_is_taken_as_it_stands() {
        let config = read(serde_json::json!({
            "host": "db.example.com", "port": 5432, "database": "analytics", "auth_mode": "impersonate",
            "user": "svc", "password": "hunter2", "schema_name": "public"
        }))
        .unwrap();
        assert!(config.problems().is_empty());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = read(serde_json::json!({ "hosts": "x" })).unwrap_err();
        assert!(error.contains("unknown field `hosts`"), "{error}");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let config = read(serde_json::json!({
            "host": "db.example.com", "dangerously_disable_tls": true, "statement_timeout_ms": 0, "client_key_file": "k"
        }))
        .unwrap();
        let settings: Vec<_> = config.problems().iter().map(|problem| problem.setting.clone()).collect();
        let expected = ["database", "user", "client_key_file", "dangerously_disable_tls", "statement_timeout_ms"];
        assert_eq!(settings, expected);
    }

    #[test]
    fn password_mode_says_that_everyone_looks_the_same() {
        let config = Config { auth_mode: AuthMode::Password, user: Some("svc".to_owned()), ..Config::default() };
        assert!(config.advice().iter().any(|line| line.contains("everyone looks like \"svc\"")));
    }
}
