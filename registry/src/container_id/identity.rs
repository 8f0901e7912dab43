//! The id of a container in metrics, from its kind and what the runtime says.

use std::collections::BTreeMap;

use aftertrace_schemas::UnixNanos;
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, SystemdUnit};

use super::CgroupKind;

/// Digits of a runtime's id in the id of a container whose name is not known.
const SHORT_ID: usize = 12;

/// A CronJob's pod has its schedule in its name; other names that look so have a time far from now.
const CRON_WINDOW_MINUTES: i64 = 7 * 24 * 60;

const NANOSECONDS_A_MINUTE: i64 = 60_000_000_000;

/// Units of a plain installation that are left out by default, by the beginning of their names.
const SYSTEM_SERVICES: &[&str] = &[
    "systemd-",
    "dbus",
    "getty",
    "system-serial",
    "system-getty",
    "serial-getty",
    "snapd",
    "packagekit",
    "unattended-upgrades",
    "multipathd",
    "qemu-guest-agent",
    "irqbalance",
    "networkd-dispatcher",
    "rpcbind",
];

/// The id, such as `/k8s/<namespace>/<pod>/<container>` or `/docker/<name>`; `None` for what is no container or is left
/// out on purpose (the pause container of a pod).
///
/// `metadata` is what the runtime last said. Without a name from it, the id is provisional: the runtime and the
/// first 12 digits of its id; the container is renamed when the name becomes known. `time` is when the container was
/// seen, for CronJobs.
pub fn container_id(
    kind: &CgroupKind,
    metadata: Option<&ContainerSnapshot>,
    time: UnixNanos,
) -> Option<String> {
    let found = metadata.filter(|row| row.metadata == MetadataStatus::Found);
    let (runtime, id) = match kind {
        CgroupKind::Standalone => return None,
        CgroupKind::Systemd { unit } => return Some(unit.clone()),
        CgroupKind::Lxc { name } => return Some(format!("/lxc/{name}")),
        CgroupKind::Talos { service } => return Some(format!("/talos/{service}")),
        CgroupKind::Command { program } => return Some(format!("/command/{program}")),
        CgroupKind::Sandbox => return kubernetes(&found?.labels, Some("sandbox"), time)?,
        CgroupKind::Docker { id } => ("docker", id),
        CgroupKind::Containerd { id } => ("containerd", id),
        CgroupKind::Crio { id } => ("crio", id),
        CgroupKind::Podman { id } => ("podman", id),
    };
    if let Some(row) = found {
        if let Some(pod) = kubernetes(&row.labels, None, time) {
            return pod;
        }
        // It may be another runtime's than its control group looks like.
        let named =
            swarm(&row.labels).or_else(|| nomad(&row.environment)).or_else(|| by_name(&row.runtime, row));
        if named.is_some() {
            return named;
        }
    }
    Some(format!("/{runtime}/{}", id.get(..SHORT_ID).unwrap_or(id)))
}

/// Whether a unit such as `/system.slice/dbus.service` belongs to the host's plain installation.
pub fn is_system_service(unit: &str) -> bool {
    let name = unit.rsplit('/').next().unwrap_or(unit);
    SYSTEM_SERVICES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a unit is a task of the host rather than a service: it runs once, or when a timer says so, or serves the bus.
pub fn is_task(unit: &SystemdUnit) -> bool {
    matches!(unit.unit_type.as_deref(), Some("oneshot" | "dbus"))
        || unit.triggered_by.iter().any(|trigger| trigger.ends_with(".timer"))
}

fn text<'a>(map: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    map.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// `None`: not of Kubernetes. `Some(None)`: a pod's pause container, which is left out.
fn kubernetes(
    labels: &BTreeMap<String, String>,
    sandbox: Option<&str>,
    time: UnixNanos,
) -> Option<Option<String>> {
    let pod = text(labels, "io.kubernetes.pod.name")?;
    let namespace = text(labels, "io.kubernetes.pod.namespace").unwrap_or_default();
    let container = sandbox.or_else(|| text(labels, "io.kubernetes.container.name"));
    let Some(container) = container.filter(|name| *name != "POD") else {
        return Some(None);
    };
    Some(Some(match cron_job(pod, time) {
        Some(job) => format!("/k8s-cronjob/{namespace}/{job}/{container}"),
        None => format!("/k8s/{namespace}/{pod}/{container}"),
    }))
}

/// The CronJob's name when the pod is named `<name>-<8 digits: minutes since 1970>-<5 characters>`.
fn cron_job(pod: &str, time: UnixNanos) -> Option<&str> {
    let (rest, suffix) = pod.rsplit_once('-')?;
    let (name, schedule) = rest.rsplit_once('-')?;
    let looks_right = !name.is_empty()
        && suffix.len() == 5
        && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && schedule.len() == 8
        && schedule.bytes().all(|byte| byte.is_ascii_digit());
    let scheduled: i64 = looks_right.then(|| schedule.parse().ok())??;
    let now = time / NANOSECONDS_A_MINUTE;
    ((now - scheduled).abs() <= CRON_WINDOW_MINUTES).then_some(name)
}

/// A Swarm task is named `<service>.<slot>.<task id>`, its service `<stack>_<service>` when it is of a stack.
fn swarm(labels: &BTreeMap<String, String>) -> Option<String> {
    let task = text(labels, "com.docker.swarm.task.name")?;
    let (rest, _) = task.rsplit_once('.')?;
    let (service, slot) = rest.rsplit_once('.')?;
    Some(match text(labels, "com.docker.stack.namespace") {
        Some(stack) => {
            let own = service.strip_prefix(stack).and_then(|own| own.strip_prefix('_')).unwrap_or(service);
            format!("/swarm/{stack}/{own}/{slot}")
        }
        None => format!("/swarm/_/{service}/{slot}"),
    })
}

fn nomad(environment: &BTreeMap<String, String>) -> Option<String> {
    let namespace = text(environment, "NOMAD_NAMESPACE")?;
    let job = text(environment, "NOMAD_JOB_NAME")?;
    let group = text(environment, "NOMAD_GROUP_NAME")?;
    let allocation = text(environment, "NOMAD_ALLOC_ID")?;
    let task = text(environment, "NOMAD_TASK_NAME")?;
    Some(format!("/nomad/{namespace}/{job}/{group}/{allocation}/{task}"))
}

fn by_name(runtime: &str, row: &ContainerSnapshot) -> Option<String> {
    let name = row.name.as_deref().or_else(|| text(&row.labels, "nerdctl/name"))?.trim_start_matches('/');
    (!name.is_empty()).then(|| format!("/{runtime}/{name}"))
}
