//! `hosts`: names and versions of the host.

table! {
    /// Names and versions of the host that was recorded.
    pub struct HostSnapshot in "hosts" as Host {
        /// Host name (uname).
        [Dictionary] hostname: String,
        /// Kernel release (uname).
        [Dictionary] kernel_version: String,
        /// Machine architecture (uname).
        [Dictionary] architecture: String,
        /// Machine id: /etc/machine-id, else /var/lib/dbus/machine-id, else the DMI product UUID; without dashes.
        [Dictionary] machine_id: String,
        /// DMI product UUID; empty when unreadable.
        [Dictionary] system_uuid: String,
        /// Id of this boot.
        [Dictionary] boot_id: String,
        /// Inode of the host's own network namespace.
        [Dictionary] network_namespace: Option<u32>,
        /// Version of the recorder.
        [Dictionary] recorder_version: String,
    }
}
