//! Observations of control groups and containers, and the life of containers that follows from them.

use std::net::IpAddr;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{
    CgroupEvent, CgroupEventKind, CgroupIo, CgroupStats, ContainerSnapshot, FilesystemStats, MountSnapshot,
    NetworkNamespace, SystemdUnit,
};

use super::Registry;
use crate::containers::{Container, ContainerIndex};
use crate::findings;
use crate::losses::Dropped;
use crate::processes::ProcessKey;

impl Registry {
    pub(super) fn cgroup_event(&mut self, time: UnixNanos, row: &CgroupEvent) {
        match row.kind {
            CgroupEventKind::Existing => self.identities.set_removed(&row.path, None),
            CgroupEventKind::Created => {
                self.identities.set_removed(&row.path, None);
                if let Some(container) = self.known_container(&row.path) {
                    container.cgroup_created(&row.path);
                }
            }
            CgroupEventKind::Removed => {
                self.identities.set_removed(&row.path, Some(time));
                if let Some(container) = self.known_container(&row.path) {
                    container.cgroup_removed(&row.path);
                }
            }
            CgroupEventKind::Attached => {
                if let (Some(pid), Some(start_ns)) = (row.pid, row.process_start_ns) {
                    let key = ProcessKey { pid, start_ns };
                    self.ensure_process(time, key, row.process_cgroup.as_deref(), None, None);
                }
            }
            CgroupEventKind::Other => {}
        }
    }

    fn known_container(&mut self, cgroup: &str) -> Option<&mut Container> {
        self.containers.get_mut(self.identities.known(cgroup)??)
    }

    pub(super) fn cgroup_stats(&mut self, time: UnixNanos, row: &CgroupStats) {
        let limit = self.config.limits.cgroups;
        if let Some(container) = self.resolve(&row.cgroup, time)
            && let Some(container) = self.containers.get_mut(container)
        {
            if container.usage.has_room(&row.cgroup, limit) {
                container.usage.update(row, time);
                container.waiting.update(row);
            } else {
                self.drops.count(Dropped::Cgroups, time);
            }
        }
    }

    pub(super) fn cgroup_io(&mut self, time: UnixNanos, row: &CgroupIo) {
        if let Some(container) = self.resolve(&row.cgroup, time)
            && let Some(container) = self.containers.get_mut(container)
        {
            container.disks.io(row, &self.config.limits, &mut self.drops, time);
        }
    }

    pub(super) fn mount(&mut self, time: UnixNanos, row: &MountSnapshot) {
        if let Some(container) = self.resolve(&row.cgroup, time)
            && let Some(container) = self.containers.get_mut(container)
        {
            container.disks.mount(row, &self.config.limits, &mut self.drops, time);
        }
    }

    pub(super) fn filesystem_stats(&mut self, row: &FilesystemStats) {
        if let Some(container) = self.known_container(&row.cgroup) {
            container.disks.space(row);
        }
    }

    pub(super) fn network_namespace(&mut self, time: UnixNanos, row: &NetworkNamespace) {
        let is_known = self.namespaces.contains_key(&row.network_namespace);
        if !is_known && self.namespaces.len() >= self.config.limits.host_objects {
            self.drops.count(Dropped::HostObjects, time);
            return;
        }
        let addresses: Vec<IpAddr> =
            row.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        self.namespaces.insert(row.network_namespace, addresses);
    }

    pub(super) fn container_snapshot(&mut self, time: UnixNanos, row: &ContainerSnapshot) {
        let groups = self.identities.learn(row, time, &self.config, &mut self.drops);
        self.identify_again(groups, time);
    }

    pub(super) fn systemd_unit(&mut self, time: UnixNanos, row: &SystemdUnit) {
        let groups = self.identities.learn_unit(row, time, &self.config, &mut self.drops);
        self.identify_again(groups, time);
    }

