//! `serve`: what it answers, what Prometheus makes of it, and that a replay says what it said.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::prometheus::Prometheus;
use crate::serving::{Answer, Serving};
use crate::support::{AFTERTRACE, describe, needs_recording, workload};

const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5";

pub fn verify_against(trace: &Path, files: &[PathBuf]) -> std::process::Output {
    Command::new(AFTERTRACE)
        .args(["analyze", "verify"])
        .arg(trace)
        .arg("--against")
        .args(files)
        .output()
        .unwrap()
}

/// Starts serving the units `names`, which are systemd units as far as their paths go.
pub fn units(names: &[&str]) -> Vec<Cgroup> {
    names.iter().map(|name| Cgroup::new(&format!("system.slice/{name}"))).collect()
}

pub fn flags(units: &[Cgroup]) -> Vec<String> {
    units.iter().flat_map(|unit| ["--cgroup".to_owned(), unit.path().to_owned()]).collect()
}

#[test]
fn what_hundreds_of_scrapes_said_under_load_the_trace_says_byte_for_byte() {
    needs_recording!();
    let mut all = units(&["serve-load", "serve-a", "serve-b", "serve-c"]);
    let mut words = flags(&all);
    // A ring of two pages loses events, and everything is measured as often as it can be.
    words.extend(
        [
            "--ring-size",
            "8KiB",
            "--interval",
            "200ms",
            "--sweep-interval",
            "500ms",
            "--min-container-age",
            "0s",
        ]
        .map(str::to_owned),
    );
    let serving = Serving::start(&words, true);
    let load = all.remove(0);
    let mut storm = load
        .command(&workload("storm"))
        .env("WORKLOAD_COUNT", "60000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut saved = Vec::new();
    let mut round = 0;
    while round < 200 || storm.try_wait().unwrap().is_none() {
        let accept = if round % 2 == 0 { OPENMETRICS } else { "Accept: */*" };
        let answer = serving.get("/metrics", &[accept]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let file = serving.folder().join(format!("{round}.prom"));
        std::fs::write(&file, &answer.body).unwrap();
        saved.push(file);
        // Containers come, are started again, and go.
        let unit = &all[round % all.len()];
        unit.run("/bin/true; exec 3>/dev/null; exit 0");
        if round % 20 == 19 {
            let name =
                unit.path().trim_start_matches("/system.slice/").rsplit_once('.').unwrap().0.to_owned();
            let place = round % all.len();
            drop(all.remove(place));
            all.insert(place, units(&[&name]).remove(0));
        }
        round += 1;
    }
    assert!(storm.wait().unwrap().success());
    let last = serving.get("/metrics", &[]).text();
    let lost =
        last.lines().find(|line| line.starts_with("aftertrace_lost_total{") && line.contains("ring_full"));
    assert!(lost.is_some(), "the test needs losses:\n{last}");
    let trace = serving.stop();
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("the same, byte for byte").count(), saved.len());
    // One by one, too.
    let one = Command::new(AFTERTRACE)
        .args(["analyze", "metrics", "--at-scrape", "17"])
        .arg(trace.path())
        .output()
        .unwrap();
    assert_eq!(one.stdout, std::fs::read(&saved[16]).unwrap());
}

#[test]
fn a_scrape_that_was_changed_is_found_out_and_what_is_no_scrape_is_refused() {
    needs_recording!();
    let unit = units(&["serve-changed"]);
    let serving = Serving::start(&flags(&unit), true);
    unit[0].run("/bin/true; exit 0");
    let answer = serving.get("/metrics", &[]);
    let file = serving.folder().join("scrape.prom");
    std::fs::write(&file, answer.text().replace("node_agent_info", "node_agent_lies")).unwrap();
    let other = serving.folder().join("other.prom");
    std::fs::write(&other, "up 1\n").unwrap();
    let trace = serving.stop();
    let output = verify_against(&trace.path(), &[file]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("not the same") && said.contains("- node_agent_lies"), "{said}");
    let output = verify_against(&trace.path(), &[other]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("other.prom is no scrape"),
        "{}",
        describe(&output)
    );
}

#[test]
fn the_format_and_the_encoding_are_what_the_client_asks_for() {
    needs_recording!();
    let unit = units(&["serve-formats"]);
    let serving = Serving::start(&flags(&unit), false);
    let plain = serving.get("/metrics", &[]);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = serving.get("/metrics", &[OPENMETRICS]);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.text().ends_with("# EOF\n"));
    let packed = serving.get("/metrics", &["Accept-Encoding: gzip"]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    assert_eq!(serving.get("/nothing", &[]).status, 404);
    let trace = serving.stop();
    assert!(!trace.path().exists(), "without --record nothing is written");
}

#[test]
fn the_page_tells_what_is_attached_and_health_and_readiness_are_told() {
    needs_recording!();
    let unit = units(&["serve-page"]);
    let serving = Serving::start(&flags(&unit), false);
    assert_eq!(serving.get("/healthz", &[]).text(), "ok\n");
    assert_eq!(serving.get("/readyz", &[]).text(), "ready\n");
    let page = serving.get("/", &[]).text();
    assert!(page.contains("sock/inet_sock_set_state") || page.contains("inet_sock_set_state"), "{page}");
    assert!(page.contains(unit[0].path()), "{page}");
    serving.stop();
}

#[test]
fn an_address_that_is_taken_is_named_and_nothing_is_written() {
    needs_recording!();
    let unit = units(&["serve-taken"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let output = Command::new(AFTERTRACE)
        .args(["serve", "--listen", &address, "--record"])
        .arg(&trace)
        .args(flags(&unit))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(!trace.exists());
}

#[test]
fn sigterm_ends_it_cleanly_and_the_trace_is_whole() {
    needs_recording!();
    let unit = units(&["serve-end"]);
    let serving = Serving::start(&flags(&unit), true);
    unit[0].run("/bin/true; exit 0");
    serving.get("/metrics", &[]);
    serving.send(Signal::TERM);
    let trace = serving.wait();
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    trace.assert_whole();
}

#[test]
fn a_real_prometheus_scrapes_it_and_answers_what_the_host_itself_says() {
    needs_recording!();
    let unit = units(&["serve-prometheus"]).remove(0);
    let mut words = flags(std::slice::from_ref(&unit));
    words.extend(["--interval", "500ms", "--min-container-age", "0s"].map(str::to_owned));
    let serving = Serving::start(&words, true);
    let Some(prometheus) = Prometheus::start(Some(serving.address())) else { return };
    let mut shell = unit.start("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read line; exit 0");
    prometheus.value("up", |up| up == 1.0);
    let id = unit.path();
    // The control group's own account, which the unit's path has in version 2 or in the CPU hierarchy of version 1.
    prometheus.value(&format!("container_info{{container_id=\"{id}\"}} or vector(1)"), |value| value == 1.0);
    let seconds = prometheus.value("node_uptime_seconds", |value| value > 0.0);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds <= now && seconds > now - 120.0, "{seconds} {now}");
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    prometheus.value("node_resources_cpu_logical_cores", |value| value >= cores);
    let total = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: f64 = total.lines().next().unwrap().split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    prometheus.value("node_resources_memory_total_bytes", |value| value == kib * 1024.0);
    prometheus.value(&format!("container_restarts_total{{container_id=\"{id}\"}}"), |value| value == 0.0);
    prometheus.value("count(aftertrace_scrapes_total)", |value| value == 1.0);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    serving.stop().assert_whole();
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    needs_recording!();
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "under CI there must be promtool; `cargo xtask setup`");
        eprintln!("SKIPPED: promtool is not installed; `cargo xtask setup` installs it");
        return;
    }
    let unit = units(&["serve-promtool"]);
    let mut words = flags(&unit);
    words.extend(["--interval", "300ms", "--min-container-age", "0s"].map(str::to_owned));
    let serving = Serving::start(&words, false);
    unit[0].run("/bin/true; exit 0");
    std::thread::sleep(Duration::from_secs(2));
    let Answer { body, .. } = serving.get("/metrics", &[]);
    let file = serving.folder().join("metrics.prom");
    std::fs::write(&file, body).unwrap();
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", describe(&output));
    serving.stop();
}
