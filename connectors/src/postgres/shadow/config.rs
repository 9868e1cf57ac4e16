//! The settings of the shadow.

use crate::backends::SettingProblem;
use crate::login::Secret;
use crate::postgres;

/// Where statements of the catalog are answered: section `catalog.shadow` of the settings.
///
/// With a host, in databases on that PostgreSQL server; without, in programs of the gateway's own, each with a PostgreSQL
/// in it. There is one database for all people who see the same of a source, and no rows are in it.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Shadow")]
pub struct Config {
    /// Host name or address of a PostgreSQL server; best of the version that the sources have. Default: none, for
    /// programs of the gateway's own.
    pub host: Option<String>,
    /// Port of the server. Default: 5432.
    pub port: u16,
    /// Database on the server to be connected to while others are made. Default: postgres.
    pub database: String,
    /// Name of a login that may create databases and is used for nothing else. Required with a host.
    pub user: Option<String>,
    /// Its password. Default: none.
    pub password: Option<Secret>,
    /// PEM file of the certificate authorities that may have signed the server's certificate. Default: those the
    /// operating system trusts.
    pub ca_file: Option<String>,
    /// PEM file of a client certificate, with its chain, to sign in with. Needs `client_key_file`. Default: none.
    pub client_certificate_file: Option<String>,
    /// PEM file of the client certificate's private key. Default: none.
    pub client_key_file: Option<String>,
    /// Talks to the server without encryption; taken for loopback hosts only. Default: false.
    pub dangerously_disable_tls: bool,
    /// Without a host: private folder that the programs of this gateway alone work in, relative to the settings file,
    /// which takes some 100 MB and makes later starts quicker. Default: none, for one that is made at the start and
    /// removed at the end.
    pub directory: Option<std::path::PathBuf>,
    /// What the names of its databases begin with: databases on the server that begin so are the gateway's to drop. At
    /// most 24 lower-case letters, digits and underscores. Default: `passgate_shadow_`.
    pub database_prefix: String,
    /// Databases that are kept, those that were not used for longest going first. Default: 8.
    pub databases_max: usize,
    /// Connections to one database at the same time; without a host each is a process of some 280 MB. Default: 2
    /// without a host, otherwise 8.
    pub connections_max: Option<u32>,
    /// Without a host: memory of one such process, in MiB; a statement that wants more fails. Default: 512.
    pub memory_mebibytes_max: u64,
    /// How long a statement waits for a connection, in milliseconds. Default: 10000.
    pub checkout_ms_max: u64,
    /// How long making one database may take, in seconds. Default: 120.
    pub build_seconds_max: u64,
    /// How long one statement may run, in milliseconds. Default: 10000.
    pub statement_ms_max: u64,
    /// Bytes that one statement may answer. Default: 67108864 (64 MiB).
    pub answer_bytes_max: usize,
    /// How long an unused connection is kept, in seconds. Default: 300.
    pub idle_seconds_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: None,
            port: 5432,
            database: "postgres".to_owned(),
            user: None,
            password: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            dangerously_disable_tls: false,
            directory: None,
            database_prefix: "passgate_shadow_".to_owned(),
            databases_max: 8,
            connections_max: None,
            memory_mebibytes_max: 512,
            checkout_ms_max: 10_000,
            build_seconds_max: 120,
            statement_ms_max: 10_000,
            answer_bytes_max: 64 << 20,
            idle_seconds_max: 300,
        }
    }
}

impl Config {
    /// Every value that cannot be used. Opens nothing.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        if self.host.is_some() {
            problems.extend(self.source(&self.database).problems());
        }
        let mut refuse = |setting: &str, wrong: bool, message: &str, suggestion: &str| {
            if wrong {
                problems.push(SettingProblem::new(setting, message, suggestion));
            }
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let prefix = &self.database_prefix;
        refuse(
            "database_prefix",
            !(1..=24).contains(&prefix.len()) || !prefix.bytes().all(plain),
            "this has to be 1 to 24 lower-case letters, digits and underscores",
            "remove it to have passgate_shadow_",
        );
        let positive = [
            ("databases_max", self.databases_max as u64),
            ("memory_mebibytes_max", self.memory_mebibytes_max),
            ("connections_max", self.connections_max.unwrap_or(1).into()),
            ("checkout_ms_max", self.checkout_ms_max),
            ("build_seconds_max", self.build_seconds_max),
            ("statement_ms_max", self.statement_ms_max),
            ("answer_bytes_max", self.answer_bytes_max as u64),
        ];
        for (setting, value) in positive {
            let wrong = value == 0 || value > i32::MAX as u64;
            refuse(setting, wrong, "this has to lie between 1 and 2147483647", "remove it to have the default");
        }
        problems
    }

    /// Connections to one database.
    pub(super) fn connections(&self) -> u32 {
        self.connections_max.unwrap_or(if self.host.is_some() { 8 } else { 2 })
    }

    /// The settings of a source that one of the databases is.
    pub(super) fn source(&self, database: &str) -> postgres::Config {
        postgres::Config {
            host: self.host.clone().unwrap_or_default(),
            port: self.port,
            database: database.to_owned(),
            auth_mode: postgres::AuthMode::Password,
            user: self.user.clone(),
            password: self.password.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate_file: self.client_certificate_file.clone(),
            client_key_file: self.client_key_file.clone(),
            dangerously_disable_tls: self.dangerously_disable_tls,
            connections_max: self.connections(),
            connections_per_person_max: self.connections(),
            checkout_ms_max: self.checkout_ms_max,
            idle_seconds_max: self.idle_seconds_max,
            statement_timeout_ms: self.statement_ms_max,
            row_bytes_max: self.answer_bytes_max,
            ..postgres::Config::default()
        }
    }
}
