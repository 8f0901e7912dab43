//! Control groups: which hierarchies there are, what is in them, what they use.
//!
//! In: /proc/self/{mountinfo,cgroup} and the mounted trees. Out: `CgroupEvent` rows of kind `Existing`,
//! `CgroupStats` and `CgroupIo` rows, and [`CgroupPathIndex`], which knows the path of an id that the kernel side reports.
//! Works on v1, on v2 and on hosts with both (hybrid); with both, each value comes from the hierarchy that has it.

mod index;
mod io;
mod namespace;
mod scan;
mod stats;

use std::path::{Component, Path, PathBuf};

pub use index::CgroupPathIndex;
pub use io::CgroupIoSource;
pub use namespace::enter_host_namespace;
pub use scan::CgroupScan;
pub use stats::CgroupStatsSource;

use super::Roots;
use super::file::FileReader;
use super::text::{fields, lines, lossy, number_u32, unescape};
use crate::capabilities::{CapabilitySet, OTHERS_PROCESSES};

/// Inode of the first cgroup namespace, fixed in the kernel (`PROC_CGROUP_INIT_INO`).
const HOST_CGROUP_NAMESPACE: u32 = 0xEFFF_FFFB;
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Number as in /proc/PID/cgroup; 0 is cgroup v2.
    pub id: u32,
    /// Controllers of a v1 hierarchy, or `name=NAME`; those available at the root of v2.
    pub controllers: Vec<String>,
    /// Directory of the group `root`.
    pub directory: PathBuf,
    /// Path of the topmost group that can be seen: `/`, unless only a part of the hierarchy is mounted here.
    pub root: String,
}

impl Hierarchy {
    /// The path of the group whose directory this is; `None` when it is not in this hierarchy.
    pub fn path_of(&self, directory: &Path) -> Option<String> {
        let relative = directory.strip_prefix(&self.directory).ok()?;
        Some(Path::new(&self.root).join(relative).to_string_lossy().trim_end_matches('/').to_owned())
            .map(|path| if path.is_empty() { "/".to_owned() } else { path })
    }

    /// Whether it is cgroup v2.
    pub fn is_v2(&self) -> bool {
        self.id == 0
    }

    /// The directory of the group `path`; `None` when that leads out of the hierarchy, or of the part that is seen.
    pub fn directory_of(&self, path: &str) -> Option<PathBuf> {
        let relative = Path::new(path.trim_start_matches('/'));
        let relative = relative.strip_prefix(self.root.trim_start_matches('/')).ok()?;
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| {
            if relative.as_os_str().is_empty() {
                self.directory.clone()
            } else {
                self.directory.join(relative)
            }
        })
    }
}

/// The hierarchies of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// By id.
    pub all: Vec<Hierarchy>,
    /// The calling thread is in a cgroup namespace of its own: paths are then as seen from there, and do not
    /// match what the kernel side reports. [`enter_host_namespace`] mends that.
    pub namespaced: bool,
}

impl Hierarchies {
    /// Finds what is mounted. Empty when /proc is unreadable or nothing is mounted.
    pub fn find(roots: &Roots) -> Self {
        let mut reader = FileReader::default();
        let memberships = reader
            .read(&roots.proc_file("self/cgroup"), FILE_LIMIT_BYTES)
            .map(parse_memberships)
            .unwrap_or_default();
        let mut mounts = Vec::new();
        // What a container does not mount, the first process does: its files are reached through its root.
        for (file, base) in
            [("self/mountinfo", roots.root.clone()), ("1/mountinfo", roots.proc_file("1/root"))]
        {
            let text = reader.read(&roots.proc_file(file), FILE_LIMIT_BYTES).unwrap_or_default();
            mounts.extend(parse_mounts(text).map(|mount| (base.clone(), mount)));
        }
        // Whole hierarchies first, and of these the own mounts.
        mounts.sort_by_key(|(_, mount)| mount.root != "/");
        let mut all: Vec<Hierarchy> = Vec::new();
        for (base, mount) in mounts {
            let id = if mount.v2 { Some(0) } else { hierarchy_id(&memberships, &mount.options) };
            // The first mount counts; later ones are bind mounts of it or of a part of it.
            let Some(id) = id.filter(|id| all.iter().all(|known| known.id != *id)) else { continue };
            let directory = base.join(mount.point.trim_start_matches('/'));
            // Of the first process, what the own mount namespace does not show may be out of reach.
            if base != roots.root && !directory.is_dir() {
                continue;
            }
            let controllers = if mount.v2 {
                let available = reader.read(&directory.join("cgroup.controllers"), FILE_LIMIT_BYTES);
                fields(available.unwrap_or_default()).map(lossy).collect()
            } else {
                memberships
                    .iter()
                    .find(|(known, _)| *known == id)
                    .map(|(_, names)| names.clone())
                    .unwrap_or_default()
            };
            all.push(Hierarchy { id, controllers, directory, root: mount.root });
        }
        all.sort_by_key(|hierarchy| hierarchy.id);
        let namespace = namespace::own(roots);
        Self { all, namespaced: namespace.is_some_and(|inode| inode != HOST_CGROUP_NAMESPACE) }
    }

