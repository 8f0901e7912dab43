#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn docker() -> CgroupKind {
    CgroupKind::Docker { id: ID.to_owned() }
}
fn containerd() -> CgroupKind {
    CgroupKind::Containerd { id: ID.to_owned() }
}
fn crio() -> CgroupKind {
    CgroupKind::Crio { id: ID.to_owned() }
}
fn podman() -> CgroupKind {
    CgroupKind::Podman { id: ID.to_owned() }
}
fn unit(path: &str) -> CgroupKind {
    CgroupKind::Systemd { unit: path.to_owned() }
}
fn talos(service: &str) -> CgroupKind {
    CgroupKind::Talos { service: service.to_owned() }
}

fn assert_kinds(cases: &[(String, CgroupKind)]) {
    for (path, expected) in cases {
        assert_eq!(classify(path), *expected, "{path}");
    }
}

#[test]
fn docker_containers_are_found_by_both_cgroup_drivers_and_in_pods() {
    assert_kinds(&[
        (format!("/docker/{ID}"), docker()),
        (format!("/docker/{ID}/init.scope"), docker()),
        (format!("/docker/{ID}/docker/{OTHER}"), docker()),
        (format!("/system.slice/docker-{ID}.scope"), docker()),
        (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"), docker()),
        (format!("/system.slice:docker:{ID}"), docker()),
        (format!("/kubepods/burstable/pod6e/{ID}"), docker()),
        (format!("/kubepods.slice/kubepods-pod6e.slice/docker-{ID}.scope"), docker()),
        (format!("/tenants/{ID}"), docker()),
    ]);
}

#[test]
fn containerd_and_crio_containers_are_found_in_pods() {
    assert_kinds(&[
        (
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-pod6e.slice/cri-containerd-{ID}.scope"
            ),
            containerd(),
        ),
        (
            format!("/system.slice/containerd.service/kubepods-burstable-pod6e.slice:cri-containerd:{ID}"),
            containerd(),
        ),
        (
            format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod6e.slice/cri-containerd-{ID}.scope"
            ),
            containerd(),
        ),
        (format!("/default/{ID}"), containerd()),
        (format!("/system.slice/nerdctl-{ID}.scope"), containerd()),
        (format!("/kubepods.slice/kubepods-pod6e.slice/crio-{ID}.scope"), crio()),
        (format!("/kubepods.slice/kubepods-pod6e.slice/crio-{ID}.scope/container"), crio()),
        (format!("/kubepods.slice/kubepods-pod6e.slice/crio-conmon-{ID}.scope"), CgroupKind::Standalone),
        ("/kubepods/burstable/pod6e".to_owned(), CgroupKind::Sandbox),
    ]);
}

#[test]
fn podman_containers_are_found_with_root_and_without() {
    assert_kinds(&[
        (format!("/machine.slice/libpod-{ID}.scope"), podman()),
        (format!("/machine.slice/libpod-{ID}.scope/container"), podman()),
        (format!("/machine.slice/libpod-conmon-{ID}.scope"), CgroupKind::Standalone),
        (format!("/libpod_parent/libpod-{ID}"), podman()),
        (
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
            podman(),
        ),
    ]);
}

#[test]
fn lxc_containers_are_found_by_name_and_their_monitors_are_not() {
    let lxc = |name: &str| CgroupKind::Lxc { name: name.to_owned() };
    assert_kinds(&[
        ("/lxc/web".to_owned(), lxc("web")),
        ("/lxc/101/ns/system.slice/nginx.service".to_owned(), lxc("101")),
        ("/lxc.payload.web".to_owned(), lxc("web")),
        ("/lxc.payload.web/system.slice/nginx.service".to_owned(), lxc("web")),
        ("/lxc.monitor.web".to_owned(), CgroupKind::Standalone),
        ("/lxc".to_owned(), CgroupKind::Standalone),
    ]);
}

