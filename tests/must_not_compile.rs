//! The properties that are types, not rules: what breaks them does not compile.
//!
//! Each fixture in `must_not_compile/` stands beside the compiler's answer. After a change of wording, run with
//! `TRYBUILD=overwrite` and read the difference: a fixture that fails for another reason proves nothing.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("must_not_compile/*.rs");
}
