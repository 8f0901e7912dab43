//! The trace writer as its caller sees it: what is appended is on disk, in the shape that readers expect.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod trace_support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aftertrace_recorder::trace::{LEAST_MAX_BYTES, TraceError, TraceWriter, WriterOptions};
use aftertrace_schemas::manifest::{Manifest, Probe};
use aftertrace_schemas::{Kind, TableId, layout};
use trace_support::{BEGIN, Numbered, manifest, mark, read, tcp};

fn writer(dir: &Path, options: WriterOptions) -> TraceWriter {
    TraceWriter::create(dir, manifest(), options).unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    (dir, trace)
}

/// Waits until the writer thread has done what is looked for.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_finished_trace_holds_every_row_once_and_says_that_it_ended() {
    let (_dir, trace) = place();
    let mut writer = writer(&trace, WriterOptions::default());
    let mut rows = Numbered::default();
    rows.append(&mut writer, mark(1));
    rows.storm(&mut writer, 20_000);
    let summary = writer.finish("asked to").unwrap();
    assert!(summary.complete);
    let found = read(&trace);
    assert_eq!(found.seqs(), (1..=20_001).collect::<Vec<_>>());
    assert_eq!(found.observations[1].kind, tcp(2));
    assert_eq!(found.manifest.ended, Some(BEGIN + 20_001_000));
    assert_eq!(found.manifest.end_reason.as_deref(), Some("asked to"));
    assert!(!trace.join(layout::JOURNAL).exists());
    let segment = &found.manifest.segments[0];
    assert_eq!((segment.first_seq, segment.last_seq, segment.rows()), (1, 20_001, 20_001));
    assert_eq!((segment.from, segment.to), (BEGIN + 1000, BEGIN + 20_001_000));
    for (table, file) in &segment.tables {
        let path = layout::segment_dir(&trace, 1).join(format!("{table}.parquet"));
        assert_eq!(fs::metadata(path).unwrap().len(), file.bytes, "{table}");
    }
    assert_eq!(segment.tables.len(), 3, "a table without rows has no file");
}

#[test]
fn rows_are_readable_within_the_journal_interval() {
    let (_dir, trace) = place();
    let options = WriterOptions { journal_interval: Duration::from_millis(100), ..WriterOptions::default() };
    let mut writer = writer(&trace, options);
    let mut rows = Numbered::default();
    rows.storm(&mut writer, 50);
    std::thread::sleep(Duration::from_millis(60));
    writer.tick(Instant::now()).unwrap();
    eventually("50 rows in the journal", || read(&trace).seqs().len() == 50);
    let found = read(&trace);
    assert_eq!((found.sealed.len(), found.journals.len(), found.manifest.ended), (0, 1, None));
}

#[test]
fn each_segment_is_sealed_listed_and_its_journal_gone() {
    let (_dir, trace) = place();
    let mut writer = writer(&trace, WriterOptions::default());
    let mut rows = Numbered::default();
    for segment in 1..=3 {
        rows.append(&mut writer, mark(segment));
        rows.storm(&mut writer, 5_000);
        writer.begin_segment().unwrap();
    }
    assert_eq!(writer.segment(), 4);
    eventually("three sealed segments", || writer.stats().sealed_segments == 3);
    eventually("no journal", || fs::read_dir(trace.join(layout::JOURNAL)).unwrap().next().is_none());
    let found = read(&trace);
    assert_eq!(found.seqs().len(), 15_003);
    let spans: Vec<_> =
        found.manifest.segments.iter().map(|segment| (segment.first_seq, segment.last_seq)).collect();
    assert_eq!(spans, [(1, 5_001), (5_002, 10_002), (10_003, 15_003)]);
    // Nothing was recorded since: the fourth segment leaves no trace.
    writer.finish("done").unwrap();
    assert_eq!(read(&trace).sealed.len(), 3);
}

