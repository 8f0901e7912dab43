//! Replay of a real recording: the same answer again, and from any segment on.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cgroup::Cgroup;
use crate::support::{AFTERTRACE, Recording, needs_recording, workload};

fn metrics(trace: &Path, format: &str) -> String {
    let output = Command::new(AFTERTRACE)
        .args(["analyze", "metrics", "--format", format])
        .arg(trace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", crate::support::describe(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The samples of all gauges.
fn gauges(text: &str) -> BTreeSet<&str> {
    let mut gauge = false;
    text.lines()
        .filter(|line| {
            if let Some(words) = line.strip_prefix("# TYPE ") {
                gauge = words.ends_with(" gauge");
            }
            // What the registry says of itself counts what it remembers, and round-trip times come with the next sweep.
            gauge && !line.starts_with('#') && !line.starts_with("aftertrace_")
        })
        .collect()
}

#[test]
fn two_replays_are_identical_and_a_replay_from_any_segment_gives_the_same_gauges() {
    needs_recording!();
    let group = Cgroup::new("lxc/replayed");
    // A segment a second.
    let flags = ["--max-age", "8s", "--interval", "500ms", "--sweep-interval", "500ms"];
    let recording = Recording::start(&[&["--cgroup", group.path()][..], &flags].concat(), &[]);
    let ready = recording.path().with_file_name("ready");
    let mut holder = group
        .command(&workload("held_open"))
        .env("WORKLOAD_FILE", &ready)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let sealed = |trace: &Path| std::fs::read_dir(trace.join("segments")).unwrap().count();
    let mut rounds = 0;
    while sealed(&recording.path()) < 3 || !ready.exists() {
        let round = group.command(&workload("connections")).stdout(Stdio::null()).status().unwrap();
        assert!(round.success());
        rounds += 1;
    }
    let trace = recording.interrupt();
    drop(holder.stdin.take());
    holder.wait().unwrap();
    trace.assert_whole();

    let whole = metrics(&trace.path(), "prometheus");
    assert_eq!(whole, metrics(&trace.path(), "prometheus"));
    assert_eq!(metrics(&trace.path(), "openmetrics"), metrics(&trace.path(), "openmetrics"));
    let container = group.path();
    let sum = |name: &str| -> f64 {
        let samples =
            whole.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(container));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!(sum("container_net_tcp_successful_connects_total"), f64::from(5 * rounds + 2));
    assert_eq!(sum("container_net_tcp_active_connections"), 2.0);

    let manifest_file = trace.path().join("trace.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&manifest_file).unwrap()).unwrap();
    for left in (1..sealed(&trace.path())).rev() {
        // As retention does it.
        let oldest = manifest["segments"].as_array_mut().unwrap().remove(0);
        manifest["retired"]["segments"] = (manifest["retired"]["segments"].as_u64().unwrap() + 1).into();
        std::fs::write(&manifest_file, manifest.to_string()).unwrap();
        let folder = format!("{:06}", oldest["number"].as_u64().unwrap());
        std::fs::remove_dir_all(trace.path().join("segments").join(folder)).unwrap();
        let suffix = metrics(&trace.path(), "prometheus");
        let (suffix, whole) = (gauges(&suffix), gauges(&whole));
        let only_in_suffix: Vec<_> = suffix.difference(&whole).collect();
        // What was open in a dropped segment, and is not any more, has a zero only in a replay of the whole.
        let only_in_whole: Vec<_> =
            whole.difference(&suffix).filter(|sample| !sample.ends_with(" 0")).collect();
        assert!(
            only_in_suffix.is_empty() && only_in_whole.is_empty(),
            "with {left} segments left: {only_in_suffix:#?} {only_in_whole:#?}"
        );
    }
}
