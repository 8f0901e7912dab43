//! What the registry makes of small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod cardinality;
mod connections;
mod containers;
mod disks;
mod filters;
mod findings;
mod limits;
mod listens;
mod logs;
mod metrics;
mod programs;
mod properties;
mod recording;
mod requests;
mod routes;
mod speed;
mod units;
mod usage;
