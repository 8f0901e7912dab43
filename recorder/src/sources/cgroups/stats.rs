//! CPU, memory and pressure of a control group.

use std::path::Path;

use aftertrace_schemas::tables::CgroupStats;

use super::super::file::FileReader;
use super::super::source::{Rows, Source, Subjects, Unavailable};
use super::super::text::{fields, keyed_number, lines, number};
use super::{FILE_LIMIT_BYTES, Hierarchies};
use crate::capabilities::CapabilitySet;

/// A v1 limit above this is the kernel's way to say none.
const V1_NO_LIMIT_BYTES: u64 = 1 << 62;
const NANOS_PER_MICRO: u64 = 1_000;

/// Reads control groups.
#[derive(Debug, Default)]
pub struct CgroupStatsSource {
    hierarchies: Hierarchies,
    reader: FileReader,
}

impl CgroupStatsSource {
    /// Reads groups of these hierarchies.
    pub fn new(hierarchies: Hierarchies) -> Self {
        Self { hierarchies, reader: FileReader::default() }
    }

    /// What the group `path` uses; `None` when it is gone or nothing of it is readable.
    pub fn read(&mut self, path: &str) -> Option<CgroupStats> {
        let v2 = self.hierarchies.v2().and_then(|hierarchy| hierarchy.directory_of(path));
        let v1 =
            |controller| self.hierarchies.v1(controller).and_then(|hierarchy| hierarchy.directory_of(path));
        let (cpu, cpuacct, memory) = (v1("cpu"), v1("cpuacct"), v1("memory"));
        let mut row = CgroupStats::new(path);
        // Directories of v1 first: where a controller has a hierarchy of its own, v2 does not have it.
        if let Some(directory) = cpuacct {
            row.cpu_usage_ns =
                self.text(&directory, "cpuacct.usage").and_then(|text| fields(text).next().and_then(number));
        }
        if let Some(directory) = cpu {
            row.cpu_throttled_ns =
                self.text(&directory, "cpu.stat").and_then(|text| keyed_number(text, b"throttled_time"));
            let mut one =
                |name| self.text(&directory, name).and_then(|text| fields(text).next().and_then(number));
            // Without a limit the quota is -1, which is no number here.
            row.cpu_limit_cores = cores(one("cpu.cfs_quota_us"), one("cpu.cfs_period_us"));
        }
        if let Some(directory) = memory {
            row.memory_limit_bytes = self
                .text(&directory, "memory.limit_in_bytes")
                .and_then(|text| fields(text).next().and_then(number))
                .filter(|limit| *limit <= V1_NO_LIMIT_BYTES);
            if let Some(text) = self.text(&directory, "memory.stat") {
                row.memory_anonymous_bytes = keyed_number(text, b"total_rss");
                row.memory_mapped_file_bytes = keyed_number(text, b"total_mapped_file");
                row.memory_cache_bytes = keyed_number(text, b"total_cache");
            }
        }
        if let Some(directory) = v2 {
            self.complete_from_v2(&directory, &mut row);
            self.pressure_from_v2(&directory, &mut row);
        }
        let found = row.cpu_usage_ns.is_some()
            || row.cpu_throttled_ns.is_some()
            || row.cpu_limit_cores.is_some()
            || row.memory_limit_bytes.is_some()
            || row.memory_anonymous_bytes.is_some()
            || row.cpu_pressure_some_ns.is_some();
        found.then_some(row)
    }

    fn complete_from_v2(&mut self, directory: &Path, row: &mut CgroupStats) {
        if let Some(text) = self.text(directory, "cpu.stat") {
            let nanos = |key| keyed_number(text, key).map(|micros| micros.saturating_mul(NANOS_PER_MICRO));
            row.cpu_usage_ns = row.cpu_usage_ns.or_else(|| nanos(b"usage_usec"));
            row.cpu_throttled_ns = row.cpu_throttled_ns.or_else(|| nanos(b"throttled_usec"));
        }
        if let Some(text) = self.text(directory, "cpu.max") {
            let mut parts = fields(text).map(number);
            row.cpu_limit_cores =
                row.cpu_limit_cores.or(cores(parts.next().flatten(), parts.next().flatten()));
        }
        if let Some(text) = self.text(directory, "memory.max") {
            row.memory_limit_bytes = row.memory_limit_bytes.or(fields(text).next().and_then(number));
        }
        if let Some(text) = self.text(directory, "memory.stat") {
            row.memory_anonymous_bytes = row.memory_anonymous_bytes.or_else(|| keyed_number(text, b"anon"));
            row.memory_mapped_file_bytes =
                row.memory_mapped_file_bytes.or_else(|| keyed_number(text, b"file_mapped"));
            row.memory_cache_bytes = row.memory_cache_bytes.or_else(|| keyed_number(text, b"file"));
        }
    }

    fn pressure_from_v2(&mut self, directory: &Path, row: &mut CgroupStats) {
        let mut read = |name| self.text(directory, name).map(pressure).unwrap_or_default();
        (row.cpu_pressure_some_ns, row.cpu_pressure_full_ns) = read("cpu.pressure");
        (row.memory_pressure_some_ns, row.memory_pressure_full_ns) = read("memory.pressure");
        (row.io_pressure_some_ns, row.io_pressure_full_ns) = read("io.pressure");
    }

    fn text(&mut self, directory: &Path, name: &str) -> Option<&[u8]> {
        self.reader.read(&directory.join(name), FILE_LIMIT_BYTES).ok()
    }
}

impl Source for CgroupStatsSource {
    fn name(&self) -> &'static str {
        "cgroups"
    }

    fn capabilities(&self) -> CapabilitySet {
        self.hierarchies.capabilities()
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        for path in &subjects.cgroups {
            if let Some(row) = self.read(path) {
                rows.push(row);
            }
        }
        Ok(())
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS`, and the same with `full`, which old kernels don't have
/// for the CPU: nanoseconds of both.
fn pressure(text: &[u8]) -> (Option<u64>, Option<u64>) {
    let total = |kind: &[u8]| {
        let line = lines(text).find(|line| fields(line).next() == Some(kind))?;
        let total = fields(line).find_map(|field| field.strip_prefix(b"total="))?;
        number(total).map(|micros| micros.saturating_mul(NANOS_PER_MICRO))
    };
    (total(b"some"), total(b"full"))
}

/// A limit in cores. Numbers of microseconds are far below what a double holds exactly.
#[allow(clippy::cast_precision_loss, reason = "microseconds a period fit a double exactly")]
fn cores(quota_us: Option<u64>, period_us: Option<u64>) -> Option<f64> {
    let (quota, period) = (quota_us?, period_us.filter(|period| *period > 0)?);
    Some(quota as f64 / period as f64)
}
