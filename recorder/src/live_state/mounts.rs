//! On which mounts control groups write, and what was last told of these mounts.

use std::collections::BTreeMap;

use aftertrace_schemas::tables::{FileEvent, FilesystemStats, MountSnapshot};

/// Names a mount for as long as it lasts: mount ids are used again.
type MountKey = (i32, u32, u32);

/// A mount on which a process of a control group opened a file for writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenMount {
    /// Path of the control group.
    pub cgroup: String,
    /// Mount id as in /proc/PID/mountinfo.
    pub mount_id: i32,
    /// Major number of the file system's device.
    pub device_major: u32,
    /// Minor number of the file system's device.
    pub device_minor: u32,
    /// The process that opened the first file.
    pub pid: u32,
}

/// A mount as it was last recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownMount {
    /// The mount.
    pub mount: MountSnapshot,
    /// Size and use of its file system, once they were.
    pub space: Option<FilesystemStats>,
}

/// What control groups write to.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    written: BTreeMap<MountKey, BTreeMap<String, WrittenMount>>,
    written_count: usize,
    /// By control group and mount point.
    known: BTreeMap<(String, String), KnownMount>,
}

impl Mounts {
    /// Learns from a file that a process of `cgroup` opened. Returns false when that does not fit.
    pub(super) fn opened(&mut self, event: &FileEvent, cgroup: &str, limit: usize) -> bool {
        let key = (event.mount_id, event.device_major, event.device_minor);
        if self.written.get(&key).is_some_and(|groups| groups.contains_key(cgroup)) {
            return true;
        }
        if self.written_count >= limit {
            return false;
        }
        let (mount_id, device_major, device_minor) = key;
        let mount =
            WrittenMount { cgroup: cgroup.to_owned(), mount_id, device_major, device_minor, pid: event.pid };
        self.written.entry(key).or_default().insert(cgroup.to_owned(), mount);
        self.written_count += 1;
        true
    }

    /// Learns what a mount is, or that it is gone. Returns false when it does not fit.
    pub(super) fn told(&mut self, row: &MountSnapshot, limit: usize) -> bool {
        let key = (row.cgroup.clone(), row.mount_point.clone());
        if !row.mounted {
            self.known.remove(&key);
            self.forget(|mount| mount.cgroup == row.cgroup && mount.mount_id == row.mount_id);
            return true;
        }
        if self.known.len() >= limit && !self.known.contains_key(&key) {
            return false;
        }
        let space = self.known.remove(&key).and_then(|known| known.space);
        self.known.insert(key, KnownMount { mount: row.clone(), space });
        true
    }

    /// Learns how much space there is.
    pub(super) fn measured(&mut self, row: &FilesystemStats) {
        if let Some(known) = self.known.get_mut(&(row.cgroup.clone(), row.mount_point.clone())) {
            known.space = Some(row.clone());
        }
    }

    /// The control group is gone.
    pub(super) fn removed(&mut self, cgroup: &str) {
        self.forget(|mount| mount.cgroup == cgroup);
        self.known.retain(|(of, _), _| of != cgroup);
    }

    fn forget(&mut self, is_over: impl Fn(&WrittenMount) -> bool) {
        for groups in self.written.values_mut() {
            groups.retain(|_, mount| !is_over(mount));
        }
        self.written.retain(|_, groups| !groups.is_empty());
        self.written_count = self.written.values().map(BTreeMap::len).sum();
    }

    /// Mounts that are written to.
    pub(super) fn written(&self) -> impl Iterator<Item = &WrittenMount> {
        self.written.values().flat_map(BTreeMap::values)
    }

    /// Mounts as they were last recorded.
    pub(super) fn known(&self) -> impl Iterator<Item = &KnownMount> {
        self.known.values()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use aftertrace_schemas::tables::FileEventKind;

    use super::*;

    fn opened(mount_id: i32) -> FileEvent {
        FileEvent {
            kind: FileEventKind::Open,
            pid: 7,
            process_start_ns: 0,
            fd: 3,
            path: "/data/x".to_owned(),
            flags: 1,
            device_major: 8,
            device_minor: 1,
            inode: 5,
            mount_id,
        }
    }

    fn mount(cgroup: &str, mount_id: i32) -> MountSnapshot {
        MountSnapshot {
            cgroup: cgroup.to_owned(),
            mount_point: format!("/{mount_id}"),
            mounted: true,
            mount_id,
            device_major: 8,
            device_minor: 1,
            file_system: "ext4".to_owned(),
            source: "/dev/sda1".to_owned(),
            device: "sda".to_owned(),
            disk_major: None,
            disk_minor: None,
            volume: None,
        }
    }

    fn space(mount: &MountSnapshot) -> FilesystemStats {
        FilesystemStats {
            cgroup: mount.cgroup.clone(),
            mount_point: mount.mount_point.clone(),
            size_bytes: Some(1),
            free_bytes: None,
            available_bytes: None,
        }
    }

    #[test]
    fn many_files_on_one_mount_are_one_mount_and_what_does_not_fit_is_said() {
        let mut mounts = Mounts::default();
        for _ in 0..3 {
            assert!(mounts.opened(&opened(1), "/a", 2));
        }
        assert!(mounts.opened(&opened(1), "/b", 2));
        assert!(!mounts.opened(&opened(2), "/b", 2));
        let written: Vec<_> = mounts.written().map(|mount| (mount.cgroup.as_str(), mount.mount_id)).collect();
        assert_eq!(written, [("/a", 1), ("/b", 1)]);
        assert!(mounts.told(&mount("/a", 1), 1) && !mounts.told(&mount("/b", 1), 1));
    }

    #[test]
    fn a_mount_keeps_its_figures_when_it_is_told_again_and_is_forgotten_when_it_is_gone() {
        let mut mounts = Mounts::default();
        mounts.opened(&opened(1), "/a", 9);
        mounts.told(&mount("/a", 1), 9);
        mounts.measured(&space(&mount("/a", 1)));
        mounts.told(&mount("/a", 1), 9);
        assert_eq!(mounts.known().next().unwrap().space, Some(space(&mount("/a", 1))));
        mounts.told(&MountSnapshot { mounted: false, ..mount("/a", 1) }, 9);
        assert_eq!((mounts.known().count(), mounts.written().count()), (0, 0));
        mounts.measured(&space(&mount("/a", 1)));
        assert!(mounts.opened(&opened(2), "/a", 1), "there is room again");
    }

    #[test]
    fn a_removed_control_group_takes_its_mounts_with_it_and_no_others() {
        let mut mounts = Mounts::default();
        for cgroup in ["/a", "/b"] {
            mounts.opened(&opened(1), cgroup, 9);
            mounts.told(&mount(cgroup, 1), 9);
        }
        mounts.removed("/a");
        assert_eq!(mounts.written().map(|mount| mount.cgroup.as_str()).collect::<Vec<_>>(), ["/b"]);
        assert_eq!(mounts.known().map(|known| known.mount.cgroup.as_str()).collect::<Vec<_>>(), ["/b"]);
    }
}
