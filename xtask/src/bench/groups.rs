//! Control groups of a benchmark: one above all, and below it some with the names that Docker gives.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Of version 1, the hierarchies of which metrics come, and that of version 2 beside them.
const HIERARCHIES: [&str; 5] = ["unified", "cpu", "cpuacct", "memory", "blkio"];

/// Below this group are all others; it goes with this.
pub(super) struct Groups {
    roots: Vec<PathBuf>,
    /// From the root of each hierarchy.
    pub(super) path: String,
}

impl Groups {
    /// The group above all, which is to be followed.
    ///
    /// # Errors
    /// When a control group cannot be made.
    pub(super) fn new() -> Result<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        let mut roots: Vec<PathBuf> =
            HIERARCHIES.iter().map(|name| mount.join(name)).filter(|path| path.is_dir()).collect();
        if mount.join("cgroup.controllers").exists() {
            roots = vec![mount.to_owned()];
        }
        let groups = Self { roots, path: format!("/aftertrace-bench.{}", std::process::id()) };
        groups.make("")?;
        Ok(groups)
    }

    fn directories(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let below = format!("{}/{name}", self.path.trim_start_matches('/'));
        self.roots.iter().map(move |root| root.join(&below))
    }

    fn make(&self, name: &str) -> Result<()> {
        for directory in self.directories(name) {
            fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Makes a group as a container has it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn container(&self, number: usize) -> Result<String> {
        // The first twelve digits are what a container without a name is called by.
        let name = format!("{number:012x}{:052x}", 0);
        self.make(&name)?;
        Ok(name)
    }

    /// A command that is in this group before its program runs; the empty name is the group above all.
    pub(super) fn command(&self, name: &str, program: &Path, words: &[&str]) -> Command {
        let enter: String = self
            .directories(name)
            .map(|directory| format!("echo 0 > {}/cgroup.procs; ", directory.display()))
            .collect();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{enter}exec \"$@\""), "sh"]).arg(program).args(words);
        command
    }

    /// Removes a group whose processes have ended.
    pub(super) fn remove(&self, name: &str) {
        for directory in self.directories(name) {
            // A process that ended a moment ago may still be in it.
            for _ in 0..1_000 {
                match fs::remove_dir(&directory) {
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(1))
                    }
                    _ => break,
                }
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let roots: Vec<PathBuf> = self.directories("").collect();
        for entry in roots.iter().take(1).flat_map(fs::read_dir).flatten().flatten() {
            if entry.path().is_dir() {
                self.remove(&entry.file_name().to_string_lossy());
            }
        }
        self.remove("");
    }
}
