//! The files that a process executes, each opened as the very file that the process has mapped.
//!
//! In: a process. Out: open files with a key. A path is not enough: it is that of the process's own root directory, and
//! what is there now can be another file than the one that was mapped, which lives on although nobody can see it. The
//! kernel leads to that one by /proc/PID/map_files (with the right to look into processes' checkpoints or to
//! administrate); without that, the file at the path is taken if it is the same one.
//!
//! The path for a probe is [`MappedFile::probe_path`], which names the open file and not its name.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::sources::Roots;

/// A process with many libraries has some thousand mappings; one that maps more is read so far.
const MAPS_LIMIT_BYTES: u64 = 16 << 20;
/// Files that one process executes.
const FILES_LIMIT: usize = 1024;
/// The file system of containers' layers.
const OVERLAY_MAGIC: u64 = 0x794c_7630;

/// Names a file as long as somebody has it mapped.
///
/// In file systems made of layers each mount gives a file another device, while a probe goes to the layer's file, for
/// all mounts: so there the device is 0, and the time of the last change tells files of different layers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The device, or 0.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was last changed, in nanoseconds since 1970, for files of layers.
    pub changed_ns: i128,
}

/// What a process executes of a file, as /proc/PID/maps has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The addresses.
    pub start: u64,
    /// The end of them.
    pub end: u64,
    /// Device, as the maps have it: not always what `stat` says.
    pub device: (u32, u32),
    /// Inode.
    pub inode: u64,
    /// Path as the process saw it.
    pub path: PathBuf,
    /// The path leads nowhere, or to another file.
    pub is_deleted: bool,
}

/// A file that a process executes.
#[derive(Debug)]
pub struct MappedFile {
    /// Names it.
    pub key: FileKey,
    /// The file itself.
    pub file: File,
    /// Its path for people.
    pub path: PathBuf,
}

impl MappedFile {
    /// A path to give to the kernel for this very file, as long as this is not dropped.
    pub fn probe_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// The files that a process executes and that may have TLS in them, each once.
///
/// # Errors
/// When the process is gone or is not ours to look at.
pub fn executed(roots: &Roots, pid: u32) -> io::Result<Vec<Mapping>> {
    let file = File::open(roots.proc_file(&format!("{pid}/maps")))?;
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAPS_LIMIT_BYTES), &mut text)?;
    Ok(parse(&text))
}

/// The executed files of a text such as /proc/PID/maps.
fn parse(text: &[u8]) -> Vec<Mapping> {
    let mut files: BTreeMap<((u32, u32), u64), Mapping> = BTreeMap::new();
    for mapping in text.split(|byte| *byte == b'\n').filter_map(parse_line) {
        if files.len() < FILES_LIMIT && may_have_tls(&mapping.path) {
            files.entry((mapping.device, mapping.inode)).or_insert(mapping);
        }
    }
    files.into_values().collect()
}

/// `None` for what is not executed, or is no file.
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let (addresses, rights, _, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let path = words.next()?.trim_ascii_start();
    let inode: u64 = inode.parse().ok()?;
    if rights.as_bytes().get(2) != Some(&b'x') || inode == 0 || !path.starts_with(b"/") {
        return None;
    }
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = addresses.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let (path, is_deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let path = PathBuf::from(unescape(path));
    Some(Mapping { start: hexadecimal(start)?, end: hexadecimal(end)?, device, inode, path, is_deleted })
}

/// The kernel writes the end of a line in a path as `\012`.
fn unescape(path: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        (rest, _) = match after.strip_prefix(b"012") {
            Some(after) if *first == b'\\' => (after, bytes.push(b'\n')),
            _ => (after, bytes.push(*first)),
        };
    }
    OsString::from_vec(bytes)
}

