//! `containers`: what a container runtime says of a container.

use std::collections::BTreeMap;

use crate::label::labels;

labels! {
    /// Whether the runtime answered.
    pub enum MetadataStatus {
        /// The runtime knows the container; the row holds what it said.
        Found = "found",
        /// The runtime answered that it does not know the container.
        NotFound = "not_found",
        /// The runtime did not answer in time, or cannot be reached.
        Unreachable = "unreachable",
    }
}

table! {
    /// What a container runtime says of a container. A later row of the same `cgroup` replaces an earlier one.
    pub struct ContainerSnapshot in "containers" as Container {
        /// Path of the container's control group.
        [Dictionary] cgroup: String,
        /// Runtime: docker, containerd, crio, podman.
        [Dictionary] runtime: String,
        /// Id that the runtime gave.
        [Dictionary] runtime_id: String,
        /// Whether the runtime answered.
        [Dictionary] metadata: MetadataStatus,
        /// Name, without a leading slash.
        [Dictionary] name: Option<String>,
        /// Image as the user named it.
        [Dictionary] image: Option<String>,
        /// Labels.
        [Dictionary] labels: BTreeMap<String, String>,
        /// Environment variables that container ids are made from (Nomad), no others.
        [Dictionary] environment: BTreeMap<String, String>,
        /// File that the runtime writes the container's output to.
        [Dictionary] log_path: Option<String>,
        /// Process id of the container's first process.
        [Dictionary] pid: Option<u32>,
        /// Format of that file: docker_json, cri.
        [Dictionary] log_format: Option<String>,
        /// Volumes and bind mounts: path in the container, and the directory of the host that is there.
        [Dictionary] mounts: Option<BTreeMap<String, String>>,
        /// Addresses of the host that the runtime passes on to the container, such as `0.0.0.0:8080`; TCP only.
        [Dictionary] port_bindings: Option<Vec<String>>,
        /// Networks by name, with the container's addresses there, separated by spaces.
        [Dictionary] networks: Option<BTreeMap<String, String>>,
    }
}
