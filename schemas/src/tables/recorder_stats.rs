//! `recorder_stats`: what the recorder itself uses.

table! {
    /// What the recorder itself uses, since it started.
    pub struct RecorderStats in "recorder_stats" as Recorder {
        /// CPU time in user mode, nanoseconds.
        [Delta] cpu_user_ns: u64,
        /// CPU time in the kernel, nanoseconds.
        [Delta] cpu_system_ns: u64,
        /// Resident memory, bytes.
        [ByteStreamSplit] resident_bytes: u64,
        /// Memory of kernel maps and rings, bytes.
        [Dictionary] kernel_memory_bytes: u64,
        /// Observations recorded.
        [Delta] observations: u64,
        /// Bytes on disk of this trace.
        [ByteStreamSplit] trace_bytes: u64,
        /// Batches waiting for the writer.
        [Dictionary] queued_batches: u32,
        /// Processes held for the next segment's snapshot.
        [Dictionary] processes: u32,
        /// Sockets held for the next segment's snapshot.
        [Dictionary] sockets: u32,
        /// Observations that wait for their place in the order.
        [ByteStreamSplit] waiting_observations: Option<u32>,
        /// Longest time from when something happened until it had its place, since the last such row, nanoseconds.
        [ByteStreamSplit] longest_wait_ns: Option<u64>,
    }
}
