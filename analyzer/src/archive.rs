//! Takes a `.tar` of a trace apart, into a private directory. What no trace has (links, devices, paths that lead
//! elsewhere) is refused, since an archive may come from anybody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use aftertrace_schemas::layout;
use tempfile::TempDir;

use crate::{Damage, OpenError, Progress};

/// What came out of an archive.
pub(crate) struct Extracted {
    /// Removed when it is dropped.
    pub(crate) directory: TempDir,
    /// Why there may be more than that, when the archive is cut or damaged within.
    pub(crate) damage: Option<Damage>,
}

/// Extracts the archive, or as much of it as is there.
pub(crate) fn extract(path: &Path, bytes: u64, progress: &mut dyn Progress) -> Result<Extracted, OpenError> {
    let foreign = |reason: &str| OpenError::Foreign { path: path.to_owned(), reason: reason.to_owned() };
    if bytes == 0 {
        return Err(foreign("the file is empty"));
    }
    let file = File::open(path).map_err(OpenError::io(path))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    // Readable for the owner only, whatever the archive says.
    let target = tempfile::Builder::new().prefix("aftertrace-").tempdir().map_err(OpenError::io(path))?;
    progress.begin("extracting the archive", Some(bytes));
    let mut done = 0;
    let mut count = 0;
    let mut cut = false;
    for entry in archive.entries().map_err(OpenError::io(path))? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.raw_os_error().is_some() => return Err(OpenError::io(path)(error)),
            // The words of the error quote bytes of the file, which may be anything.
            Err(_) if count == 0 => return Err(foreign(what_else(path))),
            Err(_) => {
                cut = true;
                break;
            }
        };
        count += 1;
        let name = entry.path().map_err(OpenError::io(path))?.into_owned();
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
            done = copy(&mut entry, &mut out, done, progress).map_err(OpenError::io(path))?;
        } else {
            return Err(refused("it is neither a file nor a directory"));
        }
    }
    progress.end();
    let damage = cut.then(|| Damage {
        file: path.display().to_string(),
        reason: format!("the archive is cut or damaged after {count} entries; files are missing or short"),
    });
    Ok(Extracted { directory: target, damage })
}

/// Why a file is no archive, in words.
fn what_else(path: &Path) -> &'static str {
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    match (read, begin) {
        (
            Ok(()),
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _],
        ) => "it is compressed; decompress it first",
        _ => "neither a directory nor a tar archive of one",
    }
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
