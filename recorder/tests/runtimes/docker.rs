//! Docker: what every source tells of one of its containers, and what it costs when it hangs, dies and comes back.

use std::time::Instant;

use aftertrace_recorder::sources::cgroups::{CgroupStatsSource, Hierarchies};
use aftertrace_recorder::sources::namespaces::NamespaceSource;
use aftertrace_workload::docker::{Daemon, missing};

use super::*;

#[test]
fn a_real_container_is_told_of_by_every_source_and_a_stopped_daemon_delays_nothing() {
    if skipped(missing()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-test:1").unwrap();
    let docker = |arguments: &[&str]| daemon.docker(arguments).unwrap();
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
    let process = process(pid);
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

    let source = source(Runtime::Docker, &daemon.socket());
    check_row(&found(&source, &cgroup, &id), &cgroup, &id, pid);
    assert_eq!(found(&source, &cgroup, &"0".repeat(64)).metadata, MetadataStatus::NotFound);

    // A daemon that hangs: it is stopped, so the kernel accepts for it and nobody answers.
    signal(daemon.pid(), Signal::STOP);
    let start = Instant::now();
    source.request(request(&cgroup, &id));
    source.request(request(&cgroup, &id));
    assert!(start.elapsed() < DEADLINE / 2, "asking must not wait");
    assert_eq!(next_state(&source), (ProbeState::Failed, Some(HUNG.to_owned())));
    for _ in 0..2 {
        assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    }
    signal(daemon.pid(), Signal::CONT);
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
    assert_eq!(row.log_format.as_deref(), Some("docker_json"));
    assert!(row.log_path.as_deref().is_some_and(|path| Path::new(path).is_file()), "{row:?}");
}

#[test]
fn docker_tells_of_volumes_ports_and_networks_also_after_it_died() {
    if skipped(missing()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(directory.path()).unwrap();
    daemon.import_busybox("aftertrace-test:1").unwrap();
    daemon.docker(&["network", "create", "--subnet", "10.213.0.0/24", "front"]).unwrap();
    let volume = directory.path().join("pvc-0b0c6bb4-0000-4000-8000-000000000001").display().to_string();
    std::fs::create_dir(&volume).unwrap();
    let mount = format!("{volume}:/data");
    let flags = ["run", "-d", "--name", "web", "--network", "front", "-p", "20080:80", "-p", "20081:81/udp"];
    let others = ["-v", &mount, "--log-driver", "local", "aftertrace-test:1", "/bin/busybox", "sleep", "600"];
    let id = daemon.docker(&[&flags[..], &others].concat()).unwrap();

    let source = source(Runtime::Docker, &daemon.socket());
    let check = |row: ContainerSnapshot| {
        assert_eq!((row.metadata, row.log_format), (MetadataStatus::Found, None));
        assert_eq!(row.mounts.unwrap().get("/data"), Some(&volume));
        row.port_bindings.unwrap()
    };
    let row = found(&source, "/x", &id);
    assert_eq!(row.networks.as_ref().unwrap().get("front").map(String::as_str), Some("10.213.0.2"));
    let bindings = check(row);
    assert!(bindings.contains(&"0.0.0.0:20080".to_owned()), "{bindings:?}");
    assert!(bindings.iter().all(|binding| binding.ends_with(":20080")), "{bindings:?}");

    signal(daemon.pid(), Signal::KILL);
    source.request(request("/x", &id));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    daemon.restart().unwrap();
    check(next_row(&source));
}
