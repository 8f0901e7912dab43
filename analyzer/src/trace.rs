//! An opened trace: its manifest, its segments and what is damaged.

use std::path::{Path, PathBuf};

use aftertrace_schemas::manifest::Manifest;
use aftertrace_schemas::{TableId, UnixNanos};

use crate::Damage;

/// A trace that can be read, as far as it is not damaged.
#[derive(Debug)]
pub struct Trace {
    /// What the user called it.
    pub name: String,
    /// The directory, which may be a temporary one for an archive.
    pub root: PathBuf,
    /// The manifest; absent when `trace.json` is missing or damaged.
    pub manifest: Option<Manifest>,
    /// What is present, oldest first.
    pub segments: Vec<Segment>,
    /// Files that cannot be read.
    pub damage: Vec<Damage>,
    /// Things that are worth knowing and no damage.
    pub notes: Vec<String>,
    /// Holds an extracted archive for as long as the trace is used.
    pub(crate) extracted: Option<tempfile::TempDir>,
}

/// A part of a trace between two full snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Number, from 1.
    pub number: u32,
    /// Whether it is complete (Parquet); otherwise it is the journal of the newest seconds.
    pub sealed: bool,
    /// Tables of its journal that end in the middle of a batch, or have damage within; their other rows are used.
    pub cuts: Vec<Damage>,
    /// The tables in it that can be read.
    pub tables: Vec<TableFile>,
}

/// A table's file in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// Which table.
    pub table: TableId,
    /// Where it is.
    pub path: PathBuf,
    /// Where it is within the trace.
    pub name: String,
    /// Whether it is Parquet; otherwise it is a journal.
    pub sealed: bool,
    /// Rows.
    pub rows: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Least and greatest sequence number; absent when the file does not say.
    pub seqs: Option<(u64, u64)>,
    /// Least and greatest time, Unix nanoseconds; absent when the file does not say.
    pub times: Option<(UnixNanos, UnixNanos)>,
}

impl Segment {
    /// Least and greatest sequence number of all tables.
    pub fn seqs(&self) -> Option<(u64, u64)> {
        span(self.tables.iter().filter_map(|table| table.seqs))
    }

    /// Least and greatest time of all tables, Unix nanoseconds.
    pub fn times(&self) -> Option<(UnixNanos, UnixNanos)> {
        span(self.tables.iter().filter_map(|table| table.times))
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

pub(crate) fn span<T: Ord + Copy>(ranges: impl Iterator<Item = (T, T)>) -> Option<(T, T)> {
    ranges.reduce(|(from, to), (other_from, other_to)| (from.min(other_from), to.max(other_to)))
}

impl Trace {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(Segment::rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// First and last moment of what is present, Unix nanoseconds.
    pub fn times(&self) -> Option<(UnixNanos, UnixNanos)> {
        span(self.segments.iter().filter_map(Segment::times))
    }

    /// When what is present begins: as the manifest says, or with the first row when retention dropped what was
    /// before, or when there is no manifest.
    pub fn started(&self) -> UnixNanos {
        let first = self.times().map(|(from, _)| from);
        match &self.manifest {
            Some(manifest) if manifest.retired.segments == 0 => manifest.started,
            Some(manifest) => first.unwrap_or(manifest.started),
            None => first.unwrap_or_default(),
        }
    }

    /// When it ended: as the manifest says, else the last row.
    pub fn ended(&self) -> UnixNanos {
        let last = self.times().map(|(_, to)| to);
        match &self.manifest {
            Some(manifest) => manifest.ended.or(last).unwrap_or(manifest.started),
            None => last.unwrap_or_default(),
        }
    }

    /// Whether the recorder ended by itself.
    pub fn ended_cleanly(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.ended.is_some())
    }

    /// The host's name; empty when nothing says it.
    pub fn hostname(&self) -> &str {
        self.manifest.as_ref().map_or("", |manifest| manifest.host.hostname.as_str())
    }

    /// The files of a table, oldest first.
    pub fn files_of(&self, table: TableId) -> impl Iterator<Item = &TableFile> {
        self.segments.iter().flat_map(|segment| &segment.tables).filter(move |file| file.table == table)
    }

    pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
        path.strip_prefix(root).unwrap_or(path).display().to_string()
    }
}