/// By their names: libraries that every program has, and that are not read.
fn may_have_tls(path: &Path) -> bool {
    const WITHOUT: &[&[u8]] = &[
        b"ld-linux",
        b"ld-musl",
        b"libc.",
        b"libc-",
        b"libm.",
        b"libm-",
        b"libpthread",
        b"libdl.",
        b"libdl-",
        b"librt.",
        b"librt-",
        b"libstdc++.",
        b"libgcc_s.",
        b"libz.",
        b"libresolv.",
        b"libnss_",
        b"libselinux.",
        b"libpcre",
        b"libcrypto.",
    ];
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    !WITHOUT.iter().any(|prefix| name.starts_with(prefix))
}

/// Opens what a process has mapped.
///
/// # Errors
/// When the process or the mapping is gone, or the file is out of reach.
pub fn open(roots: &Roots, pid: u32, mapping: &Mapping) -> io::Result<MappedFile> {
    let name = format!("{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
    let direct = open_file(&roots.proc_file(&name)).and_then(|file| finish(file, mapping));
    match direct {
        Ok(file) => Ok(file),
        Err(_) if mapping.is_deleted => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the file was deleted, and this may not look into /proc/PID/map_files",
        )),
        Err(_) => {
            let root = roots.proc_file(&format!("{pid}/root"));
            let file = finish(open_below(&root, &mapping.path)?, mapping)?;
            if is_the_mapped_one(&file, mapping) {
                return Ok(file);
            }
            Err(io::Error::new(io::ErrorKind::NotFound, "another file is in its place"))
        }
    }
}

/// Opens a file of this host, which no process needs to execute.
///
/// # Errors
/// When it is not there, or out of reach.
pub fn open_path(path: &Path) -> io::Result<MappedFile> {
    described(open_file(path)?, path)
}

/// Opens the file with this key, if the process executes it.
///
/// # Errors
/// When the process is gone, or has not mapped the file, or it is out of reach.
pub fn open_key(roots: &Roots, pid: u32, key: FileKey) -> io::Result<MappedFile> {
    let mappings = executed(roots, pid)?;
    let mut opened = mappings
        .iter()
        .filter(|mapping| mapping.inode == key.inode)
        .filter_map(|mapping| open(roots, pid, mapping).ok());
    opened.find(|file| file.key == key).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Devices in the maps are those of the super block, and differ from `stat`'s in some file systems.
fn is_the_mapped_one(file: &MappedFile, mapping: &Mapping) -> bool {
    let device = (rustix::fs::major(file.key.device), rustix::fs::minor(file.key.device));
    // Device 0 of the super block is one that is no disk; only there can the two differ.
    file.key.inode == mapping.inode && (device == mapping.device || device.0 == 0 || mapping.device.0 == 0)
}

fn finish(file: File, mapping: &Mapping) -> io::Result<MappedFile> {
    described(file, &mapping.path)
}

fn described(file: File, path: &Path) -> io::Result<MappedFile> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let is_layered = rustix::fs::fstatfs(&file)?.f_type as u64 == OVERLAY_MAGIC;
    let changed_ns = i128::from(facts.ctime()) * 1_000_000_000 + i128::from(facts.ctime_nsec());
    let key = FileKey {
        device: if is_layered { 0 } else { facts.dev() },
        inode: facts.ino(),
        bytes: facts.len(),
        changed_ns: if is_layered { changed_ns } else { 0 },
    };
    Ok(MappedFile { key, file, path: path.to_owned() })
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn open_file(path: &Path) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(path, FLAGS, Mode::empty())?))
}

/// Opens a path of a process's root directory, out of which no link leads. Before Linux 5.6 a link can lead out; then
/// the caller finds that it is not the file.
fn open_below(root: &Path, path: &Path) -> io::Result<File> {
    let directory =
        rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&directory, path, FLAGS, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOSYS) => {
            let below = root.join(path.strip_prefix("/").unwrap_or(path));
            Ok(File::from(rustix::fs::openat(CWD, &below, FLAGS, Mode::empty())?))
        }
        result => Ok(File::from(result?)),
    }
}

#[cfg(test)]
mod tests;
