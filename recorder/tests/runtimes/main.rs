//! Container runtimes and systemd, for real: daemons of the tests' own in temporary directories run containers from a
//! root file system that the tests make. CRI-O, which Debian does not have, is a stand-in. Root only. Needs the
//! packages docker.io, containerd, podman, systemd, dbus and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod containerd;
mod crio;
mod docker;
mod podman;
mod systemd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::processes::ProcessSource;
use aftertrace_recorder::sources::runtimes::{
    Answer, Runtime, RuntimeConfig, RuntimeReport, RuntimeRequest, RuntimeSource,
};
use aftertrace_registry::container_id::process_cgroup;
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeState, ProcessSnapshot};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(500);
const HUNG: &str = "no answer within 500ms";

/// Whether the test cannot run here. Under CI that is a failure.
fn skipped(missing: Option<String>) -> bool {
    let not_root = (!rustix::process::geteuid().is_root()).then(|| "not root".to_owned());
    let Some(reason) = not_root.or(missing) else { return false };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test: {reason}");
    println!("skipped: {reason}");
    true
}

/// A source that asks who listens on `socket`, once that one answers: a daemon has its socket before it is ready.
fn source(runtime: Runtime, socket: &Path) -> RuntimeSource {
    let sockets = vec![PathBuf::from("/nonexistent.sock"), socket.to_owned()];
    let config = RuntimeConfig { runtime, sockets, deadline: DEADLINE, retry_interval: RETRY };
    let source = RuntimeSource::start(config).unwrap();
    while next_state(&source).0 != ProbeState::Active {}
    source
}

fn request(cgroup: &str, id: &str) -> RuntimeRequest {
    RuntimeRequest { cgroup: cgroup.to_owned(), id: id.to_owned() }
}

fn next_answer(source: &RuntimeSource) -> Answer {
    loop {
        if let RuntimeReport::Answer(answer) = source.wait_report(PATIENCE).expect("an answer in time") {
            println!("{answer:?}");
            return answer;
        }
    }
}

fn next_row(source: &RuntimeSource) -> ContainerSnapshot {
    match next_answer(source) {
        Answer::Container(row) => *row,
        Answer::Unit(row) => panic!("{row:?}"),
    }
}

/// Asks for a container until the runtime tells of it: an answer may take longer than the deadline on a busy host.
fn found(source: &RuntimeSource, cgroup: &str, id: &str) -> ContainerSnapshot {
    source.request(request(cgroup, id));
    loop {
        let row = next_row(source);
        if row.metadata != MetadataStatus::Unreachable {
            return row;
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

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// The process, with the control group that decides its container.
fn process(pid: u32) -> ProcessSnapshot {
    let cgroup_of = |text: &str| process_cgroup(text).map(str::to_owned);
    ProcessSource::new(Roots::default(), cgroup_of).read_process(pid).unwrap()
}
