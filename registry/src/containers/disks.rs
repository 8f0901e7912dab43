//! Disks of a container: the file systems that it writes to, and its block I/O on the disks that they are on.

use std::collections::BTreeMap;
use std::sync::Arc;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{CgroupIo, FilesystemStats, MountSnapshot};

use super::group_counters::GroupCounters;
use crate::Limits;
use crate::losses::{Dropped, Drops};
use crate::metrics::{Collector, definitions};

/// Major and minor number.
type Device = (u32, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Reads,
    Writes,
    ReadBytes,
    WrittenBytes,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    mount_point: Arc<str>,
    device: Arc<str>,
    volume: Arc<str>,
}

#[derive(Debug)]
struct Mount {
    labels: Labels,
    disk: Option<Device>,
    space: Option<Space>,
}

#[derive(Debug, Clone, Copy)]
struct Space {
    size: u64,
    free: u64,
    available: u64,
}

impl Space {
    fn of(row: &FilesystemStats) -> Option<Self> {
        Some(Self { size: row.size_bytes?, free: row.free_bytes?, available: row.available_bytes? })
    }
}

/// Disks of a container.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    io: GroupCounters<(Device, Field)>,
    /// By control group and mount point.
    mounts: BTreeMap<(Box<str>, Box<str>), Mount>,
}

impl Disks {
    pub(crate) fn io(&mut self, row: &CgroupIo, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        let device = (row.device_major, row.device_minor);
        let values = [
            (Field::Reads, row.reads),
            (Field::Writes, row.writes),
            (Field::ReadBytes, row.read_bytes),
            (Field::WrittenBytes, row.written_bytes),
        ];
        // Devices come with all their fields or not at all.
        let most = limits.disks.saturating_mul(values.len());
        if !self.io.has_room(&row.cgroup, (device, Field::Reads), limits.cgroups, most) {
            drops.count(Dropped::Disks, time);
            return;
        }
        for (field, value) in values {
            self.io.update(&row.cgroup, (device, field), value);
        }
    }

    pub(crate) fn mount(&mut self, row: &MountSnapshot, limits: &Limits, drops: &mut Drops, time: UnixNanos) {
        let key = (row.cgroup.as_str().into(), row.mount_point.as_str().into());
        if !row.mounted {
            self.mounts.remove(&key);
            return;
        }
        if self.mounts.len() >= limits.disks && !self.mounts.contains_key(&key) {
            drops.count(Dropped::Disks, time);
            return;
        }
        let labels = Labels {
            mount_point: drops.label(&row.mount_point, limits, time),
            device: drops.label(&row.device, limits, time),
            volume: drops.label(row.volume.as_deref().unwrap_or_default(), limits, time),
        };
        let disk = row.disk_major.zip(row.disk_minor);
        // What is known of the same mount stays; another one there has its own size.
        let space = self.mounts.remove(&key).filter(|known| known.disk == disk).and_then(|known| known.space);
        self.mounts.insert(key, Mount { labels, disk, space });
    }

    pub(crate) fn space(&mut self, row: &FilesystemStats) {
        let key = (row.cgroup.as_str().into(), row.mount_point.as_str().into());
        if let Some(mount) = self.mounts.get_mut(&key) {
            mount.space = Space::of(row);
        }
    }

    pub(crate) fn created(&mut self, cgroup: &str) {
        self.io.created(cgroup);
    }

    pub(crate) fn remove(&mut self, cgroup: &str) {
        self.io.remove(cgroup);
        self.mounts.retain(|(of, _), _| &**of != cgroup);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.io.merge(other.io);
        for (key, mount) in other.mounts {
            self.mounts.entry(key).or_insert(mount);
        }
    }

    pub(crate) fn collect(&self, collector: &mut Collector) {
        if self.mounts.is_empty() {
            return;
        }
        // Control groups of one container see the same mounts: each is one series.
        let mounts: BTreeMap<&Labels, &Mount> =
            self.mounts.values().map(|mount| (&mount.labels, mount)).collect();
        let io = self.io.totals();
        for (labels, mount) in mounts {
            let mut add = |definition, value: u64| {
                let labels = [
                    ("mount_point", labels.mount_point.clone()),
                    ("device", labels.device.clone()),
                    ("volume", labels.volume.clone()),
                ];
                collector.add(definition, labels, value as f64);
            };
            if let Some(Space { size, free, available }) = mount.space {
                add(&definitions::DISK_SIZE, size);
                add(&definitions::DISK_USED, size.saturating_sub(free));
                add(&definitions::DISK_RESERVED, free.saturating_sub(available));
            }
            let fields = [
                (Field::Reads, &definitions::DISK_READS),
                (Field::Writes, &definitions::DISK_WRITES),
                (Field::ReadBytes, &definitions::DISK_READ_BYTES),
                (Field::WrittenBytes, &definitions::DISK_WRITTEN_BYTES),
            ];
            for (field, definition) in fields {
                if let Some(value) = mount.disk.and_then(|disk| io.get(&(disk, field))) {
                    add(definition, *value);
                }
            }
        }
    }
}
