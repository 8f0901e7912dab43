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
mod rust;
