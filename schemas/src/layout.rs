//! Where things are in a trace directory.
//!
//! ```text
//! trace/
//!   trace.json                          the manifest
//!   segments/000001/<table>.parquet     sealed, complete
//!   journal/000002/<table>.arrows       the open segment: a plain Arrow IPC stream
//!   journal/000002/<table>.crc          its checksums, see `journal`
//! ```

use std::path::{Path, PathBuf};

use crate::TableId;

/// Name of the manifest.
pub const MANIFEST: &str = "trace.json";
/// Folder of the sealed segments.
pub const SEGMENTS: &str = "segments";
/// Folder of the open segment.
pub const JOURNAL: &str = "journal";

/// Folder name of a segment: six digits or more.
pub fn segment_name(segment: u32) -> String {
    format!("{segment:06}")
}

/// The number of a segment folder, or `None` for any other name.
pub fn segment_number(name: &str) -> Option<u32> {
    let number = name.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Folder of a sealed segment.
pub fn segment_dir(trace: &Path, segment: u32) -> PathBuf {
    trace.join(SEGMENTS).join(segment_name(segment))
}

/// Folder of a segment's journal.
pub fn journal_dir(trace: &Path, segment: u32) -> PathBuf {
    trace.join(JOURNAL).join(segment_name(segment))
}

/// File name of a table in a sealed segment.
pub fn parquet_name(table: TableId) -> String {
    format!("{}.parquet", table.name())
}

/// File name of a table's journal.
pub fn journal_name(table: TableId) -> String {
    format!("{}.arrows", table.name())
}

/// File name of the checksums of a table's journal.
pub fn checksum_name(table: TableId) -> String {
    format!("{}.crc", table.name())
}
