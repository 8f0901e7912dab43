//! What a container waited for: pressure as its control groups tell it, delays as its processes do.

use aftertrace_schemas::tables::CgroupStats;

use super::group_counters::GroupCounters;
use crate::metrics::Collector;
use crate::metrics::definitions::{self, Definition};

/// What tasks wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Cpu,
    Memory,
    Io,
}

impl Resource {
    fn definition(self) -> &'static Definition {
        match self {
            Self::Cpu => &definitions::CPU_PRESSURE,
            Self::Memory => &definitions::MEMORY_PRESSURE,
            Self::Io => &definitions::IO_PRESSURE,
        }
    }
}

/// How many of the tasks wait: some of them, or all at once.
type Kind = &'static str;

/// How long processes waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delays {
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) block_io_ns: Option<u64>,
}

fn growth(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    now.map(|now| now.saturating_sub(before.unwrap_or(0)))
}

fn sum(total: Option<u64>, more: Option<u64>) -> Option<u64> {
    match (total, more) {
        (Some(total), Some(more)) => Some(total.saturating_add(more)),
        (total, more) => total.or(more),
    }
}

impl Delays {
    /// Takes the figures of a process's life so far. Returns by how much they grew.
    pub(crate) fn advance(&mut self, now: Self) -> Self {
        let growth = Self {
            cpu_ns: growth(now.cpu_ns, self.cpu_ns),
            block_io_ns: growth(now.block_io_ns, self.block_io_ns),
        };
        // While the kernel does not count, what it counted before stays.
        self.cpu_ns = self.cpu_ns.max(now.cpu_ns);
        self.block_io_ns = self.block_io_ns.max(now.block_io_ns);
        growth
    }

    fn add(&mut self, more: Self) {
        self.cpu_ns = sum(self.cpu_ns, more.cpu_ns);
        self.block_io_ns = sum(self.block_io_ns, more.block_io_ns);
    }
}

/// What a container waited for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pressure: GroupCounters<(Resource, Kind)>,
    /// Of its processes, those that ended included.
    delays: Delays,
}

impl Waiting {
    /// For control groups that [`super::usage::Usage`] has room for.
    pub(crate) fn update(&mut self, row: &CgroupStats) {
        let values = [
            ((Resource::Cpu, "some"), row.cpu_pressure_some_ns),
            ((Resource::Cpu, "full"), row.cpu_pressure_full_ns),
            ((Resource::Memory, "some"), row.memory_pressure_some_ns),
            ((Resource::Memory, "full"), row.memory_pressure_full_ns),
            ((Resource::Io, "some"), row.io_pressure_some_ns),
            ((Resource::Io, "full"), row.io_pressure_full_ns),
        ];
        for (key, value) in values.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            self.pressure.update(&row.cgroup, key, value);
        }
    }

    pub(crate) fn delayed(&mut self, growth: Delays) {
        self.delays.add(growth);
    }

    pub(crate) fn created(&mut self, cgroup: &str) {
        self.pressure.created(cgroup);
    }

    pub(crate) fn remove(&mut self, cgroup: &str) {
        self.pressure.remove(cgroup);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.pressure.merge(other.pressure);
        self.delays.add(other.delays);
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        for ((resource, kind), waited_ns) in self.pressure.totals() {
            collector.add(resource.definition(), [("kind", kind.into())], waited_ns as f64 / 1e9);
        }
        let delays = [
            (&definitions::CPU_DELAY, self.delays.cpu_ns),
            (&definitions::DISK_DELAY, self.delays.block_io_ns),
        ];
        for (definition, waited_ns) in delays {
            if let Some(waited_ns) = waited_ns {
                collector.add(definition, [], waited_ns as f64 / 1e9);
            }
        }
    }
}
