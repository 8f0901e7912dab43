#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use aftertrace_schemas::Kind;

use super::hsperfdata::tests::serial;
use super::*;

/// A process as a recording knows it.
pub(in crate::sources) fn process(pid: u32, process_start_ns: u64, arguments: &[&str]) -> ProcessSnapshot {
    ProcessSnapshot {
        pid,
        process_start_ns,
        parent_pid: 1,
        command: "a".to_owned(),
        executable: None,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        arguments_bytes: 0,
        cgroup: None,
        uid: rustix::process::getuid().as_raw(),
        namespace_pid: 7,
        pid_namespace: None,
        network_namespace: None,
        mount_namespace: None,
    }
}

/// A host with a Java process 100 that is 7 in its container.
struct Host {
    directory: tempfile::TempDir,
    source: JvmSource,
    subjects: Subjects,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process_directory = directory.path().join("proc/100");
        fs::create_dir_all(process_directory.join("root/tmp")).unwrap();
        let stat = "100 (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 500 0 0";
        fs::write(process_directory.join("stat"), stat).unwrap();
        let subjects = Subjects {
            processes: vec![process(100, 5_000_000_000, &["/opt/jdk/bin/java", "-jar", "shop.jar"])],
            ..Subjects::default()
        };
        let source = JvmSource::new(Roots::below(directory.path()));
        let host = Self { directory, source, subjects };
        host.map("/tmp/hsperfdata_app/7");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("proc/100").join(name)
    }

    fn map(&self, file: &str) {
        let maps = format!("7f00-7f01 rw-s 00000000 00:2b 4 {file}\n7f02-7f03 r--p 0 0:0 0 [vdso]\n");
        fs::write(self.path("maps"), maps).unwrap();
    }

    fn publish(&self, name: &str, bytes: &[u8]) {
        let path = self.path("root").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn round(&mut self) -> (Vec<Kind>, Vec<&'static str>) {
        let mut rows = Rows::default();
        self.source.measure(&self.subjects, &mut rows).unwrap();
        let missed = rows.take_missed().into_iter().map(|missed| missed.cause).collect();
        (rows.into_inner().into_iter().map(|(_, row)| row).collect(), missed)
    }
}

#[test]
fn a_machine_is_read_through_the_root_directory_of_its_process() {
    let mut host = Host::new();
    assert_eq!(host.round(), (vec![], vec![]));
    host.publish("tmp/hsperfdata_app/7", &serial(true).bytes());
    let (rows, missed) = host.round();
    assert!(missed.is_empty());
    let Kind::JvmStats(row) = &rows[0] else { unreachable!("{rows:?}") };
    assert_eq!((row.pid, row.process_start_ns, row.jvm.as_str()), (100, 5_000_000_000, "com.example.Shop"));
    assert_eq!((row.heap_size_bytes, row.heap_used_bytes, row.heap_max_bytes), (130, 53, Some(270)));
    let names: Vec<&str> = rows[1..]
        .iter()
        .map(|row| match row {
            Kind::JvmGcStats(row) => row.gc.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(names, ["Copy", "MSC"]);
}

#[test]
fn processes_that_are_not_java_are_left_alone() {
    let mut host = Host::new();
    host.publish("tmp/hsperfdata_app/7", &serial(true).bytes());
    host.subjects.processes = vec![process(100, 5_000_000_000, &["python3", "java"])];
    assert_eq!(host.round(), (vec![], vec![]));
    let launcher = ProcessSnapshot {
        executable: Some("/usr/bin/java".to_owned()),
        ..process(100, 5_000_000_000, &["renamed"])
    };
    host.subjects.processes = vec![launcher];
    assert_eq!(host.round().0.len(), 3);
}

#[test]
fn a_link_of_the_container_leads_nowhere_outside_of_it() {
    let mut host = Host::new();
    let outside = host.directory.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("7"), serial(true).bytes()).unwrap();
    symlink(&outside, host.path("root/tmp/hsperfdata_app")).unwrap();
    assert_eq!(host.round(), (vec![], vec!["link"]));
    // It is counted once.
    assert_eq!(host.round(), (vec![], vec![]));

    let mut host = Host::new();
    fs::create_dir_all(host.path("root/tmp/hsperfdata_app")).unwrap();
    symlink(outside.join("7"), host.path("root/tmp/hsperfdata_app/7")).unwrap();
    assert_eq!(host.round(), (vec![], vec!["link"]));

    // A link of /tmp itself is followed, inside of the container's root directory.
    let mut host = Host::new();
    fs::remove_dir(host.path("root/tmp")).unwrap();
    symlink("/var/tmp", host.path("root/tmp")).unwrap();
    host.publish("var/tmp/hsperfdata_app/7", &serial(true).bytes());
    assert_eq!(host.round().0.len(), 3);
}

/// What is wrong with a file, and how it is made so.
type Case = (&'static str, fn(&Host));

#[test]
fn what_is_not_the_machines_own_file_is_counted_and_not_read() {
    let cases: [Case; 5] = [
        ("stale_file", |host| {
            host.publish("tmp/hsperfdata_app/7", &serial(true).bytes());
            host.map("/tmp/hsperfdata_app/7 (deleted)");
        }),
        ("file_too_large", |host| host.publish("tmp/hsperfdata_app/7", &vec![0; 2 << 20])),
        ("malformed_file", |host| host.publish("tmp/hsperfdata_app/7", &[b'x'; 4096])),
        ("not_a_file", |host| {
            fs::create_dir_all(host.path("root/tmp/hsperfdata_app")).unwrap();
            let pipe = host.path("root/tmp/hsperfdata_app/7");
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        }),
        ("ambiguous_file", |host| {
            host.publish("tmp/hsperfdata_app/7", &serial(true).bytes());
            host.publish("tmp/hsperfdata_other/7", &serial(true).bytes());
        }),
    ];
    for (cause, prepare) in cases {
        let mut host = Host::new();
        prepare(&host);
        assert_eq!(host.round(), (vec![], vec![cause]), "{cause}");
    }
}

#[test]
fn a_process_that_got_the_id_of_another_is_not_taken_for_it() {
    let mut host = Host::new();
    host.publish("tmp/hsperfdata_app/7", &serial(true).bytes());
    host.subjects.processes[0].process_start_ns = 1;
    assert_eq!(host.round(), (vec![], vec![]));
}
