//! The Docker engine's API, which podman's service speaks too.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus};
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, EndpointSettings, PortBinding};
use bollard::query_parameters::InspectContainerOptions;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::worker::{Api, Failure, reason};
use super::{Answer, Runtime, RuntimeRequest, row};

/// Docker or podman.
pub(super) struct Engine {
    pub(super) runtime: Runtime,
    pub(super) deadline: Duration,
}

impl Engine {
    /// A client for one call. Its connection is not kept: nothing drives it between calls, so that a daemon which
    /// closed it meanwhile would only show as the next call's failure.
    fn client(&self, socket: &Path) -> Result<Docker, Failure> {
        // The library's own timeout is in whole seconds; ours ends before it.
        let seconds = self.deadline.as_secs() + 1;
        Docker::connect_with_unix(&socket.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            .map_err(|error| Failure::broken(reason(&error)))
    }
}

impl Api for Engine {
    /// It is asked for its version. The requests themselves name none (bollard 0.21 leaves it out of its URLs), so
    /// the daemon takes its own.
    async fn greet(&self, socket: &Path) -> Result<(), Failure> {
        let client = self.client(socket)?;
        client.negotiate_version().await.map(drop).map_err(|error| Failure::broken(reason(&error)))
    }

    async fn ask(&self, socket: &Path, request: &RuntimeRequest) -> Result<Option<Answer>, Failure> {
        let client = self.client(socket)?;
        match client.inspect_container(&request.id, None::<InspectContainerOptions>).await {
            Ok(answer) => Ok(Some(Answer::Container(Box::new(found(self.runtime, request, answer))))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error @ Error::DockerResponseServerError { .. }) => Err(Failure::of_request(reason(&error))),
            Err(error) => Err(Failure::broken(reason(&error))),
        }
    }
}

/// The row of a container that the daemon knows.
pub(super) fn found(
    runtime: Runtime,
    request: &RuntimeRequest,
    answer: ContainerInspectResponse,
) -> ContainerSnapshot {
    let config = answer.config.unwrap_or_default();
    let network = answer.network_settings.unwrap_or_default();
    let driver = answer.host_config.and_then(|host| host.log_config).and_then(|log| log.typ);
    let variables = config.env.unwrap_or_default();
    let mounts = answer.mounts.unwrap_or_default();
    ContainerSnapshot {
        name: row::filled(answer.name.map(|name| name.trim_start_matches('/').to_owned())),
        image: row::filled(config.image),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        environment: row::environment(variables.iter().map(String::as_str)),
        log_path: row::filled(answer.log_path),
        pid: row::pid(answer.state.and_then(|state| state.pid)),
        log_format: driver.as_deref().and_then(|driver| log_format(runtime, driver)).map(str::to_owned),
        mounts: Some(row::mounts(
            mounts.into_iter().filter_map(|mount| Some((mount.destination?, mount.source?))),
        )),
        port_bindings: Some(port_bindings(network.ports.unwrap_or_default())),
        networks: Some(networks(network.networks.unwrap_or_default())),
        ..row::container(runtime, request, MetadataStatus::Found)
    }
}

/// The format of the file that a log driver writes, when others can read it.
fn log_format(runtime: Runtime, driver: &str) -> Option<&'static str> {
    match (runtime, driver) {
        // Podman says so of files in the other format: to its users they are the same.
        (Runtime::Podman, "json-file" | "k8s-file") => Some(row::CRI),
        (_, "json-file") => Some(row::DOCKER_JSON),
        _ => None,
    }
}

/// Addresses of the host, from bindings by the container's port such as `80/tcp`. Podman says nothing for "any".
fn port_bindings(ports: HashMap<String, Option<Vec<PortBinding>>>) -> Vec<String> {
    let tcp = ports.into_iter().filter(|(port, _)| port.ends_with("/tcp"));
    let mut addresses: Vec<SocketAddr> = tcp
        .flat_map(|(_, bindings)| bindings.unwrap_or_default())
        .filter_map(|binding| {
            let ip = match row::filled(binding.host_ip) {
                Some(ip) => ip.parse().ok()?,
                None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            };
            Some(SocketAddr::new(ip, binding.host_port?.parse().ok().filter(|port| *port > 0)?))
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.iter().map(SocketAddr::to_string).collect()
}

fn networks(networks: HashMap<String, EndpointSettings>) -> BTreeMap<String, String> {
    let addresses = |endpoint: EndpointSettings| {
        let both = [endpoint.ip_address, endpoint.global_ipv6_address];
        both.into_iter().filter_map(row::filled).collect::<Vec<_>>().join(" ")
    };
    networks.into_iter().map(|(name, endpoint)| (name, addresses(endpoint))).collect()
}
