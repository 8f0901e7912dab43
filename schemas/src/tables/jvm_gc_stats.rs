//! `jvm_gc_stats`: garbage collectors of Java virtual machines.

table! {
    /// A garbage collector of a HotSpot virtual machine that has a row in `jvm_stats` at the same time.
    pub struct JvmGcStats in "jvm_gc_stats" as JvmGcStats {
        /// Process id.
        [Dictionary] pid: u32,
        /// Start of the process; with `pid` it names the process.
        [Delta] process_start_ns: u64,
        /// Name of the collector.
        [Dictionary] gc: String,
        /// Time that it took so far, nanoseconds.
        [ByteStreamSplit] time_ns: u64,
        /// How often it ran.
        [Delta] collections: u64,
    }
}
