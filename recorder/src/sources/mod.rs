//! What user space can tell about the host: one file a source, each of which yields rows of a table.
//!
//! In: /proc, /sys, the control group trees, the sockets of container runtimes and systemd, the cloud's metadata service,
//! clocks. Out: rows of `aftertrace_schemas::tables`.
//! Subjects come and go while they are read, so a vanished process or an unreadable file is a skip that is
//! counted, never an error. What is measured at intervals implements [`source::Source`] and runs in a thread of its own.

pub mod cgroups;
pub mod clock;
pub mod cloud;
pub mod command_cgroup;
pub mod delays;
pub mod disks;
pub mod executables;
pub mod filesystems;
pub mod host;
pub mod jvm;
pub mod logs;
pub mod namespaces;
pub mod nat;
pub mod network;
pub mod node;
pub mod own;
pub mod ping;
pub mod privileges;
pub mod processes;
pub mod runtimes;
pub mod source;

mod file;
mod host_namespace;
mod netlink;
mod netns;
mod rtnetlink;
mod text;

use std::path::{Path, PathBuf};

use crate::capabilities::{CapabilitySet, NAMESPACES, OTHERS_PROCESSES};

/// Where the kernel's file systems are. Tests point it at fixtures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// The root directory; mount points from mountinfo and files such as /etc/machine-id are below it.
    pub root: PathBuf,
    /// The proc file system.
    pub proc: PathBuf,
    /// The sys file system.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

impl Roots {
    /// A host whose root directory is `root`.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), proc: root.join("proc"), sys: root.join("sys") }
    }

    /// Where the absolute path `path` of the host is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What it takes to get at the host's files and namespaces through its first process: nothing but where the
    /// recorder is in a container.
    pub(crate) fn way_to_host(&self) -> CapabilitySet {
        let network = |process: &str| read_namespace(&self.proc_file(process).join("ns/net"));
        let first = self.proc_file("1/root");
        let mut needs = CapabilitySet::empty();
        if first.join(".").is_dir() && !is_same_directory(&first, &self.root) {
            needs |= OTHERS_PROCESSES;
        }
        if matches!((network("1"), network("self")), (Some(host), Some(own)) if host != own) {
            needs |= NAMESPACES;
        }
        needs
    }

    /// The root directory of what is in /proc, e.g. `file("1/ns/net")`.
    pub(crate) fn proc_file(&self, name: &str) -> PathBuf {
        self.proc.join(name)
    }
}

/// The inode in a link such as `net:[4026531833]`.
pub(crate) fn namespace_inode(link: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(link).ok()?;
    text.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// The inode of a namespace: `path` is such as /proc/1/ns/net.
pub(crate) fn read_namespace(path: &Path) -> Option<u32> {
    let link = std::fs::read_link(path).ok()?;
    namespace_inode(link.as_os_str().as_encoded_bytes())
}

/// Whether two paths lead to one directory.
pub(crate) fn is_same_directory(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| path.join(".").metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    id(one) == id(other)
}
