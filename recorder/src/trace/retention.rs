//! The sealed segments and the manifest that lists them; drops the oldest to keep the caps.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aftertrace_schemas::layout;
use aftertrace_schemas::manifest::{Manifest, Segment};

use super::TraceError;
use super::files;

/// The trace's folder, `segments/` and `journal/` themselves.
const FOLDERS: u64 = 3;

/// What is kept.
pub(super) struct Kept {
    root: PathBuf,
    pub(super) manifest: Manifest,
    /// For each segment of the manifest: when it began, and its bytes on disk.
    sealed: VecDeque<(Instant, u64)>,
    manifest_bytes: u64,
}

impl Kept {
    pub(super) fn create(root: PathBuf, manifest: Manifest) -> Result<Self, TraceError> {
        let mut kept = Self { root, manifest, sealed: VecDeque::new(), manifest_bytes: 0 };
        kept.write_manifest()?;
        Ok(kept)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes on disk of all that is kept, with room to rewrite the manifest.
    pub(super) fn disk_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|(_, bytes)| bytes).sum();
        // The new manifest stands beside the old one until it replaces it, and may be a block longer.
        let manifests = 2 * files::on_disk(self.manifest_bytes) + files::on_disk(1);
        sealed + manifests + FOLDERS * files::on_disk(1)
    }

    /// Number of sealed segments.
    pub(super) fn segments(&self) -> u32 {
        u32::try_from(self.sealed.len()).unwrap_or(u32::MAX)
    }

    /// Lists a sealed segment.
    pub(super) fn add(&mut self, segment: Segment, began: Instant) -> Result<(), TraceError> {
        let files: u64 = segment.tables.values().map(|table| files::on_disk(table.bytes)).sum();
        self.sealed.push_back((began, files + files::on_disk(1)));
        self.manifest.segments.push(segment);
        self.write_manifest()
    }

    /// Drops the oldest segments until `needed` bytes fit beside the rest under `max_bytes`. False when they do
    /// not, with all segments gone that could go.
    pub(super) fn make_room(&mut self, needed: u64, max_bytes: u64) -> Result<bool, TraceError> {
        let mut excess = (self.disk_bytes() + needed).saturating_sub(max_bytes);
        let mut count = 0;
        for (_, bytes) in &self.sealed {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*bytes);
            count += 1;
        }
        self.retire(count)?;
        Ok(excess == 0)
    }

    /// Drops the segments that hold something older than `max_age`.
    pub(super) fn drop_older(&mut self, max_age: Duration, now: Instant) -> Result<(), TraceError> {
        let old = |(began, _): &&(Instant, u64)| now.saturating_duration_since(*began) > max_age;
        self.retire(self.sealed.iter().take_while(old).count())
    }

    /// Drops the oldest segments: first from the manifest, then each at once by a rename, then its files. So that
    /// a reader, at any moment, finds each segment whole or not at all.
    fn retire(&mut self, count: usize) -> Result<(), TraceError> {
        if count == 0 {
            return Ok(());
        }
        let count = count.min(self.manifest.segments.len());
        let retired: Vec<Segment> = self.manifest.segments.drain(..count).collect();
        self.sealed.drain(..count.min(self.sealed.len()));
        for segment in &retired {
            self.manifest.retired.segments += 1;
            self.manifest.retired.rows += segment.rows();
            self.manifest.retired.bytes += segment.bytes();
        }
        self.write_manifest()?;
        for segment in &retired {
            let folder = layout::segment_dir(&self.root, segment.number);
            let leaving = folder.with_extension("tmp");
            files::rename_dir(&folder, &leaving)?;
            files::remove_dir(&leaving)?;
        }
        Ok(())
    }

    pub(super) fn write_manifest(&mut self) -> Result<(), TraceError> {
        let json = self.manifest.to_json().map_err(|error| TraceError::Encode {
            path: self.root.join(layout::MANIFEST),
            reason: error.to_string(),
        })?;
        files::replace_file(&self.root, layout::MANIFEST, &json)?;
        self.manifest_bytes = json.len() as u64;
        Ok(())
    }
}
