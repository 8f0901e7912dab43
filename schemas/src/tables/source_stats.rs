//! `source_stats`: what the sources of snapshots did and how long it took.

use crate::column::Timestamp;

table! {
    /// What a source of snapshots did since the recording began.
    pub struct SourceStats in "source_stats" as Source {
        /// Name of the source, as in `probes`.
        [Dictionary] source: String,
        /// Rounds that ended.
        [Delta] rounds: u64,
        /// Rounds of them that gave nothing since the source failed.
        [Delta] failures: u64,
        /// Rounds that were left out since the one before had not ended.
        [Delta] skipped: u64,
        /// Time that all rounds took, nanoseconds.
        [Delta] duration_ns: u64,
        /// End of the last round that did not fail.
        [Delta] succeeded: Option<Timestamp>,
    }
}
