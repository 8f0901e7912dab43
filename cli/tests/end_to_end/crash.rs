//! `kill -9` of the recorder at any moment: the trace opens, and at most the stated second is missing.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{needs_recording, sql, start_recording, verify};

/// Recorders that are killed; CI time allows for this many.
const KILLS: usize = 14;

/// Moments, in milliseconds after the recorder was started: others in each run, and named by what fails.
fn moments_ms() -> Vec<u64> {
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    (0..KILLS).map(|_| 500 + random() % 4_000).collect()
}

#[test]
fn a_trace_whose_recorder_was_killed_opens_and_misses_at_most_the_stated_second() {
    needs_recording!();
    for moment in moments_ms() {
        let folder = TempDir::new().unwrap();
        let trace = folder.path().join("trace");
        // One event each 10 ms, dated by the shell: what is missing at the end shows in the last date.
        let script = "while :; do /bin/true $(date +%s%N); sleep 0.01; done";
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let started = Instant::now();
        let mut recorder = start_recording(&trace, &["--max-size", "8MiB"], &command)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment).saturating_sub(started.elapsed()));
        let killed = std::time::SystemTime::now();
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        end_command(&trace);
        if !trace.join("trace.json").exists() {
            // Killed before it had begun to record.
            continue;
        }
        let (code, report) = verify(&trace);
        if code == 2 && moment < 2_500 {
            // On a busy machine it had not begun to write rows yet.
            continue;
        }
        assert_eq!(code, 1, "after {moment} ms: cut, and usable: {report:#}");
        let rows = sql(&trace, "SELECT CAST(max(time) AS BIGINT) AS last FROM process_events");
        let Some(last_ns) = rows[0]["last"].as_i64() else {
            assert!(moment < 2_500, "no event in {moment} ms");
            continue;
        };
        let killed_ns = killed.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let missing_ms = (killed_ns - last_ns) / 1_000_000;
        // The stated interval, the time by which events wait for their order, and room for a busy machine.
        assert!(missing_ms <= 1_000 + 500 + 1_000, "after {moment} ms: {missing_ms} ms are missing");
    }
}

/// Ends the command of a recorder that was killed: it is in the group that the trace names.
pub fn end_command(trace: &std::path::Path) {
    let Ok(manifest) = std::fs::read(trace.join("trace.json")) else { return };
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    for root in [
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/cpu",
        "/sys/fs/cgroup/cpuacct",
        "/sys/fs/cgroup",
    ] {
        for group in manifest["options"]["cgroups"].as_array().into_iter().flatten() {
            let folder = format!("{root}{}", group.as_str().unwrap());
            for _ in 0..100 {
                let Ok(procs) = std::fs::read_to_string(format!("{folder}/cgroup.procs")) else { break };
                if procs.is_empty() {
                    let _ = std::fs::remove_dir(&folder);
                    break;
                }
                for pid in procs.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
