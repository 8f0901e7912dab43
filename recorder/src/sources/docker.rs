//! What Docker says of its containers.
//!
//! In: requests by control group and container id. Out, on a channel: `ContainerSnapshot` rows, and `ProbeStatus`
//! rows when the daemon's state changes. A thread of its own talks to the daemon, each call with a deadline. After
//! a call that failed, requests are answered `Unreachable` at once, and the daemon is tried again at an interval;
//! when it answers, those requests are asked again. So a hung or absent daemon delays nothing.

mod row;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeStatus};

/// Name of this source in `ProbeStatus` rows, and of the runtime in `ContainerSnapshot` rows.
pub const SOURCE: &str = "docker";

/// Requests that wait at most.
const QUEUE_LIMIT: usize = 4096;
/// The last one is for a recorder in a container that has the host's pid namespace.
const SOCKETS: [&str; 3] = ["/run/docker.sock", "/var/run/docker.sock", "/proc/1/root/run/docker.sock"];

/// Where the daemon is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// Sockets to try, in order.
    pub sockets: Vec<PathBuf>,
    /// For each call.
    pub deadline: Duration,
    /// Between two tries of a daemon that did not answer.
    pub retry_interval: Duration,
}

impl DockerConfig {
    /// The usual sockets, preceded by that of `docker_host` (the variable DOCKER_HOST) when it is a Unix socket.
    pub fn new(docker_host: Option<&str>) -> Self {
        let given =
            docker_host.and_then(|host| host.strip_prefix("unix://")).filter(|path| path.starts_with('/'));
        let sockets = given.into_iter().chain(SOCKETS).map(PathBuf::from).collect();
        Self { sockets, deadline: Duration::from_secs(2), retry_interval: Duration::from_secs(10) }
    }

    /// As [`DockerConfig::new`], with the environment's DOCKER_HOST.
    pub fn from_environment() -> Self {
        Self::new(std::env::var("DOCKER_HOST").ok().as_deref())
    }
}

/// A container to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerRequest {
    /// Path of its control group.
    pub cgroup: String,
    /// Docker's id of it.
    pub container_id: String,
}

/// What the source has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum DockerReport {
    /// An answer. A container that was `Unreachable` may get another one later.
    Container(Box<ContainerSnapshot>),
    /// The daemon's state changed.
    Status(ProbeStatus),
}

/// The source. Dropping it ends its thread, which finishes the call that is under way by itself.
#[derive(Debug)]
pub struct DockerSource {
    requests: SyncSender<DockerRequest>,
    reports: Receiver<DockerReport>,
}

impl DockerSource {
    /// Starts the thread. Its first report is the daemon's state. Fails when the system gives no thread.
    pub fn start(config: DockerConfig) -> io::Result<Self> {
        let (requests, request_queue) = sync_channel(QUEUE_LIMIT);
        let (report_queue, reports) = channel();
        // No pools of threads: the timers and sockets of one daemon need none.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name(SOURCE.to_owned())
            .spawn(move || worker::Worker::new(config, runtime, report_queue).run(&request_queue))?;
        Ok(Self { requests, reports })
    }

    /// Asks for a container; never waits. The row comes as a report, or at once when the queue is full.
    pub fn request(&self, request: DockerRequest) -> Option<ContainerSnapshot> {
        match self.requests.try_send(request) {
            Ok(()) => None,
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => {
                Some(unanswered(&request))
            }
        }
    }

    /// The next report, when there is one.
    pub fn try_report(&self) -> Option<DockerReport> {
        self.reports.try_recv().ok()
    }

    /// The next report, waiting for it up to `patience`.
    pub fn wait_report(&self, patience: Duration) -> Option<DockerReport> {
        self.reports.recv_timeout(patience).ok()
    }
}

/// The row of a container that the daemon did not tell of.
fn unanswered(request: &DockerRequest) -> ContainerSnapshot {
    row::empty(request, MetadataStatus::Unreachable)
}

#[cfg(test)]
mod tests;
