//! File systems that containers write to.
//!
//! In: on which mounts files were opened for writing, /proc/PID/mountinfo, /sys/dev/block. Out: a `MountSnapshot` row
//! when a mount is news, changed or gone, and a `FilesystemStats` row when its figures changed. Mounts of images and of
//! memory are left out. A file system that hangs is named, and its figures are absent until it answers.

mod asker;
mod disk;
mod mountinfo;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aftertrace_schemas::tables::{FilesystemStats, MountSnapshot, ProcessSnapshot};

use super::Roots;
use super::file::FileReader;
use super::source::{Rows, Source, Subjects, Unavailable};
use crate::capabilities::{CapabilitySet, OTHERS_PROCESSES};
use crate::live_state::WrittenMount;
use asker::{Answer, Asker};
use mountinfo::Mount;

/// A file system that takes longer hangs.
const DEADLINE: Duration = Duration::from_millis(500);
/// Once so many began to hang in a round, the others wait for the next: the round has to end.
const NEW_HANGS_A_ROUND: usize = 8;
/// Processes through which a mount is looked for.
const WAYS: usize = 8;
const FILE_LIMIT_BYTES: u64 = 4 << 20;
/// Hanging mounts that a reason names.
const NAMES_LIMIT: usize = 3;

/// Reads file systems.
pub struct FilesystemSource {
    roots: Roots,
    reader: FileReader,
    asker: Asker,
    /// What a mount is, with the process through which it was seen; `None` for one that is not of storage.
    seen: BTreeMap<WrittenMount, Option<(u32, MountSnapshot)>>,
}

/// What a round has read already.
#[derive(Default)]
struct Round<'a> {
    processes: BTreeMap<&'a str, Vec<&'a ProcessSnapshot>>,
    /// Mounts as each process sees them; `None` for one that is gone.
    mounts: BTreeMap<u32, Option<Vec<Mount>>>,
    /// Mounts as the host sees them.
    host: Option<Vec<Mount>>,
}

/// Where a mount was found.
enum Found {
    At(u32, MountSnapshot),
    /// It is not of storage.
    Left,
    /// It is not mounted any more, or nobody is left who sees it.
    Gone,
}

impl FilesystemSource {
    /// Reads through the processes of `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, reader: FileReader::default(), asker: Asker::new(DEADLINE), seen: BTreeMap::new() }
    }

    fn read_mounts(&mut self, pid: u32) -> Option<Vec<Mount>> {
        let text =
            self.reader.read(&self.roots.proc_file(&format!("{pid}/mountinfo")), FILE_LIMIT_BYTES).ok()?;
        // A process that has ended has no mounts.
        Some(mountinfo::parse(text).collect()).filter(|mounts: &Vec<Mount>| !mounts.is_empty())
    }

    /// Looks for the mount through processes of its control group.
    fn find(&mut self, written: &WrittenMount, round: &mut Round<'_>) -> Found {
        let processes = round.processes.get(written.cgroup.as_str()).map(Vec::as_slice).unwrap_or_default();
        // The opener first; of the others, one a mount namespace is enough.
        let opener = processes.iter().filter(|process| process.pid == written.pid);
        let ways: Vec<(u32, Option<u32>)> = opener
            .chain(processes.iter().filter(|process| process.pid != written.pid))
            .map(|process| (process.pid, process.mount_namespace))
            .collect();
        let mut namespaces = BTreeSet::new();
        for (pid, namespace) in ways {
            if namespaces.len() >= WAYS || namespaces.contains(&namespace) && namespace.is_some() {
                continue;
            }
            let mounts = round.mounts.entry(pid).or_insert_with(|| self.read_mounts(pid));
            let Some(mounts) = mounts else { continue };
            namespaces.insert(namespace);
            let device = (written.device_major, written.device_minor);
            let found = mounts.iter().find(|mount| mount.id == written.mount_id && mount.device == device);
            if let Some(mount) = found {
                if !mountinfo::is_storage(mount) {
                    return Found::Left;
                }
                let mount = mount.clone();
                return Found::At(pid, self.describe(written, &mount, round));
            }
        }
        Found::Gone
    }

    fn describe(&mut self, written: &WrittenMount, mount: &Mount, round: &mut Round<'_>) -> MountSnapshot {
        let host = round.host.get_or_insert_with(|| self.read_mounts(1).unwrap_or_default());
        let volume = mountinfo::volume(mount, host);
        let disk = disk::disk_of(&self.roots, mount);
        MountSnapshot {
            cgroup: written.cgroup.clone(),
            mount_point: mount.point.clone(),
            mounted: true,
            mount_id: mount.id,
            device_major: written.device_major,
            device_minor: written.device_minor,
            file_system: mount.file_system.clone(),
            source: mount.source.clone(),
            device: disk.as_ref().map_or_else(|| mount.source.clone(), |disk| disk.name.clone()),
            disk_major: disk.as_ref().map(|disk| disk.device.0),
            disk_minor: disk.as_ref().map(|disk| disk.device.1),
            volume,
        }
    }

    /// The mount as it is now, when it is one to be measured, with a way to it and its answer.
    fn look(
        &mut self,
        written: &WrittenMount,
        round: &mut Round<'_>,
    ) -> std::io::Result<Option<(MountSnapshot, Answer)>> {
        let processes = round.processes.get(written.cgroup.as_str()).map(Vec::as_slice).unwrap_or_default();
        let is_alive = |pid: u32| processes.iter().any(|process| process.pid == pid);
        match self.seen.get(written) {
            Some(None) => return Ok(None),
            Some(Some((pid, mount))) if is_alive(*pid) => {
                let (pid, mount) = (*pid, mount.clone());
                match self.ask(pid, &mount)? {
                    // It may be elsewhere now, or gone, or the process has just ended.
                    Answer::NotThere => {}
                    answer => return Ok(Some((mount, answer))),
                }
            }
            _ => {}
        }
        match self.find(written, round) {
            Found::At(pid, mount) => {
                self.seen.insert(written.clone(), Some((pid, mount.clone())));
                let answer = self.ask(pid, &mount)?;
                Ok(Some((mount, answer)))
            }
            Found::Left => {
                self.seen.insert(written.clone(), None);
                Ok(None)
            }
            Found::Gone => {
                // One that was never seen while it lasted; the recording knows nothing of it that could be taken back.
                self.seen.insert(written.clone(), None);
                Ok(None)
            }
        }
    }

    fn ask(&mut self, pid: u32, mount: &MountSnapshot) -> std::io::Result<Answer> {
        let inside = mount.mount_point.trim_start_matches('/');
        let path = self.roots.proc_file(&format!("{pid}/root")).join(inside);
        self.asker.ask((mount.device_major, mount.device_minor), &path, mount.mount_id)
    }
}

