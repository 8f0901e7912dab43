//! Metrics of a real recording, as Prometheus' own tool sees them, and replayed from every segment.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{AFTERTRACE, describe, needs_recording, record_with, workload};

fn metrics(trace: &Path) -> Vec<u8> {
    let output = Command::new(AFTERTRACE).args(["analyze", "metrics"]).arg(trace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn promtool_has_no_complaint_and_two_replays_are_the_same_bytes() {
    needs_recording!();
    let trace = record_with(&["--interval", "500ms"], &workload("storm"), &[("WORKLOAD_COUNT", "2000")]);
    let text = metrics(&trace.path());
    assert!(text == metrics(&trace.path()), "two replays differ");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by `cargo xtask setup`");
    promtool.stdin.take().unwrap().write_all(&text).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "lint");
}

/// The samples of gauges, which say how things are and not how much happened since the trace began.
fn gauges(trace: &Path) -> Vec<String> {
    let text = String::from_utf8(metrics(trace)).unwrap();
    let mut is_gauge = false;
    let mut gauges = Vec::new();
    for line in text.lines() {
        if line.starts_with("# TYPE ") {
            is_gauge = line.ends_with(" gauge");
        } else if is_gauge && !line.starts_with('#') {
            gauges.push(line.to_owned());
        }
    }
    gauges
}

#[test]
fn a_replay_from_any_segment_on_ends_with_the_same_gauges() {
    needs_recording!();
    let trace = record_with(&["--max-size", "6MiB"], &workload("storm"), &[("WORKLOAD_COUNT", "60000")]);
    assert!(trace.output.status.success(), "{}", describe(&trace.output));
    let (path, manifest) = (trace.path(), trace.path().join("trace.json"));
    let expected = gauges(&path);
    assert!(expected.len() > 10, "{expected:?}");
    let mut segments = 0;
    loop {
        let mut contents: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        let kept = contents["segments"].as_array_mut().unwrap();
        if kept.len() < 2 {
            break;
        }
        let first = kept.remove(0)["number"].as_u64().unwrap();
        let retired = contents["retired"]["segments"].as_u64().unwrap();
        contents["retired"]["segments"] = Value::from(retired + 1);
        fs::write(&manifest, serde_json::to_vec(&contents).unwrap()).unwrap();
        let folder = fs::read_dir(path.join("segments"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|folder| folder.to_str().unwrap().ends_with(&format!("{first:06}")));
        fs::remove_dir_all(folder.unwrap_or_else(|| panic!("no folder of segment {first}"))).unwrap();
        assert_eq!(gauges(&path), expected, "without segment {first}");
        segments += 1;
    }
    assert!(segments >= 2, "{segments} segments were dropped");
}
