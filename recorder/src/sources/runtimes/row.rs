//! Rows from answers: names and labels, and of the environment only what container ids are made from.

use std::collections::BTreeMap;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, SystemdUnit};

use super::{Answer, Runtime, RuntimeRequest};

/// The variables that Nomad sets and container ids are made from. Other variables hold secrets: no value of them
/// leaves this module.
const ENVIRONMENT: [&str; 5] =
    ["NOMAD_ALLOC_ID", "NOMAD_GROUP_NAME", "NOMAD_JOB_NAME", "NOMAD_NAMESPACE", "NOMAD_TASK_NAME"];

/// Lines of JSON, one a message: Docker's default.
pub(super) const DOCKER_JSON: &str = "docker_json";
/// Lines of time, stream, a tag and the message: what Kubernetes asks runtimes for, and podman's default.
pub(super) const CRI: &str = "cri";

/// An answer without metadata.
pub(super) fn empty(runtime: Runtime, request: &RuntimeRequest, metadata: MetadataStatus) -> Answer {
    match runtime {
        Runtime::Systemd => Answer::Unit(Box::new(SystemdUnit {
            cgroup: request.cgroup.clone(),
            name: request.id.clone(),
            metadata,
            unit_type: None,
            triggered_by: Vec::new(),
        })),
        Runtime::Docker | Runtime::Containerd | Runtime::Crio | Runtime::Podman => {
            Answer::Container(Box::new(container(runtime, request, metadata)))
        }
    }
}

/// The row of a container without metadata.
pub(crate) fn container(
    runtime: Runtime,
    request: &RuntimeRequest,
    metadata: MetadataStatus,
) -> ContainerSnapshot {
    ContainerSnapshot {
        cgroup: request.cgroup.clone(),
        runtime: runtime.name().to_owned(),
        runtime_id: request.id.clone(),
        metadata,
        name: None,
        image: None,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        log_path: None,
        pid: None,
        log_format: None,
        mounts: None,
        port_bindings: None,
        networks: None,
    }
}

/// Text that says something.
pub(super) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A process id that can be one.
pub(super) fn pid(number: Option<i64>) -> Option<u32> {
    number.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

/// `NAME=VALUE` texts; only the listed names.
pub(super) fn environment<'a>(variables: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    variables
        .into_iter()
        .filter_map(|variable| variable.split_once('='))
        .filter(|(name, _)| ENVIRONMENT.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Of pairs of a path in the container and what is there, those where that is a directory or file of the host.
pub(super) fn mounts(pairs: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .filter(|(destination, source)| destination.starts_with('/') && source.starts_with('/'))
        .collect()
}
