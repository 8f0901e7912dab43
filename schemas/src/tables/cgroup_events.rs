//! `cgroup_events`: control groups made and removed, and processes moved between them.

use crate::label::labels;

labels! {
    /// What happened to the control group.
    pub enum CgroupEventKind {
        /// It was there before the recording, or is alive where a segment begins.
        Existing = "existing",
        /// It was made (`cgroup:cgroup_mkdir`).
        Created = "created",
        /// It was removed (`cgroup:cgroup_rmdir`).
        Removed = "removed",
        /// A process moved into it (`cgroup:cgroup_attach_task`).
        Attached = "attached",
    }
}

table! {
    /// Control groups made and removed, and processes moved between them, a row an event.
    pub struct CgroupEvent in "cgroup_events" as Cgroup {
        /// What happened.
        [Dictionary] kind: CgroupEventKind,
        /// Number of the hierarchy as in /proc/PID/cgroup; 0 is cgroup v2.
        [Dictionary] hierarchy_id: u32,
        /// Id in its hierarchy: inode number of its directory.
        [Dictionary] cgroup_id: u64,
        /// Path from the root of the hierarchy.
        [Dictionary] path: String,
        /// Process that moved (attached).
        [Dictionary] pid: Option<u32>,
        /// Start of that process, nanoseconds of boot time rounded down to 10 ms (attached).
        [Dictionary] process_start_ns: Option<u64>,
        /// Path by which the process's container is found from now on, chosen among its hierarchies (attached).
        [Dictionary] process_cgroup: Option<String>,
    }
}
