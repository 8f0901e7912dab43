//! Observations to write, and traces read back by the rules for readers.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::path::Path;

use aftertrace_recorder::trace::TraceWriter;
use aftertrace_schemas::journal::read_journal;
use aftertrace_schemas::manifest::{Anchor, Host, Manifest, Options, Retired};
use aftertrace_schemas::tables::{FileEvent, FileEventKind, Mark, MarkKind, TcpEvent, TcpEventKind};
use aftertrace_schemas::{Batch, Kind, Observation, TableId, UnixNanos, layout};
use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// When the trace of the tests began.
pub(crate) const BEGIN: UnixNanos = 1_700_000_000_000_000_000;

pub(crate) fn manifest() -> Manifest {
    Manifest {
        format_version: Manifest::VERSIONS.0,
        least_reader_version: Manifest::VERSIONS.1,
        recorder_version: "test".to_owned(),
        host: Host {
            hostname: "shop-1".to_owned(),
            kernel_version: "6.1".to_owned(),
            architecture: "x86_64".to_owned(),
            machine_id: "m".to_owned(),
            boot_id: "b".to_owned(),
        },
        anchor: Anchor { boot_ns: 0, realtime_ns: BEGIN },
        started: BEGIN,
        ended: None,
        end_reason: None,
        options: Options { journal_interval_ms: 1000, ..Options::default() },
        probes: Vec::new(),
        segments: Vec::new(),
        retired: Retired::default(),
        losses: Default::default(),
    }
}

pub(crate) fn tcp(seq: u64) -> Kind {
    let random = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Kind::Tcp(TcpEvent {
        kind: if seq.is_multiple_of(2) { TcpEventKind::Connect } else { TcpEventKind::Close },
        connection_id: seq / 2,
        pid: Some((random >> 60) as u32),
        process_start_ns: None,
        local_ip: None,
        local_port: Some((random >> 48) as u16),
        remote_ip: None,
        remote_port: Some(443),
        network_namespace: None,
        handshake_ns: Some(random >> 44),
        errno: None,
        state: None,
        bytes_sent: Some(random),
        bytes_received: Some(random >> 32),
        retransmits: None,
        smoothed_rtt_us: None,
        inferred: false,
    })
}

pub(crate) fn file(seq: u64) -> Kind {
    Kind::File(FileEvent {
        kind: FileEventKind::Open,
        pid: 1,
        process_start_ns: 10_000_000,
        fd: 3,
        path: format!("/var/log/{seq}.log"),
        flags: 1,
        device_major: 8,
        device_minor: 1,
        inode: seq,
        mount_id: 20,
    })
}

pub(crate) fn mark(segment: u32) -> Kind {
    Kind::Mark(Mark { kind: MarkKind::SegmentStart, segment, detail: None })
}

/// Numbers observations and appends them.
#[derive(Default)]
pub(crate) struct Numbered {
    pub(crate) seq: u64,
}

impl Numbered {
    pub(crate) fn observation(&mut self, kind: Kind) -> Observation {
        self.seq += 1;
        Observation { seq: self.seq, time: BEGIN + self.seq as i64 * 1000, kind }
    }

    pub(crate) fn append(&mut self, writer: &mut TraceWriter, kind: Kind) {
        let observation = self.observation(kind);
        writer.append(&observation).unwrap();
    }

    /// A mixture: mostly connections, some files.
    pub(crate) fn storm(&mut self, writer: &mut TraceWriter, rows: u64) {
        for _ in 0..rows {
            let next = self.seq + 1;
            let kind = if next.is_multiple_of(10) { file(next) } else { tcp(next) };
            self.append(writer, kind);
        }
    }
}

/// A trace as a reader finds it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    /// Ordered by `seq`.
    pub(crate) observations: Vec<Observation>,
    pub(crate) sealed: BTreeSet<u32>,
    /// Journals that count: those of segments that are not sealed.
    pub(crate) journals: BTreeSet<u32>,
    pub(crate) cut: bool,
}

impl Found {
    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.observations.iter().map(|observation| observation.seq).collect()
    }

    /// How many of the rows are of this table.
    pub(crate) fn count(&self, table: TableId) -> u64 {
        self.observations.iter().filter(|observation| observation.kind.table() == table).count() as u64
    }
}

fn numbers(folder: &Path) -> BTreeSet<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.filter_map(|entry| layout::segment_number(entry.unwrap().file_name().to_str().unwrap())).collect()
}

/// Reads a trace by the rules: folders in `segments/` with plain numbers are complete; the journal counts for others.
/// Only for a trace that is not being sealed meanwhile.
pub(crate) fn read(dir: &Path) -> Found {
    let manifest = Manifest::from_json(&std::fs::read(dir.join(layout::MANIFEST)).unwrap()).unwrap();
    let sealed = numbers(&dir.join(layout::SEGMENTS));
    let journals: BTreeSet<u32> = numbers(&dir.join(layout::JOURNAL)).difference(&sealed).copied().collect();
    let mut observations = Vec::new();
    let mut cut = false;
    let mut take = |table: TableId, batch: &RecordBatch| {
        let batch = Batch::new(table, batch).unwrap();
        observations.extend((0..batch.len()).map(|row| batch.observation(row).unwrap()));
    };
    for table in TableId::ALL.iter().copied() {
        for segment in &sealed {
            let path = layout::segment_dir(dir, *segment).join(layout::parquet_name(table));
            let Ok(file) = std::fs::File::open(&path) else { continue };
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                take(table, &batch.unwrap());
            }
        }
        for segment in &journals {
            let path = layout::journal_dir(dir, *segment).join(layout::journal_name(table));
            if !path.exists() {
                continue;
            }
            let journal = read_journal(&path).unwrap();
            cut |= journal.cut.is_some();
            for batch in &journal.batches {
                take(table, batch);
            }
        }
    }
    observations.sort_by_key(|observation| observation.seq);
    Found { manifest, observations, sealed, journals, cut }
}
