//! Mistakes in jobs and what the compiler says about them, recorded. `TRYBUILD=overwrite` records anew.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
