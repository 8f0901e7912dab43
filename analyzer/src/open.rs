//! Opens a trace: a directory, or an archive of one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aftertrace_schemas::TableId;
use aftertrace_schemas::layout;
use aftertrace_schemas::manifest::{Manifest, ManifestError};

use crate::trace::{Segment, TableFile};
use crate::{Damage, Progress, Trace, archive, table_file};

/// Why nothing can be read. Each names the path.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing is there.
    #[error("{}: empty: not a trace", .0.display())]
    Empty(PathBuf),
    /// Something else is there.
    #[error("{}: not a trace: {reason}", .path.display())]
    Foreign {
        /// What was read.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The manifest is of a newer format, or is nothing that this build reads and there is nothing else.
    #[error("{}: {source}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        source: ManifestError,
    },
    /// An archive holds something that no trace has.
    #[error("{}: entry `{entry}` refused: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Name of the entry.
        entry: String,
        /// Why.
        reason: &'static str,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl Trace {
    /// Opens a trace directory, or a `.tar` of one, which is extracted to a private directory that goes away with the trace.
    ///
    /// # Errors
    /// When there is nothing to read: no trace, an empty one, or one of a newer format. A damaged table is no error: it is
    /// listed in `damage` and the rest is used.
    pub fn open(path: &Path, progress: &mut dyn Progress) -> Result<Self, OpenError> {
        let kind = fs::metadata(path).map_err(OpenError::io(path))?;
        if kind.is_dir() {
            return open_directory(path, path, progress);
        }
        let extracted = archive::extract(path, kind.len(), progress)?;
        let root = archive::trace_root(extracted.directory.path());
        let mut trace = open_directory(&root, path, progress)?;
        trace.damage.extend(extracted.damage);
        trace.extracted = Some(extracted.directory);
        Ok(trace)
    }
}

/// `name` is what the user gave, and what messages say.
fn open_directory(root: &Path, name: &Path, progress: &mut dyn Progress) -> Result<Trace, OpenError> {
    let mut damage = Vec::new();
    let mut notes = Vec::new();
    let sealed = segment_numbers(&root.join(layout::SEGMENTS), name)?;
    let journals: BTreeSet<u32> =
        segment_numbers(&root.join(layout::JOURNAL), name)?.difference(&sealed).copied().collect();
    let has_data = !sealed.is_empty() || !journals.is_empty();
    let manifest = match fs::read(root.join(layout::MANIFEST)) {
        Ok(json) => read_manifest(&json, has_data, name, &mut damage)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_data => {
            notes.push(format!("{} is missing: host, options and filters are unknown", layout::MANIFEST));
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing_there(root, name)),
        Err(error) => return Err(OpenError::io(&name.join(layout::MANIFEST))(error)),
    };
    let mut segments = Vec::new();
    let all: BTreeSet<u32> = sealed.union(&journals).copied().collect();
    progress.begin("opening segments", Some(all.len() as u64));
    for (done, number) in all.iter().enumerate() {
        segments.push(open_segment(root, *number, sealed.contains(number), &mut damage));
        progress.advance(done as u64 + 1);
    }
    progress.end();
    if let Some(manifest) = &manifest {
        compare_with_manifest(manifest, &segments, &mut damage);
    }
    let name = name.display().to_string();
    Ok(Trace { name, root: root.to_owned(), manifest, segments, damage, notes, extracted: None })
}

fn nothing_there(root: &Path, name: &Path) -> OpenError {
    let empty = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return OpenError::Empty(name.to_owned());
    }
    let reason = format!("it has neither {} nor {}/", layout::MANIFEST, layout::SEGMENTS);
    OpenError::Foreign { path: name.to_owned(), reason }
}

fn read_manifest(
    json: &[u8],
    has_data: bool,
    name: &Path,
    damage: &mut Vec<Damage>,
) -> Result<Option<Manifest>, OpenError> {
    match Manifest::from_json(json) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(source @ ManifestError::Json(_)) if has_data => {
            damage.push(Damage { file: layout::MANIFEST.to_owned(), reason: source.to_string() });
            Ok(None)
        }
        Err(source) => Err(OpenError::Manifest { path: name.join(layout::MANIFEST), source }),
    }
}

/// The numbers of the complete folders; those still being written have other names.
fn segment_numbers(folder: &Path, name: &Path) -> Result<BTreeSet<u32>, OpenError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(OpenError::io(name)(error)),
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(OpenError::io(name))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        numbers.extend(entry.file_name().to_str().and_then(layout::segment_number).filter(|_| is_folder));
    }
    Ok(numbers)
}

fn open_segment(root: &Path, number: u32, sealed: bool, damage: &mut Vec<Damage>) -> Segment {
    let folder = if sealed { layout::segment_dir(root, number) } else { layout::journal_dir(root, number) };
    let mut segment = Segment { number, sealed, cuts: Vec::new(), tables: Vec::new() };
    for table in TableId::ALL.iter().copied() {
        let path =
            folder.join(if sealed { layout::parquet_name(table) } else { layout::journal_name(table) });
        let name = Trace::relative_name(root, &path);
        let found = match fs::symlink_metadata(&path) {
            Ok(kind) if kind.is_file() => table_file::describe(table, &path, &name, sealed, kind.len()),
            Ok(_) => Err("not a regular file; links are not followed".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok((file, cut)) => {
                segment.cuts.extend(cut.map(|reason| Damage { file: name, reason }));
                segment.tables.extend((file.rows > 0).then_some(file));
            }
            Err(reason) => damage.push(Damage { file: name, reason }),
        }
    }
    segment
}

/// A sealed segment must hold what the manifest says that it holds.
fn compare_with_manifest(manifest: &Manifest, segments: &[Segment], damage: &mut Vec<Damage>) {
    for listed in &manifest.segments {
        let folder = format!("{}/{}", layout::SEGMENTS, layout::segment_name(listed.number));
        let Some(segment) = segments.iter().find(|segment| segment.number == listed.number && segment.sealed)
        else {
            damage.push(Damage { file: folder, reason: "listed in the manifest, but missing".to_owned() });
            continue;
        };
        for (table, expected) in &listed.tables {
            let file = format!("{folder}/{table}.parquet");
            let known = TableId::from_name(table).is_some();
            let present: Option<&TableFile> = segment.tables.iter().find(|file| file.table.name() == table);
            let already = damage.iter().any(|damage| damage.file == file);
            if !known || already || expected.rows == 0 {
                continue;
            }
            match present {
                None => {
                    damage.push(Damage { file, reason: "listed in the manifest, but missing".to_owned() })
                }
                Some(found) if found.rows != expected.rows => {
                    let reason = format!("{} rows, the manifest says {}", found.rows, expected.rows);
                    damage.push(Damage { file, reason });
                }
                Some(_) => {}
            }
        }
    }
}
