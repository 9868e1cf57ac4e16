//! The list of settings: one row each.
//!
//! An allow-list. A setting that changes what SQL means, whose rows are seen, or which limits hold is not the client's.
//! Separate from what a session keeps, because this is what grows.

use super::values::{
    Checked, application_name, boolean, client_encoding, date_style, locale, one_of, only_on, path, shown_ms,
    statement_timeout, time_zone, timeout, whole_number,
};
use super::{ON_HOLD, values};
use crate::statement::listed_name;

/// A setting that the client may change.
pub(super) struct Row {
    /// Its name as PostgreSQL shows it.
    pub(super) name: &'static str,
    /// What SHOW ALL says of it.
    pub(super) description: &'static str,
    /// The value as it is kept, or why it cannot be.
    pub(super) check: fn(&str, &Limits) -> Checked,
    /// The value without anybody's doing.
    pub(super) default: fn(&Limits) -> String,
    /// Whether its changes are reported to the client.
    pub(super) reported: bool,
    /// Whether the source is told.
    pub(super) sent: bool,
}

/// What the checks need to know.
#[derive(Clone, Debug)]
pub(in crate::session) struct Limits {
    /// The highest statement timeout.
    pub(in crate::session) statement_timeout_ms_max: u64,
    /// The schema of unqualified names.
    pub(in crate::session) default_schema: String,
    /// The time zone of a session that names none.
    pub(in crate::session) time_zone: String,
    /// Who asks.
    pub(in crate::session) person: String,
}

