//! The written documents are what the definitions say.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[test]
fn the_readme_of_the_schemas_is_not_stale() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/README.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == aftertrace_schemas::docs::markdown(), "stale; run: cargo xtask schema-docs");
}
