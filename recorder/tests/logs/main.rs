//! Log files, the journal and a real Docker daemon as `sources::logs` reads them: exact counts under rotation, floods
//! and truncation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod docker;
mod files;
mod flood;
mod journal;
mod support;
