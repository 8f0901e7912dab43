//! What the server says.

use super::client;
use super::wire::{Stop, Wire};

/// From these revisions on a packet has a field more.
const TIME_ZONE: u64 = 54058;
const DISPLAY_NAME: u64 = 54372;
const VERSION_PATCH: u64 = 54401;
const WRITE_INFO: u64 = 54420;
const ELAPSED: u64 = 54460;
const PASSWORD_RULES: u64 = 54461;
const NONCE: u64 = 54462;
const TOTAL_BYTES: u64 = 54463;
const ROWS_BEFORE_AGGREGATION: u64 = 54469;
const CHUNKED_PACKETS: u64 = 54470;
const VERSIONED_PARALLEL_REPLICAS: u64 = 54471;
const SETTINGS: u64 = 54474;
const QUERY_PLAN: u64 = 54477;
const CLUSTER_FUNCTIONS: u64 = 54479;

const MAX_TEXT_BYTES: usize = 4096;

/// Reads the beginning of a hello behind its first byte: its revision.
pub(super) fn hello(wire: &mut Wire<'_>) -> Result<u64, Stop> {
    client::version(wire)
}

/// Reads the rest of a hello.
pub(super) fn hello_rest(wire: &mut Wire<'_>, revision: u64) -> Result<(), Stop> {
    if revision >= VERSIONED_PARALLEL_REPLICAS {
        wire.number_to(1000)?;
    }
    for since in [TIME_ZONE, DISPLAY_NAME] {
        if revision >= since {
            wire.text(MAX_TEXT_BYTES)?;
        }
    }
    if revision >= VERSION_PATCH {
        wire.number_to(100_000)?;
    }
    if revision >= CHUNKED_PACKETS {
        wire.text(32)?;
        wire.text(32)?;
    }
    if revision >= PASSWORD_RULES {
        for _ in 0..wire.number_to(256)? {
            wire.bytes(MAX_TEXT_BYTES)?;
            wire.bytes(MAX_TEXT_BYTES)?;
        }
    }
    if revision >= NONCE {
        wire.u64()?;
    }
    if revision >= SETTINGS {
        client::parameters(wire)?;
    }
    for since in [QUERY_PLAN, CLUSTER_FUNCTIONS] {
        if revision >= since {
            wire.number_to(10_000)?;
        }
    }
    Ok(())
}

/// Reads an exception behind its first byte up to its name: its code.
pub(super) fn exception(wire: &mut Wire<'_>) -> Result<i32, Stop> {
    let code = wire.i32()?;
    let name = wire.text(128)?;
    let is_one = (1..100_000).contains(&code) && name.ends_with(b"xception");
    if is_one { Ok(code) } else { Err(Stop::Bad) }
}

/// Reads how far a query is.
pub(super) fn progress(wire: &mut Wire<'_>, revision: u64) -> Result<(), Stop> {
    let fields =
        [TOTAL_BYTES, WRITE_INFO, WRITE_INFO, ELAPSED].into_iter().filter(|since| revision >= *since);
    for _ in 0..3 + fields.count() {
        wire.number()?;
    }
    Ok(())
}

/// Reads what a query took.
pub(super) fn profile(wire: &mut Wire<'_>, revision: u64) -> Result<(), Stop> {
    for _ in 0..3 {
        wire.number()?;
    }
    // The rows before a limit.
    wire.number_to(1)?;
    wire.number()?;
    wire.number_to(1)?;
    if revision >= ROWS_BEFORE_AGGREGATION {
        wire.number_to(1)?;
        wire.number()?;
    }
    Ok(())
}
