//! Java virtual machines: the performance counters that HotSpot publishes in /tmp/hsperfdata_USER/PID in, `JvmStats`
//! and `JvmGcStats` rows out.
//!
//! The files are read, never mapped: who shortens a mapped file ends its readers. A machine whose file cannot be used
//! is counted once for each reason; one that publishes nothing (OpenJ9, -XX:-UsePerfData) has no rows.

mod find;
mod hsperfdata;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use aftertrace_schemas::tables::{JvmGcStats, JvmStats, ProcessSnapshot};

use super::Roots;
use super::file::FileReader;
use super::own::ticks_per_second;
use super::processes::read_start_ns;
use super::source::{Rows, Source, Subjects, Unavailable};
use crate::capabilities::{CapabilitySet, OTHERS_PROCESSES};
use find::{FILE_LIMIT_BYTES, Missing};
use hsperfdata::{Reading, Unreadable};

/// A machine has its file before its program runs. In so many rounds without one, it publishes nothing.
const ROUNDS_WITHOUT_FILE: u32 = 12;

/// A process: id and start.
type Key = (u32, u64);

/// What was found out about a process.
#[derive(Debug, Default)]
struct Known {
    /// The directory in /tmp that has its file.
    directory: Option<Vec<u8>>,
    rounds_without_file: u32,
    /// What was counted already.
    counted: BTreeSet<&'static str>,
}

/// Reads Java virtual machines.
#[derive(Debug)]
pub struct JvmSource {
    roots: Roots,
    ticks_per_second: u64,
    reader: FileReader,
    known: BTreeMap<Key, Known>,
}

impl JvmSource {
    /// Reads machines through `roots`.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            ticks_per_second: ticks_per_second(),
            reader: FileReader::default(),
            known: BTreeMap::new(),
        }
    }

    fn read(&mut self, row: &ProcessSnapshot) -> Result<Reading, Missing> {
        let key = (row.pid, row.process_start_ns);
        let process = find::Process { pid: row.pid, namespace_pid: row.namespace_pid, uid: row.uid };
        let known = self.known.entry(key).or_default();
        if known.rounds_without_file > ROUNDS_WITHOUT_FILE {
            return Err(Missing::Absent);
        }
        let directory = match &known.directory {
            Some(directory) => directory,
            None => match find::find(&self.roots, process, &mut self.reader) {
                Ok(found) => known.directory.insert(found),
                Err(error) => {
                    known.rounds_without_file += 1;
                    return Err(error);
                }
            },
        };
        let file = find::open(&self.roots, process, directory)?;
        let reading = self.parse(file)?;
        // Another process may have got the id meanwhile, and its file.
        match read_start_ns(&self.roots, row.pid, self.ticks_per_second, &mut self.reader) {
            Some(start_ns) if start_ns == row.process_start_ns => Ok(reading),
            _ => Err(Missing::Absent),
        }
    }

    fn parse(&mut self, file: File) -> Result<Reading, Missing> {
        let bytes = self
            .reader
            .read_fd(file.into(), FILE_LIMIT_BYTES)
            .map_err(|_| Missing::Refused("unreadable_file"))?;
        hsperfdata::parse(bytes).map_err(|error| match error {
            Unreadable::NotReady => Missing::Absent,
            Unreadable::Malformed => Missing::Refused("malformed_file"),
        })
    }
}

impl Source for JvmSource {
    fn name(&self) -> &'static str {
        "jvm"
    }

    fn capabilities(&self) -> CapabilitySet {
        OTHERS_PROCESSES
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let machines: Vec<&ProcessSnapshot> =
            subjects.processes.iter().filter(|process| is_java(process)).collect();
        let alive: BTreeSet<Key> = machines.iter().map(|row| (row.pid, row.process_start_ns)).collect();
        self.known.retain(|key, _| alive.contains(key));
        for row in machines {
            match self.read(row) {
                Ok(reading) => push(row, reading, rows),
                Err(Missing::Absent) => {}
                Err(Missing::Refused(cause)) => {
                    let known = self.known.entry((row.pid, row.process_start_ns)).or_default();
                    if known.counted.insert(cause) {
                        rows.miss(cause, format!("process {}", row.pid));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether the launcher runs: `java`, with whatever path before it.
fn is_java(process: &ProcessSnapshot) -> bool {
    let is_launcher = |path: &str| path.rsplit('/').next() == Some("java");
    process.arguments.first().is_some_and(|name| name.ends_with("java"))
        || process.executable.as_deref().is_some_and(is_launcher)
}

fn push(process: &ProcessSnapshot, reading: Reading, rows: &mut Rows) {
    let (pid, process_start_ns) = (process.pid, process.process_start_ns);
    rows.push(JvmStats {
        pid,
        process_start_ns,
        jvm: reading.jvm,
        java_version: reading.java_version,
        heap_size_bytes: reading.heap_size_bytes,
        heap_used_bytes: reading.heap_used_bytes,
        heap_max_bytes: reading.heap_max_bytes,
        safepoint_time_ns: reading.safepoint_time_ns,
        safepoint_sync_time_ns: reading.safepoint_sync_time_ns,
    });
    for collector in reading.collectors {
        rows.push(JvmGcStats {
            pid,
            process_start_ns,
            gc: collector.name,
            time_ns: collector.time_ns,
            collections: collector.collections,
        });
    }
}

#[cfg(test)]
pub(in crate::sources) mod tests;
