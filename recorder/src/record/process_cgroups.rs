//! Which control group decides a process's container: known by ids from the kernel, told by path.
//!
//! In: control groups as they are made and removed, processes as they start and move. Out: the path that
//! /proc/PID/cgroup would lead to, without reading it: a process may be gone before anyone could look.

use std::collections::BTreeMap;

use aftertrace_registry::container_id;
use aftertrace_schemas::tables::CgroupEvent;
use rustc_hash::FxHashMap;

use crate::sources::cgroups::{CgroupPathIndex, Hierarchies};

/// A control group: number of its hierarchy and id in it.
pub(super) type CgroupKey = (u32, u64);

/// Control groups whose paths are kept at most.
const MOST_CGROUPS: usize = 65_536;
/// Combinations of groups whose decision is remembered; crowds of processes share few.
const MOST_DECISIONS: usize = 4_096;

/// Paths of control groups, and the groups of processes.
#[derive(Debug)]
pub(super) struct ProcessCgroups {
    /// Hierarchy number to controllers, as in /proc/PID/cgroup; only those in which containers are looked for.
    controllers: BTreeMap<u32, String>,
    paths: CgroupPathIndex,
    processes: FxHashMap<u32, Vec<CgroupKey>>,
    decided: FxHashMap<Vec<CgroupKey>, Option<String>>,
}

impl ProcessCgroups {
    /// Nothing known but the hierarchies.
    pub(super) fn new(hierarchies: &Hierarchies) -> Self {
        let deciding = |name: &String| matches!(name.as_str(), "cpu" | "memory" | "name=systemd");
        let controllers = hierarchies
            .all
            .iter()
            .filter(|hierarchy| hierarchy.is_v2() || hierarchy.controllers.iter().any(deciding))
            .map(|hierarchy| {
                let names = if hierarchy.is_v2() { String::new() } else { hierarchy.controllers.join(",") };
                (hierarchy.id, names)
            })
            .collect();
        Self {
            controllers,
            paths: CgroupPathIndex::new(MOST_CGROUPS),
            processes: FxHashMap::default(),
            decided: FxHashMap::default(),
        }
    }

    /// How many paths could not be kept since the last call.
    pub(super) fn take_overflow(&mut self) -> u64 {
        self.paths.take_overflow()
    }

    /// Whether containers are looked for in this hierarchy.
    pub(super) fn decides(&self, hierarchy_id: u32) -> bool {
        self.controllers.contains_key(&hierarchy_id)
    }

    /// Learns of a control group that is there, was made, removed or entered.
    pub(super) fn apply(&mut self, event: &CgroupEvent) {
        self.paths.apply(event);
        self.decided.clear();
    }

    /// A process runs in these groups. Returns the deciding path.
    pub(super) fn process(&mut self, pid: u32, groups: Vec<CgroupKey>) -> Option<String> {
        let path = self.decide(&groups);
        self.processes.insert(pid, groups);
        path
    }

    /// A process moved to another group of one hierarchy. Returns the deciding path.
    pub(super) fn moved(&mut self, pid: u32, to: CgroupKey) -> Option<String> {
        let groups = self.processes.entry(pid).or_default();
        groups.retain(|(hierarchy_id, _)| *hierarchy_id != to.0);
        groups.push(to);
        groups.sort_unstable();
        let groups = groups.clone();
        self.decide(&groups)
    }

    /// A process ended.
    pub(super) fn ended(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    fn decide(&mut self, groups: &[CgroupKey]) -> Option<String> {
        if let Some(decided) = self.decided.get(groups) {
            return decided.clone();
        }
        // The rule is the registry's, and it reads what /proc/PID/cgroup would have said.
        let mut text = String::new();
        for key in groups {
            let (hierarchy_id, cgroup_id) = *key;
            let path = self.paths.path(hierarchy_id, cgroup_id);
            if let (Some(path), Some(controllers)) = (path, self.controllers.get(&hierarchy_id)) {
                text.push_str(&format!("{hierarchy_id}:{controllers}:{path}\n"));
            }
        }
        let decided = container_id::process_cgroup(&text).map(str::to_owned);
        if self.decided.len() >= MOST_DECISIONS {
            self.decided.clear();
        }
        self.decided.insert(groups.to_vec(), decided.clone());
        decided
    }
}
