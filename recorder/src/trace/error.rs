use std::io;
use std::path::{Path, PathBuf};

use super::options::LEAST_MAX_BYTES;

/// Why a trace cannot be written, with the file and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The output directory is not usable.
    #[error("{}: {reason}; give a directory that does not exist or is empty", .path.display())]
    Output {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file system refused.
    #[error("{}: cannot {action}: {source}{}", .path.display(), remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system is full.
    #[error(
        "{}: no space left to {action}; what was recorded until then is complete and readable: \
         free space, record to another file system, or set a smaller --max-size", .path.display()
    )]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Rows could not be encoded: a defect of aftertrace.
    #[error("{}: cannot encode rows: {reason}; this is a defect, please report it", .path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's words.
        reason: String,
    },
    /// The cap on the size is too small for a segment.
    #[error(
        "a trace of at most {max_bytes} bytes has no room for a segment; give a --max-size of {LEAST_MAX_BYTES} bytes or more"
    )]
    CapTooSmall {
        /// The cap.
        max_bytes: u64,
    },
    /// The writer thread is gone: a defect of aftertrace.
    #[error("the trace writer stopped unexpectedly: {reason}; what was recorded until then is readable")]
    Stopped {
        /// Its last words.
        reason: String,
    },
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; record to a directory that you may write to",
        io::ErrorKind::ReadOnlyFilesystem => "; record to a file system that is not mounted read-only",
        io::ErrorKind::QuotaExceeded => "; free space, or record to another file system",
        io::ErrorKind::NotFound => "; the directory, or one above it, is not there",
        _ => "",
    }
}

impl TraceError {
    /// For `map_err` of an operation on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull { action, path },
            _ => Self::Io { action, path, source },
        }
    }
}
