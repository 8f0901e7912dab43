//! What container runtimes say of their containers, and systemd of its units.
//!
//! In: requests by control group and the runtime's name for what is in it. Out, on a channel: rows, and `ProbeStatus`
//! rows when a daemon's state changes. Each daemon has a thread of its own that talks to it, each call with a
//! deadline. After a call that failed, requests are answered `Unreachable` at once, and the daemon is tried again at
//! an interval; when it answers, those requests are asked again. So a hung or absent daemon delays nothing.

mod containerd;
mod crio;
mod engine;
pub(crate) mod row;
mod systemd;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use aftertrace_schemas::Kind;
use aftertrace_schemas::tables::{ContainerSnapshot, MetadataStatus, ProbeStatus, SystemdUnit};
use rustix::fs::{Access, access};

use super::Roots;
use crate::capabilities::{self, CapabilitySet, OTHERS_PROCESSES};
use worker::Worker;

/// Requests that wait at most.
const QUEUE_LIMIT: usize = 4096;

/// Who can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// The Docker engine.
    Docker,
    /// containerd, by itself or under Kubernetes.
    Containerd,
    /// CRI-O.
    Crio,
    /// podman's service.
    Podman,
    /// systemd, about units.
    Systemd,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Docker, Self::Containerd, Self::Crio, Self::Podman, Self::Systemd];

    /// Its name in `ProbeStatus` and `ContainerSnapshot` rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::Podman => "podman",
            Self::Systemd => "systemd",
        }
    }

    /// Its name as its makers write it.
    fn title(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Containerd => "containerd",
            Self::Crio => "CRI-O",
            Self::Podman => "podman",
            Self::Systemd => "systemd",
        }
    }

    /// Where its socket usually is: distributions of Kubernetes bring a containerd of their own.
    fn usual_sockets(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["/run/docker.sock", "/var/run/docker.sock"],
            Self::Containerd => &[
                "/var/snap/microk8s/common/run/containerd.sock",
                "/run/k0s/containerd.sock",
                "/run/k3s/containerd/containerd.sock",
                "/run/containerd/containerd.sock",
            ],
            Self::Crio => &["/var/run/crio/crio.sock", "/run/crio/crio.sock"],
            Self::Podman => &["/run/podman/podman.sock"],
            Self::Systemd => &["/run/dbus/system_bus_socket"],
        }
    }
}

/// Where a daemon is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Who listens there.
    pub runtime: Runtime,
    /// Sockets to try, in order.
    pub sockets: Vec<PathBuf>,
    /// For each call.
    pub deadline: Duration,
    /// Between two tries of a daemon that did not answer.
    pub retry_interval: Duration,
}

impl RuntimeConfig {
    /// The usual sockets, then the same ones below the root directory of the host's first process: a recorder in a
    /// container that has the host's pid namespace finds them there. They are preceded by `given` (the variable
    /// of [`RuntimeConfig::from_environment`]) when it is a Unix socket.
    pub fn new(runtime: Runtime, given: Option<&str>) -> Self {
        let path = |text: &str| {
            let schemes = ["unix://", "unix:path="].into_iter();
            schemes.filter_map(|scheme| text.strip_prefix(scheme)).next().unwrap_or(text).to_owned()
        };
        let given = given.map(path).filter(|path| path.starts_with('/'));
        let usual = runtime.usual_sockets().iter();
        let of_host = usual.clone().map(|socket| format!("/proc/1/root{socket}"));
        let own = given.into_iter().chain(usual.map(|socket| (*socket).to_owned()));
        let sockets = own.chain(of_host).map(PathBuf::from).collect();
        Self { runtime, sockets, deadline: Duration::from_secs(2), retry_interval: Duration::from_secs(10) }
    }

    /// What it takes to get at the sockets: at the usual ones nothing, since they are root's, but the way to the host. One
    /// that was given may be another user's, or in another mount namespace.
    fn capabilities(&self) -> CapabilitySet {
        let usual = Self::new(self.runtime, None).sockets;
        let given = self.sockets.iter().filter(|socket| !usual.contains(socket));
        let of_given = given.map(|socket| {
            let is_enough = |needs: &CapabilitySet| {
                let is_open = || access(socket, Access::WRITE_OK).is_ok();
                capabilities::rehearse(*needs, is_open) == Some(true)
            };
            let most = OTHERS_PROCESSES | CapabilitySet::DAC_OVERRIDE;
            // One that is not there yet will be somebody's; most often not one that is closed to root.
            [CapabilitySet::empty(), OTHERS_PROCESSES, most]
                .into_iter()
                .find(is_enough)
                .unwrap_or(OTHERS_PROCESSES)
        });
        of_given.fold(Roots::default().way_to_host(), CapabilitySet::union)
    }

