//! The trace directory's files: private, never through a link, and durable in the stated order.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::TraceError;

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Bytes that a file or folder takes on disk at least, and in steps of: what `du` counts.
const BLOCK: u64 = 4096;

/// Bytes of a file in blocks.
pub(super) fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// Makes the output directory, or takes an empty one that is the caller's own. Gives its path without a trailing
/// slash, which would follow a link.
pub(super) fn create_output(path: &Path) -> Result<PathBuf, TraceError> {
    let path: PathBuf = path.components().collect();
    let refused = |reason| Err(TraceError::Output { path: path.clone(), reason });
    match DirBuilder::new().mode(PRIVATE_DIR).create(&path) {
        Ok(()) => {
            sync_parent(&path)?;
            return Ok(path);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(TraceError::io("create the directory", &path)(error)),
    }
    let kind = path.symlink_metadata().map_err(TraceError::io("look at the directory", &path))?.file_type();
    if kind.is_symlink() {
        return refused("is a symbolic link, which is not followed");
    }
    if !kind.is_dir() {
        return refused("exists and is not a directory");
    }
    // From here on through one descriptor, so that nobody can put a link in its place meanwhile.
    let dir = open_dir(&path)?;
    let metadata = dir.metadata().map_err(TraceError::io("look at the directory", &path))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refused("belongs to another user");
    }
    let mut entries = std::fs::read_dir(&path).map_err(TraceError::io("list the directory", &path))?;
    if entries.next().is_some() {
        return refused("is not empty");
    }
    dir.set_permissions(std::fs::Permissions::from_mode(PRIVATE_DIR))
        .map_err(TraceError::io("make the directory private", &path))?;
    Ok(path)
}

/// Makes a private folder below the output directory.
pub(super) fn create_dir(path: &Path) -> Result<(), TraceError> {
    DirBuilder::new().mode(PRIVATE_DIR).create(path).map_err(TraceError::io("create the directory", path))
}

/// Makes a private file that must not exist.
pub(super) fn create_file(path: &Path) -> Result<File, TraceError> {
    open_new(path).map_err(TraceError::io("create the file", path))
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn open_dir(path: &Path) -> Result<File, TraceError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
        .open(path)
        .map_err(TraceError::io("open the directory", path))
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), TraceError> {
    open_dir(path)?.sync_all().map_err(TraceError::io("sync the directory", path))
}

fn sync_parent(path: &Path) -> Result<(), TraceError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(TraceError::io("sync the directory", parent)),
        _ => Ok(()),
    }
}

/// Replaces a file whole: readers see the old or the new one, also after a power loss.
pub(super) fn replace_file(dir: &Path, name: &str, content: &[u8]) -> Result<(), TraceError> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}.tmp"));
    // One may be left from an attempt that the disk refused.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(TraceError::io("remove the file", &temporary)(error));
        }
        _ => {}
    }
    let mut file = create_file(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(TraceError::io("write the file", &path)(error));
    }
    std::fs::rename(&temporary, &path).map_err(TraceError::io("replace the file", &path))?;
    sync_dir(dir)
}

/// Renames a folder and makes that durable.
pub(super) fn rename_dir(from: &Path, to: &Path) -> Result<(), TraceError> {
    std::fs::rename(from, to).map_err(TraceError::io("rename the directory", to))?;
    match to.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Removes a folder with its files; it is fine when it is not there.
pub(super) fn remove_dir(path: &Path) -> Result<(), TraceError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TraceError::io("remove the directory", path)(error))
        }
        _ => Ok(()),
    }
}

/// What a [`CountedFile`] has written, and which error it met: the Parquet writer owns the file and wraps errors.
#[derive(Debug, Default, Clone)]
pub(super) struct FileState {
    bytes: Arc<AtomicU64>,
    crc32c: Arc<AtomicU32>,
    os_error: Arc<AtomicI32>,
}

impl FileState {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// CRC-32C of what was written.
    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c.load(Ordering::Relaxed)
    }

    /// The error that the operating system gave, if it was one.
    pub(super) fn error(&self) -> Option<io::Error> {
        match self.os_error.load(Ordering::Relaxed) {
            0 => None,
            code => Some(io::Error::from_raw_os_error(code)),
        }
    }
}

/// A file that counts its bytes and sums them up.
#[derive(Debug)]
pub(super) struct CountedFile {
    file: File,
    state: FileState,
}

impl CountedFile {
    pub(super) fn create(path: &Path) -> Result<Self, TraceError> {
        Ok(Self { file: create_file(path)?, state: FileState::default() })
    }

    pub(super) fn state(&self) -> FileState {
        self.state.clone()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.state.os_error.store(error.raw_os_error().unwrap_or_default(), Ordering::Relaxed);
        }
        result
    }
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        let written = self.noted(result)?;
        self.state.bytes.fetch_add(written as u64, Ordering::Relaxed);
        let crc32c = crc32c::crc32c_append(self.state.crc32c(), bytes.get(..written).unwrap_or(bytes));
        self.state.crc32c.store(crc32c, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
