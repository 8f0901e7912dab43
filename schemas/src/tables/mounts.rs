//! `mounts`: the mounts on which containers opened files for writing.

table! {
    /// A mount on which processes of a control group opened a file for writing. A later row of the same `cgroup` and
    /// `mount_point` replaces an earlier one.
    pub struct MountSnapshot in "mounts" as Mount {
        /// Path of the control group.
        [Dictionary] cgroup: String,
        /// Where it is mounted, as the processes see it.
        [Dictionary] mount_point: String,
        /// Whether it still is; false in its last row.
        [Dictionary] mounted: bool,
        /// Mount id, as in `file_events`.
        [Dictionary] mount_id: i32,
        /// Major number of the file system's device, as in `file_events`.
        [Dictionary] device_major: u32,
        /// Minor number of the file system's device.
        [Dictionary] device_minor: u32,
        /// Type of the file system.
        [Dictionary] file_system: String,
        /// What is mounted: a device, an export.
        [Dictionary] source: String,
        /// Name of the disk that it is on, not of the partition; the source where there is no disk.
        [Dictionary] device: String,
        /// Major number of that disk, as in `cgroup_io`.
        [Dictionary] disk_major: Option<u32>,
        /// Minor number of that disk.
        [Dictionary] disk_minor: Option<u32>,
        /// Name of the persistent volume claim's volume (`pvc-UUID`).
        [Dictionary] volume: Option<String>,
    }
}
