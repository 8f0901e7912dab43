//! `kill -9` at any moment: the trace opens, and has lost at most the journal interval.
//!
//! The test starts itself as the process to kill, which writes as fast as a busy host and seals a segment every few
//! moments, so that kills fall between any two steps of sealing and retention.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod trace_support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aftertrace_recorder::trace::{TraceWriter, WriterOptions};
use trace_support::{Numbered, manifest, mark, read};

const TRACE: &str = "AFTERTRACE_TEST_STORM";
const INTERVAL: Duration = Duration::from_millis(400);
/// The machine may be busy with other tests; the interval is the writer's promise, not the scheduler's.
const SCHEDULING: Duration = Duration::from_millis(800);

/// Not a test of its own: what the other one kills. Prints the last number that was appended, again and again.
#[test]
fn storm_to_be_killed() {
    let Some(trace) = std::env::var_os(TRACE) else { return };
    let options = WriterOptions {
        journal_interval: INTERVAL,
        segment_age: Duration::from_millis(60),
        max_bytes: Some(8 << 20),
        ..WriterOptions::default()
    };
    let mut writer = TraceWriter::create(Path::new(&trace), manifest(), options).unwrap();
    let mut rows = Numbered::default();
    let mut out = std::io::stderr();
    loop {
        rows.storm(&mut writer, 200);
        writer.tick(Instant::now()).unwrap();
        if writer.segment_is_full(Instant::now()) {
            writer.begin_segment().unwrap();
            let segment = writer.segment();
            rows.append(&mut writer, mark(segment));
        }
        writeln!(out, "appended {} lost {}", rows.seq, writer.stats().lost).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_at_many_moments_a_trace_always_opens_and_loses_at_most_the_interval() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut worst = Duration::ZERO;
    for round in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_millis(100 + random % 2_400);
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storm_to_be_killed", "--nocapture"])
            .env(TRACE, &trace)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What was appended, and when that was read.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut appended = Vec::new();
        let mut begun = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            if words[0] != "appended" {
                continue;
            }
            assert_eq!(words[3], "0", "nothing is shed at this pace");
            appended.push((words[1].parse::<u64>().unwrap(), Instant::now()));
            if begun.get_or_insert_with(Instant::now).elapsed() >= moment {
                break;
            }
        }
        let killed = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();

        let found = read(&trace);
        let seqs = found.seqs();
        let distinct: BTreeSet<u64> = seqs.iter().copied().collect();
        assert_eq!(distinct.len(), seqs.len(), "round {round}: no row twice");
        assert_eq!(found.manifest.ended, None);
        // Retention dropped whole segments from the front; from there on nothing may be missing.
        let first = seqs.first().copied().unwrap_or(1);
        assert!(first == 1 || found.manifest.retired.segments > 0, "round {round}: begins at {first}");
        let missing = (first..).find(|seq| !distinct.contains(seq)).unwrap();
        if let Some((_, at)) = appended.iter().find(|(seq, _)| *seq >= missing) {
            let lost = killed - *at;
            worst = worst.max(lost);
            assert!(
                lost <= INTERVAL + SCHEDULING,
                "round {round}: lost {lost:?} of {moment:?}, from {missing} on"
            );
        }
    }
    println!("the most that a kill cost: {worst:?}, with a journal interval of {INTERVAL:?}");
}
