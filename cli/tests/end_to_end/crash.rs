//! `kill -9` of the recorder at random moments: the trace opens, and at most the stated second is missing.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::{needs_recording, sql, start_recording, verify};

const MOMENTS: usize = 24;
const AT_A_TIME: usize = 4;
/// From before the first file to the middle of the fourth segment.
const LATEST_MS: u64 = 4_500;
/// What the trace says that a crash may cost (`--journal-interval`).
const STATED_MS: i64 = 1_000;
/// Room for a machine that has other things to do than to run the recorder.
const BUSY_MS: i64 = 1_000;

/// Counts: each number is an argument of a program that is run, and is then written down with the time.
const SCRIPT: &str =
    "i=0; while :; do i=$((i + 1)); /bin/true $i; echo $i $EPOCHREALTIME >> $LOG; /bin/sleep 0.01; done";

#[test]
fn a_trace_whose_recorder_was_killed_opens_and_misses_at_most_the_stated_second() {
    needs_recording!();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let given = std::env::var("AFTERTRACE_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = given.unwrap_or(now.as_micros() as u64) | 1;
    println!("repeat these moments with AFTERTRACE_TEST_SEED={seed}");
    let mut random = seed;
    let moments: Vec<Duration> = (0..MOMENTS)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            Duration::from_millis(random % LATEST_MS)
        })
        .collect();
    let counted: i64 = std::thread::scope(|scope| {
        let threads: Vec<_> = moments
            .chunks(MOMENTS.div_ceil(AT_A_TIME))
            .map(|moments| scope.spawn(|| moments.iter().copied().map(kill_after).sum::<i64>()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(counted > 100, "the recorders were killed before they recorded: {counted} programs, {moments:?}");
}

/// Kills a recorder so long after its start, and compares its trace with what the command wrote down. Returns how
/// many programs are in it.
fn kill_after(moment: Duration) -> i64 {
    let folder = TempDir::new().unwrap();
    let (trace, log) = (folder.path().join("trace"), folder.path().join("log"));
    let command = ["/bin/bash", "-c", SCRIPT].map(str::to_owned);
    let started = Instant::now();
    // A segment a second.
    let mut recorder = start_recording(&trace, &["--max-age", "8s"], &command)
        .env("LOG", &log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment.saturating_sub(started.elapsed()));
    let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    end_command(&trace);

    let log = std::fs::read_to_string(&log).unwrap_or_default();
    let written: Vec<(i64, i64)> = log
        .lines()
        .map(|line| {
            let (number, time) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), (time.parse::<f64>().unwrap() * 1e3) as i64)
        })
        .collect();
    let killed_ms = killed.as_millis() as i64;
    let ran_before = |ms: i64| {
        let earlier = written.iter().filter(|(_, time)| *time <= killed_ms - ms);
        earlier.map(|(number, _)| *number).max().unwrap_or_default()
    };
    let due = ran_before(STATED_MS + BUSY_MS);
    if !trace.join("trace.json").exists() {
        assert_eq!(due, 0, "after {moment:?}");
        return 0;
    }
    let (code, report) = verify(&trace);
    if code == 2 {
        // Not a row was written yet.
        assert_eq!(due, 0, "after {moment:?}: {report:#}");
        return 0;
    }
    assert_eq!(code, 1, "after {moment:?}: cut, and usable: {report:#}");
    let rows = sql(
        &trace,
        "SELECT CAST(arguments[2] AS BIGINT) AS i FROM process_events \
         WHERE kind = 'exec' AND executable = '/bin/true' ORDER BY seq",
    );
    let recorded: Vec<i64> = rows.iter().map(|row| row["i"].as_i64().unwrap()).collect();
    let count = i64::try_from(recorded.len()).unwrap();
    assert_eq!(recorded, (1..=count).collect::<Vec<_>>(), "after {moment:?}: only the end is missing");
    assert!(
        count >= due,
        "after {moment:?}: {count} programs recorded, {due} had run when it was due to be written"
    );
    println!(
        "after {moment:?}: {count} recorded, {} had run a second before the end, {} at the end",
        ran_before(STATED_MS),
        ran_before(0)
    );
    count
}

/// Ends the command of a recorder that was killed: it is in the group that the trace names.
pub fn end_command(trace: &Path) {
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
                // The last one may not be gone entirely.
                if procs.is_empty() && std::fs::remove_dir(&folder).is_ok() {
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
