//! What is recorded without a command: processes and control groups by name, until a signal, a duration or an age.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Recording, Trace, describe, needs_recording, start_recording};

/// A shell that starts a program each 50 ms until it is dropped.
struct Worker(Child);

impl Worker {
    fn start(program: &str) -> Self {
        let script = format!("while :; do {program}; sleep 0.05; done");
        Self(Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A control group of version 2, removed at the end.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let root = if unified.is_dir() { unified } else { Path::new("/sys/fs/cgroup") };
        let path = root.join(format!("aftertrace-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// As the option takes it.
    fn name(&self) -> String {
        format!("/{}", self.0.file_name().unwrap().to_str().unwrap())
    }

    fn add(&self, below: &str, worker: &Worker) {
        let group = self.0.join(below);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), worker.pid()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for group in [self.0.join("inner"), self.0.clone()] {
            for _ in 0..100 {
                match fs::remove_dir(&group) {
                    Err(error) if error.raw_os_error() == Some(16) => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Programs that the trace saw start.
fn programs(trace: &Trace) -> Vec<String> {
    let text = |row: Value| row["executable"].as_str().unwrap().to_owned();
    trace
        .sql("SELECT DISTINCT executable FROM process_events WHERE kind = 'exec' ORDER BY 1")
        .into_iter()
        .map(text)
        .collect()
}

fn end_reason(trace: &Trace) -> String {
    let manifest: Value =
        serde_json::from_slice(&fs::read(trace.path().join("trace.json")).unwrap()).unwrap();
    manifest["end_reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_process_is_recorded_with_its_descendants_and_nothing_else_until_ctrl_c() {
    needs_recording!();
    let (wanted, other) = (Worker::start("/bin/true"), Worker::start("/bin/false"));
    let recording = Recording::start(&["--pid", &wanted.pid()], &[]);
    std::thread::sleep(Duration::from_millis(600));
    let trace = recording.interrupt();
    drop((wanted, other));
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    assert_eq!(end_reason(&trace), "stopped by a signal");
    trace.assert_whole();
    let programs = programs(&trace);
    assert!(programs.iter().any(|program| program == "/bin/true"), "{programs:?}");
    assert!(!programs.iter().any(|program| program == "/bin/false"), "{programs:?}");
}

#[test]
fn a_control_group_is_recorded_with_those_below_it_until_sigterm() {
    needs_recording!();
    let group = Group::new("wanted");
    let (inner, outer) = (Worker::start("/bin/true"), Worker::start("/bin/false"));
    group.add("inner", &inner);
    let recording = Recording::start(&["--cgroup", &group.name()], &[]);
    // One that comes later, into the group itself.
    let late = Worker::start("/bin/uname");
    group.add("", &late);
    std::thread::sleep(Duration::from_millis(600));
    let trace = recording.signal(Signal::TERM);
    drop((inner, outer, late));
    assert_eq!(trace.output.status.code(), Some(0), "{}", describe(&trace.output));
    trace.assert_whole();
    let programs = programs(&trace);
    for program in ["/bin/true", "/bin/uname"] {
        assert!(programs.iter().any(|found| found == program), "{program} of {programs:?}");
    }
    assert!(!programs.iter().any(|program| program == "/bin/false"), "{programs:?}");
    let outside = trace.number(&format!(
        "SELECT count(*) FROM process_events WHERE cgroup NOT LIKE '{}%' AND kind = 'exec'",
        group.name()
    ));
    assert_eq!(outside, 0);
}

#[test]
fn a_control_group_that_is_made_again_is_recorded_again() {
    needs_recording!();
    let group = Group::new("again");
    let recording = Recording::start(&["--cgroup", &group.name()], &[]);
    fs::remove_dir(&group.0).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    fs::create_dir(&group.0).unwrap();
    // As a service manager does it: what it starts does not run in the first moment.
    std::thread::sleep(Duration::from_millis(300));
    let worker = Worker::start("/bin/true");
    group.add("", &worker);
    std::thread::sleep(Duration::from_millis(600));
    let trace = recording.interrupt();
    drop(worker);
    assert!(programs(&trace).iter().any(|program| program == "/bin/true"), "{:?}", programs(&trace));
}

#[test]
fn what_is_older_than_the_age_cap_is_dropped_and_the_rest_can_be_replayed() {
    needs_recording!();
    let worker = Worker::start("/bin/true");
    let flags = ["--pid", &worker.pid(), "--max-age", "1s", "--duration", "4s", "--interval", "1s"];
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("trace");
    let output = start_recording(&path, &flags, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let manifest: Value = serde_json::from_slice(&fs::read(path.join("trace.json")).unwrap()).unwrap();
    assert!(manifest["retired"]["segments"].as_u64().unwrap() > 0, "{manifest:#}");
    assert_eq!(crate::support::verify(&path).0, 0);
    let rows = crate::support::sql(
        &path,
        "SELECT CAST(max(time) AS BIGINT) - CAST(min(time) AS BIGINT) AS span FROM process_events",
    );
    let kept_s = rows[0]["span"].as_i64().unwrap() / 1_000_000_000;
    assert!(kept_s < 4, "{kept_s} s are kept of an age of 1 s and the segment that is open");
}

#[test]
fn a_process_or_group_that_is_not_there_is_named_and_leaves_no_directory() {
    needs_recording!();
    for (flag, value) in [("--pid", "4194304"), ("--cgroup", "/no/such/group")] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("trace");
        let output = start_recording(&path, &[flag, value], &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(&format!("{flag} {value}: no such")), "{message}");
        assert!(!path.exists(), "{message}");
    }
}
