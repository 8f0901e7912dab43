//! What the programs counted, and what they cost.

use std::os::fd::AsRawFd;

use aftertrace_bpf_programs::maps::ACCOUNTS;
use aya::maps::Map;

use super::{Kernel, probes, syscall};

/// The account of a program, or of a pair of them, on one CPU since it was attached. When no program runs,
/// `seen = filtered + submitted + dropped_ring_full + dropped_map_full + dropped_read_fault`, and `submitted` is the
/// number of its records that were in rings (or, for `scan` and `sweep`, in answers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerRow {
    /// Number of the account, as headers of records have it.
    pub account: u16,
    /// Name of the account.
    pub program: &'static str,
    /// CPU.
    pub cpu: u32,
    /// Events.
    pub seen: u64,
    /// Events without a record: out of the filter, or not of interest.
    pub filtered: u64,
    /// Records handed over.
    pub submitted: u64,
    /// Records lost since the ring was full.
    pub dropped_ring_full: u64,
    /// Records lost since a map was full.
    pub dropped_map_full: u64,
    /// Records lost since memory could not be read.
    pub dropped_read_fault: u64,
}

/// What a program cost since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramCost {
    /// Category and name of its tracepoint; of a uprobe the program's own name.
    pub program: &'static str,
    /// Times it ran, while measuring was on.
    pub run_count: u64,
    /// Time that took, nanoseconds.
    pub run_time_ns: u64,
    /// Times that the kernel skipped it, since it ran on that CPU already; 0 before kernel 5.12.
    pub missed: u64,
}

impl Kernel {
    /// The ledger: a row for each account and CPU that saw anything.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        let mut rows = Vec::new();
        for (program, account) in ACCOUNTS.into_iter().zip(0u16..) {
            let Ok(values) = self.ledger.get(&u32::from(account), 0) else { continue };
            for (value, cpu) in values.iter().zip(0u32..) {
                let [seen, filtered, submitted, dropped_ring_full, dropped_map_full, dropped_read_fault] =
                    *value;
                if seen > 0 {
                    rows.push(LedgerRow {
                        account,
                        program,
                        cpu,
                        seen,
                        filtered,
                        submitted,
                        dropped_ring_full,
                        dropped_map_full,
                        dropped_read_fault,
                    });
                }
            }
        }
        rows
    }

    /// What each program cost. Run count and time are 0 when measuring is off.
    pub fn program_costs(&self) -> Vec<ProgramCost> {
        probes::all()
            .filter_map(|(program, function)| {
                let fd = self.ebpf.program(function)?.fd().ok()?;
                let info = syscall::program_info(std::os::fd::AsFd::as_fd(fd)).ok()?;
                Some(ProgramCost {
                    program,
                    run_count: info.run_count,
                    run_time_ns: info.run_time_ns,
                    missed: info.missed,
                })
            })
            .collect()
    }
}

/// Memory of a map as the kernel tells it, bytes.
pub(super) fn map_bytes(map: &Map) -> u64 {
    let data = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => data,
        _ => return 0,
    };
    let path = format!("/proc/self/fdinfo/{}", std::os::fd::AsFd::as_fd(data.fd()).as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok()).unwrap_or(0)
}
