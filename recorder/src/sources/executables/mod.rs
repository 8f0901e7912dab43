//! What the programs of processes were built with: /proc/PID/exe in, `Executable` rows out.
//!
//! A file is read once as long as a process runs it, and of it a few headers and sections only.

mod elf;
mod toolchain;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use aftertrace_schemas::tables::{Executable, ProcessSnapshot, Toolchain};
use rustix::fs::{Mode, OFlags};

use super::Roots;
use super::file::FileReader;
use super::own::ticks_per_second;
use super::processes::read_start_ns;
use super::source::{Rows, Source, Subjects, Unavailable};
use crate::capabilities::{CapabilitySet, OTHERS_PROCESSES};

/// Names a file that has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileKey {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// What built a file, with its version.
type Built = Option<(Toolchain, Option<String>)>;

/// Reads the programs of processes.
#[derive(Debug)]
pub struct ExecutableSource {
    roots: Roots,
    ticks_per_second: u64,
    reader: FileReader,
    files: BTreeMap<FileKey, Built>,
    /// By id and start of a process: the file that it ran, and whether a row told of it.
    processes: BTreeMap<(u32, u64), (FileKey, bool)>,
}

impl ExecutableSource {
    /// Reads programs through `roots`.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            ticks_per_second: ticks_per_second(),
            reader: FileReader::default(),
            files: BTreeMap::new(),
            processes: BTreeMap::new(),
        }
    }

    /// A row when what the process runs is another file than before; `None` also for what cannot be read: the
    /// process is gone, or it is a thread of the kernel.
    fn read(&mut self, process: &ProcessSnapshot) -> Option<Executable> {
        let path = self.roots.proc_file(&format!("{}/exe", process.pid));
        let file = key(&std::fs::metadata(&path).ok()?);
        let id = (process.pid, process.process_start_ns);
        let known = self.processes.get(&id).copied();
        if known.is_some_and(|(known, _)| known == file) {
            return None;
        }
        if let Entry::Vacant(unread) = self.files.entry(file) {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let opened = File::from(rustix::fs::open(&path, flags, Mode::empty()).ok()?);
            // It may be another one by now; then it is read in the next round.
            if key(&opened.metadata().ok()?) != file {
                return None;
            }
            unread.insert(toolchain::toolchain(&opened));
        }
        let start_ns = read_start_ns(&self.roots, process.pid, self.ticks_per_second, &mut self.reader)?;
        if start_ns != process.process_start_ns {
            return None;
        }
        let built = self.files.get(&file)?.clone();
        let had_row = known.is_some_and(|(_, had_row)| had_row);
        let is_told = built.is_some() || had_row;
        self.processes.insert(id, (file, is_told));
        let (toolchain, version) = built.unwrap_or((Toolchain::Unknown, None));
        is_told.then(|| Executable {
            pid: process.pid,
            process_start_ns: process.process_start_ns,
            toolchain,
            version,
            device_major: rustix::fs::major(file.device),
            device_minor: rustix::fs::minor(file.device),
            inode: file.inode,
        })
    }
}

impl Source for ExecutableSource {
    fn name(&self) -> &'static str {
        "executables"
    }

    fn capabilities(&self) -> CapabilitySet {
        OTHERS_PROCESSES
    }

    fn measure(&mut self, subjects: &Subjects, rows: &mut Rows) -> Result<(), Unavailable> {
        let alive: BTreeSet<(u32, u64)> =
            subjects.processes.iter().map(|process| (process.pid, process.process_start_ns)).collect();
        self.processes.retain(|id, _| alive.contains(id));
        for process in &subjects.processes {
            if let Some(row) = self.read(process) {
                rows.push(row);
            }
        }
        let used: BTreeSet<FileKey> = self.processes.values().map(|(file, _)| *file).collect();
        self.files.retain(|file, _| used.contains(file));
        Ok(())
    }
}

fn key(metadata: &std::fs::Metadata) -> FileKey {
    FileKey {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

#[cfg(test)]
mod tests;
