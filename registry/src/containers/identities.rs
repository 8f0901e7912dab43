//! From the path of a control group to a container: what paths were seen, and what the runtimes said.

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, SystemdUnit};

use super::{ContainerIndex, RETENTION_NS};
use crate::Config;
use crate::container_id::{CgroupKind, classify, container_id, is_system_service, is_task};
use crate::losses::{Dropped, Drops};
use crate::maps::OrderedMap;

/// A control group that was seen.
#[derive(Debug, Clone)]
struct Group {
    /// Where its metadata is kept.
    key: Box<str>,
    container: Option<ContainerIndex>,
    removed: Option<UnixNanos>,
}

/// Control groups and metadata, by path and by runtime id.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    groups: OrderedMap<Box<str>, Group>,
    /// By the id that the runtime gave, so that groups inside the container share it; by path where there is none.
    metadata: OrderedMap<Box<str>, Box<ContainerSnapshot>>,
    /// What systemd said, by the path of the unit.
    units: OrderedMap<Box<str>, Box<SystemdUnit>>,
}

/// Where metadata of a control group is kept.
fn metadata_key<'a>(kind: &'a CgroupKind, cgroup: &'a str) -> &'a str {
    match kind {
        CgroupKind::Systemd { unit } => unit,
        _ => kind.runtime_id().unwrap_or(cgroup),
    }
}

impl Identities {
    /// The container of a control group that was seen before; the outer `None` when it was not.
    pub(crate) fn known(&self, cgroup: &str) -> Option<Option<ContainerIndex>> {
        self.groups.get(cgroup).map(|group| group.container)
    }

    /// The container id of a control group; `None` when it is no container's, or is left out.
    pub(crate) fn identify(&self, cgroup: &str, time: UnixNanos, config: &Config) -> Option<String> {
        let kind = classify(cgroup);
        if let CgroupKind::Systemd { unit } = &kind
            && config.skip_systemd_system_services
            && (is_system_service(unit) || self.units.get(&**unit).is_some_and(|row| is_task(row)))
        {
            return None;
        }
        container_id(&kind, self.metadata_of(&kind, cgroup), time)
    }

    fn metadata_of(&self, kind: &CgroupKind, cgroup: &str) -> Option<&ContainerSnapshot> {
        self.metadata.get(metadata_key(kind, cgroup)).map(|row| &**row)
    }

    /// What the runtime says of the container that a control group is of.
    pub(crate) fn metadata(&self, cgroup: &str) -> Option<&ContainerSnapshot> {
        self.metadata_of(&classify(cgroup), cgroup)
    }

    /// What systemd says of the unit that a control group is of.
    pub(crate) fn unit(&self, cgroup: &str) -> Option<&SystemdUnit> {
        self.units.get(metadata_key(&classify(cgroup), cgroup)).map(|row| &**row)
    }

    /// Remembers which container a control group is of.
    pub(crate) fn insert(
        &mut self,
        cgroup: &str,
        container: Option<ContainerIndex>,
        time: UnixNanos,
        config: &Config,
        drops: &mut Drops,
    ) {
        if let Some(group) = self.groups.get_mut(cgroup) {
            group.container = container;
        } else if self.groups.len() < config.limits.cgroups {
            let key = metadata_key(&classify(cgroup), cgroup).into();
            self.groups.insert(cgroup.into(), Group { key, container, removed: None });
        } else {
            drops.count(Dropped::Cgroups, time);
        }
    }

    /// What the runtime says now. Returns the known control groups of that container when it is news.
    pub(crate) fn learn(
        &mut self,
        row: &ContainerSnapshot,
        time: UnixNanos,
        config: &Config,
        drops: &mut Drops,
    ) -> Vec<Box<str>> {
        let kind = classify(&row.cgroup);
        let key = metadata_key(&kind, &row.cgroup);
        // A runtime that does not answer now has not taken back what it said.
        let is_found = |row: &ContainerSnapshot| row.metadata == MetadataStatus::Found;
        if self.metadata.get(key).is_some_and(|known| **known == *row || is_found(known) && !is_found(row)) {
            return Vec::new();
        }
        if self.metadata.len() >= config.limits.cgroups && !self.metadata.contains_key(key) {
            drops.count(Dropped::Cgroups, time);
            return Vec::new();
        }
        self.metadata.insert(key.into(), Box::new(row.clone()));
        self.groups_of(key)
    }

    /// What systemd says now. Returns the known control groups of that unit when it is news.
    pub(crate) fn learn_unit(
        &mut self,
        row: &SystemdUnit,
        time: UnixNanos,
        config: &Config,
        drops: &mut Drops,
    ) -> Vec<Box<str>> {
        let kind = classify(&row.cgroup);
        let key = metadata_key(&kind, &row.cgroup);
        let says_same = |known: &SystemdUnit| {
            (&known.unit_type, &known.triggered_by) == (&row.unit_type, &row.triggered_by)
        };
        // As for containers: no answer takes nothing back.
        if row.metadata != MetadataStatus::Found || self.units.get(key).is_some_and(|known| says_same(known))
        {
            return Vec::new();
        }
        if self.units.len() >= config.limits.cgroups && !self.units.contains_key(key) {
            drops.count(Dropped::Cgroups, time);
            return Vec::new();
        }
        self.units.insert(key.into(), Box::new(row.clone()));
        self.groups_of(key)
    }

    fn groups_of(&self, key: &str) -> Vec<Box<str>> {
        let of_same = self.groups.iter().filter(|(_, group)| &*group.key == key);
        of_same.map(|(cgroup, _)| cgroup.clone()).collect()
    }

    /// The control group was made (again) or removed.
    pub(crate) fn set_removed(&mut self, cgroup: &str, removed: Option<UnixNanos>) {
        if let Some(group) = self.groups.get_mut(cgroup) {
            group.removed = removed;
        }
    }

    /// Control groups of container `from` are of `to` from now on; without `to` they are forgotten.
    pub(crate) fn repoint(&mut self, from: ContainerIndex, to: Option<ContainerIndex>) {
        self.groups.retain(|_, group| {
            if group.container != Some(from) {
                return true;
            }
            group.container = to;
            to.is_some()
        });
    }

    /// Forgets control groups that were removed long ago, and what the runtime said of them. One that has processes
    /// was removed from one of several hierarchies only.
    pub(crate) fn expire(&mut self, now: UnixNanos, is_live: impl Fn(ContainerIndex) -> bool) {
        let mut forgotten = Vec::new();
        self.groups.retain(|_, group| {
            let is_old = group.removed.is_some_and(|removed| now.saturating_sub(removed) > RETENTION_NS)
                && !group.container.is_some_and(&is_live);
            if is_old {
                forgotten.push(std::mem::take(&mut group.key));
            }
            !is_old
        });
        // A group inside the container may be gone while the container is not.
        forgotten.retain(|key| !self.groups.values().any(|group| group.key == *key));
        for key in forgotten {
            self.metadata.swap_remove(&key);
            self.units.swap_remove(&key);
        }
    }
}
