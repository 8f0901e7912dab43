//! A row from the daemon's answer: names and labels, and of the environment only what container ids are made from.

use std::collections::{BTreeMap, HashMap};

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};
use bollard::models::ContainerInspectResponse;

use super::{DockerRequest, SOURCE};

/// The variables that Nomad sets and container ids are made from. Other variables hold secrets: no value of them
/// leaves this module.
const ENVIRONMENT: [&str; 5] =
    ["NOMAD_ALLOC_ID", "NOMAD_GROUP_NAME", "NOMAD_JOB_NAME", "NOMAD_NAMESPACE", "NOMAD_TASK_NAME"];

/// A row without metadata.
pub(super) fn empty(request: &DockerRequest, metadata: MetadataStatus) -> ContainerSnapshot {
    ContainerSnapshot {
        cgroup: request.cgroup.clone(),
        runtime: SOURCE.to_owned(),
        runtime_id: request.container_id.clone(),
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

/// The row of a container that the daemon knows.
pub(super) fn found(request: &DockerRequest, answer: ContainerInspectResponse) -> ContainerSnapshot {
    let config = answer.config.unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    ContainerSnapshot {
        name: filled(answer.name.map(|name| name.trim_start_matches('/').to_owned())),
        image: filled(config.image),
        labels: config.labels.map(sorted).unwrap_or_default(),
        environment: environment(&config.env.unwrap_or_default()),
        log_path: filled(answer.log_path),
        pid: answer
            .state
            .and_then(|state| state.pid)
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0),
        ..empty(request, MetadataStatus::Found)
    }
}

fn sorted(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

/// `NAME=VALUE` texts; only the listed names.
fn environment(variables: &[String]) -> BTreeMap<String, String> {
    variables
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .filter(|(name, _)| ENVIRONMENT.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
