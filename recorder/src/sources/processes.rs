//! Processes that are alive, from /proc.
//!
//! In: /proc. Out: `ProcessSnapshot` rows. Each process is read through one open directory, which goes dead with
//! the process, so a row never mixes two processes that had the same pid.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use aftertrace_schemas::tables::ProcessSnapshot;
use rustix::fs::{Mode, OFlags};

use super::file::FileReader;
use super::own::ticks_per_second;
use super::text::{fields, lines, lossy, number, number_u32};
use super::{Roots, namespace_inode};

/// Bytes of the arguments that a row keeps.
pub const ARGUMENTS_LIMIT_BYTES: usize = 1024;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// More than any line of /proc/PID/{stat,status,cgroup} files has.
const FILE_LIMIT_BYTES: u64 = 64 << 10;
/// The kernel allows arguments of a quarter of the stack limit; past this many bytes they are not counted.
const ARGUMENTS_COUNTED_BYTES: u64 = 8 << 20;

/// Decides a process's cgroup from the text of /proc/PID/cgroup.
pub type CgroupOf = fn(&str) -> Option<String>;

/// Reads processes.
#[derive(Debug)]
pub struct ProcessSource {
    roots: Roots,
    cgroup_of: CgroupOf,
    ticks_per_second: u64,
    reader: FileReader,
}

/// All processes at about one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessScan {
    /// The processes, by pid.
    pub processes: Vec<ProcessSnapshot>,
    /// Processes that went away while they were read, or could not be read.
    pub skipped: u64,
}

impl ProcessSource {
    /// Reads processes of `roots`; `cgroup_of` chooses among a process's hierarchies.
    pub fn new(roots: Roots, cgroup_of: CgroupOf) -> Self {
        Self { roots, cgroup_of, ticks_per_second: ticks_per_second(), reader: FileReader::default() }
    }

    /// All processes that are alive. Zombies are not: their exit has happened.
    pub fn scan(&mut self) -> ProcessScan {
        let mut scan = ProcessScan::default();
        let mut pids: Vec<u32> = std::fs::read_dir(&self.roots.proc)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| number_u32(entry.file_name().as_encoded_bytes()))
            .collect();
        pids.sort_unstable();
        for pid in pids {
            match self.read_process(pid) {
                Some(process) => scan.processes.push(process),
                None => scan.skipped += 1,
            }
        }
        scan
    }

    /// One process; `None` when it is gone, a zombie or unreadable.
    pub fn read_process(&mut self, pid: u32) -> Option<ProcessSnapshot> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(self.roots.proc_file(&pid.to_string()), flags, Mode::empty()).ok()?;

        let stat = parse_stat(self.read(&directory, "stat")?)?;
        if matches!(stat.state, b'Z' | b'X') && stat.threads <= 1 {
            return None;
        }
        let status = parse_status(self.read(&directory, "status")?)?;
        let cgroup_of = self.cgroup_of;
        let cgroup =
            self.read(&directory, "cgroup").and_then(|text| cgroup_of(&String::from_utf8_lossy(text)));
        let (arguments, arguments_bytes) = read_arguments(&directory);
        Some(ProcessSnapshot {
            pid,
            process_start_ns: ticks_to_nanos(stat.start_ticks, self.ticks_per_second),
            parent_pid: stat.parent_pid,
            command: stat.command,
            executable: link(&directory, "exe").map(|path| executable(&path)),
            arguments,
            arguments_bytes,
            cgroup,
            uid: status.uid,
            namespace_pid: status.namespace_pid.unwrap_or(pid),
            pid_namespace: link(&directory, "ns/pid").and_then(|text| namespace_inode(&text)),
            network_namespace: link(&directory, "ns/net").and_then(|text| namespace_inode(&text)),
            mount_namespace: link(&directory, "ns/mnt").and_then(|text| namespace_inode(&text)),
        })
    }

    fn read(&mut self, directory: &OwnedFd, name: &str) -> Option<&[u8]> {
        self.reader.read_fd(open_at(directory, name)?, FILE_LIMIT_BYTES).ok()
    }
}

