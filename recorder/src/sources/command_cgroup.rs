//! The control group of its own that `record -- COMMAND` runs its command in.
//!
//! In: the hierarchies. Out: a directory in v2 and in the v1 hierarchies of cpu, cpuacct, memory and blkio, where
//! there are such, and open `cgroup.procs` files that the child enters them by. Nothing is ever killed here: a group
//! that still has processes at the end stays, and that is said.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroups::{Hierarchies, Hierarchy};

/// The group that all such groups are in.
pub const PARENT: &str = "aftertrace-command";

const V1_CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "blkio"];
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "io"];
const NAME_LIMIT_CHARACTERS: usize = 64;
/// Namesakes: another recording of the same process, or leftovers of one that was killed.
const NAME_TRIES: u32 = 16;
const PARENT_TRIES: u32 = 8;
const REMOVE_INTERVAL: Duration = Duration::from_millis(10);

/// Why the command cannot have a group of its own.
#[derive(Debug, thiserror::Error)]
pub enum CommandCgroupError {
    /// No usable hierarchy is mounted.
    #[error(
        "no control group hierarchy is mounted that the command could run in (cgroup v2, or v1 cpu, cpuacct, memory, blkio)"
    )]
    NoHierarchy,
    /// In no hierarchy could the directory be made.
    #[error("cannot make a control group for the command: {}", reasons.join("; "))]
    Refused {
        /// The system's words for each hierarchy.
        reasons: Vec<String>,
    },
}

/// A control group for one command. Dropping it removes it when it is empty.
#[derive(Debug)]
pub struct CommandCgroup {
    path: String,
    members: Vec<Member>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Member {
    hierarchy_id: u32,
    cgroup_id: u64,
    directory: PathBuf,
    procs: File,
}

impl CommandCgroup {
    /// Makes the group `/aftertrace-command/PROGRAM.PID`, where PID is this process's.
    pub fn create(hierarchies: &Hierarchies, program: &Path) -> Result<Self, CommandCgroupError> {
        let chosen = choose(hierarchies);
        if chosen.is_empty() {
            return Err(CommandCgroupError::NoHierarchy);
        }
        let base = format!("{}.{}", group_name(program), std::process::id());
        let mut name = base.clone();
        for attempt in 1..NAME_TRIES {
            let taken = |hierarchy: &&Hierarchy| hierarchy.directory.join(PARENT).join(&name).exists();
            if !chosen.iter().any(taken) {
                break;
            }
            name = format!("{base}-{attempt}");
        }

        // The part of the tree that is seen here, mostly all of it, is the same in all hierarchies.
        let root = chosen.first().map_or("", |hierarchy| hierarchy.root.trim_end_matches('/'));
        let mut group =
            Self { path: format!("{root}/{PARENT}/{name}"), members: Vec::new(), warnings: Vec::new() };
        let mut reasons = Vec::new();
        for hierarchy in chosen {
            match group.join_hierarchy(hierarchy, &name) {
                Ok(member) => group.members.push(member),
                Err(error) => reasons.push(format!("{}: {error}", hierarchy.directory.display())),
            }
        }
        if group.members.is_empty() {
            return Err(CommandCgroupError::Refused { reasons });
        }
        group.warnings.extend(reasons);
        Ok(group)
    }

    fn join_hierarchy(&mut self, hierarchy: &Hierarchy, name: &str) -> io::Result<Member> {
        let parent = hierarchy.directory.join(PARENT);
        let directory = parent.join(name);
        create_below(&parent, &directory)?;
        remove_abandoned(&parent);
        if hierarchy.is_v2() {
            self.warnings.extend(enable_controllers(hierarchy, &parent));
        }
        let opened = fs::metadata(&directory).and_then(|metadata| {
            Ok((metadata.ino(), OpenOptions::new().write(true).open(directory.join("cgroup.procs"))?))
        });
        match opened {
            Ok((cgroup_id, procs)) => Ok(Member { hierarchy_id: hierarchy.id, cgroup_id, directory, procs }),
            Err(error) => {
                // The reason that counts is the first one.
                let _ = fs::remove_dir(&directory);
                let _ = fs::remove_dir(&parent);
                Err(error)
            }
        }
    }

