//! Which types a client may declare for its parameters.
//!
//! Separate because it is a way into a statement that its text does not show: a declared type is a cast. It is held to
//! what a cast is held to (`statement::types`): a domain or a type of the warehouse's own runs code on its way in, and
//! `regclass` and its kin tell what exists.

use super::Error;

/// The types that a cast may name, and arrays of them, by their oids, which are the same in every PostgreSQL.
/// Source: <https://github.com/postgres/postgres/blob/REL_17_STABLE/src/include/catalog/pg_type.dat>.
const BUILT_IN: [u32; 125] = [
    16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 28, 29, 30, 114, 142, 143, 199, 271, 600, 601, 602, 603, 604, 628, 629,
    650, 651, 700, 701, 705, 718, 719, 774, 775, 790, 791, 829, 869, 1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009,
    1010, 1011, 1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019, 1020, 1021, 1022, 1027, 1028, 1040, 1041, 1042, 1043,
    1082, 1083, 1114, 1115, 1182, 1183, 1184, 1185, 1186, 1187, 1231, 1266, 1270, 1560, 1561, 1562, 1563, 1700, 2949,
    2950, 2951, 2970, 3220, 3221, 3614, 3615, 3643, 3645, 3802, 3807, 3904, 3905, 3906, 3907, 3908, 3909, 3910, 3911,
    3912, 3913, 3926, 3927, 4072, 4073, 4451, 4532, 4533, 4534, 4535, 4536, 5038, 5039, 5069, 6150, 6151, 6152, 6153,
    6155, 6157,
];

/// Refuses a type that is not built in; 0 leaves the choice to the server.
pub(super) fn check(types: &[u32]) -> Result<(), Error> {
    let foreign = types.iter().enumerate().find(|(_, oid)| **oid != 0 && BUILT_IN.binary_search(oid).is_err());
    let Some((place, oid)) = foreign else { return Ok(()) };
    let message =
        format!("parameter ${} is declared with type {oid}, which is not one the gateway passes on", place + 1);
    Err(Error::new("0A000", message).hint("Leave its type open (0), or declare a built-in one, such as text (25)."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_built_in_types_that_merely_read_their_text_are_taken() {
        for types in [&[][..], &[0], &[23, 25, 1043], &[1007, 3802, 705]] {
            assert_eq!(check(types), Ok(()), "{types:?}");
        }
        let (regclass, regtype, regrole, regclasses, record, cstring, of_a_user) =
            (2205, 2206, 4096, 2210, 2249, 2275, 16_400);
        for oid in [regclass, regtype, regrole, regclasses, record, cstring, of_a_user] {
            let refused = check(&[23, oid]).unwrap_err();
            assert!(refused.message.starts_with("parameter $2"), "{refused:?}");
        }
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(BUILT_IN.is_sorted());
    }
}
