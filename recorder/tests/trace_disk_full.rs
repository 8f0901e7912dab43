//! On a file system of a few megabytes: full, and capped. Needs root for the mount; says so and passes without.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod trace_support;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aftertrace_recorder::trace::{LEAST_MAX_BYTES, TraceError, TraceWriter, WriterOptions};
use trace_support::{Numbered, manifest, mark, read, tcp};

/// A small memory file system, unmounted at the end.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not allowed.
    fn of(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = CString::new(format!("size={bytes}")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("tmpfs", dir.path(), "tmpfs", flags, Some(size.as_c_str())) {
            Ok(()) => Some(Self { dir }),
            Err(error) => {
                println!("skipped: cannot mount a tmpfs: {error}");
                None
            }
        }
    }

    fn trace(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    fn used_bytes(path: &Path) -> u64 {
        let space = rustix::fs::statvfs(path).unwrap();
        (space.f_blocks - space.f_bfree) * space.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_is_one_clear_error_and_everything_written_so_far_is_readable() {
    let Some(disk) = SmallDisk::of(3 << 20) else { return };
    let options = WriterOptions { journal_interval: Duration::from_millis(50), ..WriterOptions::default() };
    let mut writer = TraceWriter::create(&disk.trace(), manifest(), options).unwrap();
    let mut rows = Numbered::default();
    let mut errors = Vec::new();
    let mut turns_after_error = 0;
    for turn in 0..4_000 {
        for _ in 0..500 {
            let observation = rows.observation(tcp(rows.seq));
            errors.extend(writer.append(&observation).err());
        }
        errors.extend(writer.tick(Instant::now()).err());
        if turn % 8 == 7 && errors.is_empty() {
            errors.extend(writer.begin_segment().err());
        }
        turns_after_error += usize::from(!errors.is_empty());
        if turns_after_error == 50 {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(matches!(errors[0], TraceError::DiskFull { .. }), "{}", errors[0]);
    let words = errors[0].to_string();
    assert!(words.contains("no space left") && words.contains("--max-size"), "{words}");
    assert!(!writer.finish("too late").unwrap().complete);

    let found = read(&disk.trace());
    let seqs = found.seqs();
    assert!(seqs.len() > 5_000, "{}", seqs.len());
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "whole up to where the disk was full");
    assert!(!found.cut, "nothing torn is left behind");
    assert_eq!(found.manifest.ended, None);
    assert!(found.manifest.end_reason.as_deref().is_some_and(|reason| reason.contains("no space left")));
}

#[test]
fn the_cap_on_bytes_is_never_exceeded_while_rows_flood_in() {
    let Some(disk) = SmallDisk::of(64 << 20) else { return };
    let before = SmallDisk::used_bytes(disk.dir.path());
    let options = WriterOptions {
        journal_interval: Duration::from_millis(50),
        max_bytes: Some(LEAST_MAX_BYTES),
        ..WriterOptions::default()
    };
    let mut writer = TraceWriter::create(&disk.trace(), manifest(), options).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn({
        let (done, path) = (Arc::clone(&done), disk.dir.path().to_owned());
        move || {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(SmallDisk::used_bytes(&path) - before);
            }
            most
        }
    });
    let mut rows = Numbered::default();
    for _ in 0..500 {
        rows.storm(&mut writer, 2_000);
        writer.tick(Instant::now()).unwrap();
        if writer.segment_is_full(Instant::now()) {
            writer.begin_segment().unwrap();
            let segment = writer.segment();
            rows.append(&mut writer, mark(segment));
        }
        for loss in writer.take_losses() {
            rows.append(&mut writer, loss.into());
        }
    }
    let appended = rows.seq;
    writer.finish("done").unwrap();
    done.store(true, Ordering::Relaxed);
    let most = watch.join().unwrap();
    assert!(most <= LEAST_MAX_BYTES, "{most} bytes at a time");
    assert!(most > LEAST_MAX_BYTES / 2, "the cap is used: {most}");
    let found = read(&disk.trace());
    let lost: u64 = found.manifest.losses.values().sum();
    assert_eq!(found.seqs().len() as u64 + found.manifest.retired.rows + lost, appended);
}
