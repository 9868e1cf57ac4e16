//! The relations of `pg_catalog` and `information_schema`: which there are, and which nobody but a superuser reads.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::functions::STANDARD;

/// `relations.txt`: those of `pg_catalog` in versions 15 to 18; `refused` stands behind those that hold secrets, data or
/// files, which PostgreSQL keeps from people, too, and behind those that tell what a server and other people do: of a
/// shadow they would tell nothing that is true of the source.
static CATALOG: LazyLock<HashMap<&'static str, bool>> = LazyLock::new(|| {
    let lines = include_str!("relations.txt").lines();
    lines.map(|line| line.split_once(' ').map_or((line, true), |(name, _)| (name, false))).collect()
});

/// `information_schema.txt`: the views of that schema that name a database, and their columns; and these.
static OTHERS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let named = include_str!("information_schema.txt").lines().filter_map(|line| line.split_once(' '));
    named.map(|(name, _)| name).chain(ROLES).chain(OF_SQL).collect()
});

/// Views of `information_schema` that tell who may act as whom, which nobody is told.
const ROLES: [&str; 3] = ["administrable_role_authorizations", "applicable_roles", "enabled_roles"];

/// Views of `information_schema` that tell of SQL and not of a database.
const OF_SQL: [&str; 4] = ["sql_features", "sql_implementation_info", "sql_parts", "sql_sizing"];

/// Columns of the catalog that say how other servers are reached.
const PRIVATE_COLUMNS: [&str; 3] = ["fdwoptions", "srvoptions", "umoptions"];

/// Columns of the catalog that say who was granted what.
const PRIVILEGE_COLUMNS: [&str; 14] = [
    "attacl",
    "datacl",
    "defaclacl",
    "fdwacl",
    "initprivs",
    "lanacl",
    "lomacl",
    "nspacl",
    "paracl",
    "proacl",
    "relacl",
    "spcacl",
    "srvacl",
    "typacl",
];

/// Whether this is a relation of the server's own.
pub(super) fn is_known(schema: &str, name: &str) -> bool {
    match schema {
        "pg_catalog" => CATALOG.contains_key(name),
        STANDARD => OTHERS.contains(name),
        _ => false,
    }
}

/// Whether people may not read it.
pub(super) fn is_refused(schema: &str, name: &str) -> bool {
    match schema {
        "pg_catalog" => CATALOG.get(name) == Some(&false),
        _ => ROLES.contains(&name),
    }
}

/// Whether people may not ask for a column of this name in the catalog.
pub(super) fn is_private(column: &str) -> bool {
    PRIVATE_COLUMNS.contains(&column)
}

/// Whether a column of this name in the catalog tells of privileges.
pub(super) fn is_of_privileges(column: &str) -> bool {
    PRIVILEGE_COLUMNS.contains(&column)
}