/// When the process with this pid started, as rows name it; `None` when it is gone.
pub(crate) fn read_start_ns(
    roots: &Roots,
    pid: u32,
    ticks_per_second: u64,
    reader: &mut FileReader,
) -> Option<u64> {
    let stat = reader.read(&roots.proc_file(&format!("{pid}/stat")), FILE_LIMIT_BYTES).ok()?;
    Some(ticks_to_nanos(parse_stat(stat)?.start_ticks, ticks_per_second))
}

/// Ticks of /proc as nanoseconds.
pub(crate) fn ticks_to_nanos(ticks: u64, ticks_per_second: u64) -> u64 {
    let seconds = (ticks / ticks_per_second).saturating_mul(NANOS_PER_SECOND);
    seconds.saturating_add(ticks % ticks_per_second * NANOS_PER_SECOND / ticks_per_second)
}

fn open_at(directory: &OwnedFd, name: &str) -> Option<OwnedFd> {
    rustix::fs::openat(directory.as_fd(), name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn link(directory: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    Some(rustix::fs::readlinkat(directory.as_fd(), name, Vec::new()).ok()?.into_bytes())
}

/// The program file; the kernel marks one that was replaced meanwhile (an upgrade) as deleted.
fn executable(link: &[u8]) -> String {
    lossy(link.strip_suffix(b" (deleted)").unwrap_or(link))
}

/// The arguments, cut to the limit, and how many bytes they have.
fn read_arguments(directory: &OwnedFd) -> (Vec<String>, u32) {
    let Some(file) = open_at(directory, "cmdline") else { return (Vec::new(), 0) };
    let mut file = File::from(file).take(ARGUMENTS_COUNTED_BYTES);
    let mut head = Vec::with_capacity(ARGUMENTS_LIMIT_BYTES);
    let limit = u64::try_from(ARGUMENTS_LIMIT_BYTES).unwrap_or(u64::MAX);
    // What could be read counts, also when the process goes away meanwhile.
    let _ = file.by_ref().take(limit).read_to_end(&mut head);
    let mut total = head.len();
    if head.len() == ARGUMENTS_LIMIT_BYTES {
        let mut chunk = [0_u8; 4096];
        while let Ok(read @ 1..) = file.read(&mut chunk) {
            total += read;
        }
    }
    (split_arguments(&head), u32::try_from(total).unwrap_or(u32::MAX))
}

/// Arguments between NULs. Empty ones at the end are left out: programs that change their title pad with NULs.
fn split_arguments(head: &[u8]) -> Vec<String> {
    let mut end = head.len();
    while end > 0 && head.get(end - 1) == Some(&0) {
        end -= 1;
    }
    match head.get(..end) {
        None | Some([]) => Vec::new(),
        Some(used) => used.split(|byte| *byte == 0).map(lossy).collect(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    command: String,
    state: u8,
    parent_pid: u32,
    threads: u64,
    start_ticks: u64,
}

/// /proc/PID/stat. The name in parentheses may hold anything, also parentheses, so the last one ends it.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let command = lossy(text.get(open + 1..close)?);
    // The fields from here on are 3 (state), 4 (ppid), ... in the kernel's counting.
    let mut rest = fields(text.get(close + 1..)?);
    let state = *rest.next()?.first()?;
    let parent_pid = number_u32(rest.next()?)?;
    let threads = number(rest.nth(20 - 5)?)?;
    let start_ticks = number(rest.nth(22 - 21)?)?;
    Some(Stat { command, state, parent_pid, threads, start_ticks })
}

#[derive(Debug, PartialEq, Eq)]
struct Status {
    uid: u32,
    namespace_pid: Option<u32>,
}

/// /proc/PID/status: the real user id, and the pid in the innermost namespace (the last one of NSpid).
fn parse_status(text: &[u8]) -> Option<Status> {
    let mut uid = None;
    let mut namespace_pid = None;
    for line in lines(text) {
        if let Some(rest) = line.strip_prefix(b"Uid:") {
            uid = fields(rest).next().and_then(number_u32);
        } else if let Some(rest) = line.strip_prefix(b"NSpid:") {
            namespace_pid = fields(rest).last().and_then(number_u32);
            break;
        }
    }
    Some(Status { uid: uid?, namespace_pid })
}

#[cfg(test)]
mod tests;
