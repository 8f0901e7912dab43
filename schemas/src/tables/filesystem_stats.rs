//! `filesystem_stats`: size and use of the file systems that containers write to.

table! {
    /// Size and use of the file system at a mount of `mounts`. Without values: it did not answer in time.
    pub struct FilesystemStats in "filesystem_stats" as FilesystemStats {
        /// Path of the control group.
        [Dictionary] cgroup: String,
        /// Where it is mounted, as the processes see it.
        [Dictionary] mount_point: String,
        /// Size, bytes.
        [Dictionary] size_bytes: Option<u64>,
        /// Free space, bytes.
        [ByteStreamSplit] free_bytes: Option<u64>,
        /// Free space that unprivileged users can use, bytes.
        [ByteStreamSplit] available_bytes: Option<u64>,
    }
}
