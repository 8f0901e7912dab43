//! Takes a `.tar` of a trace apart, into a private directory. What no trace has (links, devices, paths that lead
//! elsewhere) is refused, since an archive may come from anybody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use aftertrace_schemas::layout;
use tempfile::TempDir;

use crate::{OpenError, Progress};

/// Extracts the archive; the directory is removed when it is dropped.
pub(crate) fn extract(path: &Path, bytes: u64, progress: &mut dyn Progress) -> Result<TempDir, OpenError> {
    let foreign = |reason: String| OpenError::Foreign { path: path.to_owned(), reason };
    if bytes == 0 {
        return Err(foreign("the file is empty".to_owned()));
    }
    let not_tar =
        |error: io::Error| foreign(format!("neither a directory nor a readable tar archive of one: {error}"));
    let file = File::open(path).map_err(OpenError::io(path))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    // Readable for the owner only, whatever the archive says.
    let target = tempfile::Builder::new().prefix("aftertrace-").tempdir().map_err(OpenError::io(path))?;
    progress.begin("extracting the archive", Some(bytes));
    let mut done = 0;
    for entry in archive.entries().map_err(not_tar)? {
        let mut entry = entry.map_err(not_tar)?;
        let name = entry.path().map_err(not_tar)?.into_owned();
        let refused =
            |reason| OpenError::Archive { path: path.to_owned(), entry: name.display().to_string(), reason };
        let place = target.path().join(relative(&name).map_err(&refused)?);
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(&place).map_err(OpenError::io(path))?;
        } else if kind.is_file() {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).map_err(OpenError::io(path))?;
            }
            let mut out =
                OpenOptions::new().write(true).create_new(true).open(&place).map_err(OpenError::io(path))?;
            done = copy(&mut entry, &mut out, done, progress).map_err(not_tar)?;
        } else {
            return Err(refused("it is neither a file nor a directory"));
        }
    }
    progress.end();
    Ok(target)
}

fn copy(from: &mut impl Read, to: &mut File, mut done: u64, progress: &mut dyn Progress) -> io::Result<u64> {
    loop {
        let copied = io::copy(&mut from.take(4 << 20), to)?;
        if copied == 0 {
            return Ok(done);
        }
        done += copied;
        progress.advance(done);
    }
}

/// The entry's path below the target.
fn relative(name: &Path) -> Result<PathBuf, &'static str> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("its path leads out of the archive"),
            Component::RootDir | Component::Prefix(_) => return Err("its path is absolute"),
        }
    }
    Ok(path)
}

/// The trace in an extracted archive: the top, or the only folder in it.
pub(crate) fn trace_root(top: &Path) -> PathBuf {
    let is_trace = |folder: &Path| {
        [layout::MANIFEST, layout::SEGMENTS, layout::JOURNAL].iter().any(|name| folder.join(name).exists())
    };
    let mut root = top.to_owned();
    while !is_trace(&root) {
        let mut folders = fs::read_dir(&root)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_dir());
        match (folders.next(), folders.next()) {
            (Some(only), None) => root = only,
            _ => return top.to_owned(),
        }
    }
    root
}