    /// More is known of what is in these control groups.
    fn identify_again(&mut self, groups: Vec<Box<str>>, time: UnixNanos) {
        for cgroup in groups {
            let old = self.identities.known(&cgroup).flatten();
            let id = self.identities.identify(&cgroup, time, &self.config);
            match (old, id) {
                (Some(old), Some(id)) => {
                    self.rename(old, &id, time);
                    self.describe(&cgroup);
                }
                // It is a container's after all.
                (None, Some(_)) => {
                    let container = self.place(&cgroup, time);
                    self.identities.insert(&cgroup, container, time, &self.config, &mut self.drops);
                    self.describe(&cgroup);
                }
                // It is left out after all: a pod's pause container, or a unit that is a task.
                (Some(old), None) => {
                    self.drop_container(old);
                    self.identities.insert(&cgroup, None, time, &self.config, &mut self.drops);
                }
                (None, None) => {}
            }
        }
    }

    /// The container of a control group, new if need be; `None` when it is none's or there are too many.
    pub(super) fn resolve(&mut self, cgroup: &str, time: UnixNanos) -> Option<ContainerIndex> {
        if let Some(known) = self.identities.known(cgroup) {
            return known;
        }
        let container = self.place(cgroup, time);
        self.identities.insert(cgroup, container, time, &self.config, &mut self.drops);
        if container.is_some() {
            self.describe(cgroup);
        }
        container
    }

    fn place(&mut self, cgroup: &str, time: UnixNanos) -> Option<ContainerIndex> {
        let id = self.identities.identify(cgroup, time, &self.config)?;
        let id = self.drops.label(&id, &self.config.limits, time);
        self.containers.entry(id, time, &self.config, &mut self.drops)
    }

    /// Gives the container of a control group what the runtime or systemd says of it.
    fn describe(&mut self, cgroup: &str) {
        let (limits, now) = (&self.config.limits, self.now);
        let Some(container) =
            self.identities.known(cgroup).flatten().and_then(|index| self.containers.get_mut(index))
        else {
            return;
        };
        if let Some(row) = self.identities.metadata(cgroup) {
            container.description.learn_container(row, limits, &mut self.drops, now);
        }
        if let Some(row) = self.identities.unit(cgroup) {
            container.description.learn_unit(row, limits, &mut self.drops, now);
        }
    }

    /// The container has this id from now on. When another one has it already, they are one: a container that was
    /// started again under its name.
    fn rename(&mut self, index: ContainerIndex, id: &str, time: UnixNanos) {
        let id: Arc<str> = self.drops.label(id, &self.config.limits, time);
        match self.containers.by_id(&id) {
            Some(same) if same == index => {}
            None => self.containers.rename(index, id, &self.config),
            Some(target) => {
                let Some(other) = self.containers.remove(index) else {
                    return;
                };
                self.repoint(index, Some(target));
                let (limits, drops) = (&self.config.limits, &mut self.drops);
                let is_restart = self
                    .containers
                    .get_mut(target)
                    .is_some_and(|container| container.merge(*other, time, limits, drops));
                if is_restart {
                    self.restarted(target, time);
                }
            }
        }
    }

    /// Its last process ended long ago: what it tells stays as findings.
    pub(super) fn remove_container(&mut self, index: ContainerIndex) {
        let Some(container) = self.containers.remove(index) else {
            return;
        };
        self.repoint(index, None);
        if container.started_at_ns.is_none() || !container.is_admitted {
            return;
        }
        for finding in findings::of_container(&container) {
            if self.past_findings.len() < self.config.limits.findings {
                self.past_findings.push(finding);
            } else {
                self.drops.count(Dropped::Findings, self.now);
            }
        }
    }

    /// It is no container: nothing of it stays.
    fn drop_container(&mut self, index: ContainerIndex) {
        if self.containers.remove(index).is_some() {
            self.repoint(index, None);
        }
    }

    fn repoint(&mut self, from: ContainerIndex, to: Option<ContainerIndex>) {
        self.identities.repoint(from, to);
        self.processes.repoint(from, to);
        self.sockets.repoint(from, to);
        self.talks.repoint(from, to);
    }
}
