//! `cgroup_stats`: CPU, memory and pressure of control groups, v1 and v2.

table! {
    /// CPU, memory and pressure of a control group. A value is absent where the kernel does not give it.
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
        /// Time in which some of its tasks waited for a CPU, nanoseconds (v2 `cpu.pressure`).
        [Delta] cpu_pressure_some_ns: Option<u64>,
        /// Time in which all of its tasks waited for a CPU at once, nanoseconds.
        [Delta] cpu_pressure_full_ns: Option<u64>,
        /// Time in which some of its tasks waited for memory, nanoseconds (v2 `memory.pressure`).
        [Delta] memory_pressure_some_ns: Option<u64>,
        /// Time in which all of its tasks waited for memory at once, nanoseconds.
        [Delta] memory_pressure_full_ns: Option<u64>,
        /// Time in which some of its tasks waited for I/O, nanoseconds (v2 `io.pressure`).
        [Delta] io_pressure_some_ns: Option<u64>,
        /// Time in which all of its tasks waited for I/O at once, nanoseconds.
        [Delta] io_pressure_full_ns: Option<u64>,
    }
}

impl CgroupStats {
    /// A row without values.
    pub fn new(cgroup: &str) -> Self {
        Self {
            cgroup: cgroup.to_owned(),
            cpu_usage_ns: None,
            cpu_throttled_ns: None,
            cpu_limit_cores: None,
            memory_limit_bytes: None,
            memory_anonymous_bytes: None,
            memory_mapped_file_bytes: None,
            memory_cache_bytes: None,
            cpu_pressure_some_ns: None,
            cpu_pressure_full_ns: None,
            memory_pressure_some_ns: None,
            memory_pressure_full_ns: None,
            io_pressure_some_ns: None,
            io_pressure_full_ns: None,
        }
    }
}
