//! `marks`: beginning, segments and end of a recording.

use crate::label::labels;

labels! {
    /// What the mark stands for.
    pub enum MarkKind {
        /// First observation of the recording.
        Start = "start",
        /// First observation of a segment.
        SegmentStart = "segment_start",
        /// The snapshot of what is alive is complete; events follow.
        SnapshotEnd = "snapshot_end",
        /// Last observation of a clean end.
        End = "end",
    }
}

table! {
    /// Beginning, segments and end of a recording.
    pub struct Mark in "marks" as Mark {
        /// What it stands for.
        [Dictionary] kind: MarkKind,
        /// Number of the segment, from 1.
        [Dictionary] segment: u32,
        /// Words for people, such as why the recording ended.
        [Plain] detail: Option<String>,
    }
}
