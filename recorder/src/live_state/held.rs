//! How much is held at most, and what did not fit.

use std::collections::BTreeMap;

/// How much is held at most. What does not fit is counted and misses from later snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes.
    pub processes: usize,
    /// Sockets, and translations of their destinations.
    pub sockets: usize,
    /// Control groups.
    pub cgroups: usize,
    /// Containers and systemd units, each.
    pub containers: usize,
    /// Network namespaces.
    pub namespaces: usize,
    /// Mounts that control groups write to.
    pub mounts: usize,
    /// Log files.
    pub log_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 131_072,
            sockets: 262_144,
            cgroups: 65_536,
            containers: 65_536,
            namespaces: 16_384,
            mounts: 16_384,
            log_files: 16_384,
        }
    }
}

/// How many rows did not fit, by what they were of.
#[derive(Debug, Default)]
pub(super) struct Overflow(BTreeMap<&'static str, u64>);

impl Overflow {
    /// Counts one of `what` that did not fit.
    pub(super) fn unless(&mut self, fits: bool, what: &'static str) {
        if !fits {
            *self.0.entry(what).or_default() += 1;
        }
    }

    /// What was counted since the last call.
    pub(super) fn take(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.0)
    }
}
