//! Full disks and size caps.

use std::process::Command;

use tempfile::TempDir;

use crate::support::{describe, needs_recording, record_with, sql, start_recording, verify, workload};

/// A small file system of its own, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "aftertrace-test"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(status.success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_gives_one_error_and_leaves_a_readable_trace() {
    needs_recording!();
    let disk = SmallDisk::new("8m");
    let trace = disk.0.path().join("trace");
    let output = start_recording(&trace, &["--quiet"], &workload("storm"))
        .env("WORKLOAD_COUNT", "60000")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("no space left"), "{message}");
    assert_eq!(message.matches("error:").count(), 1, "one error, not several: {message}");
    let (code, report) = verify(&trace);
    assert_eq!(code, 1, "{report:#}");
    let rows = sql(&trace, "SELECT count(*) AS n FROM tcp_events");
    assert!(rows[0]["n"].as_i64().unwrap() > 1_000, "{rows:?}");
}

#[test]
fn a_size_cap_holds_while_events_flood_in_and_the_rest_can_be_replayed() {
    needs_recording!();
    let cap = 4 << 20;
    let trace = record_with(&["--max-size", "4MiB"], &workload("storm"), &[("WORKLOAD_COUNT", "100000")]);
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let bytes: u64 = walk(&trace.path());
    assert!(bytes <= cap, "{bytes} bytes on disk, {cap} allowed");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(trace.path().join("trace.json")).unwrap()).unwrap();
    assert!(manifest["retired"]["segments"].as_u64().unwrap() > 0, "{manifest:#}");
    let (code, report) = trace.verify();
    assert!(code <= 1, "{report:#}");
    assert!(
        trace.metric("container_net_tcp_listen_info", &[]).is_some(),
        "state from before is in the snapshot"
    );
}

fn walk(folder: &std::path::Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { walk(&entry.path()) } else { metadata.len() }
        })
        .sum()
}

#[test]
fn what_is_older_than_the_given_age_is_dropped_and_the_rest_can_be_replayed() {
    needs_recording!();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do /bin/true $i; sleep 0.4; done";
    let trace = record_with(&["--max-age", "3s"], &["/bin/sh", "-c", script].map(str::to_owned), &[]);
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let (code, report) = trace.verify();
    assert_eq!(code, 0, "{report:#}");
    let runs: Vec<i64> = trace
        .sql(
            "SELECT CAST(arguments[2] AS BIGINT) AS i FROM process_events \
             WHERE kind = 'exec' AND executable = '/bin/true' ORDER BY seq",
        )
        .iter()
        .map(|row| row["i"].as_i64().unwrap())
        .collect();
    // Of the fourteen, in more than five seconds, the first are gone, and the last are there without a gap.
    let first = *runs.first().unwrap();
    assert!(first > 3, "{runs:?}");
    assert_eq!(runs, (first..=14).collect::<Vec<_>>());
    // What the script is was written down before the oldest segment that is left.
    assert_eq!(trace.number("SELECT count(DISTINCT pid) FROM processes WHERE arguments[2] = '-c'"), 1);
    let summary =
        std::process::Command::new(crate::support::AFTERTRACE).arg("analyze").arg(trace.path()).output();
    let said = describe(&summary.unwrap());
    assert!(said.contains("oldest segments were dropped") && said.contains("complete"), "{said}");
}
