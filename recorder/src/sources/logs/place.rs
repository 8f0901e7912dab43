//! Opens log files where they are seen: on the host, or by a process in a container.
//!
//! A path in a container is the container's word: links are followed inside of its root only, and nothing but a
//! regular file is opened, so that no container makes the recorder read the host's files or wait for a pipe.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, open, openat2, statx};

use crate::sources::{Roots, read_namespace};

/// From whose view a path is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The host's.
    Host,
    /// That of a process.
    Process {
        /// Its id.
        pid: u32,
        /// Inode of its mount namespace, where known: the id may be another process's by now.
        mount_namespace: Option<u32>,
    },
}

/// Which file it is, whatever its name. Inodes are used again, so the time of its birth belongs to it where the file
/// system keeps that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: (u32, u32),
    pub(super) inode: u64,
    /// Unix nanoseconds.
    pub(super) born: Option<i64>,
}

/// What is known of an open file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) id: FileId,
    pub(super) size: u64,
}

/// The way to files.
#[derive(Debug, Clone)]
pub(super) struct Places {
    roots: Roots,
    host: PathBuf,
}

impl Places {
    /// The host's root is that of its first process where that can be seen: the recorder may be in a container.
    pub(super) fn new(roots: &Roots) -> Self {
        let first = roots.proc_file("1/root");
        let host = if first.join(".").is_dir() { first } else { roots.root.clone() };
        Self { roots: roots.clone(), host }
    }

    /// The host's root directory.
    pub(super) fn host(&self) -> &Path {
        &self.host
    }

    fn root(&self, place: &Place) -> io::Result<OwnedFd> {
        let path = match place {
            Place::Host => self.host.clone(),
            Place::Process { pid, mount_namespace } => {
                let seen = read_namespace(&self.roots.proc_file(&format!("{pid}/ns/mnt")));
                if mount_namespace.is_some() && seen != *mount_namespace {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.roots.proc_file(&format!("{pid}/root"))
            }
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(open(path, flags, Mode::empty())?)
    }

    /// Opens a regular file for reading.
    pub(super) fn open(&self, place: &Place, path: &str) -> io::Result<(File, Facts)> {
        let root = self.root(place)?;
        // First without opening it: opening a pipe or a device does something.
        let named = self.resolve(&root, path, OFlags::PATH)?;
        let (_, is_file) = facts(&named)?;
        if !is_file {
            return Err(io::Error::other("not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(&root, path, flags)?;
        let (facts, is_file) = facts(&file)?;
        if !is_file {
            return Err(io::Error::other("not a regular file"));
        }
        Ok((File::from(file), facts))
    }

    /// Which file a path leads to now.
    pub(super) fn look(&self, place: &Place, path: &str) -> io::Result<Facts> {
        let named = self.resolve(&self.root(place)?, path, OFlags::PATH)?;
        Ok(facts(&named)?.0)
    }

    /// The directory that a path is in.
    pub(super) fn directory(&self, place: &Place, path: &str, readable: bool) -> io::Result<OwnedFd> {
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let flags = if readable { OFlags::RDONLY } else { OFlags::PATH } | OFlags::DIRECTORY;
        self.resolve(&self.root(place)?, if parent.is_empty() { "/" } else { parent }, flags)
    }

    fn resolve(&self, root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within)?)
    }
}

/// What is known of an open file, and whether it is a regular one.
pub(super) fn facts(file: impl AsFd) -> io::Result<(Facts, bool)> {
    let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let born = stat
        .stx_btime
        .tv_sec
        .checked_mul(1_000_000_000)
        .and_then(|seconds| seconds.checked_add(i64::from(stat.stx_btime.tv_nsec)));
    let id = FileId {
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        born: born.filter(|_| has_birth),
    };
    let is_file = rustix::fs::FileType::from_raw_mode(stat.stx_mode.into()).is_file();
    Ok((Facts { id, size: stat.stx_size }, is_file))
}

/// When an open file lost its last name; `None` while it has one.
pub(super) fn removed_at(file: impl AsFd) -> Option<i64> {
    let stat = rustix::fs::fstat(file).ok().filter(|stat| stat.st_nlink == 0)?;
    stat.st_ctime.checked_mul(1_000_000_000)?.checked_add(i64::try_from(stat.st_ctime_nsec).ok()?)
}

/// The time by the clock that files are dated with.
pub(super) fn file_clock_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// The path by which the kernel finds an open file or directory again.
pub(super) fn link(fd: impl AsFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}
