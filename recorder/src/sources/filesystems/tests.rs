#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::fs;

use aftertrace_schemas::Kind;
use tempfile::TempDir;

use super::*;
use crate::live_state::KnownMount;

const GROUP: &str = "/docker/web";
const MOUNTS: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
30 20 0:44 / /tmp rw - tmpfs tmpfs rw
31 20 0:50 / /srv rw - nfs4 nas:/export rw
";

/// A made-up host with a process 7 that sees [`MOUNTS`]; below its root is a directory of this machine.
fn host() -> (TempDir, FilesystemSource) {
    let host = tempfile::tempdir().unwrap();
    let roots = Roots::below(host.path());
    fs::create_dir_all(roots.proc_file("7/root/srv")).unwrap();
    fs::write(roots.proc_file("7/mountinfo"), MOUNTS).unwrap();
    (host, FilesystemSource::new(roots))
}

fn process(pid: u32) -> ProcessSnapshot {
    ProcessSnapshot {
        pid,
        process_start_ns: 0,
        parent_pid: 1,
        command: String::new(),
        executable: None,
        arguments: Vec::new(),
        arguments_bytes: 0,
        cgroup: Some(GROUP.to_owned()),
        uid: 0,
        namespace_pid: 1,
        pid_namespace: None,
        network_namespace: None,
        mount_namespace: None,
    }
}

fn written(mount_id: i32, (device_major, device_minor): (u32, u32)) -> WrittenMount {
    WrittenMount { cgroup: GROUP.to_owned(), mount_id, device_major, device_minor, pid: 7 }
}

fn subjects(mounts: Vec<WrittenMount>) -> Subjects {
    Subjects { processes: vec![process(7)], written_mounts: mounts, ..Subjects::default() }
}

fn measure(source: &mut FilesystemSource, subjects: &Subjects) -> (Vec<MountSnapshot>, Vec<FilesystemStats>) {
    let mut rows = Rows::default();
    source.measure(subjects, &mut rows).unwrap();
    let (mut mounts, mut spaces) = (Vec::new(), Vec::new());
    for (_, row) in rows.into_inner() {
        match row {
            Kind::Mount(row) => mounts.push(row),
            Kind::FilesystemStats(row) => spaces.push(row),
            other => panic!("{other:?}"),
        }
    }
    (mounts, spaces)
}

fn remember(subjects: &mut Subjects, (mounts, spaces): (Vec<MountSnapshot>, Vec<FilesystemStats>)) {
    subjects.known_mounts = mounts
        .into_iter()
        .zip(spaces)
        .map(|(mount, space)| KnownMount { mount, space: Some(space) })
        .collect();
}

#[test]
fn mounts_of_storage_are_told_once_and_those_of_memory_not() {
    let (_host, mut source) = host();
    let mut subjects =
        subjects(vec![written(20, (8, 1)), written(30, (0, 44)), written(31, (0, 50)), written(99, (8, 1))]);
    let told = measure(&mut source, &subjects);
    let summary: Vec<_> =
        told.0.iter().map(|row| (row.mount_point.as_str(), row.device.as_str(), row.mounted)).collect();
    assert_eq!(summary, [("/", "/dev/sda1", true), ("/srv", "nas:/export", true)]);
    // What is below the made-up root is on another mount of this machine, which is not the one that was asked for.
    assert!(told.1.iter().all(|row| row.size_bytes.is_none()));
    remember(&mut subjects, told);
    assert_eq!(measure(&mut source, &subjects), (Vec::new(), Vec::new()));
}

#[test]
fn a_mount_that_vanished_and_one_whose_last_process_ended_are_taken_back() {
    let (host, mut source) = host();
    let mut subjects = subjects(vec![written(20, (8, 1)), written(31, (0, 50))]);
    let told = measure(&mut source, &subjects);
    remember(&mut subjects, told);
    fs::write(host.path().join("proc/7/mountinfo"), MOUNTS.lines().next().unwrap()).unwrap();
    let (mounts, _) = measure(&mut source, &subjects);
    assert_eq!(
        mounts.iter().map(|row| (row.mount_point.as_str(), row.mounted)).collect::<Vec<_>>(),
        [("/srv", false)]
    );
    subjects.known_mounts.pop();
    subjects.processes.clear();
    let (mounts, _) = measure(&mut source, &subjects);
    assert_eq!(mounts.iter().map(|row| row.mounted).collect::<Vec<_>>(), [false]);
}

#[test]
fn another_process_of_the_group_is_a_way_to_the_mount_when_the_opener_is_gone() {
    let (_host, mut source) = host();
    let mut subjects = subjects(vec![WrittenMount { pid: 5, ..written(31, (0, 50)) }]);
    subjects.processes.insert(0, process(6));
    assert_eq!(measure(&mut source, &subjects).0.len(), 1);
}

#[test]
fn the_root_of_this_process_has_the_size_that_statfs_tells() {
    let text = fs::read("/proc/self/mountinfo").unwrap();
    let root = mountinfo::parse(&text).filter(|mount| mount.point == "/").last().unwrap();
    if !mountinfo::is_storage(&root) {
        return;
    }
    let mut subjects = subjects(vec![written(root.id, root.device)]);
    subjects.processes = vec![process(std::process::id())];
    subjects.written_mounts[0].pid = std::process::id();
    let (_, spaces) = measure(&mut FilesystemSource::new(Roots::default()), &subjects);
    let expected = rustix::fs::statvfs("/").unwrap();
    assert_eq!(spaces[0].size_bytes, Some(expected.f_blocks * expected.f_frsize));
    assert!(spaces[0].free_bytes >= spaces[0].available_bytes);
}

#[test]
fn a_reason_names_a_few_and_counts_the_rest() {
    let names: Vec<String> = (0..5).map(|number| format!("/mnt/{number} of /a")).collect();
    assert_eq!(
        reason(&names),
        "no answer within 500ms: /mnt/0 of /a, /mnt/1 of /a, /mnt/2 of /a and 2 more; all others are measured"
    );
}

/// Not a test: prints what a round costs.
#[test]
#[ignore = "a measurement"]
fn how_long_a_round_takes() {
    let text = fs::read("/proc/self/mountinfo").unwrap();
    let root = mountinfo::parse(&text).filter(|mount| mount.point == "/").last().unwrap();
    let own = std::process::id();
    let group = |number: u32| format!("/docker/{number}");
    let mut subjects = Subjects::default();
    for number in 0..1_000 {
        let (cgroup, (device_major, device_minor)) = (group(number), root.device);
        subjects.processes.push(ProcessSnapshot { cgroup: Some(cgroup.clone()), ..process(own) });
        let mount = WrittenMount { cgroup, mount_id: root.id, device_major, device_minor, pid: own };
        subjects.written_mounts.push(mount);
    }
    let mut source = FilesystemSource::new(Roots::default());
    for _ in 0..3 {
        let began = std::time::Instant::now();
        let rows = measure(&mut source, &subjects);
        println!("{:?} for a mount of each of 1000 containers, {} rows", began.elapsed(), rows.1.len());
    }
}
