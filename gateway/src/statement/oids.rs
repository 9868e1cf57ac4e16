//! Built-in types by their oids, which are the same in every PostgreSQL.
//!
//! Separate because only what declares a parameter's type needs numbers: SQL's PREPARE names types, and the protocol
//! numbers them.
//! Source: <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/catalog/pg_type.dat>.

use super::tree::Type;

/// The oid of a type; none for those that a parameter cannot have.
pub(super) fn oid(of: &Type) -> Option<u32> {
    let place = OIDS.binary_search_by(|(name, _, _)| (*name).cmp(&of.name)).ok()?;
    let (_, itself, array) = OIDS.get(place)?;
    Some(if of.dimensions == 0 { *itself } else { *array })
}

/// A type's name in `pg_catalog`, its oid, and its array's.
const OIDS: [(&str, u32, u32); 62] = [
    ("bit", 1560, 1561),
    ("bool", 16, 1000),
    ("box", 603, 1020),
    ("bpchar", 1042, 1014),
    ("bytea", 17, 1001),
    ("char", 18, 1002),
    ("cid", 29, 1012),
    ("cidr", 650, 651),
    ("circle", 718, 719),
    ("date", 1082, 1182),
    ("datemultirange", 4535, 6155),
    ("daterange", 3912, 3913),
    ("float4", 700, 1021),
    ("float8", 701, 1022),
    ("inet", 869, 1041),
    ("int2", 21, 1005),
    ("int2vector", 22, 1006),
    ("int4", 23, 1007),
    ("int4multirange", 4451, 6150),
    ("int4range", 3904, 3905),
    ("int8", 20, 1016),
    ("int8multirange", 4536, 6157),
    ("int8range", 3926, 3927),
    ("interval", 1186, 1187),
    ("json", 114, 199),
    ("jsonb", 3802, 3807),
    ("jsonpath", 4072, 4073),
    ("line", 628, 629),
    ("lseg", 601, 1018),
    ("macaddr", 829, 1040),
    ("macaddr8", 774, 775),
    ("money", 790, 791),
    ("name", 19, 1003),
    ("numeric", 1700, 1231),
    ("nummultirange", 4532, 6151),
    ("numrange", 3906, 3907),
    ("oid", 26, 1028),
    ("oidvector", 30, 1013),
    ("path", 602, 1019),
    ("pg_lsn", 3220, 3221),
    ("pg_snapshot", 5038, 5039),
    ("point", 600, 1017),
    ("polygon", 604, 1027),
    ("text", 25, 1009),
    ("tid", 27, 1010),
    ("time", 1083, 1183),
    ("timestamp", 1114, 1115),
    ("timestamptz", 1184, 1185),
    ("timetz", 1266, 1270),
    ("tsmultirange", 4533, 6152),
    ("tsquery", 3615, 3645),
    ("tsrange", 3908, 3909),
    ("tstzmultirange", 4534, 6153),
    ("tstzrange", 3910, 3911),
    ("tsvector", 3614, 3643),
    ("txid_snapshot", 2970, 2949),
    ("uuid", 2950, 2951),
    ("varbit", 1562, 1563),
    ("varchar", 1043, 1015),
    ("xid", 28, 1011),
    ("xid8", 5069, 271),
    ("xml", 142, 143),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(OIDS.is_sorted_by_key(|(name, _, _)| *name));
        let of = |name: &str, dimensions| oid(&Type { name: name.to_owned(), modifiers: Vec::new(), dimensions });
        assert_eq!((of("int4", 0), of("int4", 2), of("record", 0)), (Some(23), Some(1007), None));
    }
}
