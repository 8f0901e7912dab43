//! How long processes waited for a CPU and for block devices, from the kernel's task statistics.
//!
//! In: the processes that are followed, the host's generic netlink family TASKSTATS. Out: `TaskDelays` rows of those
//! that waited meanwhile. The kernel counts block-I/O delays only while `kernel.task_delayacct` is on; [`switch`] can
//! turn it on.

pub mod switch;
mod taskstats;

use std::time::{Duration, Instant};

use aftertrace_schemas::tables::{ProbeState, ProbeStatus, ProcessSnapshot, TaskDelays};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Roots;
use super::source::{Rows, Source, Subjects, Unavailable};
use crate::capabilities::CapabilitySet;
use taskstats::{Delays, TaskStats};

/// A round may take so long; who was not asked is asked first in the next. At 5 us a process with few threads (measured),
/// that is ten thousand.
const BUDGET: Duration = Duration::from_millis(50);
/// How often the clock is looked at.
const PROCESSES_A_LOOK: usize = 64;
/// Parent of all kernel threads, which belong to no container.
const KTHREADD: u32 = 2;
/// Name in probe rows of the part that can be off by itself.
const BLOCK_IO_PROBE: &str = "delays_block_io";

/// Names a process.
type ProcessKey = (u32, u64);

fn key(process: &ProcessSnapshot) -> ProcessKey {
    (process.pid, process.process_start_ns)
}

/// Reads delays.
#[derive(Debug)]
pub struct DelaySource {
    roots: Roots,
    statistics: Option<TaskStats>,
    known: FxHashMap<ProcessKey, TaskDelays>,
    /// The last one of the round before, when that did not reach the end.
    asked_last: Option<ProcessKey>,
    block_io: Option<ProbeStatus>,
}

impl DelaySource {
    /// Asks the kernel of `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, statistics: None, known: FxHashMap::default(), asked_last: None, block_io: None }
    }

    fn open(&mut self) -> Result<TaskStats, Unavailable> {
        match self.statistics.take() {
            Some(statistics) => Ok(statistics),
            None => TaskStats::open(&self.roots),
        }
    }

    /// Whether block-I/O delays are counted, as a row when that is news.
    fn look_at_switch(&mut self, rows: &mut Rows) -> bool {
        let on = switch::is_on(&self.roots);
        let reason =
            "kernel.task_delayacct is 0, the default since 5.14; --set-sysctls turns it on while recording";
        let status = ProbeStatus {
            probe: BLOCK_IO_PROBE.to_owned(),
            state: if on { ProbeState::Active } else { ProbeState::Off },
            reason: (!on).then(|| reason.to_owned()),
        };
        if self.block_io.as_ref() != Some(&status) {
            rows.push(status.clone());
            self.block_io = Some(status);
        }
        on
    }

    fn learn(&mut self, process: &ProcessSnapshot, delays: Delays, block_io: bool, rows: &mut Rows) {
        let row = TaskDelays {
            pid: process.pid,
            process_start_ns: process.process_start_ns,
            cpu_delay_ns: delays.cpu_ns,
            block_io_delay_ns: block_io.then_some(delays.block_io_ns),
        };
        if self.known.get(&key(process)) != Some(&row) {
            self.known.insert(key(process), row.clone());
            rows.push(row);
        }
    }
}

impl Source for DelaySource {
    fn name(&self) -> &'static str {
        "delays"
    }

    fn capabilities(&self) -> CapabilitySet {
        self.roots.way_to_host() | CapabilitySet::NET_ADMIN
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let mut statistics = self.open()?;
        let block_io = self.look_at_switch(rows);
        let mut processes: Vec<&ProcessSnapshot> = subjects
            .processes
            .iter()
            .filter(|process| process.pid != KTHREADD && process.parent_pid != KTHREADD)
            .collect();
        processes.sort_unstable_by_key(|process| key(process));
        let alive: FxHashSet<ProcessKey> = processes.iter().map(|process| key(process)).collect();
        self.known.retain(|key, _| alive.contains(key));

        let first = self
            .asked_last
            .take()
            .map_or(0, |last| processes.partition_point(|process| key(process) <= last));
        let (before, after) = processes.split_at_checked(first).unwrap_or((&[], &processes));
        let until = Instant::now() + BUDGET;
        for (index, process) in after.iter().chain(before).enumerate() {
            if index % PROCESSES_A_LOOK == 0 && index > 0 && Instant::now() > until {
                break;
            }
            self.asked_last = Some(key(process));
            // One that is gone is skipped.
            if let Some(delays) = statistics.process(process.pid)? {
                self.learn(process, delays, block_io, rows);
            }
        }
        self.statistics = Some(statistics);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
