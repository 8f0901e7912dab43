#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn second_field(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.splitn(3, ':').nth(2)).map(str::to_owned)
}

fn write_process(proc: &Path, pid: u32, stat: &str, cmdline: &[u8]) {
    let directory = proc.join(pid.to_string());
    fs::create_dir_all(directory.join("ns")).unwrap();
    fs::write(directory.join("stat"), stat).unwrap();
    fs::write(directory.join("status"), "Name:\tx\nUid:\t1000\t0\t0\t0\nNSpid:\t77\t12\t3\nThreads:\t1\n")
        .unwrap();
    fs::write(directory.join("cgroup"), "0::/docker/abc\n").unwrap();
    fs::write(directory.join("cmdline"), cmdline).unwrap();
    symlink("/usr/sbin/nginx (deleted)", directory.join("exe")).unwrap();
    for (name, inode) in [("pid", 4026532180_u32), ("net", 4026532181), ("mnt", 4026532182)] {
        symlink(format!("{name}:[{inode}]"), directory.join("ns").join(name)).unwrap();
    }
}

fn stat_line(pid: u32, command: &str, state: char, threads: u32) -> String {
    format!("{pid} ({command}) {state} 42 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 123456 9 10\n")
}

#[test]
fn a_process_becomes_one_row_with_all_its_facts() {
    let host = tempfile::tempdir().unwrap();
    let roots = Roots::below(host.path());
    write_process(&roots.proc, 77, &stat_line(77, "ng) (inx", 'S', 1), b"nginx:\0-g\0\0daemon off;\0\0\0");
    let row = ProcessSource::new(roots, second_field).read_process(77).unwrap();
    assert_eq!(
        row,
        ProcessSnapshot {
            pid: 77,
            process_start_ns: 1_234_560_000_000,
            parent_pid: 42,
            command: "ng) (inx".to_owned(),
            executable: Some("/usr/sbin/nginx".to_owned()),
            arguments: ["nginx:", "-g", "", "daemon off;"].map(str::to_owned).to_vec(),
            arguments_bytes: 25,
            cgroup: Some("/docker/abc".to_owned()),
            uid: 1000,
            namespace_pid: 3,
            pid_namespace: Some(4026532180),
            network_namespace: Some(4026532181),
            mount_namespace: Some(4026532182),
        }
    );
}

#[test]
fn long_arguments_are_cut_and_their_length_is_true() {
    let host = tempfile::tempdir().unwrap();
    let roots = Roots::below(host.path());
    let cmdline = [b"java\0".as_slice(), &b"-cp\0".repeat(5_000)].concat();
    write_process(&roots.proc, 5, &stat_line(5, "java", 'S', 30), &cmdline);
    let row = ProcessSource::new(roots, second_field).read_process(5).unwrap();
    assert_eq!(row.arguments_bytes, 20_005);
    let kept: usize = row.arguments.iter().map(|argument| argument.len() + 1).sum();
    assert!((1020..=1025).contains(&kept), "{kept}");
}

#[test]
fn zombies_and_unreadable_processes_are_counted_skips() {
    let host = tempfile::tempdir().unwrap();
    let roots = Roots::below(host.path());
    write_process(&roots.proc, 1, &stat_line(1, "init", 'S', 1), b"init\0");
    write_process(&roots.proc, 2, &stat_line(2, "dead", 'Z', 1), b"");
    write_process(&roots.proc, 3, &stat_line(3, "leader gone, threads live", 'Z', 4), b"");
    write_process(&roots.proc, 4, "4 (cut", b"");
    fs::create_dir(roots.proc.join("5")).unwrap();
    fs::create_dir(roots.proc.join("sys")).unwrap();
    let scan = ProcessSource::new(roots, second_field).scan();
    assert_eq!(scan.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(scan.skipped, 3);
}

#[test]
fn no_proc_at_all_is_an_empty_scan() {
    let roots = Roots::below(Path::new("/nonexistent"));
    assert_eq!(ProcessSource::new(roots, second_field).scan(), ProcessScan::default());
}

#[test]
fn a_real_child_is_seen_until_it_ended() {
    let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let mut source = ProcessSource::new(Roots::default(), second_field);
    let row = source.read_process(child.id()).unwrap();
    child.kill().unwrap();
    assert_eq!(row.parent_pid, std::process::id());
    assert!(row.process_start_ns > 0 && row.process_start_ns.is_multiple_of(10_000_000));
    assert!(row.pid_namespace.is_some() && row.network_namespace.is_some() && row.mount_namespace.is_some());
    // Between fork and exec the child still has its parent's name, so that is not checked here.
    child.wait().unwrap();
    assert_eq!(source.read_process(child.id()), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = (parse_stat(&bytes), parse_status(&bytes), split_arguments(&bytes), executable(&bytes));
        let _ = namespace_inode(&bytes);
    }

    #[test]
    fn any_name_of_a_process_is_read_back(name in "[^\u{0}\n]{0,15}", start: u64) {
        let line = format!("7 ({name}) R 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 2 0 {start} 9");
        let stat = parse_stat(line.as_bytes()).unwrap();
        prop_assert_eq!(stat, Stat { command: name, state: b'R', parent_pid: 1, threads: 2, start_ticks: start });
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow(ticks: u64, hz in 1_u64..10_000) {
        let exact = u128::from(ticks) * 1_000_000_000 / u128::from(hz);
        let nanos = u128::from(ticks_to_nanos(ticks, hz));
        prop_assert!(nanos == exact || nanos == u128::from(u64::MAX));
    }
}
