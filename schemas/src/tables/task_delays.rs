//! `task_delays`: how long processes waited for a CPU and for block devices.

table! {
    /// How long a process waited in all, its threads together. There is a row when that changed.
    pub struct TaskDelays in "task_delays" as TaskDelays {
        /// Process id.
        [Dictionary] pid: u32,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms.
        [Dictionary] process_start_ns: u64,
        /// Time that it could have run and waited for a CPU, nanoseconds.
        [ByteStreamSplit] cpu_delay_ns: u64,
        /// Time that it waited for synchronous block I/O, nanoseconds; absent while the kernel does not count it.
        [ByteStreamSplit] block_io_delay_ns: Option<u64>,
    }
}
