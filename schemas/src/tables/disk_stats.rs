//! `disk_stats`: counters of whole block devices.

table! {
    /// Counters of a whole block device, from /proc/diskstats.
    pub struct DiskStats in "disk_stats" as DiskStats {
        /// Device name.
        [Dictionary] device: String,
        /// Reads completed.
        [Delta] reads: u64,
        /// Writes completed.
        [Delta] writes: u64,
        /// Bytes read.
        [Delta] read_bytes: u64,
        /// Bytes written.
        [Delta] written_bytes: u64,
        /// Time that reads took, summed, nanoseconds.
        [Delta] read_time_ns: u64,
        /// Time that writes took, summed, nanoseconds.
        [Delta] write_time_ns: u64,
        /// Time with at least one request in flight, nanoseconds.
        [Delta] io_time_ns: u64,
    }
}