#[test]
fn a_segment_is_full_by_age_by_journal_and_by_parquet() {
    let (_dir, trace) = place();
    let options = WriterOptions {
        segment_bytes: 100_000,
        segment_journal_bytes: 1_000_000,
        segment_age: Duration::from_secs(60),
        ..WriterOptions::default()
    };
    let mut writer = writer(&trace, options);
    let now = Instant::now();
    assert!(!writer.segment_is_full(now));
    assert!(writer.segment_is_full(now + Duration::from_secs(61)));
    let mut rows = Numbered::default();
    rows.storm(&mut writer, 5_000);
    eventually("100,000 bytes of Parquet", || writer.segment_is_full(now));
    writer.begin_segment().unwrap();
    assert!(!writer.segment_is_full(now));
    rows.storm(&mut writer, 50_000);
    assert!(writer.segment_is_full(now), "by the journal's bytes, at once");
}

#[test]
fn the_oldest_segments_go_when_they_are_too_old() {
    let (_dir, trace) = place();
    let options = WriterOptions {
        journal_interval: Duration::from_millis(20),
        max_age: Some(Duration::from_millis(300)),
        ..WriterOptions::default()
    };
    let mut writer = writer(&trace, options);
    let mut rows = Numbered::default();
    rows.storm(&mut writer, 100);
    writer.begin_segment().unwrap();
    eventually("the first segment", || writer.stats().sealed_segments == 1);
    eventually("its end", || writer.stats().sealed_segments == 0);
    rows.storm(&mut writer, 10);
    writer.finish("done").unwrap();
    let found = read(&trace);
    assert_eq!(found.seqs(), (101..=110).collect::<Vec<_>>());
    assert_eq!((found.manifest.retired.segments, found.manifest.retired.rows), (1, 100));
}

#[test]
fn under_a_cap_the_newest_rows_stay_and_all_are_accounted_for() {
    let (_dir, trace) = place();
    let options = WriterOptions { max_bytes: Some(LEAST_MAX_BYTES), ..WriterOptions::default() };
    let mut writer = writer(&trace, options);
    let mut rows = Numbered::default();
    let mut largest = 0;
    for _ in 0..300 {
        rows.storm(&mut writer, 2_000);
        writer.tick(Instant::now()).unwrap();
        if writer.segment_is_full(Instant::now()) {
            writer.begin_segment().unwrap();
        }
        // The queue would shed in this unpaced flood.
        eventually("an empty queue", || writer.stats().queued_batches == 0);
        largest = largest.max(writer.stats().disk_bytes);
    }
    let last = rows.seq;
    let lost: u64 = writer.take_losses().iter().map(|loss| loss.lost).sum();
    writer.finish("done").unwrap();
    let found = read(&trace);
    assert_eq!(lost, 0);
    assert!(largest <= LEAST_MAX_BYTES, "{largest}");
    assert!(found.manifest.retired.segments > 3, "{:?}", found.manifest.retired);
    let first = found.seqs()[0];
    assert_eq!(found.seqs(), (first..=last).collect::<Vec<_>>());
    assert_eq!(found.manifest.retired.rows, first - 1);
}

#[test]
fn a_flood_that_the_queue_cannot_hold_is_shed_and_every_row_is_accounted_for() {
    let (_dir, trace) = place();
    let mut writer = writer(&trace, WriterOptions { queue_bytes: 1 << 20, ..WriterOptions::default() });
    let mut rows = Numbered::default();
    let mut lost = 0;
    for segment in 1..=40 {
        rows.append(&mut writer, mark(segment));
        rows.storm(&mut writer, 20_000);
        for loss in writer.take_losses() {
            assert_eq!(loss.cause, "queue_full");
            lost += loss.lost;
            rows.append(&mut writer, Kind::Loss(loss));
        }
    }
    let appended = rows.seq;
    writer.finish("done").unwrap();
    let found = read(&trace);
    let recorded: u64 = found
        .observations
        .iter()
        .map(|row| if let Kind::Loss(loss) = &row.kind { loss.lost } else { 0 })
        .sum();
    assert_eq!(recorded, lost);
    // What the last flush shed has no row any more, but is in the manifest.
    let total: u64 = found.manifest.losses.values().sum();
    assert_eq!(found.seqs().len() as u64 + total, appended, "{:?}", found.manifest.losses);
    assert_eq!(found.count(TableId::Mark), 40, "marks are never shed");
}

