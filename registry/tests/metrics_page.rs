//! `docs/metrics.md` says what the definitions say.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads and, with UPDATE_SHAPE=1, writes a file of the repository"
)]

use std::path::Path;

use aftertrace_registry::metrics::reference;

#[test]
fn the_page_of_metrics_says_what_their_definitions_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let now = reference::markdown();
    if std::env::var_os("UPDATE_SHAPE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(page, now, "run the test with UPDATE_SHAPE=1 to write the page anew");
}
