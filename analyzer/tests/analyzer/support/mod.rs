//! Writes small traces of synthetic rows: sealed segments, journals, manifests.

mod story;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aftertrace_analyzer::{NoProgress, Trace};
use aftertrace_schemas::manifest::{Anchor, Host, Manifest, Options, Probe, Retired, Segment, TableFile};
use aftertrace_schemas::{
    Builders, FORMAT_VERSION, Kind, LEAST_READER_VERSION, Observation, TableId, layout,
};
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

pub(crate) use story::{START, Story};

/// A trace directory that goes away with it.
pub(crate) struct TestTrace {
    pub(crate) directory: Arc<TempDir>,
}

/// An open trace that keeps its directory.
pub(crate) struct OpenTrace {
    trace: Trace,
    _directory: Arc<TempDir>,
}

impl std::ops::Deref for OpenTrace {
    type Target = Trace;
    fn deref(&self) -> &Trace {
        &self.trace
    }
}

impl TestTrace {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("trace")
    }

    pub(crate) fn open(&self) -> OpenTrace {
        OpenTrace { trace: open(&self.path()), _directory: Arc::clone(&self.directory) }
    }

    /// Opens it under a name that is the same everywhere, for snapshots.
    pub(crate) fn open_named(&self) -> OpenTrace {
        let mut trace = self.open();
        trace.trace.name = "shop".to_owned();
        trace
    }

    pub(crate) fn edit_manifest(&self, edit: impl FnOnce(&mut Manifest)) {
        let path = self.path().join(layout::MANIFEST);
        let mut manifest = Manifest::from_json(&fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(path, manifest.to_json().unwrap()).unwrap();
    }

    pub(crate) fn parquet(&self, segment: u32, table: TableId) -> PathBuf {
        layout::segment_dir(&self.path(), segment).join(layout::parquet_name(table))
    }
}

pub(crate) fn open(path: &Path) -> Trace {
    Trace::open(path, &mut NoProgress).unwrap()
}

/// A whole trace of these segments.
pub(crate) fn trace_of(segments: &[Vec<Observation>]) -> TestTrace {
    let trace = TestTrace { directory: Arc::new(TempDir::new().unwrap()) };
    let listed: Vec<Segment> = segments
        .iter()
        .enumerate()
        .map(|(index, observations)| write_segment(&trace.path(), index as u32 + 1, observations))
        .collect();
    write_manifest(&trace.path(), listed, segments.last().and_then(|last| last.last()).map(|last| last.time));
    trace
}

/// The shop: two segments, ended cleanly, nothing lost.
pub(crate) fn shop() -> TestTrace {
    trace_of(&Story::shop())
}

/// The shop, killed in its second segment: that is a journal, and nothing says that it ended.
pub(crate) fn killed_shop() -> TestTrace {
    let segments = Story::shop();
    let trace = trace_of(&segments[..1]);
    trace.edit_manifest(|manifest| manifest.ended = None);
    let events =
        segments[1].iter().filter(|row| !matches!(row.kind, Kind::Mark(_))).cloned().collect::<Vec<_>>();
    write_journal(&trace.path(), 2, &events);
    trace
}

pub(crate) fn batches(observations: &[Observation]) -> BTreeMap<TableId, RecordBatch> {
    let mut builders: BTreeMap<TableId, Builders> = BTreeMap::new();
    for observation in observations {
        let table = observation.kind.table();
        assert!(builders.entry(table).or_insert_with(|| Builders::new(table, 16)).append(observation));
    }
    builders.into_iter().map(|(table, mut builders)| (table, builders.finish().unwrap())).collect()
}

pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch, rows_a_group: usize) -> u64 {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_a_group)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    fs::metadata(path).unwrap().len()
}

pub(crate) fn write_segment(root: &Path, number: u32, observations: &[Observation]) -> Segment {
    let folder = layout::segment_dir(root, number);
    fs::create_dir_all(&folder).unwrap();
    let mut tables = BTreeMap::new();
    for (table, batch) in batches(observations) {
        let path = folder.join(layout::parquet_name(table));
        let bytes = write_parquet(&path, &batch, 1000);
        let crc32c = Some(crc32c::crc32c(&fs::read(&path).unwrap()));
        tables.insert(table.name().to_owned(), TableFile { rows: batch.num_rows() as u64, bytes, crc32c });
    }
    let (first, last) = (observations.first().unwrap(), observations.last().unwrap());
    Segment { number, first_seq: first.seq, last_seq: last.seq, from: first.time, to: last.time, tables }
}

pub(crate) fn write_journal(root: &Path, number: u32, observations: &[Observation]) {
    let folder = layout::journal_dir(root, number);
    fs::create_dir_all(&folder).unwrap();
    for (table, batch) in batches(observations) {
        let file = File::create(folder.join(layout::journal_name(table))).unwrap();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(file, &batch.schema()).unwrap();
        // Two batches, so that a cut file has one whole one.
        let half = batch.num_rows().div_ceil(2);
        writer.write(&batch.slice(0, half)).unwrap();
        writer.write(&batch.slice(half, batch.num_rows() - half)).unwrap();
        writer.flush().unwrap();
    }
}

pub(crate) fn write_manifest(root: &Path, segments: Vec<Segment>, ended: Option<i64>) {
    let active = |probe: &str| Probe { probe: probe.to_owned(), state: "active".to_owned(), reason: None };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        least_reader_version: LEAST_READER_VERSION,
        recorder_version: "0.1.0".to_owned(),
        host: Host {
            hostname: "shop-1".to_owned(),
            kernel_version: "6.18.0".to_owned(),
            architecture: "x86_64".to_owned(),
            machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
            boot_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        },
        anchor: Anchor { boot_ns: 0, realtime_ns: START },
        started: START,
        ended,
        end_reason: ended.map(|_| "duration".to_owned()),
        options: Options { journal_interval_ms: 1000, max_bytes: Some(1 << 30), ..Options::default() },
        probes: vec![active("sched:sched_process_exit"), active("sock:inet_sock_set_state")],
        segments,
        retired: Retired::default(),
        losses: BTreeMap::new(),
    };
    fs::create_dir_all(root).unwrap();
    fs::write(root.join(layout::MANIFEST), manifest.to_json().unwrap()).unwrap();
}
