//! Collects observations on a Linux host and writes them as a trace.
//!
//! In: kernel events from `kernel`, snapshots from `sources`. Out: one ordered stream of observations, which
//! `trace` writes to disk. [`record::record`] is the whole job; what the observations mean is not known here.

pub mod capabilities;
pub mod command;
pub mod config;
pub mod kernel;
pub mod live_state;
mod memory;
pub mod record;
pub mod sequencer;
pub mod serve;
pub mod sources;
pub mod tls;
pub mod trace;
