//! Filters over time: a control group that is made again, an age cap.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::support::{Recording, describe, needs_recording, sql, start_recording, verify};

/// What a service manager leaves between its steps.
const STEP: Duration = Duration::from_millis(300);

#[test]
fn a_control_group_that_is_made_again_is_recorded_again() {
    needs_recording!();
    let group = Cgroup::new("again");
    let recording = Recording::start(&["--cgroup", group.path()], &[]);
    fs::remove_dir(group.directory()).unwrap();
    std::thread::sleep(STEP);
    fs::create_dir(group.directory()).unwrap();
    std::thread::sleep(STEP);
    group.run("/bin/true; exit 0");
    let trace = recording.interrupt();
    let seen =
        trace.number("SELECT count(*) FROM process_events WHERE kind = 'exec' AND executable LIKE '%/true'");
    assert_eq!(seen, 1);
    trace.assert_whole();
}

#[test]
fn what_is_older_than_the_age_cap_is_dropped_and_the_rest_can_be_replayed() {
    needs_recording!();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("trace");
    let script = "for i in $(seq 40); do /bin/true; sleep 0.1; done";
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    let flags = ["--max-age", "1s", "--interval", "1s"];
    let output = start_recording(&path, &flags, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let manifest: Value = serde_json::from_slice(&fs::read(path.join("trace.json")).unwrap()).unwrap();
    assert!(manifest["retired"]["segments"].as_u64().unwrap() > 0, "{manifest:#}");
    assert_eq!(verify(&path).0, 0);
    let kept = sql(&path, "SELECT count(*) AS n FROM process_events WHERE executable LIKE '%/true'");
    let kept = kept[0]["n"].as_i64().unwrap();
    assert!((1..40).contains(&kept), "{kept} of 40 programs are kept");
}
