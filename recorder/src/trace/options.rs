//! How a trace is written: how often it is synced, how large segments get, what is kept.

use std::time::Duration;

use super::TraceError;

/// Least cap on the size of a trace: below it a segment has no room beside the one that is being written.
pub const LEAST_MAX_BYTES: u64 = 4 << 20;

const MIB: u64 = 1 << 20;

/// How a trace is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// What a crash or power loss may cost: rows reach the disk, synced, within this time.
    pub journal_interval: Duration,
    /// Hard cap on the bytes of the whole directory, in blocks of 4 KiB as `du` counts them.
    pub max_bytes: Option<u64>,
    /// Hard cap on the age of the oldest row that is kept.
    pub max_age: Option<Duration>,
    /// A segment is full at so many bytes of Parquet.
    pub segment_bytes: u64,
    /// A segment is full at so many bytes of journal.
    pub segment_journal_bytes: u64,
    /// A segment is full at this age.
    pub segment_age: Duration,
    /// Bytes of batches that may wait for the disk; above it batches are shed by priority.
    pub queue_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            journal_interval: Duration::from_secs(1),
            max_bytes: None,
            max_age: None,
            segment_bytes: 64 * MIB,
            segment_journal_bytes: 64 * MIB,
            segment_age: Duration::from_secs(60),
            queue_bytes: 16 << 20,
        }
    }
}

impl WriterOptions {
    /// The options with segments small enough for the caps: retention drops whole segments, so that the caps
    /// are kept with an eighth of them to spare.
    pub(super) fn fitted(mut self) -> Result<Self, TraceError> {
        if let Some(max_bytes) = self.max_bytes {
            if max_bytes < LEAST_MAX_BYTES {
                return Err(TraceError::CapTooSmall { max_bytes });
            }
            self.segment_bytes = self.segment_bytes.min(max_bytes / 8);
            self.segment_journal_bytes = self.segment_journal_bytes.min(max_bytes / 4);
        }
        if let Some(max_age) = self.max_age {
            self.segment_age = self.segment_age.min(max_age / 8);
        }
        Ok(self)
    }

    /// Rows wait at most so long in the builders, and then at most as long for the sync: together the interval.
    pub(super) fn half_interval(&self) -> Duration {
        self.journal_interval / 2
    }
}
