//! The command's control group on the real kernel. Root only; only processes that the test starts are touched.

#![allow(unsafe_code, reason = "a child enters its control group between fork and exec")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use aftertrace_recorder::sources::Roots;
use aftertrace_recorder::sources::cgroups::{CgroupStatsSource, Hierarchies};
use aftertrace_recorder::sources::command_cgroup::{CommandCgroup, enter};

/// A child that is ended whatever the test does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The hierarchies that groups can be made in; `None`, with the reason printed, where they cannot.
fn writable() -> Option<Hierarchies> {
    let hierarchies = Hierarchies::find(&Roots::default());
    let reason = if !rustix::process::geteuid().is_root() {
        "not root"
    } else if hierarchies.all.is_empty() {
        "no control group hierarchy is mounted"
    } else {
        return Some(hierarchies);
    };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test: {reason}");
    println!("skipped: {reason}");
    None
}

fn spawn_in(group: &CommandCgroup, script: &str) -> Guard {
    let procs = group.procs().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    // SAFETY: `enter` makes system calls on open descriptors and allocates nothing.
    unsafe { command.pre_exec(move || enter(&procs)) };
    Guard(command.spawn().unwrap())
}

#[test]
fn a_command_and_its_children_run_in_a_group_of_their_own_that_is_measured_and_removed() {
    let Some(hierarchies) = writable() else { return };
    let group = CommandCgroup::create(&hierarchies, Path::new("/bin/sh")).unwrap();
    let path = group.path().to_owned();
    println!("group {path}, warnings {:?}", group.warnings());

    // The ids are those that a scan finds, which are those that the kernel side reports.
    let mut ids: Vec<(u32, u64)> = group.ids().collect();
    let scan = hierarchies.scan_below(&path);
    let mut scanned: Vec<(u32, u64)> =
        scan.groups.iter().map(|row| (row.hierarchy_id, row.cgroup_id)).collect();
    ids.sort_unstable();
    scanned.sort_unstable();
    assert_eq!(ids, scanned);
    assert!(scan.groups.iter().all(|row| row.path == path));

    // A child of the shell works a little and then stays, to be found in the same group.
    let mut shell = spawn_in(
        &group,
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 60 & echo $! > /dev/null; wait",
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    let children = format!("/proc/{0}/task/{0}/children", shell.0.id());
    let child = loop {
        let text = fs::read_to_string(&children).unwrap();
        if let Some(pid) = text.split_whitespace().next() {
            break pid.to_owned();
        }
        assert!(Instant::now() < deadline, "the shell started nothing");
        std::thread::sleep(Duration::from_millis(10));
    };
    let memberships = fs::read_to_string(format!("/proc/{child}/cgroup")).unwrap();
    for (hierarchy, _) in &ids {
        let line = memberships.lines().find(|line| line.starts_with(&format!("{hierarchy}:"))).unwrap();
        assert!(line.ends_with(&format!(":{path}")), "{line}");
    }

    let row = CgroupStatsSource::new(hierarchies.clone()).read(&path).unwrap();
    println!("{row:?}");
    assert!(row.cpu_usage_ns.unwrap() > 1_000_000, "{row:?}");
    assert_eq!((row.cpu_limit_cores, row.memory_limit_bytes), (None, None));
    if hierarchies.v1("memory").is_some() {
        assert!(row.memory_anonymous_bytes.is_some() && row.memory_cache_bytes.is_some(), "{row:?}");
    }

    // A group with processes stays, they live on, and the reason is said.
    let second = CommandCgroup::create(&hierarchies, Path::new("/bin/sh")).unwrap();
    assert_ne!(second.path(), path);
    let mut sleeper = spawn_in(&second, "exec sleep 60");
    let second_path = second.path().to_owned();
    let reason = second.remove(Duration::from_millis(30)).unwrap_err();
    assert!(reason.contains("stays") && reason.contains("busy"), "{reason}");
    assert!(sleeper.0.try_wait().unwrap().is_none());
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    for hierarchy in &hierarchies.all {
        if let Some(directory) = hierarchy.directory_of(&second_path) {
            let _ = fs::remove_dir(directory);
        }
    }

    shell.0.kill().unwrap();
    shell.0.wait().unwrap();
    let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    // The exit of the orphan takes a moment, which `remove` waits for.
    group.remove(Duration::from_secs(5)).unwrap();
    assert!(hierarchies.scan_below(&path).groups.is_empty());
    assert!(hierarchies.scan_below(&second_path).groups.is_empty());
}
