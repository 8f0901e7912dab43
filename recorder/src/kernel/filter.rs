//! Which processes and control groups the programs record, when a filter is on.

use aya::maps::MapError;

use super::{Kernel, KernelError};

impl Kernel {
    /// Records this process, and its children from now on, wherever they move. Descendants that exist already are to
    /// be named as well.
    ///
    /// # Errors
    /// When the filter has no room for more.
    pub fn trace_pid(&mut self, pid: u32) -> Result<(), KernelError> {
        let [_, hierarchies] = self.traced.get(&pid, 0).unwrap_or_default();
        self.traced.insert(pid, [1, hierarchies], 0).map_err(|error| failed("traced", &error))
    }

    /// Records this process as a member of a control group named by [`Kernel::trace_cgroup`], until it leaves that.
    /// For members at the time of that call; later ones are found by the programs.
    ///
    /// # Errors
    /// When the filter has no room for more.
    pub fn trace_member(&mut self, pid: u32, hierarchy_id: u32) -> Result<(), KernelError> {
        let [by_pid, hierarchies] = self.traced.get(&pid, 0).unwrap_or_default();
        let value = [by_pid, hierarchies | 1 << (hierarchy_id & 31)];
        self.traced.insert(pid, value, 0).map_err(|error| failed("traced", &error))
    }

    /// No longer records this process. Its children go on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn untrace_pid(&mut self, pid: u32) -> Result<(), KernelError> {
        absent_is_fine(self.traced.remove(&pid), "traced")
    }

    /// Records what is forked in or moved to this control group or one below it, from now on. `cgroup_id` is the inode
    /// number of its directory; hierarchy 0 is version 2.
    ///
    /// # Errors
    /// When the filter has no room for more.
    pub fn trace_cgroup(&mut self, hierarchy_id: u32, cgroup_id: u64) -> Result<(), KernelError> {
        let key = [cgroup_id, u64::from(hierarchy_id)];
        self.traced_cgroups.insert(key, 1, 0).map_err(|error| failed("traced_cgroups", &error))
    }

    /// Undoes [`Kernel::trace_cgroup`] for processes to come; members stay recorded until they move.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn untrace_cgroup(&mut self, hierarchy_id: u32, cgroup_id: u64) -> Result<(), KernelError> {
        absent_is_fine(self.traced_cgroups.remove(&[cgroup_id, u64::from(hierarchy_id)]), "traced_cgroups")
    }

    /// Whether the filter admits this process now.
    pub fn is_traced(&self, pid: u32) -> bool {
        self.traced.get(&pid, 0).is_ok()
    }
}

fn absent_is_fine(result: Result<(), MapError>, map: &'static str) -> Result<(), KernelError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| failed(map, &error)),
    }
}

fn failed(name: &'static str, error: &MapError) -> KernelError {
    KernelError::Map { name, reason: super::error::chain(error) }
}
