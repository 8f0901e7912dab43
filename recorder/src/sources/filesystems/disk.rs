//! The disk that a file system is on: /sys/dev/block in, name and numbers of the whole device out.

use std::os::unix::fs::MetadataExt;

use super::super::Roots;
use super::super::file::first_line;
use super::super::text::number_u32;
use super::mountinfo::Mount;

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) device: (u32, u32),
}

/// The disk that holds a mount's file system; `None` when that is on no disk, or on several by its own doing.
pub(super) fn disk_of(roots: &Roots, mount: &Mount) -> Option<Disk> {
    let device = if mount.device.0 != 0 {
        mount.device
    } else {
        // btrfs has numbers of its own, but names the device.
        let path = mount.source.strip_prefix("/dev/")?;
        let places = [roots.proc_file("1/root/dev"), roots.path("/dev")];
        let device = places.iter().find_map(|dev| std::fs::metadata(dev.join(path)).ok())?.rdev();
        (rustix::fs::major(device), rustix::fs::minor(device))
    };
    whole(roots, device)
}

/// The disk that the device is, or is a partition of.
fn whole(roots: &Roots, (major, minor): (u32, u32)) -> Option<Disk> {
    let link = roots.sys.join(format!("dev/block/{major}:{minor}"));
    let target = std::fs::read_link(&link).ok()?;
    let is_partition = link.join("partition").exists();
    let of_disk = if is_partition { target.parent()? } else { target.as_path() };
    let name = of_disk.file_name()?.to_str()?.to_owned();
    let numbers = first_line(&link.join(if is_partition { "../dev" } else { "dev" }))?;
    let (major, minor) = numbers.split_once(':')?;
    Some(Disk { name, device: (number_u32(major.as_bytes())?, number_u32(minor.as_bytes())?) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mount(device: (u32, u32), source: &str) -> Mount {
        let (root, point) = ("/".to_owned(), "/".to_owned());
        Mount { id: 1, device, root, point, file_system: "ext4".to_owned(), source: source.to_owned() }
    }

    #[test]
    fn a_partition_is_on_its_disk_and_a_disk_on_itself() {
        let host = tempfile::tempdir().unwrap();
        let roots = Roots::below(host.path());
        let disk = roots.sys.join("devices/pci0/block/nvme0n1");
        fs::create_dir_all(disk.join("nvme0n1p2")).unwrap();
        fs::create_dir_all(roots.sys.join("dev/block")).unwrap();
        fs::write(disk.join("dev"), "259:0\n").unwrap();
        fs::write(disk.join("nvme0n1p2/dev"), "259:2\n").unwrap();
        fs::write(disk.join("nvme0n1p2/partition"), "2\n").unwrap();
        symlink("../../devices/pci0/block/nvme0n1", roots.sys.join("dev/block/259:0")).unwrap();
        symlink("../../devices/pci0/block/nvme0n1/nvme0n1p2", roots.sys.join("dev/block/259:2")).unwrap();
        let expected = Some(Disk { name: "nvme0n1".to_owned(), device: (259, 0) });
        assert_eq!(disk_of(&roots, &mount((259, 2), "/dev/nvme0n1p2")), expected);
        assert_eq!(disk_of(&roots, &mount((259, 0), "/dev/nvme0n1")), expected);
        assert_eq!(disk_of(&roots, &mount((259, 9), "/dev/nvme0n1p9")), None);
        assert_eq!(disk_of(&roots, &mount((0, 50), "nas:/export")), None);
    }

    #[test]
    fn the_disk_of_this_machines_root_is_one_of_diskstats() {
        let Ok(text) = fs::read("/proc/self/mountinfo") else { return };
        let on_disk = super::super::mountinfo::parse(&text).find(|mount| mount.device.0 != 0);
        let Some(mount) = on_disk else { return };
        let disk = disk_of(&Roots::default(), &mount).unwrap();
        let numbers = format!("{} {} {}", disk.device.0, disk.device.1, disk.name);
        let diskstats = fs::read_to_string("/proc/diskstats").unwrap();
        let known = |line: &str| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ") == numbers;
        assert!(diskstats.lines().any(known), "{numbers}");
    }
}
