//! Docker, for real: a daemon of the test's own, in a temporary directory, runs a container from a root file system
//! that the test makes. Root only. Needs the packages docker.io and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::cgroups::{CgroupStatsSource, Hierarchies};
use aftertrace_recorder::sources::namespaces::NamespaceSource;
use aftertrace_recorder::sources::processes::ProcessSource;
use aftertrace_recorder::sources::runtimes::{
    Answer, Runtime, RuntimeConfig, RuntimeReport, RuntimeRequest, RuntimeSource,
};
use aftertrace_registry::container_id::process_cgroup;
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeState};
use aftertrace_workload::docker::Daemon;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(500);

/// Why the test cannot run here. Under CI that is a failure.
fn skipped() -> bool {
    let reason = if !rustix::process::geteuid().is_root() {
        "not root"
    } else if let Some(missing) = aftertrace_workload::docker::missing() {
        missing
    } else {
        return false;
    };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test: {reason}");
    println!("skipped: {reason}");
    true
}

fn next_row(source: &RuntimeSource) -> ContainerSnapshot {
    loop {
        if let RuntimeReport::Answer(Answer::Container(row)) =
            source.wait_report(PATIENCE).expect("an answer in time")
        {
            return *row;
        }
    }
}

fn next_state(source: &RuntimeSource) -> (ProbeState, Option<String>) {
    loop {
        if let RuntimeReport::Status(row) = source.wait_report(PATIENCE).expect("a status in time") {
            return (row.state, row.reason);
        }
    }
}

#[test]
fn a_real_container_is_told_of_by_every_source_and_a_stopped_daemon_delays_nothing() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-test:1").unwrap();
    let docker = |arguments: &[&str]| daemon.docker(arguments).unwrap();
    let signal = |signal| {
        let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    let id = docker(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--label",
        "team=shop",
        "-e",
        "NOMAD_JOB_NAME=orders",
        "-e",
        "PASSWORD=hunter2",
        "aftertrace-test:1",
        "/bin/busybox",
        "sleep",
        "600",
    ]);
    let pid: u32 = docker(&["inspect", "-f", "{{.State.Pid}}", &id]).parse().unwrap();

    // The process leads to its control group, as the registry chooses it.
    let cgroup_of = |text: &str| process_cgroup(text).map(str::to_owned);
    let process = ProcessSource::new(Roots::default(), cgroup_of).read_process(pid).unwrap();
    println!("{process:?}");
    assert_eq!(process.arguments, ["/bin/busybox", "sleep", "600"]);
    assert_eq!((process.namespace_pid, process.executable.as_deref()), (1, Some("/bin/busybox")));
    let cgroup = process.cgroup.clone().unwrap();
    assert!(cgroup.contains(&id), "{cgroup}");

    let namespace = process.network_namespace.unwrap();
    let addresses = NamespaceSource::new(Roots::default()).read(namespace, pid).unwrap().addresses;
    assert!(addresses.contains(&"127.0.0.1".to_owned()), "{addresses:?}");

    let stats = CgroupStatsSource::new(Hierarchies::find(&Roots::default())).read(&cgroup).unwrap();
    println!("{stats:?}");
    assert_eq!((stats.memory_limit_bytes, stats.cpu_limit_cores), (Some(64 << 20), Some(0.5)));
    assert!(stats.cpu_usage_ns.unwrap() > 0 && stats.memory_anonymous_bytes.is_some());

    let config = RuntimeConfig {
        runtime: Runtime::Docker,
        sockets: vec![daemon.socket()],
        deadline: DEADLINE,
        retry_interval: RETRY,
    };
    let source = RuntimeSource::start(config).unwrap();
    assert_eq!(next_state(&source), (ProbeState::Active, None));
    let request = |id: &str| RuntimeRequest { cgroup: cgroup.clone(), id: id.to_owned() };
    source.request(request(&id));
    let row = next_row(&source);
    println!("{row:?}");
    check_row(&row, &cgroup, &id, pid);

    source.request(request(&"0".repeat(64)));
    assert_eq!(next_row(&source).metadata, MetadataStatus::NotFound);

    // A daemon that hangs: it is stopped, so the kernel accepts for it and nobody answers.
    signal(Signal::STOP);
    let start = Instant::now();
    source.request(request(&id));
    source.request(request(&id));
    assert!(start.elapsed() < DEADLINE / 2, "asking must not wait");
    assert_eq!(next_state(&source), (ProbeState::Failed, Some("no answer within 500ms".to_owned())));
    for _ in 0..2 {
        assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    }
    signal(Signal::CONT);
    assert_eq!(next_state(&source).0, ProbeState::Active);
    check_row(&next_row(&source), &cgroup, &id, pid);
}

fn check_row(row: &ContainerSnapshot, cgroup: &str, id: &str, pid: u32) {
    assert_eq!((row.metadata, row.runtime.as_str()), (MetadataStatus::Found, "docker"));
    assert_eq!((row.cgroup.as_str(), row.runtime_id.as_str(), row.pid), (cgroup, id, Some(pid)));
    assert_eq!((row.name.as_deref(), row.image.as_deref()), (Some("web"), Some("aftertrace-test:1")));
    assert_eq!(row.labels.get("team").map(String::as_str), Some("shop"));
    assert_eq!(row.environment.len(), 1);
    assert_eq!(row.environment.get("NOMAD_JOB_NAME").map(String::as_str), Some("orders"));
    assert!(row.log_path.as_deref().is_some_and(|path| Path::new(path).is_file()), "{row:?}");
}