impl Limits {
    /// PostgreSQL's own default, with the source's schema for `public`.
    fn search_path(&self) -> String {
        format!("\"$user\", {}", listed_name(&self.default_schema))
    }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "application_name",
        description: "Sets the application name to be reported in statistics and logs.",
        check: |value, _| Ok(application_name(value)),
        default: |_| String::new(),
        reported: true,
        sent: true,
    },
    Row {
        name: "bytea_output",
        description: "Sets the output format for bytea.",
        check: |value, _| one_of(value, &["hex", "escape"]),
        default: |_| "hex".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "client_encoding",
        description: "Sets the client's character set encoding.",
        check: |value, _| client_encoding(value),
        default: |_| "UTF8".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "client_min_messages",
        description: "Sets the message levels that are sent to the client.",
        check: |value, _| one_of(value, MESSAGE_LEVELS),
        default: |_| "notice".to_owned(),
        reported: false,
        sent: true,
    },
    // Its value depends on the one before, so `Settings::set` checks it.
    Row {
        name: "DateStyle",
        description: "Sets the display format for date and time values.",
        check: |value, _| date_style(value, "ISO, MDY"),
        default: |_| "ISO, MDY".to_owned(),
        reported: true,
        sent: true,
    },
    Row {
        name: "default_transaction_deferrable",
        description: "Sets the default deferrable status of new transactions.",
        check: |value, _| boolean(value),
        default: |_| "off".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "default_transaction_isolation",
        description: "Sets the transaction isolation level of each new transaction.",
        check: |value, _| one_of(value, ISOLATION_LEVELS),
        default: |_| "read committed".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "default_transaction_read_only",
        description: "Sets the default read-only status of new transactions.",
        check: |value, _| boolean(value),
        default: |_| "on".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "extra_float_digits",
        description: "Sets the number of digits displayed for floating-point values.",
        check: |value, _| whole_number(value, -15..=3),
        default: |_| "1".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "idle_in_transaction_session_timeout",
        description: "Sets the maximum allowed idle time between queries, when in a transaction.",
        check: |value, _| timeout(value),
        default: |_| "0".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "idle_session_timeout",
        description: "Sets the maximum allowed idle time between queries, when not in a transaction.",
        check: |value, _| timeout(value),
        default: |_| "0".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "IntervalStyle",
        description: "Sets the display format for interval values.",
        check: |value, _| one_of(value, &["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        default: |_| "postgres".to_owned(),
        reported: true,
        sent: true,
    },
    Row {
        name: "lc_messages",
        description: "Sets the language in which messages are displayed.",
        check: |value, _| locale(value),
        default: |_| "C".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "lc_monetary",
        description: "Sets the locale for formatting monetary amounts.",
        check: |value, _| locale(value),
        default: |_| "C".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "lc_numeric",
        description: "Sets the locale for formatting numbers.",
        check: |value, _| locale(value),
        default: |_| "C".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "lc_time",
        description: "Sets the locale for formatting date and time values.",
        check: |value, _| locale(value),
        default: |_| "C".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "lock_timeout",
        description: "Sets the maximum allowed duration of any wait for a lock.",
        check: |value, _| timeout(value),
        default: |_| "0".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: ON_HOLD,
        description: "Whether a held statement fails with its ticket or waits for a decision.",
        check: |value, _| one_of(value, &["fail", "wait"]),
        default: |_| "fail".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "role",
        description: "Sets the current role.",
        check: |value, _| only_none(value),
        default: |_| "none".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "row_security",
        description: "Enable row security.",
        check: |value, _| only_on(value, "Row-level security holds for everybody."),
        default: |_| "on".to_owned(),
        reported: false,
        sent: false,
    },
    Row {
        name: "search_path",
        description: "Sets the schema search order for names that are not schema-qualified.",
        check: path,
        default: |limits| limits.search_path(),
        reported: false,
        sent: false,
    },
    Row {
        name: "standard_conforming_strings",
        description: "Causes '...' strings to treat backslashes literally.",
        check: |value, _| only_on(value, "A backslash in a literal is an ordinary character here."),
        default: |_| "on".to_owned(),
        reported: true,
        sent: false,
    },
    Row {
        name: "statement_timeout",
        description: "Sets the maximum allowed duration of any statement.",
        check: statement_timeout,
        default: |limits| shown_ms(limits.statement_timeout_ms_max),
        reported: false,
        sent: true,
    },
    Row {
        name: "TimeZone",
        description: "Sets the time zone for displaying and interpreting time stamps.",
        check: |value, _| time_zone(value),
        default: |limits| limits.time_zone.clone(),
        reported: true,
        sent: true,
    },
    Row {
        name: "xmlbinary",
        description: "Sets how binary values are to be encoded in XML.",
        check: |value, _| one_of(value, &["base64", "hex"]),
        default: |_| "base64".to_owned(),
        reported: false,
        sent: true,
    },
    Row {
        name: "xmloption",
        description: "Sets whether XML data in implicit parsing and serialization operations is to be considered as documents or content fragments.",
        check: |value, _| only_content(value),
        default: |_| "content".to_owned(),
        reported: false,
        sent: false,
    },
];

const ISOLATION_LEVELS: &[&str] = &["read uncommitted", "read committed", "repeatable read", "serializable"];
const MESSAGE_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Settings that tune or check a server, and what they are for a client: PostgreSQL's defaults, without `jit`, which
/// clients switch off for a while. A client may set one to what it is; a source plans as its owner wants.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("array_nulls", "on"),
    ("backslash_quote", "safe_encoding"),
    ("check_function_bodies", "on"),
    ("constraint_exclusion", "partition"),
    ("cpu_index_tuple_cost", "0.005"),
    ("cpu_operator_cost", "0.0025"),
    ("cpu_tuple_cost", "0.01"),
    ("cursor_tuple_fraction", "0.1"),
    ("default_statistics_target", "100"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("default_text_search_config", "pg_catalog.english"),
    ("effective_cache_size", "4GB"),
    ("effective_io_concurrency", "1"),
    ("enable_async_append", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_gathermerge", "on"),
    ("enable_hashagg", "on"),
    ("enable_hashjoin", "on"),
    ("enable_incremental_sort", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_indexscan", "on"),
    ("enable_material", "on"),
    ("enable_memoize", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_parallel_append", "on"),
    ("enable_parallel_hash", "on"),
    ("enable_partition_pruning", "on"),
    ("enable_partitionwise_aggregate", "off"),
    ("enable_partitionwise_join", "off"),
    ("enable_seqscan", "on"),
    ("enable_sort", "on"),
    ("enable_tidscan", "on"),
    ("escape_string_warning", "on"),
    ("from_collapse_limit", "8"),
    ("geqo", "on"),
    ("geqo_threshold", "12"),
    ("gin_fuzzy_search_limit", "0"),
    ("hash_mem_multiplier", "2"),
    ("jit", "off"),
    ("jit_above_cost", "100000"),
    ("join_collapse_limit", "8"),
    ("logical_decoding_work_mem", "64MB"),
    ("maintenance_work_mem", "64MB"),
    ("max_parallel_workers_per_gather", "2"),
    ("min_parallel_index_scan_size", "512kB"),
    ("min_parallel_table_scan_size", "8MB"),
    ("parallel_leader_participation", "on"),
    ("parallel_setup_cost", "1000"),
    ("parallel_tuple_cost", "0.1"),
    ("plan_cache_mode", "auto"),
    ("quote_all_identifiers", "off"),
    ("random_page_cost", "4"),
    ("seq_page_cost", "1"),
    ("synchronize_seqscans", "on"),
    ("synchronous_commit", "on"),
    ("temp_buffers", "8MB"),
    ("temp_tablespaces", ""),
    ("timezone_abbreviations", "Default"),
    ("transaction_timeout", "0"),
    ("transform_null_equals", "off"),
    ("vacuum_cost_delay", "0"),
    ("work_mem", "4MB"),
];

/// What a setting takes that is not the client's: what it is.
pub(super) fn check_fixed(fixed: &str, value: &str) -> Checked {
    let same = match fixed {
        "on" | "off" => values::switched(value) == Some(fixed == "on"),
        _ => value.trim().eq_ignore_ascii_case(fixed),
    };
    let refused = || values::Refusal::Forbidden("How statements are planned and run is the source's own.".into());
    same.then(|| fixed.to_owned()).ok_or_else(refused)
}

/// How XML is read in statements: as everybody's is.
fn only_content(value: &str) -> Checked {
    match value.to_ascii_lowercase().as_str() {
        "content" => Ok("content".to_owned()),
        _ => Err(values::Refusal::Forbidden("XML is read as content here.".into())),
    }
}

/// Settings that PostgreSQL has and that are not the client's here, so that the refusal can say so. What is missing in
/// this list is refused all the same, as unknown.
pub(super) const NOT_YOURS: &[&str] = &[
    "allow_in_place_tablespaces",
    "allow_system_table_mods",
    "deadlock_timeout",
    "dynamic_library_path",
    "event_triggers",
    "exit_on_error",
    "local_preload_libraries",
    "log_duration",
    "log_error_verbosity",
    "log_min_duration_statement",
    "log_min_error_statement",
    "log_min_messages",
    "log_statement",
    "max_stack_depth",
    "password_encryption",
    "session_authorization",
    "session_preload_libraries",
    "session_replication_role",
    "statement_mem",
    "track_activities",
    "zero_damaged_pages",
];

/// A settable role is that of the person, which is NONE.
fn only_none(value: &str) -> Checked {
    match value.to_ascii_lowercase().as_str() {
        "none" => Ok("none".to_owned()),
        _ => Err(values::Refusal::Forbidden("Everybody is who they signed in as.".into())),
    }
}
