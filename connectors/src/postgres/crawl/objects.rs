//! What a catalog holds beside relations: schemas, types, sequences, and how functions are declared.

use super::{Part, Reading, flag, number, oid, optional, text};
use crate::postgres::connection::Row;
use crate::{Check, CompositeColumn, FunctionDetails, Oids, Schema, Sequence, Type, TypeForm};

pub(super) const PARTS: &[Part] = &[
    Part { what: "schemas", text: SCHEMAS, limited: false, take: schema },
    Part { what: "types", text: TYPES, limited: true, take: type_of },
    Part { what: "labels", text: LABELS, limited: false, take: label },
    Part { what: "checks", text: CHECKS, limited: false, take: check },
    Part { what: "composites", text: COMPOSITES, limited: false, take: composite },
    Part { what: "sequences", text: SEQUENCES, limited: true, take: sequence },
    Part { what: "signatures", text: FUNCTIONS, limited: false, take: function },
];

const SCHEMAS: &str = "
SELECT n.nspname, pg_catalog.obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY n.nspname";

/// Types that somebody made: not those of a table's rows, of arrays or of multiranges, which come with another.
const TYPES: &str = "
SELECT t.oid, n.nspname, t.typname, t.typarray, t.typtype, pg_catalog.obj_description(t.oid, 'pg_type'), e.extname,
       pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typbasetype, t.typnotnull, t.typdefault,
       CASE WHEN t.typcollation <> 0 AND t.typcollation <> b.typcollation
         THEN pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(o.collname) END,
       pg_catalog.format_type(r.rngsubtype, NULL), r.rngsubtype
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_catalog.pg_collation o ON o.oid = t.typcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = o.collnamespace
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND t.typisdefined
  AND (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c'
    OR t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type a WHERE a.typarray = t.oid))
ORDER BY t.oid LIMIT $1::text::bigint";

const LABELS: &str = "
SELECT l.enumtypid, l.enumlabel FROM pg_catalog.pg_enum l ORDER BY l.enumtypid, l.enumsortorder";

const CHECKS: &str = "
SELECT k.contypid, k.conname, pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k
WHERE k.contypid <> 0 AND k.contype = 'c' ORDER BY k.contypid, k.oid";

const COMPOSITES: &str = "
SELECT c.reltype, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.reltype, a.attnum";

/// Sequences, and the column that each goes with: by `OWNED BY`, or as its identity.
const SEQUENCES: &str = "
SELECT c.oid, n.nspname, c.relname, pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin,
       s.seqmax, s.seqcache, s.seqcycle, tn.nspname, t.relname, a.attname, d.deptype = 'i',
       pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname LIMIT $1::text::bigint";

const FUNCTIONS: &str = "
SELECT p.oid, pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid), p.prokind, l.lanname,
       p.provolatile, p.proisstrict, d.objid IS NOT NULL, pg_catalog.obj_description(p.oid, 'pg_proc'),
       pg_catalog.array_to_string(p.proargtypes::oid[] || p.prorettype, ' ')
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')";

fn schema(reading: &mut Reading, row: &Row) -> Result<(), String> {
    reading.metadata.schemas.push(Schema { name: text(row, 0)?, comment: optional(row, 1) });
    Ok(())
}

fn type_of(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let own = oid(row, 0)?;
    let form = match row.text(4) {
        Some("e") => TypeForm::Enum { labels: Vec::new() },
        Some("c") => TypeForm::Composite { columns: Vec::new() },
        Some("d") => TypeForm::Domain {
            base: text(row, 7)?,
            base_oid: oid(row, 8)?,
            not_null: flag(row, 9),
            default: optional(row, 10),
            collation: optional(row, 11),
            checks: Vec::new(),
        },
        Some("r") => TypeForm::Range { of: text(row, 12)?, of_oid: oid(row, 13)? },
        _ => TypeForm::Base,
    };
    reading.types.insert(own, reading.metadata.types.len());
    reading.metadata.types.push(Type {
        schema: text(row, 1)?,
        name: text(row, 2)?,
        oids: Oids { relation: 0, row: own, array: number(row, 3).unwrap_or(0) },
        form,
        extension: optional(row, 6),
        comment: optional(row, 5),
    });
    Ok(())
}

fn label(reading: &mut Reading, row: &Row) -> Result<(), String> {
    if let Some(TypeForm::Enum { labels }) = reading.form(row)? {
        labels.push(text(row, 1)?);
    }
    Ok(())
}

fn check(reading: &mut Reading, row: &Row) -> Result<(), String> {
    if let Some(TypeForm::Domain { checks, .. }) = reading.form(row)? {
        checks.push(Check { name: text(row, 1)?, definition: text(row, 2)? });
    }
    Ok(())
}

fn composite(reading: &mut Reading, row: &Row) -> Result<(), String> {
    if let Some(TypeForm::Composite { columns }) = reading.form(row)? {
        columns.push(CompositeColumn { name: text(row, 1)?, type_name: text(row, 2)?, type_oid: oid(row, 3)? });
    }
    Ok(())
}

fn sequence(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let count = |column| number(row, column).ok_or_else(|| "a sequence counts with what is no number".to_owned());
    let (table, column) = (super::pair(row, 10), optional(row, 12));
    reading.metadata.sequences.push(Sequence {
        schema: text(row, 1)?,
        name: text(row, 2)?,
        oid: oid(row, 0)?,
        type_name: text(row, 3)?,
        start: count(4)?,
        increment: count(5)?,
        minimum: count(6)?,
        maximum: count(7)?,
        cache: count(8)?,
        cycles: flag(row, 9),
        owned_by: table.zip(column).map(|((schema, table), column)| (schema, table, column)),
        is_identity: flag(row, 13),
        comment: optional(row, 14),
    });
    Ok(())
}

fn function(reading: &mut Reading, row: &Row) -> Result<(), String> {
    let place = reading.functions.get(&oid(row, 0)?);
    let Some(function) = place.and_then(|place| reading.metadata.functions.get_mut(*place)) else { return Ok(()) };
    function.details = FunctionDetails {
        signature: text(row, 1)?,
        result: optional(row, 2),
        types: text(row, 9)?.split(' ').filter_map(|oid| oid.parse().ok()).collect(),
        word: match row.text(3) {
            Some("f") => Some("FUNCTION"),
            Some("p") => Some("PROCEDURE"),
            _ => None,
        },
        language: text(row, 4)?,
        volatility: match row.text(5) {
            Some("i") => "IMMUTABLE",
            Some("s") => "STABLE",
            _ => "VOLATILE",
        },
        strict: flag(row, 6),
        of_extension: flag(row, 7),
        comment: optional(row, 8),
    };
    Ok(())
}

impl Reading {
    /// The form of the type whose oid stands first.
    fn form(&mut self, row: &Row) -> Result<Option<&mut TypeForm>, String> {
        let place = self.types.get(&oid(row, 0)?);
        Ok(place.and_then(|place| self.metadata.types.get_mut(*place)).map(|of| &mut of.form))
    }
}
