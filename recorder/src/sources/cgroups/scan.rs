//! The control groups that exist, as rows.

use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

use aftertrace_schemas::tables::{CgroupEvent, CgroupEventKind};

use super::{Hierarchies, Hierarchy};

/// Control groups that a scan returns at most.
const SCAN_LIMIT: usize = 65_536;

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CgroupScan {
    /// The groups, a parent always before its children.
    pub groups: Vec<CgroupEvent>,
    /// Groups that went away while they were read.
    pub skipped: u64,
    /// There are more than fit.
    pub truncated: bool,
}

impl Hierarchies {
    /// All groups of all hierarchies.
    pub fn scan(&self) -> CgroupScan {
        self.scan_below("/")
    }

    /// The group `path` and all below it, in each hierarchy that has it.
    pub fn scan_below(&self, path: &str) -> CgroupScan {
        let mut scan = CgroupScan::default();
        for hierarchy in &self.all {
            scan_hierarchy(hierarchy, path, &mut scan);
        }
        scan
    }
}

fn scan_hierarchy(hierarchy: &Hierarchy, path: &str, scan: &mut CgroupScan) {
    let mut top_path = format!("/{}", path.trim_matches('/'));
    if Path::new(&hierarchy.root).starts_with(&top_path) {
        // Of what is asked for, only a part can be seen.
        top_path.clone_from(&hierarchy.root);
    }
    let Some(top) = hierarchy.directory_of(&top_path) else { return };
    let Ok(metadata) = fs::metadata(&top) else { return };
    push(hierarchy, metadata.ino(), top_path.clone(), scan);
    let mut pending = vec![(top, top_path)];
    while let Some((directory, path)) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            scan.skipped += 1;
            continue;
        };
        for entry in entries.flatten() {
            // The type comes with the entry; no link is followed.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if scan.groups.len() >= SCAN_LIMIT {
                scan.truncated = true;
                return;
            }
            let name = entry.file_name();
            let child = format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy());
            // The inode of the entry is the id that the kernel gives the group (checked against
            // bpf_get_current_cgroup_id).
            push(hierarchy, entry.ino(), child.clone(), scan);
            pending.push((entry.path(), child));
        }
    }
}

fn push(hierarchy: &Hierarchy, cgroup_id: u64, path: String, scan: &mut CgroupScan) {
    scan.groups.push(CgroupEvent {
        kind: CgroupEventKind::Existing,
        hierarchy_id: hierarchy.id,
        cgroup_id,
        path,
        pid: None,
        process_start_ns: None,
        process_cgroup: None,
    });
}
