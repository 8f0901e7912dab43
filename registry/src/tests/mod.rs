//! What the registry makes of small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod cardinality;
mod connections;
mod containers;
mod filters;
mod findings;
mod limits;
mod listens;
mod metrics;
mod properties;
mod recording;
mod speed;
mod usage;
