//! Which built-in functions only compute.
//!
//! `pure_functions.txt` lists the functions of `pg_catalog` that have no side effect and read no file, catalog, network
//! or SQL text, each with the numbers of arguments it may be called with: every function that such a call could mean
//! only computes. `2+` stands for two or more (VARIADIC). It was drawn from PostgreSQL 15's own `pg_proc` (neither
//! volatile nor taking or returning an internal type), with every name left out that reads server state, and with the
//! harmless volatile ones and those of versions 16 to 18 added by hand. `other_functions.txt` is the rest of
//! `pg_catalog`; a name in both has forms of both kinds. What is in neither list is not known, and so not pure.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use passgate_policy::Known;

use crate::statement::SYNTAX_FUNCTIONS;

static PURE: LazyLock<HashMap<&'static str, Counts>> = LazyLock::new(|| {
    include_str!("pure_functions.txt")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, counts)| (name, Counts::read(counts)))
        .collect()
});
static OTHER: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("other_functions.txt").lines().collect());

/// Numbers of arguments.
#[derive(Debug, Default)]
struct Counts {
    these: Vec<usize>,
    and_from: Option<usize>,
}

impl Counts {
    fn read(text: &str) -> Self {
        let mut counts = Self::default();
        for count in text.split(' ') {
            match count.strip_suffix('+') {
                Some(least) => counts.and_from = least.parse().ok(),
                None => counts.these.extend(count.parse::<usize>().ok()),
            }
        }
        counts
    }

    fn contain(&self, count: usize) -> bool {
        self.these.contains(&count) || self.and_from.is_some_and(|least| count >= least)
    }
}

/// Functions of `pg_catalog` that return any number of rows.
const SET_RETURNING: [&str; 29] = [
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "pg_get_keywords",
    "pg_snapshot_xip",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "ts_debug",
    "ts_parse",
    "ts_stat",
    "ts_token_type",
    "txid_snapshot_xip",
    "unnest",
];

/// Aggregates of `pg_catalog`: without GROUP BY and OVER they give one row.
const AGGREGATES: [&str; 46] = [
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "rank",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

/// Functions of `pg_catalog` that take one argument of any type, and so a row.
/// Source: `pg_proc` of PostgreSQL 15; `any_value`, `max` and `min` are of 16 to 18.
const TAKING_A_ROW: [&str; 35] = [
    "any_value",
    "array_agg",
    "concat",
    "count",
    "cume_dist",
    "dense_rank",
    "first_value",
    "hash_record",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "mode",
    "num_nonnulls",
    "num_nulls",
    "percent_rank",
    "pg_collation_for",
    "pg_column_compression",
    "pg_column_size",
    "pg_typeof",
    "quote_literal",
    "quote_nullable",
    "rank",
    "record_out",
    "record_send",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

/// Whether a call of this name with so many arguments can only mean functions of `pg_catalog` that only compute.
pub(super) fn is_pure(name: &str, arguments: usize) -> bool {
    PURE.get(name).is_some_and(|counts| counts.contain(arguments))
}

/// Whether `pg_catalog` has functions of this name, all of which only compute.
pub(super) fn is_pure_in_every_form(name: &str) -> bool {
    PURE.contains_key(name) && !OTHER.contains(name)
}

/// Whether `pg_catalog` has a function of this name that does more than compute, as far as we know.
pub(super) fn is_impure(name: &str) -> bool {
    OTHER.contains(name) || (name.starts_with("pg_") && !PURE.contains_key(name))
}

/// Adds what is built in to the names that policies may use.
pub fn describe(known: &mut Known) {
    let names = PURE.keys().chain(OTHER.iter()).chain(&SYNTAX_FUNCTIONS);
    names.for_each(|name| known.add_built_in(name));
}

/// Whether `pg_catalog` has a function of this name.
pub(super) fn is_built_in(name: &str) -> bool {
    PURE.contains_key(name) || OTHER.contains(name)
}

/// Whether `pg_catalog` has a function of this name that can be called with a row alone.
pub(super) fn takes_a_row(name: &str) -> bool {
    TAKING_A_ROW.contains(&name)
}

pub(super) fn returns_a_set(name: &str) -> bool {
    SET_RETURNING.contains(&name)
}

/// The columns of a set-returning function of `pg_catalog`: none where it gives values without a name of their own; None
/// where that depends on its arguments or is not known.
/// Source: `pg_proc.proargnames`.
pub(super) fn columns(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "generate_series"
        | "generate_subscripts"
        | "json_object_keys"
        | "jsonb_object_keys"
        | "jsonb_path_query"
        | "jsonb_path_query_tz"
        | "regexp_matches"
        | "regexp_split_to_table"
        | "string_to_table"
        | "unnest" => Some(&[]),
        "json_array_elements" | "json_array_elements_text" | "jsonb_array_elements" | "jsonb_array_elements_text" => {
            Some(&["value"])
        }
        "json_each" | "json_each_text" | "jsonb_each" | "jsonb_each_text" => Some(&["key", "value"]),
        _ => None,
    }
}

/// Whether an aggregate of `pg_catalog` keeps every value it is given.
pub(super) fn collects(name: &str) -> bool {
    matches!(
        name,
        "array_agg"
            | "json_agg"
            | "json_object_agg"
            | "jsonb_agg"
            | "jsonb_object_agg"
            | "range_agg"
            | "string_agg"
            | "xmlagg"
    )
}

pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_beyond_computing_is_not_pure() {
        for name in [
            "pg_sleep",
            "pg_read_file",
            "set_config",
            "current_setting",
            "query_to_xml",
            "table_to_xml",
            "lo_import",
            "nextval",
            "setval",
            "pg_advisory_lock",
            "pg_terminate_backend",
            "ts_stat",
            "ts_rewrite",
            "pg_notify",
            "has_table_privilege",
            "to_regclass",
            "obj_description",
            "inet_server_addr",
            "txid_current",
            "lo_get",
            "pg_get_viewdef",
            "format_type",
            "oidvectortypes",
            // It gives a regtype, and what stands beside it in coalesce() or UNION is then read as one.
            "pg_typeof",
        ] {
            assert!((0..5).all(|count| !is_pure(name, count)) || name == "ts_rewrite", "{name}");
            assert!(!is_pure_in_every_form(name), "{name}");
            assert!(is_impure(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_pure_for_the_arguments_of_its_pure_forms() {
        for (name, counts) in [
            ("ts_rewrite", &[3][..]),
            ("lower", &[1]),
            ("count", &[0, 1]),
            ("concat", &[1, 2, 30]),
            ("make_interval", &[0, 3, 7]),
            ("percentile_cont", &[2]),
            ("rank", &[0, 1, 4]),
            ("random", &[0, 2]),
            ("date_trunc", &[2, 3]),
        ] {
            assert!(counts.iter().all(|count| is_pure(name, *count)), "{name}");
        }
        for (name, count) in [("ts_rewrite", 2), ("lower", 2), ("concat", 0), ("make_interval", 8), ("nothing", 0)] {
            assert!(!is_pure(name, count), "{name}");
        }
    }

    #[test]
    fn every_line_is_read_and_only_mixed_names_are_in_both_lists() {
        assert_eq!(PURE.len(), include_str!("pure_functions.txt").lines().count());
        assert!(PURE.values().all(|counts| !counts.these.is_empty() || counts.and_from.is_some()));
        let both: Vec<_> = PURE.keys().filter(|name| OTHER.contains(*name)).collect();
        assert_eq!(both, [&"ts_rewrite"]);
    }
}
