//! What the registry makes of small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod connections;
mod containers;
mod findings;
mod limits;
mod listens;
mod metrics;
mod properties;
mod speed;
mod units;
mod usage;
