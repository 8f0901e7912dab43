//! `push_stats`: what became of the metrics and spans that the live mode pushes.

use crate::column::Timestamp;
use crate::label::labels;

labels! {
    /// What is pushed, and how.
    pub enum PushProtocol {
        /// Metrics by Prometheus remote write.
        RemoteWrite = "remote_write",
        /// Metrics by OpenTelemetry's protocol over HTTP.
        Otlp = "otlp",
        /// Spans by the same; what is counted as samples are spans.
        OtlpTraces = "otlp_traces",
    }
}

table! {
    /// What became of the metrics for one receiver since the live mode began.
    pub struct PushStats in "push_stats" as Push {
        /// URL of the receiver, without user and password.
        [Dictionary] endpoint: String,
        /// How.
        [Dictionary] protocol: PushProtocol,
        /// Samples that the receiver took.
        [Delta] sent_samples: u64,
        /// Samples that were lost since the queue was full: the oldest go first.
        [Delta] lost_queue_full: u64,
        /// Samples that the receiver refused.
        [Delta] lost_rejected: u64,
        /// Samples that could not be written to the queue.
        [Delta] lost_unwritten: u64,
        /// Samples of batches that were damaged on disk; a batch counts as one sample when not even their number is left.
        [Delta] lost_damaged: u64,
        /// Collections that were left out since those before were not written yet.
        [Delta] skipped_collections: u64,
        /// Requests that failed and were repeated.
        [Delta] retries: u64,
        /// Batches that wait.
        [Delta] queued_batches: u64,
        /// Samples that wait.
        [Delta] queued_samples: u64,
        /// Bytes that they have on disk.
        [Delta] queued_bytes: u64,
        /// When the oldest of them was collected.
        [Delta] oldest: Option<Timestamp>,
        /// When the receiver last took a batch.
        [Delta] succeeded: Option<Timestamp>,
        /// Why the last request failed, when no later one did not.
        [Dictionary] error: Option<String>,
    }
}

impl PushStats {
    /// Samples that the receiver will never have.
    pub fn lost_samples(&self) -> u64 {
        [self.lost_queue_full, self.lost_rejected, self.lost_unwritten, self.lost_damaged]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}
