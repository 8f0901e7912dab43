//! `clock_sync`: wall clock against boot clock.

table! {
    /// Wall clock against boot clock. Rows are dated by the boot clock and one anchor; this tells what the wall clock said meanwhile.
    pub struct ClockSync in "clock_sync" as ClockSync {
        /// CLOCK_BOOTTIME, nanoseconds.
        [Delta] boot_ns: u64,
        /// CLOCK_REALTIME at the same moment, Unix nanoseconds.
        [Delta] realtime_ns: i64,
        /// Wall clock minus the time that the anchor gives, nanoseconds: what NTP or an operator changed since the start.
        [Delta] offset_ns: i64,
        /// Whether the offset changed by more than 10 ms since the last row: a clock step.
        [Dictionary] step: bool,
    }
}
