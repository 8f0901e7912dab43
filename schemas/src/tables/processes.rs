//! `processes`: the processes that are alive where a segment begins.

table! {
    /// A process that is alive where a segment begins, or that was there before the recording.
    pub struct ProcessSnapshot in "processes" as ProcessSnapshot {
        /// Process id (thread group id) in the host's pid namespace.
        [Dictionary] pid: u32,
        /// Start of the process, nanoseconds of boot time rounded down to 10 ms; with `pid` it names the process.
        [Delta] process_start_ns: u64,
        /// Process id of the parent.
        [Dictionary] parent_pid: u32,
        /// Short name of the task, 15 bytes at most.
        [Dictionary] command: String,
        /// Program file.
        [Dictionary] executable: Option<String>,
        /// Arguments, cut when `arguments_bytes` says that there were more.
        [Dictionary] arguments: Vec<String>,
        /// Bytes of all arguments with their terminators.
        [ByteStreamSplit] arguments_bytes: u32,
        /// Path of the control group.
        [Dictionary] cgroup: Option<String>,
        /// Real user id.
        [Dictionary] uid: u32,
        /// Process id in its innermost pid namespace.
        [Dictionary] namespace_pid: u32,
        /// Inode of the pid namespace.
        [Dictionary] pid_namespace: Option<u32>,
        /// Inode of the network namespace.
        [Dictionary] network_namespace: Option<u32>,
        /// Inode of the mount namespace.
        [Dictionary] mount_namespace: Option<u32>,
    }
}