#[test]
fn units_of_the_host_are_found_and_scopes_and_sessions_are_not() {
    assert_kinds(&[
        ("/system.slice/nginx.service".to_owned(), unit("/system.slice/nginx.service")),
        ("/system.slice/nginx.service/worker".to_owned(), unit("/system.slice/nginx.service")),
        (r"/system.slice/my\x2dapp.service".to_owned(), unit("/system.slice/my-app.service")),
        ("/runtime.slice/containerd.service".to_owned(), unit("/runtime.slice/containerd.service")),
        ("/reserved.slice/x.service".to_owned(), unit("/reserved.slice/x.service")),
        ("/kube.slice/kubelet.service".to_owned(), unit("/kube.slice/kubelet.service")),
        ("/azure.slice/walinuxagent.service".to_owned(), unit("/azure.slice/walinuxagent.service")),
        ("/podruntime.slice/kubelet.service".to_owned(), unit("/podruntime.slice/kubelet.service")),
        ("/system.slice/run-r1.scope".to_owned(), CgroupKind::Standalone),
        ("/system.slice".to_owned(), CgroupKind::Standalone),
        ("/user.slice/user-0.slice/session-1.scope".to_owned(), CgroupKind::Standalone),
        ("/init.scope".to_owned(), CgroupKind::Standalone),
        ("/systemd/foo".to_owned(), CgroupKind::Standalone),
        ("/machine.slice/machine-foo.scope".to_owned(), CgroupKind::Standalone),
        ("/something/unknown".to_owned(), CgroupKind::Standalone),
        ("/".to_owned(), CgroupKind::Standalone),
        (String::new(), CgroupKind::Standalone),
    ]);
}

#[test]
fn talos_services_are_found() {
    assert_kinds(&[
        ("/init".to_owned(), talos("init")),
        ("/system/apid".to_owned(), talos("apid")),
        ("/podruntime/kubelet".to_owned(), talos("kubelet")),
    ]);
}

#[test]
fn the_recorded_command_is_a_container_by_the_name_of_its_program() {
    let command = |program: &str| CgroupKind::Command { program: program.to_owned() };
    assert_kinds(&[
        ("/aftertrace-command/load-test.7".to_owned(), command("load-test")),
        ("/aftertrace-command/python3.11.7/inner".to_owned(), command("python3.11")),
        ("/ci/job/aftertrace-command/sh.1".to_owned(), command("sh")),
        ("/aftertrace-command".to_owned(), CgroupKind::Standalone),
        ("/aftertrace-command/sh".to_owned(), CgroupKind::Standalone),
    ]);
    assert_eq!(container_id(&command("sh"), None, 0).as_deref(), Some("/command/sh"));
}

#[test]
fn paths_from_another_cgroup_namespace_and_of_removed_groups_are_understood() {
    assert_kinds(&[
        (format!("/../../docker/{ID}"), docker()),
        (format!("/../docker-{ID}.scope"), docker()),
        ("/../../..".to_owned(), CgroupKind::Standalone),
        (format!("/docker/{ID} (deleted)"), docker()),
    ]);
    assert_eq!(process_cgroup("0::/../../system.slice/nginx.service\n"), Some("/system.slice/nginx.service"));
    assert_eq!(process_cgroup("0::/../..\n"), Some("/"));
}

#[test]
fn in_v2_there_is_one_path() {
    assert_eq!(process_cgroup("0::/system.slice/nginx.service\n"), Some("/system.slice/nginx.service"));
    assert_eq!(process_cgroup("0::/a:b\n"), Some("/a:b"));
}

#[test]
fn in_v1_the_path_that_names_a_container_or_unit_decides() {
    let text = format!("12:memory:/docker/{ID}\n11:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n");
    assert_eq!(process_cgroup(&text), Some(&*format!("/docker/{ID}")));
    let without_accounting = "9:memory:/\n8:cpu,cpuacct:/\n1:name=systemd:/system.slice/nginx.service\n";
    assert_eq!(process_cgroup(without_accounting), Some("/system.slice/nginx.service"));
    assert_eq!(process_cgroup("5:cpu:/one\n4:memory:/two\n1:name=systemd:/three\n"), Some("/one"));
}

#[test]
fn in_hybrid_mode_a_pod_in_v1_wins_over_v2() {
    let text = format!(
        "4:memory:/kubepods/pod6e/{ID}\n3:cpu,cpuacct:/kubepods/pod6e/{ID}\n0::/system.slice/docker-{OTHER}.scope\n"
    );
    assert_eq!(process_cgroup(&text), Some(&*format!("/kubepods/pod6e/{ID}")));
}

