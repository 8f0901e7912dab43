//! `losses`: what was lost, where, when and why.

use crate::column::Timestamp;

table! {
    /// Observations that were lost between two moments.
    pub struct Loss in "losses" as Loss {
        /// Who lost them: `kernel/<program>`, `writer/<table>`, `source/<name>`, `recorder/<part>`.
        [Dictionary] source: String,
        /// Why: `ring_full`, `map_full`, `read_fault`, `recursion`, `queue_full`, `disk`, `limit`, `deadline`, `budget`.
        [Dictionary] cause: String,
        /// Kernel program, table or control group concerned.
        [Dictionary] subject: Option<String>,
        /// How many.
        [ByteStreamSplit] lost: u64,
        /// Not before.
        [Delta] from: Timestamp,
        /// Not after.
        [Delta] to: Timestamp,
    }
}