#[test]
fn probes_reach_the_manifest_while_recording() {
    let (_dir, trace) = place();
    let options = WriterOptions { journal_interval: Duration::from_millis(50), ..WriterOptions::default() };
    let mut writer = writer(&trace, options);
    let probe = Probe { probe: "sched_process_exec".to_owned(), state: "active".to_owned(), reason: None };
    writer.set_probes(vec![probe.clone()]);
    eventually("the probe", || read(&trace).manifest.probes == [probe.clone()]);
}

#[test]
fn the_directory_is_private_and_so_is_all_in_it() {
    let (_dir, trace) = place();
    fs::create_dir(&trace).unwrap();
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o755)).unwrap();
    let mut writer = writer(&trace, WriterOptions::default());
    let mut rows = Numbered::default();
    rows.storm(&mut writer, 5_000);
    writer.begin_segment().unwrap();
    rows.storm(&mut writer, 5_000);
    eventually("a sealed segment", || writer.stats().sealed_segments == 1);
    eventually("the next one's journal", || layout::journal_dir(&trace, 2).exists());
    let mut folders = vec![trace.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(
                    fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{}",
                    path.display()
                );
                files += 1;
            }
        }
    }
    // The manifest, the sealed table, and whatever of the next journal is there by now.
    assert!(files >= 2, "{files}");
}

#[test]
fn a_place_that_is_not_free_is_refused_and_left_alone() {
    let (dir, trace) = place();
    let refused = |path: &Path| match TraceWriter::create(path, manifest(), WriterOptions::default()) {
        Err(TraceError::Output { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{} was taken", path.display()),
    };
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("precious"), "x").unwrap();
    assert_eq!(refused(&full), "is not empty");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);

    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &trace).unwrap();
    assert!(refused(&trace).contains("symbolic link"));
    assert!(refused(&trace.join("")).contains("symbolic link"), "a slash at the end changes nothing");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(refused(&file), "exists and is not a directory");

    let missing = dir.path().join("not/there");
    let error =
        TraceWriter::create(&missing, manifest(), WriterOptions::default()).err().unwrap().to_string();
    assert!(error.contains("not/there: cannot create the directory"), "{error}");
}

#[test]
fn a_cap_without_room_for_a_segment_is_refused() {
    let (_dir, trace) = place();
    let options = WriterOptions { max_bytes: Some(100_000), ..WriterOptions::default() };
    let error = TraceWriter::create(&trace, manifest(), options).err().unwrap();
    assert!(error.to_string().contains("--max-size of 4194304 bytes or more"), "{error}");
    assert!(!trace.exists());
}

#[test]
fn an_error_is_given_once_and_what_was_sealed_stays() {
    let (_dir, trace) = place();
    let mut writer = writer(&trace, WriterOptions::default());
    let mut rows = Numbered::default();
    rows.storm(&mut writer, 5_000);
    writer.begin_segment().unwrap();
    eventually("a sealed segment", || writer.stats().sealed_segments == 1);
    fs::remove_dir(trace.join(layout::JOURNAL)).unwrap();
    let mut errors = Vec::new();
    for _ in 0..200 {
        for _ in 0..100 {
            let observation = rows.observation(tcp(1));
            errors.extend(writer.append(&observation).err());
        }
        errors.extend(writer.tick(Instant::now()).err());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("journal/000002: cannot create the directory"), "{}", errors[0]);
    let summary = writer.finish("too late").unwrap();
    assert!(!summary.complete && summary.stats.lost > 0);
    let found = read(&trace);
    assert_eq!(found.seqs(), (1..=5_000).collect::<Vec<_>>());
    assert_eq!(found.manifest.ended, None);
    assert!(found.manifest.end_reason.unwrap().contains("cannot create"));
    assert!(found.manifest.losses.contains_key("writer/tcp_events/disk"));
}

#[test]
fn a_writer_that_is_dropped_leaves_what_it_had() {
    let (_dir, trace) = place();
    let mut rows = Numbered::default();
    let mut writer = writer(&trace, WriterOptions::default());
    rows.storm(&mut writer, 5_000);
    drop(writer);
    let found = read(&trace);
    assert_eq!(found.seqs(), (1..=5_000).collect::<Vec<_>>());
    assert_eq!((found.manifest.ended, found.cut), (None, false));
    assert!(Manifest::from_json(&fs::read(trace.join(layout::MANIFEST)).unwrap()).is_ok());
}