    /// Path of the group, the same in every hierarchy that it is in.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// (hierarchy id, cgroup id) of the group in each hierarchy that it is in.
    pub fn ids(&self) -> impl Iterator<Item = (u32, u64)> {
        self.members.iter().map(|member| (member.hierarchy_id, member.cgroup_id))
    }

    /// What does not work as wished.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Open `cgroup.procs` files. A child writes "0" to each between fork and exec (see [`enter`]).
    pub fn procs(&self) -> io::Result<Vec<OwnedFd>> {
        self.members.iter().map(|member| member.procs.as_fd().try_clone_to_owned()).collect()
    }

    /// Removes the group, waiting up to `patience` for the last processes to be gone. Returns why it stays, if it does.
    pub fn remove(mut self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.try_remove() {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < deadline => std::thread::sleep(REMOVE_INTERVAL),
                Err(reason) => return Err(reason),
            }
        }
    }

    fn try_remove(&mut self) -> Result<(), String> {
        let mut reason = None;
        self.members.retain(|member| match remove_directory(&member.directory) {
            Ok(()) => {
                if let Some(parent) = member.directory.parent() {
                    // Other recordings may have groups in it.
                    let _ = fs::remove_dir(parent);
                }
                false
            }
            Err(error) => {
                reason = Some(format!("control group {} stays: {error}", member.directory.display()));
                true
            }
        });
        reason.map_or(Ok(()), Err)
    }
}

impl Drop for CommandCgroup {
    fn drop(&mut self) {
        // Whoever wants to know why it stays calls `remove`.
        let _ = self.try_remove();
    }
}

/// Puts the calling process into the groups. For use between fork and exec: it makes system calls on
/// descriptors that are open, and allocates nothing.
pub fn enter(procs: &[OwnedFd]) -> io::Result<()> {
    for file in procs {
        // "0" stands for the writer itself.
        rustix::io::write(file, b"0")?;
    }
    Ok(())
}

/// Makes the directory, and its parent if need be. Another recording that ends may remove the empty parent meanwhile.
fn create_below(parent: &Path, directory: &Path) -> io::Result<()> {
    for _ in 0..PARENT_TRIES {
        match fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Removes the empty groups of recorders that are gone: they were killed, or left their command running.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let recorder = name.to_str().and_then(|name| {
            let (_, recorder) = name.rsplit_once('.')?;
            recorder.split('-').next()?.parse::<u32>().ok()
        });
        if recorder.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // The system refuses where there still are processes.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// v2, and the v1 hierarchies of the controllers that are measured, each once.
fn choose(hierarchies: &Hierarchies) -> Vec<&Hierarchy> {
    let mut chosen: Vec<&Hierarchy> = hierarchies.v2().into_iter().collect();
    for controller in V1_CONTROLLERS {
        if let Some(hierarchy) = hierarchies.v1(controller)
            && chosen.iter().all(|known| known.id != hierarchy.id)
        {
            chosen.push(hierarchy);
        }
    }
    chosen
}

/// Without the controllers the command still runs in its group; its memory and limits are then not measured.
/// What is enabled stays enabled: to take it back could take limits from groups that others made meanwhile.
fn enable_controllers(hierarchy: &Hierarchy, parent: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for controller in V2_CONTROLLERS {
        if !hierarchy.controllers.iter().any(|available| available == controller) {
            continue;
        }
        for directory in [hierarchy.directory.as_path(), parent] {
            let file = directory.join("cgroup.subtree_control");
            let enabled = fs::read_to_string(&file)
                .is_ok_and(|text| text.split_whitespace().any(|enabled| enabled == controller));
            if enabled {
                continue;
            }
            let written =
                OpenOptions::new().write(true).open(&file).and_then(|mut open| write!(open, "+{controller}"));
            if let Err(error) = written {
                warnings.push(format!("cannot enable {controller} in {}: {error}", file.display()));
                break;
            }
        }
    }
    warnings
}

/// The last part of the program's path, of characters that are safe in a path and in a label.
fn group_name(program: &Path) -> String {
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '_' };
    let name: String = name.chars().take(NAME_LIMIT_CHARACTERS).map(safe).collect();
    if name.is_empty() { "command".to_owned() } else { name }
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
