//! Probe points of real programs and libraries, compared with what binutils say of the same functions.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod binutils;
mod build;
mod go;
mod openssl;
mod probes;
mod processes;
mod rust;

/// Whether a test that needs root cannot run. Under CI that is a failure.
fn skipped() -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test as root");
    println!("skipped: not root");
    true
}
