//! `ledger`: the accounts of the kernel programs.

table! {
    /// The account of a kernel program on one CPU, since it was attached: `seen = filtered + submitted + dropped_*`.
    /// Written when it changed, and in full at the beginning and end of each segment.
    pub struct LedgerEntry in "ledger" as Ledger {
        /// Kernel program.
        [Dictionary] program: String,
        /// CPU.
        [Dictionary] cpu: u32,
        /// Times the program ran.
        [Delta] seen: u64,
        /// Runs without a record: out of the filter, or not of interest.
        [Delta] filtered: u64,
        /// Records handed to user space.
        [Delta] submitted: u64,
        /// Records lost since the ring was full.
        [Delta] dropped_ring_full: u64,
        /// Records lost since a map was full.
        [Delta] dropped_map_full: u64,
        /// Records lost since memory could not be read.
        [Delta] dropped_read_fault: u64,
        /// Records that the recorder took from the ring.
        [Delta] received: u64,
        /// Records that the recorder took and set aside, since they turned out to be outside the filter.
        [Delta] set_aside: u64,
        /// Records that became observations of this trace, retired segments included: `received = set_aside + recorded`.
        [Delta] recorded: u64,
    }
}
