//! What rules know of relations and functions: the core of a crawl, without which there is none.

use super::{Part, Reading, flag, number, oid, text};
use crate::postgres::connection::Row;
use crate::{Column, Function, Relation, RelationKind};

pub(super) const PARTS: &[Part] = &[
    Part { what: "relations", text: RELATIONS, limited: true, take: relation },
    Part { what: "columns", text: COLUMNS, limited: false, take: column },
    Part { what: "dependencies", text: BUILT_ON, limited: false, take: built_on },
    Part { what: "keys", text: UNIQUE_KEYS, limited: false, take: unique_key },
    Part { what: "views", text: DEFINITIONS, limited: false, take: definition },
    Part { what: "calls", text: CALLS, limited: false, take: call },
    Part { what: "functions", text: FUNCTIONS, limited: true, take: function },
];

/// Relations that people may name: tables, views, materialised views, partitioned and foreign tables, outside the
/// server's own schemas. Everything is qualified; the parameter is one more than the most that are taken.
const RELATIONS: &str = "
SELECT c.oid, n.nspname, c.relname, c.relkind, pg_catalog.obj_description(c.oid, 'pg_class'),
       CASE WHEN c.reltuples > 0 OR c.relpages > 0 THEN GREATEST(c.reltuples, 0) END,
       CASE WHEN c.relpages > 0 THEN c.relpages::float8 * pg_catalog.current_setting('block_size')::float8 END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname LIMIT $1::text::bigint";

const COLUMNS: &str = "
SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid,
       pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY a.attrelid, a.attnum";

/// What a view reads (its SELECT rule depends on it) and what a table inherits from or is a partition of.
const BUILT_ON: &str = "
SELECT DISTINCT r.ev_class, n.nspname, c.relname
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_type = '1'
UNION
SELECT i.inhrelid, n.nspname, c.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhparent JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f')";

/// Keys that hold at every moment and for every row: no predicate, no expression, checked at once, and not on a table
/// whose children (by inheritance, not partitioning) could hold the same value again.
const UNIQUE_KEYS: &str = "
SELECT i.indrelid, i.indexrelid, a.attname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (c.relkind = 'p' OR NOT c.relhassubclass) AND k.place <= i.indnkeyatts
ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid, k.place";

/// What views are defined as. Read with an empty search_path, so that every name in it is qualified.
const DEFINITIONS: &str = "
SELECT c.oid, d.definition
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_viewdef(c.oid) AS definition) d
WHERE c.relkind IN ('v', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND pg_catalog.octet_length(d.definition) <= 1000000";

/// Functions that views call: named in them, behind their operators, or in the checks of the domains they cast to. Those
/// that came with the server are not recorded as dependencies.
const CALLS: &str = "
WITH RECURSIVE used (view, class, object) AS (
  SELECT r.ev_class, d.refclassid, d.refobjid
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
  WHERE r.ev_type = '1' AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
    'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass)
  UNION
  SELECT u.view, o.class, o.object
  FROM used u CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d WHERE d.classid = u.class AND d.objid = u.object
      AND (u.class IN ('pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass)
        OR u.class = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refclassid = u.class)
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid FROM pg_catalog.pg_constraint k
    WHERE u.class = 'pg_catalog.pg_type'::pg_catalog.regclass AND k.contypid = u.object
  ) o (class, object)
)
SELECT DISTINCT u.view, n.nspname, p.proname
FROM used u JOIN pg_catalog.pg_proc p ON u.class = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = u.object
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
ORDER BY u.view, n.nspname, p.proname";

const FUNCTIONS: &str = "
SELECT p.oid, n.nspname, p.proname, pg_catalog.format_type(t.type, NULL), p.pronargdefaults, p.provariadic <> 0
FROM (SELECT p.* FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY p.oid LIMIT $1::text::bigint) p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN LATERAL pg_catalog.unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, place) ON true
ORDER BY p.oid, t.place";

fn relation(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let kind = match text(row, 3)?.as_str() {
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        _ => RelationKind::Table,
    };
    reading.relations.insert(oid(row, 0)?, reading.metadata.relations.len());
    reading.metadata.relations.push(Relation {
        schema: text(row, 1)?,
        name: text(row, 2)?,
        kind,
        comment: row.text(4).map(str::to_owned),
        rows: number(row, 5),
        bytes: number(row, 6),
        ..Relation::default()
    });
    Ok(())
}

fn column(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        relation.columns.push(Column {
            name: text(row, 1)?,
            type_name: text(row, 2)?,
            type_oid: oid(row, 3)?,
            comment: row.text(4).map(str::to_owned),
            ..Column::default()
        });
        Ok(())
    })
}

fn built_on(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        relation.built_on.push((text(row, 1)?, text(row, 2)?));
        Ok(())
    })
}

fn unique_key(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let is_new = reading.begins(oid(row, 1)?);
    reading.on_relation(row, |relation| {
        let name = text(row, 2)?;
        match relation.unique_keys.last_mut() {
            Some(key) if !is_new => key.push(name),
            _ => relation.unique_keys.push(vec![name]),
        }
        Ok(())
    })
}

fn definition(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        relation.definition = row.text(1).map(str::to_owned);
        Ok(())
    })
}

fn call(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        relation.calls.push((text(row, 1)?, text(row, 2)?));
        Ok(())
    })
}

fn function(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let function = oid(row, 0)?;
    if reading.begins(function) {
        reading.functions.insert(function, reading.metadata.functions.len());
        reading.metadata.functions.push(Function {
            schema: text(row, 1)?,
            name: text(row, 2)?,
            defaults: text(row, 4)?.parse().map_err(|_| "a number of defaults is no number".to_owned())?,
            variadic: flag(row, 5),
            ..Function::default()
        });
    }
    if let (Some(function), Some(argument)) = (reading.metadata.functions.last_mut(), row.text(3)) {
        function.arguments.push(argument.to_owned());
    }
    Ok(())
}
