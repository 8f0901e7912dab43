//! `file_events`: regular files opened for writing, from the kernel.

use crate::label::labels;

labels! {
    /// How the open file became known.
    pub enum FileEventKind {
        /// It was opened (`open`, `openat`, `openat2`, `creat`).
        Open = "open",
        /// It was open before the recording began.
        Existing = "existing",
    }
}

table! {
    /// A regular file was opened for writing.
    pub struct FileEvent in "file_events" as File {
        /// How it became known.
        [Dictionary] kind: FileEventKind,
        /// Process id of the opener.
        [Dictionary] pid: u32,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms.
        [Dictionary] process_start_ns: u64,
        /// File descriptor in that process.
        [Dictionary] fd: i32,
        /// Path as the application gave it, or as the kernel shows it for `existing`.
        [Plain] path: String,
        /// Flags of open(2).
        [Dictionary] flags: u32,
        /// Major number of the device of the file system.
        [Dictionary] device_major: u32,
        /// Minor number of the device of the file system.
        [Dictionary] device_minor: u32,
        /// Inode number.
        [ByteStreamSplit] inode: u64,
        /// Mount id as in /proc/PID/mountinfo.
        [Dictionary] mount_id: i32,
    }
}
