//! Writes a trace directory: observations in, journal, sealed segments and manifest out.
//!
//! The caller's thread fills typed builders; every 4,096 rows of a table, or half a journal interval, a batch goes
//! through a bounded queue to one writer thread, which appends it to the table's journal and to the open
//! Parquet file of the segment. The caller decides when a segment ends ([`TraceWriter::segment_is_full`],
//! [`TraceWriter::begin_segment`]), since each begins with its snapshot of what is alive.
//!
//! ```text
//! segments/000001/        sealed
//! segments/000002.tmp/    the open segment's Parquet, without footers: ignored by readers
//! journal/000002/         the same rows, readable at any moment
//! ```
//!
//! A segment is sealed by: close and sync its files, rename the folder, rewrite the manifest, remove the journal.
//! Each step is atomic, so that a reader needs one rule: a folder in `segments/` with a plain number is
//! complete, and the journal of that number is then ignored.

mod background;
mod error;
mod files;
mod options;
mod queue;
mod retention;
mod segment;
mod writer;

pub use error::TraceError;
pub use options::{LEAST_MAX_BYTES, WriterOptions};
pub use writer::{Summary, TraceWriter, WriterStats};