#[test]
fn in_hybrid_mode_a_container_in_v1_is_not_hidden_by_the_root_or_the_daemon_in_v2() {
    for v2 in ["/", "/system.slice/docker.service", "/user.slice/user-0.slice/session-1.scope"] {
        let text = format!("4:memory:/docker/{ID}\n3:cpu:/docker/{ID}\n1:name=systemd:{v2}\n0::{v2}\n");
        assert_eq!(process_cgroup(&text), Some(&*format!("/docker/{ID}")), "{v2}");
    }
    assert_eq!(process_cgroup("4:memory:/job/1\n1:name=systemd:/\n0::/\n"), Some("/job/1"));
}

#[test]
fn text_without_a_useful_line_decides_nothing() {
    assert_eq!(process_cgroup(""), None);
    assert_eq!(process_cgroup("nonsense\n7:freezer:/docker/x\n"), None);
}

fn row(
    runtime: &str,
    name: Option<&str>,
    labels: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> ContainerSnapshot {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    ContainerSnapshot {
        cgroup: format!("/docker/{ID}"),
        runtime: runtime.to_owned(),
        runtime_id: ID.to_owned(),
        metadata: MetadataStatus::Found,
        name: name.map(str::to_owned),
        image: None,
        labels: map(labels),
        environment: map(environment),
        log_path: None,
        pid: None,
        log_format: None,
        mounts: None,
        port_bindings: None,
        networks: None,
    }
}

fn pod(name: &str, container: &str) -> ContainerSnapshot {
    let labels = [
        ("io.kubernetes.pod.name", name),
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.container.name", container),
    ];
    row("containerd", None, &labels, &[])
}

#[test]
fn a_container_has_the_name_that_the_runtime_gave_it() {
    let id = |kind, row: ContainerSnapshot| container_id(&kind, Some(&row), 0).unwrap();
    assert_eq!(id(docker(), row("docker", Some("web"), &[], &[])), "/docker/web");
    assert_eq!(id(docker(), row("docker", Some("/web"), &[], &[])), "/docker/web");
    assert_eq!(id(podman(), row("podman", Some("web"), &[], &[])), "/podman/web");
    assert_eq!(id(containerd(), row("containerd", None, &[("nerdctl/name", "web")], &[])), "/containerd/web");
}

#[test]
fn a_container_is_named_after_the_runtime_that_knows_it() {
    let row = row("containerd", None, &[("nerdctl/name", "web")], &[]);
    assert_eq!(container_id(&docker(), Some(&row), 0).as_deref(), Some("/containerd/web"));
}

#[test]
fn a_unit_has_the_name_that_systemd_knows() {
    assert_eq!(unit_name(r"/system.slice/my\x2dapp.service/worker"), Some(r"my\x2dapp.service"));
    assert_eq!(unit_name("/../../system.slice/a@b.service (deleted)"), Some("a@b.service"));
    assert_eq!(unit_name("/system.slice/run-r1.scope"), None);
    assert_eq!(unit_name(&format!("/docker/{ID}")), None);
}

#[test]
fn without_a_name_the_id_is_provisional() {
    assert_eq!(container_id(&docker(), None, 0).as_deref(), Some("/docker/0123456789ab"));
    assert_eq!(container_id(&containerd(), None, 0).as_deref(), Some("/containerd/0123456789ab"));
    let mut unreachable = row("docker", Some("stale"), &[], &[]);
    unreachable.metadata = MetadataStatus::Unreachable;
    assert_eq!(container_id(&docker(), Some(&unreachable), 0).as_deref(), Some("/docker/0123456789ab"));
    assert_eq!(
        container_id(&containerd(), Some(&row("containerd", None, &[], &[])), 0).as_deref(),
        Some("/containerd/0123456789ab")
    );
}

#[test]
fn a_container_of_a_pod_is_named_by_namespace_pod_and_container() {
    for kind in [docker(), containerd(), crio()] {
        assert_eq!(
            container_id(&kind, Some(&pod("cart-0", "app")), 0).as_deref(),
            Some("/k8s/shop/cart-0/app")
        );
    }
    let sandbox = pod("cart-0", "");
    assert_eq!(
        container_id(&CgroupKind::Sandbox, Some(&sandbox), 0).as_deref(),
        Some("/k8s/shop/cart-0/sandbox")
    );
    assert_eq!(container_id(&CgroupKind::Sandbox, None, 0), None);
}

#[test]
fn a_pause_container_is_left_out() {
    assert_eq!(container_id(&containerd(), Some(&pod("cart-0", "")), 0), None);
    assert_eq!(container_id(&docker(), Some(&pod("cart-0", "POD")), 0), None);
}

#[test]
fn pods_of_a_cron_job_share_an_id_when_their_schedule_is_near() {
    let minute = 60_000_000_000_i64;
    let scheduled = 28_500_000 * minute;
    let id = |time| container_id(&containerd(), Some(&pod("report-28500000-x7k2p", "run")), time).unwrap();
    assert_eq!(id(scheduled), "/k8s-cronjob/shop/report/run");
    assert_eq!(id(scheduled + 7 * 24 * 60 * minute), "/k8s-cronjob/shop/report/run");
    assert_eq!(id(scheduled - 7 * 24 * 60 * minute), "/k8s-cronjob/shop/report/run");
    assert_eq!(id(scheduled + (7 * 24 * 60 + 1) * minute), "/k8s/shop/report-28500000-x7k2p/run");
    for other in ["report-2850000-x7k2p", "report-28500000-x7k2", "28500000-x7k2p", "-28500000-x7k2p"] {
        let id = container_id(&containerd(), Some(&pod(other, "run")), scheduled).unwrap();
        assert_eq!(id, format!("/k8s/shop/{other}/run"));
    }
}

#[test]
fn a_swarm_task_is_named_by_stack_service_and_slot() {
    let id = |labels: &[(&str, &str)]| {
        container_id(&docker(), Some(&row("docker", Some("x"), labels, &[])), 0).unwrap()
    };
    let task = ("com.docker.swarm.task.name", "shop_web.2.abcdef");
    assert_eq!(id(&[task, ("com.docker.stack.namespace", "shop")]), "/swarm/shop/web/2");
    assert_eq!(id(&[("com.docker.swarm.task.name", "web.2.abcdef")]), "/swarm/_/web/2");
}

#[test]
fn a_nomad_task_is_named_by_its_environment() {
    let environment = [
        ("NOMAD_NAMESPACE", "default"),
        ("NOMAD_JOB_NAME", "shop"),
        ("NOMAD_GROUP_NAME", "web"),
        ("NOMAD_ALLOC_ID", "1234"),
        ("NOMAD_TASK_NAME", "nginx"),
    ];
    let id = container_id(&docker(), Some(&row("docker", Some("x"), &[], &environment)), 0);
    assert_eq!(id.as_deref(), Some("/nomad/default/shop/web/1234/nginx"));
    let id = container_id(&docker(), Some(&row("docker", Some("x"), &[], &environment[..4])), 0);
    assert_eq!(id.as_deref(), Some("/docker/x"));
}

#[test]
fn kinds_without_a_runtime_have_their_own_names() {
    assert_eq!(
        container_id(&unit("/system.slice/a.service"), None, 0).as_deref(),
        Some("/system.slice/a.service")
    );
    assert_eq!(container_id(&talos("apid"), None, 0).as_deref(), Some("/talos/apid"));
    let lxc = CgroupKind::Lxc { name: "web".to_owned() };
    assert_eq!(container_id(&lxc, None, 0).as_deref(), Some("/lxc/web"));
    assert_eq!(container_id(&CgroupKind::Standalone, None, 0), None);
}

#[test]
fn services_of_a_plain_installation_are_known() {
    for service in
        ["systemd-journald.service", "dbus.service", "system-getty.slice", "snapd.service", "rpcbind.service"]
    {
        assert!(is_system_service(&format!("/system.slice/{service}")), "{service}");
    }
    assert!(!is_system_service("/system.slice/nginx.service"));
}
