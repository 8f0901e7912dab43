//! `serve` while things go wrong around it: every scrape is answered, memory stays bounded, nothing is lost uncounted.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use aftertrace_workload::docker::{self, Daemon};
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::serve::verify_against;
use crate::serving::Serving;
use crate::support::{describe, needs_recording, workload};

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

/// The sum of the series of a metric that have all of these in their lines.
fn sum(text: &str, name: &str, having: &[&str]) -> f64 {
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| having.iter().all(|part| line.contains(part)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Scrapes, and keeps what was said in a file beside the trace.
fn save(serving: &Serving, saved: &mut Vec<PathBuf>) -> String {
    let answer = serving.get("/metrics", &[]);
    assert_eq!(answer.status, 200);
    let file = serving.folder().join(format!("{}.prom", saved.len()));
    std::fs::write(&file, &answer.body).unwrap();
    saved.push(file);
    answer.text()
}

/// Scrapes until a metric is right.
fn until(serving: &Serving, saved: &mut Vec<PathBuf>, what: &str, is_right: impl Fn(&str) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let text = save(serving, saved);
        if is_right(&text) {
            return text;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}:\n{text}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn docker_is_missing() -> bool {
    let missing = docker::missing();
    if let Some(missing) = &missing {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: {missing}");
        eprintln!("SKIPPED: {missing}");
    }
    missing.is_some()
}

#[test]
fn of_2000_containers_that_live_for_a_moment_each_is_counted_and_memory_stays_bounded() {
    needs_recording!();
    let parent = Cgroup::new("faults-short-lived");
    let flags = words(&["--cgroup", parent.path(), "--interval", "500ms", "--min-container-age", "0s"]);
    let serving = Serving::start(&flags, true);
    let mut saved = Vec::new();
    let before = until(&serving, &mut saved, "its own memory", |text| {
        sum(text, "aftertrace_recorder_memory_bytes", &[]) > 0.0
    });
    let memory = |text: &str| sum(text, "aftertrace_recorder_memory_bytes", &[]);
    // A group that goes takes its parent along when that is empty.
    let _stays = parent.below("stays");
    for number in 0..2_000_u32 {
        // The names that Docker gives to its control groups; twelve digits tell containers apart.
        let container = parent.below(&format!("{number:012x}{:052x}", 0));
        container.run("exit 0");
        drop(container);
        if number % 100 == 0 {
            save(&serving, &mut saved);
        }
    }
    let after =
        until(&serving, &mut saved, "another look at its memory", |text| memory(text) != memory(&before));
    // Ten minutes of containers that are gone are held; each has a few kilobytes.
    let growth = memory(&after) - memory(&before);
    assert!(growth < f64::from(96 << 20), "{growth} bytes more");
    assert!(sum(&after, "aftertrace_series", &[]) < 100_000.0);
    let trace = serving.stop();
    // Each ran one shell, which ran no program.
    let seen = trace.number("SELECT count(DISTINCT cgroup) FROM process_events WHERE kind = 'exec' AND cgroup LIKE '/faults-short-lived%/%'");
    assert_eq!(seen, 2_000);
    trace.assert_whole();
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn of_5000_destinations_and_hostile_names_a_page_comes_that_promtool_reads_and_no_connect_misses() {
    needs_recording!();
    let evil = Cgroup::new("system.slice/faults-\"evil\\{} ü\u{202e}");
    let unit = Cgroup::new("system.slice/faults-destinations");
    let mut flags = words(&["--cgroup", unit.path(), "--interval", "500ms", "--min-container-age", "0s"]);
    flags.extend(words(&["--cgroup", evil.path()]));
    let serving = Serving::start(&flags, true);
    evil.run("/bin/true; exit 0");
    assert!(unit.command(&workload("refused_by_5000")).status().unwrap().success());
    let mut saved = Vec::new();
    let failed = |text: &str| sum(text, "container_net_tcp_failed_connects_total", &["faults-destinations"]);
    // The limiter decides every ten seconds.
    let rest = |text: &str| sum(text, "container_net_tcp_failed_connects_total", &["~other"]);
    let text = until(&serving, &mut saved, "5,000 failed connects, most of them in one series", |text| {
        failed(text) == 5_000.0 && rest(text) >= 4_500.0
    });
    let lines = text.lines().filter(|line| line.starts_with("container_net_tcp_failed_connects_total{"));
    let series = lines.filter(|line| line.contains("faults-destinations")).count();
    assert!(series <= 501, "{series} series");
    assert!(sum(&text, "aftertrace_series_dropped_total", &["failed_connects"]) >= 4_500.0);
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(saved.last().unwrap()).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", describe(&output));
    let trace = serving.stop();
    // More peers than are held at a time are not all asked for echoes, which is told; nothing else is amiss.
    let (_, report) = trace.verify();
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().all(|gap| gap["what"] == "live_state: limit (peers)"), "{report:#}");
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn scrapes_go_on_while_docker_hangs_and_dies_and_its_names_come_back() {
    needs_recording!();
    if docker_is_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-faults:1").unwrap();
    let flags =
        words(&["--container", "^/docker/(one|two)$", "--interval", "500ms", "--min-container-age", "0s"]);
    let serving = Serving::start_with(&flags, true, &[("DOCKER_HOST", &daemon.host())]);
    let run = |daemon: &Daemon, name: &str| {
        let words = [
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "none",
            "aftertrace-faults:1",
            "/bin/busybox",
            "sleep",
            "600",
        ];
        daemon.docker(&words).unwrap();
    };
    let mut saved = Vec::new();
    let up = |text: &str| sum(text, "aftertrace_probe_up", &["probe=\"docker\""]);
    let info =
        |text: &str, name: &str| sum(text, "container_info", &[&format!("container_id=\"/docker/{name}\"")]);
    run(&daemon, "one");
    until(&serving, &mut saved, "the first container", |text| info(text, "one") == 1.0 && up(text) == 1.0);

    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // A daemon is asked when there is somebody to ask about.
    let parent = Cgroup::new("faults-asked");
    let asked = parent.below(&format!("{:064x}", 0xa5));
    let hung = until(&serving, &mut saved, "the hang is told of", |text| up(text) == 0.0);
    assert_eq!(info(&hung, "one"), 1.0, "what is known stays");
    kill_process(pid, Signal::CONT).unwrap();
    drop(asked);
    until(&serving, &mut saved, "it goes on", |text| up(text) == 1.0);

    daemon.restart().unwrap();
    run(&daemon, "two");
    until(&serving, &mut saved, "the new daemon's container", |text| {
        info(text, "two") == 1.0 && up(text) == 1.0
    });
    daemon.docker(&["rm", "-f", "two"]).unwrap();
    let trace = serving.stop();
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn while_a_container_floods_its_log_which_is_rotated_each_scrape_can_be_proven() {
    needs_recording!();
    if docker_is_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-flood:1").unwrap();
    let mut flags =
        words(&["--container", "^/docker/flood$", "--interval", "500ms", "--min-container-age", "0s"]);
    flags.extend(words(&["--log-budget", "64KiB"]));
    let serving = Serving::start_with(&flags, true, &[("DOCKER_HOST", &daemon.host())]);
    let flood = "/bin/busybox sleep 1; i=0; \
                 while [ $i -lt 40000 ]; do i=$((i+1)); echo \"ERROR $i: cannot reach the database\"; done; \
                 exec /bin/busybox sleep 600";
    let options = [
        "run",
        "-d",
        "--name",
        "flood",
        "--network",
        "none",
        "--log-opt",
        "max-size=200k",
        "--log-opt",
        "max-file=3",
    ];
    daemon
        .docker(&[&options[..], &["aftertrace-flood:1", "/bin/busybox", "sh", "-c", flood]].concat())
        .unwrap();
    let mut saved = Vec::new();
    let logged = |text: &str| sum(text, "container_log_messages_total", &["/docker/flood"]);
    let lost = |text: &str, cause| sum(text, "aftertrace_lost_total", &["source/logs", cause]);
    // What is beyond the budget is lost; each line is counted here or there, also those of files that were rotated. On
    // a host that is too busy for that, Docker removes files before anybody could read them: these are counted.
    let text = until(&serving, &mut saved, "40,000 lines", |text| {
        let lines = logged(text) + lost(text, "budget");
        lost(text, "budget") > 0.0 && (lines == 40_000.0 || lost(text, "unread_file") > 0.0)
    });
    assert!(logged(&text) > 0.0);
    let trace = serving.stop();
    let output = verify_against(&trace.path(), &saved);
    assert!(output.status.success(), "{}", describe(&output));
}
