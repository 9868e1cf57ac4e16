//! What clients that look at a catalog want to know of relations beside the core: numbers, defaults, keys, indexes.

use super::{Part, Reading, flag, number, oid, optional, pair, text};
use crate::postgres::connection::Row;
use crate::{Constraint, ConstraintKind, Filled, Index, Oids, Reference};

pub(super) const PARTS: &[Part] = &[
    Part { what: "tables", text: RELATIONS, limited: false, take: relation },
    Part { what: "defaults", text: COLUMNS, limited: false, take: column },
    Part { what: "parents", text: PARENTS, limited: false, take: parent },
    Part { what: "constraints", text: CONSTRAINTS, limited: false, take: constraint },
    Part { what: "indexes", text: INDEXES, limited: false, take: index },
];

const RELATIONS: &str = "
SELECT c.oid, c.reltype, t.typarray, c.relpersistence = 'u',
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
       pg_catalog.pg_get_expr(c.relpartbound, c.oid), pg_catalog.array_to_string(c.reloptions, E'\\n')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

const COLUMNS: &str = "
SELECT a.attrelid, a.attname, a.attnum, a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity,
       a.attgenerated, NOT a.attislocal,
       CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
         THEN pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(o.collname) END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = o.collnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

const PARENTS: &str = "
SELECT i.inhrelid, n.nspname, c.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhparent JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') ORDER BY i.inhrelid, i.inhseqno";

/// Those that a table has from its parent are left out where the parent brings them: checks, and references of
/// partitions. A column of number 0 is an expression or the whole row, and has no name.
const CONSTRAINTS: &str = "
SELECT k.conrelid, k.oid, k.conname, k.contype, pg_catalog.pg_get_constraintdef(k.oid),
       pg_catalog.obj_description(k.oid, 'pg_constraint'), fn.nspname, fc.relname, pn.nspname, pc.relname,
       u.own, a.attname, b.attname
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
LEFT JOIN pg_catalog.pg_inherits h ON k.contype IN ('p', 'u', 'x') AND h.inhrelid = k.conindid
LEFT JOIN pg_catalog.pg_class pc ON pc.oid = h.inhparent LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
LEFT JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) WITH ORDINALITY AS u (own, other, place) ON true
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own
LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.other
WHERE k.conrelid <> 0 AND k.contype IN ('p', 'u', 'f', 'c', 'x')
  AND (k.contype <> 'c' OR k.conislocal) AND (k.contype <> 'f' OR k.conparentid = 0)
ORDER BY k.conrelid, k.oid, u.place";

const INDEXES: &str = "
SELECT i.indrelid, i.indexrelid, c.relname, pg_catalog.pg_get_indexdef(i.indexrelid),
       i.indpred IS NULL AND i.indexprs IS NULL, pg_catalog.obj_description(i.indexrelid, 'pg_class'),
       pn.nspname, pc.relname, a.attname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = i.indexrelid
LEFT JOIN pg_catalog.pg_class pc ON pc.oid = h.inhparent LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
LEFT JOIN LATERAL (
  SELECT a.attname FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = i.indrelid AND (a.attnum = ANY (i.indkey::int2[]) OR a.attnum IN (
    SELECT d.refobjsubid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid))
) a ON true
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, i.indexrelid";

fn relation(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let own = oid(row, 0)?;
    reading.on_relation(row, |relation| {
        let details = &mut relation.details;
        details.oids = Oids { relation: own, row: oid(row, 1)?, array: number(row, 2).unwrap_or(0) };
        details.unlogged = flag(row, 3);
        details.partition_key = optional(row, 4);
        details.partition_bound = optional(row, 5);
        details.options = row.text(6).into_iter().flat_map(str::lines).map(str::to_owned).collect();
        Ok(())
    })
}

fn column(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        let name = text(row, 1)?;
        let Some(column) = relation.columns.iter_mut().find(|column| column.name == name) else { return Ok(()) };
        column.number = number(row, 2).unwrap_or(0);
        column.not_null = flag(row, 3);
        column.default = optional(row, 4);
        column.filled = match (row.text(5), row.text(6)) {
            (Some("a"), _) => Filled::IdentityAlways,
            (Some("d"), _) => Filled::IdentityByDefault,
            (_, Some("") | None) => Filled::ByDefault,
            (_, Some(_)) => Filled::Generated,
        };
        column.inherited = flag(row, 7);
        column.collation = optional(row, 8);
        Ok(())
    })
}

fn parent(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.on_relation(row, |relation| {
        relation.details.parents.extend(pair(row, 1));
        Ok(())
    })
}

fn constraint(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let is_new = reading.begins(oid(row, 1)?);
    reading.on_relation(row, |relation| {
        let constraints = &mut relation.details.constraints;
        if is_new {
            constraints.push(Constraint {
                name: text(row, 2)?,
                kind: match row.text(3) {
                    Some("p") => ConstraintKind::PrimaryKey,
                    Some("u") => ConstraintKind::Unique,
                    Some("f") => ConstraintKind::ForeignKey,
                    Some("x") => ConstraintKind::Exclusion,
                    _ => ConstraintKind::Check,
                },
                definition: text(row, 4)?,
                columns: Some(Vec::new()),
                comment: optional(row, 5),
                refers_to: pair(row, 6).map(|(schema, table)| Reference { schema, table, columns: Vec::new() }),
                part_of: pair(row, 8),
            });
        }
        let Some(constraint) = constraints.last_mut() else { return Ok(()) };
        match (row.text(10), row.text(11)) {
            (_, Some(name)) => constraint.columns.iter_mut().for_each(|columns| columns.push(name.to_owned())),
            (Some(_), None) => constraint.columns = None,
            (None, None) => {}
        }
        if let Some(reference) = &mut constraint.refers_to {
            reference.columns.extend(optional(row, 12));
        }
        Ok(())
    })
}

fn index(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let is_new = reading.begins(oid(row, 1)?);
    reading.on_relation(row, |relation| {
        let indexes = &mut relation.details.indexes;
        if is_new {
            indexes.push(Index {
                name: text(row, 2)?,
                definition: text(row, 3)?,
                is_plain: flag(row, 4),
                comment: optional(row, 5),
                part_of: pair(row, 6),
                columns: Vec::new(),
            });
        }
        if let Some(index) = indexes.last_mut() {
            index.columns.extend(optional(row, 8));
        }
        Ok(())
    })
}
