//! containerd: its answers, and what it costs when it hangs, dies and comes back.

use aftertrace_registry::container_id::{CgroupKind, classify, container_id};
use aftertrace_workload::containerd::{Containerd, IMAGE, missing};

use super::*;

#[test]
fn containerd_tells_of_a_container_also_after_it_hung_and_after_it_died() {
    if skipped(missing()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Containerd::start(directory.path()).unwrap();
    daemon.import_busybox("default").unwrap();
    let volume = directory.path().join("pvc-0b0c6bb4-0000-4000-8000-000000000001");
    std::fs::create_dir(&volume).unwrap();
    let id = format!("{:064x}", std::process::id());
    let mount = format!("type=bind,src={},dst=/data,options=rbind:rw", volume.display());
    let labels = [
        "io.kubernetes.pod.namespace=shop",
        "io.kubernetes.pod.name=cart-0",
        "io.kubernetes.container.name=app",
    ];
    let mut flags = vec!["--mount", mount.as_str(), "--env", "NOMAD_JOB_NAME=orders", "--env", "PASSWORD=x"];
    flags.extend(labels.iter().flat_map(|label| ["--label", label]));
    daemon.run("default", &id, &flags, &["/bin/busybox", "sleep", "600"]).unwrap();
    let tasks = daemon.ctr(&["-n", "default", "task", "ls"]).unwrap();
    let task = tasks.lines().find(|line| line.starts_with(&id)).unwrap();
    let pid: u32 = task.split_whitespace().nth(1).unwrap().parse().unwrap();

    // The process leads to its control group, that to who is to be asked.
    let cgroup = process(pid).cgroup.unwrap();
    assert_eq!(classify(&cgroup), CgroupKind::Containerd { id: id.clone() });

    let source = source(Runtime::Containerd, &daemon.socket());
    let row = found(&source, &cgroup, &id);
    assert_eq!((row.metadata, row.runtime.as_str()), (MetadataStatus::Found, "containerd"));
    assert_eq!((row.cgroup.as_str(), row.runtime_id.as_str()), (cgroup.as_str(), id.as_str()));
    assert_eq!(row.image.as_deref(), Some(IMAGE));
    assert_eq!(row.environment.into_iter().collect::<Vec<_>>(), [("NOMAD_JOB_NAME".into(), "orders".into())]);
    assert_eq!(
        row.mounts.unwrap().into_iter().collect::<Vec<_>>(),
        [("/data".to_owned(), volume.display().to_string())]
    );
    let row = found(&source, &cgroup, &id);
    let name = container_id(&classify(&cgroup), Some(&row), 0);
    assert_eq!(name.as_deref(), Some("/k8s/shop/cart-0/app"));
    assert_eq!(found(&source, &cgroup, &"0".repeat(64)).metadata, MetadataStatus::NotFound);

    signal(daemon.pid(), Signal::STOP);
    source.request(request(&cgroup, &id));
    assert_eq!(next_state(&source), (ProbeState::Failed, Some(HUNG.to_owned())));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    signal(daemon.pid(), Signal::CONT);
    assert_eq!(next_row(&source).metadata, MetadataStatus::Found);

    signal(daemon.pid(), Signal::KILL);
    source.request(request(&cgroup, &id));
    assert_eq!(next_row(&source).metadata, MetadataStatus::Unreachable);
    daemon.restart().unwrap();
    assert_eq!(next_row(&source).metadata, MetadataStatus::Found);
}