impl Source for FilesystemSource {
    fn name(&self) -> &'static str {
        "filesystems"
    }

    fn capabilities(&self) -> CapabilitySet {
        OTHERS_PROCESSES
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        self.asker.refresh();
        let written: BTreeSet<&WrittenMount> = subjects.written_mounts.iter().collect();
        self.seen.retain(|mount, _| written.contains(mount));
        let mut round = Round::default();
        for process in &subjects.processes {
            if let Some(cgroup) = &process.cgroup {
                round.processes.entry(cgroup).or_default().push(process);
            }
        }
        let known: BTreeMap<(&str, &str), _> = subjects
            .known_mounts
            .iter()
            .map(|known| ((known.mount.cgroup.as_str(), known.mount.mount_point.as_str()), known))
            .collect();
        let mut present: BTreeSet<(String, String)> = BTreeSet::new();
        let mut hanging = Vec::new();
        let began_with = self.asker.hanging();
        for written in written {
            if self.asker.hanging() >= began_with + NEW_HANGS_A_ROUND {
                rows.miss("deadline", format!("{} mount {}", written.cgroup, written.mount_id));
                let of_group = known.keys().filter(|(cgroup, _)| *cgroup == written.cgroup);
                present.extend(of_group.map(|(cgroup, point)| ((*cgroup).to_owned(), (*point).to_owned())));
                continue;
            }
            let looked = self
                .look(written, &mut round)
                .map_err(|error| Unavailable::failed(format!("file systems: {error}")))?;
            let Some((mount, answer)) = looked else { continue };
            // Namespaces inside a control group have copies of the same mounts: the first counts.
            if !present.insert((mount.cgroup.clone(), mount.mount_point.clone())) {
                continue;
            }
            let before = known.get(&(mount.cgroup.as_str(), mount.mount_point.as_str())).copied();
            let space = match answer {
                Answer::Space(space) => Some(space),
                Answer::NotThere => None,
                Answer::Hangs | Answer::NotAsked => {
                    let name = format!("{} of {}", mount.mount_point, mount.cgroup);
                    rows.miss(if answer == Answer::Hangs { "hangs" } else { "others_hang" }, &*name);
                    hanging.push(name);
                    None
                }
            };
            let space = FilesystemStats {
                cgroup: mount.cgroup.clone(),
                mount_point: mount.mount_point.clone(),
                size_bytes: space.map(|space| space.size),
                free_bytes: space.map(|space| space.free),
                available_bytes: space.map(|space| space.available),
            };
            if before.is_none_or(|before| before.mount != mount) {
                rows.push(mount);
            }
            if before.and_then(|before| before.space.as_ref()) != Some(&space) {
                rows.push(space);
            }
        }
        for known in &subjects.known_mounts {
            let mount = &known.mount;
            if !present.contains(&(mount.cgroup.clone(), mount.mount_point.clone())) {
                rows.push(MountSnapshot { mounted: false, ..mount.clone() });
            }
        }
        if hanging.is_empty() { Ok(()) } else { Err(Unavailable::failed(reason(&hanging))) }
    }
}

fn reason(hanging: &[String]) -> String {
    let named = hanging.get(..NAMES_LIMIT).unwrap_or(hanging).join(", ");
    let more = hanging.len().saturating_sub(NAMES_LIMIT);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("no answer within {DEADLINE:?}: {named}{more}; all others are measured")
}

#[cfg(test)]
mod tests;
