//! Plain figures of what is alive or lately was, for summaries.

use std::sync::Arc;

use crate::Registry;
use crate::containers::Container;

/// A container with its figures since the recording began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// Id as in metrics.
    pub id: Arc<str>,
    /// Image, when the runtime told.
    pub image: Option<Arc<str>>,
    /// Types of its live applications, sorted.
    pub applications: Vec<&'static str>,
    /// Processes that are alive.
    pub live_processes: u64,
    /// Processes that started in it.
    pub processes_started: u64,
    /// Times that all of its processes were replaced.
    pub restarts: u64,
    /// Processes that the OOM killer ended.
    pub oom_kills: u64,
    /// Outbound connections that were established.
    pub connects: u64,
    /// Outbound connections that failed.
    pub failed_connects: u64,
    /// Inbound connections.
    pub accepts: u64,
    /// Outbound connections that are open.
    pub active_connections: u64,
    /// Segments of outbound connections that were sent again.
    pub retransmits: u64,
    /// Payload bytes sent on outbound connections.
    pub bytes_sent: u64,
    /// Payload bytes received on outbound connections.
    pub bytes_received: u64,
    /// Addresses that it listens on, as bound, sorted.
    pub listens: Vec<String>,
}

/// A destination of a container with its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationView {
    /// Address and port.
    pub destination: String,
    /// What was reached behind address translation; the same where there is none, or none is known.
    pub actual_destination: String,
    /// Connections that were established.
    pub connects: u64,
    /// Connections that failed.
    pub failed_connects: u64,
    /// Connections that are open.
    pub active_connections: u64,
    /// Segments that were sent again.
    pub retransmits: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
}

/// Who talks to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkerView {
    /// Id of the container that connects.
    pub container: Arc<str>,
    /// To where, and how much.
    pub to: DestinationView,
}

impl Registry {
    /// All containers that have metrics, sorted by id.
    pub fn containers(&self) -> Vec<ContainerView> {
        self.shown().into_iter().map(container_view).collect()
    }

    /// Destinations of the container with this id, sorted by address and port; none when it is not known.
    pub fn destinations(&self, container: &str) -> Vec<DestinationView> {
        self.shown()
            .into_iter()
            .find(|known| &*known.id == container)
            .map(destination_views)
            .unwrap_or_default()
    }

    /// The `count` pairs of container and destination with the most bytes, then the most connects.
    pub fn top_talkers(&self, count: usize) -> Vec<TalkerView> {
        let mut talkers: Vec<TalkerView> = Vec::new();
        for container in self.shown() {
            let of_container = destination_views(container).into_iter();
            talkers.extend(of_container.map(|to| TalkerView { container: container.id.clone(), to }));
        }
        // The sort is stable and what it sorts is ordered by container and destination, so equals have one order.
        talkers.sort_by_key(|talker| {
            let bytes = talker.to.bytes_sent.saturating_add(talker.to.bytes_received);
            std::cmp::Reverse((bytes, talker.to.connects + talker.to.failed_connects))
        });
        talkers.truncate(count);
        talkers
    }

    /// Restarts by container id, for containers that had one, sorted by id.
    pub fn restarts(&self) -> Vec<(Arc<str>, u64)> {
        let shown = self.shown().into_iter().filter(|container| container.restarts > 0);
        shown.map(|container| (container.id.clone(), container.restarts)).collect()
    }
}

fn container_view(container: &Container) -> ContainerView {
    let totals = container.totals();
    let mut listens: Vec<_> = container.listens.open_endpoints().collect();
    listens.sort_unstable();
    listens.dedup();
    ContainerView {
        id: container.id.clone(),
        image: container.description.image().cloned(),
        applications: container.applications().collect(),
        live_processes: container.processes.len() as u64,
        processes_started: container.processes_started,
        restarts: container.restarts,
        oom_kills: container.oom_kills,
        connects: totals.connects,
        failed_connects: totals.failed_connects,
        accepts: container.accepts,
        active_connections: container.destinations.iter().map(|(_, destination)| destination.active).sum(),
        retransmits: totals.retransmits,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
        listens: listens.iter().map(ToString::to_string).collect(),
    }
}

fn destination_views(container: &Container) -> Vec<DestinationView> {
    let mut destinations: Vec<_> = container.destinations.iter().collect();
    destinations.sort_unstable_by_key(|(route, _)| *route);
    let view =
        |(route, destination): (crate::endpoint::Route, &crate::containers::Destination)| DestinationView {
            destination: route.destination.to_string(),
            actual_destination: route.actual.to_string(),
            connects: destination.totals.connects,
            failed_connects: destination.totals.failed_connects,
            active_connections: destination.active,
            retransmits: destination.totals.retransmits,
            bytes_sent: destination.totals.bytes_sent,
            bytes_received: destination.totals.bytes_received,
        };
    destinations.into_iter().map(view).collect()
}
