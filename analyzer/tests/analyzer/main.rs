//! Reads small traces that the tests write: synthetic rows, in the layout that the recorder uses.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod opening;
mod replaying;
mod reports;
mod sql;
mod support;
mod verifying;
