//! Finds the file of performance counters of a Java process, and opens it without being led astray.
//!
//! In: a process. Out: the open file. What is in a container's /tmp is the container's: no link leads out of its root
//! directory, nothing but a plain file is opened, and the file must be one that the process has mapped.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::sources::Roots;
use crate::sources::file::FileReader;
use crate::sources::text::lines;

/// Entries of /tmp that are looked at.
const ENTRIES_LIMIT: usize = 65_536;
/// Directories with such files: one a user.
const DIRECTORIES_LIMIT: usize = 256;
/// A machine's counters take 32 KiB unless it was asked for more.
pub(super) const FILE_LIMIT_BYTES: u64 = 1 << 20;
/// A large machine has some thousand mappings of 100 bytes each.
const MAPS_LIMIT_BYTES: u64 = 16 << 20;
const DIRECTORY_PREFIX: &[u8] = b"hsperfdata_";

/// Why there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The process is gone, or publishes nothing.
    Absent,
    /// Something is not as it should be: a word for the account of losses.
    Refused(&'static str),
}

/// The process whose file is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its process id in its own namespace: the name of the file.
    pub(super) namespace_pid: u32,
    pub(super) uid: u32,
}

/// The name of the one directory of /tmp that has the process's file.
pub(super) fn find(roots: &Roots, process: Process, reader: &mut FileReader) -> Result<Vec<u8>, Missing> {
    let tmp = open_tmp(roots, process.pid)?;
    let mut found = Vec::new();
    let mut refused = None;
    for name in directories(&tmp)? {
        match open_at(&tmp, &name, process) {
            Ok(file) => found.push((name, file)),
            Err(Missing::Absent) => {}
            Err(other) => refused = Some(other),
        }
    }
    if found.len() > 1 {
        let is_own = |file: &File| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_uid == process.uid);
        found.retain(|(_, file)| is_own(file));
    }
    match (found.pop(), found.is_empty(), refused) {
        (Some((name, _)), true, _) => {
            is_mapped(roots, process, &name, reader)?;
            Ok(name)
        }
        (Some(_), false, _) => Err(Missing::Refused("ambiguous_file")),
        (None, _, Some(refused)) => Err(refused),
        (None, _, None) => Err(Missing::Absent),
    }
}

/// The file in a directory that was found before.
pub(super) fn open(roots: &Roots, process: Process, directory: &[u8]) -> Result<File, Missing> {
    open_at(&open_tmp(roots, process.pid)?, directory, process)
}

fn open_tmp(roots: &Roots, pid: u32) -> Result<OwnedFd, Missing> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, roots.proc_file(&format!("{pid}/root")), flags, Mode::empty())
        .map_err(missing)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&root, "tmp", flags, Mode::empty(), resolve).map_err(missing)
}

fn directories(tmp: &OwnedFd) -> Result<Vec<Vec<u8>>, Missing> {
    let mut names = Vec::new();
    let entries = Dir::read_from(tmp.as_fd()).map_err(missing)?;
    for (index, entry) in entries.enumerate() {
        let entry = entry.map_err(missing)?;
        if index >= ENTRIES_LIMIT || names.len() >= DIRECTORIES_LIMIT {
            return Err(Missing::Refused("too_many_files"));
        }
        let name = entry.file_name().to_bytes();
        if name.starts_with(DIRECTORY_PREFIX) {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn open_at(tmp: &OwnedFd, directory: &[u8], process: Process) -> Result<File, Missing> {
    let mut path = directory.to_vec();
    path.extend(format!("/{}", process.namespace_pid).into_bytes());
    // NONBLOCK: a pipe in its place would hold up whoever opens it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(tmp, path.as_slice(), flags, Mode::empty(), resolve).map_err(missing)?;
    let stat = rustix::fs::fstat(&file).map_err(missing)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Missing::Refused("not_a_file"));
    }
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > FILE_LIMIT_BYTES {
        return Err(Missing::Refused("file_too_large"));
    }
    Ok(File::from(file))
}

/// A file that stayed behind, of a process that had the same id, is not the process's own.
fn is_mapped(
    roots: &Roots,
    process: Process,
    directory: &[u8],
    reader: &mut FileReader,
) -> Result<(), Missing> {
    let maps = roots.proc_file(&format!("{}/maps", process.pid));
    let text = reader.read(&maps, MAPS_LIMIT_BYTES).map_err(|_| Missing::Absent)?;
    let mut end = b"/".to_vec();
    end.extend(directory);
    end.extend(format!("/{}", process.namespace_pid).into_bytes());
    if lines(text).any(|line| line.ends_with(&end)) { Ok(()) } else { Err(Missing::Refused("stale_file")) }
}

fn missing(error: Errno) -> Missing {
    match error {
        Errno::NOENT | Errno::SRCH | Errno::NOTDIR => Missing::Absent,
        Errno::LOOP | Errno::XDEV => Missing::Refused("link"),
        Errno::ACCESS | Errno::PERM => Missing::Refused("no_access"),
        // Before Linux 5.6 links cannot be kept inside.
        Errno::NOSYS => Missing::Refused("no_openat2"),
        _ => Missing::Refused("unreadable_file"),
    }
}
