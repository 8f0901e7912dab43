//! End-to-end tests: the real binary records real workloads through the real kernel, and the trace is asked by SQL.
//!
//! Each recording is filtered to what the test itself starts (`record -- COMMAND`, or a control group that it
//! made). They need root and BPF: without, each prints why it is skipped; with `CI` set, it fails instead.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod capabilities;
mod cgroup;
mod command_line;
mod container;
mod crash;
mod dashboards;
mod docker;
mod ending;
mod faults;
mod files;
mod limits;
mod logs;
mod memory;
mod metrics;
mod nat;
mod processes;
mod prometheus;
mod protocols;
mod pushing;
mod reading;
mod replaying;
mod scope;
mod serve;
mod servers;
mod serving;
mod spans;
mod support;
mod tcp;
mod terminal;
mod tls;
mod workloads;
