//! Workloads whose events are known to the last one, so that a recording of them can be checked by counting.
//!
//! In: a number of things to do. Out: those things done on this host (loopback and a directory of its own only), and
//! the time that they took. The binary `workload` runs them; the checks read the expected counts from here.

pub mod frame;
pub mod lifecycle;
pub mod storm;
