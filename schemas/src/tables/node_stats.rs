//! `node_stats`: CPU, memory and uptime of the host.

table! {
    /// CPU, memory and uptime of the host, from /proc/stat, /proc/meminfo and /proc/uptime.
    pub struct NodeStats in "node_stats" as NodeStats {
        /// Time since boot, nanoseconds.
        [Delta] uptime_ns: u64,
        /// Logical processors online.
        [Dictionary] logical_cores: u32,
        /// CPU time in user mode, all processors, nanoseconds.
        [Delta] cpu_user_ns: u64,
        /// CPU time of niced processes, nanoseconds.
        [Delta] cpu_nice_ns: u64,
        /// CPU time in the kernel, nanoseconds.
        [Delta] cpu_system_ns: u64,
        /// Idle time, nanoseconds.
        [Delta] cpu_idle_ns: u64,
        /// Idle time while I/O was outstanding, nanoseconds.
        [Delta] cpu_iowait_ns: u64,
        /// Time serving interrupts, nanoseconds.
        [Delta] cpu_irq_ns: u64,
        /// Time serving soft interrupts, nanoseconds.
        [Delta] cpu_softirq_ns: u64,
        /// Time taken by the hypervisor, nanoseconds.
        [Delta] cpu_steal_ns: u64,
        /// MemTotal, bytes.
        [Dictionary] memory_total_bytes: u64,
        /// MemFree, bytes.
        [ByteStreamSplit] memory_free_bytes: u64,
        /// MemAvailable, bytes.
        [ByteStreamSplit] memory_available_bytes: u64,
        /// Cached, bytes.
        [ByteStreamSplit] memory_cached_bytes: u64,
    }
}
