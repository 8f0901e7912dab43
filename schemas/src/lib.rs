//! What a trace holds: observations, the tables that keep them, and the directory on disk.
//!
//! In: facts that the recorder collected. Out: Arrow batches and Parquet files of a published shape,
//! and the same facts read back. How a fact was collected and what it means is not known here.

#[macro_use]
mod table_macro;

pub mod column;
pub mod docs;
mod error;
pub mod journal;
pub mod label;
pub mod layout;
pub mod manifest;
mod observation;
pub mod parquet_format;
mod table;
pub mod tables;

pub use error::SchemaError;
pub use observation::{Batch, Builders, Kind, Observation, TableId};
pub use table::{ColumnDefinition, Encoding, Table};

/// The version of the trace format that this build writes.
pub const FORMAT_VERSION: u32 = 1;

/// The oldest reader that understands what this build writes: raised only when a change is not additive.
pub const LEAST_READER_VERSION: u32 = 1;

/// The `time` of an observation or a row: Unix time in nanoseconds, from the boot clock and one anchor a trace.
pub type UnixNanos = i64;
