//! `systemd_units`: what systemd says of a unit.

use super::MetadataStatus;

table! {
    /// What systemd says of a unit. A later row of the same `cgroup` replaces an earlier one.
    pub struct SystemdUnit in "systemd_units" as SystemdUnit {
        /// Path of the unit's control group.
        [Dictionary] cgroup: String,
        /// Name of the unit.
        [Dictionary] name: String,
        /// Whether systemd answered.
        [Dictionary] metadata: MetadataStatus,
        /// Type of a service: simple, forking, oneshot, dbus and so on.
        [Dictionary] unit_type: Option<String>,
        /// Units that start it, such as timers and sockets, in the order in which systemd names them.
        [Dictionary] triggered_by: Vec<String>,
    }
}
