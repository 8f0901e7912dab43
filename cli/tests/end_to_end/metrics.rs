//! `analyze metrics`: what Prometheus' own tools say about it, and the moments that it can be asked for.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{AFTERTRACE, describe, needs_recording, record_workload};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample-traces").join(name).join("trace.tar")
}

fn metrics(trace: &Path, flags: &[&str]) -> Output {
    Command::new(AFTERTRACE).args(["analyze", "metrics"]).arg(trace).args(flags).output().unwrap()
}

fn text(trace: &Path, flags: &[&str]) -> String {
    let output = metrics(trace, flags);
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Leaves the test where Debian's package `prometheus` is not installed; under CI it must be.
fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "under CI there must be promtool; `cargo xtask setup`"
    );
    if !found {
        eprintln!("SKIPPED: promtool is not installed; `cargo xtask setup` installs it");
    }
    found
}

/// Prometheus' parser and linter of the text format must have nothing to say.
fn check_prometheus(trace: &Path) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text(trace, &[]).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", describe(&output));
}

/// Prometheus' parser of OpenMetrics must take it, each sample at a moment, as a backfill wants it.
fn check_openmetrics(trace: &Path) {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("metrics.txt");
    let text = text(trace, &["--format", "openmetrics"]);
    let dated: String = text
        .lines()
        .map(|line| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} 1700000000\n") })
        .collect();
    assert!(dated.ends_with("# EOF\n"));
    std::fs::write(&file, dated).unwrap();
    let blocks = folder.path().join("blocks");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks])
        .output()
        .unwrap();
    assert!(output.status.success() && blocks.exists(), "{}", describe(&output));
}

#[test]
fn the_tools_of_prometheus_accept_the_metrics_of_the_sample_traces() {
    if !has_promtool() {
        return;
    }
    for name in ["faults", "storm"] {
        check_prometheus(&sample(name));
        check_openmetrics(&sample(name));
    }
}

#[test]
fn the_tools_of_prometheus_accept_the_metrics_of_a_fresh_recording() {
    needs_recording!();
    if !has_promtool() {
        return;
    }
    let trace = record_workload("connections");
    check_prometheus(&trace.path());
    check_openmetrics(&trace.path());
}

#[test]
fn a_moment_can_be_given_in_every_way_that_the_help_shows() {
    let trace = sample("faults");
    let end = text(&trace, &["--end"]);
    assert_eq!(text(&trace, &[]), end);
    let info =
        Command::new(AFTERTRACE).args(["analyze", "info", "--format", "json"]).arg(&trace).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let (from, to) = (info["started"].as_i64().unwrap(), info["ended"].as_i64().unwrap());
    let moment = from + 2_000_000_000;
    let early = text(&trace, &["--at", "+2s"]);
    assert_ne!(early, end);
    let (seconds, nanoseconds) = (moment / 1_000_000_000, moment % 1_000_000_000);
    let date = |zone: &str, format: &str| {
        let day = Command::new("date")
            .env("TZ", zone)
            .args(["-d", &format!("@{seconds}"), format])
            .output()
            .unwrap();
        String::from_utf8(day.stdout).unwrap().trim().replace('N', &format!("{nanoseconds:09}"))
    };
    for moment in [
        "+2".to_owned(),
        format!("-{}ms", (to - moment) / 1_000_000),
        date("UTC", "+%FT%T.NZ"),
        date("UTC", "+%F %T.N"),
        date("XXX-2", "+%FT%T.N+02:00"),
        format!("{seconds}.{nanoseconds:09}"),
    ] {
        let output = metrics(&trace, &["--at", &moment]);
        assert!(output.status.success() && output.stderr.is_empty(), "{moment}: {}", describe(&output));
        // Not to the millisecond: what is compared is what changes by the second.
        let names = |text: &str| text.lines().filter(|line| line.starts_with("# TYPE")).count();
        let other = String::from_utf8(output.stdout).unwrap();
        assert_eq!(names(&other), names(&early), "{moment}");
        assert_ne!(other, end, "{moment}");
    }
}

#[test]
fn a_moment_outside_of_the_trace_is_answered_with_a_warning_and_no_time_at_all_is_an_error() {
    let trace = sample("faults");
    let late = metrics(&trace, &["--at", "+1h"]);
    assert!(late.status.success());
    assert!(String::from_utf8_lossy(&late.stderr).contains("is outside of the trace"), "{}", describe(&late));
    assert_eq!(String::from_utf8_lossy(&late.stdout), text(&trace, &["--end"]));
    let early = metrics(&trace, &["--at", "2020-01-01T00:00:00Z"]);
    assert!(early.stdout.is_empty() && !early.stderr.is_empty(), "{}", describe(&early));
    let wrong = metrics(&trace, &["--at", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("`yesterday` is no time"),
        "{}",
        describe(&wrong)
    );
    assert_eq!(metrics(&trace, &["--at", "+1s", "--end"]).status.code(), Some(2));
}
