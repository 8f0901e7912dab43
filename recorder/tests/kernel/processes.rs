use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio, id};

use crate::recording::Recording;

#[test]
fn every_fork_exec_and_exit_is_seen_once_with_its_facts() {
    let Some(mut recording) = Recording::begin() else { return };
    let mut expected = Vec::new();
    for number in 0..20 {
        let code = number % 3;
        let script = format!("exit {code}");
        let mut child = Command::new("/bin/sh").args(["-c", script.as_str(), "zero", ""]).spawn().unwrap();
        expected.push((
            child.id(),
            code << 8,
            vec!["/bin/sh".to_owned(), "-c".into(), script, "zero".into(), String::new()],
        ));
        child.wait().unwrap();
    }
    let mut killed = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    recording.wait_for(|seen| seen.execs.len() == 21);
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    expected.push((killed.id(), 9, vec!["/bin/sleep".to_owned(), "60".into()]));

    let seen = recording.end();
    assert_eq!((seen.starts.len(), seen.execs.len(), seen.exits.len()), (21, 21, 21));
    for (place, (pid, status, arguments)) in expected.iter().enumerate() {
        let (start, (task, program, given), exit) =
            (&seen.starts[place], &seen.execs[place], &seen.exits[place]);
        assert_eq!((start.pid, task.pid, exit.pid), (*pid, *pid, *pid));
        assert_eq!((start.parent_pid, task.parent_pid, start.uid), (id(), id(), task.uid));
        assert_eq!((start.start_ns, start.start_ns), (task.start_ns, exit.start_ns));
        assert_eq!((program, given), (&arguments[0], arguments));
        assert_eq!(exit.status, *status);
        assert_eq!(start.namespace_pid, *pid);
    }
}

#[test]
fn namespaces_groups_and_start_are_what_proc_shows() {
    let Some(mut recording) = Recording::begin() else { return };
    let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let pid = child.id();
    recording.wait_for(|seen| seen.execs.len() == 1);
    let link =
        |name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
    let namespaces = ["pid", "net", "mnt", "cgroup"].map(link);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = recording.end();
    let (task, ..) = &seen.execs[0];
    let numbers = [task.pid_namespace, task.network_namespace, task.mount_namespace, task.cgroup_namespace];
    for (namespace, number) in namespaces.iter().zip(numbers) {
        assert!(namespace.contains(&format!("[{number}]")), "{namespace} is not {number}");
    }
    let ticks: u64 = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
    assert_eq!(task.start_ns / 10_000_000, ticks);
    for (number, id) in task.hierarchy_ids.iter().zip(task.cgroup_ids).filter(|(_, id)| *id != 0) {
        assert!(
            groups.lines().any(|line| line.starts_with(&format!("{number}:"))),
            "hierarchy {number} of {id}"
        );
    }
}

#[test]
fn arguments_longer_than_a_record_are_cut_and_counted() {
    let Some(recording) = Recording::begin() else { return };
    let long = "x".repeat(5000);
    Command::new("/bin/true").arg(&long).status().unwrap();
    let seen = recording.end();
    let (_, _, arguments) = &seen.execs[0];
    assert_eq!(arguments.concat().len(), 1024 - "/bin/true\0".len() + "/bin/true".len());
}

#[test]
fn a_process_of_many_threads_ends_once() {
    let Some(recording) = Recording::begin() else { return };
    let me = std::env::current_exe().unwrap();
    for _ in 0..20 {
        let status = Command::new(&me)
            .args(["--exact", "processes::threads_that_end_together", "--ignored"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }
    let seen = recording.end();
    assert_eq!((seen.starts.len(), seen.execs.len(), seen.exits.len()), (20, 20, 20));
    assert!(seen.exits.iter().all(|exit| exit.status == 0));
}

#[test]
#[ignore = "the workload of the test above"]
fn threads_that_end_together() {
    for _ in 0..16 {
        std::thread::spawn(std::thread::park);
    }
    std::process::exit(0);
}

#[test]
fn the_excluded_process_is_not_recorded_but_its_children_are() {
    let config =
        aftertrace_recorder::kernel::KernelConfig { excluded_pid: Some(id()), ..crate::recording::config() };
    let Some(recording) = Recording::begin_with(&config) else { return };
    std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(tempfile::NamedTempFile::new().unwrap().path(), "text").unwrap();
    Command::new("/bin/true").status().unwrap();
    let seen = recording.end();
    assert!(seen.listens.is_empty() && seen.files.is_empty());
    assert_eq!((seen.starts.len(), seen.exits.len()), (1, 1));
}
