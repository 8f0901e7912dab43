//! What a real container logs, on standard output and in a file of its own, as lines, as metrics and as patterns.

use std::time::Duration;

use aftertrace_workload::docker::{self, Daemon};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Recording, Trace, describe, needs_recording};

const IMAGE: &str = "aftertrace-logs:1";
/// Forty messages on standard output, each an error of two lines, and thirty in a file.
const TALK: &str = "/bin/busybox mkdir -p /var/log/app; /bin/busybox sleep 1; i=0; \
                    while [ $i -lt 40 ]; do echo \"10:00:00 ERROR order $i failed\"; echo because; i=$((i+1)); done; \
                    i=0; while [ $i -lt 30 ]; do echo \"WARN slow answer $i\"; i=$((i+1)); done > /var/log/app/app.log; \
                    /bin/busybox sleep 3";

fn talk(flags: &[&str]) -> (Trace, Daemon, TempDir) {
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox(IMAGE).unwrap();
    let run = |name: &str, command: &str| {
        let flags =
            ["run", "-d", "--name", name, "--network", "none", IMAGE, "/bin/busybox", "sh", "-c", command];
        daemon.docker(&flags).unwrap();
    };
    run("hidden", "while true; do echo ERROR hidden; /bin/busybox sleep 0.1; done");
    let flags = [&["--container", "^/docker/talker$", "--interval", "1s"], flags].concat();
    let recording = Recording::start(&flags, &[("DOCKER_HOST", &daemon.host())]);
    run("talker", TALK);
    daemon.docker(&["wait", "talker"]).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    (recording.interrupt(), daemon, directory)
}

const MESSAGES: &str = "container_log_messages_total";
const TALKER: (&str, &str) = ("container_id", "/docker/talker");

fn skipped() -> bool {
    if let Some(missing) = docker::missing() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: {missing}");
        eprintln!("SKIPPED: {missing}");
        return true;
    }
    false
}

#[test]
fn what_a_container_logs_is_in_the_trace_line_by_line_and_counted_by_pattern() {
    needs_recording!();
    if skipped() {
        return;
    }
    let (trace, _daemon, _directory) = talk(&[]);
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    trace.assert_whole();
    let rows = trace.sql("SELECT source, count(*) AS n FROM log_lines GROUP BY source ORDER BY source");
    let wanted =
        [json!({"source": "/var/log/app/app.log", "n": 30}), json!({"source": "stdout/stderr", "n": 80})];
    assert_eq!(rows, wanted);
    assert_eq!(trace.number("SELECT count(*) FROM log_lines WHERE text LIKE '%hidden%'"), 0);
    let output = [TALKER, ("source", "stdout/stderr"), ("level", "error")];
    let sample = ("sample", "10:00:00 ERROR order 0 failed\\nbecause");
    assert_eq!(trace.metric(MESSAGES, &[&output[..], &[sample]].concat()), Some(40.0));
    let file = [TALKER, ("source", "/var/log/app/app.log"), ("level", "warning")];
    assert_eq!(trace.metric(MESSAGES, &file), Some(30.0));
    let read = "SELECT count(DISTINCT path) FROM log_files WHERE \"offset\" > 0";
    assert_eq!(trace.number(read), 2);
}

#[test]
fn without_text_the_counts_are_the_same() {
    needs_recording!();
    if skipped() {
        return;
    }
    let (trace, _daemon, _directory) = talk(&["--logs", "patterns"]);
    trace.assert_whole();
    assert!(trace.number("SELECT count(*) FROM log_patterns WHERE pattern_hash <> ''") > 0);
    let output = [TALKER, ("source", "stdout/stderr"), ("level", "error"), ("sample", "")];
    assert_eq!(trace.metric(MESSAGES, &output), Some(40.0));
    let file = [TALKER, ("source", "/var/log/app/app.log"), ("level", "warning")];
    assert_eq!(trace.metric(MESSAGES, &file), Some(30.0));
}

#[test]
fn switched_off_no_log_is_read() {
    needs_recording!();
    if skipped() {
        return;
    }
    let (trace, _daemon, _directory) = talk(&["--logs", "off"]);
    trace.assert_whole();
    let probes = trace.sql("SELECT state, reason FROM probes WHERE probe = 'logs'");
    assert_eq!(probes[0], json!({"state": "off", "reason": "switched off"}));
    assert_eq!(trace.metric(MESSAGES, &[TALKER]), None);
}
