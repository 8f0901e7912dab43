//! podman: its answers, and what it costs when its service is gone for a time.

use aftertrace_registry::container_id::{CgroupKind, classify, container_id};
use aftertrace_workload::podman::{Podman, missing};

use super::*;

#[test]
fn podman_tells_of_a_container_also_after_its_service_was_gone() {
    if skipped(missing()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut podman = Podman::start(directory.path()).unwrap();
    podman.import_busybox("aftertrace-test:1").unwrap();
    let volume = directory.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    let volume = volume.display().to_string();
    let mount = format!("{volume}:/data");
    // Its own limits are higher than a test may set where it does not run as the host's root.
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let flags = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "--log-driver",
        "k8s-file",
        "--volume",
        &mount,
        "--label",
        "team=shop",
        "-e",
        "NOMAD_JOB_NAME=orders",
        "-e",
        "PASSWORD=x",
    ];
    let command = ["aftertrace-test:1", "/bin/busybox", "sh", "-c", "echo hello; sleep 600"];
    let id = podman.podman(&[&flags[..], &limits, &command].concat()).unwrap();
    let pid: u32 = podman.podman(&["inspect", "-f", "{{.State.Pid}}", "web"]).unwrap().parse().unwrap();
    let cgroup = process(pid).cgroup.unwrap();
    assert_eq!(classify(&cgroup), CgroupKind::Podman { id: id.clone() });

    let source = source(Runtime::Podman, &podman.socket());
    let row = found(&source, &cgroup, &id);
    assert_eq!((row.metadata, row.runtime.as_str()), (MetadataStatus::Found, "podman"));
    assert_eq!((row.name.as_deref(), row.pid), (Some("web"), Some(pid)));
    assert_eq!(row.image.as_deref(), Some("localhost/aftertrace-test:1"));
    assert_eq!(row.labels.get("team").map(String::as_str), Some("shop"));
    assert_eq!(row.environment.len(), 1);
    assert_eq!(row.mounts.as_ref().unwrap().get("/data"), Some(&volume));
    assert_eq!(container_id(&classify(&cgroup), Some(&row), 0).as_deref(), Some("/podman/web"));
    // The service says "json-file" of a file that is not.
    assert_eq!(row.log_format.as_deref(), Some("cri"));
    let log = std::fs::read_to_string(row.log_path.unwrap()).unwrap();
    assert!(log.contains(" stdout F hello"), "{log}");

    podman.kill();
    source.request(request(&cgroup, &id));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    podman.restart().unwrap();
    assert_eq!(next_row(&source).metadata, MetadataStatus::Found);
}
