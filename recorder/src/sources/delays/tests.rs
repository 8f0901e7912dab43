#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::process::{Child, Command};

use aftertrace_schemas::Kind;

use super::*;

/// A child that is ended whatever the test does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn process(pid: u32) -> ProcessSnapshot {
    ProcessSnapshot {
        pid,
        process_start_ns: 10_000_000,
        parent_pid: 1,
        command: String::new(),
        executable: None,
        arguments: Vec::new(),
        arguments_bytes: 0,
        cgroup: None,
        uid: 0,
        namespace_pid: pid,
        pid_namespace: None,
        network_namespace: None,
        mount_namespace: None,
    }
}

fn subjects(pids: &[u32]) -> Subjects {
    Subjects { processes: pids.iter().copied().map(process).collect(), ..Subjects::default() }
}

fn measure(source: &mut DelaySource, subjects: &Subjects) -> Option<(Vec<TaskDelays>, Vec<ProbeStatus>)> {
    let mut rows = Rows::default();
    if let Err(reason) = source.measure(subjects, &mut rows) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must run this test: {reason:?}");
        println!("skipped: {reason:?}");
        return None;
    }
    let (mut delays, mut probes) = (Vec::new(), Vec::new());
    for (_, row) in rows.into_inner() {
        match row {
            Kind::TaskDelays(row) => delays.push(row),
            Kind::Probe(row) => probes.push(row),
            other => panic!("{other:?}"),
        }
    }
    Some((delays, probes))
}

/// Time that the only thread of a process could have run and did not: the second number of its schedstat.
fn run_delay_ns(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    text.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_cpu_delay_of_a_process_is_what_proc_says_of_its_only_thread() {
    let child = Guard(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let pid = child.0.id();
    std::thread::sleep(Duration::from_millis(100));
    let mut source = DelaySource::new(Roots::default());
    let before = run_delay_ns(pid);
    let Some((rows, _)) = measure(&mut source, &subjects(&[pid])) else { return };
    let after = run_delay_ns(pid);
    assert_eq!(rows.len(), 1);
    assert!((before..=after).contains(&rows[0].cpu_delay_ns), "{before} {rows:?} {after}");
}

#[test]
fn a_process_that_did_not_wait_meanwhile_gives_no_second_row_and_one_that_is_gone_none() {
    let child = Guard(Command::new("sleep").arg("60").spawn().unwrap());
    std::thread::sleep(Duration::from_millis(100));
    let subjects = subjects(&[child.0.id(), u32::MAX / 2]);
    let mut source = DelaySource::new(Roots::default());
    let Some((rows, probes)) = measure(&mut source, &subjects) else { return };
    assert_eq!(rows.iter().map(|row| row.pid).collect::<Vec<_>>(), [child.0.id()]);
    assert_eq!(probes.iter().map(|row| row.probe.as_str()).collect::<Vec<_>>(), [BLOCK_IO_PROBE]);
    assert_eq!(measure(&mut source, &subjects).unwrap(), (Vec::new(), Vec::new()));
}

#[test]
fn without_the_switch_block_io_delays_are_absent_and_the_probe_says_why() {
    let host = tempfile::tempdir().unwrap();
    let roots = Roots::below(host.path());
    std::fs::create_dir_all(roots.proc_file("sys/kernel")).unwrap();
    std::fs::write(roots.proc_file("sys/kernel/task_delayacct"), "0\n").unwrap();
    let own = subjects(&[std::process::id()]);
    let mut source = DelaySource::new(roots);
    let Some((rows, probes)) = measure(&mut source, &own) else { return };
    assert_eq!(rows[0].block_io_delay_ns, None);
    assert_eq!(probes[0].state, ProbeState::Off);
    assert!(probes[0].reason.as_ref().unwrap().contains("--set-sysctls"));
}

#[test]
fn kernel_threads_are_not_asked_for() {
    let mut source = DelaySource::new(Roots::default());
    let mut subjects = subjects(&[std::process::id()]);
    subjects.processes[0].parent_pid = KTHREADD;
    let Some((rows, _)) = measure(&mut source, &subjects) else { return };
    assert!(rows.is_empty());
}

/// Not a test: prints what a question costs.
#[test]
#[ignore = "a measurement"]
fn how_long_a_question_takes() {
    let pid = std::process::id();
    let mut statistics = TaskStats::open(&Roots::default()).unwrap();
    let began = Instant::now();
    for _ in 0..20_000 {
        statistics.process(pid).unwrap();
    }
    println!("{:?} a process with two threads", began.elapsed() / 20_000);
}
