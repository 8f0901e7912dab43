//! `log_lines`: what recorded containers and units log, line by line.

use crate::column::Timestamp;

table! {
    /// A line that a container or unit logged. Its time is when it was read, which is also its place in the order.
    pub struct LogLine in "log_lines" as LogLine {
        /// Path of the control group of the container or unit.
        [Dictionary] cgroup: String,
        /// Where it was logged: `journald`, `stdout/stderr`, or the path of the file as the container sees it.
        [Dictionary] source: String,
        /// `stdout` or `stderr`, where that is known.
        [Dictionary] stream: Option<String>,
        /// When it was logged, as the log says.
        [Delta] logged: Option<Timestamp>,
        /// Place in the log file at which it begins, bytes; absent for `journald`.
        [Delta] offset: Option<u64>,
        /// Priority in the journal: 0 (emergency) to 7 (debug).
        [Dictionary] priority: Option<u8>,
        /// The line without its end. What is not UTF-8 is replaced, and a long line is cut.
        [Plain] text: String,
        /// Bytes that it had before it was cut.
        [Delta] text_bytes: u64,
    }
}
