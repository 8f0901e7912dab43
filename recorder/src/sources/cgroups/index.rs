//! The path of each control group by its id, as the kernel side reports ids.

use std::collections::VecDeque;

use aftertrace_schemas::tables::{CgroupEvent, CgroupEventKind};
use rustc_hash::FxHashMap;

/// Removed groups that are still known, for events that were under way.
const REMOVED_KEPT: usize = 1024;

/// (hierarchy id, cgroup id) → path. Bounded: what does not fit is counted.
#[derive(Debug)]
pub struct CgroupPathIndex {
    paths: FxHashMap<(u32, u64), String>,
    /// Oldest first.
    removed: VecDeque<(u32, u64)>,
    capacity: usize,
    overflow: u64,
}

impl CgroupPathIndex {
    /// Holds `capacity` groups at most.
    pub fn new(capacity: usize) -> Self {
        Self { paths: FxHashMap::default(), removed: VecDeque::new(), capacity, overflow: 0 }
    }

    /// Learns from a scan's rows or from the kernel's events.
    pub fn apply(&mut self, event: &CgroupEvent) {
        match event.kind {
            CgroupEventKind::Existing | CgroupEventKind::Created => {
                self.insert(event.hierarchy_id, event.cgroup_id, &event.path);
            }
            CgroupEventKind::Removed => self.remove(event.hierarchy_id, event.cgroup_id),
            // An attachment names where a process went; also that teaches a path that was missed.
            CgroupEventKind::Attached => {
                if !event.path.is_empty() {
                    self.insert(event.hierarchy_id, event.cgroup_id, &event.path);
                }
            }
            CgroupEventKind::Other => {}
        }
    }

    /// Learns one group.
    pub fn insert(&mut self, hierarchy_id: u32, cgroup_id: u64, path: &str) {
        let key = (hierarchy_id, cgroup_id);
        if let Some(known) = self.paths.get_mut(&key) {
            if known != path {
                path.clone_into(known);
            }
            // Kernels before 5.5 use inode numbers again: the group is alive, so it is not to be forgotten.
            self.removed.retain(|removed| *removed != key);
            return;
        }
        while self.paths.len() >= self.capacity {
            let Some(oldest) = self.removed.pop_front() else {
                self.overflow += 1;
                return;
            };
            self.paths.remove(&oldest);
        }
        self.paths.insert(key, path.to_owned());
    }

    /// The group is gone; it is forgotten a little later.
    pub fn remove(&mut self, hierarchy_id: u32, cgroup_id: u64) {
        let key = (hierarchy_id, cgroup_id);
        if !self.paths.contains_key(&key) || self.removed.contains(&key) {
            return;
        }
        self.removed.push_back(key);
        if self.removed.len() > REMOVED_KEPT
            && let Some(oldest) = self.removed.pop_front()
        {
            self.paths.remove(&oldest);
        }
    }

    /// The path of a group.
    pub fn path(&self, hierarchy_id: u32, cgroup_id: u64) -> Option<&str> {
        self.paths.get(&(hierarchy_id, cgroup_id)).map(String::as_str)
    }

    /// Groups that are known.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many did not fit since the last call.
    pub fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }
}
