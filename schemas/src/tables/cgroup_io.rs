//! `cgroup_io`: block I/O of control groups by device, v1 and v2.

table! {
    /// Block I/O of a control group and those below it on one device, since the group was made.
    pub struct CgroupIo in "cgroup_io" as CgroupIo {
        /// Path of the control group.
        [Dictionary] cgroup: String,
        /// Major number of the device, which is a whole disk where the kernel has one.
        [Dictionary] device_major: u32,
        /// Minor number of the device.
        [Dictionary] device_minor: u32,
        /// Reads (v1 `blkio.throttle.io_serviced`, v2 `io.stat rios`).
        [Delta] reads: u64,
        /// Writes (v1 `blkio.throttle.io_serviced`, v2 `wios`).
        [Delta] writes: u64,
        /// Bytes read (v1 `blkio.throttle.io_service_bytes`, v2 `rbytes`).
        [Delta] read_bytes: u64,
        /// Bytes written (v1 `blkio.throttle.io_service_bytes`, v2 `wbytes`).
        [Delta] written_bytes: u64,
    }
}