    /// The hierarchy with this number.
    pub fn by_id(&self, id: u32) -> Option<&Hierarchy> {
        self.all.iter().find(|hierarchy| hierarchy.id == id)
    }

    /// Cgroup v2, where it is mounted.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.by_id(0)
    }

    /// The v1 hierarchy of a controller.
    pub fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.all
            .iter()
            .find(|hierarchy| !hierarchy.is_v2() && hierarchy.controllers.iter().any(|c| c == controller))
    }

    /// What it takes to read them: nothing, unless they are reached through the host's first process.
    fn capabilities(&self) -> CapabilitySet {
        let is_of_host = |hierarchy: &Hierarchy| hierarchy.directory.starts_with("/proc/1/root");
        if self.all.iter().any(is_of_host) { OTHERS_PROCESSES } else { CapabilitySet::empty() }
    }

    /// What the operator should know: nothing is mounted, or paths are those of a cgroup namespace.
    pub fn warning(&self) -> Option<String> {
        if self.all.is_empty() {
            return Some("no control group hierarchy is mounted: containers cannot be told apart".to_owned());
        }
        self.namespaced.then(|| {
            "the recorder runs in a cgroup namespace of its own and cannot enter the host's: it sees only the control \
             groups below its own (a container needs --pid=host and CAP_SYS_ADMIN, or --cgroupns=host)"
                .to_owned()
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    v2: bool,
    /// Path of the group that is mounted.
    root: String,
    point: String,
    options: Vec<String>,
}

/// The cgroup mounts in mountinfo.
fn parse_mounts(text: &[u8]) -> impl Iterator<Item = Mount> {
    lines(text).filter_map(parse_mount)
}

/// `ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER_OPTIONS`
fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut all = fields(line);
    let root = all.nth(3)?;
    let point = all.next()?;
    let mut after = all.skip_while(|field| *field != b"-").skip(1);
    let v2 = match after.next()? {
        b"cgroup2" => true,
        b"cgroup" => false,
        _ => return None,
    };
    let options = after.nth(1).unwrap_or_default().split(|byte| *byte == b',').map(lossy).collect();
    // Seen from inside a cgroup namespace, the root above one's own is written /../..
    let whole = root == b"/" || root.split(|byte| *byte == b'/').skip(1).all(|part| part == b"..");
    let root = if whole { "/".to_owned() } else { unescape(root) };
    Some(Mount { v2, root, point: unescape(point), options })
}

/// `ID:CONTROLLERS:PATH` lines of /proc/self/cgroup.
fn parse_memberships(text: &[u8]) -> Vec<(u32, Vec<String>)> {
    lines(text)
        .filter_map(|line| {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let id = number_u32(parts.next()?)?;
            let names = parts.next()?.split(|byte| *byte == b',').filter(|name| !name.is_empty());
            Some((id, names.map(lossy).collect()))
        })
        .collect()
}

/// A controller is in one hierarchy only, so any common name identifies it.
fn hierarchy_id(memberships: &[(u32, Vec<String>)], options: &[String]) -> Option<u32> {
    memberships
        .iter()
        .find(|(id, names)| *id != 0 && names.iter().any(|name| options.contains(name)))
        .map(|(id, _)| *id)
}

#[cfg(test)]
mod tests;
