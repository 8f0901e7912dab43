//! Mounts as a process sees them: lines of /proc/PID/mountinfo, and the volume that a mount is.

use super::super::text::{fields, lines, lossy, number_u32, unescape};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: i32,
    pub(super) device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub(super) root: String,
    pub(super) point: String,
    pub(super) file_system: String,
    pub(super) source: String,
}

/// All mounts, in the order of mounting.
pub(super) fn parse(text: &[u8]) -> impl Iterator<Item = Mount> {
    lines(text).filter_map(parse_line)
}

/// `ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER_OPTIONS`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut all = fields(line);
    let id = i32::try_from(number_u32(all.next()?)?).ok()?;
    let device = all.nth(1)?;
    let colon = device.iter().position(|byte| *byte == b':')?;
    let device = (number_u32(device.get(..colon)?)?, number_u32(device.get(colon + 1..)?)?);
    let (root, point) = (unescape(all.next()?), unescape(all.next()?));
    let mut after = all.skip_while(|field| *field != b"-").skip(1);
    let file_system = lossy(after.next()?);
    // A mount without a source has an empty field, which is none here.
    let source = after.next().map(unescape).unwrap_or_default();
    Some(Mount { id, device, root, point, file_system, source })
}

/// File systems without a block device of their own that keep data all the same.
const STORAGE: &[&str] = &[
    "9p",
    "bcachefs",
    "beegfs",
    "btrfs",
    "ceph",
    "cifs",
    "fuse",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "virtiofs",
    "zfs",
];

/// Whether the mount is of storage, and not of the container's image or of memory.
pub(super) fn is_storage(mount: &Mount) -> bool {
    let kind = mount.file_system.as_str();
    mount.device.0 != 0 || STORAGE.contains(&kind) || kind.starts_with("fuse.")
}

/// `pvc-UUID`, the name that Kubernetes gives to the volume of a persistent volume claim, somewhere in `path`.
pub(super) fn volume_in(path: &str) -> Option<&str> {
    const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    path.match_indices("pvc-").find_map(|(at, prefix)| {
        let mut end = at + prefix.len();
        for (index, length) in UUID_GROUPS.into_iter().enumerate() {
            if index > 0 {
                end += path.get(end..)?.strip_prefix('-').map(|_| 1)?;
            }
            let group = path.get(end..end + length)?;
            end += group.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(length)?;
        }
        path.get(at..end)
    })
}

/// The volume that a container's mount is: by its own root or source, or by where the host has the same thing mounted.
pub(super) fn volume(mount: &Mount, host: &[Mount]) -> Option<String> {
    let own = volume_in(&mount.root).or_else(|| volume_in(&mount.source));
    let of_host = || {
        let same = host.iter().filter(|other| other.device == mount.device && other.root == mount.root);
        same.map(|other| other.point.as_str()).find_map(volume_in)
    };
    own.or_else(of_host).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOLUME: &str = "pvc-0a1b2c3d-1111-2222-3333-444455556666";

    #[test]
    fn a_line_is_taken_apart_with_and_without_optional_fields() {
        let text = b"97 85 259:1 /data/a\\040b /var/lib/db rw shared:1 master:2 - ext4 /dev/nvme0n1p1 rw\n\
                     98 85 0:51 / /srv rw - nfs4 nas:/export rw\nnot a mount\n";
        let mounts: Vec<Mount> = parse(text).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].id, mounts[0].device), (97, (259, 1)));
        assert_eq!((mounts[0].root.as_str(), mounts[0].point.as_str()), ("/data/a b", "/var/lib/db"));
        assert_eq!((mounts[1].file_system.as_str(), mounts[1].source.as_str()), ("nfs4", "nas:/export"));
    }

    fn mount(device: (u32, u32), root: &str, point: &str, file_system: &str) -> Mount {
        let source = "/dev/sdb".to_owned();
        Mount {
            id: 1,
            device,
            root: root.into(),
            point: point.into(),
            file_system: file_system.into(),
            source,
        }
    }

    #[test]
    fn storage_is_told_from_images_and_memory() {
        for (device, kind) in [
            ((8, 1), "ext4"),
            ((0, 40), "btrfs"),
            ((0, 41), "zfs"),
            ((0, 42), "nfs4"),
            ((0, 43), "fuse.sshfs"),
        ] {
            assert!(is_storage(&mount(device, "/", "/", kind)), "{kind}");
        }
        for kind in ["overlay", "tmpfs", "proc", "fusectl", "mqueue"] {
            assert!(!is_storage(&mount((0, 40), "/", "/", kind)), "{kind}");
        }
    }

    #[test]
    fn a_volume_is_found_in_the_mount_itself_and_where_the_host_has_it() {
        let path = format!("/var/lib/kubelet/pods/x/volumes/kubernetes.io~csi/{VOLUME}/mount");
        let local = mount((8, 1), &path, "/data", "ext4");
        assert_eq!(volume(&local, &[]).as_deref(), Some(VOLUME));
        let block = mount((8, 16), "/", "/data", "ext4");
        let host = [mount((8, 32), "/", "/other", "ext4"), mount((8, 16), "/", &path, "ext4")];
        assert_eq!(volume(&block, &host).as_deref(), Some(VOLUME));
        assert_eq!(volume(&block, &host[..1]), None);
        assert_eq!(volume_in("/pvc-0a1b/pvc-0a1b2c3d-1111-2222-3333-44445555666g"), None);
        assert_eq!(volume_in(&format!("pvc-pvc-{VOLUME}")), Some(VOLUME));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes).count();
        }

        #[test]
        fn no_path_makes_the_search_for_volumes_panic(path in "(pvc-|[0-9a-f]{4}|-|é){0,16}") {
            let _ = volume_in(&path);
        }
    }
}
