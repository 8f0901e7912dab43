//! `log_files`: which log files are read, and how far.

table! {
    /// A log file that is followed. A later row of the same `cgroup` and `path` replaces an earlier one.
    pub struct LogFile in "log_files" as LogFile {
        /// Path of the control group of the container.
        [Dictionary] cgroup: String,
        /// Name of the source, as in `log_lines`.
        [Dictionary] source: String,
        /// Path of the file: on the host for `stdout/stderr`, else as the container sees it.
        [Dictionary] path: String,
        /// Inode number of the file that the path led to.
        [ByteStreamSplit] inode: u64,
        /// Lines before this place, in bytes, were read.
        [Delta] offset: u64,
    }
}
