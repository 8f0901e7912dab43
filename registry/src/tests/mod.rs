//! What the registry makes of small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod connections;
mod containers;
mod disks;
mod findings;
mod limits;
mod listens;
mod metrics;
mod properties;
mod routes;
mod speed;
mod usage;
