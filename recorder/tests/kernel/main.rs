//! The eBPF programs against the running kernel: known workloads, exact counts. Needs root; without it the tests say
//! so and pass, except where `CI` is set. Each test records only its own process and descendants, one test at a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![allow(unsafe_code, reason = "workloads fork and kill")]

mod cgroups;
mod conservation;
mod data;
mod files;
mod processes;
mod recording;
mod tcp;
