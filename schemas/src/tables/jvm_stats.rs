//! `jvm_stats`: heap and safepoints of Java virtual machines.

table! {
    /// Heap and safepoints of a HotSpot virtual machine, from the performance counters that it publishes.
    pub struct JvmStats in "jvm_stats" as JvmStats {
        /// Process id.
        [Dictionary] pid: u32,
        /// Start of the process; with `pid` it names the process.
        [Delta] process_start_ns: u64,
        /// Main class or jar that the machine runs, without arguments, which may hold secrets.
        [Dictionary] jvm: String,
        /// Version of Java.
        [Dictionary] java_version: String,
        /// Heap that the machine has reserved memory for, bytes.
        [ByteStreamSplit] heap_size_bytes: u64,
        /// Heap in use, bytes.
        [ByteStreamSplit] heap_used_bytes: u64,
        /// What the heap may grow to, bytes.
        [Dictionary] heap_max_bytes: Option<u64>,
        /// Time that all threads stood still at safepoints, nanoseconds.
        [ByteStreamSplit] safepoint_time_ns: Option<u64>,
        /// Time spent on bringing all threads to safepoints, nanoseconds.
        [ByteStreamSplit] safepoint_sync_time_ns: Option<u64>,
    }
}