    /// As [`RuntimeConfig::new`], with the variable of the environment that the runtime's own tools heed.
    pub fn from_environment(runtime: Runtime) -> Self {
        let variable = match runtime {
            Runtime::Docker => "DOCKER_HOST",
            Runtime::Containerd => "CONTAINERD_ADDRESS",
            Runtime::Crio => "CONTAINER_RUNTIME_ENDPOINT",
            Runtime::Podman => "CONTAINER_HOST",
            Runtime::Systemd => "DBUS_SYSTEM_BUS_ADDRESS",
        };
        Self::new(runtime, std::env::var(variable).ok().as_deref())
    }
}

/// A container or unit to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRequest {
    /// Path of its control group.
    pub cgroup: String,
    /// The runtime's id of the container, systemd's name of the unit.
    pub id: String,
}

/// What a runtime said.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of a container.
    Container(Box<ContainerSnapshot>),
    /// Of a unit.
    Unit(Box<SystemdUnit>),
}

impl Answer {
    /// Path of the control group that was asked for.
    pub fn cgroup(&self) -> &str {
        match self {
            Self::Container(row) => &row.cgroup,
            Self::Unit(row) => &row.cgroup,
        }
    }

    /// Whether the runtime answered.
    pub fn metadata(&self) -> MetadataStatus {
        match self {
            Self::Container(row) => row.metadata,
            Self::Unit(row) => row.metadata,
        }
    }

    /// The row.
    pub fn into_kind(self) -> Kind {
        match self {
            Self::Container(row) => Kind::Container(*row),
            Self::Unit(row) => Kind::SystemdUnit(*row),
        }
    }
}

/// What the source has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum RuntimeReport {
    /// An answer. What was `Unreachable` may get another one later.
    Answer(Answer),
    /// The daemon's state changed.
    Status(ProbeStatus),
}

/// A daemon that can be asked. Dropping it ends its thread, which finishes the call that is under way by itself.
#[derive(Debug)]
pub struct RuntimeSource {
    runtime: Runtime,
    requests: SyncSender<RuntimeRequest>,
    reports: Receiver<RuntimeReport>,
}

impl RuntimeSource {
    /// Starts the thread. Its first report is the daemon's state. Fails when the system gives no thread.
    pub fn start(config: RuntimeConfig) -> io::Result<Self> {
        let runtime = config.runtime;
        let (requests, incoming) = sync_channel(QUEUE_LIMIT);
        let (outgoing, reports) = channel();
        // No pools of threads: the timers and sockets of one daemon need none.
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let needs = config.capabilities();
        let run = move || match runtime {
            Runtime::Docker | Runtime::Podman => {
                let api = engine::Engine { runtime, deadline: config.deadline };
                Worker::new(api, config, executor, outgoing).run(&incoming);
            }
            Runtime::Containerd => {
                Worker::new(containerd::Containerd, config, executor, outgoing).run(&incoming);
            }
            Runtime::Crio => Worker::new(crio::Crio, config, executor, outgoing).run(&incoming),
            Runtime::Systemd => Worker::new(systemd::Systemd, config, executor, outgoing).run(&incoming),
        };
        capabilities::spawn(runtime.name(), needs, run)?;
        Ok(Self { runtime, requests, reports })
    }

    /// Asks; never waits. The answer comes as a report, or at once when the queue is full.
    pub fn request(&self, request: RuntimeRequest) -> Option<Answer> {
        match self.requests.try_send(request) {
            Ok(()) => None,
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => {
                Some(row::empty(self.runtime, &request, MetadataStatus::Unreachable))
            }
        }
    }

    /// The next report, when there is one.
    pub fn try_report(&self) -> Option<RuntimeReport> {
        self.reports.try_recv().ok()
    }

    /// The next report, waiting for it up to `patience`.
    pub fn wait_report(&self, patience: Duration) -> Option<RuntimeReport> {
        self.reports.recv_timeout(patience).ok()
    }
}

#[cfg(test)]
mod tests;
