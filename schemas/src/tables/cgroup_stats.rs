//! `cgroup_stats`: CPU and memory of control groups, v1 and v2.

table! {
    /// CPU and memory of a control group. A value is absent where the kernel does not give it.
    pub struct CgroupStats in "cgroup_stats" as CgroupStats {
        /// Path of the control group.
        [Dictionary] cgroup: String,
        /// CPU time used, nanoseconds (v1 `cpuacct.usage`, v2 `cpu.stat usage_usec`).
        [Delta] cpu_usage_ns: Option<u64>,
        /// Time throttled, nanoseconds (v1 `cpu.stat throttled_time`, v2 `throttled_usec`).
        [Delta] cpu_throttled_ns: Option<u64>,
        /// CPU limit in cores; absent without a limit (v1 `cpu.cfs_quota_us`, v2 `cpu.max`).
        [Dictionary] cpu_limit_cores: Option<f64>,
        /// Memory limit in bytes; absent without a limit (v1 `memory.limit_in_bytes`, v2 `memory.max`).
        [Dictionary] memory_limit_bytes: Option<u64>,
        /// Anonymous memory, bytes (v1 `memory.stat total_rss`, v2 `anon`).
        [ByteStreamSplit] memory_anonymous_bytes: Option<u64>,
        /// Mapped file memory, bytes (v1 `total_mapped_file`, v2 `file_mapped`).
        [ByteStreamSplit] memory_mapped_file_bytes: Option<u64>,
        /// Page cache, bytes (v1 `total_cache`, v2 `file`).
        [ByteStreamSplit] memory_cache_bytes: Option<u64>,
    }
}
