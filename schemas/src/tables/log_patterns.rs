//! `log_patterns`: what recorded containers and units log, counted by pattern, for recordings that keep no text of it.

table! {
    /// Messages of one pattern that were logged since the row before. Only in recordings with `--logs patterns`.
    pub struct LogPattern in "log_patterns" as LogPattern {
        /// Path of the control group of the container or unit.
        [Dictionary] cgroup: String,
        /// Where they were logged, as in `log_lines`.
        [Dictionary] source: String,
        /// Level: `critical`, `error`, `warning`, `info`, `debug` or `unknown`.
        [Dictionary] level: String,
        /// Hash of the pattern; empty for levels below warning, which are not told apart.
        [Dictionary] pattern_hash: String,
        /// How many messages; a message may have several lines.
        [Delta] messages: u64,
    }
}
